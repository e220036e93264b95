"""A resumed run equals an unbroken one, every stage takes a step, and the mean moves where it should."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import AUTOENCODER, DRAG, FIELD, picture

from tug.__main__ import main
from tug.autoencoder import DECODER_REACH, Decoder, Encoder
from tug.fieldnet import FieldNet, Fields
from tug.stage_autoencoder import AutoencoderStage, AutoencoderStageConfig
from tug.stage_drag import DragStage, DragStageConfig
from tug.stage_field import FieldStage, FieldStageConfig, field_loss
from tug.trainer import TrainConfig, learning_rate, train
from tug.weights import between, load_weights


def _field_stage(album) -> FieldStage:
    return FieldStage(album, FieldStageConfig(batch=2, sizes=((32, 32), (32, 48))), FIELD)


def _same(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_resumed_equals_unbroken(album, tmp_path) -> None:
    config = TrainConfig(steps=6, workers=0, log_every=1)
    whole = train(_field_stage(album), config, tmp_path / "whole")

    class Stop(Exception):
        pass

    class Interrupted(FieldStage):
        def loss(self, batch, step):
            if step == 3:
                raise Stop
            return super().loss(batch, step)

    broken = Interrupted(album, FieldStageConfig(batch=2, sizes=((32, 32), (32, 48))), FIELD)
    try:
        train(broken, TrainConfig(steps=6, workers=0, save_minutes=0.0), tmp_path / "broken")
    except Stop:
        pass
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["step"] == 3
    resumed = train(_field_stage(album), config, tmp_path / "broken")
    assert _same(whole, resumed)


def test_warm_start_takes_the_averaged_weights(album, tmp_path) -> None:
    ema = train(_field_stage(album), TrainConfig(steps=2, workers=0), tmp_path / "first")
    stage = _field_stage(album)
    train(stage, TrainConfig(steps=0, workers=0), tmp_path / "second", warm=tmp_path / "first" / "state.pt")
    assert _same(ema, stage.networks)


def test_weights_between_two_checkpoints_are_found_by_the_command(
    album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(_field_stage(album), TrainConfig(steps=1, workers=0), tmp_path / "first")
    second = train(_field_stage(album), TrainConfig(steps=3, workers=0), tmp_path / "second")
    files = [tmp_path / "first" / "state.pt", tmp_path / "second" / "state.pt", tmp_path / "between.pt"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in ["tug", "between", *files, "--share", 0.25]])
    main()
    stage = _field_stage(album)
    load_weights(stage.networks, files[2])
    for mine, one, other in zip(*(each.state_dict().values() for each in (stage.networks, first, second)), strict=True):
        assert torch.allclose(mine, 0.75 * one + 0.25 * other, atol=1e-6)
    assert not _same(stage.networks, first)
    torch.save({"field.other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(KeyError, match="not of the same networks"):
        between(files[0], tmp_path / "other.pt", 0.5)


def test_another_seed_draws_other_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(
        "[train]\nsteps = 1\nlog_every = 1\nworkers = 0\n"
        "[stage]\nbatch = 2\nsizes = [[32, 32]]\nreal = 0.0\n"
        "[network]\nchannels = [8, 8, 16]\nblocks = [0, 1, 1]\n"
    )
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "one.png"), picture(0))
    weights = tmp_path / "first" / "field" / "state.pt"

    def figures(runs: str, seed: int) -> str:
        given = ["--config", config, "--data", tmp_path, "--runs", tmp_path / runs, "--seed", seed]
        warm = ["--warm", weights] if weights.exists() else []
        monkeypatch.setattr(sys, "argv", [str(word) for word in ["tug", "train-field", *given, *warm]])
        main()
        return (tmp_path / runs / "field" / "log.txt").read_text().partition("loss")[2]

    figures("first", 0)
    assert figures("again", 1) == figures("same", 1) != figures("other", 2)


def test_a_tear_costs_more_than_the_same_error_everywhere() -> None:
    mask, still = torch.ones(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    batch = {"mask": mask, "visible": mask, "field": still, "forward": still, "known": mask, "real": mask[..., :1, :1]}
    batch |= {"source": torch.zeros(1, 3, 8, 8), "target": torch.zeros(1, 3, 8, 8)}

    def figures(field: torch.Tensor) -> dict[str, float]:
        return field_loss(Fields(field, 9 * mask, still, still, still, 0 * mask), batch)[1]

    torn = torch.cat([still[..., :4] - 2, still[..., 4:] + 2], 3)
    shifted, parted = figures(still + 2), figures(torn)
    assert abs(shifted["flow"] - parted["flow"]) < 1e-5
    assert shifted["torn"] < 0.05
    # a jump by (4, 4) on one column of seven borders in eight rows, of 65 counted pixels
    assert abs(parted["torn"] - shifted["torn"] - 8 * 32**0.5 / 65) < 0.01


def test_batches_depend_on_the_step_only(album) -> None:
    one, two = _field_stage(album).batch(7), _field_stage(album).batch(7)
    other = _field_stage(album).batch(8)
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert one["source"].shape != other["source"].shape or not np.array_equal(one["source"], other["source"])


def test_autoencoder_and_drag_stages_train(album, tmp_path) -> None:
    config = TrainConfig(steps=2, workers=0, log_every=1)
    stage = AutoencoderStage(album, AutoencoderStageConfig(batch=2, size=32), AUTOENCODER, None)
    trained = train(stage, config, tmp_path / "ae")
    frozen = (FieldNet(FIELD), trained["encoder"], trained["decoder"])
    drag = DragStage(album, DragStageConfig(batch=2, sizes=((64, 64),), crop=32), DRAG, frozen, None)
    before = {key: value.clone() for key, value in drag.networks.state_dict().items()}
    train(drag, config, tmp_path / "drag")
    changed = [key for key, value in drag.networks.state_dict().items() if not torch.equal(before[key], value)]
    assert any(key.startswith("denoiser") for key in changed)
    assert (tmp_path / "drag" / "log.txt").read_text().count("latent") == 2
    assert not any(p.requires_grad for m in frozen for p in m.parameters())


def test_decoded_crop_equals_the_whole_picture_but_for_its_reach() -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder(AUTOENCODER), Decoder(AUTOENCODER)
    image = torch.rand(1, 3, 256, 256)
    latent, skip_2, skip_4 = encoder(image)
    mask, field = torch.ones(1, 1, 256, 256), 5 + torch.rand(1, 2, 64, 64)
    seen = torch.rand(1, 1, 64, 64)

    def cut(t, s):
        return t[..., 32 // s : 240 // s, 16 // s : 256 // s]

    with torch.no_grad():
        whole = cut(decoder.render(latent, image, skip_2, skip_4, mask, field, seen), 1)
        part = decoder.render(
            cut(latent, 8), image, skip_2, skip_4, cut(mask, 1), cut(field, 4), cut(seen, 4), (16, 32)
        )
    inner = (..., slice(DECODER_REACH, -DECODER_REACH), slice(DECODER_REACH, None))  # it ends where the picture does
    assert torch.allclose(part[inner], whole[inner], atol=2e-3)
    assert not torch.allclose(part, whole, atol=1e-3)


def test_learning_rate_rises_and_falls() -> None:
    config = TrainConfig(steps=1000, rate=1.0, warmup=100, decay_from=0.5)
    assert learning_rate(config, 0) == 0.01 and learning_rate(config, 300) == 1.0
    assert abs(learning_rate(config, 1000) - 0.05) < 1e-9
