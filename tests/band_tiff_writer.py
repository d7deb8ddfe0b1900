"""Small band TIFFs as multispectral cameras write them: one strip, EXIF, GPS, XMP.

Shares no code with the readers.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"ascii": 2, "short": 3, "long": 4, "rational": 5, "byte": 1}


def _field(kind: str, value: Any) -> tuple[int, int, bytes]:
    """Return type, count and bytes of a value."""
    if kind == "ascii":
        raw = value.encode() + b"\0"
        return TYPES[kind], len(raw), raw
    if kind == "byte":
        return TYPES[kind], len(value), bytes(value)
    values = value if isinstance(value, (list, tuple)) else [value]
    if kind == "rational":
        raw = b"".join(struct.pack("<II", *pair) for pair in values)
        return TYPES[kind], len(values), raw
    code = {"short": "H", "long": "I"}[kind]
    return TYPES[kind], len(values), struct.pack(f"<{len(values)}{code}", *values)


def _directory(fields: dict[int, tuple[str, Any]], at: int) -> bytes:
    """Return an IFD that stands at byte *at*, its long values behind it."""
    out, tail = b"", b""
    begin = at + 2 + 12 * len(fields) + 4
    for tag in sorted(fields):
        kind, count, raw = _field(*fields[tag])
        if len(raw) <= 4:
            cell = raw.ljust(4, b"\0")
        else:
            cell = struct.pack("<I", begin + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
        out += struct.pack("<HHI", tag, kind, count) + cell
    return struct.pack("<H", len(fields)) + out + struct.pack("<I", 0) + tail


def write(
    path: Path,
    pixels: np.ndarray,
    *,
    make: str,
    model: str,
    xmp: str,
    main: dict[int, tuple[str, Any]] | None = None,
    exif: dict[int, tuple[str, Any]] | None = None,
    gps: dict[int, tuple[str, Any]] | None = None,
) -> Path:
    """Write pixels (uint8 or uint16) with tags; returns *path*."""
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    data += b"\0" * (len(data) % 2)
    rows, cols = pixels.shape
    at = 8 + len(data)
    inner: dict[int, tuple[str, Any]] = {}
    blocks = b""
    for tag, fields in ((34665, exif), (34853, gps)):
        if fields:
            inner[tag] = ("long", at + len(blocks))
            blocks += _directory(fields, at + len(blocks))
    fields = {
        256: ("long", cols),
        257: ("long", rows),
        258: ("short", pixels.dtype.itemsize * 8),
        259: ("short", 1),
        262: ("short", 1),
        271: ("ascii", make),
        272: ("ascii", model),
        273: ("long", 8),
        277: ("short", 1),
        278: ("long", rows),
        279: ("long", rows * cols * pixels.dtype.itemsize),
        **inner,
        **(main or {}),
    }
    if xmp:
        fields[700] = ("byte", xmp.encode())
    start = at + len(blocks)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, start) + data + blocks + _directory(fields, start))
    return path


def packet(body: str) -> str:
    """Return an XMP packet around descriptions."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{body}</rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    )


def sequence(name: str, *values: Any) -> str:
    """Return an element that holds a list."""
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<{name}><rdf:Seq>{items}</rdf:Seq></{name}>"


REDEDGE = {
    1: ("Blue", 475, 20),
    2: ("Green", 560, 20),
    3: ("Red", 668, 10),
    4: ("NIR", 840, 40),
    5: ("Red edge", 717, 10),
}
"""File number -> band, center and width, nm."""


def rededge(
    folder: Path,
    pixels: np.ndarray,
    number: int,
    *,
    stem: str = "IMG_0000",
    capture: str = "abc",
    camera_uri: str = "http://pix4d.com/camera/1.0",
    extra: str = "",
    radiometry: tuple[float, float, float] = (1.5e-4, 1.1e-7, 1.4e-6),
    vignetting: tuple[float, ...] = (0.0,) * 6,
    center: tuple[float, float] = (0.0, 0.0),
    exposure: tuple[int, int] = (472_500, 1_000_000_000),
    iso: int = 100,
    black: int = 4800,
    clock: str = "2017:10:19 20:40:39",
    subsecond: str = "200173789",
    model: str = "RedEdge",
    xmp: str | None = None,
) -> Path:
    """Write band *number* of a RedEdge capture."""
    band, nm, fwhm = REDEDGE[number]
    body = (
        f'<rdf:Description xmlns:MicaSense="http://micasense.com/MicaSense/1.0/" xmlns:Camera="{camera_uri}" '
        'xmlns:DLS="http://micasense.com/DLS/1.0/">'
        f"<MicaSense:CaptureId>{capture}</MicaSense:CaptureId>"
        f"{sequence('MicaSense:RadiometricCalibration', *radiometry)}"
        f"<Camera:BandName>{band}</Camera:BandName><Camera:CentralWavelength>{nm}</Camera:CentralWavelength>"
        f"<Camera:WavelengthFWHM>{fwhm}</Camera:WavelengthFWHM>"
        f"<Camera:RigCameraIndex>{number - 1}</Camera:RigCameraIndex>"
        f"{sequence('Camera:VignettingCenter', *center)}"
        f"{sequence('Camera:VignettingPolynomial', *vignetting)}"
        f"{extra}</rdf:Description>"
    )
    return write(
        folder / f"{stem}_{number}.tif",
        pixels,
        make="MicaSense",
        model=model,
        xmp=packet(body) if xmp is None else xmp,
        main={50713: ("short", [2, 2]), 50714: ("short", [black] * 4)},
        exif={
            33434: ("rational", [exposure]),
            33437: ("rational", [(28, 10)]),
            34867: ("long", iso),
            36867: ("ascii", clock),
            37520: ("ascii", subsecond),
            41486: ("rational", [(266_666_667, 1_000_000)]),
            41487: ("rational", [(266_666_667, 1_000_000)]),
            41488: ("short", 4),
        },
        gps={
            1: ("ascii", "N"),
            2: ("rational", [(36, 1), (34, 1), (339456, 10000)]),
            3: ("ascii", "W"),
            4: ("rational", [(119, 1), (26, 1), (6968, 1000)]),
            5: ("byte", [0]),
            6: ("rational", [(101861, 1000)]),
        },
    )


