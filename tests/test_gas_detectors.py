"""Whitening, templates, control charts, rounding and baselines: what gathers weak plumes at a stated rate."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from dronesense.detect import (
    gas_background,
    gas_baseline,
    gas_charts,
    gas_rounding,
    gas_statistics,
    gas_templates,
    gas_whitening,
)
from dronesense.detect.gas import METHOD, search
from dronesense.model import Ambient, DetectRule, GasSeries

pytestmark = pytest.mark.once

S = 1_000_000_000
NOISE = 0.01


def series(value: np.ndarray, step_s: float = 1.0) -> GasSeries:
    m = value.size
    return GasSeries(
        time=np.round(np.arange(m) * step_s * S).astype(np.int64),
        species="CH4",
        quantity="mole_fraction",
        value=value,
        sigma=np.full(m, NOISE),
        basis="dry",
        flags=np.zeros(m, np.uint16),
        level="calibrated",
        ambient=Ambient(),
        instrument="analyser",
        source="raw/analyser.csv",
        row=np.arange(m),
    )


def rule(method: str = "peak", stated: float = 1.0, **more: object) -> DetectRule:
    return DetectRule("x", "CH4", method=method, false_alarms_per_hour=stated, **more)  # type: ignore[arg-type]


# Control charts: published run lengths


@pytest.mark.parametrize(("level", "key"), [(4.0, "h4"), (5.0, "h5")])
def test_cusum_run_lengths_are_the_published_ones(shared_data: Path, level: float, key: str) -> None:
    known = json.loads((shared_data / "gas/checks.json").read_text())["cusum_one_sided_k0.5"][key]
    for name, expected in known.items():
        found = gas_charts.cusum_run_length(level, shift=float(name.removeprefix("arl")))
        assert found == pytest.approx(expected, rel=1e-3), name


def test_ewma_run_lengths_are_the_published_ones() -> None:
    """Lucas & Saccucci 1990: 500 in control, 10.5 and 10.3 after a shift of one."""
    for smoothing, limit, shifted in ((0.2, 2.962, 10.54), (0.1, 2.814, 10.33)):
        assert gas_charts.ewma_run_length(limit, smoothing=smoothing) == pytest.approx(499.5, rel=5e-3)
        found = gas_charts.ewma_run_length(limit, smoothing=smoothing, shift=1.0)
        assert found == pytest.approx(shifted, rel=5e-3)


def test_run_lengths_by_brute_force() -> None:
    """1,500 charts to their first alarm: 3 % is their own uncertainty."""
    rng = np.random.default_rng(1)
    lengths = []
    for _ in range(1500):
        chart = gas_charts.cusum(rng.standard_normal(3000), np.ones(2999, bool))
        above = np.flatnonzero(chart >= 3.0)
        lengths.append(above[0] + 1 if above.size else 3000)
    assert np.mean(lengths) == pytest.approx(gas_charts.cusum_run_length(3.0), rel=0.1)


def test_charts_by_their_recursion() -> None:
    rng = np.random.default_rng(2)
    residual, joined = rng.standard_normal(300), np.ones(299, bool)
    joined[120] = False
    s, q, sums, means = 0.0, 0.0, [], []
    for k, e in enumerate(residual):
        if k == 121:
            s = q = 0.0
        s, q = max(0.0, s + e - 0.5), 0.8 * q + 0.2 * e
        sums.append(s)
        means.append(q / math.sqrt(0.2 / 1.8))
    np.testing.assert_allclose(gas_charts.cusum(residual, joined), sums, atol=1e-12)
    np.testing.assert_allclose(gas_charts.ewma(residual, joined, smoothing=0.2), means, atol=1e-12)


# Whitening


def test_autoregression_finds_what_was_planted() -> None:
    """AR(2) with coefficients 1.2 and -0.4: the filter returns innovations of unit variance."""
    e = np.random.default_rng(3).standard_normal(30_000)
    x = lfilter([1.0], [1.0, -1.2, 0.4], e)[1000:]
    z, joined = x / x.std(), np.ones(x.size - 1, bool)
    found = gas_whitening.autoregression(z, np.ones(z.size, bool), joined)
    np.testing.assert_allclose(np.array(found[1:]) / found[0], [-1.2, 0.4], atol=0.03)
    white = gas_whitening.whiten(z, joined, found)
    assert white.std() == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(white[1:], white[:-1])[0, 1]) < 0.02


def test_white_noise_is_left_alone() -> None:
    z = np.random.default_rng(4).standard_normal(5000)
    assert gas_whitening.autoregression(z, np.ones(5000, bool), np.ones(4999, bool)) == (1.0,)


# Templates


def test_a_template_answers_with_the_signal_to_noise_ratio() -> None:
    """In white noise of unit variance the right template answers with the energy's root, at the peak."""
    templates = gas_templates.bank((8.0, 16.0))
    t = np.arange(400.0)
    plume = 0.7 * np.exp(-4.0 * math.log(2.0) * ((t - 200.0) / 16.0) ** 2)
    found = gas_templates.respond(plume, np.ones(399, bool), templates)
    assert found[1].argmax() == 200
    assert found[1].max() == pytest.approx(math.sqrt(float(plume @ plume)), rel=1e-3)
    assert found[0].max() < found[1].max()


