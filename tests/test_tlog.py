"""MAVLink telemetry to a trajectory: planted truth, clocks, restarts, several vehicles, cameras, damage."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.readers import tlog
from dronesense.readers.mavlink_frames import load
from dronesense.readers.tally import Tally
from dronesense.readers.tlog_clock import fit_clock
from dronesense.readers.tlog_positions import receiver
from dronesense.readers.tlog_vehicle import pick

sys.path.insert(0, str(Path(__file__).parent))
import tlog_writer as writer

_SPEC = importlib.util.spec_from_file_location("fuzz_tlog", Path(__file__).parent / "fuzz" / "fuzz_tlog.py")
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)

UTC_US, LATE_US = writer.UTC_US, writer.LATE_US
STEP_MS = 200
UNDULATION_M = -37.25
LAT, LON, ALT = 51.5, 71.4, 300.0
NORTH_M_S = 5.0
DEGREES_PER_M = 1.0 / 111_195.0


def flight(
    rows: int = 50, *, version: int = 2, boot0_ms: int = 4000, log: writer.Log | None = None, **over: Any
) -> writer.Log:
    """A flight due north at 5 m/s with a roll of 2 degrees; UTC_US is the UTC of boot."""
    log = writer.Log(version=version) if log is None else log
    log.version = version
    for k in range(rows):
        boot = boot0_ms + STEP_MS * k
        lat = round((LAT + NORTH_M_S * DEGREES_PER_M * STEP_MS * k / 1000.0) * 1e7)
        jitter = (37_000 * k) % 90_000
        arrival = UTC_US + LATE_US + 1000 * boot + jitter
        alt = round(1000 * ALT) + 100 * k
        names = over.get("only", ("time", "gpi", "gps", "att", "baro", "beat"))
        if "time" in names:
            log.add("SYSTEM_TIME", arrival, time_unix_usec=UTC_US + 1000 * boot, time_boot_ms=boot)
        if "gpi" in names:
            log.add(
                "GLOBAL_POSITION_INT", arrival, time_boot_ms=boot, lat=lat, lon=round(LON * 1e7), alt=alt,
                relative_alt=100 * k, vx=500, vy=0, vz=-50, hdg=65535,
            )  # fmt: skip
        if "gps" in names:
            extra = {"alt_ellipsoid": alt + round(1000 * UNDULATION_M), "h_acc": 700, "v_acc": 1100}
            log.add(
                over.get("receiver", "GPS_RAW_INT"), arrival,
                time_usec=over.get("gps_epoch_us", 0) + 1000 * boot, lat=lat, lon=round(LON * 1e7), alt=alt,
                fix_type=over.get("fix_type", 3), eph=80, epv=120, vel=500, cog=0,
                **(extra if version == 2 and over.get("ellipsoid", True) else {}),
            )  # fmt: skip
        if "att" in names:
            log.add("ATTITUDE", arrival, time_boot_ms=boot + 100, roll=math.radians(2.0), pitch=0.0, yaw=0.0)
        if "baro" in names:
            log.add("SCALED_PRESSURE", arrival, time_boot_ms=boot, press_abs=950.0 + k / 100)
        if "beat" in names:
            log.add("HEARTBEAT", arrival, autopilot=3, base_mode=over.get("base_mode", 81), mavlink_version=3)
    return log


def read(tmp_path: Path, data: bytes, **options: Any) -> tuple[Trajectory, IngestReport]:
    path = tmp_path / "log.tlog"
    path.write_bytes(data)
    return tlog.read(path, label="flight", options=TrackOptions(**options))


@pytest.mark.parametrize("version", [1, 2])
def test_the_planted_flight_comes_back(tmp_path: Path, version: int) -> None:
    track, report = read(tmp_path, flight(version=version).data())
    first = (UTC_US + 4_000_000) * 1000
    assert track.time[0] == first  # by SYSTEM_TIME, not by the ground station that is 17 s ahead
    assert np.all(np.diff(track.time) == 100_000_000)
    seconds = (track.time - first) / 1e9
    assert np.allclose(track.lat, LAT + NORTH_M_S * DEGREES_PER_M * seconds, rtol=0, atol=6e-8)
    assert np.allclose(track.lon, LON, rtol=0, atol=1e-9)
    assert np.allclose(track.height_source_m, ALT + 0.5 * seconds, rtol=0, atol=1e-6)
    assert track.height_ref == "receiver-geoid"
    if version == 2:
        assert np.allclose(track.height_m - track.height_source_m, UNDULATION_M, rtol=0, atol=1e-6)
        assert np.allclose(track.std_ned_m[0], [0.7, 0.7, 1.1])
    else:
        assert np.isnan(track.height_m).all()
        assert np.allclose(track.std_ned_m[0], [2.0, 2.0, 4.0])
    assert np.allclose(track.velocity_ned, [5.0, 0.0, -0.5])
    half = math.radians(1.0)
    assert np.allclose(track.attitude[1:], [math.cos(half), math.sin(half), 0.0, 0.0], atol=1e-7)
    assert np.isnan(track.attitude[0]).all()  # a position before the first attitude
    assert np.allclose(track.pressure_hpa[::2], 950.0 + np.arange(50) / 100, atol=1e-4)
    assert set(track.fix.tolist()) == {7}
    assert (track.clock.kind, track.reference_point) == ("fitted", "imu")
    assert track.source == "flight:GLOBAL_POSITION_INT"
    assert (report.records, report.dropped, report.holes) == (300, {}, ())
    off = report.details["clock"]["ground_station_minus_utc_s"]
    assert math.isclose(off["least"], LATE_US / 1e6, abs_tol=0.01)
    assert math.isclose(off["most"], LATE_US / 1e6 + 0.09, abs_tol=0.01)
    assert report.details["firmware"] == "ArduPilot"


def test_the_receiver_is_used_when_asked_for_or_fixed(tmp_path: Path) -> None:
    track, report = read(tmp_path, flight().data(), source="GPS_RAW_INT")
    assert (track.source, track.reference_point) == ("flight:GPS_RAW_INT", "antenna")
    assert set(track.fix.tolist()) == {2}
    assert {each["name"]: each["rows"] for each in report.details["sources"]} == {
        "GLOBAL_POSITION_INT": 50, "GPS_RAW_INT": 50,
    }  # fmt: skip
    fixed, _ = read(tmp_path, flight(fix_type=6).data())
    assert (fixed.source, set(fixed.fix.tolist())) == ("flight:GPS_RAW_INT", {5})
    second = flight(only=("time", "gpi", "att"))
    flight(log=second, only=("gps",), receiver="GPS2_RAW", fix_type=6)
    track, _ = read(tmp_path, second.data())
    assert track.source == "flight:GPS2_RAW"
    with pytest.raises(ReadError, match='did you mean "GPS_RAW_INT"'):
        read(tmp_path, flight().data(), source="GPS_RAW")


def test_fixes_of_unix_time_are_taken_at_their_word(tmp_path: Path) -> None:
    data = flight(gps_epoch_us=UTC_US).data()
    track, _ = read(tmp_path, data, source="GPS_RAW_INT")
    assert track.clock.kind == "exact"
    assert track.time[0] == (UTC_US + 4_000_000) * 1000
    without = flight(gps_epoch_us=UTC_US, only=("gpi", "gps", "att")).data()
    track, report = read(tmp_path, without)
    assert track.source == "flight:GLOBAL_POSITION_INT"
    assert abs(track.time[0] - (UTC_US + 4_000_000) * 1000) < 0.3e9
    assert any("no SYSTEM_TIME" in warning for warning in report.warnings)


def test_without_utc_the_earliest_arrivals_serve_with_an_honest_sigma(tmp_path: Path) -> None:
    track, report = read(tmp_path, flight(only=("gpi", "gps", "att")).data())
    assert abs(track.time[0] - (UTC_US + LATE_US + 4_000_000) * 1000) <= 100_000_000
    assert track.clock.sigma_s >= 1.0
    assert any("ground station" in warning for warning in report.warnings)
    assert report.details["clock"]["reference"] == "ground station"
    zero = flight(only=("gpi", "att"))
    for k in range(30):
        zero.add("SYSTEM_TIME", UTC_US, time_unix_usec=0, time_boot_ms=4000 + k)
    assert read(tmp_path, zero.data())[0].clock.sigma_s >= 1.0
    bare = b"".join(record[8:] for record in flight(only=("gpi", "gps", "att")).records)
    with pytest.raises(ReadError, match="holds no UTC"):
        read(tmp_path, bare)
    timed = b"".join(record[8:] for record in flight().records)
    assert read(tmp_path, timed)[0].time[0] == (UTC_US + 4_000_000) * 1000


def test_clocks_that_disagree_by_hours_are_named(tmp_path: Path) -> None:
    log = flight(only=("gpi", "att"))
    for k in range(20):
        log.add("SYSTEM_TIME", UTC_US + 7_200_000_000, time_unix_usec=UTC_US, time_boot_ms=4000 + k)
    _, report = read(tmp_path, log.data())
    assert any("one of them was not set" in warning for warning in report.warnings)
    assert not any("not set" in warning for warning in read(tmp_path, flight().data())[1].warnings)


def test_messages_that_come_late_are_put_in_order(tmp_path: Path) -> None:
    log = flight()
    log.records[60:120], log.records[120:180] = log.records[120:180], log.records[60:120]
    whole, _ = read(tmp_path, flight().data())
    track, report = read(tmp_path, log.data())
    assert np.array_equal(track.time, whole.time)
    assert np.array_equal(track.lat, whole.lat)
    assert report.dropped == {}


def test_repeated_fixes_count_once(tmp_path: Path) -> None:
    log = flight()
    twice = [record for record in log.records for _ in range(2)]
    track, report = read(tmp_path, b"".join(twice))
    assert len(track) == 99
    assert report.dropped["GLOBAL_POSITION_INT: same time stamp again"] == 50


def test_a_restart_splits_the_log_and_the_longest_part_is_used(tmp_path: Path) -> None:
    log = flight(60, boot0_ms=100_000)
    flight(90, boot0_ms=2000, log=log)
    track, report = read(tmp_path, log.data())
    assert track.time[0] == (UTC_US + 2_000_000) * 1000
    assert len(track) == 179
    assert any("started 2 times (12 s, 18 s)" in warning for warning in report.warnings)


def test_one_of_several_vehicles_is_used_and_the_others_are_counted(tmp_path: Path) -> None:
    log = flight()
    log.system = 2
    flight(20, log=log, boot0_ms=9000)
    log.system, log.component = 255, 190
    log.add("HEARTBEAT", UTC_US, autopilot=8)
    track, report = read(tmp_path, log.data())
    assert track.time[0] == (UTC_US + 4_000_000) * 1000
    assert report.dropped["positions of system 2, component 1"] == 40
    assert any('source = "auto@2"' in warning for warning in report.warnings)
    assert report.details["senders"] == {"1/1": 300, "2/1": 120, "255/190": 1}
    track, report = read(tmp_path, log.data(), source="GPS_RAW_INT@2")
    assert (track.source, track.time[0]) == ("flight:GPS_RAW_INT", (UTC_US + 9_000_000) * 1000)
    assert len(track) == 39
    with pytest.raises(ReadError, match=r"no vehicle of system id 7.*ids 1, 2"):
        read(tmp_path, log.data(), source="auto@7")
    with pytest.raises(ReadError, match="no system id behind @"):
        read(tmp_path, log.data(), source="auto@x")


def test_rows_without_a_fix_or_a_place_are_refused_and_counted(tmp_path: Path) -> None:
    log = flight()
    log.add("GPS_RAW_INT", UTC_US, time_usec=99_000_000, lat=1, lon=1, fix_type=1)
    log.add("GPS_RAW_INT", UTC_US, time_usec=99_200_000, fix_type=3)
    log.add("GLOBAL_POSITION_INT", UTC_US, time_boot_ms=3900)
    log.add("ATTITUDE", UTC_US, time_boot_ms=4110, roll=math.nan)
    log.add("SCALED_PRESSURE", UTC_US, time_boot_ms=4120, press_abs=0.0)
    _, report = read(tmp_path, log.data())
    assert report.dropped == {
        "GPS_RAW_INT: no 3-D fix": 1,
        "GPS_RAW_INT: latitude and longitude 0": 1,
        "GLOBAL_POSITION_INT: latitude and longitude 0": 1,
        "ATTITUDE: angle out of range": 1,
        "SCALED_PRESSURE: pressure out of range": 1,
    }


def test_quaternions_serve_where_they_are_more(tmp_path: Path) -> None:
    log = flight(only=("time", "gpi", "gps"))
    half = math.radians(15.0)
    for k in range(100):
        log.add(
            "ATTITUDE_QUATERNION", UTC_US, time_boot_ms=4000 + 100 * k, q1=math.cos(half), q4=math.sin(half)
        )
    log.add("ATTITUDE_QUATERNION", UTC_US, time_boot_ms=4050, q1=3.0)
    track, report = read(tmp_path, log.data())
    assert np.allclose(track.attitude[:-1], [math.cos(half), 0, 0, math.sin(half)], atol=1e-7)
    assert report.dropped == {"ATTITUDE_QUATERNION: angle out of range": 1}


def test_pictures_are_found_by_whatever_stamp_they_carry(tmp_path: Path) -> None:
    log = flight()
    for k in (3, 1, 2, 2):
        log.add("CAMERA_FEEDBACK", UTC_US, time_usec=UTC_US + 5_000_000 + k, img_idx=k)
    log.add("CAMERA_FEEDBACK", UTC_US, time_usec=0, img_idx=9)
    track, report = read(tmp_path, log.data())
    assert track.triggers.source == "CAMERA_FEEDBACK"
    assert track.triggers.number.tolist() == [1, 2, 3]
    assert (track.triggers.time // 1000 - UTC_US).tolist() == [5_000_001, 5_000_002, 5_000_003]
    assert report.dropped == {"CAMERA_FEEDBACK: clock not set": 1}
    log = flight()
    log.add("CAMERA_TRIGGER", UTC_US, time_usec=6_000_000, seq=4)
    assert read(tmp_path, log.data())[0].triggers.time.tolist() == [(UTC_US + 6_000_000) * 1000]
    log = flight()
    log.add("CAMERA_IMAGE_CAPTURED", UTC_US, time_boot_ms=5000, image_index=1, capture_result=1)
    log.add("CAMERA_IMAGE_CAPTURED", UTC_US, time_boot_ms=5100, image_index=2, capture_result=0)
    log.component = 100
    log.add("CAMERA_IMAGE_CAPTURED", UTC_US, time_boot_ms=77, image_index=3, capture_result=1)
    log.add("CAMERA_IMAGE_CAPTURED", UTC_US, time_utc=UTC_US + 7_000_000, image_index=4, capture_result=1)
    track, report = read(tmp_path, log.data())
    assert track.triggers.number.tolist() == [1, 4]
    assert (track.triggers.time // 1000 - UTC_US).tolist() == [5_000_000, 7_000_000]
    assert report.dropped == {
        "CAMERA_IMAGE_CAPTURED: no picture taken": 1,
        "CAMERA_IMAGE_CAPTURED: by the camera's own clock": 1,
    }


def test_damage_and_an_end_in_flight_are_named(tmp_path: Path) -> None:
    data = flight(base_mode=209).data()
    _, report = read(tmp_path, data[:-3])
    assert "ends in the middle of a message" in report.warnings[0]
    assert any("armed" in warning for warning in report.warnings)
    middle = len(data) // 2
    _, report = read(tmp_path, data[:middle] + bytes(500) + data[middle:])
    assert "the log is damaged" in report.warnings[0]
    assert report.holes[0][1] >= 500


@pytest.mark.parametrize("data", [b"", bytes(20), b"\xfd" * 4000, b"lat,lon\n1,2\n"])
def test_what_is_no_log_says_so(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ReadError, match=r"^flight: "):
        read(tmp_path, data)
    assert not tlog.sniff(tmp_path, data)


def test_logs_without_a_position_say_so(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no vehicle in it sends a position"):
        read(tmp_path, flight(only=("time", "att", "beat")).data())
    with pytest.raises(ReadError, match=r"no position with a fix.*50 x GPS_RAW_INT: no 3-D fix"):
        read(tmp_path, flight(only=("time", "gps"), fix_type=1).data())


def test_sniff_knows_a_log_by_its_first_frame_or_by_several(tmp_path: Path) -> None:
    data = flight().data()
    assert tlog.sniff(tmp_path, data[:8192])
    assert tlog.sniff(tmp_path, data[:60])
    assert tlog.sniff(tmp_path, data[5:8192])
    assert tlog.sniff(tmp_path, b"\0" * 300 + data[:7000])
    flipped = bytearray(data[:40])
    flipped[25] ^= 1
    assert not tlog.sniff(tmp_path, bytes(flipped))
    assert not tlog.sniff(tmp_path, b"\xff" + data[1:40])


def test_sniff_claims_no_other_file(shared_data: Path) -> None:
    claimed = []
    for path in sorted(shared_data.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                head = stream.read(8192)
            if tlog.sniff(path, head):
                claimed.append(path.name)
    assert sorted(claimed) == ["capture.mav2.battery_status.tlog", "vtol.tlog"]


def test_the_real_flight(shared_data: Path) -> None:
    path = shared_data / "logs/tlog/vtol.tlog"
    track, report = tlog.read(path, label="vtol", options=TrackOptions(source="GLOBAL_POSITION_INT"))
    assert report.records == 23_894
    assert str(np.datetime64(int(track.time[0]), "ns")).startswith("2018-08-08T14:05:45.46")
    clock = report.details["clock"]
    assert clock["stamps"] == 811
    assert clock["latency_spread_s"] < 0.001  # SYSTEM_TIME against time_boot_ms: quantization only
    assert 15.4 < clock["ground_station_minus_utc_s"]["least"] < 15.5
    assert 19.5 < clock["ground_station_minus_utc_s"]["most"] < 19.6
    assert np.isnan(track.height_m).all()  # MAVLink 1 sends no ellipsoidal height
    assert set(track.fix.tolist()) == {7}
    assert report.details["firmware"].startswith("ArduPlane V3.10.0")
    with pytest.raises(ReadError, match="no vehicle in it sends a position"):
        tlog.read(path.with_name("capture.mav2.battery_status.tlog"), label="capture")


@settings(max_examples=100)
@given(st.data())
def test_mutated_logs_raise_nothing_but_read_errors(data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(fuzz.SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(seed) - 1))
        seed[place : place + data.draw(st.integers(1, 4))] = data.draw(st.binary(max_size=5))
        seed = seed or bytearray(1)
    fuzz.one(bytes(seed))


# -- borders, and what is told --


@pytest.mark.parametrize(
    ("sound", "old", "broken", "taken"),
    [(3, 0, 0, True), (2, 0, 3, False), (2, 3, 3, False), (4, 0, 3, True), (2, 0, 0, False)],
)
def test_a_damaged_start_needs_three_proven_frames_with_a_date(
    tmp_path: Path, sound: int, old: int, broken: int, taken: bool
) -> None:
    log = writer.Log()
    for k in range(sound):
        log.add("HEARTBEAT", UTC_US + k, autopilot=3)
    for k in range(old):
        log.add("HEARTBEAT", 5 + k, autopilot=3)  # 1970
    damaged = bytearray(log.add("HEARTBEAT", UTC_US, autopilot=3).records.pop())
    damaged[-1] ^= 1
    assert tlog.sniff(tmp_path, b"\xff" * 9 + log.data() + bytes(damaged) * broken) is taken


def test_what_a_log_lacks_is_told_and_what_it_has_is_not(tmp_path: Path) -> None:
    _, whole = read(tmp_path, flight().data())
    _, bare = read(tmp_path, flight(only=("time", "gpi", "gps", "beat"), ellipsoid=False).data())
    for text in ("no attitude in the log", "does not tell the geoid undulation"):
        assert [text in " ".join(report.warnings) for report in (whole, bare)] == [False, True]
    assert any("attitude uncertainty" in text for text in whole.assumptions)
    assert not any("attitude uncertainty" in text for text in bare.assumptions)


@pytest.mark.parametrize(("mode", "armed"), [(0, False), (127, False), (128, True), (209, True)])
def test_the_end_of_a_log_in_flight_is_told_by_the_last_heartbeat(
    tmp_path: Path, mode: int, armed: bool
) -> None:
    log = flight(20, base_mode=209 if not armed else 81)
    log.add("HEARTBEAT", UTC_US, autopilot=3, base_mode=mode)
    _, report = read(tmp_path, log.data())
    assert any("armed" in warning for warning in report.warnings) is armed


def test_frames_that_are_not_used_are_counted(tmp_path: Path) -> None:
    log = flight(20)
    log.record(log.frame(60_000, 77, bytes(range(1, 20))), UTC_US).add("HEARTBEAT", UTC_US, autopilot=3)
    log.record(log.frame(60_000, 77, bytes(range(1, 20))), UTC_US).add("HEARTBEAT", UTC_US, autopilot=3)
    log.record(log.frame(30, 39, writer.payload("ATTITUDE", extension=False, roll=1.0), flags=2), UTC_US).add(
        "HEARTBEAT", UTC_US, autopilot=3
    )
    _, report = read(tmp_path, log.data())
    assert report.dropped["message that is not in the table"] == 2
    assert len(report.dropped) == 2
    assert sum(report.dropped.values()) == 3


@pytest.mark.parametrize(("n", "earliest_ms"), [(9, 0), (10, 1), (30, 1)])
def test_arrivals_by_hand(tmp_path: Path, n: int, earliest_ms: int) -> None:
    """Message k comes k ms late: the earliest is on time, from ten on the second earliest is believed."""
    log = writer.Log()
    for k in range(n):
        log.add(
            "GLOBAL_POSITION_INT", UTC_US + 1000 * (100 * k + k), time_boot_ms=100 * k,
            lat=round(LAT * 1e7), lon=round(LON * 1e7) + k, alt=300_000,
        )  # fmt: skip
    track, report = read(tmp_path, log.data())
    clock = report.details["clock"]
    assert track.time[0] == UTC_US * 1000 + earliest_ms * 1_000_000
    assert clock["offset_s"] == pytest.approx(UTC_US / 1e6 + earliest_ms / 1e3, abs=1e-9 * UTC_US / 1e6)
    assert (clock["stamps"], clock["drift_ppm"], clock["ground_station_minus_utc_s"]) == (n, 0.0, None)
    assert clock["latency_spread_s"] == pytest.approx((n - 1) / 1000.0)
    late = np.percentile(np.arange(n) - earliest_ms, 95) / 1000.0
    assert clock["sigma_s"] == pytest.approx(math.hypot(late, 1.0), rel=1e-12)
    assert track.clock.sigma_s == pytest.approx(math.sqrt(late**2 + 1.0 + 1e-6 / 12.0), rel=1e-12)


def test_the_ground_station_beside_the_vehicle_by_hand(tmp_path: Path) -> None:
    """Frame k is heard 17.3 s by the station's clock after it was sent, and (37 k modulo 90) ms later."""
    _, report = read(tmp_path, flight(50).data())
    jitter = sorted((37 * k) % 90 for k in range(50))
    off = report.details["clock"]["ground_station_minus_utc_s"]
    assert off["least"] == pytest.approx(17.3, abs=1e-5)
    assert off["most"] == pytest.approx(17.3 + jitter[-1] / 1e3, abs=1e-5)
    assert off["median"] == pytest.approx(17.3 + (jitter[24] + jitter[25]) / 2e3, abs=1e-5)


