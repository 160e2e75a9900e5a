"""The figures with lines: losses and errors over training, and the fits over latent cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from harness.claims.transition import TransitionFit
from harness.report.answer import along_cells
from harness.report.figures import SIZE, short, slug, style
from harness.report.numbers import Numbers
from harness.report.svg import INK, drawing, to_svg


def training(numbers: Numbers, key: str, title: str, replicates: bool = True) -> str:
    """One history column ("total", "loss.kl") over steps: thin lines replicates (or none), marked lines their mean."""
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        ends: list[tuple[float, float, str, str]] = []
        for index, variant in enumerate(numbers.table.variants):
            colour, marker, dash = style(index)
            curves = [_curve(t.history, key, 80 if replicates else 40) for t in variant.done.values()]
            curves = [c for c in curves if len(c[0]) > 1]
            if not curves:
                continue
            for x, y in curves if replicates else ():
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
        return to_svg(
            figure, f"fig-train-{slug(key)}", title, f"Mean over replicates at the last common step: {described}."
        )


def has_curve(numbers: Numbers, key: str) -> bool:
    """Whether any trial logged a history column more than once, so that there is a line to draw."""
    return any(len(_curve(t.history, key)[0]) > 1 for v in numbers.table.variants for t in v.done.values())


def at(row: Mapping[str, Any], key: str) -> Any:
    """A history entry's value: of a column, or of a loss term whose own name may hold dots ("loss.a.accuracy")."""
    outer, _, inner = key.partition(".")
    value = row.get(outer)
    return value.get(inner) if inner and isinstance(value, Mapping) else row.get(key)


def columns(history: Sequence[Mapping[str, Any]]) -> dict[str, None]:
    """The loss terms, their networks' own values, the gradient norms and the errors that a history holds."""
    found: dict[str, None] = {}
    for row in history:
        for outer in ("loss", "grad_norm"):
            if isinstance(row.get(outer), Mapping):
                found |= {f"{outer}.{inner}": None for inner in row[outer]}
        found |= {key: None for key in ("rec_error",) if row.get(key) is not None}
    return found


def _curve(history: Sequence, key: str, most: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of one column, averaged in blocks down to ``most`` points."""
    points = [(row["step"], found) for row in history if isinstance(found := at(row, key), int | float)]
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
        axes.text(1.015, height - over, short(name, 24), transform=axes.transAxes, va="center", fontsize=9.5)


def transition(numbers: Numbers, metric: str, fit: TransitionFit) -> str:
    """The four fitted curves through the replicates."""
    info = numbers.table.facts(metric)
    with drawing():
        figure = Figure(figsize=SIZE)
        axes = figure.subplots()
        points = [
            (float(v.latent_cells), value)
            for v in along_cells(numbers.table)
            if v.latent_cells
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
        axes.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.45, -0.17), ncol=2, handlelength=3)
        axes.set_xlabel("cells of the latent (height × width)")
        axes.set_title(f"{info.title} over cells: four fitted shapes")
        return to_svg(figure, "fig-transition", f"Shape of {info.words} over cells", f"{fit.verdict}: {fit.reason}.")
