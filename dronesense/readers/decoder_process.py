"""The process that decodes foreign files: what a file does to its decoder, it does to this process alone.

It is started by :mod:`dronesense.readers.decoder` for one kind of file, answers requests on its standard
input, and ends with it. Messages are MessagePack behind their length in 8 bytes; numbers follow the header as
they lie in memory.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
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
"""Of a message without its arrays."""
LONGEST_VECTOR: Final = 100_000
"""A longer vector is no list of wavelengths."""
LONGEST_TEXT: Final = 1000
"""Of an attribute, characters."""
HDF_FAULTS: Final = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError)
"""What h5py says against a file."""

Arrays = tuple[np.ndarray[Any, Any], ...]
Answer = Callable[[dict[str, Any], dict[int, Any]], tuple[dict[str, Any], Arrays]]


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


def serve(asked: BinaryIO, answers: BinaryIO, answer: Answer, faults: tuple[type[Exception], ...]) -> None:
    """Answer requests until there are no more; *faults* are what its library says against a file."""
    held: dict[int, Any] = {}
    while True:
        try:
            request = receive(asked)
        except EOFError:
            return
        try:
            message, arrays = answer(request, held)
        except faults as error:
            message, arrays = {"error": str(error) or type(error).__name__}, ()
        send(answers, message, *arrays)


def _raster(request: dict[str, Any], held: dict[int, Any]) -> tuple[dict[str, Any], Arrays]:
    """Answer for a GeoTIFF: open, close, read, masks."""
    import rasterio

    number = request["number"]
    if request["do"] == "open":
        held[number] = rasterio.open(request["path"], driver="GTiff")
        return _raster_described(held[number]), ()
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


def _raster_described(dataset: Any) -> dict[str, Any]:
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


def _hdf(request: dict[str, Any], held: dict[int, Any]) -> tuple[dict[str, Any], Arrays]:
    """Answer for an HDF5 file: open, close, list what is in it, tell of a dataset, read a part of it."""
    import h5py

    number = request["number"]
    if request["do"] == "open":
        held[number] = h5py.File(request["path"], "r")
        return {}, ()
    if request["do"] == "close":
        held.pop(number).close()
        return {}, ()
    file = held[number]
    if request["do"] == "list":
        return _hdf_listed(file), ()
    item = file[request["dataset"]]
    if request["do"] == "tell":
        return _hdf_described(item, file), ()
    return {}, (item[tuple(slice(start, stop) for start, stop in request["window"])],)


def _hdf_listed(file: Any) -> dict[str, Any]:
    """Return the shapes of all datasets of three dimensions, and all vectors with their units."""
    cubes: dict[str, list[int]] = {}
    vectors: dict[str, dict[str, Any]] = {}

    def visit(name: str, item: Any) -> None:
        if not hasattr(item, "ndim") or name != _clean(name):  # a group, or a name that is no text
            return
        try:
            numeric = item.dtype.kind in "iuf"
        except TypeError:  # a type that numpy does not have
            return
        if not numeric:
            return
        if item.ndim == 3 and 0 not in item.shape:
            cubes[name] = list(item.shape)
        elif item.ndim == 1 and item.size <= LONGEST_VECTOR:
            vectors[name] = {"size": item.size, "unit": _value(item.attrs.get("units", ""))["text"]}

    file.visititems(visit)
    return {"cubes": cubes, "vectors": vectors}


def _hdf_described(item: Any, file: Any) -> dict[str, Any]:
    """Return what a dataset says of itself, with the attributes of its group and file."""
    attributes: dict[str, dict[str, Any]] = {}
    for holder in (item, item.parent, file):
        for key, value in holder.attrs.items():
            attributes.setdefault(_clean(key), _value(value))
    names = []
    for dimension in item.dims:
        scale = _clean(dimension[0].name or "").rpartition("/")[2] if len(dimension) else ""
        names.append(_clean(dimension.label) or scale)
    return {
        "shape": list(item.shape),
        "dtype": str(item.dtype),
        "chunks": None if item.chunks is None else list(item.chunks),
        "stored": item.id.get_storage_size(),
        "elsewhere": bool(item.external or item.is_virtual),
        "attributes": attributes,
        "dimensions": names,
    }


def _value(value: Any) -> dict[str, Any]:
    """Return an attribute as text (of its first value), and as numbers where it holds any."""
    array = np.asarray(value)
    first = array.ravel()[0] if array.size else ""
    text = _clean(first if isinstance(first, bytes) else str(first))
    numeric = array.dtype.kind in "iuf" and array.size <= LONGEST_VECTOR
    numbers = [float(each) for each in array.ravel()] if numeric else None
    return {"text": text.strip()[:LONGEST_TEXT], "numbers": numbers, "rank": array.ndim}


def _clean(text: str | bytes) -> str:
    """Return a name or text without what is no UTF-8: h5py gives such as bytes, or with lone surrogates."""
    encoded = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return encoded.decode("utf-8", "replace")


def _limit() -> None:
    """Take no more memory than is allowed, and leave no core file."""
    try:
        import resource
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # a stricter limit is there already
            resource.setrlimit(what, (most, most))


def main(kind: str) -> None:
    """Serve the process that started this one; what libraries print goes nowhere."""
    _limit()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if kind == "hdf":
        serve(sys.stdin.buffer, answers, _hdf, HDF_FAULTS)
        return
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with rasterio.Env(**ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        serve(
            sys.stdin.buffer,
            answers,
            _raster,
            (RasterioError, CPLE_BaseError, UnicodeDecodeError, MemoryError),
        )
