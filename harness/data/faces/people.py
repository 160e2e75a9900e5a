"""Who is shown: the distribution of identities, their distance, and streams of people who never meet.

People for the recognisers come from the named splits, people for the trials from pairs without end. Each split and each
pair has a stream of its own, so that nobody is drawn for two purposes.
"""

import hashlib
import math

import torch

from harness.data.factors import IDENTITY, IDENTITY_INDEX

SPLITS = ("recogniser_a", "recogniser_b", "regressor", "judge")
DISTANCE = (1.2, 1.6)  # standard deviations: where nine of ten pairs of strangers lie
CANDIDATES = 256  # people drawn at a time until one is as far from src as asked for
ROUNDS = 400

# Factors that one person has or has not.
_TWO_SIDED = ("hair_length", "fringe", "glasses", "beard", "lashes", "hair_curl")
# Factors that few people show strongly: the square of a uniform draw.
_RARE = ("hair_bun", "freckles")


def identity_split(name: str) -> torch.Generator:
    """A fresh CPU generator for one of `SPLITS`; draws for one purpose never repeat those for another.

    Raises KeyError for an unknown name.
    """
    if name not in SPLITS:
        raise KeyError(f"unknown identity split {name!r}; there are {', '.join(SPLITS)}")
    return _stream(f"faces/{name}")


def _stream(name: str) -> torch.Generator:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") & (2**63 - 1)
    return torch.Generator().manual_seed(seed)


def sample_identities(n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, I) float32 in [0, 1]: independent draws, most of them uniform.

    Hair length, fringe, curl, glasses, beard and lashes are Beta(.5, .5), which puts most people near either end; bun
    and freckles are squares of uniform draws. Where the lashes are long the beard is halved, so that the two signs of
    style mostly exclude each other. A bun shows above .45, a cap above .7.
    """
    draws = torch.rand(n, len(IDENTITY), generator=generator)
    for name in _TWO_SIDED:
        column = IDENTITY_INDEX[name]
        draws[:, column] = torch.sin(draws[:, column] * (math.pi / 2)) ** 2
    for name in _RARE:
        draws[:, IDENTITY_INDEX[name]] **= 2
    lashes = draws[:, IDENTITY_INDEX["lashes"]]
    draws[:, IDENTITY_INDEX["beard"]] *= torch.where(lashes > 0.5, 0.5, 1.0)
    return draws


def random_pair(index: int, distance: tuple[float, float] = DISTANCE) -> tuple[torch.Tensor, torch.Tensor]:
    """The (src, dst) identities, each (I,) float32, of pair `index`: two people who come nowhere else.

    src is the same whatever the distance. dst is redrawn until their `identity_distance` lies within `distance`; below
    that of strangers (1.4) the two share as many factors, chosen at random, as such a distance takes, so that both
    remain people like all others. Raises ValueError for a distance at which nobody is found.
    """
    rng = _stream(f"faces/pairs/{index}")
    low, high = distance
    src = sample_identities(1, rng)[0]
    shared = max(0, math.floor(len(IDENTITY) * (1 - ((low + high) / 2) ** 2 / 2)))
    for _ in range(ROUNDS):
        others = sample_identities(CANDIDATES, rng)
        inherited = torch.rand(others.shape, generator=rng).argsort(1) < shared
        others = torch.where(inherited, src, others)
        away = identity_distance(others, src)
        fits = ((away >= low) & (away <= high)).nonzero()
        if len(fits):
            return src, others[fits[0, 0]]
    raise ValueError(f"no two people are found between {low:g} and {high:g} standard deviations apart")


def identity_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distance of identities (..., I) in standard deviations: root mean square of the whitened factor differences.

    Two independent draws of `sample_identities` are 1.4 apart on average.
    """
    return (((a - b) / _spread().to(a)) ** 2).mean(-1).sqrt()


def _spread() -> torch.Tensor:
    # Closed forms: uniform 1/12, Beta(.5, .5) 1/8, squared uniform 4/45; the beard's halving is left out.
    variance = [1 / 8 if f.name in _TWO_SIDED else 4 / 45 if f.name in _RARE else 1 / 12 for f in IDENTITY]
    return torch.tensor(variance).sqrt()
