"""Rows of ArduPilot messages that can be trusted, and the GNSS receivers among them.

Neither DataFlash nor its records carry a checksum: flipped bits reach the columns. Every row passes gates
(order in time, range, jumps); what is refused is counted by reason.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, Triggers
from dronesense.readers.ardupilot_rows import NS_PER_US, Rows, Stamps, instances
from dronesense.readers.assembly import Positions, gnss_rank, plausible
from dronesense.readers.streams import Float, Mask, increasing, sigma_origin, usual_sigma
from dronesense.readers.tally import Tally
from dronesense.timescale import (
    MS_PER_WEEK,
    NS_PER_S,
    OUTLIER_S,
    ClockFit,
    gps_to_utc_ns,
    gps_tow_to_utc_ns,
)

STATUS_3D: Final = 3
FIX_OF_STATUS: Final = np.array([0, 0, 1, 2, 3, 4, 5], dtype=np.uint8)
"""`GPS.Status` (0, 1 none, 2 2-D, 3 3-D, 4 DGPS, 5 RTK float, 6 RTK fixed) -> `Trajectory.fix`."""

ACCURACY_LIMIT_M: Final = 655.0
"""`GPA.HAcc` saturates at 655.35 m (u16 x 0.01): the receiver does not know."""

UNDULATION_LIMIT_M: Final = 120.0
"""The geoid keeps within -107 and +86 m of the WGS84 ellipsoid (EGM2008)."""

MATCH_US: Final = 500_000
"""A `GPA` row belongs to the `GPS` row within this time, µs; they are written together."""

NUMBERED: Final = ("", "2", "3")
"""Ends of the names of the receivers in firmware without an instance column: ``GPS``, ``GPS2``."""


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
    def fix(self) -> NDArray[np.uint8]:
        """Quality of each fix as in `Trajectory.fix`."""
        return fix_of(self.rows["Status"])

    def velocity_ned(self) -> Float:
        """Return the velocity from ground speed, course and vertical speed (positive down), (n, 3) m/s."""
        unknown = np.full(self.utc_ns.size, np.nan)
        speed, course, down = (
            self.rows[name].astype(np.float64) if name in self.rows else unknown
            for name in ("Spd", "GCrs", "VZ")
        )
        angle = np.radians(course)
        return np.column_stack([speed * np.cos(angle), speed * np.sin(angle), down])

    def positions(self, clock: Clock) -> Positions:
        """Return the fixes on their own GPS time, which has no latency."""
        fix = self.fix
        return Positions(
            name=f"GPS[{self.index}]",
            rank=gnss_rank(fix),
            time=self.utc_ns,
            lon=self.rows["Lng"],
            lat=self.rows["Lat"],
            height_m=self.height_m,
            height_source_m=self.rows["Alt"].astype(np.float64),
            height_ref="receiver-geoid",
            std_ned_m=self.std_ned_m,
            sigma_from=sigma_origin(self.stated),
            fix=fix,
            clock=clock,
            point="antenna",
            velocity_ned=self.velocity_ned(),
        )


def fix_of(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `Trajectory.fix` of ArduPilot's `Status`; unknown values above 6 count as 3-D."""
    known = status < len(FIX_OF_STATUS)
    return np.where(known, FIX_OF_STATUS[np.where(known, status, 0)], np.uint8(2))


def receivers(stamps: Stamps, date: dt.date | None, tally: Tally, *, label: str) -> list[Receiver]:
    """Return the receivers with usable rows: ``GPS`` by column ``I``, or ``GPS`` and ``GPS2`` of old logs.

    Parameters
    ----------
    stamps : Stamps
        The log with its boot clock.
    date : datetime.date or None
        UTC day on which it starts, for logs that state the time of week without the week.
    tally : Tally
        Takes the refusals.
    label : str
        What messages call the log.

    Raises
    ------
    ReadError
        If the log needs *date* and there is none, or it cannot be.
    """
    found = []
    for index, gps, gpa in _receiver_rows(stamps, tally):
        rows = _with_fix(gps, tally)
        if rows is None:
            continue
        utc_ns = _epochs(rows, date, tally, label)
        ahead = utc_ns - rows.time_us * NS_PER_US
        near = np.abs(ahead - int(np.median(ahead))) <= OUTLIER_S * NS_PER_S
        good = tally.keep(near, f"{rows.name}: GPS time disagrees with the boot clock")
        rows, utc_ns = rows.where(good), utc_ns[good]
        good = tally.keep(increasing(utc_ns), f"{rows.name}: same GPS epoch again")
        rows, utc_ns = rows.where(good), utc_ns[good]
        if utc_ns.size:
            found.append(_receiver(index, rows, utc_ns, gpa))
    return found


def _receiver_rows(stamps: Stamps, tally: Tally) -> list[tuple[int, Rows, Rows | None]]:
    """Return (instance, GPS rows, GPA rows)."""
    pairs: list[tuple[int, Rows | None, Rows | None]] = []
    if "GPS" in stamps.log and "I" in stamps.log["GPS"]:
        for k in instances(stamps.log["GPS"]["I"]):
            gps, gpa = (stamps.rows(name, tally, instance=k, column="I") for name in ("GPS", "GPA"))
            pairs.append((k, gps, gpa))
    else:
        for k, end in enumerate(NUMBERED):
            pairs.append((k, stamps.rows(f"GPS{end}", tally), stamps.rows(f"GPA{end}", tally)))
    return [(k, gps, gpa) for k, gps, gpa in pairs if gps is not None]


