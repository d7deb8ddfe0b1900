"""The corrections of one species in their order, as its instrument asks for them.

``linear`` goes as far as the signal is linear in the gas, which is where the response is undone; ``finish``
does the rest. docs/methods/gas-calibration.md says why the order is this one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.calibrate import ambient, analyzer, electrochemical, mox, pid
from dronesense.errors import CalibrationError, UnitsError, did_you_mean
from dronesense.model import Ambient, Correct, GasCalibration, GasInstrument, GasSeries, Instrument
from dronesense.model.gas_tables import MoxSensor, Sheets
from dronesense.units import ZERO_CELSIUS_K, convert

PERCENT: Final = 100.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One species on its way from a signal to a mole fraction.

    Parameters
    ----------
    series : GasSeries
        With all of its uncertainty in `sigma`.
    noise : (m,) float64
        The part of `sigma` that is independent from sample to sample; the rest is common to all.
    relative_sigma : float
        Relative standard uncertainty that all enhancements share: of span, sensitivity, factor.
    remarks : tuple of str
        What to know before trusting it.
    """

    series: GasSeries
    noise: Floats
    relative_sigma: float = 0.0
    remarks: tuple[str, ...] = ()


def species_of(series: Sequence[GasSeries], instrument: Instrument) -> tuple[str, ...]:
    """Return the species that *series* hold once corrected: a cell makes one of two electrodes.

    An electrode that no cell asks for stays what it is, a voltage.
    """
    correct = _corrections(instrument)
    of_pair = {each.electrodes or name: name for name, each in correct.items() if each.cell is not None}
    names = []
    for each in series:
        pair, dot, electrode = each.species.rpartition(".")
        taken = bool(dot) and electrode in ("we", "ae") and pair in of_pair
        names.append(of_pair[pair] if taken else each.species)
    return tuple(dict.fromkeys(names))


def linear(
    species: str,
    series: Sequence[GasSeries],
    instrument: Instrument,
    *,
    sheets: Mapping[str, Sheets] | None = None,
    record: GasCalibration | None = None,
) -> Channel:
    """Take *species* as far as its signal is linear in the gas.

    Number density and dry mole fraction (:mod:`~dronesense.calibrate.ambient`), the electrodes of a cell
    (:mod:`~dronesense.calibrate.electrochemical`), or Rs / R0 (:mod:`~dronesense.calibrate.mox`).

    Parameters
    ----------
    species : str
        One of :func:`species_of`.
    series : sequence of GasSeries
        All of the file, level ``"raw"``.
    instrument : Instrument
        Of the file.
    sheets : mapping of str to Sheets
        By species.
    record : GasCalibration, optional
        For the NO2 that an oxidant cell needs.

    Raises
    ------
    CalibrationError
        If a channel that a correction needs is missing; the column or key to set is named.
    """
    asked = _corrections(instrument).get(species)
    sheet = (sheets or {}).get(species, Sheets())
    if asked is not None and asked.cell is not None:
        return _compensated(species, asked, sheet, series, instrument, sheets or {}, record)
    raw = _named(series, species)
    channel = Channel(raw, raw.sigma)
    if asked is None:
        return channel
    if asked.ndir is not None:
        hpa, celsius = asked.ndir
        done = ambient.number_density(raw, reference_hpa=hpa, reference_k=celsius + ZERO_CELSIUS_K)
        channel = Channel(done, done.sigma)
    if asked.dry is not None:
        exact = ambient.dry(channel.series, model=asked.dry)
        done = ambient.dry(channel.series, model=asked.dry, sigma_water=asked.sigma_water_percent / PERCENT)
        channel = Channel(done, exact.sigma)
    if sheet.mox is not None:
        ohms = _ohms(raw, sheet.mox, instrument)
        done = mox.ratio(
            ohms,
            r0_ohm=sheet.mox.r0_ohm,
            climate=sheet.mox.climate,
            relative_sigma_r0=sheet.mox.relative_sigma_r0,
        )
        scale = np.divide(done.value, ohms.value, out=np.full(len(raw), np.nan), where=ohms.value != 0.0)
        channel = Channel(done, ohms.sigma * np.abs(scale))
    return replace(channel, remarks=_without_air(raw, channel.series))


def reading(channel: Channel, *, sheets: Mapping[str, Sheets] | None = None) -> Channel:
    """Return what a record's line relates to the truth: the power law of a metal oxide applied.

    Raises
    ------
    CalibrationError
        If the law was fitted to another gas, or cannot be fitted.
    """
    sensor = (sheets or {}).get(channel.series.species, Sheets()).mox
    if sensor is None:
        return channel
    law = _law(sensor, channel.series)
    series = mox.to_mole_fraction(channel.series, law)
    if law is None:
        return replace(channel, series=series)
    common = math.hypot(abs(law.exponent) * _common(sensor), law.sigma_log_scale)
    slope = np.divide(
        np.abs(law.exponent * series.value),
        channel.series.value,
        out=np.full(len(series), np.nan),
        where=channel.series.value > 0.0,
    )
    return replace(channel, series=series, noise=channel.noise * slope, relative_sigma=common)


