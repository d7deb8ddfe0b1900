"""Photo positions of DJI's RTK cameras: ``*_Timestamp.MRK``, a line per picture.

See ``docs/formats/dji-mrk.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory, Triggers
from dronesense.readers.assembly import (
    RTK_FIXED,
    Positions,
    Rank,
    assemble,
    choose,
    compare,
    gnss_rank,
    plausible,
    rate_hz,
)
from dronesense.readers.content import load, text_of
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, ordered, sigma_origin
from dronesense.readers.tally import Tally
from dronesense.timescale import (
    NS_PER_S,
    ROLLOVER_WEEKS,
    S_PER_WEEK,
    gps_ns_to_utc_ns,
    gps_tow_to_utc_ns,
    leap_note,
    leap_seconds_at,
    unroll_week,
)

FORMAT: Final = "DJI MRK"
SOURCE: Final = "MRK"

_VALUE: Final = r"((?<![\d.])[+-]?\d{1,15}(?:\.\d{1,15})?)"
_START: Final = re.compile(rf"\s*(\d{{1,15}})\s+{_VALUE}\s+(?:\[\s*(\d{{1,15}})\s*\])?", re.ASCII)
_TAGGED: Final = re.compile(rf"{_VALUE}\s*,\s*(Lat|Lon|Ellh|N|E|V|Q)\b", re.ASCII)
_STD: Final = re.compile(rf"Ellh\s+{_VALUE}\s*,\s*{_VALUE}\s*,\s*{_VALUE}", re.ASCII)
_SNIFF: Final = re.compile(rb"\d\s*,\s*(?:Lat|Lon)\b[^\r\n]*\d\s*,\s*(?:Lat|Lon)\b[^\r\n]*,\s*Ellh\b")

RTK_FLOAT: Final = 4
SINGLE: Final = 2
"""`Trajectory.fix` of a float carrier solution and of a solution without corrections."""
Q_FLOAT: Final = (32, 49)
Q_FIXED: Final = 50
Q_SINGLE: Final = frozenset({0, 16})

STAMP_SIGMA_S: Final = 1e-6
"""Last digit of the stamps, s: the mark of the shutter is written to 1 microsecond."""
SCALE_S: Final = 18
"""GPS time minus UTC since 2017, s."""
MM: Final = 1e-3
LAST_WEEK: Final = 4 * ROLLOVER_WEEKS
"""GPS weeks from here on lie beyond the year 2058."""


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The lines of a file as columns.

    Parameters
    ----------
    number : (n,) int64
        Picture.
    tow_s : (n,) float64
        Time of week, s.
    week : (n,) int64
        -1 where the line has none.
    lat, lon, height_m : (n,) float64
        WGS84 degrees, m above the ellipsoid; NaN where the line has none.
    offset_m : (n, 3) float64
        From the antenna to the camera, north, east, down; the position has it applied already.
    std_m : (n, 3) float64
        North, east, vertical.
    quality : (n,) int64
        -1 where the line has none.
    garbled : tuple of int
        Lines that are none of a picture, 1-based.
    """

    number: NDArray[np.int64]
    tow_s: Float
    week: NDArray[np.int64]
    lat: Float
    lon: Float
    height_m: Float
    offset_m: Float
    std_m: Float
    quality: NDArray[np.int64]
    garbled: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.number)


