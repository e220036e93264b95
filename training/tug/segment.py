"""What the drags hold, by its colours: a soft segmentation of the source, seeded by the handles and by what lies around
the mask. It has nothing to learn; a field network whose configuration says `segmented` takes it as one more map.

Two histograms of colour words, of the thing (from the handles) and of the rest (from the mask's surroundings and the
pins), give each place a likelihood. A random walk that shuns edges (Grady 2006, with the likelihood as its prior) makes
regions of that, from which the histograms are taken anew, as GrabCut does with mixtures and a cut (Rother et al.
2004). All of it is plain operations on maps of half the size, so that it is part of the graph.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import pixel_grid, squared_distances

LIGHT, TINT, REACH = 6, 4, 2.0  # colour words along lightness and along two opponent axes, so many deviations each way
SOFTNESS = 0.1  # squared deviations over which a colour belongs to several words
RING = 2  # pixels around the mask that are surely not the thing
SEED = 1.0  # deviation of a handle's seed, pixels
ROUNDS = 2
SIZES = ((4, 10), (2, 10), (1, 10))  # how much smaller the random walk is, and its steps there
EDGE, TRUST = 8.0, 0.1  # how it shuns edges, and how the likelihood holds it


def segment(image: Tensor, mask: Tensor, drags: Tensor) -> Tensor:
    """image [B, 3, h, w] in [-1, 1], mask [B, 1, h, w], drags [B, N, 4], all in the maps' own pixels; padding drags
    lie far away → how much each place belongs to what the moving handles hold, [B, 1, h, w] in [0, 1], 0 outside the
    mask but for a blur of a pixel. Sides are multiples of 8."""
    small = F.avg_pool2d(image, 2)
    inside = (F.avg_pool2d(mask, 2) > 0.5).float()
    handles, moves = drags[..., :2] / 2, drags[..., 2:] / 2 - drags[..., :2] / 2
    return F.interpolate(_halved(small, inside, handles, moves), scale_factor=2.0, mode="bilinear", align_corners=False)


def _halved(image: Tensor, inside: Tensor, handles: Tensor, moves: Tensor) -> Tensor:
    still = (moves.square().sum(-1) <= 1 / 16).float()[..., None, None]
    distances = squared_distances(handles, pixel_grid(image))
    to_handle = (distances + 1e6 * still).amin(1, keepdim=True)
    to_pin = (distances + 1e6 * (1 - still)).amin(1, keepdim=True)
    area = inside.sum((2, 3), keepdim=True) + 1
    seed = torch.exp(to_handle / (-2 * SEED**2)) * inside
    pin = torch.exp(to_pin / (-2 * 0.75**2))
    ring = F.max_pool2d(inside, 2 * RING + 1, 1, RING) * (1 - inside)
    colours = _standardised(image, inside + ring)
    words = _words(colours)
    links = [_links(_smaller(colours, size)) for size, _ in SIZES]
    thing = seed + 0.1 * torch.exp(to_handle / (-0.045 * area)) * inside
    rest = ring + 0.3 * inside + 2 * pin
    for _ in range(ROUNDS):
        of_thing, of_rest = _densities(words, torch.cat([thing, rest], 1)).split(1, 1)
        ratio = torch.log((of_thing + 1e-3) / (of_rest + 1e-3))
        likely = torch.sigmoid(0.5 * ratio - 0.3 * to_handle / area)
        likely = torch.maximum(likely, seed) * (1 - pin) * inside
        sure = TRUST * (1 - inside + inside * (0.05 + (2 * likely - 1).abs()) + 20 * (seed + pin))
        held = _walk(likely, sure, links) * inside
        thing = held**3 + seed
        rest = ring + (1 - held) ** 3 * inside + 2 * pin
    return held


def _standardised(image: Tensor, where: Tensor) -> Tensor:
    """Lightness and two opponent colours [B, 3, h, w], each with mean 0 and deviation 1 inside `where`."""
    red, green, blue = image.split(1, 1)
    colours = torch.cat([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], 1)
    count = where.sum((2, 3), keepdim=True) + 1e-6
    centred = colours - (colours * where).sum((2, 3), keepdim=True) / count
    return centred / (((centred * centred * where).sum((2, 3), keepdim=True) / count).sqrt() + 0.05)


def _words(colours: Tensor) -> Tensor:
    """How much of each colour word a place is: [B, words, h w], summing to one."""
    light = torch.linspace(-REACH, REACH, LIGHT, device=colours.device)
    tint = torch.linspace(-REACH, REACH, TINT, device=colours.device)
    centres = torch.cartesian_prod(light, tint, tint)
    closeness = 2 * centres @ colours.flatten(2) - centres.square().sum(1, keepdim=True)
    return torch.softmax(closeness / SOFTNESS, 1)


def _densities(words: Tensor, weights: Tensor) -> Tensor:
    """How likely a place's colour is among places of each of these weights [B, n, h, w]: the same shape."""
    histograms = weights.flatten(2) @ words.transpose(1, 2)
    histograms = histograms / (histograms.sum(2, keepdim=True) + 1e-6)
    return (histograms @ words).view_as(weights)


def _smaller(maps: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(maps, size) if size > 1 else maps


def _neighbours(of: Tensor) -> Tensor:
    """[B, 1, h, w] → the four places beside each one, [B, 4, h, w]; 0 beyond the picture's edges."""
    wide = F.pad(of, (1, 1, 1, 1))
    beside = (wide[..., :-2, 1:-1], wide[..., 2:, 1:-1], wide[..., 1:-1, :-2], wide[..., 1:-1, 2:])
    return torch.cat(beside, 1)


def _links(colours: Tensor) -> Tensor:
    """How readily the walk goes from a place to each of its neighbours, by their colours: [B, 4, h, w]."""
    apart = sum((_neighbours(one) - one).square() for one in colours.split(1, 1))
    return torch.exp(-EDGE * apart) * _neighbours(torch.ones_like(colours[:, :1]))


def _walk(likely: Tensor, sure: Tensor, links: list[Tensor]) -> Tensor:
    """Where a random walk from each place ends, as the mean of what is likely there; from coarse to fine."""
    held: Tensor | None = None
    for (size, steps), link in zip(SIZES, links, strict=True):
        prior, trust = _smaller(likely, size), _smaller(sure, size)
        held = prior if held is None else F.interpolate(held, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = link.sum(1, keepdim=True) + trust
        link, base = link / total, trust * prior / total
        for _ in range(steps):
            held = (link * _neighbours(held)).sum(1, keepdim=True) + base
    assert held is not None
    return held
