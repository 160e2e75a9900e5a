"""The figures of the report. Each returns inline SVG; nothing in them is shown by colour alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from harness.ledger.table import Variant
from harness.report.answer import along_cells, by_cells
from harness.report.numbers import REFERENCES, Numbers
from harness.report.svg import INK, MUTED, drawing, to_svg

COLOURS = ("#3578b9", "#c4652a", "#2b8f6c", "#a8558f", "#9a8330", "#7465c4", "#b8474f", "#4c8d9c")  # 3:1 on both papers
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
SIZE = (5.6, 3.9)  # inches; drawn so that its text is readable at phone width
FIRST = (5.6, 3.5)  # of the first screen
NAMED = 6  # variants up to which points carry their names; more of them get a legend
REFERENCE_MARKS = {"oracle": "*", "copy": "x", "mean_face": "+"}


def style(index: int) -> tuple[str, str, Any]:
    """Colour, marker and dash pattern of the variant at this place of the plan."""
    turn = index // len(MARKERS)  # a second round of colours meets other markers
    return COLOURS[index % len(COLOURS)], MARKERS[(index + 3 * turn) % len(MARKERS)], DASHES[index % len(DASHES)]


def slug(text: str) -> str:
    """A name as part of an id."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def short(text: str, most: int = 22) -> str:
    """A name cut to `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def over_variants(numbers: Numbers, metric: str, first: bool = False) -> str:
    """A metric against latent cells, or by variant: every replicate a dot, the mean and its interval.

    ``first`` is the plot of the page's first screen, which is low.
    """
    return (_over_cells if by_cells(numbers.table) else _by_variant)(numbers, metric, first)


def _over_cells(numbers: Numbers, metric: str, first: bool) -> str:
    table = numbers.table
    shown = [v for v in table.variants if v.latent_cells and numbers.scored(v, metric)]
    places = [float(v.latent_cells or 0) for v in shown]
    with drawing():
        figure = Figure(figsize=FIRST if first else SIZE)
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(min(places) / 1.12, max(places) * 1.14)
        axis = sorted((v for v in along_cells(table) if v in shown), key=lambda v: v.latent_cells or 0)
        means = [numbers.mean(v, metric).mean for v in axis]
        axes.plot([float(v.latent_cells or 0) for v in axis], means, color=MUTED, linewidth=1, zorder=1)
        for variant, place in zip(shown, places, strict=True):
            colour, marker, _ = style(table.variants.index(variant))
            values = list(numbers.replicates(variant, metric).values())
            dots = [place * math.exp(0.02 * (k - (len(values) - 1) / 2)) for k in range(len(values))]
            axes.plot(dots, values, marker, color=colour, markersize=5, alpha=0.9, zorder=3, linestyle="none")
            mean, beside = numbers.mean(variant, metric), place * math.exp(-0.038 - 0.01 * len(values))
            if mean.known:
                axes.plot([beside, beside], [mean.low, mean.high], color=INK, linewidth=1.1, zorder=2)
            axes.plot([beside], [mean.mean], marker="_", markersize=9, markeredgewidth=2, color=INK, zorder=4)
        ticks = sorted(set(places))
        axes.set_xticks(ticks, [f"{c:.0f}" for c in ticks])
        axes.set_xlabel("cells of the latent (height × width)")
        _levels(axes, numbers, metric, first=first)
        return _finished(figure, axes, numbers, metric, shown, first)


def _by_variant(numbers: Numbers, metric: str, first: bool) -> str:
    """One line a variant, so that many and long names stay readable."""
    table, info = numbers.table, numbers.table.facts(metric)
    shown = [v for v in table.variants if numbers.scored(v, metric)]
    with drawing():
        figure = Figure(figsize=FIRST if first else (SIZE[0], max(2.2, 1.3 + 0.36 * len(shown))))
        axes = figure.subplots()
        axes.grid(True, axis="both")
        for row, variant in enumerate(shown):
            colour, marker, _ = style(table.variants.index(variant))
            values = list(numbers.replicates(variant, metric).values())
            mean, under = numbers.mean(variant, metric), row + 0.2
            axes.plot(values, [row - 0.08] * len(values), marker, color=colour, markersize=5.5, alpha=0.9, zorder=3)
            if mean.known:
                axes.plot([mean.low, mean.high], [under, under], color=INK, linewidth=1.1, zorder=2)
            axes.plot([mean.mean], [under], marker="|", markersize=8, markeredgewidth=2, color=INK, zorder=4)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [short(v.label, 26) for v in shown])
        axes.set_xlabel(" ".join(t for t in (info.words, f"({info.unit})" if info.unit else "") if t))
        _levels(axes, numbers, metric, upright=True, first=first)
        return _finished(figure, axes, numbers, metric, shown, first)


def _finished(figure: Figure, axes: Axes, numbers: Numbers, metric: str, shown: list[Variant], first: bool) -> str:
    info = numbers.table.facts(metric)
    pad = 26 if not by_cells(numbers.table) else 12
    axes.set_title(f"{info.title}" + (f" ({info.better})" if info.better else ""), pad=pad)
    described = "; ".join(
        f"{v.label} {info.write(numbers.mean(v, metric).mean)}"
        + (f" at {v.latent_cells:.0f} cells" if v.latent_cells and by_cells(numbers.table) else "")
        for v in shown
    )
    name = f"fig-{'first-' if first else ''}{slug(metric)}"
    return to_svg(figure, name, f"{info.title} by variant", f"Means over replicates: {described}.")


def _levels(axes: Axes, numbers: Numbers, metric: str, upright: bool = False, first: bool = False) -> None:
    """Reference levels, named at the edge; those that coincide (or nearly, when upright) share a name.

    The first plot leaves out the worse one of the known failures, so that the variants are not pressed together.
    """
    found: list[tuple[float, str]] = []
    for name, title in (("oracle", "exact swap"), ("copy", "copy"), ("mean_face", "mean face")):
        value = numbers.reference(name, metric)
        if math.isfinite(value):
            found.append((value, title))
    sign = numbers.table.facts(metric).sign
    if first and sign and len(found) == 3:
        found.remove(min(found[1:], key=lambda level: sign * level[0]))
    titles: dict[float, list[str]] = {}
    for value, title in sorted(found):
        titles.setdefault(round(value, 2), []).append(title)
    for value in titles:
        (axes.axvline if upright else axes.axhline)(value, alpha=0)  # so that the levels are in view
    axes.autoscale_view()
    span, last = float(np.ptp(axes.get_xlim())), -math.inf
    for value, same in titles.items():
        text, dashes = ", ".join(same), (0, (4, 3))
        if upright:
            axes.axvline(value, color=MUTED, linewidth=0.9, linestyle=dashes, zorder=0)
            near = value - last < 0.2 * span  # its name would meet the one before
            last = -math.inf if near else value
            axes.annotate(
                text, (value, 1), (0, 12 if near else 2), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=MUTED,
            )  # fmt: skip
        else:
            axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=dashes, zorder=0)
            low, high = axes.get_ylim()
            place = max((value - low) / (high - low), last + 0.065)  # beside the data, never over another name
            axes.text(1.015, place, text, transform=axes.transAxes, va="center", fontsize=9, color=MUTED)
            last = place


def plane(numbers: Numbers, across: str, up: str, title: str, front: bool = False) -> str:
    """Two metrics against each other: small dots replicates, large ones means; `front` joins the Pareto points."""
    table = numbers.table
    info, other = table.facts(across), table.facts(up)
    best = numbers.pareto(up, across) if front else set()
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        axes.grid(True, axis="both")
        described: list[str] = []
        names: list[tuple[float, float, str, str]] = []
        edge: list[tuple[float, float]] = []
        for index, variant in enumerate(table.variants):
            x, y = numbers.replicates(variant, across), numbers.replicates(variant, up)
            keys = [key for key in x if key in y]
            if not keys:
                continue
            colour, marker, _ = style(index)
            axes.plot([x[k] for k in keys], [y[k] for k in keys], marker, color=colour, markersize=4.5, alpha=0.55)
            cx, cy = float(np.mean([x[k] for k in keys])), float(np.mean([y[k] for k in keys]))
            axes.plot([cx], [cy], marker, color=colour, markersize=9, markeredgecolor=INK, markeredgewidth=0.9)
            mark = "◆ " if variant.label in best else ""
            if len(table.variants) > NAMED:
                axes.plot([], [], marker, color=colour, linestyle="none", label=mark + short(variant.label, 26))
            else:
                names.append((cx, cy, mark + short(variant.label), INK))
            edge += [(cx, cy)] if mark else []
            described.append(f"{mark}{variant.label} {info.write(cx)} and {other.write(cy)}")
        if len(edge) > 1:
            axes.plot(*zip(*sorted(edge), strict=True), color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for name, words in REFERENCES.items():
            x0, y0 = numbers.reference(name, across), numbers.reference(name, up)
            if math.isfinite(x0) and math.isfinite(y0):
                axes.plot([x0], [y0], REFERENCE_MARKS[name], color=MUTED, markersize=9, markeredgewidth=1.6)
                names.append((x0, y0, words, MUTED))
        axes.margins(0.12)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        if len(table.variants) > NAMED:
            axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.42, -0.17), ncol=2, handletextpad=0.2)
        _name_points(axes, names)
        unit = f", {info.unit}" if info.unit else ""
        axes.set_xlabel(f"{info.words}{unit} {'(better →)' if info.direction == 'higher' else '(← better)'}")
        axes.set_ylabel(f"{other.words} (better →)")
        axes.set_title(title)
        text = f"{info.title} and {other.words}: {'; '.join(described)}."
        return to_svg(figure, f"fig-plane-{slug(across)}", f"{other.title} against {info.words}", text)


def factors(numbers: Numbers, metric: str, names: Sequence[str], most: int = 14) -> str:
    """The identity factors that are read best from the latents: lines are factors, markers variants."""
    table = numbers.table
    rows = {v.label: means for v in table.variants if (means := factor_means(v, metric, len(names))) is not None}
    peak = np.max(np.stack(list(rows.values())), axis=0)
    order = np.argsort(-peak, kind="stable")[:most]
    with drawing():
        figure = Figure(figsize=(SIZE[0], 1.2 + 0.29 * len(order) + 0.2 * (len(rows) // 3)))
        axes = figure.subplots()
        axes.grid(True, axis="both")
        for index, variant in enumerate(table.variants):
            if variant.label in rows:
                colour, marker, _ = style(index)
                values = rows[variant.label][order].clip(min=0)
                places = np.arange(len(order)) + (index - (len(table.variants) - 1) / 2) * 0.5 / len(table.variants)
                axes.plot(values, places, marker, color=colour, markersize=5, alpha=0.9, label=short(variant.label))
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_yticks(range(len(order)), [names[i].replace("_", " ") for i in order])
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("R² of the factor, read linearly from the latent (← less leaks)")
        axes.set_title("Which factors of the person are in the latent")
        axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.6 / figure.get_figheight()), ncol=3)
        described = "; ".join(f"{names[i]} at most {peak[i]:.2f}" for i in order)
        return to_svg(figure, "fig-factors", "Leakage by factor", f"{described}.")


def factor_means(variant: Variant, metric: str, count: int) -> np.ndarray | None:
    """Mean over replicates of each factor's value, (count,); None where the values are not one a factor."""
    found = [t.arrays[metric] for t in variant.done.values() if len(t.arrays.get(metric, ())) == count]
    found = [] if any(metric in t.part("invalid") for t in variant.done.values()) else found
    return np.nan_to_num(np.mean(found, axis=0)) if found else None


