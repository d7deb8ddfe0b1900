"""What each maker of multispectral cameras writes about one band: constants of radiometry, optics, light.

Facts: tags as they stand in files of a RedEdge (firmware 2.1.2) and a Sequoia (1.4.1); MicaSense
``imageprocessing`` (as documentation); DJI "P4 Multispectral Image Processing Guide" v1.0 (2020.07),
"Mavic 3M Image Processing Guide" v1.0 (2023.08) and the user manual of the Mavic 3M. No file of an Altum, P4M
or M3M was at hand.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model.capture import BandFrame, CameraFamily
from dronesense.model.lens import Lens, brown
from dronesense.readers import exif
from dronesense.readers.exif import Tags
from dronesense.readers.xmp import Xmp

FULL_SCALE_12: Final = 65520.0
"""Largest count of 12 bits stored in the upper bits of 16 (4095 * 16): RedEdge, seen in its files."""
FULL_SCALE_10: Final = 65472.0
"""Largest count of 10 bits stored in the upper bits of 16 (1023 * 64): Sequoia, seen in its files."""
WRONG_EXPOSURE_S: Final = 1.0 / 6329.0
TRUE_EXPOSURE_S: Final = 0.000274
"""Old RedEdge firmware writes the first where the second was used (MicaSense imageprocessing, metadata)."""
ISO_AT_UNIT_GAIN: Final = 100.0
US_PER_SECOND: Final = 1e6
SUN_RECORD: Final = struct.Struct("<QHHHHfff")
"""Sequoia IrradianceList: time, count, second count, gain, exposure, three angles (28 bytes)."""
P4M_BANDS_NM: Final = {
    "blue": (450.0, 32.0),
    "green": (560.0, 32.0),
    "red": (650.0, 32.0),
    "rededge": (730.0, 32.0),
    "nir": (840.0, 52.0),
}
"""Center and full width of the P4 Multispectral's bands (450, 560, 650, 730 ± 16 nm, 840 ± 26 nm)."""

DLS_NAMES: Final = (
    "Irradiance",
    "SpectralIrradiance",
    "HorizontalIrradiance",
    "DirectIrradiance",
    "ScatteredIrradiance",
    "IrradianceScaleToSIUnits",
    "SolarElevation",
    "SolarAzimuth",
)


@dataclass(slots=True)
class Notes:
    """What a file did not say, and what a user should know."""

    assumptions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def frame(kind: CameraFamily, path: Path, tags: Tags, packet: Xmp, notes: Notes) -> BandFrame:
    """Return what a file of that family says of its band.

    Raises
    ------
    ReadError
        If something that its radiometry needs is missing.
    """
    makers = {"micasense": _micasense, "sequoia": _sequoia, "dji-p4m": _dji, "dji-m3m": _dji}
    shape = (int(tags.number(exif.HEIGHT, 0.0)), int(tags.number(exif.WIDTH, 0.0)))
    if min(shape) < 1:
        raise ReadError(f"has {shape[0]} rows of {shape[1]} pixels", where=path, fix="copy it again")
    center, width = packet.number("CentralWavelength"), packet.number("WavelengthFWHM")
    common = {
        "path": str(path),
        "band": packet.text("BandName"),
        "index": int(_finite(packet.number("RigCameraIndex", "SensorIndex"), 0.0)),
        "shape": shape,
        "center_nm": center if center > 0.0 else math.nan,
        "fwhm_nm": width if width > 0.0 else math.nan,
        "bits": int(tags.number(exif.BITS)),
        "f_number": tags.number(exif.F_NUMBER),
    }
    if not common["band"]:
        raise ReadError("has no BandName in its XMP", where=path, fix="use the file as the camera wrote it")
    return makers[kind](common, tags, packet, notes)


def _micasense(common: dict[str, Any], tags: Tags, packet: Xmp, notes: Notes) -> BandFrame:
    exposure = _positive(tags, exif.EXPOSURE, "ExposureTime")
    if "altum" not in tags.text(exif.MODEL).lower() and abs(exposure - WRONG_EXPOSURE_S) < 1e-6:
        exposure = TRUE_EXPOSURE_S
        notes.assumptions.append("exposure 1/6329 s of old firmware taken as 274 us")
    iso = tags.number(exif.ISO_SPEED, tags.number(exif.ISO))
    if not iso > 0.0:
        raise ReadError("has no ISO speed in its EXIF", where=tags.path, fix="use it as the camera wrote it")
    thermal = "lwir" in common["band"].lower()
    parameters = {"DarkRowValue": packet.numbers("DarkRowValue")} if "DarkRowValue" in packet else {}
    if not thermal:
        parameters |= {
            "RadiometricCalibration": packet.require("RadiometricCalibration", 3),
            "VignettingCenter": packet.require("VignettingCenter", 2),
            "VignettingPolynomial": packet.require("VignettingPolynomial", 6),
        }
    black = tags.numbers(exif.BLACK_LEVEL)
    if not black.size and not thermal:
        raise ReadError("has no BlackLevel tag", where=tags.path, fix="use it as the camera wrote it")
    return BandFrame(
        **common,
        exposure_s=exposure,
        gain=iso / ISO_AT_UNIT_GAIN,
        black_level=float(black.mean()) if black.size else 0.0,
        saturation_dn=_full_scale(common["bits"], FULL_SCALE_12),
        lens=_brown_lens(tags, packet),
        rig_deg=_triple(packet.numbers("RigRelatives")),
        parameters=parameters,
        light=_dls(packet),
        panel=_corners(packet),
        panel_reflectance=packet.number("Albedo"),
    )


