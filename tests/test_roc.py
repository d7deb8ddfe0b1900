"""ROC curves against an independent peer, and by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dronesense.detect.roc import roc
from dronesense.errors import CoverageError


def scene() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random((20, 30)) < 0.1
    score = np.round(rng.normal(size=(20, 30)) + truth, 1)  # many ties
    score[0, :5] = np.nan
    return score, truth


def test_area_is_that_of_scikit_learn() -> None:
    score, truth = scene()
    known = np.isfinite(score)
    assert roc(score, truth).area == pytest.approx(roc_auc_score(truth[known], score[known]), abs=1e-12)


@pytest.mark.parametrize("threshold", [-9.0, -0.35, 0.0, 0.1, 1.0, 9.0])
def test_shares_at_a_threshold_are_counted(threshold: float) -> None:
    score, truth = scene()
    known = np.isfinite(score)
    found = np.mean(score[known & truth] >= threshold)
    false = np.mean(score[known & ~truth] >= threshold)
    assert roc(score, truth).at(threshold) == pytest.approx((found, false))


def test_a_truth_without_scores_is_refused() -> None:
    with pytest.raises(CoverageError, match="0 target"):
        roc(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="pixels"):
        roc(np.zeros((2, 2)), np.zeros((2, 3), dtype=bool))
