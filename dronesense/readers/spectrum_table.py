"""Tables of numbers without headings, as spectrometer software exports them: for import only.

Nothing in them says what they are, so that no ``sniff`` claims them: a flight folder may hold many such
tables that are no signatures. Three shapes are told apart:

- wavelength, value, value, ...: the first column grows or falls, the others are spectra;
- wavelength, value, wavelength, value, ...: pairs of columns;
- a first line of a name and wavelengths, then lines of a name and values: one spectrum a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.readers import spectra
from dronesense.readers.content import text_of
from dronesense.readers.number_rows import number_rows
from dronesense.readers.spectra import Floats
from dronesense.readers.tally import Tally

SHARE_OF_NUMBERS: Final = 0.9
"""Share of the first line's cells that are numbers where it holds the wavelengths of the lines below."""
MIN_CHANNELS: Final = 5
"""Fewest wavelengths in the first line of such a table."""


@dataclass(frozen=True, slots=True)
class _Spectrum:
    name: str
    wavelength: Floats
    value: Floats


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a table of numbers as reflectance; what it is not told by the file is noted as assumed.

    Raises
    ------
    ReadError
        If it is none of the three shapes, or the numbers cannot be wavelengths.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally(assumptions=["a table without headings: taken as reflectance"])
    found = _lines(text_of(data)) or _columns(path, data, tally)
    names = spectra.distinct([each.name for each in found])
    percent = spectra.is_percent(np.concatenate([each.value for each in found]), tally)
    signatures = tuple(
        spectra.build(
            each.wavelength,
            each.value,
            name=name,
            quantity="reflectance",
            percent=percent,
            origin=origin,
            entry=each.name,
            tally=tally,
            where=f"{path}, spectrum {name}",
        )
        for name, each in zip(names, found, strict=True)
    )
    return signatures, tally.report("table of spectra", len(signatures))


def _lines(text: str) -> list[_Spectrum]:
    """Return the spectra of a table with one a line; empty if it is not of that shape."""
    rows = [
        [cell.strip() for cell in re.split(r"[,;\t]", line)] for line in text.splitlines() if line.strip()
    ]
    if len(rows) < 2 or _number(rows[0][0]) is not None:
        return []
    axis = [_number(cell) for cell in rows[0]]
    places = [at for at, number in enumerate(axis) if number is not None]
    if len(places) < max(MIN_CHANNELS, SHARE_OF_NUMBERS * (len(axis) - 1)):
        return []
    wavelength = np.array([axis[at] for at in places], dtype=np.float64)
    return [
        _Spectrum(row[0], wavelength, _numbers([row[at] for at in places]))
        for row in rows[1:]
        if len(row) == len(axis)
    ]


def _columns(path: Path, data: bytes, tally: Tally) -> list[_Spectrum]:
    """Return the spectra of a table with one a column, or one in each pair of columns."""
    rows = number_rows(re.sub(rb"[,;\t]", b" ", data), least=2, where=path)
    tally.dropped.update(rows.dropped)
    values = rows.values
    if len(values) < 2:
        raise ReadError(f"has {len(values)} rows of numbers: a spectrum needs two", where=path)
    width = values.shape[1]
    even, stem = values[:, 0::2], path.stem
    paired = width % 2 == 0 and width > 2 and bool(np.all(even == even[:, :1]))
    places = range(1, width, 2) if paired else range(1, width)
    tally.assumptions.append("pairs of columns: wavelength, value" if paired else "first column: wavelength")
    values = values[spectra.cut_overlaps(values[:, 0], values[:, 1], tally=tally, where=path)]
    names = [stem] if len(places) == 1 else [f"{stem} {number}" for number in range(1, len(places) + 1)]
    return [
        _Spectrum(name, values[:, 0], values[:, place]) for name, place in zip(names, places, strict=True)
    ]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(cells: list[str]) -> Floats:
    return np.array([np.nan if (number := _number(cell)) is None else number for cell in cells])
