"""The products of a run as flat tables with a geometry, which GIS formats are made of.

A table is made of the same documents that a run writes (``hotspots.geojson``, ``track.geojson``,
``gas/*.csv``, rasters), so a number is the same in every format, in a run and in a later conversion.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from dronesense.errors import ReadError
from dronesense.geodesy import geodesic_area, to_lonlat
from dronesense.model import GroundPicture, GroundRaster, HotspotLayer
from dronesense.writers import columns, geojson, reviews, table, thinning, track
from dronesense.writers.columns import Column

SIMPLIFY_PIXELS: Final = 1.0
"""Tolerance of an outline: the stairs of a slanted edge go, nothing wider than a pixel does."""
UNITS_IN_HEADINGS: Final = {heading: unit for unit, heading in table.UNIT_SUFFIX.items()}
HOTSPOTS_NAME: Final = "hotspots.geojson"
TRACK_NAME: Final = "track.geojson"

Shape = Literal["Point", "MultiLineString", "MultiPolygon"]
DIMENSION: Final[dict[Shape, int]] = {"Point": 0, "MultiLineString": 1, "MultiPolygon": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One layer of a GIS: features of one kind of geometry with flat attributes.

    Parameters
    ----------
    name, title : str
        Of the layer, for machines and for people.
    shape : {"Point", "MultiLineString", "MultiPolygon"}
        Kind of geometry.
    columns : tuple of Column
        Attributes in their order.
    geometries : list of shapely geometry
        WGS84 longitude and latitude.
    values : mapping of str to list
        By the name of the column: text, int, float, ISO 8601 time, or None where not known.
    """

    name: str
    title: str
    shape: Shape
    columns: tuple[Column, ...]
    geometries: list[BaseGeometry]
    values: Mapping[str, list[Any]]

    def __post_init__(self) -> None:
        lengths = {column.name: len(self.values[column.name]) for column in self.columns}
        if set(lengths.values()) - {len(self.geometries)}:
            raise ValueError(f"{self.name}: {len(self.geometries)} geometries, but {lengths}")

    def __len__(self) -> int:
        return len(self.geometries)


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Everything of a run that has a place.

    Parameters
    ----------
    flight : str
        Flight id.
    collection : mapping
        The hotspot layer as GeoJSON, with the decisions of people in it.
    track : mapping or None
        The track as GeoJSON.
    samples : tuple of str
        Gas series as CSV.
    rasters : tuple of GroundRaster or Path
        Score rasters, in memory or as files; `thinning.thin` reads one at a time.
    maps : tuple of GroundRaster or Path
        Gas maps (the estimate).
    pictures : tuple of GroundPicture or Path
        Cubes in color on the ground; `thinning.thin_picture` reads one at a time.
    """

    flight: str
    collection: Mapping[str, Any]
    track: Mapping[str, Any] | None = None
    samples: tuple[str, ...] = ()
    rasters: tuple[GroundRaster | Path, ...] = ()
    maps: tuple[GroundRaster | Path, ...] = ()
    pictures: tuple[GroundPicture | Path, ...] = ()

    @property
    def features(self) -> list[dict[str, Any]]:
        """Return the hotspots as GeoJSON features, best first."""
        found: list[dict[str, Any]] = self.collection["features"]
        return found

    def moment(self) -> str:
        """Return the last time that the layer knows, the fixed stamp of files made of it; 1970 if none."""
        rows = [feature["properties"] for feature in self.features]
        rows += [] if self.track is None else [each["properties"] for each in self.track["features"]]
        return max((row["end"] for row in rows if row.get("end")), default="1970-01-01T00:00:00.000Z")

    def begin(self) -> str | None:
        """Return the first time that the layer knows."""
        rows = [feature["properties"] for feature in self.features]
        rows += [] if self.track is None else [each["properties"] for each in self.track["features"]]
        return min((row["start"] for row in rows if row.get("start")), default=None)


def from_layer(layer: HotspotLayer) -> Layers:
    """Return the layers of a run that is still in memory."""
    trajectory = layer.trajectory
    return Layers(
        flight=layer.flight,
        collection=json.loads(geojson.encode(layer)),
        track=None if trajectory is None else json.loads(track.encode(trajectory, flight=layer.flight)),
        samples=tuple(table.encode_gas(trace) for trace in layer.gas),
        rasters=layer.rasters,
        maps=tuple(
            GroundRaster(
                f"{each.species}__{each.method}", each.mean, each.transform, each.crs, each.unit,
                f"{each.species} by {each.method}: estimate",
            )
            for each in layer.maps
        ),
        pictures=layer.pictures,
    )  # fmt: skip


def from_path(path: Path) -> Layers:
    """Return the layers of products on the disk, with the decisions of people (:mod:`.reviews`).

    Parameters
    ----------
    path : Path
        ``hotspots.geojson``, the folder that holds it, or a flight folder with ``products/``.

    Raises
    ------
    ReadError
        If there is no layer, or it is not one of dronesense.
    """
    layer = find(path)
    collection = read_collection(layer)
    decided = reviews.latest(reviews.read(layer))
    for feature in collection["features"]:
        if feature["id"] in decided:
            feature["properties"]["status"] = decided[feature["id"]].status
    folder = layer.parent
    flights = [feature["properties"].get("flight") for feature in collection["features"]]
    track_path = folder / TRACK_NAME
    way = read_collection(track_path) if track_path.is_file() else None
    flights += [] if way is None else [feature["properties"].get("flight") for feature in way["features"]]
    return Layers(
        flight=next((str(flight) for flight in flights if flight), layer.stem),
        collection=collection,
        track=way,
        samples=tuple(_text(each) for each in sorted((folder / "gas").glob("*.csv"))),
        rasters=tuple(sorted((folder / "scores").glob("*.tif"))),
        maps=tuple(sorted((folder / "gas").glob("*.tif"))),
        pictures=tuple(sorted((folder / "quicklooks").glob("*.tif"))),
    )


def find(path: Path) -> Path:
    """Return the ``hotspots.geojson`` that *path* names: itself, or in a folder or its ``products``.

    Raises
    ------
    ReadError
        If there is none.
    """
    if path.is_file():
        return path
    for candidate in (path / HOTSPOTS_NAME, path / "products" / HOTSPOTS_NAME):
        if candidate.is_file():
            return candidate
    raise ReadError(
        "holds no hotspots.geojson",
        where=path,
        fix="name the products folder or the layer itself; `dronesense run` makes them",
    )


def read_collection(path: Path) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection whose features have a geometry and properties.

    Raises
    ------
    ReadError
        If it is none.
    """
    try:
        collection = json.loads(_text(path))
    except ValueError as error:
        raise ReadError(f"is not JSON ({error})", where=path) from error
    features = collection.get("features") if isinstance(collection, dict) else None
    if not isinstance(features, list) or not all(
        isinstance(each, dict)
        and isinstance(each.get("properties"), dict)
        and isinstance(each.get("geometry"), dict)
        for each in features
    ):
        raise ReadError("is not a GeoJSON FeatureCollection of features with a place", where=path)
    for number, each in enumerate(features, start=1):
        each["id"] = str(each.get("id") or each["properties"].get("id") or number)
    return dict(collection)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ReadError("is not UTF-8", where=path) from error
    except OSError as error:
        raise ReadError(f"cannot be opened ({error.strerror})", where=path) from error


