"""What `harness list` and `harness show` tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from harness import registry
from harness.errors import HarnessError
from harness.ledger.find import warn_of_damage
from harness.ledger.records import Record, ledgers
from harness.memo import remembered
from harness.options import known_options
from harness.terminal import cell, table
from models import anatomy

KINDS: dict[str, registry.Kind] = {"variants": "variant", "losses": "loss"}


def rows(what: str, root: Path) -> list[dict[str, Any]]:
    """Rows of `harness list WHAT`."""
    if what == "suites":
        return suites()
    if what == "trials":
        return trials(root)
    if what == "settings":
        return settings()
    if what == "metrics":
        return metrics()
    return parts(KINDS[what])


def settings(model: type[BaseModel] | None = None, under: str = "") -> list[dict[str, Any]]:
    """Every key of a specification that a suite or --set may set, with its default and its meaning.

    Options of variants and losses are listed with those.
    """
    if model is None:
        from harness.spec import Spec

        model = Spec
    found = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += settings(kind, f"{under}{name}.")
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        choices = f" ({', '.join(map(str, get_args(kind)))})" if get_origin(kind) is Literal else ""
        found.append(
            {"key": f"{under}{name}", "default": _in_yaml(default), "meaning": f"{field.description}{choices}"}
        )
    return found


def _in_yaml(value: Any) -> Any:
    """A default as one would write it in a suite."""
    if isinstance(value, bool):
        return str(value).lower()
    return list(value) if isinstance(value, tuple) else value


def suites() -> list[dict[str, Any]]:
    """The suites that can be run by name; one that cannot be read says so."""
    from harness.suite.suite import known_suites, load

    found = []
    for name, file in known_suites().items():
        try:
            suite = load(file)
            row = {"suite": name, "variants": len(suite.cells), "seeds": len(suite.seeds), "question": suite.question}
        except HarnessError as error:
            row = {"suite": name, "variants": None, "seeds": None, "question": f"unreadable: {error}"}
        found.append(row)
    return found


def parts(kind: registry.Kind) -> list[dict[str, Any]]:
    """Registered variants and losses with their options; variants also with their sizes."""
    found = []
    for name, entry in registry.entries(kind).items():
        options = {key: "null" if value is None else _in_yaml(value) for key, value in known_options(entry).items()}
        shown = ", ".join(key if value is ... else f"{key}={value}" for key, value in options.items())
        sizes = _sizes(entry) if kind == "variant" else {}
        found.append({kind: name, **sizes, "description": entry.description, "options": shown})
    return found


def metrics() -> list[dict[str, Any]]:
    """Every metric, one a row: its evaluator as a suite's `metrics` names it, its unit, and which way is better."""
    return [
        {"metric": info.name, "evaluator": name, "unit": info.unit, "better": info.direction, "title": info.title}
        for name, entry in registry.entries("metric").items()
        for info in entry.infos
    ]


def _sizes(entry: registry.Entry) -> dict[str, Any]:
    """Columns of a variant at its default options, at 64 px or the first size above at which it exists."""

    def ask() -> dict[str, Any]:
        return anatomy.smallest(entry.object)

    known = remembered("smallest", entry.name, ask) if entry.shipped else ask()
    columns = {key: known.get(key) for key in ("px", "parameters", "flops", "latent", "grid", "compression")}
    if columns["latent"]:
        columns["latent"] = "x".join(map(str, columns["latent"]))
    return columns


def trials(root: Path) -> list[dict[str, Any]]:
    """All planned and recorded trials under a results root, running ones with their step."""
    from harness.ledger import progress

    found = []
    for ledger in ledgers(root):
        plan = (ledger.plan() or {}).get("trials", [])
        planned = {row.name: row for row in progress.rows(ledger.folder, plan)}
        records = {record.name: record for record in ledger.records()}
        warn_of_damage(ledger)
        damaged = dict(ledger.damaged)
        for name in [*planned, *(name for name in records if name not in planned)]:
            row, record = planned.get(name), records.get(name)
            state = record.status if record else "damaged" if name in damaged else "waiting"
            if row and row.state == "running":
                state = f"running {row.step}/{row.steps}"
            found.append(
                {
                    "suite": ledger.folder.name,
                    "trial": name,
                    "scale": record.scale if record else None,
                    "state": state,
                    "reason": record.reason if record else None,
                    "planned": name in planned,
                }
            )
    return found


def pictures(record: Record) -> list[Path]:
    """The pictures of a trial that are there."""
    return sorted((record.folder / "pictures").rglob("*.png")) + sorted((record.folder / "previews").rglob("*.png"))


def show(record: Record) -> None:
    """Print a record for people."""
    print(f"{record.name}: {record.status}" + (f" ({cell(record.reason)})" if record.reason else ""))
    print(f"suite {record.suite}, scale {record.scale}, seed {record.seed}, pair {record.pair}")
    print(f"digest {record.digest}\nstarted {record.started}, finished {record.finished}, attempt {record.attempts}\n")
    _tree("spec", record.spec)
    if record.scores:
        print("\nscores")
        references = sorted(record.references)
        table(
            {
                "metric": name,
                "mean": score.get("mean"),
                "n": score.get("n"),
                **{reference: record.references[reference].get(name) for reference in references},
            }
            for name, score in sorted(record.scores.items())
        )
    for name, reason in sorted(record.invalid.items()):
        print(f"{name}: invalid here: {cell(reason)}")
    if record.cost:
        print()
        _tree("cost", record.cost)
    if record.status != "done" and record.log_tail:
        print("\nend of the log")
        for line in record.log_tail.splitlines():
            print(f"  {cell(line)}")
    print("\npictures")
    for path in pictures(record):
        print(f"  {path}")
    print(f"folder\n  {record.folder}")


def _tree(title: str, values: Any, depth: int = 0) -> None:
    """Nested values, indented; short lists and mappings of plain values in one line."""
    indent = "  " * depth
    if isinstance(values, dict) and values:
        print(f"{indent}{title}")
        for key, value in values.items():
            _tree(key, value, depth + 1)
    else:
        text = ", ".join(cell(item) for item in values) if isinstance(values, list) else cell(values)
        print(f"{indent}{title}: {text}")
