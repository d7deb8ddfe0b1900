"""Reference spectra as CSV, with a TOML file of the same name beside it for provenance."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.readers import toml
from dronesense.readers.table import DELIMITERS, Table, read_table
from dronesense.units import convert

WAVELENGTHS: Final = {"wavelength_nm": "nm", "wavelength_um": "um"}
"""Heading -> unit of the wavelengths."""

BAND: Final = "band"
"""Heading of band numbers, for a signature taken from a scene."""

QUANTITIES: Final = ("reflectance", "radiance", "counts", "absorption")
"""Headings of the value column: what it is called is what it is."""


PLAUSIBLE_NM: Final = (100.0, 100_000.0)
"""Far ultraviolet to thermal infrared; what is outside is in another unit than its heading says."""


class _Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1] = 1
    name: str | None = None
    source: str = ""
    license: str = ""
    quantity: Literal["reflectance", "radiance", "counts", "absorption"] | None = None


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether the headings are those of a signature: wavelengths or bands, and a value."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    first = next((line for line in text.splitlines() if line.strip()), "")
    for mark in DELIMITERS:
        names = {name.strip() for name in next(csv.reader([first], delimiter=mark))}
        if names & {*WAVELENGTHS, BAND} and names & {*QUANTITIES}:
            return True
    return False


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read a signature.

    The table has the column ``wavelength_nm`` (or ``wavelength_um``, or ``band`` counted from 0 for a
    signature in the sensor's own bands), one value column named ``reflectance``, ``radiance``, ``counts`` or
    ``absorption``, and may have ``sigma``. ``<stem>.toml`` beside it may have ``name``, ``source``,
    ``license`` and ``quantity``.

    Parameters
    ----------
    path : Path
        The CSV file.

    Returns
    -------
    signature : Signature
    report : IngestReport

    Raises
    ------
    ReadError
        If a column is missing or doubled, a value is missing, wavelengths do not increase or are not in the
        stated unit, bands are not counted from 0, or the TOML file states another quantity than the table.
    ManifestError
        If the TOML file beside it has a mistake.
    """
    path = Path(path)
    table = read_table(path)
    beside = path.with_suffix(".toml")
    provenance = toml.load(beside, _Provenance) if beside.is_file() else _Provenance()
    quantity = _only(table, QUANTITIES, "value")
    if provenance.quantity not in (None, quantity):
        raise ReadError(
            f'holds {quantity}, but {beside.name} says "{provenance.quantity}"',
            where=path,
            fix="correct one of them",
        )
    axis = _only(table, (*WAVELENGTHS, BAND), "wavelength")
    place = table.numbers(axis)
    value = table.numbers(quantity)
    sigma = table.numbers("sigma") if "sigma" in table.names else np.full(len(table), np.nan)
    _check(table, axis, place, quantity, value)
    signature = Signature(
        name=provenance.name or path.stem,
        wavelength_nm=place if axis == BAND else convert(place, WAVELENGTHS[axis], "nm"),
        value=value,
        sigma=sigma,
        quantity=quantity,  # type: ignore[arg-type]
        source=provenance.source,
        license=provenance.license,
        by_band=axis == BAND,
    )
    warnings = list(table.warnings)
    if not beside.is_file():
        warnings.append(f"no {beside.name} beside it: source and license are not known")
    return signature, IngestReport(
        format="signature CSV",
        records=len(table),
        dropped=table.dropped,
        warnings=tuple(warnings),
        companions=(str(beside.resolve()),) if beside.is_file() else (),
        details={"quantity": quantity, "by_band": signature.by_band, "source": provenance.source},
    )


def _only(table: Table, choices: tuple[str, ...], what: str) -> str:
    """Return the one heading of *choices* that the table has."""
    found = [name for name in choices if name in table.names]
    if len(found) != 1:
        raise ReadError(
            f"has {len(found) or 'no'} {what} columns" + (f" ({', '.join(found)})" if found else ""),
            where=table.path,
            fix=f"keep one of {', '.join(choices)}",
        )
    return found[0]


def _check(
    table: Table, axis: str, place: NDArray[np.float64], quantity: str, value: NDArray[np.float64]
) -> None:
    if len(table) < 2:
        raise ReadError(f"has {len(table)} rows: a signature needs two", where=table.path)
    for name, numbers in ((axis, place), (quantity, value)):
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            where = f"{table.path}, line {table.row[bad[0]]}, column {name}"
            raise ReadError(
                "the value is missing or infinite", where=where, fix="fill it in, or delete the row"
            )
    if axis == BAND:
        wrong = np.flatnonzero(place != np.arange(len(table)))
        fix = "bands are counted from 0 without gaps"
    else:
        wrong = np.flatnonzero(np.diff(place) <= 0.0) + 1
        fix = "sort the rows by wavelength, each wavelength once"
        low, high = (convert(limit, "nm", WAVELENGTHS[axis]) for limit in PLAUSIBLE_NM)
        if place.min() < low or place.max() > high:
            what = f"wavelengths from {place.min():g} to {place.max():g} are not in {WAVELENGTHS[axis]}"
            raise ReadError(what, where=f"{table.path}, column {axis}", fix="name the column by its unit")
    if wrong.size:
        raise ReadError(f"{axis} is out of order", where=f"{table.path}, line {table.row[wrong[0]]}", fix=fix)
