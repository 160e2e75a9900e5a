"""docs/own_faces.md from start to end, as a new user would run it: the album, import, run, swap, ONNX."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import command
import numpy as np
import photo_files
import pytest
from PIL import Image

HOME = Path(__file__).resolve().parent.parent
PAGE = (HOME / "docs" / "own_faces.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def commands() -> list[tuple[list[str], list[str]]]:
    """(the words behind `harness`, the lines that the page shows below it) of every command of the page."""
    found: list[tuple[list[str], list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ "):
            program, *words = shlex.split(line[2:])
            assert program == "harness"
            found.append((words, []))
        else:
            found[-1][1].append(line)
    return found


def shows(told: str, lines: list[str]) -> None:
    """Every line stands in what was told, in this order."""
    place = 0
    for line in lines:
        at = told.find(line, place)
        assert at >= 0, f"not told: {line}\n{told}"
        place = at + len(line)


@pytest.mark.long
def test_the_path_of_the_page_leads_from_an_album_to_swaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photo_files.album(Path("album"))
    (suite,) = blocks("yaml")
    Path("own.yaml").write_text(suite.replace("steps: 600", "steps: 12").replace("warmup: 50", "warmup: 2"))
    for words, lines in commands():
        code, out, err = command.called(words, monkeypatch, capsys)
        assert code == (2 if words[:3] == ["data", "check", "album"] else 0), err
        shows(err + out, lines)

    sheet = np.array(Image.open("faces/import/src.png").convert("RGB"))
    assert sheet.std() > 15
    report = Path("results/own/report.md").read_text(encoding="utf-8")
    assert "no exact swap exists" in report
    changed = np.array(Image.open("swapped/IMG_3.jpg")).astype(int) - np.array(Image.open("album/anna/IMG_3.jpg"))
    assert np.abs(changed).max() > 30 and np.mean(np.abs(changed).max(2) < 12) > 0.5  # a face, and not the whole
    assert not Path("swapped/wall 0.jpg").exists()
    the_clip_is_whole_and_marked(Path("swapped.mp4"))
    onnx_swaps(Path("onnx"))


def the_clip_is_whole_and_marked(path: Path) -> None:
    import av

    with av.open(str(path)) as container:
        assert "synthetic" in " ".join(container.metadata.values()).lower()
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 12


def onnx_swaps(folder: Path) -> None:
    import onnxruntime

    known = json.loads((folder / "model.json").read_text())
    assert known
    picture = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    for part in ("encoder", "decoder_dst"):
        session = onnxruntime.InferenceSession(str(folder / f"{part}.onnx"), providers=["CPUExecutionProvider"])
        (picture,) = session.run(None, {session.get_inputs()[0].name: picture})
    assert picture.shape == (2, 3, 64, 64) and 0 <= picture.min() <= picture.max() <= 1


def test_what_the_page_points_to_is_there() -> None:
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", PAGE) if not t.startswith("http")]
    assert targets and all((HOME / "docs" / target).exists() for target in targets)
