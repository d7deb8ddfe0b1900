"""Spectra of the USGS libraries as text: splib07 (one column, wavelengths in another file) and splib06.

A value of -1.23e34 is a deleted channel. In splib07 the title names spectrometer and kind of reflectance
(``ASDFRa AREF``); the wavelengths of that spectrometer are in ``*Wavelengths*`` above it in the folder tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.readers import spectra
from dronesense.readers.content import text_of
from dronesense.readers.number_rows import number_rows
from dronesense.readers.spectra import Floats, Origin
from dronesense.readers.tally import Tally

CITATION_7: Final = "Kokaly et al. 2017, USGS Spectral Library Version 7, doi:10.3133/ds1035"
LICENSE_7: Final = "public domain (USGS; CC0-1.0 as stated with the data release, doi:10.5066/F7RR1WDJ)"
"""Of splib07; that of others is what the user knows."""
KINDS: Final = {"AREF": "absolute", "RREF": "relative to a white reference", "RTGC": "radiative transfer"}
"""Kind of measurement in a title -> how the reflectance was made; TRAN is transmittance."""
SPECTROMETERS: Final = ("ASDFR", "ASDHR", "ASDNG", "BECK", "NIC4", "AVIRIS")
"""Codes in titles; those of one family share wavelengths where their number is the same."""
LEVELS_UP: Final = 3
"""How many folders above the spectrum the wavelengths are looked for."""

_TITLE = re.compile(r"^\s*(?P<lib>\w+)\s+Record=(?P<record>\d+):\s*(?P<title>.*?)\s*$")
_SPLIB06 = re.compile(rb"line\s+(\d+)\s+to\s+end:\s*3-columns\s+of\s+data", re.IGNORECASE)
_TITLE_LINE = re.compile(rb"line\s+(\d+)\s+title", re.IGNORECASE)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether it is a spectrum of a USGS library; files of wavelengths and widths are not."""
    title = _title(head)
    if title is not None:
        return not _is_axis(title["title"])
    return _SPLIB06.search(head) is not None


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the spectrum; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a spectrum of a USGS library.

    Raises
    ------
    ReadError
        If its wavelengths are not found, more than one set of them fits, or it is no reflectance.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    title = _title(data[: 1 << 12])
    if title is None:
        return _read_06(path, data, origin, tally)
    name, (spectrometer, kind) = title["title"], _codes(title["title"])
    if kind not in (*KINDS, ""):
        raise ReadError(f"is {kind}, not reflectance", where=path, fix="use a spectrum with AREF or RREF")
    values = _column(path, data)
    axis_path = _axis_file(path, len(values), spectrometer)
    axis = _column(axis_path, spectra.load(axis_path)[0])
    tally.assumptions.append(f"wavelengths from {axis_path.name}: {len(axis)} channels, as the spectrum has")
    made = KINDS.get(kind, "reflectance")
    known = title["lib"].lower().startswith("splib07")
    signature = spectra.build(
        axis,
        values,
        name=" ".join(word for word in name.split() if word not in (spectrometer, kind)) or path.stem,
        quantity="reflectance",
        unit=_declared_unit(axis_path),
        origin=replace(
            origin,
            source=f"USGS {title['lib']}, {spectrometer or 'spectrometer not named'}, {made}",
            citation=CITATION_7 if known else "",
            license=LICENSE_7 if known else "",
        ),
        entry=f"{title['lib']} record {title['record']}",
        tally=tally,
        where=path,
    )
    report = tally.report("USGS library text", len(values), companions=(str(axis_path.resolve()),))
    return (signature,), report


def _title(head: bytes) -> re.Match[str] | None:
    return _TITLE.match(text_of(head.split(b"\n", 1)[0]))


def _is_axis(title: str) -> bool:
    return re.match(r"(wavelengths?|bandpass|wavenumber|resolution)\b", title, re.IGNORECASE) is not None


