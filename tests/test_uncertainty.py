"""Ground covariance, CE90 and ellipses: published table, closed forms, independent Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.geotag.locate import locate_pixels
from dronesense.geotag.poses import Poses
from dronesense.geotag.uncertainty import (
    PASS_CORRELATION,
    Look,
    ce90,
    ellipse,
    error_budget,
    pixel_covariance,
)
from dronesense.model import Clock, GroundPoints, Instrument, LineCamera, Mount, Terrain, Trajectory

TO_GRID = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # x = east, y = north


@pytest.mark.parametrize(
    ("ratio", "factor"),
    [(0, 1.6449), (0.2, 1.6573), (0.4, 1.6992), (0.5, 1.7371), (0.6, 1.7915), (0.8, 1.9472), (1, 2.1460)],
)
def test_radius_of_the_circle_from_the_published_table(ratio: float, factor: float) -> None:
    assert ce90(np.diag([9.0, 9.0 * ratio**2])) == pytest.approx(3.0 * factor, abs=3.0 * 6e-5)


def test_circle_of_equal_axes_has_a_closed_form() -> None:
    assert ce90(np.eye(2)) == pytest.approx(np.sqrt(-2.0 * np.log(0.1)), abs=1e-6)


@given(ratio=st.floats(0.0, 1.0), turn=st.floats(0.0, 7.0))
def test_circle_holds_nine_tenths_whatever_the_ellipse(ratio: float, turn: float) -> None:
    # The distance from the center of an uncorrelated normal pair, integrated over the direction.
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s], [s, c]])
    ratio = max(ratio, 0.02)
    radius = ce90(rotation @ np.diag([4.0, 4.0 * ratio**2]) @ rotation.T)
    angle = (np.arange(20000) + 0.5) * 2 * np.pi / 20000
    g = np.cos(angle) ** 2 / 4.0 + np.sin(angle) ** 2 / (4.0 * ratio**2)
    outside = np.mean(np.exp(-0.5 * radius**2 * g) / g) / (4.0 * ratio)
    assert outside == pytest.approx(0.1, abs=2e-5)


def test_no_error_unknown_error_and_shapes() -> None:
    assert ce90(np.zeros((2, 2))) == 0.0
    assert np.isnan(ce90(np.full((2, 2), np.nan)))
    assert ce90(np.tile(np.eye(2), (3, 4, 1, 1))).shape == (3, 4)


@given(azimuth=st.floats(0.0, 179.99), convergence=st.floats(-0.2, 0.2))
def test_ellipse_azimuth_is_from_true_north(azimuth: float, convergence: float) -> None:
    grid = np.radians(azimuth) - convergence  # grid heading = true heading - convergence
    along = np.array([np.sin(grid), np.cos(grid)])
    cov = 0.25 * np.eye(2) + (4.0 - 0.25) * np.outer(along, along)
    major, minor, got = ellipse(cov, convergence_rad=convergence)
    assert (major, minor) == pytest.approx((2.0, 0.5))
    assert 0.0 <= got < 180.0
    assert abs((got - azimuth + 90.0) % 180.0 - 90.0) < 1e-6


def test_pixel_of_an_uneven_parallelogram() -> None:
    rng = np.random.default_rng(3)
    a, b = np.array([2.0, 1.0]), np.array([-0.5, 1.5])
    corners = np.array([-a - b, a - b, a + b, b - a]) / 2 + [7.0, 9.0]
    u, v = rng.uniform(-0.5, 0.5, (2, 400_000, 1))
    np.testing.assert_allclose(
        pixel_covariance(corners[None])[0], np.cov((u * a + v * b).T), rtol=0.01, atol=2e-3
    )


def one_look(
    *,
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    look_body: tuple[float, float, float] = (0.0, 0.0, 1.0),
    height: float = 100.0,
    slope: tuple[float, float] = (0.0, 0.0),
    mount: Mount | None = None,
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    rate_deg_s: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std_m: float = 0.0,
    std_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    pixel_step: tuple[float, float, float] = (0.0, 0.0, 0.0),
    line_s: float = 0.0,
) -> Look:
    """A single ray onto a plane; *slope* = rise per meter to the north and east."""
    roll, pitch, yaw = rpy_deg
    rotation = Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True)
    mount = mount or Mount()
    direction = rotation.apply(look_body) / np.linalg.norm(look_body)
    arm = rotation.apply(mount.lever_arm_m)
    normal = np.array([-slope[0], -slope[1], -1.0]) / np.hypot(1.0, np.hypot(*slope))
    # Ground: down = height - slope . (n, e); the navigation point is the origin.
    plane = np.array([slope[0], slope[1], 1.0])
    distance = (height - plane @ arm) / (plane @ direction)
    nan = np.array([np.nan])
    poses = Poses(
        time=np.array([0]),
        lon=nan,
        lat=nan,
        height_m=nan,
        attitude=rotation.as_quat()[None, [3, 0, 1, 2]],
        velocity_ned=np.array([velocity]),
        rate=np.radians([rate_deg_s]),
        std_ned_m=np.full((1, 3), std_m),
        std_rpy_deg=np.array([std_deg]),
        ok=np.array([True]),
    )
    step = rotation.apply(pixel_step)[None]
    return Look(
        poses, direction[None], np.array([distance]), normal[None], TO_GRID[None], step, np.array([line_s])
    )


def covariance(
    look: Look, *, mount: Mount | None = None, clock: float = 0.0, terrain: float = 0.0
) -> np.ndarray:
    budget = error_budget(look, mount=mount or Mount(), clock_sigma_s=clock, terrain_sigma_m=terrain)
    return budget.common[0]


def test_each_source_alone_by_hand() -> None:
    degree = np.radians(1.0)
    # Nadir: position passes through, roll acts across, pitch along, yaw not at all.
    np.testing.assert_allclose(covariance(one_look(std_m=0.3)), np.diag([0.09, 0.09]), atol=1e-12)
    roll, pitch, yaw = (tuple(float(i == axis) for i in range(3)) for axis in range(3))
    expected = (100.0 * degree) ** 2
    np.testing.assert_allclose(covariance(one_look(std_deg=roll)), np.diag([expected, 0]), atol=1e-12)
    np.testing.assert_allclose(covariance(one_look(std_deg=pitch)), np.diag([0, expected]), atol=1e-12)
    np.testing.assert_allclose(covariance(one_look(std_deg=yaw)), np.zeros((2, 2)), atol=1e-12)
    # 45 deg to starboard: yaw moves the point along by 100 m per radian, roll across by H / cos² 45.
    side = (0.0, 1.0, 1.0)
    np.testing.assert_allclose(
        covariance(one_look(look_body=side, std_deg=yaw)), np.diag([0, expected]), atol=1e-9
    )
    np.testing.assert_allclose(
        covariance(one_look(look_body=side, std_deg=roll)), np.diag([4 * expected, 0]), atol=1e-9
    )
    # Height of the ground: 0.5 m times tan 45 deg.
    np.testing.assert_allclose(
        covariance(one_look(look_body=side), terrain=0.5), np.diag([0.25, 0]), atol=1e-12
    )
    # Clock: 10 ms at 20 m/s north, while rolling at 10 deg/s (to port: -x).
    moving = one_look(velocity=(20.0, 0.0, 0.0), rate_deg_s=(10.0, 0.0, 0.0))
    shift = 0.01 * np.array([-100.0 * np.radians(10.0), 20.0])
    np.testing.assert_allclose(covariance(moving, clock=0.01), np.outer(shift, shift), atol=1e-9)


def test_pixel_part_is_the_footprint() -> None:
    look = one_look(velocity=(20.0, 0.0, 0.0), pixel_step=(0.0, 0.002, 0.0), line_s=0.01)
    budget = error_budget(look, mount=Mount(), clock_sigma_s=0.0, terrain_sigma_m=0.0)
    np.testing.assert_allclose(budget.pixel[0], np.diag([0.2**2, 0.2**2]) / 12.0, atol=1e-12)


def test_unknown_accuracy_stays_unknown() -> None:
    assert np.isnan(covariance(one_look(std_m=float("nan")))).all()


CASES = {
    "nadir": {},
    "swath edge, rolled": {"rpy_deg": (12.0, 4.0, 130.0), "look_body": (0.0, -0.3, 1.0)},
    "slope": {"slope": (0.3, -0.25), "look_body": (0.0, 0.3, 1.0), "rpy_deg": (-8.0, 6.0, 40.0)},
    "high and steep": {"height": 500.0, "slope": (-0.5, 0.2), "look_body": (0.1, 0.25, 1.0)},
    "low": {"height": 15.0, "rpy_deg": (5.0, -15.0, -70.0), "look_body": (0.0, -0.25, 1.0)},
}


@pytest.mark.parametrize("name", CASES)
def test_coverage_by_monte_carlo(name: str) -> None:
    """Send drawn errors through the exact chain; count how often the true place lies in the circle."""
    case = {
        "height": 60.0,
        "rpy_deg": (0.0, 0.0, 0.0),
        "look_body": (0.0, 0.0, 1.0),
        "slope": (0.0, 0.0),
    } | CASES[name]
    mount = Mount(
        rotation="nadir-180",
        boresight_deg=(1.0, -3.0, 2.0),
        lever_arm_m=(0.4, -0.2, 0.3),
        sigma_boresight_deg=0.1,
        sigma_lever_arm_m=0.02,
    )
    named = np.diag([-1.0, -1.0, 1.0])
    boresight = Rotation.from_euler("ZYX", mount.boresight_deg[::-1], degrees=True)
    look_camera = np.asarray(case["look_body"])
    look_body = named @ boresight.apply(look_camera)
    std_m, std_deg, clock, terrain = 0.05, (0.2, 0.15, 0.6), 0.02, 0.3
    velocity, rate = (6.0, -3.0, 0.5), (8.0, -5.0, 10.0)
    look = one_look(
        **case | {"look_body": tuple(look_body)},
        mount=mount,
        velocity=velocity,
        rate_deg_s=rate,
        std_m=std_m,
        std_deg=std_deg,
    )
    stated = covariance(look, mount=mount, clock=clock, terrain=terrain)

    rng, n = np.random.default_rng(11), 40_000
    roll, pitch, yaw = case["rpy_deg"]
    angles = np.array([yaw, pitch, roll]) + rng.normal(size=(n, 3)) * std_deg[::-1]
    late = rng.normal(size=(n, 1)) * clock
    body = Rotation.from_euler("ZYX", angles, degrees=True) * Rotation.from_rotvec(np.radians(rate) * late)
    bore = np.asarray(mount.boresight_deg[::-1]) + rng.normal(size=(n, 3)) * mount.sigma_boresight_deg
    direction = body.apply(Rotation.from_euler("ZYX", bore, degrees=True).apply(look_camera) @ named.T)
    arm = body.apply(np.asarray(mount.lever_arm_m) + rng.normal(size=(n, 3)) * mount.sigma_lever_arm_m)
    start = rng.normal(size=(n, 3)) * std_m + np.asarray(velocity) * late + arm
    plane = np.array([*case["slope"], 1.0])
    ground = case["height"] - rng.normal(size=n) * terrain
    s = (ground - start @ plane) / (direction @ plane)
    places = (start + s[:, None] * direction) @ TO_GRID.T
    nominal = look.distance_m[0] * look.direction[0] + look.poses.rotation[0] @ mount.lever_arm_m

    off = places - nominal @ TO_GRID.T
    inside = np.mean(np.hypot(*off.T) <= ce90(stated))
    assert 0.88 <= inside <= 0.92
    np.testing.assert_allclose(np.cov(off.T), stated, rtol=0.05, atol=0.05 * np.trace(stated))


CRS = "EPSG:32633"
START = (545_000.0, 5_216_000.0)
"""Of the slope's middle, where its height is 300 m."""


