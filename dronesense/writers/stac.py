"""A folder of products as a STAC 1.1 Item, so that a catalogue can hold it.

Core with the extensions "projection" 2.0 (where rasters lie) and "file" 2.1 (sizes and SHA-256 as multihash).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import shapely

from dronesense.errors import CoverageError, ReadError
from dronesense.writers import layers as layers_module
from dronesense.writers.atomic import MANIFEST_NAME, sha256_file, write_bytes
from dronesense.writers.geojson import WORDING, as_member, bbox, prepare
from dronesense.writers.layers import Layers

STAC_VERSION: Final = "1.1.0"
EXTENSIONS: Final = (
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
)
SHA256_MULTIHASH: Final = "1220"
"""Multihash code of SHA-256 and its length, 32 bytes (multiformats)."""
MEDIA_TYPES: Final = {
    ".geojson": ("application/geo+json", ["data"]),
    ".gpkg": ("application/geopackage+sqlite3", ["data"]),
    ".tif": ("image/tiff; application=geotiff; profile=cloud-optimized", ["data"]),
    ".csv": ("text/csv", ["data"]),
    ".png": ("image/png", ["overview"]),
    ".qml": ("application/xml", ["metadata"]),
    ".json": ("application/json", ["metadata"]),
}
"""Suffix -> media type, roles."""
STATISTICS: Final = ("minimum", "maximum", "mean", "stddev")


def write_layers(layers: Layers, layer_path: Path, path: Path) -> None:
    """Write the products beside *layer_path* as a STAC Item to *path*; links are relative to it.

    Raises
    ------
    CoverageError
        If no time or no place is known.
    ReadError
        If a product that ``run.json`` lists is not there.
    OSError
        If the disk is full or the folder cannot be written.
    """
    found = json.dumps(item(layers, layer_path, path), allow_nan=False, ensure_ascii=False, indent=1)
    write_bytes(path, f"{found}\n".encode("utf-8", errors="replace"))


def item(layers: Layers, layer_path: Path, path: Path) -> dict[str, Any]:
    """Return the STAC Item of the products beside *layer_path*, for a file at *path*."""
    begin, end = layers.begin(), layers.moment()
    if begin is None:
        raise CoverageError("no time is known, which a STAC Item needs", where=layer_path)
    area = _area(layers, layer_path)
    folder = layer_path.parent
    run = _manifest(folder)
    run_id = run.get("run_id") or layers.collection.get("dronesense", {}).get("run")
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": "-".join(str(part) for part in (layers.flight, run_id) if part),
        "geometry": as_member(area),
        "bbox": bbox([area]),
        "properties": {
            "title": f"Hotspots of flight {layers.flight}",
            "description": WORDING,
            "datetime": None,
            "start_datetime": begin,
            "end_datetime": end,
            "dronesense:run": run_id,
            "dronesense:hotspots": len(layers.features),
        },
        "links": [],
        "assets": {name: _asset(folder / name, path, row) for name, row in _products(folder, run).items()},
    }


def _area(layers: Layers, where: Path) -> Any:
    """Return the box around everything with a place, cut at the antimeridian."""
    parts = [shape for table in layers_module.tables(layers) for shape in table.geometries]
    if not parts:
        raise CoverageError("nothing has a place, which a STAC Item needs", where=where)
    west, south, east, north = bbox(parts)
    east += 360.0 if east < west else 0.0
    return prepare(shapely.box(west, south, east, north), (west, south))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ReadError(f"is not JSON ({error})", where=folder / MANIFEST_NAME) from error
    return dict(manifest) if isinstance(manifest, dict) else {}


def _products(folder: Path, run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    rows = {
        str(row["path"]): row for row in run.get("outputs", []) if isinstance(row, dict) and "path" in row
    }
    if run:
        rows[MANIFEST_NAME] = {}
    if not rows:
        rows = {each.name: {} for each in (folder / layers_module.HOTSPOTS_NAME,) if each.is_file()}
    for name in rows:
        if not (folder / name).is_file():
            raise ReadError(f"{MANIFEST_NAME} lists it, but it is gone", where=folder / name)
    return dict(sorted(rows.items()))


def _asset(product: Path, path: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    href = PurePosixPath(Path(os.path.relpath(product, path.parent)).as_posix())
    media, roles = MEDIA_TYPES.get(product.suffix, ("application/octet-stream", ["data"]))
    asset = {
        "href": f"./{href}" if not str(href).startswith("..") else str(href),
        "type": media,
        "roles": roles,
        "file:size": int(row.get("bytes") or product.stat().st_size),
        "file:checksum": SHA256_MULTIHASH + str(row.get("sha256") or sha256_file(product)),
    }
    return asset | (_raster(product) if product.suffix == ".tif" else {})


def _raster(product: Path) -> dict[str, Any]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(product) as source:
            return {
                "proj:code": source.crs.to_string(),
                "proj:shape": list(source.shape),
                "proj:transform": list(source.transform)[:6],
                "bands": [_band(source, number) for number in source.indexes],
            }
    except RasterioError as error:
        raise ReadError(f"is not a raster that GDAL reads ({error})", where=product) from error


def _band(source: Any, number: int) -> dict[str, Any]:
    tags = source.tags(number)
    known = {each: float(tags[f"STATISTICS_{each.upper()}"]) for each in STATISTICS
             if f"STATISTICS_{each.upper()}" in tags}  # fmt: skip
    band: dict[str, Any] = {
        "name": f"band {number}",
        "description": source.descriptions[number - 1] or "",
        "data_type": str(np.dtype(source.dtypes[number - 1])),
        "unit": source.units[number - 1] or "1",
    }
    if source.nodata is not None:
        band["nodata"] = "nan" if math.isnan(source.nodata) else source.nodata
    return band | ({"statistics": known} if known else {})
