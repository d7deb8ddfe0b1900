"""What the text in a PX4 ULog says: format definitions, key-value pairs, logged strings."""

from __future__ import annotations

import re
import struct
from functools import cached_property
from typing import Any, Final

import numpy as np

MAX_MESSAGE_BYTES: Final = 65_535
"""The size of a message is a u16."""
MAX_NESTING: Final = 8
"""Formats nest two or three deep; a longer chain is a loop."""

KINDS: Final[dict[str, tuple[str, int]]] = {
    "int8_t": ("i1", 1),
    "uint8_t": ("u1", 1),
    "int16_t": ("<i2", 2),
    "uint16_t": ("<u2", 2),
    "int32_t": ("<i4", 4),
    "uint32_t": ("<u4", 4),
    "int64_t": ("<i8", 8),
    "uint64_t": ("<u8", 8),
    "float": ("<f4", 4),
    "double": ("<f8", 8),
    "bool": ("u1", 1),
    "char": ("S", 1),
}
"""ULog type -> numpy type and bytes (PX4 user guide, "ULog file format"); a damaged bool may be 2."""

_STRUCTS: Final = {
    kind.encode(): struct.Struct("<" + letter) for kind, letter in zip(KINDS, "bBhHiIqQfdB", strict=False)
}
"""Type of a number -> how it is packed."""

PADDING: Final = "_padding"

_BODY: Final = re.compile(rb"(?:[A-Za-z0-9_\-/]+(?:\[[1-9]\d{0,4}[^\d; ])? [^;]+(?:;|$))+")
"""Fields of a format; a closing bracket and names may be damaged as long as types and sizes are clear."""
_KEY: Final = re.compile(rb"([A-Za-z0-9_\-/]+)(\[\d{0,5}\])? ([^\x00-\x1f\x7f ]+)")

Value = int | float | str | bytes | tuple[int | float, ...]
"""What a key of an info or parameter message can hold."""


class Formats:
    """The formats that a log defines, parsed when asked for."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._fields: dict[str, tuple[tuple[str, int, str], ...]] = {}
        self._sizes: dict[str, int] = {}
        self.warnings: list[str] = []

    def __contains__(self, name: object) -> bool:
        return name in self._bodies

    @property
    def longest_name(self) -> int:
        """Length of the longest name of a format."""
        return max(map(len, self._bodies), default=0)

    def add(self, payload: bytes) -> None:
        """Take the payload of an ``F`` message if it is one; of two of one name, the first."""
        name, colon, body = payload.partition(b":")
        if colon and name.isascii() and self._bodies.setdefault(name.decode(), body) != body:
            self.warnings.append(f"format {name.decode()} is defined twice: the first definition is used")

    def fields(self, name: str) -> tuple[tuple[str, int, str], ...]:
        """Return (type, count, name) of each field of a format; a count of 0 is a scalar.

        Raises
        ------
        ValueError
            If the format is not defined or contradicts itself.
        """
        if name not in self._fields:
            if name not in self._bodies:
                raise ValueError(f"the format {name} is not defined")
            self._fields[name] = _fields_of(name, self._bodies[name])
        return self._fields[name]

    def size(self, name: str, depth: int = 0) -> int:
        """Return the bytes of a format with all its padding.

        Raises
        ------
        ValueError
            As :meth:`fields`, and if it nests itself or is larger than a message can be.
        """
        if name not in self._sizes:
            if depth > MAX_NESTING:
                raise ValueError(f"the format {name} nests itself")
            total = sum(self.field_size(kind, count, depth) for kind, count, _ in self.fields(name))
            if total > MAX_MESSAGE_BYTES:
                raise ValueError(f"the format {name} is larger than a message can be")
            self._sizes[name] = total
        return self._sizes[name]

    def field_size(self, kind: str, count: int, depth: int = 0) -> int:
        """Return the bytes of a field."""
        one = KINDS[kind][1] if kind in KINDS else self.size(kind, depth + 1)
        return one * (count or 1)

    def layout(self, name: str) -> Layout:
        """Return how a topic of format *name* is packed.

        Raises
        ------
        ValueError
            As :meth:`size`, and if it has nothing but padding.
        """
        fields = list(self.fields(name))
        padded = size = self.size(name)
        while fields and fields[-1][2].startswith(PADDING):
            kind, count, _ = fields.pop()
            size -= self.field_size(kind, count)
        if size <= 0:
            raise ValueError(f"the format {name} has nothing but padding")
        return Layout(name, tuple(fields), size, padded, self)

    def dtype(self, fields: tuple[tuple[str, int, str], ...]) -> np.dtype[np.void]:
        """Return the packed numpy type of *fields*."""
        specification: list[Any] = []
        for kind, count, name in fields:
            if kind == "char":
                specification.append((name, f"S{count or 1}"))
                continue
            code: Any = KINDS[kind][0] if kind in KINDS else self.dtype(self.fields(kind))
            specification.append((name, code, (count,)) if count else (name, code))
        return np.dtype(specification)


class Layout:
    """How the payload of a topic is packed.

    Parameters
    ----------
    name : str
        Format.
    fields : tuple of (str, int, str)
        Type, count and name of the fields without the padding at the end.
    size, padded : int
        Bytes without and with that padding, which a log may leave out.
    formats : Formats
        Where nested formats are defined.
    """

    def __init__(
        self, name: str, fields: tuple[tuple[str, int, str], ...], size: int, padded: int, formats: Formats
    ) -> None:
        self.name = name
        self.fields = fields
        self.size = size
        self.padded = padded
        self._formats = formats

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """Packed numpy type without the padding at the end."""
        return self._formats.dtype(self.fields)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Dotted names of all fields, those of nested formats included."""
        return tuple(_columns(self.dtype, ""))

    @property
    def stamp_offset(self) -> int | None:
        """Byte of `timestamp` in the payload, None if there is none of 64 bits."""
        at = 0
        for kind, count, name in self.fields:
            if name == "timestamp":
                return at if (kind, count) == ("uint64_t", 0) else None
            at += self._formats.field_size(kind, count)
        return None


