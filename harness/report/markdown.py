"""The report as Markdown, for a pull request: the same tables as the page, without its pictures and plots."""

from __future__ import annotations

import re

from harness.report import clearest, lead, outlook, tables, verdicts
from harness.report.answer import answer, by_cells, fit_transition
from harness.report.legend import SIGNS, is_synthetic, method, scale
from harness.report.numbers import Numbers
from harness.report.validity import validity


def escape(text: object) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no table break, one line."""
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", " ".join(str(text).split())).replace("&", "&amp;")


def _table(grid: tables.Grid) -> list[str]:
    lines = [f"| {' | '.join(map(escape, grid.head))} |", "|" + " --- |" * len(grid.head)]
    return [*lines, *(f"| {' | '.join(map(escape, row))} |" for row in grid.rows), ""]


def _folded(title: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "</details>", ""]


def markdown(numbers: Numbers) -> str:
    """The whole report as one Markdown text."""
    table = numbers.table
    size = scale(table.plan)
    lines = [f"# {escape(table.plan.get('question') or table.suite)}", ""]
    about = f"Suite **{escape(table.suite)}**, scale **{escape(size['name'])}**"
    about += f": {size['text']}" if size["text"] else ""
    about += f" ({escape(size['reason'])})" if size["reason"] else ""
    lines += [f"{about}." + (" Synthetic faces, drawn by a program." if is_synthetic(numbers) else ""), ""]
    found = verdicts.judged(numbers)
    open_ = outlook.outlooks(table, found)
    said = lead.lead(numbers, found, open_, clearest.pair(numbers))
    lines += [f"**{escape(said.found)}**", ""]
    lines += [part for text in (said.cost, said.unknown) if text for part in (escape(text), "")]
    claims = verdicts.lines(numbers, found, open_)
    if claims:
        rows = [[f"{c.sign} {c.verdict}", f"{c.id}: {c.says}", c.effect or "–", c.n] for c in claims]
        lines += ["## Verdicts", "", *_table(tables.Grid(["verdict", "claim", "effect", "n"], rows))]
        lines += _to_decide(claims)
        lines += _folded("Statistics of the verdicts", _statistics(claims))
    lost = [[f["name"], f["status"], f["reason"]] for f in tables.failures(table)]
    if lost:
        lines += ["### Trials without a result", "", *_table(tables.Grid(["trial", "status", "reason"], lost))]
    lines += ["## Decision table", "", *_table(_decision(numbers))]
    references = tables.references(numbers)
    if references.rows:
        lines += _table(references)
    lines += [method(numbers), ""]
    checks = [[SIGNS[c.state][0], c.name, c.value, c.detail] for c in validity(numbers)]
    lines += _folded("Can this be trusted?", _table(tables.Grid(["", "what", "value", "note"], checks)))
    lines += _folded("The numbers in sentences", [part for text in answer(numbers) for part in (escape(text), "")])
    fitted = fit_transition(numbers)
    if fitted is not None:
        metric, fit = fitted
        title = numbers.table.facts(metric).title
        told = [escape(f"{title}: {fit.verdict}: {fit.reason}."), ""]
        lines += _folded("A step or a slope?", told + (_table(tables.transition(fit)) if fit.curves else []))
    checkerboard = tables.checkerboard(numbers)
    if checkerboard.rows:
        lines += _folded("Checkerboard", [tables.SEEN, "", *_table(checkerboard)])
    configuration = tables.configuration(table)
    if configuration.rows:
        lines += _folded("What differs from the baseline", _table(configuration))
    lines += _folded("All metrics", _table(tables.all_metrics(numbers)))
    undefined = tables.undefined(table)
    if undefined.rows:
        lines += _folded(f"Undefined here: {len(undefined.rows)} metrics", _table(undefined))
    lines += _folded("All trials", _table(tables.trials(table)))
    lines += _folded("Environment", _table(tables.environment(table)))
    lines += ["## Do it again", "", *(f"    {line}" for line in str(table.plan.get("command") or "").splitlines()), ""]
    return "\n".join(lines)


def _to_decide(claims: list[verdicts.Line]) -> list[str]:
    """What would decide the open claims; one command where several need the same."""
    by_command: dict[str, list[verdicts.Line]] = {}
    for claim in claims:
        if claim.outlook is not None:
            by_command.setdefault(claim.outlook.command, []).append(claim)
    lines = []
    for command, waiting in by_command.items():
        for claim in waiting:
            lines.append(f"- {escape(claim.id)}, to decide it: {escape(claim.outlook.text if claim.outlook else '')}")
        lines += ["", f"      {command}", ""] if command else [""]
    return lines


def _statistics(claims: list[verdicts.Line]) -> list[str]:
    """What stands behind each verdict, and what the source expects."""
    lines = []
    for claim in claims:
        lines.append(f"- **{escape(claim.id)}**, {claim.verdict}; the source expects: {claim.source}")
        lines += [f"  - {escape(text)}" for text in (*claim.evidence, claim.reason) if text]
    return [*lines, ""]


def _decision(numbers: Numbers) -> tables.Grid:
    cells = by_cells(numbers.table)
    infos = [numbers.table.facts(metric) for metric in numbers.headlines()]
    heads = ["variant", *(["cells"] if cells else []), "n"]
    heads += [
        " ".join(t for t in (info.title, info.arrow, f"({info.unit})" if info.unit else "") if t) for info in infos
    ]
    rows = []
    for row in tables.decision(numbers):
        name = (
            row.label
            + (" (baseline)" if row.baseline else "")
            + (f" (dominated by {row.dominated})" if row.dominated else "")
        )
        n = str(row.done) if row.done == row.planned else f"{row.done} of {row.planned}"
        texts = [name, *([row.cells] if cells else []), n]
        for cell in row.values:
            parts = (cell.delta, cell.delta_bounds, cell.mark, cell.verdict)
            delta = f"; Δ {' '.join(part for part in parts if part)}" if cell.delta else ""
            beaten = f" ◁ {cell.failure}" if cell.failure else ""
            texts.append(f"{cell.value} {cell.bounds}{delta}{beaten}".replace(" ;", ";").strip())
        rows.append(texts)
    return tables.Grid(heads, rows)
