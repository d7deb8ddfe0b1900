"""One thing on the ground is one hotspot, two things are two; whatever the order, whatever the strip."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import combine_pvalues, norm
from shapely.geometry import LineString, Point, box

from dronesense.geotag.uncertainty import ce90, ellipse
from dronesense.hotspots.merge import CHI2_99_2DOF, fisher, merge
from dronesense.hotspots.sightings import Sighting
from dronesense.model import Detection, Hotspot

T0 = 1_780_000_000_000_000_000
CRS = "EPSG:32643"
E0, N0 = 600_000.0, 4_790_000.0  # 1.2 degrees east of the central meridian


def seen(
    x: float = 0.0, y: float = 0.0, *, strip: str = "a", sigma: float = 0.2, size: float = 0.5,
    score: float = 9.0, p: float = 1e-6, q: float = 1e-3, target: str = "t", cov=None, **changes: object,
) -> Sighting:  # fmt: skip
    """A spectral sighting: a square of *size* around (E0 + x, N0 + y), pixels of 0.5 m."""
    detection = Detection(
        target, "spectral", "ace", strip, f"raw/{strip}.bil", np.array([[0, 0]]), np.ones(1), 0, score, p, q,
        0.4, 0.1, "fraction",
    )  # fmt: skip
    px, py, half = E0 + x, N0 + y, size / 2
    cov = sigma**2 * np.eye(2) if cov is None else cov
    made = Sighting(
        target, "spectral", "ace", strip, detection, px, py, 700.0, cov, CRS,
        box(px - half, py - half, px + half, py + half), 0.5, T0, T0 + 10**8, 4,
        f"raw/{strip}.bil#line 0 sample 0",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def event(
    x0: float, x1: float, y: float = 0.0, *, start: float = 0.0, seconds: float = 5.0, score: float = 9.0,
    p: float = 1e-4, sigma: float = 0.5,
) -> Sighting:  # fmt: skip
    """A gas event along a line east, its peak in the middle."""
    detection = Detection(
        "CH4",
        "gas",
        "robust",
        "CH4",
        "raw/gas.csv",
        np.array([0]),
        np.ones(1),
        0,
        score,
        p,
        p,
        0.4,
        0.1,
        "ppm",
    )
    line = LineString([(E0 + x0, N0 + y), (E0 + x1, N0 + y)])
    begin = T0 + int(start * 1e9)
    return Sighting(
        "CH4", "gas", "robust", "CH4", detection, E0 + (x0 + x1) / 2, N0 + y, 720.0, sigma**2 * np.eye(2),
        CRS, line, 2.0, begin, begin + int(seconds * 1e9), 5, f"raw/gas.csv#row {int(start)}",
    )  # fmt: skip


def joined(*sightings: Sighting, radius_m: float | str = "auto") -> tuple[Hotspot, ...]:
    return merge(sightings, flight="f", radius_m=radius_m, ce90=ce90, ellipse=ellipse)


def offset(hotspot: Hotspot) -> tuple[float, float]:
    x, y = pyproj.Transformer.from_crs(4326, CRS, always_xy=True).transform(hotspot.lon, hotspot.lat)
    return x - E0, y - N0


def test_nothing_comes_to_nothing() -> None:
    assert joined() == ()


def test_one_sighting_by_hand() -> None:
    (h,) = joined(seen(size=2.0))
    lon, lat = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True).transform(E0, N0)
    assert (h.lon, h.lat) == pytest.approx((lon, lat), abs=1e-12)
    assert h.ce90_m == pytest.approx(0.2 * 2.1460, rel=1e-3)  # K90 of a circle, NGA.SIG.0032
    assert (h.ellipse_major_m, h.ellipse_minor_m) == pytest.approx((0.2, 0.2), rel=1e-4)
    assert (h.n_passes, h.n_obs, h.height_m) == (1, 4, 700.0)
    assert (h.p_value, h.q_value, h.value, h.value_sigma, h.unit) == (1e-6, 1e-3, 0.4, 0.1, "fraction")
    scale = 0.9996 * (
        1 + (100_000.0 / 6.37e6 / 0.9996) ** 2 / 2
    )  # transverse Mercator: Snyder 1987, eq. 8-11
    assert h.area_m2 == pytest.approx(4.0 / scale**2, rel=1e-5)
    assert h.geometry.exterior.is_ccw
    assert h.status == "candidate"


def test_planted_duplicates_over_two_strips_are_one_each() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([[20.0 * i, 20.0 * j] for i in range(5) for j in range(4)])
    sightings = [
        seen(*(place + rng.normal(0.0, 0.2, 2)), strip=strip) for strip in ("a", "b") for place in truth
    ]
    hotspots = joined(*sightings)
    assert len(hotspots) == 20
    assert {h.n_passes for h in hotspots} == {2}
    assert {len(h.sources) for h in hotspots} == {2}
    found = np.array([offset(h) for h in hotspots])
    nearest = np.linalg.norm(found[:, None] - truth[None], axis=2).min(axis=1)
    assert nearest.max() < 0.2 * 3.5 / math.sqrt(2)


def test_two_close_objects_of_one_strip_stay_two() -> None:
    assert [h.n_passes for h in joined(seen(0.0), seen(2.0))] == [1, 1]  # a gap of 1.5 m: three pixels
    assert len(joined(seen(0.0), seen(1.0))) == 1  # a gap of one pixel
    assert [h.n_passes for h in joined(seen(0.0), seen(1.0))] == [1]


def test_two_close_objects_are_not_chained_by_the_other_strip() -> None:
    """Each strip sees both, 1.3 m apart with errors of 0.5 m: every pair agrees, yet there are two things."""
    a1, a2 = seen(0.0, strip="a", sigma=0.5, size=0.1), seen(1.3, strip="a", sigma=0.5, size=0.1)
    b1, b2 = seen(0.2, strip="b", sigma=0.5, size=0.1), seen(1.4, strip="b", sigma=0.5, size=0.1)
    hotspots = joined(a1, a2, b1, b2)
    assert [h.n_passes for h in hotspots] == [2, 2]
    assert sorted(round(offset(h)[0], 3) for h in hotspots) == [0.1, 1.35]
    one_between = joined(a1, a2, seen(0.4, strip="b", sigma=0.5, size=0.1))
    assert sorted(h.n_passes for h in one_between) == [1, 2]


def test_three_strips_are_three_passes() -> None:
    (h,) = joined(seen(0.0, strip="a"), seen(0.1, strip="b"), seen(-0.1, strip="c"))
    assert h.n_passes == 3
    assert h.n_obs == 12


def test_different_targets_or_kinds_are_never_joined() -> None:
    assert len(joined(seen(target="t", strip="a"), seen(target="u", strip="b"), event(-1.0, 1.0))) == 3


@pytest.mark.parametrize(("factor", "expected"), [(0.99, 1), (1.01, 2)])
def test_limit_is_the_99_percent_point_of_chi_square(factor: float, expected: int) -> None:
    """Small outlines, far apart against their CE90: the Mahalanobis distance decides."""
    assert math.isclose(CHI2_99_2DOF, 9.2103, abs_tol=1e-4)  # any table of chi-square
    cov = np.diag([9.0, 0.01])
    distance = factor * math.sqrt(CHI2_99_2DOF * 2 * 9.0)
    assert (
        len(joined(seen(0.0, cov=cov, size=0.01), seen(distance, cov=cov, strip="b", size=0.01))) == expected
    )


def test_large_outlines_that_overlap_are_one_though_their_centers_disagree() -> None:
    hotspots = joined(seen(0.0, size=10.0, sigma=0.1), seen(4.0, size=10.0, sigma=0.1, strip="b"))
    assert len(hotspots) == 1


@pytest.mark.parametrize(("radius", "expected"), [(0.9, 2), (1.1, 1), (0.0, 2)])
def test_stated_radius_counts_between_outlines(radius: float, expected: int) -> None:
    assert len(joined(seen(0.0), seen(1.5, strip="b"), radius_m=radius)) == expected


def test_place_is_weighted_by_inverse_covariance() -> None:
    """By hand: sigmas 1 and 2 along x give weights 4/5 and 1/5, and a variance of 4/5."""
    a = seen(0.0, cov=np.diag([1.0, 1.0]))
    b = seen(1.0, cov=np.diag([4.0, 1.0]), strip="b")
    (h,) = joined(a, b)
    assert offset(h) == pytest.approx((0.2, 0.0), abs=1e-6)
    assert sorted([h.ellipse_major_m, h.ellipse_minor_m]) == pytest.approx(
        [math.sqrt(0.5), math.sqrt(0.8)], rel=1e-5
    )


def test_passes_that_disagree_enlarge_the_error() -> None:
    near = joined(seen(0.0), seen(0.01, strip="b"))[0]
    apart = joined(seen(0.0), seen(0.8, strip="b"))[0]  # chi-square 8: no surprise at the 1 % level
    far = joined(seen(0.0), seen(1.0, strip="b"), radius_m=2.0)[0]
    assert near.ce90_m == pytest.approx(0.2 * 2.146 / math.sqrt(2), rel=1e-3)
    assert apart.ce90_m == pytest.approx(near.ce90_m, rel=1e-3)
    chi2 = 2 * (0.5 / 0.2) ** 2
    assert far.ce90_m == pytest.approx(near.ce90_m * math.sqrt(chi2 / 2), rel=1e-3)


def test_parts_of_one_strip_do_not_average() -> None:
    assert joined(seen(0.0), seen(0.6))[0].ce90_m == pytest.approx(0.2 * 2.146, rel=1e-3)


def test_true_place_is_in_ce90_of_two_passes_as_often_as_stated() -> None:
    rng = np.random.default_rng(11)
    cov = np.array([[0.09, 0.03], [0.03, 0.04]])
    root = np.linalg.cholesky(cov)
    n = 600
    sightings = [
        seen(*(np.array([50.0 * k, 0.0]) + root @ rng.normal(size=2)), cov=cov, strip=s, size=0.01)
        for k in range(n)
        for s in ("a", "b")
    ]
    hits = [
        math.hypot((o := offset(h))[0] - 50.0 * round(o[0] / 50.0), o[1]) <= h.ce90_m
        for h in joined(*sightings)
    ]
    assert 0.87 <= np.mean(hits) <= 0.94  # 0.90 stated; 600 trials have a standard error of 0.012


def test_what_the_passes_share_cancels_between_opposite_headings() -> None:
    """By hand: one error moves strip a by +0.3 m and strip b by -0.3 m; own errors of 0.1 m remain."""
    own = 0.1**2 * np.eye(2)
    east = np.array([[0.3], [0.0]])
    a = seen(0.3, cov=own + east @ east.T, shared=east, rig="camera")
    b = seen(-0.3, cov=own + east @ east.T, shared=-east, rig="camera", strip="b")
    (h,) = joined(a, b)
    assert offset(h) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert (h.ellipse_major_m, h.ellipse_minor_m) == pytest.approx((0.1 / math.sqrt(2),) * 2, rel=1e-3)


def test_what_the_passes_share_stays_where_it_moves_both_alike() -> None:
    own = 0.1**2 * np.eye(2)
    east = np.array([[0.3], [0.0]])
    cov = own + east @ east.T
    same = joined(
        seen(cov=cov, shared=east, rig="camera"), seen(cov=cov, shared=east, rig="camera", strip="b")
    )[0]
    other = joined(
        seen(cov=cov, shared=east, rig="camera"), seen(cov=cov, shared=east, rig="spare", strip="b")
    )[0]
    assert same.ellipse_major_m == pytest.approx(math.sqrt(0.3**2 + 0.1**2 / 2), rel=1e-3)
    assert other.ellipse_major_m == pytest.approx(math.sqrt((0.3**2 + 0.1**2) / 2), rel=1e-3)


def test_azimuth_counts_from_true_north() -> None:
    """Long axis along grid north: from true north it is the convergence, atan(tan(dlon) sin(lat))."""
    (h,) = joined(seen(cov=np.diag([0.01, 1.0])))
    convergence = math.degrees(
        math.atan(math.tan(math.radians(h.lon - 75.0)) * math.sin(math.radians(h.lat)))
    )
    assert h.ellipse_azimuth_deg == pytest.approx(convergence, abs=1e-3)
    assert convergence > 0.8


def test_outlines_are_moved_onto_the_common_place_before_they_are_joined() -> None:
    (h,) = joined(seen(0.0, size=2.0), seen(0.5, size=2.0, strip="b"))
    assert h.area_m2 == pytest.approx(4.0, rel=2e-3)
    assert h.geometry.covers(Point(h.lon, h.lat))


def test_corners_of_pixels_survive_the_simplification() -> None:
    corners = [(E0 + 0.5 * col, N0 + 0.5 * row) for row, col in [(0, 0), (0, 1), (1, 1), (2, 1)]]
    stairs = shapely.union_all([box(x, y, x + 0.5, y + 0.5) for x, y in corners])
    (h,) = joined(seen(outline=stairs))
    assert h.area_m2 == pytest.approx(1.0, rel=2e-3)
    assert h.geometry.is_valid


def test_p_and_q_of_n_passes_are_n_times_the_smallest() -> None:
    (h,) = joined(seen(p=1e-6, q=1e-3, score=5.0), seen(p=0.6, q=0.9, strip="b", score=3.0))
    assert (h.p_value, h.q_value, h.score) == (2e-6, 2e-3, 5.0)
    (h,) = joined(seen(p=0.6, q=0.9), seen(p=0.6, q=math.nan, strip="b"))
    assert (h.p_value, h.q_value) == (1.0, 0.9)


def test_bonferroni_holds_for_passes_that_share_their_noise() -> None:
    """Background seen twice with correlated scores: P(p <= 0.05) stays at or below 0.05."""
    rng = np.random.default_rng(2)
    first = rng.normal(size=20_000)
    for rho in (0.0, 0.7, 1.0):
        second = rho * first + math.sqrt(1 - rho**2) * rng.normal(size=first.size)
        p = np.minimum(1.0, 2.0 * np.minimum(norm.sf(first), norm.sf(second)))
        assert np.mean(p <= 0.05) <= 0.053


def test_smallest_q_ranks_first_then_score_and_unknown_last() -> None:
    hotspots = joined(
        seen(0, q=0.5, score=1), seen(50, q=0.1, score=2), seen(100, q=0.01, score=3),
        seen(150, q=0.1, score=4), seen(200, q=math.nan, p=math.nan, score=99),
    )  # fmt: skip
    assert [h.score for h in hotspots] == [3, 4, 2, 1, 99]


def test_of_sure_hotspots_those_seen_twice_rank_first() -> None:
    twice = [seen(0, q=1e-5, score=0.8), seen(0, q=1e-5, score=0.7, strip="b")]
    hotspots = joined(*twice, seen(50, q=1e-9, score=0.9), seen(100, q=0.01, score=0.95))
    assert [h.score for h in hotspots] == [0.8, 0.9, 0.95]


def test_id_is_what_the_page_says() -> None:
    (h,) = joined(seen())
    text = f"f|t|ace|spectral|{h.lon:.6f},{h.lat:.6f}"
    assert h.id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_ids_of_things_a_few_centimeters_apart_differ() -> None:
    hotspots = joined(*(seen(0.01 * k, size=0.001, sigma=0.0001, resolution_m=0.001) for k in range(4)))
    assert len(hotspots) == 4
    assert len({h.id for h in hotspots}) == 4


def test_flags_and_sources_of_all_members_are_kept() -> None:
    (h,) = joined(seen(flags=("truncated",)), seen(strip="b", flags=("partly-off-terrain", "truncated")))
    assert h.flags == ("partly-off-terrain", "truncated")
    assert h.sources == ("raw/a.bil#line 0 sample 0", "raw/b.bil#line 0 sample 0")


# -- gas --


def test_gas_passes_side_by_side_are_one_hotspot_at_the_strongest() -> None:
    (h,) = joined(event(0, 10, 0.0, start=0, score=5), event(2, 9, 3.0, start=60, score=8, p=1e-6))
    assert h.n_passes == 2
    assert offset(h) == pytest.approx((5.5, 3.0), abs=1e-6)
    assert h.ce90_m == pytest.approx(0.5 * 2.146, rel=1e-3)  # of the peak's own place: passes do not average
    assert h.geometry.geom_type == "MultiLineString"
    assert math.isnan(h.area_m2)
    assert h.height_m == 720.0


def test_evidence_of_gas_passes_is_combined_and_that_of_one_pass_is_not() -> None:
    """Fisher's method beside scipy's; two events of one pass share its noise: Bonferroni."""
    p = (0.01, 0.04, 0.2)
    (h,) = joined(*(event(0, 10, 2.0 * k, start=100 * k, p=p[k]) for k in range(3)))
    assert h.n_passes == 3
    assert h.p_value == pytest.approx(combine_pvalues(p, "fisher").pvalue, rel=1e-9)
    (h,) = joined(event(0, 5, start=0, seconds=3, p=0.01), event(6, 9, start=4, seconds=2, p=0.04))
    assert h.n_passes == 1
    assert h.p_value == 0.02


def test_combined_evidence_is_as_rare_as_it_says() -> None:
    """Uniform p of two independent passes: 5 % of the combined ones lie below 0.05."""
    rng = np.random.default_rng(3)
    combined = [fisher(list(pair)) for pair in 1.0 - rng.random((20_000, 2))]
    assert np.mean(np.array(combined) <= 0.05) == pytest.approx(0.05, abs=0.005)


def test_rates_of_gas_hotspots_count_all_events_of_the_target() -> None:
    """Five events, the first two joined: BH over four combined p-values among five, by hand."""
    hotspots = joined(
        event(0, 10, 0.0, start=0, p=0.01), event(0, 10, 2.0, start=100, p=0.01),
        *(event(0, 10, 200.0 * k, start=200 * k, p=0.1 * k) for k in (1, 2, 3)),
    )  # fmt: skip
    together = 1e-4 * (1.0 - math.log(1e-4))
    expected = [5 * together, 0.1 * 5 / 2, 0.2 * 5 / 3, 0.3 * 5 / 4]
    assert sorted(h.q_value for h in hotspots) == pytest.approx(sorted(expected), rel=1e-9)


def test_far_gas_passes_are_two() -> None:
    assert len(joined(event(0, 10, 0.0), event(0, 10, 30.0, start=60))) == 2


def test_a_dip_within_a_pass_is_no_second_pass() -> None:
    (h,) = joined(event(0, 5, start=0, seconds=3), event(6, 9, start=4, seconds=2))
    assert h.n_passes == 1
    assert h.n_obs == 10


def test_stated_radius_joins_gas_too() -> None:
    assert len(joined(event(0, 10, 0.0), event(0, 10, 30.0, start=60), radius_m=31.0)) == 1


def test_event_of_one_sample_is_a_point() -> None:
    (h,) = joined(dataclasses.replace(event(0, 1), outline=Point(E0, N0)))
    assert h.geometry.geom_type == "Point"


# -- laws --

sighting = st.builds(
    seen,
    x=st.integers(-8, 8).map(lambda v: v / 2),
    y=st.integers(-8, 8).map(lambda v: v / 2),
    strip=st.sampled_from("abc"),
    sigma=st.sampled_from([0.1, 0.3, 1.0]),
    size=st.sampled_from([0.5, 1.5]),
    score=st.integers(1, 5),
    target=st.sampled_from("tu"),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(sighting, max_size=12), st.randoms(use_true_random=False))
def test_order_of_the_sightings_does_not_matter(sightings: list[Sighting], random) -> None:
    shuffled = list(sightings)
    random.shuffle(shuffled)

    def key(h: Hotspot) -> tuple[object, ...]:
        return (
            h.id,
            h.lon,
            h.lat,
            h.n_passes,
            h.n_obs,
            h.ce90_m,
            h.score,
            h.sources,
            h.area_m2,
            h.geometry.wkb,
        )

    assert [key(h) for h in joined(*sightings)] == [key(h) for h in joined(*shuffled)]


@settings(max_examples=80, deadline=None)
@given(st.lists(sighting, max_size=12))
def test_every_sighting_is_in_one_hotspot_and_no_strip_counts_twice(sightings: list[Sighting]) -> None:
    hotspots = joined(*sightings)
    assert sum(h.n_obs for h in hotspots) == 4 * len(sightings)
    for target in "tu":
        for strip in "abc":
            parts = [s.outline for s in sightings if (s.target, s.origin) == (target, strip)]
            if parts:
                apart = shapely.union_all([shapely.buffer(part, 0.375 + 1e-9) for part in parts])
                things = len(shapely.get_parts(apart))  # by brute force: what does not touch is another thing
                holders = [h for h in hotspots if h.target == target and any(strip in s for s in h.sources)]
                assert len(holders) >= 1
                assert sum(h.target == target for h in hotspots) >= things


def test_thousands_of_sightings_are_merged_in_moments() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 2000, (1500, 2))
    sightings = [seen(*place, strip=strip, sigma=0.1) for strip in "ab" for place in places]
    hotspots = joined(*sightings)
    assert 1450 <= len(hotspots) <= 1500


def test_mixed_crs_and_negative_radius_are_mistakes() -> None:
    with pytest.raises(ValueError, match="one CRS"):
        joined(seen(), dataclasses.replace(seen(), crs="EPSG:32644"))
    with pytest.raises(ValueError, match="radius_m"):
        joined(seen(), radius_m=-1.0)
