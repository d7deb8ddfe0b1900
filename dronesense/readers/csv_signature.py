"""Reference spectra as CSV, with a TOML file of the same name beside it for provenance."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.model.signature import QUANTITIES, SignatureQuantity, SignatureSet
from dronesense.readers import toml
from dronesense.readers.table import DELIMITERS, Table, read_table
from dronesense.units import convert

WAVELENGTHS: Final = {"wavelength_nm": "nm", "wavelength_um": "um"}
"""Heading -> unit of the wavelengths."""

BAND: Final = "band"
"""Heading of band numbers, for a signature taken from a scene."""

VARIANT: Final = ": "
"""Stands between the heading of a value and the name of a variant: ``reflectance: wet``."""

PLAUSIBLE_NM: Final = (100.0, 100_000.0)
"""Far ultraviolet to thermal infrared; what is outside is in another unit than its heading says."""


class _Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one spectrum comes from."""

    source: str = ""
    license: str = ""
    citation: str = ""
    file: str = ""
    sha256: str = ""
    entry: str = ""
    gaps_nm: tuple[tuple[float, float], ...] = ()


class _Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1] = 1
    name: str | None = None
    source: str = ""
    license: str = ""
    citation: str = ""
    file: str = ""
    sha256: str = ""
    entry: str = ""
    gaps_nm: tuple[tuple[float, float], ...] = ()
    quantity: SignatureQuantity | None = None
    variants: dict[str, _Origin] = {}


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether the headings are those of a signature: wavelengths or bands, and a value."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    first = next((line for line in text.splitlines() if line.strip()), "")
    for mark in DELIMITERS:
        names = {name.strip() for name in next(csv.reader([first], delimiter=mark))}
        if names & {*WAVELENGTHS, BAND} and {name.split(VARIANT)[0] for name in names} & {*QUANTITIES}:
            return True
    return False


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read a signature; of several variants their mean, with their spread as sigma.

    See :func:`read_all`.

    Raises
    ------
    ReadError, ManifestError
        As :func:`read_all`; and if the variants share no range.
    """
    members, report = read_all(path)
    if len(members) == 1:
        return members[0], report
    name = str(report.details["name"])
    try:
        mean = SignatureSet(name, members).mean()
    except ValueError as error:
        raise ReadError(
            f"the variants cannot be averaged: {error}", where=path, fix="keep variants of one range"
        ) from error
    note = f"mean of {len(members)} variants, sigma is their standard deviation"
    return mean, replace(report, assumptions=(*report.assumptions, note))


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a signature and its variants.

    The table has the column ``wavelength_nm`` (or ``wavelength_um``, or ``band`` counted from 0 for a
    signature in the sensor's own bands), one value column named ``reflectance``, ``radiance``, ``counts`` or
    ``absorption``, and may have ``sigma``. Variants are columns ``reflectance: NAME`` (and ``sigma: NAME``);
    an empty cell is a wavelength at which that variant was not measured. ``<stem>.toml`` beside it may have
    ``name``, ``source``, ``license``, ``citation``, ``quantity`` and ``[variants.NAME]``.

    Parameters
    ----------
    path : Path
        The CSV file.

    Returns
    -------
    signatures : tuple of Signature
        One, or one per variant in the order of the columns.
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
    quantity, variants = _values(table)
    if provenance.quantity not in (None, quantity):
        raise ReadError(
            f'holds {quantity}, but {beside.name} says "{provenance.quantity}"',
            where=path,
            fix="correct one of them",
        )
    unknown = sorted(set(provenance.variants) - set(variants))
    if unknown:
        raise ReadError(
            f'{beside.name} has [variants."{unknown[0]}"], the table no column of it',
            where=path,
            fix=f"name the column {quantity}{VARIANT}{unknown[0]}",
        )
    axis = _only(table, (*WAVELENGTHS, BAND), "wavelength")
    name = provenance.name or path.stem
    members = tuple(
        _member(table, axis, quantity, variant, name=name, provenance=provenance) for variant in variants
    )
    warnings = list(table.warnings)
    if not beside.is_file():
        warnings.append(f"no {beside.name} beside it: source and license are not known")
    details = {"name": name, "quantity": quantity, "by_band": axis == BAND, "source": provenance.source}
    return members, IngestReport(
        format="signature CSV",
        records=len(table),
        dropped=table.dropped,
        warnings=tuple(warnings),
        companions=(str(beside.resolve()),) if beside.is_file() else (),
        details=details if len(members) == 1 else {**details, "variants": len(members)},
    )


def _values(table: Table) -> tuple[SignatureQuantity, list[str]]:
    """Return what the values are, and the names of the variants: one without a name, or each with its own."""
    found = [
        (quantity, variant)
        for heading in table.names
        for quantity, _, variant in [heading.partition(VARIANT)]
        if quantity in QUANTITIES
    ]
    named = [variant for _, variant in found]
    if len({quantity for quantity, _ in found}) == 1 and len(named) > 1 and all(named):
        if len(set(named)) < len(named):
            raise ReadError("two variants have the same name", where=table.path, fix="rename one of them")
        return found[0][0], named
    quantity = _only(table, (*QUANTITIES, *(f"{q}{VARIANT}{v}" for q, v in found if v)), "value")
    quantity, _, variant = quantity.partition(VARIANT)
    return cast("SignatureQuantity", quantity), [variant]


def _member(
    table: Table,
    axis: str,
    quantity: SignatureQuantity,
    variant: str,
    *,
    name: str,
    provenance: _Provenance,
) -> Signature:
    """Return one variant (the signature itself where there are none)."""
    suffix = f"{VARIANT}{variant}" if variant else ""
    part = table
    if variant:  # an empty cell: not measured there
        part = table.take(np.flatnonzero(np.isfinite(table.numbers(quantity + suffix))))
    place, value = part.numbers(axis), part.numbers(quantity + suffix)
    heading = f"sigma{suffix}"
    sigma = part.numbers(heading) if heading in table.names else np.full(len(part), np.nan)
    _check(part, axis, place, quantity + suffix, value)
    origin = provenance.variants.get(variant, _Origin())
    return Signature(
        name=variant or name,
        wavelength_nm=place if axis == BAND else convert(place, WAVELENGTHS[axis], "nm"),
        value=value,
        sigma=sigma,
        quantity=quantity,
        source=origin.source or provenance.source,
        license=origin.license or provenance.license,
        citation=origin.citation or provenance.citation,
        file=origin.file or provenance.file,
        sha256=origin.sha256 or provenance.sha256,
        entry=origin.entry or provenance.entry,
        gaps_nm=origin.gaps_nm or provenance.gaps_nm,
        by_band=axis == BAND,
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
