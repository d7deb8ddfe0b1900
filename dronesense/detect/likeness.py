"""How alike two spectra are: angle, information divergence, correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two spectra are; NaN where a measure is not defined for them.

    Parameters
    ----------
    angle_deg : float
        Spectral angle, 0 for spectra that differ by a factor (Kruse et al. 1993,
        doi:10.1016/0034-4257(93)90013-N).
    sid : float
        Spectral information divergence, nat: symmetric Kullback-Leibler divergence of the spectra divided by
        their sums (Chang 2000, doi:10.1109/18.857802); NaN unless all values are greater than 0.
    correlation : float
        Pearson's, -1 to 1; blind to offset and factor.
    bands : int
        Points that were compared.
    """

    angle_deg: float
    sid: float
    correlation: float
    bands: int


def likeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> Likeness:
    """Compare two spectra at the points where both are finite.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> result = likeness(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]))
    >>> round(result.angle_deg, 6), round(result.sid, 12), round(result.correlation, 12), result.bands
    (0.0, 0.0, 1.0, 3)
    """
    if first.shape != second.shape:
        raise ValueError(f"spectra of {first.shape} and {second.shape} values")
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    return Likeness(_angle_deg(a, b), _divergence(a, b), _correlation(a, b), len(a))


def _angle_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle by half-angle tangent, exact for small angles where arccos is not."""
    long_a, long_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not (long_a > 0.0 and long_b > 0.0):
        return math.nan
    u, v = a / long_a, b / long_b
    return math.degrees(2.0 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v))))


def _divergence(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if not len(a) or min(a.min(), b.min()) <= 0.0:
        return math.nan
    p, q = a / a.sum(), b / b.sum()
    return float(np.sum((p - q) * np.log(p / q)))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 2:
        return math.nan
    x, y = a - a.mean(), b - b.mean()
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / scale if scale > 0.0 else math.nan
