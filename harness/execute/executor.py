"""What a place must offer where trials run. `local` is one, a cluster another; a third is one more file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from harness.trials.trial import Trial


@dataclass(frozen=True)
class Job:
    """One attempt at one trial. `folder`: the trial's, in the ledger that asked. `kept`: see `done.kept_training`.

    `verify`: it runs far from where it was planned, and first makes sure that the code there has the same digests.
    """

    trial: Trial
    folder: Path
    attempt: int
    kept: Mapping[str, Any] | None
    plugins: tuple[str, ...]
    verify: bool = False

    def described(self, root: Path, device: str, jobs: int, shared: bool) -> dict[str, Any]:
        """What `child.run_trial` needs, as JSON. `jobs` run at once; `shared`: others use the same GPU."""
        return {
            "trial": self.trial.to_dict(), "attempt": self.attempt, "kept": dict(self.kept) if self.kept else None,
            "plugins": list(self.plugins), "root": str(root), "device": device, "jobs": jobs, "shared": shared,
            "verify": self.verify,
        }  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """An attempt is over: why there is no record, if there is none.

    `busy`: it did not begin, and may later; `unfit`: nor may any other there, as the code is not that of the plan.
    """

    reason: str
    busy: bool = False
    unfit: bool = False


class Attempt(Protocol):
    """A job under way. It shows signs of life as `status.json` in the job's folder and leaves a record there."""

    @property
    def job(self) -> Job: ...

    @property
    def began(self) -> bool:
        """Whether it runs, and no longer waits for its turn: from then on its time counts."""

    def ended(self) -> Ended | None:
        """None while it goes on. Raises EnvironmentProblem when the place is not fit for any trial."""

    def stop(self) -> None:
        """Ask it to leave, with a checkpoint if it trains."""

    def kill(self) -> None:
        """End it at once; it is over when this returns."""


class Executor(Protocol):
    """A place with room for `slots` jobs at once, open within a `with` block."""

    @property
    def slots(self) -> int: ...

    def prepare(self, trials: Sequence[Trial]) -> None:
        """Make ready what these trials need. Raises UsageError or EnvironmentProblem before anything has begun."""

    def start(self, job: Job) -> Attempt:
        """Begin a job."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
