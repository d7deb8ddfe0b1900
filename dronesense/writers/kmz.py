"""The hotspots for tablets and Google Earth: KML 2.2 (OGC 07-147r2) in a ZIP, with time spans and overlays.

Text goes through an XML writer, never into markup; the ZIP has fixed dates, so same layers give same bytes.
The plug-in "kmz" of ``dronesense.writers``.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.geodesy import to_grid, to_lonlat
from dronesense.model import GroundRaster, HotspotLayer
from dronesense.model.thumbnail import png
from dronesense.writers import columns, style, thinning
from dronesense.writers import layers as layers_module
from dronesense.writers.atomic import write_bytes
from dronesense.writers.geojson import WORDING
from dronesense.writers.layers import Layers
from dronesense.writers.markup import add, root, to_bytes

NAMESPACE: Final = "http://www.opengis.net/kml/2.2"
ICON: Final = "http://maps.google.com/mapfiles/kml/shapes/placemark_circle.png"
"""The circle that viewers bring along; they draw it without a network, in the color that the style says."""
ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest that a ZIP can hold, in place of the clock."""
UNIX: Final = 3
READABLE: Final = 0o100644 << 16
FILL_OPACITY: Final = 0x46
OPAQUE: Final = 0xFF
OVERLAY_PIXELS: Final = 1024
"""Longest side of a picture: what tablets draw without a pause."""
MAX_OVERLAYS: Final = 24
"""Pictures in a file, gas maps first: what a tablet holds in memory (4 MB each)."""
EDGE_POINTS: Final = 33
"""On each edge of a raster, to find how far its bent edges reach in longitude and latitude."""
METERS_PER_DEGREE: Final = 111_320.0
"""Of a great circle on the equator; it only sets the size of a picture's pixels."""
HALF_TURN_DEG: Final = 180.0
FULL_TURN_DEG: Final = 360.0
COORDINATE_DECIMALS: Final = 9


def write(layer: HotspotLayer, path: Path) -> None:
    """Write the hotspots, track and rasters of *layer* to *path*.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_layers(layers_module.from_layer(layer), path)


def write_layers(layers: Layers, path: Path) -> None:
    """Write *layers* to *path*: ``doc.kml`` and a picture for each raster.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    pictures: dict[str, bytes] = {}
    document = root("kml", {"xmlns": NAMESPACE})
    body = add(document, "Document")
    add(body, "name", f"{layers.flight}: indications, not proof")
    add(body, "description", WORDING)
    kinds = {str(each["properties"].get("kind")) for each in layers.features}
    for each in style.classes(kinds):
        _style(body, each.key, each.color, each.size)
    _style(body, "track", style.TRACK.classes[0].color, style.TRACK.classes[0].size)
    _hotspots(body, layers)
    _track(body, layers)
    overlays = [*layers.maps, *layers.rasters]
    if overlays:
        folder = add(body, "Folder")
        add(folder, "name", f"Rasters ({min(len(overlays), MAX_OVERLAYS)} of {len(overlays)})")
        for number, source in enumerate(overlays[:MAX_OVERLAYS], start=1):
            raster = thinning.thin(source)
            _overlay(folder, raster, f"overlay_{number}.png", pictures, shown=number == 1)
    files = {"doc.kml": to_bytes(document), **pictures}
    write_bytes(path, zipped(files))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of *files* by name, without the clock and the machine in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                UNIX,
                READABLE,
            )
            archive.writestr(entry, data)
    return stream.getvalue()


