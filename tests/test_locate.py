"""Pixels and samples on the ground: against a third-party code, exact geometry, and hand calculation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError
from dronesense.geotag.camera import camera_to_body, directions
from dronesense.geotag.locate import (
    footprints,
    locate_map_pixels,
    locate_pixels,
    locate_samples,
    map_footprints,
)
from dronesense.geotag.terrain import Surface, intersect
from dronesense.model import (
    Ambient,
    Clock,
    GasInstrument,
    GasSeries,
    Instrument,
    LineCamera,
    MapGrid,
    Mount,
    Terrain,
    TimeColumn,
    Trajectory,
)

CRS = "EPSG:32632"
S = 1_000_000_000
GROUND = Terrain.flat(0.0, sigma_m=0.0, source="flat")


def track(
    lon: float = 9.0,
    lat: float = 48.0,
    *,
    height: float = 100.0,
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    north_m_s: float = 0.0,
    n: int = 11,
    std_m: float = 0.0,
    std_deg: float = 0.0,
) -> Trajectory:
    """Ten seconds at one attitude, a sample a second, flown to the north."""
    seconds = np.arange(n) - n // 2
    there = geodesy.displace(
        np.full(n, lon), np.full(n, lat), np.full(n, height), seconds[:, None] * [north_m_s, 0.0, 0.0]
    )
    roll, pitch, yaw = rpy_deg
    attitude = Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True).as_quat()[[3, 0, 1, 2]]
    return Trajectory(
        time=seconds.astype(np.int64) * S,
        lon=there[0],
        lat=there[1],
        height_m=there[2],
        height_source_m=there[2],
        height_ref="ellipsoid",
        velocity_ned=np.tile([north_m_s, 0.0, 0.0], (n, 1)),
        attitude=np.tile(attitude, (n, 1)),
        std_ned_m=np.full((n, 3), std_m),
        std_rpy_deg=np.full((n, 3), std_deg),
        fix=np.full(n, 5, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="log.bin",
    )


def scanner(*across_deg: float, mount: Mount | None = None) -> Instrument:
    look = np.column_stack([across_deg, np.zeros(len(across_deg))])
    return Instrument(
        "scanner", "line_scan", LineCamera(len(across_deg), look), mount or Mount(), "scanner.toml"
    )


def place(trajectory: Trajectory, instrument: Instrument, pixels: Any, **settings: Any) -> np.ndarray:
    """East, north of pixels from the place of the trajectory at time 0; lines every 10 ms around it."""
    arguments: dict[str, Any] = {"line_time": np.arange(-2, 3) * 10_000_000, "terrain": GROUND, "crs": CRS}
    points = locate_pixels(pixels, trajectory=trajectory, instrument=instrument, **arguments | settings)
    middle = len(trajectory) // 2
    x, y = geodesy.to_grid(trajectory.lon[middle], trajectory.lat[middle], CRS)
    return np.column_stack([points.x - x, points.y - y])


def exact(
    trajectory: Trajectory, lever: Any, body_direction: Any, crs: str, height: float = 0.0
) -> tuple[float, float]:
    """Ray against an ellipsoidal height in earth-centered coordinates, by bisection, nothing linearized."""
    i = len(trajectory) // 2
    lon, lat, h = trajectory.lon[i], trajectory.lat[i], trajectory.height_m[i]
    to_ecef = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    here = np.array(to_ecef.transform(lon, lat, h))
    step = 1e-5  # degrees
    north = np.array(to_ecef.transform(lon, lat + step, 0.0)) - np.array(
        to_ecef.transform(lon, lat - step, 0.0)
    )
    east = np.array(to_ecef.transform(lon + step, lat, 0.0)) - np.array(
        to_ecef.transform(lon - step, lat, 0.0)
    )
    north, east = north / np.linalg.norm(north), east / np.linalg.norm(east)
    axes = np.column_stack([north, east, np.cross(north, east)])
    w, x, y, z = trajectory.attitude[i]
    body = axes @ Rotation.from_quat([x, y, z, w]).as_matrix()
    start, toward = here + body @ np.asarray(lever), body @ np.asarray(body_direction)
    low, high = 0.0, 5000.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        above = to_ecef.transform(*(start + middle * toward), direction="INVERSE")[2] > height
        low, high = (middle, high) if above else (low, middle)
    lon, lat, _ = to_ecef.transform(*(start + low * toward), direction="INVERSE")
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)


# -- signs, by hand --


def test_level_flight_north_sees_port_in_the_west() -> None:
    found = place(track(), scanner(-45.0, 0.0, 45.0), [(2, 0), (2, 1), (2, 2)])
    np.testing.assert_allclose(found / 0.9996, [[-100.0, 0.0], [0.0, 0.0], [100.0, 0.0]], atol=5e-3)


def test_right_wing_down_looks_to_port() -> None:
    # The optical axis is fixed to the body: right wing down tilts its lower end to the left (west).
    ((east, north),) = place(track(rpy_deg=(10.0, 0.0, 0.0)), scanner(0.0), [(2, 0)])
    assert east / 0.9996 == pytest.approx(-100 * np.tan(np.radians(10.0)), abs=1e-3)
    assert abs(north) < 1e-3


def test_nose_up_looks_ahead() -> None:
    ((east, north),) = place(track(rpy_deg=(0.0, 10.0, 0.0)), scanner(0.0), [(2, 0)])
    assert north / 0.9996 == pytest.approx(100 * np.tan(np.radians(10.0)), abs=1e-3)
    assert abs(east) < 1e-3


def test_heading_east_puts_starboard_in_the_south() -> None:
    ((east, north),) = place(track(rpy_deg=(0.0, 0.0, 90.0)), scanner(0.0, 45.0), [(2, 1)])
    assert north / 0.9996 == pytest.approx(-100.0, abs=5e-3)
    assert abs(east) < 5e-3


def test_lever_arm_turns_with_the_body() -> None:
    mount = Mount(lever_arm_m=(2.0, 1.0, 0.5))
    ((east, north),) = place(track(rpy_deg=(0.0, 0.0, 90.0)), scanner(0.0, mount=mount), [(2, 0)])
    assert (east / 0.9996, north / 0.9996) == pytest.approx((2.0, -1.0), abs=1e-4)


def test_lines_move_with_the_aircraft() -> None:
    found = place(track(north_m_s=20.0), scanner(0.0), [(0, 0), (2, 0), (4, 0), (1.5, 0)])
    np.testing.assert_allclose(found[:, 1] / 0.9996, [-0.4, 0.0, 0.4, -0.1], atol=1e-5)


# -- exact geometry --


@pytest.mark.parametrize(
    ("lon", "lat", "crs"),
    [
        (11.6, 60.0, CRS),
        (6.4, 60.0, CRS),
        (11.6, -60.0, "EPSG:32732"),
        (6.4, 5.0, CRS),
        (30.0, 86.0, "EPSG:5041"),
    ],
)
@settings(max_examples=10, deadline=None)
@given(
    rpy=st.tuples(st.floats(-25, 25), st.floats(-20, 20), st.floats(-180, 180)),
    boresight=st.tuples(*[st.floats(-5, 5)] * 3),
    lever=st.tuples(*[st.floats(-1, 1)] * 3),
    rotation=st.sampled_from(["nadir", "nadir-180"]),
)
def test_exact_earth_centered_geometry(
    lon: float, lat: float, crs: str, rpy: Any, boresight: Any, lever: Any, rotation: str
) -> None:
    # East and west of the central meridian: a wrong sign of the convergence (2 deg) would show by meters.
    trajectory = track(lon, lat, height=160.0, rpy_deg=rpy)
    mount = Mount(rotation=rotation, boresight_deg=boresight, lever_arm_m=lever)
    instrument = scanner(-20.0, 3.0, 20.0, mount=mount)
    pixels = [(2, 0), (2, 1), (2, 2)]
    points = locate_pixels(
        pixels,
        line_time=np.arange(-2, 3) * 10_000_000,
        trajectory=trajectory,
        instrument=instrument,
        terrain=GROUND,
        crs=crs,
    )
    body = directions(instrument.spec) @ camera_to_body(mount).T
    expected = [exact(trajectory, lever, direction, crs) for direction in body]
    # North turns along the lever arm: by tan(86 deg) / R = 2 µrad a meter, 0.2 mm on the ground.
    np.testing.assert_allclose(np.column_stack([points.x, points.y]), expected, rtol=0.0, atol=6e-4)


def test_terrain_in_another_crs_gives_the_same_places() -> None:
    lon, lat = 11.6, 47.0
    x0, y0 = geodesy.to_grid(lon, lat, CRS)
    trajectory = track(lon, lat, rpy_deg=(5.0, 3.0, 40.0))
    instrument = scanner(*np.linspace(-20, 20, 9))
    pixels = [(2, j) for j in range(9)]
    found = []
    for crs, cell in ((CRS, (2.0, 2.0)), ("EPSG:4326", (2e-5, 1.5e-5))):
        x, y = geodesy.to_grid(lon, lat, CRS) if crs == CRS else (lon, lat)
        columns, rows = np.arange(-60, 61), np.arange(60, -61, -1)
        east, north = np.meshgrid(x + columns * cell[0], y + rows * cell[1])
        if crs != CRS:
            east, north = geodesy.to_grid(east, north, CRS)
        height = 10.0 + 0.1 * (east - x0) - 0.05 * (north - y0)  # a plane in UTM, sampled in either CRS
        transform = (cell[0], 0.0, x - 60.5 * cell[0], 0.0, -cell[1], y + 60.5 * cell[1])
        terrain = Terrain(height, transform, crs, 0.0, crs)
        found.append(place(trajectory, instrument, pixels, terrain=terrain))
    np.testing.assert_allclose(found[0], found[1], atol=2e-4)
    assert np.isfinite(found[0]).all()


# -- a third-party code --


def read_massipipe(folder: Path) -> dict[str, Any]:
    data = json.loads((folder / "georef/massipipe_oracle/oracle_pushbroom_flat_massipipe.json").read_text())
    return {key: np.array(value) if isinstance(value, list) else value for key, value in data.items()}


def massipipe_camera(data: dict[str, Any]) -> Instrument:
    """Pixel centers evenly spaced in the tangent plane, from edge to edge of the field of view, from port."""
    n = data["n_pix"]
    tangent = np.linspace(-1.0, 1.0, n) * np.tan(data["cross_track_fov_rad"] / 2)
    look = np.column_stack([-np.degrees(np.arctan(tangent)), np.zeros(n)])  # their positive angle is to port
    mount = Mount(boresight_deg=tuple(np.degrees(data["boresight_imu_from_cam_rpy_rad"])))
    return Instrument("pika", "line_scan", LineCamera(n, look), mount, "")


def test_massipipe_on_a_plane(shared_data: Path) -> None:
    data = read_massipipe(shared_data)
    instrument = massipipe_camera(data)
    lines, n = len(data["time_s"]), data["n_pix"]
    body = directions(instrument.spec) @ camera_to_body(instrument.mount).T
    attitude = Rotation.from_euler(
        "ZYX", np.column_stack([data["yaw"], data["pitch"], data["roll"]])
    ).as_matrix()
    direction = np.einsum("kij,nj->kni", attitude, body).reshape(-1, 3)
    flat_earth = geodesy.TangentFrames(
        np.column_stack([data["easting"], data["northing"], data["altitude_agl"]]),
        np.tile([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]], (lines, 1, 1)),
        np.zeros((lines, 3, 6)),
    )
    hits = intersect(Surface(GROUND), flat_earth, np.repeat(np.arange(lines), n), direction)
    expected = data["expect_ground_NE"].reshape(-1, 2)
    np.testing.assert_allclose(np.column_stack([hits.y, hits.x]), expected, rtol=0.0, atol=1e-6)


def test_massipipe_through_the_whole_chain(shared_data: Path) -> None:
    data = read_massipipe(shared_data)
    lines, n = len(data["time_s"]), data["n_pix"]
    lon, lat = geodesy.to_lonlat(data["easting"], data["northing"], CRS)
    euler = np.column_stack([data["yaw"], data["pitch"], data["roll"]])
    nothing = np.zeros((lines, 3))
    trajectory = replace(
        track(n=lines),
        lon=lon,
        lat=lat,
        height_m=data["altitude_agl"],
        height_source_m=data["altitude_agl"],
        attitude=Rotation.from_euler("ZYX", euler).as_quat()[:, [3, 0, 1, 2]],
        velocity_ned=nothing,
    )
    pixels = np.stack(np.meshgrid(np.arange(lines), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 2)
    points = locate_pixels(
        pixels,
        line_time=trajectory.time,
        trajectory=trajectory,
        instrument=massipipe_camera(data),
        terrain=GROUND,
        crs=CRS,
    )
    # Theirs is a plane without a map scale; on the central meridian of UTM 0.9996 and no convergence.
    start = np.column_stack([np.repeat(data["easting"], n), np.repeat(data["northing"], n)])
    got = start + (np.column_stack([points.x, points.y]) - start) / 0.9996
    expected = data["expect_ground_NE"].reshape(-1, 2)[:, ::-1]
    np.testing.assert_allclose(got, expected, rtol=0.0, atol=3e-5)  # 24 m reach: the earth falls by 0.05 mm


# -- footprints --


def test_footprint_of_a_pixel() -> None:
    tangent = np.array([-0.15, -0.05, 0.05, 0.15])
    instrument = scanner(*np.degrees(np.arctan(tangent)))
    trajectory = track(north_m_s=100.0)
    corners = footprints(
        [(1, 2)],
        line_time=np.arange(4) * 10_000_000,
        trajectory=trajectory,
        instrument=instrument,
        terrain=GROUND,
        crs=CRS,
    )[0]
    x, y = geodesy.to_grid(9.0, 48.0, CRS)
    expected = np.array([[0.0, 0.5], [10.0, 0.5], [10.0, 1.5], [0.0, 1.5]])  # 10 m across, 1 m a line
    np.testing.assert_allclose((corners - [x, y]) / 0.9996, expected, atol=1e-3)


def test_footprints_reach_the_edges_of_the_cube_and_tile_the_ground() -> None:
    instrument = scanner(*np.linspace(-20, 20, 5))
    pixels = np.stack(np.meshgrid(np.arange(3), np.arange(5), indexing="ij"), axis=-1)
    corners = footprints(
        pixels,
        line_time=np.arange(3) * 100_000_000,
        trajectory=track(north_m_s=10.0, rpy_deg=(3.0, 2.0, 20.0)),
        instrument=instrument,
        terrain=GROUND,
        crs=CRS,
    ).reshape(3, 5, 4, 2)
    assert np.isfinite(corners).all()
    np.testing.assert_allclose(corners[:, :-1, 1], corners[:, 1:, 0], atol=1e-9)
    np.testing.assert_allclose(corners[:-1, :, 3], corners[1:, :, 0], atol=1e-9)


# -- what cannot be placed --


def test_lines_without_trajectory_have_a_status() -> None:
    points = locate_pixels(
        [(0, 0), (1, 0), (2, 0)],
        line_time=np.array([-60, 0, 60]) * S,
        trajectory=track(),
        instrument=scanner(0.0),
        terrain=GROUND,
        crs=CRS,
    )
    assert points.status.tolist() == [1, 0, 1]
    assert np.isnan(points.x[[0, 2]]).all()
    assert np.isnan(points.cov[[0, 2]]).all()
    assert np.isfinite(points.cov[1]).all()
    assert np.isnan(points.cov_own[0]).all()
    points = locate_pixels(
        [(0, 0)],
        line_time=np.array([60 * S]),
        trajectory=track(),
        instrument=scanner(0.0),
        terrain=GROUND,
        crs=CRS,
    )
    assert points.status.tolist() == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"attitude": np.full((11, 4), np.nan)}, "attitude"), ({"height_m": np.full(11, np.nan)}, "height_ref")],
)
def test_track_without_attitude_or_height_says_what_is_missing(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CoverageError) as caught:
        place(replace(track(), **change), scanner(0.0), [(2, 0)])
    assert words in str(caught.value)
    assert "log.bin" in str(caught.value)


def test_camera_below_the_ground_is_a_mix_up_of_heights() -> None:
    with pytest.raises(CoverageError, match=r"47\.0 m below the ground"):
        place(
            track(height=3.0), scanner(0.0), [(2, 0)], terrain=Terrain.flat(50.0, sigma_m=1.0, source="flat")
        )


def test_crs_in_degrees_is_refused() -> None:
    with pytest.raises(ManifestError, match="meters"):
        place(track(), scanner(0.0), [(2, 0)], crs="EPSG:4326")


def test_pixel_outside_the_cube_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="rows"):
        place(track(), scanner(0.0), [(7, 0)])
    nose = Instrument("nose", "gas", GasInstrument(TimeColumn(("t",)), {}), Mount(), "")
    with pytest.raises(TypeError, match="no line scanner"):
        place(track(), nose, [(2, 0)])


# -- maps --


def test_pixels_of_a_map() -> None:
    grid = MapGrid((2.0, 0.0, 1000.0, 0.0, -2.0, 5000.0), CRS)
    points = locate_map_pixels([(0, 0), (10, 3)], grid, crs=CRS, sigma_m=3.0)
    assert (points.x.tolist(), points.y.tolist()) == ([1001.0, 1007.0], [4999.0, 4979.0])
    np.testing.assert_allclose(points.cov_own[0], np.eye(2) * 4.0 / 12.0, atol=1e-12)
    np.testing.assert_allclose(points.cov[0], np.eye(2) * (4.0 / 12.0 + 9.0), atol=1e-12)
    corners = map_footprints([(0, 0)], grid, crs=CRS)
    assert corners[0].tolist() == [[1000, 5000], [1002, 5000], [1002, 4998], [1000, 4998]]


def test_pixels_of_a_map_in_degrees() -> None:
    grid = MapGrid((1e-5, 0.0, 9.0, 0.0, -1e-5, 48.0), "EPSG:4326")
    points = locate_map_pixels([(100, 200)], grid, crs=CRS)
    x, y = geodesy.to_grid(9.0 + 200.5e-5, 48.0 - 100.5e-5, CRS)
    assert (points.x[0], points.y[0]) == pytest.approx((float(x), float(y)), abs=1e-9)
    assert points.crs == CRS


# -- gas --


def gas(*seconds: float) -> GasSeries:
    m = len(seconds)
    time = (np.array(seconds) * S).astype(np.int64)
    one = np.ones(m)
    return GasSeries(
        time,
        "CH4",
        "mole_fraction",
        one,
        one,
        "dry",
        np.zeros(m),
        "raw",
        Ambient(),
        "nose",
        "g.csv",
        np.arange(m),
    )


def test_inlet_lies_on_its_lever_arm() -> None:
    mount = Mount(lever_arm_m=(0.0, 3.0, -1.0), sigma_lever_arm_m=0.1)
    points = locate_samples(
        gas(-7.0, 0.0), trajectory=track(rpy_deg=(0.0, 0.0, 180.0), std_m=0.2), mount=mount, crs=CRS
    )
    x, y = geodesy.to_grid(9.0, 48.0, CRS)
    assert points.status.tolist() == [1, 0]
    assert (points.x[1] - x, points.y[1] - y) == pytest.approx((-3.0 * 0.9996, 0.0), abs=1e-4)
    assert points.height_m[1] == pytest.approx(101.0, abs=1e-5)
    np.testing.assert_allclose(points.cov[1], np.eye(2) * (0.2**2 + 0.1**2), rtol=1e-2, atol=1e-9)


def test_clock_error_of_samples_lies_along_the_track() -> None:
    points = locate_samples(
        gas(0.0), trajectory=track(north_m_s=10.0), mount=Mount(), crs=CRS, clock_sigma_s=0.3
    )
    np.testing.assert_allclose(points.cov[0], [[0.0, 0.0], [0.0, 9.0]], rtol=1e-2, atol=1e-4)


def test_samples_without_height_or_attitude_still_have_a_place() -> None:
    mount = Mount(lever_arm_m=(3.0, 4.0, 0.0))
    known = track(std_m=0.1)
    blind = replace(known, attitude=np.full((11, 4), np.nan), height_m=np.full(11, np.nan))
    points = locate_samples(gas(0.0), trajectory=blind, mount=mount, crs=CRS)
    x, y = geodesy.to_grid(9.0, 48.0, CRS)
    assert (points.x[0], points.y[0]) == pytest.approx((float(x), float(y)), abs=1e-6)
    assert np.isnan(points.height_m[0])
    # Anywhere on a circle of 5 m: half of 25 m² for each axis.
    np.testing.assert_allclose(points.cov[0], np.eye(2) * (12.5 + 0.01), rtol=1e-2, atol=1e-9)


def test_no_samples_in_the_span_and_none_at_all() -> None:
    points = locate_samples(gas(100.0, 101.0), trajectory=track(), mount=Mount(), crs=CRS)
    assert points.status.tolist() == [1, 1]
    assert len(locate_samples(gas(), trajectory=track(), mount=Mount(), crs=CRS)) == 0