@pytest.mark.parametrize(("back_ms", "lives"), [(10_000, 1), (10_001, 2)])
def test_a_clock_that_falls_back_by_more_than_ten_seconds_has_started_again(
    tmp_path: Path, back_ms: int, lives: int
) -> None:
    log = flight(100)
    last_ms = 4000 + STEP_MS * 99  # SCALED_PRESSURE, the last message with a clock
    flight(150, boot0_ms=last_ms - back_ms, log=log)
    _, report = read(tmp_path, log.data())
    assert any("started 2 times" in warning for warning in report.warnings) is (lives == 2)


def test_speed_and_course_of_a_receiver(tmp_path: Path) -> None:
    """3 m/s toward 120 degrees: north -1.5, east 2.598; a speed or a course of 65535 is not known."""
    log = flight(30, only=("time", "att"))
    for k in range(30):
        log.add(
            "GPS_RAW_INT", UTC_US, time_usec=1000 * (4000 + STEP_MS * k), lat=round(LAT * 1e7) - 27 * k,
            lon=round(LON * 1e7) + 75 * k, alt=300_000, fix_type=3,
            vel=65535 if k == 3 else 300, cog=65535 if k == 4 else 12_000,
            alt_ellipsoid=300_000 if k == 5 else 263_000, h_acc=700 if k != 6 else 1_000_000,
            v_acc=1100 if k != 7 else 0,
        )  # fmt: skip
    log_path = tmp_path / "x.tlog"
    log_path.write_bytes(log.data())
    tally = Tally()
    vehicle = pick(load(log_path), None, label="x", tally=tally)
    fit, clock, _ = fit_clock(vehicle, tally, label="x")
    found = receiver(vehicle, "GPS_RAW_INT", fit, clock, tally)
    assert found is not None
    known = np.isin(np.arange(30), (3, 4), invert=True)
    np.testing.assert_array_equal(np.isfinite(found.velocity_ned[:, 0]), known)
    np.testing.assert_allclose(found.velocity_ned[known, :2], [[-1.5, 1.5 * math.sqrt(3.0)]] * 28, atol=1e-9)
    assert np.isnan(found.velocity_ned[:, 2]).all()
    np.testing.assert_allclose(found.height_m, 263.0, atol=1e-9)  # the median where a row repeats the height
    stated = np.isin(np.arange(30), (6, 7), invert=True)
    np.testing.assert_allclose(found.std_ned_m[stated], [[0.7, 0.7, 1.1]] * 28)
    assert (found.std_ned_m[~stated] != [0.7, 0.7, 1.1]).all()
    assert (found.fix == 2).all()


