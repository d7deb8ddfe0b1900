"""Tracks of flight recorders in the format of the FAI gliding commission (IGC).

See ``docs/formats/igc.md``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.model.trajectory import HeightRef
from dronesense.readers.assembly import (
    Positions,
    Pressure,
    Rank,
    assemble,
    choose,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.content import load, text_of
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, Mask, ordered, sigma_origin
from dronesense.readers.tally import Tally
from dronesense.timescale import day_seconds_to_utc_ns

FORMAT: Final = "IGC"
NAME: Final = "IGC"

FIX_2D, FIX_3D = 1, 2
EPE_OVER_SIGMA: Final = 2.45
"""Radius that holds 95 % of a circular normal distribution over its sigma per axis: what FXA is taken for."""
CENTURY_TURN: Final = 80
"""Two-digit years from here on are of the 20th century: GPS began in 1980."""

SEA_LEVEL_HPA: Final = 1013.25
SEA_LEVEL_K: Final = 288.15
LAPSE_K_M: Final = 0.0065
PRESSURE_EXPONENT: Final = 9.80665 / (LAPSE_K_M * 287.05287)
"""ICAO standard atmosphere (Doc 7488/3), geopotential altitude: gravity / (lapse rate * gas constant)."""
TROPOSPHERE_M: Final = (-1000.0, 11_000.0)

# Places (from 0) in a B record: B HHMMSS DDMMmmmN DDDMMmmmE V PPPPP GGGGG.
FIX_LETTERS: Final = 35
_DIGITS: Final = (*range(1, 14), *range(15, 23))
_FIX: Final = re.compile(r"^B\d{13}[NS]\d{8}[EW][AV](?:\d{5}|-\d{4}){2}", re.MULTILINE | re.ASCII)
_DATE: Final = re.compile(r"^H[A-Z]DTE(?:DATE)?\s*:?\s*(\d{6})", re.ASCII)
_EXTENSION: Final = re.compile(r"(\d\d)(\d\d)([A-Z]{3})", re.ASCII)
_HEADER: Final = re.compile(r"^H[A-Z]([A-Z]{3})[^:]*:?(.*)$")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* holds B records, or a recorder's line and the date of a flight."""
    del path
    text = text_of(head)
    if _FIX.search(text) is not None:
        return True
    lines = text.splitlines()
    return text.startswith("A") and any(_DATE.match(line) for line in lines)


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an IGC file.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `date` where the file has no HFDTE record: the UTC day of the first fix.

    Returns
    -------
    Trajectory
        A row per fix. Heights are ellipsoidal only if the header says so (HFALG ELL); the pressure is that
        of the pressure altitude in the ICAO standard atmosphere.
    IngestReport
        Lines refused by reason.

    Raises
    ------
    ReadError
        If there is no fix, no date, or the datum is not WGS84.
    """
    return track(load(path, label), label=label, options=options)


def track(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of the bytes of an IGC file; parameters, result and errors as of :func:`read`."""
    tally = Tally()
    log = Recording(text_of(data.tobytes()), tally, where=label)
    time = log.utc(options.date, tally)
    kept, piece = ordered(time, tally)
    index = np.flatnonzero(kept)
    fixed = log.fixes.take(index)
    keep = plausible("", time[index], fixed.lon, fixed.lat, fixed.height_m, tally)
    if not keep.size:
        raise ReadError(f"holds no usable fix{tally.reasons()}", where=label, fix="use another recording")
    fixed, time, piece = fixed.take(keep), time[index[keep]], piece[keep]
    ref = log.height_ref()
    positions = Positions(
        name=NAME,
        rank=Rank.GNSS,
        time=time,
        lon=fixed.lon,
        lat=fixed.lat,
        height_m=fixed.height_m if ref == "ellipsoid" else np.full(time.size, np.nan),
        height_source_m=fixed.height_m,
        height_ref=ref,
        std_ned_m=_std(fixed.accuracy_m, tally),
        sigma_from=sigma_origin(fixed.accuracy_m > 0.0),
        fix=np.where(fixed.solid, FIX_3D, FIX_2D).astype(np.uint8),
        clock=log.clock(options.date),
        point="antenna",
        reset=piece,
    )
    chosen = choose([positions], options.source, label=label)
    pressure = None if fixed.pressure_hpa is None else Pressure(time, fixed.pressure_hpa)
    trajectory = assemble(chosen, label=label, tally=tally, pressure=pressure)
    details = {
        "source": NAME,
        "source_rate_hz": rate_hz(time),
        "sources": compare(chosen, [positions]),
        "clock": {"kind": positions.clock.kind, "sigma_s": positions.clock.sigma_s},
        "recorder": log.recorder,
        "header": log.header,
        "extensions": sorted(log.extensions),
        "satellites_median": None if fixed.satellites is None else float(np.median(fixed.satellites)),
    }
    return trajectory, tally.report(FORMAT, log.records, details=details)


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """B records as columns; `pressure_hpa` and `satellites` are None where the recorder has none."""

    day_s: Float
    lon: Float
    lat: Float
    height_m: Float
    solid: Mask
    accuracy_m: Float
    pressure_hpa: Float | None
    satellites: Float | None

    def take(self, index: NDArray[np.intp]) -> Fixes:
        """Return some of the fixes."""
        return Fixes(
            self.day_s[index],
            self.lon[index],
            self.lat[index],
            self.height_m[index],
            self.solid[index],
            self.accuracy_m[index],
            None if self.pressure_hpa is None else self.pressure_hpa[index],
            None if self.satellites is None else self.satellites[index],
        )