def _with_fix(rows: Rows, tally: Tally) -> Rows | None:
    """Return the rows with a fix, a date and a plausible position; None if there are none."""
    missing = sorted({"Status", "Lat", "Lng", "Alt"} - rows.messages.numeric)
    tow, week = rows.epoch_columns()
    if missing or tow is None:
        tally.warnings.append(f"{rows.name} has no column {', '.join(missing or ['GMS'])} and is not used")
        return None
    rows = rows.where(tally.keep(rows["Status"] >= STATUS_3D, f"{rows.name}: no 3-D fix"))
    zero = (rows["Lat"] == 0.0) & (rows["Lng"] == 0.0)
    rows = rows.where(tally.keep(~zero, f"{rows.name}: latitude and longitude 0"))
    if week is not None:
        rows = rows.where(tally.keep(rows[week] > 0, f"{rows.name}: GPS week 0: date not known yet"))
    rows = rows.where(tally.keep(rows[tow] < MS_PER_WEEK, f"{rows.name}: no time of week"))
    rows = plausible_rows(rows, tally)
    return rows if rows.index.size else None


def plausible_rows(rows: Rows, tally: Tally) -> Rows:
    """Return *rows* without positions at (0, 0), out of range, or that jump away and back."""
    height = rows["Alt"].astype(np.float64)
    good = np.zeros(rows.index.size, dtype=bool)
    good[plausible(rows.name, rows.time_us * NS_PER_US, rows["Lng"], rows["Lat"], height, tally)] = True
    return rows.where(good)


def _epochs(rows: Rows, date: dt.date | None, tally: Tally, label: str) -> NDArray[np.int64]:
    """Return UTC of the fixes, ns."""
    tow, week = rows.epoch_columns()
    assert tow is not None
    if week is not None:
        return gps_to_utc_ns(rows[week], rows[tow])
    if date is None:
        raise ReadError(
            f"{rows.name} states the time of week but no GPS week: the date is not in the log",
            where=label,
            fix="set date = YYYY-MM-DD under [track], the UTC day on which the log starts",
        )
    tally.answered.append("date")
    return gps_tow_to_utc_ns(rows[tow] / 1000.0, date=date, where=label)


def _receiver(index: int, rows: Rows, utc_ns: NDArray[np.int64], gpa: Rows | None) -> Receiver:
    """Add what ``GPA`` says: geoid or ellipsoidal height, accuracy."""
    ellipsoidal = np.full(utc_ns.size, np.nan)
    alt = rows["Alt"].astype(np.float64)
    fix = fix_of(rows["Status"])
    horizontal, _, vertical = usual_sigma(fix).T
    stated = False
    if gpa is not None:
        take, near = _nearest(gpa.time_us, rows.time_us)
        if "AEl" in gpa:
            ellipsoidal = np.where(near, gpa["AEl"][take], np.nan)
        elif "Und" in gpa:
            ellipsoidal = np.where(near, alt - gpa["Und"][take], np.nan)
        away = np.abs(ellipsoidal - alt)
        ellipsoidal = np.where((away > 0.0) & (away <= UNDULATION_LIMIT_M), ellipsoidal, np.nan)
        if {"HAcc", "VAcc"} <= gpa.messages.numeric:
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


def pictures(stamps: Stamps, clock: ClockFit, fixes: NDArray[np.int64], tally: Tally) -> Triggers | None:
    """Return when the log says that a camera took a picture, or None.

    ``CAM`` (the camera's feedback where it is wired, else the trigger) comes before ``TRIG``. The GPS week
    and time of a row is UTC at once, but firmware writes the time of the *last fix* there (AP_Logger, 4.0:
    ``gps.time_week_ms()``): where all of them are epochs of fixes, or they are missing or contradict the boot
    clock, the boot clock of the row is used through its fit.

    Parameters
    ----------
    stamps : Stamps
        The log with its boot clock.
    clock : ClockFit
        Boot clock to UTC.
    fixes : (n,) int64
        UTC of all fixes of the log, ns.
    tally : Tally
        Takes the refusals.
    """
    name = next((name for name in ("CAM", "TRIG") if name in stamps.log), None)
    rows = None if name is None else stamps.rows(name, tally, column="I", regular=False)
    if rows is None:
        return None
    number = rows["Img"].astype(np.int64) if "Img" in rows else np.full(rows.index.size, -1)
    time, source = clock.to_utc(rows.time_us * NS_PER_US), f"{rows.name} (boot clock)"
    if {"GPSTime", "GPSWeek"} <= rows.messages.numeric:
        epoch = gps_to_utc_ns(rows["GPSWeek"], rows["GPSTime"])
        sound = increasing(epoch) & (rows["GPSWeek"] > 0) & (np.abs(epoch - time) <= OUTLIER_S * NS_PER_S)
        if sound.all() and not np.isin(epoch, fixes).all():
            time, source = epoch, f"{rows.name} (GPS time)"
    return Triggers(time=time, number=number, source=source)
