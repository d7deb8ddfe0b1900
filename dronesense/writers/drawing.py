"""Drawings of a report as numbers and texts: the template turns them into SVG and escapes every text.

A map lies in the Mercator projection of the pictures of the page, so north is up and pictures are not bent;
its scale bar is measured on the ellipsoid at its center.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense.geodesy import geodesic_distance
from dronesense.languages import marked

MAP_SIZE: Final = (1000.0, 760.0)
"""Of the map, in units of the drawing."""
MARGIN: Final = 30.0
LEAST_SPAN_DEG: Final = 2e-4
"""A map is at least some 20 m wide."""
MOST_NUMBERED: Final = 40
"""Hotspots with a number on the map; all have a mark."""
LABEL: Final = (34.0, 22.0)
"""Room of a number on the map."""
RINGS: Final = (22.0, 40.0, 62.0, 90.0, 125.0)
"""Distances from a mark at which its number is tried."""
DIRECTIONS: Final = 12
CHART_SIZE: Final = (420.0, 150.0)
SECONDS_AROUND: Final = 40.0
"""Of a gas trace, before and after a hotspot."""
MOST_POINTS: Final = 400
"""Of a line in a chart."""
MERCATOR_LIMIT_DEG: Final = 85.0
COLORS: Final = {"value": "#0072b2", "background": "#767676", "signature": "#b34700", "threshold": "#b00020"}
DASHES: Final = {"value": "", "background": "5 3", "signature": "2 2", "threshold": "8 3"}
"""Lines differ on black and white paper too."""
LINE_NAMES: Final = {
    "pixel": marked("pixel"),
    "around": marked("around it"),
    "signature": marked("signature"),
    "reading": marked("reading"),
    "background": marked("background"),
    "threshold": marked("threshold"),
}

Points = NDArray[np.float64]


def _mercator(lonlat: Any) -> Points:
    """Return longitude and latitude (..., 2), degrees, as Mercator radians, y to the north."""
    values = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
    lat = np.radians(np.clip(values[:, 1], -MERCATOR_LIMIT_DEG, MERCATOR_LIMIT_DEG))
    return np.column_stack([np.radians(values[:, 0]), np.arcsinh(np.tan(lat))])


class Frame:
    """From places to the sheet: the box of everything drawn, with a margin, north up.

    Parameters
    ----------
    places : array (n, 2)
        Longitude and latitude of what must be seen.
    """

    def __init__(self, places: Points) -> None:
        spots = _mercator(places)
        low, high = spots.min(axis=0), spots.max(axis=0)
        self.center = (low + high) / 2.0
        span = np.maximum(high - low, math.radians(LEAST_SPAN_DEG))
        room = np.array(MAP_SIZE) - 2.0 * MARGIN
        self.scale = float((room / span).min())
        self.size = (MAP_SIZE[0], float(min(MAP_SIZE[1], span[1] * self.scale + 2.0 * MARGIN)))

    def sheet(self, lonlat: Any) -> Points:
        """Return places as x to the right, y down on the sheet, one decimal."""
        offset = (_mercator(lonlat) - self.center) * self.scale
        placed: Points = np.round(np.array(self.size) / 2.0 + offset * np.array([1.0, -1.0]), 1)
        return placed

    def meters_per_unit(self) -> float:
        """Return how far a unit of the drawing is on the ground at its center."""
        lat = math.degrees(math.atan(math.sinh(self.center[1])))
        lon = math.degrees(self.center[0])
        half = math.degrees(MAP_SIZE[0] / self.scale) / 2.0
        return float(geodesic_distance(lon - half, lat, lon + half, lat)) / MAP_SIZE[0]


def ground_map(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the map of what :func:`.view.page_data` gives; None where nothing has a place."""
    spots = [(each["lon"], each["lat"]) for each in data["hotspots"]]
    corners = [corner for each in data["overlays"] for corner in _corners(each["bounds"])]
    lines = [line for line in data["track"] if len(line)]
    everything = [*spots, *corners, *(place[:2] for line in lines for place in line)]
    everything += [tuple(place) for gas in data["gas"] for place in _places(gas)]
    if not everything:
        return None
    frame = Frame(np.array(everything, dtype=np.float64))
    marks = frame.sheet(spots) if spots else np.empty((0, 2))
    length, label = scale_bar(frame)
    return {
        "width": frame.size[0],
        "height": round(frame.size[1], 1),
        "pictures": [_placed(each, frame) for each in data["overlays"] if each["picture"]],
        "coverage": [path for each in data["coverage"]["features"] for path in _outline(each, frame)],
        "track": [_path(frame.sheet([place[:2] for place in line])) for line in lines],
        "outlines": [
            {"path": path, "color": _color(data, each["kind"])}
            for each in data["hotspots"]
            for path in _outline(each, frame)
        ],
        "marks": [
            {"x": x, "y": y, "color": _color(data, each["kind"])}
            for (x, y), each in zip(marks.tolist(), data["hotspots"], strict=True)
        ][::-1],
        "numbers": _numbers(marks[:MOST_NUMBERED], frame.size),
        "unnumbered": max(len(spots) - MOST_NUMBERED, 0),
        "bar": length,
        "bar_label": label,
    }


