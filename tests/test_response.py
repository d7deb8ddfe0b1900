"""Response: the lag is simulated exactly, then undone; the stated noise is checked by Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dronesense.calibrate.response import NOISE_GAIN, deconvolve, lag, regularization
from dronesense.model import Ambient, Flag, GasSeries, Response

S = 1_000_000_000
FINE = 50
"""Integration steps per sampling interval of the forward model."""


def make(
    seconds: np.ndarray, value: np.ndarray, sigma: float = 0.01, flags: np.ndarray | None = None
) -> GasSeries:
    m = len(value)
    return GasSeries(
        time=np.round(seconds * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, sigma),
        basis="dry",
        flags=np.zeros(m, np.uint16) if flags is None else flags,
        level="calibrated",
        ambient=Ambient(),
        instrument="",
        source="",
        row=np.arange(m) + 2,
    )


def lagged(seconds: np.ndarray, air: np.ndarray, tau: float) -> np.ndarray:
    """First-order lag of the air between fine stamps, by the exact solution of a piecewise constant input."""
    out = np.empty_like(air)
    out[0] = air[0]
    for k in range(1, len(air)):
        decay = math.exp(-(seconds[k] - seconds[k - 1]) / tau)
        out[k] = out[k - 1] * decay + 0.5 * (air[k] + air[k - 1]) * (1.0 - decay)
    return out


def plume(seconds: np.ndarray, centre: float, width: float, height: float) -> np.ndarray:
    return 2.0 + height * np.exp(-0.5 * ((seconds - centre) / width) ** 2)


@pytest.mark.parametrize(
    ("tau", "step", "width"),
    [(1.6, 1.0, 6.0), (1.6, 0.2, 2.0), (1.6, 0.1, 2.0), (10.0, 1.0, 6.0), (5.0, 0.2, 3.0)],
)
def test_a_plume_comes_back(tau: float, step: float, width: float) -> None:
    """The whole plume within 2 % of its height, its center within 0.3 intervals; raw it is lower and late."""
    fine = np.arange(0.0, 120.0, step / FINE)
    reading = lagged(fine, plume(fine, 60.0, width, 1.0), tau)[::FINE]
    seconds = fine[::FINE]
    out = deconvolve(make(seconds, reading), Response(tau_s=tau))
    assert reading.max() - 2.0 < 0.98
    np.testing.assert_allclose(out.value, plume(seconds, 60.0, width, 1.0), atol=0.02)
    top = np.average(seconds, weights=np.maximum(out.value - 2.2, 0.0))
    assert top == pytest.approx(60.0, abs=0.3 * step)


def test_the_reference_pulse_comes_back() -> None:
    """Check ``first_order_lag``: tau 10, dt 1, 5 ppm for k = 10..29, constant between samples."""
    reading = np.zeros(60)
    for k in range(1, 60):
        target = 5.0 if 10 <= k <= 29 else 0.0
        reading[k] = reading[k - 1] + (1.0 - math.exp(-0.1)) * (target - reading[k - 1])
    np.testing.assert_allclose(reading[[19, 29, 39]], [3.16060279, 4.32332358, 1.59046186], rtol=1e-8)
    out = deconvolve(make(np.arange(60.0), reading), Response(tau_s=10.0)).value
    np.testing.assert_allclose(out[14:26].mean(), 5.0, atol=0.1)
    np.testing.assert_allclose(out[33:57].mean(), 0.0, atol=0.1)
    assert np.trapezoid(out) == pytest.approx(100.0, rel=0.02)


def test_unregularized_inverse_matches_the_transfer_function() -> None:
    """A bound far above the plain inverse leaves it alone: 1 + tau d/dt with central differences."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20_000)
    out = deconvolve(make(np.arange(20_000.0), noise, 1.0), Response(tau_s=10.0), noise_gain=1e3)
    expected = math.sqrt(1.0 + 10.0**2 / 2.0)
    assert np.std(out.value[5:-5]) == pytest.approx(expected, rel=0.03)
    np.testing.assert_allclose(out.sigma[5:-5], expected, rtol=1e-6)


@pytest.mark.parametrize(("tau", "step"), [(1.6, 1.0), (1.6, 0.2), (10.0, 1.0), (4.0, 0.1)])
def test_sigma_is_what_a_monte_carlo_gives(tau: float, step: float) -> None:
    rng = np.random.default_rng(1)
    seconds = np.cumsum(step * rng.uniform(0.8, 1.2, 120))
    runs = np.array(
        [
            deconvolve(make(seconds, 0.01 * rng.standard_normal(120)), Response(tau_s=tau)).value
            for _ in range(400)
        ]
    )
    stated = deconvolve(make(seconds, np.zeros(120)), Response(tau_s=tau)).sigma
    np.testing.assert_allclose(runs.std(axis=0), stated, rtol=0.16)
    assert np.mean(runs.std(axis=0) / stated) == pytest.approx(1.0, abs=0.02)
    assert np.median(stated) <= 1.1 * NOISE_GAIN * 0.01


