"""Whom a face recogniser sees in a swap: cosines, verification (TAR at FAR), retrieval among other people.

`embed(images (B, 3, H, W)) -> (B, E)` unit vectors. The recogniser that scores must not be the one that trained, and
must tell people apart here: `id_auc` is its own area under the ROC curve on the real images of this evaluation, and its
95 % interval must lie above 0.98.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import expit, logit
from scipy.stats import rankdata, t
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values, driver_of, target_of
from metrics.identity import transfer
from metrics.info import MetricInfo

FAR = 0.01
DISTRACTORS = 50  # retrieval among fewer people is too easy to mean anything
VALID_AUC = 0.98  # under the interval of the recogniser's AUC, else nothing it says is believed
BLOCKS = 10  # of pictures, each left out once: the jackknife behind that interval


class UnreachableFAR(ValueError):
    """There are too few impostor scores to place a threshold at the asked false accept rate."""


class Verification(NamedTuple):
    """`tar` (folds,), `far` (folds,) measured on the held-out fold, `thresholds` (folds,), `accepted` (n,) shares."""

    tar: np.ndarray
    far: np.ndarray
    thresholds: np.ndarray
    accepted: np.ndarray


def tar_at_far(genuine: np.ndarray, impostor: np.ndarray, far: float = FAR, folds: int = 10) -> Verification:
    """True accept rate at a false accept rate, each fold judged by the threshold that the other folds give.

    genuine (n,) or (n, g), impostor (m,) or (m, g): similarities, rows are probes; whole rows are dealt to the folds
    in turn, so that no probe is on both sides. A threshold is the smallest with at most `far` of the training
    impostors above it. Raises UnreachableFAR when a training set holds fewer than 1 / far impostor scores, ValueError
    when there are fewer probes than folds. Protocol: LFW, with the threshold chosen for FAR (Huang et al. 2007).
    """
    genuine, impostor = genuine.reshape(len(genuine), -1), impostor.reshape(len(impostor), -1)
    if min(len(genuine), len(impostor)) < folds:
        raise ValueError(f"{folds} folds need as many probes; got {len(genuine)} genuine and {len(impostor)} impostor")
    of_genuine, of_impostor = np.arange(len(genuine)) % folds, np.arange(len(impostor)) % folds
    thresholds, tars, fars = np.empty(folds), np.empty(folds), np.empty(folds)
    accepted = np.empty(len(genuine))
    for fold in range(folds):
        train = np.sort(impostor[of_impostor != fold].ravel())[::-1]
        allowed = int(np.floor(far * train.size + 1e-9))
        if allowed < 1:
            raise UnreachableFAR(
                f"FAR {far:g} needs at least {int(np.ceil(1 / far))} impostor scores in the training folds, "
                f"got {train.size}: ask for a FAR of {1 / train.size:.2g} or more, or give more impostors"
            )
        thresholds[fold] = train[allowed] if allowed < train.size else -np.inf
        passed = genuine[of_genuine == fold] > thresholds[fold]
        accepted[of_genuine == fold] = passed.mean(1)
        tars[fold] = passed.mean()
        fars[fold] = (impostor[of_impostor == fold] > thresholds[fold]).mean()
    return Verification(tars, fars, thresholds, accepted)


def auc(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Probability that a genuine score beats an impostor score, ties counting half (Mann-Whitney)."""
    genuine, impostor = np.ravel(genuine), np.ravel(impostor)
    ranks = rankdata(np.concatenate([genuine, impostor]))[: genuine.size].sum()
    return float((ranks - genuine.size * (genuine.size + 1) / 2) / (genuine.size * impostor.size))


def retrieved(probes: Tensor, target: Tensor, others: Tensor) -> Tensor:
    """(B,) 1 where a probe (B, E) is nearer to `target` (E,) than to every one of `others` (N, E), else 0."""
    return (probes @ target > (probes @ others.T).amax(1)).to(probes.dtype)


