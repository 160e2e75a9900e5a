"""Other people's weights on this machine: what is there, taking a file in, and what training and scoring make of it."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import registry
from harness.errors import EnvironmentProblem, UsageError, did_you_mean
from harness.files import write_atomic
from harness.spec import Spec
from models import pretrained
from models.pretrained import FACE_EMBEDDERS, FILES, BadWeights, Pretrained

if TYPE_CHECKING:
    import torch

    from models import lpips, photographs

# One only, so that a metric's name says what it is; the authors' own for measuring.
SCORING_TRUNK: Literal["alex"] = "alex"


@dataclass(frozen=True)
class State:
    """One file: `state` is present, missing or damaged; `note` says how far its hash is known, or what is wrong."""

    known: Pretrained
    state: str
    note: str


def states() -> list[State]:
    """Every file the harness knows. Present ones are hashed."""
    found = []
    for known in FILES.values():
        if not known.path.is_file():
            found.append(State(known, "missing", known.hash_text))
            continue
        try:
            digest = pretrained.verify(known.name)
        except (BadWeights, OSError) as error:
            found.append(State(known, "damaged", str(error)))
            continue
        checked = "" if known.prefix or known.record.is_file() else ", not recorded: harness weights add"
        found.append(State(known, "present", f"SHA-256 {digest[:16]}...{checked}"))
    return found


def add(file: Path, name: str | None = None) -> tuple[Path, str]:
    """Check a file, copy it to its place and note its SHA-256 beside it; (path, SHA-256).

    `name`: which one it is, when its file name does not tell. UsageError for a file that is none of them,
    EnvironmentProblem for one that is damaged or cannot be copied. Nothing is changed then.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    known = _which(file, name)
    try:
        digest = pretrained.sha256(file)
        if not digest.startswith(known.prefix or ""):
            raise BadWeights(f"{file}: its SHA-256 is {digest}, expected {known.prefix}...: damaged, or another file")
        _open(known.name, file)
        _copy(file, known.path, digest)
    except BadWeights as error:
        raise EnvironmentProblem(f"{error}. Get it again from {known.origin}") from None
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename or file}: {error.strerror or error}") from None
    write_atomic(known.record, f"{digest}  {known.file}\n".encode())
    return known.path, digest


def _which(file: Path, name: str | None) -> Pretrained:
    name = "arcface_onnx" if name == "arcface" and file.suffix == ".onnx" else name
    by_file = {known.file: known for known in FILES.values()} | FILES
    wanted = name or file.name
    if wanted not in by_file:
        hint = did_you_mean(wanted, FILES if name else {known.file for known in FILES.values()})
        raise UsageError(f"{wanted!r} is not a file of weights known here. {hint} --as NAME: {', '.join(FILES)}")
    return by_file[wanted]


def _open(name: Any, file: Path) -> None:
    """Look at everything in a file. Raises BadWeights."""
    from models import arcface, lpips, photographs

    if name.startswith("arcface"):
        arcface.load(file)
    else:
        pretrained.read(file, lpips.shapes(name) if name in lpips.TAPS else photographs.shapes(name))


def _copy(file: Path, place: Path, digest: str) -> None:
    """A copy that appears whole or not at all, read back."""
    if place.exists() and place.samefile(file):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(file, temporary)
        if pretrained.sha256(temporary) != digest:
            raise BadWeights(f"{temporary}: the copy differs from {file}")
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def preflight(specs: Iterable[Spec]) -> None:
    """Ask each loss term in use whether it could be built here, and look for damage in what scoring would read.

    EnvironmentProblem names file, hash and place; UsageError tells of a term that cannot read these faces.
    """
    asked: list[tuple[str, dict[str, Any], bool]] = []
    for_scores: set[str] = set()
    for spec in specs:
        builtin = spec.data.source == "builtin"
        for_scores |= {SCORING_TRUNK, *_face_names(builtin)}
        asked += [(name, dict(term.options), builtin) for name, term in spec.loss.items() if term.weight > 0]
    for name, options, builtin in {repr(one): one for one in asked}.values():
        loss = registry.get("loss", name)
        if loss.has("unfit") and (why := loss.object.unfit(options, builtin)):
            raise UsageError(f"the loss {name!r} does not fit the data: {why}")
        try:
            if loss.has("preflight"):
                loss.object.preflight(options)
        except BadWeights as error:
            raise EnvironmentProblem(f"the loss {name!r} cannot be computed: {error}") from None
    for name in filter(pretrained.present, for_scores):
        _ready(functools.partial(pretrained.verify, name))


