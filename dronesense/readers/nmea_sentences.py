"""NMEA 0183 sentences in a stream of bytes: checked, sorted by kind, their fields as columns.

Whatever stands between sentences is passed over; a sentence whose checksum does not agree is refused, one
without a checksum is taken and counted. See ``docs/formats/nmea.md``.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.readers.streams import Float, Mask

ADDRESS_BYTES: Final = 8
"""No address that is read (``GPGGA``, ``PTNTHPR``) is longer."""
ADDRESS_LEAST: Final = 3
"""A ``$`` without so many capitals or digits behind it starts no sentence."""
TALKER_BYTES: Final = 2
STANDARD_BYTES: Final = 5
"""Two letters of the talker, three of the formatter (NMEA 0183, 5.3.2)."""
NUMBER_BYTES: Final = 24
"""No number is written longer; a longer field is damage."""

BAD_CHECKSUM: Final = "sentence with a wrong checksum"
CUT: Final = "sentence that is cut"

_DOLLAR, _STAR, _COMMA, _LF = b"$*,\n"
_HEX: Final = np.full(256, -1, dtype=np.int16)
_HEX[np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"abcdef", dtype=np.uint8)] = np.arange(10, 16)
_IS_MARK: Final = np.zeros(256, dtype=bool)
_IS_MARK[np.frombuffer(b"$*,\r\n\0", dtype=np.uint8)] = True
_IN_ADDRESS: Final = np.zeros(256, dtype=bool)
_IN_ADDRESS[np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", dtype=np.uint8)] = True
_ZERO, _POINT, _MINUS, _PLUS = (np.uint8(letter) for letter in b"0.-+")
_SAFE_DIGITS: Final = 15
"""Numbers of so many digits are below 2^53."""
_TENS: Final = 10 ** np.arange(_SAFE_DIGITS + 1)


def plain(raw: bytes) -> bytes:
    """Return the text of *raw* with one byte a character: UTF-16 (by its mark or its zeros) is unfolded.

    Examples
    --------
    >>> plain("$GPTXT".encode("utf-16"))
    b'$GPTXT'
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "utf-16"
    elif len(raw) > 3 and raw[1] == 0 == raw[3] and raw[0]:
        name = "utf-16-le"
    elif len(raw) > 3 and raw[0] == 0 == raw[2] and raw[1]:
        name = "utf-16-be"
    else:
        return raw
    return raw.decode(name, "replace").encode("latin-1", "replace")


def checksum(body: bytes) -> int:
    """Return the exclusive or of the bytes between ``$`` and ``*`` (NMEA 0183, 5.3.1).

    Examples
    --------
    >>> f"{checksum(b'GPGLL,5300.97914,N,00259.98174,E,125926,A'):02X}"
    '28'
    """
    value = 0
    for byte in body:
        value ^= byte
    return value


