"""The bytes of a log, the text that they are, and cards that do not give them at once."""

from __future__ import annotations

import codecs
import errno
import os
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import DronesenseError, ReadError, UnreadableError

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PAUSES_S: Final = [0.05, 0.1, 0.25]
"""Before each time that a card is asked again; tests take them shorter."""
WINDOWS_FAULTS: Final = (21, 23, 483, 1117)
"""What Windows says of a device: not ready, checksum, hardware error, I/O error (system error codes)."""
SCAN_BYTES: Final = 1 << 16
SECTOR_BYTES: Final = 4096
"""Pieces in which the place that cannot be read is looked for."""

T = TypeVar("T")


def patiently(read: Callable[[], T], path: Path, *, begin: int = 0) -> T:
    """Return what *read* gives; where the disk or card fails meanwhile, it is asked up to three times more.

    Parameters
    ----------
    read : callable
        Reads *path*, from its start each time that it is called.
    path : Path
        File that is read.
    begin : int
        First byte that is asked for: the place that cannot be read is looked for from there.

    Raises
    ------
    UnreadableError
        If the device fails each time; it names the first bytes that it does not give.
    DronesenseError, OSError
        Whatever else *read* says, at once.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            return read()
        except (OSError, DronesenseError) as error:
            if isinstance(error, UnreadableError) or not _is_fault(error):
                raise
            if pause_s is None:
                raise UnreadableError(
                    f"cannot be read: the disk or card failed {len(PAUSES_S) + 1} times{_place(path, begin)}",
                    where=path,
                    fix="copy it again, or take the card to somebody who saves data",
                ) from error
        time.sleep(pause_s)
    raise AssertionError("the last time either returns or raises")


def _is_fault(error: BaseException | None) -> bool:
    """Return whether a device failed, as the error says or the one that it came from."""
    while error is not None:
        if isinstance(error, OSError):
            windows = getattr(error, "winerror", None)
            if error.errno == errno.EIO or (windows is not None and windows in WINDOWS_FAULTS):
                return True
        error = error.__cause__
    return False


def _place(path: Path, begin: int) -> str:
    """Say which bytes are the first that cannot be read, by trying."""
    try:
        with path.open("rb", buffering=0) as stream:
            at = begin
            while (found := _piece(stream, at, SCAN_BYTES)) is not None:
                if not found:
                    return "; a moment later all of it could be read"
                at += len(found)
            starts = range(at, at + SCAN_BYTES, SECTOR_BYTES)
            first = last = next((each for each in starts if _piece(stream, each, SECTOR_BYTES) is None), at)
            while last < at + SCAN_BYTES and _piece(stream, last, SECTOR_BYTES) is None:
                last += SECTOR_BYTES
            size = os.fstat(stream.fileno()).st_size
    except OSError:
        return "; it cannot be opened any more"
    if first == last:
        return "; a moment later it could be read there"
    return f"; the first bytes that it does not give are {first} to {max(first, min(last, size) - 1)}"


def _piece(stream: FileIO, at: int, count: int) -> bytes | None:
    """Return bytes of a file, none behind its end; None where the device fails."""
    try:
        stream.seek(at)
        return stream.read(count)
    except OSError:
        return None


def ask_for_all(path: Path) -> None:
    """Read a file from end to end and forget it: libraries tell no failing card from a damaged file.

    Raises
    ------
    UnreadableError
        If the disk or card does not give all of it.
    OSError
        If it cannot be opened.
    """

    def read() -> None:
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass

    patiently(read, path)


def load(path: Path, where: str | Path) -> NDArray[np.uint8]:
    """Return the bytes of *path*; not mapped, as pulling out the card would then kill the process.

    Raises
    ------
    ReadError
        If it cannot be read or is empty.
    """
    data = whole(path, where)
    if not data.size:
        raise ReadError("is empty", where=where, fix="copy it again, or export it again")
    return data


def whole(path: Path, where: str | Path) -> NDArray[np.uint8]:
    """Return the bytes of *path*, which may be none; a failing card is asked again.

    ``numpy.fromfile`` is not for this: where the card fails it gives the bytes up to there, without a word.

    Raises
    ------
    ReadError
        If it cannot be read.
    """

    def read() -> NDArray[np.uint8]:
        with path.open("rb") as stream:
            data = np.empty(os.fstat(stream.fileno()).st_size, dtype=np.uint8)
            at = 0
            while at < data.size and (count := stream.readinto(data[at:].data)):
                at += count
            return data[:at]

    try:
        return patiently(read, path)
    except UnreadableError:
        raise
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", where=where) from error


def text_of(data: bytes) -> str:
    r"""Return *data* as text: UTF-8 or UTF-16, with a mark at its start or without, else Latin-1.

    Never fails: bytes that are no UTF-16 become U+FFFD.

    Examples
    --------
    >>> text_of(b"AXYZ"), text_of("AXYZ".encode("utf-16-le")), text_of(b"J\xfcrg")
    ('AXYZ', 'AXYZ', 'Jürg')
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "")
    if not encoding and len(data) > 1 and 0 in data[:2] and any(data[:2]):
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    if encoding.startswith("utf-16"):
        return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")
