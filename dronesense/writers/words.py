"""What a run says of itself in words, for the terminal, the page and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

UNTOLD: Final = ("run_id", "searches", "gas_maps")
"""Statements that stand in run.json only: tables of numbers."""


def statements(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (title, text) of each statement of a run, a list giving one for each entry.

    >>> statements({"work_crs": "EPSG:32643", "run_id": "1"})
    [('Work crs', 'EPSG:32643')]
    """
    return [
        (title.replace("_", " ").capitalize(), _plain(entry))
        for title, statement in found.items()
        if title not in UNTOLD
        for entry in (statement if isinstance(statement, list | tuple) else [statement])
    ]


def _plain(entry: Any) -> str:
    """Return a statement in words; that of a clock is a table of source, offset, sigma and method."""
    if isinstance(entry, Mapping) and {"source", "offset_s", "sigma_s", "method"} <= entry.keys():
        return "{source}: {offset_s:+.2f} ± {sigma_s:.2f} s ({method})".format(**entry)
    return str(entry)
