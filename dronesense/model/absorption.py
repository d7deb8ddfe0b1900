"""What a gas takes out of the light, by wavelength and column; and columns over the pixels of a cube."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze
from dronesense.model.detection import ScoreMap
from dronesense.model.signature import FWHM_PER_SIGMA

Doubles = NDArray[np.float64]

RESPONSE_HALF_WIDTH: Final = 6.0
"""Where the Gaussian band response is cut off, in standard deviations: 2e-9 of its area lies beyond."""
NODES_PER_SIGMA: Final = 10.0
"""A table with fewer points in a standard deviation of a band is interpolated (its logarithm)."""
EVEN_STEPS: Final = 1.2
"""Steps of a table that change by no more from one to the next count as even: its points weigh alike."""
BANDS_AT_ONCE: Final = 32
"""Bands whose responses are held at a time: with 30,000 wavelengths they take 8 MB."""
GAP_SHARE: Final = 0.02
"""Bands that do not absorb split a window when they span more than this share of their wavelength."""
WEAK_SHARE: Final = 0.005
"""A band belongs to the window when it absorbs at least this share of what the strongest band does."""


@dataclass(frozen=True, slots=True, eq=False)
class AbsorptionTable:
    """Radiance at the sensor for a number of columns of a gas, from a model of the atmosphere or from lines.

    Parameters
    ----------
    species : str
        Of the gas, ``"CH4"``.
    wavelength_nm : (k,) float64
        Strictly increasing.
    concentration_ppm_m : (m,) float64
        Columns added to the background, strictly increasing from 0.
    radiance : (m, k) float64
        At these columns, > 0; only the ratios to the first row matter.
    name, version : str
        Of the table: they stay with every value that is made with it.
    geometry : mapping of str to float or str
        Of sun, path and sensor that the table is for: a ppm m holds for these alone.
    source, license : str
        Where it is from and what may be done with it.
    file, sha256 : str
        Name and SHA-256 of the file of numbers.
    window_nm : (low, high), optional
        Bands to use; None: those around the strongest one, see :func:`absorption_window`.
    """

    species: str
    wavelength_nm: Doubles
    concentration_ppm_m: Doubles
    radiance: Doubles
    name: str
    version: str = ""
    geometry: Mapping[str, float | str] = field(default_factory=dict)
    source: str = ""
    license: str = ""
    file: str = ""
    sha256: str = ""
    window_nm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        k, m = len(self.wavelength_nm), len(self.concentration_ppm_m)
        freeze(self, np.float64, (None,), "wavelength_nm", "concentration_ppm_m")
        freeze(self, np.float64, (m, k), "radiance")
        if k < 2 or m < 2:
            raise ValueError("an absorption table needs at least two wavelengths and two columns")
        if not bool(np.all(np.diff(self.wavelength_nm) > 0)):
            raise ValueError("wavelength_nm must be strictly increasing")
        if self.concentration_ppm_m[0] != 0.0 or not bool(np.all(np.diff(self.concentration_ppm_m) > 0)):
            raise ValueError("concentration_ppm_m must be strictly increasing from 0")
        if not bool((np.isfinite(self.radiance) & (self.radiance > 0.0)).all()):
            raise ValueError("radiance must be finite and greater than 0")
        if self.window_nm is not None and not self.window_nm[0] < self.window_nm[1]:
            raise ValueError("window_nm must be (low, high)")

    def in_bands(self, *, center_nm: Doubles, fwhm_nm: Doubles) -> BandAbsorption:
        """Return the absorption that a sensor's bands see.

        Each band has a Gaussian response of its full width at half maximum; the *radiance* is averaged, not
        the absorption: lines that are saturated within a band stay so. `per_ppm_m` is the least-squares slope
        of ``ln(radiance)`` over the columns of the table.

        Parameters
        ----------
        center_nm, fwhm_nm : (b,) float64
            The bands. A band without a width is not covered: the depth of a line depends on it.
        """
        covered = self._covers(center_nm, fwhm_nm)
        m, b = len(self.concentration_ppm_m), len(center_nm)
        log_ratio = np.full((m, b), np.nan)
        slope = np.full(b, np.nan)
        places = np.flatnonzero(covered)
        for start in range(0, len(places), BANDS_AT_ONCE):
            some = places[start : start + BANDS_AT_ONCE]
            seen = self._seen(center_nm[some], fwhm_nm[some] / FWHM_PER_SIGMA)
            log_ratio[:, some] = np.log(seen / seen[0])
        c = self.concentration_ppm_m - self.concentration_ppm_m.mean()
        slope[places] = c @ log_ratio[:, places] / (c @ c)
        return BandAbsorption(self, center_nm, slope, log_ratio, covered)

    def _covers(self, center: Doubles, fwhm: Doubles) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            inside = (center - fwhm >= self.wavelength_nm[0]) & (center + fwhm <= self.wavelength_nm[-1])
            return np.asarray(inside & (fwhm > 0.0))

    def _seen(self, center: Doubles, sigma: Doubles) -> Doubles:
        """Return the radiance (m, b) averaged over the responses of bands that the table covers."""
        reach = RESPONSE_HALF_WIDTH * sigma
        first, last = np.searchsorted(
            self.wavelength_nm, [float((center - reach).min()), float((center + reach).max())]
        )
        near = slice(max(0, int(first) - 1), int(last) + 1)
        nm, radiance = self.wavelength_nm[near], self.radiance[:, near]
        step = float(sigma.min()) / NODES_PER_SIGMA
        if len(nm) < 2 or float(np.diff(nm).max()) > step:
            even = np.arange(nm[0], nm[-1] + step / 2, step)
            radiance = np.exp([np.interp(even, nm, row) for row in np.log(radiance)])
            nm = even
        weight = np.exp(-0.5 * ((nm - center[:, None]) / sigma[:, None]) ** 2)
        growth = np.abs(np.diff(np.log(np.diff(nm))))
        if float(np.max(growth, initial=0.0)) > np.log(EVEN_STEPS):
            weight *= np.gradient(nm)
        return np.asarray(radiance @ (weight / weight.sum(axis=1, keepdims=True)).T)


@dataclass(frozen=True, slots=True, eq=False)
class BandAbsorption:
    """An absorption table as the bands of a sensor see it.

    Parameters
    ----------
    table : AbsorptionTable
    center_nm : (b,) float64
    per_ppm_m : (b,) float64
        Slope of ``ln(radiance)`` over the column, 1 / (ppm m): negative where the gas absorbs. NaN where not
        covered.
    log_ratio : (m, b) float64
        ``ln(radiance / radiance without the gas)`` at the columns of the table.
    covered : (b,) bool
        The table reaches a full width beyond the center of the band on both sides.
    """

    table: AbsorptionTable
    center_nm: Doubles
    per_ppm_m: Doubles
    log_ratio: Doubles
    covered: NDArray[np.bool_]

    def __post_init__(self) -> None:
        b = len(self.center_nm)
        freeze(self, np.float64, (b,), "center_nm", "per_ppm_m")
        freeze(self, np.float64, (len(self.table.concentration_ppm_m), b), "log_ratio")
        freeze(self, np.bool_, (b,), "covered")


def absorption_window(bands: BandAbsorption) -> NDArray[np.bool_]:
    """Return the bands of the window around the strongest one.

    All covered bands of the table's own window where it states one. Otherwise those between the first and the
    last band that absorbs at least 0.5 % of what the strongest does, going out from there until the gas does
    not absorb over 2 % of the wavelength (CH4: 2130 to 2500 nm, without the weaker window at 1650 nm).
    """
    center = bands.center_nm
    if bands.table.window_nm is not None:
        low, high = bands.table.window_nm
        return np.asarray(bands.covered & (center >= low) & (center <= high))
    depth = np.where(bands.covered, np.abs(bands.per_ppm_m), 0.0)
    if not depth.any():
        return np.zeros(len(center), dtype=np.bool_)
    peak = float(center[int(np.argmax(depth))])
    nm = np.sort(center[depth >= WEAK_SHARE * depth.max()])
    parted = np.flatnonzero(np.diff(nm) > GAP_SHARE * nm[1:])
    at = int(np.searchsorted(nm, peak))
    first = parted[parted < at].max(initial=-1) + 1
    last = parted[parted >= at].min(initial=len(nm) - 1)
    return np.asarray(bands.covered & (center >= nm[first]) & (center <= nm[last]))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnMap:
    """The column of a gas over every pixel of a cube, above what the background holds.

    Parameters
    ----------
    species : str
    value, sigma : (rows, cols) float32
        Enhancement and its standard uncertainty, ppm m; NaN where not valid. Without a gas `value` scatters
        around 0 and is negative as often as not.
    brightness : (rows, cols) float32
        What the filter makes of the pixel's own light, 1 for the mean of its detector column: the share of
        the light that the value was divided by.
    plume : (rows, cols) bool
        Pixels that were left out of the background because they stand out.
    other : (rows, cols) bool
        Pixels that stray from the background in other directions than the gas: rare materials, which may pass
        for it.
    score : ScoreMap
        ``value / sigma`` with the tail of the background.
    parameters : mapping
        Table, geometry, bands, groups of columns, shrinkage, rounds of exclusion; JSON-ready.
    """

    species: str
    value: NDArray[np.float32]
    sigma: NDArray[np.float32]
    brightness: NDArray[np.float32]
    plume: NDArray[np.bool_]
    other: NDArray[np.bool_]
    score: ScoreMap
    parameters: Mapping[str, object] = field(default_factory=dict)
    unit: str = "ppm m"

    def __post_init__(self) -> None:
        shape = self.score.score.shape
        freeze(self, np.float32, shape, "value", "sigma", "brightness")
        freeze(self, np.bool_, shape, "plume", "other")
