"""Claims in words: what a resolved relation asks for, and how metrics, axes and values are called in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.ledger.wording import label

Relation = Mapping[str, Any]


def unit(metric: str) -> str:
    """The unit of a metric; losses have none."""
    return "" if metric.startswith("loss:") else label(metric).unit


def title(metric: str) -> str:
    """A metric inside a sentence."""
    return f"training loss {metric.removeprefix('loss:')}" if metric.startswith("loss:") else label(metric).words


def figure(metric: str, value: float) -> str:
    """A value of a metric in a sentence."""
    return label(metric).write(value)


def describe(relation: Relation) -> str:
    """One relation in words: what has to hold."""
    name = title(str(relation.get("metric", "")))
    match relation["relation"]:
        case "difference":
            a, than, by = relation["a"], relation["than"], relation["by"]
            if by < 0:
                less = "lower" if relation["sign"] > 0 else "higher"
                return f"{name} is not {less} for {a} than for {than} by more than {-by:g}"
            more = "higher" if relation["sign"] > 0 else "lower"
            return f"{name} is {more} for {a} than for {than}" + (f" by more than {by:g}" if by else "")
        case "equivalent":
            return f"{name} of {relation['a']} and {relation['to']} differ by less than {relation['within']:g}"
        case "level":
            bound = "at least" if relation["sign"] > 0 else "at most"
            return f"{name} of {relation['of']} is {bound} {relation['value']:g}"
        case "monotone":
            return f"{name} {relation['direction']} along {axis(relation['in'])}"
        case "step":
            low, high = relation["between"]
            course = {1: "rises", -1: "falls"}.get(relation.get("sign", 0), "changes")
            return f"{name} {course} in one step between {low:g} and {high:g} ({axis(relation['in'])})"
        case "correlation":
            if relation["is"] == "none":
                return f"{name} and {title(relation['with'])} do not go together (|r| below {relation['within']:g})"
            bound = f" (|r| above {relation['within']:g})" if relation["within"] else ""
            return f"{name} and {title(relation['with'])} go together, r {relation['is']}{bound}"
    raise KeyError(relation["relation"])


def axis(name: str) -> str:
    """How an axis is called in a sentence."""
    return "latent cells" if name in ("cells", "latent_cells") else label(name).words if "." not in name else name
