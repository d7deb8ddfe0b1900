"""Writers of DJI's formats with a planted flight: a straight climb to the north-east, 10 rows a second."""

from __future__ import annotations

import csv
import io

import numpy as np

FEET = 1.0 / 0.3048
MPH = 3600.0 / 1609.344
EARTH_M = 111_195.0

START = np.datetime64("2026-06-14T05:00:07.340", "ns")
LAT_0, LON_0, ELEVATION = 43.25, 76.9, 820.0
NORTH, EAST, CLIMB = 4.0, 3.0, 1.5
"""Speeds of the planted flight, m/s."""
ROLL, PITCH, HEADING = 2.0, -7.0, 37.0


class Flight:
    """The truth at seconds *t* after START."""

    def __init__(self, seconds=30.0, rate_hz=10.0):
        self.t = np.arange(round(seconds * rate_hz)) / rate_hz
        self.lat = LAT_0 + NORTH * self.t / EARTH_M
        self.lon = LON_0 + EAST * self.t / (EARTH_M * np.cos(np.radians(LAT_0)))
        self.height = CLIMB * self.t
        self.utc = START + np.rint(self.t * 1e9).astype("timedelta64[ns]")

    def __len__(self):
        return len(self.t)

    @property
    def ns(self):
        return self.utc.astype(np.int64)


def table(headings, rows, *, delimiter=",", comma=False, first=""):
    """Return a delimited table as text."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(headings)
    for row in rows:
        cells = [
            f"{cell:.8f}".rstrip("0").rstrip(".") if isinstance(cell, float) else str(cell) for cell in row
        ]
        writer.writerow([cell.replace(".", ",") if comma else cell for cell in cells])
    return first + out.getvalue()


def airdata_columns(flight, *, metric=False):
    """Return heading -> cells, in Airdata's order and spelling (six headings begin with a blank)."""
    length, speed = ("meters", "m/s") if metric else ("feet", "mph")
    to_length, to_speed = (1.0, 1.0) if metric else (FEET, MPH)
    n = len(flight)
    same = lambda value: [value] * n  # noqa: E731
    return {
        "time(millisecond)": [round(t * 1e3) for t in flight.t],
        "datetime(utc)": [str(t).replace("T", " ") for t in flight.utc.astype("datetime64[s]")],
        "latitude": flight.lat.tolist(),
        "longitude": flight.lon.tolist(),
        f"height_above_takeoff({length})": (flight.height * to_length).tolist(),
        f"height_above_ground_at_drone_location({length})": same("Available with any HD 360 subscription"),
        f"altitude_above_seaLevel({length})": ((flight.height + ELEVATION) * to_length).tolist(),
        f"speed({speed})": same(5.0 * to_speed),
        "satellites": same(17),
        "gpslevel": same(5),
        "voltage(v)": same(15.1),
        f" xSpeed({speed})": same(NORTH * to_speed),
        f" ySpeed({speed})": same(EAST * to_speed),
        f" zSpeed({speed})": same(-CLIMB * to_speed),
        " compass_heading(degrees)": same(HEADING),
        " pitch(degrees)": same(PITCH),
        " roll(degrees)": same(ROLL),
        "isPhoto": same(0),
        "isVideo": same(0),
        "gimbal_heading(degrees)": same(0),
        "gimbal_pitch(degrees)": same(0),
        "gimbal_roll(degrees)": same(0),
        "battery_temperature(f)": same(86),
        "message": same(""),
    }


def from_columns(columns, **how):
    """Return columns as the text of a table."""
    return table(list(columns), zip(*columns.values(), strict=True), **how)


