"""From a cube to the ground in a run: pictures of a frame camera, strips whose rays are followed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray

from dronesense import process
from dronesense.errors import CoverageError
from dronesense.geotag import ortho
from dronesense.model import (
    Bands,
    Clock,
    CubeInput,
    DetectRule,
    Flight,
    Frame,
    FrameCamera,
    Instrument,
    LineCamera,
    LineScan,
    MapGrid,
    Mount,
    Signature,
    SpectralCube,
    Terrain,
    Trajectory,
)
from dronesense.model.lens import Lens
from dronesense.pipeline import ground
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site

CRS = "EPSG:32643"
LON, LAT, GROUND_M, ABOVE_M = 75.4, 43.25, 700.0, 50.0
T0 = 1_780_000_000_000_000_000
FOCAL_PX, ROWS, COLS = 500.0, 60, 80
PLANTED = (40, 20)


@dataclass(frozen=True)
class Held:
    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        rows, bands, cols = self.values.shape
        return rows, bands, cols

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        part = self.values[start:stop]
        return part, np.ones((len(part), part.shape[2]), dtype=np.bool_)


def track(heading_deg: float = 0.0) -> Trajectory:
    n = 41
    half = np.radians(heading_deg) / 2.0
    return Trajectory(
        time=T0 + np.arange(n) * 100_000_000 - 2_000_000_000,
        lon=np.full(n, LON),
        lat=np.full(n, LAT),
        height_m=np.full(n, GROUND_M + ABOVE_M),
        height_source_m=np.full(n, GROUND_M + ABOVE_M),
        height_ref="ellipsoid",
        velocity_ned=np.zeros((n, 3)),
        attitude=np.tile([np.cos(half), 0.0, 0.0, np.sin(half)], (n, 1)),
        std_ned_m=np.full((n, 3), 0.02),
        std_rpy_deg=np.full((n, 3), 0.05),
        fix=np.full(n, 5, dtype=np.uint8),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("fitted", 0.01),
        reference_point="antenna",
        source="raw/a.BIN:POS",
    )


def scene() -> tuple[SpectralCube, Signature]:
    """A picture of clutter with one pixel of the target."""
    rng = np.random.default_rng(5)
    bands = 12
    mixing = rng.normal(0.0, 0.02, (5, bands))
    values = (
        0.3 + rng.normal(0.0, 1.0, (ROWS, COLS, 5)) @ mixing + rng.normal(0.0, 0.002, (ROWS, COLS, bands))
    )
    target = 0.3 + 0.2 * np.sin(np.arange(bands))
    values[PLANTED] = target
    center = np.linspace(450.0, 900.0, bands)
    cube = SpectralCube(
        name="picture",
        source=Held(np.ascontiguousarray(values.transpose(0, 2, 1), dtype=np.float32)),
        bands=Bands(center, np.full(bands, 20.0), np.ones(bands, dtype=np.bool_)),
        quantity="reflectance",
        geometry=Frame(T0),
        instrument="frame",
        path="raw/picture.tif",
    )
    signature = Signature(
        "t", np.arange(bands, dtype=float), target, np.full(bands, 0.005), "reflectance", by_band=True
    )
    return cube, signature


def camera(**mount: object) -> Instrument:
    lens = Lens("perspective", (FOCAL_PX, FOCAL_PX), ((COLS - 1) / 2, (ROWS - 1) / 2), (0.0,) * 5)
    return Instrument(
        "frame", "frame", FrameCamera(shape=(ROWS, COLS), lens=lens), Mount(**mount), "frame.toml"
    )


def flown(cube: SpectralCube, signature: Signature, *, heading_deg: float = 0.0, **mount: object) -> Flight:
    return Flight(
        "f",
        Path(),
        track(heading_deg),
        cubes=(CubeInput(cube, camera(**mount)),),
        terrain=Terrain.flat(GROUND_M, sigma_m=0.1, source="flat"),
        rules=(DetectRule("t", signature=signature, method="mf", threshold=0.8),),
        crs=CRS,
    )


def expected(heading_deg: float) -> NDArray[np.float64]:
    """The planted pixel by hand: forward is up in the picture, starboard is right; then turned by heading."""
    right = (PLANTED[1] - (COLS - 1) / 2) * ABOVE_M / FOCAL_PX
    forward = ((ROWS - 1) / 2 - PLANTED[0]) * ABOVE_M / FOCAL_PX
    turn = np.radians(heading_deg)
    north = forward * np.cos(turn) - right * np.sin(turn)
    east = forward * np.sin(turn) + right * np.cos(turn)
    lon, lat, _ = pyproj.Geod(ellps="WGS84").fwd(
        LON, LAT, np.degrees(np.arctan2(east, north)), np.hypot(east, north)
    )
    return np.array([lon, lat])


@pytest.mark.parametrize("heading", [0.0, 90.0, 217.0])
def test_a_target_in_a_picture_gets_its_place(heading: float) -> None:
    layer = process(flown(*scene(), heading_deg=heading, sigma_boresight_deg=0.1))
    assert layer.rejected == ()
    (found,) = [each for each in layer if each.kind == "spectral"]
    lon, lat = expected(heading)
    away = pyproj.Geod(ellps="WGS84").inv(found.lon, found.lat, lon, lat)[2]
    pixel = ABOVE_M / FOCAL_PX
    assert away < 0.6 * pixel  # weighted by its neighbors
    assert 0.5 * pixel < found.ce90_m < 1.0
    (raster,) = layer.rasters
    assert raster.crs == CRS
    x, y = pyproj.Transformer.from_crs(4326, CRS, always_xy=True).transform(lon, lat)
    a, b, c, d, e, f = raster.transform
    assert (b, d) == (0.0, 0.0)
    best = np.unravel_index(np.nanargmax(raster.values), raster.values.shape)
    assert a * (best[1] + 0.5) + c == pytest.approx(x, abs=1.1 * pixel)
    assert e * (best[0] + 0.5) + f == pytest.approx(y, abs=1.1 * pixel)
    seen = np.isfinite(raster.values).sum() * abs(a * e)
    assert seen == pytest.approx(ROWS * COLS * pixel**2, rel=0.05)


def test_a_picture_without_a_lens_or_beside_the_track_is_refused() -> None:
    cube, signature = scene()
    flight = flown(cube, signature)
    late = Flight("f", Path(), flight.trajectory, cubes=flight.cubes, terrain=flight.terrain, crs=CRS)
    object.__setattr__(cube, "geometry", Frame(T0 + 10**12))
    with pytest.raises(CoverageError, match="outside the track"):
        ground.check(late.cubes[0], late)
    cube, signature = scene()
    bare = CubeInput(cube, Instrument("frame", "frame", FrameCamera(), Mount(), "frame.toml"))
    blind = Flight("f", Path(), flight.trajectory, cubes=(bare,), terrain=flight.terrain,
                   rules=flight.rules, crs=CRS)  # fmt: skip
    with pytest.raises(CoverageError, match="lens"):
        process(blind)


def test_rays_of_a_strip_are_followed_once_for_all_its_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    cube, signature = scene()
    object.__setattr__(cube, "geometry", LineScan(T0 + np.arange(ROWS) * 10_000_000))
    calls = []
    lookup = ortho.lookup
    monkeypatch.setattr(ortho, "lookup", lambda *args, **more: calls.append(1) or lookup(*args, **more))
    flight = flown(cube, signature)
    look = np.column_stack([np.linspace(-5.0, 5.0, COLS), np.zeros(COLS)])
    line = Instrument("line", "line_scan", LineCamera(COLS, look), Mount(), "line.toml")
    moving = track()
    object.__setattr__(moving, "lat", LAT + np.linspace(0.0, 4e-5, len(moving)))
    site = Site(Flight("f", Path(), moving, terrain=flight.terrain, crs=CRS), Account(flight))
    place = ground.of(CubeInput(cube, line), cube, site, budget_bytes=1 << 20)
    ones = np.ones((ROWS, COLS), dtype=np.float32)
    first = place.raster(ones, name="a", unit="1", description="")
    again = place.raster(2.0 * ones, name="b", unit="1", description="")
    np.testing.assert_array_equal(2.0 * first.values, again.values)
    assert calls == [1]
    middle = np.array([[30.0, 40.0]])
    corners = shapely.Polygon(place.corners(middle)[0])
    points = place.points(middle)
    assert corners.contains(shapely.Point(points.x[0], points.y[0]))


def test_a_map_grid_is_its_own_ground() -> None:
    cube, signature = scene()
    grid = MapGrid((0.5, 0.0, 600_000.0, 0.0, -0.5, 4_790_000.0), CRS)
    object.__setattr__(cube, "geometry", grid)
    flight = flown(cube, signature)
    ground.check(flight.cubes[0], flight)
    place = ground.of(flight.cubes[0], cube, Site(flight, Account(flight)), budget_bytes=1 << 20)
    values = np.zeros((ROWS, COLS), dtype=np.float32)
    raster = place.raster(values, name="a", unit="1", description="")
    assert raster.transform == grid.transform
    points = place.points(np.array([[0.0, 0.0]]))
    assert (points.x[0], points.y[0]) == (600_000.25, 4_789_999.75)
