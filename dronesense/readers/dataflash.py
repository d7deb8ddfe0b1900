"""ArduPilot DataFlash ``.BIN``: bytes to columns.

A log is a stream of packed little-endian records ``A3 95 <type> <body>``; the length of a type is fixed by
its ``FMT`` record. There is no checksum and no sync mark. Records are found by a scan for headers and a
chain of lengths, both vectorised; Python runs only where the chain breaks. See ``docs/formats/dataflash.md``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.readers.dataflash_formats import HEADER_BYTES, LETTERS, Format, read_formats, text_of

MAGIC: Final = b"\xa3\x95"
MAX_RECORD_BYTES: Final = 255
"""`FMT.Length` is one byte."""

SCAN_BYTES: Final = 1 << 20
"""Bytes scanned for headers at a time: bounds the memory of the scan (1 MiB)."""

PADDING: Final = (0x00, 0xFF)
"""What unwritten or erased storage reads as."""

GHOST_TAIL_BYTES: Final = 8
"""Padding that must follow a record before its own padded end counts as unwritten."""

INSTANCE_UNIT: Final = "#"
"""Unit letter of `FMTU` for "this column tells the sensor"."""


class Messages(Mapping[str, NDArray[Any]]):
    """All records of one type, column by column, in the order of the file.

    ``messages["Lat"]`` is a new array: scaled float64 for the letters ``c C e E L``, the stored number
    otherwise, bytes for text.

    Attributes
    ----------
    format : Format
        The type.
    offsets : (n,) int64
        Byte at which each record starts.
    confirmed : (n,) bool
        False where a record is followed neither by a header nor by the end of the file: its end may be
        foreign bytes.
    """

    __slots__ = ("_records", "confirmed", "format", "offsets")

    def __init__(
        self,
        form: Format,
        records: NDArray[np.void],
        offsets: NDArray[np.int64],
        confirmed: NDArray[np.bool_],
    ) -> None:
        self.format = form
        self.offsets = offsets
        self.confirmed = confirmed
        self._records = records

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self.format.columns:
            raise KeyError(
                f"{self.format.name} has no column {column}{did_you_mean(column, self.format.columns)}"
            )
        raw = self._records[column]
        divisor = LETTERS[self.format.letters[self.format.columns.index(column)]][1]
        return np.ascontiguousarray(raw) if divisor is None else raw / divisor

    def __iter__(self) -> Iterator[str]:
        return iter(self.format.columns)

    def __len__(self) -> int:
        return len(self.format.columns)

    @property
    def count(self) -> int:
        """Number of records."""
        return len(self.offsets)

    def text(self, column: str) -> list[str]:
        """Return a text column, cut at the first NUL, as UTF-8 or else Latin-1."""
        return [text_of(cell) for cell in self[column].tolist()]

    def unit(self, column: str) -> str:
        """Return the unit that the log states for *column*, or an empty string."""
        return self.format.units[self.format.columns.index(column)] if self.format.units else ""


class DataFlash(Mapping[str, Messages]):
    """A DataFlash log: message name -> :class:`Messages`, decoded when asked for.

    Parameters
    ----------
    path : Path
        The file; it is read at once.
    where : str, optional
        What messages call the file.

    Attributes
    ----------
    records : int
        Records found, those of types that cannot be decoded included.
    holes : tuple of (offset, length)
        Byte ranges that belong to no record.
    ghosts : int
        Records refused because storage padding completed them; their bytes lie in `holes`.
    warnings : tuple of str
        Formats that contradict themselves or each other.

    Raises
    ------
    ReadError
        If the file cannot be opened, is empty, or holds no complete ``FMT`` record.
    """

    def __init__(self, path: Path, *, where: str | Path | None = None) -> None:
        self.where = path if where is None else where
        self._bytes = _load(path, self.where)
        self.size = len(self._bytes)
        headers = _find_headers(self._bytes)
        defined, self.warnings = read_formats(self._bytes, headers)
        if not defined:
            raise ReadError(
                "no complete FMT record: not an ArduPilot DataFlash log, or cut within its first records",
                where=self.where,
                fix="copy the .BIN file again from the autopilot's card",
            )
        lengths = np.zeros(256, dtype=np.uint8)
        for form in defined:
            lengths[form.type] = form.length
        offsets, self.holes, self.ghosts, doubtful = _chain(self._bytes, headers, lengths)
        del headers
        self.records = len(offsets)
        self._offsets = offsets
        self._types = self._bytes[offsets + 2]
        self._counts = np.bincount(self._types, minlength=256)
        self._doubtful = np.array(sorted(doubtful), dtype=np.int64)
        self._last: Messages | None = None
        """The type decoded last: ``log["GPS"]["Lat"], log["GPS"]["Lng"]`` decodes it once."""
        self._formats = self._index([form for form in defined if form.letters])
        self._formats = self._with_units()

    def _index(self, formats: list[Format]) -> dict[str, Format]:
        """Return name -> format of the types that occur; of two with one name, the one with more records."""
        found: dict[str, Format] = {}
        for form in formats:
            if not self._counts[form.type]:
                continue
            other = found.get(form.name)
            if other is not None:
                self.warnings += (f"two types are named {form.name}: the one with fewer records is not read",)
            if other is None or self._counts[form.type] > self._counts[other.type]:
                found[form.name] = form
        return found

    def _with_units(self) -> dict[str, Format]:
        """Return the formats with what ``UNIT``, ``MULT`` and ``FMTU`` say (firmware 3.9 and later)."""
        if not {"FMTU", "UNIT", "MULT"} <= self._formats.keys():
            return self._formats
        fmtu, unit, mult = self["FMTU"], self["UNIT"], self["MULT"]
        try:
            labels = dict(zip(unit["Id"].tolist(), unit.text("Label"), strict=True))
            factors = dict(zip(mult["Id"].tolist(), mult["Mult"].tolist(), strict=True))
            rows = zip(fmtu["FmtType"].tolist(), fmtu.text("UnitIds"), fmtu.text("MultIds"), strict=True)
            by_type = {kind: (units, mults) for kind, units, mults in rows}
        except KeyError:
            self.warnings += ("FMTU, UNIT or MULT without their usual columns: units of the log not used",)
            return self._formats
        labels[ord("-")] = ""
        found = {}
        for name, form in self._formats.items():
            units, mults = by_type.get(form.type, ("", ""))
            n = len(form.columns)
            place = units.find(INSTANCE_UNIT)
            found[name] = replace(
                form,
                units=tuple(labels.get(ord(letter), "") for letter in units[:n].ljust(n, "-")),
                multipliers=tuple(
                    factors.get(ord(letter), float("nan")) for letter in mults[:n].ljust(n, "-")
                ),
                instance=form.columns[place] if 0 <= place < n else None,
            )
        return found

    def __getitem__(self, name: str) -> Messages:
        form = self._formats[name]
        if self._last is None or self._last.format is not form:
            self._last = self._decode(form)
        return self._last

    def _decode(self, form: Format) -> Messages:
        offsets = np.asarray(self._offsets[self._types == form.type], dtype=np.int64)
        # A record at every byte: the selection below copies whole records, whatever their alignment.
        count = self.size - form.length + 1
        everywhere = np.ndarray((count,), dtype=f"V{form.length}", buffer=self._bytes, strides=(1,))
        confirmed = np.ones(offsets.size, dtype=bool)
        if self._doubtful.size:
            confirmed = ~np.isin(offsets, self._doubtful)
        return Messages(form, everywhere[offsets].view(form.dtype), offsets, confirmed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._formats)

    def __len__(self) -> int:
        return len(self._formats)

    def __contains__(self, name: object) -> bool:
        return name in self._formats

    def count(self, name: str) -> int:
        """Return the number of records of *name*, 0 if there is none, without decoding them."""
        return int(self._counts[self._formats[name].type]) if name in self._formats else 0


def _load(path: Path, where: str | Path) -> NDArray[np.uint8]:
    """Return the bytes of *path*; not mapped, as pulling out the card would then kill the process."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", where=where) from error
    if not data.size:
        raise ReadError("is empty", where=where, fix="copy the .BIN file again from the autopilot's card")
    return data


