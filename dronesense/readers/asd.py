"""Binary ``.asd`` files of ASD (FieldSpec, AgriSpec, ...) spectrometers, revisions 1 to 8.

A header of 484 bytes, the spectrum, and from revision 2 on a white reference with its own small header. What
newer revisions append (classifier, calibration series, audit log, signature) is not needed for reflectance
and not read. Layout: "ASD File Format Version 8", Revision B (ASD Inc.); all numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import IngestReport, Signature
from dronesense.model.signature import SignatureQuantity
from dronesense.readers import spectra
from dronesense.readers.spectra import Floats
from dronesense.readers.tally import Tally

REVISIONS: Final = {b"ASD": 1, **{b"as%d" % number: number for number in range(2, 9)}}
"""First three bytes -> revision of the format."""
HEADER_BYTES: Final = 484
REFERENCE_HEADER_BYTES: Final = 20
"""Flag (2), time of the reference (8), time of the spectrum (8), length of the description (2)."""
ALWAYS_REFERENCE: Final = 6
"""From this revision on the reference is part of every file."""

DTYPES: Final = {0: "<f4", 1: "<i4", 2: "<f8"}
"""``data_format`` -> NumPy type."""
KINDS: Final = (
    "raw",
    "reflectance",
    "radiance",
    "no units",
    "irradiance",
    "quality index",
    "transmittance",
    "unknown",
    "absorbance",
)
"""Names of ``data_type``."""
DIVISIBLE: Final = ("raw", "reflectance", "radiance", "irradiance")
"""Kinds of which spectrum / reference is the reflectance."""
GAIN_UNIT: Final = 2048.0
"""The gain of an InGaAs detector is this / ``swir_gain``."""
LIKE_REFLECTANCE: Final = (-0.5, 2.0)
"""Range of a stored spectrum that has been divided by the reference already."""
LIKE_COUNTS: Final = 10.0
"""Median of a reference above which it is in counts, not one."""
SATURATED: Final = {1: "VNIR", 2: "SWIR 1", 4: "SWIR 2"}
"""Bits of the second flag byte -> detector that was saturated."""

_FIELDS: Final = {
    "comment": ("157s", 3),
    "when": ("<6h", 160),
    "kind": ("<B", 186),
    "first_nm": ("<f", 191),
    "step_nm": ("<f", 195),
    "format": ("<B", 199),
    "channels": ("<H", 204),
    "integration_ms": ("<L", 390),
    "saturation": ("<B", 422),
    "serial": ("<H", 400),
    "gain1": ("<H", 436),
    "gain2": ("<H", 438),
    "splice1_nm": ("<f", 444),
    "splice2_nm": ("<f", 448),
}
"""Field -> type and offset from the start of the file."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of the header that matter here; see the format document for their meaning."""

    revision: int
    comment: str
    date: str
    kind: str
    first_nm: float
    step_nm: float
    dtype: np.dtype[np.generic] | None
    channels: int
    integration_ms: int
    saturation: int
    serial: int
    gains: tuple[int, int]
    splices_nm: tuple[float, float]

    @property
    def wavelength_nm(self) -> Floats:
        """Return the wavelength of each channel."""
        return self.first_nm + self.step_nm * np.arange(self.channels, dtype=np.float64)


def sniff(path: Path, head: bytes) -> bool:  # noqa: ARG001  (every sniff is asked like this)
    """Return whether the first bytes are a header of ASD with possible wavelengths."""
    if head[:3] not in REVISIONS or len(head) < HEADER_BYTES:
        return False
    header = parse_header(head)
    return header.dtype is not None and _possible(header)


def read(path: Path) -> tuple[Signature, IngestReport]:
    """Read the spectrum; see :func:`read_all`."""
    return spectra.single(read_all(path), path)


def read_all(path: Path) -> tuple[tuple[Signature, ...], IngestReport]:
    """Read a file as reflectance (spectrum / white reference) or, without a reference, as counts.

    Gains and integration time are the same for both and cancel in the ratio. Counts are put on one scale:
    the VNIR detector divided by the integration time (ms), the SWIR detectors by their gain (``x gain /
    2048``). Radiance is not computed from the calibration series.

    Raises
    ------
    ReadError
        If the file is cut, its header makes no sense, or it is radiance without a reference, transmittance,
        absorbance or a quality index.
    """
    path = Path(path)
    data, origin = spectra.load(path)
    tally = Tally()
    if data[:3] not in REVISIONS:
        raise ReadError("is not an ASD file: it does not begin with ASD or as2 ... as8", where=path)
    _need(data, HEADER_BYTES, "header", path)
    header = parse_header(data)
    if header.dtype is None or not _possible(header):
        raise ReadError(
            f"has {header.channels} channels from {header.first_nm:g} nm in steps of {header.step_nm:g}",
            where=path,
            fix="copy it again: it is damaged",
        )
    size = header.channels * header.dtype.itemsize
    _need(data, HEADER_BYTES + size, "spectrum", path)
    spectrum = np.frombuffer(data, header.dtype, header.channels, HEADER_BYTES).astype(np.float64)
    reference, description = _reference(data, header, HEADER_BYTES + size, path)
    value, quantity = _value(header, spectrum, reference, tally, path)
    hit = [name for bit, name in SATURATED.items() if header.saturation & bit]
    if hit:
        tally.warnings.append(f"the spectrometer reports saturation: {', '.join(hit)}")
    parts = [f"ASD spectrometer {header.serial}" if header.serial else "ASD spectrometer", header.date]
    signature = spectra.build(
        header.wavelength_nm,
        value,
        name=path.stem,
        quantity=quantity,
        unit="nm",
        origin=replace(origin, source="; ".join(filter(None, [*parts, header.comment, description]))),
        tally=tally,
        where=path,
    )
    details = {
        "revision": header.revision,
        "kind": header.kind,
        "integration_ms": header.integration_ms,
        "gains": list(header.gains),
        "splices_nm": [round(each, 3) for each in header.splices_nm],
        "white_reference": reference is not None,
    }
    return (signature,), tally.report(
        f"ASD binary, revision {header.revision}", header.channels, details=details
    )


