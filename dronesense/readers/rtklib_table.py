"""RTKLIB ``.pos`` solutions to columns: the column line, any separator, both ways to write time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.streams import Float, Mask
from dronesense.readers.tally import Tally
from dronesense.timescale import GPS_EPOCH_S, NS_PER_S, S_PER_DAY, S_PER_WEEK, gps_ns_to_utc_ns

Kind = Literal["lat/lon/height", "x/y/z-ecef", "e/n/u-baseline"]
Scale = Literal["GPST", "UTC", "JST"]

SCALES: Final[tuple[Scale, ...]] = ("GPST", "UTC", "JST")
JST_AHEAD_S: Final = 9 * 3600
STAMP_ROWS: Final = 50
"""Rows that vote on how the time is written."""
FIRST_YEAR: Final = 1980
LAST_YEAR: Final = 2099
LAST_WEEK: Final = 6260
"""GPS weeks up to the end of `LAST_YEAR`."""
CALENDAR_CELLS: Final = 6
WEEK_CELLS: Final = 2
ANGLE_CELLS: Final = 3
"""Numbers of a calendar stamp, of week and time of week, of an angle in degrees, minutes, seconds."""
REFERENCE_NUMBERS: Final = (3, 7)
"""Numbers of ``ref pos``: degrees and height, or degrees, minutes, seconds twice and height."""

_FIRST_COLUMN: Final[dict[str, Kind]] = {
    "latitude": "lat/lon/height",
    "x-ecef": "x/y/z-ecef",
    "e-baseline": "e/n/u-baseline",
}
COORDINATES: Final[dict[Kind, tuple[str, str, str]]] = {
    "lat/lon/height": ("latitude", "longitude", "height"),
    "x/y/z-ecef": ("x-ecef", "y-ecef", "z-ecef"),
    "e/n/u-baseline": ("e-baseline", "n-baseline", "u-baseline"),
}
COLUMN_LINE: Final = re.compile(
    r"^%\s*(?P<scale>GPST|UTC|JST)\s*\S*?\s*(?P<columns>(?:latitude|x-ecef|e-baseline)\(.*)$", re.MULTILINE
)
_SEPARATOR: Final = re.compile(
    r"(?:latitude|x-ecef|e-baseline)\([^)]*\)\s*(\S*?)\s*(?:longitude|y-ecef|n-base)"
)
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CALENDAR: Final = re.compile(r"\s*\d+/")


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A ``.pos`` file as columns.

    Parameters
    ----------
    time : (n,) int64
        UTC, ns since 1970-01-01, in the order of the file.
    columns : dict of str to (n,) float64
        By the names of the column line without unit; angles in degrees.
    kind : str
        What the first three columns are.
    scale : str
        Time scale of the file.
    step_s : float
        Step of the written stamps.
    reference : (lat, lon, height) or None
        The base station, degrees and ellipsoidal m.
    height : str
        ``"ellipsoidal"``, ``"geodetic"``, or ``""`` where the file does not say.
    header : dict of str to str
        The other lines of the header, by name.
    records : int
        Lines of the body.
    """

    time: NDArray[np.int64]
    columns: dict[str, Float]
    kind: Kind
    scale: Scale
    step_s: float
    reference: tuple[float, float, float] | None
    height: str
    header: dict[str, str]
    records: int

    def at(self, index: NDArray[np.intp]) -> dict[str, Float]:
        """Return the columns of some rows."""
        return {name: values[index] for name, values in self.columns.items()}


