"""ENVI header files: what real writers write, read tolerantly; what would be guessed wrong, refused.

Keys are case-insensitive; a key may hold braces; lists may start with a comma and run over lines; ``;``
comments are kept, since some cameras put all they know there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean

MAX_BYTES: Final = 1 << 20
"""A header of more than 1 MiB is a data file by another name."""

MAX_DIMENSION: Final = 1 << 31
"""Lines, samples and bands beyond this are damage."""

INTERLEAVES: Final = ("bil", "bip", "bsq")

DTYPES: Final = {
    1: "u1",
    2: "i2",
    3: "i4",
    4: "f4",
    5: "f8",
    12: "u2",
    13: "u4",
    14: "i8",
}
"""ENVI ``data type`` -> NumPy type (NV5 Geospatial, ENVI header file format)."""

UNSIGNED_64: Final = 15
"""No camera counts that far, and values are handed on as float32: refused rather than rounded."""

COMPLEX_TYPES: Final = (6, 9)

OTHER_CONTAINERS: Final = ("tiff", "nitf", "hdf", "netcdf", "jpeg", "virtual", "meta", "erdas")
"""Words of a ``file type`` whose data file is no flat file of numbers: the header only accompanies it."""

DESCRIPTION: Final = "description"
"""Free text: where it stands twice, both are read."""

_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_ESRI_KEYS = re.compile(
    r"^\s*(NROWS|NCOLS|NBANDS|BYTEORDER|LAYOUT|NBITS)\s+\S+\s*$", re.IGNORECASE | re.MULTILINE
)
_NIFTI_HEADER_BYTES: Final = 348
_ITEM = re.compile(r'(?:[^,"]+|"[^"]*"|")+')
_SEPARATORS = re.compile(r"[,\s]+")
_WHOLE_DECIMAL = re.compile(r"[+-]?\d{1,15}\.0*")
_REMARK = re.compile(r"([^=:]+?)\s*[=:]\s*(.+)")


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """Keys and values of an ENVI header.

    Parameters
    ----------
    path : Path
        The header file.
    values : mapping of str to str
        Key (lower case, single blanks) -> value as written, without the outer braces.
    comments : tuple of str
        Lines after ``;``, in order.
    warnings : tuple of str
        What a user should know: lines that say nothing, a missing line end.
    twice : mapping of str to int
        Keys that stand twice with two values -> line of the second; asking for one is an error.
    """

    path: Path
    values: Mapping[str, str]
    comments: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    twice: Mapping[str, int] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @property
    def clear(self) -> Mapping[str, str]:
        """Keys and values without the keys that stand twice with two values."""
        return {key: value for key, value in self.values.items() if key not in self.twice}

    @property
    def remarks(self) -> Mapping[str, str]:
        """What comments say as ``key = value`` or ``key: value``: some cameras state their settings so."""
        found = (_REMARK.fullmatch(comment) for comment in self.comments)
        return {" ".join(each[1].lower().split()): each[2].strip() for each in found if each is not None}

    def refuse(self, key: str, what: str, fix: str | None = None) -> ReadError:
        """Return the error that names this file, *key* and its value."""
        value = self.values.get(key)
        shown = "" if value is None else f' ("{value[:60]}")'
        return ReadError(f"{what}{shown}", where=f"{self.path}, key {key}", fix=fix)

    def require(self, key: str) -> str:
        """Return the value of *key* as written.

        Raises
        ------
        ReadError
            If the key is missing.
        """
        if key not in self.values:
            raise ReadError(
                f'the key "{key}" is missing{did_you_mean(key, self.values)}',
                where=self.path,
                fix="add it, or copy the header again: it may be cut",
            )
        return self.text(key)

    def text(self, key: str, default: str = "") -> str:
        """Return the value of *key* as written.

        Raises
        ------
        ReadError
            If the key stands twice, with two values.
        """
        if key in self.twice:
            raise ReadError(
                f'the key "{key}" stands twice, with two values',
                where=f"{self.path}, line {self.twice[key]}",
                fix="delete one of them",
            )
        return self.values.get(key, default)

    def items(self, key: str) -> list[str]:
        """Return the value of *key* as a list: split at commas outside quotes, without empty items."""
        parts = _ITEM.findall(self.text(key))
        return [part.strip() for part in parts if part.strip()]

    def integer(self, key: str, default: int | None = None) -> int:
        """Return *key* as a whole number.

        Raises
        ------
        ReadError
            If it is no whole number, or missing without a *default*.
        """
        if default is not None and key not in self.values:
            return default
        value = self.require(key)
        try:
            return int(value)
        except ValueError as error:
            if _WHOLE_DECIMAL.fullmatch(value):
                return int(value.partition(".")[0])
            raise self.refuse(key, "is not a whole number") from error

    def numbers(self, key: str) -> NDArray[np.float64]:
        """Return *key* as float64 numbers, split at commas and blanks.

        Raises
        ------
        ReadError
            If an item is no number.
        """
        parts = [part for part in _SEPARATORS.split(self.text(key)) if part]
        try:
            return np.array([float(part) for part in parts], dtype=np.float64)
        except ValueError as error:
            raise self.refuse(key, "holds an item that is not a number") from error


@dataclass(frozen=True, slots=True)
class Layout:
    """How the numbers lie in the data file.

    Parameters
    ----------
    lines, bands, samples : int
        Shape, all at least 1.
    interleave : {"bil", "bip", "bsq"}
        Order of the axes in the file.
    dtype : numpy.dtype
        Type of one number with its byte order.
    offset : int
        Bytes before the first number.
    assumptions : tuple of str
        What the header did not say.
    """

    lines: int
    bands: int
    samples: int
    interleave: str
    dtype: np.dtype[np.generic]
    offset: int
    assumptions: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that the data file must have."""
        return self.offset + self.lines * self.bands * self.samples * self.dtype.itemsize


