"""Rows of ArduPilot messages that can be trusted, and the GNSS receivers among them.

Neither DataFlash nor its records carry a checksum: flipped bits reach the columns. Every row passes gates
(order in time, range, jumps); what is refused is counted by reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.dataflash import DataFlash, Messages
from dronesense.readers.streams import (
    SINGLE_FIX_SIGMA_M,
    SPIKE_WINDOW,
    Float,
    Mask,
    increasing,
    spikes,
    usual_step,
)
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, OUTLIER_S, gps_to_utc_ns

NS_PER_US: Final = 1000

STATUS_3D: Final = 3
STATUS_RTK_FIXED: Final = 6
FIX_OF_STATUS: Final = np.array([0, 0, 1, 2, 3, 4, 5], dtype=np.uint8)
"""`GPS.Status` (0, 1 none, 2 2-D, 3 3-D, 4 DGPS, 5 RTK float, 6 RTK fixed) -> `Trajectory.fix`."""

DEFAULT_SIGMA_M: Final = {2: SINGLE_FIX_SIGMA_M, 3: (0.7, 1.2), 4: (0.3, 0.5), 5: (0.03, 0.05)}
"""`Trajectory.fix` -> standard uncertainty per horizontal axis and vertical, m, if the receiver states none.

Typical of consumer single-frequency (3-D), SBAS or code-differential, float and fixed carrier solutions."""

ACCURACY_LIMIT_M: Final = 655.0
"""`GPA.HAcc` saturates at 655.35 m (u16 x 0.01): the receiver does not know."""

UNDULATION_LIMIT_M: Final = 120.0
"""The geoid keeps within -107 and +86 m of the WGS84 ellipsoid (EGM2008)."""

HEIGHT_RANGE_M: Final = (-1000.0, 20_000.0)
SPEED_LIMIT_M_S: Final = 150.0
"""Faster than this between neighboring rows is a damaged position, not a drone."""
JUMP_FLOOR_M: Final = 20.0
"""Position steps up to this are never called a jump: a filter may correct itself by meters."""
METERS_PER_DEGREE: Final = 111_195.0
"""One degree of a great circle on the mean sphere of 6,371 km, m; for gates and statistics only."""

SPIKE_STEPS: Final = 4.0
"""A stamp further from the running median than this many usual steps is damaged; two occur at the ends."""
END_GAP_US: Final = 60_000_000
"""First and last stamps further from the rest than a minute are damaged, µs."""
SPIKE_FLOOR_US: Final = 500_000
"""Time stamps may be this far out of step for other reasons (a busy logger), µs."""
MATCH_US: Final = 500_000
"""A `GPA` row belongs to the `GPS` row within this time, µs; they are written together."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a message that passed the gates so far.

    Parameters
    ----------
    name : str
        Message, with the instance where there are several.
    messages : Messages
        The decoded type.
    index : (n,) int64
        Rows of `messages` that are kept.
    time_us : (n,) int64
        Boot clock, strictly increasing, µs.
    """

    name: str
    messages: Messages
    index: NDArray[np.intp]
    time_us: NDArray[np.int64]

    def __contains__(self, column: str) -> bool:
        return column in self.messages.format.columns

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.messages[column][self.index]

    def numbers(self, *columns: str) -> Float:
        """Return columns as (n, len(columns)) float64."""
        return np.column_stack([self[column].astype(np.float64) for column in columns])

    def where(self, good: Mask) -> Rows:
        """Return the rows that are *good*."""
        return Rows(self.name, self.messages, self.index[good], self.time_us[good])


def _stray(time_us: NDArray[np.int64]) -> Mask:
    """Tell the stamps that are out of step with their neighbors; a mere gap is none.

    For stamps in order the running median is the stamp itself. At the ends, where it is not, only stamps
    on the wrong side of the third, or a minute away from it, are stray.
    """
    bad = spikes(time_us, SPIKE_STEPS * usual_step(time_us) + SPIKE_FLOOR_US)
    if time_us.size >= SPIKE_WINDOW:
        half = SPIKE_WINDOW // 2
        ahead = time_us[half] - time_us[:half]
        behind = time_us[-half:] - time_us[-half - 1]
        bad[:half] = (ahead < 0) | (ahead > END_GAP_US)
        bad[-half:] = (behind < 0) | (behind > END_GAP_US)
    return bad


def rows_of(
    log: DataFlash, name: str, tally: Tally, *, instance: int | None = None, column: str = ""
) -> Rows | None:
    """Return the rows of *name* in order of time, or None if there are none.

    Parameters
    ----------
    log : DataFlash
        The log.
    name : str
        Message.
    tally : Tally
        Takes the refusals.
    instance : int, optional
        Take only rows whose instance column has this value.
    column : str
        The instance column where the log does not name it.
    """
    if name not in log:
        return None
    messages = log[name]
    if "TimeUS" not in messages:
        tally.warnings.append(f"{name} has no TimeUS (firmware before 3.3?) and is not used")
        return None
    label = name
    index = np.arange(messages.count)
    column = messages.format.instance or column
    if instance is not None and column in messages:
        label = f"{name}[{instance}]" if np.any(messages[column] != instance) else name
        index = index[messages[column] == instance]
    index = index[tally.keep(messages.confirmed[index], f"{label}: followed by bytes that are no record")]
    time_us = messages["TimeUS"].astype(np.int64)[index]
    good = tally.keep(~_stray(time_us), f"{label}: time stamp out of order")
    index, time_us = index[good], time_us[good]
    good = tally.keep(increasing(time_us), f"{label}: time stamp out of order")
    return Rows(label, messages, index[good], time_us[good]) if good.any() else None


def plausible_positions(rows: Rows, tally: Tally) -> Rows:
    """Return *rows* without positions at (0, 0), out of range, or that jump."""
    for gate, reason in (
        (_not_zero, "latitude and longitude 0"),
        (_in_range, "position out of range"),
        (_no_jump, "position jumps"),
    ):
        rows = rows.where(tally.keep(gate(rows), f"{rows.name}: {reason}"))
    return rows


def _not_zero(rows: Rows) -> Mask:
    return np.asarray((rows["Lat"] != 0.0) | (rows["Lng"] != 0.0), dtype=bool)


def _in_range(rows: Rows) -> Mask:
    low, high = HEIGHT_RANGE_M
    alt = rows["Alt"]
    inside = (np.abs(rows["Lat"]) <= 90.0) & (np.abs(rows["Lng"]) <= 180.0)
    return np.asarray(inside & (alt >= low) & (alt <= high), dtype=bool)


def _no_jump(rows: Rows) -> Mask:
    reach_m = JUMP_FLOOR_M + SPEED_LIMIT_M_S * 2.0 * usual_step(rows.time_us) / 1e6
    lat = rows["Lat"]
    turn = np.radians(rows["Lng"])
    narrow = METERS_PER_DEGREE * np.cos(np.radians(np.median(lat))) if lat.size else 0.0
    bad = spikes(lat * METERS_PER_DEGREE, reach_m) | spikes(rows["Alt"].astype(np.float64), reach_m)
    for part in (np.cos(turn), np.sin(turn)):  # of a longitude: no step at 180 degrees
        bad |= spikes(np.degrees(part) * narrow, reach_m)
    return ~bad


@dataclass(frozen=True, slots=True)
class Receiver:
    """Usable rows of one GNSS receiver.

    Parameters
    ----------
    index : int
        Its instance.
    rows : Rows
        The `GPS` rows.
    utc_ns : (n,) int64
        Epoch of each fix, strictly increasing.
    height_m : (n,) float64
        Above the WGS84 ellipsoid, NaN where the log does not tell.
    undulation_m : float
        Median of ellipsoidal minus stated height, m; NaN when unknown.
    std_ned_m : (n, 3) float64
        Standard uncertainty.
    stated : bool
        `std_ned_m` is the receiver's own.
    """

    index: int
    rows: Rows
    utc_ns: NDArray[np.int64]
    height_m: Float
    undulation_m: float
    std_ned_m: Float
    stated: bool

    @property
    def name(self) -> str:
        """``GPS[k]``."""
        return f"GPS[{self.index}]"

    @property
    def fix(self) -> NDArray[np.uint8]:
        """Quality of each fix as in `Trajectory.fix`."""
        return fix_of(self.rows["Status"])

    def velocity_ned(self) -> Float:
        """Return the velocity from ground speed, course and vertical speed (positive down), (n, 3) m/s."""
        speed, course, down = self.rows.numbers("Spd", "GCrs", "VZ").T
        angle = np.radians(course)
        return np.column_stack([speed * np.cos(angle), speed * np.sin(angle), down])


def fix_of(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `Trajectory.fix` of ArduPilot's `Status`; unknown values above 6 count as 3-D."""
    known = status < len(FIX_OF_STATUS)
    return np.where(known, FIX_OF_STATUS[np.where(known, status, 0)], np.uint8(2))


