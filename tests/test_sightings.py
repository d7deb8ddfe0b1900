"""Detections on the ground: place, covariance, outline by hand and by Monte Carlo; none lost in silence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Point

from dronesense.hotspots import sightings
from dronesense.hotspots.sightings import (
    PARTLY_OFF_TERRAIN,
    PARTLY_WITHOUT_POSITION,
    _crest,
    from_pixels,
    from_samples,
)
from dronesense.model import Ambient, Detection, GasSeries, GroundPoints

T0 = 1_780_000_000_000_000_000
CRS = "EPSG:32643"
E0, N0 = 500_000.0, 4_800_000.0


def spectral(index, weight=None, **changes) -> Detection:
    index = np.array(index)
    weight = np.ones(len(index)) if weight is None else np.array(weight, float)
    peak = int(np.argmax(np.nan_to_num(weight, nan=-1)))
    given = {
        "target": "t", "kind": "spectral", "method": "ace", "origin": "line 1", "source": "raw/l1.bil",
        "index": index, "weight": weight, "peak": peak, "score": 9.0, "p_value": 1e-6, "q_value": 1e-3,
        "value": 0.4, "sigma": 0.1, "unit": "fraction",
    }  # fmt: skip
    return Detection(**{**given, **changes})


def ground(index, *, gsd: float = 1.0, shared: float = 0.0, status=None):
    """Pixels of a north-up grid: row r, col c is the square [c, c+1] x [-r-1, -r] times gsd."""
    index = np.array(index, float)
    k = len(index)
    x, y = E0 + (index[:, 1] + 0.5) * gsd, N0 - (index[:, 0] + 0.5) * gsd
    corner = 0.5 * gsd * np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]])
    own = np.tile(gsd**2 / 12 * np.eye(2), (k, 1, 1))
    status = np.zeros(k, np.uint8) if status is None else np.array(status, np.uint8)
    bad = status != 0
    points = GroundPoints(
        np.where(bad, np.nan, x), np.where(bad, np.nan, y), np.where(bad, np.nan, 300.0 + index[:, 0]),
        own + shared * np.eye(2), status, CRS, T0 + index[:, 0].astype(np.int64) * 10_000_000, cov_own=own,
    )  # fmt: skip
    footprints = np.column_stack([x, y])[:, None, :] + corner
    footprints[bad] = np.nan
    return points, footprints


def place(detection: Detection, **kwargs):
    points, footprints = ground(detection.index, **kwargs)
    (sighting,), lost = from_pixels(detection, points, footprints)
    assert lost == ()
    return sighting


def test_centroid_is_weighted_by_score() -> None:
    s = place(spectral([[10, 4], [10, 5]], [1.0, 3.0]))
    assert (s.x - E0, s.y - N0) == (pytest.approx(4.5 + 0.75), pytest.approx(-10.5))
    assert s.height_m == 310.0
    assert s.n_obs == 2
    assert s.source == "raw/l1.bil#line 10 sample 4-5"
    assert (s.start, s.end) == (T0 + 100_000_000, T0 + 100_000_000)


def test_scores_that_say_nothing_count_nothing() -> None:
    assert place(spectral([[0, 0], [0, 1], [0, 2]], [2.0, -5.0, np.nan])).x - E0 == pytest.approx(0.5)
    assert place(spectral([[0, 0], [0, 1]], [0.0, -1.0])).x - E0 == pytest.approx(1.0)


@pytest.mark.parametrize(("pixels", "variance"), [(1, 1 / 12), (2, 1 / 12), (4, 1 / 48), (100, 1 / 240)])
def test_own_part_shrinks_with_the_rows_of_a_blob_but_not_for_two(pixels: int, variance: float) -> None:
    index = [[k // 10, k % 10] for k in range(pixels)]
    s = place(spectral(index), shared=0.0, gsd=2.0)
    assert s.cov == pytest.approx(4.0 * variance * np.eye(2))


def test_own_part_shrinks_with_the_number_where_weights_tell_the_filling() -> None:
    """Weights 1, 1, 1, 2 of 5: sum of squares 7/25."""
    s = place(spectral([[0, 0], [0, 1], [1, 0], [1, 1]], [1, 1, 1, 2]))
    assert s.cov == pytest.approx(7 / 25 / 12 * np.eye(2))


def test_shared_part_does_not_average() -> None:
    index = [[r, c] for r in range(20) for c in range(20)]
    s = place(spectral(index), shared=9.0)
    assert s.cov == pytest.approx((9.0 + 1 / 24 / 20) * np.eye(2))


def test_without_own_part_all_is_shared() -> None:
    detection = spectral([[0, 0], [0, 1], [0, 2], [0, 3]])
    points, footprints = ground(detection.index, shared=1.0)
    points = dataclasses.replace(points, cov_own=None)
    (s,), _ = from_pixels(detection, points, footprints)
    assert s.cov == pytest.approx((1.0 + 1 / 12) * np.eye(2))


@pytest.mark.parametrize(
    ("side", "limit", "power", "least"),
    [
        (0.55, 0.25, 0.5, 0.9),
        (1.0, 0.25, 0.5, 0.9),
        (2.3, 0.25, 1.0, 0.9),
        (4.0, 0.25, 0.5, 0.9),
        (3.0, 0.5, 0.0, 0.7),
    ],
)
def test_stated_covariance_covers_square_targets_anywhere_in_the_grid(
    side: float, limit: float, power: float, least: float
) -> None:
    """Planted truth: a square of some pixels, turned at random, seen where it fills enough of a pixel.

    Score grows with a power of the filled part; power 0, all pixels the same, is the worst case.
    90 % of the true places should lie within the ellipse of 90 %; too careful is allowed, boasting is not.
    """
    rng = np.random.default_rng(5)
    fine = (np.arange(400) + 0.5) / 40  # 10 x 10 pixels, 40 x 40 points in each
    gx, gy = np.meshgrid(fine, fine)
    inside = total = 0
    for _ in range(150):
        cx, cy = 5.0 + rng.uniform(-0.5, 0.5, 2)
        angle = rng.uniform(0, np.pi)
        u = (gx - cx) * np.cos(angle) + (gy - cy) * np.sin(angle)
        v = -(gx - cx) * np.sin(angle) + (gy - cy) * np.cos(angle)
        hit = (np.abs(u) < side / 2) & (np.abs(v) < side / 2)
        filled = hit.reshape(10, 40, 10, 40).mean(axis=(1, 3))
        index = np.argwhere(filled >= limit)
        if not len(index):
            continue
        s = place(spectral(index, filled[tuple(index.T)] ** power))
        off = np.array([s.x - E0 - cx, -(s.y - N0) - cy])
        inside += off @ np.linalg.inv(s.cov) @ off <= -2 * np.log(0.1)
        total += 1
    assert total > 60
    assert inside / total >= least


def test_outline_is_the_union_of_the_footprints() -> None:
    s = place(spectral([[0, 0], [0, 1], [1, 1]]), gsd=0.5)
    assert s.outline.geom_type == "Polygon"
    assert s.outline.area == pytest.approx(3 * 0.25)
    assert s.outline.bounds == pytest.approx((E0, N0 - 1.0, E0 + 1.0, N0))
    assert s.resolution_m == pytest.approx(0.5)


def test_ring_of_pixels_keeps_its_hole() -> None:
    ring = [[r, c] for r in range(3) for c in range(3) if (r, c) != (1, 1)]
    s = place(spectral(ring))
    assert len(s.outline.interiors) == 1
    assert s.outline.area == pytest.approx(8.0)


def test_footprints_twisted_by_turbulence_still_give_a_valid_outline() -> None:
    detection = spectral([[0, 0], [1, 0]])
    points, footprints = ground(detection.index)
    footprints = footprints.copy()
    footprints[1] = footprints[1][[0, 2, 1, 3]]  # a bow tie
    (s,), _ = from_pixels(detection, points, footprints)
    assert s.outline.is_valid
    assert not s.outline.is_empty


def test_pixels_without_a_place_are_dropped_and_flagged() -> None:
    s = place(spectral([[0, 0], [0, 1], [5, 5]], [1, 1, 9], flags=("truncated",)), status=[0, 0, 3])
    assert s.x - E0 == pytest.approx(1.0)
    assert s.n_obs == 2
    assert s.flags == ("truncated", PARTLY_OFF_TERRAIN)
    assert s.source.endswith("line 0 sample 0-1")


@pytest.mark.parametrize(("status", "reason"), [(1, "no trajectory"), (2, "no terrain data"), (4, "go down")])
def test_detection_without_any_place_is_told_not_dropped_in_silence(status: int, reason: str) -> None:
    detection = spectral([[7, 7]])
    points, footprints = ground(detection.index, status=[status])
    located, lost = from_pixels(detection, points, footprints)
    assert located == ()
    assert len(lost) == 1
    assert reason in lost[0]
    assert "raw/l1.bil" in lost[0]


def test_heights_that_a_map_does_not_have_stay_unknown() -> None:
    detection = spectral([[0, 0]])
    p, footprints = ground(detection.index)
    flat = GroundPoints(p.x, p.y, np.array([np.nan]), p.cov, p.status, p.crs, p.time)
    (s,), _ = from_pixels(detection, flat, footprints)
    assert np.isnan(s.height_m)


def test_wrong_lengths_are_a_mistake() -> None:
    points, footprints = ground([[0, 0]])
    with pytest.raises(ValueError, match="2 spectral pixels, 1 points"):
        from_pixels(spectral([[0, 0], [0, 1]]), points, footprints)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12, unique=True), st.data()
)
def test_centroid_lies_in_the_hull_and_order_does_not_matter(index, data) -> None:
    weight = data.draw(st.lists(st.floats(0.0, 100.0), min_size=len(index), max_size=len(index)))
    order = data.draw(st.permutations(range(len(index))))
    s = place(spectral(index, weight))
    t = place(spectral([index[k] for k in order], [weight[k] for k in order]))
    hull = s.outline.convex_hull.buffer(1e-6)
    assert hull.covers(Point(s.x, s.y))
    assert (t.x, t.y) == pytest.approx((s.x, s.y), abs=1e-6)
    assert t.cov == pytest.approx(s.cov)
    assert s.outline.area == pytest.approx(len(index), rel=1e-6)
    assert np.all(np.linalg.eigvalsh(s.cov) >= 0)


# -- gas --


def flight(n: int = 10, status=None):
    """East at 2 m per sample."""
    series = GasSeries(
        T0 + np.arange(n) * 10**9, "CH4", "mole_fraction", np.full(n, 2.0), np.full(n, 0.01), "wet",
        np.zeros(n, np.uint16), "calibrated", Ambient(), "a", "raw/gas.csv", np.arange(n) + 2,
    )  # fmt: skip
    status = np.zeros(n, np.uint8) if status is None else np.array(status, np.uint8)
    x = np.where(status == 0, E0 + 2.0 * np.arange(n), np.nan)
    y, cov = np.where(status == 0, N0, np.nan), np.tile(np.eye(2), (n, 1, 1))
    points = GroundPoints(x, y, np.full(n, 350.0), cov, status, CRS, series.time)
    return points, series


def event(index, weight=None) -> Detection:
    return spectral(
        index, weight, kind="gas", origin="CH4", source="raw/gas.csv", method="robust", unit="ppm"
    )


def test_gas_event_lies_at_its_peak_with_half_a_step_along_the_track() -> None:
    (s,), lost = from_samples([event([3, 4, 5], [1, 5, 2])], *flight())
    assert lost == ()
    assert (s.x - E0, s.y - N0, s.height_m) == (8.0, 0.0, 350.0)
    assert s.cov == pytest.approx(np.diag([1.0 + 4.0 / 12.0, 1.0]))
    assert s.outline.geom_type == "LineString"
    assert s.outline.length == pytest.approx(4.0)
    assert s.resolution_m == 2.0
    assert s.source == "raw/gas.csv#row 5-7"
    assert (s.start, s.end) == (T0 + 3 * 10**9, T0 + 5 * 10**9)


def test_single_sample_is_a_point() -> None:
    (s,), _ = from_samples([event([9])], *flight())
    assert s.outline.geom_type == "Point"
    assert s.source == "raw/gas.csv#row 11"
    assert s.resolution_m == 2.0


def test_hovering_does_not_make_a_line_of_length_nothing() -> None:
    points, series = flight(4)
    still = GroundPoints(
        np.full(4, E0), np.full(4, N0), points.height_m, points.cov, points.status, CRS, points.time
    )
    (s,), _ = from_samples([event([0, 1, 2])], still, series)
    assert s.outline.geom_type == "Point"
    assert s.cov == pytest.approx(np.eye(2))


def test_peak_without_position_moves_to_the_best_sample_that_has_one() -> None:
    (s,), _ = from_samples([event([3, 4, 5], [1, 5, 2])], *flight(status=[0, 0, 0, 0, 1, 0, 0, 0, 0, 0]))
    assert 8.0 < s.x - E0 <= 10.0  # the crest lies by the better of the two that are left
    assert s.flags == (PARTLY_WITHOUT_POSITION,)
    assert s.n_obs == 2


def test_many_events_some_without_any_position() -> None:
    located, lost = from_samples(
        [event([0, 1]), event([5]), event([8])], *flight(status=[0] * 5 + [1] * 2 + [0] * 3)
    )
    assert [s.x - E0 for s in located] == pytest.approx([1.0, 16.0])  # two equal samples: halfway
    assert len(lost) == 1
    assert "no trajectory" in lost[0]


def test_no_events_is_an_empty_result() -> None:
    assert from_samples([], *flight()) == ((), ())


def test_spectral_detection_in_a_gas_series_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not gas"):
        from_samples([spectral([[0, 0]])], *flight())


def test_crest_of_a_noisy_event_lies_where_stated() -> None:
    """A normal plume under correlated noise: the crest misses by as much as stated, and to no side."""
    rng = np.random.default_rng(5)
    n, sigma, phi = 41, 0.02, 0.6
    misses = []
    for _ in range(300):
        shock = rng.normal(0.0, sigma * np.sqrt(1 - phi**2), n)
        noise = np.zeros(n)
        for k in range(1, n):
            noise[k] = phi * noise[k - 1] + shock[k]
        weight = 0.4 * np.exp(-0.5 * ((np.arange(n) - 20.3) / 6.0) ** 2) + noise
        weight = np.maximum(weight, 1e-6)
        top = int(np.argmax(weight))
        crest, stated = _crest(np.arange(n) - float(top), weight, top, float(weight[top] / sigma))
        misses.append((crest + top - 20.3) / stated)
    assert 0.7 <= np.std(misses) <= 1.2
    assert abs(np.mean(misses)) < 0.2


def test_errors_that_jump_from_sample_to_sample_average_over_the_time_of_the_pixels() -> None:
    # Even spread over 0.9 s of 10 Hz navigation: nine samples. One line, or navigation a second apart: one.
    time = np.linspace(0, 900_000_000, 1000).astype(np.int64)
    even = np.full(1000, 1e-3)
    assert sightings._samples(time, even, 0.1) == pytest.approx(9.0, rel=0.01)
    assert sightings._samples(time, even, 1.0) == 1.0
    assert sightings._samples(np.zeros(5, dtype=np.int64), np.full(5, 0.2), 0.1) == 1.0
    assert sightings._samples(time, even, 0.0) == 1.0
