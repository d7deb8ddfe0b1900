"""ArduPilot DataFlash ``.BIN``: bytes to columns.

A log is a stream of packed little-endian records ``A3 95 <type> <body>``; the length of a type is fixed by
its ``FMT`` record. :mod:`dataflash_chain` finds the records, this module makes columns of them, when asked.
The text form of such logs (:mod:`dataflash_text`) gives the same :class:`MessageLog`. See
``docs/formats/dataflash.md``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError, did_you_mean
from dronesense.readers.content import load
from dronesense.readers.dataflash_chain import find_headers, follow
from dronesense.readers.dataflash_formats import FMT_TYPE, NOT_NUMBERS, Format, layout, read_formats, text_of

INSTANCE_UNIT: Final = "#"
"""Unit letter of `FMTU` for "this column tells the sensor"."""

SORTED_RECORDS: Final = 1 << 20
"""Logs of up to this many records are sorted by type at once; longer ones are searched per type, which takes
a sixth of the memory."""


PACKED_BYTES: Final = 1 << 22
"""Types of up to this many bytes (4 MiB) are copied out at once, of larger ones each column by itself."""


class Messages(Mapping[str, NDArray[Any]], ABC):
    """All records of one type, column by column, in the order of the file.

    ``messages["Lat"]`` is a new array: scaled float64 for the letters ``c C e E L``, the stored number
    otherwise, bytes for text.

    Attributes
    ----------
    offsets : (n,) int64
        Where each record starts: its byte, or in a text log its line.
    """

    __slots__ = ("_form", "_log", "offsets")

    def __init__(self, log: MessageLog, form: Format, offsets: NDArray[np.int64]) -> None:
        self._log = log
        self._form = form
        self.offsets = offsets

    def __iter__(self) -> Iterator[str]:
        return iter(self._form.columns)

    def __len__(self) -> int:
        return len(self._form.columns)

    def __contains__(self, column: object) -> bool:
        return column in self._form.columns

    @property
    def count(self) -> int:
        """Number of records."""
        return len(self.offsets)

    @property
    def numeric(self) -> frozenset[str]:
        """Columns with one number a record."""
        pairs = zip(self._form.columns, self._form.letters, strict=True)
        return frozenset(column for column, letter in pairs if letter not in NOT_NUMBERS)

    @property
    def format(self) -> Format:
        """The type, with what ``FMTU`` says of it."""
        return self._log.with_units(self._form)

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """False where neither a header nor the end follows a record: its end may be foreign bytes."""
        return np.ones(self.count, dtype=bool)

    def text(self, column: str) -> list[str]:
        """Return a text column, cut at the first NUL, as UTF-8 or else Latin-1."""
        return [text_of(cell) for cell in self[column].tolist()]

    def unit(self, column: str) -> str:
        """Return the unit that the log states for *column*, or an empty string."""
        form = self.format
        return form.units[form.columns.index(column)] if form.units else ""

    def _no_column(self, column: str) -> KeyError:
        name, columns = self._form.name, self._form.columns
        return KeyError(f"{name} has no column {column}{did_you_mean(column, columns)}")


class MessageLog(Mapping[str, Messages], ABC):
    """A log: message name -> :class:`Messages`, decoded when asked for; the last one asked for is kept.

    Attributes
    ----------
    where : str or Path
        What messages call the file.
    size : int
        Bytes of the file.
    records : int
        Records found, those of types that cannot be decoded included.
    holes : tuple of (offset, length)
        Byte ranges that belong to no record.
    ghosts : int
        Records refused because storage padding completed them; their bytes lie in `holes`.
    doubtful : int
        Records kept although nothing confirms them; see `Messages.confirmed`.
    warnings : tuple of str
        Formats that contradict themselves or each other.
    kind : str
        Name of the format.
    preamble : tuple of str
        Lines before the first record of a text log.
    """

    kind: str
    preamble: tuple[str, ...] = ()
    where: str | Path
    size: int
    records: int
    holes: tuple[tuple[int, int], ...] = ()
    ghosts: int = 0
    doubtful: int = 0
    warnings: tuple[str, ...] = ()

    def __init__(self, formats: list[Format], counts: NDArray[np.intp]) -> None:
        self._counts = counts
        self._formats = self._index(formats)
        self._last: tuple[Format, Any] | None = None
        units = {"UNIT": ("Id", "Label"), "MULT": ("Id", "Mult"), "FMTU": ("FmtType", "UnitIds", "MultIds")}
        there = [name for name in units if name in self._formats]
        sound = [name for name in there if self._formats[name].has(*units[name])]
        self._tells_units = len(sound) == len(units)
        if len(there) == len(units) and not self._tells_units:
            self.warnings += ("FMTU, UNIT or MULT without their usual columns: units of the log not used",)

    def _index(self, formats: list[Format]) -> dict[str, Format]:
        """Return name -> format of the types that occur; of two with one name, the one with more records."""
        found: dict[str, Format] = {}
        counts = self._counts.tolist()
        for form in formats:
            if not form.letters or not counts[form.type]:
                continue
            other = found.get(form.name)
            if other is not None:
                self.warnings += (f"two types are named {form.name}: the one with fewer records is not read",)
            if other is None or counts[form.type] > counts[other.type]:
                found[form.name] = form
        return found

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> records refused so far."""
        return {"record completed by padding": self.ghosts} if self.ghosts else {}

    @property
    def remarks(self) -> list[str]:
        """What a user should know of the records refused so far."""
        return []

    @abstractmethod
    def _decode(self, form: Format) -> Any:
        """Return what the messages of a type are made of; kept for the type asked for last."""

    @abstractmethod
    def _messages(self, form: Format, decoded: Any) -> Messages:
        """Return the messages of a type."""

    def __getitem__(self, name: str) -> Messages:
        form = self._formats[name]
        if self._last is None or self._last[0] is not form:
            self._last = form, self._decode(form)
        return self._messages(form, self._last[1])

    def __iter__(self) -> Iterator[str]:
        return iter(self._formats)

    def __len__(self) -> int:
        return len(self._formats)

    def __contains__(self, name: object) -> bool:
        return name in self._formats

    def count(self, name: str) -> int:
        """Return the number of records of *name*, 0 if there is none, without decoding them."""
        return int(self._counts[self._formats[name].type]) if name in self._formats else 0

    def with_units(self, form: Format) -> Format:
        """Return *form* with what ``UNIT``, ``MULT`` and ``FMTU`` say (firmware 3.9 and later)."""
        if not self._tells_units:
            return form
        labels, factors, by_type = self._units
        units, mults = by_type.get(form.type, ("", ""))
        n = len(form.columns)
        place = units.find(INSTANCE_UNIT)
        return replace(
            form,
            units=tuple(labels.get(ord(letter), "") for letter in units[:n].ljust(n, "-")),
            multipliers=tuple(factors.get(ord(letter), float("nan")) for letter in mults[:n].ljust(n, "-")),
            instance=form.columns[place] if 0 <= place < n else None,
        )

    def _fresh(self, name: str) -> Messages:
        """Return the messages of a type without keeping them."""
        form = self._formats[name]
        return self._messages(form, self._decode(form))

    @cached_property
    def _units(self) -> tuple[dict[int, str], dict[int, float], dict[int, tuple[str, str]]]:
        """Return unit letter -> label, multiplier letter -> factor, type -> its letters."""
        fmtu, unit, mult = (self._fresh(name) for name in ("FMTU", "UNIT", "MULT"))
        labels = dict(zip(unit["Id"].tolist(), unit.text("Label"), strict=True))
        labels[ord("-")] = ""
        factors = dict(zip(mult["Id"].tolist(), mult["Mult"].tolist(), strict=True))
        kinds, first = np.unique(fmtu["FmtType"], return_index=True)
        units, mults = (
            [text_of(cell) for cell in fmtu[name][first].tolist()] for name in ("UnitIds", "MultIds")
        )
        return labels, factors, dict(zip(kinds.tolist(), zip(units, mults, strict=True), strict=True))


