"""Running a suite from Python, as `harness run` does."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import registry, report
from harness.compute import choose_device
from harness.errors import UsageError
from harness.execute import Interruption, run_plan
from harness.ledger.records import Ledger, inside
from harness.ledger.watch import Progress
from harness.photos.ready import ready
from harness.score import weights
from harness.suite import suite as suites
from harness.suite.settings import from_options
from harness.terminal import say
from harness.trials.plan import plan_of
from harness.trials.trial import in_order, matching, trials
from harness.use.results import Results

FORMATS = {"html", "md", "csv"}


def run(
    suite: str | Path,
    *,
    scale: str = "auto",
    seeds: int | None = None,
    only: str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    jobs: int | str = "auto",
    results: str | Path = "results",
    retry_failed: bool = False,
    timeout: float | None = None,
    plugins: Iterable[str | Path] = (),
) -> Results:
    """Run a suite (its file or name) as `harness run` does, write its report, and return its results.

    `settings`: {"optim.steps": 100}, as `--set`; `only`: a glob over variants; `jobs`: trials at once or "auto";
    `results`: the folder of all results; `plugins`: files of one's own. Trials that are done are not done again, and
    one that fails is a row of the results. UsageError for a mistake in suite or usage, EnvironmentProblem for weights,
    device or disk; KeyboardInterrupt when it is stopped: the same call continues.
    """
    for file in plugins:
        registry.load_plugin(Path(file))
    loaded = suites.load(suites.find(str(suite)))
    if scale not in ("auto", "quick", "standard", "paper"):
        raise UsageError(f"scale {scale!r}: expected auto, quick, standard or paper")
    chosen, reason = suites.choose_scale(loaded, scale, device)
    loaded, root = loaded.at(chosen), Path(results)
    given = from_options([f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()])
    folder_of = functools.cache(lambda source: ready(source, root / "data"))
    planned = trials(loaded, chosen, given, seeds=seeds, device=choose_device(device), folder_of=folder_of)
    todo = matching(in_order(planned, loaded), only)
    weights.preflight(trial.spec for trial in todo)
    for line in weights.absences(trial.spec for trial in todo):
        say(line)
    ledger = Ledger(inside(root, loaded.name))
    named = {setting.dotted: setting.value for setting in given}
    ledger.write_plan(plan_of(loaded, chosen, reason, planned, f"harness.run({str(suite)!r})", named))
    rows = [{"name": trial.name, "label": trial.label, "seed": trial.seed} for trial in todo]
    try:
        with Progress(ledger.folder, rows):
            run_plan(todo, root=root, jobs=jobs, retry_failed=retry_failed, timeout_s=timeout)
    except Interruption as stop:
        raise KeyboardInterrupt(str(stop)) from None
    report.build([ledger.folder], None, FORMATS)
    return Results(ledger.folder)
