"""Write docs/questions.md: every claim of the suites, where it is asked and how it is tested.

python docs/questions_table.py
"""

import re
from pathlib import Path

from harness.claims.words import describe
from harness.ledger.facts import facts_of
from harness.suite.suite import load

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "questions.md"
HEAD = """# What is asked, where, and how it is tested

Written by `python docs/questions_table.py` from the claims of the suites. C1 to C18 are the source's claims; claims
with a point after the number ask a part of one. `expected` is what the source says of it: supported, refuted, or open
where it says nothing. Conditions in brackets must hold, or the claim stays undecided. How verdicts come about:
[statistics.md](statistics.md). The verdicts: [claims.md](claims.md).

Names of variants are those of the suites. `swap score`: 0 is the best answer without a swap, 1 the exact swap. Speed
is claimed of training steps that took turns in one process.
"""
FIRST = ["| claim | suite | it says | tested as | expected |", "|---|---|---|---|---|"]


def number(name):
    """C2 before C10, the source's claims before others, the whole before its parts."""
    found = re.fullmatch(r"C(\d+)(.*)", name)
    return (0, int(found[1]), found[2]) if found else (1, 0, name)


def condition(c):
    bounds = [f"{word.replace('_', ' ')} {c[word]:g}" for word in ("at_least", "at_most") if c.get(word) is not None]
    return f"{facts_of(c['metric']).words} of {c['of']} {' and '.join(bounds)}"


def tested(claim):
    parts = "; ".join(describe(part, facts_of) for part in claim["parts"])
    conditions = "; ".join(condition(c) for c in claim.get("only_if") or [])
    return f"{parts} [{conditions}]" if conditions else parts


def cell(text):
    return re.sub(r"([|*_\[\]])", r"\\\1", text)


def rows():
    suites = [load(file) for file in sorted((HOME / "suites").glob("*.yaml"))]
    asked = [(number(claim["id"]), suite.name, claim) for suite in suites for claim in suite.at("quick").claims]
    for _, suite, claim in sorted(asked, key=lambda row: row[:2]):
        name = f"{claim['id']} (primary)" if claim.get("primary") else claim["id"]
        columns = (name, suite, claim["says"], tested(claim), claim.get("source", "supported"))
        yield f"| {' | '.join(map(cell, columns))} |"


def page():
    return "\n".join([HEAD, *FIRST, *rows(), ""])


if __name__ == "__main__":
    PAGE.write_text(page())