def _dls(packet: Xmp) -> dict[str, float]:
    light = {name: packet.number(name) for name in DLS_NAMES}
    light |= {f"Dls{name}": packet.number(name, like="dls") for name in ("Yaw", "Pitch", "Roll")}
    return {name: value for name, value in light.items() if math.isfinite(value)}


def _corners(packet: Xmp) -> tuple[tuple[float, float], ...]:
    numbers = packet.numbers("ReflectArea")
    return tuple(zip(numbers[0::2], numbers[1::2], strict=True)) if len(numbers) == 8 else ()


def _brown_lens(tags: Tags, packet: Xmp) -> Lens | None:
    """Return the lens of ``PerspectiveDistortion`` (k1, k2, k3, p1, p2); focal length in px if not mm."""
    per_mm = _pixels_per_mm(tags)
    principal, distortion = packet.numbers("PrincipalPoint"), packet.numbers("PerspectiveDistortion")
    focal = packet.number("PerspectiveFocalLength")
    if len(principal) != 2 or len(distortion) != 5 or per_mm is None or not focal > 0.0:
        return None
    if packet.text("PerspectiveFocalLengthUnits") == "mm":
        focal_px = (focal * per_mm[0], focal * per_mm[1])
    else:
        focal_px = (focal, focal)
    center = (principal[0] * per_mm[0], principal[1] * per_mm[1])
    return Lens("perspective", focal_px, center, brown(distortion, order="micasense"))


def _pixels_per_mm(tags: Tags) -> tuple[float, float] | None:
    unit = exif.MM_PER_UNIT.get(int(tags.number(exif.FOCAL_PLANE_UNIT, 2.0)))
    across, down = tags.number(exif.FOCAL_PLANE_X), tags.number(exif.FOCAL_PLANE_Y)
    return None if unit is None or not (across > 0.0 and down > 0.0) else (across / unit, down / unit)


