"""The report as one offline HTML file under a strict content-security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.report import curves, details, figures, pictures, tables, verdicts
from harness.report.answer import answer, by_cells, fit_transition
from harness.report.numbers import Numbers
from harness.report.validity import validity

HERE = Path(__file__).parent
SIGNS = {"good": ("✓", "in order"), "note": ("○", "to note"), "bad": ("✕", "not in order")}
SCALES = {
    "quick": "a real result on a smaller model",
    "standard": "one GPU, minutes a trial",
    "large": "the source's sizes",
    "paper": "the sizes of the source material",
}
FACTORS = "identity_factor_r2"  # one value a factor
CURVES = {"rec_error": "Reconstruction error on fixed faces"}
METHOD = (
    "Intervals are 95 %: Student's t over pairs of people. Δ is the paired difference to the baseline on the same "
    "pairs; ▲ better, ▼ worse and ≈ unclear tell whether its interval leaves zero out. "
    "Intervals are not corrected for looking at several metrics."
)
PARETO = " ◆ Pareto: no other variant has both a higher mean identity transfer and a lower mean expression error."


@dataclass(frozen=True)
class Plot:
    """A figure with the sentence that says how to read it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """Figures under a heading, with a table below them or without."""

    title: str
    text: str
    figures: list[Plot]
    table: tables.Grid | None = None
    table_title: str = ""


def html(numbers: Numbers) -> str:
    """The page. Every text that came from a suite, a record or a name is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    css, js = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    context = {**_context(numbers), "css": Markup(css), "js": Markup(js), "policy": policy(css, js)}
    page = environment.get_template("page.html.j2").render(context)
    return re.sub(r"(\d) %", "\\1\u00a0%", page)


def policy(css: str, js: str) -> str:
    """Nothing may be loaded; the one style sheet and the one script are allowed by their hashes."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def method(numbers: Numbers) -> str:
    """How the decision table is to be read."""
    return METHOD + (PARETO if "identity_transfer" in numbers.headlines() else "")


def scale(plan: Any) -> dict[str, str]:
    """Name of the scale, what it stands for, and why it was taken."""
    name = str(plan.get("scale") or "unknown scale")
    return {"name": name, "text": SCALES.get(name, ""), "reason": str(plan.get("scale_reason") or "")}


def _context(numbers: Numbers) -> dict[str, Any]:
    table = numbers.table
    gallery = pictures.gallery(table)
    seed = gallery.replicate
    claims = verdicts.lines(numbers)
    return {
        "table": table,
        "question": table.plan.get("question") or table.suite,
        "scale": scale(table.plan),
        "synthetic": is_synthetic(numbers),
        "verdicts": claims,
        "tally": verdicts.tally(claims),
        "answer": answer(numbers),
        "validity": validity(numbers),
        "signs": SIGNS,
        "failures": tables.failures(table),
        "headlines": [numbers.table.facts(metric) for metric in numbers.headlines()],
        "cells": by_cells(table),
        "decision": tables.decision(numbers),
        "references": tables.references(numbers),
        "method": method(numbers),
        "gallery": gallery,
        "columns": pictures.COLUMNS,
        "meaning": pictures.MEANING if any(t.part("data").get("truth") for t in table.done) else "",
        "replicate": f"seed {seed[0]}" + (f", pair {seed[1]}" if seed[1] else "") if seed else "",
        "sections": _sections(numbers),
        "contrast": details.CONTRAST,
        "curves": _curves(numbers),
        "seen": tables.SEEN,
        "lattice": tables.lattice(numbers),
        "configuration": tables.configuration(table),
        "everything": tables.all_metrics(numbers),
        "undefined": tables.undefined(table),
        "trials": tables.trials(table),
        "environment": tables.environment(table),
        "command": table.plan.get("command") or "",
        "suite_file": table.plan.get("suite_file") or "",
    }


def is_synthetic(numbers: Numbers) -> bool:
    """Whether any finished trial was trained on drawn faces."""
    return any(trial.part("data").get("synthetic") for trial in numbers.table.done)


def _sections(numbers: Numbers) -> list[Section]:
    """The plots, as far as there are numbers for them."""
    have = set(numbers.table.metrics())
    sections = []
    dots = "Dots are replicates; the bar beside them is their mean with its 95 % interval. Dashed lines are references."
    transfer: list[str] = [m for m in ("swap_score", "identity_transfer", "leak_gap") if m in have]
    if not transfer and numbers.primary:
        transfer = [numbers.primary]
    if transfer:
        plots = [Plot(Markup(figures.over_variants(numbers, metric)), dots) for metric in transfer]
        title = "Transfer against cells" if by_cells(numbers.table) else "Transfer by variant"
        sections.append(Section(title, "", plots))
    plots = []
    expression = next((m for m in ("expression_error", "landmark_error") if m in have), None)
    if expression and "identity_transfer" in have:
        caption = "A copy keeps the expression and transfers nothing; a mean face transfers and loses the expression."
        heading = "Transfer against expression: the good corner is top left"
        plots.append(Plot(Markup(figures.plane(numbers, expression, "identity_transfer", heading)), caption))
    speed = next((m for m in ("swap_images_per_s", "train_images_per_s") if m in have), None)
    if speed and "identity_transfer" in have:
        caption = "◆ no other variant has both a higher mean transfer and a higher mean speed. Top right is best."
        heading = "Identity transfer against speed"
        plots.append(Plot(Markup(figures.plane(numbers, speed, "identity_transfer", heading, True)), caption))
    if plots:
        sections.append(Section("What transfer costs", "", plots))
    found = fit_transition(numbers)
    plots = []
    if found is not None:
        metric, fit = found
        if fit.curves:
            caption = f"Four curves through all replicates. Verdict: {fit.verdict}: {fit.reason}."
            plots.append(Plot(Markup(curves.transition(numbers, metric, fit)), caption))
        title = "A step or a slope?"
        title_of_table = f"Fits of {numbers.table.facts(metric).words} over cells, by BIC (lower is better)"
        sections.append(Section(title, "" if fit.curves else fit.reason, plots, tables.transition(fit), title_of_table))
    names = factor_names()
    if any(figures.factor_means(v, FACTORS, len(names)) is not None for v in numbers.table.variants):
        caption = "Read from pictures of 200 people in one pose. 1: the latent tells the factor exactly; 0: not at all."
        plots = [Plot(Markup(figures.factors(numbers, FACTORS, names)), caption)]
        sections.append(Section("Leakage by factor", "", plots))
    columns = [("total", "Training loss"), ("swap_error", "Swap error during training")]
    seen = [column for column in columns if curves.has_curve(numbers, column[0])]
    if seen:
        caption = "Thin lines are replicates, marked lines their mean."
        plots = [Plot(Markup(curves.training(numbers, key, title)), caption) for key, title in seen]
        text = "A falling loss does not prove that the swap improves: the loss is measured on reconstructions."
        sections.append(Section("Loss beside swap error", text if len(seen) == 2 else "", plots))
    return sections


def factor_names() -> list[str]:
    """Names of the identity factors of the built-in faces, in the order of their values."""
    from harness.data.factors import IDENTITY

    return [factor.name for factor in IDENTITY]


def _curves(numbers: Numbers) -> list[Plot]:
    """Every other column of the histories: loss terms, what their own networks report, gradient norms."""
    found: dict[str, None] = {}
    for trial in numbers.table.done:
        found |= curves.columns(trial.history)
    drawn = (key for key in found if curves.has_curve(numbers, key))
    plots = (curves.training(numbers, key, CURVES.get(key, key), replicates=False) for key in drawn)
    return [Plot(Markup(svg), "") for svg in plots]