def flight_reader_columns(flight, *, unit="ft", zone_h=5, ampm=True):
    """Return heading -> cells as Flight Reader writes them, in local time."""
    to_length, to_speed = (1.0, 1.0) if unit == "m" else (FEET, MPH)
    speed = "m/s" if unit == "m" else "MPH"
    local = flight.utc + np.timedelta64(zone_h, "h")
    n = len(flight)
    same = lambda value: [value] * n  # noqa: E731
    return {
        "CUSTOM.date [local]": [us_date(t) for t in local],
        "CUSTOM.updateTime [local]": [clock(t, ampm=ampm) for t in local],
        "OSD.flyTime": [f"{int(t // 60)}m {t % 60:.1f}s" for t in flight.t],
        "OSD.flyTime [s]": flight.t.round(1).tolist(),
        "OSD.latitude": flight.lat.tolist(),
        "OSD.longitude": flight.lon.tolist(),
        f"OSD.height [{unit}]": (flight.height * to_length).tolist(),
        f"OSD.altitude [{unit}]": ((flight.height + ELEVATION) * to_length).tolist(),
        f"OSD.xSpeed [{speed}]": same(NORTH * to_speed),
        f"OSD.ySpeed [{speed}]": same(EAST * to_speed),
        f"OSD.zSpeed [{speed}]": same(-CLIMB * to_speed),
        "OSD.pitch": same(PITCH),
        "OSD.roll": same(ROLL),
        "OSD.yaw": same(HEADING),
        "OSD.yaw [360]": same(HEADING),
        "OSD.gpsNum": same(15),
        "GIMBAL.pitch": same(-90.0),
        "CAMERA.isPhoto": same("False"),
    }


def us_date(t):
    """Return ``6/14/2026``."""
    year, month, day = str(t)[:10].split("-")
    return f"{int(month)}/{int(day)}/{year}"


def clock(t, *, ampm, digits=2):
    """Return ``10:00:07.34 AM``, or ``10:00:07.34``; cut, not rounded."""
    hour, minute, second = str(t)[11:].split(":")
    second = second[: 3 + digits] if digits else second[:2]
    if not ampm:
        return f"{hour}:{minute}:{second}"
    half = "PM" if int(hour) >= 12 else "AM"
    return f"{(int(hour) + 11) % 12 + 1}:{minute}:{second} {half}"


def datcon_columns(flight, *, units=False, offset=-12.5):
    """Return heading -> cells as DatCon writes them: the receiver has 5 fixes a second, held in between."""
    degrees, meters, seconds = ("[degrees]", "[meters]", "[secs]") if units else ("", "", "")
    held = np.arange(len(flight)) // 2 * 2
    n = len(flight)
    same = lambda value: [value] * n  # noqa: E731
    return {
        "Tick#": list(range(4_000_000, 4_000_000 + n)),
        "offsetTime" + seconds: (flight.t + offset).round(3).tolist(),
        "IMU_ATTI(0):Longitude" + degrees: flight.lon.tolist(),
        "IMU_ATTI(0):Latitude" + degrees: flight.lat.tolist(),
        "IMU_ATTI(0):roll": same(ROLL),
        "IMU_ATTI(0):pitch": same(PITCH),
        "IMU_ATTI(0):yaw": same(HEADING),
        "IMU_ATTI(0):velN": same(NORTH),
        "IMU_ATTI(0):velE": same(EAST),
        "IMU_ATTI(0):velD": same(-CLIMB),
        "General:relativeHeight" + meters: flight.height.tolist(),
        "GPS(0):Long" + degrees: flight.lon[held].tolist(),
        "GPS(0):Lat" + degrees: flight.lat[held].tolist(),
        "GPS(0):heightMSL" + meters: (flight.height[held] + ELEVATION).tolist(),
        "GPS(0):numSV": same(16),
        "GPS:dateTimeStamp": [f"{t}Z" for t in flight.utc.astype("datetime64[s]")],
    }


def mrk_line(
    number, tow_s, lat, lon, height, *, week=2423, quality=50, std=(0.011, 0.012, 0.034), swapped=False
):
    """Return a line of an ``.MRK`` file, blanks before numbers as some cameras write them."""
    place = [f"{lat:.8f},Lat", f"{lon:.8f},Lon"]
    parts = [
        str(number),
        f"{tow_s:.6f}",
        *([] if week is None else [f"[{week}]"]),
        "   101,N",
        "   -24,E",
        "   129,V",
        *(place[::-1] if swapped else place),
        f"{height:.3f},Ellh",
        ", ".join(f"{each:.6f}" for each in std),
        f"{quality},Q",
    ]
    return "\t".join(parts)


def srt_time(t):
    """Return seconds as the clock of a video writes them."""
    ms = round(t * 1e3)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


def srt(bodies, *, start=0.0, step=1.0, arrows=True):
    """Return cues with these bodies."""
    cues = []
    for number, body in enumerate(bodies):
        at = start + number * step
        arrow = f"{srt_time(at)} --> {srt_time(at + step)}\n" if arrows else ""
        cues.append(f"{number + 1}\n{arrow}{body}\n\n")
    return "".join(cues)
