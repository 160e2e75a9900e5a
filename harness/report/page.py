"""The report as one offline HTML file under a strict content-security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import (
    clearest,
    details,
    figures,
    lead,
    outlook,
    pictures,
    sections,
    sheets,
    tables,
    turning,
    verdicts,
)
from harness.report.answer import answer, by_cells
from harness.report.legend import SIGNS, is_synthetic, method, scale
from harness.report.numbers import Numbers
from harness.report.validity import validity

HERE = Path(__file__).parent
MOST_CLAIMS = 12  # of the first screen; the others fold
LARGEST = 256  # pixels of a tile of the first picture


@dataclass(frozen=True)
class Links:
    """What a page links to, as addresses relative to itself; each may be empty.

    ``files`` and ``suites``: (name, address) of the report's other files and of other suites' pages; ``home``: a
    site's index; ``metrics`` and ``variants``: address by name of their pages in a site.
    """

    files: tuple[tuple[str, str], ...] = ()
    suites: tuple[tuple[str, str], ...] = ()
    home: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)


def html(numbers: Numbers, links: Links = Links()) -> str:
    """The page. Every text that came from a suite, a record or a name is escaped."""
    return rendered("page.html.j2", **_context(numbers), links=links)


def rendered(template: str, **context: Any) -> str:
    """A template of this folder with the one style sheet and the one script, under a policy that allows only these."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    css, js = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = environment.get_template(template).render(**context, css=Markup(css), js=Markup(js), policy=policy(css, js))
    return re.sub(r"(\d) %", "\\1\u00a0%", page)


def policy(css: str, js: str) -> str:
    """Nothing may be loaded; the one style sheet and the one script are allowed by their hashes."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _context(numbers: Numbers) -> dict[str, Any]:
    table = numbers.table
    gallery = pictures.gallery(table)
    seed = gallery.replicate
    found = verdicts.judged(numbers)
    open_ = outlook.outlooks(table, found)
    claims = verdicts.lines(numbers, found, open_)
    chosen = clearest.pair(numbers)
    checks = validity(numbers)
    return {
        "table": table,
        "question": table.plan.get("question") or table.suite,
        "scale": scale(table.plan),
        "together": lead.together(table),
        "synthetic": is_synthetic(numbers),
        "verdicts": claims,
        "most": MOST_CLAIMS,
        "tally": verdicts.tally(claims),
        "lead": lead.lead(numbers, found, open_, chosen),
        "chosen": chosen,
        "faces": _faces(numbers, chosen),
        "plot_first": _plot(numbers),
        "answer": answer(numbers),
        "validity": checks,
        "wrong": [check for check in checks if check.state == "bad"],
        "signs": SIGNS,
        "failures": tables.failures(table),
        "headlines": [numbers.table.facts(metric) for metric in numbers.headlines()],
        "cells": by_cells(table),
        "decision": tables.decision(numbers),
        "references": tables.references(numbers),
        "method": method(numbers),
        "gallery": gallery,
        "sheets": sheets.sheets(table),
        "turning": turning.turning(numbers, chosen),
        "columns": pictures.COLUMNS,
        "meaning": pictures.MEANING if any(t.part("data").get("truth") for t in table.done) else "",
        "replicate": f"seed {seed[0]}" + (f", pair {seed[1]}" if seed[1] else "") if seed else "",
        "sections": sections.sections(numbers),
        "contrast": details.CONTRAST,
        "curves": sections.all_curves(numbers),
        "seen": tables.SEEN,
        "checkerboard": tables.checkerboard(numbers),
        "configuration": tables.configuration(table),
        "everything": tables.all_metrics(numbers),
        "undefined": tables.undefined(table),
        "trials": tables.trials(table),
        "environment": tables.environment(table),
        "command": table.plan.get("command") or "",
        "suite_file": table.plan.get("suite_file") or "",
    }


def _faces(numbers: Numbers, chosen: clearest.Pair | None) -> dict[str, Any] | None:
    """The picture of the answer: a figure a tile, and the rules that chose it."""
    found = clearest.case(numbers.table, chosen) if chosen else None
    if found is None or chosen is None:
        return None
    tiles = []
    for caption, tile in found.tiles.items():
        source, width, height = pictures.webp(clearest.picture(tile), LARGEST)
        ours = caption in (chosen.one.label, chosen.other.label)
        kind, _, more = (caption, "", "") if ours else caption.partition(": ")
        picture = pictures.Picture(kind, source, f"{kind}, {more or 'of a typical face'}", width, height)
        tiles.append({"picture": picture, "more": more or _score(numbers, caption)})
    return {"tiles": tiles, "rule": f"Shown: {chosen.rule}; {found.rule}."}


def _score(numbers: Numbers, label: str) -> str:
    """A variant's figure on the main metric, as the caption of its tile."""
    variant = next((v for v in numbers.table.variants if v.label == label), None)
    if variant is None or numbers.primary is None:
        return ""
    facts = numbers.table.facts(numbers.primary)
    return f"{facts.words} {facts.write(numbers.mean(variant, numbers.primary).mean)}"


def _plot(numbers: Numbers) -> sections.Plot | None:
    """The one plot of the first screen: the main metric over the variants."""
    if numbers.primary is None:
        return None
    svg = Markup(figures.over_variants(numbers, numbers.primary, first=True))
    return sections.Plot(svg, "Dots: pairs of people. Bar: mean and 95 % interval.")
