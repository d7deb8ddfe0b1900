"""The style file (``.qml``) that QGIS takes by itself from beside a layer or a raster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from dronesense.writers import columns, layers, style, thinning
from dronesense.writers.atomic import write_bytes
from dronesense.writers.columns import Column

SHAPES = ("Point", "MultiLineString", "MultiPolygon")
"""By the dimension of the geometry."""
RASTERS = (".tif", ".tiff")


def write_side_style(product: Path, path: Path | None = None) -> Path:
    """Write the QGIS style of *product* (a hotspot layer or a raster of a run) and return its path.

    A GeoJSON may hold points, lines and areas, a style only fits one of them: it is made for the areas if
    there are any, else for the lines, else for the points. The GeoPackage has a style for each.

    Parameters
    ----------
    product : Path
        ``.geojson``, or a GeoTIFF.
    path : Path, optional
        The style; *product* with the suffix ``.qml`` unless named.

    Raises
    ------
    ReadError
        If *product* is neither.
    OSError
        If the disk is full or the folder cannot be written.
    """
    target = product.with_suffix(".qml") if path is None else path
    if product.suffix.lower() in RASTERS:
        raster = thinning.read_thinned(product)
        data = style.raster_qml(raster.values, raster.unit if raster.unit != "1" else raster.description)
    else:
        data = _layer_style(product)
    write_bytes(target, data)
    return target


def _layer_style(product: Path) -> bytes:
    features = layers.read_collection(product)["features"]
    shapes = layers.geometries(features)
    dimension = max((int(shapely.get_dimensions(shape)) for shape in shapes), default=2)
    names = list(dict.fromkeys(name for feature in features for name in feature["properties"]))
    known = {column.name: column for column in columns.HOTSPOT}
    fields = [known.get(name, Column(name, "text", name, "")) for name in names]
    kinds = {str(feature["properties"].get("kind")) for feature in features}
    look = style.hotspots(kinds, labels=True)
    return style.qml(look, SHAPES[int(np.clip(dimension, 0, 2))], fields)
