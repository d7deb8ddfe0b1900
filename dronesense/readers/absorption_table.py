"""Tables of absorption: radiance by wavelength and column (ENVI), or an absorption spectrum (CSV).

What the numbers do not say stands in ``<stem>.toml`` beside them: see docs/methods/gas-columns-from-cubes.md.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport
from dronesense.model.absorption import AbsorptionTable
from dronesense.readers import envi, envi_header, envi_keys, toml
from dronesense.readers.content import load
from dronesense.readers.table import read_table
from dronesense.readers.tally import Tally

Doubles = NDArray[np.float64]

MAG1C_PPM_M: Final = (0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0)
"""Columns of the table that comes with mag1c (doi 10.1109/TGRS.2020.2976888); its files do not state them."""
COLUMN: Final = "absorption_per_ppm_m"
WAVELENGTHS: Final = {"wavelength_nm": 1.0, "wavelength_um": 1e3}
MAX_EXPONENT: Final = 50.0
"""A band this opaque at the largest column sends nothing back: such a table is in another unit."""


class _Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``<stem>.toml``."""

    species: str = ""
    name: str = ""
    version: str = ""
    source: str = ""
    license: str = ""
    concentration_ppm_m: tuple[float, ...] = ()
    window_nm: tuple[float, float] | None = None
    geometry: dict[str, float | str] = {}


def read(path: Path, *, species: str = "") -> tuple[AbsorptionTable, IngestReport]:
    """Read a table of absorption.

    Parameters
    ----------
    path : Path
        Header or numbers of an ENVI file with a band for each wavelength and a sample for each column of the
        gas (one line); or a CSV file with ``wavelength_nm`` (or ``wavelength_um``) and
        ``absorption_per_ppm_m``: ``-ln(transmission)`` for 1 ppm m, positive where the gas absorbs.
    species : str
        Of the gas that is asked for; a table that states another one is refused.

    Returns
    -------
    table : AbsorptionTable
    report : IngestReport
        Assumptions: columns that neither file states.

    Raises
    ------
    ReadError
        If numbers are missing, not positive, or do not fit what the other file says.
    ManifestError
        If the TOML file beside it has a mistake.
    """
    path = Path(path)
    beside = path.with_suffix(".toml")
    side = toml.load(beside, _Side) if beside.is_file() else _Side()
    if species and side.species and side.species.casefold() != species.casefold():
        raise ReadError(
            f'is a table of "{side.species}", not of "{species}"', where=path, fix=f"correct {beside.name}"
        )
    tally = Tally()
    if not beside.is_file():
        tally.warnings.append(f"no {beside.name} beside it: geometry, source and license are not known")
    elif not side.geometry:
        tally.warnings.append(f"{beside.name} has no [geometry]: what sun and path it holds for is not known")
    companions = [str(beside.resolve())] if beside.is_file() else []
    kind, companion, sha256, nm, column, radiance = (
        _csv(path, side, tally) if path.suffix.lower() == ".csv" else _envi(path, side, tally)
    )
    if companion is not None:
        companions.append(str(companion.resolve()))
    if not side.species and not species:
        raise ReadError("the gas is not known", where=path, fix=f"write species in {beside.name}")
    try:
        table = AbsorptionTable(
            species=side.species or species,
            wavelength_nm=nm,
            concentration_ppm_m=column,
            radiance=radiance,
            name=side.name or path.stem,
            version=side.version,
            geometry=side.geometry,
            source=side.source,
            license=side.license,
            file=path.name,
            sha256=sha256,
            window_nm=side.window_nm,
        )
    except ValueError as error:
        raise ReadError(f"is no table of absorption: {error}", where=path, fix="export it again") from error
    details = {"species": table.species, "version": table.version, "columns": column.tolist()}
    return table, tally.report(kind, len(nm), companions=tuple(companions), details=details)


_Numbers = tuple[str, Path | None, str, Doubles, Doubles, Doubles]
"""Format, the other file, SHA-256 of the numbers, wavelengths, columns, radiance (columns, wavelengths)."""


def _envi(path: Path, side: _Side, tally: Tally) -> _Numbers:
    header_path, data_path = envi.pair(path)
    header = envi_header.read(header_path)
    layout = envi_header.layout(header)
    tally.assumptions += layout.assumptions
    if layout.lines != 1:
        raise header.refuse("lines", "a table of absorption has one line", "samples are the columns of gas")
    data = load(data_path, data_path).tobytes()
    if len(data) != layout.size:
        raise ReadError(
            f"has {len(data)} bytes, its header says {layout.size}", where=data_path, fix="copy both again"
        )
    bands = envi_keys.bands(header, layout, assumptions=tally.assumptions)
    if not np.isfinite(bands.center_nm).all():
        raise header.refuse("wavelength", "its wavelengths are not known", "add wavelength to the header")
    stored = np.frombuffer(data, layout.dtype, offset=layout.offset).astype(np.float64)
    wide = layout.interleave == "bip"
    values = stored.reshape(layout.samples, layout.bands) if wide else stored.reshape(layout.bands, -1).T
    column = np.array(side.concentration_ppm_m)
    if not column.size and layout.samples == len(MAG1C_PPM_M):
        column = np.array(MAG1C_PPM_M)
        tally.assumptions.append(f"no concentration_ppm_m: those of mag1c's table assumed ({_list(column)})")
    if len(column) != layout.samples:
        raise ReadError(
            f"has {layout.samples} columns of gas, {len(column)} concentrations are known",
            where=header_path,
            fix=f"write concentration_ppm_m in {header_path.with_suffix('.toml').name}",
        )
    order = np.argsort(bands.center_nm, kind="stable")
    sha256 = hashlib.sha256(data).hexdigest()
    other = data_path if path != data_path else header_path
    return "ENVI table of absorption", other, sha256, bands.center_nm[order], column, values[:, order]


def _csv(path: Path, side: _Side, tally: Tally) -> _Numbers:
    table = read_table(path)
    tally.warnings += table.warnings
    tally.dropped.update(table.dropped)
    axis = next((name for name in WAVELENGTHS if name in table.names), None)
    if axis is None or COLUMN not in table.names:
        missing = COLUMN if axis is not None else " or ".join(WAVELENGTHS)
        raise ReadError(f"has no column {missing}", where=path, fix=f"its columns: {', '.join(table.names)}")
    ignored = [name for name in table.names if name not in (axis, COLUMN)]
    if ignored:
        tally.assumptions.append(f"columns that are not used: {', '.join(ignored)}")
    nm = table.numbers(axis) * WAVELENGTHS[axis]
    absorption = table.numbers(COLUMN)
    if not (np.isfinite(nm) & np.isfinite(absorption)).all():
        raise ReadError("holds cells that are not numbers", where=path, fix="fill or remove these rows")
    column = np.array(side.concentration_ppm_m or MAG1C_PPM_M)
    if not side.concentration_ppm_m:
        tally.assumptions.append(f"the slope is taken over {_list(column)} ppm m")
    deepest = float(np.abs(absorption).max(initial=0.0) * column.max(initial=0.0))
    if not 0.0 < deepest <= MAX_EXPONENT:
        raise ReadError(
            f"its strongest absorption makes exp(-{deepest:.3g}) of the light at {column.max():g} ppm m",
            where=path,
            fix=f"{COLUMN} is -ln(transmission) for 1 ppm m (natural logarithm)",
        )
    sha256 = hashlib.sha256(load(path, path).tobytes()).hexdigest()
    return "CSV table of absorption", None, sha256, nm, column, np.exp(-np.outer(column, absorption))


def _list(column: Doubles) -> str:
    return ", ".join(f"{value:g}" for value in column)
