"""Pictures placed by an adjustment: in a run without a track, by hand-made poses, by OpenDroneMap."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dronesense as ds
from dronesense import geodesy
from dronesense.errors import ManifestError, ReadError
from dronesense.geotag import orientation
from dronesense.manifest import orientations
from dronesense.manifest.schema import PosesTable
from dronesense.pipeline import ground
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


writer = _load("band_tiff_writer")

LON, LAT, GROUND_M, ABOVE_M = 9.3, 47.0, 400.0, 50.0
UTM = "EPSG:32632"
ROWS, COLS = 90, 120
PLANTED = (60, 30)
"""Row and column of a spot that is bright in near infrared alone."""
FOCAL = 1.5
"""Of the longer side."""
CAMERA = {"projection_type": "brown", "width": COLS, "height": ROWS, "focal_x": FOCAL, "focal_y": FOCAL,
          "c_x": 0.0, "c_y": 0.0, "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0, "k3": 0.0}  # fmt: skip
MANIFEST = """schema = 1
[terrain]
height_m = {ground}
[[cube]]
path = "raw/*_1.tif"
poses = {{ path = "{path}", sigma_m = 0.03, sigma_deg = 0.05{more} }}
[[detect]]
target = "odd"
method = "rx"
false_alarm_rate = 1e-6
"""


def shot(heading_deg: float, east: float = 0.0, north: float = 0.0) -> dict[str, Any]:
    """Straight down from 50 m over the ground, the top of the picture toward *heading_deg*; by hand."""
    h = np.radians(heading_deg)
    right, down = np.array([np.cos(h), -np.sin(h), 0.0]), np.array([-np.sin(h), -np.cos(h), 0.0])
    to_camera = np.stack([right, down, [0.0, 0.0, -1.0]])
    angle = np.arccos((np.trace(to_camera) - 1.0) / 2.0)
    values, vectors = np.linalg.eig(to_camera)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1.0))])
    cross = np.array([to_camera[2, 1] - to_camera[1, 2], to_camera[0, 2] - to_camera[2, 0],
                      to_camera[1, 0] - to_camera[0, 1]])  # fmt: skip
    if axis @ cross < 0.0:
        axis = -axis
    place = np.array([east, north, ABOVE_M])
    return {"rotation": (angle * axis).tolist(), "translation": (-to_camera @ place).tolist(), "camera": "c"}


def flight(
    folder: Path, shots: dict[str, Any], *, path: str = "sfm/reconstruction.json", more: str = ""
) -> Path:
    (folder / "raw").mkdir(parents=True)
    (folder / "sfm").mkdir()
    rng = np.random.default_rng(3)
    base = rng.normal(20_000.0, 1500.0, (ROWS, COLS))
    for number in range(1, 6):
        picture = base + rng.normal(0.0, 150.0, (ROWS, COLS))
        if number == 4:
            picture[PLANTED] += 15_000.0
        writer.rededge(folder / "raw", picture.astype(np.uint16), number)
    made = [{"cameras": {"c": CAMERA}, "shots": shots,
             "reference_lla": {"longitude": LON, "latitude": LAT, "altitude": GROUND_M}}]  # fmt: skip
    (folder / "sfm" / "reconstruction.json").write_text(json.dumps(made), encoding="utf-8")
    text = MANIFEST.format(ground=GROUND_M, path=path, more=more)
    (folder / "flight.toml").write_text(text, encoding="utf-8")
    return folder


def expected(heading_deg: float, east: float = 0.0, north: float = 0.0) -> tuple[float, float]:
    """Longitude and latitude of the planted pixel, by hand."""
    metres = ABOVE_M / (FOCAL * COLS)
    right, forward = (PLANTED[1] - (COLS - 1) / 2) * metres, ((ROWS - 1) / 2 - PLANTED[0]) * metres
    h = np.radians(heading_deg)
    moved = [
        north + forward * np.cos(h) - right * np.sin(h),
        east + forward * np.sin(h) + right * np.cos(h),
        0.0,
    ]
    lon, lat, _ = geodesy.displace(np.array([LON]), np.array([LAT]), np.array([GROUND_M]), np.array([moved]))
    return float(lon[0]), float(lat[0])


@pytest.mark.parametrize(("heading", "east"), [(0.0, 0.0), (217.0, 12.0)])
def test_a_run_without_a_track_places_what_it_finds(tmp_path: Path, heading: float, east: float) -> None:
    folder = flight(tmp_path / "f", {"IMG_0000_1.tif": shot(heading, east), "other.tif": shot(0.0)})
    opened = ds.open_flight(folder)
    roles = {each.path: each.role for each in opened.inputs}
    assert roles["sfm/reconstruction.json"] == "picture orientations"
    layer = ds.process(opened)
    assert layer.rejected == ()
    found = min(layer, key=lambda each: each.q_value if each.q_value is not None else 1.0)
    away = float(geodesy.geodesic_distance(found.lon, found.lat, *expected(heading, east)))
    assert away < 0.6 * ABOVE_M / (FOCAL * COLS)
    assert 0.08 < found.ce90_m < 1.0


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    folder = flight(tmp_path / "f", {"IMG_0007_1.tif": shot(0.0)})
    with pytest.raises(ReadError, match=r"reconstruction\.json has no picture called img_0000_"):
        ds.open_flight(folder)
    folder = flight(tmp_path / "g", {"a/IMG_0000_1.tif": shot(0.0), "b/IMG_0000_1.tif": shot(0.0)})
    with pytest.raises(ReadError, match=r"several pictures called img_0000_1\.tif"):
        ds.open_flight(folder)


def test_a_pose_of_another_camera_needs_an_instrument(tmp_path: Path) -> None:
    shots = {"IMG_0000_1.tif": shot(0.0) | {"camera": "small"}}
    folder = flight(tmp_path / "f", shots)
    path = folder / "sfm" / "reconstruction.json"
    made = json.loads(path.read_text("utf-8"))
    made[0]["cameras"]["small"] = CAMERA | {"width": 12, "height": 9}
    path.write_text(json.dumps(made), encoding="utf-8")
    with pytest.raises(
        ReadError, match=r"a camera of 9 x 12 pixels for a picture of 90 x 120.*set instrument"
    ):
        ds.open_flight(folder)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"sigma_m": 0.0}, "sigma_m must be > 0"),
        ({"sigma_deg": float("nan")}, "sigma_deg must be > 0"),
        ({"origin": [1.0]}, "origin must be"),
    ],
)
def test_keys_out_of_range(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        PosesTable(**{"path": "a", "sigma_m": 0.1, "sigma_deg": 0.1, **keys})


def test_colmap_needs_to_be_told_where_its_zero_lies(tmp_path: Path) -> None:
    """And gives the same pose as OpenSfM's file, heights above EGM96 lifted onto the ellipsoid."""
    turn = shot(30.0)
    w, x, y, z = orientation.matrix_to_wxyz(orientation.vector_to_matrix([turn["rotation"]]))[0]
    words = [1, w, x, y, z, *turn["translation"], 1, "IMG_0000_1.tif"]
    (tmp_path / "images.txt").write_text(" ".join(map(str, words)) + "\n\n", encoding="utf-8")
    (tmp_path / "cameras.txt").write_text(f"1 PINHOLE {COLS} {ROWS} 180 180 60 45\n", encoding="utf-8")
    bare = PosesTable(path="images.txt", sigma_m=0.1, sigma_deg=0.1)
    with pytest.raises(ManifestError, match="where its zero lies"):
        orientations.read(tmp_path / "images.txt", bare)
    given = PosesTable(
        path="images.txt", sigma_m=0.1, sigma_deg=0.1, origin=[LON, LAT, GROUND_M], height_ref="egm96"
    )
    poses = orientation.poses_of(orientations.read(tmp_path / "images.txt", given))
    np.testing.assert_allclose([poses.lon[0], poses.lat[0]], [LON, LAT], atol=1e-9)
    from dronesense.geodesy.geoid import undulation

    assert poses.height_m[0] == pytest.approx(GROUND_M + ABOVE_M + float(undulation(LON, LAT)), abs=1e-6)
    assert orientations.read(tmp_path / "images.txt", given).cameras["1"].shape == (ROWS, COLS)


