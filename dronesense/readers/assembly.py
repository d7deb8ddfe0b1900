"""Streams of one log to a trajectory: gates, choice of the position source, one set of stamps.

Every log format ends here, so that gates, preference and interpolation are the same for all. The track has a
row wherever the log has a position or an attitude (the union of both stamps): positions are interpolated
linearly to attitude stamps and attitudes by slerp to position stamps, never across a gap or a reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.model import Clock, Trajectory, Triggers
from dronesense.model.trajectory import HeightRef
from dronesense.readers.streams import (
    ATTITUDE_SIGMA_DEG,
    GAP_STEPS,
    Float,
    Mask,
    between,
    gap_ns,
    segments,
    spikes,
    usual_step,
)
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, to_iso

HEIGHT_RANGE_M: Final = (-1000.0, 20_000.0)
SPEED_LIMIT_M_S: Final = 150.0
"""Faster than this between neighboring rows is a damaged position, not a drone."""
JUMP_FLOOR_M: Final = 20.0
"""Position steps up to this are never called a jump: a filter may correct itself by meters."""
METERS_PER_DEGREE: Final = 111_195.0
"""One degree of a great circle on the mean sphere of 6,371 km, m; for gates and statistics only."""

PRESSURE_GAP_S: Final = 5.0
"""Static pressure changes slowly; some logs have it at 1 Hz, s."""

RTK_FIXED: Final = 5
"""`Trajectory.fix` of a fixed carrier solution."""
RTK_FIXED_SHARE: Final = 0.5
"""A receiver ranks as RTK from this share of fixed rows on; waiting on ground for the fix counts too, hence
not more."""

RESIDUAL_PERCENTILES: Final = (50, 95)


class Rank(IntEnum):
    """Kinds of position source, the best last."""

    SUBTITLE = 1
    TABLE = 2
    GNSS = 3
    FILTER = 4
    RTK = 5
    PPK = 6


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """One solution for the position, on UTC.

    Parameters
    ----------
    name : str
        What ``[track] source`` calls it: ``"POS"``, ``"GPS[0]"``, ``"vehicle_global_position"``.
    rank : Rank
        What kind of source it is.
    time : (n,) int64
        UTC ns, strictly increasing.
    lon, lat : (n,) float64
        WGS84 degrees.
    height_m : (n,) float64
        Above the ellipsoid, NaN where the log does not tell.
    height_source_m : (n,) float64
        As stated, m.
    height_ref : str
        What `height_source_m` refers to.
    std_ned_m : (n, 3) float64
        Standard uncertainty.
    fix : (n,) uint8
        As in `Trajectory.fix`.
    clock : Clock
        How `time` was obtained.
    point : str
        Reference point: ``"antenna"``, ``"imu"``, ``"camera"``, ``"unknown"``.
    velocity_ned : (n, 3) float64, optional
        m/s, NaN where unknown.
    reset : (n,) int, optional
        Changes wherever the source jumped on purpose (a filter reset, a switch of receiver).
    sigma_from : str
        Where `std_ned_m` comes from, as in `Trajectory.sigma_from`.
    """

    name: str
    rank: Rank
    time: NDArray[np.int64]
    lon: Float
    lat: Float
    height_m: Float
    height_source_m: Float
    height_ref: HeightRef
    std_ned_m: Float
    fix: NDArray[np.uint8]
    clock: Clock
    point: str
    velocity_ned: Float | None = None
    reset: NDArray[np.int64] | None = None
    sigma_from: str = "log"

    def segment(self) -> NDArray[np.int32]:
        """Return a number per row that grows by one at every gap and reset."""
        number = segments(self.time)
        if self.reset is not None:
            number[1:] += np.cumsum(np.diff(self.reset) != 0).astype(np.int32)
        return number


@dataclass(frozen=True, slots=True, eq=False)
class Attitude:
    """How the body was turned: (n, 4) unit quaternions w, x, y, z, body to north-east-down, on UTC.

    *std_rpy_deg* is (n, 3), or None where the log does not state it. *reset* is (n,) and changes wherever the
    attitude jumped on purpose or rows are known to be missing: nothing is interpolated across.
    """

    name: str
    time: NDArray[np.int64]
    quaternion: Float
    std_rpy_deg: Float | None = None
    reset: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Velocity:
    """Velocity north, east, down, (n, 3) m/s, on UTC."""

    time: NDArray[np.int64]
    ned: Float


@dataclass(frozen=True, slots=True, eq=False)
class Pressure:
    """Static pressure, (n,) hPa, on UTC."""

    time: NDArray[np.int64]
    hpa: Float


def gnss_rank(fix: NDArray[np.uint8]) -> Rank:
    """Return whether a receiver with these `Trajectory.fix` values ranks as RTK or as plain GNSS."""
    fixed = float(np.mean(fix == RTK_FIXED)) if fix.size else 0.0
    return Rank.RTK if fixed >= RTK_FIXED_SHARE else Rank.GNSS


def plausible(
    name: str, time: NDArray[np.int64], lon: Float, lat: Float, height_m: Float | None, tally: Tally
) -> NDArray[np.intp]:
    """Return the rows with a position that can be true; the others are counted by reason.

    Refused: no position, (0, 0), out of range, and rows that jump away from their neighbors and back. Where
    a height is given, one that is out of range or jumps refuses the row too; NaN is allowed.
    """
    prefix = f"{name}: " if name else ""
    keep = np.arange(time.size)
    height = np.full(time.size, np.nan) if height_m is None else np.asarray(height_m, dtype=np.float64)
    low, high = HEIGHT_RANGE_M
    outside = np.isfinite(height) & ((height < low) | (height > high))
    for good, reason in (
        (np.isfinite(lat) & np.isfinite(lon), "no position"),
        ((lat != 0.0) | (lon != 0.0), "latitude and longitude 0"),
        ((np.abs(lat) <= 90.0) & (np.abs(lon) <= 180.0) & ~outside, "position out of range"),
    ):
        keep = keep[tally.keep(np.asarray(good[keep], dtype=bool), prefix + reason)]
    jumps = _jumps(time[keep], lon[keep], lat[keep], height[keep])
    return keep[tally.keep(~jumps, f"{prefix}position jumps")]


def _jumps(time: NDArray[np.int64], lon: Float, lat: Float, height: Float) -> Mask:
    if not time.size:
        return np.zeros(0, dtype=bool)
    reach_m = JUMP_FLOOR_M + SPEED_LIMIT_M_S * 2.0 * usual_step(time) / NS_PER_S
    narrow = METERS_PER_DEGREE * float(np.cos(np.radians(np.median(lat))))
    turn = np.radians(lon)
    bad = spikes(lat * METERS_PER_DEGREE, reach_m)
    for part in (np.cos(turn), np.sin(turn)):  # of a longitude: no step at 180 degrees
        bad |= spikes(np.degrees(part) * narrow, reach_m)
    known = np.flatnonzero(np.isfinite(height))
    bad[known] |= spikes(height[known], reach_m)
    return bad


def choose(candidates: Sequence[Positions], wanted: str, *, label: str) -> Positions:
    """Return the position source to use: the one that *wanted* names, or for ``"auto"`` the best.

    The best has the highest :class:`Rank` and among those most rows. ``"GPS"`` stands for the first of
    ``"GPS[0]"``, ``"GPS[1]"``, ...

    Raises
    ------
    ReadError
        If there is none of that name.
    """
    if wanted == "auto" and candidates:
        return max(candidates, key=lambda each: (each.rank, each.time.size))
    for each in candidates:
        if wanted in (each.name, each.name.partition("[")[0]):
            return each
    known = ["auto", *(each.name for each in candidates)]
    raise ReadError(
        f'no usable position source "{wanted}"{did_you_mean(wanted, known)}',
        where=label,
        fix=f"use one of: {', '.join(known)}",
    )


def compare(chosen: Positions, candidates: Sequence[Positions]) -> list[dict[str, object]]:
    """Return name, kind and rows of every source, and how far the others lie from the chosen one, m."""
    return [
        {
            "name": each.name,
            "kind": each.rank.name.lower(),
            "rows": int(each.time.size),
            "used": each is chosen,
            "minus_used_m": None if each is chosen else residuals(each, chosen),
        }
        for each in sorted(candidates, key=lambda each: -each.rank)
    ]


def residuals(one: Positions, other: Positions) -> dict[str, float] | None:
    """Return percentiles of the horizontal distance and of the height difference *one* minus *other*, m.

    Ellipsoidal heights are compared where both have them, else stated heights of the same reference. None
    where the two share no time.
    """
    at = between(one.time, other.time, gap_ns(one.time))
    lat = at.linear(one.lat)
    north = (lat - other.lat) * METERS_PER_DEGREE
    turn = (at.longitude(one.lon) - other.lon + 180.0) % 360.0 - 180.0
    flat = np.hypot(north, turn * METERS_PER_DEGREE * np.cos(np.radians(lat)))
    if not np.isfinite(flat).any():
        return None
    found = {
        f"horizontal_p{p}": float(np.percentile(flat[np.isfinite(flat)], p)) for p in RESIDUAL_PERCENTILES
    }
    up = at.linear(one.height_m) - other.height_m
    if not np.isfinite(up).any() and one.height_ref == other.height_ref:
        up = at.linear(one.height_source_m) - other.height_source_m
    up = up[np.isfinite(up)]
    if up.size:
        found["vertical_median"] = float(np.median(up))
        found["vertical_p95"] = float(np.percentile(np.abs(up), 95))
    return found


def note_gaps(name: str, time: NDArray[np.int64], tally: Tally) -> None:
    """Warn of gaps in a stream: a piece of the log may be missing even where its bytes are sound."""
    step = np.diff(time)
    gaps = np.flatnonzero(step > GAP_STEPS * usual_step(time))
    if gaps.size:
        worst = gaps[np.argmax(step[gaps])]
        tally.warnings.append(
            f"{name}: {gaps.size} gap(s), the longest {step[worst] / NS_PER_S:.2f} s "
            f"from {to_iso(int(time[worst]))}"
        )


def rate_hz(time: NDArray[np.int64]) -> float:
    """Return the usual number of samples a second, 0 for fewer than two."""
    step = usual_step(time)
    return NS_PER_S / step if step > 0.0 else 0.0


def assemble(
    positions: Positions,
    *,
    label: str,
    tally: Tally,
    attitude: Attitude | None = None,
    velocity: Velocity | None = None,
    pressure: Pressure | None = None,
    triggers: Triggers | None = None,
) -> Trajectory:
    """Put everything on the union of position and attitude stamps.

    Parameters
    ----------
    positions : Positions
        The chosen source, at least one row.
    label : str
        What `Trajectory.source` calls the log.
    tally : Tally
        Takes the gaps and the attitudes without a position.
    attitude, velocity, pressure : optional
        Streams with stamps of their own. Velocity falls back to that of *positions* where it is NaN.
    triggers : Triggers, optional
        Carried along.
    """
    own = positions.time
    stamps = own
    if attitude is not None and attitude.time.size:
        during = attitude.time[(attitude.time >= own[0]) & (attitude.time <= own[-1])]
        stamps = np.sort(np.concatenate([own, during]), kind="stable")  # merges: both are sorted
        stamps = stamps[np.diff(stamps, prepend=stamps[0] - 1) > 0]
        note_gaps(attitude.name, during, tally)
    note_gaps(positions.name, own, tally)
    number = positions.segment()
    place = between(own, stamps, gap_ns(own))
    inside = place.inside & (number[place.left] == number[place.right])
    stamps = stamps[tally.keep(inside, f"attitude in a gap of {positions.name}")]
    place = between(own, stamps, gap_ns(own))
    turn = np.full((stamps.size, 4), np.nan)
    std_rpy, turns_from = np.tile(np.array(ATTITUDE_SIGMA_DEG), (stamps.size, 1)), "default"
    if attitude is not None and attitude.time.size:
        at = between(attitude.time, stamps, gap_ns(attitude.time))
        if attitude.reset is not None:
            at = replace(at, inside=at.inside & (attitude.reset[at.left] == attitude.reset[at.right]))
        turn = at.slerp(attitude.quaternion)
        if attitude.std_rpy_deg is not None:
            std_rpy, turns_from = at.linear(attitude.std_rpy_deg), "log"
    motion = np.full((stamps.size, 3), np.nan)
    if positions.velocity_ned is not None:
        motion = place.linear(positions.velocity_ned)
    if velocity is not None and velocity.time.size:
        filtered = between(velocity.time, stamps, gap_ns(velocity.time)).linear(velocity.ned)
        motion = np.where(np.isfinite(filtered), filtered, motion)
    hpa = None
    if pressure is not None and pressure.time.size:
        hpa = between(pressure.time, stamps, gap_ns(pressure.time, PRESSURE_GAP_S)).linear(pressure.hpa)
    return Trajectory(
        time=stamps,
        lon=place.longitude(positions.lon),
        lat=place.linear(positions.lat),
        height_m=place.linear(positions.height_m),
        height_source_m=place.linear(positions.height_source_m),
        height_ref=positions.height_ref,
        velocity_ned=motion,
        attitude=turn,
        std_ned_m=place.linear(positions.std_ned_m),
        std_rpy_deg=std_rpy,
        fix=positions.fix[place.left],
        segment=number[place.left],
        clock=positions.clock,
        reference_point=positions.point,
        source=f"{label}:{positions.name}",
        pressure_hpa=hpa,
        triggers=triggers,
        sigma_from=(positions.sigma_from, turns_from),
        history=(f"read {positions.name} of {label}: {own.size} positions, {stamps.size} rows",),
    )
