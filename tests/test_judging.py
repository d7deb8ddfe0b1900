"""Rings around regions beside a distance by hand; whitening by blocks beside an inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.detect import judging
from dronesense.detect.regions import Region
from dronesense.detect.weighing import Root


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 9))
def test_ring_lies_past_the_blur_and_is_background(seed: int, rows: int, cols: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random((rows, cols)).astype(np.float32)
    score[rng.random((rows, cols)) < 0.1] = np.nan
    index = np.unique(rng.integers(0, [rows, cols], size=(3, 2)), axis=0)
    case = judging.case(0, 0, Region(index, 1), score=score, fraction=np.ones_like(score), threshold=0.7)
    expected = []
    for row in range(rows):
        for col in range(cols):
            away = np.abs(index - [row, col]).max(axis=1).min()  # king's moves to the region
            if judging.RING[0] < away <= judging.RING[1] and score[row, col] < 0.7:
                expected.append((row, col))
    assert [tuple(each) for each in case.ring().tolist()] == expected


def test_long_rings_are_thinned_evenly() -> None:
    index = np.stack([np.full(40, 10), np.arange(5, 45)], axis=1)
    score = np.zeros((21, 60), dtype=np.float32)
    ring = judging.case(0, 0, Region(index, 1), score=score, fraction=score, threshold=1.0).ring()
    # 9 x 48 cells within 4, less 5 x 44 within 2, are 212: every third stays
    assert len(ring) == 71


@pytest.mark.parametrize("k", [1, 47, 48, 49, 130])
def test_whitening_by_blocks_is_the_inverse_root(k: int) -> None:
    rng = np.random.default_rng(k)
    mixed = rng.normal(size=(k, 2 * k))
    scale = np.geomspace(1e-6, 1e3, k)
    covariance = (mixed @ mixed.T) * np.outer(scale, scale)
    root = Root(covariance)
    rows = rng.normal(size=(5, k)) * scale
    white = root.whitened(rows)
    unit = np.linalg.inv(mixed @ mixed.T)
    expected = (rows / scale) @ unit @ (rows / scale).T
    np.testing.assert_allclose(white @ white.T, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())
    sign, log_det = np.linalg.slogdet(mixed @ mixed.T)
    assert sign == 1.0
    assert root.log_det == pytest.approx(log_det + 2.0 * np.log(scale).sum(), rel=1e-9, abs=1e-9)
