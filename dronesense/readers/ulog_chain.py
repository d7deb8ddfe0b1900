"""Where the messages of a PX4 ULog are: a scan for data messages, and a walk over what lies between them.

A message is ``size u16, type u8, payload``. Data messages, nearly all of a log, are found at once by their
type byte, a subscribed id and a size that fits its format; where one ends the next must start. Python walks
only where that chain breaks: at other messages and at damage.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.ulog_formats import MAX_MESSAGE_BYTES, key_fits
from dronesense.readers.ulog_scan import (
    DATA,
    FILE_HEADER_BYTES,
    HEADER,
    HEADER_BYTES,
    HIGH,
    IS_OTHER,
    LOW,
    SCAN_BYTES,
    SIZES,
    SYNC,
    Accepts,
    find_data,
    others_from,
)

SEARCH_BYTES: Final = 1 << 16
"""Bytes searched at a time for a message after a hole."""

PADDING: Final = (0x00, 0xFF)
"""What unwritten or erased storage reads as."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The messages of a log.

    Parameters
    ----------
    data_offsets : (n,) uint32 or int64
        Start of each data message.
    other_offsets : (m,) int64
        Start of each other message.
    holes : tuple of (offset, length)
        Bytes that belong to no message.
    doubtful : frozenset of int
        Data messages that no message follows: their end may be foreign bytes.
    ghosts : int
        Data messages refused because storage padding completed them.
    unknown : mapping of int to int
        Id without a subscription -> data messages that could only be stepped over.
    """

    data_offsets: NDArray[Any]
    other_offsets: NDArray[np.int64]
    holes: tuple[tuple[int, int], ...]
    doubtful: frozenset[int]
    ghosts: int
    unknown: dict[int, int]


def chain(
    data: NDArray[np.uint8], accepts: Accepts, anchors: list[int], leading: array[int], at: int
) -> Chain:
    """Find the messages of a log.

    Parameters
    ----------
    data : (n,) uint8
        The file.
    accepts : Accepts
        Sizes by id.
    anchors : list of int
        Offsets at which a message must start, whatever comes before (appended data).
    leading : array of int
        Messages already found by :func:`others_from`.
    at : int
        Where they end.
    """
    starts, sizes = find_data(data, accepts, FILE_HEADER_BYTES)
    for anchor in anchors:
        begin = int(np.searchsorted(starts, max(0, anchor - MAX_MESSAGE_BYTES - HEADER_BYTES)))
        stop = int(np.searchsorted(starts, anchor))
        near = np.arange(begin, stop)
        across = near[starts[near].astype(np.int64) + HEADER_BYTES + sizes[near] > anchor]
        starts, sizes = np.delete(starts, across), np.delete(sizes, across)
    walk = _Walk(data, accepts, anchors, starts, sizes)
    walk.others.extend(leading)
    walk.run(at)
    return Chain(
        data_offsets=starts[walk.keep],
        other_offsets=np.array(walk.others, dtype=np.int64),
        holes=walk.merged(),
        doubtful=frozenset(walk.doubtful),
        ghosts=walk.ghosts,
        unknown=dict(walk.unknown),
    )


class _Walk:
    """The Python part of the chain: from run to run of linked data messages."""

    def __init__(
        self,
        data: NDArray[np.uint8],
        accepts: Accepts,
        anchors: list[int],
        starts: NDArray[Any],
        sizes: NDArray[np.uint16],
    ) -> None:
        self.data = data
        self.bytes = data.data
        self.size = data.size
        self.low, self.high = accepts.low.data, accepts.high.data
        self.anchors = anchors
        self.starts = starts
        self.keep = np.zeros(starts.size, dtype=bool)
        self.others = array("q")
        self.doubtful: set[int] = set()
        self.unknown: Counter[int] = Counter()
        self.ghosts = 0
        self._holes: list[tuple[int, int]] = []
        unlinked = np.ones(starts.size, dtype=bool)
        np.not_equal(np.diff(starts), sizes[:-1] + starts.dtype.type(HEADER_BYTES), out=unlinked[:-1])
        last = np.flatnonzero(unlinked).astype(np.int64)
        first = np.append(0, last[:-1] + 1)[: last.size]
        self.run_first, self.run_last = first.data, last.data
        self.run_start = starts[first].astype(np.int64).data
        self.run_end = (starts[last].astype(np.int64) + HEADER_BYTES + sizes[last]).data
        self._run = 0
        self._hits: list[int] = []
        self._searched = -1

    def run(self, at: int) -> None:
        """Walk the file; the messages up to *at* are found already."""
        begin = FILE_HEADER_BYTES
        while begin < self.size:
            member = None if at > begin else self._member_at(begin)
            if member is not None:
                begin = at = self._take(member)
                continue
            stop = min([self.size, *(anchor for anchor in self.anchors if anchor > begin)])
            if at == begin:
                at = others_from(self.bytes, begin, stop, self.others)
            if at == begin:
                at = self._stepped_over(begin, stop)
            refused = self._refused(begin, at)
            begin = at = at if refused is None else self._skip(refused)
        self._refuse_ghost()

    def _refused(self, begin: int, end: int) -> int | None:
        """Return which of the other messages from *begin* to *end* is none after all, None if all are sound.

        It is the last one if no message follows it, and one that swallows data.
        """
        if end == begin:
            return begin
        rival = self._rival(self._run, begin, end)
        if rival is None and self.follows(end):
            return None
        refused = begin
        while self.others and self.others[-1] >= begin:
            refused = self.others.pop()
            if rival is None or refused < rival:
                break
        return refused

    def _member_at(self, at: int) -> int | None:
        """Return the candidate that starts at *at*, None if none does; move to its run."""
        count = len(self.run_start)
        while self._run + 1 < count and self.run_start[self._run + 1] <= at:
            self._run += 1
        if self._run >= count or self.run_start[self._run] > at:
            return None
        first, last = self.run_first[self._run], self.run_last[self._run]
        if self.run_start[self._run] == at:
            return first
        if self.run_end[self._run] <= at:
            return None
        member = bisect_left(self.starts, at, first, last + 1)
        return member if member <= last and int(self.starts[member]) == at else None

    def _take(self, member: int) -> int:
        """Accept the run from *member* on; return where to go on."""
        run = self._run
        last, end = self.run_last[run], self.run_end[run]
        self.keep[member : last + 1] = True
        if self.follows(end):
            return end
        begin = int(self.starts[last])
        if self._rival(run + 1, begin, end) is not None:
            self.keep[last] = False
            return self._skip(begin, begin + 1)
        self.doubtful.add(begin)
        return self._skip(end)

    def _rival(self, run: int, begin: int, end: int) -> int | None:
        """Return where data that are followed by a message start within the bytes from *begin* to *end*."""
        for other in range(run, len(self.run_start)):
            start = self.run_start[other]
            if start >= end:
                return None
            linked = self.run_last[other] > self.run_first[other]
            if start > begin and (linked or self.follows(self.run_end[other])):
                return int(start)
        return None

    def follows(self, at: int, *, deep: bool = True) -> bool:
        """Tell whether a message, its first bytes, or the end of the file is at *at*."""
        left = self.size - at
        if left < HEADER_BYTES or at in self.anchors:
            return True
        size, kind = HEADER.unpack_from(self.bytes, at)
        if kind in SIZES:
            return bool(LOW[kind] <= size <= HIGH[kind])
        if kind == DATA:
            if left < HEADER_BYTES + 2:
                return True
            ident = self.bytes[at + 3] | self.bytes[at + 4] << 8
            if self.low[ident] <= self.high[ident]:
                return bool(self.low[ident] <= size <= self.high[ident])
        elif not _is_letter(kind) or not deep:
            return False
        end = at + HEADER_BYTES + size
        return size > 2 and end <= self.size and (not deep or self.follows(end, deep=False))

    def _stepped_over(self, at: int, stop: int) -> int:
        """Return where a message ends that cannot be read: data without subscription, or of a new type."""
        if stop - at < HEADER_BYTES + 2:
            return at
        size, kind = HEADER.unpack_from(self.bytes, at)
        end = at + HEADER_BYTES + size
        if kind in SIZES or not _is_letter(kind) or size <= 2 or end > stop or not self.follows(end):
            return at
        if kind == DATA:
            ident = self.bytes[at + 3] | self.bytes[at + 4] << 8
            if self.low[ident] <= self.high[ident] or self._rival(self._run, at, end) is not None:
                return at
            self.unknown[int(ident)] += 1
        return int(end)

    def _skip(self, at: int, search_from: int | None = None) -> int:
        """Note a hole from *at* to the next message; return where that starts."""
        begin = at if search_from is None else search_from
        limit = min([self._next_candidate(begin), self.size, *(a for a in self.anchors if a > at)])
        for hit in self._search(begin, limit):
            end = hit + HEADER_BYTES + (self.bytes[hit] | self.bytes[hit + 1] << 8)
            if end <= limit and self._reads_as_message(hit, end):
                self.others.append(hit)
                self._holes.append((at, hit))
                return end
        self._holes.append((at, limit))
        return limit

    def _next_candidate(self, at: int) -> int:
        """Return where the first candidate at or after *at* starts, or the size of the file."""
        if self._member_at(at) is not None:
            return at
        count = len(self.run_start)
        if self._run < count and self.run_start[self._run] > at:
            return int(self.run_start[self._run])
        if self._run < count:
            first, last = self.run_first[self._run], self.run_last[self._run]
            member = bisect_left(self.starts, at, first, last + 1)
            if member <= last:
                return int(self.starts[member])
        return int(self.run_start[self._run + 1]) if self._run + 1 < count else self.size

    def _search(self, begin: int, limit: int) -> Iterator[int]:
        """Yield where other messages may start from *begin* to *limit*; each block is searched once."""
        block = begin - begin % SEARCH_BYTES
        while block < limit:
            if self._searched != block:
                part = self.data[block : block + SEARCH_BYTES + 2]
                self._hits = (np.flatnonzero(IS_OTHER[part[2:]]) + block).tolist()
                self._searched = block
            hits = self._hits
            for k in range(bisect_left(hits, begin), bisect_left(hits, limit)):
                yield hits[k]
            block += SEARCH_BYTES

    def _reads_as_message(self, at: int, end: int) -> bool:
        """Tell whether the bytes from *at* to *end*, found by search, are a message by their content."""
        kind = self.bytes[at + 2]
        low, high = SIZES[kind]
        payload = bytes(self.bytes[at + HEADER_BYTES : end])
        if not low <= len(payload) <= high:
            return False
        match chr(kind):
            case "I" | "P":
                return key_fits(payload)
            case "M" | "Q":
                return key_fits(payload[1:])
            case "S":
                return payload == SYNC
            case "F":
                return payload.endswith(b";") and payload.isascii() and self.follows(end)
            case "A":
                return payload[3:].isascii() and payload[3:].decode().isprintable() and self.follows(end)
            case "L" | "C":
                return payload[0] in b"01234567" and payload[11:].isascii() and self.follows(end)
        return self.follows(end)

    def _refuse_ghost(self) -> None:
        """Refuse the last data message if its end is unwritten storage, as all that follows."""
        if not self._holes or self._holes[-1][1] != self.size:
            return
        kept = np.flatnonzero(self.keep[-MAX_MESSAGE_BYTES:]) + max(0, self.keep.size - MAX_MESSAGE_BYTES)
        stop = self._holes[-1][0]
        begin = int(self.starts[kept[-1]]) if kept.size else -1
        if begin not in self.doubtful or begin + HEADER_BYTES + self._size_at(begin) != stop:
            return
        fill = self.bytes[stop]
        own = self._padded(begin, stop, fill)
        if fill not in PADDING or own == 0 or not self._is_padding(stop, fill):
            return
        ident = bytes(self.bytes[begin + 3 : begin + 5])
        for index in kept[-2::-1].tolist():
            other = int(self.starts[index])
            if bytes(self.bytes[other + 3 : other + 5]) == ident:
                if self._padded(other, other + HEADER_BYTES + self._size_at(other), fill) >= own:
                    return
                break
        self.keep[kept[-1]] = False
        self.doubtful.discard(begin)
        self.ghosts += 1
        self._holes[-1] = (begin, self.size)

    def _size_at(self, at: int) -> int:
        return int(self.bytes[at] | self.bytes[at + 1] << 8)

    def _padded(self, begin: int, end: int, fill: int) -> int:
        """Return how many bytes before *end* are *fill*."""
        payload = bytes(self.bytes[begin:end])
        return len(payload) - len(payload.rstrip(bytes([fill])))

    def _is_padding(self, begin: int, fill: int) -> bool:
        blocks = range(begin, self.size, SCAN_BYTES)
        return all(bool(np.all(self.data[start : start + SCAN_BYTES] == fill)) for start in blocks)

    def merged(self) -> tuple[tuple[int, int], ...]:
        """Return the holes as (offset, length), those that touch joined."""
        joined: list[tuple[int, int]] = []
        for begin, stop in self._holes:
            if stop <= begin:
                continue
            if joined and joined[-1][1] >= begin:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((begin, stop))
        return tuple((begin, stop - begin) for begin, stop in joined)


def _is_letter(kind: int) -> bool:
    return chr(kind).isascii() and chr(kind).isalpha()
