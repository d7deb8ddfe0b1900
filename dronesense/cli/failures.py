"""Errors -> one line for a person and an exit code."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Final

import click

from dronesense.errors import DronesenseError, EvidenceError, ManifestError, PluginError

EXIT_DONE: Final = 0
EXIT_BUG: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_INPUT: Final = 3
EXIT_SOME_REJECTED: Final = 4
EXIT_IO: Final = 5
EXIT_LOCKED: Final = 6
EXIT_NOT_VERIFIED: Final = 7
EXIT_INTERRUPTED: Final = 130


def exit_code(error: BaseException) -> int:
    """Return the exit code that belongs to *error*."""
    if getattr(error, "locked", False):
        return EXIT_LOCKED
    if isinstance(error, ManifestError | PluginError):
        return EXIT_USAGE
    if isinstance(error, EvidenceError):
        return EXIT_IO
    if isinstance(error, DronesenseError):
        return EXIT_NO_INPUT
    if isinstance(error, OSError):
        return EXIT_IO
    return EXIT_BUG


def explain(error: BaseException) -> int:
    """Tell what went wrong on stderr and return the exit code; says nothing about bugs."""
    code = exit_code(error)
    if code == EXIT_IO and isinstance(error, OSError) and not isinstance(error, DronesenseError):
        where = error.filename or "a file"
        click.echo(f"Error: {where}: {error.strerror or error}. Nothing was left half-written.", err=True)
    elif code != EXIT_BUG:
        click.echo(f"Error: {error}", err=True)
    return code


def report_bug(error: BaseException) -> None:
    """Write the traceback to a file and tell the user where it is."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="dronesense-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as stream:
        stream.write("".join(traceback.format_exception(error)))
    click.echo(
        f"Error: a bug in dronesense ({type(error).__name__}: {error}). "
        f"Please report it with {Path(stream.name)}",
        err=True,
    )
