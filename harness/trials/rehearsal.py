"""A rehearsal: each variant of a suite trained for a few steps at full size, and what the whole would then cost.

A scale for many GPUs can so be tried on a machine without one: that each variant is built, fits into memory, trains, is
scored and reported. Its numbers answer nothing. Time, memory and disk of the whole are foretold from what was measured
and counted. What would take long and show nothing is left out: metrics that paint other faces, previews, speeds.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness import registry
from harness.ledger.records import Ledger, Record
from harness.spec import LossTerm, Spec
from harness.suite.settings import Setting
from harness.suite.suite import Suite
from harness.trials.plan import folder_bytes, steps_of, training_images
from harness.trials.trial import Trial, trials
from models import pretrained

STEPS, BATCH, FRAMES, SCORED = 2, 2, 4, 2
# Evaluators that paint or recognise hundreds of other faces, however few are scored: minutes of a core at 512 px.
COSTLY = frozenset({"factors", "interpolation", "mixing", "mosaic", "recognition", "regions"})
AWAKE_MB = 700  # of a process that has imported torch and computed nothing
STATE_BYTES = 16  # of a parameter in training: itself, its gradient and two moments, in float32
KEPT_BYTES = 16  # of a parameter on disk: the weights, and a checkpoint with them and two moments


def rehearsal_of(suite: Suite) -> Suite:
    """The suite under a name of its own, with one replicate and without claims: there is nothing to decide."""
    wanted = suite.metrics or tuple(registry.entries("metric"))
    cheap = tuple(name for name in wanted if name not in COSTLY) or wanted
    return replace(
        suite, name=f"{suite.name}-rehearsal", seeds=suite.seeds[:1], claims=(), until=None, looks=(), own={},
        metrics=cheap, metrics_at=(suite.top,) * len(cheap), rehearsal=True,
    )  # fmt: skip


def rehearsal_trials(
    rehearsal: Suite,
    scale: str,
    whole: Sequence[Trial],
    overrides: Sequence[Setting],
    folder_of: Callable[[str], str] = str,
) -> list[Trial]:
    """The trials of a rehearsal: one of each variant in `whole`. `overrides` are the command line's, and stay."""
    adapt = functools.partial(rehearsed, kept={setting.dotted for setting in overrides})
    compute, labels = whole[0].compute, {trial.label for trial in whole}
    found = trials(
        rehearsal, scale, overrides, device=compute.device, threads=compute.threads, folder_of=folder_of, adapt=adapt
    )
    return [replace(trial, rehearsal=True) for trial in found if trial.label in labels]


def rehearsed(spec: Spec, kept: Collection[str] = ()) -> Spec:
    """The spec with a few steps of a few images. `kept`: dotted keys that the user has set, which stay.

    LPIPS whose weights are not here gets random ones: as much arithmetic and memory, no meaning.
    """
    wanted: dict[str, dict[str, Any]] = {
        "optim": {"steps": STEPS, "warmup": 0, "batch": min(BATCH, spec.optim.batch)},
        "data": {
            "frames": min(FRAMES, spec.data.frames),
            "minimum": min(FRAMES, spec.data.minimum) if spec.data.source == "builtin" else spec.data.minimum,
            "eval_frames": min(SCORED, spec.data.eval_frames),
        },
        "score": {"previews": 0},
    }
    changed: dict[str, Any] = {"loss": {name: _at_hand(name, term) for name, term in spec.loss.items()}}
    for section, keys in wanted.items():
        mine = {key: value for key, value in keys.items() if f"{section}.{key}" not in kept}
        changed[section] = getattr(spec, section).model_copy(update=mine)
    return spec.model_copy(update=changed)


def _at_hand(name: str, term: LossTerm) -> LossTerm:
    if name != "lpips" or pretrained.present(term.options["net"]):
        return term
    return LossTerm(weight=term.weight, **{**term.options, "random": True})


