"""The ground that is to be flown over: polygons of a GeoJSON (RFC 7946) or KML file, in degrees WGS84."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

from dronesense.errors import ReadError

MAX_BYTES: Final = 16 << 20
"""Outlines are drawn by hand or by a survey: a larger file (16 MiB) is something else."""
MIN_RING: Final = 4
"""Positions of the smallest ring, the first one repeated."""
_KML: Final = "{*}"


def read(path: Path) -> BaseGeometry:
    """Return the polygons of *path* as one geometry, longitudes before latitudes, degrees WGS84.

    Points and lines beside the polygons are not looked at. Polygons that overlap count once.

    Raises
    ------
    ReadError
        If the file is neither GeoJSON nor KML, holds no polygon, or one that crosses itself, is open or lies
        off the globe. The polygon is named by its number.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError("is larger than 16 MiB: no outline of a site", where=path)
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"cannot be read: {error.strerror}", where=path) from error
    kml = data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    found = list(_kml_rings(path, data) if kml else _geojson_rings(path, data))
    if not found:
        raise ReadError("holds no polygon", where=path, fix="draw the outline of the site as a polygon")
    polygons = [_polygon(path, number, rings) for number, rings in enumerate(found, start=1)]
    return shapely.union_all(polygons)


def _geojson_rings(path: Path, data: bytes) -> Iterator[Any]:
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        fix = "give the site as a GeoJSON or KML file"
        raise ReadError("is neither GeoJSON nor KML", where=path, fix=fix) from error
    if isinstance(content, dict) and content.get("crs") and not _is_wgs84(json.dumps(content["crs"])):
        raise ReadError(
            "names a CRS of its own; GeoJSON is in degrees WGS84 (RFC 7946)",
            where=path,
            fix="save it again as EPSG:4326",
        )
    yield from _walk(content)


def _walk(each: Any) -> Iterator[Any]:
    if not isinstance(each, dict):
        return
    kind = each.get("type")
    if kind == "FeatureCollection":
        for feature in _list(each.get("features")):
            yield from _walk(feature)
    elif kind == "Feature":
        yield from _walk(each.get("geometry"))
    elif kind == "GeometryCollection":
        for part in _list(each.get("geometries")):
            yield from _walk(part)
    elif kind == "Polygon":
        yield each.get("coordinates")
    elif kind == "MultiPolygon":
        yield from _list(each.get("coordinates"))


def _is_wgs84(crs: str) -> bool:
    """Whether a member "crs" of the GeoJSON of 2008 says what holds anyway."""
    return "CRS84" in crs or re.search(r"EPSG:+4326\b", crs) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kml_rings(path: Path, data: bytes) -> Iterator[Any]:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        document = fromstring(data)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ReadError("is no KML that can be read", where=path, fix="save it again as KML") from error
    for polygon in document.findall(f".//{_KML}Polygon"):
        outer = polygon.findall(f"{_KML}outerBoundaryIs//{_KML}coordinates")
        inner = polygon.findall(f"{_KML}innerBoundaryIs//{_KML}coordinates")
        yield [[place.split(",") for place in (ring.text or "").split()] for ring in (*outer, *inner)]


def _polygon(path: Path, number: int, rings: Any) -> BaseGeometry:
    where = f"{path}, polygon {number}"
    try:
        shells = [[_place(place) for place in ring] for ring in rings]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ReadError("its coordinates are no numbers", where=where) from error
    if not shells or any(len(ring) < MIN_RING or ring[0] != ring[-1] for ring in shells):
        fix = "a ring has at least four positions, and ends where it begins"
        raise ReadError("has a ring that is not closed", where=where, fix=fix)
    if not all(_on_globe(lon, lat) for ring in shells for lon, lat in ring):
        fix = "give degrees WGS84, longitude before latitude"
        raise ReadError("lies off the globe", where=where, fix=fix)
    polygon = shapely.Polygon(shells[0], shells[1:])
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        raise ReadError(f"is no simple outline: {reason}", where=where, fix="draw it without crossings")
    return polygon


def _place(place: Any) -> tuple[float, float]:
    if not isinstance(place, list):  # a text is a sequence too
        raise TypeError("a position is a list")
    return float(place[0]), float(place[1])


def _on_globe(lon: float, lat: float) -> bool:
    return math.isfinite(lon) and math.isfinite(lat) and abs(lon) <= 180.0 and abs(lat) <= 90.0
