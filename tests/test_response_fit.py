"""Fitting delay and time constants: planted truth by a recursion that shares no code with the fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dronesense.calibrate.response import deconvolve
from dronesense.calibrate.response_fit import ResponseFit, fit_passes, fit_steps
from dronesense.errors import CalibrationError
from dronesense.model import Ambient, Flag, GasSeries, Response

S = 1_000_000_000
START = 1_700_000_000 * S


def make(seconds: np.ndarray, value: np.ndarray, flags: np.ndarray | None = None) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=START + np.round(seconds * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, 0.01),
        basis="dry",
        flags=np.zeros(m, np.uint16) if flags is None else flags,
        level="raw",
        ambient=Ambient(),
        instrument="",
        source="steps.csv",
        row=np.arange(m) + 2,
    )


def recorded(
    step: float, length: float, at: list[float], levels: list[float], up: float, down: float, delay: float
) -> tuple[np.ndarray, np.ndarray]:
    """Integrate the cell on a grid of 1 ms and read it every *step*: slow, plain, and independent."""
    fine = 0.001
    time = np.arange(0.0, length, fine)
    air = np.asarray(levels)[np.searchsorted(np.asarray(at) + delay, time, side="right")]
    cell = np.empty_like(air)
    state = air[0]
    rise, fall = 1.0 - math.exp(-fine / up), 1.0 - math.exp(-fine / down)
    for k, x in enumerate(air.tolist()):
        state += (rise if x > state else fall) * (x - state)
        cell[k] = state
    every = round(step / fine)
    return time[::every], cell[::every]


def stamps(at: list[float]) -> np.ndarray:
    return START + np.round(np.array(at) * S).astype(np.int64)


STEP = ([60.0, 180.0], [0.0, 1.0, 0.0])
PULSES = ([40.0, 60.0, 120.0, 140.0], [0.0, 1.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(("at", "levels"), [STEP, PULSES])
@pytest.mark.parametrize(
    ("up", "down", "delay", "step"),
    [(3.0, 8.0, 2.4, 1.0), (8.0, 3.0, 4.0, 1.0), (1.6, 3.0, 0.7, 0.2), (2.0, 2.0, 1.3, 0.5)],
)
def test_steps_and_pulses_give_back_what_was_planted(
    at: list[float], levels: list[float], up: float, down: float, delay: float, step: float
) -> None:
    seconds, cell = recorded(step, 260.0, at, levels, up, down, delay)
    noise = 0.02 * np.random.default_rng(1).standard_normal(cell.size)
    found = fit_steps(make(seconds, 2.0 + 10.0 * cell + noise), stamps(at), np.array(levels))
    response = found.response
    assert response.tau_s == pytest.approx(up, rel=0.05)
    assert response.tau_down_s == pytest.approx(down, rel=0.05)
    assert response.delay_s == pytest.approx(delay, rel=0.05)
    assert found.correlation < -0.2
    assert ("not told" in found.note) == (up == down)
    assert "fitted together" in found.note


@pytest.mark.parametrize(("at", "levels"), [STEP, PULSES])
def test_every_seed_gives_back_what_was_planted(at: list[float], levels: list[float]) -> None:
    """Both within 5 % on each of 12 seeds, with noise of 0.5 % of the step; their sum as sure as stated."""
    seconds, cell = recorded(1.0, 260.0, at, levels, 3.0, 8.0, 2.4)
    inside = []
    for seed in range(12):
        noise = 0.05 * np.random.default_rng(seed).standard_normal(cell.size)
        found = fit_steps(make(seconds, 2.0 + 10.0 * cell + noise), stamps(at), np.array(levels)).response
        assert found.tau_s == pytest.approx(3.0, rel=0.05), seed
        assert found.tau_down_s == pytest.approx(8.0, rel=0.05), seed
        assert found.delay_s == pytest.approx(2.4, rel=0.05), seed
        total = found.tau_s + found.delay_s - 5.4
        up = math.sqrt(found.sigma_tau_s**2 + found.sigma_delay_s**2 + 2.0 * found.covariance_tau_delay)
        inside.append(abs(total) < 2.0 * up)
    assert sum(inside) >= 10, "the sigma of the sum, with the covariance, covers"


def test_one_time_constant_is_fitted_to_a_single_step() -> None:
    seconds, cell = recorded(1.0, 200.0, [50.0], [1.0, 0.0], 6.0, 6.0, 3.0)
    found = fit_steps(make(seconds, cell), stamps([50.0]), [1.0, 0.0])
    assert found.response.tau_down_s is None
    assert found.names == ("tau_s", "delay_s")
    assert found.response.tau_s == pytest.approx(6.0, rel=1e-3)
    assert found.response.delay_s == pytest.approx(3.0, rel=1e-3)


def test_stated_uncertainty_is_that_of_a_monte_carlo() -> None:
    """40 runs: scatter of each parameter over its stated sigma, and the correlation of tau and delay."""
    seconds, cell = recorded(1.0, 200.0, *STEP[:1], STEP[1], 4.0, 4.0, 2.3)
    rng = np.random.default_rng(2)
    fits: list[ResponseFit] = [
        fit_steps(
            make(seconds, cell + 0.01 * rng.standard_normal(cell.size)),
            stamps(STEP[0]),
            STEP[1],
            asymmetric=False,
        )
        for _ in range(40)
    ]
    got = np.array([[each.response.tau_s, each.response.delay_s] for each in fits])
    stated = np.mean([[each.response.sigma_tau_s, each.response.sigma_delay_s] for each in fits], axis=0)
    np.testing.assert_allclose(got.std(axis=0) / stated, 1.0, atol=0.35)
    np.testing.assert_allclose(got.mean(axis=0), [4.0, 2.3], atol=3.0 * stated.max() / math.sqrt(40.0))
    assert np.corrcoef(got.T)[0, 1] == pytest.approx(np.mean([each.correlation for each in fits]), abs=0.25)
    sums = [each.response.tau_s + each.response.delay_s for each in fits]
    assert np.std(sums) < 0.8 * math.hypot(*got.std(axis=0)), "their sum is known better than either"


def test_fitted_response_restores_the_step() -> None:
    seconds, cell = recorded(1.0, 260.0, *STEP[:1], STEP[1], 3.0, 8.0, 2.0)
    series = make(seconds, cell + 0.002 * np.random.default_rng(3).standard_normal(cell.size))
    out = deconvolve(series, fit_steps(series, stamps(STEP[0]), STEP[1]).response)
    inside = (out.time > START + 70 * S) & (out.time < START + 170 * S)
    after = out.time > START + 195 * S
    np.testing.assert_allclose(out.value[inside].mean(), 1.0, atol=0.01)
    np.testing.assert_allclose(out.value[after][:-5], 0.0, atol=0.05)


def test_correlated_residuals_widen_the_uncertainty() -> None:
    seconds, cell = recorded(1.0, 200.0, *STEP[:1], STEP[1], 4.0, 4.0, 2.0)
    rng = np.random.default_rng(4)
    white = 0.01 * rng.standard_normal(cell.size)
    red = np.convolve(rng.standard_normal(cell.size + 9), np.ones(10) / math.sqrt(10.0), "valid") * 0.01
    one, other = (
        fit_steps(make(seconds, cell + each), stamps(STEP[0]), STEP[1]).response.sigma_delay_s
        for each in (white, red)
    )
    assert other > 1.7 * one


def test_bad_samples_take_no_part() -> None:
    seconds, cell = recorded(1.0, 200.0, *STEP[:1], STEP[1], 4.0, 4.0, 2.0)
    flags = np.zeros(cell.size, np.uint16)
    cell[70], flags[70], cell[71] = 1e5, Flag.SATURATED, np.nan
    found = fit_steps(make(seconds, cell, flags), stamps(STEP[0]), STEP[1])
    assert found.response.tau_s == pytest.approx(4.0, rel=0.01)


def swept(sign: int, tau: float, delay: float, rng: np.random.Generator) -> tuple[GasSeries, np.ndarray]:
    """A pass of 60 s at 8 m/s over two plumes."""
    fine = np.arange(0.0, 60.0, 0.01)
    place = sign * (-240.0 + 8.0 * fine)
    at = place - sign * 8.0 * delay
    air = 2.0 + np.exp(-0.5 * ((at - 10.0) / 15.0) ** 2) + 0.4 * np.exp(-0.5 * ((at - 70.0) / 10.0) ** 2)
    cell = np.empty_like(air)
    state, share = air[0], 1.0 - math.exp(-0.01 / tau)
    for k, x in enumerate(air.tolist()):
        state += share * (x - state)
        cell[k] = state
    return make(fine[::50], cell[::50] + 0.005 * rng.standard_normal(fine[::50].size)), place[::50]


def test_opposite_passes_give_back_what_was_planted() -> None:
    rng = np.random.default_rng(5)
    flown = [swept(sign, 2.0, 1.5, rng) for sign in (1, -1, 1, -1)]
    found = fit_passes([each for each, _ in flown], [place for _, place in flown])
    assert found.response.tau_s == pytest.approx(2.0, rel=0.05)
    assert found.response.delay_s == pytest.approx(1.5, rel=0.05)
    assert found.correlation < -0.5


def test_passes_of_one_heading_are_refused() -> None:
    rng = np.random.default_rng(6)
    flown = [swept(1, 2.0, 1.5, rng) for _ in range(2)]
    with pytest.raises(CalibrationError, match="one heading"):
        fit_passes([each for each, _ in flown], [place for _, place in flown])


def test_what_does_not_fit_together_is_refused() -> None:
    series = make(np.arange(100.0), np.zeros(100))
    with pytest.raises(ValueError, match="one level more"):
        fit_steps(series, stamps([10.0]), [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="rise and fall"):
        fit_steps(series, stamps([10.0]), [0.0, 1.0], asymmetric=True)
    with pytest.raises(CalibrationError, match="outside the recording"):
        fit_steps(series, stamps([1000.0]), [0.0, 1.0])
    with pytest.raises(CalibrationError, match="do not tell a response"):
        fit_steps(make(np.arange(5.0), np.zeros(5)), stamps([2.0]), [0.0, 1.0])


def test_a_switch_stamped_far_too_early_ends_at_the_bound() -> None:
    seconds, cell = recorded(1.0, 200.0, [90.0], [0.0, 1.0], 3.0, 3.0, 2.0)
    with pytest.raises(CalibrationError, match="bound of the search"):
        fit_steps(make(seconds, cell), stamps([40.0]), [0.0, 1.0], max_delay_s=20.0)


def test_response_states_what_it_must() -> None:
    assert Response(tau_s=2.0).falling_s == 2.0
    assert Response(tau_s=2.0, tau_down_s=5.0, sigma_tau_down_s=0.1).sigma_falling_s == 0.1
    with pytest.raises(ValueError, match="tau_down_s"):
        Response(tau_s=0.0, tau_down_s=5.0)
