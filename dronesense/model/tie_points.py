"""The same place in two strips, and surveyed places in one: what mounts are calibrated by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True, eq=False)
class TiePoints:
    """Places that two strips saw.

    Parameters
    ----------
    strips : tuple of str
        Names.
    strip_a, strip_b : (n,) int64
        Which of them, never the same.
    line_a, sample_a, line_b, sample_b : (n,) float64
        Pixels, from 0; the center of a pixel is the integer.
    sigma_px : (n,) float64
        Standard uncertainty of the match per axis, pixels.
    """

    strips: tuple[str, ...]
    strip_a: NDArray[np.int64]
    strip_b: NDArray[np.int64]
    line_a: NDArray[np.float64]
    sample_a: NDArray[np.float64]
    line_b: NDArray[np.float64]
    sample_b: NDArray[np.float64]
    sigma_px: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.strip_a)
        freeze(self, np.int64, (n,), "strip_a", "strip_b")
        freeze(self, np.float64, (n,), "line_a", "sample_a", "line_b", "sample_b", "sigma_px")
        both = np.concatenate([self.strip_a, self.strip_b])
        if n and not (both.min() >= 0 and both.max() < len(self.strips)):
            raise ValueError("strip_a and strip_b count the names in strips")
        if np.any(self.strip_a == self.strip_b):
            raise ValueError("a tie point is in two different strips")
        if not np.all(self.sigma_px > 0.0):
            raise ValueError("sigma_px must be > 0")

    def __len__(self) -> int:
        return len(self.strip_a)


@dataclass(frozen=True, slots=True, eq=False)
class GroundControl:
    """Surveyed places that strips saw.

    Parameters
    ----------
    strips : tuple of str
        Names.
    strip : (n,) int64
        Which of them.
    line, sample : (n,) float64
        Pixels, as in :class:`TiePoints`.
    lon, lat : (n,) float64
        WGS84, degrees.
    sigma_m : (n,) float64
        Standard uncertainty of the survey per horizontal axis.
    sigma_px : (n,) float64
        Of the pixel, per axis.
    """

    strips: tuple[str, ...]
    strip: NDArray[np.int64]
    line: NDArray[np.float64]
    sample: NDArray[np.float64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    sigma_m: NDArray[np.float64]
    sigma_px: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.strip)
        freeze(self, np.int64, (n,), "strip")
        freeze(self, np.float64, (n,), "line", "sample", "lon", "lat", "sigma_m", "sigma_px")
        if n and not (self.strip.min() >= 0 and self.strip.max() < len(self.strips)):
            raise ValueError("strip counts the names in strips")
        if not (np.all(self.sigma_px > 0.0) and np.all(self.sigma_m >= 0.0)):
            raise ValueError("sigma_px must be > 0, sigma_m >= 0")

    def __len__(self) -> int:
        return len(self.strip)
