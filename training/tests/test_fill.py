"""Filling holes with patches of the photo: what is copied, what never is, and that nothing else changes."""

from __future__ import annotations

import numpy as np

from tug.fill import Filled, fill
from tug.metrics import sharpness
from tug.motions import Array, warp

SIZE = 128


def stripes() -> Array:
    """A texture that repeats every 12 px, uint8 [SIZE, SIZE, 3]."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    wave = 128 + 60 * np.sin(2 * np.pi * x / 12) + 40 * np.sin(2 * np.pi * y / 12)
    return np.stack([wave, 0.5 * wave + 60, 220 - wave / 2], -1).astype(np.uint8)


def scene(moved: int = 40) -> tuple[Array, Array, Array, Array]:
    """A red square at (24..56, 48..80) pulled to the right: photo, mask, field [2, 32, 32], visibility."""
    photo = stripes()
    photo[48:80, 24:56] = (230, 20, 30)
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[36:92, 12:112] = 1
    field, visibility = np.zeros((2, 32, 32), np.float32), np.ones((32, 32), np.float32)
    left = (24 + moved) // 4
    visibility[12:20, 6:14] = 0
    visibility[12:20, left : left + 8] = 1
    field[0, 12:20, left : left + 8] = -moved
    return photo, mask, field, visibility


def filled(photo: Array, mask: Array, field: Array, visibility: Array, seed: int = 0) -> tuple[Filled, Array]:
    result = fill(photo.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1, mask, field, visibility, seed)
    assert result is not None
    return result, warp(photo, np.ascontiguousarray(result.field.transpose(1, 2, 0)))


def test_a_hole_in_a_texture_is_filled_with_that_texture():
    photo, *rest = scene()
    result, picture = filled(photo, *rest)
    truth = stripes()
    truth[48:80, 64:96] = (230, 20, 30)
    error = np.abs(picture.astype(float) - truth).mean(-1)
    assert result.hole[50:78, 26:54].all()
    assert error[result.hole].mean() < 6
    assert 0.8 < sharpness(picture, truth, result.hole) < 1.2


def test_what_moved_is_not_painted_back():
    for moved in (12, 40):
        photo, *rest = scene(moved)
        result, picture = filled(photo, *rest)
        red = (picture[..., 0] > 200) & (picture[..., 1] < 60)
        assert not (red & result.hole).any()


def test_places_that_are_not_hidden_keep_their_field():
    photo, mask, field, visibility = scene()
    result, _ = filled(photo, mask, field, visibility)
    assert (result.visibility[result.hole] == 1).all()
    np.testing.assert_allclose(result.field[:, 52:76, 68:92], np.array([-40, 0])[:, None, None] + np.zeros((2, 24, 24)))
    outside = np.ones((SIZE, SIZE), bool)
    outside[36:92, 12:112] = False
    assert not result.hole[outside].any() and np.abs(result.field[:, outside]).max() == 0


def test_the_same_seed_gives_the_same_field():
    one, two = (filled(*scene(), seed=3)[0].field for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_nothing_is_done_without_a_hole_or_without_anything_to_copy():
    photo, mask, field, visibility = scene()
    image = photo.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    assert fill(image, mask, field, np.ones_like(visibility)) is None
    speck = np.ones_like(visibility)
    speck[15, 8] = 0
    assert fill(image, mask, field, speck) is None
    assert fill(image, np.ones_like(mask), field, np.zeros_like(visibility)) is None
