"""SIG files of Spectra Vista (SVC) field spectrometers: ``key= value`` lines, ``data=``, four columns."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.readers import spectra
from dronesense.readers.content import text_of
from dronesense.readers.number_rows import number_rows
from dronesense.readers.tally import Tally

MAGIC: Final = b"/*** Spectra Vista"
COLUMNS: Final = 4
"""Wavelength (nm), reference, target, reflectance (percent)."""
NO_REFERENCE: Final = (0.0, 1.0)
"""The whole column of the reference where none was taken."""
TOLD: Final = (
    "instrument",
    "integration",
    "optic",
    "temp",
    "time",
    "longitude",
    "latitude",
    "comm",
    "factors",
)

_DATA = re.compile(rb"^data\s*=[^\n]*\n", re.MULTILINE)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether the first line is that of SVC."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(MAGIC)


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the reflectance; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read the reflectance of a SIG file.

    Where the detectors overlap, each is kept up to the middle (:func:`~.spectra.cut_overlaps`). A decimal
    comma is read as a point. A file without a reference (all 1, or all 0) is refused.

    Raises
    ------
    ReadError
        If there are no data, or there is no white reference.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    start = _DATA.search(data)
    if start is None:
        raise ReadError('has no line "data=" with rows below it', where=path, fix="copy it again: it is cut")
    header = _header(text_of(data[: start.start()]))
    body = data[start.end() :]
    if b"," in body:
        tally.assumptions.append("decimals are written with a comma")
        body = body.replace(b",", b".")
    rows = number_rows(body, least=COLUMNS, where=path)
    tally.dropped.update(rows.dropped)
    wavelength, reference, target, percent = rows.values[:, :COLUMNS].T
    if reference.max() == reference.min() and reference[0] in NO_REFERENCE:
        raise ReadError(
            "holds no white reference: the target alone is no reflectance",
            where=path,
            fix="measure the reference before the target, or export the reflectance",
        )
    value = percent / 100.0
    if not value.any():
        value = spectra.ratio(target, reference)
        tally.assumptions.append("the column of reflectance is empty: target / reference")
    keep = spectra.cut_overlaps(wavelength, value, tally=tally, where=path)
    if not keep.all() and "overlap" in header.get("factors", "").lower():
        tally.warnings.append("the header says that overlaps were removed, and yet there are some")
    told = [header[key] for key in ("instrument", "time", "comm") if header.get(key)]
    signature = spectra.build(
        wavelength[keep],
        value[keep],
        name=header.get("name") or path.stem,
        quantity="reflectance",
        unit="nm",
        origin=replace(origin, source="; ".join(told)),
        tally=tally,
        where=path,
    )
    details = {key: header[key] for key in TOLD if header.get(key)}
    return (signature,), tally.report("SVC SIG", len(rows), details=details)


def _header(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        key, sign, value = line.partition("=")
        if sign:
            found.setdefault(key.strip().lower(), " ".join(value.split()))
    return found
