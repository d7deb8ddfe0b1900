"""Units at the border: the only conversion factors of the package.

Inside, a mole fraction is in ppm, a column in ppm m, and every other field has its unit in its name. A
mass concentration (mg/m3) is none of these: it turns into a mole fraction only with the molar mass, the
temperature and the pressure of the sample, see :func:`mole_fraction_from_mass`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import UnitsError, did_you_mean

Quantity = Literal["mole_fraction", "column", "relative"]

GAS_CONSTANT: Final = 8.314462618
"""Molar gas constant, J/(mol K): product of two defining constants (SI brochure, 9th ed., 2019), rounded."""
ZERO_CELSIUS_K: Final = 273.15
"""0 degrees Celsius, K (SI, exact)."""
STANDARD_ATMOSPHERE_PA: Final = 101325.0
"""1 atm, Pa (exact)."""
TORR_PA: Final = STANDARD_ATMOSPHERE_PA / 760.0
"""1 Torr, Pa (exact); the conventional mmHg differs from it by 1.4e-7."""
FOOT_M: Final = 0.3048
"""International foot, m (exact)."""
MILE_M: Final = 1609.344
"""International mile, m (exact)."""
NAUTICAL_MILE_M: Final = 1852.0
"""Nautical mile, m (exact)."""
HOUR_S: Final = 3600.0
FAHRENHEIT_ZERO_K: Final = ZERO_CELSIUS_K - 32.0 / 1.8
"""0 degrees Fahrenheit, K (exact)."""
PA_PER_HPA: Final = 100.0
MICRO: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Unit:
    """``value in the base unit of its kind = factor * value + offset``."""

    kind: str
    factor: float
    offset: float = 0.0


_UNITS: Final[dict[str, _Unit]] = {
    # kind, base unit: mole fraction, ppm
    "ppm": _Unit("mole_fraction", 1.0),
    "ppb": _Unit("mole_fraction", 1e-3),
    "ppt": _Unit("mole_fraction", 1e-6),
    "percent": _Unit("mole_fraction", 1e4),
    "umol/mol": _Unit("mole_fraction", 1.0),
    "nmol/mol": _Unit("mole_fraction", 1e-3),
    "mmol/mol": _Unit("mole_fraction", 1e3),
    "mol/mol": _Unit("mole_fraction", 1e6),
    # column, ppm m
    "ppm m": _Unit("column", 1.0),
    "ppb m": _Unit("column", 1e-3),
    # relative readings keep their own scale
    "1": _Unit("relative", 1.0),
    "counts": _Unit("relative", 1.0),
    "mV": _Unit("voltage", 1e-3),
    "V": _Unit("voltage", 1.0),
    "ohm": _Unit("resistance", 1.0),
    "kohm": _Unit("resistance", 1e3),
    # mass concentration, mg/m3
    "mg/m3": _Unit("mass_concentration", 1.0),
    "ug/m3": _Unit("mass_concentration", 1e-3),
    "g/m3": _Unit("mass_concentration", 1e3),
    # pressure, Pa
    "Pa": _Unit("pressure", 1.0),
    "hPa": _Unit("pressure", PA_PER_HPA),
    "kPa": _Unit("pressure", 1e3),
    "mbar": _Unit("pressure", 100.0),
    "bar": _Unit("pressure", 1e5),
    "Torr": _Unit("pressure", TORR_PA),
    "atm": _Unit("pressure", STANDARD_ATMOSPHERE_PA),
    # temperature, K
    "K": _Unit("temperature", 1.0),
    "degC": _Unit("temperature", 1.0, ZERO_CELSIUS_K),
    "degF": _Unit("temperature", 1.0 / 1.8, FAHRENHEIT_ZERO_K),
    # length, m
    "m": _Unit("length", 1.0),
    "km": _Unit("length", 1e3),
    "cm": _Unit("length", 1e-2),
    "mm": _Unit("length", 1e-3),
    "um": _Unit("length", 1e-6),
    "nm": _Unit("length", 1e-9),
    "ft": _Unit("length", FOOT_M),
    # speed, m/s
    "m/s": _Unit("speed", 1.0),
    "cm/s": _Unit("speed", 1e-2),
    "km/h": _Unit("speed", 1e3 / HOUR_S),
    "mph": _Unit("speed", MILE_M / HOUR_S),
    "kn": _Unit("speed", NAUTICAL_MILE_M / HOUR_S),
    "ft/s": _Unit("speed", FOOT_M),
    # angle, rad
    "rad": _Unit("angle", 1.0),
    "mrad": _Unit("angle", 1e-3),
    "deg": _Unit("angle", math.pi / 180.0),
    "1e-7 deg": _Unit("angle", math.pi / 180.0e7),
    # spectral radiance, W/(m2 sr nm); 1 flick = 1 W/(cm2 sr um)
    "W/(m2 sr nm)": _Unit("spectral_radiance", 1.0),
    "W/(m2 sr um)": _Unit("spectral_radiance", 1e-3),
    "mW/(m2 sr nm)": _Unit("spectral_radiance", 1e-3),
    "uW/(m2 sr nm)": _Unit("spectral_radiance", 1e-6),
    "W/(cm2 sr nm)": _Unit("spectral_radiance", 1e4),
    "W/(cm2 sr um)": _Unit("spectral_radiance", 10.0),
    "mW/(cm2 sr um)": _Unit("spectral_radiance", 1e-2),
    "uW/(cm2 sr um)": _Unit("spectral_radiance", 1e-5),
    "mW/(cm2 sr nm)": _Unit("spectral_radiance", 10.0),
    "uW/(cm2 sr nm)": _Unit("spectral_radiance", 1e-2),
    "mW/(m2 sr um)": _Unit("spectral_radiance", 1e-6),
    "uW/(m2 sr um)": _Unit("spectral_radiance", 1e-9),
    "nW/(cm2 sr nm)": _Unit("spectral_radiance", 1e-5),
    # time, s
    "s": _Unit("time", 1.0),
    "ms": _Unit("time", 1e-3),
    "us": _Unit("time", 1e-6),
    "ns": _Unit("time", 1e-9),
    "min": _Unit("time", 60.0),
    "h": _Unit("time", HOUR_S),
}

_ALIASES: Final[dict[str, str]] = {
    "ppmv": "ppm",
    "PPM": "ppm",
    "ppbv": "ppb",
    "PPB": "ppb",
    "pptv": "ppt",
    "%": "percent",
    "vol-%": "percent",
    "vol%": "percent",
    "umol mol-1": "umol/mol",
    "nmol mol-1": "nmol/mol",
    "mmol mol-1": "mmol/mol",
    "ppm*m": "ppm m",
    "ppm-m": "ppm m",
    "ppm.m": "ppm m",
    "ppb*m": "ppb m",
    "ppb-m": "ppb m",
    "ppb.m": "ppb m",
    "": "1",
    "count": "counts",
    "Ohm": "ohm",
    "kOhm": "kohm",
    "mbars": "mbar",
    "torr": "Torr",
    "mmHg": "Torr",
    "°C": "degC",
    "deg C": "degC",
    "C": "degC",
    "°F": "degF",
    "deg F": "degF",
    "kt": "kn",
    "knots": "kn",
    "m s-1": "m/s",
    "°": "deg",
    "degrees": "deg",
    "secs": "s",
    "sec": "s",
    "flick": "W/(cm2 sr um)",
    "uflick": "uW/(cm2 sr um)",
    "microflick": "uW/(cm2 sr um)",
    "microflicks": "uW/(cm2 sr um)",
}

_RELATIVE_KINDS: Final = frozenset({"relative", "voltage", "resistance"})
_SPELLING: Final = str.maketrans({"μ": "u", "Ω": "ohm", "·": "*", "⋅": "*", "−": "-"})

_RADIANCE_TOKEN: Final = re.compile(r"([umn]?W|cm|nm|um|m|sr)\^?\{?(-?[12])?\}?|([/().*\[\] ]+)")
_RADIANCE_WORDS: Final = {
    "watt": "W",
    "watts": "W",
    "milliwatts": "mW",
    "microwatts": "uW",
    "microw": "uW",
    "nanowatts": "nW",
    "steradian": "sr",
    "ster": "sr",
    "str": "sr",
    "sr": "sr",
    "nanometer": "nm",
    "nanometers": "nm",
    "micrometer": "um",
    "micrometers": "um",
    "micron": "um",
    "microns": "um",
    "centimeter": "cm",
    "centemeter": "cm",  # so in headers of EMIT
    "meter": "m",
    "per": "/",
}
"""Words of units of radiance in headers of cubes, in lower case."""
_SLASH: Final = "/"
_RADIANCE_POWERS: Final = {"cm": 2, "m": 2, "sr": 1, "nm": 1, "um": 1}


def _radiance_name(text: str) -> str:
    """Return the name in the table of a spectral radiance however it is written, else *text*.

    ``W/m^2/sr/nm``, ``uW nm-1 cm-2 sr-1``, ``mW/(cm^2*um*sr)`` and ``Watts per (meter squared steradian
    micron)`` are understood: one power, one area, one steradian and one step of wavelength, the last three
    dividing.
    """
    text = re.sub("[A-Za-z]+", lambda word: _RADIANCE_WORDS.get(word[0].lower(), word[0]), text)
    text = re.sub(r"\s+squared", "2", text)
    parts: dict[str, str] = {}
    at, dividing = 0, False
    while at < len(text):
        match = _RADIANCE_TOKEN.match(text, at)
        if match is None:
            return text
        at = match.end()
        name, power = match[1], int(match[2] or "1")
        if name is None:
            dividing |= _SLASH in match[3]
        elif name.endswith("W"):
            parts["power"] = name if "power" not in parts and power == 1 and not dividing else "?"
        elif (dividing or power < 0) and abs(power) == _RADIANCE_POWERS[name]:
            place = "area" if abs(power) != 1 else "sr" if name == "sr" else "step"
            parts[place] = name if place not in parts else "?"
        else:
            return text
    if set(parts) != {"power", "area", "sr", "step"} or "?" in parts.values():
        return text
    return f"{parts['power']}/({parts['area']}2 sr {parts['step']})"


def _look_up(unit: str) -> _Unit:
    """Return the factor of *unit*; spelling variants (µ, ³, ·, ℃, double spaces) are one unit."""
    text = " ".join(unicodedata.normalize("NFKC", unit).translate(_SPELLING).split())
    found = _UNITS.get(_ALIASES.get(text, text)) or _UNITS.get(_radiance_name(text))
    if found is None:
        raise UnitsError(
            f'unknown unit "{unit}"{did_you_mean(text, [*_UNITS, *_ALIASES])}',
            fix=f"use one of: {', '.join(_UNITS)}",
        )
    return found


def quantity_of(unit: str) -> Quantity:
    """Return what a gas reading in *unit* is: the `quantity` of its :class:`~dronesense.model.GasSeries`.

    Returns
    -------
    {"mole_fraction", "column", "relative"}
        ``relative`` for volts, ohms, counts and the unit one, which are no concentration.

    Raises
    ------
    UnitsError
        If the unit is not known, or is no unit of a gas reading.

    Examples
    --------
    >>> quantity_of("ppb"), quantity_of("ppm m"), quantity_of("mV")
    ('mole_fraction', 'column', 'relative')
    """
    kind = _look_up(unit).kind
    if kind == "mole_fraction":
        return "mole_fraction"
    if kind == "column":
        return "column"
    if kind in _RELATIVE_KINDS:
        return "relative"
    if kind == "mass_concentration":
        raise UnitsError(
            f'"{unit}" is a mass concentration: a mole fraction follows only at known T and p',
            fix="let the instrument write ppm, or convert with dronesense.units.mole_fraction_from_mass",
        )
    raise UnitsError(
        f'"{unit}" is a unit of {kind}, not of a gas reading',
        fix='use ppm, ppb, percent, "ppm m", mV, ohm, counts or 1',
    )


@overload
def convert(value: float, unit: str, to: str) -> float: ...
@overload
def convert(value: NDArray[np.float64], unit: str, to: str) -> NDArray[np.float64]: ...
def convert(value: float | NDArray[np.float64], unit: str, to: str) -> float | NDArray[np.float64]:
    """Convert *value* from *unit* to *to*.

    Temperatures are points on a scale, not differences: 0 degC is 273.15 K. A relative reading (volts,
    ohms, counts) keeps its number when it is asked for in the unit ``"1"``. ``"percent"`` is a mole
    fraction of 1e4 ppm; a relative humidity passes from percent to percent.

    Parameters
    ----------
    value : float or array
        Number or numbers in *unit*; NaN stays NaN.
    unit, to : str
        Unit names; ``µ``, ``³``, ``·`` and ``℃`` are understood, upper and lower case are different.

    Raises
    ------
    UnitsError
        If a unit is unknown, or the two measure different things (ppm and ppm m, ppm and mg/m3, ...).

    Examples
    --------
    >>> convert(2067.6, "ppb", "ppm")
    2.0676
    >>> round(convert(20.0, "degC", "K"), 2)
    293.15
    """
    old, new = _look_up(unit), _look_up(to)
    if new.kind == "relative" and old.kind in _RELATIVE_KINDS:
        return value
    if old.kind != new.kind:
        fix = "name the unit that the column really has"
        if "mass_concentration" in (old.kind, new.kind):
            fix = "a mass concentration needs molar mass, temperature and pressure: mole_fraction_from_mass"
        raise UnitsError(
            f'"{unit}" ({_kind_text(old)}) does not convert into "{to}" ({_kind_text(new)})', fix=fix
        )
    if old == new:
        return value
    if old.offset == new.offset == 0.0:
        return _scaled(value, old.factor, new.factor)
    return (value * old.factor + (old.offset - new.offset)) / new.factor


def _scaled(value: float | NDArray[np.float64], old: float, new: float) -> float | NDArray[np.float64]:
    """Scale by a ratio; divides where that is exact (2067.6 ppb is 2.0676 ppm to the last bit)."""
    if new >= old:
        return value / (new / old)
    return value * (old / new)


def _kind_text(unit: _Unit) -> str:
    return unit.kind.replace("_", " ")


def _sample_state(
    molar_mass_g_mol: float | None, temperature_k: ArrayLike | None, pressure_hpa: ArrayLike | None
) -> NDArray[np.float64]:
    """Return ``M P / (R T)`` in mg/m3 per ppm, or refuse."""
    named = {
        "molar_mass_g_mol": molar_mass_g_mol,
        "temperature_k": temperature_k,
        "pressure_hpa": pressure_hpa,
    }
    missing = [name for name, given in named.items() if given is None]
    if missing:
        raise UnitsError(
            f"a mass concentration and a mole fraction do not convert without {', '.join(missing)}",
            fix="give the state of the sample itself: at 20 and at 25 degC the result differs by 1.7 %",
        )
    mass = np.asarray(molar_mass_g_mol, dtype=np.float64)
    temperature = np.asarray(temperature_k, dtype=np.float64)
    pressure = np.asarray(pressure_hpa, dtype=np.float64)
    for name, array in (
        ("molar_mass_g_mol", mass),
        ("temperature_k", temperature),
        ("pressure_hpa", pressure),
    ):
        if bool(np.any(array <= 0.0)):
            raise UnitsError(f"{name} must be > 0", fix="temperatures in kelvin, pressures absolute in hPa")
    milli_gram_per_gram = 1e3
    state: NDArray[np.float64] = np.asarray(
        mass * pressure * PA_PER_HPA / (GAS_CONSTANT * temperature) * MICRO * milli_gram_per_gram
    )
    return state


def mole_fraction_from_mass(
    value: ArrayLike,
    unit: str,
    *,
    molar_mass_g_mol: float | None,
    temperature_k: ArrayLike | None,
    pressure_hpa: ArrayLike | None,
) -> NDArray[np.float64]:
    """Convert a mass concentration into a mole fraction in ppm: ``x = c R T / (M P)`` (ideal gas).

    Parameters
    ----------
    value : float or array
        Mass concentration in *unit* (mg/m3, ug/m3, g/m3).
    unit : str
        A unit of mass concentration.
    molar_mass_g_mol : float
        Molar mass of the gas, g/mol.
    temperature_k, pressure_hpa : float or array
        State of the air that *value* refers to; broadcast against *value*. There is no default: vendors and
        authorities use 0, 20 and 25 degC.

    Raises
    ------
    UnitsError
        If molar mass, temperature or pressure is missing or not positive, or *unit* is no mass concentration.

    Examples
    --------
    >>> state = {"molar_mass_g_mol": 16.04, "temperature_k": 298.15, "pressure_hpa": 1013.25}
    >>> round(float(mole_fraction_from_mass(0.6557, "mg/m3", **state)), 3)
    1.0
    """
    mass = np.asarray(convert(np.asarray(value, dtype=np.float64), unit, "mg/m3"))
    return np.asarray(mass / _sample_state(molar_mass_g_mol, temperature_k, pressure_hpa))


def mass_from_mole_fraction(
    value: ArrayLike,
    to: str,
    *,
    molar_mass_g_mol: float | None,
    temperature_k: ArrayLike | None,
    pressure_hpa: ArrayLike | None,
) -> NDArray[np.float64]:
    """Convert a mole fraction in ppm into a mass concentration in *to*; see :func:`mole_fraction_from_mass`.

    Raises
    ------
    UnitsError
        If molar mass, temperature or pressure is missing or not positive, or *to* is no mass concentration.
    """
    state = _sample_state(molar_mass_g_mol, temperature_k, pressure_hpa)
    mass = np.asarray(np.asarray(value, dtype=np.float64) * state)
    return np.asarray(convert(mass, "mg/m3", to))
