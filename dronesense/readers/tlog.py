"""MAVLink telemetry log ``.tlog``: columns to a trajectory; `mavlink_frames` reads the columns.

See ``docs/formats/tlog.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory, Triggers
from dronesense.readers.assembly import (
    Attitude,
    Pressure,
    Velocity,
    assemble,
    choose,
    compare,
    rate_hz,
)
from dronesense.readers.mavlink_frames import Telemetry, load
from dronesense.readers.mavlink_scan import MAGIC_1, MAGIC_2, STAMP_BYTES
from dronesense.readers.stamps import LATEST_NS
from dronesense.readers.streams import quaternions_of
from dronesense.readers.tally import Tally
from dronesense.readers.tlog_clock import fit_clock
from dronesense.readers.tlog_positions import FILTER, M_S_PER_CM_S, RECEIVERS, filtered, receiver
from dronesense.readers.tlog_vehicle import NS_PER_US, UNIX_CLOCK_US, Vehicle, dated, pick
from dronesense.timescale import NS_PER_MS, ClockFit

FORMAT: Final = "MAVLink telemetry log"

SNIFF_RECORDS: Final = 3
"""Proven frames with a plausible stamp that make a log where its very start is damaged."""
_STAMPED: Final = re.compile(rb"\x00[\x03-\x0e].{6}[\xfd\xfe]", re.DOTALL)
"""A stamp between 1997 and 2099 (µs of Unix time, big endian) and the first byte of a frame."""

FULL_TURN_RAD: Final = 2.0 * np.pi
QUATERNION_TOLERANCE: Final = 1e-2
"""A quaternion further from unit norm is damaged."""
PRESSURE_RANGE_HPA: Final = (100.0, 1100.0)
CAPTURED: Final = 1
"""`CAMERA_IMAGE_CAPTURED.capture_result` of a picture that was taken."""

ARMED: Final = 128
"""Bit of `HEARTBEAT.base_mode`."""
AUTOPILOTS: Final = {3: "ArduPilot", 12: "PX4"}
"""`HEARTBEAT.autopilot` of the two common ones."""
_FIRMWARE: Final = re.compile(r"(Ardu\w+|APM:\w+|Blimp|AntennaTracker|PX4)\s+V?\d\S*")


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* starts with a stamp and a frame that its checksum proves, or holds several."""
    del path
    stamp = int.from_bytes(head[:STAMP_BYTES], "big")
    starts = head[STAMP_BYTES : STAMP_BYTES + 1] in (bytes([MAGIC_1]), bytes([MAGIC_2]))
    starts = starts and stamp < LATEST_NS // NS_PER_US
    if not starts and len(_STAMPED.findall(head)) < SNIFF_RECORDS:
        return False
    log = Telemetry(np.frombuffer(head, dtype=np.uint8))
    if starts and any(STAMP_BYTES in log[name].offsets for name in log):
        return True
    plausible_stamps = 0
    for name in log:
        plausible_stamps += int(np.count_nonzero(dated(log[name].received_us)))
    return plausible_stamps >= SNIFF_RECORDS


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a telemetry log.

    Parameters
    ----------
    path : Path
        The ``.tlog`` file.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"GLOBAL_POSITION_INT"`` (navigation filter), ``"GPS_RAW_INT"``, ``"GPS2_RAW"`` or
        ``"auto"``: a receiver with fixed RTK, else the filter, else the receiver with most fixes. ``@2``
        behind it names the system id where several vehicles are heard. The rest the log says itself.

    Returns
    -------
    Trajectory
        A row per position and per attitude; WGS84, heights above the ellipsoid where the log tells both
        heights.
    IngestReport
        What was refused and why, damaged byte ranges, clock fit, rates, sources compared.

    Raises
    ------
    ReadError
        If the file is no log, has no position or no UTC, or not the source asked for.
    """
    return track(load(path, where=label), label=label, options=options)


def track(
    log: Telemetry,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Return track and report of a log that is read: see :func:`read`."""
    if not len(log):
        raise ReadError(
            "holds no MAVLink message: not a telemetry log, or damaged throughout",
            where=label,
            fix="copy the .tlog file again from the ground station",
        )
    tally = Tally()
    source, system = _asked(options.source, label)
    vehicle = pick(log, system, label=label, tally=tally)
    fit, clock, facts = fit_clock(vehicle, tally, label=label)
    receivers = [
        each for name in RECEIVERS if (each := receiver(vehicle, name, fit, clock, tally)) is not None
    ]
    solution = filtered(vehicle, receivers, fit, clock, tally)
    candidates = [*([solution] if solution is not None else []), *receivers]
    if not candidates:
        raise ReadError(
            f"no position with a fix and a time{tally.reasons()}",
            where=label,
            fix="use the log of a flight with GPS, or another log of it",
        )
    positions = choose(candidates, source, label=label)
    if not np.isfinite(positions.height_m).any():
        tally.warnings.append("the log does not tell the geoid undulation: no height above the ellipsoid")
    trajectory = assemble(
        positions,
        label=label,
        tally=tally,
        attitude=_attitude(vehicle, fit, tally),
        velocity=_velocity(vehicle, fit, tally),
        pressure=_pressure(vehicle, fit, tally),
        triggers=_triggers(vehicle, fit, tally),
    )
    _note_damage(log, vehicle, tally)
    details: dict[str, object] = {
        "firmware": _firmware(vehicle),
        "system": vehicle.system,
        "component": vehicle.component,
        "senders": {f"{system}/{component}": rows for (system, component), rows in log.sources().items()},
        "messages": {name: log.count(name) for name in log},
        "unknown_messages": {str(number): rows for number, rows in sorted(log.unknown.items())},
        "source": positions.name,
        "source_rate_hz": rate_hz(positions.time),
        "sources": compare(positions, candidates),
        "clock": facts,
        "triggers": 0 if trajectory.triggers is None else len(trajectory.triggers),
    }
    return trajectory, tally.report(FORMAT, log.records, holes=log.holes, details=details)


