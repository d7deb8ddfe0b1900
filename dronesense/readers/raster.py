"""The one place where readers open rasters: hardened against hostile and misled files.

The GTiff driver alone, no sidecar files, blocks capped, and all decoding in a process of its own
(:mod:`dronesense.readers.raster_worker`) with limits of memory and time: a file that crashes the decoder, or
keeps it busy without end, costs this file and not the run. That no data are cut off, ``tiff_directory.check``
sees beforehand.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError

MAX_BLOCK_BYTES: Final = 256 << 20
"""Decoded size of one strip or tile beyond which a file is refused: a 5 kB file can ask for 2 GB."""
PATIENCE_S: Final = 60.0
"""Time that the decoder has for a request, and one second more ..."""
BYTES_PER_S: Final = 2_000_000
"""... for so many decoded bytes: a thirtieth of what a slow card gives."""
START: Final = """import sys
sys.path[:] = sys.argv[1:]
from dronesense.readers import raster_worker
raster_worker.main()"""

Window = tuple[tuple[int, int], tuple[int, int]]


class _BrokenError(Exception):
    """The decoding process is gone."""


class _Worker:
    """The decoding process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._numbers = 0
        self.starts = 0
        """How often it has been started: numbers given before are those of a process that is gone."""

    def holds(self, start: int) -> bool:
        """Return whether the process of that start is still there."""
        with self._lock:
            process = self._process
            return start == self.starts and process is not None and process.poll() is None

    def number(self) -> int:
        """Return a number for a file to open."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def ask(
        self,
        request: dict[str, Any],
        expected: Sequence[tuple[Any, ...]] = (),
        *,
        patience_s: float = PATIENCE_S,
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """Return the answer to a request with its arrays, of the shapes *expected*.

        Raises
        ------
        _BrokenError
            If the process died, took too long, or answered something else.
        """
        from dronesense.readers.raster_worker import receive, send

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
                arrays = [] if "error" in answer else self._arrays(process.stdout, answer, expected)
            except (EOFError, OSError, ValueError, TypeError, KeyError) as error:
                self.stop()
                raise _BrokenError(
                    f"it took more than {patience_s:.0f} s" if late.is_set() else "it crashed"
                ) from error
            finally:
                clock.cancel()
            return answer, arrays

    @staticmethod
    def _arrays(
        stream: Any, answer: dict[str, Any], expected: Sequence[tuple[Any, ...]]
    ) -> list[NDArray[Any]]:
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

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # after a fork: the process belongs to the parent
            self._process, self._owner = None, os.getpid()
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it died by itself
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with our own code
                [sys.executable, "-I", "-c", START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                close_fds=True,
            )
            self.starts += 1
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


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    """End a process that takes too long."""
    late.set()
    process.kill()


_WORKER: Final = _Worker()
atexit.register(_WORKER.stop)


@dataclass(slots=True, eq=False)
class Raster:
    """An open file: what it says of itself, and its pixels; like a dataset of rasterio."""

    path: Path
    about: dict[str, Any]
    number: int
    start: int
    crs: Any
    transform: Any
    dtypes: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.dtypes = tuple(self.about["dtypes"])

    def __getattr__(self, name: str) -> Any:
        """Return a plain property: count, height, width, units, scales, offsets, nodata, descriptions ..."""
        if name in ("tags", "imagery", "arrays") or name not in self.about:
            raise AttributeError(name)
        return self.about[name]

    def tags(self, band: int = 0, ns: str = "") -> dict[str, str]:
        """Return the tags of the file (0) or of a band; of the domain IMAGERY where *ns* says so."""
        found: dict[str, str] = self.about["imagery" if ns == "IMAGERY" else "tags"][band]
        return found

    def read(self, band: int | None = None, *, window: Window | None = None, masked: bool = False) -> Any:
        """Return the pixels of a window: (rows, cols) of one band, (bands, rows, cols) of all."""
        shape = self._shape(window) if band is not None else (self.about["count"], *self._shape(window))
        arrays = self._ask(
            {"do": "read", "band": band, "window": window, "masked": masked}, [shape] * (1 + masked)
        )
        return np.ma.MaskedArray(arrays[0], mask=arrays[1]) if masked else arrays[0]

    def read_masks(self, *, window: Window | None = None) -> NDArray[np.uint8]:
        """Return which pixels are valid, (bands, rows, cols), 0 where they are not."""
        shape = (self.about["count"], *self._shape(window))
        return self._ask({"do": "masks", "window": window}, [shape])[0]

    def _shape(self, window: Window | None) -> tuple[int, int]:
        (top, bottom), (left, right) = window or ((0, self.about["height"]), (0, self.about["width"]))
        return bottom - top, right - left

    def _ask(self, request: dict[str, Any], expected: list[tuple[int, ...]]) -> list[NDArray[Any]]:
        if not _WORKER.holds(self.start):
            raise ReadError(
                "cannot be read on: its decoder was ended, by this file or by another one",
                where=self.path,
                fix="run it alone",
            )
        count = sum(int(np.prod(shape)) for shape in expected) * 8
        answer, arrays = _asked(
            self.path, {**request, "number": self.number}, expected, PATIENCE_S + count / BYTES_PER_S
        )
        del answer
        return arrays


def _asked(
    path: Path,
    request: dict[str, Any],
    expected: Sequence[tuple[Any, ...]] = (),
    patience_s: float = PATIENCE_S,
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return the worker's answer; whatever it or GDAL says against the file becomes a ReadError."""
    try:
        answer, arrays = _WORKER.ask(request, expected, patience_s=patience_s)
    except _BrokenError as error:
        raise ReadError(
            f"cannot be read as GeoTIFF: its decoder was ended ({error})",
            where=path,
            fix="copy it again from the card; if it stays, leave the file out and tell who wrote it",
        ) from error
    if "error" in answer:
        raise ReadError(
            f"cannot be read as GeoTIFF ({answer['error']})", where=path, fix="copy it again from the card"
        )
    return answer, arrays


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open *path* hardened; whatever its decoder says against it becomes a ReadError."""
    import rasterio
    from rasterio.errors import CRSError

    number = _WORKER.number()
    about, _ = _asked(path, {"do": "open", "number": number, "path": str(path.absolute())})
    start = _WORKER.starts
    try:
        crs = rasterio.CRS.from_wkt(about["crs"]) if about["crs"] else None
        yield Raster(path, about, number, start, crs, rasterio.Affine(*about["transform"]))
    except CRSError as error:
        raise ReadError(f"has a CRS that cannot be read ({error})", where=path) from error
    finally:
        if _WORKER.holds(start):
            _asked(path, {"do": "close", "number": number})


def check(path: Path, dataset: Any) -> None:
    """Refuse complex numbers and blocks that would take all memory."""
    if any(np.dtype(kind).kind not in "iuf" for kind in dataset.dtypes):
        raise ReadError(f"holds {dataset.dtypes[0]} numbers, not a cube or heights", where=path)
    item = max(np.dtype(kind).itemsize for kind in dataset.dtypes)
    largest = max(rows * cols for rows, cols in dataset.block_shapes) * item
    if dataset.interleaving == "pixel":
        largest *= dataset.count
    if largest > MAX_BLOCK_BYTES:
        raise ReadError(
            f"has blocks of {largest} bytes (at most {MAX_BLOCK_BYTES})",
            where=path,
            fix="write it again with smaller tiles: gdal_translate -co TILED=YES",
        )


def crs_text(dataset: Any) -> str:
    """Return the CRS as text, empty if there is none."""
    if not dataset.crs:
        return ""
    code = dataset.crs.to_epsg()
    return str(dataset.crs.to_wkt()) if code is None else f"EPSG:{code}"