def _hotspots(body: Element, layers: Layers) -> None:
    folder = add(body, "Folder")
    add(folder, "name", "Hotspots")
    add(folder, "open", "1")
    points, _, _ = layers_module.hotspot_tables(layers)
    shapes = layers_module.geometries(layers.features)
    for feature, place, shape in zip(layers.features, points.geometries, shapes, strict=True):
        row = feature["properties"]
        mark = add(folder, "Placemark")
        add(mark, "name", f"{row.get('target')} ({row.get('status')})")
        if row.get("status") == "rejected":
            add(mark, "visibility", "0")
        add(mark, "description", WORDING)
        _span(mark, row)
        add(mark, "styleUrl", f"#{style.class_of(row)}")
        table = add(mark, "ExtendedData")
        for column in columns.HOTSPOT:
            value = row.get(column.name)
            if value is not None:
                data = add(table, "Data", attributes={"name": column.name})
                add(data, "displayName", column.alias)
                add(data, "value", str(value))
        both = add(mark, "MultiGeometry")
        _geometry(both, place)
        if shape.geom_type != "Point":
            _geometry(both, shape)


def _track(body: Element, layers: Layers) -> None:
    table = layers_module.track_table(layers)
    for number, shape in enumerate(table.geometries):
        row = {name: cells[number] for name, cells in table.values.items()}
        mark = add(body, "Placemark")
        add(mark, "name", f"Flown track, stretch {row['segment']}")
        _span(mark, row)
        add(mark, "styleUrl", "#track")
        _geometry(mark, shape)


def _span(mark: Element, row: Mapping[str, Any]) -> None:
    if row.get("start") and row.get("end"):
        span = add(mark, "TimeSpan")
        add(span, "begin", str(row["start"]))
        add(span, "end", str(row["end"]))


def _style(body: Element, key: str, color: str, size: float) -> None:
    look = add(body, "Style", attributes={"id": key})
    icon = add(look, "IconStyle")
    add(icon, "color", _abgr(color, OPAQUE))
    add(icon, "scale", f"{size:g}")
    add(add(icon, "Icon"), "href", ICON)
    line = add(look, "LineStyle")
    add(line, "color", _abgr(color, OPAQUE))
    add(line, "width", f"{4.0 * size:g}")
    add(add(look, "PolyStyle"), "color", _abgr(color, FILL_OPACITY))


def _abgr(color: str, opacity: int) -> str:
    """Return ``#rrggbb`` as KML writes it: opacity, blue, green, red.

    >>> _abgr("#0072B2", 255)
    'ffb27200'
    """
    return f"{opacity:02x}{color[5:7]}{color[3:5]}{color[1:3]}".lower()


def _geometry(parent: Element, geometry: Any) -> None:
    """Append a geometry on the ground; KML's heights are of the sea level, so none are given."""
    if geometry.geom_type.startswith("Multi"):
        several = add(parent, "MultiGeometry") if parent.tag == "Placemark" else parent
        for part in geometry.geoms:
            _geometry(several, part)
        return
    element = add(parent, geometry.geom_type)
    if geometry.geom_type == "Polygon":
        for name, rings in (
            ("outerBoundaryIs", [geometry.exterior]),
            ("innerBoundaryIs", geometry.interiors),
        ):
            for ring in rings:
                add(add(add(element, name), "LinearRing"), "coordinates", _coordinates(ring))
        return
    if geometry.geom_type == "LineString":
        add(element, "tessellate", "1")
    add(element, "coordinates", _coordinates(geometry))


def _coordinates(geometry: Any) -> str:
    return " ".join(
        f"{lon:.{COORDINATE_DECIMALS}g},{lat:.{COORDINATE_DECIMALS}g}"
        for lon, lat in shapely.get_coordinates(geometry).tolist()
    )


def _overlay(
    folder: Element, raster: GroundRaster, name: str, pictures: dict[str, bytes], *, shown: bool
) -> None:
    values, box = to_lonlat_grid(raster)
    west, south, east, north = box
    if not np.isfinite(values).any():
        return
    pictures[name] = png(style.colored(values))
    low, high = style.value_range(values)
    element = add(folder, "GroundOverlay")
    add(element, "name", f"{raster.description} [{raster.unit}]")
    add(element, "visibility", str(int(shown)))
    add(element, "description", f"dark {low:.4g} to bright {high:.4g} {raster.unit}; clear: no data")
    add(add(element, "Icon"), "href", name)
    corners = add(element, "LatLonBox")
    for side, value in (("north", north), ("south", south), ("east", east), ("west", west)):
        add(corners, side, f"{value:.10g}")


