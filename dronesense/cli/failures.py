"""Errors -> one line for a person and an exit code."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Final

import click

from dronesense.cli import spoken
from dronesense.errors import DronesenseError, EvidenceError, ManifestError, PluginError, UnreadableError

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
    if isinstance(error, EvidenceError | UnreadableError):
        return EXIT_IO
    if isinstance(error, DronesenseError):
        return EXIT_NO_INPUT
    if isinstance(error, OSError):
        return EXIT_IO
    return EXIT_BUG


def explain(error: BaseException) -> int:
    """Tell what went wrong on stderr and return the exit code; says nothing about bugs.

    The words around an error are in the language of the call; what it says itself names keys, columns and
    options and stays English.
    """
    code, _ = exit_code(error), spoken.messages().gettext
    if code == EXIT_IO and isinstance(error, OSError) and not isinstance(error, DronesenseError):
        where = error.filename or _("a file")
        click.echo(
            f"{_('Error')}: {where}: {error.strerror or error}. {_('Nothing was left half-written.')}",
            err=True,
        )
    elif code != EXIT_BUG:
        click.echo(f"{_('Error')}: {_framed(error)}", err=True)
    return code


def _framed(error: BaseException) -> str:
    """Return an error as :class:`.DronesenseError` writes it, its frame translated."""
    fix = error.fix if isinstance(error, DronesenseError) else None
    if not isinstance(error, DronesenseError) or fix is None:
        return str(error)
    text = error.what if error.where is None else f"{error.where}: {error.what}"
    return f"{text}. {spoken.messages().gettext('What to do')}: {fix}"


def explain_usage(error: click.ClickException) -> int:
    """Tell on stderr how the program was called wrongly and return the exit code."""
    _ = spoken.messages().gettext
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"{_('Usage')}:{context.get_usage().partition(':')[2]}", err=True)
        ways = context.command.get_help_option_names(context)
        if ways:
            command = f"{context.command_path} {max(ways, key=len)}"
            click.echo(_("Try '%(command)s' for help.") % {"command": command}, err=True)
        click.echo(err=True)
    click.echo(f"{_('Error')}: {error.format_message()}", err=True)
    return EXIT_USAGE


def interrupted() -> int:
    """Tell that a person stopped the program, and return the exit code."""
    _ = spoken.messages().gettext
    click.echo(_("Interrupted; nothing was left half-written."), err=True)
    return EXIT_INTERRUPTED


def report_bug(error: BaseException) -> None:
    """Write the traceback to a file and tell the user where it is."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="dronesense-bug-", suffix=".txt", delete=False, encoding="utf-8"
    ) as stream:
        stream.write("".join(traceback.format_exception(error)))
    _ = spoken.messages().gettext
    text = _("a bug in dronesense (%(what)s). Please report it with %(file)s")
    told = text % {"what": f"{type(error).__name__}: {error}", "file": Path(stream.name)}
    click.echo(f"{_('Error')}: {told}", err=True)
