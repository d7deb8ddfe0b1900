"""EGM96 from the packaged series, and grids: against NGA's grid and test points, SciPy, planted fields."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geodesy import geoid
from dronesense.geodesy.harmonics import legendre_degrees, parallels

NGA_POINTS = [  # lat, lon, undulation: INPUT.DAT and OUTPUT.DAT of NGA's distribution of EGM96
    (38.6281550, 269.7791550, -31.628),
    (-14.6212170, 305.0211140, -2.969),
    (46.8743190, 102.4487290, -43.575),
    (-23.6174460, 133.8747120, 15.871),
    (38.6254730, 359.9995000, 50.066),
    (-0.4667440, 0.0023000, 17.329),
]


@pytest.fixture(scope="module")
def nga_grid(shared_data: Path) -> np.ndarray:
    """(721, 1440) undulations from north to south, from 0 degrees to the east."""
    with zipfile.ZipFile(shared_data / "logs" / "geoid" / "WW15MGH.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode("ascii")
    return np.array(text.split()[6:], dtype=np.float64).reshape(721, 1441)[:, :1440]


@pytest.mark.parametrize(("lat", "lon", "expected"), NGA_POINTS)
def test_test_points_of_nga(lat: float, lon: float, expected: float) -> None:
    """3.5 mm: NGA interpolates its 15' grid, which is itself a few mm off the series."""
    assert geoid.undulation(lon, lat) == pytest.approx(expected, abs=0.0035)


def test_series_equals_the_grid_of_nga(nga_grid: np.ndarray) -> None:
    error = geoid.egm96_parallels(np.linspace(90.0, -90.0, 721), columns=1440) - nga_grid
    assert np.abs(error).max() < geoid.EGM96_ERROR_M
    assert error.std() < 0.0005


def test_interpolation_at_the_nodes_of_nga(nga_grid: np.ndarray) -> None:
    rows, cols = np.meshgrid(np.arange(100, 140), np.arange(0, 1440, 3), indexing="ij")
    got = geoid.undulation(cols * 0.25, 90.0 - rows * 0.25)
    assert np.abs(got - nga_grid[rows, cols]).max() < geoid.EGM96_ERROR_M


def test_cubic_interpolation_equals_the_series_between_nodes() -> None:
    """Everywhere on the globe, against the exact sum; steep trenches make the largest error."""
    lat = np.sort(np.random.default_rng(3).uniform(-90.0, 90.0, 60))
    columns = 7 * 1440
    exact = geoid.egm96_parallels(lat, columns=columns)
    lon = np.arange(columns) * 360.0 / columns
    error = np.concatenate(
        [geoid.undulation(lon, np.full(columns, one)) - row for one, row in zip(lat, exact, strict=True)]
    )
    assert np.abs(error).max() < 0.005
    assert error.std() < 0.0005


def test_longitudes_wrap_and_poles_are_one_place() -> None:
    lat = np.linspace(-60.0, 60.0, 7)
    east = geoid.undulation(np.full(7, 180.0), lat)
    np.testing.assert_allclose(geoid.undulation(np.full(7, -180.0), lat), east, atol=1e-9)
    np.testing.assert_allclose(geoid.undulation(np.full(7, 540.0), lat), east, atol=1e-9)
    step = np.abs(geoid.undulation(-1e-7, 10.0) - geoid.undulation(1e-7, 10.0))
    assert step < 1e-6
    for pole, expected in ((90.0, 13.606), (-90.0, -29.534)):  # first and last row of NGA's grid
        around = geoid.undulation(np.linspace(-180.0, 180.0, 25), np.full(25, pole))
        np.testing.assert_allclose(around, expected, atol=0.002)
        beside = geoid.undulation(np.array([0.0, 180.0]), np.full(2, pole * (1.0 - 1e-9)))
        assert np.abs(np.diff(beside)) < 1e-4