def _fields_of(name: str, body: bytes) -> tuple[tuple[str, int, str], ...]:
    if not _BODY.fullmatch(body):
        raise ValueError(f"the format {name} is damaged")
    fields = []
    for text in body.decode("latin-1").replace(".", "?").rstrip(";").split(";"):
        kind, _, field = text.partition(" ")
        kind, _, count = kind.partition("[")
        fields.append((kind, int(count[:-1]) if count else 0, field))
    if len({field for _, _, field in fields}) != len(fields):
        raise ValueError(f"the format {name} has two fields of one name")
    return tuple(fields)


def _columns(dtype: np.dtype[Any], prefix: str) -> list[str]:
    found = []
    for name in dtype.names or ():
        kind = dtype[name].base
        found += _columns(kind, f"{prefix}{name}.") if kind.names else [prefix + name]
    return found


def text_of(data: bytes) -> str:
    """Return UTF-8 text, leaving out bytes that are none."""
    return data.decode("utf-8", "ignore")


def key_fits(payload: bytes) -> bool:
    """Tell whether *payload* is ``key length, "type name", value``, with a value of the right size."""
    length = payload[0] if payload else 0
    match = _KEY.fullmatch(payload[1 : 1 + length])
    if match is None or length == 0:
        return False
    kind = match[1].decode()
    if kind not in KINDS:
        return False
    count = int(match[2][1:-1] or 0) if match[2] else 1
    return len(payload) == 1 + length + KINDS[kind][1] * count


def parse_key(payload: bytes) -> tuple[str, Value] | None:
    """Return key and value of an ``I`` or ``P`` message, None if it is none.

    Text is a str, an array of bytes (and what has an unknown type) bytes, another array a tuple.
    """
    end = 1 + payload[0] if payload else 0
    kind, _, name = payload[1:end].partition(b" ")
    number = _STRUCTS.get(kind)
    if number is not None and len(payload) == end + number.size and name:
        return name.decode("utf-8", "ignore"), number.unpack_from(payload, end)[0]
    match = _KEY.fullmatch(payload[1:end])
    if match is None or not match[2]:
        return None
    kind = match[1]
    key, data = text_of(match[3]), payload[end:]
    if kind == b"char":
        return key, text_of(data)
    code, size = KINDS.get(match[1].decode(), ("", 0))
    if size == 0 or code == "u1":
        return key, data
    return None if len(data) % size else (key, tuple(np.frombuffer(data, dtype=code).tolist()))
