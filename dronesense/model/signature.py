"""A reference spectrum with its provenance, and as a sensor's bands see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze

FWHM_PER_SIGMA: Final = 2.3548200450309493
"""Full width at half maximum of a Gaussian of unit standard deviation, ``2 sqrt(2 ln 2)``."""
RESPONSE_HALF_WIDTH: Final = 3.0
"""Where the Gaussian band response is cut off, in standard deviations (0.3 % of its area lies beyond)."""
RESPONSE_NODES: Final = 61
"""Nodes of the quadrature over one band response: a tenth of a standard deviation apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A reference spectrum.

    Parameters
    ----------
    name : str
        Short name.
    wavelength_nm : (k,) float64
        Strictly increasing; or band numbers 0..k-1 when `by_band`.
    value, sigma : (k,) float64
        Reflectance (1 = white) or absorption; standard uncertainty (NaN unknown).
    quantity : {"reflectance", "radiance", "counts", "absorption"}
        What `value` is.
    source, license : str
        Where it was measured and what may be done with it.
    by_band : bool
        The signature was taken in the sensor's own bands (from a scene) and has no wavelengths.
    """

    name: str
    wavelength_nm: NDArray[np.float64]
    value: NDArray[np.float64]
    sigma: NDArray[np.float64]
    quantity: Literal["reflectance", "radiance", "counts", "absorption"]
    source: str = ""
    license: str = ""
    by_band: bool = False

    def __post_init__(self) -> None:
        k = len(self.wavelength_nm)
        freeze(self, np.float64, (None,), "wavelength_nm")
        freeze(self, np.float64, (k,), "value", "sigma")
        if k < 2:
            raise ValueError("a signature needs at least two points")
        if not bool(np.all(np.diff(self.wavelength_nm) > 0)):
            raise ValueError("wavelength_nm must be strictly increasing")
        if not bool(np.isfinite(self.value).all()):
            raise ValueError("value must be finite")


def resample_spectrum(
    wavelength_nm: NDArray[np.float64],
    value: NDArray[np.float64],
    *,
    center_nm: NDArray[np.float64],
    fwhm_nm: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a spectrum as a sensor's bands see it, and which bands it covers.

    Each band has a Gaussian response of its own full width at half maximum; where the width is not known
    (NaN) the spectrum is interpolated linearly at the center. Between its points the spectrum is taken as
    linear. A band is covered when its whole full width lies within the spectrum's range; nothing is
    extrapolated.

    Parameters
    ----------
    wavelength_nm, value : (k,) float64
        The spectrum, wavelengths strictly increasing.
    center_nm, fwhm_nm : (b,) float64
        The bands; NaN where not known.

    Returns
    -------
    value : (b,) float64
        NaN where not covered.
    covered : (b,) bool

    Examples
    --------
    >>> line = np.array([400.0, 900.0]), np.array([0.4, 0.9])
    >>> resample_spectrum(*line, center_nm=np.array([500.0, 899.0]), fwhm_nm=np.array([10.0, 10.0]))
    (array([0.5, nan]), array([ True, False]))
    """
    width = np.where(np.isfinite(fwhm_nm), fwhm_nm, 0.0)
    with np.errstate(invalid="ignore"):
        covered = (center_nm - width / 2 >= wavelength_nm[0]) & (center_nm + width / 2 <= wavelength_nm[-1])
    offset = np.linspace(-RESPONSE_HALF_WIDTH, RESPONSE_HALF_WIDTH, RESPONSE_NODES)
    node = center_nm[covered, None] + offset * (width[covered, None] / FWHM_PER_SIGMA)
    inside = (node >= wavelength_nm[0]) & (node <= wavelength_nm[-1])
    weight = np.exp(-0.5 * offset**2) * inside
    result = np.full(len(center_nm), np.nan)
    result[covered] = np.sum(weight * np.interp(node, wavelength_nm, value), axis=1) / np.sum(weight, axis=1)
    return result, covered