def sequoia(
    folder: Path, pixels: np.ndarray, band: str, *, stem: str = "IMG_180413_080658_0000", sun: str = ""
) -> Path:
    """Write one band of a Sequoia: attributes and elements mixed, as its firmware does."""
    nm = {"GRE": 550, "RED": 660, "REG": 735, "NIR": 790}[band]
    body = (
        '<rdf:Description xmlns:Camera="http://pix4d.com/camera/1.0/" '
        f'Camera:CaptureUUID="BE5A" Camera:RigCameraIndex="{["GRE", "RED", "REG", "NIR"].index(band)}">'
        f"{sequence('Camera:SensorModel', '271665.8,5008.3,2581.1')}{sequence('Camera:BandName', band)}"
        f"{sequence('Camera:CentralWavelength', nm)}{sequence('Camera:WavelengthFWHM', 40)}"
        f"{sequence('Camera:VignettingPolynomial2DName', '0,0,1,0,0,1')}"
        f"{sequence('Camera:VignettingPolynomial2D', '1,-0.5,-0.25')}"
        f"<Camera:IrradianceList>{sun}</Camera:IrradianceList></rdf:Description>"
    )
    return write(
        folder / f"{stem}_{band}.TIF",
        pixels,
        make="Parrot",
        model="Sequoia",
        xmp=packet(body),
        exif={
            33434: ("rational", [(3, 1000)]),
            33437: ("rational", [(22, 10)]),
            34855: ("short", 621),
            36867: ("ascii", "2018:04:13 08:06:58"),
            37521: ("ascii", "267458"),
        },
    )


P4M_VIGNETTING = (0.000218235, 1.20722e-06, -2.8676e-09, 5.1742e-12, -4.16853e-15, 1.36962e-18)
"""Example values of the P4 Multispectral Image Processing Guide."""


def dji(
    folder: Path, pixels: np.ndarray, name: str, band: str, *, model: str = "M3M", extra: str = ""
) -> Path:
    """Write one band of a Mavic 3M or P4M: attributes of the namespace drone-dji."""
    index = ["Green", "Red", "RedEdge", "NIR", "Blue"].index(band)
    nm = {"Blue": 450, "Green": 560, "Red": 650, "RedEdge": 730, "NIR": 860}[band]
    level = 'drone-dji:BlackLevel="3200"' if model == "M3M" else ""
    body = (
        f'<rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" {level} '
        f'drone-dji:BandName="{band}" drone-dji:BandFreq="{nm}(+/-16)nm" drone-dji:SensorIndex="{index}" '
        'drone-dji:SensorGain="1.044" drone-dji:SensorGainAdjustment="1.002" drone-dji:ExposureTime="1000" '
        'drone-dji:Irradiance="2000.0" drone-dji:CaptureUUID="7f1a" '
        'drone-dji:CalibratedOpticalCenterX="0" drone-dji:CalibratedOpticalCenterY="0" '
        f'drone-dji:VignettingData="{", ".join(map(str, P4M_VIGNETTING))}" '
        'drone-dji:UTCAtExposure="2023-03-09T02:47:57.125" '
        'drone-dji:GpsLatitude="22.5" drone-dji:GpsLongitude="-113.25" '
        'drone-dji:AbsoluteAltitude="+50.000" '
        'drone-dji:GimbalYawDegree="+10.5" drone-dji:GimbalPitchDegree="-90.0" '
        'drone-dji:GimbalRollDegree="0.0" '
        f"{extra}/>"
    )
    return write(
        folder / name,
        pixels,
        make="DJI",
        model=model,
        xmp=packet(body),
        main={} if model == "M3M" else {50714: ("short", 4096)},
        exif={36867: ("ascii", "2023:03:09 10:47:57")},
    )
