"""Columns of gas from cubes: planted plumes come back, with the stated sigma and rate of false alarms."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dronesense.detect import column_filter, column_regions
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import Bands, MapGrid
from dronesense.model.absorption import AbsorptionTable

_SPEC = importlib.util.spec_from_file_location("column_scenes", Path(__file__).with_name("column_scenes.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["column_scenes"] = scenes
_SPEC.loader.exec_module(scenes)

LINES = scenes.lines_table()
TABLE = AbsorptionTable("CH4", *LINES, name="made up", version="1", geometry={"sun_deg": 30.0})


def slope(columns: np.ndarray, truth: np.ndarray) -> float:
    plume = (truth > 0.0) & np.isfinite(columns)
    return float(np.sum(columns[plume] * truth[plume]) / np.sum(truth[plume] ** 2))


def flat_scene(seed: int = 0, shape=(60, 40), noise: float = 1e-3, **kwargs):
    """Return values (rows, bands, cols), centers and widths: one material, noise alone."""
    nm, _, light = LINES
    center, fwhm = np.arange(2130.0, 2480.0, 10.0), np.full(35, 9.0)
    weight = np.exp(-0.5 * ((nm - center[:, None]) / (9.0 / 2.3548200450309493)) ** 2)
    seen = light @ (weight / weight.sum(axis=1, keepdims=True)).T
    rng = np.random.default_rng(seed)
    values = seen[0][:, None] * (1.0 + noise * rng.normal(size=(shape[0], 35, shape[1])))
    return values, center, fwhm, seen


def test_filter_is_the_textbook_formula() -> None:
    """One detector column, no plume: c = (x - mu)' C^-1 t / (t' C^-1 t), solved by brute force."""
    values, center, fwhm, _ = flat_scene(shape=(400, 1))
    found = column_filter.retrieve(
        scenes.cube_of(values, center, fwhm), TABLE, max_rounds=0, threshold=4.0, window_nm=(2000, 2600)
    )
    x = values[:, :, 0].astype(np.float32).astype(np.float64)
    mu = x.mean(axis=0)
    k = TABLE.in_bands(center_nm=center, fwhm_nm=fwhm).per_ppm_m
    covariance, t = np.cov(x.T, bias=True), mu * k
    weight = np.linalg.solve(covariance, t)
    linear = (x - mu) @ weight / (t @ weight)
    brightness = x @ (weight * k) / (t @ weight)
    np.testing.assert_allclose(found.brightness[:, 0], brightness, rtol=1e-4)
    small = np.abs(linear) < 30.0  # where the curve of growth is still a line
    through = np.exp(TABLE.in_bands(center_nm=center, fwhm_nm=fwhm).log_ratio[1])
    at_500 = (1.0 - 1.0 / through) * mu @ weight / (t @ weight)
    expected = linear / brightness * 500.0 / at_500
    assert small.sum() > 50
    np.testing.assert_allclose(found.value[small, 0], expected[small], rtol=0.02, atol=0.05)


@pytest.mark.parametrize("quantity", ["radiance", "counts"])
def test_gain_of_each_element_drops_out(quantity: str) -> None:
    """Counts with the dark taken off do as well as radiance: a gain per band and column changes nothing."""
    made = scenes.scene(LINES, shape=(150, 30), share=0.02, seed=1)
    gain = np.exp(np.random.default_rng(7).normal(0.0, 0.7, made.radiance.shape[1:]))
    values = made.cube.source.values
    options = {"threshold": 4.0}
    plain = column_filter.retrieve(made.cube, TABLE, **options)
    counts = scenes.cube_of(values * gain * 900.0, made.center, made.fwhm, quantity=quantity)
    scaled = column_filter.retrieve(counts, TABLE, dark_removed=True, **options)
    np.testing.assert_allclose(scaled.value, plain.value, atol=2e-3 * float(np.median(plain.sigma)))
    np.testing.assert_allclose(scaled.sigma, plain.sigma, rtol=2e-3)
    np.testing.assert_array_equal(scaled.plume, plain.plume)


def test_size_of_blocks_changes_nothing() -> None:
    made = scenes.scene(LINES, shape=(90, 24), share=0.02, seed=2)
    one = column_filter.retrieve(made.cube, TABLE, threshold=4.0)
    many = column_filter.retrieve(made.cube, TABLE, threshold=4.0, budget_bytes=1)
    np.testing.assert_allclose(many.value, one.value, rtol=1e-5, atol=1e-2)


def test_planted_plumes_come_back() -> None:
    """Slope 1 +- 0.05 over six scenes after exclusion; too low without; sigma covers; rates hold."""
    slopes, kept_in, covered, alarms = [], [], [], []
    for seed in range(6):
        made = scenes.scene(LINES, shape=(300, 100), share=(0.01, 0.03, 0.05)[seed % 3], seed=seed)
        found = column_filter.retrieve(made.cube, TABLE, false_alarm_rate=1e-3)
        plume = made.truth > 0.0
        slopes.append(slope(found.value, made.truth))
        error = np.abs(found.value - made.truth)
        covered.append(float(np.mean(error[plume] <= 1.645 * found.sigma[plume])))
        alarms.append(float(np.mean(found.score.score[~plume] >= found.score.threshold)))
        if seed < 3:
            inside = column_filter.retrieve(made.cube, TABLE, max_rounds=0, threshold=4.0)
            kept_in.append(slope(inside.value, made.truth))
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(slopes, 1.0, atol=0.07)
    assert np.mean(kept_in) < np.mean(slopes[:3]) - 0.1
    assert 0.85 <= np.mean(covered) <= 0.95
    assert 0.5e-3 <= np.mean(alarms) <= 2e-3


def test_strong_plumes_follow_the_curve_of_growth() -> None:
    """The linear filter is 20 % and more off at these columns; one uniform plume on flat ground is not."""
    values, center, fwhm, seen = flat_scene(shape=(300, 40))
    for row, column in ((20, 500.0), (100, 4000.0), (200, 16000.0)):
        at = int(np.flatnonzero(LINES[1] == column)[0])
        values[row : row + 3] *= (seen[at] / seen[0])[:, None]
    found = column_filter.retrieve(scenes.cube_of(values, center, fwhm), TABLE, threshold=5.0)
    for row, column in ((20, 500.0), (100, 4000.0), (200, 16000.0)):
        assert float(found.value[row : row + 3].mean()) == pytest.approx(column, rel=0.03)


def test_few_lines_make_groups_and_shrink() -> None:
    made = scenes.scene(LINES, shape=(40, 120), share=0.0, seed=3)
    found = column_filter.retrieve(made.cube, TABLE, threshold=4.0, pixels_per_band=10.0)
    bands = found.parameters["bands"]
    assert isinstance(bands, int)
    groups = 120 // int(np.ceil(10 * bands / 40))  # of at least ten pixels for each band, from 40 lines
    assert found.parameters["group_columns"] == sorted({120 // groups, -(-120 // groups)})
    assert found.parameters["shrinkage"] == pytest.approx(bands / (bands + 40 * (120 // groups)), rel=0.05)


def test_a_map_has_no_detector_columns() -> None:
    made = scenes.scene(LINES, shape=(60, 60), share=0.0, seed=3, gain=0.0)
    cube = replace(made.cube, geometry=MapGrid((1.0, 0.0, 5e5, 0.0, -1.0, 4e6), "EPSG:32632"))
    found = column_filter.retrieve(cube, TABLE, threshold=4.0)
    assert found.parameters["background"] == "the whole map"
    assert found.parameters["group_columns"] == [60]


def test_invalid_pixels_stay_out() -> None:
    made = scenes.scene(LINES, shape=(120, 20), share=0.0, seed=4)
    valid = np.ones((120, 20), bool)
    valid[5] = False
    values = made.cube.source.values.copy()
    values[5], values[60, 40, 4], values[:, :, 9] = 1e9, np.nan, 0.0
    cube = scenes.cube_of(values, made.center, made.fwhm, valid=valid)
    found = column_filter.retrieve(cube, TABLE, threshold=4.0)
    missing = np.isnan(found.value)
    expected = ~valid
    expected[60, 4] = expected[:, 9] = True
    np.testing.assert_array_equal(missing, expected)


def test_regions_carry_ppm_m_and_mass() -> None:
    values, center, fwhm, seen = flat_scene(shape=(200, 40))
    values[50:54, :, 10:15] *= (seen[3] / seen[0])[:, None]
    found = column_filter.retrieve(scenes.cube_of(values, center, fwhm), TABLE, false_alarm_rate=1e-4)
    detections = column_regions.detect(found, source="raw/plume.bil", min_pixels=2)
    first = detections[0]
    assert (first.unit, first.target, first.method) == ("ppm m", "CH4", "column")
    planted = {(r, c) for r in range(50, 54) for c in range(10, 15)}
    assert planted <= set(map(tuple, first.index.tolist()))
    assert len(first.index) <= 24
    assert abs(first.value - 2000.0) < 4.0 * first.sigma
    assert first.q_value < 0.01
    mass = column_regions.mass_enhancement(
        found,
        np.array(sorted(planted)),
        pixel_area_m2=0.25,
        molar_mass_g_mol=16.04,
        temperature_k=273.15,
        pressure_hpa=1013.25,
    )
    # 2000 ppm m is 2 mm of pure gas: 20 pixels of 0.25 m2 are 10 l, and 22.414 l of it weigh 16.04 g.
    assert mass.mass_kg == pytest.approx(10.0 / 22.414 * 16.04e-3, rel=0.05)
    assert mass.area_m2 == 5.0
    assert 0.0 < mass.sigma_kg < 0.05 * mass.mass_kg


def test_refusals() -> None:
    values, center, fwhm, _ = flat_scene(shape=(60, 40))
    with pytest.raises(CalibrationError, match="raw counts"):
        column_filter.retrieve(scenes.cube_of(values, center, fwhm, quantity="counts"), TABLE)
    with pytest.raises(CoverageError, match="wavelengths of its bands are not known"):
        column_filter.retrieve(scenes.cube_of(values, np.full(35, np.nan), fwhm), TABLE)
    with pytest.raises(CoverageError, match="0 of its good bands"):
        column_filter.retrieve(scenes.cube_of(values, center - 1500.0, fwhm), TABLE)
    with pytest.raises(CoverageError, match="too few for 24 bands"):
        column_filter.retrieve(scenes.cube_of(values[:2, :, :20], center, fwhm), TABLE)
    values[:, 7] = values[:, 6]
    with pytest.raises(CoverageError, match="singular"):
        column_filter.retrieve(scenes.cube_of(values, center, fwhm), TABLE, threshold=4.0)


def test_widths_that_are_not_known_are_said() -> None:
    values, center, fwhm, _ = flat_scene(shape=(60, 40))
    cube = scenes.cube_of(values, center, fwhm)
    cube = replace(cube, bands=Bands(center, np.full(35, np.nan), np.ones(35, bool)))
    found = column_filter.retrieve(cube, TABLE, threshold=4.0)
    assert any("widths of 35 bands" in note for note in found.parameters["history"])
