"""`harness run --rehearse`: what the whole would cost, kept beside the plan and shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.ledger.records import Record
    from harness.trials.rehearsal import Forecast
    from harness.trials.trial import Trial


def forecasts_in(folder: Path, whole: Sequence[Trial], records: Sequence[Record]) -> list[Forecast]:
    """The forecasts for the trials `whole` from the records of their rehearsal, kept as rehearsal.json in `folder`."""
    from harness.files import write_hashed_json
    from harness.trials.plan import REHEARSAL
    from harness.trials.rehearsal import forecasts

    found = forecasts(whole, records)
    place = {"scale": whole[0].scale, "device": whole[0].compute.device}
    write_hashed_json(folder / REHEARSAL, place | {"forecasts": [forecast.to_dict() for forecast in found]})
    return found


def show_forecasts(found: Sequence[Forecast], device: str) -> None:
    """Print what was measured, and what the whole would cost on this machine."""
    from harness import terminal
    from harness.ledger.progress import duration

    terminal.table(
        {
            "variant": f.label,
            "parameters": f.parameters,
            "a step": f"{f.measured_step_s:.2f} s ({f.measured_batch} + {f.measured_batch})",
            "memory": terminal.size(int(f.measured_memory_mb * 2**20)),
            "scored": f.scored,
            "trials": f.trials,
            "steps": f"{f.steps} ({f.batch} + {f.batch})",
            "time of one": duration(f.seconds),
            "memory then": terminal.size(int(f.memory_mb * 2**20)),
            "disk of one": terminal.size(f.bytes),
        }
        for f in found
    )
    times = [f.seconds * f.trials for f in found if f.seconds is not None]
    total = duration(sum(times)) if len(times) == len(found) else "unknown (epochs over an own folder)"
    disk = terminal.size(sum(f.bytes * f.trials for f in found))
    print(
        f"\nthe whole on this {device}, one trial after the other: about {total}, {disk}; bounds from what was"
        " measured, times the steps, pictures, faces and metrics that the whole has more"
    )
    print("this was a rehearsal: its scores and pictures come from a few steps and answer nothing")