def decode(data: bytes) -> Marks:
    """Read the lines of a file; values are known by their suffix (``,Lat``), in any order."""
    text = text_of(data).replace("\0", "")
    rows: list[tuple[float, ...]] = []
    numbers: list[tuple[int, int, int]] = []
    garbled: list[int] = []
    for line, row in enumerate(text.splitlines(), 1):
        start = _START.match(row)
        tagged = dict(reversed(pair) for pair in _TAGGED.findall(row))
        if start is None or "Lat" not in tagged or "Lon" not in tagged:
            if row.strip():
                garbled.append(line)
            continue
        std = _STD.search(row)
        values = (tagged.get(name, "nan") for name in ("Lat", "Lon", "Ellh", "N", "E", "V"))
        spread = std.groups() if std is not None else ("nan",) * 3
        rows.append((float(start[2]), *map(float, values), *map(float, spread)))
        quality = float(tagged.get("Q", "-1"))
        week = -1 if start[3] is None else int(start[3])
        numbers.append((int(start[1]), week, int(quality)))
    floats = np.array(rows, dtype=np.float64).reshape(-1, 10)
    floats[~np.isfinite(floats)] = np.nan
    whole = np.array(numbers, dtype=np.int64).reshape(-1, 3)
    return Marks(
        number=whole[:, 0],
        tow_s=floats[:, 0],
        week=whole[:, 1],
        lat=floats[:, 1],
        lon=floats[:, 2],
        height_m=floats[:, 3],
        offset_m=floats[:, 4:7] * MM,
        std_m=floats[:, 7:10],
        quality=whole[:, 2],
        garbled=tuple(garbled),
    )


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a line has values that end with ``,Lat``, ``,Lon`` and ``,Ellh``."""
    del path
    return _SNIFF.search(head) is not None


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the positions of the pictures.

    Parameters
    ----------
    path : Path
        The file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `date` where the lines have no week; its `time_scale`: ``"auto"`` is GPS time, as DJI's manuals
        say.

    Returns
    -------
    Trajectory
        A row per picture: the camera's projection center, heights above the ellipsoid, and the pictures
        themselves as `triggers`.
    IngestReport
        Lines refused by reason, the offsets from the antenna.

    Raises
    ------
    ReadError
        If no line has a picture with time and position, or the week is missing and no date is given.
    """
    return track(decode(load(path, label).tobytes()), label=label, options=options)