class Recording:
    """The records of an IGC file.

    Parameters
    ----------
    text : str
        The file.
    tally : Tally
        Takes the lines that are left out.
    where : str or Path
        What messages call the file.

    Attributes
    ----------
    fixes : Fixes
        B records in the order of the file.
    header : dict of str to str
        H records by their three letters, without those that name people.
    recorder : str
        The A record.
    extensions : dict of str to (int, int)
        First and end place (from 0) of what the I record adds to B records.
    records : int
        B records, the refused ones included.

    Raises
    ------
    ReadError
        If there is no B record, or the datum is not WGS84.
    """

    def __init__(self, text: str, tally: Tally, *, where: str | Path) -> None:
        self.where = where
        lines = text.splitlines()
        self.recorder = next((line[1:] for line in lines[:1] if line.startswith("A")), "")
        self.header = _header(lines)
        self.extensions = _extensions(lines)
        self._check_datum(tally)
        places = [k for k, line in enumerate(lines) if line.startswith("B")]
        self.records = len(places)
        sound = [k for k in places if _FIX.match(lines[k])]
        if len(sound) < len(places):
            tally.dropped["garbled B record"] += len(places) - len(sound)
        if not sound:
            raise ReadError("holds no fix (B record)", where=where, fix="use the recording of a flight")
        dates = [(k, day) for k, line in enumerate(lines) if (day := _date(line)) is not None]
        self.dates = [day for _, day in dates]
        self._date_of = np.searchsorted([k for k, _ in dates], sound) - 1
        self.fixes = _fixes([lines[k] for k in sound], self.extensions, self.header)
        real = tally.keep(self.fixes.day_s >= 0.0, "time of day that does not exist")
        self._date_of = self._date_of[real]
        self.fixes = self.fixes.take(np.flatnonzero(real))
        if not self.fixes.day_s.size:
            raise ReadError("holds no fix with a time", where=where, fix="use the recording of a flight")

    def _check_datum(self, tally: Tally) -> None:
        """Refuse a datum that the header names and that is not WGS84."""
        name = self.header.get("DTM", "")
        plain = re.sub(r"[^A-Z0-9]", "", name.upper())
        if not plain or plain in ("NIL", "NKN"):
            tally.assumptions.append("positions taken as WGS84, as IGC has it: the header names no datum")
        elif "WGS84" not in plain and "WGS1984" not in plain:
            fix = "export the recording on WGS84"
            raise ReadError(f'is on the datum "{name}", not WGS84', where=self.where, fix=fix)

    def utc(self, date: dt.date | None, tally: Tally) -> NDArray[np.int64]:
        """Return UTC of the fixes, from the last HFDTE above each or from the user's *date*."""
        if not self.dates:
            if date is None:
                raise ReadError(
                    "has no date (HFDTE record)",
                    where=self.where,
                    fix="set date = YYYY-MM-DD under [track]: the UTC day on which the log starts",
                )
            tally.answered.append("date")
            return day_seconds_to_utc_ns(self.fixes.day_s, date=date, where=self.where)
        group = np.maximum(self._date_of, 0)
        time = np.empty(group.size, dtype=np.int64)
        # The same date again, as some recorders write, does not start the day anew.
        day = np.array([each.toordinal() for each in self.dates])[group]
        starts = np.flatnonzero(np.diff(day, prepend=-1))
        for begin, end in zip(starts, np.append(starts[1:], group.size), strict=True):
            part, when = self.fixes.day_s[begin:end], dt.date.fromordinal(int(day[begin]))
            time[begin:end] = day_seconds_to_utc_ns(part, date=when, where=self.where)
        return time

    def clock(self, date: dt.date | None) -> Clock:
        """Return the clock of the stamps."""
        step_s = (
            10.0 ** -(self.extensions["TDS"][1] - self.extensions["TDS"][0])
            if "TDS" in self.extensions
            else 1.0
        )
        if self.dates:
            return Clock(
                "exact", step_s / 12.0**0.5, note=f"UTC in steps of {step_s:g} s, date of the header"
            )
        note = f"UTC time of day in steps of {step_s:g} s, {date} from the user"
        return Clock("date-only", step_s / 12.0**0.5, note=note)

    def height_ref(self) -> HeightRef:
        """Return what GNSS altitudes refer to; recorders of gliders and of paragliders differ."""
        stated = self.header.get("ALG", "").upper()
        if "ELL" in stated:
            return "ellipsoid"
        return "receiver-geoid" if "GEO" in stated or "MSL" in stated else "unknown"


