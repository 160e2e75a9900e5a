"""Verdicts of several suites as one page: every claim of the source, what each suite found, what the source expects."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict

from harness.claims.verdict import Part, Verdict
from harness.files import finite
from harness.ledger.facts import Facts
from harness.ledger.table import Table
from harness.terminal import SCHEMA_VERSION

SOURCE_CLAIMS = tuple(f"C{number}" for number in range(1, 19))
HEAD = """\
# The claims and their verdicts

Made by `harness claims {folders} --to docs/claims.md` from the records; nothing here is written by hand.
A claim is **supported** when it surely lies on its side of the margin, **refuted** when surely on the other side, else
**undecided**. n counts pairs of people, differences are paired, and each bound in brackets has the level of its test:
95 % for a suite's primary claim, more for the others (Holm). [How verdicts are reached](statistics.md). The faces are
synthetic unless the suite says otherwise.
"""
Found = Sequence[tuple[Table, Sequence[Verdict]]]


def page(found: Found) -> str:
    """The verdicts of the suites as Markdown: a table of C1 to C18 (and any other claim), then the reasons."""
    folders = " ".join(table.folder.as_posix() for table, _ in found)
    rows = _rows(found)
    lines = [HEAD.format(folders=_text(folders)), "| claim | suite | it says | source | verdict | effect | n |"]
    lines.append("|---|---|---|---|---|---|---|")
    for id_, table, verdict in rows:
        if verdict is None or table is None:
            lines.append(f"| {id_} | – | in no suite of this page | – | – | – | – |")
            continue
        effects = "; ".join(_effect(part, table.facts(part.metric)) for part in verdict.parts)
        least = min((part.n for part in verdict.parts), default=0)
        suite = f"{table.suite} ({table.plan.get('scale', '')})"
        cells = (id_, suite, verdict.says, verdict.source, f"**{verdict.verdict}**", effects, str(least))
        lines.append(f"| {' | '.join(_text(cell) if cell[:2] != '**' else cell for cell in cells)} |")
    lines += ["", "## Why", ""]
    for id_, table, verdict in rows:
        if verdict is not None and table is not None:
            lines.append(
                f"- **{_text(id_)}** ({_text(table.suite)}), {verdict.verdict}, {verdict.agreement}: "
                f"{_text(verdict.reason)}."
            )
    return "\n".join(lines) + "\n"


def as_json(found: Found) -> str:
    """The same as JSON with a schema version; what is undefined is null."""
    suites = [
        {
            "suite": table.suite,
            "scale": table.plan.get("scale"),
            "claims": [asdict(verdict) | {"agreement": verdict.agreement} for verdict in verdicts],
        }
        for table, verdicts in found
    ]
    return json.dumps({"schema_version": SCHEMA_VERSION, "suites": finite(suites)}, indent=1) + "\n"


def _rows(found: Found) -> list[tuple[str, Table | None, Verdict | None]]:
    rows: list[tuple[str, Table | None, Verdict | None]] = [(v.id, t, v) for t, verdicts in found for v in verdicts]
    told = {_number(id_) for id_, _, _ in rows}
    rows += [(id_, None, None) for id_ in SOURCE_CLAIMS if _number(id_) not in told]
    return sorted(rows, key=lambda row: (_number(row[0]), row[0], row[1].suite if row[1] else ""))


def _number(id_: str) -> tuple[int, str]:
    """C5 and C5.trend belong together; other names come last."""
    match = re.match(r"C(\d+)(?![\w])", id_)
    return (int(match[1]), "") if match else (1000, id_)


def _effect(part: Part, facts: Facts) -> str:
    def write(value: float) -> str:
        return f"{value:.2f}" if part.own_scale else facts.write(value)

    if not math.isfinite(part.effect):
        return "no number"
    known = math.isfinite(part.low) and math.isfinite(part.high)
    bounds = f" [{write(part.low)}, {write(part.high)}]" if known else ""
    unit = f" {part.unit}" if part.unit else ""
    return f"{facts.title} {write(part.effect)}{unit}{bounds}"


def _text(text: str) -> str:
    """Plain text in a table cell: what would be read as markup is escaped."""
    return re.sub(r"([\\`*_\[\]<>|$~])", r"\\\1", " ".join(text.split()))
