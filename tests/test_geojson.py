"""The layer as RFC 7946: judged by geojson-validator and ogr2ogr, not by ourselves."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import geojson_validator
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger  # comes with geojson-validator
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, shape
from shapely.validation import explain_validity

from dronesense.geodesy import to_lonlat, utm_crs
from dronesense.model import Hotspot, HotspotLayer
from dronesense.writers import geojson

START = 1_781_431_200_123_456_789  # 2026-06-14T10:00:00.123Z
NAN = math.nan
PIXEL = 1e-6  # about 0.1 m

logger.disable("geojson_validator")

CONTRACT = {
    "id", "target", "kind", "method", "score", "p_value", "q_value", "value", "unit", "value_sigma",
    "n_passes", "area_m2", "lon", "lat", "height_m", "ce90_m", "ellipse_major_m", "ellipse_minor_m",
    "ellipse_azimuth_deg", "start", "end", "flight", "sources", "status", "flags", "members",
}  # fmt: skip
"""Property names of the contract with users, but for the count that depends on the kind."""


def hotspot(geometry: Any = None, **changes: Any) -> Hotspot:
    geometry = box(76.9, 43.25, 76.9001, 43.2501) if geometry is None else geometry
    given = {
        "id": "0123456789ab", "target": "blue-cover", "kind": "spectral", "method": "ace",
        "geometry": geometry, "lon": 76.90005, "lat": 43.25005, "height_m": 712.3456, "score": 0.81234567,
        "p_value": 1.23456789e-7,
        "q_value": 1e-4, "value": 0.3, "value_sigma": 0.04, "unit": "fraction", "ce90_m": 0.41234,
        "ellipse_major_m": 0.25, "ellipse_minor_m": 0.12, "ellipse_azimuth_deg": 33.333, "start": START,
        "end": START + 10**9, "n_obs": 7, "n_passes": 2, "area_m2": 88.88888,
        "sources": ("raw/l1.bil#line 1-3 sample 4", "raw/l2.bil#line 9 sample 1-2"), "flags": ("truncated",),
    }  # fmt: skip
    return Hotspot(**{**given, **changes})


def gas(**changes: Any) -> Hotspot:
    line = LineString([(76.9, 43.25), (76.9002, 43.2501), (76.9003, 43.2501)])
    return hotspot(line, kind="gas", id="ba9876543210", area_m2=NAN, unit="ppm", flags=(), **changes)


def written(*hotspots: Hotspot, tmp_path: Path, **layer: Any) -> dict[str, Any]:
    path = tmp_path / "hotspots.geojson"
    HotspotLayer("2026-06-14-steppe", hotspots, **layer).write(path)

    def refuse(token: str) -> None:
        pytest.fail(f"{token} is not JSON")

    result: dict[str, Any] = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    return result


def encoded(*hotspots: Hotspot) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(geojson.encode(HotspotLayer("f", hotspots)))
    return result


def assert_rfc7946(collection: dict[str, Any], *harmless: str) -> None:
    """Check with the independent validator and by the letter; *harmless*: what else it may warn of."""
    assert "crs" not in json.dumps(collection)
    if collection["features"]:
        problems = geojson_validator.validate_geometries(collection)
        assert problems["invalid"] == {}
        assert set(problems["problematic"]) <= {"holes", "excessive_coordinate_precision", *harmless}
    assert geojson_validator.validate_structure(collection) == {}
    for feature in collection["features"]:
        geometry = shape(feature["geometry"])
        assert geometry.is_valid, explain_validity(geometry)
        lonlat = shapely.get_coordinates(geometry)
        assert np.abs(lonlat[:, 0]).max() <= 180.0
        assert np.array_equal(np.round(lonlat, 7), lonlat)
        if geometry.geom_type in {"Polygon", "MultiPolygon"}:
            for part in shapely.get_parts(geometry):
                assert part.exterior.is_ccw
                assert not any(ring.is_ccw for ring in part.interiors)


def test_every_property_of_the_contract_by_hand(tmp_path: Path) -> None:
    feature = written(hotspot(), tmp_path=tmp_path)["features"][0]
    assert feature["id"] == "0123456789ab"
    assert feature["properties"] == {
        "id": "0123456789ab", "target": "blue-cover", "kind": "spectral", "method": "ace",
        "score": 0.812346, "p_value": 1.23457e-07, "q_value": 0.0001, "value": 0.3, "unit": "fraction",
        "value_sigma": 0.04, "n_pixels": 7, "n_passes": 2, "area_m2": 88.889, "lon": 76.90005,
        "lat": 43.25005,
        "height_m": 712.346, "ce90_m": 0.412, "ellipse_major_m": 0.25, "ellipse_minor_m": 0.12,
        "ellipse_azimuth_deg": 33.3,
        "start": "2026-06-14T10:00:00.123Z", "end": "2026-06-14T10:00:01.123Z", "flight": "2026-06-14-steppe",
        "sources": "raw/l1.bil#line 1-3 sample 4; raw/l2.bil#line 9 sample 1-2", "status": "candidate",
        "flags": "truncated",
        "members": None,
    }  # fmt: skip
    assert set(feature["properties"]) - {"n_pixels"} == CONTRACT


def test_gas_counts_samples_and_has_no_area(tmp_path: Path) -> None:
    properties = written(gas(), tmp_path=tmp_path)["features"][0]["properties"]
    assert properties["n_samples"] == 7
    assert "n_pixels" not in properties
    assert properties["area_m2"] is None
    assert properties["flags"] == ""


def test_unknown_is_null(tmp_path: Path) -> None:
    unknown = ("height_m", "score", "p_value", "q_value", "value", "value_sigma", "ce90_m", "area_m2")
    h = hotspot(**dict.fromkeys(unknown, NAN), start=0, end=0, ellipse_azimuth_deg=math.inf, unit="")
    properties = written(h, tmp_path=tmp_path)["features"][0]["properties"]
    assert [properties[name] for name in (*unknown, "start", "end", "ellipse_azimuth_deg", "unit")] == [
        None
    ] * 12


def test_nothing_found_is_an_empty_collection(tmp_path: Path) -> None:
    collection = written(tmp_path=tmp_path)
    assert collection["type"] == "FeatureCollection"
    assert collection["features"] == []
    assert "bbox" not in collection
    assert_rfc7946(collection)


def test_whole_layer_is_valid_and_tells_its_limits(tmp_path: Path) -> None:
    collection = written(hotspot(), gas(), tmp_path=tmp_path, statements={"run_id": "0011223344556677"})
    assert_rfc7946(collection)
    assert collection["bbox"] == [76.9, 43.25, 76.9003, 43.2501]
    assert collection["dronesense"]["run"] == "0011223344556677"
    assert "never proof" in collection["dronesense"]["wording"]


def test_same_layer_same_bytes() -> None:
    layer = HotspotLayer("f", (hotspot(), gas()))
    assert geojson.encode(layer) == geojson.encode(HotspotLayer("f", (hotspot(), gas())))
    assert geojson.encode(layer).count(b"\n") == 4


def test_clockwise_exterior_and_counterclockwise_hole_are_turned() -> None:
    ring = [(0, 0), (0, 4), (4, 4), (4, 0)]  # clockwise
    hole = [(1, 1), (2, 1), (2, 2), (1, 2)]  # counterclockwise
    collection = encoded(hotspot(Polygon(ring, [hole]), lon=3.0, lat=3.0))
    assert_rfc7946(collection)
    coordinates = collection["features"][0]["geometry"]["coordinates"]
    assert len(coordinates) == 2
    assert all(ring[0] == ring[-1] for ring in coordinates)
    assert shape(collection["features"][0]["geometry"]).area == 15.0


def test_heights_of_geometries_are_left_out() -> None:
    collection = encoded(hotspot(Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)]), lon=0.5, lat=0.2))
    assert {len(position) for position in collection["features"][0]["geometry"]["coordinates"][0]} == {2}


def test_polygon_across_the_antimeridian_is_cut() -> None:
    jumping = Polygon([(179.9, 10), (-179.9, 10), (-179.9, 11), (179.9, 11)])
    running_on = box(179.9, 10, 180.1, 11)
    for geometry in (jumping, running_on, box(-180.1, 10, -179.9, 11)):
        collection = encoded(hotspot(geometry, lon=180.0, lat=10.5))
        assert_rfc7946(collection, "crosses_antimeridian")  # it takes the two halves for one
        cut = shape(collection["features"][0]["geometry"])
        assert cut.geom_type == "MultiPolygon"
        expected = MultiPolygon([box(179.9, 10, 180, 11), box(-180, 10, -179.9, 11)])
        assert cut.symmetric_difference(expected).area == pytest.approx(0.0, abs=1e-9)
        assert collection["bbox"] == [179.9, 10.0, -179.9, 11.0]


def test_track_across_the_antimeridian_is_cut() -> None:
    track = LineString([(179.5, 0), (-179.5, 1)])
    collection = encoded(replace(gas(), geometry=track, lon=180.0, lat=0.5))
    assert_rfc7946(collection, "crosses_antimeridian")
    assert collection["features"][0]["geometry"] == {
        "type": "MultiLineString",
        "coordinates": [[[179.5, 0.0], [180.0, 0.5]], [[-180.0, 0.5], [-179.5, 1.0]]],
    }


def test_layer_on_both_sides_of_the_antimeridian_has_a_narrow_bbox() -> None:
    east, west = box(179.8, -1, 179.9, 0), box(-179.9, 0, -179.8, 1)
    collection = encoded(hotspot(east, lon=179.85, lat=-0.5), hotspot(west, lon=-179.85, lat=0.5))
    assert collection["bbox"] == [179.8, -1.0, -179.8, 1.0]


def test_point_beyond_the_antimeridian_comes_back() -> None:
    collection = encoded(replace(gas(), geometry=Point(180.0000005, -16.5), lon=180.0, lat=-16.5))
    assert collection["features"][0]["geometry"] == {"type": "Point", "coordinates": [-179.9999995, -16.5]}


def test_what_was_cut_before_is_cut_the_same_again() -> None:
    slanted = shapely.affinity.rotate(box(179.9999, -16.5001, 180.0001, -16.4999), 17.0)
    once = geojson.prepare(slanted, (180.0, -16.5))
    again = geojson.prepare(once, (180.0, -16.5))
    assert len(again.geoms) == len(once.geoms) == 2
    assert again.symmetric_difference(once).area < 1e-12


def test_a_slanted_outline_that_jumps_is_cut_once_and_loses_nothing() -> None:
    """As outlines come from a work CRS: every longitude within 180, so the ring crosses itself on paper."""
    slanted = shapely.affinity.rotate(box(179.99, -16.51, 180.01, -16.49), 7.0).segmentize(0.001)
    lonlat = shapely.get_coordinates(slanted)
    lonlat[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    cut = geojson.prepare(Polygon(lonlat), (180.0, -16.5))
    assert len(cut.geoms) == 2
    assert cut.area == pytest.approx(slanted.area, rel=1e-4)


def test_hole_on_the_antimeridian_stays_a_hole() -> None:
    """A ring of pixels around 180°: the hole is open to the cut, both halves are C-shaped and closed."""
    ring = box(179.9, 10, 180.1, 11).difference(box(179.95, 10.4, 180.05, 10.6))
    collection = encoded(hotspot(ring, lon=179.92, lat=10.5))
    assert_rfc7946(collection, "crosses_antimeridian")
    cut = shape(collection["features"][0]["geometry"])
    assert cut.area == pytest.approx(0.2 - 0.02)
    assert not cut.contains(Point(179.99, 10.5))
    assert not cut.contains(Point(-179.99, 10.5))


@pytest.mark.parametrize("lat", [83.9999, 84.0, 84.0001, 89.9, -79.9999, -80.0, -80.0001, -89.9])
@pytest.mark.parametrize("lon", [-180.0, -3.0, 0.0, 179.99999])
def test_square_beyond_the_edges_of_utm_lies_where_it_is(lon: float, lat: float) -> None:
    """20 m on the work CRS of that place, put back by pyproj itself: valid, narrow, its place inside."""
    crs = utm_crs(lon, lat)
    there = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    x, y = there.transform(lon, lat)
    corners = np.array(box(x - 10, y - 10, x + 10, y + 10).exterior.coords)
    geometry = Polygon(np.column_stack(to_lonlat(corners[:, 0], corners[:, 1], crs)))
    collection = encoded(hotspot(geometry, lon=lon, lat=lat))
    assert_rfc7946(collection, "crosses_antimeridian")
    west, south, east, north = collection["bbox"]
    assert (east - west) % 360.0 * math.cos(math.radians(lat)) * 111_320.0 < 30.0
    assert (north - south) * 111_320.0 < 30.0
    back = np.column_stack(
        there.transform(*shapely.get_coordinates(shape(collection["features"][0]["geometry"])).T)
    )
    assert np.abs(back - [x, y]).max() < 10.1
    inside = shape(collection["features"][0]["geometry"]).buffer(1e-6)
    assert inside.covers(Point(lon, lat))


def test_layer_on_both_sides_of_greenwich_has_a_plain_bbox() -> None:
    collection = encoded(hotspot(box(-1, 50, 1, 51), lon=0.0, lat=50.5))
    assert collection["bbox"] == [-1.0, 50.0, 1.0, 51.0]
    assert collection["features"][0]["geometry"]["type"] == "Polygon"


def test_bow_tie_and_pixels_that_meet_in_a_corner_come_out_valid() -> None:
    bow_tie = Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    corner = Polygon([(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1)])  # touches itself
    collection = encoded(hotspot(bow_tie, lon=0.5, lat=0.2), hotspot(corner, lon=0.5, lat=0.5))
    assert_rfc7946(collection)
    areas = [shape(feature["geometry"]).area for feature in collection["features"]]
    assert areas == pytest.approx([0.5, 2.0])


def test_pixel_smaller_than_the_rounding_becomes_its_place() -> None:
    collection = encoded(hotspot(box(10, 50, 10 + 2e-8, 50 + 2e-8), lon=10.00000001, lat=50.00000001))
    assert collection["features"][0]["geometry"] == {"type": "Point", "coordinates": [10.0, 50.0]}
    assert_rfc7946(collection)


def test_point_of_a_single_sample() -> None:
    collection = encoded(replace(gas(), geometry=Point(76.9, 43.25)))
    assert collection["features"][0]["geometry"] == {"type": "Point", "coordinates": [76.9, 43.25]}


@settings(max_examples=60)
@given(
    st.floats(-180, 180),
    st.floats(-80, 80),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15, unique=True),
    st.floats(0, math.pi),
    st.sampled_from([0.3, 1.0, 37.0]),
)
def test_any_set_of_pixels_anywhere_is_valid_after_rounding(lon, lat, pixels, turn, scale) -> None:
    size = PIXEL * scale
    squares = shapely.union_all([box(c, r, c + 1, r + 1) for r, c in pixels])
    place = shapely.affinity.rotate(
        shapely.affinity.scale(squares, size, size, origin=(0, 0)), turn, (0, 0), True
    )
    geometry = shapely.affinity.translate(place, lon, lat)
    collection = encoded(hotspot(geometry, lon=lon, lat=lat))
    assert_rfc7946(collection, *(["crosses_antimeridian"] if abs(lon) > 179.9 else []))
    west, south, east, north = collection["bbox"]
    assert (east - west) % 360.0 <= 12 * size + 1e-6
    assert north - south <= 12 * size + 1e-6
    area = shape(collection["features"][0]["geometry"]).area
    if scale >= 1.0:
        assert area == pytest.approx(geometry.area, rel=0.5 / scale)


@pytest.mark.parametrize("name", ['"><script>', "a\nb", "ру\u2028", "lone \udcff byte", "=1+1", "\x00"])
def test_any_text_stays_text(tmp_path: Path, name: str) -> None:
    collection = written(hotspot(target=name, sources=(name,)), tmp_path=tmp_path)
    assert collection["features"][0]["properties"]["target"] == name.replace("\udcff", "?")


@pytest.mark.skipif(shutil.which("ogr2ogr") is None, reason="ogr2ogr is not installed")
def test_ogr2ogr_changes_nothing_in_meaning(tmp_path: Path) -> None:
    """GDAL's own RFC 7946 writer takes our file and gives the same features, values and places back."""
    hole = [(76.803, 43.203), (76.803, 43.206), (76.806, 43.206)]
    ring = Polygon(box(76.8, 43.2, 76.81, 43.21).exterior.coords, [hole])
    crossing = box(179.9, 10, 180.1, 11)
    ours = written(
        hotspot(), gas(), hotspot(ring, id="r", p_value=NAN), hotspot(crossing, id="x", lon=180.0, lat=10.5),
        replace(gas(), id="p", geometry=Point(76.9, 43.25)), tmp_path=tmp_path,
    )  # fmt: skip
    target = tmp_path / "ogr.geojson"
    options = ["-lco", "RFC7946=YES", "-lco", "WRITE_BBOX=YES", "-lco", "SIGNIFICANT_FIGURES=17"]
    command = ["ogr2ogr", "-f", "GeoJSON", *options, str(target), str(tmp_path / "hotspots.geojson")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    theirs = json.loads(target.read_text("utf-8"))
    assert len(theirs["features"]) == len(ours["features"])
    for a, b in zip(ours["features"], theirs["features"], strict=True):
        assert a["id"] == b["id"]
        assert a["geometry"]["type"] == b["geometry"]["type"]
        assert shape(a["geometry"]).equals_exact(shape(b["geometry"]), 1e-9, normalize=True)
        known = {key: value for key, value in b["properties"].items() if value is not None}
        known["id"] = b["id"]  # OGR keeps a property that equals the feature's id in one place
        assert {key: value for key, value in a["properties"].items() if value is not None} == known
    assert theirs["bbox"] == pytest.approx(ours["bbox"])


def test_writer_is_found_by_suffix(tmp_path: Path) -> None:
    target = HotspotLayer("f", ()).write(tmp_path / "x.GeoJSON")
    assert json.loads(target.read_bytes())["features"] == []


PRODUCTS = Path(__file__).parents[1] / "docs" / "products.md"


@pytest.mark.skipif(not PRODUCTS.is_file(), reason="the documentation is not here")
def test_every_property_is_documented_and_nothing_else() -> None:
    text = PRODUCTS.read_text("utf-8").split("## `hotspots.geojson`")[1].split("\n### ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = {name.strip(" `") for row in rows for name in row.split(",")}
    assert documented == CONTRACT | {"n_pixels", "n_samples"}
