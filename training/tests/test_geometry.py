"""Point maps, warps and the interpolation that the field starts from."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from conftest import FIELD

from tug.fieldnet import FieldNet, Fields, beyond, holes, stiffened, torn, with_scraps
from tug.geometry import (
    mask_depth,
    pixel_grid,
    point_maps,
    push_pull,
    refined,
    rigid_motion,
    sample,
    squared_distances,
    steadied,
    warp,
)

# two drags that move something, hardly; net pixels
PULLED = [[2.0, 30.0, 2.6, 30.0], [3.0, 31.0, 3.6, 31.0]]


def test_point_maps_label_truncated_pixels() -> None:
    drags = torch.tensor([[[3.9, 5.2, 7.0, 1.0], [0.0, 0.0, 9.99, 7.5], [-2.0, 1.0, 100.0, 2.0]]])
    handles, targets = point_maps(drags, 8, 10)
    assert handles.shape == targets.shape == (1, 1, 8, 10)
    assert handles[0, 0, 5, 3] == 1 and handles[0, 0, 0, 0] == 2
    assert targets[0, 0, 1, 7] == 1 and targets[0, 0, 7, 9] == 2
    assert handles.count_nonzero() == 2 and targets.count_nonzero() == 2


def test_later_pairs_win_a_shared_pixel() -> None:
    handles, _ = point_maps(torch.tensor([[[1.0, 1, 2, 2], [1.5, 1.5, 3, 3]]]), 4, 4)
    assert handles[0, 0, 1, 1] == 2 and handles.count_nonzero() == 1


def test_zero_field_is_the_identity_and_shifts_are_exact() -> None:
    image = torch.rand(1, 3, 12, 20)
    assert torch.allclose(warp(image, torch.zeros(1, 2, 12, 20)), image, atol=1e-5)
    field = torch.zeros(1, 2, 12, 20)
    field[:, 0] = 3
    assert torch.allclose(warp(image, field)[..., :17], image[..., 3:], atol=1e-5)


def test_sampling_is_scale_free() -> None:
    x = pixel_grid(torch.zeros(1, 1, 16, 24))
    assert torch.allclose(sample(x, x), x, atol=1e-4)
    small = torch.nn.functional.avg_pool2d(x, 4)
    inner = sample(small, x / 4)[..., 4:-4, 4:-4]
    assert torch.allclose(inner, x[..., 4:-4, 4:-4], atol=1e-3)


def test_depth_counts_from_the_mask_border_only() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 8:32] = 1  # reaches the picture's top and bottom
    depth = mask_depth(mask)
    assert depth[..., :8].abs().max() == 0 and depth[0, 0, 20, 20] > 8
    assert abs(float(depth[0, 0, 0, 20] - depth[0, 0, 20, 20])) < 0.5


def test_two_points_turn_everything_about_the_pinned_one() -> None:
    pin, handle, far = torch.tensor([20.0, 20]), torch.tensor([50.0, 20]), torch.full((2,), -1e4)
    turn = torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    points = torch.stack([pin, handle, far])[None]
    values = torch.stack([0 * pin, turn @ (handle - pin) + pin - handle, 0 * pin])[None]
    grid = pixel_grid(torch.zeros(1, 1, 64, 64))
    moved = rigid_motion(squared_distances(points, grid), points, values, grid)
    offsets = grid[0] - pin[:, None, None]
    true = torch.einsum("ij,jhw->ihw", turn, offsets) - offsets
    away = offsets.norm(dim=0) > 2  # right at a point the regularisation keeps what is there still
    assert (moved[0] - true).abs()[:, away].max() < 0.1


def test_one_point_moves_everything_by_its_own_value() -> None:
    grid, point, value = pixel_grid(torch.zeros(1, 1, 16, 24)), torch.tensor([[[5.0, 6]]]), torch.tensor([[[3.0, -2]]])
    moved = rigid_motion(squared_distances(point, grid), point, value, grid)
    assert torch.allclose(moved, value.view(1, 2, 1, 1).expand_as(moved), atol=1e-3)


def test_field_is_exact_at_every_drag_and_zero_outside() -> None:
    torch.manual_seed(0)
    network = FieldNet(FIELD).eval()
    torch.nn.init.normal_(network.mend.out.weight, std=0.3)
    mask = torch.zeros(1, 1, 128, 192)
    mask[..., 16:112, 24:168] = 1
    targets = torch.tensor([[50.0, 50], [90, 90], [130, 46]]) // 4 * 4 + 2
    drags = torch.cat([targets + torch.tensor([[8.0, -5], [0, 0], [-12, 9]]), targets], 1)[None]
    with torch.no_grad():
        field, visibility, prior, metric = network(torch.rand(1, 3, 128, 192) * 2 - 1, mask, drags)
    assert field.shape == prior.shape == (1, 2, 32, 48) and visibility.shape == (1, 1, 32, 48)
    assert metric.shape == (1, 3, 32, 48)
    for f in (field, prior):
        got = sample(f, (targets / 4).t()[None, :, None])[0, :, 0].t()
        assert (got - (drags[0, :, :2] - targets)).abs().max() < 0.6
    outside = torch.nn.functional.avg_pool2d(mask, 4) == 0
    assert (field.abs().sum(1, keepdim=True)[outside] == 0).all() and (visibility[outside] == 1).all()


def test_more_or_less_follows_a_drag_but_the_drag_is_met() -> None:
    torch.manual_seed(2)
    network = FieldNet(FIELD).eval()
    image, mask = torch.rand(1, 3, 48, 48), torch.ones(1, 1, 48, 48)
    drags = torch.tensor([[[20.5, 24.5, 26.5, 24.5], [40.5, 24.5, 40.5, 24.5]]])
    with torch.no_grad():
        answers = [network.at_net_size(image, mask, drags, torch.tensor([f])).forward for f in (-4.0, 0.0, 4.0)]
    moved = [float(field[:, 0].abs().mean()) for field in answers]
    assert moved[0] < 0.7 * moved[1] and moved[1] < 0.8 * moved[2]
    assert all(abs(float(field[0, 0, 24, 20]) - 6) < 0.3 for field in answers)


def test_the_longer_a_drag_is_the_more_around_its_handle_follows_where_a_part_is_pinned() -> None:
    torch.manual_seed(2)
    network = FieldNet(FIELD)
    image, mask = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64)

    def gained(length: float, away: int, pin: float = 4.5) -> float:
        drags = torch.tensor([[[32.5, 32.5, 32.5 + length, 32.5], [4.5, 4.5, pin, 4.5]]])
        with torch.no_grad():
            before = network.train().at_net_size(image, mask, drags).forward
            after = network.eval().at_net_size(image, mask, drags).forward
        return float((after - before)[0, 0, 32 + away, 32]) / length

    # what was learned says half of the way, far from what is met exactly
    assert gained(20, 8) > 0.25 and abs(gained(4, 12)) < 0.05
    assert gained(20, 8) > gained(20, 16) > gained(20, 24) and abs(gained(20, 28)) < 0.15
    assert gained(20, 8, pin=9.5) == 0


def test_padding_drags_change_nothing() -> None:
    torch.manual_seed(1)
    network = FieldNet(FIELD).eval()
    torch.nn.init.normal_(network.mend.out.weight, std=0.1)
    image, mask = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    drags = torch.tensor([[[10.0, 10, 16, 18]]])
    padded = torch.cat([drags, torch.full((1, 2, 4), -1e4)], 1)
    with torch.no_grad():
        one, two = network.at_net_size(image, mask, drags)[0], network.at_net_size(image, mask, padded)[0]
    assert torch.allclose(one, two, atol=1e-3)


def test_steadying_keeps_slopes_and_jumps_and_evens_out_ripples() -> None:
    grid, within = pixel_grid(torch.zeros(1, 1, 24, 24)), torch.ones(1, 1, 24, 24)
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    slope = torch.cat([0.3 * grid[:, :1] - 0.2 * grid[:, 1:], 0.1 * grid[:, 1:]], 1)
    assert torch.allclose(steadied(slope, within, 2, 0.4)[inside], slope[inside], atol=1e-4)
    jump = 8 * (grid > 12).float()
    assert (steadied(jump, within, 2, 0.4) - jump).abs().max() < 0.5
    ripple = 0.1 * torch.cos(torch.pi * grid)
    assert steadied(slope + ripple, within, 2, 0.4)[inside].sub(slope[inside]).abs().max() < 0.05


def test_what_is_known_stays_and_the_rest_continues_it_smoothly() -> None:
    ramp = pixel_grid(torch.zeros(1, 1, 64, 64))
    weight = torch.ones(1, 1, 64, 64)
    weight[..., 20:40, 26:38] = 0
    torn = torch.where(weight > 0, ramp, torch.full_like(ramp, 900.0))
    filled = push_pull(torn, weight)
    assert torch.equal(torch.where(weight > 0, filled, ramp), ramp)
    assert (filled - ramp).abs().max() < 10  # the hole's half width, at most
    assert (filled[..., 1:] - filled[..., :-1]).abs().max() < 6
    assert torch.allclose(push_pull(torch.full_like(ramp, 3.0), weight), torch.full_like(ramp, 3.0), atol=1e-4)


def test_a_hole_larger_than_the_pyramid_reaches_is_filled_too() -> None:
    weight = torch.zeros(1, 1, 128, 128)
    weight[..., :8] = 1
    filled = push_pull(2 * weight, weight)
    assert torch.allclose(filled, torch.full((1, 1, 128, 128), 2.0), atol=1e-3)


def test_a_likely_hole_is_stretched_over_and_what_was_dragged_to_a_target_is_seen() -> None:
    net = FieldNet(FIELD)
    mask, drags = torch.ones(1, 1, 32, 32), torch.tensor([[[28.0, 4.0, 28.0, 4.0], *PULLED]])
    field, logits = torch.zeros(1, 2, 32, 32), torch.full((1, 1, 32, 32), 8.0)
    lost = torch.zeros_like(logits)
    field[..., 12:20, 12:20], logits[..., 12:20, 12:20] = 30.0, -0.5  # torn, and 62 % a hole, but something lands there
    logits[..., 24:30, 14:30], lost[..., 24:30, 14:30] = -5.0, 4.0
    logits[..., 2:6, 26:30], lost[..., 2:6, 26:30] = -5.0, 4.0  # a hole where something was dragged to
    settled, visibility = net.settle(Fields(field, logits, field, field, field, lost), mask, drags)
    assert settled.abs().max() < 3
    assert visibility[..., 12:20, 12:20].min() > 0.99
    assert visibility[..., 24:30, 14:30].max() < 0.01
    assert visibility[..., 3:5, 27:29].min() > 0.99


def test_a_field_breaks_only_where_something_comes_off() -> None:
    net = FieldNet(FIELD)
    mask, drags = torch.ones(2, 1, 32, 32), torch.tensor([PULLED]).repeat(2, 1, 1)
    field, logits = torch.zeros(2, 2, 32, 32), torch.full((2, 1, 32, 32), 8.0)
    lost = torch.zeros_like(logits)
    field[:, 1:, 8:24, 16:] = -9.0  # what lies to the right moves down by nine
    logits[1, :, 8:24, 26:], lost[1, :, 8:24, 26:] = -5.0, 4.0  # … and in the second case leaves a hole
    settled, visibility = net.settle(Fields(field, logits, field, field, field, lost), mask, drags)
    assert visibility[0].min() > 0.99 and visibility[1, 0, 12:20, 28:].max() < 0.01
    steps = (settled[:, 1, 14:18, 11:20].diff(dim=-1)).abs().amax((1, 2))
    assert steps[0] < 5 and steps[1] > 8


def test_a_hole_takes_in_the_scraps_beside_it_and_nothing_of_what_moved_or_turned() -> None:
    inside, hole, field = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    hole[..., 8:24, 4:8] = 1
    field[:, 0, :, 8:12] = torch.tensor([-3.0, -6.0, -9.0, -12.0])  # squeezed between the hole and what moved
    field[:, 0, :, 12:] = -14.0
    grown = with_scraps(hole, field, inside)[0, 0]
    assert grown[10:22, 8:11].min() > 0.9  # all of it
    assert grown[:, 13:].max() == 0 and grown[:, :4].max() == 0  # neither the thing nor what lies still
    assert with_scraps(torch.zeros_like(hole), field, inside).max() == 0  # there is no hole to begin with
    assert with_scraps(hole, field, 0 * inside)[..., 8:].max() == 0

    grid = pixel_grid(hole) - 16
    turned = torch.cat([-grid[:, 1:] - grid[:, :1], grid[:, :1] - grid[:, 1:]], 1)  # by a quarter turn
    assert with_scraps(hole, turned, inside)[..., 9:].max() == 0
    assert torn(0.8 * -grid, inside)[..., 1:-1, 1:-1].min() > 0.5  # drawn out to five times its size
    assert torn(-grid, inside)[..., 1:-1, 1:-1].min() == 1  # all of it one point
    assert torn(-1.5 * grid, inside)[..., 1:-1, 1:-1].max() == 0  # turned by half, at twice its size


def test_what_comes_in_from_beyond_the_picture_is_a_hole() -> None:
    field, mask = torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)
    field[:, 0, :, 24:] = torch.arange(8.0)  # the last place looks seven beyond, the one before five
    away = beyond(field)[0, 0]
    assert away[:, :28].max() == 0 and away[:, 30:].min() == 1
    assert beyond(-field).max() == 0 and beyond(field.flip(3).neg())[0, 0, :, :2].min() == 1
    mask[..., 8:24, 8:] = 1
    logits, lost = torch.full_like(mask, 8.0), torch.zeros_like(mask)
    net = FieldNet(replace(FIELD, whole=(), steady=()))
    pulled = torch.tensor([[[28.0, 16.0, 12.0, 16.0]]])
    _, visibility = net.settle(Fields(2 * field, logits, field, field, field, lost), mask, pulled)
    assert visibility[..., 12:20, 27:29].max() < 0.01 and visibility[..., :8, :].min() == 1


def test_what_may_only_stretch_is_not_torn_but_in_another_answer() -> None:
    net = FieldNet(FIELD)
    mask, field = torch.ones(1, 1, 32, 32), torch.zeros(1, 2, 32, 32)
    logits, lost = torch.full((1, 1, 32, 32), -5.0), torch.full((1, 1, 32, 32), 4.0)
    fields = Fields(field, logits, field, field, field, lost)

    def seen(drags: list[list[float]], follow: float = 0.0) -> float:
        return float(net.settle(fields, mask, torch.tensor([drags]), torch.tensor([follow]))[1].min())

    def pin(x: float, y: float) -> list[float]:
        return [x, y, x, y]

    one = [16.0, 16.0, 17.0, 16.0]
    assert seen([one]) == 1 and seen([one, pin(4, 16)]) == 1  # away from its pin
    assert seen([one, pin(28, 16)]) < 0.01 and seen([one, pin(16, 28)]) < 0.01  # back to it, and about it
    assert seen([pin(4, 4), pin(28, 28)]) == 1
    assert seen([one], 2.5) < 0.01 and seen([one], -2.0) < 0.01
    assert seen(PULLED) < 0.01


def test_only_a_hole_that_is_large_and_sure_is_filled() -> None:
    mask = torch.ones(1, 1, 32, 32)
    belief, lost = torch.zeros_like(mask), torch.zeros_like(mask)
    large, small = torch.zeros_like(mask), torch.zeros_like(mask)
    large[..., 4:20, 4:20], small[..., 4:8, 4:8] = 1, 1

    def filled(where: torch.Tensor, sure: float) -> float:
        return float(holes(belief + sure * where, lost + 5 * where, mask).max())

    assert filled(large, 0.6) == 1
    assert filled(small, 0.6) == 0
    assert filled(large, 0.3) == 0
    assert filled(large, 0.36) > 0.5
    assert holes(belief + 0.6 * large, lost, mask).max() < 0.5  # something lands everywhere


def test_a_refined_field_is_smooth_where_it_bends_and_has_nothing_in_between_where_it_breaks() -> None:
    gentle = 3 * torch.rand(1, 2, 6, 7)
    smooth = torch.nn.functional.interpolate(gentle, scale_factor=4.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(refined(gentle, 24, 28), smooth)
    step = torch.zeros(1, 2, 6, 8)
    step[..., 2:5, 3:6] = 20.0
    fine = refined(step, 24, 32)
    assert ((fine - 0).abs().minimum((fine - 20).abs()) < 1e-4).all()
    # the break runs half-way between the cells' centres
    assert fine[0, 0, 14].nonzero().flatten().tolist() == list(range(12, 24))


def test_a_break_aslant_is_a_smooth_line_at_any_size() -> None:
    y, x = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    beyond = (y < 4 + 0.25 * x).float()  # an edge that climbs a cell in four
    field = torch.stack([40 * beyond, 0 * beyond])[None]
    fine = refined(field, 16 * 10, 32 * 10)[0, 0] > 20
    border = fine.sum(0)[40:280].double()  # where it runs, tenths of a cell
    line = 40 + 0.25 * (torch.arange(40, 280) + 0.5)
    assert (border - line).abs().max() < 5
    assert border.diff().abs().max() <= 2  # no stairs: a cell would be ten


def test_what_nearly_follows_a_rigid_motion_follows_it_where_something_leaves_a_place_empty() -> None:
    mask = torch.ones(2, 1, 8, 8)
    rigid = torch.full((2, 2, 8, 8), 10.0)
    field = rigid.clone()
    field[..., :4] = 9.0  # nearly
    field[..., 4:] = 0.0  # not at all
    lost = torch.zeros(2, 1, 8, 8)
    lost[1, ..., 7] = 5.0  # in the second case an eighth of the mask is left
    still, moved = stiffened(field, rigid, lost, mask)
    torch.testing.assert_close(still, field[0])
    assert (moved[:, :, :4] > 9.5).all() and (moved[:, :, :4] < 10).all()
    assert (moved[:, :, 4:].abs() < 1e-3).all()
