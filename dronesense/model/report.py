"""What a reader has to say about a file beside the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was read, what was dropped and why, and what was assumed.

    Parameters
    ----------
    format : str
        Name of the format, e.g. ``"ArduPilot DataFlash"``.
    records : int
        Records (rows, lines, messages) that were read.
    dropped : mapping of str to int
        Reason -> number of records refused for it.
    holes : tuple of (offset, length)
        Byte ranges that could not be decoded.
    assumptions : tuple of str
        What the file did not say and the reader had to assume.
    warnings : tuple of str
        What a user should know before trusting the result.
    companions : tuple of str
        Further files that were read (data file of a header, side files), as absolute paths.
    details : mapping
        Format-specific facts (rates, clock fit, firmware), JSON-ready.
    answered : tuple of str
        Keys of the user's options that the file left open and that were used, e.g. ``("date",)``.
    """

    format: str
    records: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    holes: tuple[tuple[int, int], ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    answered: tuple[str, ...] = ()