def finish(
    channel: Channel,
    instrument: Instrument,
    *,
    sheets: Mapping[str, Sheets] | None = None,
    record: GasCalibration | None = None,
) -> Channel:
    """Turn the signal of :func:`linear`, once its response is undone, into a calibrated series.

    The power law of a metal oxide, zero and span of the record, the factor of a lamp: what is not linear, and
    what is uncertain in common, comes after the response.

    Raises
    ------
    CalibrationError
        As :func:`dronesense.calibrate.analyzer.calibrate`, :func:`~dronesense.calibrate.mox.to_mole_fraction`
        and :func:`~dronesense.calibrate.pid.find`.
    """
    channel = reading(channel, sheets=sheets)
    species = channel.series.species
    asked = _corrections(instrument).get(species, Correct())
    sheet = (sheets or {}).get(species, Sheets())
    series = analyzer.calibrate(channel.series, record)
    parts = [channel.relative_sigma]
    parts.append(analyzer.relative_span_sigma(series, record))
    if asked.pid is not None:
        factor = pid.find(sheet.pid, asked.pid.compound, vendor=asked.pid.vendor, lamp_ev=asked.pid.lamp_ev)
        series = pid.correct(series, asked.pid.compound, factor)
        parts.append(factor.sigma / factor.factor)
    return replace(channel, series=series, relative_sigma=math.hypot(*parts))


def in_words(species: str, instrument: Instrument) -> str:
    """Return what is done to the signal of *species* before its record; "" where nothing is."""
    asked = _corrections(instrument).get(species, Correct())
    done = [
        "number density" if asked.ndir is not None else "",
        "" if asked.dry is None else f"dry: {asked.dry}",
        "" if asked.cell is None else f"cell {asked.cell}, {asked.table}",
        "" if asked.mox is None else f"metal oxide {asked.mox}",
    ]
    return ", ".join(each for each in done if each)


def _corrections(instrument: Instrument) -> Mapping[str, Correct]:
    return instrument.spec.correct if isinstance(instrument.spec, GasInstrument) else {}


def _named(series: Sequence[GasSeries], species: str) -> GasSeries:
    found = next((each for each in series if each.species == species), None)
    if found is None:
        known = [each.species for each in series]
        raise CalibrationError(
            f'the file has no reading of "{species}"{did_you_mean(species, known)}',
            where=series[0].source or None if series else None,
            fix=f"it has: {', '.join(known) or 'nothing'}; name the column in the instrument file",
        )
    return found


def _compensated(
    species: str,
    asked: Correct,
    sheet: Sheets,
    series: Sequence[GasSeries],
    instrument: Instrument,
    sheets: Mapping[str, Sheets],
    record: GasCalibration | None,
) -> Channel:
    """Return the mole fraction that the two electrodes of a cell tell."""
    if sheet.cell is None or sheet.table is None:
        raise CalibrationError(
            f"the calibration sheet of the {species} cell {asked.cell} was not opened",
            where=instrument.path or None,
            fix="open the flight with dronesense.open_flight, or give sheets",
        )
    pair = asked.electrodes or species
    working, auxiliary = (_named(series, f"{pair}.{each}") for each in ("we", "ae"))
    other = None
    if asked.no2 is not None:
        other = linear(asked.no2, series, instrument, sheets=sheets, record=record)
        other = replace(other, series=analyzer.calibrate(other.series, record))
    together = [working, auxiliary, *([] if other is None else [other.series])]
    rows = _common_stamps(together)
    if not rows.size:
        raise CalibrationError(
            f"the readings that the {species} cell needs ({', '.join(each.species for each in together)}) "
            "have no row in common",
            where=working.source or None,
        )
    working, auxiliary = replace(_at(working, rows[0]), species=species), _at(auxiliary, rows[1])
    no2 = None if other is None else _at(other.series, rows[2])
    quiet = None if no2 is None or other is None else replace(no2, sigma=other.noise[rows[2]])
    cell, table = sheet.cell, sheet.table
    done = electrochemical.compensate(
        working,
        auxiliary,
        cell=cell,
        table=table,
        mv_per_unit=1.0,
        algorithm=asked.algorithm,
        no2=no2,
        sigma_temperature_k=asked.sigma_temperature_k,
    )
    noise = electrochemical.compensate(
        working,
        auxiliary,
        cell=replace(cell, sigma_zero_mv=0.0, relative_sigma_sensitivity=0.0),
        table=table,
        mv_per_unit=1.0,
        algorithm=table.suggested.get(cell.type, 1) if asked.algorithm is None else asked.algorithm,
        no2=quiet,
        sigma_temperature_k=0.0,
    ).sigma
    remarks = _without_air(working, done)
    lost = max(len(_named(series, f"{pair}.{each}")) for each in ("we", "ae")) - rows.shape[1]
    if lost:
        remarks = (*remarks, f"{lost} samples of {species} lack one of the readings that the cell needs")
    return Channel(done, noise, cell.relative_sigma_sensitivity, remarks)


