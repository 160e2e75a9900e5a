"""Timing the steps that a suite's claims about speed rest on, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.trials.trial import Trial


def time_claimed_steps(claims: Sequence[Mapping[str, Any]], trials: Sequence[Trial], folder: Path) -> None:
    """Write steps.json for the variants of `faster` claims, unless it holds these very variants already."""
    from harness.files import Damaged
    from harness.ledger.steps import read_steps, write_steps
    from harness.terminal import say

    wanted = [
        part[key]
        for claim in claims
        for part in claim["parts"]
        if part["relation"] == "faster"
        for key in ("a", "than")
    ]
    first = {trial.label: trial for trial in reversed(trials) if trial.label in wanted}
    if not first:
        return
    digests = {label: trial.digest for label, trial in sorted(first.items())}
    try:
        if read_steps(folder).get("digests") == digests:
            return
    except (OSError, Damaged) as error:
        say(f"warning: steps.json is damaged ({error}) and is written anew")
    import torch

    from harness.bench.steps import STEPS, time_steps

    say(f"timing {STEPS} training steps of each of {', '.join(digests)}, in turns")
    compute = next(iter(first.values())).compute
    before = torch.get_num_threads()
    torch.set_num_threads(compute.threads)
    try:
        found = time_steps({label: first[label].spec for label in digests}, torch.device(compute.device))
    finally:
        torch.set_num_threads(before)
    write_steps(folder, {**found, "digests": digests})
    for reason in found["void"]:
        say(f"warning: {reason}")
