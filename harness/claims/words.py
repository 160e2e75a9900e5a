"""Claims in words: what a resolved relation asks for, of which variants, and how an axis is called in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.ledger.facts import Facts

Relation = Mapping[str, Any]
Look = Callable[[str], Facts]  # the facts of a metric: `Table.facts`, or `facts_of` where there is no table yet


def describe(relation: Relation, look: Look) -> str:
    """One relation in words: what has to hold."""
    name = look(str(relation.get("metric", ""))).words
    match relation["relation"]:
        case "difference":
            a, than, by = relation["a"], relation["than"], relation["by"]
            if by < 0:
                less = "lower" if relation["sign"] > 0 else "higher"
                return f"{name} is not {less} for {a} than for {than} by more than {-by:g}"
            more = "higher" if relation["sign"] > 0 else "lower"
            return f"{name} is {more} for {a} than for {than}" + (f" by more than {by:g}" if by else "")
        case "faster":
            by = f" by more than {relation['by']:.0%}" if relation["by"] else ""
            return f"a training step of {relation['a']} is faster than one of {relation['than']}{by}"
        case "equivalent":
            return f"{name} of {relation['a']} and {relation['to']} differ by less than {relation['within']:g}"
        case "level":
            bound = "at least" if relation["sign"] > 0 else "at most"
            return f"{name} of {relation['of']} is {bound} {relation['value']:g}"
        case "monotone":
            return f"{name} {relation['direction']} along {axis(relation['in'], look)}"
        case "step":
            low, high = relation["between"]
            course = {1: "rises", -1: "falls"}.get(relation.get("sign", 0), "changes")
            return f"{name} {course} in one step between {low:g} and {high:g} ({axis(relation['in'], look)})"
        case "correlation":
            words, sign = _CORRELATED[relation["is"]]
            return f"{name} and {look(relation['with']).words} {words.format(sign * relation['within'] + 0.0)}"
    raise KeyError(relation["relation"])


_CORRELATED = {  # what is said, and the sign of the bound
    "none": ("do not go together (|r| below {:g})", 1),
    "positive": ("rise together (r above {:g})", 1),
    "negative": ("go opposite ways (r below {:g})", -1),
    "not_positive": ("do not rise together (r below {:g})", 1),
    "not_negative": ("do not go opposite ways (r above {:g})", -1),
}


def axis(name: str, look: Look) -> str:
    """How an axis is called in a sentence."""
    return "latent cells" if name in ("cells", "latent_cells") else look(name).words if "." not in name else name


def labels_of(claim: Mapping[str, Any]) -> list[str]:
    """The variants that a claim needs, each once; empty where it needs all of them."""
    found: list[str] = []
    for part in claim["parts"]:
        named = [part[key] for key in ("a", "than", "to", "of") if key in part]
        named = named or list(part.get("over") or [])
        if not named:
            return []
        found += named
    found += [condition["of"] for condition in claim.get("only_if") or []]
    return list(dict.fromkeys(found))
