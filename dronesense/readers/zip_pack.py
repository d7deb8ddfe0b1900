"""Members of a zip file that may be damaged or malicious: read in memory, never unpacked to the disk."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from dronesense.errors import ReadError

MAX_MEMBERS: Final = 2_000
MAX_MEMBER_BYTES: Final = 256 << 20
"""One frame of 4,000 x 1,000 float64 has 32 MB."""
MAX_TOTAL_BYTES: Final = 2 << 30
MAX_RATIO: Final = 200.0
"""Compression beyond this is a bomb: deflate reaches 1032, frames of noise 2 to 5, of zeros..."""
RATIO_FROM_BYTES: Final = 64 << 20
"""... so the ratio only counts in members larger than this."""
ENCRYPTED: Final = 0x1
UNPACKED_WRONGLY: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,  # names that are no text, too
    OSError,
)
"""What the standard library raises for members that are damaged."""


def names(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files of the zip file *path* by name.

    Raises
    ------
    ReadError
        If it is no zip file, is cut, or holds more than a calibration pack would: too many members, too
        large ones, names that lead outside, two of one name, encryption.
    """
    try:
        with zipfile.ZipFile(path) as pack:
            listed = pack.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise ReadError(
            f"is no whole zip file ({error})", where=path, fix="copy it again from the maker's medium"
        ) from error
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror or error})", where=path) from error
    if len(listed) > MAX_MEMBERS:
        raise ReadError(f"holds {len(listed)} files: more than {MAX_MEMBERS}", where=path)
    found: dict[str, zipfile.ZipInfo] = {}
    for info in listed:
        if not info.filename:
            raise ReadError("holds a file without a name", where=path)
        if info.is_dir():
            continue
        _check(info, path)
        if info.filename in found:
            raise ReadError(f'holds "{info.filename}" twice', where=path)
        found[info.filename] = info
    total = sum(info.file_size for info in found.values())
    if total > MAX_TOTAL_BYTES:
        raise ReadError(f"unpacks to {total} bytes: more than {MAX_TOTAL_BYTES}", where=path)
    return found


def _check(info: zipfile.ZipInfo, path: Path) -> None:
    where = f"{path}, member {info.filename[:80]!r}"
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in info.filename or "\0" in info.orig_filename:
        raise ReadError("the name leads outside the pack", where=where, fix="do not use this file")
    if info.flag_bits & ENCRYPTED:
        raise ReadError("is encrypted", where=where, fix="ask the maker for the pack without a password")
    if info.file_size > MAX_MEMBER_BYTES:
        raise ReadError(f"unpacks to {info.file_size} bytes: more than {MAX_MEMBER_BYTES}", where=where)
    if info.file_size > RATIO_FROM_BYTES and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise ReadError(f"{info.compress_size} bytes unpack to {info.file_size}", where=where)


def member(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of one member; never more than its directory entry states.

    Raises
    ------
    ReadError
        If its bytes are damaged, or more or fewer than stated.
    """
    where = f"{path}, member {info.filename!r}"
    try:
        with zipfile.ZipFile(path) as pack, pack.open(info) as stream:
            data = stream.read(info.file_size + 1)
    except UNPACKED_WRONGLY as error:
        raise ReadError(f"cannot be unpacked ({error})", where=where, fix="copy the pack again") from error
    if len(data) != info.file_size:
        raise ReadError(f"has {len(data)} bytes, not {info.file_size}", where=where)
    return data
