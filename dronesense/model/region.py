"""A rectangle of a cube's pixels, and the signature that it makes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.model.signature import Signature

if TYPE_CHECKING:
    from dronesense.model.cube import SpectralCube

MIN_PIXELS: Final = 2
"""A spread needs two pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A rectangle of pixels; made by ``cube.region``.

    Parameters
    ----------
    cube : SpectralCube
        Where they lie.
    rows, samples : (first, stop)
        Half-open, as Python slices.
    """

    cube: SpectralCube
    rows: tuple[int, int]
    samples: tuple[int, int]

    def __post_init__(self) -> None:
        height, _, width = self.cube.shape
        for name, (first, stop), size in (("rows", self.rows, height), ("samples", self.samples, width)):
            if not 0 <= first < stop <= size:
                raise ValueError(f"{name} {first}:{stop} do not lie within 0:{size}")

    def pixels(self) -> NDArray[np.float64]:
        """Return the valid pixels, (n, bands), in all bands of the cube.

        Raises
        ------
        CoverageError
            If fewer than two pixels are valid.
        """
        values, valid = self.cube.source.read(*self.rows)
        inside = slice(*self.samples)
        spectra = values[:, :, inside].transpose(0, 2, 1)[valid[:, inside]]
        if len(spectra) < MIN_PIXELS:
            raise CoverageError(
                f"{len(spectra)} valid pixels in {self._named()}",
                where=self.cube.path or self.cube.name,
                fix="choose a larger region that is neither saturated nor masked",
            )
        return spectra.astype(np.float64)

    def covariance(self) -> NDArray[np.float64]:
        """Return the (bands, bands) sample covariance of the pixels; NaN in bands without values."""
        pixels = self.pixels()
        off = pixels - pixels.mean(axis=0)
        return np.asarray(off.T @ off / (len(pixels) - 1))

    def mean(self, name: str = "") -> Signature:
        """Return the mean spectrum as a signature that knows where it came from.

        `sigma` is the standard deviation of the *pixels*, what the material varies by; the mean itself is
        known better by the root of their number. Bands that are not good are left out. The origin names
        the file, the rows and samples, and the SHA-256 of the pixel values (float64, little-endian).

        Raises
        ------
        CoverageError
            If fewer than two pixels are valid.
        ValueError
            If the cube has no wavelengths and some bands have no values.
        """
        pixels, bands = self.pixels(), self.cube.bands
        digest = hashlib.sha256(pixels.astype("<f8").tobytes()).hexdigest()
        value, sigma = pixels.mean(axis=0), pixels.std(axis=0, ddof=1)
        by_band = not bool(np.isfinite(bands.center_nm).any())
        known = np.isfinite(value)
        if by_band and not known.all():
            raise ValueError("bands without values in a cube without wavelengths cannot be left out")
        place = np.arange(len(value), dtype=np.float64) if by_band else bands.center_nm
        used = np.ones_like(known) if by_band else known & bands.good & np.isfinite(place)
        order = np.flatnonzero(used)[np.argsort(place[used], kind="stable")]
        return Signature(
            name=name or f"{self.cube.name} region",
            wavelength_nm=place[order],
            value=value[order],
            sigma=sigma[order],
            quantity=self.cube.quantity,
            source=f"mean of {len(pixels)} pixels of {self.cube.path}; values sha256 {digest}",
            by_band=by_band,
            file=self.cube.path,
            entry=self._named(),
        )

    def _named(self) -> str:
        return f"rows {self.rows[0]}:{self.rows[1]}, samples {self.samples[0]}:{self.samples[1]}"
