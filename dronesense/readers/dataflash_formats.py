"""What the ``FMT`` records of a DataFlash log say: name, length, letters and columns of each type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FMT_TYPE: Final = 0x80
FMT_LENGTH: Final = 89
HEADER_BYTES: Final = 3

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

_SIZES: Final = {letter: np.dtype(kind).itemsize for letter, (kind, _) in LETTERS.items()}
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,4}")


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

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Packed numpy type of a whole record, header included."""
        kinds = [LETTERS[letter][0] for letter in self.letters]
        starts = accumulate((_SIZES[letter] for letter in self.letters[:-1]), initial=HEADER_BYTES)
        names = list(self.columns)
        return np.dtype({"names": names, "formats": kinds, "offsets": list(starts), "itemsize": self.length})


_FMT: Final = Format(FMT_TYPE, "FMT", FMT_LENGTH, "BBnNZ", ("Type", "Length", "Name", "Format", "Columns"))


def text_of(cell: bytes) -> str:
    """Return a text cell up to its first NUL."""
    cell = cell.split(b"\0", 1)[0]
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell.decode("latin-1")


def read_formats(data: NDArray[np.uint8], headers: NDArray[Any]) -> tuple[list[Format], tuple[str, ...]]:
    """Return one format per type, wherever it is defined; a contradictory one has no letters."""
    starts = headers[data[headers + 2] == FMT_TYPE].astype(np.int64)
    found: dict[int, Format] = {}
    warnings: list[str] = []
    for start in starts[starts + FMT_LENGTH <= data.size].tolist():
        form, problem = _read_format(data[start + HEADER_BYTES : start + FMT_LENGTH].tobytes())
        if problem:
            warnings.append(f"FMT record at byte {start}: {problem}")
        if form is None:
            continue
        known = found.get(form.type)
        if known is None or (form.letters and not known.letters):
            found[form.type] = form
        elif form.letters and form != known:
            problem = f"type {form.type} is already {known.name}; the first definition is used"
            warnings.append(f"FMT record at byte {start}: {problem}")
    if found:
        found.setdefault(FMT_TYPE, _FMT)
    return list(found.values()), tuple(warnings)


def _read_format(body: bytes) -> tuple[Format | None, str]:
    """Return the format that a ``FMT`` body defines, and what is wrong with it.

    A body that is not one at all gives None; one whose name and length are sound but whose columns are not
    gives a format without letters: its records can be stepped over.
    """
    kind, length = body[0], body[1]
    name, letters, labels = text_of(body[2:6]), text_of(body[6:22]), text_of(body[22:86])
    foreign = kind == FMT_TYPE and (name, length) != ("FMT", FMT_LENGTH)
    if foreign or not _NAME.fullmatch(name) or length < HEADER_BYTES:
        return None, "damaged (no name or no length)"
    columns = tuple(labels.split(",")) if labels else ()
    unknown = "".join(letter for letter in letters if letter not in LETTERS)
    if unknown:
        problem = f'{name} has unknown format letters "{unknown}"'
    elif len(columns) != len(letters) or len(set(columns)) != len(columns):
        problem = f"{name} has {len(letters)} format letters for the columns {labels!r}"
    elif (need := HEADER_BYTES + sum(map(_SIZES.__getitem__, letters))) != length:
        problem = f"{name} states {length} bytes but its columns need {need}"
    else:
        return Format(kind, name, length, letters, columns), ""
    return Format(kind, name, length, "", ()), f"{problem}; its records are skipped"