def receivers(log: DataFlash, tally: Tally) -> list[Receiver]:
    """Return the receivers with usable rows: ``GPS`` by column ``I``, or ``GPS`` and ``GPS2`` of old logs."""
    found = []
    for index, gps, gpa in _receiver_rows(log, tally):
        rows = _with_fix(gps, tally)
        if rows is None:
            continue
        utc_ns = gps_to_utc_ns(rows["GWk"], rows["GMS"])
        ahead = utc_ns - rows.time_us * NS_PER_US
        near = np.abs(ahead - int(np.median(ahead))) <= OUTLIER_S * NS_PER_S
        good = tally.keep(near, f"{rows.name}: GPS time disagrees with the boot clock")
        rows, utc_ns = rows.where(good), utc_ns[good]
        good = tally.keep(increasing(utc_ns), f"{rows.name}: same GPS epoch again")
        rows, utc_ns = rows.where(good), utc_ns[good]
        if utc_ns.size:
            found.append(_receiver(index, rows, utc_ns, gpa))
    return found


def _receiver_rows(log: DataFlash, tally: Tally) -> list[tuple[int, Rows, Rows | None]]:
    """Return (instance, GPS rows, GPA rows)."""
    pairs: list[tuple[int, Rows | None, Rows | None]] = []
    if "GPS" in log and "I" in log["GPS"]:
        for k in np.unique(log["GPS"]["I"]).tolist():
            gpa = rows_of(log, "GPA", tally, instance=k, column="I")
            pairs.append((k, rows_of(log, "GPS", tally, instance=k, column="I"), gpa))
    else:
        for k, suffix in enumerate(("", "2")):
            pairs.append((k, rows_of(log, f"GPS{suffix}", tally), rows_of(log, f"GPA{suffix}", tally)))
    return [(k, gps, gpa) for k, gps, gpa in pairs if gps is not None]


