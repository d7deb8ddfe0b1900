"""A flight pattern as GeoJSON (RFC 7946), KML 2.2 and a MAVLink mission in plain text (``QGC WPL 110``)."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from dronesense.geodesy import to_lonlat
from dronesense.model.flight_plan import FlightPattern, Leg
from dronesense.writers.markup import add, root, to_bytes

Floats = NDArray[np.float64]

DECIMALS: Final = 8
"""Of coordinates in degrees: 1 mm."""
HEIGHT_DECIMALS: Final = 2
KML_NAMESPACE: Final = "http://www.opengis.net/kml/2.2"
HALF_TURN_DEG: Final = 180.0

MISSION_HEAD: Final = "QGC WPL 110"
"""First line of the format: https://mavlink.io/en/file_formats/."""
FRAME_GLOBAL: Final = 0
FRAME_RELATIVE: Final = 3
"""MAV_FRAME: altitude above sea level, and above the place of take-off."""
NAV_WAYPOINT: Final = 16
NAV_TAKEOFF: Final = 22
NAV_RETURN: Final = 20
CHANGE_SPEED: Final = 178
TRIGGER_DISTANCE: Final = 206
"""MAV_CMD numbers of the MAVLink common message set."""
GROUND_SPEED: Final = 1
"""SPEED_TYPE of DO_CHANGE_SPEED."""


def geojson(pattern: FlightPattern) -> bytes:
    """Return the site and the legs, in the order flown, as UTF-8 GeoJSON.

    Third coordinates are left out: RFC 7946 has them above the ellipsoid, a plan knows heights above
    take-off, which are the property ``height_m``. Shapes that cross the antimeridian are cut there.
    """
    features = [_feature(pattern.site, pattern.crs, {"kind": "site"})]
    for number, leg in enumerate(pattern.legs, start=1):
        first, last = leg.data
        features.append(
            _feature(
                shapely.LineString(leg.points),
                pattern.crs,
                {
                    "kind": "leg",
                    "leg": number,
                    "strip": leg.strip + 1,
                    "height_m": [round(each, HEIGHT_DECIMALS) for each in leg.height_m.tolist()],
                    "data": [first, last],
                    "speed_m_s": pattern.speed_m_s,
                },
            )
        )
    lines = ",\n".join(
        json.dumps(each, allow_nan=False, ensure_ascii=False, separators=(",", ":")) for each in features
    )
    return f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n'.encode()


def kml(pattern: FlightPattern, *, name: str) -> bytes:
    """Return the site and the legs as KML, heights above the ground of take-off."""
    document = root("kml", {"xmlns": KML_NAMESPACE})
    body = add(document, "Document")
    add(body, "name", name)
    for key, color in (("leg", "ff00a5ff"), ("site", "ffffffff")):
        style = add(body, "Style", attributes={"id": key})
        line = add(style, "LineStyle")
        add(line, "color", color)
        add(line, "width", "2")
        if key == "site":
            add(add(style, "PolyStyle"), "fill", "0")
    place = add(body, "Placemark")
    add(place, "name", "site")
    add(place, "styleUrl", "#site")
    shapes = add(place, "MultiGeometry")
    for polygon in getattr(pattern.site, "geoms", [pattern.site]):
        shape = add(shapes, "Polygon")
        for border, ring in [
            ("outerBoundaryIs", polygon.exterior),
            *(("innerBoundaryIs", each) for each in polygon.interiors),
        ]:
            flat = _degrees(shapely.get_coordinates(ring), pattern.crs)
            add(add(add(shape, border), "LinearRing"), "coordinates", _tuples(flat, None))
    for number, leg in enumerate(pattern.legs, start=1):
        place = add(body, "Placemark")
        add(place, "name", f"leg {number}")
        add(place, "styleUrl", "#leg")
        line = add(place, "LineString")
        # KML has no heights above take-off; above the ground is the nearest, and the same over flat ground.
        follows = bool(np.ptp(leg.height_m) > 0.0)
        add(line, "altitudeMode", "clampToGround" if follows else "relativeToGround")
        add(line, "coordinates", _tuples(_degrees(leg.points, pattern.crs), leg.height_m))
    return to_bytes(document)


