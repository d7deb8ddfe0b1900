"""Detectors against their definitions, as plug-ins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dronesense import plugins
from dronesense.detect import detectors
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


@pytest.mark.parametrize("name", ["sam", "mf", "ace"])
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
