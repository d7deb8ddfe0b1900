"""The wind during a flight, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze, strictly_increasing


@dataclass(frozen=True, slots=True, eq=False)
class Wind:
    """Velocity of the air over the ground.

    Parameters
    ----------
    time : (k,) int64
        UTC ns, strictly increasing; a single row stands for the whole flight.
    east, north : (k,) float64
        m/s TOWARD the east and north (a wind from the west has east > 0); NaN where unknown.
    sigma_east, sigma_north : (k,) float64
        Standard uncertainty of the mean wind, m/s.
    cov_east_north : (k,) float64, optional
        Covariance of the two, m²/s²; 0 when not given.
    up : (k,) float64, optional
        m/s upward.
    height_m : float
        Above ground, NaN when unknown.
    source : str
        File, or the table of the manifest.
    history : tuple of str
        One line per step.
    """

    time: NDArray[np.int64]
    east: NDArray[np.float64]
    north: NDArray[np.float64]
    sigma_east: NDArray[np.float64]
    sigma_north: NDArray[np.float64]
    cov_east_north: NDArray[np.float64] | None = None
    up: NDArray[np.float64] | None = None
    height_m: float = float("nan")
    source: str = ""
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.time)
        if k == 0:
            raise ValueError("a wind needs at least one row")
        freeze(self, np.int64, (None,), "time")
        freeze(self, np.float64, (k,), "east", "north", "sigma_east", "sigma_north", "cov_east_north", "up")
        strictly_increasing(self.time, "time")
        if np.any(self.sigma_east < 0.0) or np.any(self.sigma_north < 0.0):
            raise ValueError("sigma_east and sigma_north must not be negative")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def is_constant(self) -> bool:
        """True where one wind stands for the whole flight."""
        return len(self.time) == 1

    @property
    def speed_m_s(self) -> NDArray[np.float64]:
        """Horizontal speed, (k,) m/s."""
        return np.asarray(np.hypot(self.east, self.north))

    @property
    def from_deg(self) -> NDArray[np.float64]:
        """Direction the wind comes FROM, (k,) degrees clockwise from true north, 0 to 360."""
        return np.asarray(np.degrees(np.arctan2(-self.east, -self.north)) % 360.0)