def test_poses_along_a_map_are_followed_in_its_plane(tmp_path: Path) -> None:
    folder = flight(tmp_path / "f", {"IMG_0000_1.tif": shot(0.0)}, more=f', crs = "{UTM}"')
    opened = ds.open_flight(folder)
    (given,) = opened.cubes
    place = ground.of(given, given.cube, Site(opened, Account(opened)), budget_bytes=1 << 24)
    points = place.points(np.array([[(ROWS - 1) / 2, (COLS - 1) / 2], PLANTED]))
    x, y = (float(each) for each in geodesy.to_grid(LON, LAT, UTM))
    metres = ABOVE_M / (FOCAL * COLS)
    np.testing.assert_allclose(points.x - x, [0.0, (PLANTED[1] - (COLS - 1) / 2) * metres], atol=1e-6)
    np.testing.assert_allclose(points.y - y, [0.0, ((ROWS - 1) / 2 - PLANTED[0]) * metres], atol=1e-6)


def test_the_poses_of_open_drone_map(shared_data: Path) -> None:
    """Read with the CRS alone they are those that the test of orthority's oracle was fed with."""
    folder = shared_data / "georef" / "orthority" / "odm"
    path = folder / "opensfm" / "reconstruction.json"
    made = json.loads(path.read_text())[0]
    zero = made["reference_lla"]
    crs = geodesy.utm_crs(zero["longitude"], zero["latitude"])
    table = orientations.read(path, PosesTable(path="r", sigma_m=0.1, sigma_deg=0.1, crs=crs))
    x, y = geodesy.to_grid(zero["longitude"], zero["latitude"], crs)
    np.testing.assert_allclose(table.origin, [float(x), float(y), zero["altitude"]], atol=1e-6)
    assert set(table.names) == set(made["shots"])