def _header(lines: Sequence[str]) -> dict[str, str]:
    """Return what H records say of the recorder and the altitudes."""
    wanted = {"DTM", "ALG", "ALP", "RFW", "RHW", "FTY", "GPS", "PRS", "TZN"}
    found: dict[str, str] = {}
    for line in lines:
        match = _HEADER.match(line)
        if match is not None and match[1] in wanted:
            found.setdefault(match[1], match[2].strip())
    return found


def _date(line: str) -> dt.date | None:
    """Return the date of an HFDTE record, None of any other line or if there is no such day."""
    match = _DATE.match(line)
    if match is None:
        return None
    day, month, year = (int(match[1][k : k + 2]) for k in (0, 2, 4))
    try:
        return dt.date(year + (1900 if year >= CENTURY_TURN else 2000), month, day)
    except ValueError:
        return None


def _extensions(lines: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return (begin, end) of what the I record adds to B records."""
    line = next((line for line in lines if line.startswith("I")), "")
    found = {}
    for first, last, code in _EXTENSION.findall(line[3:]):
        if FIX_LETTERS < int(first) <= int(last):
            found[code] = (int(first) - 1, int(last))
    return found


def _fixes(lines: list[str], extensions: dict[str, tuple[int, int]], header: dict[str, str]) -> Fixes:
    """Return the columns of sound B records."""
    letters = np.array([line[:FIX_LETTERS] for line in lines], dtype=f"S{FIX_LETTERS}")
    table = letters.view(np.uint8).reshape(-1, FIX_LETTERS)
    digits = table.astype(np.int64) - ord("0")

    def number(begin: int, end: int) -> Float:
        return digits[:, begin:end] @ 10.0 ** np.arange(end - begin - 1, -1, -1)

    def altitude(begin: int, end: int) -> Float:
        below = table[:, begin] == ord("-")
        return np.where(below, -number(begin + 1, end), number(begin, end))

    part = {code: _extension(lines, extensions, code) for code in ("TDS", "LAD", "LOD", "FXA", "SIU")}
    scale = {code: 10.0 ** -(end - begin) for code, (begin, end) in extensions.items()}
    hour, minute, second = number(1, 3), number(3, 5), number(5, 7)
    exists = (hour < 24) & (minute < 60) & (second <= 60)
    day_s = hour * 3600.0 + minute * 60.0 + second + np.nan_to_num(part["TDS"]) * scale.get("TDS", 0.0)
    lat = number(7, 9) + (number(9, 14) + np.nan_to_num(part["LAD"]) * scale.get("LAD", 0.0)) / 60_000.0
    lon = number(15, 18) + (number(18, 23) + np.nan_to_num(part["LOD"]) * scale.get("LOD", 0.0)) / 60_000.0
    solid = table[:, 24] == ord("A")
    return Fixes(
        day_s=np.where(exists, day_s, -1.0),
        lon=np.where(table[:, 23] == ord("W"), -lon, lon),
        lat=np.where(table[:, 14] == ord("S"), -lat, lat),
        height_m=np.where(solid, altitude(30, 35), np.nan),
        solid=solid,
        accuracy_m=part["FXA"],
        pressure_hpa=_pressure(altitude(25, 30), header),
        satellites=part["SIU"] if np.isfinite(part["SIU"]).any() else None,
    )


def _extension(lines: list[str], extensions: dict[str, tuple[int, int]], code: str) -> Float:
    """Return the numbers that an extension adds to B records, NaN where it has none."""
    if code not in extensions:
        return np.full(len(lines), np.nan)
    begin, end = extensions[code]
    cells = [line[begin:end] for line in lines]
    whole = [len(cell) == end - begin and cell.isascii() and cell.isdigit() for cell in cells]
    return np.array([float(cell) if good else np.nan for cell, good in zip(cells, whole, strict=True)])


def _pressure(altitude_m: Float, header: dict[str, str]) -> Float | None:
    """Return the pressure of a pressure altitude, hPa, or None if the recorder has no pressure sensor."""
    stated = header.get("ALP", "").upper()
    if not altitude_m.any() or (stated and "ISA" not in stated):
        return None
    low, high = TROPOSPHERE_M
    altitude_m = np.where((altitude_m >= low) & (altitude_m <= high), altitude_m, np.nan)
    return np.asarray(SEA_LEVEL_HPA * (1.0 - LAPSE_K_M / SEA_LEVEL_K * altitude_m) ** PRESSURE_EXPONENT)


def _std(accuracy_m: Float, tally: Tally) -> Float:
    """Return (n, 3) standard uncertainty: that of FXA where it is stated, else of a single fix."""
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    stated = accuracy_m > 0.0
    level = np.where(stated, accuracy_m / EPE_OVER_SIGMA, sigma_h)
    if stated.any():
        tally.assumptions.append("fix accuracy (FXA) taken as the radius that holds 95 % of the positions")
    if not stated.all():
        tally.assumptions.append(
            f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical "
            "where the recorder states none"
        )
    return np.column_stack([level, level, level * (sigma_v / sigma_h)])
