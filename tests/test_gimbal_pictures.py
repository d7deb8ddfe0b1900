"""Pictures from a gimbal: the track tells where, the picture how it was turned, and CE90 how sure that is."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.errors import ManifestError
from dronesense.geotag import orientation, uncertainty
from dronesense.geotag.frames import GIMBAL_SIGMA_DEG, locate_frame_pixels, picture
from dronesense.model import FrameCamera, Instrument, Mount, Terrain, Trajectory
from dronesense.model.lens import Lens
from dronesense.model.orientation import OrientationTable


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made, oracles = _load("made_flights"), _load("test_georef_oracles")
odm = oracles.odm

SHAPE = (300, 400)
CAMERA = FrameCamera(shape=SHAPE, lens=Lens("perspective", (400.0, 400.0), (199.5, 149.5), ()))
GROUND = Terrain.flat(10.0, sigma_m=0.1, source="made up")
GRID = np.stack(np.meshgrid(np.linspace(0, 299, 7), np.linspace(0, 399, 9), indexing="ij"), -1).reshape(-1, 2)
ANGLES = (30.0, -70.0, 0.0)


def rig(rotation: str = "gimbal") -> Instrument:
    return Instrument("camera", "frame", CAMERA, Mount(rotation=rotation), "camera.toml")


def without_attitude(track: Trajectory) -> Trajectory:
    return dataclasses.replace(track, attitude=np.full((len(track), 4), np.nan))


def taken(track: Trajectory, **changes: Any) -> dict[str, Any]:
    given = {"time": int(track.time[50]), "instrument": rig(), "terrain": GROUND, "crs": made.CRS}
    return picture(GRID, trajectory=track, **{**given, "gimbal_deg": ANGLES, **changes})


def test_the_angles_of_the_gimbal_count_and_those_of_the_body_do_not() -> None:
    track = made.trajectory()
    found = locate_frame_pixels(GRID, **taken(track))
    bare = locate_frame_pixels(GRID, **taken(without_attitude(track)))
    place = np.array([[track.lon[50], track.lat[50], track.height_m[50]]])
    table = OrientationTable(("a",), "gimbal", place, np.array([ANGLES]))
    alone = locate_frame_pixels(
        GRID, camera=CAMERA, poses=orientation.poses_of(table), terrain=GROUND, crs=made.CRS
    )
    assert (found.status == 0).all()
    for other in (bare, alone):
        np.testing.assert_allclose(other.x, found.x, atol=1e-6)
        np.testing.assert_allclose(other.y, found.y, atol=1e-6)
    np.testing.assert_allclose(bare.cov, found.cov)


def test_the_middle_lies_where_the_angles_say() -> None:
    track = made.trajectory()
    middle = np.array([[149.5, 199.5]])
    found = locate_frame_pixels(middle, **{**taken(track), "pose_of": None})
    x, y = oracles.geodesy.to_grid(track.lon[50], track.lat[50], made.CRS)
    away = (track.height_m[50] - 10.0) / np.tan(np.radians(70.0))  # 20 degrees from straight down, toward 30
    north, east = away * np.cos(np.radians(30.0)), away * np.sin(np.radians(30.0))
    np.testing.assert_allclose([found.x[0] - x, found.y[0] - y], [east, north], rtol=2e-3)


def test_the_error_is_that_of_the_gimbal() -> None:
    found = locate_frame_pixels(np.array([[149.5, 199.5]]), **{**taken(made.trajectory()), "pose_of": None})
    slant = 70.0 / np.sin(np.radians(70.0))
    tilt = np.radians(GIMBAL_SIGMA_DEG)
    across = tilt * np.hypot(slant, 70.0 / np.tan(np.radians(70.0)))  # roll, and yaw of what lies 25 m away
    major, minor = np.sqrt(np.linalg.eigvalsh(found.cov[0])[::-1])
    assert minor == pytest.approx(across, rel=0.03)  # the position (2 cm) and the ground (0.1 m) add little
    assert major == pytest.approx(tilt * slant / np.sin(np.radians(70.0)), rel=0.05)


def test_a_gimbal_without_angles_is_refused() -> None:
    with pytest.raises(ManifestError, match="nothing tells its angles"):
        taken(made.trajectory(), gimbal_deg=None)


def test_a_fixed_mount_does_not_take_the_angles() -> None:
    track = made.trajectory()
    one = locate_frame_pixels(GRID, **taken(track, instrument=rig("nadir")))
    other = locate_frame_pixels(GRID, **taken(track, instrument=rig("nadir"), gimbal_deg=None))
    np.testing.assert_array_equal(one.x, other.x)


def test_stated_errors_are_plausible_beside_an_adjustment(
    shared_data: Path, odm: tuple[FrameCamera, OrientationTable, Terrain]
) -> None:
    """Four oblique pictures of a P4 RTK: the ground by their own tags, and by their adjustment."""
    camera, table, terrain = odm
    with (shared_data / "georef" / "orthority" / "io" / "odm_lla_rpy.csv").open() as lines:
        rows = {row["filename"]: row for row in csv.DictReader(lines, delimiter=" ")}
    rows_px, cols_px = camera.shape
    grid = np.stack(
        np.meshgrid(np.linspace(50, rows_px - 50, 12), np.linspace(50, cols_px - 50, 16), indexing="ij"), -1
    ).reshape(-1, 2)
    adjusted = orientation.poses_of(table)
    ratios, distances = [], []
    for number, name in enumerate(table.names):
        row = rows[f"{name}.tif"]
        place = np.array([[float(row[key]) for key in ("longitude", "latitude", "altitude")]])
        turn = np.array([[float(row["yaw"]), float(row["pitch"]) - 90.0, float(row["roll"])]])
        tags = OrientationTable((name,), "gimbal", place, turn)
        own = orientation.poses_of(tags, std_m=(0.03, 0.03, 0.05), std_deg=(GIMBAL_SIGMA_DEG,) * 3)
        common: dict[str, Any] = {"camera": camera, "terrain": terrain, "crs": oracles.UTM}
        truth = locate_frame_pixels(grid, poses=adjusted.take(np.array([number])), plane=True, **common)
        found = locate_frame_pixels(grid, poses=own, **common)
        both = (truth.status == 0) & (found.status == 0)
        assert both.sum() > 100
        away = np.hypot(found.x - truth.x, found.y - truth.y)[both]
        distances.append(np.median(away))
        ratios.append(away / uncertainty.ce90(found.cov[both]))
    assert 0.8 < min(distances) < max(distances) < 3.5  # m; the reference measured medians of 1.3 to 3.0
    inside = np.concatenate(ratios) <= 1.0
    assert inside.mean() > 0.8  # four pictures: they cannot show 90 %
    assert np.median(np.concatenate(ratios)) > 0.2  # and CE90 is not far too large


def test_a_run_takes_the_angles_from_the_picture(tmp_path: Path) -> None:
    from dronesense.pipeline import ground
    from dronesense.readers import multispectral

    write = _load("band_tiff_writer")
    scene = np.random.default_rng(0).integers(1000, 3000, (60, 80)).astype(np.uint16)
    for key, band in (("G", "Green"), ("R", "Red"), ("RE", "RedEdge"), ("NIR", "NIR")):
        write.dji(tmp_path, scene, f"A_MS_{key}.TIF", band)
    cube, _ = multispectral.read(tmp_path / "A_MS_G.TIF", label="A_MS_G.TIF", name="A")
    assert ground._gimbal_deg(cube) == (10.5, -90.0, 0.0)  # as the writer of the files has it
