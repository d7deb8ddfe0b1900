"""Lenses there and back, makers' orders, rolling shutter, covariance by Monte Carlo, and cameras in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError, ReadError
from dronesense.geotag import frame_camera, frames, orientation
from dronesense.geotag.poses import Poses
from dronesense.geotag.terrain import HIT, NOT_DOWN
from dronesense.model import Clock, FrameCamera, Instrument, LineCamera, Mount, Terrain, Trajectory, lens
from dronesense.model.lens import Lens
from dronesense.readers import colmap, instrument, opensfm

FLAT = Terrain.flat(0.0, sigma_m=0.0, source="flat")
CRS = "EPSG:32632"

LENSES = [
    Lens("perspective", (900.0, 880.0), (640.0, 480.0), (-0.264, 0.102, 0.0007, 0.0003, -0.026)),
    Lens("perspective", (900.0, 900.0), (640.0, 480.0), (-0.45, 0.0, 0.002, -0.001, 0.0)),
    Lens("perspective", (700.0, 700.0), (640.0, 480.0), (0.3, 0.1, 0.0, 0.0, 0.02, 0.5, 0.2, 0.01)),
    Lens("equidistant", (400.0, 400.0), (640.0, 480.0), (0.02, -0.01, 0.003, -0.0005)),
    Lens("fisheye", (1600.0, 1600.0), (640.0, 480.0), (0.0, 1.0, -0.1, -0.05)),
]


class TestLens:
    @pytest.mark.parametrize("each", LENSES)
    def test_there_and_back_up_to_the_fold(self, each: Lens) -> None:
        last = min(lens.limit_rad(each), np.radians(85.0))
        angle, around = np.meshgrid(np.linspace(0.0, 0.995 * last, 60), np.linspace(0.0, 6.28, 40))
        x, y, z = np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)
        u, v = lens.project(each, x, y, z)
        back = np.stack(lens.directions(each, u, v))
        back = back / np.linalg.norm(back, axis=0)
        clear = angle < 0.9 * last  # decentering moves the fold a little
        np.testing.assert_allclose(back[:, clear], np.stack([x, y, z])[:, clear], atol=1e-10)
        again = np.stack(lens.project(each, *back))
        found = np.isfinite(again[0])
        assert found.mean() > 0.97
        assert np.abs(again - np.stack([u, v]))[:, found].max() <= 1e-9

    def test_strong_distortion_by_hand(self) -> None:
        """Near the fold of the strong lens, by the formula written out."""
        each = LENSES[1]
        u, v = np.array([1130.0]), np.array([480.0])
        x, y, _ = lens.directions(each, u, v)
        radial = 1.0 - 0.45 * (x**2 + y**2)
        expected = 900.0 * (x * radial + 2 * 0.002 * x * y - 0.001 * (3 * x**2 + y**2)) + 640.0
        np.testing.assert_allclose(expected, u, atol=1e-9)

    def test_beyond_the_fold_there_is_no_direction(self) -> None:
        """r (1 - r^2 / 3) is 2/3 at most, at r = 1."""
        each = Lens("perspective", (300.0, 300.0), (0.0, 0.0), (-1.0 / 3.0, 0.0, 0.0, 0.0, 0.0))
        x, _, _ = lens.directions(each, np.array([199.0, 199.99, 200.01, 400.0]), np.zeros(4))
        assert np.isfinite(x).tolist() == [True, True, False, False]
        u, _ = lens.project(each, np.array([0.99, 1.01, 1.5]), np.zeros(3), np.ones(3))
        assert np.isfinite(u).tolist() == [True, False, False]
        u, _ = lens.project(each, np.array([1.5]), np.zeros(1), np.ones(1), folded=True)
        assert u[0] == pytest.approx(300.0 * (1.5 - 1.5**3 / 3.0))

    def test_equidistant_by_hand(self) -> None:
        """45° with k1 = 0.1: f (t + 0.1 t^3)."""
        each = Lens("equidistant", (100.0, 100.0), (0.0, 0.0), (0.1,))
        u, v = lens.project(each, np.ones(1), np.zeros(1), np.ones(1))
        t = np.pi / 4.0
        assert (u[0], v[0]) == (pytest.approx(100.0 * (t + 0.1 * t**3)), 0.0)
        u, _ = lens.project(each, np.ones(1), np.zeros(1), np.array([-1.0]))  # 135° off the axis
        assert u[0] == pytest.approx(100.0 * (3 * t + 0.1 * (3 * t) ** 3))

    def test_orders_of_makers(self) -> None:
        assert lens.brown((1, 2, 3, 4, 5), order="pix4d") == (1, 2, 4, 5, 3)
        assert lens.brown((1, 2), order="opencv") == (1, 2, 0, 0, 0)
        assert lens.brown((1, 2, 3, 4, 5, 6, 7, 8)) == (1, 2, 3, 4, 5, 6, 7, 8)
        for order, count in (("micasense", 6), ("opencv", 9), ("no such", 1)):
            with pytest.raises(ValueError, match="not known"):
                lens.brown((0.0,) * count, order=order)


def _flight() -> Trajectory:
    """Fly north at 20 m/s, turning 10° a second about the vertical, at 100 m."""
    time = np.arange(0, 2_000_000_001, 100_000_000, dtype=np.int64)
    second = time / 1e9
    lon, lat, height = geodesy.displace(
        np.full(len(time), 9.0), np.full(len(time), 48.0), np.full(len(time), 100.0),
        np.column_stack([20.0 * second, 0.0 * second, 0.0 * second]),
    )  # fmt: skip
    turned = orientation.rotation_rpy_to_ned(0.0 * second, 0.0 * second, 10.0 * second)
    n = len(time)
    return Trajectory(
        time=time, lon=lon, lat=lat, height_m=height, height_source_m=height, height_ref="ellipsoid",
        fix=np.full(n, 4, dtype=np.uint8), reference_point="imu",
        attitude=orientation.matrix_to_wxyz(turned), velocity_ned=np.full((n, 3), np.nan),
        std_ned_m=np.zeros((n, 3)), std_rpy_deg=np.zeros((n, 3)), segment=np.zeros(n, dtype=np.int32),
        clock=Clock("gnss", 0.0), source="made here",
    )  # fmt: skip


PLAIN = Lens("perspective", (500.0, 500.0), (100.0, 50.0), ())


class TestShutter:
    def test_rows_move_with_the_aircraft(self) -> None:
        """1 ms a row at 20 m/s: rows 50 apart see the ground from 1 m further north."""
        rolling = FrameCamera(shape=(101, 201), lens=PLAIN, row_time_s=1e-3, row_reference=50.0)
        flight, at = _flight(), 1_000_000_000
        pixels = np.array([[50.0, 100.0], [100.0, 100.0], [0.0, 100.0]])
        poses, pose_of = frames.shutter_poses(rolling, pixels[:, 0], time=at, trajectory=flight)
        np.testing.assert_array_equal(poses.time[pose_of] - at, [0, 50_000_000, -50_000_000])
        found = frames.locate_frame_pixels(
            pixels, camera=rolling, poses=poses, pose_of=pose_of, terrain=FLAT, crs=CRS
        )
        np.testing.assert_array_equal(found.time, poses.time[pose_of])
        heading = np.radians([10.0, 10.5, 9.5])
        north = np.array([20.0, 21.0, 19.0]) + np.array([0.0, -10.0, 10.0]) * np.cos(heading)
        x0, y0 = geodesy.to_grid(9.0, 48.0, CRS)
        np.testing.assert_allclose(found.y - y0, 0.9996 * north, atol=2e-3)
        east = np.array([0.0, -10.0, 10.0]) * np.sin(heading)
        np.testing.assert_allclose(found.x - x0, 0.9996 * east, atol=2e-3)
        back = frames.project_to_picture(
            found.x, found.y, found.height_m, camera=rolling, time=at, trajectory=flight, crs=CRS
        )
        np.testing.assert_allclose(back, pixels, atol=1e-4)

    def test_picture_of_a_flight(self) -> None:
        """What a lane passes on; a gimbal is refused, as a track has no angles for it."""
        camera = FrameCamera(shape=(101, 201), lens=PLAIN)
        tool = Instrument("cam", "frame", camera, Mount(), "")
        pixels = [[50.0, 100.0], [0.0, 0.0]]
        given = {"time": 1_000_000_000, "trajectory": _flight(), "terrain": FLAT, "crs": CRS}
        found = frames.locate_frame_pixels(pixels, **frames.picture(pixels, instrument=tool, **given))
        x0, y0 = geodesy.to_grid(9.0, 48.0, CRS)
        np.testing.assert_allclose([found.x[0] - x0, found.y[0] - y0], [0.0, 0.9996 * 20.0], atol=2e-3)
        with pytest.raises(ManifestError, match="gimbal"):
            frames.picture(pixels, instrument=replace(tool, mount=Mount(rotation="gimbal")), **given)


class TestCovariance:
    def test_against_monte_carlo(self) -> None:
        """Oblique over flat ground: 4000 flights with errors of position and attitude drawn anew."""
        rng = np.random.default_rng(3)
        camera = FrameCamera(shape=(101, 201), lens=Lens("perspective", (2e4, 2e4), (100.0, 50.0), ()))
        mount = Mount(rotation="oblique", tilt_deg=30.0)
        std_m, std_deg = np.array([0.3, 0.2, 0.5]), np.array([0.5, 0.4, 0.8])
        n = 4000
        errors, turns = rng.standard_normal((n + 1, 3)) * std_m, rng.standard_normal((n + 1, 3)) * std_deg
        errors[0] = turns[0] = 0.0
        roll, pitch, yaw = (np.array([3.0, -2.0, 60.0]) + turns).T
        lon, lat, height = geodesy.displace(
            np.full(n + 1, 9.0), np.full(n + 1, 48.0), np.full(n + 1, 100.0), errors
        )
        poses = Poses(
            np.arange(n + 1, dtype=np.int64), lon, lat, height,
            orientation.matrix_to_wxyz(orientation.rotation_rpy_to_ned(roll, pitch, yaw)),
            np.zeros((n + 1, 3)), np.zeros((n + 1, 3)), np.tile(std_m, (n + 1, 1)),
            np.tile(std_deg, (n + 1, 1)), np.ones(n + 1, dtype=bool),
        )  # fmt: skip
        found = frames.locate_frame_pixels(
            np.tile([[50.0, 100.0]], (n + 1, 1)), camera=camera, poses=poses, mount=mount,
            pose_of=np.arange(n + 1), terrain=FLAT, crs=CRS,
        )  # fmt: skip
        drawn = np.cov(np.stack([found.x[1:], found.y[1:]]))
        np.testing.assert_allclose(found.cov[0], drawn, atol=0.06 * np.trace(drawn))

    def test_size_of_a_pixel(self) -> None:
        """Straight down from 100 m with f = 500 px: 0.2 m a pixel, so 0.04/12 m² each way."""
        camera = FrameCamera(shape=(101, 201), lens=PLAIN)
        poses = orientation.poses_of(
            orientation.OrientationTable(
                ("one",), "rpy", np.array([[9.0, 0.0, 100.0]]), np.zeros((1, 3)), crs=geodesy.WGS84
            ),
            std_m=(0.0, 0.0, 0.0),
            std_deg=(0.0, 0.0, 0.0),
        )
        found = frames.locate_frame_pixels([[50.0, 100.0]], camera=camera, poses=poses, terrain=FLAT, crs=CRS)
        np.testing.assert_allclose(found.cov[0], np.eye(2) * 0.04 / 12 * 0.9996**2, rtol=1e-4, atol=1e-9)
        corners = frames.frame_footprints([[50.0, 100.0]], camera=camera, poses=poses, terrain=FLAT, crs=CRS)
        np.testing.assert_allclose(np.ptp(corners[0], axis=0), 0.2 * 0.9996, rtol=1e-4)


def test_pixels_beyond_the_fold_have_no_place() -> None:
    folding = Lens("perspective", (100.0, 100.0), (100.0, 50.0), (-1.0 / 3.0, 0.0, 0.0, 0.0, 0.0))
    table = orientation.OrientationTable(("one",), "rpy", np.array([[9.0, 48.0, 100.0]]), np.zeros((1, 3)))
    found = frames.locate_frame_pixels(
        [[50.0, 100.0], [50.0, 180.0]],
        camera=FrameCamera(lens=folding), poses=orientation.poses_of(table), terrain=FLAT, crs=CRS,
    )  # fmt: skip
    assert found.status.tolist() == [HIT, NOT_DOWN]
    with pytest.raises(CoverageError, match="lens"):
        frame_camera.pixel_directions(FrameCamera(), [[0.0, 0.0]])


class TestFiles:
    def _write(self, folder: Path, name: str, text: str) -> Path:
        path = folder / f"{name}.toml"
        path.write_text(f'schema = 1\nid = "{name}"\n{text}')
        return path

    def test_line_with_distortion(self, tmp_path: Path) -> None:
        """Sample 40 of 50 with center 24.5 is d = 15.5 px from it."""
        text = 'kind = "line_scan"\nsamples = 50\nfirst_sample = "port"\n[line_lens]\nfocal_px = 100.0\n'
        text += "center_px = 24.5\nk1 = 1e-9\nk2 = 1e-5\nk3 = 1e-4\n"
        spec = instrument.read(self._write(tmp_path, "line", text)).spec
        assert isinstance(spec, LineCamera)
        d = 15.5
        expected = (d - (1e-9 * d**5 + 1e-5 * d**3 + 1e-4 * d**2)) / 100.0
        assert spec.look_deg[40, 0] == pytest.approx(np.degrees(np.arctan(expected)))
        other = instrument.read(self._write(tmp_path, "other", text.replace('"port"', '"starboard"'))).spec
        assert isinstance(other, LineCamera)
        np.testing.assert_allclose(other.look_deg[:, 0], -spec.look_deg[:, 0])
        for bad in ("k2 = 1e-3\n", "k2 = nan\n"):
            with pytest.raises(ManifestError, match="line_lens"):
                instrument.read(self._write(tmp_path, "bad", text.replace("k2 = 1e-5\n", bad)))

    def test_frame_camera(self, tmp_path: Path) -> None:
        text = 'kind = "frame"\nshape = [960, 1280]\nrow_time_s = 1e-5\n[mount]\nrotation = "oblique"\n'
        text += "tilt_deg = 30.0\n[lens]\nfocal_px = [900.0, 901.0]\ncenter_px = [640.0, 480.0]\n"
        text += 'order = "micasense"\ndistortion = [0.1, 0.2, 0.3, 0.01, 0.02]\n'
        found = instrument.read(self._write(tmp_path, "frame", text))
        assert isinstance(found.spec, FrameCamera)
        assert found.spec.lens == Lens(
            "perspective", (900.0, 901.0), (640.0, 480.0), (0.1, 0.2, 0.01, 0.02, 0.3)
        )
        assert (found.spec.shape, found.spec.row_time_s, found.mount.tilt_deg) == ((960, 1280), 1e-5, 30.0)
        for old, new in (("focal_px", "focal"), ("0.02]", "0.02, 1.0]"), ("900.0", "-900.0")):
            with pytest.raises(ManifestError):
                instrument.read(self._write(tmp_path, "bad", text.replace(old, new)))

    def test_colmap_and_opensfm_agree(self, tmp_path: Path) -> None:
        """One picture, 10 m east and 100 m up, looking down with its top to the north."""
        (tmp_path / "cameras.txt").write_text("# c\n1 OPENCV 200 100 150 150 100 50 0.1 0.2 0.01 0.02\n")
        (tmp_path / "images.txt").write_text("# i\n1 0 1 0 0 -10 0 100 1 a picture.jpg\n\n")
        one = colmap.read(tmp_path, origin=(9.0, 0.0, 0.0))
        (tmp_path / "reconstruction.json").write_text(
            '[{"cameras": {"c": {"projection_type": "brown", "width": 200, "height": 100, "focal_x": 0.75,'
            '"focal_y": 0.75, "c_x": 0, "c_y": 0, "k1": 0.1, "k2": 0.2, "p1": 0.01, "p2": 0.02, "k3": 0}},'
            '"shots": {"a picture.jpg": {"rotation": [3.141592653589793, 0, 0], "translation": [-10, 0, 100],'
            '"camera": "c"}}, "reference_lla": {"longitude": 9.0, "latitude": 0.0, "altitude": 0.0}}]'
        )
        other = opensfm.read(tmp_path / "reconstruction.json")
        assert one.names == other.names == ("a picture.jpg",)
        assert one.cameras["1"] == other.cameras["c"]
        for table in (one, other):
            poses = orientation.poses_of(table)
            x, y = geodesy.to_grid(poses.lon, poses.lat, CRS)
            assert (x[0], y[0]) == (pytest.approx(500_000.0 + 9.996, abs=1e-3), pytest.approx(0.0, abs=1e-6))
            assert poses.height_m[0] == pytest.approx(100.0, abs=1e-4)
            np.testing.assert_allclose(poses.rotation[0], np.eye(3), atol=1e-5)

    def test_broken_files(self, tmp_path: Path) -> None:
        (tmp_path / "reconstruction.json").write_text("[{}]")
        with pytest.raises(ReadError):
            opensfm.read(tmp_path / "reconstruction.json")
        with pytest.raises(ReadError, match="cannot be read"):
            colmap.read(tmp_path, origin=(0.0, 0.0, 0.0))
        (tmp_path / "cameras.txt").write_text("1 FOV 200 100 150 150 100 50 0.1\n")
        with pytest.raises(ReadError, match="FOV"):
            colmap.read(tmp_path, origin=(0.0, 0.0, 0.0))
