"""The figures of the report. Each returns inline SVG; nothing in them is told by colour alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from harness.report.answer import by_cells
from harness.report.load import Variant
from harness.report.numbers import REFERENCES, Numbers
from harness.report.svg import INK, MUTED, drawing, to_svg
from harness.report.wording import label, number
from harness.transition import TransitionFit

COLOURS = ("#3578b9", "#c4652a", "#2b8f6c", "#a8558f", "#9a8330", "#7465c4", "#b8474f", "#4c8d9c")  # 3:1 on both papers
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (8, 3)))
SIZE = (5.6, 3.9)  # inches; drawn so that its text is readable at phone width
REFERENCE_MARKS = {"oracle": "*", "copy": "x", "mean_face": "+"}


def style(index: int) -> tuple[str, str, Any]:
    """Colour, marker and dash pattern of the variant at this place of the plan."""
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)]


def over_variants(numbers: Numbers, metric: str) -> str:
    """A metric against latent cells (or over the variants): every replicate a dot, the mean and its interval."""
    table, info, cells = numbers.table, label(metric), by_cells(numbers.table)
    shown = [v for v in table.variants if numbers.groups(v, metric) and (v.cells or not cells)]
    places = [float(v.cells or 0) if cells else float(i) for i, v in enumerate(shown)]
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        if cells:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(min(places) / 1.12, max(places) * 1.14)
            order = np.argsort(places, kind="stable")
            means = [numbers.mean(shown[i], metric).mean for i in order]
            axes.plot([places[i] for i in order], means, color=MUTED, linewidth=1, zorder=1)
        else:
            axes.set_xlim(-0.6, len(shown) - 0.4)
        spread = (lambda x, d: x * math.exp(0.02 * d)) if cells else (lambda x, d: x + 0.05 * d)
        for variant, place in zip(shown, places, strict=True):
            colour, marker, _ = style(table.variants.index(variant))
            values = list(numbers.replicates(variant, metric).values())
            offsets = np.arange(len(values)) - (len(values) - 1) / 2
            dots = [spread(place, float(d)) for d in offsets]
            axes.plot(dots, values, marker, color=colour, markersize=5, alpha=0.9, zorder=3, linestyle="none")
            _whisker(axes, spread(place, -1.9 - len(values) / 2), numbers, variant, metric)
        axes.set_xticks(places, [f"{v.cells:.0f}" if cells else _short(v.label) for v in shown])
        axes.set_xlabel("cells of the latent (height × width)" if cells else "variant")
        if not cells and len(shown) > 4:
            axes.tick_params(axis="x", labelrotation=30)
        _lines(axes, numbers, metric)
        axes.set_title(f"{info.title}" + (f" ({info.better})" if info.better else ""))
        described = "; ".join(
            f"{v.label} {info.write(numbers.mean(v, metric).mean)}" + (f" at {v.cells:.0f} cells" if cells else "")
            for v in shown
        )
        return to_svg(figure, f"fig-{metric}", f"{info.title} by variant", f"Means over replicates: {described}.")


def _whisker(axes: Axes, place: float, numbers: Numbers, variant: Variant, metric: str) -> None:
    mean = numbers.mean(variant, metric)
    if mean.known:
        axes.plot([place, place], [mean.low, mean.high], color=INK, linewidth=1.1, zorder=2, solid_capstyle="butt")
    axes.plot([place], [mean.mean], marker="_", markersize=9, markeredgewidth=2, color=INK, zorder=4)


def _lines(axes: Axes, numbers: Numbers, metric: str) -> None:
    """Reference levels, named at the right edge; those that coincide share one line and its name."""
    titles: dict[float, list[str]] = {}
    for name, title in (("oracle", "exact swap"), ("copy", "copy"), ("mean_face", "mean face")):
        value = numbers.reference(name, metric)
        if math.isfinite(value):
            titles.setdefault(round(value, 2), []).append(title)
    for value, same in titles.items():
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        sides = axes.get_yaxis_transform()
        axes.text(0.995, value, ", ".join(same), transform=sides, ha="right", va="bottom", fontsize=9, color=MUTED)


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def transfer_against(numbers: Numbers, metric: str) -> str:
    """Identity transfer against expression (or landmark) error: small dots replicates, large ones means."""
    table, info = numbers.table, label(metric)
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        axes.grid(True, axis="both")
        described: list[str] = []
        names: list[tuple[float, float, str, str]] = []
        for index, variant in enumerate(table.variants):
            x, y = numbers.replicates(variant, metric), numbers.replicates(variant, "identity_transfer")
            keys = [key for key in x if key in y]
            if not keys:
                continue
            colour, marker, _ = style(index)
            axes.plot([x[k] for k in keys], [y[k] for k in keys], marker, color=colour, markersize=4.5, alpha=0.55)
            cx, cy = float(np.mean([x[k] for k in keys])), float(np.mean([y[k] for k in keys]))
            axes.plot([cx], [cy], marker, color=colour, markersize=9, markeredgecolor=INK, markeredgewidth=0.9)
            names.append((cx, cy, _short(variant.label), INK))
            described.append(f"{variant.label} {info.write(cx)} and {number(cy, 3)}")
        for name, title in REFERENCES.items():
            x0, y0 = numbers.reference(name, metric), numbers.reference(name, "identity_transfer")
            if math.isfinite(x0) and math.isfinite(y0):
                axes.plot([x0], [y0], REFERENCE_MARKS[name], color=MUTED, markersize=9, markeredgewidth=1.6)
                names.append((x0, y0, title, MUTED))
        axes.margins(0.12)
        _name_points(axes, names)
        axes.set_xlabel(f"{info.words} (← better)")
        axes.set_ylabel("identity transfer (better →)")
        axes.set_title("Transfer against expression: the good corner is top left")
        text = f"{info.title} and identity transfer: {'; '.join(described)}."
        return to_svg(figure, "fig-expression", f"Identity transfer against {info.words}", text)


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


def training(numbers: Numbers, key: str, title: str) -> str:
    """One history column (total, swap_error) over steps: thin lines replicates, marked lines their mean."""
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        ends: list[tuple[float, float, str, str]] = []
        for index, variant in enumerate(numbers.table.variants):
            colour, marker, dash = style(index)
            curves = [_curve(t.history, key) for t in variant.done.values()]
            curves = [c for c in curves if len(c[0]) > 1]
            if not curves:
                continue
            for x, y in curves:
                axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.35)
            few = min((c[0] for c in curves), key=len)
            start, stop = max(c[0][0] for c in curves), min(c[0][-1] for c in curves)
            grid = few[(few >= start) & (few <= stop)]
            mean = np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)
            every = (2 * index, max(1, len(grid) // 6)) if len(grid) > 12 else 1
            axes.plot(grid, mean, color=colour, linestyle=dash, marker=marker, markersize=5, markevery=every)
            ends.append((float(grid[-1]), float(mean[-1]), variant.label, colour))
        values = [y for line in axes.lines for y in np.asarray(line.get_ydata(), dtype=float) if y > 0]
        if values and max(values) / min(values) > 5:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
            ticks = [float(f"{m}e{e}") for e in range(-9, 9) for m in (1, 2, 5)]
            axes.set_yticks([t for t in ticks if min(values) * 0.8 <= t <= max(values) * 1.2])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
        _end_labels(axes, ends)
        axes.set_xlabel("training step")
        axes.set_title(title)
        described = "; ".join(f"{name} {y:.4g}" for _, y, name, _ in ends)
        return to_svg(figure, f"fig-train-{key}", title, f"Mean over replicates at the last common step: {described}.")


def _curve(history: Sequence, key: str, most: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of one column, averaged in blocks down to ``most`` points."""
    points = [(row["step"], row[key]) for row in history if isinstance(row.get(key), int | float)]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points:
        return np.empty(0), np.empty(0)
    blocks = np.array_split(np.array(points, dtype=float), min(most, len(points)))
    means = np.array([block.mean(axis=0) for block in blocks])
    return means[:, 0], means[:, 1]


