"""How numbers are written for people."""

from __future__ import annotations

import math


def number(value: float | None, decimals: int | None = None) -> str:
    """Plain text of a number: fixed decimals, or three significant digits; a true minus sign; an en dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else 0
        decimals = max(0, 2 - size)
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = "−" + text[1:] if any(c in "123456789" for c in text) else text[1:]
    return text
