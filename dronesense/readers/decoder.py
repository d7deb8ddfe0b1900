"""Foreign files are decoded in a process of their own, one for each kind, with limits of memory and time.

A file that crashes its decoder, takes all memory, or keeps it busy without end, costs this file and not the
run. What is in the process is :mod:`dronesense.readers.decoder_process`; this module starts it, asks it, and
ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.readers import content
from dronesense.readers.decoder_process import receive, send

MAX_BLOCK_BYTES: Final = 256 << 20
"""Decoded size of one strip, tile or chunk beyond which a file is refused: a 5 kB file can ask for 2 GB."""
PATIENCE_S: Final = 60.0
"""Time that the decoder has for a request, and one second more ..."""
BYTES_PER_S: Final = 2_000_000
"""... for so many decoded bytes: a thirtieth of what a slow card gives."""
PIPE_BYTES: Final = 1 << 20
"""What fits into the pipe between the processes; more than this only root may ask for on Linux."""
START: Final = """import sys
sys.path[:] = sys.argv[2:]
from dronesense.readers import decoder_process
decoder_process.main(sys.argv[1])"""


class _BrokenError(Exception):
    """The decoding process is gone."""


class Decoder:
    """The process that decodes one kind of file, started when it is first needed.

    Parameters
    ----------
    kind : str
        What the process is asked to decode.
    title : str
        What the format is called in messages.
    """

    def __init__(self, kind: Literal["raster", "hdf"], title: str) -> None:
        self.kind = kind
        self.title = title
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._numbers = 0
        self._starts = 0
        """How often it has been started: numbers given before are those of a process that is gone."""
        atexit.register(self.stop)

    @contextmanager
    def opened(self, path: Path) -> Iterator[Held]:
        """Open a file in the process; whatever is against it becomes a ReadError."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
            about, _ = self.ask(path, {"do": "open", "number": number, "path": str(path.absolute())})
            start = self._starts
        try:
            yield Held(self, path, about, number, start)
        finally:
            if self.holds(start):
                self.ask(path, {"do": "close", "number": number})

    def holds(self, start: int) -> bool:
        """Return whether the process of that start is still there."""
        with self._lock:
            process = self._process
            return start == self._starts and process is not None and process.poll() is None

    def ask(
        self,
        path: Path,
        request: dict[str, Any],
        expected: Sequence[tuple[Any, ...]] = (),
        *,
        decoded_bytes: int = 0,
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Return the answer to a request with its arrays, of the shapes *expected*.

        Raises
        ------
        UnreadableError
            If the disk or card does not give all of the file.
        ReadError
            If the process died or took too long, or its library says something against the file, twice.
        """
        patience_s = PATIENCE_S + decoded_bytes / BYTES_PER_S
        try:
            answer, arrays = self._ask(request, expected, patience_s)
            if "error" in answer:
                with contextlib.suppress(FileNotFoundError, PermissionError, IsADirectoryError):
                    content.ask_for_all(path)
                    answer, arrays = self._ask(request, expected, patience_s)
        except _BrokenError as error:
            raise ReadError(
                f"cannot be read as {self.title}: its decoder was ended ({error})",
                where=path,
                fix="copy it again from the card; if it stays, leave the file out and tell who wrote it",
            ) from error
        if "error" in answer:
            raise ReadError(
                f"cannot be read as {self.title} ({_short(answer['error'])})",
                where=path,
                fix="copy it again from the card: it may be cut",
            )
        return answer, arrays

    def _ask(
        self, request: dict[str, Any], expected: Sequence[tuple[Any, ...]], patience_s: float
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            late = threading.Event()
            clock = threading.Timer(patience_s, _end, (process, late))
            clock.daemon = True
            clock.start()
            try:
                send(process.stdin, request)  # type: ignore[arg-type]
                answer = receive(process.stdout)  # type: ignore[arg-type]
                arrays = [] if "error" in answer else received(process.stdout, answer, expected)
            except (EOFError, OSError, ValueError, TypeError, KeyError) as error:
                self.stop()
                raise _BrokenError(
                    f"it took more than {patience_s:.0f} s" if late.is_set() else "it crashed"
                ) from error
            finally:
                clock.cancel()
            return answer, arrays

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # after a fork: the process belongs to the parent
            self._process, self._owner = None, os.getpid()
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it died by itself
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with our own code
                [sys.executable, "-I", "-c", START, self.kind, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                close_fds=True,
            )
            _widen(self._process)
            self._starts += 1
        return self._process

    def stop(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            process, self._process = self._process, None
            if process is None or self._owner != os.getpid():
                return
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            process.wait()


@dataclass(slots=True, eq=False)
class Held:
    """A file that the process holds open, and what it said of it."""

    decoder: Decoder
    path: Path
    about: dict[str, Any]
    number: int
    start: int

    def ask(
        self,
        request: dict[str, Any],
        expected: Sequence[tuple[Any, ...]] = (),
        *,
        decoded_bytes: int = 0,
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Return the answer to a request about this file, see :meth:`Decoder.ask`."""
        if not self.decoder.holds(self.start):
            raise ReadError(
                "cannot be read on: its decoder was ended, by this file or by another one",
                where=self.path,
                fix="run it alone",
            )
        return self.decoder.ask(
            self.path, {**request, "number": self.number}, expected, decoded_bytes=decoded_bytes
        )


def received(stream: Any, answer: dict[str, Any], expected: Sequence[tuple[Any, ...]]) -> list[NDArray[Any]]:
    """Read the arrays behind an answer; they must have the shapes *expected*."""
    told = [(kind, tuple(shape)) for kind, shape in answer["arrays"]]
    if [shape for _, shape in told] != list(expected):
        raise ValueError(f"arrays of {told} in place of {expected}")
    found = []
    for kind, shape in told:
        if np.dtype(kind).kind not in "biufc":
            raise TypeError(kind)
        array = np.empty(shape, dtype=kind)
        rest = array.reshape(-1).view(np.uint8).data
        while rest:
            count = stream.readinto(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        found.append(array)
    return found


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Let more wait in the pipe of answers than the usual 64 kB, where the system can."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _short(text: str) -> str:
    """Return the first line of what a library says."""
    return text.splitlines()[0][:160] if text else "no reason given"


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    """End a process that takes too long."""
    late.set()
    process.kill()