def _end_labels(axes: Axes, ends: list[tuple[float, float, str, str]], gap: float = 0.062) -> None:
    """Name each line at its end, pushed apart so that names do not overlap."""
    if not ends:
        return
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    places = sorted((float(to_axes.transform((x, y))[1]), name) for x, y, name, _ in ends)
    heights: list[float] = []
    for y, _name in places:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    over = max(0.0, heights[-1] - 1.0)
    for height, (_y, name) in zip(heights, places, strict=True):
        axes.text(1.015, height - over, _short(name, 16), transform=axes.transAxes, va="center", fontsize=9.5)


def transition(numbers: Numbers, metric: str, fit: TransitionFit) -> str:
    """The four fitted curves through the replicates."""
    info = label(metric)
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        points = [
            (float(v.cells), value)
            for v in numbers.table.variants
            if v.cells
            for value in numbers.replicates(v, metric).values()
        ]
        x, y = np.array(points).T
        axes.plot(x, y, "o", color=INK, markersize=4.5, alpha=0.7, zorder=4)
        grid = np.geomspace(x.min(), x.max(), 120)
        best = fit.best
        for index, curve in enumerate(fit.curves):
            colour, _, dash = style(index)
            mark = " (lowest BIC)" if best is not None and curve.name == best.name else ""
            name = "logistic (a step)" if curve.name == "logistic" else curve.name
            width = 2.2 if mark else 1.2
            axes.plot(grid, curve(grid), color=colour, linestyle=dash, linewidth=width, label=name + mark)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(sorted(set(x)), [f"{c:.0f}" for c in sorted(set(x))])
        axes.legend(fontsize=9, loc="best", handlelength=3)
        axes.set_xlabel("cells of the latent (height × width)")
        axes.set_title(f"{info.title}: {fit.verdict}")
        return to_svg(figure, "fig-transition", f"Shape of {info.words} over cells", f"{fit.verdict}: {fit.reason}.")
