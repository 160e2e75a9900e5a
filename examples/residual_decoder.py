"""A variant of one's own: residual blocks in both decoders. harness run SUITE --plugin examples/residual_decoder.py"""

from torch import Tensor, nn

from harness import variant
from models.swapper import Swapper
from models.variants import grid


class Residual(nn.Module):
    """x + two convolutions of it; (B, C, H, W) -> the same."""

    def __init__(self, channels: int):
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.way = nn.Sequential(first, nn.LeakyReLU(0.1), second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.way(x)


@variant("residual")
def residual(size: int, cells: int = 3, blocks: int = 2, width: int = 32, channels: int = 128) -> Swapper:
    """The grid family with residual blocks behind the bottleneck of each decoder."""
    model = grid(size, grid=cells, width=width, channels=channels)
    for person, decoder in model.decoders.items():
        up, body = decoder.children()
        wide = up.conv.out_channels
        model.decoders[person] = nn.Sequential(up, *(Residual(wide) for _ in range(blocks)), body)
    return model
