"""Zero and span of a gas analyser: raw reading -> mole fraction with its full uncertainty."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from dronesense.calibrate.line import drifted
from dronesense.errors import CalibrationError, did_you_mean
from dronesense.model import GasCalibration, GasSeries, SpeciesCalibration

FACTORY_VALUES: Final = "calibrate: no calibration record, factory values kept"
"""The history line of a series that no record stands behind; see :func:`has_factory_values`."""


def calibrate(series: GasSeries, record: GasCalibration | None) -> GasSeries:
    """Invert the calibration line ``reading = zero + span * true`` of the record.

    With zero a, span b and reading y::

        x = (y - a) / b
        u^2(x) = [u^2(y) + u^2(a) + x^2 u^2(b) + 2 x cov(a, b)] / b^2

    (ISO 6143:2001, section 5; JCGM 100:2008, equation 13). The errors of zero and span are common to all
    samples: they do not average out, and in an *enhancement* over the background the zero error cancels, so
    that only noise and ``x u(b) / b`` remain (see :func:`relative_span_sigma`).

    Parameters
    ----------
    series : GasSeries
        Level ``"raw"``; `sigma` is the noise of one reading.
    record : GasCalibration or None
        None: the values pass unchanged, and the history says so.

    Returns
    -------
    GasSeries
        Level ``"calibrated"``; same stamps and flags.

    Raises
    ------
    CalibrationError
        If the series has been calibrated already, or the record is another instrument's or lacks the species.
    """
    if series.level != "raw":
        raise CalibrationError(
            f"{series.species} is calibrated already",
            where=series.source or None,
            fix="calibrate a raw series, once",
        )
    if record is None:
        return replace(series, level="calibrated", history=(*series.history, FACTORY_VALUES))
    line = species_line(series, record)
    value = (series.value - line.zero) / line.span
    variance = (
        series.sigma**2 + line.sigma_zero**2 + (value * line.sigma_span) ** 2 + 2.0 * value * line.covariance
    ) / line.span**2
    step = (
        f"calibrate: ({series.species} - {line.zero:g}) / {line.span:g}, "
        f"sigma zero {line.sigma_zero:g}, span {line.sigma_span:g}, covariance {line.covariance:g}"
        f" ({record.path or 'record without a file'}{_drift_text(record)})"
    )
    return replace(
        series,
        value=value,
        sigma=np.sqrt(np.maximum(variance, 0.0)),
        level="calibrated",
        history=(*series.history, step),
    )


def species_line(series: GasSeries, record: GasCalibration) -> SpeciesCalibration:
    """Return the calibration line of the species of *series*.

    With a record made after the flight, the line half way through the series of a drift that is linear in
    time between the two (:func:`dronesense.calibrate.line.drifted`).

    Raises
    ------
    CalibrationError
        If the record is another instrument's, or has no line for the species.
    """
    where = record.path or "calibration record"
    if record.instrument and series.instrument and record.instrument != series.instrument:
        raise CalibrationError(
            f'the record is for instrument "{record.instrument}", the series is from "{series.instrument}"',
            where=where,
            fix=f'set instrument = "{series.instrument}", or use a record of that instrument',
        )
    line = record.species.get(series.species)
    if line is None:
        raise CalibrationError(
            f"no [species.{series.species}]{did_you_mean(series.species, record.species)}",
            where=where,
            fix=f"add [species.{series.species}] with zero and span, or take the record away",
        )
    if record.after is None or not len(series):
        return line
    middle = 0.5 * (float(series.time[0] - record.valid_from) + float(series.time[-1] - record.valid_from))
    share = middle / (record.after.valid_from - record.valid_from)
    return drifted(line, record.after.species[series.species], share)


def _drift_text(record: GasCalibration) -> str:
    return "" if record.after is None else f", drifting to {record.after.path or 'one made after'}"


def relative_span_sigma(series: GasSeries, record: GasCalibration | None) -> float:
    """Return ``u(span) / span``: the relative standard uncertainty that a calibrated enhancement keeps.

    It is 0 without a record: the factory's span uncertainty is not known.

    Raises
    ------
    CalibrationError
        As :func:`species_line`.
    """
    if record is None:
        return 0.0
    line = species_line(series, record)
    return line.sigma_span / line.span


def has_factory_values(series: GasSeries) -> bool:
    """Tell whether :func:`calibrate` found no record for *series*."""
    return FACTORY_VALUES in series.history
