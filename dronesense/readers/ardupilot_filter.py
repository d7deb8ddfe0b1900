"""What ArduPilot's navigation filter (EKF2, EKF3) says: position, attitude, velocity, and where it jumped.

Up to three cores of the filter run side by side; the aircraft is flown by the primary one. ``POS`` and
``ATT`` follow it by themselves; of the messages of single cores the rows of the core that was primary at
their time are taken.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Clock
from dronesense.readers.ardupilot_gps import Receiver, plausible_rows
from dronesense.readers.ardupilot_rows import NS_PER_US, Rows, Stamps, instances
from dronesense.readers.assembly import METERS_PER_DEGREE, Attitude, Positions, Rank, Velocity
from dronesense.readers.streams import (
    Float,
    between,
    gap_ns,
    quaternions_of,
    sigma_origin,
    spikes,
    usual_step,
)
from dronesense.readers.tally import Tally
from dronesense.timescale import ClockFit

FILTER_FIX: Final = 7
"""`Trajectory.fix` of a navigation filter's output."""

FILTERS: Final = {3: ("XKF", "XKQ"), 2: ("NKF", "NKQ")}
"""EKF generation -> starts of the names of its states and of its quaternions."""

CORE_MESSAGES: Final = {1: (1, 6), 4: (4, 9)}
"""Number of a message of the first core -> those of the first and second core in firmware without a core
column (``NKF1`` and ``NKF6`` are the same of two cores)."""

FULL_TURN_DEG: Final = 360.0
QUATERNION_TOLERANCE: Final = 1e-2
"""A logged quaternion further from unit norm is damaged."""

EVENT_RESETS: Final = {60: "height reset (EV)", 62: "yaw reset (EV)"}
"""`EV.Id` (ArduPilot, libraries/AP_Logger/AP_Logger.h, enum LogEvent: EKF_ALT_RESET, EKF_YAW_RESET)."""
PRIMARY_CHANGED: Final = 24
"""`ERR.Subsys` (the same file, enum LogErrorSubsystem: EKF_PRIMARY)."""
LANE_SWITCH: Final = "switch of the filter's core"

STEP_M: Final = 3.0
"""A step of the filter's position of more than this, m, beyond what its speed explains, is a reset; smaller
ones are within a filter's corrections."""
ACCELERATION_M_S2: Final = 10.0
"""Drones speed up by no more than this, m/s²; what it explains between rows is no step."""


def filter_rows(stamps: Stamps, found: list[Receiver], fit: ClockFit, tally: Tally) -> Rows | None:
    """Return the ``POS`` rows from the filter's origin on: before, the altitude is a relative height."""
    pos = stamps.rows("POS", tally)
    if pos is None or not {"Lat", "Lng", "Alt"} <= pos.messages.numeric:
        return None
    if "RelOriginAlt" in pos:
        ready = np.isfinite(pos["RelOriginAlt"])
    else:
        origin = stamps.rows("ORGN", tally, regular=False)
        start = origin.time_us[0] if origin is not None else min(r.rows.time_us[0] for r in found)
        ready = np.asarray(pos.time_us >= start, dtype=bool)
    pos = plausible_rows(pos.where(tally.keep(ready, "POS: before the filter's origin was set")), tally)
    sure = fit.trusted(pos.time_us * NS_PER_US)
    pos = pos.where(tally.keep(sure, "POS: while the clocks were stepped against each other"))
    return pos if pos.index.size else None


def filter_positions(
    pos: Rows, receiver: Receiver, fit: ClockFit, clock: Clock, reset: NDArray[np.int64]
) -> Positions:
    """Return the filter's positions, with the undulation and the accuracy of the receiver."""
    time = fit.to_utc(pos.time_us * NS_PER_US)
    alt = pos["Alt"].astype(np.float64)
    elapsed, at = (stamps - time[0] for stamps in (receiver.utc_ns, time))
    return Positions(
        name="POS",
        rank=Rank.FILTER,
        time=time,
        lon=pos["Lng"],
        lat=pos["Lat"],
        height_m=alt + receiver.undulation_m,
        height_source_m=alt,
        height_ref="receiver-geoid",
        std_ned_m=np.column_stack([np.interp(at, elapsed, column) for column in receiver.std_ned_m.T]),
        sigma_from=sigma_origin(receiver.stated),
        fix=np.full(time.size, FILTER_FIX, dtype=np.uint8),
        clock=clock,
        point="imu",
        velocity_ned=between(receiver.utc_ns, time, gap_ns(receiver.utc_ns)).linear(receiver.velocity_ned()),
        reset=reset,
    )


