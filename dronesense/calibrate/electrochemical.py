"""Electrochemical cells: voltages of two electrodes -> mole fraction (Alphasense AAN 803).

The working electrode sees gas and temperature, the auxiliary one temperature alone. The maker offers four
algorithms to take the one off the other, two for each cell; which is right nobody knows beforehand, so the
difference of the two counts as uncertainty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError, did_you_mean
from dronesense.model import Flag, GasSeries
from dronesense.model.gas_tables import Cell, CompensationTable

ALGORITHMS: Final = (1, 2, 3, 4)
ZERO_CELSIUS_K: Final = 273.15
PPB_PER_PPM: Final = 1e3
SIGMA_TEMPERATURE_K: Final = 1.0
"""Standard uncertainty of a cell's temperature where a sensor beside it measures the air's."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """Working electrode freed from its background.

    Parameters
    ----------
    value_mv, sigma_mv : (m,) float64
        Corrected voltage and the standard uncertainty that electrodes, zeros and temperature give it.
    inside : (m,) bool
        The temperature lies within the table; beyond, the factor of its end is used.
    """

    value_mv: Floats
    sigma_mv: Floats
    inside: NDArray[np.bool_]


def factor(table: CompensationTable, sensor: str, algorithm: int, temperature_c: ArrayLike) -> Floats:
    """Return the temperature factor of *sensor* for *algorithm*, linear between the table's temperatures.

    Raises
    ------
    CalibrationError
        If the table has not the sensor, or the sensor not the algorithm.
    """
    rows = table.factors.get(sensor)
    if rows is None:
        raise CalibrationError(
            f'no sensor "{sensor}"{did_you_mean(sensor, table.factors)}',
            where=table.path or table.id,
            fix=f"use one of: {', '.join(table.factors)}",
        )
    if algorithm not in rows:
        raise CalibrationError(
            f"no algorithm {algorithm} for {sensor}",
            where=table.path or table.id,
            fix=f"use one of: {', '.join(str(each) for each in sorted(rows))}",
        )
    return np.asarray(
        np.interp(np.asarray(temperature_c, dtype=np.float64), table.temperature_c, rows[algorithm])
    )


def corrected_mv(
    we_mv: ArrayLike,
    ae_mv: ArrayLike,
    temperature_c: ArrayLike,
    *,
    cell: Cell,
    table: CompensationTable,
    algorithm: int,
    sigma_we_mv: ArrayLike = 0.0,
    sigma_ae_mv: ArrayLike = 0.0,
    sigma_temperature_k: float = SIGMA_TEMPERATURE_K,
) -> Corrected:
    """Apply one algorithm of AAN 803.

    With ``WEt = WEu - WEe``, ``AEt = AEu - AEe`` and the factor f at the temperature::

        1: WEc = WEt - f AEt                    f = n
        2: WEc = WEt - f (WEo / AEo) AEt        f = k
        3: WEc = WEt - (WEo - AEo) - f AEt      f = k'
        4: WEc = WEt - WEo - f                  f = k'', mV

    (In some programs the third reads ``f (WEo - AEo) AEt``, which is mV squared.)

    Parameters
    ----------
    we_mv, ae_mv : (m,) array_like
        Electrodes as read (WEu, AEu), mV.
    temperature_c : (m,) array_like
        Of the cell, degrees Celsius.
    cell, table
        Calibration sheet and factors.
    algorithm : {1, 2, 3, 4}
    sigma_we_mv, sigma_ae_mv : array_like
        Noise of the electrodes.
    sigma_temperature_k : float
        Standard uncertainty of the temperature; enters by the slope of the factor.

    Raises
    ------
    CalibrationError
        If table or sheet lack what the algorithm needs.
    """
    celsius = np.asarray(temperature_c, dtype=np.float64)
    scale = factor(table, cell.type, algorithm, celsius)
    _need(cell, "we_electronic_zero_mv", *(() if algorithm == 4 else ("ae_electronic_zero_mv",)))
    we = np.asarray(we_mv, dtype=np.float64) - cell.we_electronic_zero_mv
    if algorithm == 4:
        _need(cell, "we_sensor_zero_mv")
        value, on_ae, on_factor = we - cell.we_sensor_zero_mv - scale, np.zeros_like(we), np.ones_like(we)
    else:
        ae = np.asarray(ae_mv, dtype=np.float64) - cell.ae_electronic_zero_mv
        ratio, offset = 1.0, 0.0
        if algorithm == 2:
            _need(cell, "we_sensor_zero_mv", "ae_sensor_zero_mv")
            if cell.ae_sensor_zero_mv == 0.0:
                raise CalibrationError(
                    "ae_sensor_zero_mv is 0: algorithm 2 divides by it", where=cell.path or None
                )
            ratio = cell.we_sensor_zero_mv / cell.ae_sensor_zero_mv
        elif algorithm == 3:
            _need(cell, "we_sensor_zero_mv", "ae_sensor_zero_mv")
            offset = cell.we_sensor_zero_mv - cell.ae_sensor_zero_mv
        value, on_ae, on_factor = we - offset - scale * ratio * ae, scale * ratio, ratio * ae
    low, high = celsius - sigma_temperature_k, celsius + sigma_temperature_k
    swing = 0.5 * (factor(table, cell.type, algorithm, high) - factor(table, cell.type, algorithm, low))
    variance = (
        np.asarray(sigma_we_mv, dtype=np.float64) ** 2
        + (on_ae * np.asarray(sigma_ae_mv, dtype=np.float64)) ** 2
        + (1.0 + on_ae**2) * cell.sigma_zero_mv**2
        + (on_factor * swing) ** 2
    )
    inside = (celsius >= table.temperature_c[0]) & (celsius <= table.temperature_c[-1])
    return Corrected(value, np.sqrt(variance), np.asarray(inside))


def compensate(
    working: GasSeries,
    auxiliary: GasSeries,
    *,
    cell: Cell,
    table: CompensationTable,
    mv_per_unit: float,
    algorithm: int | None = None,
    no2: GasSeries | None = None,
    sigma_temperature_k: float = SIGMA_TEMPERATURE_K,
) -> GasSeries:
    """Turn the electrodes of one cell into a mole fraction in ppm.

    Parameters
    ----------
    working, auxiliary : GasSeries
        Level ``"raw"``, quantity ``"relative"``, of the same rows; `working` has the species and
        the ambient temperature.
    cell, table
        Calibration sheet and factors.
    mv_per_unit : float
        Of the columns: 1 for mV, 1000 for V.
    algorithm : int, optional
        One of AAN 803, alone. Default: the suggested one, and the difference to the other, as of a
        rectangular distribution that begins at the suggested one, in sigma: ``|x1 - x2| / sqrt(3)``.
    no2 : GasSeries, optional
        Mole fraction of NO2 at the same stamps, for an oxidant cell: ``O3 = (WEc - S_NO2 NO2) / S_O3``.
    sigma_temperature_k : float
        Standard uncertainty of the cell's temperature.

    Returns
    -------
    GasSeries
        Quantity ``"mole_fraction"``, level ``"raw"``: a record of zero and span, found in the field, comes
        after. Samples beyond the temperatures of the table are flagged :attr:`Flag.RANGE`.

    Raises
    ------
    CalibrationError
        If the series do not belong together, the temperature is missing, the sheet lacks what is needed, or
        an oxidant cell is asked for O3 without the NO2.
    """
    celsius = _checked(working, auxiliary, cell, no2)
    used = _algorithms(table, cell, algorithm)
    results = [
        corrected_mv(
            working.value * mv_per_unit,
            auxiliary.value * mv_per_unit,
            celsius,
            cell=cell,
            table=table,
            algorithm=each,
            sigma_we_mv=working.sigma * mv_per_unit,
            sigma_ae_mv=auxiliary.sigma * mv_per_unit,
            sigma_temperature_k=sigma_temperature_k,
        )
        for each in used
    ]
    first = results[0]
    apart: Floats = np.abs(np.stack([each.value_mv - first.value_mv for each in results])).max(axis=0)
    voltage, variance = first.value_mv, first.sigma_mv**2 + apart**2 / 3.0
    if no2 is not None and cell.no2_sensitivity_mv_ppb:
        voltage, variance = _less_no2(voltage, variance, working, no2, cell)
    ppb = voltage / cell.sensitivity_mv_ppb
    variance = variance / cell.sensitivity_mv_ppb**2 + (ppb * cell.relative_sigma_sensitivity) ** 2
    flags = working.flags | auxiliary.flags | np.where(first.inside, 0, int(Flag.RANGE)).astype(np.uint16)
    step = _in_words(
        table, cell, used, apart, less_no2=no2 is not None and cell.no2_sensitivity_mv_ppb != 0.0
    )
    return replace(
        working,
        quantity="mole_fraction",
        value=ppb / PPB_PER_PPM,
        sigma=np.sqrt(variance) / PPB_PER_PPM,
        basis="wet",
        flags=flags if no2 is None else flags | no2.flags,
        history=(*working.history, step),
    )


def _algorithms(table: CompensationTable, cell: Cell, asked: int | None) -> tuple[int, ...]:
    """Return the algorithm to use, and after it those to compare it with."""
    if asked is not None:
        return (asked,)
    first = table.suggested.get(cell.type, 1)
    return (first, *(each for each in sorted(table.factors.get(cell.type, {})) if each != first))


def _in_words(
    table: CompensationTable, cell: Cell, used: tuple[int, ...], apart: Floats, *, less_no2: bool
) -> str:
    step = (
        f"electrochemical: {table.id} algorithm {used[0]} for {cell.type} {cell.serial}, "
        f"{cell.sensitivity_mv_ppb:g} mV/ppb"
    )
    if len(used) > 1 and np.isfinite(apart).any():
        spread = float(np.nanmedian(apart)) / abs(cell.sensitivity_mv_ppb)
        step += f", algorithms {', '.join(map(str, used))} differ by {spread:.3g} ppb"
    return step + (", NO2 taken off" if less_no2 else "")


def _less_no2(
    voltage: Floats, variance: Floats, working: GasSeries, no2: GasSeries, cell: Cell
) -> tuple[Floats, Floats]:
    if no2.quantity != "mole_fraction" or not np.array_equal(no2.time, working.time):
        raise CalibrationError(
            "NO2 must be a mole fraction at the stamps of the oxidant cell", where=working.source or None
        )
    slope = cell.no2_sensitivity_mv_ppb * PPB_PER_PPM
    return voltage - slope * no2.value, variance + (slope * no2.sigma) ** 2


def _checked(working: GasSeries, auxiliary: GasSeries, cell: Cell, no2: GasSeries | None) -> Floats:
    """Return the temperature of the cell, degrees Celsius, if everything needed is there."""
    where = working.source or None
    for each in (working, auxiliary):
        if each.quantity != "relative" or each.level != "raw":
            raise CalibrationError(
                f"{each.species} is {each.level} {each.quantity}, not the raw voltage of an electrode",
                where=where,
                fix='state unit = "mV" or "V" for the electrodes, and compensate once',
            )
    if not np.array_equal(working.time, auxiliary.time):
        raise CalibrationError("working and auxiliary electrode have different stamps", where=where)
    kelvin = working.ambient.temperature_k
    if kelvin is None:
        raise CalibrationError(
            f"{working.species} of an electrochemical cell needs its temperature, and the file has none",
            where=where,
            fix='name a column with field = "temperature" in the instrument file',
        )
    _need(cell, "sensitivity_mv_ppb")
    if cell.no2_sensitivity_mv_ppb and no2 is None and working.species == "O3":
        raise CalibrationError(
            f"cell {cell.serial} sees O3 and NO2 alike: without NO2 it does not tell O3",
            where=where,
            fix='give the NO2 of a second cell, or call the column species = "OX"',
        )
    return np.asarray(kelvin - ZERO_CELSIUS_K)


def _need(cell: Cell, *fields: str) -> None:
    for name in fields:
        if not math.isfinite(getattr(cell, name)):
            raise CalibrationError(
                f"the calibration sheet of {cell.serial} ({cell.type or 'type unknown'}) has no {name}",
                where=cell.path or None,
                fix="enter it from the maker's sheet of cell and board",
            )
