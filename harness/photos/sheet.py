"""The contact sheet of an import: what was taken, and what was left out and why."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.data.exr import BadImage, read_exr
from harness.photos import light
from harness.photos.manifest import Entry
from models.photographs import Face

TILE, GAP, MARGIN, LABEL, LINE = 112, 8, 24, 34, 15
LINES = {"taken": 2, "left out": 4}  # of text under a tile
COLUMNS, ROWS = 12, 4
MATTE = "dimmed: outside of the face matte"
MOST_KEPT = 400  # thumbnails of pictures that were left out
INK, PALE, FAINT = (226, 228, 233), (150, 155, 165), (95, 99, 108)
PAPER, MARK = (17, 18, 22), (255, 176, 60)


class Thumbnails:
    """Small copies of the pictures that were left out, beside the manifest, and the sheet that shows them."""

    def __init__(self, folder: Path, person: str) -> None:
        self.folder, self.person = folder, person
        self.place = folder / "import" / f".{person}-left-out"

    def keep(self, pixels: np.ndarray, face: Face | None, name: str) -> None:
        """A tile of (H, W, 3) uint8, the face that was looked at framed."""
        self.place.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in self.place.iterdir()) >= MOST_KEPT:
            return
        tile = Image.fromarray(pixels)
        scale = TILE / max(tile.size)
        tile.thumbnail((TILE, TILE))
        if face is not None:
            ImageDraw.Draw(tile).rectangle([scale * value for value in face.box], outline=MARK, width=2)
        part = self.place / f".{name}.part"
        tile.save(part, format="JPEG", quality=85)
        part.replace(self.place / f"{name}.jpg")

    def forget(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def draw(self, entries: Sequence[Entry]) -> Path:
        """Write `FOLDER/import/PERSON.png`: an even choice of both kinds."""
        last = {e.key: e for e in entries}.values()
        taken = [e for e in last if e.file]
        left = [e for e in last if e.reason]
        shown = {"taken": _even(taken, COLUMNS * ROWS), "left out": _even(left, COLUMNS * ROWS)}
        totals = {"taken": len(taken), "left out": len(left)}
        steps = {title: TILE + LINES[title] * LINE + GAP for title in shown}
        height = 2 * MARGIN + sum(LABEL + -(-len(v) // COLUMNS) * steps[title] for title, v in shown.items())
        sheet = Image.new("RGB", (2 * MARGIN + COLUMNS * (TILE + GAP) - GAP, height), PAPER)
        pen, y = ImageDraw.Draw(sheet), MARGIN
        big, small = ImageFont.load_default(size=17), ImageFont.load_default(size=10.5)
        for title, chosen in shown.items():
            of = f" ({len(chosen)} shown)" if len(chosen) < totals[title] else ""
            text = f"{self.person}: {totals[title]} {title}{of}"
            pen.text((MARGIN, y), text, INK, font=big)
            if title == "taken" and chosen:
                pen.text((MARGIN + pen.textlength(text, big) + 14, y + 7), MATTE, PALE, font=small)
            y += LABEL
            for place, entry in enumerate(chosen):
                x, top = MARGIN + place % COLUMNS * (TILE + GAP), y + place // COLUMNS * steps[title]
                tile = self._crop(entry) if entry.file else self._thumbnail(entry)
                if tile is None:
                    pen.rectangle([x, top, x + TILE - 1, top + TILE - 1], outline=FAINT)
                    pen.text((x + TILE // 2, top + TILE // 2), "unreadable", FAINT, font=small, anchor="mm")
                else:
                    sheet.paste(tile, (x + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
                for row, line in enumerate(_wrapped(_text(entry), pen, small)[: LINES[title]]):
                    pen.text((x, top + TILE + 2 + row * LINE), line, PALE, font=small)
            y += -(-len(chosen) // COLUMNS) * steps[title]
        out = self.folder / "import" / f"{self.person}.png"
        part = out.with_name(f".{out.name}.part")
        sheet.save(part, format="PNG")
        part.replace(out)
        return out

    def _crop(self, entry: Entry) -> Image.Image | None:
        """A crop, dimmed where its matte is."""
        try:
            rgba = read_exr(self.folder / self.person / str(entry.file))
        except BadImage:
            return None
        pixels = light.display_bytes(np.ascontiguousarray(rgba[:3].transpose(1, 2, 0)))
        dimmed = pixels * (0.45 + 0.55 * rgba[3][..., None])
        return Image.fromarray(dimmed.round().astype(np.uint8)).resize((TILE, TILE), Image.Resampling.LANCZOS)

    def _thumbnail(self, entry: Entry) -> Image.Image | None:
        path = self.place / f"{entry.sha256[:16]}-{entry.frame or 0}.jpg"
        if not path.is_file():
            return None
        with Image.open(path) as image:
            return image.convert("RGB")


def _even(entries: list[Entry], most: int) -> list[Entry]:
    if len(entries) <= most:
        return entries
    return [entries[round(i * (len(entries) - 1) / (most - 1))] for i in range(most)]


def _text(entry: Entry) -> str:
    name = Path(entry.source).name + ("" if entry.frame is None else f" {entry.frame}")
    return f"{name}: {entry.reason}" if entry.reason else name


def _wrapped(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Lines that fit under a tile; letters that cannot be drawn become question marks."""
    lines, line = [], ""
    for letter in (c if c.isprintable() else "?" for c in text):
        if pen.textlength(line + letter, font=font) > TILE:
            cut = line.rfind(" ")
            lines.append(line if cut < 5 else line[:cut])
            line = "" if cut < 5 else line[cut + 1 :]
        line += letter
    return [*lines, line]
