"""The ledger: what every trial of a suite came to, on disk, under hashes, so that it cannot lie.

`results/<suite>/plan.json` says what was planned, `trials/<name>/record.json` what happened; `ledger.jsonl` is an index
that can be rebuilt from the records. A damaged record is reported by name and counts as absent.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError, did_you_mean
from harness.files import Damaged, as_json, read_json, verified, write_atomic, write_hashed_json, write_json
from harness.ledger.manifest import NEEDED, check_content, known_files, manifest_of
from harness.ledger.packed import HISTORY, PACK, RECORD, VALUES, PackDamaged, packed, read_trial_file
from harness.ledger.planned import Planned
from harness.lock import Busy, claim_trial, guarded

__all__ = ["Busy", "Ledger", "Record", "claim_trial", "inside", "ledgers", "write_atomic", "write_json"]

SCHEMA_VERSION = 1
STATUSES = ("done", "failed", "diverged", "oom", "timeout", "skipped")
PLAN_VERSION = 2  # from this one on a plan carries its hash
INDEX_KEYS = ("name", "label", "seed", "pair", "scale", "status", "digest", "score_digest", "sha256")


@dataclass(frozen=True)
class Record:
    """One finished (or failed) trial, as in its record.json; `folder` holds its files. Missing numbers are absent."""

    name: str
    label: str
    seed: int
    status: str
    suite: str = ""
    scale: str = ""
    cell: Mapping[str, Any] = field(default_factory=dict)
    pair: str = ""
    digest: str = ""
    score_digest: str = ""
    reason: str | None = None
    log_tail: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by metric: `harness.ledger.facts.to_record`
    cost: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by path; empty in records of earlier versions
    environment: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 1
    resumed_from: int | None = None
    started: str = ""
    finished: str = ""
    sha256: str = ""
    folder: Path = Path()

    @classmethod
    def of(cls, trial: Planned, status: str, **values: Any) -> Record:
        """The record of a planned trial: what it is, how it ended, and the `values` it came to."""
        return cls(
            name=trial.name, label=trial.label, seed=trial.seed, suite=trial.suite, scale=trial.scale,
            cell=dict(trial.cell), pair=trial.pair, digest=trial.digest, score_digest=trial.score_digest,
            spec=trial.spec.model_dump(mode="json"), status=status, **values,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The content of record.json, without its own hash."""
        skipped = ("folder", "sha256")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skipped}
        return {"schema_version": SCHEMA_VERSION, **values}


def inside(root: Path, *parts: str) -> Path:
    """`root/parts...`: each part a safe name, under `root` even when links are followed. UsageError if not."""
    for part in parts:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,199}", part):
            raise UsageError(f"{part!r} is no usable name. Expected small letters, digits and . _ -")
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{path} leads out of {root}. Remove the link")
    return path