def parse_header(data: bytes) -> Header:
    """Return the header in the first 484 bytes of *data*; `dtype` is None where the format is not known."""
    raw = {name: struct.unpack_from(kind, data, at) for name, (kind, at) in _FIELDS.items()}
    kind = raw["kind"][0]
    code = DTYPES.get(raw["format"][0])
    return Header(
        revision=REVISIONS[data[:3]],
        comment=" ".join(raw["comment"][0].split(b"\0", 1)[0].decode("latin-1").split()),
        date=_date(raw["when"]),
        kind=KINDS[kind] if kind < len(KINDS) else f"type {kind}",
        first_nm=float(raw["first_nm"][0]),
        step_nm=float(raw["step_nm"][0]),
        dtype=None if code is None else np.dtype(code),
        channels=raw["channels"][0],
        integration_ms=raw["integration_ms"][0],
        saturation=raw["saturation"][0],
        serial=raw["serial"][0],
        gains=(raw["gain1"][0], raw["gain2"][0]),
        splices_nm=(float(raw["splice1_nm"][0]), float(raw["splice2_nm"][0])),
    )


def _date(when: tuple[int, ...]) -> str:
    """Return the day of a C ``struct tm`` (seconds, minutes, hours, day, month from 0, years since 1900)."""
    day, month, year = when[3:6]
    if not (1 <= day <= 31 and 0 <= month <= 11 and year > 0):
        return ""
    return f"{year + 1900 if year < 1900 else year:04d}-{month + 1:02d}-{day:02d}"


def _possible(header: Header) -> bool:
    low, high = spectra.NM_RANGE
    first, step = header.first_nm, header.step_nm
    if not (np.isfinite(first) and np.isfinite(step)) or header.channels < 2 or step <= 0.0:
        return False
    return low <= first and first + step * (header.channels - 1) <= high


def _need(data: bytes, size: int, part: str, path: Path) -> None:
    if len(data) < size:
        raise ReadError(
            f"is cut within the {part}: {len(data)} bytes of at least {size}",
            where=path,
            fix="copy it again from the instrument",
        )


def _reference(data: bytes, header: Header, at: int, path: Path) -> tuple[Floats | None, str]:
    """Return the white reference, None if none was taken, and its description."""
    assert header.dtype is not None
    if len(data) == at and header.revision < ALWAYS_REFERENCE:
        return None, ""
    _need(data, at + REFERENCE_HEADER_BYTES, "reference header", path)
    taken, length = struct.unpack_from("<h", data, at)[0], struct.unpack_from("<H", data, at + 18)[0]
    start = at + REFERENCE_HEADER_BYTES + length
    size = header.channels * header.dtype.itemsize
    if not taken and len(data) < start + size:
        return None, ""
    _need(data, start + size, "white reference", path)
    description = data[at + REFERENCE_HEADER_BYTES : start].decode("latin-1").strip("\0 ")
    values: NDArray[np.float64] = np.frombuffer(data, header.dtype, header.channels, start).astype(np.float64)
    usable = bool(taken) and bool(np.any(values > 0.0))
    return (values if usable else None), " ".join(description.split())


def _value(
    header: Header, spectrum: Floats, reference: Floats | None, tally: Tally, path: Path
) -> tuple[Floats, SignatureQuantity]:
    """Return reflectance or counts."""
    if header.kind not in DIVISIBLE:
        raise ReadError(f"is {header.kind}, not reflectance", where=path, fix="save reflectance")
    low, high = LIKE_REFLECTANCE
    looks_divided = bool(spectrum.min() >= low and spectrum.max() <= high)
    if reference is not None:
        if header.kind == "reflectance" and looks_divided and float(np.median(reference)) > LIKE_COUNTS:
            tally.assumptions.append(
                "the stored spectrum is reflectance already: not divided by the reference"
            )
            return spectrum, "reflectance"
        tally.assumptions.append("reflectance = spectrum / white reference, the reference taken as 1")
        return spectra.ratio(spectrum, reference), "reflectance"
    if header.kind == "reflectance" and looks_divided:
        tally.assumptions.append("no white reference in the file: the stored spectrum is the reflectance")
        return spectrum, "reflectance"
    if header.kind == "raw":
        return _one_scale(header, spectrum, tally), "counts"
    raise ReadError(
        f"is {header.kind} without a white reference", where=path, fix="save reflectance, or export as text"
    )


def _one_scale(header: Header, spectrum: Floats, tally: Tally) -> Floats:
    """Return counts with integration time and gains taken out."""
    first, second = header.splices_nm
    if header.integration_ms == 0 or 0 in header.gains or not 0.0 < first <= second:
        tally.assumptions.append("counts as stored: the header has no gains and splices")
        return spectrum
    tally.assumptions.append("counts per ms below the first splice, times gain / 2048 above it")
    wavelength = header.wavelength_nm
    factor = np.select(
        [wavelength <= first, wavelength <= second],
        [1.0 / header.integration_ms, header.gains[0] / GAIN_UNIT],
        header.gains[1] / GAIN_UNIT,
    )
    scaled: Floats = spectrum * factor
    return scaled
