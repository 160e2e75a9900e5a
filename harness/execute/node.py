"""One trial on a node of a cluster: fetch what there is of it, run it as this machine runs its own, bring all back.

The node shares no file system with the machine that asked. Images are rendered or unpacked where they are needed, once
a node, in a scratch folder; the trial's process is the one that runs at home.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import os
import platform
import shutil
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.execute.desk import PIECE, files_of
from harness.execute.executor import Job
from harness.execute.local import LocalExecutor
from harness.files import Damaged, hash_of, read_json
from harness.ledger.records import Ledger
from harness.lock import guarded, held
from harness.trials.trial import Trial

SCRATCH = "HARNESS_SCRATCH"  # names the folder for what can be made again, instead of the system's temporary one
BEAT_S, FILES_S = 0.5, 10.0  # between two signs of life, and between two sendings of files
SHARE = 20  # sending takes at most a twentieth of the time: large checkpoints travel more rarely
LEAVES_S = 15.0  # the process of a lost execution has so long to write its checkpoint and leave

_verified: set[str] = set()  # kinds of trials whose code was found to be that of the plan; it stays in a worker's life

Call = Callable[..., Any]  # call(method of the desk, *arguments)


def versions() -> dict[str, str]:
    """What must be the same on all machines of a run."""
    torch = importlib.metadata.version("torch").partition("+")[0]  # builds for CPU and CUDA may meet
    return {"Python": platform.python_version().rpartition(".")[0], "torch": torch}


def scratch() -> Path:
    """This node's folder for image sets and trials under way, for this user alone."""
    named = os.environ.get(SCRATCH)
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"faceswap-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def execute(description: Mapping[str, Any], call: Call, faces: Callable[[], Iterable[bytes]] | None) -> dict[str, Any]:
    """Run the trial of a description on this node; how it ended: `reason`, `busy`, `unfit`, and its `record` or None.

    `faces` fetches an own folder of faces, packed. Raises Overtaken when another node has the trial.
    """
    if differing := [f"{k} {v} there, {description['versions'][k]} here" for k, v in versions().items()
                     if v != description["versions"][k]]:  # fmt: skip
        return _ended(f"other versions: {', '.join(differing)}", unfit=True)
    try:
        return _executed(description, call, faces)
    except (HarnessError, OSError) as error:  # this node's disk is full, say
        return _ended(f"{type(error).__name__}: {error}")


def _ended(reason: str, busy: bool = False, unfit: bool = False, record: Any = None) -> dict[str, Any]:
    return {"reason": reason, "busy": busy, "unfit": unfit, "record": record}


