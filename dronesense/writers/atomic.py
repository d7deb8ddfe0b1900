"""The one way to write: a file or a folder is there complete, or not at all.

Files are made under another name in the same folder, flushed to the disk and renamed. A folder of products
is built beside its place and swapped in; what people put into the old one (notes, edited layers) moves
over. Locks belong to the operating system, so a killed run leaves none behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from dronesense.errors import EvidenceError

MANIFEST_NAME: Final = "run.json"
"""The file that says which files of a folder are products, with their SHA-256."""
MANIFEST_SCHEMA: Final = "dronesense.run/1"
"""Value of ``schema`` in :data:`MANIFEST_NAME`: a folder that holds it is ours to replace."""
HASH_CHUNK_BYTES: Final = 1024 * 1024
"""Read at once while hashing, B: files larger than memory stay on the disk."""
_SHARING_RETRY_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Waits between attempts to rename on Windows, where virus scanners hold new files open for a moment, s."""
_SHARING = os.name == "nt"


class LockedError(EvidenceError):
    """Another run works on the same folder."""

    locked: Final = True


def sha256_file(path: Path, *, told: Callable[[int], object] | None = None) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in chunks of :data:`HASH_CHUNK_BYTES`.

    *told* is told of the bytes of every chunk.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
            if told is not None:
                told(len(chunk))
    return digest.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of *path*; it takes the place of *path* when the block ends well.

    The temporary name ends like *path*, so that libraries that look at the suffix agree. If the block
    raises, what stood at *path* is untouched and the temporary file is gone. Missing folders are made.

    Raises
    ------
    OSError
        If the disk is full, or the folder cannot be written.

    Examples
    --------
    >>> with replacing(Path("scores.tif")) as temporary:  # doctest: +SKIP
    ...     write_somehow(temporary)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}"
    try:
        yield temporary
        _sync_file(temporary)
        _rename(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write *data* to *path*: all of it, or nothing.

    Raises
    ------
    OSError
        If the disk is full, or the folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """Give an empty folder beside *directory*; it takes its place when the block ends well.

    An older folder of products is replaced. Files in it that its ``run.json`` does not list, or that were
    changed since, are somebody's work: they move over, under ``<stem>.kept-<8 hex digits of their
    SHA-256><suffix>`` where the new run has a product of the same name. A signature or time stamp of the old
    ``run.json`` moves aside together with it, as ``run.kept-<8 digits>.json.sig`` and so on. If the block
    raises, *directory* stays as it was. A run that is killed during the swap leaves the old folder under
    another name; the next call puts it back before it starts.

    Hold :func:`lock` around it: two stagings of one folder at a time are not told apart.

    Raises
    ------
    EvidenceError
        If *directory* is a file, or a folder with files that no run of dronesense wrote.
    OSError
        If the disk is full, or the folder cannot be written.
    """
    directory = directory.resolve()  # behind a link, the folder that it points to is swapped; the link stays
    fresh, old = _beside(directory)
    _recover(directory, old)
    _refuse_foreign(directory)
    _remove(fresh)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if directory.exists():
            _carry_over(directory, fresh)
        _sync_folder(fresh)
        _swap(directory, fresh, old)
    finally:
        _remove(fresh)
    _remove(old)


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Keep every other run away from *directory* (which need not exist) while the block runs.

    What a run that was killed left beside it is put back or removed.

    The lock is the operating system's on ``.<name>.lock`` beside the folder: it ends with the process,
    however that ends.

    Raises
    ------
    LockedError
        If another run holds it.
    OSError
        If the folder cannot be written, or its file system knows no locks.
    """
    directory = directory.resolve()
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f".{directory.name}.lock")
    stream = _acquire(path, directory)
    try:
        stream.truncate(0)
        stream.write(str(os.getpid()).encode())
        stream.flush()
        fresh, old = _beside(directory)
        _recover(directory, old)
        _remove(fresh)
        yield
    finally:
        if os.name != "nt":
            path.unlink(missing_ok=True)  # before the lock is let go, see _acquire
        stream.close()
        if os.name == "nt":
            with contextlib.suppress(PermissionError):  # the next run has it open already
                path.unlink(missing_ok=True)


def _acquire(path: Path, directory: Path) -> IO[bytes]:
    """Open and lock *path*; a file that its last owner removed in between is left for a new one."""
    while True:
        stream = path.open("a+b")
        with contextlib.ExitStack() as opened:
            opened.enter_context(stream)
            if not _try_lock(stream):
                raise _locked(path, directory)
            if _same_file(stream, path):
                opened.pop_all()
                return stream


def _same_file(stream: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _locked(path: Path, directory: Path) -> LockedError:
    try:
        owner = path.read_text("ascii", errors="replace").strip()
    except OSError:
        owner = ""
    return LockedError(
        "another run is working here" + (f" (process {owner})" if owner else ""),
        where=directory,
        fix="wait until it ends, or choose another output folder",
    )


if sys.platform == "win32":
    import msvcrt

    _LOCK_BYTE: Final = 1 << 30
    """Byte that is locked: beyond the text, so that others may read who holds the lock."""

    def _try_lock(stream: IO[bytes]) -> bool:
        stream.seek(_LOCK_BYTE)
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(stream: IO[bytes]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _beside(directory: Path) -> tuple[Path, Path]:
    """Return where new products grow, and where the old ones are for the moment of the swap."""
    return directory.with_name(f".{directory.name}.new"), directory.with_name(f".{directory.name}.old")


def _recover(directory: Path, old: Path) -> None:
    """Put back the folder that a killed swap left under its other name."""
    if old.exists():
        if directory.exists():
            _remove(old)
        else:
            _rename(old, directory)


def _refuse_foreign(directory: Path) -> None:
    if not os.path.lexists(directory):
        return
    if not directory.is_dir():
        raise EvidenceError("is a file, not a folder", where=directory, fix="choose another output folder")
    if any(directory.iterdir()) and _listed(directory) is None:
        raise EvidenceError(
            "holds files, and none of them is a run.json of dronesense",
            where=directory,
            fix="choose an empty folder or a new name for the products; nothing was changed",
        )


def _listed(directory: Path) -> dict[str, str] | None:
    """Return path -> SHA-256 of the products that ``run.json`` lists; None when the folder is not ours."""
    try:
        manifest = json.loads((directory / MANIFEST_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("schema") != MANIFEST_SCHEMA:
        return None
    outputs = manifest.get("outputs")
    rows = [row for row in outputs if isinstance(row, dict)] if isinstance(outputs, list) else []
    return {str(row.get("path")): str(row.get("sha256")) for row in rows}


def _carry_over(directory: Path, fresh: Path) -> None:
    """Copy what is not an untouched product of the old run into the new folder, never over a new product."""
    listed = _listed(directory) or {}
    manifest, fresh_manifest = directory / MANIFEST_NAME, fresh / MANIFEST_NAME
    digest = sha256_file(manifest) if manifest.is_file() else ""
    same = fresh_manifest.is_file() and sha256_file(fresh_manifest) == digest
    kept = MANIFEST_NAME if same or not digest else f"run.kept-{digest[:8]}.json"
    if kept != MANIFEST_NAME and any(directory.glob(f"{MANIFEST_NAME}.*")):
        _carry(manifest, fresh / kept)
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_dir() or not path.is_file() or name == MANIFEST_NAME:
            continue
        digest = sha256_file(path)
        if listed.get(name) == digest:
            continue
        target = fresh / (
            name.replace(MANIFEST_NAME, kept, 1) if name.startswith(f"{MANIFEST_NAME}.") else name
        )
        if target.exists() and sha256_file(target) != digest:
            target = target.with_name(f"{target.stem}.kept-{digest[:8]}{target.suffix}")
        _carry(path, target)


def _carry(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)
    _sync_file(target)


def _swap(directory: Path, fresh: Path, old: Path) -> None:
    if not directory.exists():
        _rename(fresh, directory)
    else:
        _rename(directory, old)
        try:
            _rename(fresh, directory)
        except OSError:
            _rename(old, directory)
            raise
    _sync_folder(directory.parent)


def _rename(source: Path, target: Path) -> None:
    """``os.replace``, tried again on Windows while another program holds one of the two open."""
    for wait_s in _SHARING_RETRY_S if _SHARING else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(wait_s)
        else:
            return
    source.replace(target)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    """Flush the folder's entries; Windows does not open folders and needs no flush."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
