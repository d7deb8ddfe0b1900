"""Shifts of lines that were planted, and line times found again from what a camera felt of the rolls."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter1d, map_coordinates

from dronesense.calibrate.clock import estimate_image_offset
from dronesense.calibrate.image_shift import line_shifts
from dronesense.cli import cli

pytestmark = pytest.mark.once


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def moving(shift: np.ndarray, *, noise: float, samples: int = 300) -> np.ndarray:
    """Lines of one texture that moves by *shift* from line to line."""
    rng = np.random.default_rng(0)
    texture = gaussian_filter1d(rng.normal(size=2000), 2.0)
    at = 1000.0 + np.arange(samples) - np.cumsum(shift)[:, None]
    lines = map_coordinates(texture / texture.std(), [at], order=3)
    stripes = rng.normal(size=samples)
    return lines + stripes + noise * rng.normal(size=lines.shape)


@pytest.mark.parametrize(("noise", "allowed"), [(0.0, 0.1), (0.2, 0.15)])
def test_planted_shifts_are_found(noise: float, allowed: float) -> None:
    shift = 3.0 * np.sin(np.arange(200) / 9.0) + np.random.default_rng(1).normal(size=200)
    found = line_shifts(moving(shift, noise=noise))
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()
    assert np.sqrt(np.mean((found[1:] - shift[1:]) ** 2)) <= allowed


def test_lines_of_nothing_but_noise_have_no_shift() -> None:
    found = line_shifts(np.random.default_rng(2).normal(size=(300, 300)))
    assert np.isfinite(found).mean() <= 0.2


def test_the_start_of_a_strip_is_found_within_its_uncertainty() -> None:
    flights = _load("boresight_flights")
    inside = []
    for seed in range(6):
        flight = flights.make(seed, errors=False, relief_m=0.0, headings=(0.0,), gusts=True)
        (picture,) = flights.pictures(flight, np.random.default_rng(seed))
        true = flight.truth[0]
        start = true["trajectory"].time[0]
        guess = start + true["line_time"] - true["line_time"][0]
        found = estimate_image_offset(guess, line_shifts(picture), true["trajectory"], max_offset_s=14.0)
        if not found.accepted:
            continue
        error = found.offset_s - (true["line_time"][0] - start) / 1e9
        assert abs(error) <= 0.02  # one line
        inside.append(abs(error) <= 3.0 * found.sigma_s)
    assert len(inside) >= 3
    assert all(inside)


def test_the_command_writes_line_times_or_says_why_not(tmp_path: Path) -> None:
    flights, boresight = _load("boresight_flights"), _load("test_boresight")
    flight = flights.make(1, errors=False, relief_m=0.0, gusts=True)
    folder = tmp_path / "flight"
    boresight.write_folder(folder, flight, flights.pictures(flight, np.random.default_rng(1)))
    true = {path.name: path.read_text("utf-8").splitlines() for path in folder.glob("*.lines.csv")}
    for path in folder.glob("*.lines.csv"):
        path.unlink()
    done = CliRunner().invoke(
        cli, ["calibrate", "times", str(folder), "--rate", "50", "-o", str(tmp_path / "out")]
    )
    written = sorted((tmp_path / "out").glob("*.lines.csv"))
    assert len(written) + done.stderr.count("Not found") == 4
    assert written, done.stderr
    for path in written:
        found, wanted = (
            np.datetime64(each.split(",")[1].rstrip("Z"), "ns")
            for each in (path.read_text("utf-8").splitlines()[1], true[path.name][1])
        )
        # The stamps of these flights are 20 ms early.
        assert abs((found - wanted) / np.timedelta64(1, "ms") - 20.0) <= 20.0
