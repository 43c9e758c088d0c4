"""Settings are read strictly, and every shipped file of settings loads."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from surrogate3d.config import load_response_config, load_train_config
from surrogate3d.errors import ConfigError
from surrogate3d.response.config import ResponseConfig
from surrogate3d.training.settings import TrainConfig

CONFIGS = Path(__file__).parents[2] / "configs"
RESPONSE = CONFIGS / "response.toml"


def written(folder: Path, text: str, name: str = "train.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(set(CONFIGS.glob("*.toml")) - {RESPONSE}), ids=lambda p: p.stem)
def test_every_shipped_configuration_of_surrogates_loads(path: Path) -> None:
    assert isinstance(load_train_config(path), TrainConfig)


def test_the_fast_one_is_one_member_of_400_steps() -> None:
    config = load_train_config(CONFIGS / "train_fast.toml")
    assert (config.members, config.steps) == (1, 400)


def test_the_reference_writes_out_every_default() -> None:
    path = CONFIGS / "train_reference.toml"
    assert load_train_config(path) == TrainConfig()
    assert set(tomllib.loads(path.read_text())) == {field.name for field in fields(TrainConfig)}


def test_that_of_models_of_response_writes_out_every_default() -> None:
    assert load_response_config(RESPONSE) == ResponseConfig()
    assert set(tomllib.loads(RESPONSE.read_text())) == {field.name for field in fields(ResponseConfig)}


def test_what_is_left_out_keeps_its_default(tmp_path: Path) -> None:
    assert load_train_config(written(tmp_path, "steps = 7\n")) == TrainConfig(steps=7)


def test_whole_numbers_are_numbers_and_lists_become_tuples(tmp_path: Path) -> None:
    config = load_train_config(written(tmp_path, "learning_rate = 1\ntracks_levels = [600, 30.5]\n"))
    assert config.learning_rate == 1.0
    assert config.tracks_levels == (600.0, 30.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rat = 0.1", r"unknown key 'learning_rat'.*'learning_rate'"),
        ("[train]\nsteps = 3", r"unknown key 'train'"),
        ("steps = 1.5", r"steps: expected int, found float 1\.5"),
        ("steps = true", r"steps: expected int, found bool True"),
        ("learning_rate = '1e-3'", r"learning_rate: expected float, found str '1e-3'"),
        ("learning_rate = inf", r"learning_rate: expected a finite number, found inf"),
        ("tracks_levels = 30.0", r"tracks_levels: expected a list, found float"),
        ("tracks_levels = [30.0, 'a']", r"tracks_levels\[1\]: expected float, found str 'a'"),
        ("steps = 0", r"steps.*must be at least 1"),
        ("steps = ", r"not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        load_train_config(written(tmp_path, text + "\n"))
    assert "train.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", r"unknown key 'epoch'.*'epochs'"),
        ("steps = 3", r"unknown key 'steps'"),
        ("channels = 'image'", r"channels: expected a list, found str"),
        ("members = 1", r"members must be at least 2"),
    ],
)
def test_settings_of_models_of_response_are_read_as_strictly(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"response\.toml: {words}"):
        load_response_config(written(tmp_path, text + "\n", "response.toml"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration"):
        load_response_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="no configuration"):
        load_train_config(tmp_path / "none.toml")
