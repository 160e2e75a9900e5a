"""A surface of a picture."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Layer:
    """One surface of a picture: everything the compositor and the light need to know of it, (B, H, W) each."""

    depth: Tensor
    cover: Tensor
    albedo: list[Tensor]
    normal: tuple[Tensor, Tensor]
    gloss: Tensor | float
    region: str
    parts: dict[str, Tensor] = field(default_factory=dict)  # shares of other regions within the layer
