"""The language that one call of the program speaks: that of the terminal, or what ``--lang`` says.

Set before anything can go wrong, so that an error speaks it too. Texts that also stand in products
(warnings, reasons) stay as they are there: English.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

import click

from dronesense.languages import LANGUAGES, SOURCE, catalog, from_environment

_LANGUAGE: Final[ContextVar[str]] = ContextVar("dronesense.cli.language", default=SOURCE)


def begin(environment: Mapping[str, str]) -> None:
    """Speak as the terminal asks for."""
    _LANGUAGE.set(from_environment(environment))


def language() -> str:
    """Return the language of this call."""
    return _LANGUAGE.get()


def messages() -> gettext.NullTranslations:
    """Return the catalog of this call's language."""
    return catalog(language())


def heard(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001 - click fixes the signature
    """Speak *value* from here on; the callback of every ``--lang``."""
    if value is not None:
        _LANGUAGE.set(value)
    return value


option = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    is_eager=True,
    expose_value=False,
    callback=heard,
    help="Language of messages; default: by LANG.",
)
"""For commands whose messages have a language and whose products have none."""
