"""Warps, drags and point maps in PyTorch: everything that knows about coordinates, shared by every network.

Coordinates are continuous pixels of the WORK picture unless a name says otherwise, origin at the top-left corner; the
centre of the first pixel is (0.5, 0.5), so that going to another resolution is a pure multiplication. Fields are
backward, channels (dx, dy): out(x) = source(x + field(x)). All of it exports to ONNX with dynamic H, W and N.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

# Work pixels by which a field's neighbouring cells differ where it begins to break, and where it is broken.
BREAK = (8.0, 16.0)


def pixel_grid(like: Tensor) -> Tensor:
    """Pixel centres of `like` [B, C, H, W] in its own pixels: [1, 2, H, W], (x, y)."""
    height, width = like.shape[-2:]
    y = torch.arange(height, device=like.device, dtype=torch.float32) + 0.5
    x = torch.arange(width, device=like.device, dtype=torch.float32) + 0.5
    return torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)])[None]


def sample(image: Tensor, where: Tensor) -> Tensor:
    """image [B, C, H, W] read bilinearly at `where` [B, 2, h, w] in the image's own pixels, border replicated."""
    return sample_at(image, halves(where, image) - 1)


def halves(pixels: Tensor, of: Tensor) -> Tensor:
    """pixels [B, 2, h, w] (x, y) in halves of the width and the height of `of` [B, C, H, W]."""
    height, width = of.shape[-2:]
    return torch.cat([2 * pixels[:, :1] / width, 2 * pixels[:, 1:] / height], 1)