def test_sigma_equals_the_dense_operator() -> None:
    """Brute force: the matrix of the linear map, column by column, from unit impulses."""
    seconds = np.cumsum(np.random.default_rng(2).uniform(0.5, 1.5, 80))
    response = Response(tau_s=6.0)
    matrix = np.array([deconvolve(make(seconds, column), response).value for column in np.eye(80)]).T
    np.testing.assert_allclose(matrix @ np.ones(80), 1.0, atol=1e-9)
    stated = deconvolve(make(seconds, np.zeros(80), 0.5), response).sigma
    np.testing.assert_allclose(stated, 0.5 * np.sqrt((matrix**2).sum(axis=1)), rtol=1e-3)


def test_the_uncertainty_of_tau_counts_where_the_signal_moves() -> None:
    fine = np.arange(0.0, 120.0, 0.02)
    reading = lagged(fine, plume(fine, 60.0, 4.0, 1.0), 3.0)[::FINE]
    sure = deconvolve(make(fine[::FINE], reading, 1e-6), Response(tau_s=3.0))
    unsure = deconvolve(make(fine[::FINE], reading, 1e-6), Response(tau_s=3.0, sigma_tau_s=0.3))
    other = deconvolve(make(fine[::FINE], reading, 1e-6), Response(tau_s=3.3))
    np.testing.assert_allclose(unsure.sigma, np.abs(other.value - sure.value), atol=0.01)
    assert unsure.sigma.max() > 0.03


def test_common_errors_are_not_amplified() -> None:
    out = deconvolve(make(np.arange(200.0), np.ones(200), 0.05), Response(tau_s=8.0), noise=0.03)
    gain = deconvolve(make(np.arange(200.0), np.ones(200), 1.0), Response(tau_s=8.0)).sigma
    np.testing.assert_allclose(out.sigma, np.sqrt((0.03 * gain) ** 2 + 0.04**2))


def test_delay_is_taken_off_and_zero_tau_passes_through() -> None:
    raw = make(np.arange(20.0), np.linspace(2.0, 3.0, 20))
    out = deconvolve(raw, Response(delay_s=1.25))
    np.testing.assert_array_equal(out.time, raw.time - 1_250_000_000)
    np.testing.assert_array_equal(out.value, raw.value)
    np.testing.assert_array_equal(out.sigma, raw.sigma)
    assert "1.25 s" in out.history[-1]


def test_nothing_is_restored_across_a_gap() -> None:
    """Two stretches 60 s apart: each equals the stretch on its own, with its ends flagged."""
    seconds = np.r_[np.arange(40.0), 100.0 + np.arange(40.0)]
    value = np.sin(seconds / 5.0)
    whole = deconvolve(make(seconds, value), Response(tau_s=4.0))
    part = deconvolve(make(seconds[:40], value[:40]), Response(tau_s=4.0))
    np.testing.assert_allclose(whole.value[:40], part.value, rtol=1e-9)
    assert (whole.flags[[0, 39, 40, 79]] & Flag.EDGE).all()
    assert not (whole.flags[10:30] & Flag.EDGE).any()


def test_bad_samples_take_no_part_and_stay_flagged() -> None:
    seconds = np.arange(100.0)
    value = np.full(100, 2.0)
    flags = np.zeros(100, np.uint16)
    value[30], value[60], flags[60] = np.nan, 1e6, Flag.RANGE
    out = deconvolve(make(seconds, value, flags=flags), Response(tau_s=5.0))
    good = np.setdiff1d(np.arange(100), [30, 60])
    np.testing.assert_allclose(out.value[good], 2.0, atol=1e-9)
    assert not out.valid[[30, 60]].any()
    assert out.flags[60] & Flag.RANGE


@pytest.mark.parametrize("m", [1, 2, 4])
def test_too_short_to_restore_is_flagged(m: int) -> None:
    out = deconvolve(make(np.arange(float(m)), np.ones(m)), Response(tau_s=2.0))
    assert (out.flags & Flag.EDGE).all()


def test_strength_follows_the_stated_rule() -> None:
    assert regularization(1.0, 2.0) == 1e-12  # plain inverse: sqrt(1 + 1/2) < 2
    assert regularization(20.0, 2.0) > regularization(10.0, 2.0) > 1e-12
    with pytest.raises(ValueError, match="noise_gain"):
        deconvolve(make(np.arange(9.0), np.ones(9)), Response(tau_s=1.0), noise_gain=0.0)


