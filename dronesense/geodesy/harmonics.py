"""Surface spherical harmonics: associated Legendre functions, and sums of a series along parallels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NEGLIGIBLE: Final = 1e-250
"""Sectoral functions smaller than this (close to the poles) are taken as 0: no slow subnormal numbers."""


def legendre_degrees(sine: Floats, cosine: Floats, *, degree: int, order: int) -> Iterator[Floats]:
    """Yield the associated Legendre functions of degree 0, 1, ... *degree* up to *order*.

    Parameters
    ----------
    sine, cosine : (k,) float64
        Of the latitudes. A negative cosine goes on beyond the pole, along the meridian.
    degree, order : int
        Largest degree and order.

    Yields
    ------
    (min(n, order) + 1, k) float64
        Fully normalized (mean square 1 over the sphere), without Condon-Shortley phase. The array is used
        again two degrees later: copy what is to be kept.

    References
    ----------
    Holmes, Featherstone 2002, doi 10.1007/s00190-002-0216-2, eq. 11 to 13 (standard forward column method).

    Examples
    --------
    At latitude 30° the functions of degree 1 are sqrt(3) sin 30° and sqrt(3) cos 30°:

    >>> *_, first = legendre_degrees(np.array([0.5]), np.array([0.75**0.5]), degree=1, order=1)
    >>> first.ravel().round(6)
    array([0.866025, 1.5     ])
    """
    one, two = (np.zeros((order + 1, len(sine))) for _ in range(2))  # of degree n - 1 and n - 2
    sectoral = np.ones(len(sine))
    for n in range(degree + 1):
        m = np.arange(min(n, order + 1), dtype=np.float64)[:, None]
        span = slice(0, len(m))
        first = np.sqrt((2 * n - 1) * (2 * n + 1) / ((n - m) * (n + m)))
        second = np.sqrt((2 * n + 1) * (n + m - 1) * (n - m - 1) / ((2 * n - 3) * (n - m) * (n + m)))
        two[span] *= -second
        two[span] += first * (sine * one[span])
        if n <= order:
            if n:
                sectoral = sectoral * cosine * np.sqrt((2 * n + 1) / (2 * n) if n > 1 else 3.0)
                sectoral[np.abs(sectoral) < _NEGLIGIBLE] = 0.0
            two[n] = sectoral
        one, two = two, one
        yield one[: min(n, order) + 1]


def parallels(coefficients: Floats, sine: Floats, cosine: Floats, *, columns: int) -> Floats:
    """Return the sum of a series at evenly spaced longitudes 0, 360° / *columns*, ... of some parallels.

    Parameters
    ----------
    coefficients : (2, degree + 1, order + 1) float64
        Of the cosines and of the sines of the longitude, for each degree and order, fully normalized.
    sine, cosine : (k,) float64
        Of the latitudes, as in :func:`legendre_degrees`.
    columns : int
        More than twice the order.

    Returns
    -------
    (k, columns) float64
    """
    from scipy.fft import irfft

    _, degrees, orders = coefficients.shape
    if columns <= 2 * (orders - 1):
        raise ValueError(f"{columns} columns cannot hold order {orders - 1}")
    total = np.zeros((2, orders, len(sine)))
    degrees_of = legendre_degrees(sine, cosine, degree=degrees - 1, order=orders - 1)
    for weight, function in zip(coefficients.transpose(1, 0, 2), degrees_of, strict=True):
        top = len(function)
        total[0, :top] += weight[0, :top, None] * function
        total[1, :top] += weight[1, :top, None] * function
    total[:, 1:] *= 0.5  # half of each wave belongs to the negative frequency
    return np.asarray(irfft((total[0] - 1j * total[1]).T, n=columns, axis=1) * columns, dtype=np.float64)
