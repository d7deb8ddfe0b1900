"""First hit of rays with the ground: planes, walls, holes, brute force, and replayed rays of CS Rugged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Proj, Transformer
from scipy.ndimage import gaussian_filter

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import terrain as room
from dronesense.geotag.descent import descend
from dronesense.geotag.terrain import Surface, intersect
from dronesense.model import Terrain

GRAZING, HIT, NOT_DOWN, NO_DATA, OUTSIDE = room.GRAZING, room.HIT, room.NOT_DOWN, room.NO_DATA, room.OUTSIDE


def plane_frames(origins: np.ndarray) -> geodesy.TangentFrames:
    """A flat earth whose grid is x = east, y = north, so that results can be worked out by hand."""
    k = len(origins)
    to_grid = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    return geodesy.TangentFrames(
        np.asarray(origins, dtype=float), np.tile(to_grid, (k, 1, 1)), np.zeros((k, 3, 6))
    )


def grid(height: np.ndarray, *, cell: float = 1.0, left: float = 0.0, top: float = 0.0) -> Terrain:
    return Terrain(height, (cell, 0.0, left, 0.0, -cell, top), "EPSG:32632", 0.1, "made up")


def shoot(
    terrain: Terrain, origin: tuple[float, float, float], *toward: tuple[float, float, float]
) -> room.Hits:
    """Rays from one x, y, height along directions north, east, down."""
    direction = np.array(toward, dtype=float)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    frames = plane_frames(np.array([origin]))
    return intersect(Surface(terrain), frames, np.zeros(len(direction), dtype=np.int64), direction)


def test_straight_down_and_oblique_onto_level_ground() -> None:
    for terrain in (grid(np.full((50, 50), 10.0), top=50.0), Terrain.flat(10.0, sigma_m=0.1, source="flat")):
        hits = shoot(terrain, (25.0, 20.0, 30.0), (0, 0, 1), (0.5, 0, 1), (0, -0.5, 1))
        np.testing.assert_allclose(hits.x, [25, 25, 15], atol=1e-9)
        np.testing.assert_allclose(hits.y, [20, 30, 20], atol=1e-9)
        np.testing.assert_allclose(hits.height_m, 10.0, atol=1e-9)
        np.testing.assert_allclose(hits.distance_m, [20, 500**0.5, 500**0.5], atol=1e-9)
        np.testing.assert_allclose(hits.normal, [[0, 0, -1]] * 3, atol=1e-12)
        assert (hits.status == HIT).all()


def test_pixel_centers_carry_the_heights() -> None:
    # h = 2 x + 3 (30 - y) at pixel centers; anything but the half-pixel convention is off by 1 or 1.5 m.
    x, y = np.arange(40) + 0.5, 30.0 - (np.arange(30) + 0.5)
    terrain = grid(2.0 * x[None, :] + 3.0 * (30.0 - y[:, None]), top=30.0)
    hits = shoot(terrain, (11.3, 17.9, 500.0), (0, 0, 1))
    assert hits.height_m[0] == pytest.approx(2 * 11.3 + 3 * 12.1, abs=1e-9)
    expected = np.array([3.0, -2.0, -1.0]) / 14**0.5  # gradient: +2 to the east, -3 to the north
    np.testing.assert_allclose(hits.normal[0], expected, atol=1e-9)


@given(
    slopes=st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
    toward=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8)),
)
def test_slope_by_the_equation_of_its_plane(slopes: tuple[float, float], toward: tuple[float, float]) -> None:
    east, north = slopes
    x, y = np.arange(200) + 0.5 - 100.0, 100.0 - (np.arange(200) + 0.5)
    terrain = grid(east * x[None, :] + north * y[:, None], left=-100.0, top=100.0)
    start = np.array([0.3, -0.2, 40.0])
    hits = shoot(terrain, tuple(start), (*toward, 1.0))
    # start + t (toward_e, toward_n, -1) meets h = east x + north y
    t = (start[2] - east * start[0] - north * start[1]) / (1.0 + east * toward[1] + north * toward[0])
    place = start + t * np.array([toward[1], toward[0], -1.0])
    if np.abs(place[:2]).max() < 99.4:
        assert hits.status[0] in (HIT, GRAZING)
    if hits.status[0] == HIT:
        np.testing.assert_allclose([hits.x[0], hits.y[0], hits.height_m[0]], place, atol=1e-7)


def test_first_crossing_not_any() -> None:
    height = np.zeros((40, 400))
    height[:, 100] = 20.0  # a wall one pixel wide whose crest stands at x = 100.5
    terrain = grid(height, top=40.0)
    over, through = (0, 100.0 / 30.0, 1.0), (0, 100.0 / 15.0, 1.0)
    hits = shoot(terrain, (20.5, 20.0, 40.0), over, through)
    # Seen from x = 20.5, h = 40: 24 m lower at the crest for the first ray, 12 m for the second.
    assert hits.status.tolist() == [HIT, HIT]
    assert 99.5 < hits.x[0] < 100.5  # 16 m at the crest: into the rising face of the wall
    t = (hits.x[0] - 99.5) * 20.0
    assert hits.height_m[0] == pytest.approx(t, abs=1e-9)
    assert hits.x[1] > 150.0  # 28 m at the crest: clears it


def test_statuses_where_there_is_no_hit() -> None:
    height = np.zeros((40, 40))
    height[10:20, 20:30] = np.nan
    terrain = grid(height, top=40.0)
    # Pixel rows 10..19 are y 30..20, columns 20..29 x 20..30: heights are unknown from 29.5 + 1 pixel on.
    down = (0.0, 0.0, 1.0)
    assert shoot(terrain, (25.0, 25.0, 10.0), down).status.tolist() == [NO_DATA]
    assert shoot(terrain, (5.0, 5.0, 10.0), down).status.tolist() == [HIT]
    assert shoot(terrain, (50.0, 5.0, 10.0), down).status.tolist() == [OUTSIDE]
    assert shoot(terrain, (39.9, 5.0, 10.0), down).status.tolist() == [OUTSIDE]  # beyond the last center
    assert shoot(terrain, (5.0, 5.0, 10.0), (0, 100.0, 1.0)).status.tolist() == [OUTSIDE]
    assert shoot(terrain, (5.0, 5.0, 10.0), (0, 0.1, -1.0), (0, 1, 0)).status.tolist() == [NOT_DOWN] * 2
    assert shoot(terrain, (5.0, 5.0, -1.0), down).status.tolist() == [OUTSIDE]  # below the ground
    grazing = shoot(terrain, (5.0, 5.0, 0.2), (0.0, 1.0, 0.01))
    assert grazing.status.tolist() == [GRAZING]
    for miss in (grazing, shoot(terrain, (50.0, 5.0, 10.0), down)):
        assert np.isnan([miss.x, miss.y, miss.height_m, miss.distance_m]).all()
        assert np.isnan(miss.normal).all()


def test_ray_from_outside_of_the_grid() -> None:
    height = np.zeros((40, 40))
    terrain = grid(height, top=40.0)
    hits = shoot(terrain, (-10.0, 20.0, 20.0), (0, 1, 1), (0, 0.2, 1), (0, -1, 1))
    assert hits.status.tolist() == [HIT, OUTSIDE, OUTSIDE]
    assert hits.x[0] == pytest.approx(10.0, abs=1e-9)
    height[:, :5] = 30.0  # now the grid begins with a cliff that the first ray would come through from behind
    assert shoot(grid(height, top=40.0), (-10.0, 20.0, 20.0), (0, 1, 1)).status.tolist() == [OUTSIDE]


def test_ray_passes_over_a_hole() -> None:
    height = np.zeros((40, 60))
    height[:, 20:25] = np.nan
    hits = shoot(grid(height, top=40.0), (5.0, 20.0, 30.0), (0, 1, 1), (0, 0.5, 1), (0, 0.2, 1))
    assert hits.status.tolist() == [HIT, NO_DATA, HIT]
    assert hits.x[[0, 2]] == pytest.approx([35.0, 11.0], abs=1e-9)


def test_rays_over_the_horizon_of_a_flat_surface() -> None:
    frames = geodesy.tangent_frames([9.0], [48.0], [100.0], "EPSG:32632")
    dip = np.sqrt(2 * 100.0 / 6.38e6)  # 5.6 mrad: flatter than that a ray leaves the earth
    direction = np.array([[np.cos(a), 0.0, np.sin(a)] for a in (0.5 * dip, 0.9 * dip, np.radians(3.0))])
    hits = intersect(
        Surface(Terrain.flat(0.0, sigma_m=0.1, source="flat")), frames, np.zeros(3, dtype=np.int64), direction
    )
    assert hits.status.tolist() == [NOT_DOWN, NOT_DOWN, HIT]


def test_curvature_of_the_earth_lets_rays_fly_farther() -> None:
    frames = geodesy.tangent_frames([9.0], [0.0], [1000.0], "EPSG:32632")
    direction = np.array([[0.0, 1.0, 1.0]]) / 2**0.5
    hits = intersect(
        Surface(Terrain.flat(0.0, sigma_m=0.1, source="flat")), frames, np.zeros(1, dtype=np.int64), direction
    )
    drop = 1000.0**2 / (2 * geodesy.SEMI_MAJOR_M)
    assert hits.distance_m[0] / 2**0.5 == pytest.approx(1000.0 + drop, abs=1e-3)


def brute_force(
    surface: Surface, origin: np.ndarray, direction: np.ndarray, until: float, step: float
) -> float:
    """First distance at which fine steps find the ray below the ground; inf when none does."""
    s = np.arange(0.0, until, step)
    n, e, d = direction
    x, y, z = origin[0] + s * e, origin[1] + s * n, origin[2] - s * d
    below = np.flatnonzero(z < surface.height_at(x, y))
    return float(s[below[0]]) if below.size else np.inf


@settings(max_examples=25, deadline=None)
@example(seed=10494, kind="spikes")
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["spikes", "boxes", "rough"]))
def test_first_crossing_equals_brute_force(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    if kind == "spikes":
        height = np.where(rng.random((61, 47)) < 0.05, 15.0, 0.0)
    elif kind == "boxes":
        height = np.kron(rng.uniform(0, 15, (13, 11)), np.ones((5, 5)))
    else:
        height = rng.uniform(0, 8, (61, 47))
    turn = rng.uniform(0, 2 * np.pi)  # grids may be turned, and run from south to north
    a, b = 1.3 * np.cos(turn), 0.8 * np.sin(turn)
    d, e = 1.3 * np.sin(turn), -0.8 * np.cos(turn) * rng.choice([-1.0, 1.0])
    if abs(a * e - b * d) < 0.3:
        a, b, d, e = 1.3, 0.0, 0.0, -0.8
    rows, cols = height.shape
    c, f = -(a * cols + b * rows) / 2, -(d * cols + e * rows) / 2
    surface = Surface(Terrain(height, (a, b, c, d, e, f), "EPSG:32632", 0.1, "made up"))
    k = 12
    origins = np.column_stack([rng.uniform(-15, 15, (k, 2)), rng.uniform(16, 30, k)])
    direction = np.column_stack([rng.normal(size=(k, 2)), np.full(k, 0.7)])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    hits = intersect(surface, plane_frames(origins), np.arange(k), direction)
    for i in np.flatnonzero(hits.status == HIT):
        s = brute_force(surface, origins[i], direction[i], hits.distance_m[i] - 3e-3, 2e-3)
        assert s == np.inf, "the ground was crossed earlier"
        assert hits.height_m[i] == pytest.approx(
            surface.height_at(hits.x[i : i + 1], hits.y[i : i + 1])[0], abs=1e-5
        )
    over_the_grid = np.isfinite(surface.height_at(origins[:, 0], origins[:, 1]))
    for i in np.flatnonzero((hits.status == OUTSIDE) & over_the_grid):
        assert brute_force(surface, origins[i], direction[i], 100.0, 4e-3) == np.inf


def test_height_at_is_bilinear_and_knows_its_borders() -> None:
    surface = Surface(grid(np.array([[0.0, 1.0], [2.0, 5.0]]), top=2.0))
    x, y = np.array([0.5, 1.5, 1.0, 0.4, np.nan]), np.array([1.5, 0.5, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(surface.height_at(x, y), [0.0, 5.0, 2.0, np.nan, np.nan])


def test_terrain_without_a_surface_is_refused() -> None:
    with pytest.raises(CoverageError, match="no surface"):
        Surface(grid(np.zeros((1, 5))))
    with pytest.raises(CoverageError, match="no heights"):
        Surface(grid(np.full((5, 5), np.nan)))


def rugged_tiles(folder: Path) -> Iterator[tuple[Surface, list[dict[str, Any]]]]:
    """The part of every replayed tile that Rugged touched, with the rays that end on it."""
    for group in json.loads((folder / "rays_decoded.json").read_text())["sets"]:
        for name, tile in group["tiles"].items():
            cells = [cell[1:] for cell in group["cells"] if cell[0] == name]
            rows, cols = (np.array([cell[axis] for cell in cells]) for axis in (0, 1))
            height = np.full((np.ptp(rows) + 1, np.ptp(cols) + 1), np.nan)
            height[rows - rows.min(), cols - cols.min()] = [cell[2] for cell in cells]
            lon, lat = np.degrees([tile["lon_step_rad"], tile["lat_step_rad"]])
            west, south = np.degrees([tile["lon_min_rad"], tile["lat_min_rad"]])
            left, bottom = west + lon * (cols.min() - 0.5), south + lat * (rows.min() - 0.5)  # rows run north
            surface = Surface(Terrain(height, (lon, 0.0, left, 0.0, lat, bottom), "EPSG:4326", 0.0, name))
            place = ([ray[f"expect_{axis}_deg"] for ray in group["rays"]] for axis in ("lon", "lat"))
            own = np.flatnonzero(np.isfinite(surface.height_at(*map(np.array, place))))
            yield surface, [group["rays"][i] for i in own]


def test_rays_of_cs_rugged(shared_data: Path) -> None:
    to_geodetic = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
    errors: list[float] = []
    for surface, rays in rugged_tiles(shared_data / "georef" / "rugged_replay"):
        start, toward = (np.array([ray[key] for ray in rays]) for key in ("origin_ecef_m", "direction_ecef"))
        if not len(start):
            continue
        s = np.zeros((len(start), 1))

        def place(
            s: np.ndarray, start: np.ndarray = start, toward: np.ndarray = toward
        ) -> tuple[np.ndarray, ...]:
            return to_geodetic.transform(*(start + s * toward).T)

        # Come down the exact rays to 100 m above all cells that Rugged touched: no use is made of its answer.
        for _ in range(50):
            s[:, 0] += place(s)[2] - (surface.high + 100.0)
        for _ in range(3):  # from afar, then again from 50 m before the hit, where the frame is exact
            lon, lat, height = place(s)
            frames = geodesy.tangent_frames(lon, lat, height, "EPSG:4326")
            direction = np.einsum("kij,ki->kj", geodesy.ned_axes(lon, lat), toward)
            hits = intersect(surface, frames, np.arange(len(rays)), direction)
            assert (hits.status == HIT).all()
            s[:, 0] += hits.distance_m - 50.0
        keys = ("expect_lon_deg", "expect_lat_deg", "expect_ellipsoidal_h_m")
        expected = geodesy.to_ecef(*(np.array([ray[key] for ray in rays]) for key in keys))
        got = geodesy.to_ecef(hits.x, hits.y, hits.height_m)
        errors += np.linalg.norm(got - expected, axis=1).tolist()
    assert len(errors) == 123
    assert np.median(errors) <= 1e-5
    assert max(errors) <= 5e-3


def relief(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A surface of 300 x 260 pixels: rolling, rolling with a tower, or with a hole in it."""
    height = gaussian_filter(rng.normal(size=(300, 260)), 20.0, mode="wrap")
    height *= 4.0 / height.std()
    if kind == "tower":
        height[120:130, 100:115] += 25.0
    if kind == "hole":
        height[120:160, 100:130] = np.nan
    return np.asarray(height)


