"""A reference spectrum with its provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


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
