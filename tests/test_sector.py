"""Search sectors hold the stated share of simulated sources, and point upwind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import CoverageError
from dronesense.hotspots import sector

HERE = {"crs": "EPSG:32633", "wind_speed_m_s": 3.0}
COV = np.diag([9.0, 4.0])


def make(wind_from_deg=270.0, sigma_from_deg=8.0, sway_deg=12.0, x=0.0, y=0.0, cov=COV, **more):
    return sector.search_sector(
        "h", "CH4", x, y, cov,
        wind_from_deg=wind_from_deg, sigma_from_deg=sigma_from_deg, sway_deg=sway_deg, **{**HERE, **more},
    )  # fmt: skip


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("stability", ["A", "D", "F"])
@pytest.mark.parametrize(("sigma", "sway", "meters"), [(5.0, 10.0, 2.0), (15.0, 5.0, 1.0), (2.0, 2.0, 10.0)])
def test_sectors_hold_their_share_of_sources(confidence, stability, sigma, sway, meters):
    """Gas sets out, the wind carries it off its stated direction, it is placed with an error."""
    rng = np.random.default_rng(17)
    n, reach, stated = 20_000, 150.0, 250.0
    slope = {"A": 0.22, "D": 0.08, "F": 0.04}[stability]
    way = reach * np.sqrt(rng.random(n))
    direction = np.radians(stated + 180.0 + sigma * rng.standard_normal(n) + sway * rng.standard_normal(n))
    direction += np.arctan(slope * rng.standard_normal(n))
    found = np.column_stack([way * np.sin(direction), way * np.cos(direction)])
    found += meters * rng.standard_normal((n, 2))
    shape = make(
        stated,
        sigma,
        sway,
        cov=np.eye(2) * meters**2,
        stability=stability,
        reach_m=reach,
        confidence=confidence,
    ).geometry
    held = shapely.contains_xy(shape, -found[:, 0], -found[:, 1]).mean()
    # The two ends add what a position error needs: never below, little above.
    assert confidence - 0.025 < held < confidence + 0.04


@settings(max_examples=40)
@given(
    wind_from=st.floats(0.0, 360.0),
    x=st.floats(-1e6, 1e6),
    y=st.floats(0.0, 1e7),
    reach=st.floats(20.0, 1000.0),
)
def test_sectors_point_upwind_wherever_they_are(wind_from, x, y, reach):
    found = make(wind_from, x=x, y=y, reach_m=reach)
    assert found.geometry.is_valid
    assert found.geometry.geom_type == "Polygon"
    angle = math.radians(wind_from)
    for share in (0.0, 0.3, 0.95):
        ahead = shapely.Point(x + share * reach * math.sin(angle), y + share * reach * math.cos(angle))
        assert found.geometry.contains(ahead)
    behind = shapely.Point(x - 30.0 * math.sin(angle), y - 30.0 * math.cos(angle))
    assert not found.geometry.contains(behind)
    assert found.geometry.centroid.distance(shapely.Point(x, y)) > 0.3 * reach


def test_a_wind_from_the_west_looks_west():
    west = make(270.0).geometry.centroid
    assert west.x < -30.0
    assert abs(west.y) < 1.0


def test_sectors_widen_with_each_uncertainty():
    narrow = make().geometry.area
    assert make(sigma_from_deg=16.0).geometry.area > 1.2 * narrow
    assert make(sway_deg=24.0).geometry.area > 1.2 * narrow
    assert make(cov=COV * 25.0).geometry.area > 1.2 * narrow
    assert make(stability="A").geometry.area > make(stability="F").geometry.area
    assert make(confidence=0.99).geometry.area > 1.2 * narrow


def test_an_unknown_sway_is_fifteen_degrees():
    assert make(sway_deg=math.nan).half_angle_deg == make(sway_deg=15.0).half_angle_deg


def test_directions_are_true_and_the_outline_lies_on_the_grid():
    """Grid north 2 degrees east of true north: a wind from true 92 comes from due east of the grid."""
    found = make(92.0, convergence_deg=2.0)
    assert found.wind_from_deg == 92.0
    assert found.geometry.centroid.x > 30.0
    assert abs(found.geometry.centroid.y) < 1e-6


def test_half_angle_by_hand():
    """1.6449 x sqrt(3² + 4²) degrees, and the plume's own arctan 0.04."""
    found = make(sigma_from_deg=3.0, sway_deg=4.0, stability="F")
    by_hand = 1.6448536 * math.hypot(5.0, math.degrees(math.atan(0.04)))
    assert found.half_angle_deg == pytest.approx(by_hand, rel=1e-6)
    assert (found.confidence, found.reach_m) == (0.9, 150.0)


def test_winds_that_do_not_say_where_upwind_is_are_refused():
    with pytest.raises(CoverageError, match="no upwind side"):
        make(wind_speed_m_s=0.2)
    with pytest.raises(CoverageError, match="all sides are upwind"):
        make(sigma_from_deg=80.0)
    with pytest.raises(ValueError, match="confidence"):
        make(confidence=1.0)


def test_reach_from_a_detection_limit():
    """Class D at 3 m/s on the axis: 2 Q / (2 pi u sigma_y sigma_z) falls to the limit there, by hand."""
    reach = sector.detection_reach(
        rate_kg_h=1.0, limit_ppm=0.05, wind_speed_m_s=3.0, density_kg_m3=0.668, stability="D"
    )
    sigma_y = 0.08 * reach / math.sqrt(1.0 + 1e-4 * reach)
    sigma_z = 0.06 * reach / math.sqrt(1.0 + 1.5e-3 * reach)
    met = 1e6 / 0.668 / 3600.0 / (math.pi * 3.0 * sigma_y * sigma_z)
    assert met == pytest.approx(0.05, rel=0.06)
    faint = sector.detection_reach(rate_kg_h=1e-6, limit_ppm=1.0, wind_speed_m_s=3.0, density_kg_m3=0.668)
    assert faint == sector.MIN_REACH_M
    with pytest.raises(ValueError, match="must be > 0"):
        sector.detection_reach(rate_kg_h=0.0, limit_ppm=1.0, wind_speed_m_s=3.0, density_kg_m3=0.668)
