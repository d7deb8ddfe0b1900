"""Which bands of a cube look like red, green and blue, and how they are stretched for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model.cube import Bands, SpectralCube

RGB_NM: Final = (640.0, 550.0, 460.0)
"""Red, green and blue of a true-color picture, nm."""
RGB_TOLERANCE_NM: Final = 40.0
"""A band farther from its color than this: no true color, but first, middle and last band."""
STRETCH_PERCENT: Final = (2.0, 98.0)
"""Percentiles of a band that become black and full color."""

Floats = NDArray[np.float64]


def rgb_bands(bands: Bands) -> tuple[list[int], str]:
    """Return the band numbers of red, green, blue and what kind of picture they make."""
    good = np.flatnonzero(bands.good)
    good = good if good.size else np.arange(len(bands))
    center = bands.center_nm[good]
    if np.isfinite(center).any():
        off = np.abs(center[None, :] - np.array(RGB_NM)[:, None])
        off = np.where(np.isfinite(off), off, np.inf)
        if off.min(axis=1).max() <= RGB_TOLERANCE_NM:
            return [int(good[k]) for k in off.argmin(axis=1)], "true color"
    chosen = [int(good[k]) for k in (-1, len(good) // 2, 0)]
    named = "/".join(band_name(bands, band) for band in chosen)
    return chosen, f"false color ({named})"


def band_name(bands: Bands, band: int) -> str:
    """Return the wavelength of a band, or its number, as a label."""
    center = bands.center_nm[band]
    return f"{center:.0f} nm" if np.isfinite(center) else f"band {band}"


def decimated(
    cube: SpectralCube, bands: Sequence[int], *, rows: Sequence[int], step: int = 1
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return every *step*-th pixel of *rows*: (rows, cols, bands), and validity (rows, cols).

    Rows are read one by one, never the whole cube.
    """
    width = len(range(0, cube.shape[2], step))
    picture = np.empty((len(rows), width, len(bands)))
    valid = np.empty((len(rows), width), dtype=np.bool_)
    for k, row in enumerate(rows):  # rows of a file, not pixels
        values, good = cube.source.read(row, row + 1)
        picture[k] = values[0, list(bands), ::step].T
        valid[k] = good[0, ::step]
    return picture, valid & np.isfinite(picture).all(axis=2)


def stretched(picture: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return colors (..., 3) between 0 and 1; NaN where not *valid*."""
    if not valid.any():
        return np.full_like(picture, np.nan)
    low, high = np.percentile(picture[valid], STRETCH_PERCENT, axis=0)
    scaled = np.clip((picture - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
    return np.where(valid[..., None], scaled, np.nan)
