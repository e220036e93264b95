"""Textures compared by what varies in them, not by where."""

import torch

from tug.features import edges, texture_distance


def noise(seed: int, size: int = 32) -> torch.Tensor:
    return torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(seed))


def everywhere(size: int = 32) -> torch.Tensor:
    return torch.ones(2, 1, size, size)


def test_a_texture_moved_is_the_same_texture() -> None:
    maps = noise(0)
    assert texture_distance([maps], [maps.roll((3, 5), (2, 3))], everywhere()).max() < 1e-4


def test_nothing_that_varies_is_as_far_as_can_be() -> None:
    flat = torch.full((2, 4, 32, 32), 0.7)
    assert torch.allclose(texture_distance([flat], [noise(0)], everywhere()), torch.ones(2), atol=0.03)


def test_another_draw_of_the_same_texture_is_near_and_a_blurred_one_is_far() -> None:
    maps, other = noise(0), noise(1)
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    near, far = (texture_distance([each], [maps], everywhere()).mean() for each in (other, blurred))
    assert near < 0.15 < 0.7 < far


def test_only_what_is_hidden_counts() -> None:
    maps, hidden = noise(0), torch.zeros(2, 1, 32, 32)
    hidden[..., :16] = 1
    same_there = torch.where(hidden > 0, maps, noise(1) * 9)
    assert texture_distance([same_there], [maps], hidden).max() < 1e-4
    assert texture_distance([same_there], [maps], 1 - hidden).min() > 1


def test_maps_of_several_sizes_and_holes_of_a_few_places() -> None:
    maps, hidden = [noise(0), noise(0, 8)], torch.zeros(2, 1, 32, 32)
    hidden[..., 4:8, 4:8] = 1
    blurred = [torch.zeros_like(each) for each in maps]
    few = texture_distance(blurred, maps, hidden)
    assert (few > 0).all() and (few < 0.5).all()


def test_edges_of_a_ramp_and_of_a_step() -> None:
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    dx, dy, laplacian = edges(ramp)[0]
    assert torch.equal(dx[:, 1:-1], torch.full((8, 6), 2.0))
    assert dy.abs().max() == 0 and laplacian[:, 1:-1].abs().max() == 0
    assert edges((ramp > 3).float())[0, 2].abs().max() == 1
