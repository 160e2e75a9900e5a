"""Matplotlib figures as inline SVG that obeys a strict content-security policy and follows light and dark.

Inline style attributes would be blocked, so they become presentation attributes. The ink colours are fixed values that
the page's CSS maps to its own (`[stroke="#1d2126"]`), so a figure is right on its own and re-coloured in dark mode.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1d2126", "#656b75", "#d8d4cb", "#fcfbf8"  # the page's CSS names the same four
SVG = "http://www.w3.org/2000/svg"
GEOMETRY = {"d", "x", "y", "width", "height", "points", "x1", "x2", "y1", "y2", "transform"}
rcParams = cast(MutableMapping[str, Any], matplotlib.rcParams)  # typed with each key as a literal
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, read aloud, in the page's font
    "text.parse_math": False,  # a name with a $ is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same everywhere
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside this: the settings of every figure, over matplotlib's own defaults and nobody's matplotlibrc."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        rcParams.update(_SETTINGS)
        yield


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Inline SVG text, byte-equal for equal figures. ``name`` makes its ids unique in the page."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.06)
    root = ET.fromstring(buffer.getvalue())
    _clean(root)
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.setdefault("viewBox", f"0 0 {width.removesuffix('pt')} {height.removesuffix('pt')}")
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(position, element)
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ET.tostring(root, encoding="unicode")


def _clean(root: ET.Element) -> None:
    """Drop metadata, style sheets and unused ids; turn style attributes into presentation attributes."""
    used = set(re.findall(r"#([\w-]+)", ET.tostring(root, encoding="unicode")))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
        if parent.attrib.get("id") not in used:
            parent.attrib.pop("id", None)
        for item in parent.attrib.pop("style", "").split(";"):
            key, _, value = item.partition(":")
            key, value = key.strip(), value.strip()
            if key == "font":
                size = re.search(r"([\d.]+)px", value)
                if size:
                    parent.attrib["font-size"] = size[1]
                if "bold" in value or re.search(r"\b[6-9]00\b", value):
                    parent.attrib["font-weight"] = "600"
            elif key and key != "font-family":
                parent.attrib[key] = value
        for key in [k for k in parent.attrib if k == "font-family"]:
            del parent.attrib[key]
        for key in GEOMETRY & parent.attrib.keys():  # a hundredth of a point is enough, and a third of the bytes
            text = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", parent.attrib[key])
            parent.attrib[key] = " ".join(text.split())
        if parent.attrib.get("transform", "").startswith("rotate(-0 "):
            del parent.attrib["transform"]
    _unwrap(root)


def _unwrap(element: ET.Element) -> None:
    """Groups that say nothing give way to what is in them, and white space between elements goes: a fifth of it."""
    element.text, element.tail = ((text or "").strip() or None for text in (element.text, element.tail))
    children: list[ET.Element] = []
    for child in element:
        _unwrap(child)
        grouped = child.tag in (f"{{{SVG}}}g", f"{{{SVG}}}defs") and not child.attrib
        children += child if grouped and (child.tag.endswith("}g") or not len(child)) else [child]
    element[:] = children
