"""When a run that goes on until it is decided is looked at: numbers of pairs, named without any arithmetic."""

from __future__ import annotations

LOOKS = (4, 6, 8, 10)  # pairs; beyond ten the steps grow
LATER = (14, 20, 30)


def looks_up_to(most: int) -> tuple[int, ...]:
    """The numbers of pairs at which claims are looked at when ``most`` may be used; the last look is ``most``."""
    return (*(n for n in (*LOOKS, *LATER, *range(45, most, 15)) if n < most), most)
