"""Calibrated, geotagged gas series as CSV: a row per sample, units in the headings."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy import to_lonlat
from dronesense.model import Flag, GasTrace
from dronesense.timescale import to_iso
from dronesense.writers.atomic import write_bytes

FORMULA_START: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet run a text cell as a formula (OWASP, CSV injection)."""
UNIT_SUFFIX: Final = {"ppm": "ppm", "ppm m": "ppm_m", "1": "relative"}
"""Unit of a series -> end of its column headings."""
LONLAT_DECIMALS: Final = 7
"""1.1 cm on the ground."""
HEIGHT_DECIMALS: Final = 3
VALUE_DIGITS: Final = 6
"""Significant digits of a reading; the best analyzers resolve 1e-5 of theirs."""


def headings(trace: GasTrace) -> list[str]:
    """Return the column headings of :func:`write_gas`, units included."""
    species = re.sub(r"\W+", "_", trace.series.species)
    unit = UNIT_SUFFIX[trace.series.unit]
    return [
        "time_utc",
        "lon_deg",
        "lat_deg",
        "height_m",
        f"{species}_{unit}",
        f"{species}_sigma_{unit}",
        f"{species}_background_{unit}",
        "z",
        "flags",
        "source",
        "row",
    ]


def write_gas(trace: GasTrace, path: Path) -> None:
    """Write *trace* as UTF-8 CSV (RFC 4180) with one header line and no comments, as GIS imports want it.

    Columns: UTC time, lon, lat (WGS84), height above the ellipsoid, value, its standard uncertainty,
    background, standardized enhancement z, flags (names of :class:`~dronesense.model.Flag` joined by
    ``|``), source file and its row. A cell is empty where nothing is known. Text that a spreadsheet would
    run as a formula gets an apostrophe in front.

    Raises
    ------
    ValueError
        If the points are not one a sample.
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode_gas(trace).encode("utf-8", errors="replace"))


def encode_gas(trace: GasTrace) -> str:
    """Return the text that :func:`write_gas` writes."""
    series, points = trace.series, trace.points
    m = len(series)
    if len(points) != m:
        raise ValueError(f"{len(points)} points for {m} samples")
    placed = (points.status == 0) & np.isfinite(points.x) & np.isfinite(points.y)
    lon, lat = np.full(m, np.nan), np.full(m, np.nan)
    if placed.any():
        lon[placed], lat[placed] = to_lonlat(points.x[placed], points.y[placed], points.crs)
    nothing = np.full(m, np.nan)
    readings = (
        series.value,
        series.sigma,
        nothing if trace.background is None else trace.background,
        nothing if trace.z is None else trace.z,
    )
    columns = [
        to_iso(series.time),
        _cells(lon, f"%.{LONLAT_DECIMALS}f"),
        _cells(lat, f"%.{LONLAT_DECIMALS}f"),
        _cells(np.where(placed, points.height_m, np.nan), f"%.{HEIGHT_DECIMALS}f"),
        *(_cells(values, f"%.{VALUE_DIGITS}g") for values in readings),
        _flag_cells(series.flags),
        np.full(m, safe_text(series.source)),
        series.row.astype(str),
    ]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(headings(trace))
    table.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return text.getvalue()


def safe_text(text: str) -> str:
    """Return *text* with an apostrophe in front if a spreadsheet would take it for a formula.

    >>> safe_text("=1+1"), safe_text("raw/gas.csv")
    ("'=1+1", 'raw/gas.csv')
    """
    return f"'{text}" if text.startswith(FORMULA_START) else text


def _cells(values: NDArray[np.float64], pattern: str) -> NDArray[np.str_]:
    """Return numbers as text, empty where not finite."""
    finite = np.isfinite(values)
    return np.where(finite, np.char.mod(pattern, np.where(finite, values, 0.0)), "")


def _flag_cells(flags: NDArray[np.uint16]) -> NDArray[np.str_]:
    sets, inverse = np.unique(flags, return_inverse=True)
    names = ["|".join(flag.name or "" for flag in Flag if flag and flag & int(bits)) for bits in sets]
    return np.array(names, dtype=np.str_)[inverse]
