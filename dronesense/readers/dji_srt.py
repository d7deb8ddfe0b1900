"""Tracks in the subtitles of DJI's videos: a fallback, with positions as coarse as their decimals.

See ``docs/formats/dji-srt.md``; :mod:`dji_srt_cues` reads the cues.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.assembly import (
    METERS_PER_DEGREE,
    Attitude,
    Positions,
    Rank,
    assemble,
    choose,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.content import load
from dronesense.readers.dji_columns import all_zero
from dronesense.readers.dji_flight import FIX_3D, LEAST_SATELLITES, NO_STAMP, two_heights
from dronesense.readers.dji_srt_cues import COUNT, DECIMAL, KEYS, LINE, METERS, NONE, Cues, decode
from dronesense.readers.dji_times import fit_coarse, read_wall_times, start_in_name, to_utc, wall_ns
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, Mask, ordered, quaternions_of
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, S_PER_DAY, day_seconds_to_utc_ns

FORMAT: Final = "DJI SRT"
SOURCE: Final = "SRT"

COARSE_M: Final = 2.0
"""Steps of the coordinates from which on a warning is due, m: as large as the error of the receiver."""
SWAPPED_DEG: Final = 1.0
"""The home point lies nearer than this, by the right order of the axes, and further by the wrong one, deg."""
LAT_LON: Final = "latitude, longitude"
LON_LAT: Final = "longitude, latitude"

_CUE_MARK: Final = re.compile(
    rb"-->|^[ \t]*\d+[ \t]*\r?\n[ \t]*\d{4}[-.]\d{1,2}[-.]\d{1,2} \d{1,2}:\d\d:\d\d", re.MULTILINE
)
_DJI_MARK: Final = re.compile(
    rb"\bGPS\s*\(|\[\s*latitude\s*:|(?:Srt|Frame)Cnt\s*:|\[\s*iso\s*:|\bHOME\s*\(", re.IGNORECASE
)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether cues of a subtitle file begin the file, with what only DJI writes into them."""
    del path
    plain = head.replace(b"\0", b"")
    return _CUE_MARK.search(plain) is not None and _DJI_MARK.search(plain) is not None


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a subtitle file.

    Parameters
    ----------
    path : Path
        The ``.SRT`` file; its name may have the start of the video.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `zone`, as the camera's stamps are local time; its `date` for dialects without stamps.

    Returns
    -------
    Trajectory
        A row per cue with a position.
    IngestReport
        Cues refused by reason, dialect, order of the axes, step of the coordinates.

    Raises
    ------
    ReadError
        If the file is empty, holds no positions, or what it leaves open is not given.
    """
    return track(load(path, label).tobytes(), label=label, options=options, name=path.name)


def track(
    data: bytes,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
    name: str = "",
) -> tuple[Trajectory, IngestReport]:
    """Make the track of the bytes of a file called *name*; see :func:`read`."""
    tally = Tally()
    every = decode(data)
    if not len(every):
        what = "holds no cues" if data.strip(b"\0\xef\xbb\xbf \t\r\n") else "is empty"
        raise ReadError(what, where=label, fix="copy it again from the card")
    cues = _one_dialect(every, tally, label)
    times = _times(cues, options, tally, label=label, name=name)
    cues = cues.take(tally.keep(times.known, NO_STAMP))
    keep, piece = ordered(times.ns[times.known], tally)
    cues, time = cues.take(keep), times.ns[times.known][keep]
    axes = _axes(cues, tally)
    lat, lon = (cues.first, cues.second) if axes == LAT_LON else (cues.second, cues.first)
    details: dict[str, object] = {"axes": axes, "gimbal": "present" if cues.gimbal.any() else "absent"}
    height, ref = two_heights(_stated(cues.takeoff_m), _stated(cues.other_m), tally, details)
    row = np.flatnonzero(_received(cues, tally))
    good = plausible("", time[row], lon[row], lat[row], None if height is None else height[row], tally)
    row = row[good]
    if not row.size:
        raise ReadError(
            f"holds no positions{tally.reasons()}", where=label, fix="use the flight log of the aircraft"
        )
    std = _std(cues.decimals, lat[row], details, tally)
    unknown = np.full(row.size, np.nan)
    positions = Positions(
        name=SOURCE,
        rank=Rank.SUBTITLE,
        time=time[row],
        lon=lon[row],
        lat=lat[row],
        height_m=unknown,
        height_source_m=unknown if height is None else height[row],
        height_ref=ref,
        std_ned_m=std,
        sigma_from="default",
        fix=np.full(row.size, FIX_3D, dtype=np.uint8),
        clock=times.clock,
        point="unknown",
        reset=piece[row],
    )
    chosen = choose([positions], options.source, label=label)
    attitude = _attitude(cues.pitch_roll_yaw[row], time[row], tally)
    trajectory = assemble(chosen, label=label, tally=tally, attitude=attitude)
    details |= {
        "dialect": str(cues.layout[0]),
        "source": chosen.name,
        "source_rate_hz": rate_hz(chosen.time),
        "sources": compare(chosen, [chosen]),
        "clock": {"kind": times.clock.kind, "sigma_s": times.clock.sigma_s, "note": times.clock.note},
    }
    return trajectory, tally.report(FORMAT, len(every), details=details)


def _one_dialect(cues: Cues, tally: Tally, label: str) -> Cues:
    """Return the cues of one layout: of several (an edited film), that with stamps, then with most cues.

    Cues without a position belong to any of them, and are counted.
    """
    placed = cues.layout != NONE
    tally.keep(placed, "cue without position")
    if not placed.any():
        raise ReadError(
            "holds no positions: this model writes only settings of the camera",
            where=label,
            fix="use the flight log of the aircraft",
        )
    stamped = np.array([bool(stamp) for stamp in cues.stamps])
    found = sorted(set(cues.layout[placed].tolist()))
    best = max(
        found,
        key=lambda each: (
            bool(stamped[cues.layout == each].any()),
            int(np.count_nonzero(cues.layout == each)),
        ),
    )
    if len(found) > 1:
        tally.warnings.append(
            f"cues of {len(found)} dialects, as in a film cut together: only those of one are used"
        )
        tally.keep(~placed | (cues.layout == best), "cue of another dialect")
    return cues.take(cues.layout == best)


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """UTC of the cues that have it, and how it was found."""

    ns: NDArray[np.int64]
    known: Mask
    clock: Clock


def _times(cues: Cues, options: TrackOptions, tally: Tally, *, label: str, name: str) -> _Times:
    """Return UTC of the cues: from their stamps, else from the clock of the video and a start."""
    wall = read_wall_times(cues.stamps, near=None, label=label)
    if not wall.known.any():
        return _from_video(cues, options, tally, label=label, name=name)
    ns, known = wall.ns, wall.known
    step_ns = NS_PER_S if _stuck(ns[known]) else wall.step_ns
    clock = _stamp_clock(step_ns, "stamps of the camera")
    counted = cues.clock_ns >= 0
    if step_ns >= NS_PER_S and np.count_nonzero(counted & known) > 1:
        both = counted & known
        fit = fit_coarse(cues.clock_ns[both], ns[both], step_ns)
        if not fit.warning():  # else frames were lost: the stamps alone are nearer
            ns, known = cues.clock_ns + fit.offset_ns, counted
            clock = Clock("fitted", fit.sigma_s, note=f"clock of the video; {fit.note}")
    utc = np.zeros(ns.shape, dtype=np.int64)
    utc[known] = to_utc(ns[known], options.zone, tally, label=label, rows=None)
    tally.assumptions.append("the clock of the camera is right: its error is not known")
    return _Times(utc, known, clock)


def _stuck(ns: NDArray[np.int64]) -> bool:
    """Tell stamps whose decimals never change though their seconds do: decimals without meaning."""
    return np.unique(ns // NS_PER_S).size > 2 and np.unique(ns % NS_PER_S).size == 1


def _stamp_clock(step_ns: int, note: str) -> Clock:
    """Return the clock of stamps as they are written, cut to a step."""
    step_s = step_ns / NS_PER_S
    return Clock("exact", step_s / math.sqrt(3.0), note=f"{note}, in steps of {step_s:g} s")


def _from_video(cues: Cues, options: TrackOptions, tally: Tally, *, label: str, name: str) -> _Times:
    """Return UTC of cues without stamps: the clock of the video counts from the start of the video."""
    counted = cues.clock_ns >= 0
    start = start_in_name(name)
    if start is not None:
        origin = int(to_utc(np.array([wall_ns(start)]), options.zone, tally, label=label, rows=None)[0])
        clock = Clock("date-only", 1.0 / math.sqrt(3.0), note=f"start {start} by the name of the file")
        tally.assumptions.append("the video starts at the time in the name of the file")
    elif options.date is not None:
        origin = int(day_seconds_to_utc_ns([0.0], date=options.date, where=label)[0])
        clock = Clock("relative", S_PER_DAY / math.sqrt(12.0), note="clock of the video, 0 at midnight UTC")
        tally.answered.append("date")
        tally.warnings.append(
            "it has no time of day: the clock of the video is counted from 00:00 UTC of the date given"
        )
    else:
        raise ReadError(
            "its cues have no date",
            where=label,
            fix="set date = YYYY-MM-DD under [track] to the day of the video",
        )
    return _Times(cues.clock_ns + origin, counted, clock)


def _axes(cues: Cues, tally: Tally) -> str:
    """Return the order of the coordinates, by the dialect and by what is possible."""
    if not len(cues) or cues.layout[0] == KEYS:
        return LAT_LON
    kinds = [kind for kind in (METERS, COUNT, DECIMAL) if np.any(cues.third_kind == kind)]
    kind = max(kinds, key=lambda each: np.count_nonzero(cues.third_kind == each), default="")
    firm = kind in (METERS, COUNT) or cues.layout[0] == LINE
    order = LON_LAT if cues.layout[0] == LINE or kind == COUNT else LAT_LON
    possible = {
        LAT_LON: not np.any(np.abs(cues.first) > 90.0),
        LON_LAT: not np.any(np.abs(cues.second) > 90.0),
    }
    other = LAT_LON if order == LON_LAT else LON_LAT
    if not possible[order] and possible[other]:
        if firm:
            tally.warnings.append(
                f"axes read as {other}, against the custom of this dialect: a latitude is > 90"
            )
        return other
    if order == LON_LAT and firm and possible[other] and _home_is_swapped(cues):
        tally.warnings.append(f"axes read as {other}: the home point has them the other way round")
        return other
    if not firm and possible[other]:
        tally.warnings.append(f"the order of the axes cannot be told: read as {order}; check it on a map")
    elif possible[other]:
        tally.assumptions.append(f"axes are {order}, as is the custom of this dialect")
    return order


def _home_is_swapped(cues: Cues) -> bool:
    """Tell whether the home point lies near only with its axes the other way round."""
    place = np.column_stack([cues.first, cues.second])
    known = (
        np.isfinite(place).all(axis=1) & np.isfinite(cues.home).all(axis=1) & np.any(cues.home != 0.0, axis=1)
    )
    if not known.any():
        return False
    same = np.abs(place[known] - cues.home[known]).max(axis=1)
    swapped = np.abs(place[known] - cues.home[known][:, ::-1]).max(axis=1)
    return bool(np.median(same) > SWAPPED_DEG > np.median(swapped))


def _stated(height_m: Float) -> Float | None:
    return height_m if np.isfinite(height_m).any() else None


def _received(cues: Cues, tally: Tally) -> Mask:
    """Tell the cues whose number of satellites, if stated, allows a position."""
    few = (cues.third_kind == COUNT) & (cues.third < LEAST_SATELLITES)
    return tally.keep(~few, f"fewer than {LEAST_SATELLITES} satellites")


def _std(decimals: int, lat: Float, details: dict[str, object], tally: Tally) -> Float:
    """Return standard uncertainties: of the receiver, and a whole step of the coordinates.

    A whole step, not that over the square root of 12: nobody says whether DJI rounds or cuts, and positions
    stay the same over several cues.
    """
    step_m = METERS_PER_DEGREE * 10.0**-decimals
    details["coordinate_decimals"] = decimals
    details["coordinate_step_m"] = step_m
    sigma_h, sigma_v = SINGLE_FIX_SIGMA_M
    if step_m > COARSE_M:
        tally.warnings.append(
            f"coordinates have {decimals} decimals: positions are known to {step_m:.0f} m only; "
            "use the flight log of the aircraft"
        )
    tally.assumptions.append(
        f"position uncertainty {sigma_h} m horizontal, {sigma_v} m vertical and one step of the coordinates: "
        "the subtitles state none"
    )
    east_m = step_m * np.cos(np.radians(lat))
    return np.column_stack(
        [
            np.full(lat.size, math.hypot(sigma_h, step_m)),
            np.hypot(sigma_h, east_m),
            np.full(lat.size, sigma_v),
        ]
    )


def _attitude(pitch_roll_yaw: Float, time: NDArray[np.int64], tally: Tally) -> Attitude | None:
    """Return the attitude of the aircraft, where cues state it."""
    known = np.isfinite(pitch_roll_yaw).all(axis=1)
    if not known.any() or all_zero(pitch_roll_yaw):
        return None
    pitch, roll, yaw = pitch_roll_yaw[known].T
    tally.assumptions.append(
        "attitude is that of the aircraft: heading from true north, pitch positive nose up, roll positive "
        "right wing down"
    )
    return Attitude("attitude", time[known], quaternions_of(roll, pitch, yaw))
