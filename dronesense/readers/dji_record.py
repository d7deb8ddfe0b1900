"""Logs of DJI that are encrypted or in a secret format: recognized, and refused with what to do.

See ``docs/formats/dji-record.md``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NoReturn

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head

FORMAT: Final = "DJI flight record"

_RECORD_NAME: Final = re.compile(r"DJIFlightRecord.*\.txt", re.IGNORECASE)
_DAT_NAME: Final = re.compile(r"(?:FLY\d+|DJI.*)\.DAT", re.IGNORECASE)
_BUILD_AT: Final = slice(16, 21)
"""Where a ``FLYnnn.DAT`` file says BUILD."""
_DAT_MARK: Final = b"DJI_LOG_V"
_DAT_HEAD: Final = 512
VERSION_AT: Final = 10
"""The byte of a flight record that states its version."""
LAST_VERSION: Final = 32
"""Versions of flight records that may exist; 14 is the newest known."""
ENCRYPTED_FROM: Final = 13
"""From this version on the records are encrypted with a key that only DJI hands out."""
HEADER_BYTES: Final = 100


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file is a flight record of DJI's apps or a ``.DAT`` of an aircraft."""
    return _kind(path, head) != ""


def _kind(path: Path, head: bytes) -> str:
    """Return ``"record"``, ``"dat"`` or nothing."""
    binary = any(byte < 9 or 13 < byte < 32 for byte in head[:HEADER_BYTES])
    if not binary:
        return ""
    if head[_BUILD_AT] == b"BUILD" or _DAT_MARK in head[:_DAT_HEAD]:
        return "dat"
    if _DAT_NAME.fullmatch(path.name):
        return "dat"
    return "record" if _RECORD_NAME.fullmatch(path.name) else ""


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> NoReturn:
    """Refuse the file, saying what it is and how to get a table that can be read.

    Raises
    ------
    ReadError
        Always.
    """
    del options
    raise refusal(_kind(path, head := read_head(path)), head, label)


def refusal(kind: str, head: bytes, label: str) -> ReadError:
    """Return the error for a file of a kind that starts with *head*."""
    if kind == "dat":
        return ReadError(
            "is the log of a DJI aircraft (.DAT) in a format that DJI does not publish",
            where=label,
            fix="turn it into CSV with DatCon or CsvView, with GPS:dateTimeStamp, and read that",
        )
    version = head[VERSION_AT] if len(head) > VERSION_AT else 0
    known = f" of version {version}" if 0 < version <= LAST_VERSION else ""
    how = "is encrypted" if version >= ENCRYPTED_FROM or not known else "is a scrambled binary"
    return ReadError(
        f"is a DJI flight record{known}, which {how}: its key is only with DJI",
        where=label,
        fix="export it as CSV with Airdata, PhantomHelp or Flight Reader (times in UTC), and read that",
    )
