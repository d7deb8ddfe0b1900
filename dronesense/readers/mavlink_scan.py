"""Where the frames of a MAVLink log are: a scan for first bytes, proof by checksum, and what lies between.

Both scan and proof are vectorised over blocks of the log; Python runs only where something other than a stamp
lies between two proven frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.mavlink_messages import CRC_START, Definition, checksum, step_byte, step_word

STAMP_BYTES: Final = 8
MAGIC_1: Final = 0xFE
MAGIC_2: Final = 0xFD
HEADER_1: Final = 6
HEADER_2: Final = 10
CRC_BYTES: Final = 2
SIGNED: Final = 0x01
"""Bit of a MAVLink 2 frame's incompatibility flags: a signature follows the checksum. No other is defined;
a frame with others must be discarded."""
SIGNATURE_BYTES: Final = 13
LEAST_FRAME_BYTES: Final = HEADER_1 + CRC_BYTES

SCAN_BYTES: Final = 1 << 21
"""Bytes scanned and checked at a time: bounds the memory of the scan (2 MiB)."""

NO_SLOT: Final = -1
"""Place of an id that is not in the table."""

UNKNOWN_FLAGS: Final = "unknown incompatibility flags"
BAD_CHECKSUM: Final = "wrong checksum"


_STEPS: Final = step_byte(np.arange(256, dtype=np.uint16))


def _before(magic: int) -> np.uint16:
    """Return the state of the checksum that the byte *magic* turns into its start value."""
    low = int(np.flatnonzero(_STEPS >> 8 == CRC_START >> 8)[0])
    return np.uint16((low ^ magic) | ((int(_STEPS[low]) ^ CRC_START) & 0xFF) << 8)


_POSSIBLE_STEPS: Final = frozenset(_STEPS.tolist())
_BEFORE_MAGIC: Final = {magic: _before(magic) for magic in (MAGIC_1, MAGIC_2)}


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The frames of a log.

    Parameters
    ----------
    starts : (n,) uint32 or int64
        Byte at which each frame of a known message starts, behind its stamp.
    slots : (n,) int16
        Its message: a place in the list of definitions.
    stamped : (n,) bool
        A stamp precedes it.
    holes : tuple of (offset, length)
        Byte ranges that belong to no record.
    unknown : Counter of int
        Message id -> frames of messages without a definition.
    refused : Counter of str
        Reason -> frames that were recognised and not used.
    """

    starts: NDArray[Any]
    slots: NDArray[np.int16]
    stamped: NDArray[np.bool_]
    holes: tuple[tuple[int, int], ...]
    unknown: Counter[int]
    refused: Counter[str]


def find_frames(data: NDArray[np.uint8], known: Sequence[Definition]) -> Frames:
    """Find the frames in the bytes *data* of messages that are *known*, and account for every other byte."""
    table = _Table(known)
    blocks = [_scan(data, start, table) for start in range(0, max(data.size, 1), SCAN_BYTES)]
    starts, slots, lengths = (np.concatenate(column) for column in zip(*blocks, strict=True))
    del blocks
    ends = starts + lengths
    del lengths
    if (starts[1:] < ends[:-1]).any():
        good = _outermost(starts, ends)
        starts, slots, ends = starts[good], slots[good], ends[good]
    between = _Between(data, frozenset(each.id for each in known))
    stamped = between.follow(starts, ends)
    return Frames(starts, slots, stamped, between.merged(), between.unknown, between.refused)


class _Table:
    """The definitions as arrays: place of each id, checksum seed and size of the payload of each place."""

    def __init__(self, known: Sequence[Definition]) -> None:
        ids = [each.id for each in known]
        self.slot = np.full(max(ids) + 2, NO_SLOT, dtype=np.int16)
        self.slot[ids] = np.arange(len(ids))
        self.extra = np.array([each.crc_extra for each in known], dtype=np.uint16)
        self.base_bytes = np.array([each.base_bytes for each in known], dtype=np.uint8)
        self.payload_bytes = np.array([each.payload_bytes for each in known], dtype=np.uint8)


