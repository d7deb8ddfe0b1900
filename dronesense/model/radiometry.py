"""What a push-broom camera's counts need to become radiance: settings, dark signal, response."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How a capture was taken, as far as its file tells.

    Parameters
    ----------
    integration_ms : float
        Exposure, ms; NaN when unknown.
    gain_db : float
        Gain of the electronics, ``20 log10`` of the factor; NaN when unknown.
    sample_binning, band_binning : int
        Detector elements that were added into one number, across and along the spectrum.
    flipped : bool
        Samples run against those of the calibration.
    """

    integration_ms: float = math.nan
    gain_db: float = math.nan
    sample_binning: int = 1
    band_binning: int = 1
    flipped: bool = False

    def __post_init__(self) -> None:
        if self.sample_binning < 1 or self.band_binning < 1:
            raise ValueError(f"binning must be at least 1, not {self.sample_binning} x {self.band_binning}")
        if self.integration_ms <= 0.0:
            raise ValueError(f"integration_ms must be greater than 0, not {self.integration_ms}")


@dataclass(frozen=True, slots=True, eq=False)
class DarkFrame:
    """Dark signal of every detector element.

    Parameters
    ----------
    level : (bands, samples) float64
        Mean, DN.
    settings : CameraSettings
        How it was taken.
    deviation : (bands, samples) float64 or None
        Standard deviation of single lines, DN; None where only the mean is known.
    lines : int
        Lines that the mean is over; 0 when unknown.
    name : str
        File, for messages.
    """

    level: NDArray[np.float64]
    settings: CameraSettings = CameraSettings()
    deviation: NDArray[np.float64] | None = None
    lines: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None, None), "level")
        freeze(self, np.float64, np.shape(self.level), "deviation")


@dataclass(frozen=True, slots=True, eq=False)
class Radiometry:
    """The radiometric calibration of a push-broom camera.

    Parameters
    ----------
    gain : (bands, samples) float64
        Radiance per DN above dark, W/(m2 sr nm), at `settings`; NaN where it is not known.
    settings : CameraSettings
        Exposure, gain and binning that `gain` is for. An unknown exposure: it holds for every exposure.
    darks : tuple of DarkFrame
        Dark frames of the same detector, at their own settings; may be empty.
    relative_sigma : (bands,) float64 or None
        Standard uncertainty of `gain`, as a share; None where nobody states it.
    center_nm : (bands,) float64 or None
        Wavelengths of the bands of `gain`.
    bad_pixels : (bands, samples) bool or None
        Detector elements not to be used.
    per_ms : bool
        True: `gain` is per DN **per ms**, divided by the exposure of the cube.
    name : str
        File, for messages.
    notes : tuple of str
        What was assumed of the calibration.
    """

    gain: NDArray[np.float64]
    settings: CameraSettings = CameraSettings()
    darks: tuple[DarkFrame, ...] = ()
    relative_sigma: NDArray[np.float64] | None = None
    center_nm: NDArray[np.float64] | None = None
    bad_pixels: NDArray[np.bool_] | None = None
    per_ms: bool = False
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None, None), "gain")
        bands, samples = self.gain.shape
        freeze(self, np.float64, (bands,), "relative_sigma", "center_nm")
        freeze(self, np.bool_, (bands, samples), "bad_pixels")

    def with_darks(self, darks: tuple[DarkFrame, ...]) -> Radiometry:
        """Return the calibration with other dark frames, e.g. those taken on the flight."""
        return replace(self, darks=darks)


@dataclass(frozen=True, slots=True, eq=False)
class RadianceNoise:
    """Standard uncertainty of radiance: ``sigma^2(L) = additive^2 + (relative * L)^2`` band by band.

    Parameters
    ----------
    additive : (bands,) float64
        Noise of a single reading in the dark and of the dark frame itself, median over samples, W/(m2 sr nm).
    relative : (bands,) float64
        Of the calibration, shared by all pixels: it does not average out.
    """

    additive: NDArray[np.float64]
    relative: NDArray[np.float64]

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "additive")
        freeze(self, np.float64, self.additive.shape, "relative")

    def sigma(self, radiance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard uncertainty of (..., bands) radiance."""
        return np.hypot(self.additive, self.relative * radiance)


@dataclass(frozen=True, slots=True, eq=False)
class LightSeries:
    """Irradiance over time, by a sensor that looks up.

    Parameters
    ----------
    time : (n,) int64
        UTC ns, strictly increasing.
    center_nm : (k,) float64
        Wavelengths, strictly increasing; one NaN: a sensor without bands, for all wavelengths.
    value : (n, k) float64
        Irradiance, W/(m2 nm) or in units of its own: only its course counts; NaN where there is none.
    source : str
        File.
    """

    time: NDArray[np.int64]
    center_nm: NDArray[np.float64]
    value: NDArray[np.float64]
    source: str

    def __post_init__(self) -> None:
        freeze(self, np.int64, (None,), "time")
        freeze(self, np.float64, (None,), "center_nm")
        freeze(self, np.float64, (len(self.time), len(self.center_nm)), "value")
        if not len(self.time) or bool((np.diff(self.time) <= 0).any()):
            raise ValueError("a light series needs times that increase")
