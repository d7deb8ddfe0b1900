"""ArduPilot DataFlash ``.BIN``: columns to a trajectory. :mod:`dronesense.readers.dataflash` reads the bytes.

The track has a row wherever the log has a position or an attitude (the union of both stamps): positions are
interpolated linearly to attitude stamps and attitudes by slerp to position stamps, never across a gap. See
``docs/formats/dataflash.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.readers.ardupilot_checks import damage, ends_in_flight, note_gaps, residuals
from dronesense.readers.ardupilot_gps import (
    NS_PER_US,
    STATUS_RTK_FIXED,
    Receiver,
    Rows,
    plausible_positions,
    receivers,
    rows_of,
)
from dronesense.readers.dataflash import MAGIC, DataFlash
from dronesense.readers.dataflash_formats import FMT_TYPE
from dronesense.readers.streams import (
    ATTITUDE_SIGMA_DEG,
    Float,
    between,
    gap_ns,
    quaternions_of,
    segments,
    usual_step,
)
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, RECEIVER_LATENCY_SIGMA_S, ClockFit, fit_latency_envelope

FORMAT: Final = "ArduPilot DataFlash"
SNIFF_BYTES: Final = 1024
"""A first ``FMT`` header within this many bytes makes a log; some vendors put a block before it."""

PRESSURE_GAP_S: Final = 5.0
"""Static pressure changes slowly; some logs have it at 1 Hz, s."""
PRESSURE_RANGE_HPA: Final = (100.0, 1100.0)

RTK_FIXED_SHARE: Final = 0.5
"""`source = "auto"` prefers a receiver to the filter from this share of fixed-RTK rows on; waiting on ground
for the fix counts too, hence not more."""

FULL_TURN_DEG: Final = 360.0
QUATERNION_TOLERANCE: Final = 1e-2
"""A logged quaternion further from unit norm is damaged."""

FILTER_FIX: Final = 7
"""`Trajectory.fix` of a navigation filter's output."""

_FIRMWARE: Final = re.compile(r"(Ardu\w+|APM:\w+|Blimp|AntennaTracker)\s+V?\d\S*")
_GPS_SOURCE: Final = re.compile(r"GPS(?:\[(\d+)\])?")


@dataclass(frozen=True, slots=True)
class _Positions:
    """The chosen position stream, on UTC."""

    time: NDArray[np.int64]
    lon: Float
    lat: Float
    height_m: Float
    height_source_m: Float
    std_ned_m: Float
    fix: NDArray[np.uint8]
    name: str
    point: str


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* starts like a DataFlash log: ``A3 95 80``, perhaps after a vendor's block."""
    del path
    return MAGIC + bytes([FMT_TYPE]) in head[:SNIFF_BYTES]


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of an ArduPilot log.

    Parameters
    ----------
    path : Path
        The ``.BIN`` file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"POS"`` (navigation filter), ``"GPS"``, ``"GPS[k]"``, or ``"auto"``: a receiver with
        fixed RTK, else the filter, else the receiver with most fixes. The rest the log says itself.

    Returns
    -------
    Trajectory
        A row per position and per attitude; WGS84, heights above the ellipsoid where the log tells the
        undulation.
    IngestReport
        What was refused and why, damaged byte ranges, clock fit, rates, filter minus receiver.

    Raises
    ------
    ReadError
        If the file is no log, has no GPS time, or not the source asked for.
    """
    log = DataFlash(path, where=label)
    tally = Tally(warnings=list(log.warnings))
    found = receivers(log, tally)
    if not found:
        raise ReadError(
            f"no GPS row with a 3-D fix and a date{_why(tally)}: it cannot be put on UTC",
            where=label,
            fix="use the log of a flight with GPS, or another log format",
        )
    pos = _filter_rows(log, found, tally)
    receiver, use_pos = _choose(options.source, found, pos, label)
    clock = fit_latency_envelope(receiver.rows.time_us * NS_PER_US, receiver.utc_ns)
    positions = (
        _from_filter(pos, receiver, clock) if use_pos and pos is not None else _from_receiver(receiver)
    )
    if not np.isfinite(positions.height_m).all():
        tally.warnings.append("the log does not tell the geoid undulation: no height above the ellipsoid")
    trajectory = _assemble(log, positions, receiver, clock, tally, label)
    early = ends_in_flight(log, trajectory, receiver)
    if early is not None:
        tally.warnings.append(early)
    details: dict[str, object] = {
        "firmware": _firmware(log),
        "messages": {name: log.count(name) for name in log},
        "source": positions.name,
        "source_rate_hz": _rate_hz(positions.time),
        "clock": {
            "offset_s": clock.offset_ns / NS_PER_S,
            "drift_ppm": clock.slope * 1e6,
            "latency_spread_s": clock.spread_s,
            "sigma_s": clock.sigma_s,
            "stamps": clock.n,
        },
        "undulation_m": receiver.undulation_m if np.isfinite(receiver.undulation_m) else None,
        "filter_minus_gps_m": None if pos is None else residuals(pos, receiver, clock),
    }
    return trajectory, _report(log, tally, details, stated=receiver.stated)


def _why(tally: Tally) -> str:
    reasons = ", ".join(f"{count} x {reason}" for reason, count in tally.dropped.items())
    return f" ({reasons})" if reasons else ""


def _filter_rows(log: DataFlash, found: list[Receiver], tally: Tally) -> Rows | None:
    """Return the ``POS`` rows from the filter's origin on: before, the altitude is a relative height."""
    pos = rows_of(log, "POS", tally)
    if pos is None or not {"Lat", "Lng", "Alt"} <= set(pos.messages):
        return None
    if "RelOriginAlt" in pos:
        ready = np.isfinite(pos["RelOriginAlt"])
    else:
        origin = rows_of(log, "ORGN", tally)
        start = origin.time_us[0] if origin is not None else min(r.rows.time_us[0] for r in found)
        ready = np.asarray(pos.time_us >= start, dtype=bool)
    pos = plausible_positions(pos.where(tally.keep(ready, "POS: before the filter's origin was set")), tally)
    return pos if pos.index.size else None


