"""PX4 tracks: planted flights in every schema, gates, clocks, resets, dropouts, and the real logs."""

from __future__ import annotations

import importlib.util
import json
import math
import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pyproj import Geod

from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.plugins import HEAD_BYTES, read_head
from dronesense.readers import px4
from dronesense.readers.px4_streams import from_local
from dronesense.readers.ulog import ULog


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(name).stem, Path(__file__).parent / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


writer = _load("ulog_writer.py")

BOOT_US = 5_000_000
UTC_US = 1_700_000_000_000_000
STEP_US = 200_000
ROWS = 30
UNDULATION_M = 48.25
GPS_THIRD = (
    writer.GPS_DOUBLE.replace("latitude_deg", "latitude")
    .replace("longitude_deg", "longitude")
    .replace("altitude_msl_m", "altitude_msl")
    .replace("altitude_ellipsoid_m", "altitude_ellipsoid")
)


def lat_of(k: float) -> float:
    return 47.0 + k * 1e-6


def heading(k: int) -> list[float]:
    """Return the quaternion of a body that looks 10 k degrees east of north, level."""
    half = math.radians(10.0 * k) / 2.0
    return [math.cos(half), 0.0, 0.0, math.sin(half)]


def begin(*topics: tuple[str, str], start_us: int = BOOT_US) -> Any:
    log = writer.Log(start_us).flags().keyed("char[3] sys_name", b"PX4")
    log.keyed("char[5] ver_hw", b"BOARD").keyed("uint32_t ver_sw_release", b"\xff\x02\x0e\x01")
    for name, fields in topics:
        if name not in log.formats:
            log.format(name, fields)
    for name, _ in topics:
        log.subscribe(name, sum(key[0] == name for key in log.ids))
    return log


def add_gps(log: Any, k: int, *, schema: str = writer.GPS, **given: Any) -> None:
    """Add fix *k*; `late_us` is how late after its epoch it is logged."""
    name, multi_id = given.get("name", "vehicle_gps_position"), given.get("multi_id", 0)
    epoch = given.get("utc_us", UTC_US + k * STEP_US)
    stamp = given.get("stamp_us", BOOT_US + k * STEP_US + given.get("late_us", 0))
    lat, lon, alt = given.get("lat", lat_of(k)), given.get("lon", 8.0), given.get("alt", 500.0 + k)
    ellipsoidal = alt + given.get("undulation_m", UNDULATION_M)
    tail = (given.get("eph", 1.5), given.get("epv", 2.5), 1.0, -2.0, 0.5, given.get("fix", 3), True)
    if schema == writer.GPS:
        whole = (round(lat * 1e7), round(lon * 1e7), round(alt * 1e3), round(ellipsoidal * 1e3))
        log.add(name, stamp, epoch, *whole, *tail, multi_id=multi_id)
    else:
        log.add(name, stamp, lat, lon, alt, ellipsoidal, epoch, *tail, multi_id=multi_id)


def add_global(log: Any, k: int, *, alt: float | None = None, resets: tuple[int, int] = (0, 0)) -> None:
    stamp = BOOT_US + k * STEP_US + 50_000
    height = 500.0 + k + 0.25 if alt is None else alt
    log.add("vehicle_global_position", stamp, lat_of(k + 0.25), 8.0, height, 0.5, 0.75, *resets, False)


def read(tmp_path: Path, data: bytes, source: str = "auto") -> tuple[Trajectory, IngestReport]:
    path = tmp_path / "log.ulg"
    path.write_bytes(data)
    assert px4.sniff(path, data[:HEAD_BYTES])
    track, report = px4.read(path, label="log.ulg", options=TrackOptions(source=source))
    json.dumps(report.details, allow_nan=False)
    return track, report


def gps_flight(schema: str = writer.GPS, name: str = "vehicle_gps_position", **given: Any) -> Any:
    log = begin((name, schema))
    for k in range(ROWS):
        add_gps(log, k, schema=schema, name=name, **given)
    return log


