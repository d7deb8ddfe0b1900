"""The radiometric calibration in front of HySpex raw cubes: response, quantum efficiency, background.

The ENVI header of such a cube has a ``header offset``: the bytes before its numbers are a packed,
little-endian record of the camera with arrays behind it. See ``docs/formats/hyspex-cube.md``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport
from dronesense.model.radiometry import CameraSettings, DarkFrame, Radiometry
from dronesense.readers.tally import Tally

FORMAT: Final = "HySpex header block"
WORD: Final = b"HYSPEX"
MAX_BLOCK_BYTES: Final = 512 << 20
MAX_ELEMENTS: Final = 1 << 26
PLANCK_J_S: Final = 6.62607015e-34
"""Planck constant (SI, exact)."""
LIGHT_NM_S: Final = 2.99792458e17
"""Speed of light in vacuum (SI, exact)."""
US_PER_MS: Final = 1e3
US_PER_S: Final = 1e6

_TEXTS: Final = ("config", "setting", "detector", "sensor", "framegrabber", "id", "supplier", "comment")
_FIELDS: Final = (
    ("word", "8s"),
    ("size", "i"),
    ("serial", "I"),
    ("config", "200s"),
    ("setting", "120s"),
    ("scaling", "d"),
    ("electronics", "64x8x"),
    ("comport", "64s"),
    ("detector", "200s"),
    ("sensor", "200s"),
    ("framegrabber", "200s"),
    ("id", "200s"),
    ("supplier", "200s"),
    ("side_gains", "64x"),
    ("comment", "200s"),
    ("background_file", "200s"),
    ("record", "x12x"),
    ("backgrounds", "I"),
    ("bands", "I"),
    ("samples", "I"),
    ("binning", "I"),
    ("detected", "I"),
    ("integration_us", "I"),
    ("period_us", "I"),
    ("defaults", "12x"),
    ("bitshift", "I"),
    ("states", "76x"),
    ("bad_pixels", "I"),
    ("optics", "20x"),
    ("calibrated", "I"),
    ("averages", "I"),
    ("sf", "d"),
    ("aperture_m", "d"),
    ("ifov_x_rad", "d"),
    ("ifov_y_rad", "d"),
    ("temperature", "d"),
    ("max_rate", "d"),
    ("pointers", "24x"),
)
"""The fixed part, in the order of the file; names end in the unit. Fields that are not used are skipped."""
_NAMES: Final = tuple(name for name, code in _FIELDS if not code.endswith("x"))
_FIXED: Final = struct.Struct("<" + "".join(code for _, code in _FIELDS))
NEEDED: Final = ("sf", "aperture_m", "ifov_x_rad", "ifov_y_rad")


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The arrays behind the fixed part."""

    center_nm: NDArray[np.float64]
    efficiency: NDArray[np.float64]
    response: NDArray[np.float64]
    background: NDArray[np.float64]
    after: NDArray[np.float64] | None


def sniff(head: bytes) -> bool:
    """Return whether *head* is that of a HySpex raw cube."""
    return head[: len(WORD)].upper() == WORD


def read(path: Path) -> tuple[Radiometry, IngestReport]:
    """Read the calibration in front of the numbers of the raw cube *path*.

    The gain is ``h c / (RE QE dlambda lambda SF t A Omega)`` with the response RE of each element, the
    quantum efficiency QE, the sampling and the wavelength (nm) of the band, SF counts per photo-electron, the
    exposure t, the aperture ``A = pi r^2`` and the solid angle Omega of a pixel.

    Parameters
    ----------
    path : Path
        The data file (``.hyspex``, ``.img``, ...), not its ENVI header.

    Returns
    -------
    Radiometry
        Gain in W/(m2 sr nm) per count at the exposure of the cube; the background before the line, and after
        it where the file has one.
    IngestReport

    Raises
    ------
    ReadError
        If the file does not begin with such a block, is cut, or holds numbers that no camera has.
    """
    path = Path(path)
    tally = Tally()
    fixed, tail = _load(path)
    arrays = _arrays(fixed, tail, path)
    gain = _gain(fixed, arrays)
    lost = ~(np.isfinite(gain) & (gain > 0.0))
    if lost.mean() > 0.5:
        raise ReadError("more than half of its response is not greater than 0", where=path)
    notes = [
        "radius of the aperture, angle of a pixel and counts per photo-electron are those of the header block"
    ]
    if fixed["calibrated"]:
        tally.warnings.append(
            "the block says that the cube was calibrated while it was taken: check its unit"
        )
    if fixed["bad_pixels"]:
        tally.warnings.append(
            f"{fixed['bad_pixels']} bad elements are listed and not used: how they are counted is not known"
        )
    settings = CameraSettings(integration_ms=fixed["integration_us"] / US_PER_MS)
    darks = [DarkFrame(arrays.background, settings, name=f"{path.name} (before)")]
    if arrays.after is not None:
        darks.append(DarkFrame(arrays.after, settings, name=f"{path.name} (after)"))
    calibration = Radiometry(
        gain=np.where(lost, math.nan, gain),
        settings=settings,
        darks=tuple(darks),
        center_nm=arrays.center_nm,
        bad_pixels=lost if lost.any() else None,
        name=path.name,
        notes=tuple(notes),
    )
    tally.assumptions += notes
    details: dict[str, object] = {name: _text(fixed[name]) for name in _TEXTS if _text(fixed[name])}
    details |= {"serial": fixed["serial"], "bands": fixed["bands"], "samples": fixed["samples"]}
    return calibration, tally.report(FORMAT, len(darks), details=details)