@pytest.mark.parametrize(("before_us", "taken"), [(0, False), (1, True)])
def test_a_first_stamp_lies_before_2100(tmp_path: Path, before_us: int, taken: bool) -> None:
    end_us = 4_102_444_800_000_000
    log = writer.Log().add("HEARTBEAT", end_us - before_us, autopilot=3)
    assert tlog.sniff(tmp_path, log.data()) is taken


def test_velocity_pressure_and_quaternions_by_hand(tmp_path: Path) -> None:
    """m/s as they are sent; hPa from 100 to 1100; a quaternion 0.5 % too long is made one of unit length."""
    log = flight(40, only=("time", "gpi"))
    for k in range(40):
        boot = 4000 + STEP_MS * k
        log.add("LOCAL_POSITION_NED", UTC_US, time_boot_ms=boot, vx=3.0, vy=4.0, vz=-1.0)
        hpa = {5: 100.0, 6: 99.9, 7: 1100.0, 8: 1100.1}.get(k, 950.0)
        log.add("SCALED_PRESSURE", UTC_US, time_boot_ms=boot, press_abs=hpa)
        log.add("ATTITUDE_QUATERNION", UTC_US, time_boot_ms=boot, q1=1.005 * 0.6, q2=1.005 * 0.8)
    track, report = read(tmp_path, log.data())
    np.testing.assert_allclose(track.velocity_ned, [[3.0, 4.0, -1.0]] * len(track))
    np.testing.assert_allclose(track.attitude, [[0.6, 0.8, 0.0, 0.0]] * len(track), atol=1e-6)
    assert report.dropped == {"SCALED_PRESSURE: pressure out of range": 2}
    assert report.details["triggers"] == 0


