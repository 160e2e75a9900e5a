"""Any file of finished results flipped, cut or emptied: it is named, and the same command makes it right again."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.faults.ground import Ground

# Of a moment, for people, or made again from the records whenever they differ: they feed no number.
PASSING = {"log.txt", ".guard", "owner.json", "job.json", "status.json", "ledger.jsonl"}
MOST = 80  # files damaged at once
KEEPERS = (
    "record.json",
    "manifest.json",
    "store.json",
    "report.made.json",
)  # each holds the hashes of the files beside and below it
DELETE = re.compile(r"^(.*?): damaged: .* To (?:rebuild it: |time the steps again: )?delete (\S+?)[,:] ", re.MULTILINE)
NAMED = re.compile(r"^(.*?): damaged: ", re.MULTILINE)


def damaged(ground: Ground) -> None:
    """Damage files of finished results: `verify` names each, a report is not silent, and a run makes all right."""
    root = ground.folder / "damaged"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ground.whole, root, symlinks=True)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in PASSING)
    files = [path for path in files if path.stat().st_size and not path.name.startswith(".")]
    if ground.rng.random() < 0.7:  # mostly the hashes themselves are whole, and each file has to be named by itself
        files = [path for path in files if path.name not in KEEPERS]
    hurt = {}
    for file in ground.rng.sample(files, min(len(files), ground.rng.randint(MOST // 4, MOST))):
        hurt[file] = f"{file.relative_to(root)} {damage(ground, file, file.read_bytes())}"
    ground.tally.counts["damaged files"] += len(hurt)
    code, said = ground.call(["verify", str(root)]).ended()
    ground.judge(said, code, (1,), f"verify after: {list(hurt.values())[:3]}")
    named = {Path(text) for text in NAMED.findall(said)}
    for file, how in hurt.items():
        if file in named or named & set(file.parents):
            ground.tally.counts["damaged files named by themselves or their folder"] += 1
        elif any(keeper in named for keeper in keepers_of(file, root)):
            ground.tally.counts["damaged files whose hashes were damaged, too, and named"] += 1
        else:
            ground.tally.problem(f"{how}: not named by verify")
    for place, what in DELETE.findall(said):  # as verify says
        target = next(path for path in [Path(place), *Path(place).parents] if what == "it" or path.name == what)
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    repaired(ground, root, hurt)


def keepers_of(file: Path, root: Path) -> list[Path]:
    """The files that may hold this file's hash."""
    return [parent / name for parent in file.parents if parent.is_relative_to(root) for name in KEEPERS]


def damage(ground: Ground, file: Path, content: bytes) -> str:
    """Change a file; how, in words."""
    way, at = ground.rng.choice(["flipped", "cut", "zeroed", "emptied", "longer"]), ground.rng.randrange(len(content))
    if way == "flipped":
        bit = 1 << ground.rng.randrange(8)
        file.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        return f"bit {bit} of byte {at} flipped"
    if way == "zeroed" and any(content[at : at + 64]):
        file.write_bytes(content[:at] + bytes(len(content[at : at + 64])) + content[at + 64 :])
        return f"64 bytes at {at} zeroed"
    if way == "emptied":
        file.write_bytes(b"")
        return "emptied"
    if way == "longer":
        file.write_bytes(content + b"x")
        return "longer by a byte"
    file.write_bytes(content[:at])
    return f"cut at byte {at}"


def repaired(ground: Ground, root: Path, hurt: dict[Path, str]) -> None:
    """A report says that something is left out, or is right; a run repairs it all; then nothing is damaged."""
    what = "; ".join(list(hurt.values())[:4])
    if ground.rng.random() < 0.3:
        code, said = ground.call(["report", "tiny", "--results", str(root)]).ended()
        ground.judge(said, code, (0, 1, 2, 4), f"report after: {what}")
        if code == 0 and any(file.name == "record.json" for file in hurt):
            ground.tally.problem(f"report was silent about: {what}")
        ground.tally.counts["reports of damaged results"] += 1
    gone = {file.name for file in hurt if file.parent.name == "previews"}
    ground.finish(root, f"damaged: {what}", gone)
    code, said = ground.call(["verify", str(root)]).ended()
    left = [line for line in said.splitlines() if "damaged: " in line]
    if left:
        ground.tally.problem(f"still damaged after a run: {left[:2]}; damaged were: {what}")