# --- tables ---------------------------------------------------------------------------------------------


def tables(layers: Layers) -> tuple[Table, ...]:
    """Return every table of the layer, in the order in which a map shows them: points first.

    ``hotspot_points``, ``hotspot_lines``, ``hotspots``, ``gas_samples``, ``track``, ``coverage``; an
    empty one where there is nothing, so that a project made for one flight fits the next.
    """
    return (*hotspot_tables(layers), gas_table(layers), track_table(layers), coverage_table(layers))


def hotspot_tables(layers: Layers) -> tuple[Table, Table, Table]:
    """Return the hotspots as points (all), lines (gas tracks) and areas (outlines of pixels)."""
    features = layers.features
    shapes = geometries(features)
    dimensions = np.array([shapely.get_dimensions(each) for each in shapes], dtype=int)
    points = [
        shapely.Point(float(each["properties"]["lon"]), float(each["properties"]["lat"]))
        if _is_number(each["properties"].get("lon")) and _is_number(each["properties"].get("lat"))
        else shapely.point_on_surface(shape)
        for each, shape in zip(features, shapes, strict=True)
    ]

    def of(name: str, title: str, shape: Shape, rows: Sequence[int], places: Sequence[BaseGeometry]) -> Table:
        chosen = [features[row]["properties"] for row in rows]
        values = {
            column.name: [_typed(each.get(column.name), column, name) for each in chosen]
            for column in columns.HOTSPOT
        }
        return Table(name, title, shape, columns.HOTSPOT, [places[row] for row in rows], values)

    lines, areas = (np.flatnonzero(dimensions == dimension).tolist() for dimension in (1, 2))
    return (
        of("hotspot_points", "Hotspots: best place", "Point", range(len(features)), points),
        of("hotspot_lines", "Hotspots: track in gas", "MultiLineString", lines, shapes),
        of("hotspots", "Hotspots: outline", "MultiPolygon", areas, shapes),
    )


