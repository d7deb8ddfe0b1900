"""Lenses in instrument files: `[line_lens]` of line scanners, `[lens]` of frame cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError
from dronesense.model import lens
from dronesense.readers.instrument_keys import Strict

EQUIDISTANT_TERMS: Final = 4
PIX4D_FISHEYE_TERMS: Final = 4


class LineLens(Strict, frozen=True):
    """`[line_lens]`: a pinhole before a line, and its distortion."""

    focal_px: float
    center_px: float
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0


class FrameLens(Strict, frozen=True):
    """`[lens]`."""

    focal_px: tuple[float, float] | None = None
    center_px: tuple[float, float] | None = None
    focal: tuple[float, float] | None = None
    center: tuple[float, float] = (0.0, 0.0)
    model: Literal["perspective", "fisheye", "equidistant"] = "perspective"
    order: Literal["opencv", "opensfm", "micasense", "pix4d"] = "opencv"
    distortion: tuple[float, ...] = ()


def look_from_lens(path: Path, keys: LineLens, samples: int, *, first_sample: str) -> NDArray[np.float64]:
    """Return (samples, 2) degrees: ``tan a = (d - (k1 d^5 + k2 d^3 + k3 d^2)) / f`` with d = j - center.

    Raises
    ------
    ManifestError
        If the focal length is not positive, a number is not finite, or the distortion bends the line back.

    References
    ----------
    Sun, Li, Li and Cui 2016: the distortion polynomial of a line sensor; the form is that of gref4hsi, whose
    ``cx`` counts pixel centers from 0.5 and is 0.5 greater than `center_px`.
    """
    numbers = (keys.focal_px, keys.center_px, keys.k1, keys.k2, keys.k3)
    if not (np.isfinite(numbers).all() and keys.focal_px > 0.0):
        raise ManifestError("focal_px must be > 0 and all numbers finite", where=f"{path}, key line_lens")
    d = np.arange(samples) - keys.center_px
    tangent = (d - (keys.k1 * d**5 + keys.k2 * d**3 + keys.k3 * d**2)) / keys.focal_px
    if samples > 1 and not (np.diff(tangent) > 0.0).all():
        raise ManifestError(
            "the distortion bends the line back: two samples look the same way",
            where=f"{path}, key line_lens",
            fix="check signs and units: k1, k2 and k3 apply to pixels from center_px",
        )
    if first_sample == "starboard":
        tangent = -tangent
    return np.stack([np.degrees(np.arctan(tangent)), np.zeros(samples)], axis=1)


def frame_lens(path: Path, keys: FrameLens, shape: tuple[int, int] | None) -> lens.Lens:
    """Return the lens of a frame camera.

    Raises
    ------
    ManifestError
        If focal length or principal point are missing, or there are too many coefficients.
    """
    where = f"{path}, key lens"
    if not np.isfinite([*keys.distortion, *(keys.focal_px or ()), *(keys.center_px or ())]).all():
        raise ManifestError("all numbers must be finite", where=where)
    distortion = _distortion(keys, where)
    if keys.focal is not None:
        if shape is None or keys.focal_px is not None or keys.center_px is not None:
            fix = "state shape = [rows, cols] and focal, or focal_px and center_px in its place"
            raise ManifestError("focal is a share of the longer side of shape", where=where, fix=fix)
        return lens.normalized(
            keys.model, focal=keys.focal, center=keys.center, distortion=distortion, shape=shape
        )
    if keys.focal_px is None or keys.center_px is None or not min(keys.focal_px) > 0.0:
        raise ManifestError(
            "needs focal_px > 0 and center_px", where=where, fix="pixels, x before y; first center = 0"
        )
    return lens.Lens(keys.model, keys.focal_px, keys.center_px, distortion)


def _distortion(keys: FrameLens, where: str) -> tuple[float, ...]:
    terms = len(keys.distortion)
    if keys.model == "fisheye" and terms != PIX4D_FISHEYE_TERMS:
        raise ManifestError(f"a fisheye has p0, p1, p2, p3, not {terms} numbers", where=where)
    if keys.model == "equidistant" and terms > EQUIDISTANT_TERMS:
        raise ManifestError(f"an equidistant lens has k1 to k4, not {terms} numbers", where=where)
    if keys.model != "perspective":
        return keys.distortion
    try:
        return lens.brown(keys.distortion, order=keys.order)
    except ValueError as error:
        names = ", ".join(lens.COEFFICIENT_ORDERS[keys.order])
        raise ManifestError(f"the order {keys.order} has {names}", where=where) from error
