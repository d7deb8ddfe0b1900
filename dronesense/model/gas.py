"""A gas series: one species of one analyser against time, with its uncertainty and flags."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model import showing
from dronesense.model.checks import freeze, strictly_increasing

if TYPE_CHECKING:
    import xarray as xr

GasQuantity = Literal["mole_fraction", "column", "relative"]
UNIT_OF_QUANTITY: Final[dict[str, str]] = {"mole_fraction": "ppm", "column": "ppm m", "relative": "1"}


class Flag(IntFlag):
    """Why a sample is not to be trusted; a set of bits."""

    OK = 0
    STATUS = 1
    """The instrument's own status word says so."""
    RANGE = 2
    """Outside the instrument's valid range."""
    SATURATED = 4
    STUCK = 8
    """The same reading repeated longer than the noise allows."""
    WARM_UP = 16
    ON_GROUND = 32
    """Before take-off or after landing."""
    NO_POSITION = 64
    """The trajectory does not cover the sample."""
    EDGE = 128
    """Too near a gap for the response correction to be trusted."""
    DERIVED = 256
    """Computed by the sensor from another channel, not measured: eCO2 of a metal-oxide chip is no CO2."""


@dataclass(frozen=True, slots=True, eq=False)
class Ambient:
    """Conditions at the analyser, NaN where unknown.

    Parameters
    ----------
    pressure_hpa, temperature_k, humidity_percent : (m,) float64 or None
        Static pressure, air temperature, relative humidity.
    water_ppm : (m,) float64 or None
        Mole fraction of water in moist air, as the analyser measured it.
    """

    pressure_hpa: NDArray[np.float64] | None = None
    temperature_k: NDArray[np.float64] | None = None
    humidity_percent: NDArray[np.float64] | None = None
    water_ppm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "pressure_hpa", "temperature_k", "humidity_percent", "water_ppm")


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """The light path of an instrument that measures a column, as its own file tells it; NaN where unknown.

    Parameters
    ----------
    length_m : (m,) float64 or None
        Measured distance along the beam to what it was reflected by.
    pitch_deg : (m,) float64 or None
        Elevation of the beam above the horizon: -90 looks straight down, as stabilized gimbals state it.
    yaw_deg : (m,) float64 or None
        Its azimuth, clockwise from true north.
    """

    length_m: NDArray[np.float64] | None = None
    pitch_deg: NDArray[np.float64] | None = None
    yaw_deg: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        freeze(self, np.float64, (None,), "length_m", "pitch_deg", "yaw_deg")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GasSeries:
    """One species against time.

    Parameters
    ----------
    time : (m,) int64
        UTC ns, strictly increasing.
    species : str
        E.g. ``"CH4"``.
    quantity : {"mole_fraction", "column", "relative"}
        Fixes the unit of `value`: ppm, ppm m, or 1.
    value, sigma : (m,) float64
        Reading and its standard uncertainty; NaN where there is none.
    basis : {"dry", "wet", "unknown"}
        Whether a mole fraction refers to dry or to moist air.
    flags : (m,) uint16
        Bits of :class:`Flag`.
    level : {"raw", "calibrated"}
        Guards the order of steps.
    ambient : Ambient
        Pressure, temperature, humidity when the file has them.
    instrument : str
        Instrument id.
    source : str
        File the series was read from, relative to the flight folder.
    row : (m,) int64
        Row of each sample in that file, 1-based, header included: the trace back to the raw data.
    history : tuple of str
        One line per step.
    beam : Beam or None
        For a column: what the file says of the light path.
    """

    time: NDArray[np.int64]
    species: str
    quantity: GasQuantity
    value: NDArray[np.float64]
    sigma: NDArray[np.float64]
    basis: Literal["dry", "wet", "unknown"]
    flags: NDArray[np.uint16]
    level: Literal["raw", "calibrated"]
    ambient: Ambient
    instrument: str
    source: str
    row: NDArray[np.int64]
    history: tuple[str, ...] = ()
    beam: Beam | None = None

    def __post_init__(self) -> None:
        m = len(self.time)
        freeze(self, np.int64, (None,), "time")
        freeze(self, np.float64, (m,), "value")
        freeze(self, np.float64, (m,), "sigma")
        freeze(self, np.uint16, (m,), "flags")
        freeze(self, np.int64, (m,), "row")
        strictly_increasing(self.time, "time")
        if self.quantity not in UNIT_OF_QUANTITY:
            raise ValueError(f"quantity must be one of {tuple(UNIT_OF_QUANTITY)}, not {self.quantity!r}")
        if self.level not in ("raw", "calibrated"):
            raise ValueError(f'level must be "raw" or "calibrated", not {self.level!r}')
        if np.any(self.sigma < 0.0):
            raise ValueError("sigma must not be negative")
        for name in ("pressure_hpa", "temperature_k", "humidity_percent", "water_ppm"):
            ambient = getattr(self.ambient, name)
            if ambient is not None and len(ambient) != m:
                raise ValueError(f"ambient.{name} has {len(ambient)} samples, the series {m}")
        for name in ("length_m", "pitch_deg", "yaw_deg"):
            path = None if self.beam is None else getattr(self.beam, name)
            if path is not None and len(path) != m:
                raise ValueError(f"beam.{name} has {len(path)} samples, the series {m}")

    def __len__(self) -> int:
        return len(self.time)

    def __repr__(self) -> str:
        return f"<GasSeries {self.species} of {self.source}: {len(self)} samples, {self.level}, {self.unit}>"

    def _repr_html_(self) -> str:
        known = self.value[self.valid]
        facts = {
            "file": self.source,
            "instrument": self.instrument,
            "samples": f"{known.size} of {len(self)} without a flag",
            "from": showing.moment(self.time[0]) if len(self) else "",
            "to": showing.moment(self.time[-1]) if len(self) else "",
            "values": showing.span(known.min(), known.max(), self.unit) if known.size else "none",
            "level": self.level,
            "steps": "; ".join(self.history),
        }
        return showing.card(f"Gas {self.species}", facts)

    @property
    def unit(self) -> str:
        """Unit of `value` and `sigma`."""
        return UNIT_OF_QUANTITY[self.quantity]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """True where the value is finite and no flag is set."""
        valid: NDArray[np.bool_] = np.isfinite(self.value) & (self.flags == 0)
        return valid

    def to_xarray(self) -> xr.Dataset:
        """Return `value`, `sigma`, `flags`, `row` and what else was measured, against `time` (UTC).

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.gas_series(self)
