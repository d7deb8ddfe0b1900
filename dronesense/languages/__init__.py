"""What the program says to people, in their language: gettext catalogs, ``<language>.po`` beside this file.

The catalogs are the sources themselves: :mod:`.po` reads them at start, so nothing has to be compiled when
the package is built. Message ids are the English texts; data files never pass through here.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, Literal

from dronesense.languages import po

LANGUAGES: Final = ("en", "ru", "kk")
"""English, Russian, Kazakh."""
SOURCE: Final = "en"
"""Language of the message ids."""
VARIABLES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")
"""Of POSIX, the strongest first."""

Language = Literal["en", "ru", "kk"]


def marked(text: str) -> str:
    """Return *text* itself: marks a message that is translated where it is shown, not where it is named."""
    return text


@cache
def catalog(language: str) -> gettext.NullTranslations:
    """Return the catalog of *language*, with ``gettext`` and ``ngettext`` as in the standard library.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> catalog("ru").gettext("Warning")
    'Предупреждение'
    >>> catalog("en").gettext("Warning")
    'Warning'
    """
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, not {language!r}")
    if language == SOURCE:
        return gettext.NullTranslations()
    text = resources.files("dronesense.languages").joinpath(f"{language}.po").read_text("utf-8")
    return po.translations(po.parse(text))


def from_environment(environment: Mapping[str, str]) -> str:
    """Return the language that a terminal asks for; English where it asks for none that we have.

    Examples
    --------
    >>> from_environment({"LANG": "kk_KZ.UTF-8"}), from_environment({"LANG": "ru_RU", "LC_ALL": "C"})
    ('kk', 'en')
    """
    asked = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    language = asked.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return language if language in LANGUAGES else SOURCE
