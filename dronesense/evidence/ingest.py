"""Copy a card: every byte is hashed as it is read, written once, and read back; the card is never written.

The copies lie in ``raw/``, may only be read, and have names that every system takes; ``ingest.json`` holds
the names on the card. A copy that was interrupted goes on where it stopped. Links and special files are not
followed, but listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from dronesense.errors import EvidenceError
from dronesense.writers.atomic import HASH_CHUNK_BYTES, lock, replacing, sha256_file, write_bytes

NAME: Final = "ingest.json"
SUMS_NAME: Final = "raw.sha256"
"""What ``sha256sum -c`` reads."""
JOURNAL_NAME: Final = ".ingest.partial.jsonl"
RAW: Final = "raw"
SCHEMA: Final = "dronesense.ingest/1"
READ_ONLY: Final = 0o444
MAX_NAME_BYTES: Final = 200
"""Longer names are cut, so that there is room for what temporary files add, B."""
FORBIDDEN: Final = re.compile(r'[<>:"/\\|?*%\x00-\x1f\x7f\ud800-\udfff]')
"""What names on Windows, in lists of hashes, or in UTF-8 may not hold."""
RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Copied:
    r"""A file of the card.

    Parameters
    ----------
    path : str
        Of the copy, relative to the flight folder, with ``/``.
    original : str
        On the card, relative to it; bytes that are no UTF-8 as ``\udcNN`` of Python.
    bytes, modified_ns : int
        Size, and time of the last change on the card.
    sha256 : str
        Hexadecimal.
    """

    path: str
    original: str
    bytes: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was copied.

    Parameters
    ----------
    files : tuple of Copied
        All files that are there now, sorted by path.
    fresh : int
        How many of them this call copied.
    refused : tuple of (original, reason)
        What was not copied.
    """

    files: tuple[Copied, ...]
    fresh: int
    refused: tuple[tuple[str, str], ...]


