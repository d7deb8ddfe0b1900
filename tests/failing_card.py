"""A card that does not give some bytes of a file, as the system tells it: EIO, there and nowhere else."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Raw(io.FileIO):
    card: Card

    def _most(self, count: int) -> int:
        """Return how many of *count* bytes are given from here."""
        at, card = self.tell(), self.card
        if count < 0:
            count = max(0, os.fstat(self.fileno()).st_size - at)
        if at >= card.last or at + count <= card.first or card.times <= 0:
            return count
        if at < card.first:
            return card.first - at
        card.times -= 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, count: int = -1, /) -> bytes:
        return self.readall() if count < 0 else super().read(self._most(count))

    def readall(self) -> bytes:
        parts = []
        while part := super().read(self._most(-1)):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        return super().readinto(view[: self._most(len(view))])


class Card:
    """Which bytes of which file are not given, and how many times yet."""

    def __init__(self, path: Path, first: int, last: int, times: float) -> None:
        self.path, self.first, self.last, self.times = path.resolve(), first, last, times

    def open(self, file: Any, mode: str, buffering: int, encoding: Any, errors: Any, newline: Any) -> Any:
        raw = _Raw(file, mode.replace("b", "").replace("t", ""))
        raw.card = self
        if buffering == 0:
            return raw
        stream = io.BufferedReader(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)


@contextmanager
def failing(path: Path, first: int, last: int, *, times: float = float("inf")) -> Iterator[Card]:
    """Give all files as they are but bytes *first* up to *last* of *path*, the first *times* times."""
    card, plain = Card(path, first, last, times), io.open

    def opened(
        file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
        newline: Any = None, *more: Any, **named: Any,
    ) -> Any:  # fmt: skip
        if not isinstance(file, int) and "r" in mode and Path(os.fsdecode(file)).resolve() == card.path:
            return card.open(file, mode, buffering, encoding, errors, newline)
        return plain(file, mode, buffering, encoding, errors, newline, *more, **named)

    kept = builtins.open
    io.open = builtins.open = opened  # type: ignore[assignment]
    try:
        yield card
    finally:
        io.open, builtins.open = plain, kept
