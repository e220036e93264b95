"""The autoencoder: 8 times smaller, 16 channels, no norms, ReLU only, so that every convolution fuses in int8.

The decoder is a renderer of the edit: besides the latent it sees the photo itself and the encoder's high-resolution
features, warped by the field and gated by visibility. Where the source shows what belongs there, the picture is the
warped photo almost untouched, with the detail that it lost where it was drawn out (`stretch`); holes and torn edges
come from the latent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Residual, conv, fours, stack, upsample
from .geometry import pixel_grid, resize, sample
from .stretch import Restorer


@dataclass(frozen=True)
class AutoencoderConfig:
    """Channels at 1/2, 1/4 and 1/8 of the work size, of the skips that are warped into the decoder, of the restorer."""

    channels: tuple[int, int, int] = (32, 64, 128)
    skips: tuple[int, int] = (16, 32)
    latent: int = 16
    restorer: int = 32


class Encoder(nn.Module):
    """image [B, 3, H, W] in [-1, 1] → latent [B, C, H/8, W/8], skip_2 [B, 16, H/2, W/2], skip_4 [B, 32, H/4, W/4]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.channels
        self.stem = nn.Sequential(nn.Conv2d(3, half, 6, 2, 2), nn.ReLU(), conv(half, half), nn.ReLU())
        self.skip_2 = conv(half, config.skips[0], 1)
        self.at_quarter = nn.Sequential(conv(half, quarter, 3, 2), Residual(quarter, norm=False), nn.ReLU())
        self.skip_4 = conv(quarter, config.skips[1], 1)
        self.at_eighth = nn.Sequential(
            conv(quarter, eighth, 3, 2), Residual(eighth, norm=False), Residual(eighth, norm=False), nn.ReLU()
        )
        self.latent = conv(eighth, config.latent)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.stem(image)
        quarter = self.at_quarter(half)
        return self.latent(self.at_eighth(quarter)), self.skip_2(half), self.skip_4(quarter)


# Work pixels around a part of the picture on which what the decoder makes of it depends. Its convolutions reach over 65
# (five at 1/8, three each at 1/4, 1/2 and full size, a cell of the field), but what lies beyond 40 changes the trained
# network's picture by less than a fifth of a grey level.
DECODER_REACH = 40


class Decoder(nn.Module):
    """latent [B, C, H/8, W/8]; image [B, 3, H, W], skip_2 and skip_4, each warped by the field (`fetch`); mask
    [B, 1, H, W]; visibility [B, 1, H/4, W/4]; stretch [B, 3, H/4, W/4] of the field, None = nothing is restored where
    it draws the photo out → picture [B, 3, H, W]."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.channels
        self.at_eighth = nn.Sequential(
            conv(fours(config.latent + 1), eighth),
            Residual(eighth, norm=False),
            Residual(eighth, norm=False),
            nn.ReLU(),
        )
        self.to_quarter = conv(eighth, quarter, 1)
        self.at_quarter = nn.Sequential(
            conv(fours(quarter + config.skips[1] + 1), quarter), Residual(quarter, norm=False), nn.ReLU()
        )
        self.to_half = conv(quarter, half, 1)
        self.at_half = nn.Sequential(
            conv(fours(half + config.skips[0] + 1), half), Residual(half, norm=False), nn.ReLU()
        )
        self.to_full = conv(half, 16, 1)
        self.at_full = nn.Sequential(conv(fours(16 + 4), 16), nn.ReLU(), conv(16, 16), nn.ReLU())
        self.out = conv(16, 4)
        nn.init.normal_(self.out.weight, std=0.02)
        self.restorer = Restorer(config.skips[0], config.restorer)

    def forward(
        self,
        latent: Tensor,
        image: Tensor,
        skip_2: Tensor,
        skip_4: Tensor,
        mask: Tensor,
        visibility: Tensor,
        stretch: Tensor | None = None,
    ) -> Tensor:
        def seen(features: Tensor, x: Tensor) -> Tensor:
            """Warped features hidden where invisible, with the visibility beside them, for the map x at their scale."""
            shown = resize(visibility, x)
            return stack(x, features * shown, shown)

        x = self.at_eighth(stack(latent, resize(visibility, latent)))
        x = seen(skip_4, upsample(self.to_quarter(x)))
        x = seen(skip_2, upsample(self.to_half(self.at_quarter(x))))
        x = upsample(self.to_full(self.at_half(x)))
        shown = 1 - (1 - resize(visibility, mask)) * mask
        out = self.out(self.at_full(stack(x, image * shown, shown))).float()
        # nothing of the photo gets through where it is hidden, all of it where it is likely to belong
        gate = (1.5 * shown - 0.25).clamp(0, 1) * torch.sigmoid(out[:, 3:] + 5)
        sharp = image if stretch is None else image + self.restorer(image, skip_2, stretch)
        return gate * sharp + (1 - gate) * out[:, :3]

    def render(
        self,
        latent: Tensor,
        image: Tensor,
        skip_2: Tensor,
        skip_4: Tensor,
        mask: Tensor,
        field: Tensor,
        visibility: Tensor,
        corner: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """The same from image and skips as they are in the source, whole, and the field [B, 2, H/4, W/4] in work
        pixels; latent, mask, field and visibility may be a window of the picture's, whose top-left is at `corner`
        (x, y) in work pixels, a multiple of 8."""
        warped = fetch(image, skip_2, skip_4, field, corner)
        return self(latent, *warped, mask, visibility)


def fetch(
    image: Tensor, skip_2: Tensor, skip_4: Tensor, field: Tensor, corner: tuple[int, int] = (0, 0), cell: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """What lands where: image, skip_2 and skip_4 warped by a field [B, 2, h, w] in work pixels, of which a cell has
    `cell`, over the window of cell · h by cell · w work pixels at `corner` (x, y)."""

    def moved(features: Tensor, scale: int) -> Tensor:
        at_scale = F.interpolate(field.float(), scale_factor=cell / scale, mode="bilinear", align_corners=False)
        start = torch.tensor(corner, device=field.device).view(1, 2, 1, 1)
        return sample(features, pixel_grid(at_scale) + (at_scale + start) / scale)

    return moved(image, 1), moved(skip_2, 2), moved(skip_4, 4)
