"""Interpolation of position and attitude: by hand, against SciPy, and silent where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from pyproj import Geod
from scipy.spatial.transform import Rotation, Slerp

from dronesense.geotag.poses import interpolate, line_scan_times, quaternion_to_matrix, rpy_to_matrix
from dronesense.model import Clock, Trajectory

S = 1_000_000_000


def wxyz(rotation: Rotation) -> np.ndarray:
    return rotation.as_quat()[..., [3, 0, 1, 2]]


def track(
    time_s: ArrayLike,
    lon: ArrayLike,
    lat: ArrayLike,
    *,
    height: ArrayLike = 100.0,
    attitude: np.ndarray | None = None,
    velocity: np.ndarray | None = None,
    segment: ArrayLike = 0,
) -> Trajectory:
    n = len(np.atleast_1d(time_s))
    level = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    return Trajectory(
        time=(np.asarray(time_s) * S).astype(np.int64),
        lon=np.broadcast_to(lon, n).astype(float),
        lat=np.broadcast_to(lat, n).astype(float),
        height_m=np.broadcast_to(height, n).astype(float),
        height_source_m=np.broadcast_to(height, n).astype(float),
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan) if velocity is None else velocity,
        attitude=level if attitude is None else attitude,
        std_ned_m=np.full((n, 3), 0.1),
        std_rpy_deg=np.full((n, 3), 0.2),
        fix=np.full(n, 3, np.uint8),
        segment=np.broadcast_to(segment, n).astype(np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="made up",
    )


def at(*seconds: float) -> np.ndarray:
    return (np.asarray(seconds) * S).astype(np.int64)


def test_position_is_linear_between_samples_and_exact_on_them() -> None:
    poses = interpolate(
        track([0, 1, 2], [9.0, 9.1, 9.3], 48.0, height=[10, 20, 40]), at(0, 0.25, 1, 1.5, 2), max_gap_s=1.0
    )
    np.testing.assert_allclose(poses.lon, [9.0, 9.025, 9.1, 9.2, 9.3], rtol=1e-14)
    np.testing.assert_allclose(poses.height_m, [10, 12.5, 20, 30, 40], rtol=1e-14)
    assert poses.ok.all()


def test_longitude_takes_the_short_way_over_the_date_line() -> None:
    poses = interpolate(track([0, 1], [179.9, -179.9], 10.0), at(0.25, 0.5, 0.75), max_gap_s=1.0)
    np.testing.assert_allclose(np.mod(poses.lon, 360.0), [179.95, 180.0, 180.05], atol=1e-12)
    assert (np.abs(poses.lon) <= 180.0).all()


def test_nothing_across_gaps_segments_and_ends() -> None:
    given_track = track([0, 1, 2, 5, 6, 7], 9.0, 48.0, segment=[0, 0, 0, 0, 0, 1])
    times = [-1.1, -1.0, 0.5, 2.0, 2.1, 4.9, 5.0, 5.5, 6.0, 6.5, 7.0, 7.1]
    poses = interpolate(given_track, at(*times), max_gap_s=1.0)
    expected = [False, True, True, True, False, False, True, True, True, False, True, False]
    assert poses.ok.tolist() == expected
    assert np.isnan(poses.lon[~poses.ok]).all()
    assert np.isnan(poses.attitude[~poses.ok]).all()
    assert np.isfinite(poses.lon[poses.ok]).all()


def test_one_step_after_the_end_and_not_more() -> None:
    poses = interpolate(track([0, 1], [9.0, 9.1], 48.0), at(2.0, 2.000001), max_gap_s=1.0)
    assert poses.ok.tolist() == [True, False]
    assert poses.lon[0] == pytest.approx(9.2, abs=1e-12)


def test_single_sample_serves_its_own_time_only() -> None:
    poses = interpolate(track([3], 9.0, 48.0), at(2.9, 3.0, 3.1), max_gap_s=1.0)
    assert poses.ok.tolist() == [False, True, False]


def test_unknown_neighbor_does_not_spoil_a_sample() -> None:
    poses = interpolate(
        track([0, 1, 2], 9.0, 48.0, height=[np.nan, 20.0, np.nan]), at(0.5, 1.0), max_gap_s=1.0
    )
    assert poses.ok.all()
    assert np.isnan(poses.height_m[0])
    assert poses.height_m[1] == 20.0


@given(seed=st.integers(0, 2**31), fraction=st.floats(0.0, 1.0))
def test_attitude_is_scipys_slerp(seed: int, fraction: float) -> None:
    ends = Rotation.random(2, random_state=np.random.default_rng(seed))
    poses = interpolate(track([0, 1], 9.0, 48.0, attitude=wxyz(ends)), at(fraction), max_gap_s=1.0)
    peer = Slerp([0, 1], ends)(poses.time / S)
    turned = Rotation.from_quat(poses.attitude[:, [1, 2, 3, 0]])
    assert (turned * peer.inv()).magnitude()[0] < 1e-7
    np.testing.assert_allclose(poses.rotation, peer.as_matrix(), atol=1e-9)


def test_heading_turns_through_north_not_back() -> None:
    ends = Rotation.from_euler("z", [[350.0], [10.0]], degrees=True)
    poses = interpolate(track([0, 1], 9.0, 48.0, attitude=wxyz(ends)), at(0.5), max_gap_s=1.0)
    np.testing.assert_allclose(poses.rotation[0], np.eye(3), atol=1e-12)


def test_sign_of_a_quaternion_does_not_matter() -> None:
    ends = wxyz(Rotation.from_euler("x", [[0.0], [20.0]], degrees=True)) * [[1.0], [-1.0]]
    poses = interpolate(track([0, 1], 9.0, 48.0, attitude=ends), at(0.5), max_gap_s=1.0)
    np.testing.assert_allclose(
        poses.rotation[0], Rotation.from_euler("x", 10.0, degrees=True).as_matrix(), atol=1e-12
    )


def test_rate_is_about_the_body_axes() -> None:
    # A body on its right side (roll 90) that yaws by 20 deg/s about the vertical turns about its own y axis.
    ends = Rotation.from_euler("ZYX", [[0.0, 0.0, 90.0], [10.0, 0.0, 90.0]], degrees=True)
    poses = interpolate(track([0, 0.5], 9.0, 48.0, attitude=wxyz(ends)), at(0.2), max_gap_s=1.0)
    np.testing.assert_allclose(np.degrees(poses.rate[0]), [0.0, 20.0, 0.0], atol=1e-9)


def test_velocity_as_logged_else_from_positions() -> None:
    lon, lat, _ = Geod(ellps="WGS84").fwd(9.0, 48.0, 30.0, 10.0)
    logged = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    args = ([0, 2], [9.0, lon], [48.0, lat])
    poses = interpolate(track(*args, velocity=logged), at(1.0), max_gap_s=2.0)
    np.testing.assert_allclose(poses.velocity_ned[0], [2.0, 2.0, 2.0])
    poses = interpolate(track(*args, height=[50.0, 52.0]), at(1.0), max_gap_s=2.0)
    np.testing.assert_allclose(
        poses.velocity_ned[0], [5 * np.cos(np.pi / 6), 5 * np.sin(np.pi / 6), -1.0], atol=1e-4
    )
    poses = interpolate(track(*args, height=np.nan), at(1.0), max_gap_s=2.0)
    assert np.isfinite(poses.velocity_ned[0, :2]).all()
    assert np.isnan(poses.velocity_ned[0, 2])


@given(angles=st.tuples(*[st.floats(-3.0, 3.0)] * 3))
def test_rotation_from_angles_equals_scipy(angles: tuple[float, float, float]) -> None:
    roll, pitch, yaw = angles
    peer = Rotation.from_euler("ZYX", [yaw, pitch, roll])
    np.testing.assert_allclose(rpy_to_matrix(roll, pitch, yaw), peer.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(quaternion_to_matrix(wxyz(peer)), peer.as_matrix(), atol=1e-12)


def test_line_edges_lie_half_a_period_from_the_middle() -> None:
    times = line_scan_times(np.array([0, 100, 200, 300]), [-0.5, 0.0, 0.5, 1.25, 3.5])
    assert times.tolist() == [-50, 0, 50, 125, 350]


def test_missing_lines_do_not_widen_their_neighbors() -> None:
    times = line_scan_times(np.array([0, 100, 200, 900, 1000, 1100]), [2.4, 2.6, 3.0])
    assert times.tolist() == [240, 860, 900]


def test_rows_outside_the_cube_are_refused() -> None:
    with pytest.raises(ValueError, match="rows must lie"):
        line_scan_times(np.array([0, 100]), [1.6])
    assert line_scan_times(np.array([7]), [0.5]).tolist() == [7]