class Ledger:
    """The records of one suite's folder. `damaged` lists (name, reason) of records that the last reading refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.damaged: list[tuple[str, str]] = []

    @property
    def index(self) -> Path:
        """ledger.jsonl."""
        return self.folder / "ledger.jsonl"

    def plan(self) -> dict[str, Any] | None:
        """The content of plan.json; None when there is none. EnvironmentProblem when it is damaged."""
        path = self.folder / "plan.json"
        try:
            plan = read_json(path)
            return plan if plan.get("schema_version") == 1 and "sha256" not in plan else verified(plan)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, Damaged) as error:
            raise EnvironmentProblem(f"{path}: damaged: {error}. Run the suite again to write it anew") from None

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Write plan.json under its hash."""
        write_hashed_json(self.folder / "plan.json", {"schema_version": PLAN_VERSION, **plan})

    def trial_folder(self, name: str) -> Path:
        """The folder of a trial, checked to lie under this one; not created."""
        return inside(self.folder, "trials", name)

    def read(self, name: str) -> Record | None:
        """The record of a trial; None when there is none, or when it is damaged (then `damaged` says so)."""
        try:
            folder = self.trial_folder(name)
            if not (folder / RECORD).resolve().is_relative_to(self.folder.resolve()):
                raise ValueError("it leads out of the ledger")
            whole = as_json(read_trial_file(folder, RECORD)[0])
            values = verified(whole)
            if values.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("it has another schema version")
            if values["name"] != name or values["status"] not in STATUSES:
                raise ValueError("it is another trial's, or has an unknown status")
            return Record(**values, sha256=whole["sha256"], folder=folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PackDamaged as error:
            self._refuse_pack(error)
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
            self.damaged.append((name, f"record.json of {name} is damaged: {error}"))
            return None

    def records(self) -> list[Record]:
        """All readable records, by label, seed and name. `damaged` is set anew."""
        self.damaged = []
        found = [record for name in self.names() if (record := self.read(name))]
        return sorted(found, key=lambda record: (record.label, record.seed, record.name))

    def names(self) -> list[str]:
        """The trials with a record, be it readable or not."""
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names |= {e.name for e in os.scandir(self.folder / "trials") if os.path.lexists(Path(e.path, RECORD))}
        try:
            names |= packed(self.folder).keys()
        except PackDamaged as error:
            self._refuse_pack(error)
        return sorted(names)

    def values(self, record: Record) -> dict[str, list[float]]:
        """Per-image values by metric; empty when there are none. NaN is null in the file and NaN here."""
        content = self._content(record, VALUES)
        try:
            values = json.loads(gzip.decompress(content)) if content else {}
            return {name: [float("nan") if v is None else float(v) for v in row] for name, row in values.items()}
        except (ValueError, AttributeError, TypeError) as error:
            self._refuse(record, VALUES, f"it cannot be read: {error}")
            return {}

    def write_values(self, name: str, values: Mapping[str, list[float | None]]) -> None:
        """Write the per-image values of a trial: the largest part of its records, so compressed."""
        content = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
        write_atomic(self.trial_folder(name) / VALUES, gzip.compress(content, mtime=0))

    def history(self, record: Record) -> list[dict[str, Any]]:
        """The training history, one entry a logged step; a torn last line is left out."""
        found = []
        for line in (self._content(record, HISTORY) or b"").decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [entry for entry in found if isinstance(entry, dict)]

    def pictures(self, record: Record) -> dict[str, Path]:
        """The pictures that scoring left, by file name; damaged ones are left out."""
        there = (record.folder / "pictures").glob("*")
        names = sorted(path.name for path in there if path.suffix in (".png", ".webp"))
        return {name: record.folder / "pictures" / name for name in names if self._content(record, f"pictures/{name}")}

    def _content(self, record: Record, name: str) -> bytes | None:
        """A file of a trial as it was written; None when it is absent, or damaged (then `damaged` says so)."""
        known = known_files(record)
        try:
            content, vouched = read_trial_file(record.folder, name)
            if not vouched:
                check_content(name, content, known)
            return content
        except FileNotFoundError:
            if name in NEEDED and name in known:
                self._refuse(record, name, "it is missing")
        except Damaged as error:
            self._refuse(record, name, str(error))
        except OSError as error:
            self._refuse(record, name, f"it cannot be read: {error.strerror or error}")
        return None

    def _refuse_pack(self, error: PackDamaged) -> None:
        entry = (PACK, f"{PACK} is damaged: {error}")
        if entry not in self.damaged:  # once, not for each trial in it
            self.damaged.append(entry)

    def _refuse(self, record: Record, name: str, why: str) -> None:
        self.damaged.append((record.name, f"{name} of {record.name} is damaged: {why}"))

    def write(self, record: Record, *, index: bool = True) -> Record:
        """Write the record under its hash and bring the index up to date. Returns it with `sha256` and `folder` set.

        A done one gets the manifest of its files: they must all be there before. `index`: the index, for which all
        records are read, is brought up to date now, and not by a later `rebuild`.
        """
        if record.status not in STATUSES:
            raise ValueError(f"unknown status {record.status!r}")
        folder = self.trial_folder(record.name)
        files = manifest_of(folder) if record.status == "done" else {}
        write_hashed_json(folder / RECORD, replace(record, files=files).to_dict())
        if index:
            self.rebuild()
        written = self.read(record.name)
        if written is None:
            raise EnvironmentProblem(f"{folder / RECORD}: was written and cannot be read back. Check the disk")
        return written

    def rebuild(self) -> Path:
        """Write the index anew from the records; the same records give the same bytes."""
        with guarded(self.folder):  # reading all records and writing the index are one act
            write_atomic(self.index, self.index_text(self.records()))
        return self.index

    @staticmethod
    def index_text(records: Iterable[Record]) -> bytes:
        """The index of these records: a line of JSON each."""
        lines = [json.dumps({key: getattr(record, key) for key in INDEX_KEYS}) for record in records]
        return "".join(line + "\n" for line in lines).encode()


def ledgers(root: Path) -> list[Ledger]:
    """The suites' ledgers under a results root, by name."""
    folders: Iterable[Path] = sorted(root.iterdir()) if root.is_dir() else ()
    return [Ledger(folder) for folder in folders if (folder / "plan.json").is_file()]


def results_of(name: str, root: Path) -> Path:
    """The folder with the plan of a suite: `name` is a folder, a suite's name or its file. UsageError without any."""
    folder = Path(name)
    if not (folder / "plan.json").is_file():
        folder = inside(root, Path(name).stem)
    if not (folder / "plan.json").is_file():
        known = [ledger.folder.name for ledger in ledgers(root)]
        raise UsageError(f"there are no results of {name!r} under {root}. {did_you_mean(name, known)}")
    return folder
