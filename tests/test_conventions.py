"""One test per line of docs/conventions.md, in its order; the values are worked out by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.calibrate import analyzer, clock, response
from dronesense.geotag.camera import camera_to_body, directions
from dronesense.geotag.locate import locate_map_pixels, locate_pixels, locate_samples
from dronesense.geotag.poses import quaternion_to_matrix, rpy_to_matrix
from dronesense.geotag.uncertainty import ellipse
from dronesense.model import (
    Ambient,
    Clock,
    GasCalibration,
    GasSeries,
    Instrument,
    LineCamera,
    MapGrid,
    Mount,
    Response,
    SpeciesCalibration,
    Terrain,
    Trajectory,
)
from dronesense.readers import ardupilot
from dronesense.readers import instrument as instrument_reader
from dronesense.timescale import gps_to_utc_ns

_SPEC = importlib.util.spec_from_file_location(
    "dataflash_writer", Path(__file__).with_name("dataflash_writer.py")
)
assert _SPEC is not None
writer = importlib.util.module_from_spec(_SPEC)
assert _SPEC.loader is not None
_SPEC.loader.exec_module(writer)

S = 1_000_000_000
CRS = "EPSG:32632"
QUARTER = np.pi / 2
FORWARD, STARBOARD, DOWN = np.eye(3)
NORTH, EAST = np.eye(3)[:2]
LOG_LAT, LOG_LON, LOG_ALT, LOG_WEEK, LOG_TOW_MS = 43.25, 76.9, 820.0, 2371, 36_000_000


def fly(
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    *,
    lon: float = 9.0,
    lat: float = 48.0,
    north_m_s: float = 0.0,
) -> Trajectory:
    """Two seconds at 100 m above the ellipsoid, over (lon, lat) at time 0."""
    seconds = np.array([-1, 0, 1])
    offset = seconds[:, None] * np.array([north_m_s, 0.0, 0.0])
    at_lon, at_lat, height = geodesy.displace(np.full(3, lon), np.full(3, lat), np.full(3, 100.0), offset)
    quaternion = Rotation.from_euler("ZYX", rpy_deg[::-1], degrees=True).as_quat()[[3, 0, 1, 2]]
    return Trajectory(
        time=seconds.astype(np.int64) * S,
        lon=at_lon,
        lat=at_lat,
        height_m=height,
        height_source_m=height,
        height_ref="ellipsoid",
        velocity_ned=np.tile([north_m_s, 0.0, 0.0], (3, 1)),
        attitude=np.tile(quaternion, (3, 1)),
        std_ned_m=np.zeros((3, 3)),
        std_rpy_deg=np.zeros((3, 3)),
        fix=np.full(3, 5, np.uint8),
        segment=np.zeros(3, np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="made up",
    )


def seen(
    trajectory: Trajectory, across_deg: float = 0.0, *, along_deg: float = 0.0, mount: Mount | None = None
):
    """East and north, in ground meters, of what one pixel sees at time 0 from the place of the aircraft."""
    camera = LineCamera(1, np.array([[across_deg, along_deg]]))
    points = locate_pixels(
        [(1, 0)],
        line_time=np.array([-10_000_000, 0, 10_000_000]),
        trajectory=trajectory,
        instrument=Instrument("c", "line_scan", camera, mount or Mount(), ""),
        terrain=Terrain.flat(0.0, sigma_m=0.0, source="flat"),
        crs=CRS,
    )
    x, y = geodesy.to_grid(trajectory.lon[1], trajectory.lat[1], CRS)
    return np.array([points.x[0] - x, points.y[0] - y]) / 0.9996


def series(*seconds: float, value: float = 1.0) -> GasSeries:
    m = len(seconds)
    return GasSeries(
        time=(np.array(seconds) * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=np.full(m, value),
        sigma=np.full(m, 0.01),
        basis="dry",
        flags=np.zeros(m, np.uint16),
        level="raw",
        ambient=Ambient(),
        instrument="nose",
        source="g.csv",
        row=np.arange(m),
    )


def read_camera(tmp_path: Path, **keys: Any) -> LineCamera:
    text = "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in keys.items())
    path = tmp_path / "c.toml"
    path.write_text(f'schema = 1\nid = "c"\nkind = "line_scan"\n{text}', encoding="utf-8")
    spec = instrument_reader.read(path).spec
    assert isinstance(spec, LineCamera)
    return spec


def test_time_is_utc_in_nanoseconds_and_of_the_middle_of_the_exposure() -> None:
    # GPS time began on 1980-01-06; week 2295 began on 2024-01-01 minus a day, 18 leap seconds behind UTC.
    sunday = np.datetime64("2023-12-31T00:00:00", "ns").astype(np.int64)
    assert gps_to_utc_ns(2295, 0) == sunday - 18 * S
    # Flown at 20 m/s north: the line of time 0 lies under the place of time 0, neither before nor after it.
    np.testing.assert_allclose(seen(fly(north_m_s=20.0)), [0.0, 0.0], atol=1e-4)


def test_body_is_forward_starboard_down_and_local_is_north_east_down() -> None:
    np.testing.assert_array_equal(np.cross(FORWARD, STARBOARD), DOWN)  # right-handed
    level = quaternion_to_matrix(np.array([1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_array_equal(level @ FORWARD, NORTH)
    np.testing.assert_array_equal(level @ STARBOARD, EAST)
    np.testing.assert_allclose(geodesy.ned_axes(0.0, 0.0) @ DOWN, [-1.0, 0.0, 0.0], atol=1e-15)


def test_attitude_turns_body_into_local() -> None:
    # Yaw clockwise: nose to the east. Pitch: nose up. Roll: right wing down.
    np.testing.assert_allclose(rpy_to_matrix(0, 0, QUARTER) @ FORWARD, EAST, atol=1e-15)
    np.testing.assert_allclose(rpy_to_matrix(0, QUARTER, 0) @ FORWARD, -DOWN, atol=1e-15)
    np.testing.assert_allclose(rpy_to_matrix(QUARTER, 0, 0) @ STARBOARD, DOWN, atol=1e-15)
    # Yaw is applied last: nose up, then turned to the east, still points up.
    np.testing.assert_allclose(rpy_to_matrix(0, QUARTER, QUARTER) @ FORWARD, -DOWN, atol=1e-15)
    # w stands first: (cos 45, 0, 0, sin 45) is a yaw of 90 degrees.
    np.testing.assert_allclose(
        quaternion_to_matrix(np.array([0.5**0.5, 0, 0, 0.5**0.5])), rpy_to_matrix(0, 0, QUARTER), atol=1e-15
    )
    # True north, not grid north: 3 degrees east of the central meridian they differ by 2.2 degrees.
    lon, lat = 12.0, 48.0
    ahead = seen(fly(lon=lon, lat=lat), along_deg=45.0)
    grid_heading = np.degrees(np.arctan2(ahead[0], ahead[1]))
    assert grid_heading == pytest.approx(-3.0 * np.sin(np.radians(lat)), abs=0.01)


def test_camera_at_zero_boresight_looks_like_the_body() -> None:
    look = directions(LineCamera(1, np.array([[20.0, 10.0]])))[0]
    expected = np.array([np.tan(np.radians(10.0)), np.tan(np.radians(20.0)), 1.0])
    np.testing.assert_allclose(look, expected / np.linalg.norm(expected), atol=1e-15)
    east, north = seen(fly(), 20.0, along_deg=10.0)
    assert (east, north) == pytest.approx((36.397, 17.633), abs=2e-3)


def test_first_sample_names_the_side_where_the_index_begins(tmp_path: Path) -> None:
    port = read_camera(tmp_path, samples=4, fov_deg=30.0, first_sample="port").look_deg[:, 0]
    starboard = read_camera(tmp_path, samples=4, fov_deg=30.0, first_sample="starboard").look_deg[:, 0]
    assert (np.diff(port) > 0).all()
    assert port[0] < 0
    np.testing.assert_allclose(starboard, port[::-1], atol=1e-12)
    assert seen(fly(), port[0])[0] < 0.0  # heading north, port is in the west


def test_field_of_view_runs_from_outer_edge_to_outer_edge(tmp_path: Path) -> None:
    camera = read_camera(tmp_path, samples=5, fov_deg=40.0, first_sample="port")
    tangent = np.tan(np.radians(camera.look_deg[:, 0]))
    np.testing.assert_allclose(tangent / np.tan(np.radians(20.0)), [-0.8, -0.4, 0.0, 0.4, 0.8], atol=1e-12)
    edges = directions(camera, [-0.5, 4.5])
    np.testing.assert_allclose(np.degrees(np.arctan2(edges[:, 1], edges[:, 2])), [-20.0, 20.0], atol=1e-9)


def test_mount_and_boresight_are_composed() -> None:
    mount = Mount(rotation="nadir-180", boresight_deg=(3.0, -2.0, 90.0))
    expected = np.diag([-1.0, -1.0, 1.0]) @ rpy_to_matrix(*np.radians([3.0, -2.0, 90.0]))
    np.testing.assert_allclose(camera_to_body(mount), expected, atol=1e-15)
    # Boresight roll tilts the lower end of the axis as the body's own roll does: to port.
    east, _ = seen(fly(), mount=Mount(boresight_deg=(10.0, 0.0, 0.0)))
    assert east == pytest.approx(-17.633, abs=1e-3)
    # In the turned mount the same boresight tilts it to starboard; angles added would tilt it to port again.
    east, _ = seen(fly(), mount=Mount(rotation="nadir-180", boresight_deg=(10.0, 0.0, 0.0)))
    assert east == pytest.approx(17.633, abs=1e-3)


def test_named_mounts() -> None:
    np.testing.assert_array_equal(camera_to_body(Mount(rotation="nadir")), np.eye(3))
    turned = camera_to_body(Mount(rotation="nadir-180"))
    np.testing.assert_array_equal(turned @ FORWARD, -FORWARD)  # camera x aft
    np.testing.assert_array_equal(turned @ STARBOARD, -STARBOARD)  # camera y port
    np.testing.assert_array_equal(turned @ DOWN, DOWN)


def test_lever_arm_points_from_the_navigation_point_to_the_camera_or_inlet() -> None:
    arm = Mount(lever_arm_m=(2.0, 1.0, -0.5))
    np.testing.assert_allclose(seen(fly(), mount=arm), [1.0, 2.0], atol=1e-4)
    np.testing.assert_allclose(seen(fly((0.0, 0.0, 90.0)), mount=arm), [2.0, -1.0], atol=1e-4)
    inlet = locate_samples(series(0.0), trajectory=fly(), mount=arm, crs=CRS)
    x, y = geodesy.to_grid(9.0, 48.0, CRS)
    assert (inlet.x[0] - x, inlet.y[0] - y) == pytest.approx((0.9996, 1.9992), abs=1e-4)
    assert inlet.height_m[0] == pytest.approx(100.5, abs=1e-5)


def test_pixels_are_counted_from_their_centers_and_maps_from_a_corner() -> None:
    grid = MapGrid((2.0, 0.0, 500_000.0, 0.0, -4.0, 5_000_000.0), CRS)
    points = locate_map_pixels([(0, 0), (3, 1)], grid, crs=CRS)
    assert points.x.tolist() == [500_001.0, 500_003.0]
    assert points.y.tolist() == [4_999_998.0, 4_999_986.0]


def test_undulation_of_ardupilot_has_the_other_sign(tmp_path: Path) -> None:
    # GPS.Alt 820 m above the geoid, N = +38.5 m there: Und = -38.5, the ellipsoidal height is 858.5 m.
    log = writer.Log()
    for name in ("GPS", "GPA", "MSG"):
        log.define(name, *getattr(writer, name))
    log.add("MSG", 500, b"ArduCopter V4.2.3 (00c0ffee)")
    for k in range(50):
        us = 1000 + 200_000 * k
        log.add(
            "GPS", us, 0, 3, LOG_TOW_MS + 200 * k, LOG_WEEK, 17, 0.7, LOG_LAT, LOG_LON, LOG_ALT, 0, 0, 0, 0, 1
        )
        log.add("GPA", us, 0, 1.0, 0.8, 1.5, 0.2, 0.0, 1, us // 1000, 200, -38.5)
    path = tmp_path / "00000001.BIN"
    path.write_bytes(log.data())
    trajectory, _ = ardupilot.read(path, label="raw/00000001.BIN")
    np.testing.assert_allclose(trajectory.height_m, 858.5, atol=1e-2)


@pytest.mark.parametrize(("lon", "lat", "sign"), [(11.0, 50.0, 1), (7.0, 50.0, -1), (11.0, -50.0, -1)])
def test_convergence_is_positive_where_grid_north_lies_east_of_true_north(
    lon: float, lat: float, sign: int
) -> None:
    zone = CRS if lat > 0 else "EPSG:32732"
    convergence, _, _ = geodesy.grid_factors(lon, lat, zone)
    assert np.sign(convergence) == sign
    x, y = geodesy.to_grid([lon, lon], [lat, lat + 1e-4], zone)  # a step to true north: true heading 0
    grid_heading = np.arctan2(np.diff(x), np.diff(y))[0]
    assert grid_heading == pytest.approx(0.0 - convergence, abs=1e-5)
    # Grid north itself has the true heading of the convergence: it lies to the east where that is positive.
    x, y = geodesy.to_grid(lon, lat, zone)
    east_of, _ = geodesy.to_lonlat(x, y + 100.0, zone)
    assert np.sign(east_of - lon) == sign


def test_covariance_is_of_east_and_north_and_ellipses_are_turned_from_true_north() -> None:
    points = locate_samples(
        series(0.0), trajectory=fly(north_m_s=10.0), mount=Mount(), crs=CRS, clock_sigma_s=0.5
    )
    np.testing.assert_allclose(points.cov[0], [[0.0, 0.0], [0.0, 25.0]], rtol=1e-2, atol=1e-3)
    along_grid_north = np.diag([1.0, 4.0])
    _, _, azimuth = ellipse(along_grid_north)
    assert azimuth == pytest.approx(0.0)
    _, _, azimuth = ellipse(along_grid_north, convergence_rad=np.radians(2.0))
    assert azimuth == pytest.approx(2.0)
    _, _, azimuth = ellipse(np.array([[2.0, -1.0], [-1.0, 2.0]]))  # north-west to south-east
    assert azimuth == pytest.approx(135.0)


def test_clock_offset_is_added_and_inlet_delay_taken_off() -> None:
    given = series(100.0, 101.0, 102.0)
    np.testing.assert_array_equal(clock.shift(given, 2.5).time, given.time + 2_500_000_000)
    early = response.deconvolve(given, Response(tau_s=0.0, delay_s=1.25))
    np.testing.assert_array_equal(early.time, given.time - 1_250_000_000)


def test_reading_is_zero_plus_span_times_true() -> None:
    record = GasCalibration("nose", 0, species={"CH4": SpeciesCalibration(zero=0.5, span=2.0)})
    np.testing.assert_allclose(analyzer.calibrate(series(1.0, value=4.5), record).value, [2.0])
