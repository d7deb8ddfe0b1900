"""What a run says of itself in words, for the terminal, the page and the report."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dronesense.languages import marked

UNTOLD: Final = ("run_id", "searches", "gas_maps")
"""Statements that stand in run.json only: tables of numbers."""
TITLES: Final = {
    "cube_quality": marked("Cube quality"),
    "emissions": marked("Emissions"),
    "false_alarms": marked("False alarms"),
    "fusion": marked("Fusion"),
    "gas_clock": marked("Gas clock"),
    "gas_maps": marked("Gas maps"),
    "heights": marked("Heights"),
    "looked_at": marked("Looked at"),
    "noise_and_limits": marked("Noise and limits"),
    "navigation_errors": marked("Navigation errors"),
    "overlaps": marked("Overlaps of strips"),
    "positions": marked("Positions"),
    "radiometry": marked("Radiometry"),
    "search_sectors": marked("Search sectors"),
    "searches": marked("Searches"),
    "track": marked("Track"),
    "work_crs": marked("Work crs"),
}
"""Statement -> how people see it; others under their own name."""
GROUP_OF: Final = {
    "false_alarms": "false_alarms",
    "track": "positions",
    "positions": "positions",
    "heights": "positions",
    "gas_clock": "positions",
    "work_crs": "positions",
    "noise_and_limits": "limits",
    "radiometry": "calibration",
    "cube_quality": "calibration",
    "looked_at": "coverage",
    "overlaps": "positions",
    "navigation_errors": "positions",
}
"""Statement -> section of the report."""
SUBJECTS: Final = ("cube", "strips", "of", "source", "species")
"""Keys that say what a table of a statement is about."""
MOST_NUMBERS: Final = 6
"""A longer list of numbers stands in run.json only."""

LONG: Final = ("steps", "history")
"""Keys whose texts stand in the report and run.json."""
MOST_NAMES: Final = 3
"""More cubes that have the same to tell are counted."""
NUMBER: Final = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]*\w)")
"""A number that stands alone: not part of a name or a time."""

Translate = Callable[[str], str]


def as_is(text: str) -> str:
    """Return *text*: the language of the message ids."""
    return text


def statements(found: Mapping[str, Any], *, translate: Translate = as_is) -> list[tuple[str, str]]:
    """Return (title, text) of each statement of a run, a list giving one for each entry.

    Titles are translated; texts are what the processing wrote.

    >>> statements({"work_crs": "EPSG:32643", "run_id": "1"})
    [('Work crs', 'EPSG:32643')]
    """
    return [
        (translate(TITLES[title]) if title in TITLES else _spoken(title), plain(entry))
        for title, statement in found.items()
        if title not in UNTOLD
        for entry in (statement if isinstance(statement, list | tuple) else [statement])
    ]


def in_short(found: Mapping[str, Any], *, translate: Translate = as_is) -> list[tuple[str, str]]:
    """Return the same as :func:`statements`, in short, for a screen.

    Steps and tables within tables are left out; what differs in names and numbers only is told once.

    >>> in_short({"limits": ["a in line_1: 1.2 of 9", "a in line_2: 1.4 of 9", "b in line_1: 3 of 9"]})
    [('Limits', 'a in line_1, line_2: 1.2 to 1.4 of 9'), ('Limits', 'b in line_1: 3 of 9')]
    """
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    bare = {title: _bare(statement) for title, statement in found.items()}
    for title, text in statements(bare, translate=translate):
        subject, colon, rest = text.partition(": ")
        what, within, place = subject.rpartition(" in ")
        alike = NUMBER.sub("#", rest) if colon else text
        groups.setdefault((title, f"{what}{within}", alike), []).append((place, rest))
    short = []
    for (title, what, alike), members in groups.items():
        places = list(dict.fromkeys(place for place, _ in members))
        more = f" and {len(places) - MOST_NAMES} more" if len(places) > MOST_NAMES else ""
        named = what + ", ".join(places[:MOST_NAMES]) + more
        texts = [rest for _, rest in members]
        short.append((title, f"{named}: {_ranges(texts)}" if texts[0] else alike))
    return short


def _bare(statement: Any) -> Any:
    """Return a statement, or each of several, without what takes a screen of its own."""
    if isinstance(statement, list | tuple):
        return [_bare(each) for each in statement]
    if not isinstance(statement, Mapping):
        return statement
    return {
        key: value for key, value in statement.items() if key not in LONG and not isinstance(value, Mapping)
    }


def _ranges(texts: Sequence[str]) -> str:
    """Return texts that differ in numbers only as one, with the least and the greatest of each."""
    columns = zip(*(NUMBER.findall(text) for text in texts), strict=True)
    spans = iter([sorted(set(column), key=float) for column in columns])

    def span(_: re.Match[str]) -> str:
        values = next(spans)
        return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"

    return NUMBER.sub(span, texts[0])


def _spoken(key: object) -> str:
    return str(key).replace("_", " ").capitalize()


def plain(entry: Any) -> str:
    """Return a statement in words; that of a clock is a table of source, offset, sigma and method.

    >>> plain({"cube": "a.hdr", "good_bands": 72, "sigma": [0.1] * 72, "most_often": None})
    'a.hdr: good bands 72'
    """
    if not isinstance(entry, Mapping):
        return str(entry)
    if {"source", "offset_s", "sigma_s", "method"} <= entry.keys():
        return "{source}: {offset_s:+.2f} ± {sigma_s:.2f} s ({method})".format(**entry)
    subject = next((key for key in SUBJECTS if key in entry), None)
    told = [
        f"{str(key).replace('_', ' ')} {text}"
        for key, text in ((key, _brief(value)) for key, value in entry.items() if key != subject)
        if text
    ]
    return "; ".join(told) if subject is None else f"{entry[subject]}: {'; '.join(told)}"


def _brief(value: Any) -> str:
    """Return a value of a table in words; empty where there is none, or only a long list of numbers."""
    if value is None or value in ([], (), {}):
        return ""
    if isinstance(value, Mapping):
        return f"({plain(value)})"
    if isinstance(value, list | tuple):
        if len(value) > MOST_NUMBERS and all(isinstance(each, int | float) for each in value):
            return ""
        return ", ".join(_brief(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(value: Any, pattern: str) -> str:
    """Return a number by *pattern*, a dash where there is none.

    >>> number(0.5, ".2f"), number(None, ".2f"), number("x", ".2f")
    ('0.50', '-', '-')
    """
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return format(value, pattern) if known else "-"


def size(hotspot: Mapping[str, Any]) -> str:
    """Return the enhancement of a hotspot with its standard uncertainty and unit.

    >>> size({"value": 4.123, "value_sigma": 0.61, "unit": "ppm"})
    '4.12 ± 0.61 ppm'
    """
    value = number(hotspot["value"], ".3g")
    sigma = number(hotspot["value_sigma"], ".2g")
    if value == "-":
        return value
    return f"{value}{'' if sigma == '-' else f' ± {sigma}'} {hotspot['unit']}"


def cell(value: Any) -> str:
    """Return a value of a table as text, a dash where there is none."""
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# --- the manifest, which may come from a file: nothing in it is taken for granted --------------------------


def rows(found: object, names: Sequence[str]) -> list[list[str]]:
    """Return *names* of each row of a list of mappings as text."""
    listed = found if isinstance(found, list | tuple) else ()
    return [[cell(row.get(name)) for name in names] for row in listed if isinstance(row, Mapping)]


def table(found: object) -> list[tuple[str, str]]:
    """Return a mapping as (name, text), sorted."""
    pairs = found.items() if isinstance(found, Mapping) else ()
    return sorted((str(name), cell(value)) for name, value in pairs)


def parameters(found: object) -> list[tuple[str, str, str]]:
    """Return (name, value, where it was set) of the settings of a run, sorted."""
    pairs = found.items() if isinstance(found, Mapping) else ()
    return sorted(
        (str(name), _brief(row.get("value")) or "-", cell(row.get("origin")))
        for name, row in pairs
        if isinstance(row, Mapping)
    )


def calibrations(found: object) -> list[str]:
    """Return how each input was calibrated, a line each."""
    listed = found if isinstance(found, list | tuple) else ()
    return [
        f"{row.get('input', '')}: {plain({key: value for key, value in row.items() if key != 'input'})}"
        for row in listed
        if isinstance(row, Mapping)
    ]


def searches(told: object) -> list[str]:
    """Return what was sought with which method and threshold, a line each."""
    found = told.get("searches") if isinstance(told, Mapping) else None
    listed = found if isinstance(found, list | tuple) else ()
    return [
        f"{cell(row.get('target'))}: "
        + plain({key: value for key, value in row.items() if key not in ("target", "noise_and_limits")})
        for row in listed
        if isinstance(row, Mapping)
    ]
