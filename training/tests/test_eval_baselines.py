"""Baselines meet the drags, keep what is outside the mask, and mend holes."""

import cv2
import numpy as np
import pytest

from tug.baselines import BASELINES, Warp, as_rigid_as_possible, composite, cut_and_move, feather, render

HEIGHT, WIDTH = 120, 160


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 255, (15, 20, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def mask() -> np.ndarray:
    inside = np.zeros((HEIGHT, WIDTH), np.float32)
    inside[20:100, 30:130] = 1
    return inside


DRAGS = np.array([[70, 60, 80, 55], [100, 70, 100, 70]], np.float32)


@pytest.mark.parametrize("name", [n for n in BASELINES if n not in ("no edit", "cut and move")])
def test_fields_meet_the_drags(name, picture, mask):
    field = BASELINES[name](picture, mask, DRAGS).field
    assert field.shape == (HEIGHT, WIDTH, 2)
    for hx, hy, tx, ty in DRAGS:
        there = field[int(ty) - 1 : int(ty) + 1, int(tx) - 1 : int(tx) + 1].mean((0, 1))
        assert there == pytest.approx([hx - tx, hy - ty], abs=1.5)


@pytest.mark.parametrize("name", list(BASELINES))
def test_nothing_changes_outside_the_mask(name, picture, mask):
    result = render(picture, mask, BASELINES[name](picture, mask, DRAGS))
    assert result.dtype == np.uint8
    assert np.array_equal(result[mask == 0], picture[mask == 0])


def test_as_rigid_as_possible_turns_rather_than_shears(picture):
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    # four corners of a square turned by 20 degrees about its middle
    corners = np.array([[60, 40], [100, 40], [100, 80], [60, 80]], np.float32)
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    turned = (corners - [80, 60]) @ np.array([[c, s], [-s, c]], np.float32) + [80, 60]
    field = as_rigid_as_possible(picture, mask, np.concatenate([corners, turned], 1).astype(np.float32)).field
    middle = field[55:65, 75:85]
    x = np.stack(np.meshgrid(np.arange(75, 85) + 0.5, np.arange(55, 65) + 0.5), -1)
    expected = (x - [80, 60]) @ np.array([[c, -s], [s, c]]) + [80, 60] - x
    assert np.abs(middle - expected).max() < 1.5  # (the crosses around the drags do not turn)


def test_cut_and_move_takes_the_thing_and_leaves_a_hole(mask):
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    picture[..., 1] = np.random.default_rng(0).integers(40, 80, (HEIGHT, WIDTH))
    cv2.circle(picture, (60, 60), 12, (240, 30, 30), -1)
    drags = np.array([[60, 60, 100, 60]], np.float32)
    edit = cut_and_move(picture, mask, drags)
    result = render(picture, mask, edit)
    assert edit.holes[60, 60]
    assert result[60, 100, 0] > 200 and result[60, 60, 0] < 120


def test_holes_are_inpainted(picture, mask):
    holes = np.zeros(mask.shape, bool)
    holes[55:65, 70:80] = True
    spoilt = picture.copy()
    spoilt[holes] = 255
    still = np.zeros((*mask.shape, 2), np.float32)
    assert not (render(spoilt, mask, Warp(still, holes))[holes] == 255).all(-1).any()


def test_the_feather_is_inside_the_mask_and_spares_the_pictures_edge(mask, picture):
    alpha = feather(mask)
    assert (alpha[mask == 0] == 0).all() and alpha[60, 80] == 1 and 0 < alpha[60, 31] < 1
    whole = np.ones_like(mask)
    whole[:, :40] = 0
    assert feather(whole)[60, WIDTH - 1] == 1
    assert np.array_equal(composite(picture, picture, mask), picture)