def _choose(source: str, found: list[Receiver], pos: Rows | None, label: str) -> tuple[Receiver, bool]:
    """Return the receiver to use (for POS: for time, undulation and accuracy), and whether to use POS."""
    best = max(found, key=lambda r: r.utc_ns.size)
    if source == "auto":
        share = {r.index: float(np.mean(r.rows["Status"] == STATUS_RTK_FIXED)) for r in found}
        fixed = max(found, key=lambda r: share[r.index])
        if share[fixed.index] >= RTK_FIXED_SHARE:
            return fixed, False
        return best, pos is not None
    if source == "POS" and pos is not None:
        return best, True
    match = _GPS_SOURCE.fullmatch(source)
    wanted = (
        found[:1] if match and match[1] is None else [r for r in found if match and r.index == int(match[1])]
    )
    if wanted:
        return wanted[0], False
    known = ["auto", *(["POS"] if pos is not None else []), *(r.name for r in found)]
    near = did_you_mean(source, known)
    raise ReadError(
        f'no usable position source "{source}"{near}', where=label, fix=f"use one of: {', '.join(known)}"
    )


def _from_receiver(receiver: Receiver) -> _Positions:
    """Return the fixes on their own GPS time, which has no latency."""
    rows = receiver.rows
    return _Positions(
        time=receiver.utc_ns,
        lon=rows["Lng"],
        lat=rows["Lat"],
        height_m=receiver.height_m,
        height_source_m=rows["Alt"].astype(np.float64),
        std_ned_m=receiver.std_ned_m,
        fix=receiver.fix,
        name=receiver.name,
        point="antenna",
    )


def _from_filter(pos: Rows, receiver: Receiver, clock: ClockFit) -> _Positions:
    """Return the filter's positions, with the undulation and the accuracy of the receiver."""
    time = clock.to_utc(pos.time_us * NS_PER_US)
    alt = pos["Alt"].astype(np.float64)
    elapsed, at = (stamps - time[0] for stamps in (receiver.utc_ns, time))
    return _Positions(
        time=time,
        lon=pos["Lng"],
        lat=pos["Lat"],
        height_m=alt + receiver.undulation_m,
        height_source_m=alt,
        std_ned_m=np.column_stack([np.interp(at, elapsed, column) for column in receiver.std_ned_m.T]),
        fix=np.full(time.size, FILTER_FIX, dtype=np.uint8),
        name="POS",
        point="imu",
    )


def _assemble(
    log: DataFlash, positions: _Positions, receiver: Receiver, clock: ClockFit, tally: Tally, label: str
) -> Trajectory:
    """Put everything on the union of position and attitude stamps."""
    attitude = _attitude_rows(log, tally)
    own = positions.time
    stamps = own
    if attitude is not None:
        turned = clock.to_utc(attitude.time_us * NS_PER_US)
        during = turned[(turned >= own[0]) & (turned <= own[-1])]
        stamps = np.union1d(own, during)
        note_gaps(attitude.name, during, tally)
    note_gaps(positions.name, own, tally)
    inside = between(own, stamps, gap_ns(own)).inside
    stamps = stamps[tally.keep(inside, f"attitude in a gap of {positions.name}")]
    place = between(own, stamps, gap_ns(own))
    turn = np.full((stamps.size, 4), np.nan)
    if attitude is not None:
        turn = between(turned, stamps, gap_ns(turned)).slerp(_quaternions(attitude))
    return Trajectory(
        time=stamps,
        lon=place.longitude(positions.lon),
        lat=place.linear(positions.lat),
        height_m=place.linear(positions.height_m),
        height_source_m=place.linear(positions.height_source_m),
        height_ref="receiver-geoid",
        velocity_ned=_velocity(log, receiver, clock, stamps, tally),
        attitude=turn,
        std_ned_m=place.linear(positions.std_ned_m),
        std_rpy_deg=np.tile(np.array(ATTITUDE_SIGMA_DEG), (stamps.size, 1)),
        fix=positions.fix[place.left],
        segment=segments(own)[place.left],
        clock=Clock("fitted", clock.sigma_s, clock.offset_ns / NS_PER_S, clock.note),
        reference_point=positions.point,
        source=f"{label}:{positions.name}",
        pressure_hpa=_pressure(log, clock, stamps, tally),
        history=(f"read {positions.name} of {label}: {own.size} positions, {stamps.size} rows",),
    )


