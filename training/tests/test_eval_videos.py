"""Pairs from a clip whose motion is known: a textured square moves over a background that a camera pans across."""

import cv2
import numpy as np
import pytest

from tug.videos import Clip, PairConfig, camera_motion, draw_pairs, load_clip, read_pairs, track_through, write_pairs

PAN, MOVE = np.array([3.0, 1.0]), np.array([-5.0, 2.0])  # px a frame; the object's motion in the picture


def texture(rng: np.random.Generator, height: int, width: int, cell: int = 5) -> np.ndarray:
    small = rng.integers(0, 255, (height // cell, width // cell, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def clip() -> Clip:
    rng = np.random.default_rng(0)
    world, thing = texture(rng, 300, 400), texture(rng, 60, 60, 6)
    frames, masks = [], []
    for index in range(6):
        x, y = (int(v) for v in np.array([40, 40]) - index * PAN + [20, 10])
        frame = world[y : y + 180, x : x + 240].copy()
        left, top = (int(v) for v in np.array([110, 50]) + index * MOVE)
        frame[top : top + 60, left : left + 60] = thing
        mask = np.zeros((180, 240), bool)
        mask[top : top + 60, left : left + 60] = True
        frames.append(frame)
        masks.append(mask)
    return Clip("square", frames, masks)


def test_the_camera_is_found_beside_a_moving_thing(clip):
    camera = camera_motion(clip.greys[0], clip.greys[3], clip.masks[0])
    there = cv2.perspectiveTransform(np.array([[[20.0, 20.0], [220.0, 160.0]]]), camera)[0]
    assert there - [[20, 20], [220, 160]] == pytest.approx(np.tile(3 * PAN, (2, 1)), abs=0.3)


def test_tracks_are_followed_and_dropped_where_they_leave(clip):
    inside = np.array([[140.5, 80.5], [239.0, 90.0]], np.float32)
    places, alive = track_through(clip.greys, inside)
    assert alive[0] and not alive[1]
    assert places[0] - inside[0] == pytest.approx(5 * MOVE, abs=0.3)


@pytest.mark.parametrize("known_mask", [True, False])
def test_pairs_tell_the_motion_relative_to_the_background(clip, known_mask):
    use = Clip(clip.name, clip.frames, clip.masks if known_mask else None)
    pairs = draw_pairs(np.random.default_rng(1), use, 3, PairConfig(motion=(0.03, 0.2)))
    assert pairs
    for pair in pairs:
        case, steps = pair.case, pair.last - pair.first
        moved = case.drags[:, 2:] - case.drags[:, :2]
        assert moved == pytest.approx(np.tile(steps * (MOVE - PAN), (len(moved), 1)), abs=1.5)
        for drag in case.drags:
            assert case.mask[int(drag[3]), int(drag[2])] == 1 and case.visible[int(drag[3]), int(drag[2])] == 1
        assert np.array_equal(case.target[case.mask < 0.5], case.source[case.mask < 0.5])
        assert 0.02 < case.mask.mean() < 0.8


def test_fixed_pairs_come_back_as_they_were(clip, tmp_path):
    folder = tmp_path / "videos" / "square"
    (folder / "masks").mkdir(parents=True)
    for index, (frame, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        cv2.imwrite(str(folder / f"{index:05d}.png"), frame[..., ::-1])
        cv2.imwrite(str(folder / "masks" / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    pairs = draw_pairs(np.random.default_rng(2), load_clip(folder), 2, PairConfig(motion=(0.03, 0.2)))
    write_pairs(tmp_path / "pairs.json", [("square", pair) for pair in pairs])
    again = read_pairs(tmp_path / "pairs.json", tmp_path / "videos")
    assert [name for name, _ in again] == ["square"] * len(pairs)
    for (_, case), pair in zip(again, pairs, strict=True):
        assert case.drags == pytest.approx(pair.case.drags, abs=0.01)
        assert np.abs(case.mask - pair.case.mask).mean() < 0.01
        assert np.abs(case.target.astype(int) - pair.case.target).mean() < 1
