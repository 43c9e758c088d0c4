"""Settings from TOML files, read strictly: every key is known and every value has its type."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from surrogate3d.errors import ConfigError
from surrogate3d.response.config import ResponseConfig
from surrogate3d.training.settings import TrainConfig

Settings = TypeVar("Settings", TrainConfig, ResponseConfig)


def load_train_config(path: str | Path) -> TrainConfig:
    """Read how to train a surrogate.

    Args:
        path: a TOML file with any of the attributes of `TrainConfig`; what it leaves out keeps its default.

    Raises:
        ConfigError: no such file, not TOML, an unknown key (the nearest known one is named), a value of the wrong type,
            or an impossible one.
    """
    return _load(path, TrainConfig)


def load_response_config(path: str | Path) -> ResponseConfig:
    """Read how to train a model of response.

    Args:
        path: a TOML file with any of the attributes of `ResponseConfig`; what it leaves out keeps its default.

    Raises:
        ConfigError: as of `load_train_config`.
    """
    return _load(path, ResponseConfig)


def checked(data: Mapping[str, Any], settings: type, where: str) -> dict[str, Any]:
    """The keyword arguments of a dataclass of settings.

    Args:
        data: from a TOML file.
        settings: dataclass whose attributes are int, float, str, bool, or tuples of one of these.
        where: for messages.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    types = get_type_hints(settings)
    known = [field.name for field in fields(settings)]
    for key in data:
        if key not in known:
            nearest = get_close_matches(key, known, 1, 0.0)[0]
            raise ConfigError(f"{where}: unknown key {key!r}; the nearest known key is {nearest!r}")
    return {key: _value(value, types[key], f"{where}: {key}") for key, value in data.items()}


def _load(path: str | Path, settings: type[Settings]) -> Settings:
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no configuration at {path}; check the path")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    values = checked(data, settings, str(path))
    try:
        return settings(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _value(value: object, kind: Any, where: str) -> Any:
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list, found {_words(value)}")
        return tuple(_value(item, get_args(kind)[0], f"{where}[{n}]") for n, item in enumerate(value))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where}: expected {kind.__name__}, found {_words(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, found {value}")
    return value


def _words(value: object) -> str:
    return f"{type(value).__name__} {value!r}"