def nearest_is_target(probes: Tensor, target: Tensor, driver: Tensor) -> Tensor:
    """(B,) 1 where the real picture nearest to a probe (B, E) is of `target` (N, E), not of `driver` (B, E), else 0.

    The driver's picture of the same row does not take part: a copy would be nearest to itself.
    """
    rivals = probes @ driver.T
    rivals = rivals.masked_fill(torch.eye(*rivals.shape, dtype=torch.bool, device=rivals.device), -2.0)
    return ((probes @ target.T).amax(1) > rivals.amax(1)).to(probes.dtype)


def centre(embeddings: Tensor) -> Tensor:
    """(E,) unit mean of a person's (B, E) embeddings: the person without any one pose."""
    return torch.nn.functional.normalize(embeddings.mean(0), dim=0)


def _embed(embed: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    with torch.no_grad():
        return embed(images).float()


def embeddings(case: Case, pictures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{name: (M, E) unit vectors} of groups of a case's pictures."""
    assert case.embedder is not None
    return case.read("embeddings", pictures, partial(_embed, case.embedder))


def strangers(case: Case) -> Tensor | None:
    """(N, E) unit vectors of other people, one picture each; None where there are none. Kept for all cases."""
    if case.embedder is None or case.distractors is None:
        return None
    embed, draw = case.embedder, case.distractors
    return case.remember("distractors", lambda: _embed(embed, draw()), fixed=True)


def _recognition(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    real = embeddings(case, case.images)
    swap = embeddings(case, case.swap)
    who = {person: centre(real[person]) for person in PEOPLE}
    if case.matched:
        moved = {way: transfer(swap[way], real[driver_of(way)], real[target_of(way)], floor=1e-4) for way in DIRECTIONS}
        yield "identity_transfer_embed", case.both(lambda way: moved[way].along)
        yield "off_axis_embed", case.both(lambda way: moved[way].off_axis)
    else:
        for name in ("identity_transfer_embed", "off_axis_embed"):
            case.note(name, "needs ground truth")
            yield name, np.full(1, np.nan)
    yield "id_cos_target", case.both(lambda way: swap[way] @ who[target_of(way)])
    yield "id_cos_driver", case.both(lambda way: swap[way] @ who[driver_of(way)])

    if min(map(len, real.values())) < 2:
        case.note("id_nearest", "needs two real pictures of each person or more")
        yield "id_nearest", np.full(1, np.nan)
    else:
        near = {way: nearest_is_target(swap[way], real[target_of(way)], real[driver_of(way)]) for way in DIRECTIONS}
        yield "id_nearest", case.both(lambda way: near[way])

    others = strangers(case)
    validity, low, high = case.remember("id_auc", lambda: real_auc(real, others), fixed=True)
    if not low > VALID_AUC:
        shown = f"{validity:.3f} [{low:.3f}, {high:.3f}]"
        reason = f"the recogniser's AUC on these real images, {shown}, is not above {VALID_AUC}"
        case.invalid.update({info.name: reason for info in EVALUATORS["recognition"].infos if info.name != "id_auc"})
    yield "id_auc", np.array([validity])
    if others is None or len(others) < DISTRACTORS:
        case.note(
            "id_retrieval", f"needs {DISTRACTORS} or more other people, got {0 if others is None else len(others)}"
        )
        yield "id_retrieval", np.full(1, np.nan)
    else:
        rivals = {way: torch.cat([others, who[driver_of(way)][None]]) for way in DIRECTIONS}
        yield "id_retrieval", case.both(lambda way: retrieved(swap[way], who[target_of(way)], rivals[way]))
    try:
        yield "id_tar", case.both(lambda way: _accepted(swap[way], real, others, way))
    except ValueError as error:
        case.note("id_tar", str(error))
        yield "id_tar", np.full(1, np.nan)


def _accepted(swap: Tensor, real: dict[str, Tensor], others: Tensor | None, way: str) -> np.ndarray:
    gallery = real[target_of(way)]
    strangers = real[driver_of(way)] if others is None else torch.cat([others, real[driver_of(way)]])
    return tar_at_far((swap @ gallery.T).cpu().numpy(), (strangers @ gallery.T).cpu().numpy()).accepted


def real_auc(real: dict[str, Tensor], others: Tensor | None = None) -> tuple[float, float, float]:
    """AUC of a recogniser on real pictures and its 95 % interval: jackknife over blocks of pictures, on the logit.

    real: {person: (M, E)} unit vectors; others: (N, E) of further people, one picture each. An AUC of 1 has no width;
    fewer than two blocks of two pictures tell nothing of it (NaN).
    """
    whole = _auc_of(real, others)
    count = min(BLOCKS, *(len(vectors) // 2 for vectors in real.values()))
    if whole == 1:
        return 1.0, 1.0, 1.0
    if count < 2:
        return whole, float("nan"), float("nan")
    kept = [{p: v[torch.arange(len(v)) % count != block] for p, v in real.items()} for block in range(count)]
    without = np.array([_auc_of(rest, others) for rest in kept])
    reach = t.ppf(0.975, count - 1) * np.sqrt((count - 1) * without.var()) / (whole * (1 - whole))
    return whole, float(expit(logit(whole) - reach)), float(expit(logit(whole) + reach))


def _auc_of(real: dict[str, Tensor], others: Tensor | None) -> float:
    same = [as_values((real[p] @ real[p].T)[tuple(torch.triu_indices(len(real[p]), len(real[p]), 1))]) for p in PEOPLE]
    strange = [as_values((real["src"] @ real["dst"].T).flatten())]
    if others is not None:
        strange += [as_values((real[p] @ others.T).flatten()) for p in PEOPLE]
    return auc(np.concatenate(same), np.concatenate(strange))


EVALUATORS = {
    "recognition": Evaluator(
        _recognition,
        (
            MetricInfo(
                "identity_transfer_embed",
                "higher",
                "",
                1.0,
                "how far the recogniser's embedding went from the driver's (0) to the truth's (1)",
                title="Identity transfer (embedding)",
                decimals=3,
                ladder="blend",
                ends=(0.0, 1.0),
            ),
            MetricInfo(
                "off_axis_embed",
                "lower",
                "",
                0.0,
                "the part of the embedding's change that leads elsewhere",
                title="Off-axis residual (embedding)",
                decimals=3,
                ladder="collapse",
                ends=(None, 0.0),
                bounds=(0.0, None),
            ),
            MetricInfo(
                "id_cos_target",
                "higher",
                "",
                None,
                "cosine of the swap to the target person",
                title="Similarity to target",
                decimals=3,
                ladder="blend",
                bounds=(-1.0, 1.0),
            ),
            MetricInfo(
                "id_cos_driver",
                "lower",
                "",
                None,
                "cosine of the swap to the driver",
                title="Similarity to driver",
                decimals=3,
                ladder="blend",
                bounds=(-1.0, 1.0),
            ),
            MetricInfo(
                "id_nearest",
                "higher",
                "",
                1.0,
                "swaps whose nearest real picture, the driver's own left out, shows the target",
                ladder="blend",
                title="Nearest picture is the target's",
                decimals=3,
                bounds=(0.0, 1.0),
            ),
            MetricInfo(
                "id_retrieval",
                "higher",
                "",
                1.0,
                f"swaps nearer to the target than to the driver and {DISTRACTORS} or more strangers",
                title="Retrieval of target",
                decimals=3,
                ladder="blend",
                bounds=(0.0, 1.0),
            ),
            MetricInfo(
                "id_tar",
                "higher",
                "",
                1.0,
                f"swaps accepted as the target at a false accept rate of {FAR:g}, 10 folds",
                title="Verification (TAR)",
                decimals=3,
                ladder="blend",
                bounds=(0.0, 1.0),
            ),
            MetricInfo(
                "id_auc",
                "none",
                "",
                1.0,
                "the recogniser's own AUC on the real images: its validity",
                title="Recogniser's own AUC",
                decimals=4,
                bounds=(0.0, 1.0),
            ),
        ),
        frozenset({"embedder"}),
    ),
}
