"""What page and Markdown say alike of a report: signs, scales, and how the decision table is to be read."""

from __future__ import annotations

from typing import Any

from harness.report.numbers import Numbers

SIGNS = {"good": ("✓", "in order"), "note": ("○", "to note"), "bad": ("✕", "not in order")}
SCALES = {
    "quick": "a real result on a smaller model",
    "standard": "one GPU, minutes a trial",
    "large": "the source's sizes",
    "paper": "the sizes of the source material",
}
METHOD = (
    "Intervals are 95 %: Student's t over pairs of people. Δ is the paired difference to the baseline on the same "
    "pairs; ▲ better, ▼ worse and ≈ unclear tell whether its interval leaves zero out. "
    "Intervals are not corrected for looking at several metrics."
)
BEATEN = (
    " ◁ marks a figure that a known failure beats: a copy of the driver keeps every expression, a mean face transfers "
    "identity without one. Dominated: the variant named is at least as good on each of the first columns, by the means."
)


def method(numbers: Numbers) -> str:
    """How the decision table is to be read."""
    return METHOD + (BEATEN if numbers.table.truth else "")


def scale(plan: Any) -> dict[str, str]:
    """Name of the scale, what it stands for, and why it was taken."""
    name = str(plan.get("scale") or "unknown scale")
    return {"name": name, "text": SCALES.get(name, ""), "reason": str(plan.get("scale_reason") or "")}


def is_synthetic(numbers: Numbers) -> bool:
    """Whether any finished trial was trained on drawn faces."""
    return any(trial.part("data").get("synthetic") for trial in numbers.table.done)
