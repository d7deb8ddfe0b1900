"""Fuzz target: RTKLIB solutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rtklib_writer as writer

from dronesense.errors import ReadError
from dronesense.readers import rtklib

PLACE = ["48.000000000", "  9.000000000", "  300.0000"]
EARTH = ["4222976.1", "668864.6", "4716916.3"]
SEEDS = [
    writer.solution([writer.row(writer.calendar(k), PLACE) for k in range(4)]).encode(),
    writer.solution(
        [writer.row(writer.week(k, ","), EARTH, sep=",") for k in range(4)], writer.ECEF, sep=",", scale="UTC"
    ).encode(),
    writer.solution(
        [writer.row(writer.calendar(k), ["1.0", "2.0", "3.0"]) for k in range(4)],
        writer.BASELINE,
        header=writer.HEADER + "% ref pos   : 40.086179918-105.206044414 1575.6355\n",
    ).encode(),
    writer.solution(
        [writer.row(writer.calendar(0), ["-0", "30", "36.0", "9", "0", "0.5", "3.0"])], writer.DMS
    ).encode(),
]


def one(data: bytes) -> None:
    """Read *data* as a solution."""
    rtklib.sniff(Path("fuzz.pos"), data[:8192])
    try:
        rtklib.track(np.frombuffer(data, dtype=np.uint8), label="fuzz")
    except ReadError:
        return
