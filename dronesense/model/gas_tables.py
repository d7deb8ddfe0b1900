"""What is known of gases and sensors before any flight: molar masses, limits, factors of cells and lamps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.model.checks import freeze

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExposureLimit:
    """A limit as its source states it; context, never a threshold."""

    what: str
    ppm: float
    source: str


@dataclass(frozen=True, slots=True)
class Gas:
    """A gas.

    Parameters
    ----------
    id, name, formula : str
        Species as columns name it, plain name, and chemical formula.
    molar_mass_g_mol : float
        From the formula and the atomic weights.
    ionization_ev : float
        Ionization energy, eV; NaN where the data do not tell.
    ionization_source : str
        Where it stands; begins with ``unverified`` where nobody looked.
    limits : tuple of ExposureLimit
        Those with a source.
    interferents : tuple of str
        What a sensor for it may take for it.
    """

    id: str
    name: str
    formula: str
    molar_mass_g_mol: float
    ionization_ev: float = float("nan")
    ionization_source: str = ""
    limits: tuple[ExposureLimit, ...] = ()
    interferents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CompensationTable:
    """Temperature factors of electrochemical cells, one issue of a maker's note.

    Parameters
    ----------
    id, source : str
        Which issue, and where it was read.
    temperature_c : (t,) float64
        Increasing.
    factors : mapping of str to mapping of int to (t,) float64
        Sensor type -> algorithm (1 to 4) -> factor; without unit, algorithm 4 in mV.
    suggested : mapping of str to int
        Sensor type -> the algorithm to be used first.
    serial_prefixes : mapping of str to str
        Beginning of a serial number -> sensor type.
    path : str
        File it was read from.
    """

    id: str
    source: str
    temperature_c: NDArray[np.float64]
    factors: Mapping[str, Mapping[int, NDArray[np.float64]]]
    suggested: Mapping[str, int]
    serial_prefixes: Mapping[str, str] = field(default_factory=dict)
    path: str = ""

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "temperature_c")


@dataclass(frozen=True, slots=True)
class Cell:
    """Calibration sheet of one electrochemical cell on its board, mV and ppb; NaN where the sheet is silent.

    Parameters
    ----------
    serial, type : str
        Serial number, and sensor type as tables name it (``"NO2-B4"``).
    we_electronic_zero_mv, ae_electronic_zero_mv : float
        What the board gives without a cell (WEe, AEe).
    we_sensor_zero_mv, ae_sensor_zero_mv : float
        What the cell adds in zero air (WEo, AEo).
    sensitivity_mv_ppb : float
        Working electrode per ppb of its gas; may be negative.
    no2_sensitivity_mv_ppb : float
        Working electrode of an oxidant cell per ppb of NO2; 0 where there is none.
    sigma_zero_mv, relative_sigma_sensitivity : float
        Standard uncertainty of each electronic zero, and of the sensitivity relative to it.
    path : str
        File it was read from.
    """

    serial: str
    type: str
    we_electronic_zero_mv: float
    ae_electronic_zero_mv: float
    we_sensor_zero_mv: float
    ae_sensor_zero_mv: float
    sensitivity_mv_ppb: float
    no2_sensitivity_mv_ppb: float = 0.0
    sigma_zero_mv: float = 0.0
    relative_sigma_sensitivity: float = 0.0
    path: str = ""


@dataclass(frozen=True, slots=True)
class PidTable:
    """Correction factors of one maker's photoionization detectors with one lamp: true = reading * factor.

    Parameters
    ----------
    vendor : str
    lamp_ev : float
        Photon energy, eV.
    reference : str
        Gas that the instrument is set to.
    factors : mapping of str to float
        Compound -> factor; only what somebody read in the source.
    sources : mapping of str to str
        Compound -> where in the source.
    relative_sigma : float
        Relative standard uncertainty of a factor.
    no_response : frozenset of str
        What the lamp cannot ionize.
    unverified : mapping of str to float
        Factors from memory: to be shown, never to be used.
    source, path : str
        Document, and file it was read from.
    """

    vendor: str
    lamp_ev: float
    reference: str
    factors: Mapping[str, float]
    sources: Mapping[str, str]
    relative_sigma: float
    no_response: frozenset[str] = frozenset()
    unverified: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class ClimateCorrection:
    """``Rs' = Rs / f`` with ``f = c0 + c1 T + c2 T^2 + r (RH - RH0)``, T in degrees Celsius, RH in percent.

    Parameters
    ----------
    constant, linear, square : float
        c0, c1 (1/K), c2 (1/K²).
    humidity : float
        r, per percent.
    reference_percent : float
        RH0.
    relative_sigma : float
        Relative standard uncertainty of f.
    """

    constant: float = 1.0
    linear: float = 0.0
    square: float = 0.0
    humidity: float = 0.0
    reference_percent: float = 0.0
    relative_sigma: float = 0.0

    def factor(self, temperature_c: ArrayLike, humidity_percent: ArrayLike) -> Floats:
        """Return f.

        >>> round(float(ClimateCorrection(linear=-0.01).factor(20.0, 50.0)), 3)
        0.8
        """
        celsius = np.asarray(temperature_c, dtype=np.float64)
        humid = np.asarray(humidity_percent, dtype=np.float64) - self.reference_percent
        return np.asarray(
            self.constant + self.linear * celsius + self.square * celsius**2 + self.humidity * humid
        )


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """``ppm = scale (Rs / R0)^exponent``, fitted to this sensor and this gas.

    Parameters
    ----------
    scale, exponent : float
    sigma_log_scale, sigma_exponent, covariance : float
        Standard uncertainties of ``ln scale`` and `exponent`, and their covariance.
    scatter : float
        Standard deviation of ``ln ppm`` around the law: what temperature, humidity, other gases and age do.
    r2 : float
        Share of the variance of ``ln ppm`` explained.
    low, high : float
        Range of Rs / R0 that was seen; beyond, results are flagged.
    """

    scale: float
    exponent: float
    sigma_log_scale: float = 0.0
    sigma_exponent: float = 0.0
    covariance: float = 0.0
    scatter: float = 0.0
    r2: float = math.nan
    low: float = 0.0
    high: float = math.inf

    def ppm(self, ratio: ArrayLike) -> Floats:
        """Return the mole fraction, ppm.

        >>> round(float(PowerLaw(100.0, -2.0).ppm(0.5)), 1)
        400.0
        """
        return np.asarray(self.scale * np.asarray(ratio, dtype=np.float64) ** self.exponent)


@dataclass(frozen=True, slots=True)
class MoxSensor:
    """Calibration sheet of one metal-oxide sensor.

    Parameters
    ----------
    id : str
        Name of the sensor, this very one.
    r0_ohm, relative_sigma_r0 : float
        Resistance in clean air at the reference climate, and its relative standard uncertainty.
    supply_v, load_ohm : float
        Of the voltage divider, where the column is a voltage; NaN where it is not known.
    climate : ClimateCorrection or None
        How the resistance follows temperature and humidity.
    species : str
        What `law` or `points` were recorded with; "" without them.
    law : PowerLaw or None
        Fitted to this sensor and this gas.
    points : tuple of (Rs / R0, ppm)
        Readings beside a reference, to which the law is to be fitted; empty where `law` is stated.
    path : str
        File it was read from.
    """

    id: str
    r0_ohm: float
    relative_sigma_r0: float = 0.0
    supply_v: float = float("nan")
    load_ohm: float = float("nan")
    climate: ClimateCorrection | None = None
    species: str = ""
    law: PowerLaw | None = None
    points: tuple[tuple[float, float], ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Sheets:
    """The data that the corrections of one species ask for; None or empty where they ask for none."""

    cell: Cell | None = None
    table: CompensationTable | None = None
    mox: MoxSensor | None = None
    pid: tuple[PidTable, ...] = ()