def read(path: Path) -> Header:
    """Read the header file *path*.

    Raises
    ------
    ReadError
        If the file cannot be opened, is longer than 1 MiB, is not an ENVI header (what it is instead is said
        where it can be known), or ends within braces.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    return decode(raw, path)


def decode(raw: bytes, path: Path) -> Header:
    """Read a header from its bytes; *path* is what messages call it. See :func:`read`."""
    if len(raw) > MAX_BYTES:
        raise ReadError(
            "is longer than 1 MiB: not a header",
            where=path,
            fix="name the .hdr file, or the data file beside it",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[0].strip().upper() != "ENVI":
        raise _not_envi(path, raw, text)
    return _parse(path, lines)


def _not_envi(path: Path, raw: bytes, text: str) -> ReadError:
    """Say what a .hdr file is that is not ENVI's."""
    if not raw:
        return ReadError("is empty", where=path, fix="copy it again from the card")
    if _ESRI_KEYS.search(text):
        return ReadError(
            'is an ESRI BIL/BIP/BSQ header ("NROWS ..."), not an ENVI header',
            where=path,
            fix="export the cube as ENVI from the camera's software",
        )
    if raw[:4] in (_NIFTI_HEADER_BYTES.to_bytes(4, "little"), _NIFTI_HEADER_BYTES.to_bytes(4, "big")):
        return ReadError("is an Analyze or NIfTI header, not an ENVI header", where=path)
    if raw.startswith(_UTF16_MARKS):
        return ReadError("is text in UTF-16, not an ENVI header", where=path, fix="save it as UTF-8")
    if b"\0" in raw:
        return ReadError(
            "is binary, not an ENVI header", where=path, fix="name the .hdr text file of the cube"
        )
    return ReadError('is not an ENVI header: the first line is not "ENVI"', where=path)


def _parse(path: Path, lines: list[str]) -> Header:
    values: dict[str, str] = {}
    comments: list[str] = []
    warnings: list[str] = []
    seen: set[str] = set()
    twice: dict[str, int] = {}
    at = 1
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if line.startswith(";"):
            comments.append(line[1:].strip())
            continue
        name, sign, value = line.partition("=")
        if not sign:
            if line:
                warnings.append(f'line {at} says nothing: "{line[:40]}"')
            continue
        key = " ".join(name.lower().split())
        first, value = at, value.strip()
        if value.startswith("{"):
            value, at = _braces(path, lines, at, value)
        if key in seen:
            differs = value != values[key]
            warnings.append(f'the key "{key}" stands twice, with {"two values" if differs else "one value"}')
            if differs and key == DESCRIPTION:
                values[key] += f"\n{value}"
            elif differs:
                twice.setdefault(key, first)
        values.setdefault(key, value)
        seen.add(key)
    if lines[-1].strip() and not lines[-1].rstrip().endswith("}"):
        warnings.append("header ends without a line end: may be cut")
    return Header(path, values, tuple(comments), tuple(warnings), twice)


