"""Verdicts of several suites as one page: every claim of the source, what each suite found, what the source expects."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict

from harness.claims.again import agreement, repetitions
from harness.claims.verdict import Verdict
from harness.files import finite
from harness.ledger.table import Table
from harness.report.outlook import outlooks
from harness.report.verdicts import SIGNS, deciding, effect
from harness.terminal import SCHEMA_VERSION

SOURCE_CLAIMS = tuple(f"C{number}" for number in range(1, 19))
HEAD = """\
# The claims and their verdicts

{tally}. Made from the records, nothing here is written by hand, by

    {command}

**Supported**: surely on the claim's side of its margin; **refuted**: surely on the other side; else **undecided**. n
counts pairs of people; the bounds in brackets have the level of the test ([how verdicts are reached](statistics.md)).
Effects are paired differences on synthetic faces unless the suite says otherwise.
"""
Found = Sequence[tuple[Table, Sequence[Verdict]]]


def page(found: Found) -> str:
    """The verdicts of the suites as Markdown: a table, then what would decide the open claims, with the commands.

    A run that repeats another with other people stands beside it, in a column of its own.
    """
    every, repeated = found, repetitions([table for table, _ in found])
    found = [every[place] for place in repeated]
    again = {id(every[first][0]): [every[place] for place in places] for first, places in repeated.items()}
    rows = _rows(found)
    verdicts = [verdict for _, given in found for verdict in given]
    lines = [HEAD.format(tally=_tally(verdicts), command=_command(every))]
    beside = any(again.values())
    head = ["claim", "suite", "it says", "source expects", "verdict", "effect", "n", *["with other people"] * beside]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for id_, table, verdict in rows:
        suite = f"{table.suite} ({table.plan.get('scale', '')})"
        part = deciding(verdict)
        shown = effect(part, table.facts(part.metric)) if part else "–"
        cells = [_text(cell) for cell in (id_, suite, verdict.says, verdict.source)]
        word = f"**{verdict.verdict}**" + (", against the source" if verdict.agreement == "against the source" else "")
        cells += [word, _text(shown), str(part.n) if part else "0"]
        cells += [", ".join(_again(id_, given) for _, given in again[id(table)]) or "–"] * beside
        lines.append(f"| {' | '.join(cells)} |")
    absent = [id_ for id_ in SOURCE_CLAIMS if _number(id_) not in {_number(known) for known, _, _ in rows}]
    if absent:
        lines += ["", f"Asked in no suite of this page: {', '.join(absent)}."]
    for table, given in found:
        for other, anew in again[id(table)]:
            told = agreement(given, anew, other).told
            lines += ["", f"{_text(table.suite)} ({table.plan.get('scale', '')}): {_text(told)}"]
            lines += ["", f"      {other.plan.get('command', '')}"]
    return "\n".join([*lines, "", *_open(found)]).rstrip("\n") + "\n"


def _again(id_: str, given: Sequence[Verdict]) -> str:
    """The verdict on a claim in a run with other people, and its pairs."""
    verdict = next((one for one in given if one.id == id_), None)
    part = deciding(verdict) if verdict else None
    return f"{verdict.verdict} (n = {part.n})" if verdict and part else "–"


def _tally(verdicts: Sequence[Verdict]) -> str:
    counts = {word: sum(verdict.verdict == word for verdict in verdicts) for word in SIGNS}
    named = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    return f"{len(verdicts)} claims: {named}" if verdicts else "No claims"


def _command(found: Found) -> str:
    """The command that makes this page, to be copied as it stands."""
    folders = [table.folder for table, _ in found]
    if folders and all(folder.parts[:2] == ("results", "reference") for folder in folders):
        return "harness report --all-reference"
    return shlex.join(["harness", "claims", *(folder.as_posix() for folder in folders), "--to", "docs/claims.md"])


def _open(found: Found) -> list[str]:
    """What would probably decide the open claims: one line a claim, the commands below, each once."""
    lines: list[str] = []
    for table, verdicts in found:
        waiting = outlooks(table, verdicts)
        if waiting:
            lines += [f"### {_text(table.suite)} ({table.plan.get('scale', '')})", ""]
            lines += [f"- {_text(id_)}: {_text(outlook.text)}" for id_, outlook in waiting.items()]
            most = max(waiting.values(), key=lambda outlook: outlook.pairs)
            lines += ["", *([f"      {most.command}", ""] if most.command else [])]
    return ["## What would decide the open ones", "", *lines] if lines else []


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


def _rows(found: Found) -> list[tuple[str, Table, Verdict]]:
    rows = [(verdict.id, table, verdict) for table, verdicts in found for verdict in verdicts]
    return sorted(rows, key=lambda row: (_number(row[0]), row[0], row[1].suite))


def _number(id_: str) -> tuple[int, str]:
    """C5 and C5.trend belong together; other names come last."""
    match = re.match(r"C(\d+)(?![\w])", id_)
    return (int(match[1]), "") if match else (1000, id_)


def _text(text: str) -> str:
    """Plain text in a table cell: what would be read as markup is escaped."""
    return re.sub(r"([\\`*_\[\]<>|$~])", r"\\\1", " ".join(text.split()))
