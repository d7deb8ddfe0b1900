"""Pressure, temperature and water: a reading of the air as it was to a mole fraction of dry air."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError, did_you_mean
from dronesense.model import GasSeries

STANDARD_HPA: Final = 1013.25
STANDARD_K: Final = 298.15
"""Conditions that most non-dispersive infrared sensors are set to: 1 atm, 25 degrees Celsius."""
BUCK_HPA: Final = 6.1121
"""Saturation pressure at 0 degrees Celsius, hPa (Buck 1981)."""

FRACTION_PER_PPM: Final = 1e-6
DILUTION: Final = "dilution"

Floats = NDArray[np.float64]

WATER_POLYNOMIALS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "picarro-g4301": {"CH4": (-0.0109, 0.0), "CO2": (-0.010345, 0.0)},
    "dilution": {},
}
"""Instrument -> species -> (a, b) of ``wet / dry = 1 + a h + b h^2`` with h the reported water in percent.

``picarro-g4301``: read off the dry columns that the instrument itself writes (agreement 1e-10 over a real
file). ``dilution``: dilution alone, ``1 - h / 100``, for spectrometers whose line shape is fitted."""


def number_density(
    series: GasSeries, *, reference_hpa: float = STANDARD_HPA, reference_k: float = STANDARD_K
) -> GasSeries:
    """Correct a sensor that counts molecules in an open cell (NDIR) to a mole fraction.

    ``c = c_raw (P0 / P) (T / T0)``: at 850 hPa a CO2 sensor reads 15 % low, 1.2 % for each 100 m of height.
    Never for cavity instruments, which control their pressure, nor for sensors that compensate by
    themselves.

    Parameters
    ----------
    series : GasSeries
        Level ``"raw"``, with ``ambient.pressure_hpa`` and ``ambient.temperature_k``.
    reference_hpa, reference_k : float
        Conditions at which the sensor was calibrated.

    Raises
    ------
    CalibrationError
        If pressure or temperature is missing.

    Examples
    --------
    >>> from dronesense.model import Ambient
    >>> one = np.ones(1)
    >>> air = Ambient(850.0 * one, 283.15 * one)
    >>> s = GasSeries(np.array([0]), "CO2", "mole_fraction", 371.0 * one, one, "wet", np.zeros(1), "raw", air,
    ...               "", "", one)
    >>> round(float(number_density(s).value[0]), 1)
    420.0
    """
    pressure, temperature = series.ambient.pressure_hpa, series.ambient.temperature_k
    if pressure is None or temperature is None:
        missing = "pressure" if pressure is None else "temperature"
        raise CalibrationError(
            f"{series.species} counts molecules, and the file has no {missing} of the sample",
            where=series.source or None,
            fix=f'name a column with field = "{missing}" in the instrument file',
        )
    factor = (reference_hpa / pressure) * (temperature / reference_k)
    step = (
        f"ambient: number density to mole fraction, reference {reference_hpa:g} hPa, {reference_k:g} K, "
        f"factor {np.nanmin(factor):.4f} to {np.nanmax(factor):.4f}"
    )
    return _scaled(series, factor, step)


def saturation_hpa(temperature_k: ArrayLike) -> Floats:
    """Return the saturation vapor pressure over water, hPa (Buck 1981, equation e_w4, without enhancement).

    Doi 10.1175/1520-0450(1981)020<1527:NEFCVP>2.0.CO;2.

    Examples
    --------
    >>> round(float(saturation_hpa(298.15)), 4)
    31.6853
    """
    celsius = np.asarray(temperature_k, dtype=np.float64) - 273.15
    return np.asarray(BUCK_HPA * np.exp((18.678 - celsius / 234.5) * celsius / (257.14 + celsius)))


def water_fraction(humidity_percent: ArrayLike, temperature_k: ArrayLike, pressure_hpa: ArrayLike) -> Floats:
    """Return the mole fraction of water, 0 to 1, of moist air.

    Examples
    --------
    >>> round(float(water_fraction(50.0, 298.15, 1000.0)), 6)
    0.015843
    """
    share = np.asarray(humidity_percent, dtype=np.float64) / 100.0
    return np.asarray(share * saturation_hpa(temperature_k) / np.asarray(pressure_hpa, dtype=np.float64))


def dry(
    series: GasSeries,
    *,
    water: ArrayLike | None = None,
    model: str | tuple[float, float] = DILUTION,
    sigma_water: float = 0.0,
) -> GasSeries:
    """Return the dry mole fraction of a wet one.

    Parameters
    ----------
    series : GasSeries
        Basis ``"wet"``.
    water : (m,) array_like, optional
        Mole fraction of water, 0 to 1, as the analyser states it. Default: ``ambient.water_ppm``; for a model
        of dilution alone also from humidity, temperature and pressure of the series.
    model : str or (linear, square)
        Key of :data:`WATER_POLYNOMIALS`, or the coefficients of ``wet / dry = 1 + linear h + square h^2``,
        h in percent.
    sigma_water : float
        Standard uncertainty of the water mole fraction; enters as a common part.

    Raises
    ------
    CalibrationError
        If the series is not wet, no water is known, or *model* has no coefficients for the species; for
        coefficients of an instrument, if the file lacks the water that this instrument measured: they hold
        for its reading, not for the truth.
    """
    where = series.source or None
    if series.basis != "wet":
        raise CalibrationError(
            f"{series.species} is {series.basis}, not wet: it cannot be dried",
            where=where,
            fix='state basis = "wet" or "dry" for the column in the instrument file',
        )
    linear, square, name = _polynomial(series, model)
    fraction = _water(series, own=name != DILUTION) if water is None else np.asarray(water, dtype=np.float64)
    percent = 100.0 * fraction
    wet_per_dry = 1.0 + linear * percent + square * percent**2
    slope = np.abs(linear + 2.0 * square * percent) * 100.0 / wet_per_dry
    known = np.isfinite(fraction)
    span = f"{np.nanmin(percent):.3g} to {np.nanmax(percent):.3g} %" if known.any() else "nowhere known"
    step = f"ambient: dry = wet / (1 {linear:+g} h {square:+g} h^2), water {span} ({name})"
    dried = _scaled(series, 1.0 / wet_per_dry, step)
    sigma = np.hypot(dried.sigma, np.abs(dried.value) * slope * sigma_water)
    return replace(dried, sigma=sigma, basis="dry")


def _polynomial(series: GasSeries, model: str | tuple[float, float]) -> tuple[float, float, str]:
    """Return the linear and square coefficient per percent of water, and what the model is called."""
    if not isinstance(model, str):
        return (*model, "stated coefficients")
    where = series.source or None
    if model not in WATER_POLYNOMIALS:
        raise CalibrationError(
            f'no water model "{model}"{did_you_mean(model, WATER_POLYNOMIALS)}',
            where=where,
            fix=f"use one of: {', '.join(WATER_POLYNOMIALS)}, or {{ linear = ..., square = ... }}",
        )
    if model == DILUTION:
        return -0.01, 0.0, model
    if series.species not in WATER_POLYNOMIALS[model]:
        known = ", ".join(WATER_POLYNOMIALS[model])
        raise CalibrationError(
            f'"{model}" has no coefficients for {series.species}', where=where, fix=f"it has: {known}"
        )
    return (*WATER_POLYNOMIALS[model][series.species], model)


def _water(series: GasSeries, *, own: bool) -> Floats:
    """Return the mole fraction of water; *own*: only as the instrument itself measured it."""
    ambient = series.ambient
    if ambient.water_ppm is not None:
        return ambient.water_ppm * FRACTION_PER_PPM
    if own:
        raise CalibrationError(
            f"the water coefficients of {series.species} hold for the water that the instrument itself "
            "reads, and the file has none",
            where=series.source or None,
            fix='name a column with field = "water" in the instrument file, or use "dilution"',
        )
    if ambient.humidity_percent is None or ambient.temperature_k is None or ambient.pressure_hpa is None:
        raise CalibrationError(
            f"{series.species} is wet, and nothing in the file tells the water",
            where=series.source or None,
            fix='name a column with field = "water", or humidity, temperature and pressure',
        )
    return water_fraction(ambient.humidity_percent, ambient.temperature_k, ambient.pressure_hpa)


def _scaled(series: GasSeries, factor: Floats, step: str) -> GasSeries:
    return replace(
        series,
        value=series.value * factor,
        sigma=series.sigma * np.abs(factor),
        history=(*series.history, step),
    )
