"""Where the records of a DataFlash log lie: a scan for headers, a chain of lengths, and doubt at its breaks.

There is no checksum and no sync mark. Both steps are vectorised; Python runs only where the chain breaks.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.dataflash_formats import HEADER_BYTES

MAGIC: Final = b"\xa3\x95"
MAX_RECORD_BYTES: Final = 255
"""`FMT.Length` is one byte."""

SCAN_BYTES: Final = 1 << 20
"""Bytes scanned for headers at a time: bounds the memory of the scan (1 MiB)."""

SPARE: Final = 1.02
"""Headers expected in the rest of a log, over those that its beginning lets expect."""

BLOCK_RECORDS: Final = 1 << 18
"""Records looked at in one go: bounds the memory of what is made on the way (some 4 MiB)."""

PADDING: Final = (0x00, 0xFF)
"""What unwritten or erased storage reads as."""

GHOST_TAIL_BYTES: Final = 8
"""Padding that must follow a record before its own padded end counts as unwritten."""


class Headers(NamedTuple):
    """All ``A3 95`` that a type byte follows: (n,) uint32 or int64 offsets, and (n,) uint8 types."""

    offsets: NDArray[Any]
    types: NDArray[np.uint8]


def find_headers(data: NDArray[np.uint8]) -> Headers:
    """Return what may be the headers of records; offsets as uint32 where that is wide enough."""
    width = np.uint32 if data.size < 1 << 32 else np.int64
    offsets: NDArray[Any] = np.empty(0, dtype=width)
    types = np.empty(0, dtype=np.uint8)
    count = 0
    for start in range(0, max(0, data.size - HEADER_BYTES + 1), SCAN_BYTES):
        block = data[start : start + SCAN_BYTES + 2]
        first = np.flatnonzero(block[:-2] == MAGIC[0])
        first = first[block[first + 1] == MAGIC[1]]
        end = count + first.size
        if end > offsets.size:  # grown in place: joining pieces would hold everything twice
            share = data.size / min(start + SCAN_BYTES, data.size)
            room = min(int(end * share * SPARE) + 1, max(2 * end, SCAN_BYTES))
            for each in (offsets, types):
                each.resize(room, refcheck=False)
        offsets[count:end] = first
        offsets[count:end] += width(start)
        types[count:end] = block[first + 2]
        count = end
    for each in (offsets, types):
        each.resize(count, refcheck=False)
    return Headers(offsets, types)


class Chain(NamedTuple):
    """The records of a log.

    Parameters
    ----------
    offsets : (n,) uint32 or int64
        Start of each record.
    types : (n,) uint8
        Its type.
    holes : tuple of (offset, length)
        What lies between.
    ghosts : int
        Records that padding completed and that were refused.
    doubtful : (k,) int64
        Offsets of accepted records that nothing confirms, increasing.
    """

    offsets: NDArray[Any]
    types: NDArray[np.uint8]
    holes: tuple[tuple[int, int], ...]
    ghosts: int
    doubtful: NDArray[np.int64]


def follow(data: NDArray[np.uint8], headers: Headers, lengths: NDArray[np.uint8]) -> Chain:
    """Follow the records from header to header, in the memory of *headers*, which are used up.

    *lengths* has the bytes of each type, 0: not defined.
    """
    starts, types = headers
    span = lengths[types]
    fits = span > 0
    tail = int(np.searchsorted(starts, starts.dtype.type(max(0, data.size - MAX_RECORD_BYTES))))
    fits[tail:] &= starts[tail:].astype(np.int64) + span[tail:] <= data.size
    if not fits.all():
        for each in (starts, types, span):
            _keep_only(each, fits)
    del fits
    if not starts.size:
        return Chain(starts, types, ((0, data.size),), 0, np.empty(0, dtype=np.int64))
    linked = np.zeros(starts.size, dtype=bool)
    for first in range(0, starts.size - 1, BLOCK_RECORDS):
        part = slice(first, min(first + BLOCK_RECORDS, starts.size - 1))
        np.equal(np.diff(starts[first : part.stop + 1]), span[part], out=linked[part])
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
    if not keep.all():
        for each in (starts, types):
            _keep_only(each, keep)
    return Chain(starts, types, walk.merged(), walk.ghosts, np.array(walk.doubtful, dtype=np.int64))


def _keep_only(array: NDArray[Any], good: NDArray[np.bool_]) -> None:
    """Leave only the *good* elements in *array*, in place: a copy of all would cost a tenth of the log."""
    end = 0
    for first in range(0, good.size, BLOCK_RECORDS):
        part = slice(first, first + BLOCK_RECORDS)
        kept = array[part][good[part]]
        array[end : end + kept.size] = kept
        end += kept.size
    array.resize(end, refcheck=False)


class _Walk:
    """The Python part of the chain, at its breaks only: what follows, what to believe, what to report."""

    def __init__(self, data: NDArray[np.uint8], starts: NDArray[Any], span: NDArray[np.uint8]) -> None:
        self.data = data
        self.starts = starts
        self.span = span
        self.ghosts = 0
        self.doubtful: list[int] = []
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
        self.doubtful.append(begin)
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
