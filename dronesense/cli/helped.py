"""``--help`` in the language of the call: what commands say of themselves is translated where it is laid out.

Texts stay English where they stand in the code. Message ids are their paragraphs, without line ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import click

from dronesense.cli import spoken
from dronesense.languages import marked

USAGE: Final = marked("Usage:")
WORDS: Final = (
    marked("Options"),
    marked("Commands"),
    marked("Show this message and exit."),
    marked("default"),
    marked("required"),
)
"""Click's own words."""
_EXTRAS: Final = re.compile(r"(?s)(.*?)(  \[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\])?")
_FACTS: Final = re.compile(r"\b(default|required)\b")


class Formatter(click.HelpFormatter):
    """Click's formatter, whose texts speak the language of the call."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how a command is called."""
        super().write_usage(prog, args, f"{say(USAGE)} " if prefix is None else prefix)

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        super().write_heading(say(heading))

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text("\n\n".join(say(each) for each in paragraphs(text)))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write options or commands, each with what it is for."""
        super().write_dl([(first, described(second)) for first, second in rows], col_max, col_spacing)


class SpokenContext(click.Context):
    """A context that helps by :class:`Formatter`."""

    formatter_class = Formatter


def speaking(command: click.Command) -> click.Command:
    """Let *command*, and all below it, help in the language of the call."""
    command.context_class = SpokenContext
    if isinstance(command, click.Group):
        for each in command.commands.values():
            speaking(each)
    return command


def say(text: str) -> str:
    """Return *text* in the language of the call."""
    return spoken.messages().gettext(text)


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of *text*, each on one line."""
    return [" ".join(each.split()) for each in text.split("\n\n") if each.strip()]


def described(text: str) -> str:
    """Return what an option is for, and in brackets whether it is required and what it is else."""
    match = _EXTRAS.fullmatch(text)
    assert match is not None
    told = " ".join(say(each) for each in paragraphs(match[1]))
    extras = _FACTS.sub(lambda word: say(word[0]), match[2] or "")
    return f"{told}{extras}"
