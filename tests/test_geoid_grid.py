"""Geoid grids: written as GTX, GeoTIFF and text, read back whole and in part, cut, and misled."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronesense.errors import CoverageError, DronesenseError, ReadError
from dronesense.geodesy import geoid
from dronesense.readers import geoid_grid

STEP = 0.5


def field(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Undulations that close around the globe."""
    lam, phi = np.radians(lon), np.radians(lat)
    return np.float32(30.0 * np.cos(phi) * np.cos(lam) + 10.0 * np.sin(phi))


def nodes(west: float, south: float, rows: int, cols: int) -> np.ndarray:
    lon, lat = np.meshgrid(west + STEP * np.arange(cols), south + STEP * np.arange(rows))
    return field(lon, lat)


def gtx(path: Path, west: float, south: float, values: np.ndarray) -> Path:
    head = struct.pack(">4d2i", south, west, STEP, STEP, *values.shape)
    path.write_bytes(head + values.astype(">f4").tobytes())
    return path


def tif(path: Path, west: float, south: float, values: np.ndarray, **options: object) -> Path:
    import rasterio

    top = south + STEP * (values.shape[0] - 0.5)
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "dtype": "float32",
        "crs": "EPSG:4326",
        "transform": rasterio.Affine(STEP, 0.0, west - STEP / 2, 0.0, -STEP, top),
        "nodata": -88.8888,
    } | options
    with rasterio.open(path, "w", **profile) as out:
        out.write(values[::-1], 1)
    return path


def text(path: Path, west: float, south: float, values: np.ndarray) -> Path:
    rows, cols = values.shape
    if cols * STEP == 360.0:  # the last column repeats the first
        values = np.concatenate([values, values[:, :1]], axis=1)
    east, north = west + STEP * (values.shape[1] - 1), south + STEP * (rows - 1)
    lines = [f" {south} {north} {west} {east} {STEP} {STEP}", ""]
    lines += [" ".join(f"{value:.4f}" for value in row) for row in values[::-1]]
    path.write_text("\n".join(lines), encoding="ascii")
    return path


Writer = Callable[[Path, float, float, np.ndarray], Path]
WRITERS = [gtx, tif, text]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("bounds", [None, (8.1, 46.0, 8.9, 46.7)])
def test_part_of_a_country(tmp_path: Path, write: Writer, bounds: geoid_grid.Bounds | None) -> None:
    path = write(tmp_path / "any.name", 5.0, 45.0, nodes(5.0, 45.0, 15, 21))
    grid = geoid_grid.read(path, label="geoid/country", bounds=bounds)
    lon, lat = np.array([8.1, 8.5, 8.77, 8.9]), np.array([46.0, 46.5, 46.31, 46.7])
    np.testing.assert_allclose(grid.undulation(lon, lat), field(lon, lat), atol=2e-4)
    assert grid.name == "geoid/country"
    assert (grid.undulation_m.shape == (15, 21)) is (bounds is None)
    with pytest.raises(CoverageError, match=r"geoid/country: does not cover"):
        grid.undulation(20.0, 46.0)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize(
    "bounds",
    [
        (179.8, 10.0, 180.4, 10.2),
        (-180.0, -5.0, -179.9, -4.0),
        (-0.1, 50.0, 0.1, 50.1),
        (-119.2, 37.0, -119.0, 37.1),
    ],
)
def test_seams_of_global_grids(tmp_path: Path, write: Writer, west: float, bounds: geoid_grid.Bounds) -> None:
    path = write(tmp_path / "globe", west, -90.0, nodes(west, -90.0, 361, 720))
    grid = geoid_grid.read(path, label="globe", bounds=bounds)
    lon = np.linspace(bounds[0], bounds[2], 5)
    lat = np.linspace(bounds[1], bounds[3], 5)
    np.testing.assert_allclose(grid.undulation(lon, lat), field(lon, lat), atol=2e-4)
    assert grid.undulation_m.size < 200


@pytest.mark.parametrize("write", [gtx, tif])
def test_whole_globe_reaches_the_poles(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "globe", -180.0, -90.0, nodes(-180.0, -90.0, 361, 720))
    for bounds in (None, (-180.0, -90.0, 180.0, 90.0)):
        grid = geoid_grid.read(path, label="globe", bounds=bounds)
        lon, lat = np.array([0.3, 100.0, -179.99]), np.array([90.0, -89.9, 89.8])
        np.testing.assert_allclose(grid.undulation(lon, lat), field(lon, lat), atol=1e-3)


def test_grid_in_east_longitudes_serves_western_ones(tmp_path: Path) -> None:
    path = gtx(tmp_path / "usa.gtx", 230.0, 24.0, nodes(230.0, 24.0, 60, 100))
    grid = geoid_grid.read(path, label="usa", bounds=(-119.1, 37.0, -119.0, 37.1))
    assert grid.undulation(-119.05, 37.05) == pytest.approx(
        float(field(np.array(-119.05), np.array(37.05))), abs=1e-4
    )