def _scan(
    data: NDArray[np.uint8], start: int, table: _Table
) -> tuple[NDArray[Any], NDArray[np.int16], NDArray[np.uint16]]:
    """Return start, place in *table* and length of the frames that begin in a block and prove right."""
    width = np.uint32 if data.size < 1 << 32 else np.int64
    block = data[start : start + SCAN_BYTES]
    at = np.flatnonzero(block - np.uint8(MAGIC_2) <= MAGIC_1 - MAGIC_2) + start
    at = at[: np.searchsorted(at, data.size - LEAST_FRAME_BYTES, side="right")]
    second = data[at] == MAGIC_2
    slot = table.slot[np.minimum(_message_ids(data, at, second), table.slot.size - 1)]
    length = _frame_bytes(data, at, second)
    fits = (slot != NO_SLOT) & (at + length <= data.size)
    # MAVLink 1 has no flags, cuts nothing off and gets no additions; extension fields it should leave out.
    sent = data[at + 1]
    whole = (sent >= table.base_bytes[slot]) & (sent <= table.payload_bytes[slot])
    fits &= np.where(second, data[at + 2] <= SIGNED, whole)
    at, slot, length, second = at[fits], slot[fits], length[fits], second[fits]
    proven = _proven(data, at, second, table.extra[slot])
    return at[proven].astype(width), slot[proven], length[proven]