def _find_headers(data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the offsets of all ``A3 95`` that a type byte follows, as uint32 where that is wide enough."""
    width = np.uint32 if data.size < 1 << 32 else np.int64
    found = []
    for start in range(0, max(0, data.size - HEADER_BYTES + 1), SCAN_BYTES):
        block = data[start : start + SCAN_BYTES + 2]
        first = np.flatnonzero(block[:-2] == MAGIC[0])
        found.append((first[block[first + 1] == MAGIC[1]] + start).astype(width))
    return np.concatenate(found) if found else np.empty(0, dtype=width)


def _chain(
    data: NDArray[np.uint8], headers: NDArray[Any], lengths: NDArray[np.uint8]
) -> tuple[NDArray[Any], tuple[tuple[int, int], ...], int, set[int]]:
    """Follow the records from header to header.

    Returns
    -------
    offsets : (n,) uint32 or int64
        Start of each record.
    holes : tuple of (offset, length)
        What lies between.
    ghosts : int
        Records that padding completed and that were refused.
    doubtful : set of int
        Offsets of accepted records that nothing confirms.
    """
    span = lengths[data[headers + 2]]
    fits = span > 0
    tail = int(np.searchsorted(headers, headers.dtype.type(max(0, data.size - MAX_RECORD_BYTES))))
    fits[tail:] &= headers[tail:].astype(np.int64) + span[tail:] <= data.size
    starts, span = headers[fits], span[fits]
    del fits
    if not starts.size:
        return starts, ((0, data.size),), 0, set()
    linked = np.empty(starts.size, dtype=bool)
    linked[-1] = False
    np.equal(np.diff(starts), span[:-1], out=linked[:-1])
    breaks = np.flatnonzero(~linked).tolist()
    keep = np.ones(starts.size, dtype=bool)
    walk = _Walk(data, starts, span)
    walk.note_hole(0, 0)
    first = 0
    for last in breaks:
        if last < first:
            continue
        begin = int(starts[last])
        end = begin + int(span[last])
        if walk.believe(last, begin, end):
            first = bisect_left(starts, end, last + 1, min(last + 1 + MAX_RECORD_BYTES, starts.size))
            keep[last + 1 : first] = False
        else:
            keep[last] = False
            end, first = begin, last + 1
        walk.note_hole(end, first)
    return starts[keep], walk.merged(), walk.ghosts, walk.doubtful


class _Walk:
    """The Python part of the chain, at its breaks only: what follows, what to believe, what to report."""

    def __init__(self, data: NDArray[np.uint8], starts: NDArray[Any], span: NDArray[np.uint8]) -> None:
        self.data = data
        self.starts = starts
        self.span = span
        self.ghosts = 0
        self.doubtful: set[int] = set()
        self._holes: list[tuple[int, int]] = []

    def header_at(self, offset: int) -> bool:
        """Tell whether a header, its first bytes, or the end of the file is at *offset*."""
        seen = self.data[offset : offset + len(MAGIC)].tobytes()
        return seen == MAGIC[: len(seen)]

    def believe(self, index: int, begin: int, end: int) -> bool:
        """Say whether to accept the record *index*, at whose end no other starts; note what nothing confirms.

        Its end may be sound (a header of an unknown type or a cut record follows, or the end of the file).
        If not, it yields to a confirmed record that starts inside it, and to the suspicion that padding
        completed it.
        """
        if self.header_at(end):
            return True
        if self._has_rival(index, end):
            return False
        tail = self.data[end : end + GHOST_TAIL_BYTES]
        fill = int(tail[0])
        padded = fill in PADDING and bool(np.all(tail == fill)) and int(self.data[end - 1]) == fill
        if padded or index == self.starts.size - 1:
            self.ghosts += 1
            return False
        self.doubtful.add(begin)
        return True

    def _has_rival(self, index: int, end: int) -> bool:
        """Tell whether a record that a header confirms starts inside the record *index*."""
        for other in range(index + 1, self.starts.size):
            begin = int(self.starts[other])
            if begin >= end:
                return False
            if self.header_at(begin + int(self.span[other])):
                return True
        return False

    def note_hole(self, end: int, index: int) -> None:
        """Note the bytes between *end* and the candidate *index* (or the end of the file), if any."""
        begin = int(self.starts[index]) if index < self.starts.size else self.data.size
        if begin > end:
            self._holes.append((end, begin))

    def merged(self) -> tuple[tuple[int, int], ...]:
        """Return the holes as (offset, length), those that touch joined."""
        joined: list[tuple[int, int]] = []
        for begin, stop in self._holes:
            if joined and joined[-1][1] >= begin:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((begin, stop))
        return tuple((begin, stop - begin) for begin, stop in joined)
