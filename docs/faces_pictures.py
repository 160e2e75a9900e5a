"""Make docs/pictures/aligned.png (and free), looseness.png (one at a time), distance.png and mosaics.png."""

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from harness.data.encoding import to_display
from harness.data.faces import ALIGNED, FREE, Looseness, random_pair, render, sample_poses
from harness.score.mosaic import sheet

PICTURES = Path(__file__).resolve().parent / "pictures"
COLUMNS, SIDE, MARGIN = 10, 80, 130
SINGLE = {"roll": FREE.roll, "pitch": FREE.pitch, "shift": FREE.shift, "zoom": FREE.zoom, "light": FREE.light}


def faces(person: Tensor, looseness: Looseness) -> Tensor:
    """(3, SIDE, COLUMNS * SIDE) in sRGB: one person in ten poses, the same yaw and expressions at every looseness."""
    poses = sample_poses(COLUMNS, torch.Generator().manual_seed(4), "interior", looseness)
    shown = render(person.expand(COLUMNS, -1), poses, SIDE, regions=False).rgba[:, :3]
    return torch.cat([*to_display(shown)], 2)


def draw(name: str, rows: dict[str, Tensor], colours: int = 256) -> None:
    """Write the rows one below the other, each after its label."""
    height, width = next(iter(rows.values())).shape[1:]
    picture = Image.new("RGB", (MARGIN + width, height * len(rows)), "black")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=14)
    for i, (label, pixels) in enumerate(rows.items()):
        tile = Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())
        picture.paste(tile, (MARGIN, i * height))
        pen.text((8, i * height + height // 2 - 8), label, fill="white", font=font)
    PICTURES.mkdir(exist_ok=True)
    picture.quantize(colours).save(PICTURES / f"{name}.png", optimize=True)


src, dst = random_pair(1)
pair = {"src": src, "dst": dst}
kinds = {"aligned": ALIGNED, "free": FREE}
draw("aligned", {f"{kind}, {who}": faces(pair[who], how) for kind, how in kinds.items() for who in pair})
single = {name: ALIGNED._replace(**{name: value}) for name, value in SINGLE.items()}
crops = {"crop 0.85": ALIGNED._replace(crop=0.85), "crop 1.17": ALIGNED._replace(crop=1.17)}
draw("looseness", {label: faces(src, how) for label, how in ({"aligned": ALIGNED} | single | crops).items()})
apart = (0.5, 0.8, 1.1, 1.4, 1.7)
others = {f"dst, {x:g} SD": random_pair(1, (x - 0.05, x + 0.05))[1] for x in apart}
draw("distance", {label: faces(person, ALIGNED) for label, person in ({"src": src} | others).items()})
mosaics = sheet(people=4, size=96)
picture = Image.fromarray((mosaics * 255).round().byte().permute(1, 2, 0).numpy())
picture.quantize(256).save(PICTURES / "mosaics.png", optimize=True)
