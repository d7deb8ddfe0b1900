"""Dated calibration records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze
from dronesense.model.instrument import Mount
from dronesense.model.radiometry import Radiometry


@dataclass(frozen=True, slots=True)
class SpeciesCalibration:
    """``reading = zero + span * true``, all in the species' own unit (ppm or ppm m).

    Parameters
    ----------
    zero, span : float
        The line.
    sigma_zero, sigma_span, covariance : float
        Standard uncertainties and covariance of zero and span.
    standards : tuple of (true, reading, sigma of the reading)
        What the line was fitted to; empty where it was stated.
    """

    zero: float
    span: float
    sigma_zero: float = 0.0
    sigma_span: float = 0.0
    covariance: float = 0.0
    standards: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.span > 0.0:
            raise ValueError(f"span must be > 0, not {self.span}")


@dataclass(frozen=True, slots=True)
class Response:
    """First-order response of an analyser behind an inlet line.

    Parameters
    ----------
    tau_s : float
        Time constant (63 %) while the reading rises, s; also while it falls if `tau_down_s` is None.
    delay_s : float
        Transport delay from inlet to cell, s.
    sigma_tau_s, sigma_delay_s : float
        Standard uncertainties.
    tau_down_s : float or None
        Time constant while the reading falls, s, where it differs: sticky gases leave more slowly.
    sigma_tau_down_s : float
        Its standard uncertainty.
    covariance_tau_delay, covariance_tau_down_delay : float
        Covariance of the delay with either time constant, s²: a fit trades one for the other.
    """

    tau_s: float = 0.0
    delay_s: float = 0.0
    sigma_tau_s: float = 0.0
    sigma_delay_s: float = 0.0
    tau_down_s: float | None = None
    sigma_tau_down_s: float = 0.0
    covariance_tau_delay: float = 0.0
    covariance_tau_down_delay: float = 0.0

    def __post_init__(self) -> None:
        if not (self.tau_s >= 0.0 and np.isfinite(self.delay_s)):
            raise ValueError(f"tau_s must be >= 0 and delay_s finite, not {self.tau_s} and {self.delay_s}")
        if self.tau_down_s is not None and not (self.tau_down_s > 0.0 and self.tau_s > 0.0):
            raise ValueError(f"tau_s and tau_down_s must be > 0, not {self.tau_s} and {self.tau_down_s}")

    @property
    def falling_s(self) -> float:
        """Time constant while the reading falls, s."""
        return self.tau_s if self.tau_down_s is None else self.tau_down_s

    @property
    def sigma_falling_s(self) -> float:
        """Standard uncertainty of :attr:`falling_s`, s."""
        return self.sigma_tau_s if self.tau_down_s is None else self.sigma_tau_down_s

    @property
    def sigma_lag_s(self) -> float:
        """Standard uncertainty of delay and time constant together, s: what a stamp keeps of both.

        An error of either moves what was restored by as much (to first order), and a fit trades one for the
        other: ``u^2 = u^2(delay) + u^2(tau) + 2 cov``; the larger one of rising and falling.
        """
        falling = self.covariance_tau_delay if self.tau_down_s is None else self.covariance_tau_down_delay
        squares = [
            self.sigma_delay_s**2 + sigma**2 + 2.0 * covariance
            for sigma, covariance in (
                (self.sigma_tau_s, self.covariance_tau_delay),
                (self.sigma_falling_s, falling),
            )
        ]
        return math.sqrt(max(0.0, *squares))


@dataclass(frozen=True, slots=True)
class GasCalibration:
    """A dated record of a gas analyser.

    Parameters
    ----------
    instrument : str
        Id.
    valid_from : int
        UTC ns.
    species : mapping of str to SpeciesCalibration
        Lines.
    response : Response
        Inlet and cell.
    note, path : str
        What is to be said of it, and the file it was read from.
    after : GasCalibration or None
        Made after the flight: zero and span drift from this record to that one.
    """

    instrument: str
    valid_from: int
    species: Mapping[str, SpeciesCalibration] = field(default_factory=dict)
    response: Response = field(default_factory=Response)
    note: str = ""
    path: str = ""
    after: GasCalibration | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CameraCalibration:
    """A dated record of a camera.

    Parameters
    ----------
    dark : (bands, samples) float64 or None
        Dark signal, DN.
    gain : (bands, samples) float64 or None
        Radiance per DN per ms.
    bad_pixels : (bands, samples) bool or None
        Detector elements not to be used.
    radiometry : Radiometry or None
        What turns counts into W/(m2 sr nm): from `gain` and `dark`, or a calibration pack.
    smile_nm : (bands, samples) float64 or None
        True center wavelength of each element minus that of its band, nm.
    dark_between : {"nearest", "interpolate", "linear"}
        How the dark signal is brought to another exposure; anything but the nearest only where stated.
    mount : Mount or None
        How the camera sits in the aircraft since then; None: as its instrument file says.
    time_offset_s : float
        To be added to the times of lines and pictures, s.
    mount_path : str
        The record that says so, if it is another one than `path`.
    """

    instrument: str
    valid_from: int
    dark: NDArray[np.float64] | None = None
    gain: NDArray[np.float64] | None = None
    bad_pixels: NDArray[np.bool_] | None = None
    note: str = ""
    path: str = ""
    radiometry: Radiometry | None = None
    smile_nm: NDArray[np.float64] | None = None
    dark_between: Literal["nearest", "interpolate", "linear"] = "nearest"
    mount: Mount | None = None
    time_offset_s: float = 0.0
    mount_path: str = ""

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None, None), "dark", "gain", "smile_nm")
        freeze(self, np.bool_, (None, None), "bad_pixels")

    @property
    def of_detector(self) -> bool:
        """Whether it says anything of the detector: a record of a new mount alone does not."""
        parts = (self.dark, self.gain, self.bad_pixels, self.radiometry, self.smile_nm)
        return any(each is not None for each in parts)


@dataclass(frozen=True, slots=True)
class Standard:
    """A reference gas that an analyser was given.

    Parameters
    ----------
    species : str
    value, sigma : float
        Its content and standard uncertainty, in ppm or ppm m.
    start, end : int or None
        UTC ns between which it was read; None: to be found.
    max_drift : float
        Drift of the reading over the plateau that is accepted, ppm or ppm m.
    """

    species: str
    value: float
    sigma: float = 0.0
    start: int | None = None
    end: int | None = None
    max_drift: float = 0.0


@dataclass(frozen=True, slots=True)
class Switches:
    """Times at which the inlet was switched (UTC ns), and what was there before the first and after each."""

    species: str
    times: tuple[int, ...]
    levels: tuple[float, ...]
    asymmetric: bool | None = None
    max_delay_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standards:
    """What was done with an analyser to calibrate it; `valid_from` int64 UTC ns or None: when it was done."""

    standards: tuple[Standard, ...] = ()
    switches: Switches | None = None
    valid_from: int | None = None
    min_duration_s: float = 60.0
    note: str = ""
    path: str = ""
