"""Tables of numbers, as spectrometer software and data bases export them: for import only.

Nothing in them says for sure what they are, so that no ``sniff`` claims them: a flight folder may hold many
such tables that are no signatures. Three shapes are told apart:

- wavelength, value, value, ...: the first column grows or falls, the others are spectra;
- wavelength, value, wavelength, value, ...: pairs of columns;
- a line of names and wavelengths, then lines of names and values: one spectrum a line.

Lines above the numbers with as many cells are headings: they tell names, units, and which columns are
reflectance. Decimal commas are told by what parts the cells.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.readers import spectra
from dronesense.readers.content import text_of
from dronesense.readers.number_rows import OTHER_LENGTH, number_rows
from dronesense.readers.spectra import Floats
from dronesense.readers.tally import Tally

SHARE_OF_NUMBERS: Final = 0.9
"""Share of cells, from the first wavelength on, that are wavelengths in the line that holds them."""
MIN_CHANNELS: Final = 5
"""Fewest wavelengths in the first line of such a table."""
REFLECTANCE: Final = re.compile(r"reflect|reflex|\brefl\b|\brfl\b|\breflct", re.IGNORECASE)
SPREAD: Final = re.compile(r"\bs\.?d\.?\b|\bstd|stdev|deviation|\bsigma|error|uncertainty", re.IGNORECASE)
OTHERS: Final = re.compile(
    r"\bcounts?\b|\bdn\b|radiance|transmi|absorban|absorbtion|absorption|emissivity|\bscope\b", re.IGNORECASE
)
"""Quantities, in headings, that are no reflectance."""
STATED: Final = re.compile(r"(?:type|mode|units?)\s*[:=,;\t](.*)", re.IGNORECASE)
"""Lines above a table that say what its values are: ``Processed Spectrum Type: Transmission``."""
WAVENUMBER: Final = re.compile(r"wave ?number|cm\s*\^?-1|1/cm", re.IGNORECASE)
MICROMETERS: Final = re.compile(r"micro(?:m|n)|\b[u\u00b5\u03bc]m\b", re.IGNORECASE)
NANOMETERS: Final = re.compile(r"nanom|\bnm\b", re.IGNORECASE)

_DECORATED = re.compile(r"([A-Za-z_.]*?)[ _.]?(\d+(?:\.\d+)?) ?(nm|um|)")
"""Wavelengths of headings as data bases write them: ``350``, ``X350.5``, ``350nm``, ``wvl_350``."""


@dataclass(frozen=True, slots=True)
class _Spectrum:
    name: str
    wavelength: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class _Table:
    """Spectra, and what headings say of them: unit of the wavelengths, whether percent; None: not said."""

    spectra: list[_Spectrum]
    unit: str | None = None
    percent: bool | None = None


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a table of numbers as reflectance; what it is not told by the file is noted as assumed.

    Raises
    ------
    ReadError
        If it is none of the three shapes, says that it is no reflectance, or the numbers cannot be
        wavelengths and reflectance.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    text = text_of(data)
    table = _lines(text, tally) or _columns(path, text, tally)
    names = spectra.distinct([each.name for each in table.spectra])
    percent = table.percent
    if percent is None:
        percent = spectra.is_percent(np.concatenate([each.value for each in table.spectra]), tally, path)
    signatures = tuple(
        spectra.build(
            each.wavelength,
            each.value,
            name=name,
            quantity="reflectance",
            unit=table.unit,
            percent=percent,
            origin=origin,
            entry=each.name,
            tally=tally,
            where=f"{path}, spectrum {name}",
        )
        for name, each in zip(names, table.spectra, strict=True)
    )
    return signatures, tally.report("table of spectra", len(signatures))


def _lines(text: str, tally: Tally) -> _Table | None:
    """Return the spectra of a table with one a line; None if it is not of that shape."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    mark = max("\t;,", key=lines[0].count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except csv.Error:  # a quote that is opened and not closed for more than 128 kB
        return None
    found = [_DECORATED.fullmatch(cell.replace(",", ".")) for cell in rows[0]]
    (style, _), *_ = Counter((each[1], each[3]) for each in found if each).most_common(1) or [(("", ""), 0)]
    axis = [float(each[2]) if each and (each[1], each[3]) == style else None for each in found]
    places = [at for at, number in enumerate(axis) if number is not None]
    if len(places) < MIN_CHANNELS or places[0] == 0:
        return None
    if len(places) < SHARE_OF_NUMBERS * (len(axis) - places[0]):
        return None
    tally.assumptions.append("one spectrum a line, wavelengths in the first: taken as reflectance")
    wavelength = np.array([axis[at] for at in places], dtype=np.float64)
    whole = [row for row in rows[1:] if len(row) == len(axis)]
    if len(whole) < len(rows) - 1:
        tally.dropped[OTHER_LENGTH] += len(rows) - 1 - len(whole)
    found_spectra = [
        _Spectrum(row[0], wavelength, np.array([_number(row[at].replace(",", ".")) for at in places]))
        for row in whole
    ]
    return _Table(found_spectra, style[1] or None) if found_spectra else None


