"""Stamps of cameras that count seconds and leave open since when."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import Clock, TrackOptions
from dronesense.readers.streams import Float
from dronesense.readers.tally import Tally
from dronesense.timescale import GPS_EPOCH_S, NS_PER_S, gps_seconds_to_utc_ns, leap_note, to_iso

EARLIEST_S: Final = 788_486_413
"""2005-01-01 in GPS seconds: no earlier camera flew with such a clock."""
UNCLEAR_S: Final = 1_577_404_818
"""2030-01-01 in GPS seconds: from here on a count may as well be Unix seconds since 2019-12-27."""
LAST_S: Final = 4_102_444_800
"""2100-01-01 in Unix seconds."""
NS_PER_US: Final = 1000


def is_epoch_count(seconds: Float) -> bool:
    """Tell whether *seconds* can be counted since 1980 or 1970."""
    return bool(seconds.size) and bool(EARLIEST_S <= float(np.median(seconds)) < LAST_S)


def epoch_seconds_to_utc(
    seconds: Float, *, options: TrackOptions, tally: Tally, label: str
) -> tuple[NDArray[np.int64], Clock]:
    """Return UTC ns of a count of seconds since 1980 (GPS time) or 1970 (UTC), and the clock.

    Rounded to 1 µs, which is what such a number holds.

    Parameters
    ----------
    seconds : (n,) float64
        As :func:`is_epoch_count` recognises.
    options : TrackOptions
        Its `time_scale`: ``"auto"`` means GPS, as the makers of these cameras do.
    tally : Tally
        Takes the answer that was used, or the assumption.
    label : str
        What messages call the file.

    Raises
    ------
    ReadError
        If the count may be either and the options do not say, or a stamp is none.
    """
    scale = options.time_scale
    typical = float(np.median(seconds))
    if scale == "auto" and typical >= UNCLEAR_S:
        as_gps, as_unix = (to_iso(round((typical + epoch) * NS_PER_S))[:10] for epoch in (GPS_EPOCH_S, 0))
        raise ReadError(
            f"its stamps are GPS seconds of {as_gps} or Unix seconds of {as_unix}",
            where=label,
            fix='set time_scale = "gps" or "utc" under [track]',
        )
    if scale == "utc":
        if not np.all((seconds >= 0) & (seconds < LAST_S)):
            raise ReadError("a stamp is no count of seconds since 1970", where=label, fix="check the file")
        utc = np.floor(seconds).astype(np.int64) * NS_PER_S
        utc += np.rint((seconds % 1.0) * NS_PER_S).astype(np.int64)
        note = "Unix seconds"
    else:
        utc = gps_seconds_to_utc_ns(seconds, where=label)
        note = "GPS seconds since 1980-01-06, leap seconds taken off"
        tally.warnings.extend(filter(None, [leap_note(utc)]))
    if scale == "auto":
        tally.assumptions.append(f"time stamps taken as {note}")
    else:
        tally.answered.append("time_scale")
    utc = np.rint(utc / NS_PER_US).astype(np.int64) * NS_PER_US
    return utc, Clock("exact", quantum_s(utc) / math.sqrt(12.0), note=note)


def quantum_s(stamps: NDArray[np.int64]) -> float:
    """Return the largest power of ten, 1 s to 1 ns, that all *stamps* (ns) are multiples of, in s."""
    steps = (NS_PER_S // 10**k for k in range(10))
    return next((step for step in steps if not np.any(stamps % step)), 1) / NS_PER_S