@pytest.mark.parametrize("name", ["vehicle_gps_position", "sensor_gps"])
@pytest.mark.parametrize("schema", [writer.GPS, writer.GPS_DOUBLE, GPS_THIRD], ids=["int", "deg_m", "third"])
def test_every_schema_of_gps_gives_the_planted_track(tmp_path: Path, schema: str, name: str) -> None:
    track, report = read(tmp_path, gps_flight(schema, name).data())
    assert track.time.tolist() == [(UTC_US + k * STEP_US) * 1000 for k in range(ROWS)]
    np.testing.assert_allclose(track.lat, [lat_of(k) for k in range(ROWS)], atol=1e-12)
    np.testing.assert_allclose(track.lon, 8.0, atol=1e-12)
    np.testing.assert_allclose(track.height_source_m, 500.0 + np.arange(ROWS))
    np.testing.assert_allclose(track.height_m, 500.0 + UNDULATION_M + np.arange(ROWS))
    assert track.height_ref == "receiver-geoid"
    assert track.std_ned_m[0].tolist() == [1.5, 1.5, 2.5]
    assert track.velocity_ned[0].tolist() == [1.0, -2.0, 0.5]
    assert set(track.fix.tolist()) == {2}
    assert track.reference_point == "antenna"
    assert track.clock.kind == "fitted"
    assert report.details["source"] == (name if name.startswith("vehicle") else f"{name}[0]")
    assert report.details["undulation_m"] == pytest.approx(UNDULATION_M)
    assert report.details["firmware"] == "PX4 1.14.2"
    assert report.details["device"] == "BOARD"


