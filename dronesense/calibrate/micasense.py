"""MicaSense counts to radiance.

Model: "RedEdge Camera Radiometric Calibration Model" (MicaSense support) and MicaSense ``imageprocessing``
(as documentation). Checked against the panel radiances that its tests expect, see
docs/methods/multispectral-radiometry.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate.vignetting import radial


def radiance(
    counts: NDArray[np.generic],
    *,
    coefficients: Sequence[float],
    exposure_s: float,
    gain: float,
    black_level: float,
    vignetting_center: Sequence[float],
    vignetting_polynomial: Sequence[float],
    bits: int = 16,
    first_row: int = 0,
) -> NDArray[np.float64]:
    r"""Return the spectral radiance of whole rows, W m-2 sr-1 nm-1.

    .. math:: L = \frac{a_1}{2^{bits}} \cdot \frac{DN - DN_{black}}
              {g\, t\, P(r) \left(1 + a_2 y / t - a_3 y\right)}

    with y the row. Negative where the count lies below the level of black: nothing is clipped.

    Parameters
    ----------
    counts : (rows, cols)
        As stored.
    coefficients : (a1, a2, a3)
        ``RadiometricCalibration``.
    exposure_s, gain : float
        Exposure time, s; gain (ISO / 100).
    black_level : float
        Mean of ``BlackLevel``.
    vignetting_center, vignetting_polynomial : (2,), (6,)
        As in the XMP.
    bits : int
        Bits of a stored number.
    first_row : int
        Row of the image that the first row of *counts* is: the correction grows with it.

    Examples
    --------
    >>> flat = {"vignetting_center": (0.0, 0.0), "vignetting_polynomial": (0.0,) * 6}
    >>> radiance(np.array([[36864]]), coefficients=(0.001, 0.0, 0.0), exposure_s=0.01, gain=1.0,
    ...          black_level=4096.0, **flat).tolist()
    [[0.05]]
    """
    a1, a2, a3 = coefficients
    y = np.arange(first_row, first_row + counts.shape[0], dtype=np.float64)[:, None]
    rows = 1.0 + a2 * y / exposure_s - a3 * y
    fall_off = radial(
        (counts.shape[0], counts.shape[1]),
        center=vignetting_center,
        coefficients=vignetting_polynomial,
        first_row=first_row,
    )
    scale = a1 / (gain * exposure_s * 2.0**bits)
    return np.asarray((counts.astype(np.float64) - black_level) * scale / (fall_off * rows), dtype=np.float64)
