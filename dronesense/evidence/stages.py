"""Work of a run that is worth keeping until its products are whole: a killed run is taken up, not begun anew.

Each piece is a file of its own, beside the products (``.<name>.stages``), written whole or not at all, and
gone when the products are there. It counts only for the very same work: inputs, settings, versions, code and
machine are part of the folder's name, and its SHA-256 stands before its bytes. No file says which class is to
be made of it: whoever asks does, and the classes check their values as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from dronesense.evidence import environment, manifest
from dronesense.evidence.manifest import HashedInput
from dronesense.model import Flight
from dronesense.writers.atomic import replacing

T = TypeVar("T")

WORTH_S: Final = 1.0
"""Work that took less is done again rather than kept."""
DIGEST_LENGTH: Final = 64
"""Hexadecimal digits of a SHA-256."""


@dataclass(frozen=True)
class Stages:
    """Keeps results in files, and gives back those of a run that did not end.

    Parameters
    ----------
    folder : Path
        Theirs alone, for one key; made when there is something to keep.
    check : callable
        Raises when the inputs are not what was hashed: then nothing is kept.
    least_s : float
        Seconds of work that are worth a file.
    ahead : mapping of str to Future
        By first part of a name: somebody else who works on it, in another process, and keeps what comes out.
    earlier : frozenset of str
        Names of the files that a run left that did not end.
    taken_up : list of str
        What was taken from these, to be told.
    """

    folder: Path
    check: Callable[[], object]
    least_s: float = WORTH_S
    ahead: Mapping[str, Future[None]] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()
    taken_up: list[str] = field(default_factory=list)

    def __call__(self, name: Sequence[str], kind: Any, work: Callable[[], T]) -> T:
        """Return what *work* returns, of type *kind*; it is not called if its result is kept.

        What this process or another cannot write is worked out and not kept.

        Raises
        ------
        EvidenceError
            If an input has changed since it was hashed.
        """
        if future := self.ahead.get(name[0]):
            wait([future])  # whatever became of it: the file is there or not
        path = self.folder / hashlib.sha256(json.dumps(list(name)).encode()).hexdigest()
        kept: T | None = _read(path, kind)
        if kept is not None:
            if path.name in self.earlier:
                self.taken_up.append(" ".join(name))
            return kept
        begun = time.monotonic()
        made = work()
        if time.monotonic() - begun < self.least_s:
            return made
        self.check()
        with contextlib.suppress(OSError):  # a full disk: the products will say so
            _write(path, made)
        return made


@contextlib.contextmanager
def keeping(
    directory: Path, flight: Flight, inputs: tuple[HashedInput, ...], *, anew: bool = False
) -> Iterator[Stages]:
    """Give the stages of the run into *directory*; they are gone when the block ends well.

    What another run left, with other inputs, settings or code, is removed first; all of it if *anew*. Hold
    the lock of *directory* around it.
    """
    top = directory.resolve().with_name(f".{directory.resolve().name}.stages")
    own = top / _key(flight, inputs)
    for each in sorted(top.iterdir()) if top.is_dir() else ():
        if anew or each != own:
            shutil.rmtree(each)
    earlier = frozenset(each.name for each in own.iterdir()) if own.is_dir() else frozenset()
    try:
        yield Stages(own, lambda: manifest.refuse_changed(flight, inputs), WORTH_S, earlier=earlier)
    except BaseException:
        for each in (own, top):
            with contextlib.suppress(OSError):  # there is something in it, for the next run
                each.rmdir()
        raise
    if top.exists():
        shutil.rmtree(top)


def forget(directory: Path) -> None:
    """Remove what is kept beside *directory*: its products are whole."""
    top = directory.resolve().with_name(f".{directory.resolve().name}.stages")
    if top.exists():
        shutil.rmtree(top)


def _key(flight: Flight, inputs: tuple[HashedInput, ...]) -> str:
    """Return all that the bits of a result hang on, as one hash."""
    made_of = {
        "run_id": manifest.run_id(flight, inputs),
        "versions": manifest.versions(),
        "environment": environment.describe(manifest.DISTRIBUTIONS),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def _write(path: Path, result: object) -> None:
    data = msgspec.msgpack.encode(result, enc_hook=_encoded)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(hashlib.sha256(data).hexdigest().encode())
        stream.write(data)


def _read(path: Path, kind: Any) -> Any:
    """Return what stands in *path*; None when nothing does, or not what was written there."""
    try:
        whole = memoryview(path.read_bytes())
    except OSError:
        return None
    digest, data = whole[:DIGEST_LENGTH], whole[DIGEST_LENGTH:]
    if hashlib.sha256(data).hexdigest().encode() != digest:
        return None
    return msgspec.msgpack.Decoder(kind, dec_hook=_decoded).decode(data)


def _encoded(value: object) -> object:
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": value.shape, "data": np.ascontiguousarray(value).data}
    raise TypeError(f"no way to keep a {type(value).__name__}")


def _decoded(kind: type, value: Any) -> Any:
    """Return an array; what has no type stays as it is."""
    if kind is object:
        return value
    return np.frombuffer(value["data"], np.dtype(value["dtype"])).reshape(value["shape"])