class Forward:
    """A flight over a slope whose every assumption can be moved: the real forward path, seen from outside."""

    def __init__(self, seed: int, rotation: str) -> None:
        rng = np.random.default_rng(seed)
        self.slope = rng.uniform(-0.4, 0.4, 2)
        self.height, self.rotation = rng.uniform(20.0, 150.0), rotation
        self.rpy = np.array([rng.uniform(-12, 12), rng.uniform(-12, 12), rng.uniform(0, 360)])
        self.rate_deg_s = rng.uniform(-8.0, 8.0, 3)  # of the Euler angles
        course = np.radians(self.rpy[2] + rng.uniform(-40.0, 40.0))  # crabbing
        self.velocity = np.array([*(rng.uniform(3, 15) * np.array([np.cos(course), np.sin(course)])), 0.5])
        self.boresight, self.lever = rng.uniform(-3.0, 3.0, 3), rng.uniform(-0.5, 0.5, 3)
        self.tilt = rng.uniform(5.0, 25.0) if rotation.startswith("oblique") else 0.0
        self.column = float(rng.integers(0, 41))

    def place(self, shift: np.ndarray) -> GroundPoints:
        """Locate with *shift* of position (3), angles (3), boresight (3), lever arm (3), clock, ground."""
        from pyproj import Transformer

        to_lonlat = Transformer.from_crs(CRS, "EPSG:4979", always_xy=True)
        lon, lat, height = to_lonlat.transform(*START, 300.0)
        time = np.arange(-20, 21) * 0.05
        ned = np.outer(time, self.velocity) - np.array([0.0, 0.0, self.height]) + shift[:3]
        # North, east, down to a place: radii of curvature of WGS84, exact enough over some meters.
        s2, a, e2 = np.sin(np.radians(lat)) ** 2, 6378137.0, 0.0066943799901413165
        north_r = a * (1 - e2) / (1 - e2 * s2) ** 1.5 + 300.0
        east_r = (a / np.sqrt(1 - e2 * s2) + 300.0) * np.cos(np.radians(lat))
        angles = self.rpy + np.outer(time, self.rate_deg_s) + shift[3:6]
        n = len(time)
        track = Trajectory(
            time=10**18 + np.rint(time * 1e9).astype(np.int64),
            lon=lon + np.degrees(ned[:, 1] / east_r),
            lat=lat + np.degrees(ned[:, 0] / north_r),
            height_m=height - ned[:, 2],
            height_source_m=height - ned[:, 2],
            height_ref="ellipsoid",
            velocity_ned=np.tile(self.velocity, (n, 1)),
            attitude=Rotation.from_euler("ZYX", angles[:, ::-1], degrees=True).as_quat()[:, [3, 0, 1, 2]],
            std_ned_m=np.ones((n, 3)),
            std_rpy_deg=np.ones((n, 3)),
            fix=np.full(n, 2, dtype=np.uint8),
            segment=np.zeros(n, dtype=np.int32),
            clock=Clock("exact", 0.0),
            reference_point="imu",
            source="made",
        )
        across = np.linspace(-20.0, 20.0, 41)
        mount = Mount(
            rotation=self.rotation,
            boresight_deg=tuple(self.boresight + shift[6:9]),
            lever_arm_m=tuple(self.lever + shift[9:12]),
            sigma_boresight_deg=1.0,
            sigma_lever_arm_m=1.0,
            tilt_deg=self.tilt,
        )
        spec = LineCamera(41, np.column_stack([across, np.zeros(41)]))
        side = np.array([-1.0, 1.0]) * 400.0
        ground = 300.0 + shift[13] + self.slope[0] * side[None, :] - self.slope[1] * side[:, None]
        transform = (800.0, 0.0, START[0] - 800.0, 0.0, -800.0, START[1] + 800.0)
        late = 10**18 + round(shift[12] * 1e9)
        lines = late + np.arange(-2, 3) * 20_000_000
        return locate_pixels(
            [[2.0, self.column]],
            line_time=lines,
            trajectory=track,
            instrument=Instrument("camera", "line_scan", spec, mount, ""),
            terrain=Terrain(ground, transform, CRS, 1.0, "slope"),
            crs=CRS,
            clock_sigma_s=1.0,
        )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rotation", ["nadir", "nadir-90", "oblique"])
def test_every_jacobian_is_the_derivative_of_the_forward_path(seed: int, rotation: str) -> None:
    flight = Forward(seed, rotation)
    points = flight.place(np.zeros(14))
    shared = points.shared[0]
    navigation = shared[:, :6] / np.sqrt(PASS_CORRELATION)  # the part of passes, scaled to all
    stated = np.hstack([navigation, shared[:, 6:]])
    step = np.repeat([0.02, 0.02, 0.02, 0.02, 0.01, 0.05], [3, 3, 3, 3, 1, 1])
    found = np.empty((2, 14))
    for i, size in enumerate(step):
        moved = [flight.place(sign * size * np.eye(14)[i]) for sign in (1.0, -1.0)]
        found[:, i] = [(getattr(moved[0], c)[0] - getattr(moved[1], c)[0]) / (2.0 * size) for c in "xy"]
    still = np.arange(14) != 12
    np.testing.assert_allclose(found[:, still], stated[:, still], rtol=1e-3, atol=1e-3)
    # The clock: angular rates are means over 0.2 s while they turn with the body, m/s.
    np.testing.assert_allclose(found[:, 12], stated[:, 12], atol=0.06)
