"""Fuzz target: PX4 ULog, from bytes to columns and to a track."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from dronesense.errors import ReadError
from dronesense.readers import px4
from dronesense.readers.ulog import ULog

_SPEC = importlib.util.spec_from_file_location("ulog_writer", Path(__file__).parents[1] / "ulog_writer.py")
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)

START_UTC_US = 1_700_000_000_000_000


def one(data: bytes) -> None:
    """Decode everything in *data* and make its track; only a ReadError may come out."""
    try:
        log = ULog(np.frombuffer(data, dtype=np.uint8))
        for key in log:
            topic = log[key]
            for column in topic:
                topic[column]
        everything = (log.info, log.info_lists, log.parameters, log.changed_parameters)
        _ = (everything, log.default_parameters, log.logged, log.dropouts)
        px4.track(log, label="fuzz.ulg")
    except ReadError:
        return


def _flight(gps: str, scale: tuple[float, float], rows: int = 12) -> bytes:
    log = (
        writer.Log(1000).flags().keyed("char[3] sys_name", b"PX4").keyed("float MPC_XY_P", b"\0\0\x80?", "P")
    )
    log.format("vertex", "double lat;float alt;").topic("fence", "uint64_t timestamp;vertex[2] corners;")
    log.topic("vehicle_gps_position", gps).topic("vehicle_global_position", writer.GLOBAL)
    log.topic("vehicle_local_position", writer.LOCAL).topic("vehicle_attitude", writer.ATTITUDE)
    log.topic("vehicle_air_data", writer.AIR).topic("camera_capture", writer.CAPTURE)
    degrees, meters = scale
    for k in range(rows):
        t = 1000 + 200_000 * k
        lat, lon = 47.0 + k * 1e-6, 8.0
        place = [value * degrees for value in (lat, lon)] + [500.0 * meters, 548.0 * meters]
        if gps is writer.GPS:
            log.add("vehicle_gps_position", t, START_UTC_US + t, *map(round, place), 1, 2, 0, 0, 0, 3, True)
        else:
            log.add("vehicle_gps_position", t, *place, START_UTC_US + t, 1, 2, 0, 0, 0, 6, True)
        log.add("vehicle_global_position", t + 10, lat, lon, 500.0, 0.5, 0.8, 0, k // 6, False)
        local = (k * 0.1, 0.0, -1.0, 0.5, 0.0, 0.0, 499.0, 0.5, 0.8, True, True, 0, 0, True, True)
        log.add("vehicle_local_position", t + 10, 7, lat, lon, *local, padded=k % 2 == 0)
        log.add("vehicle_attitude", t + 20, [1.0, 0.0, 0.0, 0.0], 0)
        log.add("vehicle_air_data", t + 30, 95_000.0)
        if k == rows // 2:
            log.dropout(40).sync().text(4, t, "low battery").text(6, t, "tagged", tag=3)
            log.subscribe("sensor_gps" if "sensor_gps" in log.formats else "fence", 1)
            log.add("camera_capture", t, START_UTC_US + t, k, 1)
    return log.add("fence", 5, [47.0, 1.0, 48.0, 2.0]).data()


SEEDS: list[bytes] = [
    _flight(writer.GPS, (1e7, 1e3)),
    _flight(writer.GPS_DOUBLE, (1.0, 1.0)),
    writer.Log().flags(incompat=1, appended=(60, 0, 0)).data(),
]
