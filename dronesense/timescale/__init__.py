"""Other clocks to UTC: GPS week and time of week, written time stamps, the clock since boot.

Inside dronesense a time is an int64 count of nanoseconds since 1970-01-01T00:00:00Z, leap seconds not
counted (as in POSIX).
"""

from __future__ import annotations

from dronesense.timescale.boot import (
    OUTLIER_S,
    RECEIVER_LATENCY_MEAN_S,
    RECEIVER_LATENCY_S,
    RECEIVER_LATENCY_SIGMA_S,
    ClockFit,
    fit_latency_envelope,
)
from dronesense.timescale.epochs import (
    GPS_EPOCH_S,
    LEAP_SECONDS,
    LEAP_TABLE_KNOWN_UNTIL,
    MS_PER_WEEK,
    NS_PER_MS,
    NS_PER_S,
    gps_ns_to_utc_ns,
    gps_to_utc_ns,
    leap_note,
    leap_seconds_at,
    to_iso,
)
from dronesense.timescale.weeks import (
    ROLLOVER_WEEKS,
    S_PER_DAY,
    S_PER_WEEK,
    day_seconds_to_utc_ns,
    gps_seconds_to_utc_ns,
    gps_tow_to_utc_ns,
    unroll_utc_ns,
    unroll_week,
)
from dronesense.timescale.written import parse_times

__all__ = [
    "GPS_EPOCH_S",
    "LEAP_SECONDS",
    "LEAP_TABLE_KNOWN_UNTIL",
    "MS_PER_WEEK",
    "NS_PER_MS",
    "NS_PER_S",
    "OUTLIER_S",
    "RECEIVER_LATENCY_MEAN_S",
    "RECEIVER_LATENCY_S",
    "RECEIVER_LATENCY_SIGMA_S",
    "ROLLOVER_WEEKS",
    "S_PER_DAY",
    "S_PER_WEEK",
    "ClockFit",
    "day_seconds_to_utc_ns",
    "fit_latency_envelope",
    "gps_ns_to_utc_ns",
    "gps_seconds_to_utc_ns",
    "gps_to_utc_ns",
    "gps_tow_to_utc_ns",
    "leap_note",
    "leap_seconds_at",
    "parse_times",
    "to_iso",
    "unroll_utc_ns",
    "unroll_week",
]
