"""A stage's configuration: a TOML file with one table for each dataclass, checked against its fields.

    [train]    → trainer.TrainConfig      [stage] → the stage's own dataclass      [network] → its network's dataclass

What a file leaves out keeps the dataclass's default; a field that no dataclass knows, or a value of another kind, is an
error that names the file, the table and what it could have been.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, TypeVar

CONFIGS = Path(__file__).parents[1] / "configs"

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration file that cannot be used; the message says where and why."""


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a TOML file."""
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is not there; the ones that ship are in {CONFIGS}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for name, table in tables.items():
        if name not in ("train", "stage", "network") or not isinstance(table, dict):
            raise ConfigError(f"{path}: [{name}] is unknown, there are [train], [stage] and [network]")
    return tables


def build(kind: type[T], table: dict[str, Any], where: str = "configuration") -> T:
    """A dataclass from a table: lists become tuples; every value must be of its default's kind."""
    defaults = {field.name: getattr(kind(), field.name) for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in defaults:
            raise ConfigError(f"{where}: {kind.__name__} has no {key}; it has {', '.join(defaults)}")
        value = _frozen(value)
        wanted = type(defaults[key])
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise ConfigError(f"{where}: {key} should be {wanted.__name__}, but is {value!r}")
        values[key] = value
    return kind(**values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