def test_the_part_of_a_template_before_a_gap_counts_with_its_own_energy() -> None:
    noise = np.random.default_rng(5).standard_normal((2000, 40))
    joined = np.ones(39, bool)
    joined[19] = False
    templates = gas_templates.bank((8.0,))
    at_edge = np.array([gas_templates.respond(row, joined, templates)[0, [0, 19, 20]] for row in noise])
    np.testing.assert_allclose(at_edge.std(axis=0), 1.0, atol=0.06)


# Rounding


def test_the_step_of_rounded_readings_is_found() -> None:
    value = np.round(np.random.default_rng(6).normal(400.0, 3.0, 500) / 0.25) * 0.25
    assert gas_rounding.step_of(value) == pytest.approx(0.25, rel=1e-9)
    assert gas_rounding.step_of(np.random.default_rng(6).normal(size=500)) == 0.0


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_noise_before_rounding_comes_back(step: float) -> None:
    noise = np.random.default_rng(7).standard_normal(20_000)
    rounded = np.round(noise / step) * step
    found = gas_rounding.noise_of(rounded, step=step, first=float(rounded.std()))
    assert found == pytest.approx(1.0, abs=0.03)
    drawn = gas_rounding.unround(rounded, np.zeros(rounded.size), step=step, noise=found)
    assert np.abs(drawn - rounded).max() <= 0.5 * step * (1 + 1e-9)
    np.testing.assert_allclose(np.quantile(drawn, [0.05, 0.5, 0.95]), [-1.645, 0.0, 1.645], atol=0.06)


# Baselines


def test_asls_gives_the_published_curve(shared_data: Path) -> None:
    known = json.loads((shared_data / "gas/checks.json").read_text())["asls_pybaselines"]
    i = np.arange(200.0)
    value = 2 + 0.001 * i + 3 * np.exp(-(((i - 100) / 8) ** 2)) + 0.5 * np.exp(-(((i - 40) / 5) ** 2))
    curve = gas_baseline.baseline(value, family="asls", strength=known["lam"], asymmetry=known["p"])
    for at, expected in known["at"].items():
        assert curve[int(at)] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("family", gas_baseline.FAMILY)
def test_every_family_answers_without_noise(family: str) -> None:
    """pybaselines' arpls and others return NaN there."""
    i = np.arange(300.0)
    for value in (np.full(300, 2.0), 2.0 + 0.001 * i, 2.0 + np.exp(-(((i - 150) / 9.0) ** 2))):
        curve = gas_baseline.baseline(value, family=family, strength=1e6)
        assert np.isfinite(curve).all()
        assert np.abs(curve[:80] - value[:80]).max() < 0.1


@pytest.mark.parametrize("start", gas_background.STARTS)
def test_no_first_background_eats_a_broad_plume(start: str) -> None:
    """A plume 40 s wide, 0.2 ppm high, under a window of 300 s: its area stays within 5 %."""
    t = np.arange(1200.0)
    plume = 0.2 * np.exp(-0.5 * ((t - 600.0) / 17.0) ** 2)
    noise = NOISE * np.random.default_rng(8).standard_normal(t.size)
    value = 2.0 + 0.03 * np.sin(2.0 * np.pi * t / 2400.0) + plume + noise
    found = search(series(value), rule(background=start))
    inside = np.abs(t - 600.0) < 60.0
    left = (value - found.background)[inside].sum()
    assert left == pytest.approx(plume[inside].sum(), rel=0.05)
    assert len(found.detections) == 1


