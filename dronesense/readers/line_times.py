"""The time of each line of a push-broom cube, from the files that cameras write beside it.

In this order: ``<name>.lines.csv`` (columns line and utc); Resonon ``.times`` with ``.lcf``, or ``.lcf``
alone; Headwall ``frameIndex_N.txt`` with ``imu_gps.txt``; Specim ``.nav``; keys of the ENVI header. See
``docs/formats/line-times.md``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head
from dronesense.readers import headwall, resonon, specim
from dronesense.readers.number_rows import number_rows, read_bytes
from dronesense.readers.table import read_table
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, parse_times

SUFFIX: Final = ".lines.csv"
TIMES: Final = ".times"
LCF: Final = ".lcf"
NAV: Final = ".nav"
IMU_GPS: Final = "imu_gps.txt"

START_KEYS: Final = ("gps start time", "start time")
"""Keys with the time of the first line; AISA writes that of the GPS beside that of its clock."""
RATE_KEYS: Final = ("fps", "framerate", "frame rate")
"""Keys of ENVI headers with the lines a second (Specim, Resonon)."""

_FRAMES: Final = re.compile(r"frameIndex_(\d+)\.txt", re.IGNORECASE | re.ASCII)
_RAW: Final = re.compile(r"raw_(\d+)", re.IGNORECASE | re.ASCII)
_UTC_TIME: Final = re.compile(r"UTC TIME:\s*(\d\d?:\d\d:\d\d(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class LineTimes:
    """When the lines of a cube were taken.

    Parameters
    ----------
    time : (lines,) int64
        UTC ns of the middle of each exposure, strictly increasing.
    source : str
        What they are made of, for the report: ``"x.bil.times + x.lcf"``.
    files : tuple of Path
        Files they were read from.
    """

    time: NDArray[np.int64]
    source: str
    files: tuple[Path, ...]


def find(cube: Path) -> Path | None:
    """Return the file of line times beside *cube*, the first in the order of this module.

    Files have the cube's name up to any of its dots: for ``strip_1.bil.hdr`` these are
    ``strip_1.bil.hdr.lines.csv``, ``strip_1.bil.lines.csv`` and ``strip_1.lines.csv``; the longest name that
    exists. ``frameIndex_N.txt`` belongs to ``raw_N``. A ``.nav`` may also have another name if it is the only
    one in the folder of an ENVI header.
    """
    return next(_found(cube), None)


def _found(cube: Path) -> Iterator[Path]:
    yield from _named(cube, SUFFIX)
    yield from (path for path in _named(cube, TIMES) if next(_named(path, LCF), None))
    yield from _named(cube, LCF)
    number = _RAW.search(cube.name)
    if number is not None and (cube.parent / IMU_GPS).is_file():
        frames = cube.with_name(f"frameIndex_{number[1]}.txt")
        if frames.is_file():
            yield frames
    if cube.suffix.lower() == ".hdr":
        own = list(_named(cube, NAV)) or sorted(cube.parent.glob(f"*{NAV}"))
        if len(own) == 1 and specim.sniff(own[0], read_head(own[0])):
            yield own[0]


def _named(cube: Path, suffix: str) -> Iterator[Path]:
    """Yield the files beside *cube* with its name up to a dot, the longest first, and *suffix*."""
    parts = cube.name.split(".")
    names = [".".join(parts[:count]) + suffix for count in range(len(parts), 0, -1)]
    yield from (path for path in map(cube.with_name, names) if path.is_file())


def choose(cube: Path, line_times: str | Path) -> Path | None:
    """Return the file of line times: of :func:`find` for ``"auto"``, None for ``"none"``, else as named."""
    if line_times == "auto":
        return find(cube)
    return None if line_times == "none" else Path(line_times)


def resolve(
    cube: Path,
    line_times: str | Path,
    lines: int,
    *,
    header: Mapping[str, str],
    tally: Tally,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> LineTimes | None:
    """Return the line times of an ENVI cube, None where nothing tells them.

    Parameters
    ----------
    cube : Path
        Its header.
    line_times : str or Path
        ``"auto"``, ``"none"`` or a file.
    lines : int
        Lines of the cube.
    header : mapping of str to str
        Keys of the header: date, start and rate, where no file tells more.
    tally : Tally
        Takes warnings and assumptions.
    options : TrackOptions
        What the user says of the navigation: `date` and `time_scale`.

    Raises
    ------
    ReadError
        If a file is damaged, or does not have one time a line.
    """
    path = choose(cube, line_times)
    if path is not None:
        return _read(path, lines, header=header, tally=tally, options=options)
    return _of_header(header, lines, tally) if line_times == "auto" else None


def read(path: Path, lines: int, *, warnings: list[str]) -> NDArray[np.int64]:
    """Read the middle of the exposure of each line.

    Parameters
    ----------
    path : Path
        CSV with the columns ``line`` (counted from 0 or 1, without gaps) and ``utc`` (ISO 8601; stamps
        without an offset are UTC, as the heading says); or a file of a camera, see :func:`find`.
    lines : int
        Lines of the cube.
    warnings : list of str
        Gets what a user should know of the file: without a line end the last time may be cut.

    Returns
    -------
    (lines,) int64
        UTC, ns since 1970-01-01, strictly increasing.

    Raises
    ------
    ReadError
        If there is not one time a line, a line is missing, or a time does not follow the one before it.
    """
    return _read(path, lines, header={}, tally=Tally(warnings=warnings), options=TrackOptions()).time


def _read(
    path: Path, lines: int, *, header: Mapping[str, str], tally: Tally, options: TrackOptions
) -> LineTimes:
    suffix = path.suffix.lower()
    files: tuple[Path, ...] = (path,)
    if suffix in (TIMES, LCF):
        files, time = _resonon(path, lines, header, tally, options)
    elif _FRAMES.fullmatch(path.name):
        files = (path, path.with_name(IMU_GPS))
        time = headwall.line_utc(*files, tally=tally)
    elif suffix == NAV:
        day = options.date or specim.day_of(header.get(specim.DATE_KEY, "")) or specim.header_date(path)[1]
        time = specim.line_utc(path, lines, date=day, tally=tally)
    else:
        time = _csv(path, lines, tally)
    if len(time) != lines:
        raise _count_error(len(time), lines, path)
    back = np.flatnonzero(np.diff(time) <= 0) + 1
    if back.size:
        raise ReadError(
            f"{back.size} line time(s) do not follow the one before",
            where=f"{path}, line {_row_of(path, int(back[0]))}",
            fix="the clock was set during the strip: cut the strip there, or correct the times",
        )
    return LineTimes(time, " + ".join(file.name for file in files), files)


def _count_error(found: int, lines: int, path: Path, cut: str = "") -> ReadError:
    return ReadError(
        f"{found} line times for {lines} lines{cut}",
        where=path,
        fix="copy both files again from the card: one of them is cut, or they do not belong together",
    )


def _row_of(path: Path, index: int) -> int:
    """Return the line of the file of the time *index*: tables have a heading."""
    return index + (1 if path.suffix.lower() in (TIMES, LCF, NAV) else 2)


def _csv(path: Path, lines: int, tally: Tally) -> NDArray[np.int64]:
    table = read_table(path)
    tally.warnings.extend(f"{path.name}: {warning}" for warning in table.warnings)
    number = table.numbers("line")
    if len(table) != lines:
        cut = f" ({'; '.join(table.warnings)})" if table.warnings else ""
        raise _count_error(len(table), lines, path, cut)
    wrong = np.flatnonzero(number != np.arange(lines) + (1.0 if number[0] == 1.0 else 0.0))
    if wrong.size:
        row = table.row[wrong[0]]
        raise ReadError(
            f'line number "{table.text("line")[wrong[0]]}" is out of order',
            where=f"{path}, line {row}",
            fix="lines are counted from 0 or 1 without gaps",
        )
    return parse_times(table.text("utc"), zone="UTC", rows=table.row, where=path)


def _resonon(
    path: Path, lines: int, header: Mapping[str, str], tally: Tally, options: TrackOptions
) -> tuple[tuple[Path, ...], NDArray[np.int64]]:
    """Return the files used and the line times of ``.times`` with ``.lcf``, or of ``.lcf`` alone."""
    if path.suffix.lower() == TIMES:
        navigation = next(_named(path, LCF), None)
        if navigation is None:
            raise ReadError(
                "counts from the start of the camera, and no .lcf of the same name ties it to UTC",
                where=path,
                fix="copy the .lcf file beside it",
            )
        return (path, navigation), resonon.line_utc(path, navigation, options=options, tally=tally)
    times = next(_named(path, TIMES), None) or next(_named(path, f".bil{TIMES}"), None)
    if times is not None:
        return (times, path), resonon.line_utc(times, path, options=options, tally=tally)
    start = resonon.first_utc(path, options=options, tally=tally)
    rate = _rate(header)
    if rate is None:
        rows = number_rows(read_bytes(path), least=resonon.COLUMNS, where=path)
        span_s = float(rows.values[-1, resonon.TIME] - rows.values[0, resonon.TIME])
        period_s, how = span_s / max(lines - 1, 1), "the lines fill the time of the navigation"
    else:
        period_s, how = 1.0 / rate, f"{rate:g} lines a second, as the header says"
    tally.warnings.append(f"{path.name} has no .times: line 1 is taken at its first row, and {how}")
    since = np.rint(np.arange(lines) * period_s * NS_PER_S).astype(np.int64)
    return (path,), start + since


def _rate(header: Mapping[str, str]) -> float | None:
    """Return the lines a second that a header states, or None."""
    for key in RATE_KEYS:
        try:
            rate = float(header.get(key, ""))
        except ValueError:
            continue
        if np.isfinite(rate) and rate > 0.0:
            return rate
    return None


def _of_header(header: Mapping[str, str], lines: int, tally: Tally) -> LineTimes | None:
    """Return line times of the keys acquisition date, start time (UTC) and fps; None if one is missing."""
    day: dt.date | None = specim.day_of(header.get(specim.DATE_KEY, ""))
    key, start = next(
        ((key, found) for key in START_KEYS if (found := _UTC_TIME.search(header.get(key, "")))), ("", None)
    )
    rate = _rate(header)
    if start is None or rate is None:
        return None
    if day is None:
        stated = header.get(specim.DATE_KEY, "")
        if stated:
            tally.warnings.append(
                f'{specim.DATE_KEY} "{stated[:40]}" is not understood: the header gives no line times'
            )
        return None
    hour, _, rest = start[1].partition(":")
    first = int(parse_times([f"{day.isoformat()}T{hour:0>2}:{rest}Z"])[0])
    resolution_s = 10.0 ** -len(start[1].partition(".")[2])
    tally.warnings.append(
        f"line times are the start time of the header and {rate:g} lines a second: they may be off by "
        f"{resolution_s:g} s and more, and places on the ground by what is flown in that time"
    )
    since = np.rint((np.arange(lines) + 0.5) / rate * NS_PER_S).astype(np.int64)
    return LineTimes(first + since, f"header: {specim.DATE_KEY}, {key}, fps", ())
