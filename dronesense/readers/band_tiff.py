"""One band file of a multispectral camera: whose it is, and what it says of time, place, light and optics.

No pixel is read. What each maker writes is in :mod:`~dronesense.readers.band_makers`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dronesense.errors import ReadError
from dronesense.model.capture import BandFrame, CameraFamily
from dronesense.readers import band_makers, exif, tiff_directory, xmp
from dronesense.readers.exif import Tags
from dronesense.readers.xmp import Xmp
from dronesense.timescale import parse_times

NS_PER_SECOND: Final = 1_000_000_000
KNOWN: Final = "MicaSense, Parrot Sequoia, DJI P4 Multispectral and Mavic 3 Multispectral"
"""Cameras whose band files are read."""
_STAMP: Final = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?")
"""EXIF and XMP write 2017:10:19 20:40:39 and 2023-03-09T02:47:57.123 for UTC; the date may have dashes."""


@dataclass(frozen=True, slots=True)
class BandFile:
    """A band file as read.

    Parameters
    ----------
    frame : BandFrame
        What it says of its band.
    family : CameraFamily
        Which radiometric model its counts follow.
    camera, serial, capture_id : str
        Make and model; serial number; the camera's name of the release. Empty when not stated.
    time : int or None
        Release, int64 UTC ns.
    position : (lon, lat, height_m) or None
    attitude_deg : (yaw, pitch, roll) or None
    orientation : int
        EXIF orientation; 1 = upright. Pixels are left as the detector has them.
    role : {"band", "thermal", "panchromatic"}
        Only "band" goes into a cube.
    assumptions, warnings : tuple of str
        What the file did not say; what a user should know.
    """

    frame: BandFrame
    family: CameraFamily
    camera: str
    serial: str
    capture_id: str
    time: int | None
    position: tuple[float, float, float] | None
    attitude_deg: tuple[float, float, float] | None
    orientation: int
    role: str
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]


def family(tags: Tags) -> CameraFamily | None:
    """Return the family of cameras that wrote the file; None if it is none of those that are known."""
    make, model = tags.text(exif.MAKE).lower(), tags.text(exif.MODEL).lower()
    if tags.number(exif.SAMPLES, 1.0) != 1.0:
        return None
    if "micasense" in make:
        return "micasense"
    if "parrot" in make and "sequoia" in model:
        return "sequoia"
    if "dji" in make and (b"VignettingData" in tags.xmp or b"VignettingPolynomial" in tags.xmp):
        if "fc6360" in model or "p4" in model or "phantom 4" in model:
            return "dji-p4m"
        known = any(name in model for name in ("m3m", "mavic 3m", "mavic 3 multispectral"))
        return "dji-m3m" if known or b"Mavic 3M" in tags.xmp else None
    return None


def read(path: Path) -> BandFile:
    """Return what a band file says of itself; its pixels are not read.

    Raises
    ------
    ReadError
        If it is no band file of a known camera, is cut, or lacks what its radiometry needs.
    """
    tiff_directory.check(path)
    tags = exif.read(path)
    kind = family(tags)
    if kind is None:
        raise ReadError(
            f'is no band file of a known multispectral camera (make "{tags.text(exif.MAKE)}", '
            f'model "{tags.text(exif.MODEL)}")',
            where=path,
            fix=f"{KNOWN} are known",
        )
    packet = xmp.parse(tags.xmp, path)
    if tags.number(exif.BITS) not in (8.0, 16.0):
        raise ReadError(f"has {tags.number(exif.BITS):g} bits a pixel, 8 or 16 are read", where=path)
    notes = band_makers.Notes()
    frame = band_makers.frame(kind, path, tags, packet, notes)
    model = f"{tags.text(exif.MAKE)} {tags.text(exif.MODEL)}".strip()
    return BandFile(
        frame=frame,
        family=kind,
        camera=model,
        serial=tags.text(exif.BODY_SERIAL)
        or tags.text(exif.CAMERA_SERIAL)
        or packet.text("CameraSerialNumber"),
        capture_id=packet.text("CaptureId", "CaptureUUID"),
        time=_time(kind, tags, packet, notes),
        position=_position(tags, packet),
        attitude_deg=_attitude(packet),
        orientation=int(tags.number(exif.ORIENTATION, 1.0)),
        role=_role(frame),
        assumptions=tuple(notes.assumptions),
        warnings=tuple(notes.warnings),
    )


def _role(frame: BandFrame) -> str:
    name = frame.band.lower()
    if "lwir" in name or "thermal" in name:
        return "thermal"
    return "panchromatic" if name.startswith("pan") else "band"


def _time(kind: CameraFamily, tags: Tags, packet: Xmp, notes: band_makers.Notes) -> int | None:
    """Return the release in UTC; None where only local time is known."""
    written = packet.text("UTCAtExposure")
    if written:
        time = _stamp(written)
        if time is not None:
            return time
    gps = _gps_time(tags)
    if kind == "micasense":  # EXIF of these cameras is on the clock of their GPS
        return _stamp(tags.text(exif.TAKEN), tags.text(exif.SUBSECOND))
    if gps is not None:
        return gps
    if kind == "sequoia":
        notes.assumptions.append("EXIF time taken as UTC: the file has no GPS time")
        return _stamp(tags.text(exif.TAKEN), tags.text(exif.SUBSECOND_TAKEN))
    notes.warnings.append("has no UTC, only a local time: its captures have no place on a track")
    return None


def _gps_time(tags: Tags) -> int | None:
    """Return date and time of the GPS tags."""
    date, clock = tags.gps.get(29, ""), tags.gps.get(7)
    if not isinstance(date, str) or clock is None or isinstance(clock, (str, bytes)) or len(clock) != 3:
        return None
    midnight = _stamp(f"{date} 00:00:00")
    seconds = float(clock @ (3600.0, 60.0, 1.0))
    if midnight is None or not math.isfinite(seconds):
        return None
    return midnight + round(seconds * NS_PER_SECOND)


def _stamp(text: str, subsecond: str = "") -> int | None:
    """Return int64 UTC ns of a written stamp and the digits of its fraction, which may be negative.

    Examples
    --------
    >>> _stamp("1970:01:01 00:00:02", "5"), _stamp("1970:01:01 00:00:02", "-25")
    (2500000000, 1750000000)
    """
    match = _STAMP.search(text)
    if match is None or match[1] == "0000":
        return None
    year, month, day, hour, minute, second, fraction = match.groups()
    try:
        whole = int(parse_times([f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"])[0])
    except (ValueError, OverflowError):
        return None
    digits = subsecond.lstrip("-") if subsecond else fraction or ""
    if not digits.isdecimal():
        return whole
    part = int(digits[:9].ljust(9, "0"))
    return whole - part if subsecond.startswith("-") else whole + part


def _position(tags: Tags, packet: Xmp) -> tuple[float, float, float] | None:
    """Return (lon, lat, height): DJI writes more digits into XMP than into EXIF, once with a typo."""
    lon = packet.text("GpsLongitude", "GpsLongtitude")
    lat = packet.text("GpsLatitude")
    if lon and lat:
        height = packet.number("AbsoluteAltitude")
        place = (_degrees(lon), _degrees(lat))
        if all(math.isfinite(each) for each in place) and any(place):
            return (*place, height)
    return exif.position(tags)


def _degrees(text: str) -> float:
    """Return ``22.5``, ``22.5 N`` or ``22.5 W`` as signed degrees."""
    match = re.match(r"\s*([+-]?\d+(?:\.\d+)?)[\s°]*([NSEW]?)", text)
    if match is None:
        return math.nan
    return -float(match[1]) if match[2] in {"S", "W"} else float(match[1])


def _attitude(packet: Xmp) -> tuple[float, float, float] | None:
    for names in (("GimbalYawDegree", "GimbalPitchDegree", "GimbalRollDegree"), ("Yaw", "Pitch", "Roll")):
        angles = [packet.number(name, like="" if "Gimbal" in name else "camera") for name in names]
        angles = [
            value if math.isfinite(value) else packet.number(name, like="pix4d")
            for name, value in zip(names, angles, strict=True)
        ]
        if all(math.isfinite(angle) for angle in angles):
            return angles[0], angles[1], angles[2]
    return None
