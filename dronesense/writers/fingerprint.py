"""What a product says, apart from how its bytes are laid out: hashes of pixels and of features.

Another version of GDAL may pack the same raster into other bytes. The SHA-256 of the decoded content tells
whether the two still say the same: of a raster its grid, CRS, descriptions, units and every pixel of every
band; of vector layers their features in sorted order.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.writers.raster import ENVIRONMENT

CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Decoded at a time, B."""
MAX_ROW_BYTES: Final = 256 * 1024 * 1024
"""A raster with a longer row is not one of ours, and is not decoded, B."""
ENVELOPE_BYTES: Final = (0, 32, 48, 48, 64)
"""Length of the envelope by its code in the flags of a geometry, B (OGC 12-128r19, 2.1.3)."""
GEOMETRY_HEAD_BYTES: Final = 8
"""Magic, version, flags and SRS id of a geometry, B (OGC 12-128r19, 2.1.3)."""


def content_sha256(path: Path) -> str | None:
    """Return the SHA-256 of what the raster or vector file *path* says; None for other kinds of files.

    Parameters
    ----------
    path : Path
        ``.tif`` (GeoTIFF), ``.geojson`` (a FeatureCollection) or ``.gpkg``; nothing else is opened.

    Raises
    ------
    ReadError
        If it does not hold what its name promises.
    OSError
        If it cannot be read.
    """
    kind = path.suffix.lower()
    if kind in (".tif", ".tiff"):
        return _of_raster(path)
    if kind == ".geojson":
        return _of_geojson(path)
    return _of_geopackage(path) if kind == ".gpkg" else None


def share_alike(one: Path, other: Path, *, tolerance: float) -> float:
    """Return which share of the pixels of two rasters of one grid differ by at most *tolerance*.

    Pixels that are NaN in both are alike. Rasters of different grids or CRSs share nothing: 0.

    Raises
    ------
    ReadError
        If one of them is no GeoTIFF.
    """
    with _opened(one) as first, _opened(other) as second:
        if _head(first) != _head(second):
            return 0.0
        alike = total = 0
        for window in _windows(first):
            a, b = (each.read(window=window).astype(np.float64) for each in (first, second))
            alike += int(np.count_nonzero((np.abs(a - b) <= tolerance) | (np.isnan(a) & np.isnan(b))))
            total += a.size
    return alike / total if total else 1.0


@contextlib.contextmanager
def _opened(path: Path) -> Any:
    import rasterio
    from rasterio._err import CPLE_BaseError  # GDAL's errors leak through rasterio, without a public name
    from rasterio.errors import RasterioError

    try:
        with (
            rasterio.Env(**ENVIRONMENT, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(path, driver="GTiff") as source,
        ):
            if source.width * source.count * np.dtype(source.dtypes[0]).itemsize > MAX_ROW_BYTES:
                raise ReadError("has rows longer than any product of ours", where=path)
            yield source
    except (RasterioError, CPLE_BaseError, ValueError, SystemError) as error:  # ValueError: text not in UTF-8
        raise ReadError(f"is not a GeoTIFF that can be decoded ({error})", where=path) from error


def _head(source: Any) -> dict[str, Any]:
    """Return what a raster says beside its pixels, in words that do not depend on GDAL's version."""
    code = None if source.crs is None else source.crs.to_epsg()
    return {
        "crs": f"EPSG:{code}" if code else source.crs.to_wkt() if source.crs else None,
        "transform": [float(each) for each in source.transform[:6]],
        "shape": [source.count, source.height, source.width],
        "dtypes": list(source.dtypes),
        "nodata": [None if each is None else repr(float(each)) for each in source.nodatavals],
        "descriptions": list(source.descriptions),
        "units": [each or None for each in source.units],
    }


def _windows(source: Any) -> Any:
    from rasterio.windows import Window

    row_bytes = source.width * source.count * np.dtype(source.dtypes[0]).itemsize
    rows = max(1, CHUNK_BYTES // max(row_bytes, 1))
    for start in range(0, source.height, rows):
        yield Window(0, start, source.width, min(rows, source.height - start))


def _of_raster(path: Path) -> str:
    with _opened(path) as source:
        digest = hashlib.sha256(_canonical(_head(source)))
        for band in range(1, source.count + 1):
            for window in _windows(source):
                digest.update(_portable(source.read(band, window=window)))
    return digest.hexdigest()


def _portable(values: NDArray[Any]) -> bytes:
    """Return pixels as little-endian bytes with one kind of NaN."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _of_geojson(path: Path) -> str:
    try:
        collection = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ReadError(f"is not JSON ({error})", where=path) from error
    if not isinstance(collection, dict) or not isinstance(collection.get("features"), list):
        raise ReadError("is not a GeoJSON FeatureCollection", where=path)
    about = {key: value for key, value in collection.items() if key != "features"}
    return _of_rows(_canonical(about), [_canonical(each) for each in collection["features"]])


def _of_geopackage(path: Path) -> str:
    """Hash the rows of every table of features: names and values of columns, geometries as WKB."""
    digest = hashlib.sha256()
    try:
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            tables = database.execute(
                "SELECT c.table_name, g.column_name, c.srs_id FROM gpkg_contents AS c "
                "JOIN gpkg_geometry_columns AS g USING (table_name) ORDER BY 1"
            ).fetchall()
            for table, geometry, srs in tables:
                quoted = '"' + str(table).replace('"', '""') + '"'
                cursor = database.execute(f"SELECT * FROM {quoted}")  # noqa: S608 - quoted as SQLite asks
                names = [each[0] for each in cursor.description]
                place = names.index(geometry)
                rows = [
                    _canonical([_cell(value, i == place) for i, value in enumerate(row)]) for row in cursor
                ]
                digest.update(_of_rows(_canonical([table, srs, names]), rows).encode())
    except (sqlite3.Error, ValueError, struct.error) as error:
        raise ReadError(f"is not a GeoPackage that can be decoded ({error})", where=path) from error
    return digest.hexdigest()


def _cell(value: Any, is_geometry: bool) -> Any:
    if not isinstance(value, bytes):
        return value
    if is_geometry and value[:2] == b"GP":
        flags = value[3]
        code = (flags >> 1) & 7
        start = GEOMETRY_HEAD_BYTES + ENVELOPE_BYTES[code] if code < len(ENVELOPE_BYTES) else 0
        value = value[start:]
    return value.hex()


def _of_rows(about: bytes, rows: list[bytes]) -> str:
    digest = hashlib.sha256(about + b"\n")
    for row in sorted(rows):
        digest.update(row + b"\n")
    return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", errors="surrogatepass")