def _asked(source: str, label: str) -> tuple[str, int | None]:
    """Return name and system id of ``"name@id"``; without ``@`` None."""
    name, at, system = source.partition("@")
    if at and not (system.isascii() and system.isdigit()):
        raise ReadError(
            f'"{source}" names no system id behind @', where=label, fix='write it like "GPS_RAW_INT@2"'
        )
    return name or "auto", int(system) if at else None


def _attitude(vehicle: Vehicle, fit: ClockFit, tally: Tally) -> Attitude | None:
    """Return the attitude stream with more rows: Euler angles, or quaternions."""
    found = [
        rows
        for name in ("ATTITUDE", "ATTITUDE_QUATERNION")
        if (rows := vehicle.rows(name, tally)) is not None
    ]
    for rows in sorted(found, key=lambda each: -each.time.size):
        if rows.name == "ATTITUDE":
            angles = rows.numbers("roll", "pitch", "yaw")
            good = np.asarray((np.abs(angles) <= FULL_TURN_RAD).all(axis=1), dtype=bool)
            turn = quaternions_of(*np.degrees(np.where(good[:, None], angles, 0.0)).T)
        else:
            turn = rows.numbers("q1", "q2", "q3", "q4")
            norm = np.linalg.norm(turn, axis=1, keepdims=True)
            good = np.asarray(np.abs(norm[:, 0] - 1.0) <= QUATERNION_TOLERANCE, dtype=bool)
            turn = turn / np.where(good[:, None], norm, 1.0)
        good = tally.keep(good, f"{rows.name}: angle out of range")
        if good.any():
            tally.assumptions.append("attitude uncertainty of a small autopilot: the log states none")
            return Attitude(rows.name, fit.to_utc(rows.time[good]), turn[good])
    tally.warnings.append("no attitude in the log (ATTITUDE, ATTITUDE_QUATERNION): cameras cannot be placed")
    return None


