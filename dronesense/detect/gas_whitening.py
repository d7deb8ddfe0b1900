"""Pre-whitening: the part of a residual that those before it do not tell."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import gas_background

MAX_ORDER: Final = 12
"""Orders that are compared: an analyser's cell and its averaging make few, the rest of a drift makes more."""


def autoregression(
    z: NDArray[np.float64], usable: NDArray[np.bool_], joined: NDArray[np.bool_]
) -> tuple[float, ...]:
    """Return the filter ``(1, -a1, ..., -ap) / s`` that makes residuals of unit variance white again.

    The coefficients come from the autocorrelation by Levinson's recursion (Yule-Walker), the order from the
    Bayesian information criterion (Schwarz 1978, doi 10.1214/aos/1176344136).

    Parameters
    ----------
    z : (m,) float64
        Residuals in standard deviations.
    usable : (m,) bool
        Samples outside plumes.
    joined : (m - 1,) bool
        Whether neighbors belong together.

    Returns
    -------
    tuple of float
        One number for white noise, up to ``MAX_ORDER + 1``.
    """
    count = max(int(np.count_nonzero(usable)), 2)
    r = [gas_background.autocorrelation(z, usable, joined, lag) for lag in range(1, MAX_ORDER + 1)]
    best: tuple[float, ...] = (1.0,)
    best_score = 0.0
    a, power = np.empty(0), 1.0
    for order in range(1, MAX_ORDER + 1):
        reflection = (r[order - 1] - float(a @ np.array(r[: order - 1])[::-1])) / power
        reflection = min(max(reflection, -gas_background.MAX_PHI), gas_background.MAX_PHI)
        a = np.concatenate([a - reflection * a[::-1], [reflection]])
        power *= 1.0 - reflection**2
        score = count * math.log(power) + order * math.log(count)
        if score < best_score:
            best_score = score
            best = tuple(float(each) / math.sqrt(power) for each in (1.0, *-a))
    return best


def power_error(
    z: NDArray[np.float64],
    usable: NDArray[np.bool_],
    joined: NDArray[np.bool_],
    whitening: tuple[float, ...],
) -> float:
    """Return the relative standard error of the power that long sums of whitened residuals have.

    The coefficients are known from the record alone, with the covariance ``s^2 Gamma^-1 / m`` (Box & Jenkins
    1976, section 7.2.6; Gamma is the covariance of neighbors). The power of long sums goes as ``(1 - sum
    a)^2``.

    Parameters
    ----------
    z, usable, joined
        As in :func:`autoregression`, which *whitening* is from.
    """
    from scipy.linalg import toeplitz

    order = len(whitening) - 1
    if order == 0:
        return 0.0
    lags = range(1, order)
    r = [1.0, *(gas_background.autocorrelation(z, usable, joined, lag) for lag in lags)]
    of_sum = float(np.linalg.solve(toeplitz(r), np.ones(order)).sum()) / np.count_nonzero(usable)
    return 2.0 * math.sqrt(max(of_sum, 0.0)) / abs(sum(whitening))


def whiten(
    z: NDArray[np.float64], joined: NDArray[np.bool_], whitening: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the residuals after the filter; the first of a stretch, which have no past, as they are.

    Examples
    --------
    >>> whiten(np.array([1.0, 1.0, 1.0]), np.array([True, False]), (1.25, -0.75)).tolist()
    [1.0, 0.5, 1.0]
    """
    order = len(whitening) - 1
    result = np.convolve(z, whitening)[: z.size]
    edges = np.concatenate([[0], np.flatnonzero(~joined) + 1])
    start = np.unique((edges[:, None] + np.arange(order)).ravel())
    start = start[start < z.size]
    result[start] = z[start]
    return result