def read_table(text: str, tally: Tally, *, where: str | Path) -> Solution:
    """Return the columns of the *text* of a ``.pos`` file; *tally* takes the rows left out.

    Raises
    ------
    ReadError
        If there is no column line or no row, or the datum is not WGS84.
    """
    scale, separator, names = _layout(text, where)
    kind = _kind(names, where)
    comment = re.search(r"^%\s*\((lat/lon/height|x/y/z-ecef|e/n/u-baseline)=([^,)\s]*)", text, re.MULTILINE)
    datum, _, height = comment[2].partition("/") if comment is not None else ("", "", "")
    if datum not in ("", "WGS84"):
        raise ReadError(f"is on the datum {datum}", where=where, fix="export it on WGS84")
    lines = text.splitlines()
    body = [line for line in lines if line and not line.startswith("%") and not line.isspace()]
    first = body[:STAMP_ROWS]
    calendar = 2 * sum(_CALENDAR.match(line) is not None for line in first) > len(first)
    cells = _cells(body, separator)
    dms = names[0].startswith("latitude") and "'" in names[0]
    width = len(names) + (CALENDAR_CELLS if calendar else WEEK_CELLS) + (2 * (ANGLE_CELLS - 1) if dms else 0)
    numbers, seconds = _numbers(cells, width, CALENDAR_CELLS - 1 if calendar else WEEK_CELLS - 1, tally)
    if not numbers.size:
        raise ReadError(
            f"holds no row of {width} numbers{tally.reasons()}", where=where, fix="run the solution again"
        )
    naive, good = (_calendar if calendar else _weeks)(numbers)
    tally.keep(good, "no time stamp")
    columns = _named(numbers[good, CALENDAR_CELLS if calendar else WEEK_CELLS :], names, dms=dms)
    header = {
        name.strip(): value.strip()
        for name, colon, value in (line[1:].partition(":") for line in lines if line.startswith("%"))
        if colon and "=" not in name
    }
    return Solution(
        time=_utc(naive[good], scale),
        columns=columns,
        kind=kind,
        scale=scale,
        step_s=10.0 ** -len(seconds.partition(".")[2][:9]),
        reference=_reference(header.get("ref pos", "")),
        height=height,
        header=header,
        records=len(body),
    )


def _layout(text: str, where: str | Path) -> tuple[Scale, str, list[str]]:
    """Return time scale, separator (empty: blanks) and column names with units of the column line."""
    layouts = list(COLUMN_LINE.finditer(text))
    if not layouts:
        raise ReadError(
            "has no line that names its columns (%  GPST  latitude(deg) ...)",
            where=where,
            fix="use the .pos file as RTKLIB writes it, with its header",
        )
    words = layouts[0]["columns"]
    if len({(each["scale"], *each["columns"].split()) for each in layouts}) > 1:
        raise ReadError("holds two solutions of different columns", where=where, fix="use one file for each")
    match = _SEPARATOR.match(words)
    separator = match[1] if match is not None else ""
    if any(char.isalnum() or char in "+-.()%" for char in separator):
        raise ReadError(
            f'separates columns by "{separator}", which can be part of one',
            where=where,
            fix="write the solution with blanks or commas between columns",
        )
    scale = next(each for each in SCALES if each == layouts[0]["scale"])
    return scale, separator, words.replace(separator or " ", " ").split()


def _kind(names: list[str], where: str | Path) -> Kind:
    """Return what the coordinates are."""
    plain = {name.partition("(")[0] for name in names}
    kind = next(kind for first, kind in _FIRST_COLUMN.items() if names[0].startswith(first))
    missing = [name for name in COORDINATES[kind] if name not in plain]
    if missing:
        raise ReadError(f'has no column "{missing[0]}"', where=where, fix="write the solution again")
    return kind


def _cells(body: Sequence[str], separator: str) -> list[list[str]]:
    """Return the cells of each line; the parts of a time are cells of their own."""
    joined = "\n".join(body).replace("/", " ").replace(":", " ")
    if separator:
        joined = joined.replace(separator, " ")
    return [line.split() for line in joined.split("\n")]


def _numbers(cells: list[list[str]], width: int, second: int, tally: Tally) -> tuple[Float, str]:
    """Return (n, width) numbers of the rows that are whole, and the text of the seconds of the first one."""
    rows = [row for row in cells if len(row) == width]
    if len(rows) < len(cells):
        tally.dropped[f"row without its {width} numbers"] += len(cells) - len(rows)
        if cells and len(cells[-1]) != width:
            tally.warnings.append("the last row is cut: the file may have lost its end")
    try:
        flat = list(map(float, chain.from_iterable(rows)))
    except ValueError:
        kept = [row for row in rows if _are_numbers(row)]
        tally.dropped["cell that is no number"] += len(rows) - len(kept)
        rows, flat = kept, list(map(float, chain.from_iterable(kept)))
    return np.array(flat, dtype=np.float64).reshape(-1, width), rows[0][second] if rows else ""


