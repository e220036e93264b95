"""Synthetic pairs against known motion: the field says where every visible pixel came from, and drags obey it."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import picture

from tug import heldout, layers
from tug.cases import heldout_case, pulled, synthetic_case
from tug.drags import sample_drags
from tug.fieldnet import turn_round
from tug.masks import derived_mask, loose_mask, window
from tug.motions import MOTIONS, folds, grid, invert, random_motion, random_region, rotate, warp
from tug.parts import part_motion
from tug.photos import find_salient, salient_cut
from tug.pulls import HELD, pull, stiff_field


def _check(case, tolerance: float) -> None:
    height, width = case.mask.shape
    assert case.source.dtype == case.target.dtype == np.uint8
    assert case.drags.dtype == np.float32 and case.drags.shape[1] == 4 and len(case.drags) >= 1
    moved = np.abs(case.field).sum(-1) > 0.5
    assert not (moved & (case.mask < 0.5)).any(), "the field reaches outside the mask"
    error = np.abs(warp(case.source, case.field).astype(float) - case.target).mean(-1)
    assert (error * case.visible).sum() / case.visible.sum() < tolerance
    outside = (case.mask < 0.5) & (np.abs(case.source.astype(float) - case.target).mean(-1) > 8)
    assert outside.mean() < 0.002
    for hx, hy, tx, ty in case.drags:
        assert 0 <= hx < width and 0 <= hy < height and 0 <= tx < width and 0 <= ty < height
        dx, dy = case.field[int(ty), int(tx)]
        assert abs(tx + dx - hx) < 0.51 and abs(ty + dy - hy) < 0.51
    if case.forward is None:  # held-out cases only know what is scored
        return
    # what moves and is seen again is where the forward field says
    moved = (np.hypot(*np.moveaxis(case.forward, -1, 0)) > 1) & (case.mask > 0.5)
    there = np.hypot(*np.moveaxis(case.forward + warp(case.field, case.forward), -1, 0))
    assert not moved.any() or np.median(there[moved]) < 0.5


@pytest.mark.parametrize("seed", range(12))
def test_synthetic_case_is_exact(seed: int, album) -> None:
    rng = np.random.default_rng(seed)
    case = synthetic_case(rng, album.photos[0], (96, 96), album.cuts[0], album.photos[1], album.cuts[1], painted=0.5)
    _check(case, tolerance=2.5)


@pytest.mark.parametrize("loose", [0.0, 1.0])
@pytest.mark.parametrize("stiff", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_a_pull_is_exact_and_tears_nothing(seed: int, stiff: float, loose: float, album) -> None:
    photo, cut = album.photos[0], album.cuts[0]
    tries = (pulled(np.random.default_rng((seed, k)), photo, cut, stiff, loose) for k in range(20))
    case = next(case for case in tries if case)
    assert case.painted == (loose == 1)
    _check(case, tolerance=1.0)
    assert case.visible.min() == 1 and not folds(case.field)
    moving = case.drags[np.hypot(*(case.drags[:, 2:] - case.drags[:, :2]).T) > 0]
    assert len(moving) >= 1
    # a picture is warped where its drags are, and no drag of it is longer than what is moved
    longest = np.hypot(*np.moveaxis(case.field, -1, 0)).max()
    assert np.hypot(*(moving[:, 2:] - moving[:, :2]).T).max() <= longest + 1e-3


def test_a_stiff_thing_keeps_its_shape_while_what_is_around_it_gives_way() -> None:
    cut, ratios = np.zeros((96, 128), bool), []
    cut[30:66, 40:84] = True
    for seed in range(600):
        drawn = pull(np.random.default_rng(seed), 96, 128, cut, stiff=1.0)
        # one drag, begun on the thing, of which the mask holds all
        if drawn is None or len(drawn[2]) > 1 or not drawn[1][cut].all() or not cut[*drawn[2][0, 1::-1].astype(int)]:
            continue
        field, mask, _ = drawn
        assert not folds(field) and np.abs(field[mask < 0.5]).max() < 1
        forward = invert(field)
        thing, beside = (forward[where] for where in (cut, (mask > 0.5) & ~cut))
        ratios.append(np.hypot(*(thing - thing.mean(0)).T).mean() / np.hypot(*(beside - beside.mean(0)).T).mean())
    assert len(ratios) > 20 and np.mean(ratios) < 0.7  # 1.3 without


def test_a_stiff_thing_turns_about_its_pin() -> None:
    height, width = 96, 128
    cut, nothing = np.zeros((height, width), bool), np.zeros((height, width), bool)
    cut[44:52, 24:96] = True
    pin, handle, angle = np.array([28.0, 48.0]), np.array([90.0, 48.0]), 0.4
    target = pin + rotate(handle - pin, angle)
    drags, pins = np.float32([[*handle, *target]]), np.float32([pin])
    lattice = grid(height, width)
    off = []
    for seed in range(12):
        moved = stiff_field(np.random.default_rng(seed), drags, pins, nothing, cut)
        turned = pin + rotate(lattice - pin, angle) - lattice
        off.append(np.hypot(*(moved - turned)[cut].T).mean() / np.hypot(*turned[cut].T).mean())
    assert np.median(off) < 0.1, off


def test_a_thing_that_its_mask_holds_is_mostly_left_to_move_as_a_whole() -> None:
    photo, cut = picture(1), np.zeros(picture(1).shape[:2], bool)
    cut[60:66, 60:66] = True  # every mask that is derived around it holds it
    pulls = [pull(np.random.default_rng(seed), *photo.shape[:2], cut) for seed in range(60)]
    held = [found for found in pulls if found is not None and found[1][cut].mean() > HELD]
    assert 0 < len(held) < 0.4 * len(pulls)


def test_a_pull_in_a_painted_mask_holds_its_drags_and_leaves_whole_things_to_layers() -> None:
    height, width = 96, 128
    cut = np.zeros((height, width), bool)
    cut[30:66, 40:84] = True
    drawn = [pull(np.random.default_rng(seed), height, width, cut, stiff=1.0, painted=True) for seed in range(200)]
    others = several = 0
    for _, mask, drags in (found for found in drawn if found is not None):
        moving = np.hypot(*(drags[:, 2:] - drags[:, :2]).T) > 0
        # a field that was weakened, so as not to fold, has its handles nearer to their targets than was wished
        assert all(mask[int(y), int(x)] > 0.5 for x, y in drags[:, :2])
        others += not np.array_equal(mask, derived_mask(drags, height, width))
        several += moving.sum() > 1 and mask[cut].mean() > HELD
    assert others > 50 and several == 0


def test_derived_masks_hold_drags_and_join_their_pins() -> None:
    drags = np.array([[30, 30, 60, 30], [30, 80, 30, 80]], np.float32)  # to the right; a pin below
    mask = derived_mask(drags, 120, 160)
    radius = min(0.77 * 30 + 0.112 * 200, 0.36 * 120)
    assert mask[30, 30] == mask[30, 59] == mask[80, 30] == mask[55, 30] == 1
    assert mask[30, 60 + int(radius) - 1] == 1 and mask[30, 60 + int(radius) + 1] == 0
    assert mask[80, int(30 + 0.112 * 200) + 1] == 0
    alone = derived_mask(drags[1:], 120, 160)
    assert abs(alone.sum() - np.pi * (0.112 * 200) ** 2) < 0.02 * alone.sum()


def test_an_object_that_leaves_its_photo_leaves_the_photo_as_it_is(album) -> None:
    photo, cut = album.photos[0], album.cuts[0]
    rim = cv2.dilate(cut.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    drawn = (
        layers.moved_object(np.random.default_rng(seed), photo, cut, None, None, painted=1.0) for seed in range(20)
    )
    pairs = [pair for pair in drawn if pair is not None and not pair.real]
    assert len(pairs) > 5
    for pair in pairs:
        assert np.array_equal(pair.source, photo)
        # what is uncovered was the object's or its rim's, and no longer shows it
        hidden = pair.visible < 0.5
        uncovered = hidden & cut
        assert not np.array_equal(pair.target, photo)
        assert not (hidden & ~rim).any()
        assert (np.abs(pair.target.astype(int) - photo)[uncovered].max(-1) > 8).mean() > 0.5 or not uncovered.any()


def _lollipop() -> np.ndarray:
    """A disk of radius 20 around (40, 48) with a stick of 30 by 8 pixels to its right, bool [96, 128]."""
    x = grid(96, 128)
    disk = np.hypot(x[..., 0] - 40, x[..., 1] - 48) < 20
    return disk | ((np.abs(x[..., 1] - 48) < 4) & (x[..., 0] > 40) & (x[..., 0] < 90))


@pytest.mark.parametrize("seed", range(8))
def test_a_part_goes_where_it_is_dragged_and_keeps_its_shape(seed: int) -> None:
    cut = _lollipop()
    tries = (part_motion(np.random.default_rng((seed, k)), cut) for k in range(20))
    backward, forward, drags, pins = next(motion for motion in tries if motion is not None)
    for handle, move in [*((d[:2], d[2:] - d[:2]) for d in drags), *((p, 0 * p) for p in pins)]:
        assert cut[int(handle[1]), int(handle[0])]
        assert np.hypot(*(forward[int(handle[1]), int(handle[0])] - move)) < 0.15 * np.hypot(*move) + 2.5
    landed = warp(cut.astype(np.float32), backward) > 0.5
    assert np.hypot(*(backward + warp(forward, backward))[landed].T).max() < 1
    # singular values of the motion: 1 where nothing is drawn out or pressed together
    jacobian = np.stack([np.gradient(forward, axis=1), np.gradient(forward, axis=0)], -1) + np.eye(2)
    low, middle, high = np.percentile(np.linalg.svd(jacobian[cut], compute_uv=False), [5, 50, 95])
    assert low > 0.5 and abs(middle - 1) < 0.05 and high < 1.8


def test_what_hangs_on_a_part_goes_along_and_the_rest_of_the_thing_stays() -> None:
    cut = _lollipop()
    moved = []
    for seed in range(300):
        motion = part_motion(np.random.default_rng(seed), cut)
        if motion is None or len(motion[3]) or not (65 < motion[2][:, 0]).all():
            continue  # pins hold more than the rest does; these are dragged by the stick
        lengths = np.hypot(*np.moveaxis(motion[1], -1, 0))
        moved.append((lengths[48, 88], lengths[48, int(motion[2][:, 0].max())], lengths[48, 24]))
    tip, stick, disk = np.array(moved).T
    assert len(moved) > 20
    assert (tip > 0.5 * stick).all()
    assert (disk < 1).mean() > 0.4  # the others' reach holds all of it


@pytest.mark.parametrize("seed", range(6))
def test_a_part_that_is_known_moves_and_the_rest_of_the_thing_stays(seed: int) -> None:
    cut, part = np.zeros((96, 96), bool), np.zeros((96, 96), bool)
    cut[40:80, 15:60], cut[20:45, 50:85], part[20:45, 62:85] = True, True, True
    forwards = []
    for k in range(12):
        motion = part_motion(np.random.default_rng((seed, k)), cut, part)
        if motion is not None:
            _, forward, drags, _ = motion
            handles = drags[:, :2].astype(int)
            if part[handles[:, 1], handles[:, 0]].all():
                forwards.append(np.hypot(*np.moveaxis(forward, -1, 0)))
    assert len(forwards) > 3
    still = [length[50:80, 15:50].max() < 0.25 * length[part].max() for length in forwards]
    # a third of the cases takes a reach around the drags instead, which may hold more of the thing
    assert np.mean(still) > 0.5


@pytest.mark.parametrize("painted", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_a_case_of_a_part_is_exact(seed: int, painted: float) -> None:
    photo, cut = picture(0), _lollipop()
    rng = np.random.default_rng(seed)
    case = synthetic_case(rng, photo, (96, 96), cut, picture(1), cut, in_place=0, painted=painted, parts=1)
    _check(case, tolerance=2.5)


def test_what_stands_out_is_one_thing_that_the_map_is_sure_of() -> None:
    heat = np.zeros((320, 320), np.float32)
    heat[40:200, 40:200], heat[250:290, 250:290] = 1.0, 1.0
    found = salient_cut(heat, (240, 320))
    assert found is not None and found.shape == (240, 320)
    assert found[30:150, 40:200].mean() > 0.97 and not found[180:].any()
    assert salient_cut(0.7 * heat, (240, 320)) is None and salient_cut(0 * heat, (240, 320)) is None


def test_a_network_for_what_stands_out_is_asked_in_its_own_terms(tmp_path) -> None:
    """A network that takes for an object what is brighter than ImageNet's mean finds a bright disk on black."""
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("ReduceMean", ["x", "channels"], ["mean"]),
        onnx.helper.make_node("Mul", ["mean", "steep"], ["logit"]),
        onnx.helper.make_node("Sigmoid", ["logit"], ["y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "channels"),
        onnx.numpy_helper.from_array(np.float32(20), "steep"),
    ]
    ports = [value(n, onnx.TensorProto.FLOAT, [1, c, 320, 320]) for n, c in (("x", 3), ("y", 1))]
    graph = onnx.helper.make_graph(nodes, "bright", ports[:1], ports[1:], constants)
    file = tmp_path / "bright.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), str(file))
    photo = np.zeros((200, 400, 3), np.uint8)
    disk = np.hypot(*np.moveaxis(grid(200, 400) - [120, 100], -1, 0)) < 60
    photo[disk] = 250
    found, nothing = find_salient([photo, np.zeros_like(photo)], file)
    assert nothing is None and found is not None and found.shape == (160, 320)
    assert np.abs(found.sum() / 0.64 - disk.sum()) < 0.05 * disk.sum()


def test_turning_round_inverts_a_shift_and_finds_what_it_uncovers() -> None:
    forward, mask = torch.zeros(1, 2, 32, 32), torch.ones(1, 1, 32, 32)
    forward[:, 0, 10:20, 6:14] = 10  # a block moves ten cells to the right
    guess = torch.full((1, 2, 32, 32), 0.0)
    guess[:, 0] = -10
    back, lost = turn_round(forward, mask, [guess], rounds=4)
    assert torch.equal(back[:, 0, 11:19, 17:23], torch.full((1, 8, 6), -10.0))
    assert lost[:, :, 11:19, 7:13].min() > 5  # nothing lands where the block was
    assert lost[:, :, 11:19, 17:23].max() == 0 and lost[:, :, :8].max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_heldout_case_is_exact(seed: int) -> None:
    _check(heldout_case(np.random.default_rng(seed), picture(seed, 160, 200), (128, 128)), tolerance=2.5)


def test_cases_are_reproducible(album) -> None:
    one, two = (synthetic_case(np.random.default_rng(5), album.photos[0], (64, 64)) for _ in range(2))
    assert np.array_equal(one.target, two.target) and np.array_equal(one.drags, two.drags)


def test_known_translation_of_a_layer() -> None:
    photo = picture(0)
    cut = np.zeros(photo.shape[:2], bool)
    cut[30:60, 30:60] = True
    field = np.zeros((*cut.shape, 2), np.float32)
    field[..., 0] = -20  # the object moves 20 px to the right
    alpha = cut.astype(np.float32)
    after = warp(alpha, field, 0)
    ground = np.full_like(photo, 30)
    source = layers._over(photo, alpha, ground)
    pair = layers._pair(source, layers._over(warp(photo, field), after, ground), field, -field, alpha, after)
    assert pair.moving[45, 65] == 1 and pair.moving[45, 35] == 0
    assert pair.visible[45, 35] == 0 and pair.visible[45, 75] == 1 and pair.visible[10, 10] == 1
    assert pair.field[45, 75, 0] == -20 and pair.field[45, 35, 0] == 0


@pytest.mark.parametrize("name", list(MOTIONS))
def test_every_motion_is_finite(name: str) -> None:
    rng = np.random.default_rng(3)
    x = grid(64, 80)
    for _ in range(10):
        assert np.isfinite(random_motion(rng, x, random_region(rng, 64, 80), only=(name,))).all()


def test_a_field_that_turns_a_part_over_is_seen_to_fold() -> None:
    x = grid(32, 40) - [20.0, 16.0]
    assert not folds((x * -0.5).astype(np.float32))  # twice as large
    assert folds((x * [-2.0, 0.0]).astype(np.float32))  # mirrored
    assert not folds((x * -2.0).astype(np.float32))  # half a turn


def test_inverse_of_a_field() -> None:
    x = grid(64, 64)
    field = np.stack([3 * np.sin(x[..., 1] / 10), 2 * np.cos(x[..., 0] / 12)], -1).astype(np.float32)
    back = invert(field)
    there = np.stack([warp(field[..., c], back) for c in (0, 1)], -1) + back
    assert np.abs(there[8:-8, 8:-8]).max() < 0.05


def test_loose_masks_cover_and_windows_vanish_outside() -> None:
    rng = np.random.default_rng(0)
    core = layers.ellipse(grid(96, 96), random_region(rng, 96, 96))
    for _ in range(20):
        mask = loose_mask(rng, core, (0.02, 0.2))
        assert (mask[core > 0.5] == 1).all()
        weight, reach = window(rng, mask, core)
        assert reach > 0 and weight[mask < 0.5].max(initial=0) == 0 and weight.max() <= 1


def test_thin_plate_meets_its_points() -> None:
    points = np.array([[0.2, 0.3], [0.7, 0.6], [0.4, 0.8]])
    values = np.array([[0.1, 0.0], [0.0, -0.1], [0.05, 0.05]])
    got = heldout.thin_plate(points, values, points[None])[0]
    assert np.abs(got - values).max() < 0.02


def test_no_drags_on_a_still_field() -> None:
    ones = np.ones((32, 32), np.float32)
    assert sample_drags(np.random.default_rng(0), np.zeros((32, 32, 2), np.float32), ones, ones) is None
