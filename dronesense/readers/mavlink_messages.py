"""What MAVLink messages consist of, and the checksum that binds a frame to its definition.

The definitions are ``mavlink_messages.txt``, read when first needed. On the wire the base fields are sorted
by the size of their type, largest first, extension fields follow as they are defined; everything is packed
and little endian. Reference: https://mavlink.io/en/guide/serialization.html.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

TYPES: Final[dict[str, tuple[str, int, str]]] = {
    "u8": ("u1", 1, "uint8_t"),
    "i8": ("i1", 1, "int8_t"),
    "u16": ("<u2", 2, "uint16_t"),
    "i16": ("<i2", 2, "int16_t"),
    "u32": ("<u4", 4, "uint32_t"),
    "i32": ("<i4", 4, "int32_t"),
    "u64": ("<u8", 8, "uint64_t"),
    "i64": ("<i8", 8, "int64_t"),
    "f32": ("<f4", 4, "float"),
    "f64": ("<f8", 8, "double"),
    "char": ("S", 1, "char"),
}
"""Type in the table -> numpy type, bytes, and the name that the checksum's seed is made from."""

CRC_START: Final = 0xFFFF
"""Start value of CRC-16/MCRF4XX (ITU X.25 without the final inversion)."""

_REVERSED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
"""The bits of each byte in reverse: MCRF4XX is the mirror image of CRC-16/CCITT, which Python has."""


class Field(NamedTuple):
    """A field: its type as a key of :data:`TYPES`, elements of an array (0: none), name."""

    kind: str
    elements: int
    name: str

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return TYPES[self.kind][1]


@dataclass(frozen=True, slots=True)
class Definition:
    """A message as its definition has it.

    Parameters
    ----------
    id : int
        Message id.
    name : str
        Message name.
    columns : tuple of str
        Field names as they are defined, extension fields last.
    wire : tuple of Field
        The fields as they lie in a frame.
    base_bytes, payload_bytes : int
        Payload without (MAVLink 1) and with extension fields.
    crc_extra : int
        Seed of the frame's checksum.
    """

    id: int
    name: str
    columns: tuple[str, ...]
    wire: tuple[Field, ...]
    base_bytes: int
    payload_bytes: int
    crc_extra: int

    def dtype(self) -> np.dtype[Any]:
        """Return the whole payload as a numpy type: arrays as subarrays, text as bytes."""
        return np.dtype([_column(field) for field in self.wire])


def _column(field: Field) -> tuple[str, str] | tuple[str, str, tuple[int]]:
    code = TYPES[field.kind][0]
    if field.kind == "char":
        return field.name, f"{code}{max(field.elements, 1)}"
    return (field.name, code, (field.elements,)) if field.elements else (field.name, code)


def checksum(data: bytes) -> int:
    """Return the CRC-16/MCRF4XX of *data*.

    Examples
    --------
    The check value of the catalog of Greg Cook (reveng.sourceforge.io/crc-catalogue):

    >>> hex(checksum(b"123456789"))
    '0x6f91'
    """
    mirrored = crc_hqx(data.translate(_REVERSED), CRC_START)
    return _REVERSED[mirrored >> 8] | _REVERSED[mirrored & 0xFF] << 8


def step_byte(state: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return what eight shifts make of the low byte of *state*.

    The state after a byte is ``step_byte(state ^ byte) ^ (state >> 8)``.
    """
    turn = state & np.uint16(0xFF)
    turn = (turn ^ turn << np.uint16(4)) & np.uint16(0xFF)
    return np.asarray(turn << np.uint16(8) ^ turn << np.uint16(3) ^ turn >> np.uint16(4), dtype=np.uint16)


def step_word(state: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return what sixteen shifts make of *state*: that after two more bytes is ``step_word(state ^ word)``.

    ``state * x**16`` modulo the polynomial ``x**16 + x**12 + x**5 + 1`` in closed form, mirrored (a right
    shift multiplies): first the quotient, then quotient times ``x**12 + x**5 + 1``.
    """
    quotient = state ^ state << np.uint16(4)
    quotient = quotient ^ quotient << np.uint16(8) ^ state << np.uint16(11)
    return np.asarray(quotient ^ quotient >> np.uint16(5) ^ quotient >> np.uint16(12), dtype=np.uint16)


@lru_cache(maxsize=1)
def definitions() -> dict[int, Definition]:
    """Return every message that is known: id -> :class:`Definition`."""
    return {each.id: each for each in _parsed()}


@lru_cache(maxsize=1)
def named() -> dict[str, Definition]:
    """Return every message that is known by its name."""
    return {each.name: each for each in definitions().values()}


def _parsed() -> Iterator[Definition]:
    text = files(__package__).joinpath("mavlink_messages.txt").read_text(encoding="ascii")
    for line in text.splitlines():
        if not line.startswith("#"):
            head, _, body = line.partition(": ")
            number, name = head.split(" ")
            base, _, extension = body.partition(" | ")
            yield _defined(int(number), name, _fields(base), _fields(extension))


def _fields(text: str) -> list[Field]:
    """Return the fields of ``"u8 flags, f32[4] q"``."""
    found = []
    for part in text.split(", ") if text else []:
        kind, name = part.split(" ")
        kind, _, elements = kind.partition("[")
        found.append(Field(kind, int(elements[:-1] or 0), name))
    return found


def _defined(number: int, name: str, base: list[Field], extension: list[Field]) -> Definition:
    wire = sorted(base, key=lambda field: -field.size)
    base_bytes = _bytes(base)
    return Definition(
        id=number,
        name=name,
        columns=tuple(field.name for field in (*base, *extension)),
        wire=(*wire, *extension),
        base_bytes=base_bytes,
        payload_bytes=base_bytes + _bytes(extension),
        crc_extra=_crc_extra(name, wire),
    )


def _bytes(fields: list[Field]) -> int:
    return sum(field.size * max(field.elements, 1) for field in fields)


def _crc_extra(name: str, wire: list[Field]) -> int:
    """Return the checksum of name, types, names and array lengths of the base fields, folded to a byte."""
    seed = [f"{name} ".encode()]
    for field in wire:
        seed.append(f"{TYPES[field.kind][2]} {field.name} ".encode())
        if field.elements:
            seed.append(bytes([field.elements]))
    crc = checksum(b"".join(seed))
    return (crc & 0xFF) ^ (crc >> 8)
