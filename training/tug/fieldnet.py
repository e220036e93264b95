"""The field network: picture, mask and drags → dense backward field and visibility, at 1/4 of the work size.

Interpolation comes first: inverse distances between the drags, with the mask's border as a weak source of stillness.
A U-Net then says what the interpolation cannot know — which pixels belong to what is dragged, and what becomes
visible. Its field R is corrected by the interpolated misfit d_i - R(t_i) close to the targets, so every drag is met
exactly whatever was learned. Internal lengths are net pixels (1/4 work pixels); the door speaks work pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Residual, conv, upsample, zero
from .geometry import disks, mask_depth, pixel_grid, sample, shepard, squared_distances, warp

SCALE = 4


@dataclass(frozen=True)
class FieldConfig:
    """Channels at 1/4, 1/8, 1/16, 1/32 and 1/64 of the work size; blocks on each way at each of them."""

    channels: tuple[int, ...] = (24, 48, 80, 128, 160)
    blocks: tuple[int, ...] = (0, 1, 2, 2, 2)
    border: float = 0.25  # weight of the mask's border in the interpolation
    reach: float = 4.0  # net pixels around a target in which the misfit is corrected


class FieldNet(nn.Module):
    def __init__(self, config: FieldConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FieldConfig()
        widths, depth = config.channels, len(config.channels)
        self.stem = conv(20, widths[0])
        self.down = nn.ModuleList(conv(widths[i], widths[i + 1], 3, 2) for i in range(depth - 1))
        self.down_blocks = nn.ModuleList(self._blocks(i) for i in range(depth))
        self.up = nn.ModuleList(conv(widths[i + 1], widths[i], 1) for i in range(depth - 1))
        self.merge = nn.ModuleList(conv(2 * widths[i], widths[i], 3) for i in range(depth - 1))
        self.up_blocks = nn.ModuleList(self._blocks(i) for i in range(depth - 1))
        self.out = zero(conv(widths[0], 3))

    def _blocks(self, level: int) -> nn.Sequential:
        return nn.Sequential(*(Residual(self.config.channels[level]) for _ in range(self.config.blocks[level])))

    def forward(self, image: Tensor, mask: Tensor, drags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """image [B, 3, H, W] in [-1, 1], mask [B, 1, H, W], drags [B, N, 4] work pixels →
        field [B, 2, H/4, W/4], visibility [B, 1, H/4, W/4], prior [B, 2, H/4, W/4], fields in work pixels."""
        small, inside = F.avg_pool2d(image, SCALE), F.avg_pool2d(mask, SCALE)
        field, logits, prior = self.at_net_size(small, inside, drags / SCALE)
        visibility = 1 - inside.clamp(0, 1) * torch.sigmoid(-logits)
        return field * SCALE, visibility, prior * SCALE

    def at_net_size(self, image: Tensor, mask: Tensor, drags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same with everything already at 1/4 size and in net pixels → field, visibility logits, prior.

        A drag row may be padding: its target is then at -1e4, too far away to weigh anything."""
        grid = pixel_grid(image)
        handles, targets = drags[..., :2], drags[..., 2:]
        move = handles - targets
        to_target = squared_distances(targets, grid)
        depth = mask_depth(mask)
        wide = shepard(to_target, move) * mask
        prior = shepard(to_target, move, self.config.border / (depth + 0.3).square()) * mask
        moving = (move.square().sum(-1) > 0.25).float()[..., None, None]
        features = torch.cat(
            [
                image,
                warp(image, prior),
                warp(image, wide),
                prior / 8,
                wide / 8,
                mask,
                depth / 16,
                torch.log1p(to_target.amin(1, keepdim=True)) / 4,
                disks(to_target + 1e4 * (1 - moving)),
                disks(to_target + 1e4 * moving),
                disks(squared_distances(handles, grid) + 1e4 * (1 - moving)),
                torch.ones_like(mask),
            ],
            1,
        )
        learned, logits = self._unet(features)
        residual = (prior + learned) * mask
        misfit = move - sample(residual, targets.transpose(1, 2)[:, :, None]).squeeze(2).transpose(1, 2)
        near = torch.exp(to_target.amin(1, keepdim=True) / (-2 * self.config.reach**2))
        return residual + near * shepard(to_target, misfit) * (mask > 0.01).float(), logits, prior

    def _unet(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        skips = []
        for level, block in enumerate(self.down_blocks):
            if level:
                x = self.down[level - 1](F.relu(x))
            x = block(x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = upsample(self.up[level](F.relu(x)))
            x = self.merge[level](F.relu(torch.cat([x, skips[level]], 1)))
            x = self.up_blocks[level](x)
        out = self.out(F.relu(x)).float()
        return 4 * out[:, :2], 4 * out[:, 2:] + 2
