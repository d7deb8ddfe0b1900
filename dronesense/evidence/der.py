"""DER as strict as its standard (ITU-T X.690): one way to write each value, nothing left over, no recursion.

Only what a time stamp needs (RFC 3161, RFC 5652): tags of one byte, definite lengths of at most four bytes.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
OID: Final = 0x06
UTF8: Final = 0x0C
TIME: Final = 0x18
"""GeneralizedTime."""
SEQUENCE: Final = 0x30
SET: Final = 0x31
MOST_LENGTH_BYTES: Final = 4
TIME_FORM: Final = re.compile(rb"(\d{14})(?:\.(\d*[1-9]))?Z")
"""UTC with seconds, their decimals without zeros at the end (X.690, 11.7)."""

Element = tuple[int, bytes]
"""Tag and content."""


def elements(data: bytes) -> list[Element]:
    r"""Return the elements that fill *data*, one behind the other.

    Raises
    ------
    ValueError
        If they do not fill it, or one is not written as DER writes it.

    Examples
    --------
    >>> elements(bytes.fromhex("020105 0400"))
    [(2, b'\x05'), (4, b'')]
    """
    found, at = [], 0
    while at < len(data):
        if data[at] & 0x1F == 0x1F:
            raise ValueError("a tag of several bytes")
        tag, length, at = data[at], *_length(data, at + 1)
        if at + length > len(data):
            raise ValueError("it is cut off")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def only(data: bytes, tag: int) -> bytes:
    """Return the content of the one element of *data*, which has to have that tag."""
    (element,) = counted(elements(data), 1)
    return content(element, tag)


def content(element: Element, tag: int) -> bytes:
    """Return the content of an element, which has to have that tag."""
    if element[0] != tag:
        raise ValueError(f"tag {element[0]:#04x} in place of {tag:#04x}")
    return element[1]


def counted(found: list[Element], least: int, most: int | None = None) -> list[Element]:
    """Return the elements, of which there have to be so many."""
    if not least <= len(found) <= (least if most is None else most):
        raise ValueError(f"{len(found)} elements in place of {least}")
    return found


def integer(data: bytes) -> int:
    """Return the number that the content of an INTEGER is."""
    if not data or (len(data) > 1 and data[0] == (0xFF if data[1] & 0x80 else 0x00)):
        raise ValueError("a number that is not written shortest")
    return int.from_bytes(data, "big", signed=True)


def oid(data: bytes) -> str:
    """Return the content of an OBJECT IDENTIFIER as numbers with dots.

    Examples
    --------
    >>> oid(bytes.fromhex("608648016503040201"))
    '2.16.840.1.101.3.4.2.1'
    """
    if not data or data[-1] & 0x80:
        raise ValueError("an object identifier that is cut off")
    arcs, number, begun = [], 0, False
    for byte in data:
        if byte == 0x80 and not begun:
            raise ValueError("an object identifier that is not written shortest")
        number, begun = number << 7 | byte & 0x7F, bool(byte & 0x80)
        if not begun:
            arcs.append(number)
            number = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def time(data: bytes) -> dt.datetime:
    """Return the content of a GeneralizedTime, UTC; digits beyond microseconds are cut off."""
    match = TIME_FORM.fullmatch(data)
    if match is None:
        raise ValueError("a time that is not in UTC with seconds")
    decimals = (match[2] or b"0").decode()[:6].ljust(6, "0")
    digits = match[1].decode()
    year, *rest = (int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2)))
    month, day, hour, minute, second = rest
    try:
        return dt.datetime(year, month, day, hour, minute, second, int(decimals), dt.UTC)
    except ValueError as error:
        raise ValueError(f"a time that is none ({error})") from error


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return the length that stands at *at*, and where its content begins."""
    if at >= len(data):
        raise ValueError("it is cut off")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    digits = data[at + 1 : at + 1 + count]
    length = int.from_bytes(digits, "big")
    if not 0 < count <= MOST_LENGTH_BYTES or len(digits) < count:
        raise ValueError("a length that is indefinite, too long or cut off")
    if digits[0] == 0 or length < 0x80:
        raise ValueError("a length that is not written shortest")
    return length, at + 1 + count