class Records(Messages):
    """:class:`Messages` of a binary log.

    Records that are not many are copied once, for all columns; of many each column is gathered by itself, as
    only some are wanted then and the memory counts.
    """

    __slots__ = ("_divisors", "_doubtful", "_packed", "_records")

    def __init__(
        self,
        log: DataFlash,
        form: Format,
        offsets: NDArray[np.int64],
        records: NDArray[np.void],
        packed: bool,
        divisors: dict[str, float | None],
    ) -> None:
        self._log = log
        self._form = form
        self.offsets = offsets
        self._records = records
        self._packed = packed
        self._divisors = divisors
        self._doubtful = log.doubtful_offsets

    def __getitem__(self, column: str) -> NDArray[Any]:
        try:
            divisor = self._divisors[column]
        except KeyError:
            raise self._no_column(column) from None
        raw = self._records[column]
        if divisor is not None:
            return (raw if self._packed else raw[self.offsets]) / divisor
        return raw.copy() if self._packed else raw[self.offsets]

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """False where neither a header nor the end follows a record: its end may be foreign bytes."""
        sure = np.ones(self.count, dtype=bool)
        place = np.searchsorted(self.offsets, self._doubtful)
        place = place[place < self.count]
        sure[place] = self.offsets[place] != self._doubtful[: place.size]
        return sure


