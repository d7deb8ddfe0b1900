"""Spectra of the ECOSTRESS and ASTER libraries: a header of ``Key: value`` lines, then two columns."""

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

CITATION: Final = (
    "Meerdink et al. 2019, doi:10.1016/j.rse.2019.05.015; "
    "Baldridge et al. 2009, doi:10.1016/j.rse.2008.11.007"
)
"""What the libraries ask to be cited."""

UNITS: Final = {"nanomet": "nm", "(nm)": "nm", "micromet": "um", "micron": "um", "(um)": "um"}
"""What may stand in ``X Units`` -> unit."""
MAX_HEADER_LINES: Final = 60

_NUMBERS = re.compile(rb"^[ \t]*[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?[ \t,]+[-+.\d]", re.MULTILINE)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether the header says which units X and Y are in."""
    keys = set(_header(text_of(head)))
    return {"name", "x units", "y units"} <= keys


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the spectrum; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a spectrum of the ECOSTRESS or ASTER library.

    Raises
    ------
    ReadError
        If it is no reflectance, a unit is not known, or the file has other rows than its header says.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    start = _NUMBERS.search(data)
    if start is None:
        raise ReadError("has no rows of numbers", where=path, fix="copy it again: it may be cut")
    header = _header(text_of(data[: start.start()]))
    rows = number_rows(data[start.start() :].replace(b",", b" "), least=2, where=path)
    tally.dropped.update(rows.dropped)
    _check_count(header, len(rows), path)
    percent = _percent(header, path)
    signature = spectra.build(
        rows.values[:, 0],
        rows.values[:, 1],
        name=header.get("name") or path.stem,
        quantity="reflectance",
        unit=_unit(header, path),
        percent=spectra.is_percent(rows.values[:, 1], tally, path) if percent is None else percent,
        origin=replace(origin, source=_source(header), citation=CITATION),
        entry=header.get("sample no.", ""),
        tally=tally,
        where=path,
    )
    details = {key: value for key, value in header.items() if value}
    return (signature,), tally.report("ECOSTRESS or ASTER library", len(rows), details=details)


def _header(text: str) -> dict[str, str]:
    """Return the ``Key: value`` lines, keys in lower case; the first of a key counts."""
    found: dict[str, str] = {}
    for line in text.splitlines()[:MAX_HEADER_LINES]:
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(" ".join(key.lower().split()), " ".join(value.split()))
    return found


def _unit(header: dict[str, str], path: Path) -> str:
    text = header.get("x units", "")
    unit = next((unit for word, unit in UNITS.items() if word in text.lower()), None)
    if unit is None:
        raise ReadError(f'X Units "{text}" are not known', where=path, fix="micrometers or nanometers")
    return unit


def _percent(header: dict[str, str], path: Path) -> bool | None:
    """Return whether 100 is white, None if it is not said; refuse what is no reflectance."""
    text = header.get("y units", "")
    if "reflectance" not in text.lower():
        raise ReadError(
            f'Y Units are "{text}", not reflectance', where=path, fix="use a reflectance spectrum"
        )
    if "percent" in text.lower() or "%" in text:
        return True
    return False if re.search(r"fraction|decimal|0\s*(?:to|-)\s*1", text.lower()) else None


def _check_count(header: dict[str, str], rows: int, path: Path) -> None:
    told = header.get("number of x values", "")
    if told.isdigit() and int(told) != rows:
        raise ReadError(
            f"has {rows} rows, its header says {told}", where=path, fix="copy it again: it is cut or altered"
        )


def _source(header: dict[str, str]) -> str:
    keys = ("owner", "origin", "measurement", "collection date")
    parts = [header[key] for key in keys if header.get(key, "").lower() not in ("", "n/a", "none")]
    return "; ".join(["ECOSTRESS/ASTER library", *parts])
