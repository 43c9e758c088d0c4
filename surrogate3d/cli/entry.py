"""The application, and the one place where an error becomes one line.

Nothing heavy is imported here or by the command modules at their top: `surrogate3d --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, cast

import typer

import surrogate3d
from surrogate3d.cli import (
    active_command,
    cell_line_commands,
    combine_commands,
    compare_command,
    design_commands,
    dicom_commands,
    direct_command,
    export,
    field_commands,
    figures_command,
    handover_command,
    invitro_commands,
    judge_commands,
    let_command,
    model_commands,
    nano_command,
    predict_command,
    response_commands,
    topas_commands,
    tour_commands,
    view_command,
)
from surrogate3d.cli.console import line
from surrogate3d.errors import Surrogate3dError

DEBUG_VARIABLE = "SURROGATE3D_DEBUG"
FAILED, USAGE = 1, 2

_INTERRUPTED = 130  # what Typer returns after Ctrl-C
_USAGE_ERROR = cast(type[Exception], typer.BadParameter.__base__)  # UsageError, which Typer does not export

app = typer.Typer(
    name="surrogate3d",
    help="Whole-volume maps of cell survival and RBE from TOPAS radiation fields.",
    epilog="Results go to stdout, progress to stderr. An error is one line on stderr; exit code 1, wrong usage 2. "
    "Of validate, compare and handover, 3: problems are named in the result; 4: a limit is not met, with --strict.",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    field_commands,
    let_command,
    nano_command,
    combine_commands,
    topas_commands,
    dicom_commands,
    design_commands,
    direct_command,
    active_command,
    model_commands,
    predict_command,
    export,
    judge_commands,
    compare_command,
    view_command,
    figures_command,
    handover_command,
    cell_line_commands,
    invitro_commands,
    response_commands,
    tour_commands,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"surrogate3d {surrogate3d.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks; also with {DEBUG_VARIABLE}=1.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        Exit code: 0, 1 after an error, 2 after wrong usage. An error is one line on stderr; its traceback is only shown
        with `--debug` before the command, or with SURROGATE3D_DEBUG set.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        signal.signal(signal.SIGTERM, _stop)  # a batch system's stop cleans up as Ctrl-C does
    try:
        code = app(given, prog_name="surrogate3d", standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(code or 0)
    except (_USAGE_ERROR, typer.Abort, KeyboardInterrupt, Surrogate3dError, OSError, MemoryError, SystemError) as error:
        if _debugging(given) or (isinstance(error, SystemError) and not _interrupted(error)):
            raise
        line(f"error: {_in_words(error)}")
        return USAGE if isinstance(error, _USAGE_ERROR) else FAILED


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _debugging(arguments: Sequence[str]) -> bool:
    return "--debug" in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def _interrupted(error: BaseException | None) -> bool:
    """Whether somebody pressed Ctrl-C; compiled code wraps that into a SystemError."""
    while isinstance(error, SystemError):
        error = error.__cause__
    return isinstance(error, KeyboardInterrupt | typer.Abort)


def _in_words(error: BaseException) -> str:
    if isinstance(error, _USAGE_ERROR):
        return f"{error.format_message()} (surrogate3d COMMAND --help tells more)"  # type: ignore[attr-defined]  # not typed
    if _interrupted(error):
        return "interrupted; finished outputs and simulated voxels are kept, run again to go on"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'an array did not fit'}; crop the scoring grid or use a larger machine"
    if isinstance(error, OSError) and not isinstance(error, Surrogate3dError):
        return _of_system(error)
    return str(error)


def _of_system(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"disk full{where}; free space and run again"
    return f"{error.strerror or error}{where}"
