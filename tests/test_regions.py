"""Regions of score maps, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dronesense.detect import regions
from dronesense.detect import tail as tails
from dronesense.model import ScoreMap


def make_map(score: np.ndarray, *, threshold: float = 8.0, with_tail: bool = True) -> ScoreMap:
    """A map over a background of unit Gaussian scores; 1e-3 lies at 3.1."""
    background = np.random.default_rng(0).normal(size=(300, 300)).astype(np.float32)
    tail = tails.fit(background) if with_tail else None
    return ScoreMap("cube", "target", "mf", score.astype(np.float32), "fraction", threshold, 1e-6, tail)


def detect(score: np.ndarray, **options: object) -> tuple:
    score_map = make_map(score)
    found = regions.outline(score_map, **options)  # type: ignore[arg-type]
    fraction = np.nan_to_num(score).astype(np.float32) / 20.0
    return regions.detect(score_map, found, source="c.hdr", fraction=fraction, sigma=0.05)


def test_nothing_found_is_empty() -> None:
    assert detect(np.zeros((20, 20))) == ()
    assert detect(np.full((20, 20), np.nan)) == ()


def test_corners_join_and_the_rim_is_one_pixel_wide() -> None:
    score = np.zeros((20, 20))
    score[5, 5] = score[6, 6] = 20.0
    score[5, 6] = 5.0  # above the rim level of 3.1, below the threshold
    score[5, 7] = 5.0
    score[4, 8] = 5.0  # touches only a rim pixel
    score[7, 7] = 2.0  # below the rim level
    (found,) = regions.outline(make_map(score))
    assert found.seeds == 2
    assert set(map(tuple, found.index.tolist())) == {(5, 5), (6, 6), (5, 6), (5, 7)}


def test_a_rim_never_merges_and_goes_to_the_higher_peak() -> None:
    score = np.zeros((20, 20))
    score[5, 4], score[5, 5], score[5, 6] = 20.0, 5.0, 30.0
    first, second = regions.outline(make_map(score))
    assert [tuple(first.index[0]), tuple(second.index[0])] == [(5, 6), (5, 4)]
    assert len(first.index) == 2
    assert len(second.index) == 1


def test_a_subpixel_target_between_two_pixels_has_its_centroid_between_them() -> None:
    score = np.zeros((20, 20))
    score[5, 5], score[5, 6] = 15.0, 5.0  # three quarters and one quarter
    (found,) = detect(score)
    centroid = (found.index * found.weight[:, None]).sum(axis=0) / found.weight.sum()
    np.testing.assert_allclose(centroid, [5.0, 5.25])
    assert found.index[found.peak].tolist() == [5, 5]
    assert found.score == 15.0
    assert found.value == pytest.approx(0.75)


def test_min_pixels_counts_seeds_only() -> None:
    score = np.zeros((20, 20))
    score[5, 5], score[5, 6] = 20.0, 5.0
    score[12:14, 12] = 20.0
    assert len(detect(score)) == 2
    (found,) = detect(score, min_pixels=2)
    assert found.index[found.peak, 1] == 12
    with pytest.raises(ValueError, match="min_pixels"):
        detect(score, min_pixels=0)


def test_flags() -> None:
    score = np.zeros((20, 20))
    score[0, 10] = score[10, 10] = score[15, 4] = 20.0
    score[10, 11] = np.nan
    flags = {tuple(found.index[0]): found.flags for found in detect(score)}
    assert flags == {(0, 10): ("edge",), (10, 10): ("saturated-neighbor",), (15, 4): ()}


def test_without_a_tail_there_are_no_p_values() -> None:
    score = np.zeros((20, 20))
    score[5, 5], score[5, 6] = 20.0, 5.0
    score_map = make_map(score, with_tail=False)
    found = regions.outline(score_map)
    assert len(found[0].index) == 2  # a quarter of the threshold
    (detection,) = regions.detect(
        score_map, found, source="c", fraction=np.zeros((20, 20), dtype=np.float32), sigma=1.0
    )
    assert np.isnan(detection.p_value)
    assert np.isnan(detection.q_value)
    assert detection.weight.tolist() == [1.0, 1.0]  # no fill anywhere: the plain middle


def test_false_discovery_rates_equal_scipy() -> None:
    p = np.random.default_rng(0).random(200) ** 3
    np.testing.assert_allclose(
        regions.false_discovery_rates(p, tested=200), stats.false_discovery_control(p, method="bh")
    )


def test_q_values_count_every_tested_pixel() -> None:
    score = np.random.default_rng(5).normal(size=(100, 100))
    score[50, 50] = 20.0
    score_map = make_map(score, threshold=4.0)
    found = regions.detect(
        score_map, regions.outline(score_map), source="c", fraction=score.astype(np.float32), sigma=1.0
    )
    assert score_map.tail is not None
    everything = stats.false_discovery_control(tails.p_value(score_map.tail, score_map.score).ravel())
    for detection in found:
        row, col = detection.index[detection.peak]
        assert detection.q_value == pytest.approx(everything[row * 100 + col], rel=1e-6)
