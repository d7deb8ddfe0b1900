"""The hotspot layer as GeoJSON (RFC 7946), which every GIS opens.

The plug-in "geojson" of ``dronesense.writers``. Same layer, same bytes: no clock, no host, no path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry import LineString, MultiLineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from dronesense import __version__
from dronesense.model import Hotspot, HotspotLayer
from dronesense.timescale import to_iso
from dronesense.writers.atomic import write_bytes

DECIMALS: Final = 7
"""Of coordinates in degrees: 1.1 cm (RFC 7946, section 11.2, advises against more than the data hold)."""
METER_DECIMALS: Final = 3
SIGNIFICANT_DIGITS: Final = 6
"""Of scores, p-values and physical values: what survives another version of BLAS."""
HALF_TURN_DEG: Final = 180.0
FULL_TURN_DEG: Final = 360.0
LIST_SEPARATOR: Final = "; "
"""Between sources and between flags: a GIS keeps a flat text, not a list."""
WORDING: Final = (
    "Each feature is an indication with its limits, never proof. A compound is named only with independent "
    "evidence; ce90_m is the radius that holds the true place with 90 % probability."
)


def write(layer: HotspotLayer, path: Path) -> None:
    """Write the hotspots of *layer* to *path*; an empty FeatureCollection when nothing was found.

    Properties are described in ``docs/products.md``. The top-level member ``dronesense`` names version, run
    (``layer.statements["run_id"]``) and wording.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode(layer))


def encode(layer: HotspotLayer) -> bytes:
    """Return the layer as UTF-8 GeoJSON, a line for each feature."""
    geometries = [prepare(hotspot.geometry, (hotspot.lon, hotspot.lat)) for hotspot in layer]
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    if geometries:
        collection["bbox"] = bbox(geometries)
    collection["dronesense"] = {
        "version": __version__,
        "run": layer.statements.get("run_id"),
        "wording": WORDING,
    }
    collection["features"] = [
        {
            "type": "Feature",
            "id": hotspot.id,
            "geometry": as_member(geometry),
            "properties": properties(hotspot, layer.flight),
        }
        for hotspot, geometry in zip(layer, geometries, strict=True)
    ]
    return to_bytes(collection)


def to_bytes(collection: Mapping[str, Any]) -> bytes:
    """Return a FeatureCollection as UTF-8 JSON without NaN, a line for each feature."""
    head = _json({name: value for name, value in collection.items() if name != "features"})[:-1]
    features = ",\n".join(map(_json, collection["features"]))
    body = f"\n{features}\n" if features else ""
    return f'{head},"features":[{body}]}}\n'.encode("utf-8", errors="replace")


def properties(hotspot: Hotspot, flight: str) -> dict[str, Any]:
    """Return the flat properties of one feature, None where not known; see ``docs/products.md``."""
    count = "n_samples" if hotspot.kind == "gas" else "n_pixels"
    return {
        "id": hotspot.id,
        "target": hotspot.target,
        "kind": hotspot.kind,
        "method": hotspot.method,
        "score": _digits(hotspot.score),
        "p_value": _digits(hotspot.p_value),
        "q_value": _digits(hotspot.q_value),
        "value": _digits(hotspot.value),
        "unit": hotspot.unit or None,
        "value_sigma": _digits(hotspot.value_sigma),
        count: hotspot.n_obs,
        "n_passes": hotspot.n_passes,
        "area_m2": _rounded(hotspot.area_m2, METER_DECIMALS),
        "lon": _rounded(hotspot.lon, DECIMALS),
        "lat": _rounded(hotspot.lat, DECIMALS),
        "height_m": _rounded(hotspot.height_m, METER_DECIMALS),
        "ce90_m": _rounded(hotspot.ce90_m, METER_DECIMALS),
        "ellipse_major_m": _rounded(hotspot.ellipse_major_m, METER_DECIMALS),
        "ellipse_minor_m": _rounded(hotspot.ellipse_minor_m, METER_DECIMALS),
        "ellipse_azimuth_deg": _rounded(hotspot.ellipse_azimuth_deg, 1),
        "start": _time(hotspot.start),
        "end": _time(hotspot.end),
        "flight": flight,
        "sources": LIST_SEPARATOR.join(hotspot.sources),
        "status": hotspot.status,
        "flags": LIST_SEPARATOR.join(hotspot.flags),
        "members": LIST_SEPARATOR.join(hotspot.members) or None,
    }


def prepare(geometry: BaseGeometry, place: tuple[float, float]) -> BaseGeometry:
    """Return *geometry* (lon/lat, degrees) as RFC 7946 wants it.

    Two-dimensional, on a grid of 1e-7 degrees and still valid there, cut at the antimeridian, exterior rings
    counterclockwise. What collapses on that grid (a pixel below a centimeter) becomes the point *place*.

    Examples
    --------
    >>> from shapely.geometry import box
    >>> prepare(box(179.9, 10, 180.1, 11), (180.0, 10.5)).wkt[:12]
    'MULTIPOLYGON'
    """
    parts = _cut(_unwrapped(shapely.force_2d(geometry)))
    rounded = shapely.set_precision(parts, 10.0**-DECIMALS)
    if rounded.is_empty:
        return Point(round(place[0], DECIMALS), round(place[1], DECIMALS))
    return shapely.orient_polygons(_of_dimension(rounded, geometry), exterior_cw=False)