class Filter:
    """The messages of the filter that flew, by its primary core.

    Parameters
    ----------
    stamps : Stamps
        The log with its boot clock.
    tally : Tally
        Takes the refusals.
    """

    def __init__(self, stamps: Stamps, tally: Tally) -> None:
        self._stamps = stamps
        self._tally = tally
        self.generation = self._generation()
        self.states, self.turns = FILTERS[self.generation]
        health = self._cores(self.states, 4)
        self.switches, self.cores = _primary(health)
        self._border, self._reasons = self._stated_resets(health)

    def _generation(self) -> int:
        """Return the generation of the filter that flew most: of those in the log, the newest."""
        there = [number for number, (states, _) in FILTERS.items() if f"{states}1" in self._stamps.log]
        log = self._stamps.log
        if len(there) > 1 and "ATT" in log and "AEKF" in log["ATT"].numeric:
            named = Counter(log["ATT"]["AEKF"].tolist()).most_common()
            there = [number for number, _ in named if number in there] or there
        return there[0] if there else next(iter(FILTERS))

    def _cores(self, start: str, number: int | None) -> dict[int, Rows]:
        """Return core -> rows of a message; *number* None: of the quaternions."""
        log, found = self._stamps.log, {}
        plain = start if number is None else f"{start}{number}"
        if plain in log and "C" in log[plain].numeric:
            names = dict.fromkeys(instances(log[plain]["C"]), plain)
        elif number is None:
            names = {0: f"{start}1", 1: f"{start}2"}
        else:
            names = {core: f"{start}{each}" for core, each in enumerate(CORE_MESSAGES[number])}
        for core, name in names.items():
            rows = self._stamps.rows(name, self._tally, instance=core, column="C")
            if rows is not None:
                found[core] = rows
        return found

    def of_primary(
        self, start: str, number: int | None, *columns: str
    ) -> tuple[str, NDArray[np.int64], Float] | None:
        """Return name, boot clock (µs) and columns of the rows of the core that was primary at their time."""
        cores = {
            k: rows for k, rows in self._cores(start, number).items() if set(columns) <= rows.messages.numeric
        }
        parts = []
        for core, rows in cores.items():
            primary = self.cores[np.searchsorted(self.switches, rows.time_us, side="right") - 1]
            parts.append(rows.where(primary == core))
        parts = [rows for rows in parts if rows.index.size] or list(cores.values())[:1]
        if not parts:
            return None
        name = parts[0].messages.format.name
        if len(parts) == 1:
            return name, parts[0].time_us, parts[0].numbers(*columns)
        time = np.concatenate([rows.time_us for rows in parts])
        order = np.argsort(time, kind="stable")
        order = order[np.diff(time[order], prepend=-1) > 0]
        values = np.concatenate([rows.numbers(*columns) for rows in parts])
        return name, time[order], values[order]

    def velocity(self, fit: ClockFit) -> Velocity | None:
        """Return the filter's velocity."""
        found = self.of_primary(self.states, 1, "VN", "VE", "VD")
        if found is None:
            return None
        _, time_us, ned = found
        return Velocity(fit.to_utc(time_us * NS_PER_US), ned)

    def attitude(self, fit: ClockFit) -> Attitude | None:
        """Return the attitude: ATT, or the quaternions of the filter or of the backup estimator."""
        tally = self._tally
        att = self._stamps.rows("ATT", tally)
        if att is not None and {"Roll", "Pitch", "Yaw"} <= att.messages.numeric:
            angles = att.numbers("Roll", "Pitch", "Yaw")
            good = tally.keep(np.abs(angles).max(axis=1) <= FULL_TURN_DEG, f"{att.name}: angle out of range")
            if good.any():
                time = fit.to_utc(att.time_us[good] * NS_PER_US)
                angles = angles if good.all() else angles[good]
                return Attitude(att.name, time, quaternions_of(*angles.T))
        for name, time_us, quaternion in self._quaternions():
            norm = np.linalg.norm(quaternion, axis=1)
            good = tally.keep(np.abs(norm - 1.0) <= QUATERNION_TOLERANCE, f"{name}: angle out of range")
            if good.any():
                unit = quaternion[good] / norm[good, None]
                return Attitude(name, fit.to_utc(time_us[good] * NS_PER_US), unit)
        tally.warnings.append("no attitude in the log (ATT, XKQ, AHR2): cameras cannot be placed")
        return None

    def _quaternions(self) -> list[tuple[str, NDArray[np.int64], Float]]:
        columns = ("Q1", "Q2", "Q3", "Q4")
        found = self.of_primary(self.turns, None, *columns)
        backup = self._stamps.rows("AHR2", self._tally)
        streams = [] if found is None else [found]
        if backup is not None and set(columns) <= backup.messages.numeric:
            streams.append((backup.name, backup.time_us, backup.numbers(*columns)))
        return streams

    def resets(self, pos: Rows) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Return a number per row of *pos* that grows where the filter jumped, and how often for what reason.

        A reset that shows between two rows of the filter's health lies between them: both are borders.
        """
        reasons = self._reasons.copy()
        steps = _steps(pos)
        if steps.any():
            reasons["step of the position"] += int(np.count_nonzero(steps))
        number = np.searchsorted(np.unique(self._border), pos.time_us, side="left")
        number[1:] += np.cumsum(steps)
        return number, dict(reasons)

    def _stated_resets(self, health: dict[int, Rows]) -> tuple[list[int], Counter[str]]:
        """Return boot clocks, µs, after which rows belong to another piece, and reasons."""
        stamps, border, reasons = self._stamps, [], Counter[str]()
        for core, rows in health.items():
            primary = self.cores[np.searchsorted(self.switches, rows.time_us, side="right") - 1]
            jumped = np.zeros(max(rows.index.size - 1, 0), dtype=bool)
            if {"OFN", "OFE"} <= rows.messages.numeric:
                jumped = np.any(np.diff(rows.numbers("OFN", "OFE"), axis=0) != 0.0, axis=1)
            after = np.flatnonzero(jumped & (primary[1:] == core)) + 1
            reasons["position reset of the filter"] += after.size
            border += [*rows.time_us[after - 1].tolist(), *rows.time_us[after].tolist()]
        telling = _telling(health)
        if telling is not None:
            after = np.searchsorted(telling.time_us, self.switches[1:])
            reasons[LANE_SWITCH] += after.size
            border += [*telling.time_us[after - 1].tolist(), *telling.time_us[after].tolist()]
        for name, column, meaning in (
            ("EV", "Id", EVENT_RESETS),
            ("ERR", "Subsys", {PRIMARY_CHANGED: LANE_SWITCH}),
            ("ORGN", "Type", {0: "origin set again"}),
        ):
            rows_or_none = stamps.rows(name, self._tally, regular=False)
            if rows_or_none is None or column not in rows_or_none:
                continue
            events = list(zip(rows_or_none.time_us.tolist(), rows_or_none[column].tolist(), strict=True))
            told = [(time, meaning[value]) for time, value in events if value in meaning]
            told = told[1:] if name == "ORGN" else told
            told = [each for each in told if name != "ERR" or not reasons[LANE_SWITCH]]
            border += [time for time, _ in told]
            reasons.update(reason for _, reason in told)
        return border, +reasons


def _telling(health: dict[int, Rows]) -> Rows | None:
    """Return the rows that tell which core is primary; each core's do."""
    return next((rows for rows in health.values() if "PI" in rows), None)


def _primary(health: dict[int, Rows]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return from when on (boot clock, µs) which core was primary; the first one from the beginning."""
    rows = _telling(health)
    if rows is None:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    core = np.maximum(rows["PI"].astype(np.int64), 0)
    change = np.flatnonzero(np.diff(core, prepend=-1))
    time = rows.time_us[change]
    time[0] = 0
    return time, core[change]


def _steps(pos: Rows) -> NDArray[np.bool_]:
    """Tell the intervals of *pos* in which the position stepped further than its speed explains."""
    step_s = usual_step(pos.time_us) / 1e6
    seconds = np.diff(pos.time_us) / 1e6
    lat, lon = np.diff(pos["Lat"]), np.diff(pos["Lng"])
    east = ((lon + 180.0) % 360.0 - 180.0) * np.cos(np.radians(pos["Lat"][:-1]))
    limit_m = STEP_M + ACCELERATION_M_S2 * 2.5 * step_s**2
    stepped = np.zeros(seconds.shape, dtype=bool)
    for meters in (lat * METERS_PER_DEGREE, east * METERS_PER_DEGREE, np.diff(pos["Alt"].astype(np.float64))):
        stepped |= spikes(meters * step_s / seconds, limit_m)
    return stepped