def scale_bar(frame: Frame) -> tuple[float, str]:
    """Return length on the sheet and label of a bar of 1, 2 or 5 times a power of ten, m."""
    longest = frame.meters_per_unit() * frame.size[0] / 4.0
    power = 10.0 ** math.floor(math.log10(longest))
    meters = max(step * power for step in (1.0, 2.0, 5.0) if step * power <= longest)
    label = f"{meters / 1000.0:g} km" if meters >= 1000.0 else f"{meters:g} m"
    return round(meters / frame.meters_per_unit(), 1), label


def _color(data: Mapping[str, Any], kind: object) -> str:
    colors = data["colors"]
    return str(colors.get(kind, colors["other"]))


def _corners(bounds: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    (south, west), (north, east) = bounds
    return [(west, south), (east, north)]


def _places(gas: Mapping[str, Any]) -> list[tuple[float, float]]:
    pairs = zip(gas["lon"], gas["lat"], strict=True)
    return [(lon, lat) for lon, lat in pairs if lon is not None and lat is not None]


def _placed(overlay: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    (x0, y1), (x1, y0) = frame.sheet(_corners(overlay["bounds"])).tolist()
    box = {"x": x0, "y": y0, "width": round(x1 - x0, 1), "height": round(y1 - y0, 1)}
    return {"url": overlay["url"], **box}


def _outline(feature: Mapping[str, Any], frame: Frame) -> list[str]:
    """Return rings and lines of a GeoJSON geometry as SVG paths."""
    shape = shapely.geometry.shape(feature["geometry"])
    paths = []
    for part in shapely.get_parts(shape):
        rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
        places = [shapely.get_coordinates(ring) for ring in rings if part.geom_type != "Point"]
        closed = "Z" if part.geom_type == "Polygon" else ""
        text = " ".join(_path(frame.sheet(each)) + closed for each in places if len(each))
        if text:
            paths.append(text)
    return paths


def _path(points: Points) -> str:
    """Return points as SVG path data."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points.tolist())


def _numbers(marks: Points, size: tuple[float, float]) -> list[dict[str, float]]:
    """Return where the number of each mark stands: near it, on no other number, best first."""
    taken: list[tuple[float, float]] = []
    placed = []
    for rank, (x, y) in enumerate(marks.tolist(), start=1):
        angles = [2.0 * math.pi * (k + 0.5) / DIRECTIONS for k in range(DIRECTIONS)]
        tries = [(x + r * math.cos(a), y - r * math.sin(a)) for r in RINGS for a in angles]
        inside = [spot for spot in tries if _is_inside(spot, size)] or tries
        free = (spot for spot in inside if not any(_overlap(spot, other) for other in taken))
        spot = next(free, inside[0])
        taken.append(spot)
        placed.append({"rank": rank, "x": x, "y": y, "to_x": round(spot[0], 1), "to_y": round(spot[1], 1)})
    return placed


def _is_inside(spot: tuple[float, float], size: tuple[float, float]) -> bool:
    return all(
        room / 2.0 < place < whole - room / 2.0 for place, room, whole in zip(spot, LABEL, size, strict=True)
    )


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) < LABEL[0] and abs(one[1] - other[1]) < LABEL[1]


# --- charts ---------------------------------------------------------------------------------------------


def spectrum(measured: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the chart of a spectrum of ``spectra.json``: pixel, around it, signature."""
    x = _floats(measured["center_nm"])
    lines = [
        ("pixel", "value", _floats(measured["pixel"])),
        ("around", "background", _floats(measured["background"])),
        ("signature", "signature", _floats(measured["signature"])),
    ]
    title = f"{measured['cube']} · {measured['source']}"
    return _chart(x, lines, title=title, unit=str(measured["unit"]), axis="nm")


def trace(gas: Mapping[str, Any], spot: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the chart of a gas series while a hotspot was passed, with background and threshold."""
    if not spot["start"] or not gas["time"]:
        return None
    begin, end = (_seconds(spot[name], gas["start"]) for name in ("start", "end"))
    time = _floats(gas["time"]) / 1000.0
    near = (time >= begin - SECONDS_AROUND) & (time <= end + SECONDS_AROUND)
    if not near.any():
        return None
    background = _floats(gas["background"])[near]
    lines = [
        ("reading", "value", _floats(gas["value"])[near]),
        ("background", "background", background),
    ]
    if gas["limit"] is not None:
        lines.append(("threshold", "threshold", background + gas["limit"]))
    return _chart(
        time[near] - begin, lines, title=str(gas["species"]), unit=str(gas["unit"]), axis="s",
        stretch=(0.0, end - begin),
    )  # fmt: skip


def _seconds(stamp: Any, start_ms: float) -> float:
    return dt.datetime.fromisoformat(str(stamp)).timestamp() - start_ms / 1000.0


def _floats(values: Sequence[float | None]) -> Points:
    return np.array([math.nan if each is None else each for each in values], dtype=np.float64)


def _chart(
    x: Points,
    lines: Sequence[tuple[str, str, Points]],
    *,
    title: str,
    unit: str,
    axis: str,
    stretch: tuple[float, float] | None = None,
) -> dict[str, Any] | None:
    """Return lines scaled into the chart, the ends of its axes, a marked stretch; None without numbers."""
    known = np.concatenate([y[np.isfinite(y)] for _, _, y in lines])
    if not known.size or not np.isfinite(x).any():
        return None
    left, right = float(np.nanmin(x)), float(np.nanmax(x))
    low, high = float(known.min()), float(known.max())
    width, height = CHART_SIZE

    def across(values: Any) -> Points:
        return np.asarray((np.asarray(values) - left) / ((right - left) or 1.0) * width)

    def down(values: Points) -> Points:
        return height - (values - low) / ((high - low) or 1.0) * height

    step = -(-len(x) // MOST_POINTS)
    drawn = [
        {
            "name": name,
            "text": LINE_NAMES[name],
            "color": COLORS[style],
            "dash": DASHES[style],
            "path": _broken(across(x), down(y))
            if step == 1
            else _broken(*_thinned(across(x), down(y), step)),
        }
        for name, style, y in lines
        if np.isfinite(y).any()
    ]
    ends = None if stretch is None else np.clip(across(stretch), 0.0, width).round(1).tolist()
    return {
        "title": title, "unit": unit, "axis": axis, "lines": drawn, "stretch": ends,
        "left": f"{left:.4g}", "right": f"{right:.4g}", "low": f"{low:.4g}", "high": f"{high:.4g}",
        "width": width, "height": height,
    }  # fmt: skip


def _thinned(x: Points, y: Points, step: int) -> tuple[Points, Points]:
    """Return the lowest and the highest point of every *step*: no peak gets lost."""
    count = len(x) // step * step
    blocks = y[:count].reshape(-1, step)
    some = np.isfinite(blocks).any(axis=1)
    low = np.nanmin(np.where(np.isfinite(blocks), blocks, np.inf), axis=1)
    high = np.nanmax(np.where(np.isfinite(blocks), blocks, -np.inf), axis=1)
    low, high = (np.where(some, each, np.nan) for each in (low, high))
    return np.repeat(x[:count:step], 2), np.column_stack([low, high]).ravel()


def _broken(x: Points, y: Points) -> str:
    """Return a line as SVG path data, broken where there is no number."""
    good = np.isfinite(x) & np.isfinite(y)
    begins = good & ~np.concatenate([[False], good[:-1]])
    points = zip(x[good].round(1).tolist(), y[good].round(1).tolist(), begins[good].tolist(), strict=True)
    return "".join(f"{'M' if begin else 'L'}{a:g} {b:g}" for a, b, begin in points)
