"""A reference spectrum with its provenance, and as a sensor's bands see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model import showing
from dronesense.model.checks import freeze

SignatureQuantity = Literal["reflectance", "radiance", "counts", "absorption"]
QUANTITIES: Final[tuple[SignatureQuantity, ...]] = ("reflectance", "radiance", "counts", "absorption")

FWHM_PER_SIGMA: Final = 2.3548200450309493
"""Full width at half maximum of a Gaussian of unit standard deviation, ``2 sqrt(2 ln 2)``."""
RESPONSE_HALF_WIDTH: Final = 3.0
"""Where the Gaussian band response is cut off, in standard deviations (0.3 % of its area lies beyond)."""
RESPONSE_NODES: Final = 61
"""Nodes of the quadrature over one band response: a tenth of a standard deviation apart."""
MIN_MEASURED: Final = 0.5
"""Share of a band's full width that must lie outside the gaps of a spectrum for the band to be covered."""


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
    citation : str
        What the library asks to be cited.
    file, sha256, entry : str
        Name and SHA-256 of the file that it was read from first, and which of its spectra it is.
    gaps_nm : tuple of (low, high)
        Ranges between two points within which channels were deleted: nothing is known there.
    """

    name: str
    wavelength_nm: NDArray[np.float64]
    value: NDArray[np.float64]
    sigma: NDArray[np.float64]
    quantity: SignatureQuantity
    source: str = ""
    license: str = ""
    by_band: bool = False
    citation: str = ""
    file: str = ""
    sha256: str = ""
    entry: str = ""
    gaps_nm: tuple[tuple[float, float], ...] = ()

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
        if any(not low < high for low, high in self.gaps_nm):
            raise ValueError("gaps_nm must be pairs (low, high)")

    def _repr_html_(self) -> str:
        unit = "(band number)" if self.by_band else "nm"
        facts = {
            "quantity": self.quantity,
            "points": len(self.value),
            "range": showing.span(self.wavelength_nm[0], self.wavelength_nm[-1], unit),
            "values": showing.span(self.value.min(), self.value.max(), ""),
            "source": self.source,
            "license": self.license,
            "file": self.file,
            "entry": self.entry,
        }
        return showing.card(f"Signature {self.name}", facts)

    def in_bands(
        self, *, center_nm: NDArray[np.float64], fwhm_nm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return value and sigma in a sensor's bands, and which it covers; see :func:`resample_spectrum`.

        Raises
        ------
        ValueError
            If the signature is by band and the number of bands is another one.
        """
        if self.by_band:
            if len(center_nm) != len(self.value):
                raise ValueError(f"{self.name!r} has {len(self.value)} bands, the sensor {len(center_nm)}")
            return self.value, self.sigma, np.ones(len(self.value), dtype=np.bool_)
        bands = {"center_nm": center_nm, "fwhm_nm": fwhm_nm}
        value, covered = resample_spectrum(self.wavelength_nm, self.value, **bands, gaps_nm=self.gaps_nm)
        sigma, _ = resample_spectrum(self.wavelength_nm, self.sigma, **bands, gaps_nm=self.gaps_nm)
        return value, sigma, covered


@dataclass(frozen=True, slots=True, eq=False)
class SignatureSet:
    """Variants of one target: spectra of the same material as it ages, gets wet, or is lit from elsewhere.

    Parameters
    ----------
    name : str
        The target.
    members : tuple of Signature
        At least one; all of one quantity, names all different.
    """

    name: str
    members: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a set needs at least one signature")
        if len({(each.quantity, each.by_band) for each in self.members}) > 1:
            raise ValueError("the members are of several quantities, or only some are by band")
        if len({each.name for each in self.members}) < len(self.members):
            raise ValueError("two members have the same name")

    def __len__(self) -> int:
        return len(self.members)

    def in_bands(
        self, *, center_nm: NDArray[np.float64], fwhm_nm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return all variants in a sensor's bands.

        Parameters
        ----------
        center_nm, fwhm_nm : (b,) float64
            The bands; NaN where not known.

        Returns
        -------
        value, sigma : (k, b) float64
            One row per member; NaN where a member does not cover the band.
        covered : (b,) bool
            Bands that every member covers.

        Raises
        ------
        ValueError
            If members by band have another number of bands.
        """
        rows = [each.in_bands(center_nm=center_nm, fwhm_nm=fwhm_nm) for each in self.members]
        covered: NDArray[np.bool_] = np.all([row[2] for row in rows], axis=0)
        return np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), covered

    def mean(self) -> Signature:
        """Return the mean of the variants where all are measured; sigma is their standard deviation.

        At the points of the first member, within the range of all; the gaps of all. For detectors that take
        one spectrum: it forgets how the variants vary together, which the set itself does not.

        Raises
        ------
        ValueError
            If the members share no range of two points.
        """
        first = self.members[0]
        if len(self) == 1:
            return replace(first, name=self.name)
        low = max(each.wavelength_nm[0] for each in self.members)
        high = min(each.wavelength_nm[-1] for each in self.members)
        grid = first.wavelength_nm[(first.wavelength_nm >= low) & (first.wavelength_nm <= high)]
        rows = np.array([np.interp(grid, each.wavelength_nm, each.value) for each in self.members])
        return Signature(
            name=self.name,
            wavelength_nm=grid,
            value=rows.mean(axis=0),
            sigma=rows.std(axis=0, ddof=1),
            quantity=first.quantity,
            source="; ".join(dict.fromkeys(each.source for each in self.members if each.source)),
            license="; ".join(dict.fromkeys(each.license for each in self.members if each.license)),
            by_band=first.by_band,
            gaps_nm=tuple(sorted({gap for each in self.members for gap in each.gaps_nm})),
        )


def resample_spectrum(
    wavelength_nm: NDArray[np.float64],
    value: NDArray[np.float64],
    *,
    center_nm: NDArray[np.float64],
    fwhm_nm: NDArray[np.float64],
    gaps_nm: Sequence[tuple[float, float]] = (),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a spectrum as a sensor's bands see it, and which bands it covers.

    Each band has a Gaussian response of its own full width at half maximum; where the width is not known
    (NaN) the spectrum is interpolated linearly at the center. Between its points the spectrum is taken as
    linear. A band is covered when its whole full width lies within the spectrum's range, and at least half
    of it outside the gaps; nothing is extrapolated.

    Parameters
    ----------
    wavelength_nm, value : (k,) float64
        The spectrum, wavelengths strictly increasing.
    center_nm, fwhm_nm : (b,) float64
        The bands; NaN where not known.
    gaps_nm : sequence of (low, high)
        Ranges within which nothing was measured.

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
        for low, high in gaps_nm:
            lost = np.minimum(center_nm + width / 2, high) - np.maximum(center_nm - width / 2, low)
            within = (center_nm > low) & (center_nm < high)
            measured = (width > 0.0) & (lost <= (1.0 - MIN_MEASURED) * width)
            covered &= measured | ((width == 0.0) & ~within)
    offset = np.linspace(-RESPONSE_HALF_WIDTH, RESPONSE_HALF_WIDTH, RESPONSE_NODES)
    node = center_nm[covered, None] + offset * (width[covered, None] / FWHM_PER_SIGMA)
    inside = (node >= wavelength_nm[0]) & (node <= wavelength_nm[-1])
    weight = np.exp(-0.5 * offset**2) * inside
    result = np.full(len(center_nm), np.nan)
    result[covered] = np.sum(weight * np.interp(node, wavelength_nm, value), axis=1) / np.sum(weight, axis=1)
    return result, covered
