"""A stand-in bundle whose graphs are arithmetic: what the runner does around them, and a whole small evaluation."""

import json

import numpy as np
import pytest

from tug import evaluate as evaluation
from tug.bundle_runner import Bundle
from tug.cases import heldout_case
from tug.evaluate import EvaluateConfig, evaluate
from tug.schedule import alphas
from tug.testsets import Item

SHIFT = 16.0  # work px to the right that the stand-in moves everything by


class StandIn(Bundle):
    """Latent = 8×8 means; the field is a constant shift; the decoder returns the warped picture plus two greys."""

    def __init__(self, folder=None, threads: int = 1, precision: str = "fp32") -> None:
        self.manifest = {
            "name": "stand-in",
            "size": {"area": 128 * 128, "multiple": 64, "minSide": 64},
            "latent": {"channels": 3, "downscale": 8},
            "field": {"downscale": 4},
            "schedule": {"timesteps": {"1": [799], "4": [799, 599, 399, 199]}},
            "options": {"steps": [1, 4]},
            "defaults": {"steps": 4},
            "graphs": {"field": {"gflop": 1.0}, "denoiser": {"gflop": 2.0}, "decoder": {"gflop": 3.0}},
        }
        self.precision = precision
        self.alphas = alphas().double().numpy()
        self.seen: list[float] = []
        self.fields: list[str] = []

    def run(self, name: str, store: dict) -> None:
        if name in ("field", "pull"):
            self.fields.append(name)
            h, w = (side // 4 for side in store["image"].shape[2:])
            store["field"] = np.zeros((1, 2, h, w), np.float32)
            store["field"][:, 0] = -SHIFT
            store["prior"], store["visibility"] = store["field"] * 0, np.ones((1, 1, h, w), np.float32)
            store["stretch"] = np.ones((1, 3, h, w), np.float32)
        elif name == "encoder":
            _, c, h, w = store["image"].shape
            store["latent"] = store["image"].reshape(1, c, h // 8, 8, w // 8, 8).mean((3, 5))
            store["skip_2"], store["skip_4"] = (np.zeros((1, 1, h // s, w // s), np.float32) for s in (2, 4))
        elif name == "denoiser":
            self.seen.append(float(store["timestep"][0]))
            store["x0"] = store["warped"]
        elif name == "decoder":
            store["picture"] = store["image_warped"] + 2 / 127.5


@pytest.fixture
def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(20, 230, (32, 32, 3)), np.ones((4, 4, 1))).astype(np.uint8)


def test_a_photo_with_more_pixels_than_the_work_size_is_drawn_out_less(photo):
    mask, drags = np.ones((128, 128), np.float32), np.array([[40, 60, 56, 60]], np.float32)
    assert (StandIn().prepare(photo, mask, drags).store["stretch"] == 1).all()
    large = np.kron(photo, np.ones((2, 2, 1), np.uint8))
    scene = StandIn().prepare(large, np.ones((256, 256), np.float32), 2 * drags)
    assert (scene.store["stretch"] == 4).all()


def test_a_network_for_pulls_is_asked_where_no_mask_was_painted(photo):
    bundle, mask, drags = StandIn(), np.ones((128, 128), np.float32), np.array([[40, 60, 56, 60]], np.float32)
    bundle.edit(photo, mask, drags, [1], painted=False)
    cost = bundle.gflop(4)
    bundle.manifest["graphs"]["pull"] = {"gflop": 1.0}
    bundle.edit(photo, mask, drags, [1], painted=False)
    bundle.edit(photo, mask, drags, [1])
    assert bundle.fields == ["field", "pull", "field"]
    assert bundle.gflop(4) == cost  # an edit runs one of the two


def test_an_edit_changes_the_mask_only_and_walks_down_the_timesteps(photo):
    mask = np.zeros((128, 128), np.float32)
    mask[30:100, 30:110] = 1
    bundle = StandIn()
    edits = bundle.edit(photo, mask, np.array([[40, 60, 56, 60]], np.float32), [1, 4])
    assert bundle.seen == [799, 799, 599, 399, 199]
    picture = edits[4].picture
    assert np.array_equal(picture[mask == 0], photo[mask == 0])
    expected = np.roll(photo, int(SHIFT), 1).astype(int) + 2
    assert np.abs(picture[45:85, 45:95].astype(int) - expected[45:85, 45:95]).max() <= 1
    assert edits[4].field[60, 60].tolist() == [-SHIFT, 0]
    assert np.abs(edits[4].warped[45:85, 45:95].astype(int) + 2 - expected[45:85, 45:95]).max() <= 1


def test_the_warped_latent_is_the_latent_moved(photo):
    scene = StandIn().prepare(photo, np.ones((128, 128), np.float32), np.zeros((1, 4), np.float32))
    latent, warped = scene.store["latent"], scene.store["warped"]
    assert np.abs(warped[..., 2:] - latent[..., :-2]).max() < 1e-5


def test_work_sizes_follow_the_bundles_rules():
    bundle = StandIn()
    assert bundle.work_size(128, 128) == (128, 128)
    assert bundle.work_size(400, 400) == (128, 128)
    assert bundle.work_size(50, 100)[0] == 64
    assert bundle.gflop(4) == 1 + 4 * 2 + 3


def test_the_field_network_takes_a_closer_look_where_the_bundle_says_so(photo):
    """It sees the mask with its context, enlarged; the others see what they saw, and all is in their pixels."""
    bundle = StandIn()
    mask, drags = np.zeros((128, 128), np.float32), np.array([[70, 66, 78, 66]], np.float32)
    mask[50:80, 50:80] = 1
    assert bundle.closer(mask, drags) is None
    bundle.manifest["field"]["closer"] = {"times": 2, "longest": 48}
    assert bundle.closer(mask, drags) == (slice(32, 96), slice(32, 96), (128, 128))
    assert bundle.closer(np.ones_like(mask), drags) is None
    # what would make the drag longer than the network knows drags is not done
    assert bundle.closer(mask, np.array([[70, 66, 117, 66]], np.float32)) is None
    scene = bundle.prepare(photo, mask, drags)
    assert scene.store["image"].shape == (1, 3, 128, 128) and scene.store["field"].shape == (1, 2, 32, 32)
    # the stand-in's shift is in the pixels that it sees, of which two are one of the photo's
    assert np.allclose(scene.store["field"][0, 0, 8:24, 8:24], -SHIFT / 2) and not scene.store["field"][:, :, :8].any()
    assert (scene.store["stretch"][0, :, 0, 0] == [1, 0, 1]).all()
    edit = bundle.edit(photo, mask, drags, [4])[4]
    assert edit.field[60, 65].tolist() == [-SHIFT / 2, 0] and not edit.field[20].any()
    assert np.array_equal(edit.picture[mask == 0], photo[mask == 0])
    moved = photo[60:70, 60 - int(SHIFT) // 2 : 70 - int(SHIFT) // 2].astype(int) + 2
    assert np.abs(edit.picture[60:70, 60:70].astype(int) - moved).max() <= 1


def test_fine_detail_of_a_larger_photo_is_carried_along(photo):
    large = np.kron(photo, np.ones((2, 2, 1))).astype(np.uint8)
    noise = np.random.default_rng(1).integers(-15, 15, large.shape)
    large = np.clip(large + noise, 0, 255).astype(np.uint8)
    mask = np.ones((256, 256), np.float32)
    picture = StandIn().edit(large, mask, np.array([[80, 120, 112, 120]], np.float32), [1])[1].picture
    inner = np.s_[60:200, 60:200]
    moved = np.roll(large, 2 * int(SHIFT), 1)[inner].astype(float)
    assert np.corrcoef(picture[inner].ravel(), moved.ravel())[0, 1] > 0.98


def test_autoencoding_moves_nothing(photo):
    made = StandIn().autoencode(photo, True)
    assert np.abs(made.astype(int) - photo - 2).max() <= 1


def test_a_whole_evaluation_writes_its_report(tmp_path, monkeypatch, photo):
    items = [
        Item(f"case {i}", f"photo {i}", heldout_case(np.random.default_rng(i), photo, (128, 128))) for i in range(3)
    ]
    monkeypatch.setattr(evaluation, "Bundle", StandIn)
    monkeypatch.setattr(evaluation, "load_set", lambda name, data, count: items)
    monkeypatch.setattr(evaluation, "BASELINES", {k: v for k, v in evaluation.BASELINES.items() if k != "cut and move"})
    config = EvaluateConfig(("synthetic",), (1, 4), 2, 1, threads=1, precisions=("fp32", "int8"))
    evaluate(config, tmp_path, [tmp_path], tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())["synthetic"]
    rows = results["cases"][0]["figures"]
    assert rows["stand-in fp32, 4 steps"]["outside"] == 0
    assert {"stand-in fp32, 1 steps", "stand-in int8, 4 steps"} < rows.keys() and "stand-in int8, 1 steps" not in rows
    assert rows["true field"]["psnr"] > rows["naive warp"]["psnr"] or rows["true field"]["psnr"] > 25
    assert "psnr against best classical" in results["comparisons"]["stand-in fp32, 4 steps"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| ARAP |" in table and "best classical" in table
    assert "stand-in int8, 4 steps against stand-in fp32, 4 steps: PSNR +0.000 dB" in table
    assert (tmp_path / "out" / "sheet-synthetic-00.jpg").exists()
    # a later run takes the baselines from this one's file
    evaluate(config, tmp_path, [tmp_path], tmp_path / "again", tmp_path / "out" / "results.json")
    again = json.loads((tmp_path / "again" / "results.json").read_text())["synthetic"]
    for one, two in zip(results["cases"], again["cases"], strict=True):
        assert one["figures"].keys() == two["figures"].keys()
        for method, row in one["figures"].items():
            assert two["figures"][method] == pytest.approx(row, nan_ok=True)
