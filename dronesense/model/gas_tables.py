"""What is known of gases and sensors before any flight: molar masses, limits, factors of cells and lamps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


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
