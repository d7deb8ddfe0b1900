"""Parrot Sequoia counts to a relative radiance, and its sunshine sensor.

Model: Parrot's sensor model as in the Sequoia tutorial of ``micasense_imageprocessing_sequoia``, which the
check values come from. The scale is the maker's own: no number here is in W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def vignetting(
    shape: tuple[int, int],
    *,
    size: tuple[int, int],
    powers: Sequence[float],
    coefficients: Sequence[float],
    first_row: int = 0,
) -> NDArray[np.float64]:
    """Return the fall-off V of some rows: a polynomial in x/W and y/H.

    Parameters
    ----------
    shape : (rows, cols)
        Of the rows asked for.
    size : (H, W)
        Of the whole image, pixels.
    powers : (2 n,)
        ``VignettingPolynomial2DName``: powers of x and y in pairs.
    coefficients : (n,)
        ``VignettingPolynomial2D``.
    first_row : int
        Row of the image that the first row is.
    """
    x = np.arange(shape[1], dtype=np.float64) / size[1]
    y = np.arange(first_row, first_row + shape[0], dtype=np.float64) / size[0]
    across, down = (np.asarray(powers[place::2], dtype=np.intp) for place in (0, 1))
    table = np.zeros((int(down.max()) + 1, int(across.max()) + 1))
    np.add.at(table, (down, across), np.asarray(coefficients, dtype=np.float64))
    return np.asarray(np.polynomial.polynomial.polygrid2d(y, x, table), dtype=np.float64)


def intensity(
    counts: NDArray[np.generic],
    fall_off: NDArray[np.float64],
    *,
    model: Sequence[float],
    exposure_s: float,
    iso: float,
    f_number: float,
) -> NDArray[np.float64]:
    r"""Return the relative radiance of whole rows.

    .. math:: I = f^2 \, \frac{DN / V - B}{A\, t\, ISO + C}

    V divides the count **before** B is taken off. Negative below B: nothing is clipped.

    Parameters
    ----------
    counts, fall_off : (rows, cols)
        As stored; from :func:`vignetting`.
    model : (A, B, C)
        ``SensorModel``.
    exposure_s, iso, f_number : float
        From the EXIF.
    """
    a, b, c = model
    return np.asarray(
        f_number**2 * (counts.astype(np.float64) / fall_off - b) / (a * exposure_s * iso + c),
        dtype=np.float64,
    )


def sun_irradiance(count: ArrayLike, gain: ArrayLike, exposure: ArrayLike) -> NDArray[np.float64]:
    """Return the relative irradiance of records of the sunshine sensor, ``count / (gain * exposure)``.

    In the unit of the sensor, which is another one than that of :func:`intensity`: only ratios between
    captures of one band mean something. NaN where gain or exposure is 0.

    Examples
    --------
    >>> sun_irradiance([14], [1], [100]).tolist()
    [0.14]
    """
    below = np.asarray(gain, dtype=np.float64) * np.asarray(exposure, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0.0, np.asarray(count, dtype=np.float64) / below, np.nan)
