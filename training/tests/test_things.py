"""Things in a photo, as a network that tells what a point lies on would find them: its stand-in knows drawn discs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tug.motions import grid
from tug.photos import Album, load_album
from tug.things import PointSegmenter, Thing, find_things

HEIGHT, WIDTH = 120, 160
FIRM = 8.0


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(*np.moveaxis(grid(HEIGHT, WIDTH) - [x, y], -1, 0)) < radius


HEAD, BODY = disc(60, 40, 14), disc(60, 75, 24)
ANIMAL, BALL = HEAD | BODY, disc(120, 60, 12)
SKY = ~(ANIMAL | BALL)


class Drawn(PointSegmenter):
    """Answers with the drawn thing under the first point, or its part where the second, not meant, is on another."""

    def __init__(self, fit: float = 0.95, soft: bool = False) -> None:
        self.fit, self.soft, self.asked = fit, soft, 0

    def look(self, photo: np.ndarray) -> None:
        assert photo.shape == (HEIGHT, WIDTH, 3)

    def at(self, points: np.ndarray, meant: list[bool]) -> tuple[np.ndarray, float]:
        self.asked += 1
        (x, y), things = points[0].astype(int), [ANIMAL, BALL, SKY]
        if len(points) > 1:
            assert meant == [True, False]
            ox, oy = points[1].astype(int)
            if BODY[oy, ox] != BODY[y, x]:
                things = [BODY, HEAD & ~BODY]
        found = next((thing for thing in things if thing[y, x]), np.zeros((HEIGHT, WIDTH), bool))
        return np.where(found, 0.5 if self.soft else FIRM, -FIRM).astype(np.float32), self.fit


def test_things_are_found_once_with_their_parts_and_a_background_is_none() -> None:
    photo, parts = np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0
    seen: set[int] = set()
    for seed in range(12):
        things = find_things(Drawn(), photo, np.random.default_rng(seed))
        assert len(things) <= 2
        for thing in things:
            (which,) = [i for i, truth in enumerate((ANIMAL, BALL)) if (thing.cut ^ truth).sum() < 0.03 * truth.sum()]
            seen.add(which)
            for part in thing.parts:
                assert not (part & ~thing.cut).any() and part.sum() < 0.8 * thing.cut.sum()
                parts += 1
    assert seen == {0, 1} and parts > 3


@pytest.mark.parametrize("network", [Drawn(fit=0.5), Drawn(soft=True)])
def test_what_the_network_is_unsure_of_is_left(network: Drawn) -> None:
    assert find_things(network, np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.random.default_rng(0)) == []
    assert network.asked > 0


def _write_networks(folder: Path) -> None:
    """encoder.onnx: means of 16×16 pixels; sam.onnx: what is about as bright as the picture is at the first point."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT

    def write(name: str, nodes: list, inputs: dict, outputs: dict, constants: dict) -> None:
        ports = [[helper.make_tensor_value_info(n, floats, s) for n, s in each.items()] for each in (inputs, outputs)]
        initial = [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()]
        model = helper.make_model(
            helper.make_graph(nodes, name, *ports, initial),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=9,
        )
        onnx.save(model, str(folder / f"{name}.onnx"))

    pool = {"kernel_shape": [16, 16], "strides": [16, 16]}
    write(
        "encoder",
        [helper.make_node("AveragePool", ["x"], ["y"], **pool)],
        {"x": [1, 3, 1024, 1024]},
        {"y": [1, 3, 64, 64]},
        {},
    )
    nodes = [
        helper.make_node("Slice", ["point_coords", "from", "to", "axis"], ["first"]),
        helper.make_node("Div", ["first", "sixteen"], ["cell"]),
        helper.make_node("Cast", ["cell"], ["place"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["place", "swap"], ["yx"], axis=2),
        helper.make_node("Reshape", ["yx", "pair"], ["at"]),
        helper.make_node("ReduceMean", ["image_embeddings", "one"], ["grey"], keepdims=0),
        helper.make_node("Squeeze", ["grey", "zero"], ["plane"]),
        helper.make_node("GatherND", ["plane", "at"], ["own"]),
        helper.make_node("Sub", ["plane", "own"], ["off"]),
        helper.make_node("Abs", ["off"], ["far"]),
        helper.make_node("Mul", ["far", "steep"], ["steeper"]),
        helper.make_node("Add", ["steeper", "firm"], ["small"]),
        helper.make_node("Unsqueeze", ["small", "front"], ["batched"]),
        helper.make_node("Resize", ["batched", "", "scales"], ["low_res_masks"], mode="nearest"),
        helper.make_node("Identity", ["sure"], ["iou_predictions"]),
    ]
    inputs = {
        "image_embeddings": [1, 3, 64, 64],
        "point_coords": [1, "n", 2],
        "point_labels": [1, "n"],
        "mask_input": [1, 1, 256, 256],
        "has_mask_input": [1],
        "orig_im_size": [2],
    }
    constants = {
        **{key: np.array([value]) for key, value in (("from", 0), ("to", 1), ("axis", 1), ("one", 1), ("zero", 0))},
        "swap": np.array([1, 0]),
        "pair": np.array([1, 2]),
        "front": np.array([0, 1]),
        "sixteen": np.float32(16),
        "steep": np.float32(-20),
        "firm": np.float32(5),
        "scales": np.array([1, 1, 4, 4], np.float32),
        "sure": np.array([[0.95]], np.float32),
    }
    write("sam", nodes, inputs, {"iou_predictions": [1, 1], "low_res_masks": [1, 1, 256, 256]}, constants)


def test_a_segmenter_is_asked_in_its_own_terms_and_its_things_are_kept(tmp_path) -> None:
    import cv2

    _write_networks(tmp_path)
    photo = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    photo[ANIMAL] = 230
    network = PointSegmenter(tmp_path)
    with pytest.raises(RuntimeError, match="look at"):
        network.at(np.array([[60, 75]]), [True])
    network.look(photo)
    logits, fit = network.at(np.array([[60.5, 75.5]], np.float32), [True])
    assert fit == pytest.approx(0.95) and logits.shape == (192, 256)
    found = cv2.resize(logits, (WIDTH, HEIGHT)) > 0
    assert (found ^ ANIMAL).sum() < 0.2 * ANIMAL.sum()

    (tmp_path / "data" / "photos").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "photos" / "one.png"), photo)
    albums = [load_album(tmp_path / "data", tmp_path / "cache", segmenter=tmp_path) for _ in range(2)]
    assert [thing.cut.shape for thing in albums[0].things[0]] == [(HEIGHT, WIDTH)]
    assert np.array_equal(albums[0].things[0][0].cut, albums[1].things[0][0].cut)
    assert (albums[0].things[0][0].cut ^ ANIMAL).sum() < 0.25 * ANIMAL.sum()


def test_an_album_gives_its_things_before_its_main_objects() -> None:
    photos = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 3
    album = Album(["a", "b", "c"], photos, [BODY, BODY, None], [[Thing(BALL), Thing(HEAD)], [], []])
    rng = np.random.default_rng(0)
    drawn = {int(thing.cut.sum()) for thing in (album.thing(rng, 0) for _ in range(20)) if thing is not None}
    assert drawn == {int(BALL.sum()), int(HEAD.sum())}
    second = album.thing(rng, 1)
    assert second is not None and second.cut is BODY and album.thing(rng, 2) is None
    assert album.with_objects() == [0, 1]
