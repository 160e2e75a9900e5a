"""Any file of finished results flipped, cut or emptied: it is named, and the same command makes it right again."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.cli.verification import verify_folder
from harness.errors import HarnessError
from tests.faults.ground import Ground, ended

# Of a moment, for people, or made again from the records whenever they differ: they feed no number.
PASSING = {"log.txt", ".guard", "owner.json", "job.json", "status.json", "ledger.jsonl"}
A_ROUND = 100
REPAIRED = 1  # of a round: those after which everything is run again


def damaged(ground: Ground) -> None:
    """Damage files one after the other; after the last one the suite is reported and run again."""
    root = ground.folder / "damaged"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ground.whole, root, symlinks=True)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in PASSING)
    files = [path for path in files if path.stat().st_size]
    for _ in range(A_ROUND):
        file = ground.rng.choice(files)
        content = file.read_bytes()
        how = damage(ground, file, content)
        named = findings(ground, root, f"{file.relative_to(root)} {how}")
        if not any(name == file or name in file.parents for name in named):
            ground.tally.problem(f"{file.relative_to(root)} {how}: not named by verify")
        file.write_bytes(content)
        ground.tally.counts["damaged files"] += 1
    repaired(ground, root, files)


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


def findings(ground: Ground, root: Path, what: str) -> set[Path]:
    """The files that `harness verify` names."""
    try:
        return {finding.path for finding in verify_folder(root).findings}
    except HarnessError as error:
        ground.tally.problem(f"{what}: verify ended: {error}")
    except Exception as error:
        ground.tally.problem(f"{what}: verify: traceback: {error!r}")
    return {root}


def repaired(ground: Ground, root: Path, files: list[Path]) -> None:
    """Damage a few files at once: a report says that something is left out or is right, and a run repairs it all."""
    told = []
    for file in ground.rng.sample(files, min(len(files), ground.rng.randint(1, 4))):
        told.append(f"{file.relative_to(root)} {damage(ground, file, file.read_bytes())}")
    ground.tally.counts["damaged files"] += len(told)
    what = "; ".join(told)
    code, said = ended(ground.call(["report", "tiny", "--results", str(root)]))
    ground.judge(said, code, (0, 1, 2, 4), f"report after: {what}")
    if code == 0 and any("/record.json " in one for one in told):
        ground.tally.problem(f"report was silent about: {what}")
    ground.finish(root, f"damaged: {what}")