class Sentences:
    """The sound sentences of a stream, in its order.

    Parameters
    ----------
    data : (n,) uint8
        Bytes, one a character (:func:`plain`).

    Attributes
    ----------
    refused : dict of str to int
        Reason -> sentences refused.
    unchecked : int
        Sentences without a checksum, which are taken.
    """

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._bytes = np.concatenate([data, np.full(NUMBER_BYTES, _LF, dtype=np.uint8)])
        size = data.size
        self.refused: dict[str, int] = {}
        marks = np.flatnonzero(_IS_MARK[self._bytes])
        mark = self._bytes[marks]
        starts, stars, commas = (marks[mark == each] for each in (_DOLLAR, _STAR, _COMMA))
        breaks = marks[(mark != _STAR) & (mark != _COMMA)]  # the next $ too
        ends = breaks[np.searchsorted(breaks, starts, side="right")]
        star = np.append(stars, size + 1)[np.searchsorted(stars, starts)]
        has = star < ends
        body = np.where(has, star, ends)
        good = body > starts + ADDRESS_LEAST
        for place in range(1, ADDRESS_LEAST + 1):
            good &= _IN_ADDRESS[self._bytes[starts + place]]
        starts, ends, star, has, body = starts[good], ends[good], star[good], has[good], body[good]
        first, second = (_HEX[self._bytes[np.where(has, star + place, 0)]] for place in (1, 2))
        whole = has & (star + 2 < ends) & (first >= 0) & (second >= 0)
        agrees = whole & (self._checksums(starts, body) == first * 16 + second)
        open_ended = ~has & (ends >= size)
        self._refuse(BAD_CHECKSUM, int(np.count_nonzero(whole & ~agrees)))
        self._refuse(CUT, int(np.count_nonzero((has & ~whole) | open_ended)))
        self.unchecked = int(np.count_nonzero(~has & ~open_ended))
        keep = np.where(has, agrees, ~open_ended)
        self._starts, self._ends = starts[keep] + 1, body[keep]
        self._first = np.searchsorted(commas, self._starts)
        self.fields = np.searchsorted(commas, self._ends) - self._first
        self._edges = np.append(commas, self._bytes.size)
        self._sort_by_address()

    def __len__(self) -> int:
        return int(self._starts.size)

    def _checksums(self, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the exclusive or of the bytes after each start and before each end (at least one)."""
        if not starts.size:
            return np.zeros(0, dtype=np.uint8)
        edges = np.column_stack([starts + 1, ends]).ravel()
        return np.bitwise_xor.reduceat(self._bytes, edges)[::2]

    def _refuse(self, reason: str, count: int) -> None:
        if count:
            self.refused[reason] = count

    def _windows(self, width: int) -> NDArray[np.uint8]:
        """Return a view of the *width* bytes from each one on: sliding_window_view at a tenth of its cost."""
        shape = (self._bytes.size - width + 1, width)
        return np.ndarray(shape, dtype=np.uint8, buffer=self._bytes.data, strides=(1, 1))

    def _sort_by_address(self) -> None:
        """Set for each address (``GPGGA``) the sentences that have it."""
        stop = np.minimum(self._edges[self._first], self._ends)
        length = stop - self._starts
        letters = self._windows(ADDRESS_BYTES)[self._starts]
        letters *= np.arange(ADDRESS_BYTES) < length[:, None]
        keys = np.where(length <= ADDRESS_BYTES, letters.view("<u8").ravel(), 0)
        known, kind = np.unique(keys, return_inverse=True)
        names = [int(key).to_bytes(ADDRESS_BYTES, "little").rstrip(b"\0").decode("latin-1") for key in known]
        order = np.argsort(kind, kind="stable")
        pieces = np.split(order, np.cumsum(np.bincount(kind, minlength=len(names)))[:-1]) if names else []
        self.by_address = {name: rows for name, rows in zip(names, pieces, strict=True) if name}

    def talkers(self, formatter: str) -> list[str]:
        """Return who sends the standard sentence *formatter*: ``["GN", "GP"]``."""
        found = [
            address[:TALKER_BYTES]
            for address in self.by_address
            if len(address) == STANDARD_BYTES and address[TALKER_BYTES:] == formatter and address[0] != "P"
        ]
        return sorted(found)

    def rows(self, formatter: str, talker: str | None = None) -> NDArray[np.intp]:
        """Return the sentences of a *formatter*, of one or of every talker, in the order of the stream."""
        who = self.talkers(formatter) if talker is None else [talker]
        found = [self.by_address[each + formatter] for each in who if each + formatter in self.by_address]
        return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.intp)

    def _gather(
        self, rows: NDArray[np.intp], fields: Sequence[int], width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return the first *width* bytes of each field of each row (0 past its end) and how long each is.

        Row after row, the fields of one beside another.
        """
        wanted = np.array(fields)
        have = self.fields[rows, None]
        edges = self._edges[np.minimum(self._first[rows, None] + wanted, self._edges.size - 1)]
        start = self._edges[self._first[rows, None] + np.minimum(wanted, have) - 1] + 1
        stop = np.where(wanted < have, edges, self._ends[rows, None])
        there = wanted <= have
        start, length = np.where(there, start, 0), np.where(there, stop - start, 0).ravel()
        width = int(min(width, length.max(initial=1))) or 1
        letters = self._windows(width)[start.ravel()]
        letters *= np.arange(width) < length[:, None]
        return letters, length

    def texts(self, rows: NDArray[np.intp], field: int, width: int = 1) -> NDArray[np.bytes_]:
        """Return the first *width* characters of a field, empty where the sentence has no such field."""
        letters, _ = self._gather(rows, [field], width)
        return letters.view(f"S{letters.shape[1]}").ravel()

    def columns(self, rows: NDArray[np.intp], fields: Sequence[int]) -> tuple[list[Float], Mask]:
        """Return several fields as numbers, and whether all of a sentence are as they should be.

        A field is NaN where it is empty or missing, which is as it should be, and where it is anything but a
        decimal number, which is not.
        """
        letters, length = self._gather(rows, fields, NUMBER_BYTES)
        values, sound = decimals(letters, length)
        sound |= length == 0
        table = values.reshape(rows.size, len(fields))
        return list(table.T), np.all(sound.reshape(table.shape), axis=1, keepdims=True)[:, 0]


def decimals(letters: NDArray[np.uint8], length: NDArray[np.intp]) -> tuple[Float, Mask]:
    """Return the numbers that rows of characters write, as `float` reads them, and which rows are numbers.

    Parameters
    ----------
    letters : (n, width) uint8
        Characters, 0 past the end of a number.
    length : (n,) int
        Characters of each number; one that is longer than *width* is none.

    Notes
    -----
    A whole number below 2^53 divided by a power of ten up to 10^22 is the nearest double (IEEE 754 division
    is correctly rounded and both are exact); others are read one by one.

    Examples
    --------
    >>> decimals(np.frombuffer(b"-0.25+1.2.", dtype=np.uint8).reshape(2, 5), np.array([5, 5]))
    (array([-0.25,   nan]), array([ True, False]))
    """
    letter = np.ascontiguousarray(letters.T)
    digit = letter - _ZERO  # wraps: all but digits are above 9
    is_digit, is_point = digit < 10, letter == _POINT
    digits, points = (each.sum(axis=0, dtype=np.uint8) for each in (is_digit, is_point))
    negative = letter[0] == _MINUS
    signs = negative | (letter[0] == _PLUS)
    good = (digits > 0) & (points <= 1) & (digits + points + signs == length)
    whole = np.zeros(length.size)
    for grown, added in zip(1 + 9 * is_digit.view(np.uint8), digit * is_digit, strict=True):
        whole *= grown
        whole += added
    exact = good & (digits <= _SAFE_DIGITS)
    places = np.where(exact & (points > 0), length - 1 - is_point.argmax(axis=0), 0)
    values = np.where(exact, np.where(negative, -whole, whole) / _TENS[places], np.nan)
    for row in np.flatnonzero(good & ~exact):
        values[row] = float(letters[row, : length[row]].tobytes())
    return values, good