def test_bounds_a_little_west_of_a_grid(tmp_path: Path) -> None:
    path = gtx(tmp_path / "x.gtx", 5.0, 45.0, nodes(5.0, 45.0, 15, 21))
    grid = geoid_grid.read(path, label="x", bounds=(4.99, 46.0, 5.2, 46.1))
    assert grid.undulation(5.1, 46.05) == pytest.approx(
        float(field(np.array(5.1), np.array(46.05))), abs=1e-3
    )


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("bounds", [(50.0, 46.0, 50.1, 46.1), (8.0, 10.0, 8.1, 10.1), (8.0, 80.0, 8.1, 80.1)])
def test_grid_of_another_country(tmp_path: Path, write: Writer, bounds: geoid_grid.Bounds) -> None:
    path = write(tmp_path / "x", 5.0, 45.0, nodes(5.0, 45.0, 15, 21))
    with pytest.raises(CoverageError, match=r"does not cover the flight.*What to do"):
        geoid_grid.read(path, label="x", bounds=bounds)


@pytest.mark.parametrize("write", [gtx, tif])
def test_missing_nodes(tmp_path: Path, write: Writer) -> None:
    values = nodes(5.0, 45.0, 15, 21)
    values[0, 0] = np.float32(-88.8888)
    values[1, 1] = np.nan
    grid = geoid_grid.read(write(tmp_path / "x", 5.0, 45.0, values), label="x")
    assert np.isnan(grid.undulation_m[[0, 1], [0, 1]]).all()
    assert np.isnan(grid.undulation_m).sum() == 2
    with pytest.raises(CoverageError, match="no value"):
        grid.undulation(5.1, 45.1)
    empty = write(tmp_path / "y", 5.0, 45.0, np.full((15, 21), np.float32(-88.8888)))
    with pytest.raises(CoverageError, match="holds no value"):
        geoid_grid.read(empty, label="y")


def test_height_model_is_no_geoid(tmp_path: Path) -> None:
    path = tif(tmp_path / "dem.tif", 5.0, 45.0, np.full((15, 21), np.float32(1250.0)))
    with pytest.raises(ReadError, match=r"dem.tif: holds 1250, more than any undulation"):
        geoid_grid.read(path, label="dem.tif")


def test_refused_tiffs(tmp_path: Path) -> None:
    import rasterio

    values = nodes(5.0, 45.0, 15, 21)
    with pytest.raises(ReadError, match="longitude and latitude"):
        geoid_grid.read(tif(tmp_path / "a.tif", 5.0, 45.0, values, crs="EPSG:32632"), label="a.tif")
    south_up = rasterio.Affine(STEP, 0.0, 5.0, 0.0, STEP, 45.0)
    with pytest.raises(ReadError, match="upside down"):
        geoid_grid.read(tif(tmp_path / "b.tif", 5.0, 45.0, values, transform=south_up), label="b.tif")
    path = tif(tmp_path / "c.tif", 5.0, 45.0, values)
    with rasterio.open(path, "r+") as out:
        out.units = ("US survey foot",)
    with pytest.raises(ReadError, match="not m"):
        geoid_grid.read(path, label="c.tif")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ReadError):
        geoid_grid.read(path, label="c.tif")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"geoid.gtx: cannot be opened"):
        geoid_grid.read(tmp_path / "no.gtx", label="geoid.gtx")


@pytest.mark.parametrize("write", [gtx, text])
def test_every_cut_is_refused(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "x", 5.0, 45.0, nodes(5.0, 45.0, 4, 5))
    raw = path.read_bytes()
    for length in range(len(raw) - 1):
        path.write_bytes(raw[:length])
        if write is text and length >= len(raw) - 6:
            break  # digits of the last number
        with pytest.raises(ReadError):
            geoid_grid.read(path, label="x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    head=st.binary(max_size=60)
    | st.builds(
        lambda numbers, counts: struct.pack(">4d2i", *numbers, *counts) + bytes(4 * 6),
        st.tuples(*[st.floats() | st.sampled_from([0.0, 0.5, 10.0, -90.0])] * 4),
        st.tuples(st.integers(-9, 2**31 - 1) | st.just(2), st.integers(-9, 2**31 - 1) | st.just(3)),
    )
    | st.text("0123456789.-e \n", max_size=80).map(str.encode),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(head)
    try:
        grid = geoid_grid.read(path, label="x", bounds=(0.1, 0.1, 0.2, 0.2))
    except DronesenseError:
        return
    assert np.nanmax(np.abs(grid.undulation_m)) <= geoid.LARGEST_UNDULATION_M


def test_grid_of_nga(shared_data: Path, tmp_path: Path) -> None:
    """At 15' a cubic differs from the series by the curvature between the nodes."""
    with zipfile.ZipFile(shared_data / "logs" / "geoid" / "WW15MGH.zip") as archive:
        path = tmp_path / "WW15MGH.GRD"
        path.write_bytes(archive.read(archive.namelist()[0]))
    grid = geoid_grid.read(path, label="WW15MGH.GRD")
    assert grid.undulation_m.shape == (721, 1440)
    rng = np.random.default_rng(2)
    lon, lat = rng.uniform(-180.0, 180.0, 2000), rng.uniform(45.0, 55.0, 2000)
    apart = grid.undulation(lon, lat) - geoid.undulation(lon, lat)
    assert np.abs(apart).max() < 0.15
    assert apart.std() < 0.015