def pulse(first: int, last: int, n: int = 60) -> np.ndarray:
    index = np.arange(float(n))
    return np.where((index >= first) & (index <= last), 5.0, 0.0)


def test_forward_model_equals_the_reference() -> None:
    """Checks ``first_order_lag`` and ``lag_asymmetric`` of the reference numbers, and both by hand."""
    seconds, air = np.arange(60.0), pulse(10, 29)
    same = lag(seconds, air, Response(tau_s=10.0))
    np.testing.assert_allclose(same[[19, 29, 39]], [3.16060279, 4.32332358, 1.59046186], rtol=1e-8)
    both = lag(seconds, air, Response(tau_s=5.0, tau_down_s=20.0))
    np.testing.assert_allclose(
        both[[14, 29, 39, 59]], [3.16060279, 4.90842181, 2.97710832, 1.09521694], rtol=1e-8
    )
    np.testing.assert_allclose(both[29], 5.0 * (1.0 - math.exp(-4.0)), rtol=1e-12)
    np.testing.assert_allclose(both[39], both[29] * math.exp(-0.5), rtol=1e-12)


def test_exact_inverse_amplifies_noise_as_the_reference_says() -> None:
    """Check ``exact_inverse_white_noise_gain``: weights 1/a and -(1 - a)/a of two readings."""
    decay = math.exp(-1.0 / 10.0)
    assert math.hypot(1.0, decay) / (1.0 - decay) == pytest.approx(14.1715707, rel=1e-8)


@pytest.mark.parametrize(("up", "down"), [(2.0, 9.0), (9.0, 2.0), (4.0, 4.0)])
def test_forward_model_equals_the_plain_recursion(up: float, down: float) -> None:
    rng = np.random.default_rng(11)
    seconds = np.cumsum(rng.uniform(0.2, 2.0, 500))
    air = np.cumsum(rng.standard_normal(500))
    expected = air.copy()
    for k in range(1, 500):
        tau = up if air[k] > expected[k - 1] else down
        share = 1.0 - math.exp(-(seconds[k] - seconds[k - 1]) / tau)
        expected[k] = expected[k - 1] + share * (air[k] - expected[k - 1])
    np.testing.assert_allclose(lag(seconds, air, Response(tau_s=up, tau_down_s=down)), expected, rtol=1e-9)


def test_slow_decay_is_undone_with_its_own_time_constant() -> None:
    """Rise 2 s, decay 8 s: with the right two the plume comes back, with either one alone it does not."""
    fine = np.arange(0.0, 200.0, 1.0 / FINE)
    both = Response(tau_s=2.0, tau_down_s=8.0)
    reading = lag(fine, plume(fine, 80.0, 6.0, 1.0), both)[::FINE]
    seconds = fine[::FINE]
    truth = plume(seconds, 80.0, 6.0, 1.0)

    def worst(response: Response) -> float:
        return float(np.abs(deconvolve(make(seconds, reading, 1e-4), response).value - truth).max())

    assert worst(both) < 0.06
    assert worst(Response(tau_s=2.0)) > 0.3
    assert worst(Response(tau_s=8.0)) > 0.3
    assert "8 s falling" in deconvolve(make(seconds, reading), both).history[-1]


def test_choice_of_the_time_constant_does_not_lift_the_mean_of_noise() -> None:
    noise = np.random.default_rng(3).standard_normal(4000)
    out = deconvolve(make(np.arange(4000.0), noise, 1.0), Response(tau_s=2.0, tau_down_s=12.0))
    assert abs(out.value[20:-20].mean()) < 0.1


@pytest.mark.parametrize("response", [Response(tau_s=5.0), Response(tau_s=3.0, tau_down_s=6.0)])
def test_noise_gain_is_predicted_within_ten_percent(response: Response) -> None:
    """On the flanks of a plume, not only on nothing: scatter of 100 runs against the stated sigma."""
    rng = np.random.default_rng(4)
    fine = np.arange(0.0, 150.0, 1.0 / FINE)
    clean = lag(fine, plume(fine, 75.0, 12.0, 10.0), response)[::FINE]
    seconds = fine[::FINE]
    runs = np.array(
        [
            deconvolve(make(seconds, clean + 0.01 * rng.standard_normal(clean.size)), response).value
            for _ in range(100)
        ]
    )
    stated = deconvolve(make(seconds, clean), response)
    flank = (stated.flags == 0) & (np.abs(stated.value - clean) > 0.5)  # it is known which way the cell goes
    assert flank.sum() > 30
    assert np.mean(runs.std(axis=0)[flank] / stated.sigma[flank]) == pytest.approx(1.0, abs=0.1)
