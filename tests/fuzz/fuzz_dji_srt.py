"""Fuzz target: subtitles of DJI's videos."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dji_writer as writer

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_srt

FONT = '<font size="36">FrameCnt : {0}, DiffTime : 40ms\n2026-06-14 10:00:0{0},745,078\n'
SEEDS = [
    writer.srt(
        f"HOME(76.9000,43.2500) 2026.06.14 10:00:0{k}\nGPS(76.9001,43.250{k},16) BAROMETER:1.{k}"
        for k in range(4)
    ).encode(),
    writer.srt(
        f"2026.06.14 10:00:0{k}\nGPS(43.250{k},76.9001,0.0M) BAROMETER:9{k}.7M" for k in range(4)
    ).encode(),
    writer.srt(
        (
            f"{FONT.format(k)}[latitude: 43.25000{k}] [longitude: 76.900001] "
            f"[rel_alt: 1.{k} abs_alt: 821.{k}] [gb_yaw: 76.8 gb_pitch: -49.1 gb_roll: 0.0] </font>"
            for k in range(4)
        ),
        step=0.04,
    ).encode("utf-8-sig"),
    writer.srt(
        f"F/5.6, SS 400, GPS (76.900001, 43.25000{k}, 15), HOME (76.9, 43.2, -57.98m), D 1.70m, H 85.80m, "
        "F.PRY (2.7°, -7.0°, 110.1°), G.PRY (-24.4°, 0.0°, 110.4°)"
        for k in range(4)
    ).encode("latin-1"),
    writer.srt(
        (
            f"2017.8.5 10:00:0{k},393,525\n[latitude : -20.2533] [longtitude : 149.025{k}] [iso : 100]"
            for k in range(4)
        ),
        arrows=False,
    ).encode("utf-16"),
]
OPTIONS = TrackOptions(zone="+05:00", date=dt.date(2026, 6, 14))


def one(data: bytes) -> None:
    """Read *data* as subtitles; every fourth length without what a user may say of them."""
    dji_srt.sniff(Path("fuzz.SRT"), data[:8192])
    try:
        dji_srt.track(data, label="fuzz", options=OPTIONS if len(data) % 4 else TrackOptions())
    except ReadError:
        return
