"""Tie points and ground control measured by hand: tables with a row for each point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.model.tie_points import GroundControl, TiePoints
from dronesense.readers.table import Table, read_table

TIES: Final = ("strip_a", "line_a", "sample_a", "strip_b", "line_b", "sample_b")
CONTROL: Final = ("strip", "line", "sample", "longitude", "latitude")
DEFAULT_SIGMA_PX: Final = 0.5
"""Of a point that was clicked on."""
DEFAULT_SIGMA_M: Final = 0.05
"""Of a surveyed point that does not say (RTK)."""


def read_ties(path: Path, *, strips: Sequence[str]) -> TiePoints:
    """Read tie points: columns strip_a, line_a, sample_a, strip_b, line_b, sample_b and, if known, sigma_px.

    Parameters
    ----------
    path : Path
    strips : sequence of str
        Names of the cubes that the table may use.

    Raises
    ------
    ReadError
        If a column or value is missing or makes no sense.
    """
    table = _table(path, TIES)
    first, second = (_strips(table, name, strips) for name in ("strip_a", "strip_b"))
    if (same := np.flatnonzero(first == second)).size:
        raise ReadError(
            "a tie point is in two different strips",
            where=_row(table, same[0]),
            fix="name two cubes, or leave the row out",
        )
    line_a, sample_a, line_b, sample_b = (
        _numbers(table, name) for name in ("line_a", "sample_a", "line_b", "sample_b")
    )
    sigma = _sigma(table, "sigma_px", DEFAULT_SIGMA_PX)
    return TiePoints(tuple(strips), first, second, line_a, sample_a, line_b, sample_b, sigma)


def read_control(path: Path, *, strips: Sequence[str]) -> GroundControl:
    """Read ground control: columns strip, line, sample, longitude, latitude and, if known, sigma_m, sigma_px.

    Parameters
    ----------
    path : Path
    strips : sequence of str
        Names of the cubes that the table may use.

    Raises
    ------
    ReadError
        If a column or value is missing or makes no sense.
    """
    table = _table(path, CONTROL)
    lon, lat = _numbers(table, "longitude"), _numbers(table, "latitude")
    if (wrong := np.flatnonzero(~((np.abs(lon) <= 180.0) & (np.abs(lat) <= 90.0)))).size:
        raise ReadError(
            f"longitude {lon[wrong[0]]:g}, latitude {lat[wrong[0]]:g} is no place",
            where=_row(table, wrong[0]),
            fix="give degrees on WGS84",
        )
    return GroundControl(
        tuple(strips),
        _strips(table, "strip", strips),
        _numbers(table, "line"),
        _numbers(table, "sample"),
        lon,
        lat,
        _sigma(table, "sigma_m", DEFAULT_SIGMA_M),
        _sigma(table, "sigma_px", DEFAULT_SIGMA_PX),
    )


def _table(path: Path, needed: Sequence[str]) -> Table:
    table = read_table(path, headings=needed)
    if missing := [name for name in needed if name not in table.names]:
        raise ReadError(
            f'there is no column "{missing[0]}"{did_you_mean(missing[0], table.names)}',
            where=path,
            fix=f"give the columns {', '.join(needed)}",
        )
    if not len(table):
        raise ReadError("there is no point in it", where=path, fix="give a row for each point")
    return table


def _row(table: Table, at: int) -> str:
    return f"{table.path}, line {int(table.row[at])}"


def _strips(table: Table, name: str, strips: Sequence[str]) -> NDArray[np.int64]:
    number = {each: i for i, each in enumerate(strips)}
    text = table.text(name)
    for at, each in enumerate(text):
        if each not in number:
            raise ReadError(
                f'{name}: there is no cube "{each}"{did_you_mean(each, strips)}',
                where=_row(table, at),
                fix=f"use one of: {', '.join(strips)}",
            )
    return np.array([number[each] for each in text], dtype=np.int64)


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    values = table.numbers(name)
    if (missing := np.flatnonzero(~np.isfinite(values))).size:
        raise ReadError(f"{name} is missing", where=_row(table, missing[0]), fix="give a number")
    return values


def _sigma(table: Table, name: str, default: float) -> NDArray[np.float64]:
    if name not in table.names:
        return np.full(len(table), default)
    values = np.where(np.isfinite(table.numbers(name)), table.numbers(name), default)
    if (wrong := np.flatnonzero(~(values > 0.0))).size:
        raise ReadError(f"{name} must be > 0", where=_row(table, wrong[0]), fix="give a standard deviation")
    return values
