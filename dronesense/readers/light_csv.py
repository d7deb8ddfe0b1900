"""Irradiance over time as a table: one row a reading, one column a wavelength, or one column for all.

Spectrometers that look up (Ocean FLAME beside a Headwall camera, and the like) are exported so. The time
column is the first whose heading is one of :data:`TIME_NAMES`; it holds ISO 8601 stamps (UTC unless they say
otherwise) or seconds since 1970. The other columns are wavelengths in nm where their headings are numbers,
with or without ``nm`` behind; else there must be exactly one named like :data:`TOTAL_NAMES`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from dronesense import timescale
from dronesense.errors import ReadError
from dronesense.model import IngestReport
from dronesense.model.radiometry import LightSeries
from dronesense.readers.table import Table, read_table

TIME_NAMES: Final = ("utc", "time", "timestamp", "datetime", "time (utc)", "utc time")
TOTAL_NAMES: Final = ("irradiance", "light")
MAX_UNIX_S: Final = 7_258_118_400.0
"""2200-01-01: no light series is that young."""
MIN_UNIX_S: Final = 1e8
"""Smaller numbers are no seconds since 1970 of any flight (this is 1973)."""

_WAVELENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:nm)?\s*", re.IGNORECASE)


def read(path: Path, *, label: str) -> tuple[LightSeries, IngestReport]:
    """Read a series of irradiance.

    Parameters
    ----------
    path : Path
        The table.
    label : str
        What it is called in products.

    Returns
    -------
    series : LightSeries
        In order of time; rows of an earlier one's time are left out, and negative readings are NaN.
    report : IngestReport

    Raises
    ------
    ReadError
        If there is no time column, no irradiance, or no row.
    """
    table = read_table(path)
    heading = next((name for name in table.names if name.strip().lower() in TIME_NAMES), None)
    if heading is None:
        raise ReadError("has no column of times", where=path, fix=f"call it one of: {', '.join(TIME_NAMES)}")
    names, center = _columns(table, path)
    time, assumptions = _times(table, heading, path)
    if not time.size:
        raise ReadError("holds no reading", where=path)
    value = np.stack([table.numbers(name) for name in names], axis=1)
    value[~(value > 0.0)] = np.nan
    order = np.argsort(time, kind="stable")
    order = order[np.concatenate([[True], np.diff(time[order]) > 0])]
    order = order[np.isfinite(value[order]).any(axis=1)]
    if not order.size:
        raise ReadError("holds no irradiance greater than 0", where=path)
    by_band = np.argsort(center, kind="stable")
    series = LightSeries(time[order], center[by_band], value[order][:, by_band], label)
    dropped = len(time) - len(order)
    return series, IngestReport(
        format="irradiance table",
        records=len(order),
        dropped={"time seen before, or no light": dropped} if dropped else {},
        assumptions=(*table.assumptions, *assumptions),
        warnings=tuple(table.warnings),
        details={"wavelengths": len(center)},
    )


def _columns(table: Table, path: Path) -> tuple[list[str], np.ndarray]:
    """Return the columns of irradiance and their wavelengths, nm (NaN: all)."""
    named = {name: match for name in table.names if (match := _WAVELENGTH.fullmatch(name))}
    if named:
        return list(named), np.array([float(match[1]) for match in named.values()])
    total = [name for name in table.names if name.strip().lower().split(" ")[0] in TOTAL_NAMES]
    if len(total) != 1:
        raise ReadError(
            "has no column of irradiance",
            where=path,
            fix='head the columns by their wavelengths in nm, or one of them "irradiance"',
        )
    return total, np.array([np.nan])


def _times(table: Table, heading: str, path: Path) -> tuple[np.ndarray, list[str]]:
    texts = table.text(heading)
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        stamps = timescale.parse_times(texts, zone="UTC", where=path)
        return np.asarray(stamps), [f'"{heading}" is UTC where a stamp has no offset']
    if numbers.size and not (numbers.min() > MIN_UNIX_S and numbers.max() < MAX_UNIX_S):
        raise ReadError(
            f'"{heading}" counts from a start of its own ({numbers.min():g} to {numbers.max():g}), '
            "not from 1970",
            where=path,
            fix="write times as 2026-06-14T10:00:00Z",
        )
    return np.asarray(np.rint(numbers * 1e6).astype(np.int64) * 1000), [f'"{heading}" is seconds since 1970']
