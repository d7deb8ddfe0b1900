"""What is wrong with the values of a calibrated cube, counted on some lines and told, never mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dronesense.model import SpectralCube

LOOKED_BYTES: Final = 16 * 1024 * 1024
"""Values of the lines that are looked at: all of a small cube, evenly spread ones of a large one."""
LIMITS: Final = (0.0, 1.2)
"""Reflectances outside are hardly those of a surface: noise, glint, a wrong panel, shade on it."""
WARN_SHARE: Final = 0.01
"""Share of pixels from which the user is warned."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Shares of pixels.

    Parameters
    ----------
    pixels, lines : int
        Looked at.
    saturated : float
        With a count at the limit in a good band.
    bad : float
        Not valid for another reason: no data, remnants of the readout, samples with too many bad elements.
    below, above : float
        Valid, with a reflectance below 0, above 1.2, in any good band.
    worst : int
        Band with most of those; -1: none.
    """

    pixels: int
    lines: int
    saturated: float
    bad: float
    below: float
    above: float
    worst: int


def look(raw: SpectralCube, cube: SpectralCube, *, saturation_dn: float) -> Quality:
    """Return what is wrong with the pixels of *cube*, which was made of *raw*.

    Parameters
    ----------
    raw : SpectralCube
        As recorded.
    cube : SpectralCube
        Calibrated.
    saturation_dn : float
        Count of *raw* from which a pixel is saturated.
    """
    rows, bands, cols = cube.shape
    count = int(np.clip(LOOKED_BYTES // (4 * bands * cols), 1, rows))
    good = cube.bands.good
    limited = np.isfinite(saturation_dn) and raw.quantity == "counts"
    saturated = invalid = below = above = 0
    by_band = np.zeros(bands, dtype=np.int64)
    for row in np.unique(np.linspace(0, rows - 1, count).astype(int)).tolist():
        values, valid = cube.source.read(row, row + 1)
        full = np.zeros(cols, dtype=bool)
        if limited:
            full = (raw.source.read(row, row + 1)[0][0][good] >= saturation_dn).any(axis=0)
        saturated += int(full.sum())
        invalid += int((~valid[0] & ~full).sum())
        if cube.quantity == "reflectance":
            low = (values[0] < LIMITS[0]) & good[:, None] & valid[0]
            high = (values[0] > LIMITS[1]) & good[:, None] & valid[0]
            below += int(low.any(axis=0).sum())
            above += int(high.any(axis=0).sum())
            by_band += (low | high).sum(axis=1)
    pixels = count * cols
    worst = int(np.argmax(by_band)) if by_band.any() else -1
    return Quality(pixels, count, saturated / pixels, invalid / pixels, below / pixels, above / pixels, worst)


def statement(found: Quality, cube: SpectralCube) -> dict[str, object]:
    """Return the shares for the books."""
    return {
        "cube": cube.path,
        "quantity": cube.quantity,
        "lines_looked_at": found.lines,
        "lines": cube.shape[0],
        "pixels_looked_at": found.pixels,
        "saturated_share": found.saturated,
        "bad_share": found.bad,
        "below_0_share": found.below,
        f"above_{LIMITS[1]:g}_share": found.above,
        "most_often_in_band": None if found.worst < 0 else found.worst,
    }


def warnings(found: Quality, cube: SpectralCube) -> list[str]:
    """Return what a user should know of them."""
    told = []
    if found.saturated > WARN_SHARE:
        told.append(f"{found.saturated:.1%} of its pixels are saturated and are not searched")
    if found.bad > WARN_SHARE:
        told.append(f"{found.bad:.1%} of its pixels hold no usable value and are not searched")
    outside = [
        f"{share:.1%} below 0" if low else f"{share:.1%} above {LIMITS[1]:g}"
        for share, low in ((found.below, True), (found.above, False))
        if share > WARN_SHARE
    ]
    if outside:
        center = cube.bands.center_nm[found.worst]
        where = f"{center:.0f} nm" if np.isfinite(center) else f"band {found.worst}"
        told.append(
            f"reflectance of {' and '.join(outside)} of its pixels in some band, most often at {where}: "
            "kept as it is; check dark, panel and light"
        )
    return [f"{cube.path}: {each}" for each in told]
