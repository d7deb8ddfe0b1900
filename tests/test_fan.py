"""Interpolated places of pixels: never farther from those of all rays than asked for, whatever the ground."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense import geodesy
from dronesense.geotag import fan, igm
from dronesense.model import Instrument, LineCamera, Mount, Terrain

_SPEC = importlib.util.spec_from_file_location("made_flights", Path(__file__).with_name("made_flights.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)

CRS, LON, LAT = made.CRS, made.LON, made.LAT
LINES = 60
CELLS = 240


def ground(kind: str, *, seed: int = 0, crs: str = CRS, cell_m: float = 1.0) -> Terrain:
    """Return a made-up height model of 240 cells around the flight."""
    from scipy.ndimage import gaussian_filter

    if kind == "flat":
        return Terrain.flat(3.0, sigma_m=0.1, source=kind)
    rng = np.random.default_rng(seed)
    height = gaussian_filter(rng.normal(size=(CELLS, CELLS)), 40.0, mode="wrap")
    height *= 5.0 / height.std()
    if kind == "rocks":
        height[rng.random((CELLS, CELLS)) < 0.002] += 2.0
    elif kind == "rough":
        height += rng.normal(0.0, 0.5, (CELLS, CELLS))
    elif kind == "holes":
        height[100:110, 60:200] = np.nan
    elif kind == "step":
        height[:, CELLS // 2 :] += 8.0
    x, y = (float(each) for each in geodesy.to_grid(LON, LAT, crs))
    half = CELLS / 2 * cell_m
    return Terrain(height, (cell_m, 0.0, x - half, 0.0, -cell_m, y + half), crs, 0.1, kind)


def camera(kind: str, samples: int = 200) -> Instrument:
    look = np.column_stack([np.linspace(-25.0, 25.0, samples), np.zeros(samples)])
    if kind == "bowed":
        look[:, 1] = 0.6 * np.linspace(-1.0, 1.0, samples) ** 2
    elif kind == "noisy":
        look += np.random.default_rng(3).normal(0.0, 0.02, look.shape)
    return Instrument("camera", "line_scan", LineCamera(samples, look), Mount(), "camera.toml")


def both(
    terrain: Terrain, instrument: Instrument, tolerance_m: float, **changes: Any
) -> tuple[np.ndarray, float]:
    """Return how far interpolated places lie from followed ones, and the share that was not followed."""
    ray = {
        "line_time": np.round(np.linspace(1.0, 9.0, LINES) * 1e9).astype(np.int64),
        "trajectory": made.trajectory(),
        "instrument": instrument,
        "terrain": terrain,
        "crs": CRS,
        **changes,
    }
    exact = list(igm.blocks(**ray))
    x, y = (np.concatenate([getattr(each, axis) for each in exact]) for axis in ("x", "y"))
    quick = list(fan.places(tolerance_m=tolerance_m, budget_bytes=fan.igm.RAY_BYTES * 200 * 25, **ray))
    assert [each[0] for each in quick] == [0, 25, 50]
    other_x, other_y = (np.concatenate([each[k] for each in quick]) for k in (1, 2))
    np.testing.assert_array_equal(np.isnan(x), np.isnan(other_x))
    off = np.hypot(other_x - x, other_y - y)
    return off[np.isfinite(off)], float(np.mean(off[np.isfinite(off)] > 1e-9))


@pytest.mark.parametrize("look", ["straight", "bowed", "noisy"])
@pytest.mark.parametrize("kind", ["flat", "smooth", "rocks", "rough", "holes", "step"])
@pytest.mark.parametrize("tolerance_m", [0.0005, 0.004, 0.05])
def test_places_are_as_near_as_asked_for(kind: str, look: str, tolerance_m: float) -> None:
    off, _ = both(ground(kind), camera(look), tolerance_m)
    assert off.size > 5_000
    assert off.max() <= tolerance_m


def test_smooth_ground_saves_rays_and_rough_ground_does_not() -> None:
    assert both(ground("smooth"), camera("straight"), 0.01)[1] > 0.6
    assert both(ground("flat"), camera("straight"), 0.01)[1] > 0.6
    assert both(ground("rough"), camera("straight"), 0.001)[1] == 0.0
    assert both(ground("smooth"), camera("noisy"), 0.001)[1] == 0.0


def test_a_boulder_under_the_rays_has_all_of_them_followed() -> None:
    terrain = ground("smooth")
    height = np.array(terrain.height_m)
    height[CELLS // 2 + 3, CELLS // 2 - 8] += 3.0
    rock = Terrain(height, terrain.transform, terrain.crs, terrain.sigma_m, "rock")
    off, share = both(rock, camera("straight"), 0.01)
    assert off.max() == share == 0.0


def test_a_bump_is_followed_and_the_ground_beside_it_is_not() -> None:
    terrain = ground("smooth")
    height = np.array(terrain.height_m)
    height[CELLS // 2 + 3, CELLS // 2 - 8] += 0.1
    bump = Terrain(height, terrain.transform, terrain.crs, terrain.sigma_m, "bump")
    off, share = both(bump, camera("straight"), 0.05)
    assert off.max() <= 0.05
    assert 0.05 < share < both(terrain, camera("straight"), 0.05)[1]


def test_ground_that_ends_within_the_strip() -> None:
    terrain = ground("smooth")
    for cut in range(70, 95, 3):  # the last pixels that meet the ground are nodes now and then
        a, b, c, d, e, f = terrain.transform
        for columns, left in ((slice(cut, None), cut), (slice(None, -cut), 0)):
            place = (a, b, c + left * a, d, e, f)
            part = Terrain(
                np.array(terrain.height_m)[:, columns], place, terrain.crs, terrain.sigma_m, "half"
            )
            off, share = both(part, camera("straight"), 0.02)
            assert off.max() <= 0.02
            assert share > 0.3


def test_terrain_in_another_projection_and_of_fine_cells() -> None:
    off, share = both(ground("smooth", crs="EPSG:25832"), camera("straight"), 0.01)
    assert off.max() <= 0.01
    assert share > 0.5
    off, share = both(ground("smooth", crs="EPSG:3035"), camera("straight"), 0.01)
    assert off.max() <= 0.01
    assert share > 0.5


def test_a_narrow_camera_and_a_single_line_are_followed_ray_by_ray() -> None:
    ray = {"trajectory": made.trajectory(), "terrain": ground("smooth"), "crs": CRS}
    for samples, lines in ((5, 40), (200, 1)):
        time = np.round(np.linspace(1.0, 9.0, lines) * 1e9).astype(np.int64)
        look = camera("straight", samples)
        ((first, x, y),) = fan.places(line_time=time, instrument=look, tolerance_m=1.0, **ray)
        (exact,) = igm.blocks(line_time=time, instrument=look, **ray)
        assert first == 0
        np.testing.assert_array_equal(x, exact.x)
        np.testing.assert_array_equal(y, exact.y)