def _braces(path: Path, lines: list[str], at: int, value: str) -> tuple[str, int]:
    """Return the text within the braces that *value* opens, and the next line.

    Braces within double quotes do not count, and braces within braces do, where that leads to an end; else
    the first closing brace ends the value, as ENVI itself has it.
    """
    text = "\n".join([value, *lines[at:]])
    if "}" not in text:
        raise ReadError(
            "braces are opened and never closed: the header is cut",
            where=f"{path}, line {at}",
            fix="copy it again from the card",
        )
    stop = _matching_brace(text) or text.index("}")
    return text[1:stop].strip(), at + text[:stop].count("\n")


def _matching_brace(text: str) -> int | None:
    """Return where the brace is closed that *text* begins with."""
    depth = 0
    for mark in re.finditer(r'"[^"\n]*"|[{}]', text):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.start()
    return None


def layout(header: Header) -> Layout:
    """Return how the numbers lie in the data file of *header*.

    Raises
    ------
    ReadError
        If a key is missing or its value cannot be read; the key and the allowed values are named.
    """
    assumptions: list[str] = []
    lines, samples, bands = (_dimension(header, key) for key in ("lines", "samples", "bands"))
    interleave = header.require("interleave").strip().lower()
    if interleave not in INTERLEAVES:
        near = did_you_mean(interleave, INTERLEAVES)
        raise header.refuse("interleave", f"unknown interleave{near}", f"one of {', '.join(INTERLEAVES)}")
    code = header.integer("data type")
    if code in COMPLEX_TYPES:
        raise header.refuse("data type", "complex numbers are not a spectral cube", "export the magnitude")
    if code == UNSIGNED_64:
        raise header.refuse(
            "data type", "unsigned 64-bit numbers are not a camera's", "export as float32 or unsigned 32-bit"
        )
    if code not in DTYPES:
        raise header.refuse("data type", "unknown data type", f"one of {', '.join(map(str, DTYPES))}")
    _refuse_special(header)
    offset = header.integer("header offset", 0)
    if offset < 0:
        raise header.refuse("header offset", "must not be negative")
    order = header.integer("byte order", 0)
    if order not in (0, 1):
        raise header.refuse("byte order", "unknown byte order", "0 (little-endian) or 1 (big-endian)")
    for key, value in (
        ("header offset", "0"),
        ("byte order", "0 (little-endian)"),
        ("file type", "ENVI Standard"),
    ):
        if key not in header:
            assumptions.append(f'the header has no "{key}": {value} assumed')
    dtype: np.dtype[np.generic] = np.dtype(DTYPES[code]).newbyteorder("<" if order == 0 else ">")
    return Layout(lines, bands, samples, interleave, dtype, offset, tuple(assumptions))


def _dimension(header: Header, key: str) -> int:
    value = header.integer(key)
    if not 0 < value < MAX_DIMENSION:
        raise header.refuse(key, "must be a whole number greater than 0")
    return value


def _refuse_special(header: Header) -> None:
    """Refuse what the size of the file or its numbers would not mean what they seem to."""
    for key in ("major frame offsets", "minor frame offsets"):
        if np.any(header.numbers(key) != 0.0):
            raise header.refuse(key, "frame offsets are not supported", "export the cube as plain ENVI")
    if header.text("file compression", "0").strip() not in ("0", ""):
        raise header.refuse(
            "file compression", "compressed data are not supported", "export without compression"
        )
    kind = header.text("file type").strip().lower()
    if "library" in kind:
        raise header.refuse("file type", "is a spectral library, not a cube", "give it as a signature")
    if "classification" in kind:
        raise header.refuse("file type", "is a classification, not a cube")
    if any(word in kind for word in OTHER_CONTAINERS):
        raise header.refuse(
            "file type", "the numbers lie in another container", "name that file itself, or export as ENVI"
        )


def finite_number(header: Header, key: str) -> float | None:
    """Return *key* as a number, None if it is absent.

    Raises
    ------
    ReadError
        If it is not a finite number.
    """
    if key not in header:
        return None
    numbers = header.numbers(key)
    if len(numbers) != 1 or not math.isfinite(numbers[0]):
        raise header.refuse(key, "must be one finite number")
    return float(numbers[0])
