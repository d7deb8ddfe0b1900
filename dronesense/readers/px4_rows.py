"""Rows of PX4 topics that can be trusted, and the GNSS receivers among them.

ULog has no checksum: flipped bits reach the columns. Every row passes gates (end of the row, order in time,
range, jumps); what is refused is counted by reason. Fields are found by name, as PX4 renames them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.assembly import plausible
from dronesense.readers.streams import SINGLE_FIX_SIGMA_M, Float, Mask, increasing, ordered
from dronesense.readers.tally import Tally
from dronesense.readers.ulog import ULog
from dronesense.readers.ulog_topics import Topic
from dronesense.timescale import NS_PER_S, OUTLIER_S, ClockFit

NS_PER_US: Final = 1000
LATEST_US: Final = 4_102_444_800_000_000
"""2100-01-01 as Unix time, µs: a later stamp is damaged."""
GPS_EPOCH_US: Final = 315_964_800_000_000
"""1980-01-06 as Unix time, µs: an earlier UTC of a receiver is none."""
UNIX_CLOCK_US: Final = 1_000_000_000_000_000
"""A clock "since boot" beyond 10^15 µs (31 years) is Unix time: simulation, or a Linux autopilot."""
SAMPLE_LAG_US: Final = 500_000
"""`timestamp_sample` further than this before `timestamp` is not the time of the row's measurement, µs."""

NUMBER_LIMIT: Final = 1e12
"""No position, height, speed or pressure in any unit is larger: damaged bytes."""

FIX_3D: Final = 3
FIX_OF_TYPE: Final = np.array([0, 0, 1, 2, 3, 4, 5], dtype=np.uint8)
"""`fix_type` (0, 1 none, 2 2-D, 3 3-D, 4 differential, 5 RTK float, 6 RTK fixed) -> `Trajectory.fix`."""

ACCURACY_LIMIT_M: Final = 1000.0
"""A receiver that states a worse accuracy does not know its position."""
UNDULATION_LIMIT_M: Final = 120.0
"""The geoid keeps within -107 and +86 m of the WGS84 ellipsoid (EGM2008)."""

