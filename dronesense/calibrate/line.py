"""Calibration lines from standards: uncertain on one or both sides, drifting between two calibrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.model import SpeciesCalibration

MAX_STEPS: Final = 200
TOLERANCE: Final = 1e-12
"""Relative change of the slope at which York's iteration has converged."""


@dataclass(frozen=True, slots=True)
class LineFit:
    """A fitted line ``reading = zero + span * true``.

    Parameters
    ----------
    line : SpeciesCalibration
        Zero and span with their standard uncertainties and covariance, from the stated sigmas alone.
    chi2 : float
        Weighted sum of squared residuals.
    degrees : int
        Degrees of freedom: points minus 2.
    """

    line: SpeciesCalibration
    chi2: float
    degrees: int

    @property
    def reduced(self) -> float:
        """``chi2 / degrees``; near 1 where sigmas and straight line are right, NaN for two points."""
        return self.chi2 / self.degrees if self.degrees else float("nan")


def fit(
    true: ArrayLike, reading: ArrayLike, *, sigma_reading: ArrayLike, sigma_true: ArrayLike = 0.0
) -> LineFit:
    """Fit a line through points that are uncertain in the readings and, where stated, in the standards.

    Without *sigma_true* this is weighted least squares (ISO 6143:2001, annex A). With it, the unified
    equations of York et al. 2004 (doi 10.1119/1.1632486) for independent errors, whose standard
    uncertainties refer to the adjusted points.

    Parameters
    ----------
    true, reading : (n,) array_like
        Standards and what the instrument read, n >= 2.
    sigma_reading, sigma_true : array_like
        Standard uncertainties, > 0 and >= 0.

    Raises
    ------
    ValueError
        If there are fewer than two different standards, a sigma is out of range, or the slope is not > 0.

    Examples
    --------
    >>> found = fit([0.0, 10.0], [0.5, 20.5], sigma_reading=0.1)
    >>> round(found.line.zero, 9), round(found.line.span, 9)
    (0.5, 2.0)
    """
    x, y, u_y, u_x = (
        np.array(each, dtype=np.float64)
        for each in np.broadcast_arrays(true, reading, sigma_reading, sigma_true)
    )
    if not np.isfinite([x, y, u_x, u_y]).all() or np.any(u_y <= 0.0) or np.any(u_x < 0.0):
        raise ValueError("every point needs finite numbers, sigma_reading > 0 and sigma_true >= 0")
    if x.size < 2 or not np.ptp(x) > 0.0:
        raise ValueError("a line needs at least two different standards")
    span = _span(x, y, u_y**-2.0)
    adjusted = x
    for _ in range(MAX_STEPS):
        weight = 1.0 / (u_y**2 + span**2 * u_x**2)
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        du, dv = x - mean_x, y - mean_y
        beta = weight * (du * u_y**2 + span * dv * u_x**2)
        adjusted = mean_x + beta
        previous, span = span, float(np.sum(weight * beta * dv) / np.sum(weight * beta * du))
        if abs(span - previous) <= TOLERANCE * abs(span):
            break
    if not span > 0.0:
        raise ValueError(f"the readings fall where the standards rise (span {span:.3g})")
    weight = 1.0 / (u_y**2 + span**2 * u_x**2)
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    center = np.average(adjusted, weights=weight)
    variance = 1.0 / float(np.sum(weight * (adjusted - center) ** 2))
    zero = float(mean_y - span * mean_x)
    line = SpeciesCalibration(
        zero=zero,
        span=span,
        sigma_zero=float(np.sqrt(1.0 / np.sum(weight) + center**2 * variance)),
        sigma_span=float(np.sqrt(variance)),
        covariance=float(-center * variance),
    )
    return LineFit(line, float(np.sum(weight * (y - zero - span * x) ** 2)), x.size - 2)


def invert(
    line: SpeciesCalibration, reading: ArrayLike, sigma_reading: ArrayLike = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return true values and their standard uncertainties of readings (JCGM 100:2008, equation 13)."""
    y, u = np.asarray(reading, dtype=np.float64), np.asarray(sigma_reading, dtype=np.float64)
    x = (y - line.zero) / line.span
    variance = u**2 + line.sigma_zero**2 + (x * line.sigma_span) ** 2 + 2.0 * x * line.covariance
    return x, np.sqrt(np.maximum(variance, 0.0)) / line.span


def drifted(before: SpeciesCalibration, after: SpeciesCalibration, share: float) -> SpeciesCalibration:
    """Return the line at *share* of the time from one calibration to the next: a drift linear in time.

    The uncertainty is that of the interpolation, and half the difference of the two lines at most, as
    nothing says that the drift was linear: a rectangular distribution of the difference between them,
    largest halfway.

    Parameters
    ----------
    before, after : SpeciesCalibration
        Say, zero and span before and after the flight.
    share : float
        0 at *before*, 1 at *after*; outside it is not extrapolated.
    """
    w = min(max(share, 0.0), 1.0)
    open_share = 2.0 * w * (1.0 - w)

    def mixed(name: str) -> float:
        return float((1.0 - w) * getattr(before, name) + w * getattr(after, name))

    def uncertain(name: str) -> float:
        one, other = getattr(before, f"sigma_{name}"), getattr(after, f"sigma_{name}")
        step = (getattr(after, name) - getattr(before, name)) / np.sqrt(12.0) * open_share
        return float(np.sqrt(((1.0 - w) * one) ** 2 + (w * other) ** 2 + step**2))

    covariance = (1.0 - w) ** 2 * before.covariance + w**2 * after.covariance
    return SpeciesCalibration(
        mixed("zero"), mixed("span"), uncertain("zero"), uncertain("span"), float(covariance)
    )


def _span(x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    mean_x = np.average(x, weights=weight)
    return float(np.sum(weight * (x - mean_x) * y) / np.sum(weight * (x - mean_x) ** 2))
