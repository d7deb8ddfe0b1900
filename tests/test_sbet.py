"""Applanix SBET: made-up flights with known truth, and real files."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import sbet
from dronesense.readers.sbet_records import Sbet
from dronesense.timescale import to_iso

_SPEC = importlib.util.spec_from_file_location("fuzz_run", Path(__file__).parent / "fuzz" / "run.py")
_RUN = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RUN)
fuzz = _RUN.load("sbet")
writer = fuzz.writer

SUNDAY = dt.date(2026, 6, 14)
DATED = TrackOptions(date=SUNDAY)


def put(folder, content, name="sbet_flight.out"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else writer.file(content))
    return path


def raw(rows):
    return np.frombuffer(writer.file(rows), dtype=np.uint8)


def angles_deg(trajectory):
    yaw, pitch, roll = (
        Rotation.from_quat(trajectory.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True).T
    )
    return roll, pitch, yaw % 360.0


def test_a_flight_with_known_truth(tmp_path):
    trajectory, report = sbet.read(put(tmp_path, writer.flight()), label="a.out", options=DATED)
    roll, pitch, yaw = angles_deg(trajectory)
    np.testing.assert_allclose(roll, 3.0, atol=1e-9)
    np.testing.assert_allclose(pitch, -2.0, atol=1e-9)
    np.testing.assert_allclose(yaw, 50.0, atol=1e-9)  # platform heading 57 less wander 7
    course = np.radians(40.0)
    expected = [8.0 * np.cos(course), 8.0 * np.sin(course), -0.5]
    np.testing.assert_allclose(trajectory.velocity_ned, np.tile(expected, (400, 1)), atol=1e-9)
    np.testing.assert_allclose(trajectory.height_m, 300.0 + 0.5 * np.arange(400) / 200.0, atol=1e-9)
    assert trajectory.height_ref == "ellipsoid"
    np.testing.assert_allclose([trajectory.lon[0], trajectory.lat[0]], [9.0, 48.0], atol=1e-12)
    assert set(trajectory.fix.tolist()) == {6}
    assert trajectory.clock.kind == "date-only"
    assert trajectory.reference_point == "imu"
    assert report.answered == ("date",)
    assert report.details["source_rate_hz"] == pytest.approx(200.0)
    assert report.details["sources"][0]["kind"] == "ppk"
    np.testing.assert_allclose(trajectory.std_ned_m, np.tile(sbet.STD_NED_M, (400, 1)))
    assert any("where no smrmsg file says better" in each for each in report.assumptions)


def test_stamps_are_gps_time_unless_told_otherwise(tmp_path):
    path = put(tmp_path, writer.flight(5, tow_s=36_000.0))  # Sunday 10:00
    gps, _ = sbet.read(path, label="a", options=DATED)
    utc, report = sbet.read(path, label="a", options=TrackOptions(date=SUNDAY, time_scale="utc"))
    assert to_iso(int(gps.time[0])) == "2026-06-14T09:59:42.000Z"
    assert to_iso(int(utc.time[0])) == "2026-06-14T10:00:00.000Z"
    assert report.answered == ("date", "time_scale")
    assert report.details["clock"]["scale"] == "UTC"


def test_the_week_ends_during_the_flight(tmp_path):
    path = put(tmp_path, writer.flight(400, tow_s=604_799.0))
    put(tmp_path, writer.accuracy([604_798.0, 604_799.0, 0.0, 1.0, 2.0]), "smrmsg_flight.out")
    trajectory, report = sbet.read(path, label="a", options=TrackOptions(date=dt.date(2026, 6, 13)))
    assert to_iso(int(trajectory.time[0])) == "2026-06-13T23:59:41.000Z"
    assert to_iso(int(trajectory.time[-1])) == "2026-06-13T23:59:42.995Z"
    assert len(trajectory) == 400
    assert trajectory.segment[-1] == 0
    assert report.companions
    np.testing.assert_allclose(trajectory.std_ned_m[:, 1], 0.03)


def test_a_date_is_needed_and_must_fit(tmp_path):
    path = put(tmp_path, writer.flight(5))
    with pytest.raises(ReadError, match=r"set date = YYYY-MM-DD under \[track\]"):
        sbet.read(path, label="a.out")
    with pytest.raises(ReadError, match="falls on a Sunday"):
        sbet.read(path, label="a.out", options=TrackOptions(date=dt.date(2026, 6, 17)))
    with pytest.raises(ReadError, match="no usable position source"):
        sbet.read(path, label="a.out", options=TrackOptions(date=SUNDAY, source="GPS"))


def test_accuracies_beside_are_interpolated(tmp_path):
    path = put(tmp_path, writer.flight(400))
    tow = 36_000.0 + np.arange(-1, 4)
    rows = writer.accuracy(tow, north=0.02 + 0.01 * np.arange(5), roll_arcmin=1.5, heading_arcmin=6.0)
    put(tmp_path, rows, "smrmsg_flight.out")
    trajectory, report = sbet.read(path, label="a", options=DATED)
    # at 36 000.5 s, half way between 0.03 and 0.04 m
    np.testing.assert_allclose(trajectory.std_ned_m[100], [0.035, 0.03, 0.05])
    np.testing.assert_allclose(trajectory.std_rpy_deg[100], [1.5 / 60, 1.2 / 60, 6.0 / 60])
    assert report.details["accuracy_from"] == "smrmsg_flight.out"
    assert not any("smrmsg" in each for each in report.assumptions)


@pytest.mark.parametrize(
    ("log", "others", "found"),
    [
        ("sbet_M1.out", ["smrmsg_M1.out", "smrmsg_M2.out"], "smrmsg_M1.out"),
        ("line.sbet", ["line.smrmsg", "other.smrmsg"], "line.smrmsg"),
        ("line.sbet", ["SMRMSG.dat"], "SMRMSG.dat"),
        ("line.sbet", ["smrmsg_1.out", "smrmsg_2.out"], None),
        ("line.sbet", ["notes.txt"], None),
    ],
)
def test_which_file_beside_has_the_accuracies(tmp_path, log, others, found):
    for name in [log, *others]:
        (tmp_path / name).write_bytes(b"x")
    beside = sbet.companion(tmp_path / log)
    assert (None if beside is None else beside.name) == found


def test_accuracies_of_another_flight_or_damaged_are_not_used(tmp_path):
    path = put(tmp_path, writer.flight(50))
    for content in (writer.file(writer.accuracy(200_000.0 + np.arange(9))), b"", b"\xff" * 800):
        put(tmp_path, content, "smrmsg_flight.out")
        trajectory, report = sbet.read(path, label="a", options=DATED)
        np.testing.assert_allclose(trajectory.std_ned_m[0], sbet.STD_NED_M)
        assert report.companions == ()
        assert any("no accuracy for 50 of 50" in each for each in report.warnings)


def test_velocities_to_north_east_down_and_doubtful_ones_left_out():
    rows = writer.flight(400, wander_deg=0.0)
    rows[:, 5:7] *= -1.0  # y to the east, z down
    trajectory, report = sbet.track(raw(rows), label="a", options=DATED)
    course = np.radians(40.0)
    np.testing.assert_allclose(trajectory.velocity_ned[7], [8 * np.cos(course), 8 * np.sin(course), -0.5])
    assert report.details["velocity_axes"] == "north-east-down"
    rows[:, 4:7] = [3.0, 20.0, 5.0]
    trajectory, report = sbet.track(raw(rows), label="a", options=DATED)
    assert np.isnan(trajectory.velocity_ned).all()
    assert any("velocities do not agree" in each for each in report.warnings)


def test_bytes_cut_off_are_a_hole():
    content = raw(writer.flight(4))[:-40]
    trajectory, report = sbet.track(content, label="a", options=DATED)
    assert len(trajectory) == 3
    assert report.holes == ((3 * 136, 96),)
    for size in (0, 20, 135):
        with pytest.raises(ReadError, match="no sound SBET record"):
            sbet.track(content[:size], label="a", options=DATED)


@pytest.mark.parametrize(("begin", "length"), [(1000, 50), (1000, 136), (13_607, 1), (30_000, 4096)])
def test_bytes_lost_in_the_middle_shift_the_rest(begin, length):
    whole = writer.flight(2000)
    content = np.delete(raw(whole), slice(begin, begin + length))
    log = Sbet(content, where="a")
    gone = (begin + length - 1) // 136 - begin // 136 + 1
    assert len(log.rows) >= 2000 - gone - 3
    assert set(log.rows[:, 0]) <= set(whole[:, 0])
    trajectory, report = sbet.track(content, label="a", options=DATED)
    assert abs(len(trajectory) - len(log.rows)) <= 1
    covered = sum(size for _, size in report.holes) + 136 * report.records
    assert covered == content.size


def test_overwritten_bytes_are_left_out_and_counted():
    content = raw(writer.flight(1000)).copy()
    content[136 * 368 : 136 * 398 + 40] = 0
    content[136 * 700 + 15] = 0xFF  # the exponent of a latitude
    log = Sbet(content, where="a")
    assert len(log.rows) == 1000 - 31 - 1
    rows = writer.flight(300)
    rows[100, 3] = np.nan
    rows[150, 1] += 0.01
    rows[200, 0] = 1.0
    trajectory, report = sbet.track(raw(rows), label="a", options=DATED)
    assert len(trajectory) == 297
    assert report.dropped == {"values that no record can have": 2, "position jumps": 1}


def test_sniff_wants_plausible_records_at_constant_steps(tmp_path):
    good = writer.file(writer.flight(100))
    assert sbet.sniff(put(tmp_path, good), good[:8192])
    damaged = bytearray(good)
    damaged[136 * 5 : 136 * 8] = bytes(408)
    assert sbet.sniff(put(tmp_path, bytes(damaged[:-3])), bytes(damaged[:8192]))
    rng = np.random.default_rng(1)
    others = [
        bytes(1360),
        b"1.0 2.0 3.0\n" * 136,
        rng.bytes(1360),
        rng.random(170).tobytes(),
        rng.random(340).astype("<f4").tobytes(),
        np.arange(170.0).tobytes(),
        writer.file(writer.accuracy(1000.0 + np.arange(17))),
        writer.file(writer.flight(20)[rng.permutation(20)]),
    ]
    for content in others:
        assert not sbet.sniff(put(tmp_path, content), content)
    assert not sbet.sniff(tmp_path / "not_there", b"")


def test_real_velocities_and_positions_prove_the_wander_angle(shared_data):
    """Axes north, west, up, turned back by the wander angle: the course over ground, to 0.01 degrees."""
    rows = Sbet(np.fromfile(shared_data / "logs/sbet/leeward_sbet.out", dtype=np.uint8), where="a").rows
    lat, lon = np.degrees(rows[[0, -1], 1]), np.degrees(rows[[0, -1], 2])
    course, _, length = Geod(ellps="WGS84").inv(lon[0], lat[0], lon[1], lat[1])
    vx, vy, vz = rows[:, 4:7].mean(axis=0)
    wander = np.degrees(rows[:, 10].mean())
    assert np.degrees(np.arctan2(-vy, vx)) - wander == pytest.approx(course, abs=0.01)
    assert abs(np.degrees(np.arctan2(-vy, vx)) + wander - course) > 2.0  # the other sign
    assert abs(np.degrees(np.arctan2(vy, vx)) % 360 - course) > 40.0  # y to the east
    seconds = rows[-1, 0] - rows[0, 0]
    assert vz == pytest.approx((rows[-1, 3] - rows[0, 3]) / seconds, abs=0.01)  # up
    assert np.hypot(vx, vy) == pytest.approx(length * (1 + rows[0, 3] / 6.37e6) / seconds, rel=1e-4)


def test_real_files(shared_data, tmp_path):
    folder = shared_data / "logs/sbet"
    thursday = TrackOptions(date=dt.date(2015, 5, 7))  # 400 825 s is a Thursday, 15:20:25
    trajectory, report = sbet.read(folder / "leeward_sbet.out", label="leeward", options=thursday)
    assert (len(trajectory), report.records, report.holes) == (200, 200, ())
    assert report.details["velocity_axes"] == "north-west-up"
    course = np.degrees(np.arctan2(trajectory.velocity_ned[0, 1], trajectory.velocity_ned[0, 0]))
    assert course == pytest.approx(158.39, abs=0.05)
    assert trajectory.height_m[0] == pytest.approx(6991.647, abs=1e-3)
    bad, report = sbet.read(
        folder / "badfile.sbet", label="bad", options=TrackOptions(date=dt.date(2012, 7, 9))
    )
    assert (len(bad), report.holes) == (1, ((136, 135),))
    accuracies = np.fromfile(folder / "smrmsg.smrmsg", dtype=np.uint8)
    flown = writer.flight(300, tow_s=536_300.0, rate_hz=10.0)  # a Saturday, within the real accuracies
    beside = folder / "smrmsg.smrmsg"
    options = TrackOptions(date=dt.date(2012, 7, 14))
    track, report = sbet.track(raw(flown), label="a", options=options, accuracy=accuracies, beside=beside)
    table = np.frombuffer(accuracies.tobytes(), "<f8").reshape(-1, 10)
    assert len(table) == 21_902
    at = np.searchsorted(table[:, 0], 536_305.0)
    np.testing.assert_allclose(track.std_ned_m[50], table[at, 1:4], atol=1e-6)
    np.testing.assert_allclose(track.std_rpy_deg[50], table[at, 7:10] / 60.0, atol=1e-6)


def test_claims_only_its_own_real_files(shared_data):
    claimed = set()
    for path in filter(Path.is_file, shared_data.rglob("*")):
        with path.open("rb") as stream:
            if sbet.sniff(path, stream.read(8192)):
                claimed.add(path.name)
    assert claimed == {"leeward_sbet.out", "2-points.sbet"}


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_only_raise_read_errors(data):
    content = bytearray(data.draw(st.sampled_from(fuzz.SEEDS)))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    begin = data.draw(st.integers(0, len(content)))
    del content[begin : begin + data.draw(st.integers(0, 300))]
    fuzz.one(bytes(content))


@given(st.binary(max_size=600))
def test_any_bytes_only_raise_read_errors(content):
    fuzz.one(content)
