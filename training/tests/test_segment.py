"""What the drags hold by its colours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from conftest import FIELD

from tug.fieldnet import FieldNet
from tug.segment import segment
from tug.weights import load_weights

HEIGHT, WIDTH = 64, 96


def _disk(x: float, y: float, radius: float) -> torch.Tensor:
    rows, columns = torch.arange(HEIGHT)[:, None] + 0.5, torch.arange(WIDTH)[None] + 0.5
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).float()[None, None]


def _picture(thing: torch.Tensor) -> torch.Tensor:
    """An orange thing in front of grey-green noise, in [-1, 1]."""
    noise = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.4 - 0.2
    return noise + torch.where(
        thing > 0, *(torch.tensor(c).view(1, 3, 1, 1) for c in ([0.8, 0.2, -0.6], [-0.2, 0.1, -0.2]))
    )


def _overlap(found: torch.Tensor, thing: torch.Tensor) -> float:
    both, either = (found > 0.5) & (thing > 0), (found > 0.5) | (thing > 0)
    return float(both.sum() / either.sum())


def _mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 4:60, 6:90] = 1
    return mask


def test_a_thing_is_found_from_one_handle_and_nothing_outside_the_mask() -> None:
    thing = _disk(32, 30, 14)
    mask = _mask()
    found = segment(_picture(thing), mask, torch.tensor([[[26.0, 28.0, 60.0, 28.0]]]))
    assert found.shape == (1, 1, HEIGHT, WIDTH) and found.min() >= 0 and found.max() <= 1
    assert _overlap(found, thing) > 0.85
    assert found[mask == 0].max() < 0.5  # but for the blur of half a pixel over the border
    assert found[..., :2, :].max() == 0


def test_a_pin_keeps_what_looks_alike_and_is_apart() -> None:
    one, other = _disk(26, 30, 12), _disk(70, 30, 12)
    drags = torch.tensor([[[26.0, 30.0, 26.0, 44.0], [70.0, 30.0, 70.0, 30.0]]])
    image = _picture(one + other)
    pinned, free = (segment(image, _mask(), d)[other > 0].mean() for d in (drags, drags[:, :1]))
    assert pinned < free - 0.1


def test_padding_changes_nothing_and_cases_do_not_mix() -> None:
    images = torch.cat([_picture(_disk(32, 30, 14)), _picture(_disk(60, 34, 10))])
    drags = torch.tensor([[[30.0, 30.0, 50.0, 30.0]], [[60.0, 34.0, 60.0, 20.0]]])
    masks = _mask().repeat(2, 1, 1, 1)
    both = segment(images, masks, torch.cat([drags, torch.full((2, 2, 4), -1e4)], 1))
    for index in range(2):
        alone = segment(images[index : index + 1], masks[:1], drags[index : index + 1])
        assert torch.allclose(both[index : index + 1], alone, atol=1e-4)


def test_pins_alone_and_an_empty_mask_hold_nothing() -> None:
    image = _picture(_disk(32, 30, 14))
    pin = torch.tensor([[[30.0, 30.0, 30.0, 30.0]]])
    for mask, drags in ((_mask(), pin), (torch.zeros_like(_mask()), torch.tensor([[[30.0, 30.0, 50.0, 30.0]]]))):
        found = segment(image, mask, drags)
        assert torch.isfinite(found).all() and found.max() < 0.5


def test_a_network_that_is_told_so_begins_as_one_that_is_not_and_follows_the_thing_more(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain, told = FieldNet(FIELD).eval(), FieldNet(dataclasses.replace(FIELD, segmented=True)).eval()
    torch.save({f"field.{key}": value for key, value in plain.state_dict().items()}, tmp_path / "field.pt")
    assert load_weights(torch.nn.ModuleDict({"field": told}), tmp_path / "field.pt") == ["field"]
    assert torch.equal(told.follow.stem.weight[:, :15], plain.follow.stem.weight)
    assert told.follow.stem.weight[:, 15].abs().max() == 0
    thing, drags = _disk(32, 30, 14), torch.tensor([[[26.0, 28.0, 60.0, 28.0]]])
    with torch.no_grad():
        fields = [net.at_net_size(_picture(thing), _mask(), drags).forward[:, :1] for net in (plain, told)]
    inside, around = (thing > 0), (_disk(32, 30, 24) > 0) & (thing == 0)
    before, after = (float(field[inside].mean() / field[around].mean()) for field in fields)
    assert after > 1.5 * before
