"""Why a reading of a gas table is not to be trusted: each reason one bit, no reading left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model import Column, Flag, GasSeries
from dronesense.readers.table import Table
from dronesense.timescale import NS_PER_S

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

FLOOR_PPM: Final = 400.0
"""What chips that compute "CO2" from volatile compounds put out at least (ams CCS811, Sensirion SGP30)."""
FLOOR_SHARE: Final = 0.05
FLOOR_COUNT: Final = 20
"""So many readings exactly on the floor, and none below it, are no measurement of air."""
COLLINEAR_R: Final = 0.99
"""Correlation with a channel of volatile compounds from which the one is computed from the other."""
MIN_COMMON: Final = 30
"""Readings in common below which a correlation says nothing."""
_VOC: Final = re.compile(r"(t|total[ _]?)?vocs?|iaq|isobutylene", re.IGNORECASE)
_CO2: Final = "CO2"
_ECO2: Final = "eCO2"


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What one status column says.

    Parameters
    ----------
    flag : Flag
        The bit that bad readings get.
    of : str or None
        The species it is about; None = all.
    bad : (n,) bool
        Per row of the table.
    """

    flag: Flag
    of: str | None
    bad: Bools


def status_checks(table: Table, columns: Mapping[str, Column], warnings: list[str]) -> tuple[Check, ...]:
    """Return what the status columns of *table* say; a row without a status is bad.

    Raises
    ------
    ReadError
        If a status that should be a number is none.
    """
    checks: list[Check] = []
    for name, column in columns.items():
        if column.field != "status":
            continue
        if name not in table.all_names:
            warnings.append(f'no column "{name}": the status is not known')
        elif column.ok or column.bad_bits or column.within is not None:
            bad = _bad(table, name, column, warnings)
            checks.append(Check(Flag[column.flag], column.of, bad))
    return tuple(checks)


def _bad(table: Table, name: str, column: Column, warnings: list[str]) -> Bools:
    if any(isinstance(each, str) for each in column.ok):
        good = frozenset(map(str, column.ok))
        return np.array([cell not in good for cell in table.text(name)], dtype=bool)
    value = table.readings(name, warnings)
    bad = np.zeros(value.size, dtype=bool)
    if column.ok:
        bad |= ~np.isin(value, [float(each) for each in column.ok])
    if column.bad_bits:
        known = np.isfinite(value)
        bits = np.where(known, value, 0.0).astype(np.int64)
        bad |= ~known | ((bits & column.bad_bits) != 0)
    if column.within is not None:
        low, high = column.within
        bad |= ~((value >= low) & (value <= high))
    return bad


def flags_of(
    reading: Floats,
    column: Column,
    *,
    in_range: Floats,
    repeats: Floats,
    time: NDArray[np.int64],
    start: int,
    warm_up_s: float,
    valid_range: tuple[float, float],
    checks: Iterable[tuple[Flag, Bools]],
) -> NDArray[np.uint16]:
    """Return the flags of one species.

    Parameters
    ----------
    reading : (m,) float64
        In the column's own unit.
    column : Column
        Of the species.
    in_range : (m,) float64
        In the unit of *valid_range*.
    repeats : (m,) float64
        By what repetitions are told, in the column's own unit: the readings, or those of `column.hold`.
    time : (m,) int64
        UTC ns.
    start : int
        First row of the file, UTC ns: *warm_up_s* counts from it.
    valid_range : (low, high)
        Outside is :attr:`Flag.RANGE`.
    checks : iterable of (flag, (m,) bool)
        From :func:`status_checks`, for these readings.
    """
    low, high = valid_range
    flags = np.zeros(reading.size, dtype=np.uint16)
    for flag, where in (
        (Flag.RANGE, (in_range < low) | (in_range > high)),
        (Flag.SATURATED, reading >= column.saturation),
        (Flag.WARM_UP, time < start + int(warm_up_s * NS_PER_S)),
        (Flag.STUCK, stuck(repeats, column)),
        (Flag.DERIVED, np.full(reading.size, column.derived)),
        *checks,
    ):
        flags[where] |= np.uint16(flag)
    return flags


