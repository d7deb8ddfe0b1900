"""The directories of a TIFF file: how many samples a pixel has, and whether all its data lie inside the file.

GDAL opens a TIFF that was cut and notices only when the lost part is read, if at all. The check is a few
reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError

MAGICS: Final[dict[bytes, tuple[Literal["<", ">"], bool]]] = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
"""First four bytes -> byte order, whether it is BigTIFF (TIFF 6.0, section 2; BigTIFF by AWare Systems)."""

WIDTH: Final = 256
LENGTH: Final = 257
BITS_PER_SAMPLE: Final = 258
COMPRESSION: Final = 259
SAMPLES_PER_PIXEL: Final = 277
PLAIN_TAGS: Final = frozenset({WIDTH, LENGTH, BITS_PER_SAMPLE, COMPRESSION})
DATA_TAGS: Final = ((273, 279), (324, 325))
"""Tags of offsets and byte counts: of strips, of tiles (TIFF 6.0, sections 8 and 15)."""

TYPES: Final = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""TIFF field types that hold whole numbers without a sign -> NumPy type."""

SIZES: Final = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""TIFF field type -> bytes of one value."""

MAX_DIRECTORIES: Final = 1000
"""More pages than this are damage (or a loop)."""

MAX_OFFSET: Final = 2**63 - 1
"""Last byte that a file system can address."""
MAX_FIELD_BYTES: Final = 1 << 24
"""A field larger than this is not metadata: an XMP packet has some kB."""

_COPY_AGAIN: Final = "the copy is cut: copy it again from the card"


@dataclass(frozen=True, slots=True)
class _Form:
    """Sizes and struct codes of the two kinds of TIFF."""

    order: Literal["<", ">"]
    big: bool

    @property
    def word(self) -> str:
        return "Q" if self.big else "I"

    @property
    def inline(self) -> int:
        """Bytes of a value that stands in its entry."""
        return 8 if self.big else 4

    def unpack(self, stream: BinaryIO, codes: str) -> tuple[int, ...]:
        size = struct.calcsize(self.order + codes)
        return struct.unpack(self.order + codes, _exactly(stream, size))


def samples_per_pixel(path: Path) -> int:
    """Return the number of bands of the first page of *path*; 0 if it is not a TIFF file or is damaged."""
    try:
        with path.open("rb") as stream:
            form = MAGICS.get(stream.read(4))
            if form is None:
                return 0
            at = _first(stream, _Form(*form))
            tags = _directory(stream, _Form(*form), at).tags
            return int(tags.get(SAMPLES_PER_PIXEL, np.ones(1))[0])
    except (OSError, EOFError, IndexError):
        return 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a directory: tag, TIFF type, byte order, and its bytes."""

    tag: int
    kind: int
    order: Literal["<", ">"]
    data: bytes


def entries(
    path: Path, inner: tuple[int, ...] = ()
) -> tuple[tuple[Entry, ...], dict[int, tuple[Entry, ...]]] | None:
    """Return all fields of the first page, and those of the directories its tags *inner* point to.

    Strip and tile offsets are left out. None if *path* is not a TIFF file.

    Raises
    ------
    EOFError
        If the file ends within a directory or a field.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        known = MAGICS.get(stream.read(4))
        if known is None:
            return None
        form = _Form(*known)
        main = _fields(stream, form, _first(stream, form))
        found = {}
        for each in main:
            if each.tag in inner and each.kind in TYPES:
                at = np.frombuffer(each.data, dtype=np.dtype(TYPES[each.kind]).newbyteorder(form.order))
                found[each.tag] = _fields(stream, form, int(at[0])) if at.size else ()
    return main, found


@dataclass(frozen=True, slots=True)
class Run:
    """Pixels of a page that lie in the file one after another: first byte, type, rows and columns."""

    offset: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, int]

    def read(self, path: Path, start: int, stop: int) -> NDArray[np.generic]:
        """Return rows ``start:stop``.

        Raises
        ------
        ReadError
            If the file cannot be read or ends too early.
        """
        line = self.shape[1] * self.dtype.itemsize
        try:
            with path.open("rb") as stream:
                _go(stream, self.offset + start * line)
                raw = stream.read((stop - start) * line)
        except OSError as error:
            raise ReadError(f"cannot be read ({error.strerror})", where=path) from error
        if len(raw) != (stop - start) * line:
            raise ReadError("ends before its last row: it has changed while it was read", where=path)
        return np.frombuffer(raw, dtype=self.dtype).reshape(stop - start, self.shape[1])


def run(path: Path) -> Run | None:
    """Return where the pixels of the first page lie, if it has one band and they are a plain run of numbers.

    None if they are compressed, in tiles, in scattered strips, not 8 or 16 bits, or if the file is no sound
    TIFF: then a full decoder is needed.
    """
    try:
        with path.open("rb") as stream:
            known = MAGICS.get(stream.read(4))
            if known is None:
                return None
            form = _Form(*known)
            tags = _directory(stream, form, _first(stream, form), PLAIN_TAGS).tags
    except (OSError, EOFError):
        return None
    single = {tag: int(values[0]) for tag, values in tags.items() if values.size}
    cols, rows, bits = (single.get(tag, 0) for tag in (WIDTH, LENGTH, BITS_PER_SAMPLE))
    offsets, counts = (tags.get(tag, np.empty(0, np.uint64)).astype(np.int64) for tag in DATA_TAGS[0])
    if single.get(COMPRESSION, 1) != 1 or single.get(SAMPLES_PER_PIXEL, 1) != 1 or bits not in (8, 16):
        return None
    if not offsets.size or offsets.size != counts.size or bool((np.diff(offsets) != counts[:-1]).any()):
        return None
    if int(counts.sum()) != rows * cols * bits // 8:
        return None
    return Run(int(offsets[0]), np.dtype(f"{form.order}u{bits // 8}"), (rows, cols))


def check(path: Path) -> None:
    """Raise unless every strip, tile and tag of every page lies inside the file.

    Raises
    ------
    ReadError
        If the file cannot be opened, is not a TIFF file, or is cut: the bytes that are missing are stated.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            known = MAGICS.get(stream.read(4))
            end = 0 if known is None else _end(stream, _Form(*known))
    except EOFError as error:
        raise ReadError("ends within its directory", where=path, fix=_COPY_AGAIN) from error
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    if known is None:
        raise ReadError("is not a TIFF file", where=path)
    if end > size:
        raise ReadError(f"has {size} bytes, but its directory asks for {end}", where=path, fix=_COPY_AGAIN)


