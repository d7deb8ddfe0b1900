"""The process that decodes foreign rasters: what a file does to its decoder, it does to this process alone.

It is started by :mod:`dronesense.readers.raster`, answers requests on its standard input, and ends with it.
Messages are MessagePack behind their length in 8 bytes; pixels follow the header as they lie in memory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np

MEMORY_BYTES: Final = 4 << 30
"""Address space of the process, where the system can limit it (not on Windows)."""
ENVIRONMENT: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_CACHEMAX": 64 << 20,
}
"""No sidecar files: an ``.aux.xml`` or world file can move coordinates while the TIFF keeps its hash."""
LENGTH_BYTES: Final = 8
MOST_HEADER: Final = 64 << 20
"""Of a message without its pixels."""


def send(stream: BinaryIO, message: dict[str, Any], *arrays: np.ndarray[Any, Any]) -> None:
    """Write a message and the arrays that belong to it."""
    head = msgspec.msgpack.encode({**message, "arrays": [(str(a.dtype), a.shape) for a in arrays]})
    stream.write(len(head).to_bytes(LENGTH_BYTES, "little") + head)
    stream.writelines(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Read a message without its arrays; EOFError when there is none."""
    length = int.from_bytes(_exactly(stream, LENGTH_BYTES), "little")
    if length > MOST_HEADER:
        raise EOFError(f"a message of {length} bytes")
    message: dict[str, Any] = msgspec.msgpack.decode(_exactly(stream, length), type=dict)
    return message


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the other process is gone")
    return data


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    held: dict[int, Any] = {}
    with rasterio.Env(**ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        while True:
            try:
                request = receive(asked)
            except EOFError:
                return
            try:
                message, arrays = _answer(request, held)
            except (RasterioError, CPLE_BaseError, UnicodeDecodeError, MemoryError) as error:
                message, arrays = {"error": str(error) or type(error).__name__}, ()
            send(answers, message, *arrays)


def _answer(
    request: dict[str, Any], held: dict[int, Any]
) -> tuple[dict[str, Any], tuple[np.ndarray[Any, Any], ...]]:
    import rasterio

    number = request["number"]
    if request["do"] == "open":
        held[number] = rasterio.open(request["path"], driver="GTiff")
        return _described(held[number]), ()
    if request["do"] == "close":
        held.pop(number).close()
        return {}, ()
    dataset, window = held[number], request["window"]
    span = None if window is None else tuple(map(tuple, window))
    if request["do"] == "masks":
        return {}, (dataset.read_masks(window=span),)
    found = dataset.read(request["band"], window=span, masked=request["masked"])
    if not request["masked"]:
        return {}, (found,)
    return {}, (found.data, np.ma.getmaskarray(found))


def _described(dataset: Any) -> dict[str, Any]:
    """Return all that readers ask of an open file."""
    bands = range(1, dataset.count + 1)
    interleaving = dataset.interleaving
    return {
        "count": dataset.count,
        "height": dataset.height,
        "width": dataset.width,
        "crs": dataset.crs.to_wkt() if dataset.crs else "",
        "transform": list(dataset.transform)[:6],
        "units": list(dataset.units),
        "scales": list(dataset.scales),
        "offsets": list(dataset.offsets),
        "dtypes": list(dataset.dtypes),
        "nodata": dataset.nodata,
        "descriptions": list(dataset.descriptions),
        "block_shapes": [list(each) for each in dataset.block_shapes],
        "interleaving": "" if interleaving is None else interleaving.name.lower(),
        "tags": [dataset.tags(), *(dataset.tags(band) for band in bands)],
        "imagery": [{}, *(dataset.tags(band, ns="IMAGERY") for band in bands)],
    }


def _limit() -> None:
    """Take no more memory than is allowed, and leave no core file."""
    try:
        import resource
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a stricter limit is there already
            resource.setrlimit(what, (most, most))


def main() -> None:
    """Serve the process that started this one; what libraries print goes nowhere."""
    _limit()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)
