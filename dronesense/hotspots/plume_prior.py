"""What is held to be possible of a source and its plume before the readings are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FACTORS: Final = ("across", "vertical", "swing", "memory_s", "size_m", "strength", "floor_ppm")
"""Log-normal: their logarithms are sampled in standard deviations from the median, after the turn."""
FLAT: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Candidates: a source, and what its plume did.

    Parameters
    ----------
    x, y, height : (k,) float64
        m.
    rate_kg_h : (k,) float64
    turn_rad : (k,) float64
        Counterclockwise from the given mean wind to the one that carried the plume.
    across, vertical : (k,) float64
        Factors on the growth of the plume.
    swing : (k,) float64
        Factor on the swing of the direction of the gas when it is released.
    memory_s : (k,) float64
        How long the direction remembers where it was.
    size_m : (k,) float64
        Half width and half height of the plume at the source.
    strength : (k,) float64
        Standard deviation of the logarithm of what a pass meets against the mean plume.
    floor_ppm : (k,) float64
        Standard deviation of what is neither plume nor noise in an average.
    """

    x: Floats
    y: Floats
    height: Floats
    rate_kg_h: Floats
    turn_rad: Floats
    across: Floats
    vertical: Floats
    swing: Floats
    memory_s: Floats
    size_m: Floats
    strength: Floats
    floor_ppm: Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """A log-normal quantity: its median, and the standard deviation of its natural logarithm."""

    median: float
    log_sigma: float


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Independent priors.

    Parameters
    ----------
    area : (west, south, east, north)
        The place is uniform in it.
    rate_kg_h : (low, high)
        The logarithm of the rate is uniform between them.
    height_m : (low, high)
        Of the source above ground, uniform; equal for a known height.
    turn_rad : float
        Standard deviation of the error of the mean wind's direction, normal.
    across, vertical, swing, memory_s, size_m, strength, floor_ppm : Spread
        See :class:`Sources`.
    """

    area: tuple[float, float, float, float]
    rate_kg_h: tuple[float, float]
    height_m: tuple[float, float]
    turn_rad: float
    across: Spread
    vertical: Spread
    swing: Spread
    memory_s: Spread
    size_m: Spread
    strength: Spread
    floor_ppm: Spread

    def _bounds(self) -> tuple[Floats, Floats]:
        west, south, east, north = self.area
        low, high = self.rate_kg_h
        return (
            np.array([west, south, self.height_m[0], math.log(low)]),
            np.array([east, north, self.height_m[1], math.log(high)]),
        )

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """Return (n, 12) draws: x, y, height, ln rate; turn and :data:`FACTORS` in standard deviations."""
        low, high = self._bounds()
        flat = low + (high - low) * rng.random((n, FLAT))
        return np.hstack([flat, rng.standard_normal((n, 1 + len(FACTORS)))])

    def log_density(self, theta: Floats) -> Floats:
        """Return the log density of (n, 12) candidates but for a constant, (n,)."""
        low, high = self._bounds()
        flat = theta[:, :FLAT]
        inside = np.all((flat >= low) & (flat <= high), axis=1)
        return np.asarray(np.where(inside, -0.5 * np.sum(theta[:, FLAT:] ** 2, axis=1), -np.inf))

    def sources(self, theta: Floats) -> Sources:
        """Return the candidates that (n, 12) numbers stand for."""
        x, y, height, log_rate, turn = theta[:, : FLAT + 1].T
        spreads: list[Spread] = [getattr(self, name) for name in FACTORS]
        factors = [
            spread.median * np.exp(spread.log_sigma * theta[:, FLAT + 1 + place])
            for place, spread in enumerate(spreads)
        ]
        return Sources(x, y, height, np.exp(log_rate), self.turn_rad * turn, *factors)
