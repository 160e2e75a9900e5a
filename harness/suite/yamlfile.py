"""YAML as plain values with the position of each of them; safe, and bounded in size, depth and alias expansion.

Only mappings, lists, texts, numbers, truth values and null exist here: nodes are never constructed into objects, so
that no tag can do anything. `1e-4` is a number (YAML 1.2), a key given twice is an error.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import UsageError

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000  # after aliases are expanded
MAX_DEPTH = 24
TAG = "tag:yaml.org,2002:"
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Where:
    """A place to name in an error: a position in a file (1-based), or an option of the command line."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    def shifted(self, columns: int) -> Where:
        """The place so many columns to the right; the same where there are no columns."""
        return Where(self.source, self.line, self.column + columns) if self.line else self

    def error(self, text: str) -> UsageError:
        """The error to raise about this place."""
        return UsageError(f"{self}: {text}")


@dataclass
class Document:
    """`value` is what the file says; `key_at` and `value_at` map the path of a value to where its key and it stand."""

    source: str
    value: Any = None
    at_lines: bool = True
    key_at: dict[Path_, Where] = field(default_factory=dict)
    value_at: dict[Path_, Where] = field(default_factory=dict)

    def place(self, line: int, column: int) -> Where:
        """A position in the text, 1-based."""
        return Where(self.source, line, column) if self.at_lines else Where(self.source)

    def where(self, path: Path_, *, key: bool = False) -> Where:
        """The place of the nearest known ancestor of `path`."""
        places = self.key_at if key else self.value_at
        for end in range(len(path), -1, -1):
            found = places.get(path[:end]) or self.value_at.get(path[:end])
            if found:
                return found
        return self.place(1, 1)


def read(path: Path) -> Document:
    """Read a file. UsageError with file:line:column for anything that is not a plain YAML mapping."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}. Expected a suite file") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path}:1:1: the file is larger than {MAX_BYTES} bytes. A suite is a page of YAML")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise UsageError(f"{path}:{line}:{column}: this byte is not UTF-8. Expected text in UTF-8") from None
    return parse(text, str(path))


def parse(text: str, source: str, at_lines: bool = True) -> Document:
    """Parse YAML text; `source` names it in errors, with line and column if those mean anything there."""
    document = Document(source, at_lines=at_lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML allows it: the later one counts
            node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = document.place(mark.line + 1, mark.column + 1) if mark else document.place(1, 1)
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise where.error(f"not readable as YAML: {what or 'syntax error'}. Expected `key: value` lines") from None
    except RecursionError:
        raise document.place(1, 1).error("nested too deeply. Expected a page of YAML") from None
    except (
        Exception
    ) as error:  # the parser of a hostile file may fail in any way; all of them mean the same to a reader
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise document.place(1, 1).error(f"not readable as YAML: {first}. Expected `key: value` lines") from None
    if node is not None:
        _Converter(document).convert(node, ())
    return document


class _Converter:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = self.depth = 0

    def at(self, node: Node) -> Where:
        return self.document.place(node.start_mark.line + 1, node.start_mark.column + 1)

    def convert(self, node: Node, path: Path_) -> None:
        self.document.value_at[()] = self.at(node)
        self.document.value = self.value(node, path)

    def value(self, node: Node, path: Path_) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.at(node).error(f"more than {MAX_VALUES} values (aliases counted). Expected a page of YAML")
        if self.depth > MAX_DEPTH:
            text = f"nested deeper than {MAX_DEPTH} levels, or within itself (`<<: *name` of its own mapping)"
            raise self.at(node).error(f"{text}. Expected a page of YAML")
        self.document.value_at[path] = self.at(node)
        self.depth += 1
        try:
            return self.content(node, path)
        finally:
            self.depth -= 1

    def content(self, node: Node, path: Path_) -> Any:
        tag = str(node.tag)
        if isinstance(node, MappingNode) and tag == TAG + "map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and tag == TAG + "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self.scalar(node, tag)
        raise self.at(node).error(f"the tag {tag.replace(TAG, '!!')!r} is not allowed. Expected plain YAML")

    def scalar(self, node: ScalarNode, tag: str) -> Any:
        text = str(node.value)
        try:
            match tag.removeprefix(TAG):
                case "str":
                    return self.text(text, node)
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    digits = text.replace("_", "")
                    prefixed = digits.lstrip("+-").lower().startswith(("0x", "0o", "0b"))
                    return int(digits, 0 if prefixed else 10)
                case "float":
                    number = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
                    if not math.isfinite(value := float(number)):
                        raise self.at(node).error(f"{text} is not a finite number. Expected a finite one")
                    return value
        except ValueError:
            raise self.at(node).error(
                f"{text[:40]!r} is not a number that can be read. Quote it if a text is meant"
            ) from None
        name = tag.replace(TAG, "!!")
        raise self.at(node).error(f"{name!r} is not allowed here ({text[:40]!r}). Quote it if a text is meant")

    def text(self, text: str, node: Node) -> str:
        """Half a surrogate pair can neither be printed nor stored, and no path holds a NUL."""
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.at(node).error("the text has half of a surrogate pair. Expected whole characters")
        if "\0" in text:
            raise self.at(node).error("the text has a NUL character. Expected text without it")
        return text

    def mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == TAG + "merge":
                value = self.value(value_node, path)
                for part in value if isinstance(value, list) else [value]:
                    if not isinstance(part, dict):
                        raise self.at(value_node).error("`<<` needs a mapping. Expected `<<: *name` of a mapping")
                    merged = part | merged
                continue
            if not isinstance(key_node, ScalarNode) or not str(key_node.tag).startswith(TAG):
                raise self.at(key_node).error("a key must be a plain word. Expected `key: value`")
            key = self.text(str(key_node.value), key_node)
            if key in result:
                first = self.document.key_at[(*path, key)]
                raise self.at(key_node).error(f"the key {key!r} is given twice (first in line {first.line}). Keep one")
            self.document.key_at[(*path, key)] = self.at(key_node)
            result[key] = self.value(value_node, (*path, key))
        return merged | result