def sample_at(image: Tensor, where: Tensor) -> Tensor:
    """image [B, C, H, W] read bilinearly at `where` [B, 2, h, w] in halves from its middle, border replicated."""
    grid = where.permute(0, 2, 3, 1)
    return F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def warp(image: Tensor, field: Tensor) -> Tensor:
    """image [B, C, H, W] warped by field [B, 2, H, W], which is in the image's own pixels."""
    return sample(image, pixel_grid(field) + field)


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the height and width of `like`; values are left as they are."""
    return F.interpolate(x.float(), size=like.shape[-2:], mode="bilinear", align_corners=False)


def squared_distances(points: Tensor, grid: Tensor) -> Tensor:
    """points [B, N, 2], grid [1, 2, H, W] → [B, N, H, W]."""
    dx = points[:, :, 0, None, None] - grid[:, None, 0]
    dy = points[:, :, 1, None, None] - grid[:, None, 1]
    return dx * dx + dy * dy


def mask_depth(mask: Tensor) -> Tensor:
    """Rough depth inside a mask [B, 1, H, W] in its own pixels, 0 outside and at most 34; the picture's edges are no
    border. Sums of successive erosions, smoothed."""
    outside = 1 - (mask > 0.5).float()
    depth = 1 - outside
    for radius in (1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 8):
        outside = F.max_pool2d(outside, 2 * radius + 1, 1, radius)
        depth = depth + radius * (1 - outside)
    return F.avg_pool2d(depth, 5, 1, 2, count_include_pad=False) * (mask > 0.5).float()


def shepard(distances: Tensor, values: Tensor, ground: Tensor | None = None) -> Tensor:
    """Inverse-distance interpolation, exact where a distance is zero.

    distances [B, N, H, W] (squared), values [B, N, 2]; ground [B, 1, H, W] adds the weight of a zero value there."""
    sums = weighted_sums(1 / (distances + 0.02), torch.cat([values, torch.ones_like(values[..., :1])], -1))
    moved, total = sums[:, :2], sums[:, 2:]
    return moved / (total if ground is None else total + ground)


def weighted_sums(weights: Tensor, values: Tensor) -> Tensor:
    """weights [B, N, H, W], values [B, N, C] → Σ over N [B, C, H, W]; as one product, which is the quickest graph."""
    height, width = weights.shape[-2:]
    return (values.transpose(1, 2) @ weights.flatten(2)).unflatten(2, (height, width))


def rigid_motion(distances: Tensor, points: Tensor, values: Tensor, grid: Tensor) -> Tensor:
    """Displacements [B, 2, H, W] by rigid moving least squares (Schaefer et al. 2006): every place is moved by the
    rotation that fits the points around it best.

    distances [B, N, H, W] (squared) from grid [1, 2, H, W] to points [B, N, 2], which move by values [B, N, 2]. One
    point alone moves everything by its own value; points further than 3,000 px (padding) weigh nothing."""
    near = distances + 0.02
    weights = (distances < 1e7).float() / (near * near.sqrt())
    weights = weights / (weights.sum(1, keepdim=True) + 1e-20)

    def mean(of: Tensor) -> Tensor:
        return (weights * of).sum(1, keepdim=True)

    px, py = points[:, :, 0, None, None], points[:, :, 1, None, None]
    vx, vy = values[:, :, 0, None, None], values[:, :, 1, None, None]
    mean_px, mean_py, mean_vx, mean_vy = weighted_sums(weights, torch.cat([points, values], -1)).split(1, 1)
    ax, ay = px - mean_px, py - mean_py
    bx, by = ax + vx - mean_vx, ay + vy - mean_vy
    # as complex numbers, the factor that takes the points' offsets a from their mean to where they go, b
    real, imaginary = mean(ax * bx + ay * by) + 1e-3, mean(ax * by - ay * bx)
    size = (real * real + imaginary * imaginary + 1e-12).sqrt()
    c, s = real / size, imaginary / size
    dx, dy = grid[:, :1] - mean_px, grid[:, 1:] - mean_py
    return torch.cat([c * dx - s * dy - dx + mean_vx, s * dx + c * dy - dy + mean_vy], 1)


def disks(distances: Tensor, radius: float = 1.5) -> Tensor:
    """Soft disks around points: squared distances [B, N, H, W] → [B, 1, H, W] in [0, 1]."""
    return torch.exp(distances / (-2 * radius * radius)).amax(1, keepdim=True)


def steadied(field: Tensor, within: Tensor, radius: int, edge: float) -> Tensor:
    """field [B, 2, H, W] smoothed where it varies little and left alone where it jumps: the guided filter of He et al.
    (2010), each field its own guide, over squares of 2 radius + 1 pixels inside `within` [B, 1, H, W].

    edge: variance of the field in such a square, in its own pixels squared, at which half of it stays."""
    weight = (within > 0.5).float() + 1e-4
    total = F.avg_pool2d(weight, 2 * radius + 1, 1, radius)

    def mean(of: Tensor) -> Tensor:
        return F.avg_pool2d(of * weight, 2 * radius + 1, 1, radius) / total

    average = mean(field)
    variance = mean((field * field).sum(1, keepdim=True)) - (average * average).sum(1, keepdim=True)
    share = variance.clamp(min=0) / (variance.clamp(min=0) + edge)
    return mean(share) * field + mean((1 - share) * average)


def refined(field: Tensor, height: int, width: int) -> Tensor:
    """A field [B, 2, h, w] in work pixels on every pixel of a picture of any size: [B, 2, height, width], in the same
    unit.

    Bilinear, but where neighbouring cells differ by more than BREAK: there one thing moves over another, and what lies
    between the two belongs to neither. Of the 4×4 cells around a pixel the two that differ most stand for the two
    sides; the pixel belongs to the side that the smoothed field is nearer to, which draws a smooth line, and goes with
    the mean of the cells on that side."""

    def positions(length: int, cells: int) -> tuple[Tensor, Tensor]:
        at = ((torch.arange(length, device=field.device) + 0.5) * cells / length - 0.5).clamp(0, cells - 1)
        low = at.floor().clamp(max=max(0, cells - 2))
        return low.long(), at - low

    h, w = field.shape[-2:]
    (y, v), (x, u) = positions(height, h), positions(width, w)
    padded = F.pad(field, (1, 2, 1, 2), mode="replicate")
    around = [padded[:, :, i : i + h, j : j + w] for i in range(4) for j in range(4)]

    def furthest(cells: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """How far apart the two cells that differ most are, and the two."""
        apart, one, other = torch.full_like(field[:, :1], -1), field, field
        for a, b in itertools.combinations(cells, 2):
            distance = (a - b).square().sum(1, keepdim=True)
            more = distance > apart
            apart = torch.where(more, distance, apart)
            one, other = torch.where(more, a, one), torch.where(more, b, other)
        return apart.sqrt(), one, other

    def at_pixels(cells: Tensor) -> Tensor:
        return cells[:, :, y][..., x]

    def nearer(value: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """Whether a value is at least as near to one vector as to the other."""
        return (value - one).square().sum(1, keepdim=True) <= (value - other).square().sum(1, keepdim=True)

    step, _, _ = furthest([around[k] for k in (5, 6, 9, 10)])
    _, one, other = furthest(around)
    weights = _spline(v)[:, None, :, None] * _spline(u)[None, :, None, :]  # [4, 4, height, width]
    weights = weights.flatten(0, 1)
    values = [at_pixels(cells) for cells in around]
    smooth = sum(weight * value for weight, value in zip(weights, values, strict=True))
    mine = nearer(smooth, at_pixels(one), at_pixels(other))
    total, own = torch.zeros_like(smooth[:, :1]), torch.zeros_like(smooth)
    for cells, weight, value in zip(around, weights, values, strict=True):
        here = (at_pixels(nearer(cells, one, other)) == mine) * (weight + 1e-4)
        total, own = total + here, own + here * value
    mixed = torch.lerp(torch.lerp(values[5], values[6], u), torch.lerp(values[9], values[10], u), v[:, None])
    torn = ((at_pixels(step) - BREAK[0]) / (BREAK[1] - BREAK[0])).clamp(0, 1)
    return torch.lerp(mixed, own / total, torn * torn * (3 - 2 * torn))


def _spline(t: Tensor) -> Tensor:
    """Weights [4, …] of the four cells around places t in [0, 1] between the middle two: the cubic B-spline's."""
    s = 1 - t
    return torch.stack([s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3]) / 6


