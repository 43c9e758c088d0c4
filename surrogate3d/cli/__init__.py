"""The command line: `surrogate3d COMMAND`. Commands only read options, call `pipeline`, and show what came back."""

from surrogate3d.cli.entry import main

__all__ = ["main"]
