"""Everything a user can do wrong, as a tree of exceptions.

::

    DronesenseError            the user's data, files or settings; the CLI shows it as one line
      ManifestError            flight.toml, an instrument or a calibration record
      ReadError (OSError)      a file that cannot be read as what it claims to be
        UnknownFormatError     no reader, or several readers, claim the file
        UnreadableError        bytes that the disk or card does not give, though asked again
      UnitsError               an unknown or incompatible unit
      CalibrationError         a step asked of data that is not ready for it
      CoverageError            no data where they are needed (time, terrain, bands)
      PluginError              a reader, detector or writer that cannot be loaded
      EvidenceError            outputs that cannot be written, locked or verified

Programmer's mistakes stay :class:`ValueError` and :class:`TypeError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class DronesenseError(Exception):
    """The user's data, files or settings are at fault: what, where, and what would be right.

    Parameters
    ----------
    what : str
        What is wrong, in a sentence without a final dot.
    where : str or Path, optional
        The file (and line, row or key) that it is about.
    fix : str, optional
        What would be right, as an instruction.

    Examples
    --------
    >>> print(DronesenseError("latitude is 95.0", where="log.csv, row 7", fix="check the columns"))
    log.csv, row 7: latitude is 95.0. What to do: check the columns
    """

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.fix is None else f"{text}. What to do: {self.fix}"


class ManifestError(DronesenseError):
    """A key or value of ``flight.toml``, an instrument or a calibration record."""


class ReadError(DronesenseError, OSError):
    """A file that cannot be read as what it claims to be."""


class UnknownFormatError(ReadError):
    """No reader, or more than one, claims a file."""


class UnreadableError(ReadError):
    """A file some bytes of which the disk or card does not give, though it was asked again."""


class UnitsError(DronesenseError):
    """An unknown unit, or two that do not convert into each other."""


class CalibrationError(DronesenseError):
    """A step asked of data that is not at the level or of the quantity it needs."""


class CoverageError(DronesenseError):
    """No data where they are needed: time span, terrain, bands, background."""


class PluginError(DronesenseError):
    """A reader, detector or writer that does not exist or cannot be loaded."""


class EvidenceError(DronesenseError):
    """Outputs that cannot be written, are locked by another run, or do not verify."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``', did you mean "x"?'`` for the nearest of *choices*, or an empty string.

    Examples
    --------
    >>> did_you_mean("treshold", ["threshold", "method"])
    ', did you mean "threshold"?'
    >>> did_you_mean("zzz", ["threshold"])
    ''
    """
    close = difflib.get_close_matches(word, list(choices), n=1)
    return f', did you mean "{close[0]}"?' if close else ""