def _load(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the fixed part by name, and the bytes behind it up to the end of the block."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_FIXED.size)
            fixed = _fixed(head, path)
            tail = stream.read(fixed["size"] - _FIXED.size)
    except ReadError:
        raise
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror})", where=path) from error
    if len(tail) != fixed["size"] - _FIXED.size:
        raise ReadError(
            f"ends within its header block of {fixed['size']} bytes", where=path, fix="copy it again"
        )
    return fixed, tail


def _fixed(head: bytes, path: Path) -> dict[str, Any]:
    if not sniff(head):
        raise ReadError("does not begin with HYSPEX: no header block", where=path)
    if len(head) < _FIXED.size:
        raise ReadError("ends within its header block", where=path, fix="copy it again")
    fixed = dict(zip(_NAMES, _FIXED.unpack(head), strict=True))
    if not _FIXED.size <= fixed["size"] <= MAX_BLOCK_BYTES:
        raise ReadError(f"states a header block of {fixed['size']} bytes", where=path, fix="copy it again")
    return fixed


def _arrays(fixed: dict[str, Any], tail: bytes, path: Path) -> _Arrays:
    bands, samples = fixed["bands"], fixed["samples"]
    elements = bands * samples
    numbers = 2 * bands + 2 * elements
    needed = 8 * numbers + 4 * fixed["bad_pixels"]
    if bands < 2 or samples < 1 or elements > MAX_ELEMENTS or needed > len(tail):
        raise ReadError(
            f"{bands} bands x {samples} samples do not fit into a header block of {fixed['size']} bytes",
            where=path,
            fix="copy the file again",
        )
    if fixed["integration_us"] == 0 or not all(
        math.isfinite(fixed[name]) and fixed[name] > 0.0 for name in NEEDED
    ):
        raise ReadError("exposure, aperture, angle or scale of its block are not greater than 0", where=path)
    data = np.frombuffer(tail, dtype="<f8", count=numbers).astype(np.float64)
    center, efficiency = data[:bands], data[bands : 2 * bands]
    rest = data[2 * bands :].reshape(2, bands, samples)
    if not ((np.diff(center) > 0.0).all() or (np.diff(center) < 0.0).all()) or not (center > 0.0).all():
        raise ReadError("the wavelengths of its block do not rise or fall throughout", where=path)
    after = None
    if len(tail) - needed == 8 * elements:  # nothing else has this size: a second background
        after = np.frombuffer(tail, dtype="<f8", count=elements, offset=needed).reshape(bands, samples)
    return _Arrays(center, efficiency, rest[0], rest[1], after)


def _gain(fixed: dict[str, Any], arrays: _Arrays) -> NDArray[np.float64]:
    """Return W/(m2 sr nm) per count."""
    step = np.abs(np.diff(arrays.center_nm))
    step = np.append(step, step[-1])
    area = math.pi * fixed["aperture_m"] ** 2
    angle = fixed["ifov_x_rad"] * fixed["ifov_y_rad"]
    exposure_s = fixed["integration_us"] / US_PER_S
    per_band = arrays.efficiency * step * arrays.center_nm * fixed["sf"] * exposure_s * area * angle
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(PLANCK_J_S * LIGHT_NM_S / (arrays.response * per_band[:, None]))


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()