@pytest.mark.parametrize("order", ["lines", "shuffled"])
@pytest.mark.parametrize("kind", ["rolling", "tower", "hole"])
def test_the_quick_way_down_finds_what_the_exact_search_finds(
    kind: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    surface = Surface(grid(relief(kind, rng), top=300.0))
    lines, samples = 60, 50
    origins = np.column_stack(
        [np.linspace(60, 200, lines), np.linspace(90, 210, lines), np.full(lines, 60.0)]
    )
    frames = plane_frames(origins)
    frames.quadratic[:, 2, :2] = 0.5 / 6.4e6  # the curved earth
    direction = np.column_stack(
        [np.full(samples, 0.3), np.linspace(-0.9, 1.1, samples), np.ones(samples)]  # up to 48 degrees
    )
    direction[0] = 0.0, 0.0, -1.0
    direction = np.tile(direction / np.linalg.norm(direction, axis=1, keepdims=True), (lines, 1))
    frame = np.repeat(np.arange(lines), samples)
    if order == "shuffled":
        mixed = rng.permutation(len(frame))
        frame, direction = frame[mixed], direction[mixed]
    quick = intersect(surface, frames, frame, direction)
    taken: list[np.ndarray] = []

    def none(_: Surface, rays: Any) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        taken.append(descend(surface, rays)[0])
        return np.full(len(rays), np.nan), (np.zeros(len(rays)), np.zeros(len(rays)))

    monkeypatch.setattr(room, "descend", none)
    exact = intersect(surface, frames, frame, direction)
    np.testing.assert_array_equal(quick.status, exact.status)
    np.testing.assert_allclose(quick.distance_m, exact.distance_m, atol=1e-6)
    np.testing.assert_allclose(quick.normal, exact.normal, atol=1e-4)
    share = np.isfinite(np.concatenate(taken)).mean()
    assert share > 0.9 if kind == "rolling" else share < 0.7  # a test of something, and never at any price


@pytest.mark.parametrize(
    ("lon", "lat", "zone", "distance", "limit"),
    [
        (lon, lat, zone, distance, limit)
        for lon, lat, zone in ((121.0, 24.0, 32651), (5.9, 69.5, 32631), (5.9, -33.0, 32731))
        for distance, limit in ((100.0, 5e-5), (500.0, 2e-4), (2000.0, 4e-3))
    ],
)
def test_the_step_onto_the_grid_is_that_of_exact_geometry(
    lon: float, lat: float, zone: int, distance: float, limit: float
) -> None:
    """Convergence, scale, height and curvature: rays 30 degrees off the vertical, through ECEF by pyproj."""
    height, east_west = 2500.0, np.radians(np.arange(0.0, 360.0, 45.0))
    tilt = np.radians(30.0)
    direction = np.column_stack(
        [np.sin(tilt) * np.cos(east_west), np.sin(tilt) * np.sin(east_west), np.full(8, np.cos(tilt))]
    )
    crs = f"EPSG:{zone}"
    frames = geodesy.tangent_frames([lon], [lat], [height], crs)
    k = np.zeros(8, dtype=np.int64)
    ends = [
        frames.origin[0] + frames.linear[0] @ (distance * d) + second(frames, distance * d) for d in direction
    ]
    exact = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
    start = np.array(exact.transform(lon, lat, height, direction="INVERSE"))
    sin_lon, cos_lon = np.sin(np.radians(lon)), np.cos(np.radians(lon))
    sin_lat, cos_lat = np.sin(np.radians(lat)), np.cos(np.radians(lat))
    north = np.array([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat])
    east, down = (
        np.array([-sin_lon, cos_lon, 0.0]),
        -np.array([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]),
    )
    ecef = start + distance * direction @ np.array([north, east, down])
    there = exact.transform(*ecef.T)
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(there[0], there[1])
    np.testing.assert_allclose(np.array(ends)[:, :2], np.column_stack([x, y]), rtol=0.0, atol=limit)
    np.testing.assert_allclose(np.array(ends)[:, 2], there[2], rtol=0.0, atol=limit)
    # The convergence alone, with its sign: grid north lies off true north by it.
    hits = intersect(Surface(Terrain.flat(0.0, sigma_m=0.0, source="flat")), frames, k, direction)
    turn = np.arctan2(
        hits.x[0] - frames.origin[0, 0], hits.y[0] - frames.origin[0, 1]
    )  # of a ray to true north
    factors = Proj(crs).get_factors(lon, lat)
    assert np.degrees(turn) == pytest.approx(-factors.meridian_convergence, abs=0.02)


def second(frames: geodesy.TangentFrames, d: np.ndarray) -> np.ndarray:
    n, e, down = d
    products = np.array([n * n, e * e, down * down, n * e, n * down, e * down])
    return np.asarray(frames.quadratic[0] @ products)