def _name_points(axes: Axes, points: list[tuple[float, float, str, str]], size: float = 9.5) -> None:
    """Write names beside points: of eight places around each, the first that covers no point and no other name."""
    axes.autoscale_view()
    bounds = axes.get_window_extent()
    scale = axes.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    dots = axes.transData.transform([(x, y) for x, y, _, _ in points]) if points else np.empty((0, 2))
    taken = [(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in dots]
    for (x, y, name, colour), (px, py) in zip(points, dots, strict=True):
        width, height = 0.58 * size * len(name) * scale, 1.15 * size * scale
        boxes = []
        for reach in (9, 22, 36):
            for side, lift in ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1)):
                left = px + reach * scale if side > 0 else px - reach * scale - width
                low = py - height / 2 + lift * reach * scale * 0.9
                boxes.append((left, low, left + width, low + height))
        free = [b for b in boxes if b[2] < bounds.x1 + 4 and b[0] > bounds.x0 and not any(_meet(b, t) for t in taken)]
        box = (free or boxes)[0]
        taken.append(box)
        offset = ((box[0] - px) / scale, (box[1] + height / 2 - py) / scale)
        far = max(abs(offset[1]), -offset[0] - width / scale, offset[0]) > 14
        line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkB": 4} if far else None
        axes.annotate(
            name, (x, y), offset, textcoords="offset points", va="center", fontsize=size, color=colour, arrowprops=line
        )


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
