"""Heights onto the ellipsoid: each reference by hand, what is assumed, and planted mix-ups that are named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense import geodesy
from dronesense.errors import CoverageError, ManifestError
from dronesense.geodesy.geoid import GeoidGrid, undulation
from dronesense.geotag import heights
from dronesense.geotag.datum import datum_check
from dronesense.geotag.heights import flat_ground, ground_below, to_ellipsoid
from dronesense.model import Clock, Terrain, Trajectory

LON, LAT = -2.6, 51.45  # Bristol
N = 50.0  # EGM96 there, by a spline through NGA's grid (SciPy): 49.998 m
START_NS = 1_700_000_000_000_000_000


def flight(
    height_m: np.ndarray | float = np.nan,
    source_m: np.ndarray | float = np.nan,
    *,
    reference: str = "unknown",
    std_m: float = 0.5,
    speed: np.ndarray | None = None,
    seconds: float = 1.0,
) -> Trajectory:
    """A track to the north that stands, flies and stands again (or at the given speeds)."""
    if speed is None:
        speed = np.array([0.0] * 5 + [8.0] * 30 + [0.0] * 5)
    n = len(speed)
    lat = LAT + np.concatenate([[0.0], np.cumsum(speed[1:])]) * seconds / 111_250.0
    return Trajectory(
        time=START_NS + (np.arange(n) * seconds * 1e9).astype(np.int64),
        lon=np.full(n, LON),
        lat=lat,
        height_m=np.broadcast_to(np.float64(height_m), n),
        height_source_m=np.broadcast_to(np.float64(source_m), n),
        height_ref=reference,
        velocity_ned=np.column_stack([speed, np.zeros(n), np.zeros(n)]),
        attitude=np.full((n, 4), np.nan),
        std_ned_m=np.full((n, 3), std_m),
        std_rpy_deg=np.full((n, 3), np.nan),
        fix=np.full(n, 3),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("exact", 0.0),
        reference_point="antenna",
        source="log.bin:GPS",
    )


def profile(above_m: float = 60.0, n: int = 40) -> np.ndarray:
    """Up, along, down again."""
    return np.interp(np.arange(n), [0, 4, 12, 27, 35, n - 1], [0, 0, above_m, above_m, 0, 0])


def terrain(ground_m: float = 120.0, *, sigma_m: float = 1.0) -> Terrain:
    """Ground that falls to the north by 1 m per 100 m, as a grid in UTM."""
    x, y = (float(each) for each in geodesy.to_grid(LON, LAT, "EPSG:32630"))
    rows = np.arange(200)[:, None]
    grid = ground_m + (rows - 100.0) * 0.1 + np.zeros((1, 60))
    return Terrain(grid, (10.0, 0.0, x - 300.0, 0.0, -10.0, y + 1005.0), "EPSG:32630", sigma_m, "dem.tif")


def planted_grid(value: float) -> GeoidGrid:
    return GeoidGrid(np.full((5, 5), value), -4.0, 50.0, 0.75, 0.75, "egm2008.gtx")


def up(track: Trajectory) -> np.ndarray:
    return track.std_ned_m[:, 2]


# -- auto --


def test_what_the_log_derived_stays() -> None:
    track = flight(170.0, 120.0, reference="receiver-geoid")
    assert to_ellipsoid(track, height_ref="auto", terrain=None) == (track, ())


@pytest.mark.parametrize(
    ("reference", "sigma", "warned"), [("egm96", heights.EGM96_SIGMA_M, 0), ("receiver-geoid", 1.5, 1)]
)
def test_geoid_heights_are_lifted_by_egm96(reference: str, sigma: float, warned: int) -> None:
    track, warnings = to_ellipsoid(
        flight(source_m=120.0, reference=reference), height_ref="auto", terrain=None
    )
    np.testing.assert_allclose(track.height_m, 120.0 + undulation(track.lon, track.lat), atol=1e-12)
    assert track.height_m[0] == pytest.approx(120.0 + N, abs=0.02)
    assert track.height_ref == reference
    assert (track.height_source_m == 120.0).all()
    np.testing.assert_allclose(up(track), np.hypot(0.5, sigma))
    np.testing.assert_allclose(track.std_ned_m[:, :2], 0.5)
    assert len(warnings) == warned
    assert "EGM96 (+50.0" in track.history[-1]
    if warned:
        assert "1.5 m" in warnings[0]


def test_users_grid_goes_before_egm96() -> None:
    track, warnings = to_ellipsoid(
        flight(source_m=100.0, reference="egm96"), height_ref="auto", terrain=None, geoid=planted_grid(48.25)
    )
    np.testing.assert_allclose(track.height_m, 148.25)
    assert not warnings
    assert "egm2008.gtx" in track.history[-1]


def test_grid_that_is_no_geoid_is_doubted() -> None:
    _, warnings = to_ellipsoid(
        flight(source_m=100.0, reference="egm96"), height_ref="auto", terrain=None, geoid=planted_grid(-N)
    )
    assert len(warnings) == 1
    assert "egm2008.gtx lies 100.0 m below EGM96" in warnings[0]


def test_grid_that_does_not_cover_the_track_is_refused() -> None:
    far = dataclasses.replace(planted_grid(0.0), west=20.0)
    with pytest.raises(CoverageError, match=r"egm2008.gtx: does not cover"):
        to_ellipsoid(flight(source_m=1.0, reference="egm96"), height_ref="auto", terrain=None, geoid=far)


def test_egm2008_needs_a_grid() -> None:
    track = flight(source_m=100.0, reference="egm2008")
    same, warnings = to_ellipsoid(track, height_ref="auto", terrain=None)
    assert same is track
    assert "geoid = " in warnings[0]
    lifted, warnings = to_ellipsoid(track, height_ref="auto", terrain=None, geoid=planted_grid(48.5))
    np.testing.assert_allclose(lifted.height_m, 148.5)
    assert not warnings
    with pytest.raises(ManifestError, match=r"EGM2008 is not packaged.*geoid ="):
        to_ellipsoid(flight(source_m=100.0), height_ref="egm2008", terrain=None)


def test_takeoff_heights_stand_on_the_terrain() -> None:
    track, warnings = to_ellipsoid(
        flight(source_m=3.0 + profile(), reference="takeoff"), height_ref="auto", terrain=terrain()
    )
    np.testing.assert_allclose(track.height_m, 120.0 + profile(), atol=0.02)
    np.testing.assert_allclose(up(track), np.hypot(0.5, 1.0))
    assert track.height_ref == "takeoff"
    assert not warnings
    assert "terrain at 120.0" in track.history[-1]


def test_takeoff_heights_without_ground_stay_unknown() -> None:
    track = flight(source_m=profile(), reference="takeoff")
    for ground in (None, dataclasses.replace(terrain(), height_m=np.full((200, 60), np.nan))):
        if ground is not None:
            ground = dataclasses.replace(ground, height_m=np.where(np.arange(60) < 5, 1.0, ground.height_m))
        same, warnings = to_ellipsoid(track, height_ref="auto", terrain=ground)
        assert np.isnan(same.height_m).all()
        assert len(warnings) == 1
        assert "take-off" in warnings[0]
        assert "What to do" in warnings[0]


def test_takeoff_in_flight_is_an_assumption_that_is_told() -> None:
    track = flight(source_m=profile() + 50.0, reference="takeoff", speed=np.full(40, 8.0))
    _, warnings = to_ellipsoid(track, height_ref="auto", terrain=terrain())
    assert "starts in flight (8.0 m/s)" in warnings[0]


def test_first_height_may_come_late() -> None:
    source = profile() + 7.0
    source[:20] = np.nan
    track, _ = to_ellipsoid(
        flight(source_m=source, reference="takeoff"), height_ref="takeoff", terrain=terrain()
    )
    ground = ground_below(track, terrain())
    assert track.height_m[20] == pytest.approx(ground[20])


@pytest.mark.parametrize("reference", ["unknown", "ellipsoid", "egm96", "egm2008", "takeoff"])
def test_log_without_heights(reference: str) -> None:
    track = flight(reference=reference)
    assert to_ellipsoid(track, height_ref="auto", terrain=None) == (track, ())
    with pytest.raises(CoverageError, match="no heights"):
        to_ellipsoid(track, height_ref="egm96", terrain=None)


def test_unknown_heights_are_not_guessed() -> None:
    track = flight(source_m=100.0)
    assert to_ellipsoid(track, height_ref="auto", terrain=terrain()) == (track, ())


# -- stated --


def test_stated_reference_overrides_the_log_and_says_by_how_much() -> None:
    track = flight(170.0, 120.0, reference="receiver-geoid")
    same, warnings = to_ellipsoid(track, height_ref="ellipsoid", terrain=None)
    np.testing.assert_allclose(same.height_m, 120.0)
    assert same.height_ref == "ellipsoid"
    assert 'height_ref = "ellipsoid" overrides the log: heights are 50.00 m lower' in warnings[0]
    lifted, warnings = to_ellipsoid(track, height_ref="egm96", terrain=None)
    assert lifted.height_m[0] == pytest.approx(170.0, abs=0.01)
    assert not warnings  # the log agrees


def test_stated_takeoff_needs_the_ground() -> None:
    with pytest.raises(ManifestError, match="needs the ground"):
        to_ellipsoid(flight(source_m=0.0), height_ref="takeoff", terrain=None)
    elsewhere = dataclasses.replace(terrain(), transform=(10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    with pytest.raises(CoverageError, match=r"dem.tif: has no height at the take-off place"):
        to_ellipsoid(flight(source_m=0.0), height_ref="takeoff", terrain=elsewhere)
    with pytest.raises(ValueError, match="must be one of"):
        to_ellipsoid(flight(source_m=0.0), height_ref="mean sea level", terrain=None)


def test_flat_ground_above_the_geoid() -> None:
    place = {"lon": LON, "lat": LAT, "sigma_m": 0.5, "source": "[terrain] height_m"}
    assert flat_ground(70.0, height_ref="ellipsoid", **place).height_m[0, 0] == 70.0
    assert flat_ground(70.0, height_ref="egm96", **place).height_m[0, 0] == pytest.approx(70.0 + N, abs=0.02)
    grid = planted_grid(48.0)
    assert flat_ground(70.0, height_ref="egm2008", geoid=grid, **place).height_m[0, 0] == pytest.approx(118.0)
    with pytest.raises(ManifestError, match="not packaged"):
        flat_ground(70.0, height_ref="egm2008", **place)


# -- sanity gate --


def grounded(ground: Terrain | None = None, *, above_m: float = 60.0) -> np.ndarray:
    """True ellipsoidal heights of a flight that starts and ends on the ground."""
    ground = ground or terrain()
    below = ground_below(flight(), ground)
    start, end = below[0], below[-1]
    return np.linspace(start, end, 40) + profile(above_m) + 0.3


@given(
    noise=st.floats(-3.0, 3.0),
    ground=st.sampled_from([0.0, 50.0, 120.0, 2000.0]),
    above=st.floats(10.0, 120.0),
)
def test_normal_flights_are_not_accused(noise: float, ground: float, above: float) -> None:
    dem = terrain(ground)
    true = grounded(dem, above_m=above) + noise
    assert datum_check(flight(true, true - N, reference="receiver-geoid"), dem) == []


def test_logs_that_start_in_flight_are_not_accused() -> None:
    for above in (30.0, N, 2 * N, 120.0):
        track = flight(np.full(40, 120.0 + above), np.full(40, 120.0 + above - N), speed=np.full(40, 8.0))
        assert datum_check(track, terrain()) == []


def test_unknown_heights_and_ground_are_not_judged() -> None:
    assert datum_check(flight(), terrain()) == []
    elsewhere = dataclasses.replace(terrain(), transform=(10.0, 0.0, 0.0, 0.0, -10.0, 0.0))
    assert datum_check(flight(100.0, 100.0), elsewhere) == []


def test_uncertain_ground_is_not_a_judge() -> None:
    assert datum_check(flight(grounded() - 12.0, 0.0), terrain(sigma_m=5.0)) == []
    assert datum_check(flight(grounded() - 12.0, 70.0), terrain(sigma_m=1.0)) != []


def one(track: Trajectory, ground: Terrain) -> str:
    remarks = datum_check(track, ground)
    assert len(remarks) == 1, remarks
    return remarks[0]


def test_geoid_heights_taken_as_ellipsoidal() -> None:
    wrong = grounded() - N
    text = one(flight(wrong, wrong, reference="ellipsoid"), terrain())
    assert "starts 49.7 m below the ground of dem.tif and ends 49.7 m below it" in text
    assert "the geoid lies 50.0 m above the ellipsoid here" in text
    assert "log's heights above the geoid were taken as ellipsoidal" in text


def test_terrain_above_the_geoid_taken_as_ellipsoidal() -> None:
    true = grounded()
    text = one(flight(true, true, reference="ellipsoid"), terrain(120.0 - N))
    assert "above the ground" in text
    assert "if it started on the ground" in text
    assert "terrain's heights above the geoid were taken as ellipsoidal" in text


def test_undulation_of_the_wrong_sign() -> None:
    wrong = grounded() - 2.0 * N
    assert "taken off the log's heights instead of added" in one(flight(wrong, wrong + N), terrain())


def test_takeoff_heights_taken_as_ellipsoidal() -> None:
    wrong = grounded() - 120.3
    text = one(flight(wrong, wrong, reference="ellipsoid"), terrain())
    assert "the ground lies at 120.0 m and the log starts at 0.0 m" in text
    assert "count from take-off" in text
    lifted = wrong + N
    assert "count from take-off" in one(flight(lifted, wrong, reference="receiver-geoid"), terrain())


def test_feet_taken_as_meters_and_back() -> None:
    source = grounded() - N
    feet = source / 0.3048
    assert "in feet and were taken as meters" in one(flight(feet + N, feet), terrain())
    short = source * 0.3048
    assert "in meters and were taken as feet" in one(flight(short + N, short), terrain())
    ground = terrain(120.0 / 0.3048)
    assert "terrain's heights are in feet" in one(flight(grounded(terrain()), 70.0), ground)


def test_an_offset_that_nothing_explains_is_told_without_a_cause() -> None:
    wrong = grounded() - 23.0
    text = one(flight(wrong, wrong - N), terrain())
    assert "starts 22.7 m below the ground" in text
    assert "different zeros" in text
    assert "probably" not in text


def test_flight_below_the_ground_is_flagged() -> None:
    true = grounded()
    sunk = np.where(profile() > 30.0, true - 90.0, true)
    text = one(flight(sunk, sunk - N), terrain())
    assert "runs 5" in text
    assert "geoid" not in text  # it started on the ground
    assert "below the ground" in text
    airborne = np.full(40, 120.0 + 20.0 - N)
    text = one(flight(airborne, airborne, speed=np.full(40, 3.0)), terrain())
    assert "starts 30.0 m below" in text