def test_baseline_guards() -> None:
    with pytest.raises(ValueError, match="family"):
        gas_baseline.baseline(np.arange(9.0), family="arpsl", strength=1.0)
    with pytest.raises(ValueError, match="finite"):
        gas_baseline.baseline(np.array([1.0, np.nan] * 5), strength=1.0)


# The whole search


@pytest.mark.parametrize("method", gas_statistics.METHODS)
@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_every_method_holds_its_rate(method: str, phi: float) -> None:
    """12 h at 10 per hour: 120 expected; a factor of 1.5 is more than four standard deviations."""
    rng = np.random.default_rng(int(10 * phi))
    count = 0
    for _ in range(12):
        noise = lfilter([math.sqrt(1 - phi**2)], [1.0, -phi], rng.standard_normal(4600))[1000:]
        count += len(search(series(2.0 + NOISE * noise), rule(method, 10.0)).detections)
    assert 10.0 / 1.5 < count / 12.0 < 15.0


@pytest.mark.parametrize("method", ["template", "cusum"])
def test_a_weak_broad_plume_is_found_by_what_gathers_it(method: str) -> None:
    """Height 1.5 sigma, 24 s wide: the samples alone see one in three at most, the gatherers nearly all."""
    t = np.arange(1800.0)
    plume = 1.5 * NOISE * np.exp(-4.0 * math.log(2.0) * ((t - 900.0) / 24.0) ** 2)
    seen = dict.fromkeys((method, "peak"), 0)
    for seed in range(20):
        value = 2.0 + plume + NOISE * np.random.default_rng(seed).standard_normal(t.size)
        for name in seen:
            found = search(series(value), rule(name))
            seen[name] += any(abs(one.index[one.peak] - 900) < 24 for one in found.detections)
    assert seen[method] >= 18
    assert seen["peak"] <= 8


@pytest.mark.parametrize("method", gas_statistics.METHODS)
def test_every_method_finds_a_plain_plume_once_and_says_how(method: str) -> None:
    t = np.arange(900.0)
    value = 2.0 + 0.2 * np.exp(-0.5 * ((t - 500.0) / 6.0) ** 2)
    value += NOISE * np.random.default_rng(9).standard_normal(t.size)
    found = search(series(value), rule(method))
    (one,) = (each for each in found.detections if abs(int(each.index[each.peak]) - 500) <= 60)
    assert abs(int(one.index[one.peak]) - 500) <= 4
    assert one.value == pytest.approx(0.2, abs=4 * one.sigma)
    assert one.method == METHOD[method]
    assert found.parameters["method"] == method
    assert np.isfinite(found.score).all()


def test_rounded_readings_hold_their_rate_too() -> None:
    """Readings in steps of one sigma: 12 h at 10 per hour."""
    rng = np.random.default_rng(10)
    count = 0
    for _ in range(12):
        value = np.round(rng.standard_normal(3600)) * NOISE + 2.0
        count += len(search(series(value), rule(stated=10.0)).detections)
    assert 10.0 / 1.5 < count / 12.0 < 15.0


def test_unknown_method_and_background_are_refused() -> None:
    value = 2.0 + NOISE * np.random.default_rng(1).standard_normal(600)
    with pytest.raises(ValueError, match="method"):
        search(series(value), rule("cumsum"))
    with pytest.raises(ValueError, match="start"):
        search(series(value), dataclasses.replace(rule(), background="asl"))


def test_what_the_search_cannot_see_is_told() -> None:
    """A drift 60 noises deep over 400 s; and a record shorter than the background's window."""
    t = np.arange(1200.0)
    noise = NOISE * np.random.default_rng(11).standard_normal(t.size)
    found = search(series(2.0 - 0.6 * np.exp(-0.5 * ((t - 400.0) / 80.0) ** 2) + noise), rule())
    assert 100.0 < found.parameters["below_background_s"] < 500.0
    assert not found.parameters["shorter_than_window"]
    quiet = search(series(2.0 + noise[:250]), rule())
    assert quiet.parameters["below_background_s"] == 0.0
    assert quiet.parameters["shorter_than_window"]
