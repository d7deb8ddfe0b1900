"""Rotation conventions: signs by hand, products by SciPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.errors import ManifestError, ReadError
from dronesense.geotag import camera, orientation
from dronesense.model import Mount
from dronesense.model.orientation import OrientationTable
from dronesense.readers import orientation_table

ANGLES = np.random.default_rng(1).uniform(-180.0, 180.0, (20, 3))


def test_against_scipy() -> None:
    opk = Rotation.from_euler("XYZ", ANGLES, degrees=True).as_matrix()
    np.testing.assert_allclose(orientation.rotation_opk_to_grid(*ANGLES.T), opk, atol=1e-12)
    rpy = Rotation.from_euler("ZYX", ANGLES[:, ::-1], degrees=True).as_matrix()
    np.testing.assert_allclose(orientation.rotation_rpy_to_ned(*ANGLES.T), rpy, atol=1e-12)
    vectors = np.radians(ANGLES)
    rotations = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(orientation.vector_to_matrix(vectors), rotations, atol=1e-12)
    again = orientation.wxyz_to_matrix(2.0 * orientation.matrix_to_wxyz(rotations))
    np.testing.assert_allclose(again, rotations, atol=1e-12)


class TestGimbal:
    def test_fold_is_the_same_rotation(self) -> None:
        yaw, pitch, roll = ANGLES.T
        folded = orientation.fold_gimbal(yaw, pitch, roll)
        assert (np.abs(folded[2]) <= 90.0).all()
        np.testing.assert_allclose(
            orientation.rotation_gimbal_to_ned(*folded),
            orientation.rotation_gimbal_to_ned(yaw, pitch, roll),
            atol=1e-12,
        )

    @pytest.mark.parametrize("roll", [180.0, -180.0])
    def test_upside_down_at_nadir(self, roll: float) -> None:
        """DJI writes (180, -90, yaw) for (0, -90, yaw + 180)."""
        folded = [float(each) for each in orientation.fold_gimbal(30.0, -90.0, roll)]
        assert folded == [-150.0, -90.0, 0.0]

    def test_oblique_by_hand(self) -> None:
        """60° down to the east: the axis is half level; the top of the picture points up and east."""
        turn = orientation.rotation_gimbal_to_ned(90.0, -60.0, 0.0)
        np.testing.assert_allclose(turn[:, 2], [0.0, 0.5, 0.75**0.5], atol=1e-12)
        np.testing.assert_allclose(turn[:, 0], [0.0, 0.75**0.5, -0.5], atol=1e-12)

    def test_is_the_photogrammetric_rotation_where_roll_is_0(self) -> None:
        """PATB -> ENU is Rz(-yaw) Rx(90 + pitch)."""
        patb = Rotation.from_euler("ZX", [-35.0, 90.0 - 55.0], degrees=True).as_matrix()
        ned = orientation.enu_to_ned(orientation.patb_to_camera(patb))
        np.testing.assert_allclose(ned, orientation.rotation_gimbal_to_ned(35.0, -55.0, 0.0), atol=1e-12)


class TestConvergence:
    def test_sign(self) -> None:
        """Along x = const to grid north, east of the central meridian: the true azimuth is positive."""
        crs = "EPSG:32632"
        x, y = geodesy.to_grid(11.0, 60.0, crs)
        lon, lat = geodesy.to_lonlat(np.array([x, x]), np.array([y, y + 100.0]), crs)
        east = geodesy.geodesic_distance(lon[0], lat[1], lon[1], lat[1])
        azimuth = np.degrees(np.arctan2(np.copysign(east, lon[1] - lon[0]), 100.0))
        table = OrientationTable(("one",), "opk", np.array([[x, y, 100.0]]), np.zeros((1, 3)), crs=crs)
        top = orientation.poses_of(table).rotation[0][:, 0]  # no rotation: the top is grid north
        assert np.degrees(np.arctan2(top[1], top[0])) == pytest.approx(azimuth, abs=2e-3)
        assert azimuth == pytest.approx(2.0 * np.sin(np.radians(60.0)), abs=2e-3)

    def test_opk_and_gimbal_agree(self) -> None:
        """A picture of heading 40° by the grid, 50° down, in both words."""
        crs = "EPSG:32651"
        x, y = geodesy.to_grid(120.95, 24.68, crs)
        gamma = np.degrees(geodesy.grid_factors(120.95, 24.68, crs)[0])
        patb = Rotation.from_euler("ZX", [-40.0, 40.0], degrees=True)
        opk = patb.as_euler("XYZ", degrees=True)[None]
        one = OrientationTable(("a",), "opk", np.array([[x, y, 9.0]]), opk, crs=crs)
        gimbal = np.array([[40.0 + float(gamma), -50.0, 0.0]])
        other = OrientationTable(("a",), "gimbal", np.array([[120.95, 24.68, 9.0]]), gimbal)
        a, b = orientation.poses_of(one), orientation.poses_of(other)
        np.testing.assert_allclose(a.rotation, b.rotation, atol=1e-12)
        np.testing.assert_allclose([a.lon, a.lat], [b.lon, b.lat], atol=1e-9)


class TestMounts:
    @pytest.mark.parametrize(
        ("name", "top"),
        [("nadir", (1, 0)), ("nadir-90", (0, 1)), ("nadir-180", (-1, 0)), ("nadir-270", (0, -1))],
    )
    def test_where_the_top_points(self, name: str, top: tuple[int, int]) -> None:
        turn = camera.camera_to_body(Mount(rotation=name))
        np.testing.assert_array_equal(turn[:, 0], [*top, 0])
        np.testing.assert_array_equal(turn[:, 2], [0, 0, 1])
        assert np.linalg.det(turn) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("name", "axis"),
        [
            ("oblique", (1, 0)),
            ("oblique-aft", (-1, 0)),
            ("oblique-starboard", (0, 1)),
            ("oblique-port", (0, -1)),
        ],
    )
    def test_where_an_oblique_camera_looks(self, name: str, axis: tuple[int, int]) -> None:
        turn = camera.camera_to_body(Mount(rotation=name, tilt_deg=30.0))
        np.testing.assert_allclose(turn[:, 2], [0.5 * axis[0], 0.5 * axis[1], 0.75**0.5], atol=1e-12)

    def test_refusals(self) -> None:
        with pytest.raises(ManifestError, match="gimbal"):
            camera.camera_to_body(Mount(rotation="gimbal"))
        with pytest.raises(ManifestError, match="oblique"):
            camera.camera_to_body(Mount(rotation="oblik"))
        with pytest.raises(ManifestError, match="tilt_deg"):
            camera.camera_to_body(Mount(rotation="oblique", tilt_deg=float("nan")))


class TestTable:
    def test_words_of_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "poses.csv"
        path.write_text(
            "filename,x,y,z,omega,phi,kappa\na.tif,500000,10,120,1,2,3\nb.tif,500010,10,121,4,5,6\n"
        )
        table = orientation_table.read(path, crs="EPSG:32632")
        assert (table.names, table.convention, table.crs) == (("a.tif", "b.tif"), "opk", "EPSG:32632")
        np.testing.assert_array_equal(table.turn, [[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(table.place[1], [500010, 10, 121])
        with pytest.raises(ReadError, match="CRS"):
            orientation_table.read(path)
        path.write_text(
            "filename,latitude,longitude,altitude,gimbal_yaw,gimbal_pitch,gimbal_roll,roll,pitch,yaw\n"
            "a.jpg,48,9,160,90,-60,0,1,2,3\n"
        )
        table = orientation_table.read(path)
        assert table.convention == "gimbal"  # its angles, not those of the aircraft
        np.testing.assert_array_equal(table.place, [[9, 48, 160]])
        np.testing.assert_array_equal(table.turn, [[90, -60, 0]])

    @pytest.mark.parametrize(
        "text", ["filename,x,y,z\na,1,2,3\n", "filename,x,y,z,omega,phi,kappa\na,1,2,,4,5,6\n"]
    )
    def test_refusals(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "poses.csv"
        path.write_text(text)
        with pytest.raises(ReadError):
            orientation_table.read(path, crs="EPSG:32632")

    def test_real_table(self, shared_data: Path) -> None:
        folder = shared_data / "georef" / "orthority" / "io"
        table = orientation_table.read(
            folder / "ngi_xyz_opk.csv", crs=(folder / "ngi_xyz_opk.prj").read_text()
        )
        assert len(table) == 4
        assert table.place[0].tolist() == [-55094.504, -3727407.037, 5258.308]
