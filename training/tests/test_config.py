"""Configuration files: the ones that ship fit their dataclasses, and mistakes are named."""

from __future__ import annotations

import pytest

from tug.autoencoder import AutoencoderConfig
from tug.config import CONFIGS, ConfigError, build, read_config
from tug.dragnet import DragConfig
from tug.fieldnet import FieldConfig
from tug.stage_autoencoder import AutoencoderStageConfig
from tug.stage_drag import DragStageConfig
from tug.stage_field import FieldStageConfig
from tug.stage_restore import RestoreStageConfig
from tug.trainer import TrainConfig

KINDS = {
    "field": (FieldStageConfig, FieldConfig),
    "pull": (FieldStageConfig, FieldConfig),
    "autoencoder": (AutoencoderStageConfig, AutoencoderConfig),
    "drag": (DragStageConfig, DragConfig),
    "restore": (RestoreStageConfig, AutoencoderConfig),
}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_files_fit(file) -> None:
    stage, network = KINDS[file.stem.removeprefix("smoke-")]
    tables = read_config(file)
    assert build(TrainConfig, tables["train"]).steps > 0
    build(stage, tables.get("stage", {}))
    build(network, tables.get("network", {}))


def test_lists_become_tuples_and_whole_numbers_floats() -> None:
    config = build(FieldStageConfig, {"sizes": [[32, 48]], "real": 0})
    assert config.sizes == ((32, 48),) and config.real == 0.0 and isinstance(config.real, float)


@pytest.mark.parametrize(
    ("table", "says"), [({"batsh": 3}, "no batsh; it has batch"), ({"batch": "many"}, "batch should be int")]
)
def test_mistakes_are_named(table, says) -> None:
    with pytest.raises(ConfigError, match=says):
        build(FieldStageConfig, table)


def test_files_that_cannot_be_read_are_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(ConfigError, match="not TOML"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "other.toml").write_text("[trian]\nsteps = 3\n")
    with pytest.raises(ConfigError, match=r"\[trian\] is unknown"):
        read_config(tmp_path / "other.toml")


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, bf16 or fp32"):
        build(TrainConfig, {"precision": "fp8"})
