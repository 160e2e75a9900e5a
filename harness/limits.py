"""How large a suite may be before its size counts as a mistake. `harness run --allow-large` lifts every limit.

They decide no number: they stand between a slip of the keyboard, or a hostile file, and hours of planning.
"""

from __future__ import annotations

MATRIX_CELLS = 512  # variants of a suite
TRIALS = 10_000  # of a plan
LATENT_CELLS = 512  # places of a latent grid, 22 x 22; the questions here end at 7 x 7
PARAMETERS = 1_000_000_000  # of a model
OPTION = 16_384  # a whole number among the options of a variant or a loss that has no bound of its own
HOW = "`harness run --allow-large` allows it"

_lifted = False


def lift(lifted: bool = True) -> None:
    """Lift the limits for the rest of this process, or put them back."""
    global _lifted
    _lifted = lifted


def beyond(number: float, limit: int) -> bool:
    """Whether a number is above a limit that holds."""
    return number > limit and not _lifted
