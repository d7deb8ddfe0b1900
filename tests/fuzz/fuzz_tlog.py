"""Fuzz target: MAVLink telemetry logs, bytes to columns to a trajectory.

Changed bytes break the checksum and go no further; so each input is read as it is, and once more with the
checksums put right, that changed values reach the trajectory.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np

from dronesense.errors import ReadError
from dronesense.readers import tlog
from dronesense.readers.mavlink_frames import Telemetry
from dronesense.readers.mavlink_messages import checksum, definitions

sys.path.insert(0, str(Path(__file__).parents[1]))
import tlog_writer as writer


def one(data: bytes) -> None:
    """Read *data* in every way that a user can."""
    tlog.sniff(Path("fuzz"), data[:8192])
    for each in (data, mended(data)):
        try:
            log = Telemetry(np.frombuffer(each, dtype=np.uint8))
            for name in log:
                messages = log[name]
                for column in messages:
                    _ = messages[column]
            tlog.track(log, label="fuzz")
        except ReadError:
            pass


def mended(data: bytes) -> bytes:
    """Return *data* with the checksums of its frames, found by their lengths, put right."""
    found = bytearray(data)
    at = 8
    while at < len(found) - 12:
        second = found[at] == 0xFD
        if not second and found[at] != 0xFE:
            at += 1
            continue
        header = 10 if second else 6
        end = at + header + found[at + 1]
        number = int.from_bytes(found[at + 7 : at + 10], "little") if second else found[at + 5]
        if number not in definitions() or end + 2 > len(found):
            at += 1
            continue
        crc = checksum(bytes(found[at + 1 : end]) + bytes([definitions()[number].crc_extra]))
        found[end : end + 2] = struct.pack("<H", crc)
        at = end + 2 + (13 if second and found[at + 2] & 1 else 0) + 8
    return bytes(found)


def _seed(version: int, **settings: bool) -> bytes:
    log = writer.Log(version=version, **settings)
    for k in range(6):
        boot, utc = 5000 + 200 * k, writer.UTC_US + 200_000 * k
        log.add("SYSTEM_TIME", utc, time_unix_usec=utc, time_boot_ms=boot)
        log.add(
            "GLOBAL_POSITION_INT", utc, time_boot_ms=boot, lat=515_000_000 + k, lon=714_000_000, alt=90_000
        )
        log.add("GPS_RAW_INT", utc, time_usec=1000 * boot, lat=515_000_000, lon=714_000_000, fix_type=3)
        log.add("ATTITUDE", utc, time_boot_ms=boot, roll=0.1, yaw=3.0)
        log.add("SCALED_PRESSURE", utc, time_boot_ms=boot, press_abs=950.0)
        log.add("CAMERA_FEEDBACK", utc, time_usec=utc, img_idx=k)
    return log.data()


def _cameras() -> bytes:
    log = writer.Log()
    for k in range(6):
        boot, utc = 5000 + 200 * k, writer.UTC_US + 200_000 * k
        log.add("GPS2_RAW", utc, time_usec=utc, lat=515_000_000, lon=714_000_000, fix_type=6, alt_ellipsoid=5)
        log.add("ATTITUDE_QUATERNION", utc, time_boot_ms=boot, q1=1.0)
        log.add("LOCAL_POSITION_NED", utc, time_boot_ms=boot, vx=3.0)
        log.add("CAMERA_IMAGE_CAPTURED", utc, time_boot_ms=boot, time_utc=utc, capture_result=1)
        log.add("STATUSTEXT", utc, text=b"ArduCopter V4.5.7 (2a3dc4b7)")
        log.record(log.frame(60_000, 9, b"\1\2\3"), utc)
    return log.data()


SEEDS: list[bytes] = [_seed(1), _seed(2), _seed(2, signed=True), _cameras()]