def _sequoia(common: dict[str, Any], tags: Tags, packet: Xmp, notes: Notes) -> BandFrame:
    names = packet.numbers("VignettingPolynomial2DName")
    if len(names) % 2 or not names:
        raise ReadError(
            "has no VignettingPolynomial2DName in its XMP", where=tags.path, fix="use the original file"
        )
    parameters = {
        "SensorModel": packet.require("SensorModel", 3),
        "BlackCurrent": packet.numbers("BlackCurrent"),
        "VignettingPolynomial2DName": names,
        "VignettingPolynomial2D": packet.require("VignettingPolynomial2D", len(names) // 2),
    } | _sun_records(packet, tags.path, notes)
    if "InvalidPixel" in packet:
        notes.assumptions.append("InvalidPixel not used: the order of its numbers is not documented")
    return BandFrame(
        **common,
        exposure_s=_positive(tags, exif.EXPOSURE, "ExposureTime"),
        gain=_positive(tags, exif.ISO, "ISO"),
        black_level=packet.require("SensorModel", 3)[1],
        saturation_dn=_full_scale(common["bits"], FULL_SCALE_10),
        lens=_fisheye_lens(tags, packet),
        rig_deg=_triple(packet.numbers("RigRelatives")),
        parameters=parameters,
        light={"IrradianceUnitScale": packet.number("IrradianceUnitScale")},
    )


def _sun_records(packet: Xmp, path: Path, notes: Notes) -> dict[str, tuple[float, ...]]:
    """Return the columns of the irradiance list by name, nothing where there is none."""
    text = "".join(packet.text("IrradianceList").split())
    if not text:
        notes.warnings.append("has no irradiance list: no sunshine sensor was connected")
        return {}
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ReadError(f"has a damaged IrradianceList ({error})", where=path) from error
    if not raw or len(raw) % SUN_RECORD.size:
        raise ReadError(
            f"has an IrradianceList of {len(raw)} bytes, not of records of {SUN_RECORD.size}", where=path
        )
    columns = list(zip(*SUN_RECORD.iter_unpack(raw), strict=True))
    keys = ("SunTime", "SunCount", "SunCount2", "SunGain", "SunExposure")
    return {key: tuple(float(each) for each in column) for key, column in zip(keys, columns, strict=False)}


def _fisheye_lens(tags: Tags, packet: Xmp) -> Lens | None:
    per_mm = _pixels_per_mm(tags)
    principal, polynomial = packet.numbers("PrincipalPoint"), packet.numbers("FisheyePolynomial")
    affine = packet.numbers("FisheyeAffineMatrix")
    if len(principal) != 2 or len(polynomial) != 4 or len(affine) != 4 or per_mm is None:
        return None
    if affine[1] != 0.0 or affine[2] != 0.0:
        return None
    center = (principal[0] * per_mm[0], principal[1] * per_mm[1])
    return Lens("fisheye", (affine[0], affine[3]), center, polynomial)


def _dji(common: dict[str, Any], tags: Tags, packet: Xmp, notes: Notes) -> BandFrame:
    if not common["center_nm"] > 0.0:
        common["center_nm"], common["fwhm_nm"] = _band_freq(common["band"], packet, notes)
    black = packet.number("BlackLevel", "BlackCurrent")
    if not math.isfinite(black):
        black = float(tags.numbers(exif.BLACK_LEVEL).mean()) if exif.BLACK_LEVEL in tags.main else math.nan
    if not math.isfinite(black):
        raise ReadError("has no black level", where=tags.path, fix="use it as the camera wrote it")
    center = packet.numbers("VignettingCenter")
    if len(center) != 2:
        center = packet.require("CalibratedOpticalCenterX", 1) + packet.require("CalibratedOpticalCenterY", 1)
    exposure = packet.number("ExposureTime")
    exposure = exposure / US_PER_SECOND if exposure > 0.0 else _positive(tags, exif.EXPOSURE, "ExposureTime")
    notes.assumptions.append(
        f"counts from {FULL_SCALE_12:g} taken as saturated: DJI does not document its full scale"
    )
    matrix = packet.numbers("CalibratedHMatrix")
    return BandFrame(
        **common,
        exposure_s=exposure,
        gain=packet.require("SensorGain", 1)[0],
        black_level=black,
        saturation_dn=_full_scale(common["bits"], FULL_SCALE_12),
        lens=_dewarp_lens(packet),
        homography=matrix if len(matrix) == 9 else None,
        parameters={
            "VignettingCenter": center,
            "VignettingData": packet.require("VignettingData", 6, "VignettingPolynomial"),
            "SensorGainAdjustment": packet.require("SensorGainAdjustment", 1),
        },
        light={
            name: packet.number(name)
            for name in ("Irradiance", "SunSensor", "SunSensorExposureTime")
            if math.isfinite(packet.number(name))
        },
    )


def _band_freq(band: str, packet: Xmp, notes: Notes) -> tuple[float, float]:
    """Return center and full width of ``840(+/-26)nm``, else what the P4M's manual says of the name."""
    match = re.match(r"\s*(\d+(?:\.\d+)?)\s*\(\D*(\d+(?:\.\d+)?)\)", packet.text("BandFreq"))
    if match:
        notes.assumptions.append("half width of BandFreq doubled to a full width at half maximum")
        return float(match[1]), 2.0 * float(match[2])
    known = P4M_BANDS_NM.get(band.lower().replace(" ", "").replace("_", ""), (math.nan, math.nan))
    notes.assumptions.append("wavelengths taken from the band's name")
    return known


def _dewarp_lens(packet: Xmp) -> Lens | None:
    """Return the lens of ``[date;]fx,fy,cx,cy,k1,k2,p1,p2,k3``; cx, cy count from the designed center."""
    numbers = packet.text("DewarpData").rpartition(";")[2].split(",")
    origin = packet.numbers("CalibratedOpticalCenterX") + packet.numbers("CalibratedOpticalCenterY")
    if len(numbers) != 9 or len(origin) != 2:
        return None
    try:
        fx, fy, cx, cy, *distortion = (float(text) for text in numbers)
    except ValueError:
        return None
    return Lens("perspective", (fx, fy), (origin[0] + cx, origin[1] + cy), tuple(distortion))


def _full_scale(bits: int, of_16: float) -> float:
    return of_16 if bits == 16 else float(2**bits - 1)


def _positive(tags: Tags, tag: int, name: str) -> float:
    value = tags.number(tag)
    if not (value > 0.0 and np.isfinite(value)):
        raise ReadError(f"has no {name} in its EXIF", where=tags.path, fix="use it as the camera wrote it")
    return value


def _triple(numbers: tuple[float, ...]) -> tuple[float, float, float] | None:
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _finite(value: float, default: float) -> float:
    return value if math.isfinite(value) else default
