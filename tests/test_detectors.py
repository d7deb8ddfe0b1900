"""Detectors against their definitions, as plug-ins."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense import plugins
from dronesense.detect import detectors
from dronesense.detect.detectors import Detector, Products


def products(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray, target: np.ndarray) -> Products:
    inverse = np.linalg.inv(covariance)
    d, t = x - mean, target - mean
    contrast = float(t @ inverse @ t)
    return Products(
        fraction=(d @ inverse @ t / contrast).astype(np.float32),
        energy=np.einsum("ij,jk,ik->i", d, inverse, d).astype(np.float32),
        contrast=contrast,
        cosine=(x @ target / np.linalg.norm(x, axis=1) / np.linalg.norm(target)).astype(np.float32),
    )


@pytest.mark.parametrize("name", ["sam", "mf", "ace"])
def test_built_ins_come_through_the_entry_points(name: str) -> None:
    detector = plugins.find("dronesense.detectors", name)
    assert isinstance(detector, Detector)
    assert detector.name == name
    assert "doi" in detector.reference


def test_values_by_hand() -> None:
    # Unit covariance, mean 0, target along x: everything can be read off.
    x = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-1.0, 1.0], [-2.0, 0.0]])
    given = products(x, np.zeros(2), np.eye(2), np.array([2.0, 0.0]))
    np.testing.assert_allclose(detectors.mf.score(given), [1.0, 0.0, 0.5, -0.5, -1.0], atol=1e-6)
    np.testing.assert_allclose(detectors.ace.score(given), [1.0, 0.0, 0.5, -0.5, -1.0], atol=1e-6)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(detectors.sam.score(given), [1.0, 0.0, root, -root, -1.0], atol=1e-6)
    # evidence: along / across, 1 / 1 for the diagonal; its square is ACE / (1 - ACE)
    np.testing.assert_allclose(detectors.evidence(given)[1:4], [0.0, 1.0, -1.0], atol=1e-6)


def test_a_pixel_equal_to_the_mean_is_like_nothing() -> None:
    given = products(np.ones((1, 2)), np.ones(2), np.eye(2), np.array([2.0, 0.0]))
    assert detectors.ace.score(given).tolist() == [0.0]


def test_ace_and_evidence_tell_the_same_order() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 6))
    given = products(x, np.zeros(6), np.cov(rng.normal(size=(6, 50))), rng.normal(size=6))
    ace, evidence = detectors.ace.score(given).astype(float), detectors.evidence(given).astype(float)
    np.testing.assert_allclose(np.sign(evidence) * evidence**2 / (1 + evidence**2), ace, atol=2e-6)