RECEIVERS: Final = ("vehicle_gps_position", "sensor_gps")
LATITUDE: Final = ("latitude_deg", "latitude", "lat")
LONGITUDE: Final = ("longitude_deg", "longitude", "lon")
HEIGHT: Final = ("altitude_msl_m", "altitude_msl", "alt")
ELLIPSOIDAL: Final = ("altitude_ellipsoid_m", "altitude_ellipsoid", "alt_ellipsoid")
"""Names of one quantity, the preferred first; whole numbers are 1e-7 degrees and mm, others degrees and m."""
DEGREES: Final = 1e-7
METERS: Final = 1e-3
VELOCITY: Final = ("vel_n_m_s", "vel_e_m_s", "vel_d_m_s")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a topic that passed the gates so far.

    Parameters
    ----------
    name : str
        Topic, with the instance where it is not the first.
    topic : Topic
        The decoded topic.
    index : (n,) intp
        Rows of `topic` that are kept.
    boot_ns : (n,) int64
        Boot clock, strictly increasing within a `piece`.
    piece : (n,) int64
        Grows by one where the clock jumped back or the logger dropped messages.
    """

    name: str
    topic: Topic
    index: NDArray[np.intp]
    boot_ns: NDArray[np.int64]
    piece: NDArray[np.int64]

    def __contains__(self, column: str) -> bool:
        return column in self.topic.layout.columns

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.topic[column][self.index]

    def has(self, *columns: str) -> bool:
        """Tell whether all *columns* are there."""
        return set(columns) <= set(self.topic.layout.columns)

    def number(self, *columns: str, scale: float = 1.0) -> Float | None:
        """Return the first of *columns* that there is, whole numbers times *scale*; None if there is none."""
        for column in columns:
            if column in self:
                values = self[column]
                whole = np.issubdtype(values.dtype, np.integer)
                return finite(values) * (scale if whole else 1.0)
        return None

    def numbers(self, *columns: str) -> Float:
        """Return columns as (n, len(columns)) float64."""
        return np.column_stack([finite(self[column]) for column in columns])

    def counter(self, *columns: str) -> NDArray[np.int64]:
        """Return a number that grows where a `piece` ends or one of the reset counters *columns* changes."""
        changed = np.diff(self.piece, prepend=self.piece[:1]) != 0
        for column in columns:
            if column in self:
                values = self[column]
                changed[1:] |= values[1:] != values[:-1]
        return np.cumsum(changed).astype(np.int64)

    def where(self, good: Mask) -> Rows:
        """Return the rows that are *good*."""
        return Rows(self.name, self.topic, self.index[good], self.boot_ns[good], self.piece[good])


def finite(values: NDArray[Any]) -> Float:
    """Return numbers as float64, NaN where they are none or beyond :data:`NUMBER_LIMIT`."""
    with np.errstate(invalid="ignore"):  # a signaling NaN
        result = values.astype(np.float64)
    result[~(np.abs(result) <= NUMBER_LIMIT)] = np.nan
    return result


def rows_of(log: ULog, key: str, tally: Tally, *, of_sample: bool = False) -> Rows | None:
    """Return the rows of topic *key* in order of time, or None if there are none.

    *of_sample*: stamped with the time of the measurement (`timestamp_sample`) where the log has it.
    """
    if key not in log:
        return None
    topic = log[key]
    if topic.layout.stamp_offset is None:
        tally.warnings.append(f"{key} has no timestamp and is not used")
        return None
    index = np.arange(topic.count)
    index = index[tally.keep(topic.confirmed, f"{key}: followed by bytes that are no message")]
    stamp = topic["timestamp"][index]
    good = tally.keep(stamp < LATEST_US, f"{key}: damaged time stamp")
    index, boot_us = index[good], stamp[good].astype(np.int64)
    if of_sample and "timestamp_sample" in topic:
        sample = topic["timestamp_sample"][index].astype(np.int64)
        boot_us = np.where((sample <= boot_us) & (sample > boot_us - SAMPLE_LAG_US), sample, boot_us)
    boot_ns = boot_us * NS_PER_US
    keep, piece = ordered(boot_ns, tally, key)
    index = index[keep]
    pauses = np.array([dropout.offset for dropout in log.dropouts], dtype=np.int64)
    piece = piece + np.searchsorted(pauses, topic.offsets[index])
    return Rows(key, topic, index, boot_ns[keep], piece) if index.size else None


@dataclass(frozen=True, slots=True, eq=False)
class Receiver:
    """Usable fixes of one GNSS receiver.

    Parameters
    ----------
    name : str
        What ``[track] source`` calls it.
    rows : Rows
        Rows with a 3-D fix and a plausible position.
    lon, lat, alt_m : (n,) float64
        Degrees, and height above mean sea level as the receiver computes it.
    undulation_m : (n,) float64
        Ellipsoidal minus stated height, NaN where the log does not tell.
    utc_ns : (n,) int64
        Epoch of the fix, 0 where the receiver does not know it.
    """

    name: str
    rows: Rows
    lon: Float
    lat: Float
    alt_m: Float
    undulation_m: Float
    utc_ns: NDArray[np.int64]

    @property
    def fix(self) -> NDArray[np.uint8]:
        """Quality as in `Trajectory.fix`; types that are not known count as 3-D."""
        kind = self.rows["fix_type"]
        known = kind < len(FIX_OF_TYPE)
        return np.where(known, FIX_OF_TYPE[np.where(known, kind, 0)], np.uint8(2))

    @property
    def median_undulation_m(self) -> float:
        """NaN where the log does not tell."""
        known = self.undulation_m[np.isfinite(self.undulation_m)]
        return float(np.median(known)) if known.size else float("nan")

    def height_m(self) -> Float:
        """Return the height above the ellipsoid, NaN where the log does not tell."""
        own = np.isfinite(self.undulation_m)
        return self.alt_m + np.where(own, self.undulation_m, self.median_undulation_m)

    def velocity_ned(self) -> Float | None:
        """Return (n, 3) m/s, NaN where the receiver says it is not valid."""
        if not self.rows.has(*VELOCITY):
            return None
        velocity = self.rows.numbers(*VELOCITY)
        if "vel_ned_valid" in self.rows:
            velocity[self.rows["vel_ned_valid"] == 0] = np.nan
        return velocity

    def where(self, good: Mask) -> Receiver:
        """Return the fixes that are *good*."""
        return Receiver(
            self.name,
            self.rows.where(good),
            self.lon[good],
            self.lat[good],
            self.alt_m[good],
            self.undulation_m[good],
            self.utc_ns[good],
        )


def receivers(log: ULog, tally: Tally) -> list[Receiver]:
    """Return the receivers with usable fixes."""
    found = []
    for key in log:
        base = key.partition("[")[0]
        if base not in RECEIVERS:
            continue
        rows = rows_of(log, key, tally)
        name = f"{base}[0]" if base == key and base != RECEIVERS[0] else key
        receiver = None if rows is None else _receiver(name, rows, tally)
        if receiver is not None:
            found.append(receiver)
    return found


def _receiver(name: str, rows: Rows, tally: Tally) -> Receiver | None:
    lat, lon = rows.number(*LATITUDE, scale=DEGREES), rows.number(*LONGITUDE, scale=DEGREES)
    alt, ellipsoidal = rows.number(*HEIGHT, scale=METERS), rows.number(*ELLIPSOIDAL, scale=METERS)
    if lat is None or lon is None or alt is None or "fix_type" not in rows:
        tally.warnings.append(f"{name} has no latitude, longitude, height or fix_type and is not used")
        return None
    undulation = np.full(alt.shape, np.nan) if ellipsoidal is None else ellipsoidal - alt
    away = np.abs(undulation)
    undulation[~((away > 0.0) & (away <= UNDULATION_LIMIT_M))] = np.nan
    receiver = Receiver(name, rows, lon, lat, alt, undulation, utc_of(rows))
    receiver = receiver.where(tally.keep(rows["fix_type"] >= FIX_3D, f"{name}: no 3-D fix"))
    keep = np.zeros(receiver.lon.shape, dtype=bool)
    keep[plausible(name, receiver.rows.boot_ns, receiver.lon, receiver.lat, receiver.alt_m, tally)] = True
    receiver = receiver.where(keep)
    return receiver if keep.any() else None


def utc_of(rows: Rows) -> NDArray[np.int64]:
    """Return the UTC that rows state, ns; 0 where they state none."""
    if "time_utc_usec" not in rows:
        return np.zeros(rows.index.shape, dtype=np.int64)
    utc_us = rows["time_utc_usec"].astype(np.uint64)
    known = (utc_us > GPS_EPOCH_US) & (utc_us < LATEST_US)
    return np.where(known, utc_us, 0).astype(np.int64) * NS_PER_US


def sigma_of(rows: Rows) -> tuple[Float, bool]:
    """Return the standard uncertainty north, east, down that `eph` and `epv` state, and whether any does."""
    horizontal, vertical = (np.full(rows.index.shape, sigma) for sigma in SINGLE_FIX_SIGMA_M)
    stated = False
    if rows.has("eph", "epv"):
        eph, epv = rows.numbers("eph", "epv").T
        good = (eph > 0.0) & (eph < ACCURACY_LIMIT_M) & (epv > 0.0) & (epv < ACCURACY_LIMIT_M)
        horizontal, vertical = np.where(good, eph, horizontal), np.where(good, epv, vertical)
        stated = bool(good.any())
    return np.column_stack([horizontal, horizontal, vertical]), stated


def timed(receiver: Receiver, clock: ClockFit, tally: Tally) -> tuple[Receiver, NDArray[np.int64]]:
    """Return the fixes with the UTC of their epochs, which has no latency.

    A receiver whose UTC does not advance with its fixes is put on the boot clock.
    """
    near = np.abs(receiver.utc_ns - clock.to_utc(receiver.rows.boot_ns)) <= OUTLIER_S * NS_PER_S
    known = receiver.utc_ns > 0
    good = tally.keep(known, f"{receiver.name}: no UTC")
    good = good & tally.keep(near | ~known, f"{receiver.name}: UTC disagrees with the boot clock")
    receiver = receiver.where(good)
    advances = increasing(receiver.utc_ns)
    if 2 * np.count_nonzero(advances) < advances.size:
        tally.assumptions.append(f"{receiver.name}: UTC stands still, fixes timed by their arrival")
        return receiver, clock.to_utc(receiver.rows.boot_ns)
    receiver = receiver.where(tally.keep(advances, f"{receiver.name}: same UTC again"))
    return receiver, receiver.utc_ns
