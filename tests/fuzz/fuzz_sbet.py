"""Fuzz target: SBET files."""

from __future__ import annotations

import datetime as dt

import numpy as np
import sbet_writer as writer

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import sbet
from dronesense.readers.sbet_records import looks_like_records

DAY = dt.date(2026, 6, 14)
SEEDS = [
    writer.file(writer.flight(12)),
    writer.file(writer.flight(8, tow_s=604_799.98)),
    writer.file(writer.flight(6, rate_hz=1.0))[:-40],
]


def one(data: bytes) -> None:
    """Read *data* as a log, and again with its second half as the accuracies."""
    content = np.frombuffer(data, dtype=np.uint8)
    looks_like_records(content[:8192], content.size)
    half = content.size // 2
    for options, log, accuracy in (
        (TrackOptions(date=DAY), content, None),
        (TrackOptions(date=DAY, time_scale="utc"), content[:half], content[half:]),
    ):
        try:
            sbet.track(log, label="fuzz", options=options, accuracy=accuracy)
        except ReadError:
            continue