def gas_table(layers: Layers) -> Table:
    """Return every gas sample with a position as a point."""
    values: dict[str, list[Any]] = {column.name: [] for column in columns.GAS}
    places: list[NDArray[np.float64]] = []
    for text in layers.samples:
        species, unit, rows = gas_cells(text)
        placed = [dict(zip(columns.GAS_CELLS, row, strict=True)) for row in rows if row[1] and row[2]]
        places.append(np.array([(row["lon"], row["lat"]) for row in placed], dtype=float).reshape(-1, 2))
        values["species"] += [species] * len(placed)
        values["unit"] += [unit] * len(placed)
        for column in columns.GAS:
            if column.name not in ("species", "unit"):
                values[column.name] += [_typed(row[column.name], column, "gas_samples") for row in placed]
    points: list[BaseGeometry] = [shapely.Point(lonlat) for each in places for lonlat in each.tolist()]
    return Table("gas_samples", "Gas samples", "Point", columns.GAS, points, values)


def gas_cells(text: str) -> tuple[str, str, list[list[str]]]:
    """Return species, unit and rows of ``gas/<species>.csv``; cells as in :data:`.columns.GAS_CELLS`.

    Raises
    ------
    ReadError
        If the columns are others.
    """
    heading, *rows = csv.reader(io.StringIO(text, newline=""))
    name = heading[columns.GAS_CELLS.index("value")] if len(heading) == len(columns.GAS_CELLS) else ""
    ending = max((each for each in UNITS_IN_HEADINGS if name.endswith(f"_{each}")), key=len, default="")
    if not ending:
        raise ReadError("has not the columns of a gas series", where=f"gas/*.csv: {', '.join(heading)}")
    return name.removesuffix(f"_{ending}"), UNITS_IN_HEADINGS[ending], rows


def track_table(layers: Layers) -> Table:
    """Return the flown track, a line for each stretch without a gap."""
    features = [] if layers.track is None else layers.track["features"]
    pairs = [
        (each["properties"], shape)
        for each, shape in zip(features, geometries(features), strict=True)
        if each["properties"].get("kind") == "track" and shapely.get_dimensions(shape) == 1
    ]
    values = {
        column.name: [_typed(row.get(column.name), column, "track") for row, _ in pairs]
        for column in columns.TRACK
    }
    lines = [shapely.force_2d(shape) for _, shape in pairs]
    return Table("track", "Flown track", "MultiLineString", columns.TRACK, lines, values)