Kind = TypeVar("Kind", bound=np.generic)


def to_lonlat_grid(
    raster: GroundRaster, *, mercator: bool = False
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """Return *raster* in longitude and latitude (nearest pixel), and its west, south, east, north.

    With *mercator*, rows are evenly spaced in the Mercator projection of web maps instead of in latitude.
    East lies beyond 180 where the raster crosses the antimeridian, as KML has it for overlays there.
    """
    grid = lonlat_grid(raster.values.shape, raster.transform, raster.crs, mercator=mercator)
    return grid.pick(raster.values.astype(np.float32, copy=False), np.float32(np.nan)), grid.box


@dataclass(frozen=True, slots=True, eq=False)
class LonLatGrid:
    """Which pixel of a raster each cell of a grid in longitude and latitude shows.

    Parameters
    ----------
    box : tuple of float
        West, south, east, north, degrees.
    inside : (height, width) bool
        Cells that show a pixel.
    row, column : (n,) int
        Of the pixels of the cells inside, in their order.
    """

    box: tuple[float, float, float, float]
    inside: NDArray[np.bool_]
    row: NDArray[np.intp]
    column: NDArray[np.intp]

    def pick(self, values: NDArray[Kind], outside: Kind) -> NDArray[Kind]:
        """Return *values* (ny, nx) as the cells show them, and *outside* where they show none."""
        cells = np.full(self.inside.shape, outside, dtype=values.dtype)
        cells[self.inside] = values[self.row, self.column]
        return cells


def lonlat_grid(
    shape: tuple[int, ...], transform: Sequence[float], crs: str, *, mercator: bool = False
) -> LonLatGrid:
    """Return the grid that :func:`to_lonlat_grid` lays over a raster of that *shape* (ny, nx)."""
    a, b, c, d, e, f = transform
    ny, nx = shape
    side = np.linspace(0.0, 1.0, EDGE_POINTS)
    zero, one = np.zeros_like(side), np.ones_like(side)
    i, j = nx * np.concatenate([side, one, side, zero]), ny * np.concatenate([zero, side, one, side])
    lon, lat = to_lonlat(a * i + b * j + c, d * i + e * j + f, crs)
    if np.ptp(lon) > HALF_TURN_DEG:
        lon = lon % FULL_TURN_DEG
    west, south, east, north = float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())
    degree = METERS_PER_DEGREE * np.array([math.cos(math.radians((south + north) / 2.0)), 1.0])
    pixel = math.sqrt(abs(a * e - b * d))
    size = np.ceil(np.array([east - west, north - south]) * degree / pixel)
    width, height = np.clip(size, 1, OVERLAY_PIXELS).astype(int).tolist()
    at_lon = west + (np.arange(width) + 0.5) * (east - west) / width
    down = (np.arange(height) + 0.5) / height
    at_lat = north - down * (north - south)
    if mercator:
        top, bottom = np.arctanh(np.sin(np.radians([north, south]))).tolist()
        at_lat = np.degrees(np.arcsin(np.tanh(top - down * (top - bottom))))
    turned = (at_lon + HALF_TURN_DEG) % FULL_TURN_DEG - HALF_TURN_DEG
    grid = np.meshgrid(turned, at_lat)
    x, y = to_grid(grid[0].ravel(), grid[1].ravel(), crs)
    column = (e * (x - c) - b * (y - f)) / (a * e - b * d)
    row = (a * (y - f) - d * (x - c)) / (a * e - b * d)
    inside = (column >= 0.0) & (column < nx) & (row >= 0.0) & (row < ny)
    return LonLatGrid(
        (west, south, east, north),
        inside.reshape(height, width),
        row[inside].astype(np.intp),
        column[inside].astype(np.intp),
    )
