"""A file of one's own: loaded once, part of the digest, told in words when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from trouble_plans import PLUGIN, plan

from harness import registry
from harness.errors import UsageError

pytestmark = pytest.mark.usefixtures("trouble")


def test_the_source_of_a_plugin_is_part_of_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = plan(tmp_path, "digest", "none")
    file = tmp_path / "trouble.py"
    file.write_text(PLUGIN.read_text() + "\nCHANGED = True  # and a comment would not count\n")
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    registry.load_plugin(file)
    registry.load_plugin(file)
    assert registry.loaded_plugins() == (file.resolve(),)
    assert registry.get("loss", "trouble").file == file
    (after,) = plan(tmp_path, "digest", "none")
    assert after.digest != before.digest and after.score_digest == before.score_digest


def test_a_wrong_plugin_is_told_in_words_and_leaves_nothing_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    cases = {
        "empty.py": ("x = 1\n", "registers nothing"),
        "broken.py": (
            "from harness import loss\n@loss('half')\nclass Half: ...\nraise ImportError('no such part')\n",
            "fails to load.*no such part",
        ),
        "syntax.py": ("def (:\n", "fails to load.*SyntaxError"),
        "notes.txt": ("", "no such Python file"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=message):
            registry.load_plugin(tmp_path / name)
    with pytest.raises(UsageError, match=r"absent\.py: there is no such Python file"):
        registry.load_plugin(tmp_path / "absent.py")
    assert registry._added == {} and registry.loaded_plugins() == ()


def test_tables_of_a_plugin_are_registered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    file = tmp_path / "mine.py"
    file.write_text("from models.variants import grid\n\ndef small(size: int):\n    return grid(size, width=4)\n\n"
                    "VARIANTS = {'small': small}\n")  # fmt: skip
    registry.load_plugin(file)
    assert registry.get("variant", "small").file == file
