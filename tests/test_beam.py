"""Footprints of a laser's beam: by hand, on flat and sloping ground, by its gimbal and its rangefinder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import beam
from dronesense.model import Ambient, Beam, Clock, GasSeries, Mount, Terrain, Trajectory

CRS = "EPSG:32632"
S = 1_000_000_000
LON, LAT = 9.0, 48.0  # the central meridian: the grid points north, its scale is 0.9996
SCALE = 0.9996
GROUND = Terrain.flat(0.0, sigma_m=0.0, source="flat")


def track(
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0), height: float = 30.0, **changed: object
) -> Trajectory:
    n = 11
    roll, pitch, yaw = rpy_deg
    attitude = Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True).as_quat()[[3, 0, 1, 2]]
    made = Trajectory(
        time=np.arange(n, dtype=np.int64) * S, lon=np.full(n, LON), lat=np.full(n, LAT),
        height_m=np.full(n, height), height_source_m=np.full(n, height), height_ref="ellipsoid",
        velocity_ned=np.zeros((n, 3)), attitude=np.tile(attitude, (n, 1)), std_ned_m=np.zeros((n, 3)),
        std_rpy_deg=np.zeros((n, 3)), fix=np.full(n, 5, np.uint8), segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.0), reference_point="imu", source="log.bin",
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def series(said: Beam | None = None, m: int = 3) -> GasSeries:
    return GasSeries(
        np.arange(2, 2 + m) * S, "CH4", "column", np.full(m, 100.0), np.ones(m), "unknown",
        np.zeros(m, dtype=np.uint16), "calibrated", Ambient(), "laser", "raw/laser.csv", np.arange(m) + 2,
        beam=said,
    )  # fmt: skip


def paths(
    trajectory: Trajectory, said: Beam | None = None, *, mount: Mount | None = None, terrain: Terrain = GROUND
) -> beam.BeamPaths:
    return beam.locate_beams(
        series(said), trajectory=trajectory, mount=mount or Mount(), terrain=terrain, crs=CRS
    )


def offset(found: beam.BeamPaths) -> tuple[float, float]:
    """East and north of the place below the aircraft, meters on the ground."""
    x, y = geodesy.to_grid(LON, LAT, CRS)
    return float(found.points.x[0] - x) / SCALE, float(found.points.y[0] - y) / SCALE


def test_the_worked_case_of_the_reference(shared_data: Path) -> None:
    """Pitch 10, roll 5 degrees, 30 m up: off nadir 11.169 degrees, slant 30.579 m, footprint 5.923 m away."""
    check = json.loads((shared_data / "gas/checks.json").read_text())["tdlas_geometry"]
    found = paths(track((5.0, 10.0, 0.0)))
    assert math.degrees(math.acos(found.cos_vertical[0])) == pytest.approx(check["off_nadir_deg"], abs=1e-6)
    assert found.length_m[0] == pytest.approx(check["slant_m"], abs=2e-4)
    assert 100.0 * found.cos_vertical[0] == pytest.approx(check["vertical_of_100_ppm_m"], abs=1e-6)
    assert math.hypot(*offset(found)) == pytest.approx(check["footprint_offset_m"], abs=2e-3)


def test_nose_up_looks_ahead_and_right_wing_down_looks_to_port() -> None:
    """Flying east at 30 m: 30 tan 10 = 5.290 m ahead, east; rolled by 5, 30 tan 5 = 2.625 m to the north."""
    east, north = offset(paths(track((0.0, 10.0, 90.0))))
    assert (east, north) == pytest.approx((30.0 * math.tan(math.radians(10.0)), 0.0), abs=2e-3)
    east, north = offset(paths(track((5.0, 0.0, 90.0))))
    assert (east, north) == pytest.approx((0.0, 30.0 * math.tan(math.radians(5.0))), abs=2e-3)


def test_a_gimbal_is_believed_and_the_aircraft_may_tilt_as_it_likes() -> None:
    """Elevation -60 to azimuth 120, 30 m up: 30 / sin 60 = 34.641 m, 17.321 m away to the south-east."""
    said = Beam(pitch_deg=np.full(3, -60.0), yaw_deg=np.full(3, 120.0))
    found = paths(track((20.0, -15.0, 45.0)), said)
    assert found.length_m[0] == pytest.approx(34.641, abs=1e-3)
    assert found.cos_vertical[0] == pytest.approx(math.sin(math.radians(60.0)))
    away = 30.0 / math.tan(math.radians(60.0))
    assert offset(found) == pytest.approx(
        (away * math.sin(math.radians(120.0)), away * math.cos(math.radians(120.0))), abs=2e-3
    )
    ahead = paths(track((0.0, 0.0, 120.0)), Beam(pitch_deg=np.full(3, -60.0)))  # azimuth: as the nose points
    assert offset(ahead) == pytest.approx(offset(found), abs=1e-6)


def test_a_measured_range_ends_the_beam_before_the_terrain_does() -> None:
    """A roof 12 m up, at 20.784 m of 34.641: 10.392 m to the east, and the terrain plays no part."""
    said = Beam(np.array([20.784, np.nan, 0.0]), np.full(3, -60.0), np.full(3, 90.0))
    found = paths(track(), said, terrain=Terrain.flat(0.0, sigma_m=5.0, source="take-off height"))
    assert found.measured.tolist() == [True, False, False]
    assert found.points.height_m[0] == pytest.approx(12.0, abs=1e-3)
    assert offset(found) == pytest.approx((10.392, 0.0), abs=2e-3)
    assert found.length_m[1:] == pytest.approx([34.641, 34.641], abs=1e-3)
    assert found.sigma_length_m[0] == beam.SIGMA_RANGE_M
    assert found.sigma_length_m[1] == pytest.approx(5.0 / math.sin(math.radians(60.0)), rel=1e-3)


def test_on_a_slope_the_beam_ends_where_it_meets_it() -> None:
    """Ground that rises 1 in 4 to the east, 0 below the aircraft; 45 degrees east: z = 30 - d = d / 4."""
    x, y = geodesy.to_grid(LON, LAT, CRS)
    step, half = 2.0, 60
    east = (np.arange(2 * half + 1) - half) * step
    terrain = Terrain(
        np.tile(0.25 * east, (2 * half + 1, 1)),
        (step, 0.0, float(x) - (half + 0.5) * step, 0.0, -step, float(y) + (half + 0.5) * step),
        CRS, 0.0, "slope",
    )  # fmt: skip
    found = paths(track(), Beam(pitch_deg=np.full(3, -45.0), yaw_deg=np.full(3, 90.0)), terrain=terrain)
    assert offset(found)[0] == pytest.approx(24.0, abs=0.02)
    assert found.length_m[0] == pytest.approx(24.0 * math.sqrt(2.0), abs=0.02)
    assert found.points.height_m[0] == pytest.approx(6.0, abs=0.02)


def test_uncertainty_by_hand() -> None:
    """1 degree of pitch at 30 m straight down: 0.524 m along; 2 m of ground height: nothing at the nadir."""
    unsure = track(std_rpy_deg=np.tile([0.0, 1.0, 0.0], (11, 1)))
    found = paths(unsure, terrain=Terrain.flat(0.0, sigma_m=2.0, source="flat"))
    along = 30.0 * math.radians(1.0) * SCALE
    np.testing.assert_allclose(found.points.cov[0], [[0.0, 0.0], [0.0, along**2]], rtol=1e-4, atol=1e-9)
    assert found.sigma_cos[0] == pytest.approx(0.0, abs=1e-9)
    assert found.sigma_length_m[0] == pytest.approx(2.0, rel=1e-3)
    # At 60 degrees elevation a ground 2 m higher moves the footprint by 2 / tan 60 = 1.155 m.
    said = Beam(pitch_deg=np.full(3, -60.0), yaw_deg=np.full(3, 0.0))
    found = paths(track(), said, terrain=Terrain.flat(0.0, sigma_m=2.0, source="flat"))
    assert found.points.cov[0, 1, 1] == pytest.approx(
        (2.0 / math.tan(math.radians(60.0)) * SCALE) ** 2, rel=1e-3
    )
    # A range that is 0.3 m off moves it by 0.3 cos 60, and the cosine of 1 degree of tilt by sin 30.
    said = Beam(np.full(3, 34.641), np.full(3, -60.0), np.full(3, 0.0))
    found = paths(track(std_rpy_deg=np.ones((11, 3))), said)
    radial = (0.3 * 0.5) ** 2 + (34.641 * math.sin(math.radians(60.0)) * math.radians(1.0)) ** 2
    assert found.points.cov[0, 1, 1] == pytest.approx(radial * SCALE**2, rel=0.01)
    assert found.sigma_cos[0] == pytest.approx(0.5 * math.radians(1.0), rel=1e-6)


def test_without_attitude_the_beam_looks_down_and_says_how_badly_that_is_known() -> None:
    found = paths(track(attitude=np.full((11, 4), np.nan), std_rpy_deg=np.full((11, 3), np.nan)))
    assert found.leveled
    assert offset(found) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found.length_m[0] == pytest.approx(30.0, abs=1e-6)
    assert found.points.cov[0, 0, 0] == pytest.approx((30.0 * math.radians(5.0) * SCALE) ** 2, rel=1e-3)


def test_samples_without_a_path_are_told_apart() -> None:
    early = replace(series(), time=np.array([-5 * S, 2 * S, 3 * S]))
    said = Beam(pitch_deg=np.array([-90.0, -90.0, 10.0]), yaw_deg=np.zeros(3))
    found = beam.locate_beams(
        replace(early, beam=said), trajectory=track(), mount=Mount(), terrain=GROUND, crs=CRS
    )
    assert found.points.status.tolist() == [1, 0, 4]  # no track, a hit, a beam above the horizon
    assert np.isfinite(found.length_m).tolist() == [False, True, False]
    assert np.isfinite(found.points.x).tolist() == [False, True, False]


def test_a_track_below_the_ground_is_refused() -> None:
    with pytest.raises(CoverageError, match="below the ground"):
        paths(track(height=-10.0))


def test_the_lever_arm_and_boresight_are_those_of_the_mount() -> None:
    """1 m to starboard and 0.5 m down, flying north; boresight pitch 3 degrees: 29.5 tan 3 ahead."""
    mount = Mount(boresight_deg=(0.0, 3.0, 0.0), lever_arm_m=(0.0, 1.0, 0.5))
    found = paths(track(), mount=mount)
    assert offset(found) == pytest.approx((1.0, 29.5 * math.tan(math.radians(3.0))), abs=2e-3)