def coverage_table(layers: Layers) -> Table:
    """Return what the cameras looked at, and what they missed.

    The outline of the pixels with a score, one for each cube; then the gaps inside the outline of all cubes.
    """
    seen: dict[str, list[BaseGeometry]] = {}
    for raster in map(thinning.thin, layers.rasters):
        area = outline(raster)
        if not area.is_empty:
            place = shapely.get_coordinates(area)[0].tolist()
            seen.setdefault(raster.name.split("__")[0], []).append(geojson.prepare(area, place))
    grid = 10.0**-geojson.DECIMALS
    areas = {cube: shapely.union_all(parts, grid_size=grid) for cube, parts in sorted(seen.items())}
    everything = shapely.union_all(list(areas.values()), grid_size=grid)
    gaps = shapely.difference(_filled(everything), everything, grid_size=grid)
    parts = [*areas.values(), *([] if gaps.is_empty else [gaps])]
    shapes = [shapely.orient_polygons(area, exterior_cw=False) for area in parts]
    values: dict[str, list[Any]] = {
        "kind": ["seen"] * len(areas) + ["gap"] * (len(shapes) - len(areas)),
        "cube": [*areas, *[None] * (len(shapes) - len(areas))],
        "flight": [layers.flight] * len(shapes),
        "area_m2": [round(float(geodesic_area(shape)), 1) for shape in shapes],
    }
    return Table("coverage", "Looked at by cameras", "MultiPolygon", columns.COVERAGE, shapes, values)


def _filled(area: BaseGeometry) -> BaseGeometry:
    """Return polygons without their holes."""
    rings = [
        shapely.polygons(shapely.get_exterior_ring(part))
        for part in shapely.get_parts(area)
        if part.geom_type == "Polygon"
    ]
    filled: BaseGeometry = shapely.union_all(rings)
    return filled


def geometries(features: Iterable[Mapping[str, Any]]) -> list[BaseGeometry]:
    """Return the geometries of GeoJSON features.

    Raises
    ------
    ReadError
        If one is not a geometry.
    """
    texts = [json.dumps(feature["geometry"]) for feature in features]
    if not texts:
        return []
    try:
        found: list[BaseGeometry] = shapely.from_geojson(np.array(texts, dtype=object)).tolist()
    except shapely.errors.GEOSException as error:
        raise ReadError(f"a feature has no geometry of GeoJSON ({error})") from error
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _typed(value: Any, column: Column, where: str) -> Any:
    """Return *value* as the column wants it; None where there is nothing."""
    if value is None or value == "":
        return "" if column.kind == "text" and value == "" else None
    casts: dict[str, Callable[[Any], Any]] = {"text": str, "integer": int, "real": float, "time": _stamp}
    try:
        return casts[column.kind](value)
    except (ValueError, TypeError) as error:
        raise ReadError(f'"{column.name}" is {value!r}, not {column.kind}', where=where) from error


def _stamp(text: str) -> str:
    """Return an RFC 3339 time in UTC with milliseconds."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone")
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outline(raster: GroundRaster) -> BaseGeometry:
    """Return the outline of the pixels with a value, in longitude and latitude."""
    import rasterio.features

    mask = np.isfinite(raster.values)
    affine = rasterio.Affine(*raster.transform)
    parts = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, transform=affine)
    area = shapely.union_all([shapely.geometry.shape(each) for each, _ in parts])
    pixel = math.sqrt(abs(affine.determinant))
    area = shapely.segmentize(shapely.simplify(area, SIMPLIFY_PIXELS * pixel), _reach(raster) / 16.0)

    def turned(xy: Any) -> Any:
        return np.column_stack(to_lonlat(xy[:, 0], xy[:, 1], raster.crs))

    turned_area: BaseGeometry = shapely.transform(area, turned)
    return turned_area


def _reach(raster: GroundRaster) -> float:
    """Return the diagonal of a raster in the units of its CRS."""
    a, b, _, d, e, _ = raster.transform
    ny, nx = raster.values.shape
    return math.hypot(a * nx + b * ny, d * nx + e * ny)
