"""What a warp that draws the picture out has lost, and the network that puts it back.

Where a field enlarges the photo it shows few pixels on many, so that skin, grass and fur turn soft or streaky. How
much, and along which direction, the field itself tells; what belongs there a small network guesses from the warped
photo and the encoder's features (`Restorer`). It adds detail to what the warp shows and moves nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Residual, conv
from .geometry import resize

# Scales of the map from target to source: from the first on nothing is added, below the second all of it. The shipped
# weights were trained with 0.9: what is drawn out little is left alone, since detail on a field that is a little off
# costs more than softness.
KEPT, SOFT = 0.8, 0.5


def stretch(field: Tensor) -> Tensor:
    """Backward field [B, 2, h, w] in its own pixels → its metric JᵀJ [B, 3, h, w] (xx, xy, yy), where J is the
    derivative of x + field(x): 1, 0, 1 where nothing is stretched, 1/4 along a direction that is drawn out twice.

    Of the slopes to both sides the smaller one counts: beside a break of the field nothing is drawn out."""
    h, w = field.shape[-2:]
    around = F.pad(field, (1, 1, 1, 1), mode="replicate")
    across = _smaller(field - around[:, :, 1 : h + 1, :w], around[:, :, 1 : h + 1, 2:] - field)
    down = _smaller(field - around[:, :, :h, 1 : w + 1], around[:, :, 2:, 1 : w + 1] - field)
    a, b, c, d = 1 + across[:, :1], down[:, :1], across[:, 1:], 1 + down[:, 1:]
    return torch.cat([a * a + c * c, a * b + c * d, b * b + d * d], 1)


def _smaller(one: Tensor, other: Tensor) -> Tensor:
    """Of two slopes the one closer to 0, and 0 where their signs differ."""
    return torch.where(one * other > 0, torch.where(one.abs() < other.abs(), one, other), torch.zeros_like(one))


def least_scale(metric: Tensor) -> Tensor:
    """Of a metric [B, 3, h, w] the smaller of the two scales [B, 1, h, w]: 0.5 where the picture is drawn out twice."""
    return _squared_scales(metric)[0].clamp(min=1e-4).sqrt()


def drawn_out(metric: Tensor) -> Tensor:
    """A metric [B, 3, h, w] with scales of 1 at most: what is squeezed besides has lost nothing. The restorer was
    trained on no other, and paints stripes where it meets one."""
    least, most = _squared_scales(metric)
    # M = least · I + (most - least) · D, where D projects on the direction of the larger scale
    unit = torch.tensor([1.0, 0.0, 1.0], device=metric.device).view(1, 3, 1, 1)
    direction = (metric - least * unit) / (most - least)
    least, most = least.clamp(max=1), most.clamp(max=1)
    return least * unit + (most - least) * direction


def _squared_scales(metric: Tensor) -> tuple[Tensor, Tensor]:
    """The squares of the two scales, each [B, 1, h, w], the smaller one first."""
    xx, xy, yy = metric[:, :1], metric[:, 1:2], metric[:, 2:]
    middle, spread = (xx + yy) / 2, (((xx - yy) / 2).square() + xy.square() + 1e-8).sqrt()
    return middle - spread, middle + spread


class Restorer(nn.Module):
    """image [B, 3, H, W] in [-1, 1] and skip_2 [B, C, H/2, W/2], both warped, stretch [B, 3, h, w] of whatever size →
    detail [B, 3, H, W] to be added, 0 where nothing is drawn out. No norms, ReLU only."""

    def __init__(self, skip: int, channels: int, blocks: int = 2) -> None:
        super().__init__()
        self.of_image = nn.Conv2d(3, channels, 6, 2, 2)
        self.of_features = conv(skip + 4, channels)
        body = [layer for _ in range(blocks) for layer in (Residual(channels, norm=False), nn.ReLU())]
        self.body = nn.Sequential(*body)
        self.out = conv(channels, 12)
        nn.init.normal_(self.out.weight, std=1e-3)

    def forward(self, image: Tensor, skip_2: Tensor, stretch: Tensor) -> Tensor:
        coarse = drawn_out(resize(stretch, skip_2))
        features = torch.cat([skip_2, coarse, least_scale(coarse)], 1)
        x = F.relu(self.of_image(image) + self.of_features(features))
        detail = F.pixel_shuffle(self.out(self.body(x)).float(), 2)
        return resize(softness(stretch), image) * detail


def softness(metric: Tensor) -> Tensor:
    """How much of the detail is added [B, 1, h, w], 0 to 1."""
    return ((KEPT - least_scale(metric)) / (KEPT - SOFT)).clamp(0, 1)