def _codes(title: str) -> tuple[str, str]:
    """Return spectrometer and kind of a title, empty where it names none.

    Examples
    --------
    >>> _codes("Acmite NMNH133746 Pyroxene    BECKa AREF")
    ('BECKa', 'AREF')
    """
    words = title.split()
    kind = words[-1] if words and words[-1] in (*KINDS, "TRAN") else ""
    rest = words[:-1] if kind else words
    codes = [word for word in rest if word.startswith(SPECTROMETERS)]
    return (codes[-1] if codes else ""), kind


def _column(path: Path, data: bytes) -> Floats:
    """Return the numbers below the title, one a line."""
    body = data.split(b"\n", 1)[1] if b"\n" in data else b""
    cells = body.split()
    try:
        return np.array(cells, dtype=np.bytes_).astype(np.float64)
    except ValueError as error:
        bad = next(number for number, cell in enumerate(cells, 2) if not _is_number(cell))
        raise ReadError(
            "holds a line that is no number", where=f"{path}, line {bad}", fix="copy it again"
        ) from error


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _axis_file(path: Path, count: int, spectrometer: str) -> Path:
    """Return the file of wavelengths with *count* channels, of the family of *spectrometer* if it says so."""
    seen: list[str] = []
    for folder in path.resolve().parents[: LEVELS_UP + 1]:
        fitting = []
        for candidate in _axis_candidates(folder):
            channels = len(_column(candidate, spectra.load(candidate)[0]))
            seen.append(f"{candidate.name} ({channels})")
            if channels == count:
                fitting.append(candidate)
        family = next((code for code in SPECTROMETERS if spectrometer.startswith(code)), "")[:3]
        named = [each for each in fitting if family and family.lower() in each.name.lower()]
        chosen = named or fitting
        if len(chosen) > 1:
            raise ReadError(
                f"several files of wavelengths fit: {', '.join(each.name for each in chosen)}",
                where=path,
                fix=f"keep only that of {spectrometer or 'its spectrometer'}",
            )
        if chosen:
            return chosen[0]
    raise ReadError(
        f"has {count} channels, and no file of as many wavelengths was found"
        + (f" (seen: {', '.join(seen[:6])})" if seen else ""),
        where=path,
        fix="copy the *Wavelengths*.txt of the library into the spectrum's folder or above it",
    )


def _axis_candidates(folder: Path) -> Iterator[Path]:
    for candidate in sorted(folder.glob("*avelengths*.txt")):
        with candidate.open("rb") as stream:
            title = _title(stream.readline(1 << 12))
        if title is not None and title["title"].lower().startswith("wavelength"):
            yield candidate


def _declared_unit(axis: Path) -> str | None:
    """Return the unit in the title of the wavelengths, None if it has none."""
    with axis.open("rb") as stream:
        title = text_of(stream.readline(1 << 12)).lower()
    found = re.findall(r"\b(um|nm|microns?|micrometers?|nanometers?)\b", title)
    return {"n": "nm", "u": "um", "m": "um"}[found[-1][0]] if found else None


def _read_06(
    path: Path, data: bytes, origin: Origin, tally: Tally
) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read the text of splib05 and splib06: wavelength, reflectance, standard deviation (0: not known)."""
    begin = _SPLIB06.search(data)
    if begin is None:
        raise ReadError('has neither "Record=" nor "3-columns of data": no USGS spectrum', where=path)
    lines = data.split(b"\n")
    rows = number_rows(b"\n".join(lines[int(begin[1]) - 1 :]), least=3, where=path)
    tally.dropped.update(rows.dropped)
    titled = _TITLE_LINE.search(data)
    number = int(titled[1]) if titled is not None else 0
    title = text_of(lines[number - 1]).strip() if 0 < number <= len(lines) else ""
    deviation = rows.values[:, 2]
    library = text_of(lines[0]).strip()
    signature = spectra.build(
        rows.values[:, 0],
        rows.values[:, 1],
        sigma=np.where(deviation > 0.0, deviation, np.nan),
        name=title or path.stem,
        quantity="reflectance",
        unit=None,
        origin=replace(origin, source=library),
        entry=title,
        tally=tally,
        where=path,
    )
    return (signature,), tally.report("USGS library text", len(rows))
