"""Where messages of a PX4 ULog may start: a scan of all bytes for the type byte and a size that fits."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.ulog_formats import MAX_MESSAGE_BYTES

FILE_HEADER_BYTES: Final = 16
HEADER_BYTES: Final = 3
SCAN_BYTES: Final = 1 << 20
"""Bytes scanned at a time: bounds the memory of the scan (1 MiB)."""

SYNC: Final = bytes([0x2F, 0x73, 0x13, 0x20, 0x25, 0x0C, 0xBB, 0x12])
DATA: Final = ord("D")
LONGEST_NAME: Final = 255

SIZES: Final[dict[int, tuple[int, int]]] = {
    ord("A"): (4, 3 + LONGEST_NAME),
    ord("B"): (40, MAX_MESSAGE_BYTES),
    ord("C"): (11, MAX_MESSAGE_BYTES),
    ord("F"): (4, MAX_MESSAGE_BYTES),
    ord("I"): (4, MAX_MESSAGE_BYTES),
    ord("L"): (9, MAX_MESSAGE_BYTES),
    ord("M"): (5, MAX_MESSAGE_BYTES),
    ord("O"): (2, 2),
    ord("P"): (4, MAX_MESSAGE_BYTES),
    ord("Q"): (5, MAX_MESSAGE_BYTES),
    ord("R"): (2, 2),
    ord("S"): (len(SYNC), len(SYNC)),
}
"""Type of a message other than data -> least and greatest size of its payload."""

LOW: Final = tuple(SIZES.get(kind, (1, 0))[0] for kind in range(256))
HIGH: Final = tuple(SIZES.get(kind, (1, 0))[1] for kind in range(256))
IS_OTHER: Final = np.isin(np.arange(256), list(SIZES))
HEADER: Final = struct.Struct("<HB")


@dataclass(frozen=True, slots=True)
class Accepts:
    """Sizes that the data messages of each id may have; low > high for an id without a format."""

    low: NDArray[np.uint16]
    high: NDArray[np.uint16]


def width(size: int) -> type[np.uint32 | np.int64]:
    """Return the narrowest type for offsets into *size* bytes."""
    return np.uint32 if size < (1 << 32) - (1 << 17) else np.int64


def others_from(data: memoryview, at: int, stop: int, found: array[int]) -> int:
    """Append to *found* where the messages other than data start that follow each other from *at* on.

    Return where the first that is none starts, *stop* at most.
    """
    while at + HEADER_BYTES < stop:
        size, kind = HEADER.unpack_from(data, at)
        end = at + HEADER_BYTES + size
        if not LOW[kind] <= size <= HIGH[kind] or end > stop:
            break
        found.append(at)
        at = end
    return at


def find_type(
    data: NDArray[np.uint8],
    kind: int,
    begin: int,
    *,
    longest: int = MAX_MESSAGE_BYTES,
    last_byte: int | None = None,
) -> Iterator[int]:
    """Yield where messages of type *kind* may start, from *begin* on: of a legal size, within the file.

    *longest* bounds the payload, *last_byte* is what it must end with, if that is known.
    """
    low, high = SIZES[kind]
    for starts in _type_bytes(data, kind, begin):
        size = data[starts].astype(np.int64) | data[starts + 1].astype(np.int64) << 8
        end = starts + HEADER_BYTES + size
        good = (size >= low) & (size <= min(high, longest)) & (end <= data.size)
        starts, end = starts[good], end[good]
        if last_byte is not None:
            starts = starts[data[end - 1] == last_byte]
        yield from starts.tolist()


def _type_bytes(data: NDArray[np.uint8], kind: int, begin: int) -> Iterator[NDArray[np.int64]]:
    """Yield, block by block, the offsets from *begin* on that lie two bytes before a byte *kind*."""
    for start in range(begin + 2, data.size, SCAN_BYTES):
        yield np.flatnonzero(data[start : start + SCAN_BYTES] == kind) + (start - 2)


def find_data(
    data: NDArray[np.uint8], accepts: Accepts, begin: int
) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """Return offset and payload size of everything from *begin* on that looks like a data message."""
    offsets, sizes = [], []
    for starts in _type_bytes(data[: max(0, data.size - 2)], DATA, begin):
        size = data[starts].astype(np.uint16) | data[starts + 1].astype(np.uint16) << 8
        ident = data[starts + 3].astype(np.uint16) | data[starts + 4].astype(np.uint16) << 8
        good = (size >= accepts.low[ident]) & (size <= accepts.high[ident])
        starts, size = starts[good], size[good]
        if starts.size and starts[-1] + HEADER_BYTES + MAX_MESSAGE_BYTES > data.size:
            fits = starts + HEADER_BYTES + size <= data.size
            starts, size = starts[fits], size[fits]
        offsets.append(starts.astype(width(data.size)))
        sizes.append(size)
    if not offsets:
        return np.empty(0, dtype=width(data.size)), np.empty(0, dtype=np.uint16)
    return np.concatenate(offsets), np.concatenate(sizes)