@given(lon=st.floats(-180.0, 180.0), lat=st.floats(-89.9, 89.9))
def test_undulation_is_smooth_and_bounded(lon: float, lat: float) -> None:
    """The steepest slope of EGM96 is about 0.5 mm/m (deflection of the vertical 100")."""
    here, there = geoid.undulation(np.array([lon, lon]), np.array([lat, lat + 1e-3]))
    assert -108.0 < here < 87.0
    assert abs(there - here) < 111.0 * 1e-3


def test_unknown_places_stay_unknown() -> None:
    assert np.isnan(geoid.undulation([np.nan, np.nan], [np.nan, 3.0])).all()
    got = geoid.undulation([9.0, np.nan], [48.0, 48.0])
    assert np.isfinite(got[0])
    assert np.isnan(got[1])
    with pytest.raises(ValueError, match="latitudes"):
        geoid.undulation(0.0, 90.5)


def test_packaged_file_is_small() -> None:
    assert geoid.EGM96_FILE.stat().st_size <= 200_000


# -- harmonics --


def test_legendre_functions_equal_scipy() -> None:
    """SciPy's orthonormal complex harmonics have the Condon-Shortley phase and mean square 1 / (4 pi)."""
    from scipy.special import sph_harm_y

    lat = np.radians([-88.0, -30.0, 0.0, 12.3, 71.0])
    for n, function in enumerate(legendre_degrees(np.sin(lat), np.cos(lat), degree=40, order=30)):
        for m in range(min(n, 30) + 1):
            peer = sph_harm_y(n, m, np.pi / 2 - lat, 0.0).real * np.sqrt(4 * np.pi) * (-1) ** m
            peer = peer * (np.sqrt(2.0) if m else 1.0)
            np.testing.assert_allclose(function[m], peer, rtol=1e-9, atol=1e-12)


def test_legendre_functions_keep_their_norm_at_high_degree() -> None:
    """The squares of one degree add up to 2 n + 1 everywhere (addition theorem), next to the poles too."""
    lat = np.radians([0.0, 45.0, 89.0, 89.99, 90.0])
    for n, function in enumerate(legendre_degrees(np.sin(lat), np.cos(lat), degree=364, order=364)):
        np.testing.assert_allclose((function**2).sum(axis=0), 2 * n + 1, rtol=1e-9)


def test_series_beyond_a_pole_goes_on_along_the_meridian() -> None:
    rng = np.random.default_rng(0)
    series = np.tril(rng.normal(size=(2, 6, 6)))
    series[1, :, 0] = 0.0
    beyond, before = (np.radians([lat]) for lat in (92.0, 88.0))
    over = parallels(series, np.sin(beyond), np.cos(beyond), columns=12)
    here = parallels(series, np.sin(before), np.cos(before), columns=12)
    np.testing.assert_allclose(over, np.roll(here, 6, axis=1), atol=1e-12)


# -- grids --