def _with_fix(rows: Rows, tally: Tally) -> Rows | None:
    """Return the rows with a fix, a date and a plausible position; None if there are none."""
    missing = sorted({"Status", "GMS", "GWk", "Lat", "Lng", "Alt", "Spd", "GCrs", "VZ"} - set(rows.messages))
    if missing:
        tally.warnings.append(f"{rows.name} has no column {', '.join(missing)} and is not used")
        return None
    gates: tuple[tuple[Callable[[Rows], Mask], str], ...] = (
        (lambda r: np.asarray(r["Status"] >= STATUS_3D, dtype=bool), "no 3-D fix"),
        (_not_zero, "latitude and longitude 0"),
        (lambda r: np.asarray(r["GWk"] > 0, dtype=bool), "GPS week 0: date not known yet"),
    )
    for gate, reason in gates:
        rows = rows.where(tally.keep(gate(rows), f"{rows.name}: {reason}"))
    rows = plausible_positions(rows, tally)
    return rows if rows.index.size else None


def _receiver(index: int, rows: Rows, utc_ns: NDArray[np.int64], gpa: Rows | None) -> Receiver:
    """Add what ``GPA`` says: geoid or ellipsoidal height, accuracy."""
    n = utc_ns.size
    unknown = np.full(n, np.nan)
    ellipsoidal = unknown
    alt = rows["Alt"].astype(np.float64)
    fix = fix_of(rows["Status"])
    horizontal, vertical = (
        np.select([fix == k for k in DEFAULT_SIGMA_M], [pair[axis] for pair in DEFAULT_SIGMA_M.values()])
        for axis in (0, 1)
    )
    stated = False
    if gpa is not None:
        take, near = _nearest(gpa.time_us, rows.time_us)
        if "AEl" in gpa:
            ellipsoidal = np.where(near, gpa["AEl"][take], np.nan)
        elif "Und" in gpa:
            ellipsoidal = np.where(near, alt - gpa["Und"][take], np.nan)
        away = np.abs(ellipsoidal - alt)
        ellipsoidal = np.where((away > 0.0) & (away <= UNDULATION_LIMIT_M), ellipsoidal, np.nan)
        if {"HAcc", "VAcc"} <= set(gpa.messages):
            h, v = gpa["HAcc"][take], gpa["VAcc"][take]
            known = near & (h > 0.0) & (h < ACCURACY_LIMIT_M) & (v > 0.0) & (v < ACCURACY_LIMIT_M)
            horizontal, vertical = np.where(known, h, horizontal), np.where(known, v, vertical)
            stated = bool(known.any())
    offset = ellipsoidal - alt
    known_offset = offset[np.isfinite(offset)]
    undulation = float(np.median(known_offset)) if known_offset.size else float("nan")
    height = np.where(np.isfinite(ellipsoidal), ellipsoidal, alt + undulation)
    std = np.column_stack([horizontal, horizontal, vertical])
    return Receiver(index, rows, utc_ns, height, undulation, std, stated)


def _nearest(time: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.intp], Mask]:
    """Return the nearest sample of *time* to each *wanted* stamp, and whether it is within the match time."""
    right = np.clip(np.searchsorted(time, wanted), 0, time.size - 1)
    left = np.maximum(right - 1, 0)
    take = np.where(np.abs(time[right] - wanted) < np.abs(wanted - time[left]), right, left)
    return take, np.asarray(np.abs(time[take] - wanted) <= MATCH_US, dtype=bool)