def test_the_filter_is_preferred_and_stands_on_the_fitted_clock(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_global_position", writer.GLOBAL))
    rng = np.random.default_rng(0)
    for k in range(ROWS):
        add_gps(log, k, late_us=5_000 + int(rng.integers(0, 60_000)) * (k > 2))
        add_global(log, k)
    track, report = read(tmp_path, log.data())
    assert report.details["source"] == "vehicle_global_position"
    assert set(track.fix.tolist()) == {7}
    expected = (UTC_US + np.arange(ROWS) * STEP_US + 50_000 - 5_000) * 1000  # the least latency is not seen
    np.testing.assert_array_equal(track.time, expected)
    np.testing.assert_allclose(track.height_m, 500.25 + np.arange(ROWS) + UNDULATION_M)
    assert track.std_ned_m[0].tolist() == [0.5, 0.5, 0.75]
    assert track.reference_point == "imu"
    sources = {each["name"]: each for each in report.details["sources"]}  # type: ignore[attr-defined]
    assert sources["vehicle_global_position"]["used"]
    assert sources["vehicle_gps_position"]["minus_used_m"]["horizontal_p95"] < 0.05
    assert read(tmp_path, log.data(), "vehicle_gps_position")[0].fix[0] == 2


def test_a_receiver_with_fixed_rtk_beats_the_filter(tmp_path: Path) -> None:
    receiver = ("sensor_gps", writer.GPS_DOUBLE)
    log = begin(receiver, receiver, ("vehicle_global_position", writer.GLOBAL))
    for k in range(ROWS):
        add_gps(log, k, schema=writer.GPS_DOUBLE, name="sensor_gps", fix=3)
        add_gps(log, k, schema=writer.GPS_DOUBLE, name="sensor_gps", multi_id=1, fix=6, eph=0.02, epv=0.03)
        add_global(log, k)
    track, report = read(tmp_path, log.data())
    assert report.details["source"] == "sensor_gps[1]"
    assert set(track.fix.tolist()) == {5}
    assert track.std_ned_m[0] == pytest.approx([0.02, 0.02, 0.03])
    assert read(tmp_path, log.data(), "sensor_gps")[1].details["source"] == "sensor_gps[0]"
    with pytest.raises(ReadError, match=r'no usable position source "sensor_gsp\[1\]", did you mean'):
        read(tmp_path, log.data(), "sensor_gsp[1]")


def test_local_positions_go_back_to_the_globe_only_where_they_are_tied_to_it(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_local_position", writer.LOCAL))
    for k in range(ROWS):
        add_gps(log, k)
        tied = k >= 10
        reference = (47.0, 8.0) if tied else (math.nan, math.nan)
        local = (3.0 * k, 4.0 * k, -20.0, 1.0, 2.0, 3.0, 480.0, 0.5, 0.75, True, k != 20, 0, 0, tied, tied)
        log.add("vehicle_local_position", BOOT_US + k * STEP_US, 7, *reference, *local)
    track, report = read(tmp_path, log.data())
    assert report.details["source"] == "vehicle_local_position"
    assert len(track) == ROWS - 10
    assert report.dropped["vehicle_local_position: not tied to the globe (xy_global, z_global)"] == 10
    np.testing.assert_allclose(track.height_source_m, 500.0)
    np.testing.assert_allclose(track.height_m, 500.0 + UNDULATION_M)
    assert track.velocity_ned[0].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(track.velocity_ned[10]).all()
    sphere = Geod(a=6_371_000.0, b=6_371_000.0)
    k = np.arange(10, ROWS)
    azimuth = np.full(k.size, math.degrees(math.atan2(4.0, 3.0)))
    lon, lat, _ = sphere.fwd(np.full(k.size, 8.0), np.full(k.size, 47.0), azimuth, 5.0 * k)
    np.testing.assert_allclose(track.lat, lat, atol=1e-10)
    np.testing.assert_allclose(track.lon, lon, atol=1e-10)


@pytest.mark.parametrize(("lon", "lat"), [(8.0, 47.0), (179.9999, -60.0), (0.0, 0.0), (-70.0, 89.0)])
def test_the_projection_of_px4_is_the_one_of_a_sphere(lon: float, lat: float) -> None:
    rng = np.random.default_rng(3)
    north, east = rng.uniform(-5000, 5000, (2, 50))
    sphere = Geod(a=6_371_000.0, b=6_371_000.0)
    azimuth, distance = np.degrees(np.arctan2(east, north)), np.hypot(north, east)
    want_lon, want_lat, _ = sphere.fwd(np.full(50, lon), np.full(50, lat), azimuth, distance)
    got_lon, got_lat = from_local(north, east, np.full(50, lon), np.full(50, lat))
    np.testing.assert_allclose(got_lat, want_lat, atol=1e-9)
    np.testing.assert_allclose((got_lon - want_lon + 180.0) % 360.0 - 180.0, 0.0, atol=1e-8)


def test_attitude_is_turned_body_to_north_east_down(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_attitude", writer.ATTITUDE))
    for k in range(10):
        add_gps(log, k)
        log.add("vehicle_attitude", BOOT_US + k * STEP_US, heading(k), 0)
    track, _ = read(tmp_path, log.data())
    np.testing.assert_allclose(track.attitude, [heading(k) for k in range(10)], atol=1e-6)


def test_damaged_quaternions_are_refused_and_small_errors_of_norm_corrected(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_attitude", writer.ATTITUDE))
    for k in range(10):
        add_gps(log, k)
        wrong = [math.nan, 0.0, 0.0, 0.0] if k == 4 else [3.0e38] * 4 if k == 5 else [1.004, 0.0, 0.0, 0.0]
        log.add("vehicle_attitude", BOOT_US + k * STEP_US, wrong, 0)
    track, report = read(tmp_path, log.data())
    assert report.dropped["vehicle_attitude: no unit quaternion"] == 2
    good = np.isfinite(track.attitude[:, 0])
    np.testing.assert_allclose(track.attitude[good], [[1.0, 0.0, 0.0, 0.0]] * int(good.sum()))


def test_nothing_is_interpolated_across_a_reset_of_the_attitude(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_attitude", writer.ATTITUDE))
    for k in range(10):
        add_gps(log, k)
        log.add("vehicle_attitude", BOOT_US + k * STEP_US - 100_000, heading(k), int(k >= 5))
    track, _ = read(tmp_path, log.data())
    fixes = np.isin(track.time, [(UTC_US + k * STEP_US) * 1000 for k in range(10)])
    unknown = np.isnan(track.attitude[fixes, 0])
    assert np.flatnonzero(unknown).tolist() == [4, 9]  # across the reset, and after the last attitude


@pytest.mark.parametrize("which", [0, 1])
def test_a_reset_of_the_filter_starts_a_segment(tmp_path: Path, which: int) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_global_position", writer.GLOBAL))
    for k in range(ROWS):
        add_gps(log, k)
        counters = [0, 0]
        counters[which] = int(k >= 12)
        add_global(log, k, resets=(counters[0], counters[1]))
    track, _ = read(tmp_path, log.data())
    assert track.segment.tolist() == [0] * 12 + [1] * (ROWS - 12)


def test_a_dropout_of_the_logger_starts_a_segment_and_is_told(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_attitude", writer.ATTITUDE))
    for k in range(ROWS):
        if k in (7, 20):
            log.dropout(30 + k)
        add_gps(log, k)
        log.add("vehicle_attitude", BOOT_US + k * STEP_US + 100_000, heading(0), 0)
    track, report = read(tmp_path, log.data())
    fixes = np.isin(track.time, [(UTC_US + k * STEP_US) * 1000 for k in range(ROWS)])
    assert track.segment[fixes].tolist() == [0] * 7 + [1] * 13 + [2] * (ROWS - 20)
    assert report.details["dropouts"] == {"count": 2, "total_ms": 87}
    assert any("paused 2 time(s), 87 ms in all, 50 ms at most" in text for text in report.warnings)
    assert np.isnan(track.attitude[fixes][7]).all()  # between the attitudes on either side of the dropout


def test_gates_refuse_rows_and_count_them(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS))
    for k in range(ROWS):
        wrong: dict[int, dict[str, Any]] = {
            0: {"fix": 2},
            1: {"lat": 0.0, "lon": 0.0},
            2: {"utc_us": 0},
            3: {"utc_us": UTC_US - 999_000_000},
            12: {"lat": 95.0},
            15: {"lat": 47.5},
            18: {"alt": 90_000.0},
            21: {"stamp_us": 2**63 + 5},
        }
        add_gps(log, k, **wrong.get(k, {}))
    track, report = read(tmp_path, log.data())
    assert len(track) == ROWS - 8
    prefix = "vehicle_gps_position: "
    assert {key.removeprefix(prefix): count for key, count in report.dropped.items()} == {
        "no 3-D fix": 1,
        "latitude and longitude 0": 1,
        "no UTC": 1,
        "UTC disagrees with the boot clock": 1,
        "position out of range": 2,
        "position jumps": 1,
        "damaged time stamp": 1,
    }


def test_a_log_without_gps_time_says_what_is_needed(tmp_path: Path) -> None:
    log = begin(("vehicle_global_position", writer.GLOBAL))
    for k in range(ROWS):
        add_global(log, k)
    with pytest.raises(ReadError, match=r"no GPS fix with a UTC.*fix_type 3 or more and time_utc_usec"):
        read(tmp_path, log.data())
    with pytest.raises(ReadError, match=r"30 x vehicle_gps_position: no 3-D fix"):
        read(tmp_path, gps_flight(fix=1).data())


def test_a_boot_clock_that_is_unix_time_is_exact(tmp_path: Path) -> None:
    log = begin(
        ("vehicle_gps_position", writer.GPS), ("vehicle_global_position", writer.GLOBAL), start_us=UTC_US
    )
    for k in range(ROWS):
        add_gps(log, k, stamp_us=UTC_US + k * STEP_US)
        stamp = UTC_US + k * STEP_US + 10
        log.add("vehicle_global_position", stamp, lat_of(k), 8.0, 500.0, 0.5, 0.75, 0, 0, False)
    track, _ = read(tmp_path, log.data())
    assert track.clock.kind == "exact"
    assert track.clock.sigma_s < 1e-5
    assert track.time[0] == (UTC_US + 10) * 1000


def test_a_unix_boot_clock_that_is_wrong_is_fitted_and_told(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), start_us=UTC_US)
    for k in range(ROWS):
        add_gps(log, k, stamp_us=UTC_US + 3_600_000_000 + k * STEP_US)
    track, report = read(tmp_path, log.data())
    assert track.clock.kind == "fitted"
    assert track.time[0] == UTC_US * 1000
    assert any("off the receivers' UTC" in text for text in report.warnings)


def test_the_time_of_the_measurement_is_used_where_it_is_logged(tmp_path: Path) -> None:
    fields = writer.ATTITUDE.replace("timestamp;", "timestamp;uint64_t timestamp_sample;")
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_attitude", fields))
    for k in range(10):
        add_gps(log, k)
        stamp = BOOT_US + k * STEP_US + 100_000
        log.add("vehicle_attitude", stamp, 0 if k == 3 else stamp - 4000, heading(0), 0)
    track, _ = read(tmp_path, log.data())
    own = (track.time // 1000 - UTC_US) % STEP_US
    assert sorted(set(own.tolist())) == [0, 96_000, 100_000]


@pytest.mark.parametrize(
    ("topic", "fields", "values"),
    [
        ("vehicle_air_data", writer.AIR, (95_512.0,)),
        ("sensor_baro", writer.BARO, (1, 955.12)),
        ("sensor_baro", writer.BARO, (1, 95_512.0)),
    ],
)
def test_pressure_is_hpa_whatever_the_topic_holds(
    tmp_path: Path, topic: str, fields: str, values: tuple[float, ...]
) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), (topic, fields))
    for k in range(ROWS):
        add_gps(log, k)
        log.add(topic, BOOT_US + k * STEP_US, *values[:-1], 3e9 if k == 3 else values[-1])
    track, report = read(tmp_path, log.data())
    assert track.pressure_hpa is not None
    np.testing.assert_allclose(track.pressure_hpa, 955.12, rtol=1e-6)
    assert report.dropped[f"{topic}: pressure out of range"] == 1


def test_pictures_are_those_the_camera_confirmed(tmp_path: Path) -> None:
    camera = (("camera_capture", writer.CAPTURE), ("camera_trigger", writer.TRIGGER))
    log = begin(("vehicle_gps_position", writer.GPS), *camera)
    for k in range(ROWS):
        add_gps(log, k)
        log.add("camera_trigger", BOOT_US + k * STEP_US, 0, k, False)
        log.add("camera_capture", BOOT_US + k * STEP_US + 7, 0, k, 0 if k == 4 else 1)
    track, report = read(tmp_path, log.data())
    assert track.triggers is not None
    assert track.triggers.source == "camera_capture"
    assert track.triggers.number.tolist() == [k for k in range(ROWS) if k != 4]
    assert track.triggers.time[0] == (UTC_US + 7) * 1000
    assert report.details["pictures"] == ROWS - 1


def test_triggers_stand_in_for_pictures(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("camera_trigger", writer.TRIGGER))
    for k in range(ROWS):
        add_gps(log, k)
        log.add("camera_trigger", BOOT_US + k * STEP_US, 0, k, k % 2 == 1)
    track, _ = read(tmp_path, log.data())
    assert track.triggers is not None
    assert track.triggers.number.tolist() == list(range(1, ROWS, 2))


def test_a_height_that_is_no_other_height_gives_no_ellipsoidal_one(tmp_path: Path) -> None:
    track, report = read(tmp_path, gps_flight(undulation_m=0.0).data())
    assert np.isnan(track.height_m).all()
    np.testing.assert_allclose(track.height_source_m, 500.0 + np.arange(ROWS))
    assert any("does not tell the geoid undulation" in text for text in report.warnings)
    assert report.details["undulation_m"] is None


def test_an_end_in_flight_is_told(tmp_path: Path) -> None:
    log = begin(("vehicle_gps_position", writer.GPS), ("vehicle_land_detected", writer.LANDED))
    for k in range(ROWS):
        add_gps(log, k)
    log.add("vehicle_land_detected", BOOT_US, True)
    assert not any("landing" in text for text in read(tmp_path, log.data())[1].warnings)
    log.add("vehicle_land_detected", BOOT_US + 5, False)
    assert any("ends before the landing" in text for text in read(tmp_path, log.data())[1].warnings)


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    data = gps_flight().data()
    _, report = read(tmp_path, data[:-3])
    assert report.holes
    assert any("ends in the middle of a message" in text for text in report.warnings)
    middle = len(data) // 2
    _, report = read(tmp_path, data[:middle] + b"\xa5" * 150 + data[middle + 150 :])
    assert any(text.startswith("the log is damaged") for text in report.warnings)


def test_real_log_of_hardware(shared_data: Path) -> None:
    path = shared_data / "logs" / "ulog" / "sample_log_small.ulg"
    track, report = px4.read(path, label=path.name)
    assert report.details["source"] == "vehicle_gps_position"
    assert report.details["undulation_m"] == pytest.approx(39.952, abs=1e-3)
    assert report.details["device"] == "CUBEPILOT_CUBEORANGE"
    assert report.details["dropouts"] == {"count": 1, "total_ms": 30}
    assert track.clock.kind == "fitted"
    assert report.dropped == {"vehicle_local_position: not tied to the globe (xy_global, z_global)": 636}
    np.testing.assert_allclose(track.height_m - track.height_source_m, 39.952, atol=2e-3)


def test_real_log_of_a_simulation(shared_data: Path) -> None:
    path = shared_data / "logs" / "ulog" / "sample_px4_events.ulg"
    track, report = px4.read(path, label=path.name)
    assert report.details["source"] == "vehicle_global_position"
    assert track.clock.kind == "exact"
    sources = {each["name"]: each for each in report.details["sources"]}  # type: ignore[attr-defined]
    # The local position is the same solution in other coordinates: the projection must be the firmware's.
    assert sources["vehicle_local_position"]["minus_used_m"]["horizontal_p95"] < 1e-3


@pytest.mark.parametrize("name", ["sample.ulg", "sample_appended_multiple.ulg"])
def test_real_logs_without_gps_are_refused_with_what_is_needed(shared_data: Path, name: str) -> None:
    path = shared_data / "logs" / "ulog" / name
    with pytest.raises(ReadError, match=f"{name}: no GPS fix with a UTC"):
        px4.read(path, label=name)


def test_no_other_file_is_claimed(shared_data: Path) -> None:
    claimed = [
        path for path in sorted(shared_data.rglob("*")) if path.is_file() and px4.sniff(path, read_head(path))
    ]
    assert claimed
    assert {path.suffix for path in claimed} == {".ulg"}


def test_a_track_takes_at_most_half_of_the_file_beside_the_file(tmp_path: Path) -> None:
    log = begin(
        ("vehicle_gps_position", writer.GPS),
        ("vehicle_attitude", writer.ATTITUDE),
        ("sensor_combined", "uint64_t timestamp;float[60] gyro;"),
    )
    begun = len(log.data())
    for k in range(250):
        add_gps(log, k)
        for j in range(8):
            stamp = BOOT_US + k * STEP_US + j * 25_000
            log.add("vehicle_attitude", stamp, heading(0), 0)
            for _ in range(4):
                log.add("sensor_combined", stamp, [0.5] * 60)
    data = log.data()
    path = tmp_path / "log.ulg"
    path.write_bytes(data + data[begun:] * 11)  # repeats, which the track refuses
    size = path.stat().st_size
    px4.read(path, label="once, so that nothing is imported below")
    tracemalloc.start()
    px4.read(path, label="log.ulg")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 20_000_000
    assert peak <= 1.5 * size, peak / size


def test_track_of_an_opened_log_is_that_of_its_file(tmp_path: Path) -> None:
    data = gps_flight().data()
    track, report = px4.track(ULog(np.frombuffer(data, dtype=np.uint8)), label="log.ulg")
    same, other = read(tmp_path, data)
    np.testing.assert_array_equal(track.time, same.time)
    assert report == other
