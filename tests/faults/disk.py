"""A disk that is full at any moment: a limit on the size of files, and a file system too small."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.faults.ground import Ground

ENDS = (0, 3, 4)


def full(ground: Ground) -> None:
    """One run on a full disk, of either kind."""
    if ground.rng.random() < 0.5 and (place := mounted(ground)):
        try:
            on_a_small_disk(ground, place)
        finally:
            subprocess.run(["umount", str(place)], check=False)
    else:
        with_small_files(ground)


def with_small_files(ground: Ground) -> None:
    root, most = ground.fresh("full"), int(2 ** ground.rng.uniform(8, 21))
    code, said = ground.start(root, "--jobs", "2", most_bytes=most).ended()
    ground.tally.counts["runs with a limit on the size of files"] += 1
    ground.judge(said if most > 20_000 else "", code, ENDS, f"files of at most {most} bytes")
    ground.finish(root, f"files of at most {most} bytes")


def mounted(ground: Ground) -> Path | None:
    """A file system of its own, too small for some part of a run; None where none may be mounted."""
    place, most = ground.folder / "small", int(2 ** ground.rng.uniform(16, 23))
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={most}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        ground.tally.counts["small disks that could not be mounted"] += 1
        return None
    return place


def on_a_small_disk(ground: Ground, place: Path) -> None:
    code, said = ground.start(place, "--jobs", "2").ended()
    ground.tally.counts["runs on a disk too small"] += 1
    ground.judge(said, code, ENDS, "a disk too small")
    root = ground.folder / "full"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(place, root)  # the disk was freed
    ground.finish(root, "a disk too small")