def track(
    marks: Marks,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of decoded lines; parameters, result and errors as of :func:`read`."""
    tally = Tally()
    if marks.garbled:
        tally.dropped["garbled line"] += len(marks.garbled)
        lines = ", ".join(map(str, marks.garbled[:5]))
        tally.warnings.append(f"{len(marks.garbled)} line(s) are not of a picture (line {lines})")
    index, time = _times(marks, options, tally, label)
    keep, piece = ordered(time, tally)
    index, time = index[keep], time[keep]
    triggers = Triggers(time, marks.number[index], SOURCE) if time.size else None
    good = plausible("", time, marks.lat[index], marks.lon[index], marks.height_m[index], tally)
    index, time, piece = index[good], time[good], piece[good]
    if not index.size:
        raise ReadError(
            f"no picture has a time and a position{tally.reasons()}",
            where=label,
            fix="copy the file again from the card",
        )
    positions = _positions(marks, index, time, piece, tally)
    chosen = choose([positions], options.source, label=label)
    trajectory = assemble(chosen, label=label, tally=tally, triggers=triggers)
    return trajectory, tally.report(FORMAT, len(marks), details=_details(marks, index, chosen))


def _times(
    marks: Marks, options: TrackOptions, tally: Tally, label: str
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return the lines that have a time, and their UTC."""
    sound = (marks.tow_s >= 0.0) & (marks.tow_s < S_PER_WEEK) & (marks.week != 0)
    index = np.flatnonzero(tally.keep(sound, "no time of week"))
    if not index.size:
        raise ReadError(
            f"no line is of a picture with a time{tally.reasons()}",
            where=label,
            fix="copy the file again from the card",
        )
    utc, told = _gps_times(marks, index, options, label)
    if told:
        tally.answered.append("date")
    index, utc = index[tally.keep(utc > 0, "no GPS week")], utc[utc > 0]
    if options.time_scale != "auto":
        tally.answered.append("time_scale")
    else:
        tally.assumptions.append(
            "times of week taken as GPS time, as DJI's manuals say; its white paper on the Phantom 4 RTK "
            f"calls them UTC, {SCALE_S} s apart: compare with the times in the pictures, or set "
            'time_scale = "utc"'
        )
    if options.time_scale == "utc":
        utc = utc + leap_seconds_at(utc) * NS_PER_S
    elif leap_note(utc):
        tally.assumptions.append(leap_note(utc))
    return index, utc


def _gps_times(
    marks: Marks, index: NDArray[np.intp], options: TrackOptions, label: str
) -> tuple[NDArray[np.int64], bool]:
    """Return UTC of stamps in GPS time, 0 where the week stays open, and whether the date was needed."""
    week, tow_s = marks.week[index], marks.tow_s[index]
    good, told = (week >= ROLLOVER_WEEKS) & (week < LAST_WEEK), False
    if not good.any():
        if options.date is None:
            what = "its lines have no GPS week" if week.max() < 0 else "its GPS weeks have ten bits"
            raise ReadError(what, where=label, fix="set date = YYYY-MM-DD under [track]")
        good, told = (week >= 0) & (week < ROLLOVER_WEEKS), True
        if not good.any():
            return gps_tow_to_utc_ns(tow_s, date=options.date, where=label), told
        week = unroll_week(week, near=options.date)
    tow_ns = np.rint(tow_s * NS_PER_S).astype(np.int64)
    gps_ns = np.where(good, week, 0) * (S_PER_WEEK * NS_PER_S) + tow_ns
    return np.where(good, gps_ns_to_utc_ns(gps_ns), 0), told


def _positions(
    marks: Marks,
    index: NDArray[np.intp],
    time: NDArray[np.int64],
    piece: NDArray[np.int64],
    tally: Tally,
) -> Positions:
    quality = marks.quality[index]
    fix = np.full(index.size, SINGLE, dtype=np.uint8)
    fix[(quality >= Q_FLOAT[0]) & (quality <= Q_FLOAT[1])] = RTK_FLOAT
    fix[quality == Q_FIXED] = RTK_FIXED
    odd = sorted(set(quality[fix == SINGLE].tolist()) - Q_SINGLE)
    if odd:
        tally.warnings.append(f"qualities {', '.join(map(str, odd))} are not known: taken as without RTK")
    std = marks.std_m[index]
    unstated = np.asarray(~np.all(std > 0.0, axis=1))
    if unstated.any():
        sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
        std = np.where(unstated[:, None], (sigma_h, sigma_h, sigma_v), std)
        tally.warnings.append(
            f"{np.count_nonzero(unstated)} picture(s) state no uncertainty: {sigma_h} m and {sigma_v} m taken"
        )
    rank = gnss_rank(fix)
    if rank is not Rank.RTK:
        share = float(np.mean(fix == RTK_FIXED))
        tally.warnings.append(f"only {share:.0%} of the pictures have a fixed RTK solution")
    return Positions(
        name=SOURCE,
        rank=rank,
        time=time,
        lon=marks.lon[index],
        lat=marks.lat[index],
        height_m=marks.height_m[index],
        height_source_m=marks.height_m[index],
        height_ref="ellipsoid",
        std_ned_m=std,
        sigma_from=sigma_origin(~unstated),
        fix=fix,
        clock=Clock("exact", STAMP_SIGMA_S, note="time of week of the shutter's mark"),
        point="camera",
        reset=piece,
    )


def _details(marks: Marks, index: NDArray[np.intp], chosen: Positions) -> dict[str, object]:
    offset = marks.offset_m[index]
    known = offset[np.isfinite(offset).all(axis=1)]
    names, counts = np.unique(marks.quality[index], return_counts=True)
    return {
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, [chosen]),
        "clock": {"kind": chosen.clock.kind, "sigma_s": chosen.clock.sigma_s, "note": chosen.clock.note},
        "pictures": len(index),
        "quality": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "antenna_to_camera_ned_m": np.median(known, axis=0).tolist() if len(known) else None,
    }
