"""The folded sections of the page that hold plots: a heading, figures with a plain caption, statistics below them."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.claims.transition import TransitionFit
from harness.report import curves, figures, tables
from harness.report.answer import by_cells, fit_transition
from harness.report.numbers import Numbers

FACTORS = "identity_factor_r2"  # one value for each factor
CURVES = {"rec_error": "Reconstruction error on fixed faces"}
SHAPES = {"step": "in one step", "gradual or undetermined": "gradually, or undetermined: no step was found"}


@dataclass(frozen=True)
class Plot:
    """A figure with the sentence that says how to read it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """Figures under a heading, with a table below them or without; ``statistics`` are folded."""

    title: str
    text: str
    figures: list[Plot]
    table: tables.Grid | None = None
    table_title: str = ""
    statistics: str = ""


def sections(numbers: Numbers) -> list[Section]:
    """The plots, as far as there are numbers for them."""
    have = set(numbers.table.metrics())
    sections = []
    dots = "Dots are pairs of people, the bar is their mean with its 95 % interval. Dashed lines are references."
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
    if found is not None:
        sections.append(_shape(numbers, *found))
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


def _shape(numbers: Numbers, metric: str, fit: TransitionFit) -> Section:
    """Whether a metric changes in one step over the cells; the fits and their reasons are statistics."""
    words = numbers.table.facts(metric).title
    caption = f"{words} changes {SHAPES.get(fit.verdict, fit.verdict)}. Dots are replicates, lines four fitted shapes."
    plots = [Plot(Markup(curves.transition(numbers, metric, fit)), caption)] if fit.curves else []
    title = f"Fits of {numbers.table.facts(metric).words} over cells, by BIC (lower is better)"
    why = f"{fit.reason[:1].upper()}{fit.reason[1:]}."
    text = "" if fit.curves else why
    return Section("A step or a slope?", text, plots, tables.transition(fit), title, why if fit.curves else "")


def factor_names() -> list[str]:
    """Names of the identity factors of the built-in faces, in the order of their values."""
    from harness.data.factors import IDENTITY

    return [factor.name for factor in IDENTITY]


def all_curves(numbers: Numbers) -> list[Plot]:
    """Every other column of the histories: loss terms, what their own networks report, gradient norms."""
    found: dict[str, None] = {}
    for trial in numbers.table.done:
        found |= curves.columns(trial.history)
    drawn = (key for key in found if curves.has_curve(numbers, key))
    plots = (curves.training(numbers, key, CURVES.get(key, key), replicates=False) for key in drawn)
    return [Plot(Markup(svg), "") for svg in plots]
