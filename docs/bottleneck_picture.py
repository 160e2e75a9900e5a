"""Make docs/pictures/bottleneck.png from the reference run: a row for each grid, one fixed face of one pair."""

from pathlib import Path

from PIL import Image, ImageDraw

HOME = Path(__file__).resolve().parent.parent
RUN = HOME / "results" / "reference" / "quick" / "bottleneck" / "trials"
FACE, ZOOM, MARGIN = "fixed-1.png", 2, 40

rows = []
for grid in (3, 4, 5, 6, 7):
    (folder,) = RUN.glob(f"grid{grid}-s0-*")
    picture = Image.open(folder / "pictures" / FACE).convert("RGB")
    rows.append(
        (f"{grid}x{grid}", picture.resize((picture.width * ZOOM, picture.height * ZOOM), Image.Resampling.LANCZOS))
    )
width, height = rows[0][1].size
sheet = Image.new("RGB", (width + MARGIN, height * len(rows)), "black")
for k, (label, picture) in enumerate(rows):
    sheet.paste(picture, (MARGIN, k * height))
    ImageDraw.Draw(sheet).text((8, k * height + height // 2 - 6), label, fill="white")
sheet.quantize(256).save(HOME / "docs" / "pictures" / "bottleneck.png", optimize=True)