@dataclass(frozen=True)
class Forecast:
    """What all trials of one variant cost, from its rehearsal. Seconds and bytes are of one trial."""

    label: str
    trials: int
    parameters: int
    scored: str
    measured_batch: int
    measured_step_s: float
    measured_memory_mb: float
    batch: int
    steps: int | None
    train_s: float | None
    faces_s: float
    score_s: float
    memory_mb: float
    bytes: int

    @property
    def seconds(self) -> float | None:
        """Of one trial: faces, training, scoring. None where only the data can tell the number of steps."""
        return None if self.train_s is None else self.train_s + self.faces_s + self.score_s

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"seconds": self.seconds}


def forecasts(whole: Sequence[Trial], records: Iterable[Record]) -> list[Forecast]:
    """A forecast for each variant whose rehearsal is done, as on a machine with nothing else to do.

    Time of training grows with steps times batch; time of faces with their number; time of scoring with the numbers of
    faces and of metrics; memory beyond weights and moments with the batch. A bound from above: what is done once, is
    shared by variants, or is faster in larger batches, is scaled too.
    """
    done = {record.label: record for record in records if record.status == "done"}
    found = []
    for label in dict.fromkeys(trial.label for trial in whole):
        mine = [trial for trial in whole if trial.label == label]
        if label in done:
            found.append(_forecast(len(mine), mine[0], done[label]))
    return found


@functools.cache
def seconds_a_face(size: int, supersample: int) -> float:
    """What rendering one built-in face takes on one core of this machine."""
    import torch

    from harness.data import faces

    identity, pose = torch.zeros(1, len(faces.IDENTITY)), torch.zeros(1, len(faces.POSE))
    began = time.process_time()
    with torch.inference_mode():
        faces.render(identity, pose, size, supersample)
    return time.process_time() - began


def seconds_a_step(record: Record) -> float:
    """Of a rehearsal's steps after the first, which also starts all kernels; without the wait for a core."""
    rows = Ledger(record.folder.parent.parent).history(record)
    first, last = (rows[0], rows[-1]) if rows else ({}, {})
    alone = 1 - record.cost.get("waited_for_core", 0.0)
    if rows and last["step"] > first["step"]:
        return alone * (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return alone * record.cost["wall_s"]["train"] / record.cost["steps"]


def _forecast(count: int, trial: Trial, record: Record) -> Forecast:
    spec, tried, cost = trial.spec, Spec.model_validate(record.spec), record.cost
    steps, parameters, step_s = steps_of(spec), int(cost["parameters"]), seconds_a_step(record)
    larger = spec.optim.batch / tried.optim.batch
    fixed_mb = AWAKE_MB + STATE_BYTES * parameters / 2**20
    peak = float(cost["peak_memory_mb"])
    images = 2 * (training_images(spec.data) or 0)
    rendered = images + 2 * spec.data.eval_frames if images else 0
    faces, metrics = (tried.data.eval_frames, spec.data.eval_frames), (cost["evaluators"], len(trial.metrics))
    score_s = cost["wall_s"]["score"] * (1 - cost["waited_while_scoring"])
    return Forecast(
        label=trial.label, trials=count, parameters=parameters,
        scored=f"{metrics[0]} of {metrics[1]} metrics, {faces[0]} of {faces[1]} faces",
        measured_batch=tried.optim.batch, measured_step_s=step_s, measured_memory_mb=peak,
        batch=spec.optim.batch, steps=steps, train_s=None if steps is None else steps * step_s * larger,
        faces_s=rendered * seconds_a_face(spec.data.size, spec.data.render_supersample) if rendered else 0.0,
        score_s=score_s * faces[1] / faces[0] * metrics[1] / metrics[0],
        memory_mb=max(peak, fixed_mb + max(0.0, peak - fixed_mb) * larger),
        bytes=folder_bytes(record.folder) + KEPT_BYTES * parameters,
    )  # fmt: skip
