"""Records of an SBET file from its bytes: which can be true, where bytes are missing or shifted.

There is no header, mark or checksum: a record is told by what its fields can hold and by the step of its
time from the records beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers.assembly import HEIGHT_RANGE_M
from dronesense.readers.streams import Float, Mask
from dronesense.timescale import S_PER_WEEK

FIELDS: Final = 17
RECORD_BYTES: Final = 8 * FIELDS
TIME, LAT, LON, HEIGHT, VX, VY, VZ, ROLL, PITCH, HEADING, WANDER = range(11)


LAST_TOW_S: Final = 2.0 * S_PER_WEEK - 1.0
"""Survey software may count on over the end of the week."""

# What a record can hold: field, least, largest. Angles in rad with a little room over a turn.
_RANGES: Final = (
    (TIME, 0.0, LAST_TOW_S),
    (LAT, -np.pi / 2, np.pi / 2),
    (LON, -np.pi - 1e-6, np.pi + 1e-6),
    (HEIGHT, *HEIGHT_RANGE_M),
    (VX, -500.0, 500.0),
    (VY, -500.0, 500.0),
    (VZ, -200.0, 200.0),
    (ROLL, -np.pi - 1e-6, np.pi + 1e-6),
    (PITCH, -np.pi / 2 - 1e-6, np.pi / 2 + 1e-6),
    (HEADING, -2 * np.pi - 1e-6, 2 * np.pi + 1e-6),
    (WANDER, -2 * np.pi - 1e-6, 2 * np.pi + 1e-6),
)
NEAR_ZERO_RAD: Final = 1e-6
"""Latitude and longitude both below this, 6 m, are an empty record or another kind of file."""

STEP_S: Final = (1e-4, 60.0)
"""Least and largest step between neighboring records of one piece."""
BREAK_ROWS: Final = 3
"""So many impossible records in a row: the bytes are shifted. So many sound ones: they are not."""
BLOCK_ROWS: Final = 4096
WINDOW_BYTES: Final = 1 << 16
MOST_PIECES: Final = 1000
"""Beyond this many breaks the rest is given up."""

SNIFF_SHARE: Final = 0.75
SNIFF_STEP_S: Final = 10.0
SNIFF_JITTER: Final = 0.1
"""A head is taken for a log if this share of records can be true and has steps that differ by this part."""


class Sbet:
    """The records of an SBET file, with the damaged bytes left out.

    Parameters
    ----------
    data : (n,) uint8
        The file.
    where : str or Path
        What messages call it.

    Attributes
    ----------
    rows : (k, 11) float64
        Time of week (s), latitude, longitude (rad), ellipsoidal height (m), velocity in the wander frame
        (m/s), roll, pitch, platform heading, wander angle (rad).
    records : int
        Whole records, the refused ones included.
    holes : tuple of (offset, length)
        Bytes that belong to no record.

    Raises
    ------
    ReadError
        If there is no sound record.
    """

    def __init__(self, data: NDArray[np.uint8], *, where: str | Path) -> None:
        pieces = _pieces(data)
        self.records = sum(mask.size for _, mask in pieces)
        self.holes = _holes(pieces, data.size)
        found = [
            np.ndarray((mask.size, WANDER + 1), "<f8", data, start, (RECORD_BYTES, 8))[mask]
            for start, mask in pieces
        ]
        self.rows: Float = np.concatenate(found) if found else np.empty((0, WANDER + 1))
        if not self.rows.size:
            raise ReadError(
                f"holds no sound SBET record of {RECORD_BYTES} bytes ({data.size} bytes)",
                where=where,
                fix="export the SBET file from POSPac again",
            )


def looks_like_records(head: NDArray[np.uint8], size: int) -> bool:
    """Tell whether *head*, the first bytes of a file of *size* bytes, holds records at constant steps."""
    count = head.size // RECORD_BYTES
    if not count or bool(np.all((head >= 0x09) & (head < 0x7F))):  # text
        return False
    if size % RECORD_BYTES and count < BREAK_ROWS:
        return False
    if np.mean(_sound(head, 0, count)) < SNIFF_SHARE:
        return False
    if count == 1:
        return True
    step = _steps(_field(head, 0, count, RECORD_BYTES, TIME))
    usual = float(np.median(step))
    even = np.abs(step - usual) <= SNIFF_JITTER * usual
    return usual <= SNIFF_STEP_S and bool(np.mean(even) >= SNIFF_SHARE)


def _field(data: NDArray[np.uint8], start: int, count: int, stride: int, field: int) -> Float:
    """Return *count* values of a field, *stride* bytes apart, without a copy."""
    return np.ndarray((count,), "<f8", data, start + 8 * field, (stride,))


def _steps(time: Float) -> Float:
    """Return steps of time of week along the first axis, s, a new week undone."""
    with np.errstate(all="ignore"):
        return np.asarray(np.diff(time, axis=0) % S_PER_WEEK)


def _possible(field: Callable[[int], Float]) -> Mask:
    """Tell the records whose fields are all within their ranges and that lie somewhere."""
    with np.errstate(all="ignore"):
        good = (np.abs(field(LAT)) > NEAR_ZERO_RAD) | (np.abs(field(LON)) > NEAR_ZERO_RAD)
        for index, low, high in _RANGES:
            value = field(index)
            good &= (value >= low) & (value <= high)
    return good


@dataclass(frozen=True, slots=True, eq=False)
class _At:
    """Fields of records at any *places* of bytes, of which *everywhere* has the numbers that begin there."""

    everywhere: Float
    places: NDArray[np.intp]

    def __call__(self, field: int) -> Float:
        return np.asarray(self.everywhere[self.places + 8 * field])


def _linked(step: Float) -> Mask:
    return np.asarray((step >= STEP_S[0]) & (step <= STEP_S[1]), dtype=bool)


def _sound(data: NDArray[np.uint8], start: int, count: int) -> Mask:
    """Tell the records from *start* on that can be true and have a neighbor at a likely step of time."""

    def field(index: int) -> Float:
        return _field(data, start, count, RECORD_BYTES, index)

    good = _possible(field)
    if count == 1:
        return good
    link = _linked(_steps(field(TIME)))
    return np.asarray(good & (np.append(link, False) | np.append(False, link)), dtype=bool)


def _pieces(data: NDArray[np.uint8]) -> list[tuple[int, Mask]]:
    """Return (offset, which of the records are sound) of each run of records that are not shifted."""
    pieces: list[tuple[int, Mask]] = []
    at: int | None = 0
    while at is not None and data.size - at >= RECORD_BYTES and len(pieces) < MOST_PIECES:
        start, masks, broken = at, [], False
        while not broken and data.size - at >= RECORD_BYTES:
            mask = _sound(data, at, min(BLOCK_ROWS, (data.size - at) // RECORD_BYTES))
            bad = ~mask
            runs = bad[:-2] & bad[1:-1] & bad[2:]
            broken = bool(runs.any())
            masks.append(mask[: int(runs.argmax())] if broken else mask)
            at += masks[-1].size * RECORD_BYTES
        pieces.append((start, np.concatenate(masks)))
        at = _resume(data, at) if broken else None
    return [piece for piece in pieces if piece[1].size]


def _resume(data: NDArray[np.uint8], at: int) -> int | None:
    """Return the first byte from *at* on where :data:`BREAK_ROWS` sound records follow each other."""
    reach = BREAK_ROWS * RECORD_BYTES
    for start in range(at, data.size - reach + 1, WINDOW_BYTES):
        count = min(WINDOW_BYTES, data.size - reach - start + 1)
        everywhere = np.ndarray((count + reach - 8,), "<f8", data, start, (1,))
        with np.errstate(invalid="ignore"):
            first = everywhere[:count]
            likely = np.flatnonzero((first >= STEP_S[0]) & (first < LAST_TOW_S))
        for k in range(BREAK_ROWS):  # times first: they leave next to nothing of other bytes
            if k and likely.size:
                times = everywhere[likely + (k - 1) * RECORD_BYTES], everywhere[likely + k * RECORD_BYTES]
                likely = likely[_linked(_steps(np.stack(times))[0])]
        for k in range(BREAK_ROWS):
            if likely.size:
                likely = likely[_possible(_At(everywhere, likely + k * RECORD_BYTES))]
        if likely.size:
            return start + int(likely[0])
    return None


def _holes(pieces: list[tuple[int, Mask]], size: int) -> tuple[tuple[int, int], ...]:
    """Return (offset, length) of the bytes outside *pieces*."""
    edges = [0]
    for start, mask in pieces:
        edges += [start, start + mask.size * RECORD_BYTES]
    edges.append(size)
    return tuple((a, b - a) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)