def test_damage_is_told_before_all_else(tmp_path: Path) -> None:
    _, report = read(tmp_path, flight(only=("time", "gpi", "gps", "beat")).data() + b"\0" * 50)
    assert "ends in the middle" in report.warnings[0]
    assert "no attitude" in report.warnings[1]


def test_drift_and_steps_of_the_vehicles_clock_are_told(tmp_path: Path) -> None:
    """20 min of a clock that is 20 ppm slow; then the same with UTC set forward by 5 s on the way."""
    for step_us, told in ((0, False), (5_000_000, True)):
        log = writer.Log()
        for k in range(121):
            boot = 10_000 * k
            utc = UTC_US + 1000 * boot + 200 * k + (step_us if k > 80 else 0)
            log.add("SYSTEM_TIME", utc, time_unix_usec=utc, time_boot_ms=boot)
            log.add(
                "GLOBAL_POSITION_INT", utc, time_boot_ms=boot,
                lat=round(LAT * 1e7) + k, lon=round(LON * 1e7), alt=300_000,
            )  # fmt: skip
        log.add("HEARTBEAT", UTC_US, autopilot=3).add("HEARTBEAT", UTC_US, autopilot=12)
        _, report = read(tmp_path, log.data())
        assert report.details["clock"]["drift_ppm"] == pytest.approx(20.0, rel=1e-3)
        assert any("step against each other" in warning for warning in report.warnings) is told
        assert any("latency of the receiver not corrected" in text for text in report.assumptions)
        assert report.details["firmware"] == "PX4"  # by the last heartbeat


def test_one_life_needs_no_warning(tmp_path: Path) -> None:
    assert not any("started" in warning for warning in read(tmp_path, flight().data())[1].warnings)


def test_kinds_of_fixes(tmp_path: Path) -> None:
    """3-D, differential, RTK float, RTK fixed, static (as 3-D), PPP, and two unknown ones (as 3-D)."""
    log = flight(30, only=("time", "att"))
    for k, kind in enumerate((3, 4, 5, 6, 7, 8, 9, 200)):
        log.add(
            "GPS_RAW_INT", UTC_US, time_usec=1000 * (4000 + STEP_MS * k), lat=round(LAT * 1e7) + k,
            lon=round(LON * 1e7), alt=300_000, fix_type=kind,
        )  # fmt: skip
    track, report = read(tmp_path, log.data(), source="GPS_RAW_INT")
    positions = np.searchsorted(track.time, [(UTC_US + 4_000_000 + 200_000 * k) * 1000 for k in range(8)])
    assert track.fix[positions].tolist() == [2, 3, 4, 5, 2, 6, 2, 2]
    assert any("by kind of fix: it states none" in text for text in report.assumptions)
