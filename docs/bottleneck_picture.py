"""Draw one fixed face of one pair of people, a row for each grid: docs/pictures/bottleneck.png.

    uv run python docs/bottleneck_picture.py [--steps FOLDER]

--steps: docs/pictures/quick.png instead, 3x3 and 7x7 after each number of steps, from the runs in
FOLDER/<steps>/bottleneck.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

HOME = Path(__file__).resolve().parent.parent
RUN = HOME / "results" / "reference" / "quick" / "bottleneck"
PICTURES = HOME / "docs" / "pictures"
FACE, ZOOM = "fixed-1.png", 2


def face(run: Path, label: str) -> Image.Image:
    """The strip of one trial: src, its reconstruction, the swap, the other swap, dst's reconstruction, dst."""
    (folder,) = (run / "trials").glob(f"{label}-s0-*")
    picture = Image.open(folder / "pictures" / FACE).convert("RGB")
    return picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.LANCZOS)


def sheet(rows: list[tuple[str, Image.Image]], margin: int, path: Path) -> None:
    """Strips below each other, each with its name in a margin of so many pixels."""
    width, height = rows[0][1].size
    whole = Image.new("RGB", (width + margin, height * len(rows)), "black")
    for k, (label, picture) in enumerate(rows):
        whole.paste(picture, (margin, k * height))
        ImageDraw.Draw(whole).text((8, k * height + height // 2 - 6), label, fill="white")
    whole.quantize(256).save(path, optimize=True)


def by_steps(runs: Path) -> Iterator[tuple[str, Image.Image]]:
    """A row for each grid and length."""
    for cells in (3, 7):
        for steps in sorted(int(folder.name) for folder in runs.iterdir()):
            yield f"{cells}x{cells}, {steps:,}", face(runs / str(steps) / "bottleneck", f"grid{cells}")


if sys.argv[1:2] == ["--steps"]:
    sheet(list(by_steps(Path(sys.argv[2]))), margin=100, path=PICTURES / "quick.png")
else:
    grids = [(f"{cells}x{cells}", face(RUN, f"grid{cells}")) for cells in (3, 4, 5, 6, 7)]
    sheet(grids, margin=40, path=PICTURES / "bottleneck.png")
