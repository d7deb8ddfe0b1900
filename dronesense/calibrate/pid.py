"""Photoionization detectors: a reading in equivalents of isobutylene -> a compound, if it is that compound.

A PID sees every vapor that its lamp can ionize; the factor says how much of one compound would give the
reading. It never says which compound is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dronesense.errors import CalibrationError, did_you_mean
from dronesense.model import GasSeries
from dronesense.model.gas_tables import PidTable


@dataclass(frozen=True, slots=True)
class PidFactor:
    """A correction factor with its uncertainty.

    Parameters
    ----------
    factor : float
        ``true = reading * factor``.
    sigma : float
        Standard uncertainty: the table's relative one, or the distance to the farthest maker of a lamp of the
        same energy over sqrt(3) (rectangular between the two), whichever is larger.
    vendors : tuple of str
        Makers that state one for the compound.
    note : str
        For the history.
    """

    factor: float
    sigma: float
    vendors: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of known composition: its factor, its limit, and the reading at which the limit is met."""

    factor: float
    limit_ppm: float
    alarm_reading: float


def find(tables: Sequence[PidTable], compound: str, *, vendor: str, lamp_ev: float) -> PidFactor:
    """Return the factor of *compound* for the instruments of *vendor* with a lamp of *lamp_ev*.

    Raises
    ------
    CalibrationError
        If there is no table of that maker and lamp, the lamp cannot ionize the compound, or no factor of it
        was ever read in the maker's document (one from memory is named, and not used).
    """
    own = next((each for each in tables if (each.vendor, each.lamp_ev) == (vendor, lamp_ev)), None)
    if own is None:
        known = sorted(f"{each.vendor} {each.lamp_ev:g} eV" for each in tables)
        near = did_you_mean(vendor, {each.vendor for each in tables})
        raise CalibrationError(
            f"no factors for {vendor} with {lamp_ev:g} eV{near}",
            fix=f"use one of: {', '.join(known) or 'none known'}",
        )
    where = own.path or own.source or None
    if compound in own.no_response:
        raise CalibrationError(
            f"a lamp of {lamp_ev:g} eV does not ionize {compound}: nothing can be said of it",
            where=where,
            fix="use a sensor that measures it",
        )
    if compound not in own.factors:
        memory = own.unverified.get(compound)
        remembered = f"; {memory:g} is remembered but was read nowhere" if memory is not None else ""
        raise CalibrationError(
            f'no factor for "{compound}"{did_you_mean(compound, own.factors)}{remembered}',
            where=where,
            fix="add it with its source, or keep the reading in equivalents of isobutylene",
        )
    value = own.factors[compound]
    others = {
        each.vendor: each.factors[compound]
        for each in tables
        if each.lamp_ev == lamp_ev and compound in each.factors
    }
    farthest = max(abs(each - value) for each in others.values())
    sigma = max(value * own.relative_sigma, farthest / math.sqrt(3.0))
    stated = ", ".join(f"{name} {each:g}" for name, each in sorted(others.items()))
    return PidFactor(value, sigma, tuple(sorted(others)), f"{own.sources[compound]}; stated: {stated}")


def correct(series: GasSeries, compound: str, factor: PidFactor) -> GasSeries:
    """Return what the reading would be if all of it were *compound*; the series keeps its own species.

    Parameters
    ----------
    series : GasSeries
        Mole fraction in equivalents of the gas that the instrument is set to.
    compound : str
        What it is taken for.
    factor : PidFactor
        From :func:`find`.

    Raises
    ------
    CalibrationError
        If the series is no mole fraction.
    """
    if series.quantity != "mole_fraction":
        raise CalibrationError(
            f"{series.species} is {series.quantity}: a correction factor needs ppm",
            where=series.source or None,
        )
    value = series.value * factor.factor
    step = (
        f"pid: times {factor.factor:g} ± {factor.sigma:.2g}, as {compound} if all of it is {compound}, "
        f"which a PID cannot tell ({factor.note})"
    )
    return replace(
        series,
        value=value,
        sigma=np.hypot(series.sigma * factor.factor, series.value * factor.sigma),
        history=(*series.history, step),
    )


def mixture(
    fractions: Mapping[str, float], factors: Mapping[str, float], limits_ppm: Mapping[str, float]
) -> Mixture:
    """Return factor, limit and alarm reading of a mixture of known composition (RAE TN-106).

    ``1 / factor = sum x / factor_i``, ``1 / limit = sum x / limit_i``, alarm at ``limit / factor``.

    Parameters
    ----------
    fractions : mapping of str to float
        Compound -> share of the vapor; they add up to 1.
    factors, limits_ppm : mapping of str to float
        Compound -> correction factor, exposure limit.

    Raises
    ------
    ValueError
        If the fractions do not add up to 1 or a compound is missing.

    Examples
    --------
    >>> mixed = mixture({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 3.0}, {"a": 10.0, "b": 10.0})
    >>> round(mixed.factor, 3), round(mixed.limit_ppm, 3), round(mixed.alarm_reading, 3)
    (1.5, 10.0, 6.667)
    """
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6) or min(fractions.values()) < 0.0:
        raise ValueError("the fractions must be 0 or greater and add up to 1")
    missing = sorted(set(fractions) - (set(factors) & set(limits_ppm)))
    if missing:
        raise ValueError(f"no factor or limit of {', '.join(missing)}")
    factor = 1.0 / sum(share / factors[name] for name, share in fractions.items())
    limit = 1.0 / sum(share / limits_ppm[name] for name, share in fractions.items())
    return Mixture(factor, limit, limit / factor)
