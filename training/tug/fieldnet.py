"""The field network: picture, mask and drags → dense backward field and visibility, at 1/4 of the work size.

Two U-Nets, one on each side of the motion. What belongs to a drag is seen best in the source, where things have their
true edges: the first one says for every source place how far it follows the drags (`follow`), a forward field. That is
turned round (`turn_round`): a target place shows the source place that lands on it, the moved one in front of the one
that stayed, and where none lands there is a hole. So nothing that moved away stays behind as a second copy. The second
U-Net looks at the warp in the target, mends the field and says what is visible. Its field R is corrected by the
interpolated misfit d_i - R(t_i) close to the targets, so every drag is met exactly whatever was learned.

Internal lengths are net pixels (1/4 work pixels); the door speaks work pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Residual, conv, fours, stack, upsample, zero
from .geometry import (
    disks,
    halves,
    mask_depth,
    pixel_grid,
    push_pull,
    rigid_motion,
    sample,
    sample_at,
    shepard,
    squared_distances,
    steadied,
    warp,
)
from .segment import segment
from .stretch import stretch

SCALE = 4
# What is added to the logit of following, by candidate: as trained first, then other answers to what belongs to a drag.
FOLLOW = (0.0, 2.5, -2.0, 1.25)
# What follows the drags' rigid motion but for this share of it goes so far of the rest of the way with it, where
# between these two shares of the mask are left by what lands elsewhere: then a thing moves, and things are stiff.
NEARLY, STIFFNESS, VACATED = 0.3, 0.7, (0.01, 0.06)
STILL = 0.25  # a drag whose length, squared, is at most this is a pin, net pixels
OWN = 6.0  # net pixels around a target in which the field is steadied the least: what is dragged keeps its shape
RIM = 3.0  # net pixels inside the mask's border over which the field dies out
# A hole is where the network believes in one so far and what lands nearest is so many net pixels off, in cases where
# that takes this share of the mask: a small one is rather stretched over, a mistaken fill being worse to look at.
BELIEVED, OFF, EMPTY = 0.35, 1.0, 0.075
# Beside a hole, the picture is torn where it is squeezed so many times, or drawn out to so much more than its size that
# this share of it is left: what is seen there are scraps of what moved away. A hole takes them in, in so many rounds of
# this radius in net pixels.
SQUEEZED, DRAWN_OUT, SCRAP_ROUNDS, SCRAP_RADIUS = 2.5, 0.3, 4, 2
# Net pixels beyond the picture's edge from which what a drag pulls in is a hole, and not the edge drawn out.
OUTSIDE = 1.0
# Within how much of a drag's length around its handle `along` counts.
ALONG_REACH = 0.6
# What is added to the logit of following where a place's colours are the thing's (`segment`), and taken off elsewhere.
HELD = 3.0


@dataclass(frozen=True)
class FieldConfig:
    """Channels at 1/4, 1/8, 1/16, 1/32 and 1/64 of the work size; blocks on each way at each of them."""

    channels: tuple[int, ...] = (24, 48, 80, 128, 160)
    blocks: tuple[int, ...] = (0, 1, 2, 2, 2)
    border: float = 0.25  # weight of the mask's border in the interpolation
    reach: float = 4.0  # net pixels around a target in which the misfit is corrected
    rounds: int = 3  # fixed-point rounds of `turn_round`
    # what is added, once trained, to the logit of following at a handle, and less and less around it, where something
    # is pinned: then a part is dragged, and its tip goes along
    along: float = 3.0
    segmented: bool = False  # whether it is told what the drags hold (`segment`); not shipped, see LOG.md
    # how the field is steadied where something comes off what is behind it, and where nothing does, so that nothing
    # shall break: radius and edge of `geometry.steadied`, net px and their square, time after time
    steady: tuple[tuple[int, float], ...] = ((2, 0.4),)
    whole: tuple[tuple[int, float], ...] = ((2, 30.0), (4, 30.0))


# Of the network for drags without a painted mask: nothing shall break, so that what a drag leaves is stretched.
PULL = FieldConfig(steady=FieldConfig.whole, along=0.0)


class Fields(NamedTuple):
    """field, prior (plain interpolation), turned (the first network's forward field, turned round): backward
    [B, 2, h, w]; logits of visibility [B, 1, h, w]; forward [B, 2, h, w]; lost [B, 1, h, w]: how far off that lies
    which lands nearest to a place; all in net pixels."""

    field: Tensor
    logits: Tensor
    prior: Tensor
    forward: Tensor
    turned: Tensor
    lost: Tensor


class UNet(nn.Module):
    """[B, inputs, h, w] → [B, outputs, h, w], sides multiples of 2^(levels - 1)."""

    def __init__(self, inputs: int, outputs: int, config: FieldConfig) -> None:
        super().__init__()
        widths, depth = config.channels, len(config.channels)

        def blocks(level: int) -> nn.Sequential:
            return nn.Sequential(*(Residual(widths[level]) for _ in range(config.blocks[level])))

        self.stem = conv(inputs, widths[0])
        self.down = nn.ModuleList(conv(widths[i], widths[i + 1], 3, 2) for i in range(depth - 1))
        self.down_blocks = nn.ModuleList(blocks(i) for i in range(depth))
        self.up = nn.ModuleList(conv(widths[i + 1], widths[i], 1) for i in range(depth - 1))
        self.merge = nn.ModuleList(conv(2 * widths[i], widths[i], 3) for i in range(depth - 1))
        self.up_blocks = nn.ModuleList(blocks(i) for i in range(depth - 1))
        self.out = zero(conv(widths[0], outputs))

    def forward(self, x: Tensor) -> Tensor:
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
        return self.out(F.relu(x)).float()


class FieldNet(nn.Module):
    def __init__(self, config: FieldConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FieldConfig()
        self.follow = UNet(15 + config.segmented, 3, config)
        self.mend = UNet(fours(22), 3, config)

    def forward(
        self, image: Tensor, mask: Tensor, drags: Tensor, follow: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """image [B, 3, H, W] in [-1, 1], mask [B, 1, H, W], drags [B, N, 4] work pixels, follow [1] (0 = as trained;
        above it more belongs to what is dragged, below it less) →
        field [B, 2, H/4, W/4], visibility [B, 1, H/4, W/4], prior [B, 2, H/4, W/4], fields in work pixels, and the
        field's `stretch` [B, 3, H/4, W/4]."""
        small, inside = F.avg_pool2d(image, SCALE), F.avg_pool2d(mask, SCALE)
        fields = self.at_net_size(small, inside, drags / SCALE, follow)
        field, visibility = self.settle(fields, inside, drags / SCALE, follow)
        return field * SCALE, visibility, fields.prior * SCALE, stretch(field)

    def settle(
        self, fields: Fields, mask: Tensor, drags: Tensor, follow: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field [B, 2, h, w] and visibility [B, 1, h, w] to render with, from the network's belief; net pixels.

        Where a hole is likely the field is continued smoothly from around, so that what shines through is stretched
        and not torn; where it is a hole (`holes`) it is hidden, and filled, and so is what the field tears beside it
        (`with_scraps`). What was dragged to a target is seen there.
        A tear through a thing looks worst: there is no hole where the drags may only stretch it (`comes_off`). Small
        steps of the field, as no thing moves, are evened out, and large ones too where no hole is left: what does not
        come off does not break. At the mask's border, beyond which everything stays, the field dies out instead of
        breaking off.
        """
        belief = mask.clamp(0, 1) * torch.sigmoid(-fields.logits)
        handles, targets = drags[..., :2], drags[..., 2:]
        to_target = squared_distances(targets, pixel_grid(mask))
        near = (1.5 * disks(to_target, self.config.reach)).clamp(max=1)
        known = torch.maximum(((0.5 - belief) / 0.4).clamp(0, 1), near)
        inwards = (mask_depth(mask) / RIM).clamp(max=1)
        hole = mask.clamp(0, 1) * holes(belief * (1 - near), fields.lost * comes_off(drags, follow), mask)
        pins = (_moving(drags) < 0.5)[..., None, None]
        kept = disks(to_target + 1e5 * pins, OWN)
        field = self._steadied(push_pull(fields.field, known), hole, kept, mask)
        field = field * inwards.square() * (3 - 2 * inwards)
        field = self._exact(field, targets, handles - targets, to_target, mask)
        inside = (mask > 0.5).float()
        hole = torch.maximum(with_scraps(hole, field, inside * (1 - near)), beyond(field) * inside)
        return field, 1 - hole

    def _steadied(self, field: Tensor, hole: Tensor, kept: Tensor, mask: Tensor) -> Tensor:
        """As `steady` says where there is a hole, and where `kept` is 1; elsewhere as `whole` says."""

        def by(steps: tuple[tuple[int, float], ...]) -> Tensor:
            steady = field
            for radius, edge in steps:
                steady = steadied(steady, mask, radius, edge)
            return steady

        if self.config.steady == self.config.whole:
            return by(self.config.whole)
        off = (4 * hole.amax((2, 3), keepdim=True) - 2).clamp(0, 1)  # a hole shows where it is above a half
        return torch.lerp(by(self.config.whole), by(self.config.steady), torch.maximum(off, kept))

    def at_net_size(self, image: Tensor, mask: Tensor, drags: Tensor, follow: Tensor | None = None) -> Fields:
        """The same with everything already at 1/4 size and in net pixels.

        A drag row may be padding: it is then at -1e4, too far away to weigh anything."""
        grid = pixel_grid(image)
        handles, targets = drags[..., :2], drags[..., 2:]
        move = handles - targets
        to_target, to_handle = squared_distances(targets, grid), squared_distances(handles, grid)
        depth = mask_depth(mask)
        ground = self.config.border / (depth + 0.3).square()
        moving = _moving(drags)[..., None, None]
        pins, at_handles, at_targets = (
            disks(to_target + 1e4 * moving),
            disks(to_handle + 1e4 * (1 - moving)),
            disks(to_target + 1e4 * (1 - moving)),
        )
        shared = [mask, depth / 16, pins, at_handles, at_targets, torch.ones_like(mask)]
        wide = shepard(to_target, move) * mask
        prior = shepard(to_target, move, ground) * mask
        held = [segment(image, mask, drags)] if self.config.segmented else []
        forward = self._follow(image, mask, shared, held, handles, -move, to_handle, ground, follow)
        rigid = rigid_motion(to_target, targets, move, grid) * mask
        turned, lost = turn_round(forward.detach(), mask, [rigid, prior], self.config.rounds)
        turned = stiffened(turned, rigid, lost, mask)
        features = stack(
            image,
            *warp(image.repeat(2, 1, 1, 1), torch.cat([turned, wide])).chunk(2),
            turned / 8,
            wide / 8,
            mask,
            depth / 16,
            torch.log1p(to_target.amin(1, keepdim=True)) / 4,
            at_targets,
            pins,
            at_handles,
            torch.ones_like(mask),
            lost / 2,
            forward.detach().square().sum(1, keepdim=True).sqrt() / 8,
            *held,
            *(warp(each, turned) for each in held),
        )
        out = self.mend(features)
        learned, logits = 4 * out[:, :2], 4 * out[:, 2:] + 2
        field = self._exact((turned + learned) * mask, targets, move, to_target, mask)
        return Fields(field, logits, prior, forward, turned, lost)

    def _follow(
        self,
        image: Tensor,
        mask: Tensor,
        shared: list[Tensor],
        held: list[Tensor],
        handles: Tensor,
        move: Tensor,
        distances: Tensor,
        ground: Tensor,
        more: Tensor | None,
    ) -> Tensor:
        """Forward field [B, 2, h, w] on the source: the drags' interpolation, which everything would follow, times how
        far each place does, and what is learned on top; exact at the handles.

        Where a part is pinned, what lies around the handle of a long drag follows more than was learned from short
        ones."""
        wide = shepard(distances, move)
        prior = shepard(distances, move, ground)
        features = [image, *shared, wide / 8, prior / 8, torch.log1p(distances.amin(1, keepdim=True)) / 4]
        share = prior.square().sum(1, keepdim=True).sqrt() / (wide.square().sum(1, keepdim=True).sqrt() + 0.1)
        out = self.follow(torch.cat([*features, share, *held], 1))
        logit = 4 * out[:, :1] + (0 if more is None else more)
        if self.config.along and not self.training:
            squared = move.square().sum(-1)[..., None, None]
            near = torch.exp(distances / (-2 * ALONG_REACH**2 * squared - 1e-3)).amax(1, keepdim=True)
            pins = (squared <= STILL).float() * (distances.amin((2, 3), keepdim=True) < 1).float()
            logit = logit + self.config.along * near * pins.amax(1, keepdim=True)
        gate = torch.sigmoid(logit + sum(HELD * (2 * each - 1) for each in held))
        return self._exact(gate * (wide + 4 * out[:, 1:]) * mask, handles, move, distances, mask)

    def _exact(self, field: Tensor, points: Tensor, moves: Tensor, distances: Tensor, mask: Tensor) -> Tensor:
        """The field with what it misses at `points` [B, N, 2], where it should be `moves` [B, N, 2], added around them;
        distances [B, N, h, w]: to the points, squared."""
        misfit = moves - sample(field, points.transpose(1, 2)[:, :, None]).squeeze(2).transpose(1, 2)
        near = torch.exp(distances.amin(1, keepdim=True) / (-2 * self.config.reach**2))
        return field + near * shepard(distances, misfit) * (mask > 0.01).float()


def _moving(drags: Tensor) -> Tensor:
    """1 for each of the drags [B, N, 4], net pixels, that is no pin: [B, N]."""
    return ((drags[..., 2:] - drags[..., :2]).square().sum(-1) > STILL).float()


def comes_off(drags: Tensor, follow: Tensor | None = None) -> Tensor:
    """1 where drags [B, N, 4] can tell that something leaves its place, else 0: [B, 1, 1, 1].

    Several that move something do, and one that turns a part about a pin or draws it back to it. One alone, or away
    from its pin, may as well stretch what it holds; the other answers (`follow` is not 0) take it for the other."""
    handles, moving = drags[..., :2], _moving(drags)
    count = moving.sum(1, keepdim=True)
    # the one that moves; of several it does not matter
    handle, move = (
        (each * moving[..., None]).sum(1, keepdim=True) / (count[..., None] + 1e-6)
        for each in (handles, drags[..., 2:] - handles)
    )
    arm = handle - handles
    along = (arm * move).sum(-1) / (arm.square().sum(-1).sqrt() * move.square().sum(-1).sqrt() + 1e-6)
    turned = ((1 - moving) * (along < 0.5).float()).amax(1, keepdim=True)
    sure = (count - 1).clamp(min=0) + turned * (count > 0.5).float()
    return (sure if follow is None else sure + follow.abs()).clamp(0, 1)[..., None, None]


def holes(belief: Tensor, lost: Tensor, mask: Tensor) -> Tensor:
    """How much of a hole each place is [B, 1, h, w], 0 to 1, from the network's belief in it and from where nothing
    lands (`lost` of `turn_round`, net pixels)."""
    sure = torch.minimum(belief - BELIEVED, (lost - OFF) / 4)
    inside = (mask > 0.5).float().sum((2, 3), keepdim=True) + 1e-6
    empty = 25 * ((sure > 0).float().sum((2, 3), keepdim=True) / inside - EMPTY)
    return (0.5 + 4 * torch.minimum(sure, empty)).clamp(0, 1)


def with_scraps(hole: Tensor, field: Tensor, inside: Tensor) -> Tensor:
    """A hole [B, 1, h, w], 0 to 1, and what the backward field tears beside it, `inside` [B, 1, h, w] (0 to 1) alone;
    net pixels. Where no hole is nothing is one afterwards."""
    for _ in range(SCRAP_ROUNDS):
        beside = F.max_pool2d(hole, 2 * SCRAP_RADIUS + 1, 1, SCRAP_RADIUS)
        hole = torch.maximum(hole, torch.minimum(beside, torn(field, (hole < 0.5).float()) * inside))
    return hole


def beyond(field: Tensor) -> Tensor:
    """Where a backward field [B, 2, h, w] points beyond the picture: [B, 1, h, w], 0 to 1, a half where it is OUTSIDE
    net pixels away."""
    h, w = field.shape[-2:]
    x, y = (pixel_grid(field) + field).chunk(2, 1)
    away = torch.cat([-x, -y, x - w, y - h], 1).amax(1, keepdim=True)
    return (0.5 + away - OUTSIDE).clamp(0, 1)


def torn(field: Tensor, seen: Tensor) -> Tensor:
    """Where a backward field [B, 2, h, w] squeezes the picture, draws it out or folds it over (SQUEEZED, DRAWN_OUT):
    [B, 1, h, w], 0 to 1. Only places where `seen` [B, 1, h, w] is 1 are compared, so that the edge of what moved as a
    whole is not torn."""
    h, w = field.shape[-2:]
    around = F.pad(torch.cat([field * seen, seen], 1), (1, 1, 1, 1), mode="replicate")

    def slope(after: Tensor, before: Tensor) -> Tensor:
        difference = after - before
        return (difference[:, :2] - difference[:, 2:] * field) / ((after + before)[:, 2:] + 1e-6)

    across = slope(around[:, :, 1 : h + 1, 2:], around[:, :, 1 : h + 1, :w])
    down = slope(around[:, :, 2:, 1 : w + 1], around[:, :, :h, 1 : w + 1])
    a, b, c, d = 1 + across[:, :1], down[:, :1], across[:, 1:], 1 + down[:, 1:]
    # of the two factors by which it is scaled, the larger one is about the root of their squares' sum
    norm = a * a + b * b + c * c + d * d + 1e-6
    return torch.maximum(0.4 * (norm - SQUEEZED**2), 5 * (DRAWN_OUT - (a * d - b * c) / norm.sqrt())).clamp(0, 1)


def stiffened(field: Tensor, rigid: Tensor, lost: Tensor, mask: Tensor) -> Tensor:
    """A turned field [B, 2, h, w] drawn to the drags' rigid motion where it nearly follows it and something moves as a
    whole, which shows by where nothing lands (`lost` of `turn_round`); net pixels."""
    inside = (mask > 0.5).float()
    vacated = ((lost > 1).float() * inside).sum((2, 3), keepdim=True) / (inside.sum((2, 3), keepdim=True) + 1e-6)
    whole = ((vacated - VACATED[0]) / (VACATED[1] - VACATED[0])).clamp(0, 1)
    away = (rigid - field).square().sum(1, keepdim=True)
    near = torch.exp(-away / (NEARLY**2 * rigid.square().sum(1, keepdim=True) + 0.05))
    return field + STIFFNESS * whole * near * (rigid - field)


def turn_round(forward: Tensor, mask: Tensor, guesses: list[Tensor], rounds: int) -> tuple[Tensor, Tensor]:
    """Forward field [B, 2, h, w] on the source → (backward field on the target, how far the best answer misses [B, 1,
    h, w], at most 8), all in the field's own pixels.

    A target place x shows the source place s with s + forward(s) = x. From each guess, and from rest, b = s - x is
    found by fixed-point rounds; of several answers the one that moved furthest lies in front."""
    # all guesses at once, along the batch, in halves of the picture, as `sample_at` takes them
    height, width = forward.shape[-2:]
    guesses = [*guesses, torch.zeros_like(forward)]
    flow = halves(forward, forward).repeat(len(guesses), 1, 1, 1)
    places = halves(pixel_grid(forward), forward) - 1
    back = halves(torch.cat(guesses), forward)
    for _ in range(rounds):
        back = -sample_at(flow, places + back)
    both = torch.cat([back, back + sample_at(flow, places + back)])
    both = torch.cat([both[:, :1] * width / 2, both[:, 1:] * height / 2], 1)
    back, missed = both.chunk(2)
    errors = missed.square().sum(1, keepdim=True).sqrt()
    scores = 0.3 * torch.tanh(back.square().sum(1, keepdim=True).sqrt()) - errors.clamp(max=8)

    answers = zip(back.chunk(len(guesses)), scores.chunk(len(guesses)), errors.chunk(len(guesses)), strict=True)
    best, score, miss = next(answers)
    for answer, mine, error in answers:
        better = mine > score
        best = torch.where(better, answer, best)
        score = torch.maximum(mine, score)
        miss = torch.where(better, error, miss)
    return best * mask, miss.clamp(max=8) * mask
