"""Stated false-alarm rates against realised ones, on backgrounds whose tails are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, stats

from dronesense.detect import tail
from dronesense.errors import CoverageError

SHAPE = (400, 500)
Draw = Callable[[np.random.Generator], np.ndarray]


def coherence(rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=SHAPE)
    return np.sign(z) * z**2 / (z**2 + rng.chisquare(79, size=SHAPE))


def correlated(rng: np.random.Generator) -> np.ndarray:
    blurred = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5)
    return blurred / blurred.std()


def materials(rng: np.random.Generator) -> np.ndarray:
    second = rng.random(SHAPE) < 0.1
    return np.where(second, rng.normal(1.5, 0.6, size=SHAPE), rng.normal(size=SHAPE))


BACKGROUNDS: dict[str, Draw] = {
    "gaussian": lambda rng: rng.normal(size=SHAPE),
    "student, 5 degrees": lambda rng: rng.standard_t(5, size=SHAPE),
    "student, 3 degrees": lambda rng: rng.standard_t(3, size=SHAPE),
    "coherence (ACE)": coherence,
    "two materials": materials,
    "correlated": correlated,
}


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_stated_rates_are_realised_within_a_factor_of_two(name: str) -> None:
    draw = BACKGROUNDS[name]
    realised = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        model = tail.fit(draw(rng).astype(np.float32))
        fresh = np.concatenate([draw(rng).ravel() for _ in range(5)])  # 1e6 pixels not seen by the fit
        realised.append([np.mean(fresh > tail.score_at(model, p)) / p for p in (1e-2, 1e-3, 1e-4)])
    ratio = np.array(realised)
    assert np.all((ratio[:, :2] > 0.5) & (ratio[:, :2] < 2.0)), ratio
    assert 0.5 < np.median(ratio[:, 2]) < 2.0, ratio
    assert np.all(ratio[:, 2] < 2.5), ratio


def test_targets_in_the_scene_do_not_move_the_threshold() -> None:
    rng = np.random.default_rng(3)
    clean = rng.normal(size=SHAPE)
    planted = clean.copy()
    for row, col in rng.integers(5, 390, size=(60, 2)):
        planted[row : row + 3, col : col + 3] = rng.uniform(15.0, 60.0)
        planted[row - 1, col : col + 3] = rng.uniform(2.0, 15.0)  # partly filled rim
    with_targets = tail.score_at(tail.fit(planted.astype(np.float32)), 1e-4)
    assert with_targets == pytest.approx(tail.score_at(tail.fit(clean.astype(np.float32)), 1e-4), rel=0.1)
    blind = tail.fit(planted.astype(np.float32), exclude=np.zeros(SHAPE, dtype=bool))
    assert tail.score_at(blind, 1e-4) > 2.0 * with_targets  # what the exclusion is for


def strewn(rng: np.random.Generator) -> np.ndarray:
    """Scores with an end, and 2 in 1,000 pixels of odd things that lie beyond it: a step in the tail."""
    odd = rng.random(SHAPE) < 2e-3
    return np.where(odd, rng.uniform(1.1, 1.5, size=SHAPE), rng.beta(2.0, 6.0, size=SHAPE))


def test_steps_of_the_tail_are_counted_not_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = {}
    for anchor in (tail.ANCHOR, 10**9):
        monkeypatch.setattr(tail, "ANCHOR", anchor)
        ratio = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            model = tail.fit(strewn(rng).astype(np.float32), exclude=np.zeros(SHAPE, dtype=bool))
            fresh = np.concatenate([strewn(rng).ravel() for _ in range(5)])
            ratio.append([np.mean(fresh > tail.score_at(model, p)) / p for p in (1e-2, 1e-3, 3e-4)])
        ratios[anchor] = np.array(ratio)
    counted, curve = ratios.values()
    assert np.all((counted > 0.5) & (counted < 2.0)), counted
    assert np.any((curve < 0.5) | (curve > 2.0)), curve  # what it is for


def test_suspects_are_the_targets_and_their_rim() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(size=SHAPE).astype(np.float32)
    scores[100:103, 200:203] = 40.0
    found = tail.suspects(scores)
    assert found[98:105, 198:205].all()
    assert found.sum() == 49


def test_a_clean_background_loses_next_to_nothing() -> None:
    for name, draw in BACKGROUNDS.items():
        lost = tail.suspects(draw(np.random.default_rng(9)).astype(np.float32))
        assert lost.mean() < 2e-3, name


def test_pareto_parameters_of_pareto_samples() -> None:
    for shape in (-0.3, 0.0, 0.2):
        sample = np.sort(stats.genpareto.rvs(shape, scale=2.0, size=20_000, random_state=1))
        found, scale = tail.fit_pareto(sample)
        assert found == pytest.approx(shape, abs=0.03)
        assert scale == pytest.approx(2.0, rel=0.05)
        peer = stats.kstest(sample, stats.genpareto(found, scale=scale).cdf).statistic
        assert tail.ks_distance(sample, found, scale) == pytest.approx(peer, abs=1e-12)


def test_the_misfit_limit_is_exceeded_by_few_true_samples() -> None:
    n, repeats = 500, 400
    rng = np.random.default_rng(0)
    for shape in (-0.3, 0.0, 0.3):
        exceeded = 0
        for _ in range(repeats):
            sample = np.sort(stats.genpareto.rvs(shape, size=n, random_state=rng))
            exceeded += tail.ks_distance(sample, *tail.fit_pareto(sample)) > tail.KS_FACTOR / np.sqrt(n)
        assert 0.002 < exceeded / repeats < 0.06  # stated: 1 to 4 in 100


def test_score_and_probability_are_inverse() -> None:
    model = tail.fit(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    for p in (0.3, 0.05, 1e-3, 1e-5):
        assert tail.p_value(model, tail.score_at(model, p)) == pytest.approx(p, rel=0.02)
    grid = np.linspace(-3, 8, 200)
    assert np.all(np.diff(tail.p_value(model, grid)) <= 0.0)


def test_no_probability_beyond_what_the_pixels_can_tell() -> None:
    model = tail.fit(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    assert tail.p_value(model, 1e9) == pytest.approx(1e-3 / model.n_background)


def test_scores_without_a_pareto_tail_fall_back_and_say_so() -> None:
    steps = np.random.default_rng(1).choice([0.0, 1.0, 2.0, 10.0], p=[0.7, 0.2, 0.09, 0.01], size=SHAPE)
    scores = steps.astype(np.float32)
    model = tail.fit(scores, exclude=np.zeros(SHAPE, dtype=bool))
    assert model.note.startswith("empirical")
    assert model.threshold == float("inf")
    assert tail.score_at(model, 1e-7) == 10.0  # the highest seen, nothing made up
    assert tail.p_value(model, 10.0) <= 0.011


def test_invalid_pixels_are_not_background() -> None:
    scores = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    scores[:100] = np.nan
    assert 0.99 * 300 * 500 < tail.fit(scores).n_background <= 300 * 500
    with pytest.raises(CoverageError, match="too few"):
        tail.fit(np.full((100, 100), np.nan, dtype=np.float32))


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_a_probability_is_a_probability(p: float) -> None:
    model = tail.fit(np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32))
    with pytest.raises(ValueError, match="probability"):
        tail.score_at(model, p)
