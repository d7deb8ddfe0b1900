"""Heading against course: planted mount errors, side wind, multirotors that fly sideways, and real logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.geotag.course import CourseCheck, check_course, ground_velocity
from dronesense.model import Clock, Trajectory

METERS_PER_DEGREE = 111_200.0
START_NS = 1_700_000_000_000_000_000


def quaternion(yaw_deg: np.ndarray) -> np.ndarray:
    half = np.radians(yaw_deg) / 2.0
    zero = np.zeros_like(half)
    return np.column_stack([np.cos(half), zero, zero, np.sin(half)])


def track(
    course_deg: np.ndarray,
    heading_deg: np.ndarray,
    *,
    speed: float | np.ndarray = 6.0,
    rate_hz: float = 5.0,
    time_s: np.ndarray | None = None,
    logged_velocity: bool = True,
) -> Trajectory:
    n = len(course_deg)
    rad = np.radians(course_deg)
    velocity = np.column_stack([np.cos(rad), np.sin(rad)]) * np.broadcast_to(speed, n)[:, None]
    moved = np.cumsum(velocity, axis=0) / rate_hz
    lat = 48.0 + moved[:, 0] / METERS_PER_DEGREE
    lon = 9.0 + moved[:, 1] / (METERS_PER_DEGREE * np.cos(np.radians(48.0)))
    unknown = np.full((n, 3), np.nan)
    return Trajectory(
        time=((np.arange(n) / rate_hz if time_s is None else time_s) * 1e9).astype(np.int64) + START_NS,
        lon=lon,
        lat=lat,
        height_m=np.full(n, 500.0),
        height_source_m=np.full(n, 500.0),
        height_ref="ellipsoid",
        velocity_ned=np.column_stack([velocity, np.zeros(n)]) if logged_velocity else unknown,
        attitude=quaternion(heading_deg),
        std_ned_m=unknown,
        std_rpy_deg=unknown,
        fix=np.full(n, 3),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("exact", 0.0),
        reference_point="antenna",
        source="planted",
    )


def survey(*, lines: int = 6, seconds: int = 20, azimuth: float = 30.0, rate_hz: float = 5.0) -> np.ndarray:
    """Courses of a lawn mower: lines there and back, and half turns of five seconds."""
    turn = np.linspace(0.0, 180.0, int(5 * rate_hz), endpoint=False)
    legs = []
    for line in range(lines):
        start = azimuth + 180.0 * (line % 2)
        legs += [np.full(int(seconds * rate_hz), start), start + turn]
    return np.concatenate(legs)


def wander(n: int = 600) -> np.ndarray:
    return np.cumsum(np.random.default_rng(4).normal(0.0, 3.0, n))


def both(check: CourseCheck) -> tuple[str, float]:
    return check.verdict, check.offset_deg


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("course", [survey(), survey(azimuth=45.0), survey(azimuth=112.0), wander()])
def test_nose_first_is_fine(course: np.ndarray, logged: bool) -> None:
    check = check_course(track(course, course + 2.0, logged_velocity=logged))
    assert both(check) == ("forward", pytest.approx(2.0, abs=0.7))
    assert not check.is_wrong
    assert "follows the course" in check.text


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize(
    ("offset", "words"),
    [(90.0, "to the right"), (-90.0, "to the left"), (180.0, "backwards"), (-86.0, "left")],
)
def test_turned_mount(offset: float, words: str, logged: bool) -> None:
    check = check_course(track(survey(), survey() + offset, logged_velocity=logged))
    assert check.verdict == "turned"
    assert np.cos(np.radians(check.offset_deg - offset)) > np.cos(np.radians(1.0))
    assert words in check.text
    assert check.is_wrong


def test_other_offsets_are_named_with_their_size() -> None:
    check = check_course(track(survey(), survey() + 40.0))
    assert both(check) == ("offset", pytest.approx(40.0, abs=0.1))
    assert "+40°" in check.text


@pytest.mark.parametrize(("total", "words"), [(0.0, "sign"), (90.0, "counter-clockwise from east")])
def test_mirrored_heading(total: float, words: str) -> None:
    course = wander()
    check = check_course(track(course, total - course))
    assert both(check) == ("mirrored", pytest.approx(total, abs=0.1))
    assert words in check.text


def test_mirror_on_one_line_is_not_claimed_but_mentioned() -> None:
    check = check_course(track(survey(azimuth=20.0), -survey(azimuth=20.0)))
    assert both(check) == ("offset", pytest.approx(-40.0, abs=0.5))
    assert "wrong sign would look the same" in check.text


@pytest.mark.parametrize("crab", [-25.0, 10.0, 25.0])
@pytest.mark.parametrize("azimuth", [0.0, 44.0, 100.0])
def test_side_wind_is_no_error(crab: float, azimuth: float) -> None:
    """Wind from one side: the nose is off to the right on the way there, to the left on the way back."""
    course = survey(azimuth=azimuth)
    nose = course + crab * np.cos(np.radians(course - azimuth))
    assert check_course(track(course, nose)).verdict == "forward"
    uneven = np.concatenate([course, np.full(600, azimuth)])  # most of the time there, little back
    nose = uneven + crab * np.cos(np.radians(uneven - azimuth))
    assert both(check_course(track(uneven, nose))) == ("forward", pytest.approx(0.0, abs=2.0))


@given(wind=st.floats(0.0, 2.5), to=st.floats(0.0, 360.0), azimuth=st.floats(0.0, 360.0))
def test_wind_triangle_is_no_error(wind: float, to: float, azimuth: float) -> None:
    """An air speed of 6 m/s, wind of up to 25° of crab, courses kept by the autopilot."""
    course = survey(azimuth=azimuth, lines=4)
    angle = np.radians(to - course)
    nose = course - np.degrees(np.arcsin(wind * np.sin(angle) / 6.0))
    speed = wind * np.cos(angle) + np.sqrt(36.0 - (wind * np.sin(angle)) ** 2)
    assert check_course(track(course, nose, speed=speed)).verdict == "forward"


@pytest.mark.parametrize("heading", [0.0, 77.0, 200.0])
def test_multirotor_that_keeps_its_heading_gets_no_verdict(heading: float) -> None:
    for course in (survey(), wander(), np.linspace(0.0, 80.0, 400), np.repeat([10.0, 100.0], 150)):
        check = check_course(track(course, np.full(len(course), heading)))
        assert check.verdict == "none"
        assert not check.is_wrong
        assert "nose first" in check.text or "one direction" in check.text


def test_multirotor_that_looks_around_gets_no_verdict() -> None:
    course = survey()
    yaw = np.random.default_rng(1).uniform(0.0, 360.0) + np.arange(len(course)) * 1.7
    check = check_course(track(course, yaw))
    assert check.verdict == "none"
    assert "nose first" in check.text


def test_one_direction_is_no_ground_for_a_verdict() -> None:
    course = np.full(300, 80.0)
    check = check_course(track(course, course + 90.0))
    assert both(check) == ("none", pytest.approx(90.0))
    assert "one direction" in check.text


def test_hovering_turning_and_unknown_attitude_do_not_count() -> None:
    course = survey()
    assert check_course(track(course, course + 90.0, speed=1.0)).n == 0
    circle = np.arange(600) * 5.0  # 25 degrees a second
    assert check_course(track(circle, circle + 90.0)).verdict == "none"
    blind = track(course, np.full(len(course), np.nan))
    check = check_course(blind)
    assert (check.verdict, check.n) == ("none", 0)
    assert np.isnan(check.offset_deg)


def test_one_sample_is_enough_to_say_nothing() -> None:
    assert check_course(track(np.array([3.0]), np.array([3.0]), logged_velocity=False)).verdict == "none"


def test_velocity_from_positions_stops_at_segments() -> None:
    whole = track(survey(), survey(), logged_velocity=False)
    truth = track(survey(), survey()).velocity_ned[:, :2]
    found = ground_velocity(whole)
    straight = slice(10, 90)
    np.testing.assert_allclose(found[straight], truth[straight], atol=0.02)
    import dataclasses

    cut = dataclasses.replace(whole, segment=(np.arange(len(whole)) >= 50).astype(np.int32))
    assert np.isnan(ground_velocity(cut)[48:52]).all()


# -- real logs --


def test_real_line_of_a_resonon_camera(shared_data: Path) -> None:
    """One straight line: no verdict, whatever the offset."""
    found = sorted((shared_data / "logs" / "resonon").glob("*.lcf"))
    if not found:
        pytest.skip("no .lcf here")
    rows = np.loadtxt(found[0], usecols=range(7))  # time, roll, pitch, heading, lon, lat, height
    n = len(rows)
    nothing = np.full((n, 3), np.nan)
    real = Trajectory(
        time=np.round(rows[:, 0] * 1e9).astype(np.int64),
        lon=rows[:, 4],
        lat=rows[:, 5],
        height_m=rows[:, 6],
        height_source_m=rows[:, 6],
        height_ref="ellipsoid",
        velocity_ned=nothing,
        attitude=quaternion(np.degrees(rows[:, 3])),
        std_ned_m=nothing,
        std_rpy_deg=nothing,
        fix=np.full(n, 5),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="lcf",
    )
    speed = np.hypot(*ground_velocity(real).T)
    assert np.nanmedian(speed) == pytest.approx(4.04, abs=0.05)  # flight-logs.md, section 9
    check = check_course(real)
    assert check.verdict == "none"
    assert check.n >= 10


def test_real_quadplane(shared_data: Path) -> None:
    """A simulated QuadPlane flies nose first; turning its heading by a quarter is found."""
    from pymavlink import mavutil

    path = shared_data / "logs" / "tlog" / "vtol.tlog"
    if not path.is_file():
        pytest.skip("no vtol.tlog here")
    link = mavutil.mavlink_connection(str(path))
    rows = []
    while (message := link.recv_match(type="GLOBAL_POSITION_INT")) is not None:
        rows.append((message.time_boot_ms, message.vx / 100, message.vy / 100, message.hdg / 100))
    link.close()
    table = np.array(rows)
    table = table[np.unique(table[:, 0], return_index=True)[1]]  # some frames came late
    course = np.degrees(np.arctan2(table[:, 2], table[:, 1]))
    speed = np.hypot(table[:, 1], table[:, 2])
    seconds = table[:, 0] / 1e3
    assert check_course(track(course, table[:, 3], speed=speed, time_s=seconds)).verdict == "forward"
    wrong = check_course(track(course, table[:, 3] + 90.0, speed=speed, time_s=seconds))
    assert both(wrong) == ("turned", pytest.approx(90.0, abs=10.0))
    swapped = check_course(track(course, -table[:, 3], speed=speed, time_s=seconds))
    assert both(swapped) == ("mirrored", pytest.approx(0.0, abs=10.0))
