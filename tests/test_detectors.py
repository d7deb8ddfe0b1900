"""Detectors against their definitions, as plug-ins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense import plugins
from dronesense.detect import detectors, measures
from dronesense.detect.background import Background, factor
from dronesense.detect.detectors import Detector, Problem, Products


def make_background(mean: np.ndarray, covariance: np.ndarray) -> Background:
    whitening, condition = factor(covariance, ridge=0.0, where="")
    k = len(mean)
    return Background(
        bands=np.arange(k),
        mean=mean,
        covariance=covariance,
        noise=covariance,
        ridge=0.0,
        whitening=whitening,
        condition=condition,
        sample=np.zeros((1, k), dtype=np.float32),
        pixels=1,
        trimmed=0,
        history=(),
    )


def products(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray, target: np.ndarray) -> Products:
    inverse = np.linalg.inv(covariance)
    d, t = x - mean, target - mean
    contrast = float(t @ inverse @ t)
    return Products(
        fraction=(d @ inverse @ t / contrast).astype(np.float32),
        energy=np.einsum("ij,jk,ik->i", d, inverse, d).astype(np.float32),
        contrast=contrast,
    )


def score(
    detector: Detector, x: np.ndarray, mean: np.ndarray, covariance: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """What the engine does, pixel rows x (n, k), in float64."""
    background = make_background(mean, covariance)
    nm = np.linspace(400.0, 1000.0, len(mean))
    scorer = detector.prepare(Problem(target, background, nm, target[None], np.empty((0, len(mean)))))
    given = products(x, mean, covariance, target)
    more = replace(
        given,
        rows=(scorer.rows @ x.T if scorer.rows.size else np.empty((0, len(x)))).astype(np.float32),
        centered=(scorer.centered @ (x - mean).T if scorer.centered.size else np.empty((0, len(x)))).astype(
            np.float32
        ),
        norm=np.einsum("ij,ij->i", x, x).astype(np.float32),
        spectra=np.ascontiguousarray(x.T, dtype=np.float32),
    )
    return scorer.score(more)


@pytest.mark.parametrize("name", ["sam", "mf", "ace", "asd"])
def test_built_ins_come_through_the_entry_points(name: str) -> None:
    detector = plugins.find("dronesense.detectors", name)
    assert isinstance(detector, Detector)
    assert detector.name == name
    assert "doi" in detector.reference


def test_values_by_hand() -> None:
    # Unit covariance, mean 0, target along x: everything can be read off.
    x = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 1.0], [-2.0, 0.0]])
    scene = (x, np.zeros(2), np.eye(2), np.array([2.0, 0.0]))
    np.testing.assert_allclose(score(detectors.mf, *scene), [1.0, 0.0, 0.5, -0.5, -1.0], atol=1e-6)
    np.testing.assert_allclose(score(detectors.ace, *scene), [1.0, 0.0, 0.5, -0.5, -1.0], atol=1e-6)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(score(detectors.sam, *scene), [1.0, 0.0, root, -root, -1.0], atol=1e-6)
    given = products(*scene)
    # evidence: along / across, 1 / 1 for the diagonal; its square is ACE / (1 - ACE)
    np.testing.assert_allclose(detectors.evidence(given)[1:4], [0.0, 1.0, -1.0], atol=1e-6)


def test_a_pixel_equal_to_the_mean_is_like_nothing() -> None:
    assert score(detectors.ace, np.ones((1, 2)), np.ones(2), np.eye(2), np.array([2.0, 0.0])).tolist() == [
        0.0
    ]


def test_ace_and_evidence_tell_the_same_order() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 6))
    scene = (x, np.zeros(6), np.cov(rng.normal(size=(6, 50))), rng.normal(size=6))
    ace = score(detectors.ace, *scene).astype(float)
    evidence = detectors.evidence(products(*scene)).astype(float)
    np.testing.assert_allclose(np.sign(evidence) * evidence**2 / (1 + evidence**2), ace, atol=2e-6)


# -- likeness, projections, subspaces, anomalies --

K = 12


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (200, K), mean, covariance, target; all positive."""
    rng = np.random.default_rng(seed)
    root = np.eye(K) + 0.3 * rng.normal(size=(K, K))
    x = 30.0 + rng.normal(size=(200, K)) @ root.T
    return x, np.full(K, 30.0), root @ root.T, 30.0 + 8.0 * rng.random(K)