def _executed(
    description: Mapping[str, Any], call: Call, faces: Callable[[], Iterable[bytes]] | None
) -> dict[str, Any]:
    root = scratch()
    trial = Trial.from_dict(description["trial"])
    if faces is not None:
        source = unpacked(faces, root / "folders" / trial.fingerprint)
        data = trial.spec.data.model_copy(update={"source": str(source)})
        trial = replace(trial, spec=trial.spec.model_copy(update={"data": data}))
    folder = Ledger(root / trial.suite).trial_folder(trial.name)
    with _to_itself(folder):
        errand = Errand(call, trial.name, folder)
        errand.fetch()
        plugins = tuple(written(name, text, root / "plugins") for name, text in description["plugins"])
        kind = hash_of([trial.spec.model.model_dump(), sorted(trial.spec.loss), trial.metrics, plugins])
        job = Job(trial, folder, description["attempt"], description["kept"], plugins, verify=kind not in _verified)
        gpus = tuple(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")))
        device = description["device"]
        slots = 1 + description["shared"]
        attempt = LocalExecutor(root, slots, device, gpus if device == "cuda" else ()).start(job)
        try:
            while (ended := attempt.ended()) is None:
                if not errand.report():
                    attempt.stop()
                time.sleep(BEAT_S)
        finally:
            attempt.kill()
        errand.send()
        record = _record(folder)
        if record and record["status"] == "done":
            _verified.add(kind)
        return _ended(ended.reason, ended.busy, ended.unfit, record)


def _record(folder: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, Damaged):
        return read_json(folder / "record.json")
    return None


@contextlib.contextmanager
def _to_itself(folder: Path) -> Iterator[None]:
    """An empty folder, gone after the block. A process of a lost execution may still be leaving it."""
    end = time.monotonic() + LEAVES_S
    while held(folder) and time.monotonic() < end:
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield
    shutil.rmtree(folder, ignore_errors=True)


class Errand:
    """What one execution of a trial fetches from the desk and brings there."""

    def __init__(self, call: Call, name: str, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.call, self.name, self.folder, self.clock = call, name, folder, clock
        self.execution = uuid.uuid4().hex
        self.there: dict[str, tuple[int, int]] = {}
        self.status: tuple[int, int] | None = None
        self.next = clock() + FILES_S

    def fetch(self) -> None:
        """Take what there is of the trial: checkpoints, or weights that need a new scoring only."""
        for path, size in self.call("begin", self.name, self.execution).items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "wb") as file:
                while file.tell() < size:
                    file.write(self.call("give", self.name, path, file.tell()) or bytes(size - file.tell()))
        self.there = files_of(self.folder)

    def report(self) -> bool:
        """Show a sign of life, and send files when it is time; whether the trial may go on."""
        goes_on = self.call("beat", self.name, self.execution, self._news())
        if goes_on and self.clock() >= self.next:
            self.send()
        return bool(goes_on)

    def _news(self) -> bytes | None:
        path = self.folder / "status.json"
        try:
            stat = path.stat()
            seen, self.status = self.status, (stat.st_mtime_ns, stat.st_ino)
            return None if self.status == seen else path.read_bytes()
        except OSError:
            return None

    def send(self) -> None:
        """Send the files that are new or have changed, and drop old checkpoints there."""
        began = self.clock()
        files = files_of(self.folder)
        for path, stamp in files.items():
            if self.there.get(path) != stamp and self._sent(path):
                self.there[path] = stamp
        if checkpoints := [path for path in files if path.startswith("checkpoint/")]:
            self.call("keep", self.name, self.execution, checkpoints)
        self.next = self.clock() + max(FILES_S, SHARE * (self.clock() - began))

    def _sent(self, path: str) -> bool:
        try:
            with open(self.folder / path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                for offset in range(0, max(1, size), PIECE):
                    piece = file.read(min(PIECE, size - offset))
                    self.call("take", self.name, self.execution, path, offset, piece, offset + PIECE >= size)
        except FileNotFoundError:
            return False  # an old checkpoint, dropped meanwhile
        return True


def packed(folder: Path, names: Iterable[str], piece: int = 2 * PIECE) -> Iterator[bytes]:
    """These files of a folder as tar archives, each of about so many bytes. What is missing is missing there, too."""
    batch, size = list[str](), 0
    for name in names:
        with contextlib.suppress(OSError):
            size += os.path.getsize(folder / name)
            batch.append(name)
        if size >= piece:
            yield _archive(folder, batch)
            batch, size = [], 0
    yield _archive(folder, batch)


def _archive(folder: Path, names: Iterable[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.add(folder / name, name, recursive=False)
    return buffer.getvalue()


def unpacked(archives: Callable[[], Iterable[bytes]], folder: Path) -> Path:
    """The folder with what was packed, fetched and unpacked once; several at once wait for one of them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with guarded(folder.parent, f".guard-{folder.name[:12]}"):
        if not folder.is_dir():
            temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=folder.parent))
            for content in archives():
                with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                    archive.extractall(temporary, filter="data")
            temporary.rename(folder)
    return folder


def written(name: str, text: str, folder: Path) -> str:
    """The path of a plugin on this node: its text under its own name, beside no other."""
    file = folder / hashlib.sha256(text.encode()).hexdigest()[:16] / name
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{name}.{uuid.uuid4().hex}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
    return str(file)
