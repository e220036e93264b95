"""What patches make of a hole; that the engine makes the same bytes is checked there."""

import numpy as np
import pytest

from tug.fill import fill_holes, patch_holes

NOWHERE = np.zeros((128, 192), bool)


@pytest.fixture
def picture() -> np.ndarray:
    """Grass with a grain below a blue sky, 128×192."""
    rng = np.random.default_rng(1)
    y = np.mgrid[:128, :192][0][..., None]
    grain = rng.integers(-25, 26, (128, 192, 3))
    return np.clip(np.where(y > 64, (60, 120, 40) + grain, (120, 160, 230) + grain // 8), 0, 255).astype(np.uint8)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    out = np.zeros((128, 192), bool)
    out[top:bottom, left:right] = True
    return out


def test_a_hole_takes_on_the_texture_around_it(picture: np.ndarray) -> None:
    hole = box(80, 112, 70, 104)
    torn = picture.copy()
    torn[hole] = 255
    filled = fill_holes(torn, hole, NOWHERE, NOWHERE)
    assert np.array_equal(filled[~hole], picture[~hole])
    assert np.abs(filled[hole].mean(0) - picture[hole].mean(0)).max() < 6
    assert filled[hole].std() > 0.5 * picture[hole].std()


def test_a_hole_across_a_horizon_has_sky_above_and_grass_below(picture: np.ndarray) -> None:
    hole = box(44, 88, 80, 110)
    filled = fill_holes(np.where(hole[..., None], 255, picture).astype(np.uint8), hole, NOWHERE, NOWHERE)
    blue, green = filled[46:56, 84:106], filled[76:86, 84:106]
    assert blue[..., 2].mean() > 200 and green[..., 2].mean() < 90


def test_nothing_is_taken_from_what_moved(picture: np.ndarray) -> None:
    hole, moved = box(80, 112, 70, 104), box(74, 118, 100, 150)
    torn = np.where(moved[..., None], (250, 20, 20), picture).astype(np.uint8)
    torn[hole] = 255
    filled = fill_holes(torn, hole, moved, NOWHERE)
    assert filled[hole][:, 0].max() < 130


def test_a_picture_that_moved_as_a_whole_stays_as_it_is(picture: np.ndarray) -> None:
    hole = box(80, 112, 70, 104)
    assert np.array_equal(fill_holes(picture, hole, np.ones_like(hole), NOWHERE), picture)


def test_a_patch_covers_what_is_not_seen_within_the_mask_and_fades_at_its_edge(picture: np.ndarray) -> None:
    seen = np.ones((32, 48), np.float32)
    seen[20:28, 18:26] = 0
    inside = box(0, 104, 0, 192)
    drags = np.array([[80, 90, 120, 90]], np.float32)
    patch = patch_holes(picture, seen, np.zeros((2, 128, 192), np.float32), inside, drags)
    assert patch is not None
    assert patch.alpha[90, 85] == pytest.approx(1) and patch.alpha[103, 85] < 1
    assert (patch.alpha[104:] == 0).all() and (patch.alpha[:76] == 0).all()
    assert patch_holes(picture, np.ones_like(seen), np.zeros((2, 128, 192), np.float32), inside, drags) is None


def test_what_comes_in_from_beyond_the_edge_looks_like_the_edge_and_not_drawn_out(picture: np.ndarray) -> None:
    field, inside = np.zeros((2, 128, 192), np.float32), box(0, 128, 120, 192)
    field[0, :, 120:] = np.linspace(0, 40, 72)  # the last columns come from up to 40 px beyond the right edge
    at = np.clip(np.arange(192) + np.rint(field[0, 0]).astype(int), 0, 191)
    warped = picture[:, at]
    seen = np.ones((32, 48), np.float32)
    seen[:, 40:] = 0
    drags = np.array([[150, 64, 120, 64]], np.float32)
    patch = patch_holes(warped, seen, field, inside, drags)
    assert patch is not None
    filled = patch.over(warped.astype(np.float32))
    sky, grass = filled[8:48, 168:], filled[80:120, 168:]
    assert np.abs(sky.mean((0, 1)) - picture[8:48].mean((0, 1))).max() < 6
    assert np.abs(grass.mean((0, 1)) - picture[80:120].mean((0, 1))).max() < 6
    across = np.abs(np.diff(grass, axis=1)).mean()
    assert np.abs(np.diff(warped[80:120, 172:].astype(float), axis=1)).mean() < 1 < 5 < across


def test_an_edge_of_one_colour_that_was_drawn_out_is_left() -> None:
    framed, field = np.full((128, 192, 3), 200, np.uint8), np.zeros((2, 128, 192), np.float32)
    framed[88:] = 7  # of a frame at the lower edge, mostly from beyond it
    field[1, 96:] = 40
    seen = np.ones((32, 48), np.float32)
    seen[24:] = 0
    patch = patch_holes(framed, seen, field, box(0, 128, 0, 192), np.array([[90, 120, 90, 80]], np.float32))
    assert patch is not None and patch.alpha[100:].min() > 0.5
    assert np.abs(patch.over(framed.astype(np.float32)) - framed).max() < 1
