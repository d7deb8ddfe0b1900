"""MAVLink telemetry log ``.tlog``: bytes to columns.

A log is a stream of records: 8 bytes of the ground station's clock (big endian, µs of Unix time), then a
frame of MAVLink 1 (``FE``) or 2 (``FD``). Frames are found by a scan for their first byte and proven by
their checksum; columns are views of the payloads. See ``docs/formats/tlog.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.readers import content
from dronesense.readers.dataflash_formats import text_of
from dronesense.readers.mavlink_messages import Definition, definitions
from dronesense.readers.mavlink_scan import HEADER_1, HEADER_2, MAGIC_2, STAMP_BYTES, find_frames, windows

COUNTED_AT_A_TIME: Final = 1 << 20
"""Frames that are counted at a time: bounds the memory."""

NO_STAMP: Final = -1
"""`Messages.received_us` where the log has no stamp, or one that no int64 holds."""


class Messages(Mapping[str, NDArray[Any]]):
    """All messages of one name, field by field, in the order of the file.

    ``messages["lat"]`` is a new array of the numbers as stored, (n,) or (n, length) of an array field, bytes
    for text. What MAVLink 2 cut off (zeros) and extension fields that a frame lacks are 0.

    Attributes
    ----------
    definition : Definition
        What they consist of.
    offsets : (n,) int64
        Byte at which each frame starts, behind the stamp.
    received_us : (n,) int64
        The ground station's stamp, µs since 1970; -1 where there is none.
    system, component, sequence : (n,) uint8
        Who sent it, and the sender's count of frames.
    """

    __slots__ = ("_records", "component", "definition", "offsets", "received_us", "sequence", "system")

    def __init__(
        self,
        definition: Definition,
        records: NDArray[np.void],
        *,
        offsets: NDArray[np.int64],
        received_us: NDArray[np.int64],
        system: NDArray[np.uint8],
        component: NDArray[np.uint8],
        sequence: NDArray[np.uint8],
    ) -> None:
        self.definition = definition
        self.offsets = offsets
        self.received_us = received_us
        self.system = system
        self.component = component
        self.sequence = sequence
        self._records = records

    def __getitem__(self, column: str) -> NDArray[Any]:
        columns = self.definition.columns
        if column not in columns:
            raise KeyError(f"{self.definition.name} has no field {column}{did_you_mean(column, columns)}")
        return np.ascontiguousarray(self._records[column])

    def __iter__(self) -> Iterator[str]:
        return iter(self.definition.columns)

    def __len__(self) -> int:
        return len(self.definition.columns)

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self.offsets)

    def text(self, column: str) -> list[str]:
        """Return a text field, cut at the first NUL, as UTF-8 or else Latin-1."""
        return [text_of(cell) for cell in self[column].tolist()]

    def where(self, good: NDArray[np.bool_]) -> Messages:
        """Return the messages that are *good*."""
        return self.take(np.flatnonzero(good))

    def take(self, good: NDArray[np.intp]) -> Messages:
        """Return the messages of these numbers, in this order."""
        return Messages(
            self.definition,
            self._records[good],
            offsets=self.offsets[good],
            received_us=self.received_us[good],
            system=self.system[good],
            component=self.component[good],
            sequence=self.sequence[good],
        )


class Telemetry(Mapping[str, Messages]):
    """A telemetry log: message name -> :class:`Messages`, decoded when asked for.

    Parameters
    ----------
    data : (n,) uint8
        The bytes; kept, not copied.

    Attributes
    ----------
    records : int
        Frames found, those of unknown messages included.
    holes : tuple of (offset, length)
        Byte ranges that belong to no record.
    unknown : Counter of int
        Message id -> frames of messages that are not in the table; stepped over.
    refused : Counter of str
        Reason -> frames that were found and not used.
    """

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.size = len(data)
        self._bytes = data
        self._definitions = list(definitions().values())
        self._frames = find_frames(data, self._definitions)
        self.holes, self.unknown, self.refused = (
            self._frames.holes,
            self._frames.unknown,
            self._frames.refused,
        )
        self.records = len(self._frames.starts) + self.unknown.total()
        self._counts = np.zeros(len(self._definitions), dtype=np.int64)
        for part in _parts(self._frames.slots):
            self._counts += np.bincount(part, minlength=self._counts.size)
        self._slots = {self._definitions[k].name: k for k in np.flatnonzero(self._counts).tolist()}
        self._last: Messages | None = None
        """What was decoded last: ``log["ATTITUDE"]["roll"], log["ATTITUDE"]["yaw"]`` decodes it once."""

    def __getitem__(self, name: str) -> Messages:
        if self._last is None or self._last.definition.name != name:
            self._last = self._decode(name)
        return self._last

    def _decode(self, name: str) -> Messages:
        slot = self._slots[name]
        definition = self._definitions[slot]
        chosen = np.flatnonzero(self._frames.slots == slot)
        starts = self._frames.starts[chosen].astype(np.int64)
        sender = _sender(self._bytes, starts)
        return Messages(
            definition,
            _payloads(self._bytes, starts, definition),
            offsets=starts,
            received_us=_stamps(self._bytes, starts, self._frames.stamped[chosen]),
            system=(sender >> 8).astype(np.uint8),
            component=(sender & 0xFF).astype(np.uint8),
            sequence=self._bytes[starts + np.where(self._bytes[starts] == MAGIC_2, 4, 2)],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def sources(self) -> dict[tuple[int, int], int]:
        """Return who sent how many of the known messages: (system, component) -> count."""
        counts = np.zeros(1 << 16, dtype=np.int64)
        for part in _parts(self._frames.starts):
            counts += np.bincount(_sender(self._bytes, part), minlength=counts.size)
        return {(each >> 8, each & 0xFF): int(counts[each]) for each in np.flatnonzero(counts).tolist()}

    def count(self, name: str) -> int:
        """Return the number of messages *name*, 0 if there is none, without decoding them."""
        return int(self._counts[self._slots[name]]) if name in self._slots else 0


def load(path: Path, *, where: str | Path | None = None) -> Telemetry:
    """Read the log at *path*; *where* is what messages call it.

    Raises
    ------
    ReadError
        If the file cannot be opened, is empty, or holds no MAVLink message.
    """
    where = path if where is None else where
    data = content.whole(path, where)
    if not data.size:
        raise ReadError("is empty", where=where, fix="copy the .tlog file again from the ground station")
    return Telemetry(data)


def _parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Return pieces of *values*, one after the other."""
    for first in range(0, len(values), COUNTED_AT_A_TIME):
        yield values[first : first + COUNTED_AT_A_TIME]