def push_pull(values: Tensor, weight: Tensor, levels: int = 4) -> Tensor:
    """values [B, C, H, W] where weight [B, 1, H, W] is 1, a smooth continuation of them from around where it is 0.

    Averages of what is known go down a pyramid (push) and fill what is not known on the way back (pull). H and W are
    multiples of 2^levels."""
    if levels == 0:
        for _ in range(8):
            near = F.avg_pool2d(weight, 3, 1, 1)
            around = F.avg_pool2d(values * weight, 3, 1, 1) / (near + 1e-6)
            values = weight * values + (1 - weight) * around
            weight = torch.maximum(weight, (4 * near).clamp(max=1))
        return values
    known = F.avg_pool2d(weight, 2)
    coarse = push_pull(F.avg_pool2d(values * weight, 2) / (known + 1e-6), (4 * known).clamp(max=1), levels - 1)
    filled = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return weight * values + (1 - weight) * filled


def point_maps(drags: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The label maps of LightningDrag: (handles, targets), each [B, 1, H, W]; pair i writes the integer i on one pixel.

    drags [B, N, 4] in pixels of these maps; points are truncated to integers, later pairs win, points outside are lost.
    """
    batch, count = drags.shape[:2]
    maps = []
    for column in (0, 2):
        label = torch.zeros(batch, height * width, device=drags.device)
        x, y = drags[..., column].long(), drags[..., column + 1].long()
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (drags[..., column] >= 0)
        inside &= drags[..., column + 1] >= 0
        for index in range(count):
            place = torch.where(inside[:, index], y[:, index] * width + x[:, index], 0)
            old = label.gather(1, place[:, None])[:, 0]
            value = torch.where(inside[:, index], torch.full_like(old, index + 1), old)
            label.scatter_(1, place[:, None], value[:, None])
        maps.append(label.view(batch, 1, height, width))
    return maps[0], maps[1]