def _common_stamps(series: Sequence[GasSeries]) -> NDArray[np.int64]:
    """Return for each series (a row) the samples at the stamps that all have."""
    stamps = series[0].time
    for each in series[1:]:
        stamps = np.intersect1d(stamps, each.time, assume_unique=True)
    return np.stack([np.searchsorted(each.time, stamps) for each in series])


def _at(series: GasSeries, keep: NDArray[np.int64]) -> GasSeries:
    """Return the samples *keep* of a series that has no light path."""
    air = series.ambient
    names = ("pressure_hpa", "temperature_k", "humidity_percent", "water_ppm")
    taken = {name: None if getattr(air, name) is None else getattr(air, name)[keep] for name in names}
    return replace(
        series,
        time=series.time[keep],
        value=series.value[keep],
        sigma=series.sigma[keep],
        flags=series.flags[keep],
        row=series.row[keep],
        ambient=Ambient(**taken),
        beam=None,
    )


def _without_air(before: GasSeries, after: GasSeries) -> tuple[str, ...]:
    """Tell how many readings have no value any more, for want of pressure, temperature or water."""
    lost = int(np.count_nonzero(np.isfinite(before.value)) - np.count_nonzero(np.isfinite(after.value)))
    if lost <= 0:
        return ()
    why = "the pressure, temperature or water of their correction is missing, or the signal is none"
    return (f"{lost} of {len(before)} samples of {after.species} have no value: {why}",)


def _ohms(series: GasSeries, sensor: MoxSensor, instrument: Instrument) -> GasSeries:
    """Return a series of resistances in ohm: the column is in ohm, or is the voltage of a divider."""
    spec = instrument.spec
    assert isinstance(spec, GasInstrument)
    unit = next((each.unit for each in spec.columns.values() if each.species == series.species), "1")
    for to in ("ohm", "V"):
        try:
            scale = convert(1.0, unit, to)
        except UnitsError:
            continue
        break
    else:
        raise CalibrationError(
            f'{series.species} is in "{unit}", which is neither a resistance nor a voltage',
            where=instrument.path or None,
            fix=f'state unit = "ohm", "kohm", "V" or "mV" for the column of {series.species}',
        )
    signal, noise = series.value * scale, series.sigma * scale
    if to == "ohm":
        return replace(series, value=signal, sigma=noise)
    if math.isnan(sensor.supply_v):
        raise CalibrationError(
            f"{series.species} is the voltage of a divider, whose supply and load nobody states",
            where=f'{sensor.path}, key sensors."{sensor.id}"',
            fix="state supply_v and load_ohm",
        )
    value = mox.resistance(signal, supply_v=sensor.supply_v, load_ohm=sensor.load_ohm)
    slope = sensor.load_ohm * sensor.supply_v / np.where(np.isfinite(value), signal, np.nan) ** 2
    step = f"mox: Rs = {sensor.load_ohm:g} ({sensor.supply_v:g} / V - 1) ohm"
    return replace(series, value=value, sigma=noise * slope, history=(*series.history, step))


def _law(sensor: MoxSensor, series: GasSeries) -> mox.PowerLaw | None:
    """Return the law of this sensor for this gas, fitted now where the sheet holds points; None: relative."""
    if sensor.species and sensor.species != series.species:
        raise CalibrationError(
            f'the sensor was calibrated with {sensor.species}, and its column is called "{series.species}"',
            where=f'{sensor.path}, key sensors."{sensor.id}".species',
            fix=f'call the column species = "{sensor.species}", or take the law away',
        )
    if sensor.law is not None or not sensor.points:
        return sensor.law
    try:
        return mox.fit_power_law(*np.array(sensor.points, dtype=np.float64).T)
    except ValueError as error:
        raise CalibrationError(
            str(error), where=f'{sensor.path}, key sensors."{sensor.id}".points'
        ) from error


def _common(sensor: MoxSensor) -> float:
    """Return the relative uncertainty of Rs / R0 that all samples share."""
    climate = 0.0 if sensor.climate is None else sensor.climate.relative_sigma
    return math.hypot(sensor.relative_sigma_r0, climate)
