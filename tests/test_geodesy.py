"""CRS choice, transforms, local frames, lengths and areas: against hand calculation and exact geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from shapely.geometry import LineString, MultiPolygon, Polygon

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError


@pytest.mark.parametrize(
    ("lon", "lat", "crs"),
    [
        (-180.0, 0.0, "EPSG:32601"),
        (180.0, 10.0, "EPSG:32601"),
        (179.99, -10.0, "EPSG:32760"),
        (6.0, 50.0, "EPSG:32632"),
        (5.999, 50.0, "EPSG:32631"),
        (2.999, 60.0, "EPSG:32631"),
        (3.0, 60.0, "EPSG:32632"),
        (3.0, 64.0, "EPSG:32631"),
        (3.0, 55.99, "EPSG:32631"),
        (8.0, 78.0, "EPSG:32631"),
        (9.0, 78.0, "EPSG:32633"),
        (21.0, 78.0, "EPSG:32635"),
        (33.0, 78.0, "EPSG:32637"),
        (41.99, 83.99, "EPSG:32637"),
        (42.0, 78.0, "EPSG:32638"),
        (0.0, 84.0, "EPSG:5041"),
        (0.0, -80.0, "EPSG:32731"),
        (0.0, -80.01, "EPSG:5042"),
    ],
)
def test_utm_zone_with_its_exceptions(lon: float, lat: float, crs: str) -> None:
    assert geodesy.utm_crs(lon, lat) == crs


@pytest.mark.parametrize(("lon", "lat"), [(181.0, 0.0), (0.0, 91.0), (float("nan"), 0.0)])
def test_utm_zone_refuses_what_is_not_on_the_globe(lon: float, lat: float) -> None:
    with pytest.raises(ValueError, match="not a place"):
        geodesy.utm_crs(lon, lat)


def test_nonsense_crs_is_the_users_fault() -> None:
    with pytest.raises(ManifestError, match="EPSG:32632"):
        geodesy.check_crs("UTM zone of my farm")


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "EPSG:2053", "EPSG:4978"])
def test_degrees_feet_and_westing_are_not_metric(crs: str) -> None:
    assert not geodesy.is_metric(crs)
    with pytest.raises(ManifestError, match="meters"):
        geodesy.check_crs(crs, metric=True)


def test_compound_crs_is_judged_by_its_horizontal_part() -> None:
    assert geodesy.is_metric("EPSG:32632+5773")


@given(lon=st.floats(6.0, 12.0), lat=st.floats(-79.0, 83.0))
def test_grid_and_back(lon: float, lat: float) -> None:
    back = geodesy.to_lonlat(*geodesy.to_grid(lon, lat, "EPSG:32632"), "EPSG:32632")
    np.testing.assert_allclose(back, (lon, lat), rtol=0.0, atol=1e-9)


def test_unknown_stays_unknown_and_the_rest_is_transformed() -> None:
    x, y = geodesy.to_grid([9.0, np.nan], [48.0, 48.0], "EPSG:32632")
    assert x[0] == pytest.approx(500000.0, abs=1e-6)
    assert np.isnan([x[1], y[1]]).all()


def test_place_without_coordinates_is_named() -> None:
    with pytest.raises(CoverageError, match="EPSG:32632"):
        geodesy.to_grid(9.0, 95.0, "EPSG:32632")


@pytest.mark.parametrize(
    ("lon", "lat", "crs", "sign"),
    [
        (10.5, 60.0, "EPSG:32632", 1),
        (7.5, 60.0, "EPSG:32632", -1),
        (10.5, -33.0, "EPSG:32732", -1),
        (7.5, -33.0, "EPSG:32732", 1),
        (11.0, 85.0, "EPSG:5041", 1),
    ],
)
def test_convergence_turns_true_headings_into_grid_headings(
    lon: float, lat: float, crs: str, sign: int
) -> None:
    convergence, east, north = geodesy.grid_factors(lon, lat, crs)
    assert np.sign(convergence) == sign
    geod, step = Geod(ellps="WGS84"), 10.0
    here = np.array(geodesy.to_grid(lon, lat, crs))
    for heading, scale in ((0.0, north), (90.0, east)):
        there = np.array(geodesy.to_grid(*geod.fwd(lon, lat, heading, step)[:2], crs))
        dx, dy = there - here
        grid_heading = np.degrees(np.arctan2(dx, dy))
        assert grid_heading == pytest.approx(heading - np.degrees(convergence), abs=2e-4)
        assert np.hypot(dx, dy) / step == pytest.approx(scale, abs=1e-7)


def test_no_convergence_without_a_grid() -> None:
    with pytest.raises(ValueError, match="not projected"):
        geodesy.grid_factors(9.0, 48.0, "EPSG:4326")


def test_area_of_a_spherical_rectangle_and_its_hole() -> None:
    # Area between two parallels on the ellipsoid, from the authalic integral (Snyder 1987, eq. 3-12).
    e = np.sqrt(geodesy.FLATTENING * (2.0 - geodesy.FLATTENING))

    def band(lat: float, width_deg: float) -> float:
        s = np.sin(np.radians(lat))
        q = (1 - e * e) * (s / (1 - (e * s) ** 2) + np.arctanh(e * s) / e)
        return float(geodesy.SEMI_MAJOR_M**2 * np.radians(width_deg) * q / 2.0)

    def box(size: float) -> list[tuple[float, float]]:
        return [(9 - size, 48 - size), (9 + size, 48 - size), (9 + size, 48 + size), (9 - size, 48 + size)]

    outer, inner = 0.01, 0.004
    expected = [band(48 + s, 2 * s) - band(48 - s, 2 * s) for s in (outer, inner)]
    for hole in (box(inner), box(inner)[::-1]):
        area = geodesy.geodesic_area(Polygon(box(outer), [hole]))
        assert area == pytest.approx(expected[0] - expected[1], rel=1e-6)
    both = MultiPolygon([Polygon(box(inner)), Polygon([(x + 1, y) for x, y in box(inner)])])
    assert geodesy.geodesic_area(both) == pytest.approx(2 * expected[1], rel=1e-6)
    assert geodesy.geodesic_area(LineString([(0, 0), (1, 1)])) == 0.0
    assert geodesy.geodesic_area(Polygon()) == 0.0


def test_distance_across_the_date_line() -> None:
    expected = geodesy.SEMI_MAJOR_M * np.radians(0.002)
    assert geodesy.geodesic_distance(179.999, 0.0, -179.999, 0.0) == pytest.approx(expected, rel=1e-10)


@given(lon=st.floats(-180, 180), lat=st.floats(-90, 90), h=st.floats(-400, 9000))
def test_ecef_equals_the_peer(lon: float, lat: float, h: float) -> None:
    peer = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True).transform(lon, lat, h)
    np.testing.assert_allclose(geodesy.to_ecef(lon, lat, h), peer, rtol=0.0, atol=1e-6)


def test_local_axes_point_north_east_down() -> None:
    axes = geodesy.ned_axes(0.0, 0.0)
    np.testing.assert_allclose(axes, [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-15)


@pytest.mark.parametrize(
    ("lon", "lat", "crs", "bar_m"),
    [
        (11.5, 69.5, "EPSG:32632", 5e-5),
        (6.2, 48.0, "EPSG:32632", 5e-5),
        (6.2, -48.0, "EPSG:32732", 5e-5),
        (179.9999, 60.0, "EPSG:4326", 5e-3),
        (20.0, 86.0, "EPSG:5041", 5e-5),
    ],
)
def test_tangent_frame_equals_exact_earth_centered_geometry(
    lon: float, lat: float, crs: str, bar_m: float
) -> None:
    rng = np.random.default_rng(5)
    offsets = rng.uniform(-700.0, 700.0, (200, 3))
    frame = geodesy.tangent_frames(lon, lat, 800.0, crs)
    n, e, d = offsets.T
    products = np.stack([n * n, e * e, d * d, n * e, n * d, e * d], axis=1)
    got = frame.origin[0] + offsets @ frame.linear[0].T + products @ frame.quadratic[0].T
    places = geodesy.to_ecef(lon, lat, 800.0) + offsets @ geodesy.ned_axes(lon, lat).T
    lon_t, lat_t, h_t = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True).transform(*places.T)
    x, y = geodesy.to_grid(lon_t, lat_t, crs)
    per_unit = 1.0
    if crs == "EPSG:4326":
        x, per_unit = np.where(x < 0, x + 360.0, x), 111e3
    assert np.abs(got[:, 0] - x).max() * per_unit < bar_m
    assert np.abs(got[:, 1] - y).max() * per_unit < bar_m
    assert np.abs(got[:, 2] - h_t).max() < 1e-4


def test_bounds_follow_curved_edges() -> None:
    west, south, east, north = geodesy.transform_bounds((6.0, 59.0, 12.0, 60.0), "EPSG:4326", "EPSG:32632")
    assert south == pytest.approx(float(geodesy.to_grid(9.0, 59.0, "EPSG:32632")[1]), abs=100.0)
    assert north == pytest.approx(float(geodesy.to_grid(6.0, 60.0, "EPSG:32632")[1]), abs=1.0)
    assert west == pytest.approx(float(geodesy.to_grid(6.0, 59.0, "EPSG:32632")[0]), abs=1.0)
    assert east > 500000.0