def ingest(
    card: Path,
    directory: Path,
    *,
    read_back: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Ingested:
    """Copy everything on *card* into ``raw/`` of the flight folder *directory*.

    Parameters
    ----------
    card, directory : Path
        Neither may lie in the other.
    read_back : bool
        Whether each copy is read again from the disk and compared.
    progress : callable, optional
        Told of the bytes that are done, and of all.

    Raises
    ------
    EvidenceError
        If the folders lie in one another, the disk has no room for what is missing, another file has the name
        of a copy, a file changes while it is copied, or a copy does not read back.
    OSError
        If *directory* cannot be written; what cannot be read from the card is listed as refused.
    """
    card, directory = card.resolve(), directory.resolve()
    if card == directory or card in directory.parents or directory in card.parents:
        raise EvidenceError(
            "lies in the card, or the card in it", where=directory, fix="name another with -o"
        )
    with lock(directory):
        (directory / RAW).mkdir(parents=True, exist_ok=True)
        known = _known(directory)
        refused: list[tuple[str, str]] = []
        found = list(_walk(card, "", "", refused))
        sizes = [_size(source) for source, _, _ in found]
        _refuse_full(directory, sum(sizes) - sum(row.bytes for row in known.values()))
        fresh = 0
        for number, (source, original, name) in enumerate(found):
            before = sum(sizes[:number])
            told = partial(_tell, progress, before, sum(sizes))
            try:
                row, is_fresh = _one(
                    source, original, directory, f"{RAW}/{name}", known, read_back=read_back, told=told
                )
            except _CardError as error:
                refused.append((original, f"cannot be read ({error})"))
                continue
            known[original] = row
            fresh += is_fresh
            told(sizes[number])
        files = tuple(sorted(known.values(), key=lambda row: row.path))
        result = Ingested(files, fresh, tuple(refused))
        _seal(result, directory)
    return result


def _tell(progress: Callable[[int, int], None] | None, before: int, total: int, count: int) -> None:
    if progress is not None:
        progress(before + count, total)


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:  # told when it is its turn
        return 0


def _refuse_full(directory: Path, wanted: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < wanted:
        raise EvidenceError(
            f"{free / 1e9:.3g} GB are free on the disk; {wanted / 1e9:.3g} GB of the card are not copied yet",
            where=directory,
            fix="make room, or name a folder on another disk with -o",
        )


class _CardError(OSError):
    """The card could not be read; the disk that is written to is another matter."""


def _one(
    source: Path,
    original: str,
    directory: Path,
    name: str,
    known: dict[str, Copied],
    *,
    read_back: bool,
    told: Callable[[int], None],
) -> tuple[Copied, bool]:
    """Copy one file unless its copy is there; say whether it was copied."""
    target = directory / name
    try:
        state = source.stat(follow_symlinks=False)
    except OSError as error:
        raise _CardError(error.strerror) from error
    row = known.get(original)
    wanted = (name, state.st_size, state.st_mtime_ns)
    if row is not None and (row.path, row.bytes, row.modified_ns) == wanted and target.is_file():
        if sha256_file(target) != row.sha256:
            raise EvidenceError(
                "is no longer what was copied", where=target, fix="take it away and copy the card again"
            )
        return row, False
    if target.exists():
        with _reading(source) as chunks:
            digest = hashlib.sha256()
            for chunk in chunks:
                digest.update(chunk)
        if sha256_file(target) != digest.hexdigest():
            raise EvidenceError(
                "another file of this name is there already",
                where=target,
                fix="copy each card into a folder of its own (-o)",
            )
        row, fresh = Copied(name, original, state.st_size, state.st_mtime_ns, digest.hexdigest()), False
    else:
        digest_hex = _copy(source, target, state.st_size, told)
        row = Copied(name, original, state.st_size, state.st_mtime_ns, digest_hex)
        fresh = True
        if read_back:
            _read_back(target, row.sha256)
    os.utime(target, ns=(state.st_mtime_ns, state.st_mtime_ns))
    target.chmod(READ_ONLY)
    with (directory / JOURNAL_NAME).open("ab") as journal:
        journal.write(json.dumps(asdict(row)).encode() + b"\n")
        journal.flush()
        os.fsync(journal.fileno())
    return row, fresh


class _reading:  # noqa: N801 - used like a function
    """Chunks of a file of the card; its errors are told apart from those of the disk."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._stream = os.fdopen(os.open(path, flags), "rb")
        except OSError as error:
            raise _CardError(error.strerror) from error

    def __enter__(self) -> Iterator[bytes]:
        return self._chunks()

    def __exit__(self, *caught: object) -> None:
        self._stream.close()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self._stream.read(HASH_CHUNK_BYTES)
            except OSError as error:
                raise _CardError(error.strerror) from error
            if not chunk:
                return
            yield chunk


def _copy(source: Path, target: Path, size: int, told: Callable[[int], None]) -> str:
    """Copy and hash in one pass; *told* is told of the bytes that are done."""
    digest, copied = hashlib.sha256(), 0
    with _reading(source) as chunks, replacing(target) as temporary:
        with temporary.open("xb") as sink:
            for chunk in chunks:
                digest.update(chunk)
                sink.write(chunk)
                copied += len(chunk)
                told(copied)
        if copied != size:
            raise EvidenceError(
                "changed while it was copied", where=source, fix="take the card out of the device first"
            )
    return digest.hexdigest()


def _read_back(target: Path, digest: str) -> None:
    """Compare the copy as the disk gives it; the system is asked to forget what it has in memory."""
    forget = getattr(os, "posix_fadvise", None)
    if forget is not None:
        with target.open("rb") as stream:
            forget(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if sha256_file(target) != digest:
        target.unlink()
        raise EvidenceError("does not read back as it was copied", where=target, fix="check the disk")


def _walk(
    folder: Path, original: str, name: str, refused: list[tuple[str, str]]
) -> Iterator[tuple[Path, str, str]]:
    """Give path, name on the card and name of the copy of every regular file, sorted; refuse the rest."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        refused.append((original or ".", f"cannot be read ({error.strerror})"))
        return
    taken: set[str] = set()
    for entry in entries:
        here = f"{original}{entry.name}"
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode) or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            refused.append(
                (here, "a link" if stat.S_ISLNK(mode) else "a special file, not a file with bytes")
            )
            continue
        safe = safe_name(entry.name)
        if _folded(safe) in taken:
            safe = _told_apart(safe, entry.name)
        taken.add(_folded(safe))
        if stat.S_ISDIR(mode):
            yield from _walk(folder / entry.name, f"{here}/", f"{name}{safe}/", refused)
        else:
            yield folder / entry.name, here, f"{name}{safe}"


def safe_name(name: str) -> str:
    """Return a name that every file system and list of hashes takes; a changed one has 8 digits of its hash.

    >>> safe_name("line 1.bil"), safe_name("10:32?.csv")
    ('line 1.bil', '10_32_~559b9db3.csv')
    """
    safe = FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).rstrip(". ") or "_"
    if RESERVED.match(safe):
        safe = f"_{safe}"
    if len(safe.encode()) > MAX_NAME_BYTES:
        safe = safe.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return safe if safe == unicodedata.normalize("NFC", name) else _told_apart(safe, name)


def _told_apart(safe: str, name: str) -> str:
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    path = Path(safe)
    return f"{path.stem}~{mark}{path.suffix}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _known(directory: Path) -> dict[str, Copied]:
    """Return what earlier calls copied, by name on the card; a line that was cut off does not count."""
    rows: list[Any] = []
    if (directory / NAME).is_file():
        try:
            rows += json.loads((directory / NAME).read_bytes())["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise EvidenceError(
                "is damaged", where=directory / NAME, fix="copy into a new folder (-o)"
            ) from error
    if (directory / JOURNAL_NAME).is_file():
        for line in (directory / JOURNAL_NAME).read_bytes().split(b"\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    known = {}
    for row in rows:
        try:
            copied = Copied(**row)
        except TypeError:
            continue
        known[copied.original] = copied
    return known


def _seal(result: Ingested, directory: Path) -> None:
    refused = [{"original": name, "reason": reason} for name, reason in result.refused]
    told = {"schema": SCHEMA, "files": [asdict(row) for row in result.files], "refused": refused}
    sums = "".join(f"{row.sha256}  {row.path}\n" for row in result.files)
    write_bytes(directory / SUMS_NAME, sums.encode())
    write_bytes(directory / NAME, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")
    (directory / JOURNAL_NAME).unlink(missing_ok=True)
