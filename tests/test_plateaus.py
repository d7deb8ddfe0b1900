"""Plateaus: planted steps are found, means are as sure as a Monte Carlo says, drift is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dronesense.calibrate import plateaus
from dronesense.errors import CalibrationError
from dronesense.model import Ambient, Flag, GasSeries
from dronesense.model.calibration import Standard

S = 1_000_000_000
START = 1_750_000_000 * S


def make(value: np.ndarray, step: float = 1.0, flags: np.ndarray | None = None) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=START + np.round(np.arange(m) * step * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, 0.01),
        basis="dry",
        flags=np.zeros(m, np.uint16) if flags is None else flags,
        level="raw",
        ambient=Ambient(),
        instrument="x",
        source="bench.csv",
        row=np.arange(m) + 2,
    )


def recording(
    levels: list[float], rng: np.random.Generator, *, tau: float = 4.0, noise: float = 0.01
) -> np.ndarray:
    """Each level for 240 s, entered exponentially."""
    out, state = [], levels[0]
    for level in levels:
        for _ in range(240):
            state += (1.0 - math.exp(-1.0 / tau)) * (level - state)
            out.append(state)
    return np.array(out) + noise * rng.standard_normal(len(out))


def test_planted_steps_are_found() -> None:
    levels = [0.1, 2.2, 10.5, 5.3]
    found = plateaus.find(make(recording(levels, np.random.default_rng(0))))
    assert [each.mean for each in found] == pytest.approx(levels, abs=0.01)
    for number, each in enumerate(found):
        seconds = ((each.start - START) / S, (each.end - START) / S)
        assert 240 * number + 20 <= seconds[0] < seconds[1] < 240 * (number + 1)
        assert each.samples > 120


@pytest.mark.parametrize("seed", range(5))
def test_steps_of_a_sensor_without_any_lag_part_the_plateaus(seed: int) -> None:
    """Windows on both sides of such a step touch: two plateaus all the same; equal levels are one."""
    levels = np.repeat([0.0, 0.5, 1.0, 1.0], 200)
    found = plateaus.find(make(levels + 1e-3 * np.random.default_rng(seed).standard_normal(800)))
    assert [round(each.mean, 2) for each in found] == [0.0, 0.5, 1.0]
    assert [each.samples > bound for each, bound in zip(found, (160, 160, 360), strict=True)] == [True] * 3


def test_no_plateau_on_a_ramp() -> None:
    ramp = np.linspace(0.0, 10.0, 1000) + 0.01 * np.random.default_rng(1).standard_normal(1000)
    assert plateaus.find(make(ramp)) == []


def test_white_noise_is_averaged_as_the_square_root() -> None:
    rng = np.random.default_rng(2)
    stated = [plateaus.average(make(rng.standard_normal(400)), START, START + 400 * S) for _ in range(200)]
    scatter = np.std([each.mean for each in stated])
    assert scatter == pytest.approx(1.0 / 20.0, rel=0.2)
    assert 1.0 <= np.mean([each.sigma for each in stated]) / (1.0 / 20.0) < 1.6
    assert min(each.sigma for each in stated) >= 0.9 / 20.0


def test_correlated_noise_is_not_averaged_away() -> None:
    """AR(1) with 0.95: the mean of 400 scatters six times as much as the square root says."""
    rng = np.random.default_rng(3)
    stated = []
    for _ in range(200):
        red = np.zeros(600)
        kicks = rng.standard_normal(600) * math.sqrt(1.0 - 0.95**2)
        for k in range(1, 600):
            red[k] = 0.95 * red[k - 1] + kicks[k]
        stated.append(plateaus.average(make(red[200:]), START, START + 400 * S))
    scatter = np.std([each.mean for each in stated])
    assert scatter > 4.0 / 20.0
    assert np.mean([each.sigma for each in stated]) == pytest.approx(scatter, rel=0.35)


def test_the_line_comes_back_and_its_sigma_covers() -> None:
    """Truth: reading = 0.12 + 1.04 true; standards drawn from their own uncertainty; 100 recordings."""
    rng = np.random.default_rng(4)
    pulls = []
    for _ in range(100):
        stated = np.array([0.0, 2.0, 10.0])
        sigma = np.array([0.002, 0.02, 0.05])
        true = stated + sigma * rng.standard_normal(3)
        readings = np.concatenate([0.12 + 1.04 * each + 0.01 * rng.standard_normal(120) for each in true])
        standards = [
            Standard("CH4", value, u, START + k * 120 * S, START + (k * 120 + 119) * S)
            for k, (value, u) in enumerate(zip(stated, sigma, strict=True))
        ]
        line = plateaus.fit(make(readings), standards).fitted.line
        pulls.append([(line.zero - 0.12) / line.sigma_zero, (line.span - 1.04) / line.sigma_span])
    spread = np.std(pulls, axis=0)
    assert np.all((spread > 0.75) & (spread < 1.2))


def test_a_drifting_plateau_is_refused_unless_allowed() -> None:
    rng = np.random.default_rng(5)
    readings = np.r_[
        0.01 * rng.standard_normal(200), 10.0 + np.linspace(0.0, 0.2, 200) + 0.01 * rng.standard_normal(200)
    ]
    standards = [
        Standard("CH4", 0.0, 0.0, START, START + 199 * S),
        Standard("CH4", 10.0, 0.0, START + 200 * S, START + 399 * S),
    ]
    with pytest.raises(CalibrationError, match=r"plateau of 10 ppm CH4.*drifts by 0\.(19|20)"):
        plateaus.fit(make(readings), standards)
    allowed = [standards[0], replace(standards[1], max_drift=0.3)]
    line = plateaus.fit(make(readings), allowed).fitted.line
    assert line.span == pytest.approx(1.01, abs=0.002)
    assert line.sigma_span > 0.002, "the drift stands in the uncertainty"


def test_bent_response_is_told() -> None:
    rng = np.random.default_rng(6)
    true = [0.0, 5.0, 10.0]
    readings = np.concatenate([each - 0.02 * each**2 + 0.01 * rng.standard_normal(100) for each in true])
    standards = [
        Standard("CH4", each, 0.001, START + k * 100 * S, START + (k * 100 + 99) * S)
        for k, each in enumerate(true)
    ]
    fit = plateaus.fit(make(readings), standards)
    assert "bent" in fit.note
    assert "chi2/nu" in fit.note


def test_flagged_readings_take_no_part() -> None:
    value = np.ones(100) + 0.01 * np.random.default_rng(7).standard_normal(100)
    flags = np.zeros(100, np.uint16)
    value[50], flags[50], value[60] = 1e4, Flag.SATURATED, np.nan
    got = plateaus.average(make(value, flags=flags), START, START + 99 * S)
    assert got.samples == 98
    assert got.mean == pytest.approx(1.0, abs=0.01)


def test_a_gap_ends_a_plateau() -> None:
    value = np.ones(400) + 0.01 * np.random.default_rng(8).standard_normal(400)
    series = make(value)
    time = series.time.copy()
    time[200:] += 3600 * S
    assert len(plateaus.find(replace(series, time=time))) == 2


def test_what_does_not_fit_together_is_refused() -> None:
    rng = np.random.default_rng(9)
    series = make(recording([0.0, 5.0], rng))
    three = [Standard("CH4", each) for each in (0.0, 5.0, 10.0)]
    with pytest.raises(CalibrationError, match="3 standards of CH4, but 2 plateaus"):
        plateaus.fit(series, three)
    with pytest.raises(CalibrationError, match="some standards"):
        plateaus.fit(series, [three[0], replace(three[1], start=START, end=START + S)])
    with pytest.raises(CalibrationError, match="usable samples from"):
        plateaus.fit(series, [replace(each, start=START - 9 * S, end=START - S) for each in three])
    with pytest.raises(CalibrationError, match="calibrated already"):
        plateaus.fit(replace(series, level="calibrated"), three[:2])
    with pytest.raises(CalibrationError, match="two different standards"):
        plateaus.fit(series, [Standard("CH4", 5.0), Standard("CH4", 5.0)])
    with pytest.raises(CalibrationError, match="shorter than a plateau"):
        plateaus.find(make(np.zeros(30)))