def _attitude_rows(log: DataFlash, tally: Tally) -> Rows | None:
    """Return the attitude stream: ATT, or the quaternions of the filter or of the backup estimator."""
    for name, columns in (
        ("ATT", ("Roll", "Pitch", "Yaw")),
        *((name, ("Q1", "Q2", "Q3", "Q4")) for name in ("XKQ", "XKQ1", "NKQ1", "AHR2")),
    ):
        rows = rows_of(log, name, tally, instance=0, column="C")
        if rows is not None and set(columns) <= set(rows.messages):
            values = rows.numbers(*columns)
            if name == "ATT":
                good = np.abs(values).max(axis=1) <= FULL_TURN_DEG
            else:
                good = np.abs(np.linalg.norm(values, axis=1) - 1.0) <= QUATERNION_TOLERANCE
            good = np.asarray(good, dtype=bool)
            rows = rows.where(tally.keep(good, f"{rows.name}: angle out of range"))
            if rows.index.size:
                return rows
    tally.warnings.append("no attitude in the log (ATT, XKQ, AHR2): cameras cannot be placed")
    return None


def _rate_hz(time: NDArray[np.int64]) -> float:
    step = usual_step(time)
    return NS_PER_S / step if step > 0.0 else 0.0


def _quaternions(rows: Rows) -> Float:
    """Return (n, 4) unit quaternions w, x, y, z, body to north-east-down, of an attitude stream."""
    if "Q1" not in rows:
        return quaternions_of(*rows.numbers("Roll", "Pitch", "Yaw").T)
    quaternion = rows.numbers("Q1", "Q2", "Q3", "Q4")
    return np.asarray(quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True))


def _velocity(
    log: DataFlash, receiver: Receiver, clock: ClockFit, stamps: NDArray[np.int64], tally: Tally
) -> Float:
    """Return the velocity of the filter's first core, else of the receiver, at *stamps*."""
    time = receiver.utc_ns
    velocity = between(time, stamps, gap_ns(time)).linear(receiver.velocity_ned())
    for name in ("XKF1", "NKF1"):
        rows = rows_of(log, name, tally, instance=0, column="C")
        if rows is not None and {"VN", "VE", "VD"} <= set(rows.messages):
            time = clock.to_utc(rows.time_us * NS_PER_US)
            filtered = between(time, stamps, gap_ns(time)).linear(rows.numbers("VN", "VE", "VD"))
            return np.where(np.isfinite(filtered), filtered, velocity)
    return velocity


def _pressure(log: DataFlash, clock: ClockFit, stamps: NDArray[np.int64], tally: Tally) -> Float | None:
    """Return the static pressure of the first barometer at *stamps*, hPa, or None."""
    rows = rows_of(log, "BARO", tally, instance=0, column="I")
    if rows is None or "Press" not in rows:
        return None
    hpa = rows["Press"].astype(np.float64) / 100.0
    low, high = PRESSURE_RANGE_HPA
    good = tally.keep(
        np.asarray((hpa >= low) & (hpa <= high), dtype=bool), f"{rows.name}: pressure out of range"
    )
    if not good.any():
        return None
    time = clock.to_utc(rows.time_us[good] * NS_PER_US)
    return between(time, stamps, gap_ns(time, PRESSURE_GAP_S)).linear(hpa[good])


def _firmware(log: DataFlash) -> str:
    """Return the line of ``MSG`` that names the firmware, or an empty string."""
    texts = log["MSG"].text("Message") if "MSG" in log and "Message" in log["MSG"] else []
    return next((text for text in texts if _FIRMWARE.match(text)), "")


def _report(log: DataFlash, tally: Tally, details: Mapping[str, object], *, stated: bool) -> IngestReport:
    """Return what happened, with the damage named."""
    if log.holes:
        tally.warnings.insert(0, damage(log))
    if log.ghosts:
        tally.dropped["record completed by padding"] += log.ghosts
    angles = "roll {} deg, pitch {} deg, yaw {} deg".format(*ATTITUDE_SIGMA_DEG)
    tally.assumptions.append(
        f"constant latency of the receiver not corrected, a log cannot show it: {RECEIVER_LATENCY_SIGMA_S} s "
        "of the clock uncertainty stand for it"
    )
    tally.assumptions.append(f"attitude uncertainty {angles}: the log states none")
    tally.assumptions.append(
        "accuracy of the receiver (GPA) taken as the standard uncertainty per axis"
        if stated
        else "position uncertainty by kind of fix: the log states none"
    )
    return IngestReport(
        format=FORMAT,
        records=log.records,
        dropped=dict(tally.dropped),
        holes=log.holes,
        assumptions=tuple(tally.assumptions),
        warnings=tuple(tally.warnings),
        details=details,
    )
