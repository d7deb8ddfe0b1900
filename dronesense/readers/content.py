"""The bytes of a log, and the text that they are."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def load(path: Path, where: str | Path) -> NDArray[np.uint8]:
    """Return the bytes of *path*; not mapped, as pulling out the card would then kill the process.

    Raises
    ------
    ReadError
        If it cannot be read or is empty.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ReadError(f"cannot be read ({error.strerror or error})", where=where) from error
    if not data.size:
        raise ReadError("is empty", where=where, fix="copy it again, or export it again")
    return data


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
