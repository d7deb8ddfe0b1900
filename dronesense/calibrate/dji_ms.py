"""DJI P4 Multispectral and Mavic 3 Multispectral counts to a reflectance signal.

Sources: DJI "P4 Multispectral Image Processing Guide" v1.0 (2020.07), equations 6 to 9;
"Mavic 3M Image Processing Guide" v1.0 (2023.08). The signal is proportional to reflectance; the constant is
not documented, so a panel is needed for reflectance itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.calibrate.vignetting import radial

FULL: Final = {"dji-p4m": 65535.0, "dji-m3m": 65536.0}
"""What counts of 16 bits are divided by: the P4M guide says 65535, the Mavic 3M guide 2^bits."""


def camera_signal(
    counts: NDArray[np.generic],
    *,
    camera: Literal["dji-p4m", "dji-m3m"],
    black_level: float,
    gain: float,
    exposure_s: float,
    vignetting_center: Sequence[float] | None = None,
    vignetting_data: Sequence[float] | None = None,
    bits: int = 16,
    first_row: int = 0,
) -> NDArray[np.float64]:
    r"""Return the signal of whole rows, light per second at unit gain.

    .. math:: s = \frac{(DN - DN_{black}) / N}{g\, t} \cdot P(r)

    The guides put the time in microseconds over 1e6, which is the time in seconds. P(r) **multiplies**.

    Parameters
    ----------
    counts : (rows, cols)
        As stored.
    camera : {"dji-p4m", "dji-m3m"}
        Fixes N: 65535, or 2^bits.
    black_level, gain, exposure_s : float
        ``BlackLevel`` (or ``BlackCurrent``), ``SensorGain``, ``ExposureTime`` in s.
    vignetting_center, vignetting_data : (2,), (6,), optional
        ``CalibratedOpticalCenterX/Y``, ``VignettingData``; None: no correction.
    bits : int
        Bits of a stored number.
    first_row : int
        Row of the image that the first row of *counts* is.

    Examples
    --------
    >>> known = {"black_level": 3200.0, "gain": 1.044, "exposure_s": 1e-3}
    >>> s = camera_signal(np.array([[20000]]), camera="dji-m3m", **known)
    >>> round(s.item(), 4)
    245.5437
    """
    full = FULL[camera] if bits == 16 else FULL[camera] - 2.0**16 + 2.0**bits
    signal = (counts.astype(np.float64) - black_level) / (full * gain * exposure_s)
    if vignetting_center is None or vignetting_data is None:
        return np.asarray(signal, dtype=np.float64)
    shape = (counts.shape[0], counts.shape[1])
    return np.asarray(
        signal * radial(shape, center=vignetting_center, coefficients=vignetting_data, first_row=first_row),
        dtype=np.float64,
    )


def reflectance_signal(
    signal: NDArray[np.float64], *, gain_adjustment: float, irradiance: ArrayLike
) -> NDArray[np.float64]:
    """Return ``signal * SensorGainAdjustment / Irradiance``, proportional to reflectance.

    `Irradiance` already contains the calibration of the light sensor. The constant between the bands and NIR
    cancels in NDVI only: it is no reflectance.

    Examples
    --------
    >>> round(reflectance_signal(np.array(245.5437), gain_adjustment=1.002, irradiance=2000.0).item(), 6)
    0.123017
    """
    return np.asarray(signal * gain_adjustment / np.asarray(irradiance, dtype=np.float64), dtype=np.float64)
