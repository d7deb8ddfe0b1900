"""ENVI spectral libraries: a text header and a file of numbers (``.sli``), one spectrum a line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.model.signature import QUANTITIES, SignatureQuantity
from dronesense.readers import envi, envi_header, envi_scale, spectra
from dronesense.readers.envi_header import COMPLEX_TYPES, DTYPES, Header
from dronesense.readers.envi_keys import NM_PER_UNIT, UNKNOWN_UNITS
from dronesense.readers.spectra import Floats, Origin
from dronesense.readers.tally import Tally

MAGIC: Final = b"ENVI"
DATA_SUFFIXES: Final = (".sli", ".esl", ".lib", "")
"""Suffixes of the numbers that are tried in place of ``.hdr``."""
TYPE: Final = re.compile(rb"file\s+type\s*=\s*envi\s+spectral\s+library", re.IGNORECASE)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether it is the header of a spectral library; the numbers are not claimed a second time."""
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    if first.strip().upper() != MAGIC:
        return False
    return TYPE.search(head) is not None or envi.ONE_SAMPLE.search(head) is not None


def pair(path: Path) -> tuple[Path, Path]:
    """Return header and numbers of a library, whichever of the two *path* is.

    Raises
    ------
    ReadError
        If the other one is not there.
    """
    if path.suffix.lower() != ".hdr":
        return envi.pair(path)
    names = [path.stem, *(path.stem + suffix for suffix in DATA_SUFFIXES)]
    found = envi.beside(path, tuple(names))
    others = [] if found is not None else envi.same_name(path)
    if len(others) == 1:
        found = others[0]  # its size is checked
    if found is None:
        raise ReadError(
            f"has no file of numbers: {', '.join(dict.fromkeys(names))} is not there",
            where=path,
            fix="copy it beside the header",
        )
    return path, found


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the one spectrum of a library; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read all spectra of a library.

    Raises
    ------
    ReadError
        If one of the two files is missing, the sizes do not agree, or there are no wavelengths.
    """
    header_path, data_path = pair(Path(path))
    header = envi_header.read(header_path)
    tally = Tally(warnings=list(header.warnings))
    values, origin = _numbers(header, data_path, tally)
    count, channels = values.shape
    axis = header.numbers("wavelength")
    if len(axis) != channels:
        raise header.refuse(
            "wavelength", f"{len(axis)} values for {channels} channels", "copy the header again"
        )
    names = [each.strip('"') for each in header.items("spectra names")]
    if len(names) != count:
        if header.text("spectra names"):
            tally.warnings.append(f"{len(names)} names for {count} spectra: numbered instead")
        stem = header_path.stem.removesuffix(data_path.suffix)
        names = [stem] if count == 1 else [f"{stem} {number}" for number in range(1, count + 1)]
    ignore = envi_header.finite_number(header, "data ignore value")
    if ignore is not None:
        values = np.where(values == np.float64(ignore), np.nan, values)
    measured = np.isfinite(values) & (values > spectra.DELETED_BELOW)
    values, percent = _scaled(header, np.where(measured, values, np.nan), tally)
    full = measured.sum(axis=1) >= 2
    if not full.any():
        raise ReadError("no spectrum has two channels with a value", where=header_path)
    if not full.all():
        tally.dropped["spectra without two channels"] += int(np.count_nonzero(~full))
    signatures = tuple(
        spectra.build(
            axis,
            row,
            name=name,
            quantity=_quantity(header, tally),
            unit=_unit(header),
            percent=percent,
            origin=replace(origin, source=" ".join(header.text("description").split())),
            entry=entry,
            tally=tally,
            where=f"{header_path}, spectrum {entry}",
        )
        for name, entry, row in zip(
            np.array(spectra.distinct(names))[full].tolist(),
            np.array(names)[full].tolist(),
            values[full],
            strict=True,
        )
    )
    other = data_path if header_path == Path(path) else header_path
    report = tally.report("ENVI spectral library", count, companions=(str(other.resolve()),))
    return signatures, report


def _numbers(header: Header, data_path: Path, tally: Tally) -> tuple[Floats, Origin]:
    """Return the (spectra, channels) as stored; the size of the file must be that of the header."""
    if "library" not in header.text("file type").lower() and header.integer("samples") == 1:
        return _cube_of_one_sample(header, data_path, tally)
    samples, lines, bands = (header.integer(key) for key in ("samples", "lines", "bands"))
    code, offset = header.integer("data type"), header.integer("header offset", 0)
    if code in COMPLEX_TYPES or code not in DTYPES:
        raise header.refuse("data type", "unknown data type", f"one of {', '.join(map(str, DTYPES))}")
    if min(samples, lines) < 1 or bands != 1 or offset < 0:
        raise header.refuse("bands", "a library has samples = channels, lines = spectra, bands = 1")
    if "byte order" not in header:
        tally.assumptions.append('the header has no "byte order": 0 (little-endian) assumed')
    data, origin = spectra.load(data_path)
    dtype = np.dtype(DTYPES[code]).newbyteorder("<" if header.integer("byte order", 0) == 0 else ">")
    size = offset + samples * lines * dtype.itemsize
    if len(data) != size:
        raise ReadError(
            f"has {len(data)} bytes, its header says {size} ({lines} spectra of {samples} channels)",
            where=data_path,
            fix="copy both files again",
        )
    values = np.frombuffer(data, dtype, samples * lines, offset).astype(np.float64)
    return values.reshape(lines, samples), origin


def _cube_of_one_sample(header: Header, data_path: Path, tally: Tally) -> tuple[Floats, Origin]:
    """Return the (lines, bands) of a cube of one sample: a spectrum of Spectronon, a library of ISOFIT."""
    plan = envi_header.layout(header)
    tally.assumptions += [*plan.assumptions, "a cube of one sample: a spectrum a line"]
    data, origin = spectra.load(data_path)
    if len(data) != plan.size:
        raise ReadError(
            f"has {len(data)} bytes, its header says {plan.size} ({plan.lines} lines of {plan.bands} bands)",
            where=data_path,
            fix="copy both files again",
        )
    values = np.frombuffer(data, plan.dtype, offset=plan.offset).astype(np.float64)
    if plan.interleave == "bsq":
        return values.reshape(plan.bands, plan.lines).T, origin
    return values.reshape(plan.lines, plan.bands), origin


def _unit(header: Header) -> str | None:
    """Return the unit that the header states, None if it states none."""
    text = header.text("wavelength units").strip().lower()
    if text in UNKNOWN_UNITS:
        return None
    if text not in NM_PER_UNIT:
        raise header.refuse("wavelength units", "unknown unit of wavelengths", "nm or um")
    return "nm" if NM_PER_UNIT[text] == 1.0 else "um"


def _scaled(header: Header, values: Floats, tally: Tally) -> tuple[Floats, bool]:
    """Return the values divided by the stated scale factor, and whether they are percent."""
    scale = envi_header.finite_number(header, envi_scale.KEY)
    if scale is None:
        return values, spectra.is_percent(values, tally, header.path)
    if scale <= 0.0:
        raise header.refuse(envi_scale.KEY, "must be greater than 0")
    positive = values[values > 0.0]
    typical = float(np.median(positive)) if positive.size else 0.0
    whole = np.dtype(DTYPES[header.integer("data type")]).kind != "f"
    return values / envi_scale.divisor(typical, header, scale, whole, assumptions=tally.assumptions), False


def _quantity(header: Header, tally: Tally) -> SignatureQuantity:
    text = header.text("quantity").strip().lower()
    for quantity in QUANTITIES:
        if text == quantity:
            return quantity
    tally.assumptions.append("the header does not say what the values are: reflectance assumed")
    return "reflectance"
