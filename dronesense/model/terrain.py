"""The ground surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """A height grid, bilinear between pixel centers; or a flat surface.

    Parameters
    ----------
    height_m : (ny, nx) float64
        Above the WGS84 ellipsoid, m; NaN where there are no data. ``(1, 1)`` = flat everywhere.
    transform : (a, b, c, d, e, f)
        As in :class:`~dronesense.model.MapGrid` (corner of the first pixel at (0, 0)); ignored when flat.
    crs : str
        CRS of the grid; empty when flat.
    sigma_m : float
        Standard uncertainty of the heights.
    source : str
        File, or how a flat height was chosen.
    """

    height_m: NDArray[np.float64]
    transform: tuple[float, float, float, float, float, float]
    crs: str
    sigma_m: float
    source: str

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None, None), "height_m")
        if not self.is_flat and not self.crs:
            raise ValueError("a terrain grid needs a CRS")
        if not self.sigma_m >= 0.0:
            raise ValueError(f"sigma_m must be >= 0, not {self.sigma_m}")

    @classmethod
    def flat(cls, height_m: float, *, sigma_m: float, source: str) -> Terrain:
        """Return a surface of one ellipsoidal height."""
        return cls(np.array([[height_m]]), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "", sigma_m, source)

    @property
    def is_flat(self) -> bool:
        """True for a single height that holds everywhere."""
        return self.height_m.shape == (1, 1)
