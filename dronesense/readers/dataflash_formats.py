"""What the ``FMT`` records of a DataFlash log say: name, length, letters and columns of each type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FMT_TYPE: Final = 0x80
FMT_LENGTH: Final = 89
HEADER_BYTES: Final = 3
BODY_BYTES: Final = FMT_LENGTH - HEADER_BYTES

LETTERS: Final[dict[str, tuple[Any, float | None]]] = {
    "a": (("<i2", (32,)), None),
    "b": ("i1", None),
    "B": ("u1", None),
    "h": ("<i2", None),
    "H": ("<u2", None),
    "i": ("<i4", None),
    "I": ("<u4", None),
    "q": ("<i8", None),
    "Q": ("<u8", None),
    "g": ("<f2", None),
    "f": ("<f4", None),
    "d": ("<f8", None),
    "n": ("S4", None),
    "N": ("S16", None),
    "Z": ("S64", None),
    "c": ("<i2", 100.0),
    "C": ("<u2", 100.0),
    "e": ("<i4", 100.0),
    "E": ("<u4", 100.0),
    "L": ("<i4", 1e7),
    "M": ("u1", None),
}
"""Format letter -> numpy type and divisor (ArduPilot, libraries/AP_Logger/LogStructure.h)."""

NOT_NUMBERS: Final = frozenset("anNZ")
"""Letters of text and of arrays: a damaged format may put them on a column that is a number."""

_DTYPES: Final = {letter: np.dtype(kind) for letter, (kind, _) in LETTERS.items()}
_SIZES: Final = {letter: kind.itemsize for letter, kind in _DTYPES.items()}
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,4}")

BLOCK_FORMATS: Final = 1 << 14
"""Definitions read in one go: bounds the memory of what is made on the way (1.4 MB)."""

CACHED_FORMATS: Final = 4096
"""Formats kept between logs: a firmware defines some 160, and logs come in series."""
CACHED_LOGS: Final = 8
"""Sets of definitions kept between logs."""


@lru_cache(CACHED_FORMATS)
def layout(
    letters: str, columns: tuple[str, ...]
) -> tuple[np.dtype[np.void], np.dtype[np.void], dict[str, float | None]]:
    """Return how a record, header included, is packed; as many bytes without meaning; column -> its divisor.

    The dictionary is shared: not to be changed.
    """
    starts = list(accumulate((_SIZES[letter] for letter in letters), initial=HEADER_BYTES))
    kinds = [_DTYPES[letter] for letter in letters]
    dtype = np.dtype(
        {"names": list(columns), "formats": kinds, "offsets": starts[:-1], "itemsize": starts[-1]}
    )
    divisors = {column: LETTERS[letter][1] for letter, column in zip(letters, columns, strict=True)}
    return dtype, np.dtype((np.void, starts[-1])), divisors


@dataclass(frozen=True, slots=True)
class Format:
    """What a ``FMT`` record (and its ``FMTU``) says about a type.

    Parameters
    ----------
    type : int
        Type byte.
    name : str
        Message name, at most 4 characters.
    length : int
        Bytes of a record, header included.
    letters : str
        One format letter per column.
    columns : tuple of str
        Column names.
    units : tuple of str
        Unit per column as the log states it (``"deg"``, ``"m/s"``), empty where it says none; empty tuple
        without ``FMTU``.
    multipliers : tuple of float
        Factor from the stored number to `units` where the format letter has none; NaN where the log says
        none.
    instance : str or None
        Column that tells the sensor.
    """

    type: int
    name: str
    length: int
    letters: str
    columns: tuple[str, ...]
    units: tuple[str, ...] = ()
    multipliers: tuple[float, ...] = ()
    instance: str | None = None

    def has(self, *columns: str) -> bool:
        """Tell whether all *columns* are there."""
        return all(column in self.columns for column in columns)


_FMT: Final = Format(FMT_TYPE, "FMT", FMT_LENGTH, "BBnNZ", ("Type", "Length", "Name", "Format", "Columns"))


def text_of(cell: bytes) -> str:
    """Return a text cell up to its first NUL."""
    cell = cell.split(b"\0", 1)[0]
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell.decode("latin-1")


def read_formats(data: NDArray[np.uint8], starts: NDArray[Any]) -> tuple[list[Format], tuple[str, ...]]:
    """Return one format per type of the ``FMT`` records at *starts*; a contradictory one has no letters."""
    whole = (
        starts[starts <= data.size - FMT_LENGTH].astype(np.int64) if data.size >= FMT_LENGTH else starts[:0]
    )
    if not whole.size:
        return [], ()
    everywhere = np.ndarray((data.size - FMT_LENGTH + 1,), f"V{BODY_BYTES}", data, HEADER_BYTES, (1,))
    first: dict[bytes, int] = {}  # logs that were joined define everything again and again
    for block in range(0, whole.size, BLOCK_FORMATS):
        part = whole[block : block + BLOCK_FORMATS]
        bodies = everywhere[part].tobytes()
        if part.size == whole.size and (sound := _sound_formats(bodies)) is not None:
            return list(sound), ()
        for body, start in zip(_split(bodies), part.tolist(), strict=True):
            first.setdefault(body, start)
    records = [(start, *parse_format(body)) for body, start in first.items()]
    return one_per_type(records, "FMT record at byte")


def _split(bodies: bytes) -> list[bytes]:
    return [bodies[k : k + BODY_BYTES] for k in range(0, len(bodies), BODY_BYTES)]


@lru_cache(CACHED_LOGS)
def _sound_formats(bodies: bytes) -> tuple[Format, ...] | None:
    """Return one format per type of definitions that are all sound, else None; logs come in series."""
    formats, warnings = one_per_type([(0, *parse_format(body)) for body in _split(bodies)], "")
    return None if warnings else tuple(formats)


def one_per_type(
    records: Iterable[tuple[int, Format | None, str]], place: str
) -> tuple[list[Format], tuple[str, ...]]:
    """Return the first sound format of each type, and warnings.

    Parameters
    ----------
    records : iterable of (int, Format or None, str)
        Where each definition stands, what it defines, what is wrong with it.
    place : str
        What the numbers count, for the warnings.
    """
    found: dict[int, Format] = {}
    warnings: list[str] = []
    for start, form, problem in records:
        if problem:
            warnings.append(f"{place} {start}: {problem}")
        if form is None:
            continue
        known = found.get(form.type)
        if known is None or (form.letters and not known.letters):
            found[form.type] = form
        elif form.letters and form != known:
            problem = f"type {form.type} is already {known.name}; the first definition is used"
            warnings.append(f"{place} {start}: {problem}")
    if found:
        found.setdefault(FMT_TYPE, _FMT)
    return list(found.values()), tuple(warnings)


@lru_cache(CACHED_FORMATS)
def parse_format(body: bytes) -> tuple[Format | None, str]:
    """Return the format that the body of a ``FMT`` record defines, and what is wrong with it.

    A body that is not one at all gives None; one whose name and length are sound but whose columns are not
    gives a format without letters: its records can be stepped over.
    """
    return make_format(body[0], body[1], text_of(body[2:6]), text_of(body[6:22]), text_of(body[22:86]))


def make_format(kind: int, length: int, name: str, letters: str, labels: str) -> tuple[Format | None, str]:
    """Return the format of these fields of a ``FMT`` record as :func:`parse_format` does."""
    foreign = kind == FMT_TYPE and (name, length) != ("FMT", FMT_LENGTH)
    if foreign or not _NAME.fullmatch(name) or length < HEADER_BYTES:
        return None, "damaged (no name or no length)"
    columns = tuple(labels.split(",")) if labels else ()
    unknown = "".join([letter for letter in letters if letter not in _SIZES])
    if unknown:
        problem = f'{name} has unknown format letters "{unknown}"'
    elif len(columns) != len(letters) or len(set(columns)) != len(columns):
        problem = f"{name} has {len(letters)} format letters for the columns {labels!r}"
    elif (need := HEADER_BYTES + sum([_SIZES[letter] for letter in letters])) != length:
        problem = f"{name} states {length} bytes but its columns need {need}"
    else:
        return Format(kind, name, length, letters, columns), ""
    return Format(kind, name, length, "", ()), f"{problem}; its records are skipped"
