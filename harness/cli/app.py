"""The command line: verbs only. Everything heavy is imported inside the verb that needs it."""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.bench import bench
from harness.cli.compare import claims, compare
from harness.cli.data import data_app
from harness.cli.export import export
from harness.cli.init import init
from harness.cli.last_catch import exit_code
from harness.cli.list import list_, show
from harness.cli.metrics import metrics_app
from harness.cli.options import RESULTS, Json, Results, renamed
from harness.cli.pack import pack
from harness.cli.recognisers import app as recognisers_app
from harness.cli.run import Place, choose_place, parse_jobs, run_trials
from harness.cli.steps import time_claimed_steps
from harness.cli.swap import swap
from harness.cli.until import in_seconds, looks_for, run_until_decided, seconds_of
from harness.cli.variance import variance
from harness.cli.verify import verify
from harness.cli.watch import watch
from harness.cli.weights import weights_app
from harness.errors import TrialsFailed, UsageError

if TYPE_CHECKING:
    from harness.ledger.records import Record
    from harness.trials.trial import Trial

app = typer.Typer(
    name="harness",
    help="Questions about face-swap autoencoders: train the variants, score them against the exact truth, report.",
    epilog="Exit codes: 0 all well; 1 a check failed, or a report had to leave something out; 2 a mistake in a suite "
    "or in usage; 3 some trials failed; 4 weights, device, disk or memory; 70 an error of the harness itself (the "
    "message names a file with the details); 130, 143 interrupted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")
app.add_typer(metrics_app, name="metrics")
app.add_typer(recognisers_app, name="recognisers")


class Scale(StrEnum):
    """Sizes of an experiment."""

    auto = "auto"
    quick = "quick"
    standard = "standard"
    large = "large"
    paper = "paper"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def _version(asked: bool) -> None:
    if asked:
        import importlib.metadata

        typer.echo(f"harness {importlib.metadata.version('faceswap-bench')}")
        raise typer.Exit


@app.callback()
def _of_every_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _suite_names(incomplete: str) -> list[str]:
    from harness.suite.suite import known_suites

    return [name for name in known_suites() if name.startswith(incomplete)]