def _stamps(
    data: NDArray[np.uint8], starts: NDArray[np.int64], stamped: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the stamps before the frames at *starts*, µs."""
    result = np.full(starts.size, NO_STAMP, dtype=np.int64)
    if stamped.any():
        stamp = windows(data, starts[stamped] - STAMP_BYTES, STAMP_BYTES).view(">i8")[:, 0]
        result[stamped] = np.where(stamp < 0, NO_STAMP, stamp)
    return result


def _payloads(data: NDArray[np.uint8], starts: NDArray[np.int64], definition: Definition) -> NDArray[np.void]:
    """Return the payloads of the frames at *starts*, filled up with zeros or cut to the known fields."""
    whole = definition.payload_bytes
    body = starts + np.where(data[starts] == MAGIC_2, HEADER_2, HEADER_1)
    sent = np.minimum(data[starts + 1], whole).astype(np.int64)
    lengths = np.flatnonzero(np.bincount(sent)).tolist()
    if lengths == [whole]:
        return windows(data, body, whole).view(definition.dtype())[:, 0]
    result = np.zeros((starts.size, whole), dtype=np.uint8)
    for length in lengths:
        rows = np.flatnonzero(sent == length)
        if length:
            result[rows, :length] = windows(data, body[rows], length)
    return result.view(definition.dtype())[:, 0]


def _sender(data: NDArray[np.uint8], at: NDArray[Any]) -> NDArray[np.int64]:
    """Return system * 256 + component of the frames at *at*."""
    place = at + np.where(data[at] == MAGIC_2, 5, 3)
    return np.asarray(data[place].astype(np.int64) << 8 | data[place + 1], dtype=np.int64)