def _velocity(vehicle: Vehicle, fit: ClockFit, tally: Tally) -> Velocity | None:
    """Return the filter's velocity, finer in the local than in the global message."""
    for name, scale in (("LOCAL_POSITION_NED", 1.0), (FILTER, M_S_PER_CM_S)):
        rows = vehicle.rows(name, Tally())
        if rows is not None:
            ned = rows.numbers("vx", "vy", "vz", scale=scale)
            good = np.asarray(np.isfinite(ned).all(axis=1), dtype=bool)
            good = tally.keep(good, f"{name}: no velocity")
            if good.any():
                return Velocity(fit.to_utc(rows.time[good]), ned[good])
    return None


def _pressure(vehicle: Vehicle, fit: ClockFit, tally: Tally) -> Pressure | None:
    rows = vehicle.rows("SCALED_PRESSURE", tally)
    if rows is None:
        return None
    hpa = rows.numbers("press_abs")[:, 0]
    low, high = PRESSURE_RANGE_HPA
    good = tally.keep(
        np.asarray((hpa >= low) & (hpa <= high), dtype=bool), "SCALED_PRESSURE: pressure out of range"
    )
    return Pressure(fit.to_utc(rows.time[good]), hpa[good]) if good.any() else None


def _triggers(vehicle: Vehicle, fit: ClockFit, tally: Tally) -> Triggers | None:
    """Return the pictures of the first message that tells of any; cameras are components of their own."""
    for name, stamp, number in (
        ("CAMERA_FEEDBACK", "time_usec", "img_idx"),
        ("CAMERA_IMAGE_CAPTURED", "time_utc", "image_index"),
        ("CAMERA_TRIGGER", "time_usec", "seq"),
    ):
        found = vehicle.messages(name, any_component=True)
        if found is None:
            continue
        time, good = _picture_times(found[stamp], fit)
        if name == "CAMERA_IMAGE_CAPTURED":
            taken = tally.keep(found["capture_result"] == CAPTURED, f"{name}: no picture taken")
            own = (found.component == vehicle.component) & (found[stamp] == 0)
            time[own] = fit.to_utc(found["time_boot_ms"][own].astype(np.int64) * NS_PER_MS)
            good = tally.keep(good | own | ~taken, f"{name}: by the camera's own clock") & taken
        else:
            good = tally.keep(good, f"{name}: clock not set")
        pictures = np.unique(np.column_stack([time[good], found[number][good].astype(np.int64)]), axis=0)
        if pictures.size:
            return Triggers(pictures[:, 0], pictures[:, 1], name)
    return None


def _picture_times(stamp: NDArray[np.uint64], fit: ClockFit) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return UTC of stamps in µs, of Unix time or since boot by magnitude, and which can be true."""
    unix = stamp > UNIX_CLOCK_US
    good = (stamp > 0) & (~unix | dated(stamp))
    time = np.where(good, stamp, 0).astype(np.int64) * NS_PER_US
    return np.where(unix, time, fit.to_utc(np.where(unix, 0, time))), good


def _firmware(vehicle: Vehicle) -> str:
    """Return the text that names the firmware, else the kind of autopilot, or an empty string."""
    texts = vehicle.messages("STATUSTEXT")
    for text in texts.text("text") if texts is not None else []:
        if _FIRMWARE.search(text):
            return text
    beats = vehicle.messages("HEARTBEAT")
    return AUTOPILOTS.get(int(beats["autopilot"][-1]), "") if beats is not None else ""


def _note_damage(log: Telemetry, vehicle: Vehicle, tally: Tally) -> None:
    """Warn of holes, of frames that were not used and of an end in flight."""
    tally.dropped.update(log.refused)
    if log.unknown:
        tally.dropped["message that is not in the table"] += log.unknown.total()
    if log.holes:
        total = sum(length for _, length in log.holes)
        first, length = log.holes[0]
        cut = len(log.holes) == 1 and first + length == log.size
        places = f"in {len(log.holes)} place(s), the first at byte {first}"
        tally.warnings.insert(
            0,
            f"the log ends in the middle of a message or in padding ({total} bytes from byte {first} on)"
            if cut
            else f"the log is damaged: {total} bytes hold no message, {places}",
        )
    beats = vehicle.messages("HEARTBEAT")
    if beats is not None and int(beats["base_mode"][-1]) & ARMED:
        tally.warnings.append("the log ends while the motors are armed: it may be cut")