def wave(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """A smooth field of some m that closes around the globe and at the poles."""
    lam, phi = np.radians(lon), np.radians(lat)
    return 20.0 * np.cos(phi) * np.cos(lam - 0.3) + 7.0 * np.sin(phi)


def global_grid(step: float, *, west: float = -180.0) -> geoid.GeoidGrid:
    lon, lat = np.meshgrid(west + np.arange(0.0, 360.0, step), np.arange(-90.0, 90.0 + step / 2, step))
    return geoid.GeoidGrid(wave(lon, lat), west, -90.0, step, step, "planted")


@given(lon=st.floats(-400.0, 400.0), lat=st.floats(-90.0, 90.0), west=st.sampled_from([-180.0, 0.0, 37.5]))
def test_global_grid_is_seamless(lon: float, lat: float, west: float) -> None:
    assert global_grid(2.5, west=west).undulation(lon, lat) == pytest.approx(
        float(wave(np.array(lon), np.array(lat))), abs=2e-3
    )


def test_cubic_reproduces_a_parabola_inside_and_a_plane_at_the_edge() -> None:
    """Keys' kernel is exact for polynomials of second degree; beyond the edge the grid goes on linearly."""
    lon, lat = np.meshgrid(10.0 + 0.5 * np.arange(6), 40.0 + 0.25 * np.arange(5))
    square = geoid.GeoidGrid(3.0 + 0.2 * lon**2 - lon * lat + lat**2, 10.0, 40.0, 0.5, 0.25, "square")
    x, y = np.array([10.7, 11.9]), np.array([40.3, 40.6])
    np.testing.assert_allclose(square.undulation(x, y), 3.0 + 0.2 * x**2 - x * y + y**2, rtol=1e-12)
    plane = geoid.GeoidGrid(1.0 + 2.0 * lon - 3.0 * lat, 10.0, 40.0, 0.5, 0.25, "plane")
    x, y = np.array([10.0, 12.5, 10.1, 12.4]), np.array([40.0, 41.0, 40.9, 40.05])
    np.testing.assert_allclose(plane.undulation(x, y), 1.0 + 2.0 * x - 3.0 * y, rtol=1e-12)
    np.testing.assert_allclose(plane.undulation(x - 360.0, y), 1.0 + 2.0 * x - 3.0 * y, rtol=1e-9)


@pytest.mark.parametrize(
    ("lon", "lat"), [(9.9, 40.5), (12.6, 40.5), (11.0, 39.9), (11.0, 41.1), (-170.0, 40.5)]
)
def test_place_outside_a_grid_is_named(lon: float, lat: float) -> None:
    grid = geoid.GeoidGrid(np.zeros((5, 6)), 10.0, 40.0, 0.5, 0.25, "country.gtx")
    with pytest.raises(CoverageError, match=rf"country.gtx: does not cover the flight: nothing at {lon:.4f}"):
        grid.undulation([11.0, lon], [40.5, lat])


def test_missing_node_is_no_undulation() -> None:
    nodes = np.zeros((8, 8))
    nodes[1, 1] = np.nan
    grid = geoid.GeoidGrid(nodes, 0.0, 0.0, 1.0, 1.0, "sea.gtx")
    assert grid.undulation(5.5, 5.5) == 0.0
    with pytest.raises(CoverageError, match="has no value"):
        grid.undulation(1.2, 1.2)


def test_grid_needs_a_surface() -> None:
    with pytest.raises(ValueError, match="no surface"):
        geoid.GeoidGrid(np.zeros((1, 5)), 0.0, 0.0, 1.0, 1.0, "line")
    with pytest.raises(ValueError, match="positive"):
        geoid.GeoidGrid(np.zeros((3, 5)), 0.0, 0.0, 1.0, -1.0, "upside down")


# -- rasters --


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_raster_of_undulations_equals_each_pixel(crs: str) -> None:
    if crs == "EPSG:4326":
        transform, shape = (0.0005, 0.0, 7.2, 0.0, -0.0004, 46.1), (70, 90)
    else:
        transform, shape = (30.0, 0.0, 400_000.0, 0.0, -25.0, 5_100_000.0), (130, 90)
    rows, cols = np.meshgrid(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5, indexing="ij")
    lon, lat = geodesy.to_lonlat(transform[2] + transform[0] * cols, transform[5] + transform[4] * rows, crs)
    got = geoid.undulation_raster(transform, shape, crs)
    np.testing.assert_allclose(got, geoid.undulation(lon, lat), atol=0.001)
    assert np.ptp(got) > 0.05


def test_raster_of_one_pixel() -> None:
    lon, lat = geodesy.to_lonlat(400_005.0, 5_099_995.0, "EPSG:32632")
    got = geoid.undulation_raster((10.0, 0.0, 400_000.0, 0.0, -10.0, 5_100_000.0), (1, 1), "EPSG:32632")
    np.testing.assert_allclose(got, [[geoid.undulation(lon, lat)]], atol=1e-6)