def _end(stream: BinaryIO, form: _Form) -> int:
    """Return the byte after the last strip, tile or tag of all pages."""
    end, at = 0, _first(stream, form)
    for _ in range(MAX_DIRECTORIES):
        if at == 0:
            return end
        page = _directory(stream, form, at)
        tags, at = page.tags, page.following
        end = max(end, page.end)
        for offsets, counts in DATA_TAGS:
            if offsets in tags and counts in tags and tags[offsets].size == tags[counts].size:
                last = tags[offsets].astype(np.uint64) + tags[counts].astype(np.uint64)
                end = max(end, int(last.max(initial=0)))
    raise EOFError


def _first(stream: BinaryIO, form: _Form) -> int:
    if form.big:
        return form.unpack(stream, "HHQ")[2]
    return form.unpack(stream, "I")[0]


@dataclass(frozen=True, slots=True)
class _Directory:
    """The tags that are needed here, where the next directory is, and the byte after the last tag's value."""

    tags: dict[int, NDArray[np.generic]]
    following: int
    end: int


def _go(stream: BinaryIO, at: int) -> None:
    """Go to byte *at*; beyond what a file can have there is nothing."""
    if at > MAX_OFFSET:
        raise EOFError
    stream.seek(at)


def _table(stream: BinaryIO, form: _Form, at: int) -> tuple[struct.Struct, bytes]:
    """Return the form of an entry and the bytes of all entries of the directory at *at*."""
    _go(stream, at)
    (count,) = form.unpack(stream, "Q" if form.big else "H")
    entry = struct.Struct(f"{form.order}HH{form.word}{form.inline}s")
    return entry, _exactly(stream, count * entry.size)


def _fields(stream: BinaryIO, form: _Form, at: int) -> tuple[Entry, ...]:
    """Return the fields of a directory, but for where strips and tiles lie; huge ones are left out."""
    entry, raw = _table(stream, form, at)
    places = {tag for pair in DATA_TAGS for tag in pair}
    found = []
    for tag, kind, items, value in entry.iter_unpack(raw):
        size = items * SIZES.get(kind, 0)
        if tag in places or not 0 < size <= MAX_FIELD_BYTES:
            continue
        if size > form.inline:
            _go(stream, struct.unpack(form.order + form.word, value)[0])
            value = _exactly(stream, size)
        found.append(Entry(tag, kind, form.order, value[:size]))
    return tuple(found)


def _directory(stream: BinaryIO, form: _Form, at: int, more: frozenset[int] = frozenset()) -> _Directory:
    wanted = {SAMPLES_PER_PIXEL, *(tag for pair in DATA_TAGS for tag in pair), *more}
    entry, raw = _table(stream, form, at)
    inline = form.inline
    (following,) = form.unpack(stream, form.word)
    tags: dict[int, NDArray[np.generic]] = {}
    end = 0
    for tag, kind, items, value in entry.iter_unpack(raw):
        size = items * SIZES.get(kind, 0)
        place = struct.unpack(form.order + form.word, value)[0]
        if size > inline:
            end = max(end, place + size)
        if tag in wanted and kind in TYPES:
            if size > inline:
                _go(stream, place)
                value = _exactly(stream, size)
            tags[tag] = np.frombuffer(
                value, dtype=np.dtype(TYPES[kind]).newbyteorder(form.order), count=items
            )
    return _Directory(tags, following, end)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """Return *size* bytes; never asks for more than the file has left."""
    here = stream.tell()
    left = stream.seek(0, 2) - here
    if size > left:
        raise EOFError
    _go(stream, here)
    return stream.read(size)
