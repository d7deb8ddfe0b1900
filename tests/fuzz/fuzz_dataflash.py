"""Fuzz target: ArduPilot logs, binary and text."""

from __future__ import annotations

import datetime as dt
import math

import dataflash_writer as writer
import numpy as np

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import ardupilot
from dronesense.readers.dataflash import DataFlash
from dronesense.readers.dataflash_text import DataFlashText, looks_like_text

OPTIONS = TrackOptions(date=dt.date(2025, 6, 15))
MAX_TYPES = 40
"""Types whose columns are all looked at: a file can define more than it has bytes for."""


def one(data: bytes) -> None:
    """Decode every column and make the track; nothing but a ReadError may come out."""
    kind = DataFlashText if looks_like_text(data[:8192]) else DataFlash
    try:
        log = kind(np.frombuffer(data, dtype=np.uint8), where="fuzz")
        for name in list(log)[:MAX_TYPES]:
            messages = log[name]
            for column in messages:
                assert len(messages[column]) == messages.count
            messages.format.units  # noqa: B018 - decoded on the way
            assert messages.confirmed.shape == (messages.count,)
        track, report = ardupilot.track(log, label="fuzz", options=OPTIONS)
        assert np.all(np.diff(track.time) > 0)
        assert report.records == log.records
    except ReadError:
        return


def _flight() -> tuple[writer.Log, list[tuple[str, tuple]]]:
    """A second of flight with every message that the track is made of."""
    log = writer.Log()
    units = {"UNIT": ("QbZ", "TimeUS,Id,Label"), "MULT": ("Qbd", "TimeUS,Id,Mult")}
    units["FMTU"] = ("QBNN", "TimeUS,FmtType,UnitIds,MultIds")
    layouts = {
        "GPS": writer.GPS,
        "GPA": writer.GPA,
        "POS": writer.POS,
        "ATT": writer.ATT,
        "BARO": writer.BARO,
    }
    layouts |= {"XKF1": writer.XKF1, "XKF4": writer.XKF4, "XKQ": writer.XKQ, "CAM": writer.CAM}
    layouts |= {"MSG": writer.MSG, "ORGN": writer.ORGN, "EV": ("QB", "TimeUS,Id"), **units}
    for name, layout in layouts.items():
        log.define(name, *layout)
    rows: list[tuple[str, tuple]] = [("MSG", (1, b"ArduCopter V4.2.3")), ("UNIT", (1, ord("s"), b"s"))]
    rows += [("MULT", (1, ord("F"), 1e-6)), ("FMTU", (1, log.types["GPS"][0], b"s#---", b"F----"))]
    for k in range(8):
        us, tow = 1000 + 125_000 * k, 36_000_000 + 125 * k
        values = {
            "GPS": {
                "Status": 3,
                "GMS": tow,
                "GWk": 2371,
                "Lat": 43.25,
                "Lng": 76.9,
                "Alt": 820.0,
            },
            "GPA": {"HAcc": 0.8, "VAcc": 1.5, "Und": -38.5},
            "POS": {"Lat": 43.25, "Lng": 76.9, "Alt": 820.0, "RelOriginAlt": 0.0 if k else math.nan},
            "ATT": {"Roll": 1.0, "Pitch": 2.0, "Yaw": 350.0 + k},
            "BARO": {"Press": 91_000.0},
            "XKF1": {"VN": 1.0},
            "XKF4": {"OFN": float(k > 4), "PI": int(k > 5)},
            "XKQ": {"Q1": 1.0},
            "CAM": {"Img": k, "GPSTime": tow, "GPSWeek": 2371},
            "EV": {"Id": 10},
        }
        for name, given in values.items():
            columns = layouts[name][1].split(",")
            rows.append((name, tuple((dict.fromkeys(columns, 0) | {"TimeUS": us} | given).values())))
    return log, rows


def _seeds() -> list[bytes]:
    log, rows = _flight()
    lines = [*log.definitions(), *(log.line(name, *values) for name, values in rows)]
    binary = log.data() + b"".join(log.pack(name, *values) for name, values in rows)
    return [binary, "\n".join(lines).encode("latin-1"), binary[: len(log.data()) + 300], binary[:89]]


SEEDS = _seeds()
