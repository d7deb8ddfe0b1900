"""GeoPackage, FlatGeobuf, KMZ, STAC, CoT: judged by sqlite3, ogrinfo, pystac, rio-cogeo and an XML parser."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import box

from dronesense.errors import CoverageError, ReadError
from dronesense.model import GroundPicture, GroundRaster, HotspotLayer, thumbnail
from dronesense.writers import (
    columns,
    cot,
    flatgeobuf,
    gpkg,
    kmz,
    layers,
    raster,
    side_style,
    stac,
    style,
    thinning,
    view,
)

sys.path.insert(0, str(Path(__file__).parent))
import layer_writer as maker

pyogrio = pytest.importorskip("pyogrio")
KML = "{http://www.opengis.net/kml/2.2}"
ORDER = ("hotspot_points", "hotspot_lines", "hotspots", "gas_samples", "track", "coverage")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker.products(tmp_path_factory.mktemp("products"))


@pytest.fixture(scope="module")
def package(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpkg") / "a.gpkg"
    gpkg.write_layers(layers.from_path(folder), path)
    return path


def rows(package: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(package) as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


# --- GeoPackage -----------------------------------------------------------------------------------------


def test_a_geopackage_is_one_and_holds_the_layers_in_their_order(package: Path) -> None:
    head = package.read_bytes()[:100]
    assert head[68:72] == b"GPKG"
    assert struct.unpack(">I", head[60:64])[0] == 10300
    assert rows(package, "PRAGMA integrity_check") == [("ok",)]
    assert rows(package, "PRAGMA foreign_key_check") == []
    assert [row[0] for row in rows(package, "SELECT table_name FROM gpkg_contents ORDER BY rowid")] == [
        *ORDER,
        "layer_styles",
    ]
    kinds = dict(rows(package, "SELECT table_name, geometry_type_name FROM gpkg_geometry_columns"))
    assert kinds == dict(zip(ORDER, ["POINT", "MULTILINESTRING", "MULTIPOLYGON", "POINT", "MULTILINESTRING",
                                     "MULTIPOLYGON"], strict=True))  # fmt: skip
    counts = [rows(package, f"SELECT count(*) FROM {name}")[0][0] for name in ORDER]
    assert counts == [3, 1, 1, 2, 1, 1]  # a gas sample without a position has no point


def test_numbers_times_and_nothing_are_as_in_the_geojson(package: Path, folder: Path) -> None:
    collection = json.loads((folder / "hotspots.geojson").read_bytes())
    names = [column.name for column in columns.HOTSPOT]
    quoted = ", ".join(f'"{name}"' for name in names)
    found = rows(package, f"SELECT {quoted} FROM hotspot_points")
    expected = [
        tuple(feature["properties"].get(name) for name in names) for feature in collection["features"]
    ]
    assert found[:2] == expected[:2]
    assert found[2] == (
        "cc0000000000",
        maker.EVIL.replace("\x00", "\ufffd"),
        *expected[2][2:],
    )  # a NUL would end the text in GDAL
    times = rows(package, 'SELECT "start", typeof("start"), "end" FROM hotspots')
    assert times == [("2026-06-14T10:00:00.123Z", "text", "2026-06-14T10:00:01.000Z")]
    types = dict(rows(package, "SELECT name, type FROM pragma_table_info('hotspots')"))
    assert (types["start"], types["n_pixels"], types["score"]) == ("DATETIME", "INTEGER", "REAL")


def test_gas_samples_by_hand(package: Path) -> None:
    found = rows(package, 'SELECT species, "time", value, unit, background, z, flags, "row" FROM gas_samples')
    assert found == [
        ("CH4", "2026-06-14T10:00:00.000Z", 2.0123, "ppm", 2.0, 1.23, "", 2),
        ("CH4", "2026-06-14T10:00:00.200Z", None, "ppm", 2.0, None, "RANGE", 3),
    ]


def test_headings_and_descriptions_stand_in_the_schema_extension(package: Path) -> None:
    for name, expected in zip(ORDER, (columns.HOTSPOT,) * 3 + (columns.GAS, columns.TRACK, columns.COVERAGE),
                              strict=True):  # fmt: skip
        found = rows(package, "SELECT column_name, title, description FROM gpkg_data_columns "
                     f"WHERE table_name = '{name}'")  # fmt: skip
        assert set(found) == {(each.name, each.alias, each.about) for each in expected}
        assert len({each.alias for each in expected}) == len(expected)
    declared = rows(package, "SELECT table_name FROM gpkg_extensions WHERE extension_name = 'gpkg_schema'")
    assert set(declared) == {("gpkg_data_columns",), ("gpkg_data_column_constraints",)}


def test_every_layer_has_a_style_that_is_the_default(package: Path) -> None:
    found = rows(package, "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles")
    assert [row[0] for row in found] == list(ORDER)
    for name, column, default, text in found:
        assert (column, default) == ("geom", 1)
        kinds = {symbol.get("type") for symbol in ET.fromstring(text).iter("symbol")}
        assert kinds == {{"hotspot_points": "marker", "gas_samples": "marker", "hotspot_lines": "line",
                          "track": "line"}.get(name, "fill")}  # fmt: skip


def test_same_layer_same_bytes_and_no_clock(tmp_path: Path, folder: Path, package: Path) -> None:
    gpkg.write_layers(layers.from_path(folder), tmp_path / "b.gpkg")
    assert (tmp_path / "b.gpkg").read_bytes() == package.read_bytes()
    stamps = rows(package, "SELECT DISTINCT last_change FROM gpkg_contents")
    assert stamps == [("2026-06-14T10:00:02.900Z",)]  # the end of the track
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_a_run_and_a_conversion_write_the_same(tmp_path: Path, folder: Path, package: Path) -> None:
    gpkg.write(maker.layer(*maker.three()), tmp_path / "memory.gpkg")
    for name in ORDER:
        if name == "coverage":
            continue
        sql = f"SELECT * FROM {name}"
        assert rows(tmp_path / "memory.gpkg", sql) == rows(package, sql)


def test_nothing_found_is_empty_tables(tmp_path: Path) -> None:
    gpkg.write(HotspotLayer("f", ()), tmp_path / "a.gpkg")
    assert [rows(tmp_path / "a.gpkg", f"SELECT count(*) FROM {name}")[0][0] for name in ORDER] == [0] * 6
    assert rows(tmp_path / "a.gpkg", "SELECT DISTINCT last_change FROM gpkg_contents") == [
        ("1970-01-01T00:00:00.000Z",)
    ]


def test_a_folder_that_cannot_be_written_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        gpkg.write(HotspotLayer("f", ()), tmp_path / "file" / "a.gpkg")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="ogrinfo is not installed")
def test_ogrinfo_of_another_gdal_finds_the_places(package: Path) -> None:
    done = subprocess.run(["ogrinfo", "-ro", "-al", str(package)], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr + done.stdout
    assert re.search(r"POINT \(76\.90005 43\.25005\)", done.stdout)
    assert "start (DateTime) = 2026/06/14 10:00:00.123+00" in done.stdout


BOTH = """
import numpy as np, sys, warnings
warnings.simplefilter("error")
from pathlib import Path
{order}
from rasterio.warp import transform
import rasterio, pyogrio
from dronesense.model import GroundPicture, GroundRaster, HotspotLayer
from dronesense.writers import gpkg, raster
x, y = transform("EPSG:4326", "EPSG:32643", [75.0], [0.0])
assert abs(x[0] - 500000.0) < 1e-3, x
folder = Path(sys.argv[1])
grid = GroundRaster("a", np.ones((3, 3), np.float32), (1, 0, 5e5, 0, -1, 4.8e6), "EPSG:32643", "1", "d")
raster.write(grid, folder / "a.tif")
gpkg.write(HotspotLayer("f", (), rasters=(grid,)), folder / "a.gpkg")
raster.write(grid, folder / "b.tif")
assert (folder / "a.tif").read_bytes() == (folder / "b.tif").read_bytes()
assert pyogrio.read_info(folder / "a.gpkg", layer="coverage")["crs"] == "EPSG:4326"
print(rasterio.__gdal_version__, pyogrio.__gdal_version_string__)
"""


@pytest.mark.parametrize("order", ["import rasterio, pyogrio", "import pyogrio, rasterio"])
def test_two_gdals_live_in_one_process(tmp_path: Path, order: str) -> None:
    """The wheels of rasterio and pyogrio bring a GDAL and a PROJ each; whichever comes first, both work."""
    done = subprocess.run(
        [sys.executable, "-c", BOTH.format(order=order), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import layer_writer as maker
from dronesense.writers import flatgeobuf, gpkg, kmz, layers
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made = layers.from_layer(maker.layer(*maker.three()))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
for writer, name in ((gpkg, "a.gpkg"), (flatgeobuf, "a.fgb"), (kmz, "a.kmz")):
    try:
        writer.write_layers(made, Path(sys.argv[1]) / name)
    except Exception as error:
        print(type(error).__name__, isinstance(error, OSError) or type(error).__name__ == "EvidenceError")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE")
@pytest.mark.parametrize(("limit", "fail"), [(0, 3), (1_000, 3), (60_000, 1), (120_000, 1)])
def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, limit: int, fail: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(limit), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == fail, done.stdout + done.stderr
    assert all(line.endswith("True") for line in lines)
    assert len(list(tmp_path.iterdir())) == 3 - fail


PRODUCTS = Path(__file__).parents[1] / "docs" / "products.md"


def test_columns_are_the_properties_of_the_geojson_and_the_documented(folder: Path) -> None:
    features = json.loads((folder / "hotspots.geojson").read_bytes())["features"]
    names = list(dict.fromkeys(name for feature in features for name in feature["properties"]))
    assert {each.name for each in columns.HOTSPOT} == set(names)
    if not PRODUCTS.is_file():
        pytest.skip("the documentation is not here")
    text = PRODUCTS.read_text("utf-8").split("## `hotspots.gpkg`")[1].split("\n## ")[0]
    for name, expected in (
        ("gas_samples", columns.GAS),
        ("track", columns.TRACK),
        ("coverage", columns.COVERAGE),
    ):
        row = next(
            line for line in text.split("The others:")[1].splitlines() if line.startswith(f"| `{name}`")
        )
        assert re.findall(r"`(\w+)`", row)[1 : len(expected) + 1] == [each.name for each in expected]


# --- FlatGeobuf -----------------------------------------------------------------------------------------


def test_flatgeobuf_holds_every_hotspot_as_a_point(tmp_path: Path, folder: Path) -> None:
    flatgeobuf.write_layers(layers.from_path(folder), tmp_path / "a.fgb")
    assert (tmp_path / "a.fgb").read_bytes()[:7] == b"fgb\x03fgb"  # version 3
    info, _, shapes, data = pyogrio.raw.read(tmp_path / "a.fgb")
    assert info["crs"] == "EPSG:4326"
    ids = list(data[list(info["fields"]).index("id")])
    assert sorted(ids) == ["0123456789ab", "ba9876543210", "cc0000000000"]
    assert {shape.wkt for shape in shapely.from_wkb(shapes)} == {"POINT (76.90005 43.25005)"}


# --- coverage, rasters ----------------------------------------------------------------------------------


def test_coverage_is_the_ground_that_has_a_score(folder: Path) -> None:
    """60 by 35 pixels of 0.5 m by hand: 525 m² on the grid, divided by the areal scale on the ground."""
    table = layers.coverage_table(layers.from_path(folder))
    factor = pyproj.Proj("EPSG:32643").get_factors(maker.LON, maker.LAT).areal_scale
    assert table.values["cube"][0] == "line_1"
    assert table.values["kind"][0] == "seen"
    assert table.values["area_m2"][0] == pytest.approx(525.0 / factor, rel=1e-3)
    assert shapely.is_valid(table.geometries[0])


def test_what_lies_between_and_was_not_seen_is_a_gap() -> None:
    """A frame of two strips and two ends, 40 m wide, around a hole of 20 by 10 m."""
    values = np.ones((30, 40), dtype=np.float32)
    values[10:20, 10:30] = np.nan
    ring = GroundRaster("a__t", values, (1.0, 0.0, 6e5, 0.0, -1.0, 4.79e6), "EPSG:32643", "1", "d")
    made = layers.Layers("f", {"features": []}, rasters=(ring,))
    table = layers.coverage_table(made)
    assert table.values["kind"] == ["seen", "gap"]
    assert table.values["cube"] == ["a", None]
    factor = pyproj.Proj("EPSG:32643").get_factors(76.23, 43.25).areal_scale
    assert table.values["area_m2"] == pytest.approx([1000.0 / factor, 200.0 / factor], rel=2e-2)
    assert table.geometries[0].intersection(table.geometries[1]).area < 1e-14


def test_a_picture_on_the_ground_comes_back_and_others_are_refused(tmp_path: Path) -> None:
    rgba = np.zeros((4, 30, 40), dtype=np.uint8)
    rgba[0, :, :20], rgba[1, :, 20:], rgba[3, 5:, :] = 200, 100, 255
    given = GroundPicture("a", rgba, (1.0, 0.0, 6e5, 0.0, -1.0, 4.79e6), "EPSG:32643", "a: true color; x")
    raster.write_picture(
        given.rgba,
        tmp_path / "a.tif",
        transform=given.transform,
        crs=given.crs,
        description=given.description,
    )
    found = thinning.thin_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.rgba, rgba)
    assert (found.transform, found.crs, found.description) == (given.transform, given.crs, given.description)
    page = view.page_data(layers.Layers("f", {"features": []}, pictures=(given,)), view.About())
    (shown,) = page["overlays"]
    assert (shown["name"], shown["picture"]) == ("a: true color", True)
    raster.write(maker.grid("a__b"), tmp_path / "b.tif")
    with pytest.raises(ReadError, match="no picture"):
        thinning.thin_picture(tmp_path / "b.tif")


def test_stairs_of_a_slanted_strip_go_and_a_hole_stays() -> None:
    i, j = np.mgrid[:200, :200]
    slanted = np.abs((i - j) / np.sqrt(2.0)) < 40.0
    slanted &= np.hypot(i - 100, j - 100) > 10
    values = np.where(slanted, np.float32(1.0), np.float32(np.nan))
    grid = GroundRaster("a__t", values, (1.0, 0.0, 5e5, 0.0, -1.0, 4.8e6), "EPSG:32643", "1", "d")
    area = layers.outline(grid)
    assert len(area.interiors) == 1
    assert shapely.get_num_coordinates(area) < 200
    back = shapely.transform(
        area,
        lambda c: np.column_stack(pyproj.Transformer.from_crs(4326, 32643, always_xy=True).transform(*c.T)),
    )
    assert back.area == pytest.approx(slanted.sum(), rel=0.01)


def test_layers_across_the_antimeridian(tmp_path: Path) -> None:
    """A raster of 30 by 20 m around 180° E, with two targets: cut in the layers, whole in the overlay."""
    crs = "EPSG:32701"
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(180.0, -16.5)
    grids = tuple(
        GroundRaster(
            name, np.ones((40, 60), np.float32), (0.5, 0.0, x - 15.0, 0.0, -0.5, y + 10.0), crs, "1", "d"
        )
        for name in ("l__a", "l__b")
    )
    spot = maker.hotspot(box(179.9999, -16.5001, 180.0001, -16.4999), lon=180.0, lat=-16.5)
    made = layers.from_layer(HotspotLayer("f", (spot,), rasters=grids))
    factor = pyproj.Proj(crs).get_factors(180.0, -16.5).areal_scale
    coverage = layers.coverage_table(made)
    assert coverage.values["area_m2"] == [pytest.approx(600.0 / factor, rel=1e-3)]
    (_, _, areas), (seen,) = layers.hotspot_tables(made), coverage.geometries
    for shape in (*areas.geometries, seen):
        assert shape.is_valid
        assert [round(abs(edge)) for edge in shape.bounds[::2]] == [180, 180]
        assert len(shape.geoms) == 2
    gpkg.write_layers(made, tmp_path / "a.gpkg")
    assert rows(tmp_path / "a.gpkg", "SELECT count(*) FROM coverage") == [(1,)]
    values, (west, _, east, _) = kmz.to_lonlat_grid(grids[0])
    assert west < 180.0 < east < west + 1e-3
    assert np.isfinite(values).mean() > 0.9
    item = stac.item(made, tmp_path / "hotspots.geojson", tmp_path / "i.json")
    assert item["bbox"][0] > 179.9
    assert item["bbox"][2] < -179.9


def test_a_large_raster_is_thinned_on_the_disk_as_in_memory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(thinning, "THINNED_PIXELS", 100)
    monkeypatch.setattr(thinning, "STRIP_ROWS", 64)
    values = np.random.default_rng(0).normal(size=(333, 210)).astype(np.float32)
    grid = GroundRaster("a", values, (0.5, 0.0, 5e5, 0.0, -0.5, 4.8e6), "EPSG:32643", "1", "score")
    raster.write(grid, tmp_path / "a.tif")
    ours, read = thinning.thinned(grid), thinning.read_thinned(tmp_path / "a.tif")
    assert np.array_equal(ours.values, values[::4, ::4])
    assert np.array_equal(read.values, ours.values)
    assert (read.transform, read.unit, read.description) == (ours.transform, "1", "score")


def test_every_raster_is_a_strict_cog(folder: Path) -> None:
    cogeo = pytest.importorskip("rio_cogeo.cogeo", reason="rio-cogeo is not installed")
    found = [cogeo.cog_validate(path, strict=True) for path in sorted(folder.rglob("*.tif"))]
    assert len(found) == 2
    assert all(valid and not errors and not warnings for valid, errors, warnings in found)


def test_the_style_of_a_raster_spans_its_values_with_the_unit(tmp_path: Path, folder: Path) -> None:
    target = side_style.write_side_style(folder / "gas" / "CH4_map.tif", tmp_path / "m.qml")
    document = ET.fromstring(target.read_text("utf-8"))
    items = list(document.iter("item"))
    values = [float(item.get("value", "nan")) for item in items]
    assert values == sorted(values)
    assert values[0] == pytest.approx(0.02, abs=1e-3)  # 2nd and 99.9th percentile of 0 to 1
    assert values[-1] == pytest.approx(0.999, abs=1e-3)
    assert items[0].get("label", "").endswith("ppm")


@pytest.mark.parametrize("values", [np.full((2, 2), np.nan), np.ones((2, 2))], ids=["nothing", "one value"])
def test_a_raster_without_a_range_has_a_style(values: np.ndarray) -> None:
    low, high = style.value_range(values.astype(np.float32))
    assert high > low
    assert set(style.colored(values.astype(np.float32))[..., 3].ravel()) == (
        {0} if np.isnan(values[0, 0]) else {255}
    )


# --- styles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "key"),
    [(0.0, "a"), (9.99e-4, "a"), (1e-3, "b"), (0.049, "b"), (0.05, "c"), (1.0, "c"), (None, "c")],
)
def test_class_of_a_hotspot_by_its_q_value(q: float | None, key: str) -> None:
    assert style.class_of({"kind": "fused", "q_value": q}) == f"fused-{key}"
    assert f"fused-{key}" in {each.key for each in style.classes(["fused"])}


def test_colors_are_told_apart_and_words_promise_nothing() -> None:
    every = style.classes([])
    assert len({each.color for each in every}) == 3
    assert not re.search("detected|proof|found|certain|confirmed", " ".join(each.label for each in every))
    assert style.classes(["new"])[0].label.startswith("other evidence")


@pytest.mark.parametrize(
    ("hotspots", "kind", "number"),
    [(slice(0, 3), "fill", "2"), (slice(1, 3), "line", "1"), (slice(2, 3), "marker", "0")],
)
def test_side_style_fits_the_widest_geometry(tmp_path: Path, hotspots: slice, kind: str, number: str) -> None:
    maker.layer(*maker.three()[hotspots]).write(tmp_path / "h.geojson")
    target = side_style.write_side_style(tmp_path / "h.geojson")
    assert target.name == "h.qml"
    document = ET.fromstring(target.read_text("utf-8"))
    assert {symbol.get("type") for symbol in document.iter("symbol")} == {kind}
    assert document.findtext("layerGeometryType") == number
    aliases = {each.get("field"): each.get("name") for each in document.iter("alias")}
    assert aliases["ce90_m"] == "Error 90 % (m)"


# --- KMZ ------------------------------------------------------------------------------------------------


def opened(path: Path) -> tuple[ET.Element, dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return ET.fromstring(files["doc.kml"]), files


def test_kmz_read_back(tmp_path: Path, folder: Path) -> None:
    kmz.write_layers(layers.from_path(folder), tmp_path / "a.kmz")
    document, files = opened(tmp_path / "a.kmz")
    marks = list(document.iter(f"{KML}Placemark"))
    assert len(marks) == 4  # three hotspots and the track
    first = marks[0]
    assert first.findtext(f"{KML}TimeSpan/{KML}begin") == "2026-06-14T10:00:00.123Z"
    assert first.findtext(f"{KML}styleUrl") == "#spectral-a"
    point = first.findtext(f"{KML}MultiGeometry/{KML}Point/{KML}coordinates")
    assert point == "76.90005,43.25005"
    ring = first.findtext(f".//{KML}outerBoundaryIs/{KML}LinearRing/{KML}coordinates")
    assert ring is not None
    assert len(ring.split()) == 5
    data = {each.get("name"): each.findtext(f"{KML}value") for each in first.iter(f"{KML}Data")}
    assert data["ce90_m"] == "0.412"
    assert "n_samples" not in data
    styles = {each.get("id") for each in document.iter(f"{KML}Style")}
    assert {mark.findtext(f"{KML}styleUrl", "")[1:] for mark in marks} <= styles
    assert "not proof" in (document.findtext(f"{KML}Document/{KML}name") or "")
    hrefs = [each.findtext(f"{KML}Icon/{KML}href") for each in document.iter(f"{KML}GroundOverlay")]
    assert set(hrefs) == set(files) - {"doc.kml"}
    assert len(hrefs) == 2


def test_kmz_is_read_by_libkml(tmp_path: Path, folder: Path) -> None:
    if "LIBKML" not in pyogrio.list_drivers():
        pytest.skip("this GDAL has no LIBKML")
    kmz.write_layers(layers.from_path(folder), tmp_path / "a.kmz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyogrio 0.13 under numpy 2.5
        info, _, shapes, data = pyogrio.raw.read(tmp_path / "a.kmz", layer="Hotspots")
    column = dict(zip(info["fields"], data, strict=True))
    assert list(column["Name"][:2]) == ["blue-cover (candidate)", "CH4 (candidate)"]
    begins = column["begin"].astype("datetime64[ms]").astype(str)
    assert list(begins) == ["2026-06-14T10:00:00.123"] * 3
    kinds = [[part.geom_type for part in shape.geoms] for shape in shapely.from_wkb(shapes)]
    assert kinds == [["Point", "Polygon"], ["Point", "LineString"], ["Point"]]


def test_any_text_stays_text_in_kml(tmp_path: Path) -> None:
    kmz.write(maker.layer(*maker.three()), tmp_path / "a.kmz")
    document, _ = opened(tmp_path / "a.kmz")
    assert document.findall(f".//{KML}b") == []
    names = [each.findtext(f"{KML}name") for each in document.iter(f"{KML}Placemark")]
    assert names[2] == maker.EVIL.replace("\x00", "\ufffd") + " (candidate)"


def test_elements_of_a_placemark_stand_in_the_order_of_the_schema(tmp_path: Path) -> None:
    """OGC 07-147r2: name, visibility, open, description, TimePrimitive, styleUrl, ExtendedData, Geometry."""
    order = ["name", "visibility", "open", "description", "TimeSpan", "styleUrl", "ExtendedData", "geometry"]
    rejected = maker.hotspot(box(76.9, 43.2, 76.91, 43.21), status="rejected")
    kmz.write(maker.layer(rejected, *maker.three()), tmp_path / "a.kmz")
    document, _ = opened(tmp_path / "a.kmz")
    for mark in document.iter(f"{KML}Placemark"):
        tags = [child.tag.removeprefix(KML) for child in mark]
        places = [order.index(tag) if tag in order else len(order) - 1 for tag in tags]
        assert places == sorted(places)
    assert document.findtext(f".//{KML}Placemark/{KML}visibility") == "0"


def test_overlay_lies_where_the_raster_does(tmp_path: Path) -> None:
    layer = maker.layer()
    kmz.write(layer, tmp_path / "a.kmz")
    document, files = opened(tmp_path / "a.kmz")
    overlay = list(document.iter(f"{KML}GroundOverlay"))[1]  # the gas map comes first
    box = overlay.find(f"{KML}LatLonBox")
    assert box is not None
    side = {each.tag.removeprefix(KML): float(each.text or "nan") for each in box}
    grid = layer.rasters[0]
    x, y = grid.transform[2], grid.transform[5]
    corners = pyproj.Transformer.from_crs(32643, 4326, always_xy=True).transform(
        [x, x + 30.0, x, x + 30.0], [y, y, y - 20.0, y - 20.0]
    )
    pixel = 1e-5  # about 0.5 m at this latitude, the size of a pixel
    assert side["west"] == pytest.approx(min(corners[0]), abs=pixel)
    assert side["east"] == pytest.approx(max(corners[0]), abs=pixel)
    assert side["south"] == pytest.approx(min(corners[1]), abs=pixel)
    assert side["north"] == pytest.approx(max(corners[1]), abs=pixel)
    picture = files["overlay_2.png"]
    opacity = np.asarray(pytest.importorskip("PIL.Image").open(io.BytesIO(picture)))[..., 3]
    assert opacity[2, opacity.shape[1] // 2] == 0  # the first rows have no score
    assert opacity[-8, opacity.shape[1] // 2] == 255


def test_kmz_same_bytes_and_no_machine_in_it(tmp_path: Path) -> None:
    for name in "ab":
        kmz.write(maker.layer(*maker.three()), tmp_path / f"{name}.kmz")
    assert (tmp_path / "a.kmz").read_bytes() == (tmp_path / "b.kmz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.kmz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_png_by_another_reader() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(thumbnail.png(pixels)))
    assert np.array_equal(np.asarray(image), pixels)


# --- STAC, CoT ------------------------------------------------------------------------------------------


def test_stac_item_is_valid_and_its_hashes_are_the_files(tmp_path: Path, folder: Path) -> None:
    pystac = pytest.importorskip("pystac", reason="pystac is not installed")
    stac.write_layers(layers.from_path(folder), folder / "hotspots.geojson", tmp_path / "i.json")
    made = json.loads((tmp_path / "i.json").read_bytes())
    item = pystac.Item.from_dict({**made, "stac_extensions": []})  # schemas of extensions need a network
    assert len(item.validate()) == 1
    named = [pytest.importorskip(f"pystac.extensions.{name}").SCHEMA_URI for name in ("file", "projection")]
    assert made["stac_extensions"] == named
    asset = made["assets"]["scores/line_1__blue-cover.tif"]
    file = tmp_path / asset["href"]
    assert file.resolve() == (folder / "scores/line_1__blue-cover.tif").resolve()
    assert asset["file:checksum"] == "1220" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert asset["proj:code"] == "EPSG:32643"
    assert asset["proj:shape"] == [40, 60]
    assert asset["bands"][0]["nodata"] == "nan"
    assert asset["bands"][0]["statistics"]["maximum"] == pytest.approx(1.0)
    assert made["properties"]["start_datetime"] == "2026-06-14T10:00:00.000Z"
    assert made["properties"]["end_datetime"] == "2026-06-14T10:00:02.900Z"


def test_stac_beside_the_products_points_at_its_neighbours(folder: Path) -> None:
    found = stac.item(layers.from_path(folder), folder / "hotspots.geojson", folder / "item.json")
    assert found["assets"]["hotspots.geojson"]["href"] == "./hotspots.geojson"
    assert found["id"] == "2026-06-14-steppe-0011223344556677"


def test_stac_without_a_time_or_with_a_lost_product_is_refused(tmp_path: Path) -> None:
    HotspotLayer("f", ()).write(tmp_path / "hotspots.geojson")
    with pytest.raises(CoverageError, match="time"):
        stac.item(layers.from_path(tmp_path), tmp_path / "hotspots.geojson", tmp_path / "i.json")
    maker.products(tmp_path)
    (tmp_path / "gas" / "CH4.csv").unlink()
    with pytest.raises(ReadError, match="gone"):
        stac.item(layers.from_path(tmp_path), tmp_path / "hotspots.geojson", tmp_path / "i.json")


def test_cot_marks_are_neutral_and_leave_out_what_was_rejected(tmp_path: Path) -> None:
    rejected = maker.hotspot(box(76.9, 43.2, 76.91, 43.21), id="dd0000000000", status="rejected")
    made = layers.from_layer(maker.layer(*maker.three(), rejected))
    cot.write_layers(made, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        manifest = ET.fromstring(archive.read("MANIFEST/manifest.xml"))
        entries = [each.get("zipEntry") or "" for each in manifest.iter("Content")]
        assert sorted(entries) == sorted(set(archive.namelist()) - {"MANIFEST/manifest.xml"})
        events = [ET.fromstring(archive.read(entry)) for entry in entries]
    assert len(events) == 3
    assert {event.get("type") for event in events} == {"b-m-p-s-m"}
    point = events[0].find("point")
    assert point is not None
    assert point.attrib == {
        "lat": "43.2500500", "lon": "76.9000500", "hae": "712.346", "ce": "0.412", "le": "9999999.0",
    }  # fmt: skip
    unknown = events[2].find("point")
    assert unknown is not None
    assert (unknown.get("hae"), unknown.get("ce")) == ("9999999.0", "9999999.0")
    assert "never proof" in (events[0].findtext("detail/remarks") or "")
    assert events[0].get("stale") == "2026-07-14T10:00:01.000Z"


# --- reading back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type":"FeatureCollection"}',
        '{"features":[1]}',
        '{"features":[{"properties":{}}]}',
        "\udcff",
    ],
)
def test_what_is_no_layer_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hotspots.geojson").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReadError, match=r"hotspots\.geojson"):
        layers.from_path(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("score", "high"), ("n_passes", "x"), ("start", "yesterday"), ("end", "2026-06-14T10:00:00")],
)
def test_a_value_that_does_not_fit_its_column_is_named(tmp_path: Path, name: str, value: str) -> None:
    folder = maker.products(tmp_path)
    collection = json.loads((folder / "hotspots.geojson").read_bytes())
    collection["features"][0]["properties"][name] = value
    (folder / "hotspots.geojson").write_text(json.dumps(collection), "utf-8")
    with pytest.raises(ReadError, match=name):
        layers.tables(layers.from_path(folder))


def test_a_geometry_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = maker.products(tmp_path)
    collection = json.loads((folder / "hotspots.geojson").read_bytes())
    collection["features"][0]["geometry"] = {"type": "Blob", "coordinates": []}
    (folder / "hotspots.geojson").write_text(json.dumps(collection), "utf-8")
    with pytest.raises(ReadError, match="geometry"):
        layers.tables(layers.from_path(folder))


def test_a_folder_without_a_layer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="dronesense run"):
        layers.from_path(tmp_path)
