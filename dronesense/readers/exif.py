"""The tags of a TIFF file as Python values: main directory, EXIF and GPS.

Facts: TIFF 6.0 (1992), section 2; EXIF 2.32 (CIPA DC-008-2019), sections 4.6.3 and 4.6.5; DNG 1.6 for the
level of black. Only the first page is read, and never a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers import tiff_directory

WIDTH: Final = 256
HEIGHT: Final = 257
BITS: Final = 258
MAKE: Final = 271
MODEL: Final = 272
ORIENTATION: Final = 274
SAMPLES: Final = 277
XMP: Final = 700
MAP_TAGS: Final = (33550, 33922, 34264, 34735)
"""ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory: the file is a map (GeoTIFF 1.1)."""
EXIF: Final = 34665
GPS: Final = 34853
BLACK_LEVEL: Final = 50714
CAMERA_SERIAL: Final = 50735
"""Tags of the main directory (TIFF 6.0; EXIF; DNG)."""

EXPOSURE: Final = 33434
F_NUMBER: Final = 33437
ISO: Final = 34855
ISO_SPEED: Final = 34867
TAKEN: Final = 36867
SUBSECOND: Final = 37520
SUBSECOND_TAKEN: Final = 37521
FOCAL_PLANE_X: Final = 41486
FOCAL_PLANE_Y: Final = 41487
FOCAL_PLANE_UNIT: Final = 41488
BODY_SERIAL: Final = 42033
"""Tags of the EXIF directory."""

MM_PER_UNIT: Final = {2: 25.4, 3: 10.0, 4: 1.0}
"""EXIF FocalPlaneResolutionUnit -> mm: inch, centimeter, millimeter."""

_TEXT, _RATIONALS, _BYTES = 2, (5, 10), (1, 7)
_NUMBERS: Final = {
    1: "u1",
    3: "u2",
    4: "u4",
    5: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    10: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}


@dataclass(frozen=True, slots=True)
class Tags:
    """Values of one file by tag number.

    Parameters
    ----------
    path : Path
        The file.
    main, exif, gps : mapping of int to bytes, str or float64 array
        Texts as str; types 1 and 7 as bytes; all other numbers as float64, rationals divided out.
    """

    path: Path
    main: Mapping[int, Any]
    exif: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)

    def text(self, tag: int) -> str:
        """Return a text, empty if there is none; of the main directory, else of EXIF."""
        value = self.main.get(tag, self.exif.get(tag, ""))
        return value if isinstance(value, str) else ""

    def number(self, tag: int, default: float = math.nan) -> float:
        """Return the first number of a tag; of the main directory, else of EXIF."""
        values = self.numbers(tag)
        return float(values[0]) if values.size else default

    def numbers(self, tag: int) -> NDArray[np.float64]:
        """Return the numbers of a tag, none if it is not there or no number."""
        value = self.main.get(tag, self.exif.get(tag))
        if isinstance(value, bytes):
            return np.frombuffer(value, dtype=np.uint8).astype(np.float64)
        return value if isinstance(value, np.ndarray) else np.empty(0)

    @property
    def xmp(self) -> bytes:
        """The XMP packet, empty if there is none."""
        value = self.main.get(XMP, b"")
        return value if isinstance(value, bytes) else b""


def read(path: Path) -> Tags:
    """Return the tags of the first page.

    Raises
    ------
    ReadError
        If the file cannot be opened, is no TIFF file, or ends within its directory.
    """
    try:
        entries = tiff_directory.entries(path, (EXIF, GPS))
    except EOFError as error:
        raise ReadError(
            "ends within its tags", where=path, fix="the copy is cut: copy it again from the card"
        ) from error
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    if entries is None:
        raise ReadError("is not a TIFF file", where=path)
    main, inner = entries
    return Tags(path, _values(main), _values(inner.get(EXIF, ())), _values(inner.get(GPS, ())))


def _values(entries: tuple[tiff_directory.Entry, ...]) -> dict[int, Any]:
    return {each.tag: value for each in entries if (value := _value(each)) is not None}


def _value(entry: tiff_directory.Entry) -> Any:
    if entry.kind == _TEXT:
        return entry.data.split(b"\0")[0].decode("utf-8", "replace").strip()
    if entry.kind in _BYTES:
        return entry.data
    code = _NUMBERS.get(entry.kind)
    if code is None:
        return None
    numbers = np.frombuffer(entry.data, dtype=np.dtype(code).newbyteorder(entry.order)).astype(np.float64)
    if entry.kind not in _RATIONALS:
        return numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        return numbers[0::2] / numbers[1::2]


def position(tags: Tags) -> tuple[float, float, float] | None:
    """Return (lon, lat, height) of the GPS tags, degrees and m; None if there is no fix.

    The height is below the reference if tag 5 says 1; which reference, EXIF does not tell. NaN if it is not
    there.
    """
    lat, lon = (_angle(tags.gps, values, sign) for values, sign in ((2, 1), (4, 3)))
    if not (math.isfinite(lat) and math.isfinite(lon)) or (lat == 0.0 and lon == 0.0):
        return None
    height = tags.gps.get(6)
    up = float(height[0]) if isinstance(height, np.ndarray) and height.size else math.nan
    return lon, lat, -up if tags.gps.get(5, b"\0")[:1] == b"\1" else up


def _angle(gps: Mapping[int, Any], values: int, sign: int) -> float:
    parts = gps.get(values)
    if not isinstance(parts, np.ndarray) or parts.size != 3:
        return math.nan
    angle = float(parts @ (1.0, 1.0 / 60.0, 1.0 / 3600.0))
    return -angle if str(gps.get(sign, "")).upper() in {"S", "W"} else angle
