"""Ground rasters: every cell by brute force, whatever the blocks, and nothing where nothing was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import glt, ortho
from dronesense.geotag.locate import footprints, locate_pixels
from dronesense.model import Clock, GroundRaster, Instrument, LineCamera, Mount, Terrain, Trajectory

CRS = "EPSG:32632"
S = 1_000_000_000


def strip(
    rows: int, cols: int, *, heading_deg: float = 0.0, roll_deg: float = 0.0, terrain: Terrain | None = None
) -> dict[str, Any]:
    """A strip flown at 10 m/s, 100 m over the ground, 20 lines a second, 0.4 m pixels across."""
    n = rows // 10 + 3
    time = (np.arange(n) - 1) * S // 2
    heading = np.radians(heading_deg)
    along = time[:, None] / S * 10.0 * [np.cos(heading), np.sin(heading), 0.0]
    lon, lat, height = geodesy.displace(np.full(n, 9.3), np.full(n, 47.0), np.full(n, 100.0), along)
    rolls = roll_deg * np.sin(np.arange(n))
    euler = np.column_stack([np.full(n, heading_deg), np.zeros(n), rolls])
    trajectory = Trajectory(
        time=time,
        lon=lon,
        lat=lat,
        height_m=height,
        height_source_m=height,
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=Rotation.from_euler("ZYX", euler, degrees=True).as_quat()[:, [3, 0, 1, 2]],
        std_ned_m=np.zeros((n, 3)),
        std_rpy_deg=np.zeros((n, 3)),
        fix=np.full(n, 5, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="log.bin",
    )
    tangent = (np.arange(cols) - (cols - 1) / 2) * 0.004
    look = np.column_stack([np.degrees(np.arctan(tangent)), np.zeros(cols)])
    return {
        "line_time": np.arange(rows) * 50_000_000,
        "trajectory": trajectory,
        "instrument": Instrument("scanner", "line_scan", LineCamera(cols, look), Mount(), ""),
        "terrain": terrain or Terrain.flat(0.0, sigma_m=0.0, source="flat"),
        "crs": CRS,
    }


def project(score: np.ndarray, ray: dict[str, Any], **settings: Any) -> GroundRaster:
    return ortho.project(score.astype(np.float32), name="s", unit="1", description="d", **ray, **settings)


def centers(raster: GroundRaster) -> tuple[np.ndarray, np.ndarray]:
    a, _, c, _, e, f = raster.transform
    rows, cols = raster.values.shape
    return np.meshgrid(c + a * (np.arange(cols) + 0.5), f + e * (np.arange(rows) + 0.5))


@pytest.mark.parametrize(
    ("heading", "roll", "bar"), [(0.0, 0.0, 0.05), (37.0, 3.0, 0.25), (200.0, -4.0, 0.25)]
)
def test_every_cell_shows_a_pixel_that_covers_it(heading: float, roll: float, bar: float) -> None:
    # Where the rate of roll jumps, as it does between these navigation samples, pixels are sheared unevenly:
    # half a pixel is allowed then.
    rows, cols = 60, 40
    ray = strip(rows, cols, heading_deg=heading, roll_deg=roll)
    score = np.arange(rows * cols).reshape(rows, cols)
    raster = project(score, ray, gsd_m=0.35)
    pixels = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), axis=-1).reshape(-1, 2)
    outlines = shapely.polygons(footprints(pixels, **ray))
    x, y = centers(raster)
    shown = np.isfinite(raster.values)
    cells = shapely.points(x[shown], y[shown])
    assert shapely.distance(outlines[raster.values[shown].astype(int)], cells).max() < bar
    # Every cell whose center lies in the strip is shown: there are no holes, and nothing beyond its edges.
    whole = shapely.union_all(outlines.tolist())
    assert shapely.contains_xy(whole.buffer(-bar), x, y)[~shown].sum() == 0
    assert shapely.contains_xy(whole.buffer(bar), x, y)[shown].all()


def test_of_overlapping_pixels_the_nearest_is_shown() -> None:
    rows, cols = 60, 40
    ray = strip(rows, cols, heading_deg=25.0)
    raster = project(np.arange(rows * cols).reshape(rows, cols), ray, gsd_m=0.15)
    pixels = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), axis=-1).reshape(-1, 2)
    points = locate_pixels(pixels, **ray)
    x, y = centers(raster)
    shown = np.isfinite(raster.values)
    _, nearest = KDTree(np.column_stack([points.x, points.y])).query(np.column_stack([x[shown], y[shown]]))
    assert np.mean(nearest == raster.values[shown]) > 0.999  # but for ties


def test_blocks_do_not_show() -> None:
    ray = strip(90, 30, heading_deg=30.0, roll_deg=2.0)
    score = np.random.default_rng(1).normal(size=(90, 30))
    whole = project(score, ray, gsd_m=0.4)
    pieces = project(score, ray, gsd_m=0.4, budget_bytes=1200 * 30 * 9)
    assert whole.transform == pieces.transform
    np.testing.assert_array_equal(whole.values, pieces.values)


def test_borders_lie_at_multiples_of_the_cell() -> None:
    raster = project(np.ones((40, 30)), strip(40, 30))
    gsd, _, left, _, down, top = raster.transform
    assert gsd == 0.45  # pixels of 0.4 m x 0.5 m
    assert down == -gsd
    assert left / gsd == pytest.approx(round(left / gsd), abs=1e-6)
    assert top / gsd == pytest.approx(round(top / gsd), abs=1e-6)


def test_pixels_without_a_score_leave_their_cells_empty() -> None:
    ray = strip(40, 30)
    score = np.ones((40, 30))
    full = np.count_nonzero(np.isfinite(project(score, ray, gsd_m=0.2).values))
    score[10:20, 5:15] = np.nan
    holed = np.count_nonzero(np.isfinite(project(score, ray, gsd_m=0.2).values))
    assert (full - holed) * 0.04 == pytest.approx(100 * 0.4 * 0.5, rel=0.1)


def test_missing_lines_leave_a_gap() -> None:
    ray = strip(80, 30)
    keep = np.r_[0:30, 50:80]
    ray["line_time"] = ray["line_time"][keep]
    raster = project(np.ones((60, 30)), ray, gsd_m=0.5)
    shown = np.isfinite(raster.values).any(axis=1)
    assert np.count_nonzero(~shown) == pytest.approx(20, abs=1)  # 20 lines of 0.5 m


def test_ground_behind_a_wall_stays_empty() -> None:
    ray = strip(40, 60)
    x, y = (float(v) for v in geodesy.to_grid(9.3, 47.0, CRS))
    height = np.zeros((300, 300))
    height[:, 160:] = (
        50.0  # a cliff 10 m to starboard: the camera sees its top, from 10 m on, but the wall is steep
    )
    height[:, :140] = 0.0
    terrain = Terrain(height, (1.0, 0.0, x - 150.0, 0.0, -1.0, y + 150.0), CRS, 0.1, "cliff")
    raster = project(np.ones((40, 60)), ray | {"terrain": terrain}, gsd_m=0.3)
    east, _ = centers(raster)
    shown = np.isfinite(raster.values).any(axis=0)
    reach = east[0][shown] - x
    assert reach.min() == pytest.approx(-12.0, abs=0.5)
    assert reach.max() < 11.0  # the ray of 12 m at the ground meets the wall instead


def test_nothing_seen_is_said() -> None:
    ray = strip(40, 30)
    late = ray | {"line_time": ray["line_time"] + 1000 * S}
    with pytest.raises(CoverageError, match="no footprint"):
        project(np.ones((40, 30)), late)
    with pytest.raises(CoverageError, match="no pixel of s"):
        project(np.full((40, 30), np.nan), ray)


def test_raster_without_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glt, "MAX_CELLS", 1000)
    with pytest.raises(CoverageError, match=r"cells of 0\.1 m"):
        project(np.ones((40, 30)), strip(40, 30), gsd_m=0.1)
