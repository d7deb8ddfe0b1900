"""Reflectance in ENVI cubes: divided by the scale factor of the header where it is no fraction yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.readers import envi

ROWS, BANDS, COLS = 20, 3, 5


def cube(folder: Path, numbers: np.ndarray, *lines: str, code: int = 4):
    """Write *numbers* (rows, bands, cols) under a header with *lines*; return values, and what was said."""
    keys = (
        f"samples = {COLS}",
        f"lines = {ROWS}",
        f"bands = {BANDS}",
        f"data type = {code}",
        "interleave = bil",
        "byte order = 0",
    )
    (folder / "x.hdr").write_text("\n".join(["ENVI", *keys, *lines, ""]))
    (folder / "x.img").write_bytes(numbers.astype({2: "<i2", 4: "<f4"}[code]).tobytes())
    found, report = envi.read(folder / "x.hdr", label="x", name="x")
    assert found.quantity == "reflectance"
    return *found.source.read(0, ROWS), " ".join(report.assumptions)


def scene(low: float = 0.02, high: float = 0.6) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, high, (ROWS, BANDS, COLS))


@pytest.mark.parametrize("factor", [100, 10000])
@pytest.mark.parametrize("code", [2, 4])
def test_numbers_that_are_no_fractions_are_divided(tmp_path, factor, code):
    truth = np.round(scene() * factor)
    values, _, said = cube(tmp_path, truth, f"reflectance scale factor = {factor}", code=code)
    np.testing.assert_allclose(values, truth / factor, rtol=1e-6)
    assert f"divided by the reflectance scale factor {factor}" in said


def test_decimals_that_are_fractions_already_are_left(tmp_path):
    truth = scene()
    values, _, said = cube(tmp_path, truth, "reflectance scale factor = 10000")
    np.testing.assert_allclose(values, truth, rtol=1e-6)
    assert "not applied" in said


def test_what_stands_for_no_data_does_not_decide(tmp_path):
    truth = scene() * 10000
    truth[:18] = -9999.0
    truth[18:, :, 0] = 3e9
    truth[18:, 0, 0] = np.nan
    more = ("reflectance scale factor = 10000", "data ignore value = -9999")
    values, valid, _ = cube(tmp_path, truth, *more)
    np.testing.assert_allclose(values[18:, :, 1:], truth[18:, :, 1:] / 10000, rtol=1e-6)
    np.testing.assert_array_equal(valid.sum(axis=1), [0] * 18 + [COLS - 1] * 2)


def test_two_ways_to_read_a_factor_are_refused(tmp_path):
    """A typical 1.5: bright fractions, or 1.5 percent."""
    with pytest.raises(ReadError, match=r"may be fractions yet, or not.*0\.015 after.*factor = 1"):
        cube(tmp_path, np.full((ROWS, BANDS, COLS), 1.5), "reflectance scale factor = 100")


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (4, ("description = {Reflectance (%)}",)),
        (4, ("reflectance scale factor = 1.0",)),
        (2, ("reflectance scale factor = 1.0",)),
        (4, ("quantity = reflectance",)),
        (2, ("reflectance scale factor = 10",)),
    ],
)
def test_percent_without_a_factor_is_refused(tmp_path, code, lines):
    with pytest.raises(ReadError, match=r"no reflectance as a fraction.*often 10000"):
        cube(tmp_path, scene(30.0, 60.0), *lines, code=code)


@pytest.mark.parametrize("lines", [("data units = Reflectance",), ("reflectance scale factor = 1.0",)])
def test_fractions_are_read_as_they_are(tmp_path, lines):
    truth = scene()
    np.testing.assert_allclose(cube(tmp_path, truth, *lines)[0], truth, rtol=1e-6)


def test_a_cube_without_a_valid_pixel_is_read(tmp_path):
    lines = ("reflectance scale factor = 10000", "data ignore value = -1")
    _, valid, _ = cube(tmp_path, np.full((ROWS, BANDS, COLS), -1.0), *lines)
    assert not valid.any()
