"""How a cube was taken, as its ENVI header says it: exposure, gain, binning, unit of radiance.

Resonon writes ``shutter`` (ms), ``gain`` (dB), ``sample binning`` and ``spectral binning``; Specim ``tint``
(ms) and ``binning = {spectral, spatial}``; Headwall ``; Row binning`` (spectral) and ``; Col binning``
(spatial) as comments; frame cameras lists with one exposure a band.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import UnitsError
from dronesense.model.radiometry import CameraSettings
from dronesense.readers import envi_header
from dronesense.readers.envi_header import Header
from dronesense.units import convert

EXPOSURE_KEYS: Final = ("integration time", "tint1", "tint", "exposure time", "exposure", "shutter")
"""Header keys of writers that state the exposure, all in ms (Specim tint, Resonon shutter, frame cameras)."""

RADIANCE_UNIT: Final = "W/(m2 sr nm)"
"""Radiance inside dronesense."""
UNIT_KEYS: Final = ("data units", "radiance units", "unit", "units")
SAMPLE_BINNING_KEYS: Final = ("sample binning", "col binning")
BAND_BINNING_KEYS: Final = ("spectral binning", "row binning")
MAX_BINNING: Final = 64
"""More elements added into one number is damage."""

_BEFORE_UNIT = re.compile(r"\bin\s|[\[(,:]")
_QUANTITY_WITH_UNIT = re.compile(r"([\d.]+(?:e[+-]?\d+)?)\s*(s|sec|ms|us|µs|μs)", re.IGNORECASE)


def integration_ms(header: Header, assumptions: list[str]) -> float:
    """Return the exposure, ms; NaN if it is not stated or not the same for all bands.

    A number with a unit (``8.5 ms``, ``2500 us``) is converted; one without is taken to be in ms, which is
    said in *assumptions*.
    """
    for key in EXPOSURE_KEYS:
        text = header.text(key) or header.remarks.get(key, "")
        if not text:
            continue
        with_unit = _QUANTITY_WITH_UNIT.fullmatch(text.strip())
        if with_unit is not None and _number(with_unit[1]) > 0.0:
            return convert(_number(with_unit[1]), with_unit[2].lower(), "ms")
        values = _numbers(text)
        if values is None:  # text such as "auto": the exposure is not worth refusing a cube
            assumptions.append(f'"{key} = {text[:40]}" is not a number: exposure unknown')
            return math.nan
        if key == "tint1" and header.text("tint2"):
            second = _numbers(header.text("tint2"))
            values = np.append(values, math.nan if second is None else second)
        if values.size and np.all(values == values[0]) and values[0] > 0.0:
            assumptions.append(f'"{key}" is taken to be in ms')
            return float(values[0])
        why = "differs between bands" if not values.max() <= 0.0 else "is not greater than 0"
        assumptions.append(f'"{key}" {why}: one exposure is not known')
        return math.nan
    return math.nan


def settings(header: Header, *, assumptions: list[str]) -> CameraSettings:
    """Return how the cube of *header* was taken.

    Parameters
    ----------
    header : Header
    assumptions : list of str
        Takes what the header did not say.

    Raises
    ------
    ReadError
        If a binning is no whole number from 1 to 64.
    """
    gain = header.text("gain")
    gain_db = _number(gain)
    if gain and not math.isnan(gain_db):
        assumptions.append('"gain" is taken to be in dB, 20 log10 of the factor')
    pair = _numbers(header.text("binning"))
    sample, band = (
        _binning(header, keys, pair, place)
        for keys, place in ((SAMPLE_BINNING_KEYS, 1), (BAND_BINNING_KEYS, 0))
    )
    if pair is not None and len(pair) == 2:
        assumptions.append('"binning" is taken to be {spectral, spatial}, as Specim writes it')
        if header.text("binning2"):
            assumptions.append('two detectors with a binning of their own: that of the first is "binning"')
    return CameraSettings(
        integration_ms=integration_ms(header, assumptions),
        gain_db=gain_db,
        sample_binning=sample,
        band_binning=band,
        flipped=header.text("flip radiometric calibration").strip().lower() in ("true", "1"),
    )


def _binning(header: Header, keys: tuple[str, ...], pair: NDArray[np.float64] | None, place: int) -> int:
    for key in keys:
        text = header.text(key) or header.remarks.get(key, "")
        if text:
            return _checked(header, key, _number(text))
    if pair is not None and len(pair) == 2:
        return _checked(header, "binning", float(pair[place]))
    return 1


def _checked(header: Header, key: str, value: float) -> int:
    if not (value >= 1.0 and value % 1.0 == 0.0 and value <= MAX_BINNING):
        raise header.refuse(key, f"must be a whole number from 1 to {MAX_BINNING}")
    return int(value)


def _number(text: str) -> float:
    """Return *text* as a finite number, else NaN."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _numbers(text: str) -> NDArray[np.float64] | None:
    """Return the numbers of *text*, or None where one is none."""
    parts = re.split(r"[,\s{}]+", text.strip(" {}"))
    values = [_number(part) for part in parts if part]
    return None if not values or any(map(math.isnan, values)) else np.array(values)


def states_radiance(header: Header) -> bool:
    """Return whether *header* states a unit of radiance that is known."""
    return _radiance_unit(header) is not None


def radiance_factor(header: Header, assumptions: list[str]) -> float:
    """Return what turns the numbers of a cube in radiance into W/(m2 sr nm); 1 where no unit is known.

    The unit is looked for under ``data units``, ``radiance units``, ``unit``, ``units``, and at the end of
    the description after "in", a comma, a colon or an opening bracket.
    """
    unit = _radiance_unit(header)
    if unit is not None:
        factor = convert(1.0, unit, RADIANCE_UNIT)
        if factor != 1.0:
            assumptions.append(f'radiance in "{unit}" was converted to {RADIANCE_UNIT}')
        return factor
    named = next((header.text(key) for key in UNIT_KEYS if header.text(key)), "")
    if named:
        assumptions.append(f'the unit "{named[:40]}" is not known as one of radiance: numbers as they are')
    else:
        assumptions.append("the unit of radiance is not stated: numbers as they are")
    return 1.0


def _radiance_unit(header: Header) -> str | None:
    stated = [header.text(key) for key in UNIT_KEYS if header.text(key)]
    description = " ".join(header.text("description").split())
    stated += [description[each.end() :] for each in _BEFORE_UNIT.finditer(description)]
    return next((text for each in stated if _is_radiance(text := each.strip(" []."))), None)


def _is_radiance(text: str) -> bool:
    try:
        convert(1.0, text, RADIANCE_UNIT)
    except UnitsError:
        return False
    return True


def of_file(path: Path, *, assumptions: list[str]) -> CameraSettings:
    """Return how the cube with the ENVI header *path* was taken, see :func:`settings`.

    Raises
    ------
    ReadError
        If the header cannot be read.
    """
    return settings(envi_header.read(path), assumptions=assumptions)