def mission(pattern: FlightPattern, *, trigger_m: float | None = None) -> bytes:
    """Return the legs as a MAVLink mission that ground stations load; heights above take-off.

    The first item is the home position, which autopilots replace by their own; then take-off, speed, the
    points of the legs, return. Review it in the ground station before it is flown.

    Parameters
    ----------
    pattern : FlightPattern
    trigger_m : float, optional
        Distance between pictures: the camera is triggered between start and end of data.
    """
    items: list[tuple[float, ...]] = []
    start = _degrees(pattern.legs[0].points[:1], pattern.crs)[0]
    items.append((FRAME_GLOBAL, NAV_WAYPOINT, 0, 0, 0, 0, start[1], start[0], 0))
    climb = float(pattern.legs[0].height_m[0])
    items.append((FRAME_RELATIVE, NAV_TAKEOFF, 0, 0, 0, 0, start[1], start[0], climb))
    items.append((FRAME_RELATIVE, CHANGE_SPEED, GROUND_SPEED, pattern.speed_m_s, -1, 0, 0, 0, 0))
    for leg in pattern.legs:
        items += _items(leg, _degrees(leg.points, pattern.crs), trigger_m)
    items.append((FRAME_RELATIVE, NAV_RETURN, 0, 0, 0, 0, 0, 0, 0))
    lines = [MISSION_HEAD]
    for index, item in enumerate(items):
        frame, command, *numbers = item
        cells = [str(index), str(int(index == 0)), str(int(frame)), str(int(command))]
        cells += [f"{each:.8f}" for each in numbers]
        lines.append("\t".join([*cells, "1"]))
    return ("\n".join(lines) + "\n").encode("ascii")


def _items(leg: Leg, degrees: Floats, trigger_m: float | None) -> list[tuple[float, ...]]:
    made: list[tuple[float, ...]] = []
    for row, ((lon, lat), height) in enumerate(zip(degrees.tolist(), leg.height_m.tolist(), strict=True)):
        made.append((FRAME_RELATIVE, NAV_WAYPOINT, 0, 0, 0, 0, lat, lon, height))
        if trigger_m is not None and row in leg.data:
            distance = trigger_m if row == leg.data[0] else 0.0
            now = 1.0 if distance else 0.0
            made.append((FRAME_RELATIVE, TRIGGER_DISTANCE, distance, 0, now, 0, 0, 0, 0))
    return made


def _degrees(points: Floats, crs: str) -> Floats:
    lon, lat = to_lonlat(points[:, 0], points[:, 1], crs)
    return np.asarray(np.round(np.column_stack([lon, lat]), DECIMALS), dtype=np.float64)


def _tuples(degrees: Floats, height: Floats | None) -> str:
    if height is None:
        return " ".join(f"{lon:.{DECIMALS}f},{lat:.{DECIMALS}f}" for lon, lat in degrees.tolist())
    rows = zip(degrees.tolist(), height.tolist(), strict=True)
    return " ".join(
        f"{lon:.{DECIMALS}f},{lat:.{DECIMALS}f},{z:.{HEIGHT_DECIMALS}f}" for (lon, lat), z in rows
    )


def _feature(geometry: BaseGeometry, crs: str, properties: dict[str, Any]) -> dict[str, Any]:
    placed = shapely.transform(geometry, lambda points: _degrees(points, crs))
    return {"type": "Feature", "geometry": _mapping(_cut(placed)), "properties": properties}


def _cut(geometry: BaseGeometry) -> BaseGeometry:
    """Return *geometry* in parts on each side of the antimeridian, outer rings counterclockwise."""
    west, _, east, _ = geometry.bounds
    if east - west > HALF_TURN_DEG:
        whole = shapely.transform(
            geometry, lambda c: np.column_stack([c[:, 0] % (2.0 * HALF_TURN_DEG), c[:, 1]])
        )
        left = shapely.intersection(whole, shapely.box(0.0, -90.0, HALF_TURN_DEG, 90.0))
        right = shapely.intersection(whole, shapely.box(HALF_TURN_DEG, -90.0, 2.0 * HALF_TURN_DEG, 90.0))
        right = shapely.transform(right, lambda c: np.column_stack([c[:, 0] - 2.0 * HALF_TURN_DEG, c[:, 1]]))
        parts = [part for half in (left, right) for part in getattr(half, "geoms", [half]) if part.length]
        lines = [part for part in parts if part.geom_type == "LineString"]
        geometry = shapely.MultiLineString(lines) if lines else shapely.MultiPolygon(parts)
    if isinstance(geometry, shapely.MultiPolygon):
        return shapely.MultiPolygon([orient(part) for part in geometry.geoms])
    return orient(geometry) if isinstance(geometry, shapely.Polygon) else geometry


def _mapping(geometry: BaseGeometry) -> dict[str, Any]:
    from shapely.geometry import mapping

    made: dict[str, Any] = mapping(geometry)
    return made
