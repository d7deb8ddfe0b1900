"""SED files of Spectral Evolution field spectrometers: ``Key: value`` lines, ``Data:``, a table with tabs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.model.signature import SignatureQuantity
from dronesense.readers import spectra
from dronesense.readers.content import text_of
from dronesense.readers.number_rows import number_rows
from dronesense.readers.spectra import Floats
from dronesense.readers.tally import Tally

WAVELENGTH: Final = "wvl"
REFLECTANCE: Final = {"reflect. %": 100.0, "tgt./ref. %": 100.0, "reflect. [1.0]": 1.0}
"""Heading of the reflectance -> what is white."""
PAIRS: Final = ("rad.", "irrad.", "norm. dn", "raw dn")
"""Headings of ``(Ref.)`` and ``(Target)`` columns."""
TOLD: Final = ("instrument", "detectors", "measurement", "date", "time", "integration", "foreoptic", "units")


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether a line ``Data:`` stands above headings with ``Wvl``."""
    found = _split(text_of(head))
    return found is not None and WAVELENGTH in found[1] and "measurement" in found[0]


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the spectrum; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read the reflectance of a SED file, else target / reference, else the radiance of the target.

    Where the detectors overlap, each is kept up to the middle (:func:`~.spectra.cut_overlaps`).

    Raises
    ------
    ReadError
        If there are no data, a column is missing, or rows are missing that the header promises.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    found = _split(text_of(data))
    if found is None:
        raise ReadError('has no line "Data:" with headings below it', where=path, fix="copy it again")
    header, names, body = found
    rows = number_rows(body.encode(), least=2, where=path)
    tally.dropped.update(rows.dropped)
    if rows.values.shape[1] != len(names):
        raise ReadError(
            f"has {len(names)} headings over {rows.values.shape[1]} columns",
            where=path,
            fix="export it again",
        )
    told = header.get("channels", "")
    if told.isdigit() and len(rows) != int(told):
        raise ReadError(
            f"has {len(rows)} rows, its header says {told} channels",
            where=path,
            fix="copy it again: it is cut",
        )
    columns = dict(zip(names, rows.values.T, strict=True))
    if WAVELENGTH not in columns:
        raise ReadError("has no column Wvl", where=path, fix="export it again with wavelengths")
    value, quantity = _value(columns, tally, path)
    wavelength = columns[WAVELENGTH]
    keep = spectra.cut_overlaps(wavelength, value, tally=tally, where=path)
    parts = [header[key] for key in ("instrument", "date", "comment") if header.get(key)]
    signature = spectra.build(
        wavelength[keep],
        value[keep],
        name=path.stem,
        quantity=quantity,
        unit="nm",
        origin=replace(origin, source="; ".join(parts)),
        tally=tally,
        where=path,
    )
    details = {key: header[key] for key in TOLD if header.get(key)}
    return (signature,), tally.report("Spectral Evolution SED", len(rows), details=details)


def _split(text: str) -> tuple[dict[str, str], list[str], str] | None:
    """Return the header, the headings in lower case and the rows below; None without a ``Data:`` line."""
    lines = text.splitlines()
    header: dict[str, str] = {}
    for at, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == "data":
            names = lines[at + 1].strip() if at + 1 < len(lines) else ""
            cells = names.split("\t") if "\t" in names else names.split(",")
            tail = "\n".join(lines[at + 2 :]) + ("\n" if text.endswith(("\n", "\r")) else "")
            rows = tail if "\t" in names else tail.replace(",", " ")
            return header, [" ".join(cell.lower().split()) for cell in cells], rows
        if colon:
            header.setdefault(key.strip().lower(), " ".join(value.strip(", \t").split()))
    return None


def _value(columns: dict[str, Floats], tally: Tally, path: Path) -> tuple[Floats, SignatureQuantity]:
    """Return what to take as the spectrum."""
    for name, white in REFLECTANCE.items():
        if name in columns:
            return columns[name] / white, "reflectance"
    for kind in PAIRS:
        target, reference = columns.get(f"{kind} (target)"), columns.get(f"{kind} (ref.)")
        if target is not None and reference is not None and bool(np.any(reference > 0.0)):
            tally.assumptions.append(f'no column of reflectance: "{kind} (Target)" / "{kind} (Ref.)"')
            return spectra.ratio(target, reference), "reflectance"
    if "rad. (target)" in columns:
        return columns["rad. (target)"], "radiance"
    raise ReadError(
        f"has no column of reflectance or radiance (columns: {', '.join(columns)})",
        where=path,
        fix="export reflectance",
    )