@app.command()
def run(
    suite: Annotated[
        str, typer.Argument(help="A suite file, or the name of a known suite.", autocompletion=_suite_names)
    ],
    scale: Annotated[Scale, typer.Option(help="auto: quick without a CUDA device, standard with one.")] = Scale.auto,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Replicates, instead of the suite's.")
    ] = None,
    first_pair: Annotated[
        int, typer.Option("--first-pair", min=0, max=10**9, metavar="N", help="Random people: pair N + seed, not seed.")
    ] = 0,
    only: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only trials whose LABEL or LABEL-sSEED matches.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the specification.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    jobs: Annotated[
        str, typer.Option(callback=parse_jobs, metavar="N|auto", help="Trials at once; auto: one a core, or one a GPU.")
    ] = "auto",
    per_gpu: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Trials at once on each GPU.")] = 1,
    executor: Annotated[Place, typer.Option(help="Where trials run: this machine, or a Ray cluster.")] = Place.local,
    address: Annotated[
        str, typer.Option(metavar="auto|HOST:PORT", help="Of the Ray cluster of which this machine is a node.")
    ] = "auto",
    results: Results = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, train nothing.")] = False,
    rehearse: Annotated[
        bool,
        typer.Option(
            "--rehearse", help="Train each variant for a few steps at full size, and foretell what all costs."
        ),
    ] = False,
    allow_large: Annotated[
        bool, typer.Option("--allow-large", help="Lift the limits on the size of matrix, latent grid and model.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed trials again.")] = False,
    timeout: Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Time limit of one trial.")] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add pairs of people in rounds until the claims are decided.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(callback=seconds_of, metavar="TIME", help="With it: no round that ends later (45m)."),
    ] = None,
    max_pairs: Annotated[
        int | None, typer.Option("--max-pairs", min=2, max=1000, metavar="N", help="With it: the most pairs of people.")
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.py", help="A file with variants, losses or metrics of your own.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a suite: train what is not done yet, score, record, report. The same command continues an interrupted run."""
    from harness import limits, terminal
    from harness.cli.dry_run import show_plan
    from harness.cli.rehearse import forecasts_in, show_forecasts
    from harness.ledger.records import Ledger, inside
    from harness.registry import load_plugin
    from harness.report.made import report_of
    from harness.score import weights
    from harness.suite import suite as suites
    from harness.suite.settings import from_options
    from harness.trials import plan
    from harness.trials.rehearsal import rehearsal_of, rehearsal_trials
    from harness.trials.trial import in_order, matching, trials

    limits.lift(allow_large)
    for file in plugin or ():
        load_plugin(file)
    loaded = suites.load(suites.find(suite))
    where, trains_on, at_once = choose_place(executor, device.value, address, results, jobs, per_gpu)
    chosen, reason = suites.choose_scale(loaded, scale.value, trains_on)
    loaded = loaded.at(chosen)
    overrides = from_options(set_ or [])
    fixed = "--seeds" if seeds else "--only" if only else ""
    looks = looks_for(loaded, until_decided, fixed, budget, max_pairs)
    seeds = looks[-1] if looks else seeds
    readable = _readable(results)
    everything = trials(
        loaded, chosen, overrides, seeds=seeds, first_pair=first_pair, device=trains_on, folder_of=readable
    )
    todo = matching(in_order(everything, loaded), only)
    ledger = Ledger(inside(results, loaded.name))
    terminal.say(f"{loaded.name}: {loaded.question}")
    variants = len({trial.label for trial in todo})
    amount = f"{terminal.count(len(todo), 'trial')} of {terminal.count(variants, 'variant')}"
    amount = f"at most {amount}, until the claims are decided" if looks else amount
    terminal.say(f"scale {chosen} ({reason}), {amount}, in {ledger.folder}")
    at_once = min(at_once, len(todo))
    for line in weights.absences(trial.spec for trial in todo):
        terminal.say(line)
    if dry_run:
        estimates = plan.planned(todo, ledger)
        show_plan(loaded, chosen, estimates, looks, ledger.folder, at_once, json)
        return
    whole = todo
    if rehearse:
        loaded, looks = rehearsal_of(loaded), ()
        todo = everything = rehearsal_trials(loaded, chosen, whole, overrides, readable)
        ledger = Ledger(inside(results, loaded.name))
        terminal.say(f"rehearsal: a few steps of {terminal.count(len(todo), 'variant')}, in {ledger.folder}")
        for line in weights.absences(trial.spec for trial in todo):
            terminal.say(line)
    weights.preflight(trial.spec for trial in todo)
    command = shlex.join(["harness", *sys.argv[1:]])
    settings = {setting.dotted: setting.value for setting in overrides}

    def content(planned: Sequence[Trial]) -> dict[str, Any]:
        return plan.plan_of(loaded, chosen, reason, planned, command, settings)

    def train(batch: list[Trial]) -> list[Record]:
        options: dict[str, Any] = {"executor": where, "retry_failed": retry_failed, "timeout_s": timeout}
        options |= {"jobs": jobs, "per_gpu": per_gpu}
        return run_trials(batch, ledger.folder, results, options)

    time_claimed_steps(loaded.claims, everything, ledger.folder)
    if looks:
        todo, records = run_until_decided(todo, looks, ledger, content, train, in_seconds(budget), at_once)
    else:
        ledger.write_plan(content(everything))
        records = train(todo)
    made = report_of(ledger.folder)
    for problem in made.lost:
        terminal.say(f"warning: left out of the report: {problem}")
    foretold = forecasts_in(ledger.folder, whole, records) if rehearse else []
    failed = [record for record in records if record.status != "done"]
    missing = len(todo) - len(records)
    if json:
        rows = [_row(record) for record in records]
        report = [str(path) for path in made.paths]
        forecast = {"forecast": [row.to_dict() for row in foretold]} if rehearse else {}
        terminal.as_json({"suite": loaded.name, "scale": chosen, "trials": rows, "report": report} | forecast)
    elif rehearse:
        show_forecasts(foretold, trains_on)
        print(f"\n{made.paths[0]}")
    else:
        terminal.table(made.rows)
        print(f"\n{made.paths[0]}")
    for record in failed:
        terminal.say(f"{record.name}: {record.status}: {terminal.cell(record.reason)}")
    if failed or missing:
        raise TrialsFailed(
            f"{len(failed) + missing} of {len(todo)} trials did not finish. Logs: {ledger.folder}/trials/*/log.txt; "
            "--retry-failed runs them again"
        )


def _readable(root: Path) -> Callable[[str], str]:
    """What brings a `data.source` of aligned pictures of any format into EXR, once each."""

    @functools.cache
    def folder_of(source: str) -> str:
        from harness.cli.bar import bar
        from harness.photos.ready import ready
        from harness.terminal import say

        with bar() as progress:
            folder = ready(source, root / "data", progress)
        if folder != source:
            say(f"{source}: pictures taken as they are, with approximate mattes where they have no alpha: {folder}")
        return folder

    return folder_of


@app.command("report")
def report_(
    suites: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE|DIR]...", help="All under --results when none.", autocompletion=_suite_names),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write, instead of the results' folder.")
    ] = None,
    format: Annotated[str, typer.Option("--format", metavar="html,md,csv,json", help="What to write.")] = "html,md,csv",
    results: Results = RESULTS,
    all_reference: Annotated[
        bool, typer.Option("--all-reference", help="Every suite under `reference` of the results, at every scale.")
    ] = False,
    site: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A static site over these suites instead, with an index.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the report of finished (or half finished) suites from their records."""
    from harness.cli.report import rebuild_reference, write_reports, write_site

    formats = {part.strip() for part in format.split(",") if part.strip()}
    if not formats or formats - {"html", "md", "csv", "json"}:
        raise UsageError(f"--format {format}: not known. Expected some of html,md,csv,json")
    if site is not None:
        if to or (all_reference and suites):
            raise UsageError("--site takes suites or --all-reference, and no --to: DIR is where it is written")
        write_site(suites or [], results, all_reference, site, json)
    elif all_reference:
        if suites or to:
            raise UsageError("--all-reference takes no suite and no --to: it rebuilds all of them where they are")
        rebuild_reference(results, formats, json)
    else:
        write_reports(suites or [], results, to, formats, json)


app.command("list")(list_)
app.command()(show)
app.command()(init)
app.command()(bench)
app.command()(compare)
app.command()(claims)
app.command()(variance)
app.command()(watch)
app.command()(verify)
app.command()(pack)
app.command()(export)
app.command()(swap)


def _row(record: Record) -> dict[str, Any]:
    scores = {name: score.get("mean") for name, score in record.scores.items()}
    return {
        "name": record.name,
        "label": record.label,
        "seed": record.seed,
        "pair": record.pair,
        "status": record.status,
        "reason": record.reason,
        "scores": scores,
        "folder": str(record.folder),
    }


def main() -> None:
    """Entry point: every failure becomes one line on stderr and a defined exit code."""
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.argv[1:] = renamed(sys.argv[1:])
    sys.exit(exit_code(app))


if __name__ == "__main__":
    main()
