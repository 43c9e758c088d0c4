"""What docs/cli-json.md promises of the commands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "cli-json.md"


def documented(command: str) -> set[str]:
    """Keys of a command's answer; a.b documents a."""
    return {name.split(".")[0] for name in _names(command)}


def documented_inside(command: str, key: str) -> set[str]:
    """Keys of the objects under `key`, from names such as `key.part`."""
    return {name.split(".")[1] for name in _names(command) if name.startswith(f"{key}.")}


def _names(command: str) -> list[str]:
    section = PAGE.read_text().split(f"## `{command}`")[1].split("\n## ")[0]
    first_columns = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for column in first_columns for name in re.findall(r"`([^`]+)`", column)]