def absences(specs: Iterable[Spec]) -> list[str]:
    """What absent files mean for these trials, in sentences: what stands in for them, what is lacking."""
    specs = list(specs)
    terms = [term.options for spec in specs for name, term in spec.loss.items() if name == "perceptual" and term.weight]
    found = []
    if any(options["kind"] == "gradient" and not pretrained.present(options["net"]) for options in terms):
        found.append("the loss `perceptual` is the multi-scale gradient here, not LPIPS, whose weights are absent")
    if any(term.options.get("random") for spec in specs for name, term in spec.loss.items() if name == "lpips"):
        found.append("the loss `lpips` has random weights: it costs as much as the real one and means nothing")
    photographs = any(spec.data.source != "builtin" for spec in specs)
    if photographs and not any(pretrained.present(name) for name in FACE_EMBEDDERS):
        found.append(f"whom a swap shows will not be scored: no recogniser of photographs is here. {face_advice()}")
    return found


def scoring_state(synthetic: bool) -> str:
    """Which weights would take part in scoring; part of the score digest, so that a new file outdates old scores."""
    found = [name for name in (SCORING_TRUNK, *_face_names(synthetic)) if pretrained.present(name)]
    # Which network a file of the user's own is, only its content says.
    own = {name: pretrained.sha256(FILES[name].path)[:16] for name in found if name.startswith("arcface")}
    return "".join(f"+{name}{own.get(name, '')}" for name in found)


def _face_names(synthetic: bool) -> list[str]:
    return [] if synthetic else list(FACE_EMBEDDERS)


@functools.cache
def perceptual(device: torch.device) -> lpips.LPIPS | None:
    """LPIPS for scoring, with `.name`; None when the trunk is missing. EnvironmentProblem for a damaged file."""
    from models.lpips import LPIPS

    return _ready(lambda: LPIPS(SCORING_TRUNK).to(device)) if pretrained.present(SCORING_TRUNK) else None


@functools.cache
def face_embedder(device: torch.device) -> Any:
    """The identity embedder for photographs, the first of FACE_EMBEDDERS that is here; None without any.

    EnvironmentProblem when it is damaged.
    """
    import torch

    from models import arcface
    from models.photographs import FaceNet

    name: Any = next((name for name in FACE_EMBEDDERS if pretrained.present(name)), None)
    if name is None:
        return None
    if not name.startswith("arcface"):
        return _ready(lambda: FaceNet(name).to(device))
    _ready(functools.partial(pretrained.verify, name))
    net = _ready(lambda: arcface.load(FILES[name].path))
    return net.to(device) if isinstance(net, torch.nn.Module) else net


def face_advice() -> str:
    """What would bring a recogniser of photographs: the file, its hash and its place."""
    known = pretrained.FILES["vggface2"]
    return f"One file unlocks it: {known.file}, into {known.path.parent}. {known.missing().how}"


@functools.cache
def face_finder(device: torch.device) -> photographs.FaceFinder:
    """MTCNN for photographs."""
    from models.photographs import FaceFinder

    return FaceFinder(device)


def _ready(make: Any) -> Any:
    try:
        return make()
    except BadWeights as error:
        raise EnvironmentProblem(str(error)) from None
