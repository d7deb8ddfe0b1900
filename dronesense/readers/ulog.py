"""PX4 ULog ``.ulg``: bytes to columns.

A log is a header, then messages ``size u16, type u8, payload``; formats and subscriptions in the log itself
say how the payload of a data message is packed. There is no checksum. :mod:`dronesense.readers.ulog_chain`
finds the messages; topics are decoded when they are asked for. See ``docs/formats/ulog.md``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers import content
from dronesense.readers.ulog_chain import chain
from dronesense.readers.ulog_formats import Formats, Layout, Value, parse_key, text_of
from dronesense.readers.ulog_scan import (
    DATA,
    FILE_HEADER_BYTES,
    HEADER_BYTES,
    Accepts,
    find_type,
    others_from,
)
from dronesense.readers.ulog_topics import Dropout, LoggedText, Subscription, Topic

MAGIC: Final = b"ULog\x01\x12\x35"
DATA_APPENDED: Final = 1
"""Bit 0 of the first byte of the incompatible flags: data were appended after a crash."""
FLAGS: Final = slice(8, 16)
OFFSETS: Final = slice(16, 40)

IDS: Final = 1 << 16
ID_BYTES: Final = 2
STAMP_BLOCK: Final = 1 << 18
"""Data messages whose stamps are gathered at a time."""

COPY_AGAIN: Final = "copy the .ulg file again from the vehicle's card"


class ULog(Mapping[str, Topic]):
    """A PX4 log: topic -> :class:`Topic`, decoded when asked for.

    Keys are ``"sensor_gps"`` for instance 0 and ``"sensor_gps[1]"`` for others; ``"sensor_gps[0]"`` is
    understood too. Only topics with rows are there.

    Parameters
    ----------
    data : (n,) uint8
        The file.
    where : str or Path
        What messages call it.

    Attributes
    ----------
    version : int
        Of the file format.
    start_us : int
        Boot clock at the start of the log.
    messages : int
        Messages found, of any type.
    rows : int
        Data messages found that have a format.
    holes : tuple of (offset, length)
        Byte ranges that belong to no message.
    ghosts : int
        Data messages refused because storage padding completed them; their bytes lie in `holes`.
    unknown : mapping of int to int
        Id without a subscription -> data messages that were stepped over.
    warnings : tuple of str
        Formats and subscriptions that cannot be used.

    Raises
    ------
    ReadError
        If it is empty, no ULog, cut within its header, or needs a newer reader by its flags.
    """

    def __init__(self, data: NDArray[np.uint8], *, where: str | Path = "ULog") -> None:
        self._bytes = np.ascontiguousarray(data)
        self.size = self._bytes.size
        self.warnings: tuple[str, ...] = ()
        head = self._bytes[:FILE_HEADER_BYTES].tobytes()
        if not head:
            raise ReadError("is empty", where=where, fix=COPY_AGAIN)
        if not head.startswith(MAGIC[: len(head)]):
            raise ReadError("is no PX4 ULog: it does not start with its mark", where=where)
        if len(head) < FILE_HEADER_BYTES:
            raise ReadError(f"is cut in its header, after {len(head)} bytes", where=where, fix=COPY_AGAIN)
        self.version = head[len(MAGIC)]
        self.start_us = int.from_bytes(head[8:], "little")
        anchors = self._flags(where)
        self._view = self._bytes.data
        leading = array("q")
        at = others_from(self._view, FILE_HEADER_BYTES, min([self.size, *anchors]), leading)
        self._formats = Formats()
        self.subscriptions = self._subscriptions(leading, at)
        found = chain(self._bytes, self._accepts(), anchors, leading, at)
        self.warnings += tuple(self._formats.warnings)
        self.holes, self.ghosts, self.unknown = found.holes, found.ghosts, found.unknown
        self._data_offsets, self._other_offsets = found.data_offsets, found.other_offsets
        self._doubtful = np.array(sorted(found.doubtful), dtype=np.int64)
        self.rows = self._data_offsets.size
        self.messages = self.rows + self._other_offsets.size + sum(self.unknown.values())

    def _flags(self, where: str | Path) -> list[int]:
        """Return the offsets of appended data; refuse what the flags say cannot be read."""
        head = self._bytes[FILE_HEADER_BYTES : FILE_HEADER_BYTES + HEADER_BYTES + OFFSETS.stop].tobytes()
        if len(head) < HEADER_BYTES + OFFSETS.stop or head[2] != ord("B"):
            return []
        payload = head[HEADER_BYTES:]
        incompatible = int.from_bytes(payload[FLAGS], "little")
        if incompatible & ~DATA_APPENDED:
            raise ReadError(
                f"its flags (0x{incompatible:x}) name features of the format that are not known here",
                where=where,
                fix="copy the file again; if it is sound, update dronesense or convert it with PX4's tools",
            )
        if not incompatible & DATA_APPENDED:
            return []
        offsets = np.frombuffer(payload[OFFSETS], dtype="<u8").tolist()
        inside = [offset for offset in offsets if FILE_HEADER_BYTES < offset < self.size]
        if any(offset and offset not in inside for offset in offsets):
            self.warnings += ("appended data are said to start beyond the end of the file",)
        return sorted(inside)

    def _payload(self, at: int) -> bytes:
        start = at + HEADER_BYTES
        return bytes(self._view[start : start + (self._view[at] | self._view[at + 1] << 8)])

    def _subscriptions(self, leading: array[int], end: int) -> tuple[Subscription, ...]:
        """Return what is subscribed, in the order of the file.

        Formats stand before the first data. Only if something else than known data follows the *leading*
        messages, which *end* there, all of the file is searched for formats.
        """
        kinds = self._bytes[np.array(leading, dtype=np.int64) + 2].tobytes()
        for at, kind in zip(leading, kinds, strict=True):
            if kind == ord("F"):
                self._formats.add(self._payload(at))
        head = self._bytes[end : end + HEADER_BYTES + ID_BYTES].tobytes()
        known = {self._payload(at)[1:3] for at, kind in zip(leading, kinds, strict=True) if kind == ord("A")}
        if head[2:3] != bytes([DATA]) or head[3:] not in known:
            for at in find_type(self._bytes, ord("F"), FILE_HEADER_BYTES, last_byte=ord(";")):
                self._formats.add(self._payload(at))
        longest = 3 + self._formats.longest_name
        found: list[Subscription] = []
        layouts: dict[str, Layout | None] = {}
        for at in find_type(self._bytes, ord("A"), FILE_HEADER_BYTES, longest=longest):
            payload = self._payload(at)
            name = payload[3:].decode("ascii", "replace")
            if name not in layouts:
                layouts[name] = self._layout(name)
            layout = layouts[name]
            if layout is not None:
                found.append(Subscription(at, int.from_bytes(payload[1:3], "little"), payload[0], layout))
        return tuple(found)

    def _layout(self, name: str) -> Layout | None:
        if name not in self._formats:
            return None
        try:
            return self._formats.layout(name)
        except ValueError as error:
            self.warnings += (f"{name} cannot be read: {error}",)
            return None

    def _accepts(self) -> Accepts:
        accepts = Accepts(np.full(IDS, IDS - 1, dtype=np.uint16), np.zeros(IDS, dtype=np.uint16))
        low, high = accepts.low, accepts.high
        for each in self.subscriptions:
            low[each.ident] = min(int(low[each.ident]), each.layout.size + ID_BYTES)
            high[each.ident] = max(int(high[each.ident]), each.layout.padded + ID_BYTES)
        return accepts

    @cached_property
    def _by_id(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Offsets of the data messages, by id and then in file order, and where each id starts among them.

        They take the place of those in file order.
        """
        offsets = self._data_offsets
        del self._data_offsets
        ids = self._bytes[offsets + 3].astype(np.uint16)
        ids |= self._bytes[offsets + 4].astype(np.uint16) << 8
        bounds = np.zeros(IDS + 1, dtype=np.int64)
        np.cumsum(np.bincount(ids, minlength=IDS), out=bounds[1:])
        return offsets[np.argsort(ids, kind="stable")], bounds

    @cached_property
    def _by_key(self) -> dict[str, list[tuple[Subscription, int, int]]]:
        """Topic -> its subscriptions that have rows, with the part of the file in which each holds."""
        _, bounds = self._by_id
        heirs: dict[int, list[Subscription]] = {}
        for each in self.subscriptions:
            same = heirs.setdefault(each.ident, [])
            if not same or same[-1].key != each.key:
                same.append(each)
        found: dict[str, list[tuple[Subscription, int, int]]] = {}
        for ident, same in heirs.items():
            if bounds[ident] == bounds[ident + 1]:
                continue
            edges = [0, *(each.offset for each in same[1:]), self.size]
            for each, begin, end in zip(same, edges[:-1], edges[1:], strict=True):
                found.setdefault(each.key, []).append((each, begin, end))
        return dict(sorted(found.items()))

    def _offsets_of(self, key: str) -> NDArray[np.int64]:
        by_id, bounds = self._by_id
        parts = []
        for each, begin, end in self._by_key[key]:
            offsets = by_id[bounds[each.ident] : bounds[each.ident + 1]].astype(np.int64)
            if begin > 0 or end < self.size:
                offsets = offsets[(offsets >= begin) & (offsets < end)]
                size = self._bytes[offsets].astype(np.int64) | self._bytes[offsets + 1].astype(np.int64) << 8
                size -= ID_BYTES
                offsets = offsets[(size >= each.layout.size) & (size <= each.layout.padded)]
            parts.append(offsets)
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))

    def __getitem__(self, key: str) -> Topic:
        key = key.removesuffix("[0]")
        subscription = self._by_key[key][0][0]
        offsets = self._offsets_of(key)
        dtype = subscription.layout.dtype
        # A row at every byte: the selection below copies whole rows, whatever their alignment.
        skip = HEADER_BYTES + ID_BYTES
        count = self.size - skip - dtype.itemsize + 1
        everywhere = np.ndarray((count,), f"V{dtype.itemsize}", self._bytes, skip, (1,))
        confirmed = np.ones(offsets.size, dtype=bool)
        if self._doubtful.size:
            confirmed = ~np.isin(offsets, self._doubtful)
        return Topic(subscription, everywhere[offsets].view(dtype), offsets, confirmed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.removesuffix("[0]") in self._by_key

    def count(self, key: str) -> int:
        """Return the number of rows of a topic, 0 if there is none, without decoding them."""
        key = key.removesuffix("[0]")
        return int(self._offsets_of(key).size) if key in self._by_key else 0

    @cached_property
    def _kinds(self) -> NDArray[np.uint8]:
        """Types of the messages other than data."""
        return self._bytes[self._other_offsets + 2]

    def _of_type(self, kind: str, begin: int = 0, end: int | None = None) -> list[tuple[int, bytes]]:
        """Return offset and payload of the messages of one type between two bytes of the file."""
        offsets = self._other_offsets[self._kinds == ord(kind)]
        offsets = offsets[(offsets >= begin) & (offsets < (self.size if end is None else end))]
        return [(at, self._payload(at)) for at in offsets.tolist()]

    @cached_property
    def info(self) -> dict[str, Value]:
        """What the log says of the vehicle: ``ver_sw``, ``ver_hw``, ``sys_name``, ..."""
        return dict(pair for _, payload in self._of_type("I") if (pair := parse_key(payload)))

    @cached_property
    def info_lists(self) -> dict[str, list[list[Value]]]:
        """Keys with several values, each a list of the parts it was logged in."""
        found: dict[str, list[list[Value]]] = {}
        for _, payload in self._of_type("M"):
            pair = parse_key(payload[1:])
            if pair is None:
                continue
            values = found.setdefault(pair[0], [])
            if payload[0] and values:
                values[-1].append(pair[1])
            else:
                values.append([pair[1]])
        return found

    @cached_property
    def _data_section(self) -> int:
        """Offset of the first subscription or logged string: before it, parameters are the initial ones."""
        first = self._other_offsets[np.isin(self._kinds, np.frombuffer(b"ALC", dtype=np.uint8))]
        return int(first[0]) if first.size else self.size

    @cached_property
    def parameters(self) -> dict[str, Value]:
        """Parameters at the start of the log."""
        pairs = [parse_key(payload) for _, payload in self._of_type("P", end=self._data_section)]
        return dict(pair for pair in pairs if pair)

    @cached_property
    def changed_parameters(self) -> tuple[tuple[int, str, Value], ...]:
        """Parameters that changed: boot clock in µs, name, value."""
        late = [(at, parse_key(payload)) for at, payload in self._of_type("P", self._data_section)]
        stamps = self._stamps_before([at for at, _ in late])
        return tuple((time, *pair) for time, (_, pair) in zip(stamps, late, strict=True) if pair)

    @cached_property
    def default_parameters(self) -> dict[int, dict[str, Value]]:
        """Default values that differ, by bit: 0 of the system, 1 of the configuration."""
        found: dict[int, dict[str, Value]] = {}
        for _, payload in self._of_type("Q"):
            pair = parse_key(payload[1:])
            for bit in range(8):
                if pair is not None and payload[0] >> bit & 1:
                    found.setdefault(bit, {})[pair[0]] = pair[1]
        return found

    @cached_property
    def logged(self) -> tuple[LoggedText, ...]:
        """Logged strings, with and without a tag, in the order of the file."""
        plain = [
            (at, LoggedText(int.from_bytes(each[1:9], "little"), each[0], None, text_of(each[9:])))
            for at, each in self._of_type("L")
        ]
        tagged = [
            (
                at,
                LoggedText(
                    int.from_bytes(each[3:11], "little"),
                    each[0],
                    int.from_bytes(each[1:3], "little"),
                    text_of(each[11:]),
                ),
            )
            for at, each in self._of_type("C")
        ]
        return tuple(text for _, text in sorted(plain + tagged, key=lambda pair: pair[0]))

    @cached_property
    def dropouts(self) -> tuple[Dropout, ...]:
        """Pauses of the logger, in the order of the file."""
        found = [(at, int.from_bytes(payload, "little")) for at, payload in self._of_type("O")]
        stamps = self._stamps_before([at for at, _ in found])
        return tuple(Dropout(at, time, ms) for time, (at, ms) in zip(stamps, found, strict=True))

    def _stamps_before(self, places: list[int]) -> list[int]:
        """Return the latest stamp of the data messages before each of *places* (increasing), µs."""
        if not places:
            return []
        into = np.full(IDS, -1, dtype=np.int64)
        for each in reversed(self.subscriptions):
            stamp = each.layout.stamp_offset
            into[each.ident] = -1 if stamp is None else HEADER_BYTES + ID_BYTES + stamp
        everywhere = np.ndarray((self.size - 7,), dtype="<u8", buffer=self._bytes, strides=(1,))
        offsets = np.sort(self._by_id[0])
        edges = np.searchsorted(offsets, np.array(places, dtype=np.int64)).tolist()
        latest, found, begin = self.start_us, [], 0
        for edge in edges:
            for start in range(begin, edge, STAMP_BLOCK):
                part = offsets[start : min(edge, start + STAMP_BLOCK)].astype(np.int64)
                ids = self._bytes[part + 3].astype(np.int64) | self._bytes[part + 4].astype(np.int64) << 8
                at = into[ids]
                stamps = everywhere[(part + at)[at >= 0]]
                latest = max(latest, int(stamps.max(initial=0)))
            begin = edge
            found.append(latest)
        return found


def read(path: Path, *, where: str | Path | None = None) -> ULog:
    """Read a ``.ulg`` file; it is not mapped, as pulling out the card would then kill the process.

    Raises
    ------
    ReadError
        If it cannot be opened, and as :class:`ULog`.
    """
    where = path if where is None else where
    return ULog(content.whole(path, where), where=where)
