"""The mean distance is only worth something if it finds content whose displacement is known."""

import cv2
import numpy as np
import pytest

from tug.matching import Matcher, MatcherConfig, drag_distances
from tug.motions import grid, warp


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(config=MatcherConfig(area=256 * 256))


def scene(seed: int, size: int = 256) -> np.ndarray:
    """Soft blobs of colour with shapes on them: something to recognise at every scale."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(40, 215, (9, 9, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        colour = tuple(int(v) for v in rng.integers(0, 255, 3))
        x, y = (int(v) for v in rng.integers(0, size, 2))
        if rng.random() < 0.5:
            cv2.circle(picture, (x, y), int(rng.integers(4, 16)), colour, -1, cv2.LINE_AA)
        else:
            cv2.line(picture, (x, y), tuple(int(v) for v in rng.integers(0, size, 2)), colour, 2, cv2.LINE_AA)
    return picture


def test_a_shifted_picture_is_followed(matcher):
    source = scene(1)
    shifted = np.roll(source, (6, 20), (0, 1))
    handles = np.array([[60.5, 60.5], [128.5, 100.5], [180.5, 190.5], [90.5, 200.5]])
    drags = np.concatenate([handles, handles + [20, 6]], 1)
    there = matcher.prepare(shifted)
    assert np.median(drag_distances(matcher, matcher.prepare(source), there, drags, None)) < 0.7


def test_without_an_edit_the_distance_is_the_drag_length(matcher):
    prepared = matcher.prepare(scene(2))
    drags = np.array([[80.0, 90.0, 110.0, 130.0], [150.0, 60.0, 150.0, 60.0]])
    assert drag_distances(matcher, prepared, prepared, drags, None) == pytest.approx([50, 0], abs=1.5)


def test_smooth_warps_are_followed(matcher):
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        source, x = scene(10 + seed), grid(256, 256)
        centre = rng.uniform(90, 166, 2)
        bump = np.exp(-((x - centre) ** 2).sum(-1) / (2 * 45**2))[..., None]
        field = (-bump * rng.uniform(8, 22, 2)).astype(np.float32)
        target = warp(source, field)
        for goal in centre + rng.normal(0, 12, (4, 2)):
            handle = goal + field[int(goal[1]), int(goal[0])]
            drag = np.concatenate([handle, goal])[None]
            errors.append(drag_distances(matcher, matcher.prepare(source), matcher.prepare(target), drag, None)[0])
    assert np.median(errors) < 1.5
    assert np.mean(np.array(errors) < 5) > 0.8


def test_the_search_can_be_kept_within_the_mask(matcher):
    source = scene(3)
    mask = np.zeros((256, 256))
    mask[150:230, 150:230] = 1
    prepared = matcher.prepare(source)
    drags = np.array([[60.0, 60.0, 190.0, 190.0]])
    found = matcher.match(prepared, drags, prepared, mask)[0]
    assert (found > 140).all() and (found < 240).all()
