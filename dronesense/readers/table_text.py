"""The text of a table: any encoding that loggers and spreadsheets write."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from dronesense.errors import ReadError

MAX_BYTES: Final = 1 << 30
"""Tables are read at once: a larger file (1 GiB) is hardly a table, and would take all memory."""

COPY_AGAIN: Final = "copy it again from the card"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def load(path: Path) -> bytes:
    """Return the bytes of the table *path*.

    Raises
    ------
    ReadError
        If it cannot be opened or is larger than :data:`MAX_BYTES`.
    """
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error
    if size > MAX_BYTES:
        raise ReadError(f"{size} bytes is too large for a table (at most {MAX_BYTES})", where=path)
    return raw


def decode(path: Path, raw: bytes, warnings: list[str]) -> str:
    """Return the text of *raw*, noting guesses in *warnings*.

    Raises
    ------
    ReadError
        If it is no text: zero bytes inside, or broken UTF-16.
    """
    encoding = next((name for bom, name in _BOMS if raw.startswith(bom)), "")
    if not encoding and len(raw) > 1 and 0 in raw[:2] and any(raw[:2]):
        encoding = "utf-16-be" if raw[0] == 0 else "utf-16-le"
    if encoding.startswith("utf-16") and len(raw) % 2:
        warnings.append("file ends within a character: it is cut")
        raw = raw[:-1]
    try:
        text = raw.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding.startswith("utf-16"):
            what = f"is not valid UTF-16 (byte {error.start})"
            raise ReadError(what, where=path, fix=COPY_AGAIN) from error
        warnings.append(f"byte {error.start} is not UTF-8: the text was read as Latin-1")
        text = raw.decode("latin-1")
    stripped = text.rstrip("\0")
    if len(stripped) < len(text):
        warnings.append(f"{len(text) - len(stripped)} zero bytes at the end: power was lost in writing")
    if "\0" in stripped:
        line = stripped.count("\n", 0, stripped.index("\0")) + 1
        raise ReadError(
            "holds zero bytes: not a text file, or damaged",
            where=f"{path}, line {line}",
            fix=COPY_AGAIN,
        )
    return stripped.removeprefix("\ufeff")