def _columns(path: Path, text: str, tally: Tally) -> _Table:
    """Return the spectra of a table with one a column, or one in each pair of columns."""
    comma = _has_decimal_commas(text)
    if comma:
        tally.assumptions.append("decimals are written with a comma")
    plain = re.sub("[;\t]", " ", text.replace(",", "." if comma else " "))
    rows = number_rows(plain.encode(), least=2, where=path)
    tally.dropped.update(rows.dropped)
    values = rows.values
    if len(values) < 2:
        raise ReadError(f"has {len(values)} rows of numbers: a spectrum needs two", where=path)
    width = values.shape[1]
    heads = _headings(text, plain, width)
    unit = _unit(heads[0] if heads else "", path)
    _refuse_others(path, text, heads)
    even, stem = values[:, 0::2], path.stem
    paired = width % 2 == 0 and width > 2 and bool(np.all(even == even[:, :1]))
    places = list(range(1, width, 2) if paired else range(1, width))
    tally.assumptions.append("pairs of columns: wavelength, value" if paired else "first column: wavelength")
    stated = [
        place
        for place in places
        if heads and REFLECTANCE.search(heads[place]) and not SPREAD.search(heads[place])
    ]
    if stated:
        unused = [heads[place] for place in places if place not in stated]
        if unused:
            tally.assumptions.append(f"columns that are no reflectance: {', '.join(unused)}")
        places = stated
    else:
        tally.assumptions.append("the table does not say what its values are: taken as reflectance")
    values = values[spectra.cut_overlaps(values[:, 0], values[:, places[0]], tally=tally, where=path)]
    names = [stem] if len(places) == 1 else [f"{stem} {number}" for number in range(1, len(places) + 1)]
    if heads and not (stated and len(places) == 1):
        names = [heads[place] or name for place, name in zip(places, names, strict=True)]
    percent = True if stated and all("%" in heads[at] or "percent" in heads[at] for at in stated) else None
    return _Table(
        [_Spectrum(name, values[:, 0], values[:, at]) for name, at in zip(names, places, strict=True)],
        unit,
        percent,
    )


def _has_decimal_commas(text: str) -> bool:
    """Return whether rows of numbers are parted by something else, and commas stand within the numbers."""
    rows = [
        line.strip() for line in text.splitlines() if re.fullmatch(r"[-+\d.,;\seE]*\d[-+\d.,;\seE]*", line)
    ]
    rows = [row for row in rows if re.search(r"[;\s]", row)]
    with_comma = [row for row in rows if re.search(r"\d,\d", row)]
    return bool(with_comma) and not any("." in row or re.search(r",(?!\d)", row) for row in rows)


def _headings(text: str, plain: str, width: int) -> list[str]:
    """Return the heading of each of *width* columns: name and unit; empty if there are none.

    They are the last lines above the numbers that have as many cells, parted as the numbers are.
    """
    lines = text.split("\n")
    numeric = (
        at
        for at, line in enumerate(plain.split("\n"))
        if len(cells := line.split()) == width and not np.isnan([_number(cell) for cell in cells]).any()
    )
    first = next(numeric, None)
    if first is None:
        return []
    mark = next((each for each in ";\t," if each in lines[first]), None)
    found: list[list[str]] = []
    for line in reversed(lines[:first]):
        cells = [cell.strip() for cell in (line.split() if mark is None else line.split(mark))]
        if len(cells) == width:
            found.insert(0, cells)
        elif line.strip():
            break
    return [" ".join(cell for cell in column if cell) for column in zip(*found[-2:], strict=True)]


def _unit(heading: str, path: Path) -> str | None:
    if WAVENUMBER.search(heading):
        raise ReadError(
            f'the first column, "{heading}", is in wavenumbers',
            where=path,
            fix="export it by wavelength in nm",
        )
    return "nm" if NANOMETERS.search(heading) else "um" if MICROMETERS.search(heading) else None


def _refuse_others(path: Path, text: str, heads: list[str]) -> None:
    """Refuse a table that says that it holds another quantity, and no reflectance."""
    said = [each[1] for line in text.splitlines() if (each := STATED.search(line)) is not None]
    told = [*heads[1:], *said]
    if any(REFLECTANCE.search(each) for each in told):
        return
    other = next((each for each in said if OTHERS.search(each)), None)
    if other is None and heads and all(OTHERS.search(each) for each in heads[1:]):
        other = heads[1]
    if other is not None:
        raise ReadError(f'holds "{other.strip()}", no reflectance', where=path, fix="export reflectance")


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