def resolution(reading: Floats) -> float:
    """Return the smallest step between two different readings; 0 if all are equal."""
    steps = np.diff(np.unique(reading))
    return float(steps.min()) if steps.size else 0.0


def stuck(reading: Floats, column: Column) -> Bools:
    """Return True for readings in a run of more equal ones than `column.stuck`.

    Only where noise is expected: a stated sigma greater than 0 and not below the step of the display. Where a
    logger holds readings (`column.hold`), only such runs are left of its repetitions, see :func:`fresh`.
    """
    noisy = column.hold or (column.sigma > 0.0 and resolution(reading) <= column.sigma)
    if not (noisy and 0 < column.stuck < reading.size):
        return np.zeros(reading.size, dtype=bool)
    return _run_length(reading) > column.stuck


def fresh(reading: Floats, column: Column) -> Bools:
    """Return False for readings that a logger repeats until there is a new one.

    Runs of more than `column.stuck` equal readings stay, to be flagged: no logger holds a value that long.
    """
    if not column.hold or not reading.size:
        return np.ones(reading.size, dtype=bool)
    new = np.ones(reading.size, dtype=bool)
    new[1:] = np.diff(reading) != 0.0
    return new | ((column.stuck > 0) & (_run_length(reading) > column.stuck))


def _run_length(reading: Floats) -> NDArray[np.int64]:
    """Return for each reading how many equal ones stand together."""
    start = np.flatnonzero(np.diff(reading, prepend=np.nan) != 0.0)  # NaN differs from everything
    length = np.diff(start, append=reading.size)
    return np.repeat(length, length)


def mark_derived(series: Sequence[GasSeries], warnings: list[str]) -> tuple[GasSeries, ...]:
    """Return *series* with any "CO2" that is computed from volatile compounds flagged, and called eCO2.

    Such a channel sits on a floor of exactly 400 ppm, or follows the VOC channel of the same file with a
    correlation above 0.99. It rises with solvents and with cooking, and is no source of carbon dioxide.
    """
    vocs = [each for each in series if _VOC.fullmatch(each.species)]
    return tuple(_derived(each, vocs, warnings) if each.species == _CO2 else each for each in series)


def _derived(series: GasSeries, vocs: Sequence[GasSeries], warnings: list[str]) -> GasSeries:
    why = _floor(series) or next(filter(None, (_collinear(series, voc) for voc in vocs)), "")
    if not why:
        return series
    warnings.append(
        f"{_CO2} of {series.source} {why}: computed, not measured; called {_ECO2} and flagged DERIVED"
    )
    return replace(
        series,
        species=_ECO2,
        flags=series.flags | np.uint16(Flag.DERIVED),
        history=(*series.history, f"called {_ECO2} and flagged DERIVED: it {why}"),
    )


def _floor(series: GasSeries) -> str:
    value = series.value
    if series.quantity != "mole_fraction" or not value.size:
        return ""
    at = np.isclose(value, FLOOR_PPM, rtol=0.0, atol=1e-9)
    count = int(at.sum())
    if count < max(FLOOR_COUNT, FLOOR_SHARE * value.size) or bool(np.any(value[~at] < FLOOR_PPM)):
        return ""
    return f"sits on exactly {FLOOR_PPM:g} ppm in {count} of {value.size} readings, and never below"


def _collinear(series: GasSeries, voc: GasSeries) -> str:
    _, mine, its = np.intersect1d(series.time, voc.time, assume_unique=True, return_indices=True)
    one, other = series.value[mine], voc.value[its]
    if one.size < MIN_COMMON:
        return ""
    if not (np.ptp(one) > 0.0 and np.ptp(other) > 0.0):
        return ""
    r = float(np.corrcoef(one, other)[0, 1])
    return f"follows {voc.species} with r = {r:.4f}" if abs(r) > COLLINEAR_R else ""
