"""What the text in a PX4 ULog says: format definitions, key-value pairs, logged strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

MAX_MESSAGE_BYTES: Final = 65_535
"""The size of a message is a u16."""
MAX_NESTING: Final = 8
"""Formats nest two or three deep; a longer chain is a loop."""

KINDS: Final[dict[str, str]] = {
    "int8_t": "i1",
    "uint8_t": "u1",
    "int16_t": "<i2",
    "uint16_t": "<u2",
    "int32_t": "<i4",
    "uint32_t": "<u4",
    "int64_t": "<i8",
    "uint64_t": "<u8",
    "float": "<f4",
    "double": "<f8",
    "bool": "u1",
    "char": "S1",
}
"""ULog type -> numpy type (PX4 user guide, "ULog file format"); bool as a number, as damage may make it 2."""

PADDING: Final = "_padding"

_NAME: Final = r"[A-Za-z0-9_\-/]+"
_FIELD: Final = re.compile(rf"({_NAME})(?:\[(\d{{1,5}})\])? ([A-Za-z0-9_]+)")
_FORMAT: Final = re.compile(rf"({_NAME}):(.*)", re.DOTALL)
_KEY: Final = re.compile(rb"([A-Za-z0-9_\-/]+)(?:\[(\d{0,5})\])? ([^\x00-\x1f\x7f ]+)")

Value = int | float | str | bytes | tuple[int | float, ...]
"""What a key of an info or parameter message can hold."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a format: *count* is None for a scalar."""

    kind: str
    count: int | None
    name: str


@dataclass(frozen=True)
class Layout:
    """How the payload of a topic is packed.

    Parameters
    ----------
    name : str
        Format.
    dtype : numpy dtype
        Packed, without the padding at the end.
    padded_bytes : int
        Size with that padding, which a log may leave out.
    columns : tuple of str
        Dotted names of all fields, those of nested formats included.
    """

    name: str
    dtype: np.dtype[np.void]
    padded_bytes: int
    columns: tuple[str, ...]

    @cached_property
    def stamp_offset(self) -> int | None:
        """Byte of `timestamp` in the payload, None if the format has none of 64 bits."""
        fields = self.dtype.fields or {}
        if "timestamp" not in fields or fields["timestamp"][0] != np.dtype("<u8"):
            return None
        return int(fields["timestamp"][1])


def parse_format(payload: bytes) -> tuple[str, tuple[Field, ...]]:
    """Return name and fields of an ``F`` message.

    Raises
    ------
    ValueError
        If it is no format.
    """
    match = _FORMAT.fullmatch(payload.decode("ascii"))
    if match is None:
        raise ValueError("no name and colon")
    fields: list[Field] = []
    for text in match[2].split(";"):
        if not text:
            continue
        part = _FIELD.fullmatch(text)
        if part is None or (part[2] is not None and not 0 < int(part[2]) <= MAX_MESSAGE_BYTES):
            raise ValueError(f"{match[1]} has the field {text!r}")
        fields.append(Field(part[1], None if part[2] is None else int(part[2]), part[3]))
    names = [field.name for field in fields]
    if not fields or len(set(names)) != len(names):
        raise ValueError(f"{match[1]} has no field, or two of one name")
    return match[1], tuple(fields)


def layout_of(name: str, formats: Mapping[str, tuple[Field, ...]]) -> Layout:
    """Return how a topic of format *name* is packed.

    Raises
    ------
    ValueError
        If it, or a format nested in it, is unknown, nests itself, or is larger than a message can be.
    """
    whole = _dtype(name, formats, 0)
    fields = list(formats[name])
    while fields and fields[-1].name.startswith(PADDING):
        fields.pop()
    if not fields:
        raise ValueError(f"{name} has nothing but padding")
    bare = _pack(name, tuple(fields), formats, 0)
    return Layout(name, bare, whole.itemsize, tuple(_columns(bare, "")))


def _dtype(name: str, formats: Mapping[str, tuple[Field, ...]], depth: int) -> np.dtype[np.void]:
    if name not in formats:
        raise ValueError(f"the format {name} is not defined")
    if depth > MAX_NESTING:
        raise ValueError(f"the format {name} nests itself")
    return _pack(name, formats[name], formats, depth)


def _pack(
    name: str, fields: tuple[Field, ...], formats: Mapping[str, tuple[Field, ...]], depth: int
) -> np.dtype[np.void]:
    kinds: list[np.dtype[np.generic]] = []
    starts = []
    size = 0
    for field in fields:
        basic = KINDS.get(field.kind)
        kind: np.dtype[np.generic]
        kind = _dtype(field.kind, formats, depth + 1) if basic is None else np.dtype(basic)
        total = kind.itemsize * (field.count or 1)
        starts.append(size)
        size += total
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"the format {name} is larger than a message can be")
        if field.kind == "char":
            kind = np.dtype(f"S{total}")
        elif field.count is not None:
            kind = np.dtype((kind, (field.count,)))
        kinds.append(kind)
    names = [field.name for field in fields]
    return np.dtype({"names": names, "formats": kinds, "offsets": starts, "itemsize": size})


def _columns(dtype: np.dtype[Any], prefix: str) -> list[str]:
    """Return the dotted names of the fields of *dtype*."""
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
    key = payload[1 : 1 + payload[0]] if payload else b""
    match = _KEY.fullmatch(key)
    if match is None or len(key) != payload[0]:
        return False
    kind = match[1].decode()
    if kind not in KINDS:
        return False
    size = np.dtype(KINDS[kind]).itemsize * int(match[2] or 1)
    return len(payload) == 1 + len(key) + size


def parse_key(payload: bytes) -> tuple[str, Value] | None:
    """Return key and value of an ``I`` or ``P`` message, None if it is none.

    Text is a str, an array of bytes (and what has an unknown type) bytes, another array a tuple.
    """
    length = payload[0] if payload else 0
    match = _KEY.fullmatch(payload[1 : 1 + length])
    if match is None or length == 0:
        return None
    kind, name, data = match[1].decode(), text_of(match[3]), payload[1 + length :]
    if kind == "char":
        return name, text_of(data)
    is_array = match[2] is not None
    if kind not in KINDS or (is_array and kind == "uint8_t"):
        return name, data
    basic = np.dtype(KINDS[kind])
    if not data or len(data) % basic.itemsize:
        return None
    values = np.frombuffer(data, dtype=basic).tolist()
    if is_array:
        return name, tuple(values)
    return (name, values[0]) if len(values) == 1 else None
