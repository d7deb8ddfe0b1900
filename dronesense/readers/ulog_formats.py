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


Fields = tuple[tuple[str, str], ...]
"""Type (``"float[4]"``) and name of each field."""


class Formats:
    """The formats that a log defines, parsed when asked for."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {kind: size for kind, (_, size) in KINDS.items()}
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

    def fields(self, name: str) -> Fields:
        """Return the fields of a format.

        Raises
        ------
        ValueError
            If the format is not defined or contradicts itself.
        """
        body = self._bodies.get(name)
        if body is None:
            raise ValueError(f"the format {name} is not defined")
        if not _BODY.fullmatch(body):
            raise ValueError(f"the format {name} is damaged")
        parts = body.decode("latin-1").replace(".", "?").rstrip(";").split(";")
        fields = tuple([(kind, field) for kind, _, field in [text.partition(" ") for text in parts]])
        if len({field for _, field in fields}) != len(fields):
            raise ValueError(f"the format {name} has two fields of one name")
        return fields

    def size(self, kind: str, depth: int = 0) -> int:
        """Return the bytes of a type, basic or a format, with all its padding, or of an array of it.

        Raises
        ------
        ValueError
            As :meth:`fields`, and if it nests itself or is larger than a message can be.
        """
        known = self._sizes.get(kind)
        if known is not None:
            return known
        if depth > MAX_NESTING:
            raise ValueError(f"the format {kind} nests itself")
        one, count = _split(kind)
        if count:  # noqa: SIM108
            total = self.size(one, depth) * count
        else:
            total = self.total(self.fields(kind), depth + 1)
        if total > MAX_MESSAGE_BYTES:
            raise ValueError(f"the format {kind} is larger than a message can be")
        self._sizes[kind] = total
        return total

    def total(self, fields: Fields, depth: int = 0) -> int:
        """Return the bytes of *fields*; errors as of :meth:`size`."""
        try:
            return sum([self._sizes[kind] for kind, _ in fields])
        except KeyError:
            return sum([self.size(kind, depth) for kind, _ in fields])

    def layout(self, name: str) -> Layout:
        """Return how a topic of format *name* is packed.

        Raises
        ------
        ValueError
            As :meth:`size`, and if it has nothing but padding.
        """
        fields = self.fields(name)
        padded = self.total(fields, 1)
        if padded > MAX_MESSAGE_BYTES:
            raise ValueError(f"the format {name} is larger than a message can be")
        while fields and fields[-1][1].startswith(PADDING):
            fields = fields[:-1]
        if not fields:
            raise ValueError(f"the format {name} has nothing but padding")
        return Layout(name, fields, self.total(fields), padded, self)

    def dtype(self, fields: Fields) -> np.dtype[np.void]:
        """Return the packed numpy type of *fields*."""
        specification: list[Any] = []
        for text, name in fields:
            kind, count = _split(text)
            if kind == "char":
                specification.append((name, f"S{count or 1}"))
                continue
            code: Any = KINDS[kind][0] if kind in KINDS else self.dtype(self.fields(kind))
            specification.append((name, code, (count,)) if count else (name, code))
        return np.dtype(specification)


def _split(text: str) -> tuple[str, int]:
    """Return type and count of ``"float[4]"``; 0 for a scalar. The bracket at the end may be damaged."""
    kind, _, count = text.partition("[")
    return kind, int(count[:-1]) if count else 0


class Layout:
    """How the payload of a topic is packed.

    Parameters
    ----------
    name : str
        Format.
    fields : tuple of (str, str)
        Type and name of the fields without the padding at the end.
    size, padded : int
        Bytes without and with that padding, which a log may leave out.
    formats : Formats
        Where nested formats are defined.
    """

    def __init__(self, name: str, fields: Fields, size: int, padded: int, formats: Formats) -> None:
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
        names = [name for _, name in self.fields]
        if "timestamp" not in names:
            return None
        place = names.index("timestamp")
        return self._formats.total(self.fields[:place]) if self.fields[place][0] == "uint64_t" else None


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