def _message_ids(data: NDArray[np.uint8], at: NDArray[Any], second: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the message id of the frames at *at*; *second*: which are MAVLink 2."""
    number = data[at + 5].astype(np.int64)
    if second.any():
        wide = np.minimum(at[second], data.size - HEADER_2)  # a frame that does not fit may be anything
        number[second] = sum(data[wide + 7 + k].astype(np.int64) << 8 * k for k in range(3))
    return np.asarray(number, dtype=np.int64)


def _frame_bytes(data: NDArray[np.uint8], at: NDArray[Any], second: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return the length of the frames at *at*, signature included; *second*: which are MAVLink 2."""
    length = data[at + 1] + np.uint16(HEADER_1 + CRC_BYTES)
    if second.any():
        signed = data[at[second] + 2] & np.uint8(SIGNED)
        length[second] += signed * np.uint16(SIGNATURE_BYTES) + np.uint16(HEADER_2 - HEADER_1)
    return np.asarray(length, dtype=np.uint16)


def _proven(
    data: NDArray[np.uint8], at: NDArray[Any], second: NDArray[np.bool_], extra: NDArray[np.uint16]
) -> NDArray[np.bool_]:
    """Tell the frames at *at* whose checksum, seeded with *extra* of their message, is right.

    All frames go through the checksum together, two bytes in a step, and enter it so that all end with the
    last step. Of an odd number of bytes the one before, the magic, is taken along and foreseen in the start.
    """
    if not at.size:
        return np.zeros(0, dtype=bool)
    covered = data[at + 1] + np.where(second, np.uint16(HEADER_2 - 1), np.uint16(HEADER_1 - 1))
    order = np.argsort(~covered, kind="stable")
    covered, second = covered[order], second[order]
    start = np.where(second, _BEFORE_MAGIC[MAGIC_2], _BEFORE_MAGIC[MAGIC_1])
    state = np.where(covered & 1, start, np.uint16(CRC_START))
    words = ((covered + 1) >> 1).astype(np.intp)
    end = at[order] + 1 + covered
    most = int(words[0])
    column = np.empty((most, at.size), dtype=np.uint16)  # read only where written
    edges = np.flatnonzero(np.diff(words, prepend=-1, append=-1)).tolist()
    for first, last in pairwise(edges):
        length = int(words[first])
        body = windows(data, end[first:last] - 2 * length, 2 * length)
        column[most - length :, first:last] = body.view("<u2").T
    at_most = np.cumsum(np.bincount(most - words, minlength=most))
    for word, active in zip(column, at_most.tolist(), strict=True):
        state[:active] = step_word(state[:active] ^ word[:active])
    state = step_byte(state ^ extra[order]) ^ state >> np.uint16(8)
    good = np.empty(at.size, dtype=bool)
    good[order] = state == data[end] | data[end + 1].astype(np.uint16) << np.uint16(8)
    return good


def windows(data: NDArray[np.uint8], at: NDArray[Any], length: int) -> NDArray[np.uint8]:
    """Return the *length* bytes of *data* from each of *at* on, (n, length)."""
    # A window at every byte: the selection copies whole ones, whatever their alignment.
    everywhere = np.ndarray((data.size - length + 1,), dtype=f"V{length}", buffer=data, strides=(1,))
    return np.asarray(everywhere[at]).view(np.uint8).reshape(at.size, length)


def _outermost(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.intp]:
    """Return the frames that do not begin inside the one before: messages may carry frames as payload."""
    index = np.arange(starts.size)
    while True:
        inside = np.zeros(index.size, dtype=bool)
        inside[1:] = starts[index[1:]] < ends[index[:-1]]
        inside[1:] &= ~inside[:-1]
        if not inside.any():
            return index
        index = index[~inside]


class _Between:
    """What lies between the proven frames: frames of unknown messages, and holes."""

    def __init__(self, data: NDArray[np.uint8], known: frozenset[int]) -> None:
        self.data = data
        self.known = known
        self.unknown: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self._holes: list[tuple[int, int]] = []

    def follow(self, starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.bool_]:
        """Look between the frames from *starts* to *ends*; tell the frames that a stamp precedes."""
        room = starts.copy()
        room[1:] -= ends[:-1]
        stamped = np.asarray(room >= STAMP_BYTES, dtype=bool)
        for index in np.flatnonzero(room != STAMP_BYTES).tolist():
            stop = int(starts[index]) - (STAMP_BYTES if stamped[index] else 0)
            self._walk(int(ends[index - 1]) if index else 0, stop)
        self._walk(int(ends[-1]) if ends.size else 0, self.data.size)
        return stamped

    def _walk(self, begin: int, stop: int) -> None:
        """Step over the records from *begin* on; the rest up to *stop* is a hole."""
        while begin < stop:
            at = begin + STAMP_BYTES
            end = self._frame_end(at, stop)
            if end is None:
                self._holes.append((begin, stop))
                return
            if not self._account(at):
                self._holes.append((begin, end))
            begin = end

    def _frame_end(self, at: int, stop: int) -> int | None:
        """Return the end of the frame at *at* if another one or *stop* follows it."""
        data = self.data
        if at > stop - HEADER_1 - CRC_BYTES or data[at] not in (MAGIC_1, MAGIC_2):
            return None
        fixed = HEADER_1 + CRC_BYTES
        if data[at] == MAGIC_2:
            fixed = HEADER_2 + CRC_BYTES + (SIGNATURE_BYTES if data[at + 2] & SIGNED else 0)
        end = at + fixed + int(data[at + 1])
        follower = end + STAMP_BYTES
        if end == stop or (follower < stop and data[follower] in (MAGIC_1, MAGIC_2)):
            return end
        return None

    def _account(self, at: int) -> bool:
        """Count the frame at *at*, which no known definition proves; tell whether it is sound."""
        data = self.data
        second = data[at] == MAGIC_2
        if second and data[at + 2] > SIGNED:
            self.refused[UNKNOWN_FLAGS] += 1
            return True
        number = int.from_bytes(data[at + 7 : at + 10] if second else data[at + 5 : at + 6], "little")
        crc = at + (HEADER_2 if second else HEADER_1) + int(data[at + 1])
        # Of a message that is not known any seed may be right; for one damaged frame in 256 one is.
        left = int(data[crc]) ^ int(data[crc + 1]) << 8 ^ checksum(data[at + 1 : crc].tobytes()) >> 8
        if number in self.known or left not in _POSSIBLE_STEPS:
            self.refused[BAD_CHECKSUM] += 1
            return False
        self.unknown[number] += 1
        return True

    def merged(self) -> tuple[tuple[int, int], ...]:
        """Return the holes as (offset, length), those that touch joined."""
        joined: list[tuple[int, int]] = []
        for begin, stop in self._holes:
            if joined and joined[-1][1] >= begin:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((begin, stop))
        return tuple((begin, stop - begin) for begin, stop in joined)
