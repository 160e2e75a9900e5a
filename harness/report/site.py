"""A small static site over several suites: an index, their reports, a page for each metric and each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.claims.again import repetitions
from harness.files import write_atomic
from harness.ledger.facts import Facts
from harness.ledger.table import load
from harness.report import clearest, pictures, tables
from harness.report.card import Card, card
from harness.report.csv_file import csv_text
from harness.report.figures import slug
from harness.report.made import report_of
from harness.report.markdown import markdown
from harness.report.numbers import Numbers
from harness.report.page import Links, html, rendered

SMALL = 128  # pixels of a tile in the index


@dataclass(frozen=True)
class Place:
    """One suite of the site: its folder there, and what stands on its card.

    ``inside``: its results lie in the site's folder, so its own report is the site's. ``again``: it repeats another
    suite of the site with other people.
    """

    name: str
    numbers: Numbers
    card: Card
    inside: bool
    again: bool = False

    @property
    def label(self) -> str:
        """What other pages call it."""
        return f"{self.card.suite} ({self.card.scale}{', other people' * self.again})"

    @property
    def address(self) -> str:
        """Of its report, from the site's root."""
        return f"{quote(self.name)}/report.html"


def build_site(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write the site of result folders into ``out``: index.html first, then every other file, all of them static.

    Reports are written there too. Of results that lie inside ``out`` they stay where they are: such a site is small.
    """
    places = [_place(folder, folders, out) for folder in folders]
    repeated = {i for others in repetitions([place.numbers.table for place in places]).values() for i in others}
    places = [replace(place, again=i in repeated) for i, place in enumerate(places)]
    metrics = _addresses("metrics", [name for place in places for name in _shown(place.numbers)])
    variants = _addresses("variants", [v.label for place in places for v in place.numbers.table.variants])
    written = [_write(out / "index.html", _index(places, metrics, variants))]
    for place in places:
        if place.inside:
            written += report_of(place.numbers.table.folder).paths
            continue
        links = _links(place, places, metrics, variants)
        written.append(_write(out / place.name / "report.html", html(place.numbers, links)))
        written.append(_write(out / place.name / "report.md", markdown(place.numbers)))
        written.append(_write(out / place.name / "table.csv", csv_text(place.numbers)))
    written += [_write(out / path, _metric(name, places, variants)) for name, path in metrics.items()]
    written += [_write(out / path, _variant(label, places, metrics)) for label, path in variants.items()]
    return written


def _place(folder: Path, folders: Sequence[Path], out: Path) -> Place:
    """A suite goes by its path in the site; elsewhere by its folder's name, and its scale where two have the same."""
    numbers, where = Numbers(load(folder)), folder.resolve()
    if where.is_relative_to(out.resolve()):
        return Place(where.relative_to(out.resolve()).as_posix(), numbers, card(numbers), True)
    twice = sum(other.resolve().name == where.name for other in folders) > 1
    return Place(f"{where.parent.name}-{where.name}" if twice else where.name, numbers, card(numbers), False)


def _shown(numbers: Numbers) -> list[str]:
    """The metrics that have pages: those of the decision table, and those that a claim speaks of."""
    have = set(numbers.table.metrics())
    return [name for name in dict.fromkeys([*numbers.headlines(), *numbers.claimed()]) if name in have]


def _addresses(folder: str, names: Sequence[str]) -> dict[str, str]:
    """{name: path in the site}, each path once even where two names have the same slug."""
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        stem, number = slug(name), 1
        while f"{folder}/{stem}.html" in found.values():
            number += 1
            stem = f"{slug(name)}-{number}"
        found[name] = f"{folder}/{stem}.html"
    return found


def _links(place: Place, places: Sequence[Place], metrics: Mapping[str, str], variants: Mapping[str, str]) -> Links:
    others = tuple((p.label, f"../{p.address}") for p in places if p is not place)
    return Links(
        files=(("report.md", "report.md"), ("table.csv", "table.csv")),
        suites=others,
        home="../index.html",
        metrics={name: f"../{path}" for name, path in metrics.items()},
        variants={label: f"../{path}" for label, path in variants.items()},
    )


def _index(places: Sequence[Place], metrics: Mapping[str, str], variants: Mapping[str, str]) -> str:
    facts = {name: _facts(name, places) for name in metrics}
    named = sorted(((facts[name].title, path) for name, path in metrics.items()), key=lambda pair: pair[0].lower())
    cards = [{"card": p.card, "address": p.address, "tiles": _tiles(p.card), "again": p.again} for p in places]
    return rendered("index.html.j2", cards=cards, metrics=named, variants=list(variants.items()))


def _tiles(one: Card) -> list[dict[str, Any]]:
    """The picture of a card, small."""
    found = []
    for caption, tile in one.case.tiles.items() if one.case else ():
        source, width, height = pictures.webp(clearest.picture(tile), SMALL)
        found.append({"source": source, "width": width, "height": height, "name": caption.partition(":")[0]})
    return found


def _facts(name: str, places: Sequence[Place]) -> Facts:
    """A metric's facts as the first suite that has it records them."""
    return next(p.numbers.table.facts(name) for p in places if name in p.numbers.table.metrics())


def _metric(name: str, places: Sequence[Place], variants: Mapping[str, str]) -> str:
    """Every suite's variants on one metric, with the references beside them."""
    parts = []
    for place in places:
        numbers, facts = place.numbers, place.numbers.table.facts(name)
        scored = [v for v in numbers.table.variants if numbers.scored(v, name)]
        rows = []
        for variant in scored:
            mean = numbers.mean(variant, name)
            beaten = numbers.failure(mean.mean, name)
            interval = facts.interval(mean.low, mean.high)
            rows.append((variant.label, f"../{variants[variant.label]}", facts.write(mean.mean), interval, beaten))
        levels = [(title, facts.write(numbers.reference(key, name))) for key, title in tables.REFERENCES.items()]
        if rows:
            parts.append({"place": place, "rows": rows, "levels": [level for level in levels if level[1] != "–"]})
    return rendered("metric.html.j2", facts=_facts(name, places), parts=parts)


def _variant(label: str, places: Sequence[Place], metrics: Mapping[str, str]) -> str:
    """One variant in every suite that has it: what it sets, and its main figures."""
    parts = []
    for place in places:
        row = next((row for row in tables.decision(place.numbers) if row.label == label), None)
        if row is None:
            continue
        variant = next(v for v in place.numbers.table.variants if v.label == label)
        cells = [(cell, f"../{metrics[cell.metric.name]}") for cell in row.values if cell.metric.name in metrics]
        settings = [(key, str(value)) for key, value in sorted(variant.settings.items())]
        parts.append({"place": place, "row": row, "cells": cells, "settings": settings})
    return rendered("variant.html.j2", label=label, parts=parts)


def _write(path: Path, text: str) -> Path:
    write_atomic(path, text.encode())
    return path
