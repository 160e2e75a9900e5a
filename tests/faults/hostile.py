"""Suites and EXR files that were made to break: always one plain error. What broke something is kept."""

from __future__ import annotations

import hashlib
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.data.decode import decode_files
from harness.data.exr import write_exr
from harness.data.image_file import Job
from harness.errors import HarnessError
from harness.suite.suite import from_document
from harness.suite.yamlfile import parse
from harness.trials.trial import trials
from tests.faults.ground import HOME, SUITE, Ground

CORPUS = HOME / "tests" / "corpus"
SUITES, IMAGES = 100, 128  # a round
SLOW_S = 10
NASTY = (
    "1e999", "-1", "0", "null", "[]", "{}", '""', "~", "true", "99999999999999999999", "&a [*a]", "*a", "[[[[[[[[",
    '"\\0"', "../../etc", "? ", "- ", ": ", "{<<: *a}", "1e-400", ".nan", "-.inf", "\u202e", "'", '"\\ud800"',
    "2026-11-21", "0x1F", "1_000", "%", "\t", "---", "...", "model.grid", "loss.l1", "{p: 0.5}", "!!binary aGk=",
    "!!python/name:os",
)  # fmt: skip


def suites(ground: Ground) -> None:
    """Texts near to suites: each is planned, or refused with one error."""
    trials(from_document(parse(SUITE, "s.yaml"), Path("s.yaml")), "quick")  # what it imports is no delay of others
    known = [*[SUITE] * 20, *(file.read_text() for file in sorted((CORPUS / "suites").glob("*.yaml")))]
    for _ in range(SUITES):
        text = ground.rng.choice(known)
        for _ in range(ground.rng.choice([1, 1, 1, 2, 4])):
            text = changed(ground.rng, text)
        ground.tally.counts["hostile suites"] += 1
        try:
            with within(SLOW_S):
                trials(from_document(parse(text, "s.yaml"), Path("s.yaml")), "quick")
            ground.tally.counts["hostile suites that are suites"] += 1
        except HarnessError as error:
            if not str(error) or "\n" in str(error).strip() or error.code not in (2, 4):
                keep(ground, "suites", text.encode(), ".yaml", f"a message of several lines or none: {error!r}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            keep(ground, "suites", text.encode("utf-8", "surrogatepass"), ".yaml", repr(error))


def changed(rng: random.Random, text: str) -> str:
    """One edit: a span cut, doubled or replaced, a line moved, or a value that nobody expects."""
    at, far = rng.randrange(len(text) + 1), rng.randint(0, 12)
    lines = text.splitlines(keepends=True)
    edits: list[Callable[[], str]] = [
        lambda: text[:at] + text[at + far :],
        lambda: text[: at + far] + text[at:],
        lambda: text[:at] + rng.choice(NASTY) + text[at:],
        lambda: text[:at] + rng.choice(NASTY) + text[at + far :],
        lambda: "".join(rng.sample(lines, len(lines))) if rng.random() < 0.2 else "".join(lines + lines[-2:]),
        lambda: text[:at] + chr(rng.randrange(0x2FF)) + text[at + 1 :],
    ]
    head, colon, tail = (line := rng.choice(lines or [""])).partition(": ")
    edits += [lambda: text.replace(line, f"{head}: {rng.choice(NASTY)}\n", 1)] * 3 if colon and tail else []
    return rng.choice(edits)()


def images(ground: Ground) -> None:
    """EXR files with flipped, cut and invented bytes: each is refused with a reason, or decodes to finite pixels."""
    folder = ground.folder / "images"
    folder.mkdir(exist_ok=True)
    whole = folder / "whole.exr"
    pixels = np.random.default_rng(0).random((4, 24, 24), dtype=np.float32)
    pixels[3] = 1
    write_exr(whole, pixels)
    content = whole.read_bytes()
    files = []
    for index in range(IMAGES):
        files.append(folder / f"{index:03}.exr")
        files[-1].write_bytes(broken(ground.rng, content))
    ground.tally.counts["hostile EXR files"] += IMAGES
    rows = folder / "rows.bin"
    try:
        with within(60 * SLOW_S):
            outcomes = decode_files([Job(str(file), None) for file in files], rows, 16)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        ground.tally.problem(f"decoding: {error!r}")
        return
    values = np.fromfile(rows, np.float16).reshape(IMAGES, -1)
    for file, outcome, row in zip(files, outcomes, values, strict=True):
        if outcome.reason is None:
            ground.tally.counts["hostile EXR files that decode"] += 1
            if not np.isfinite(row).all():
                keep(ground, "images", file.read_bytes(), ".exr", "pixels that are not finite")
        elif "Traceback" in outcome.reason or "\n" in outcome.reason:
            keep(ground, "images", file.read_bytes(), ".exr", outcome.reason)


def broken(rng: random.Random, content: bytes) -> bytes:
    """One damaged copy; half of the damage is in the header."""
    bytes_ = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if len(bytes_) < 2:
            break
        at = rng.randrange(min(len(bytes_), 400) if rng.random() < 0.5 else len(bytes_))
        way = rng.randrange(4)
        if way == 0:
            bytes_[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            bytes_[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80"])
        elif way == 2:
            bytes_[at : at + 1] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 9)))
        elif rng.random() < 0.3:
            del bytes_[max(at, 1) :]
    return bytes(bytes_)


def keep(ground: Ground, kind: str, content: bytes, suffix: str, why: str) -> None:
    """Save what broke something in the corpus, which the tests go through from then on."""
    file = CORPUS / kind / f"found_{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((b"# expect: harness:\n" if kind == "suites" else b"") + content)
    ground.tally.problem(f"{file.relative_to(HOME)}: {why[:300]}")


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """The block ends in time, or TimeoutError is raised in it."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