class DataFlash(MessageLog):
    """A binary log.

    Parameters
    ----------
    source : Path or (n,) uint8
        The file, which is read at once, or its bytes.
    where : str, optional
        What messages call the file.

    Raises
    ------
    ReadError
        If the file cannot be opened, is empty, or holds no complete ``FMT`` record.
    """

    kind = "ArduPilot DataFlash"

    def __init__(self, source: Path | NDArray[np.uint8], *, where: str | Path | None = None) -> None:
        named = "bytes" if isinstance(source, np.ndarray) else source
        self.where = named if where is None else where
        self._bytes = source if isinstance(source, np.ndarray) else load(source, self.where)
        self.size = len(self._bytes)
        headers = find_headers(self._bytes)
        defined, self.warnings = read_formats(self._bytes, headers.offsets[headers.types == FMT_TYPE])
        if not defined:
            raise ReadError(
                "no complete FMT record: not an ArduPilot DataFlash log, or cut within its first records",
                where=self.where,
                fix="copy the .BIN file again from the autopilot's card",
            )
        lengths = np.zeros(256, dtype=np.uint8)
        lengths[[form.type for form in defined]] = [form.length for form in defined]
        chain = follow(self._bytes, headers, lengths)
        del headers
        self.holes, self.ghosts, self.doubtful_offsets = chain.holes, chain.ghosts, chain.doubtful
        self.doubtful = len(self.doubtful_offsets)
        self.records = len(chain.offsets)
        self._offsets = chain.offsets
        self._types = chain.types
        super().__init__(defined, _counted(self._types))

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.int64], list[int]]:
        """Return the offsets by type and within it by place, and where each type ends in them."""
        order = np.argsort(self._types, kind="stable")
        return self._offsets[order].astype(np.int64), np.cumsum(self._counts).tolist()

    def _places(self, kind: int) -> NDArray[np.int64]:
        """Return the offsets of a type."""
        if self.records > SORTED_RECORDS:
            return np.asarray(self._offsets[self._types == kind], dtype=np.int64)
        offsets, ends = self._sorted
        return offsets[ends[kind] - int(self._counts[kind]) : ends[kind]]

    def _decode(self, form: Format) -> tuple[Any, ...]:
        """Return the offsets, the records there (packed) or at every byte, which of both, and the divisors.

        What is selected from records at every byte is copied, whatever its alignment.
        """
        dtype, plain, divisors = layout(form.letters, form.columns)
        offsets = self._places(form.type)
        packed = offsets.size * form.length <= PACKED_BYTES
        # bytes without meaning are copied ten times as fast as fields
        records = np.ndarray((self.size - form.length + 1,), plain if packed else dtype, self._bytes, 0, (1,))
        return offsets, records[offsets].view(dtype) if packed else records, packed, divisors

    def _messages(self, form: Format, decoded: Any) -> Messages:
        return Records(self, form, *decoded)


def _counted(types: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return how often each type occurs; in pieces, as numpy counts 8-byte numbers."""
    counts = np.zeros(256, dtype=np.intp)
    for first in range(0, types.size, SORTED_RECORDS):
        counts += np.bincount(types[first : first + SORTED_RECORDS], minlength=256)
    return counts