def _of_dimension(geometry: BaseGeometry, like: BaseGeometry) -> BaseGeometry:
    """Drop what repairing left behind: lines and points beside polygons."""
    if geometry.geom_type != "GeometryCollection":
        return geometry
    want = shapely.get_dimensions(like)
    return shapely.union_all(
        [part for part in shapely.get_parts(geometry) if shapely.get_dimensions(part) == want]
    )


def _unwrapped(geometry: BaseGeometry) -> BaseGeometry:
    """Return a valid geometry whose longitudes run on beyond 180 where it would span half the globe.

    Repaired only afterwards: what jumps over the antimeridian crosses itself on paper, not on the ground.
    """
    west, _, east, _ = geometry.bounds
    if not east - west > HALF_TURN_DEG:
        return _valid(geometry)

    def run_on(lonlat: Any) -> Any:
        return np.column_stack([lonlat[:, 0] % FULL_TURN_DEG, lonlat[:, 1]])

    turned = _valid(shapely.transform(geometry, run_on))
    halves = turned.geom_type == "MultiPolygon"  # cut before: they meet along the antimeridian again
    return shapely.union_all(shapely.get_parts(turned)) if halves else turned


def _valid(geometry: BaseGeometry) -> BaseGeometry:
    return geometry if geometry.is_valid else _of_dimension(shapely.make_valid(geometry), geometry)


def _cut(geometry: BaseGeometry) -> BaseGeometry:
    """Split at the antimeridian; every part lies within -180 to 180 afterwards."""
    west, south, east, north = geometry.bounds
    if west >= -HALF_TURN_DEG and east <= HALF_TURN_DEG:
        return geometry
    dimension = shapely.get_dimensions(geometry)
    if dimension == 0:
        return shapely.transform(geometry, _wrapped)
    pieces: list[Any] = []
    for turn in (-FULL_TURN_DEG, 0.0, FULL_TURN_DEG):
        window = shapely.box(turn - HALF_TURN_DEG, south - 1.0, turn + HALF_TURN_DEG, north + 1.0)
        piece = _of_dimension(shapely.intersection(geometry, window), geometry)
        if not piece.is_empty and shapely.get_dimensions(piece) == dimension:
            pieces.extend(shapely.get_parts(translate(piece, xoff=-turn)))
    return MultiPolygon(pieces) if dimension == 2 else MultiLineString(pieces)


def _wrapped(lonlat: Any) -> Any:
    turned = (lonlat[:, 0] + HALF_TURN_DEG) % FULL_TURN_DEG - HALF_TURN_DEG
    return np.column_stack([turned, lonlat[:, 1]])


def bbox(geometries: Iterable[BaseGeometry]) -> list[float]:
    """Return west, south, east, north; west > east across the antimeridian (RFC 7946, section 5.2)."""
    lonlat = shapely.get_coordinates(list(geometries))
    lon, lat = lonlat[:, 0], lonlat[:, 1]
    west, east = float(lon.min()), float(lon.max())
    if east - west > HALF_TURN_DEG:
        west, east = float(lon[lon > 0.0].min()), float(lon[lon <= 0.0].max())
    box = (west, float(lat.min()), east, float(lat.max()))
    return [round(edge, DECIMALS) for edge in box]


def as_member(geometry: BaseGeometry) -> dict[str, Any]:
    """Return *geometry* as the `geometry` member of a feature; coordinates rounded to :data:`DECIMALS`."""
    return {"type": geometry.geom_type, "coordinates": _coordinates(geometry)}


def _coordinates(geometry: BaseGeometry) -> list[Any]:
    if isinstance(geometry, Polygon):
        return [_positions(ring) for ring in (geometry.exterior, *geometry.interiors)]
    if isinstance(geometry, MultiPolygon | MultiLineString):
        return [_coordinates(part) for part in geometry.geoms]
    if isinstance(geometry, LineString):
        return _positions(geometry)
    if isinstance(geometry, Point):
        return _positions(geometry)[0]
    return [position for part in shapely.get_parts(geometry) for position in _positions(part)]


def _positions(geometry: BaseGeometry) -> list[list[float]]:
    positions: list[list[float]] = np.round(shapely.get_coordinates(geometry), DECIMALS).tolist()
    return positions


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _rounded(value: float, decimals: int) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None


def _digits(value: float) -> float | None:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None


def _time(ns: int) -> str | None:
    """RFC 3339 to the millisecond; a time at or before 1970 stands for "not known"."""
    return to_iso(ns) if ns > 0 else None