def test_each_equals_its_definition() -> None:
    x, m, c, t = scene(0)
    np.testing.assert_allclose(
        score(measures.scm, x, m, c, t), [np.corrcoef(one, t)[0, 1] for one in x], atol=2e-4
    )
    inverse = np.linalg.inv(c + np.outer(m, m))
    np.testing.assert_allclose(
        score(measures.cem, x, m, c, t), x @ inverse @ t / (t @ inverse @ t), atol=1e-4
    )
    d = x - m
    distance = np.einsum("ij,jk,ik->i", d, np.linalg.inv(c), d)
    np.testing.assert_allclose(score(measures.rx, x, m, c, t), distance, rtol=1e-5)
    p, q = x / x.sum(axis=1, keepdims=True), t / t.sum()
    divergence = np.sum((p - q) * np.log(p / q), axis=1)
    np.testing.assert_allclose(score(measures.sid, x, m, c, t), -divergence, atol=1e-6)
    cosine = x @ t / np.linalg.norm(x, axis=1) / np.linalg.norm(t)
    tangent = np.tan(np.arccos(cosine))
    np.testing.assert_allclose(score(measures.sid_sam, x, m, c, t), -divergence * tangent, atol=1e-6)


def test_projections_equal_least_squares() -> None:
    x, m, c, t = scene(1)
    _, vectors = np.linalg.eigh(c + np.outer(m, m))
    unwanted = vectors[:, -measures.BACKGROUND_DIRECTIONS :]
    both = np.column_stack([t, unwanted])
    fitted, *_ = np.linalg.lstsq(both, x.T, rcond=None)
    np.testing.assert_allclose(score(measures.osp, x, m, c, t), fitted[0], atol=1e-3)

    def left(basis: np.ndarray) -> np.ndarray:
        return np.sum((x.T - basis @ np.linalg.lstsq(basis, x.T, rcond=None)[0]) ** 2, axis=0)

    expected = (left(unwanted) - left(both)) / left(both)
    np.testing.assert_allclose(score(measures.amsd, x, m, c, t), expected, rtol=0.02, atol=0.02)


def test_one_signature_makes_the_subspace_the_coherence_and_two_explain_more() -> None:
    x, m, c, t = scene(2)
    one = score(measures.asd, x, m, c, t)
    np.testing.assert_allclose(one, score(detectors.ace, x, m, c, t), atol=2e-5)
    other = t[::-1].copy()
    known = make_background(m, c)
    problem = Problem(t, known, np.full(K, np.nan), np.stack([t, other]), np.empty((0, K)))
    scorer = measures.asd.prepare(problem)
    given_ = products(x, m, c, t)
    rows = (scorer.centered @ (x - m).T).astype(np.float32)
    two = scorer.score(detectors.Products(given_.fraction, given_.energy, given_.contrast, centered=rows))
    inverse = np.linalg.inv(c)
    s = np.stack([t - m, other - m], axis=1)
    a = inverse @ s @ np.linalg.inv(s.T @ inverse @ s) @ s.T @ inverse
    d = x - m
    expected = np.einsum("ij,jk,ik->i", d, a, d) / np.einsum("ij,jk,ik->i", d, inverse, d)
    np.testing.assert_allclose(np.abs(two), expected, atol=2e-5)
    assert np.all(np.abs(two) >= np.abs(one) - 1e-5)


@given(st.floats(0.3, 3.0), st.integers(0, 20))
def test_shapes_do_not_change_with_illumination(gain: float, seed: int) -> None:
    x, m, c, t = scene(seed)
    for detector in (measures.sid, measures.sid_sam, detectors.sam, measures.scm):
        before = score(detector, x, m, c, t)
        np.testing.assert_allclose(score(detector, gain * x, m, c, t), before, atol=2e-4)
    offset = score(measures.scm, x + 5.0, m, c, t)
    np.testing.assert_allclose(offset, score(measures.scm, x, m, c, t), atol=5e-4)


@given(st.integers(0, 20))
def test_whitened_scores_do_not_change_under_affine_maps(seed: int) -> None:
    x, m, c, t = scene(seed)
    rng = np.random.default_rng(seed)
    a, b = np.eye(K) + 0.2 * rng.normal(size=(K, K)), rng.normal(size=K)
    for detector in (measures.rx, measures.asd, detectors.mf, detectors.ace):
        before = score(detector, x, m, c, t)
        after = score(detector, x @ a.T + b, a @ m + b, a @ c @ a.T, a @ t + b)
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cem", "osp"])
def test_filters_give_one_for_the_target(name: str) -> None:
    _, m, c, t = scene(3)
    assert score(getattr(measures, name), t[None], m, c, t) == pytest.approx(1.0, abs=1e-5)
