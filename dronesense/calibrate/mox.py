"""Metal-oxide sensors: resistance, its dependence on temperature and humidity, and the power law.

Without a calibration of the sensor itself against the gas itself the result stays relative: a list of
typical curves is none. An eCO2 that a chip derives from its VOC signal is not CO2 and never treated as such.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError
from dronesense.model import Flag, GasSeries
from dronesense.model.gas_tables import ClimateCorrection, PowerLaw

__all__ = ["ClimateCorrection", "PowerLaw", "fit_power_law", "ratio", "resistance", "to_mole_fraction"]

MIN_POINTS: Final = 3
ZERO_CELSIUS_K: Final = 273.15

Floats = NDArray[np.float64]


def resistance(output_v: ArrayLike, *, supply_v: float, load_ohm: float) -> Floats:
    """Return the resistance of the sensor in a voltage divider, ohm: ``Rs = RL (Vc / Vout - 1)``.

    NaN where the output is not between 0 and the supply.

    Examples
    --------
    >>> float(resistance(1.0, supply_v=5.0, load_ohm=10_000.0))
    40000.0
    """
    if not (supply_v > 0.0 and load_ohm > 0.0):
        raise ValueError(f"supply_v and load_ohm must be > 0, not {supply_v} and {load_ohm}")
    out = np.asarray(output_v, dtype=np.float64)
    sane = (out > 0.0) & (out < supply_v)
    return np.asarray(load_ohm * (supply_v / np.where(sane, out, np.nan) - 1.0))


def ratio(
    series: GasSeries,
    *,
    r0_ohm: float,
    climate: ClimateCorrection | None = None,
    relative_sigma_r0: float = 0.0,
) -> GasSeries:
    """Return Rs / R0 of a series of resistances in ohm, at the reference climate. It stays relative.

    The relative uncertainties of R0 and of the climate correction are common to all samples.

    Raises
    ------
    CalibrationError
        If the series is no raw relative one, or temperature or humidity is missing.
    """
    if not r0_ohm > 0.0:
        raise ValueError(f"r0_ohm must be > 0, not {r0_ohm}")
    _raw_relative(series)
    scale, extra, text = np.full(len(series), 1.0 / r0_ohm), relative_sigma_r0, ""
    if climate is not None:
        kelvin, humidity = series.ambient.temperature_k, series.ambient.humidity_percent
        if kelvin is None or humidity is None:
            missing = "temperature" if kelvin is None else "humidity"
            raise CalibrationError(
                f"{series.species}: the climate correction needs the {missing}, and the file has none",
                where=series.source or None,
                fix=f'name a column with field = "{missing}" in the instrument file',
            )
        scale /= climate.factor(kelvin - ZERO_CELSIUS_K, humidity)
        extra = math.hypot(extra, climate.relative_sigma)
        text = ", temperature and humidity taken off"
    value = series.value * scale
    return replace(
        series,
        value=value,
        sigma=np.hypot(series.sigma * np.abs(scale), value * extra),
        history=(*series.history, f"mox: Rs / R0 with R0 = {r0_ohm:g} ohm{text}; relative, no mole fraction"),
    )


def fit_power_law(ratio: ArrayLike, ppm: ArrayLike) -> PowerLaw:
    """Fit ``ln ppm = ln scale + exponent ln (Rs / R0)`` to readings beside a reference analyser.

    Parameters
    ----------
    ratio, ppm : (n,) array_like
        Rs / R0 and the reference, n >= 3; pairs that are not both finite and > 0 are left out.

    Raises
    ------
    ValueError
        If fewer than 3 pairs are left, or all ratios are equal.

    Examples
    --------
    >>> law = fit_power_law([0.5, 1.0, 2.0], [400.0, 100.0, 25.0])
    >>> round(law.scale, 6), round(law.exponent, 6)
    (100.0, -2.0)
    """
    x, y = (np.asarray(each, dtype=np.float64) for each in (ratio, ppm))
    good = (x > 0.0) & (y > 0.0) & np.isfinite(x) & np.isfinite(y)
    x, y = np.log(x[good]), np.log(y[good])
    if x.size < MIN_POINTS or not np.ptp(x) > 0.0:
        raise ValueError(f"needs at least {MIN_POINTS} pairs and two different ratios")
    mean, spread = float(x.mean()), float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - mean) * y)) / spread
    start = float(y.mean()) - slope * mean
    rest = y - start - slope * x
    scatter2 = float(rest @ rest) / (x.size - 2)
    total = float(np.sum((y - y.mean()) ** 2))
    return PowerLaw(
        scale=math.exp(start),
        exponent=slope,
        sigma_log_scale=math.sqrt(scatter2 * (1.0 / x.size + mean**2 / spread)),
        sigma_exponent=math.sqrt(scatter2 / spread),
        covariance=-mean * scatter2 / spread,
        scatter=math.sqrt(scatter2),
        r2=1.0 - float(rest @ rest) / total if total > 0.0 else math.nan,
        low=float(np.exp(x.min())),
        high=float(np.exp(x.max())),
    )


def to_mole_fraction(series: GasSeries, law: PowerLaw | None) -> GasSeries:
    """Turn Rs / R0 into ppm by a law that was fitted to this sensor; without one the series stays relative.

    ``u^2(ln ppm) = (exponent u(ratio) / ratio)^2 + u^2(ln scale) + ln^2(ratio) u^2(exponent)
    + 2 ln(ratio) cov + scatter^2``. Ratios beyond those of the fit are flagged :attr:`Flag.RANGE`.

    Raises
    ------
    CalibrationError
        If the series is no raw relative one, or a derived one (eCO2).
    """
    _raw_relative(series)
    if law is None:
        note = "mox: no calibration of this sensor, stays relative"
        return replace(series, history=(*series.history, note))
    if np.any(series.flags & int(Flag.DERIVED)) or series.species.lower() == "eco2":
        raise CalibrationError(
            f"{series.species} is computed by the chip from its VOC signal: it is not CO2",
            where=series.source or None,
            fix="use the VOC channel, or a sensor that measures CO2",
        )
    positive = np.where(series.value > 0.0, series.value, np.nan)
    logarithm = np.log(positive)
    ppm = law.ppm(positive)
    variance = (
        (law.exponent * series.sigma / positive) ** 2
        + law.sigma_log_scale**2
        + (logarithm * law.sigma_exponent) ** 2
        + 2.0 * logarithm * law.covariance
        + law.scatter**2
    )
    beyond = ~((positive >= law.low) & (positive <= law.high))
    step = (
        f"mox: ppm = {law.scale:.4g} (Rs/R0)^{law.exponent:.4g}, scatter {law.scatter:.2g} of ln ppm; "
        "semi-quantitative"
    )
    return replace(
        series,
        quantity="mole_fraction",
        value=ppm,
        sigma=ppm * np.sqrt(np.maximum(variance, 0.0)),
        flags=series.flags | np.where(beyond, np.uint16(Flag.RANGE), np.uint16(0)),
        history=(*series.history, step),
    )


def _raw_relative(series: GasSeries) -> None:
    if series.quantity != "relative" or series.level != "raw":
        raise CalibrationError(
            f"{series.species} is {series.level} {series.quantity}, no raw metal-oxide signal",
            where=series.source or None,
            fix='state unit = "ohm", "V" or "1" for the column',
        )