def _are_numbers(row: list[str]) -> bool:
    try:
        list(map(float, row))
    except ValueError:
        return False
    return True


def _whole(values: Float, low: float, high: float) -> Mask:
    return np.asarray((values >= low) & (values <= high) & (np.floor(values) == values), dtype=bool)


def _calendar(numbers: Float) -> tuple[NDArray[np.int64], Mask]:
    """Return ns since 1970 of year, month, day, hour, minute, second, and which of them exist."""
    year, month, day, hour, minute, second = numbers[:, :CALENDAR_CELLS].T
    good = _whole(year, FIRST_YEAR, LAST_YEAR) & _whole(month, 1, 12) & _whole(day, 1, 31)
    good &= _whole(hour, 0, 24) & _whole(minute, 0, 59) & (second >= 0.0) & (second < 61.0)
    year, month, day, hour, minute, second = np.where(good[:, None], numbers[:, :6], [1980, 1, 1, 0, 0, 0]).T
    count = ((year - 1970) * 12 + month - 1).astype(np.int64)
    begin, end = (
        (count + k).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for k in (0, 1)
    )
    good &= day <= end - begin
    whole = (begin + day.astype(np.int64) - 1) * S_PER_DAY + (hour * 3600 + minute * 60).astype(np.int64)
    return whole * NS_PER_S + np.rint(second * NS_PER_S).astype(np.int64), good


def _weeks(numbers: Float) -> tuple[NDArray[np.int64], Mask]:
    """Return ns since 1970, leap seconds not taken off, of week and time of week, and which can be true."""
    week, tow = numbers[:, :WEEK_CELLS].T
    good = _whole(week, 0, LAST_WEEK) & (tow >= 0.0) & (tow <= S_PER_WEEK)
    week, tow = np.where(good, week, 0.0), np.where(good, tow, 0.0)
    start = week.astype(np.int64) * S_PER_WEEK + GPS_EPOCH_S
    return start * NS_PER_S + np.rint(tow * NS_PER_S).astype(np.int64), good


def _utc(naive: NDArray[np.int64], scale: Scale) -> NDArray[np.int64]:
    if scale == "GPST":
        return gps_ns_to_utc_ns(naive - GPS_EPOCH_S * NS_PER_S)
    return naive - (JST_AHEAD_S * NS_PER_S if scale == "JST" else 0)


def _degrees(parts: Float) -> Float:
    """Return degrees of (n, 3) degrees, minutes, seconds; the sign of the degrees holds also for -0."""
    size = np.abs(parts[:, 0]) + parts[:, 1] / 60.0 + parts[:, 2] / 3600.0
    return np.copysign(size, parts[:, 0])


def _named(numbers: Float, names: list[str], *, dms: bool) -> dict[str, Float]:
    """Return the columns by name without unit."""
    if dms:
        lat, lon = _degrees(numbers[:, :ANGLE_CELLS]), _degrees(numbers[:, ANGLE_CELLS : 2 * ANGLE_CELLS])
        numbers = np.column_stack([lat, lon, numbers[:, 2 * ANGLE_CELLS :]])
    return {name.partition("(")[0]: values for name, values in zip(names, numbers.T, strict=True)}


def _reference(text: str) -> tuple[float, float, float] | None:
    """Return latitude, longitude, height of a ``ref pos``, whose numbers may touch, or None."""
    numbers = np.array([float(each) for each in _NUMBER.findall(text)])
    if numbers.size not in REFERENCE_NUMBERS:
        return None
    if numbers.size > ANGLE_CELLS:
        negative = re.match(r"\s*-", text) is not None  # of -0 degrees too
        lat, lon = _degrees(numbers[:6].reshape(2, ANGLE_CELLS))
        numbers = np.array([-abs(lat) if negative else lat, lon, numbers[6]])
    lat, lon, height = (float(each) for each in numbers)
    return (lat, lon, height) if abs(lat) <= 90.0 and abs(lon) <= 180.0 else None
