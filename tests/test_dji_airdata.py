"""Airdata tables: a planted flight in feet and meters, old orders of columns, damage."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_airdata

_SPEC = importlib.util.spec_from_file_location("dji_writer", Path(__file__).with_name("dji_writer.py"))
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)


@pytest.fixture
def flight():
    return writer.Flight()


@pytest.fixture
def load(tmp_path):
    def load_(text, **options):
        path = tmp_path / "airdata.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert dji_airdata.sniff(path, path.read_bytes()[:8192])
        return dji_airdata.read(path, label="airdata.csv", options=TrackOptions(**options))

    return load_


@pytest.mark.parametrize("metric", [False, True])
def test_planted_flight(flight, load, metric):
    trajectory, report = load(writer.from_columns(writer.airdata_columns(flight, metric=metric)))
    assert len(trajectory) == len(flight) == 300
    # One second stamps, ten rows a second: the start is known to 0.05 s.
    assert np.abs(trajectory.time - flight.ns).max() <= 50_000_000
    assert np.ptp(trajectory.time - flight.ns) == 0
    assert trajectory.clock.kind == "fitted"
    assert trajectory.clock.sigma_s <= 0.1 / np.sqrt(12.0) + 1e-9
    np.testing.assert_allclose(trajectory.lat, flight.lat, atol=1e-8)
    np.testing.assert_allclose(trajectory.lon, flight.lon, atol=1e-8)
    np.testing.assert_allclose(trajectory.height_source_m, flight.height, atol=1e-6)
    assert trajectory.height_ref == "takeoff"
    assert np.isnan(trajectory.height_m).all()
    assert report.details["takeoff_elevation_m"] == pytest.approx(writer.ELEVATION, abs=1e-6)
    assert report.details["takeoff_elevation_spread_m"] < 1e-6
    np.testing.assert_allclose(
        trajectory.velocity_ned, np.tile([writer.NORTH, writer.EAST, -writer.CLIMB], (300, 1)), atol=1e-6
    )
    yaw, pitch, roll = Rotation.from_quat(trajectory.attitude[5], scalar_first=True).as_euler("ZYX", True)
    assert (roll, pitch, yaw) == pytest.approx((writer.ROLL, writer.PITCH, writer.HEADING))
    assert report.details["gimbal"] == "all zero"
    assert report.details["source_rate_hz"] == pytest.approx(10.0)
    assert trajectory.triggers is None
    assert report.dropped == {}


def test_columns_in_any_order(flight, load):
    columns = writer.airdata_columns(flight)
    turned = dict(reversed(columns.items()))
    one, _ = load(writer.from_columns(columns))
    other, _ = load(writer.from_columns(turned))
    assert one.time.tolist() == other.time.tolist()
    assert one.lat.tolist() == other.lat.tolist()
    assert one.height_source_m.tolist() == other.height_source_m.tolist()


def test_order_of_flytrex_and_old_airdata(flight, load):
    new = writer.airdata_columns(flight)
    sea, rise = new["altitude_above_seaLevel(feet)"], new["height_above_takeoff(feet)"]
    old = {
        "latitude": new["latitude"],
        "longitude": new["longitude"],
        "altitude(feet)": sea,
        "ascent(feet)": rise,
        "speed(mph)": new["speed(mph)"],
        "time(millisecond)": new["time(millisecond)"],
        "datetime(utc)": new["datetime(utc)"],
        "datetime(local)": ["2026-06-14 10:00:07"] * len(flight),
        "satellites": new["satellites"],
        "pressure(Pa)": ["92000"] * len(flight),
        "temperature(F)": ["70"] * len(flight),
    }
    trajectory, report = load(writer.from_columns(old))
    np.testing.assert_allclose(trajectory.height_source_m, flight.height, atol=1e-6)
    assert trajectory.height_ref == "takeoff"
    assert report.details["takeoff_elevation_m"] == pytest.approx(writer.ELEVATION, abs=1e-6)
    assert np.isnan(trajectory.velocity_ned).all()
    assert np.isnan(trajectory.attitude).all()


def test_words_in_numbers_are_missing_and_counted(flight, load):
    columns = writer.airdata_columns(flight)
    columns["height_above_takeoff(feet)"][:4] = ["Available with any HD 360 subscription"] * 4
    trajectory, report = load(writer.from_columns(columns))
    assert np.isnan(trajectory.height_source_m[:4]).all()
    assert np.isfinite(trajectory.height_source_m[4:]).all()
    assert report.details["words_in_numbers"] == {"height_above_takeoff(feet)": 4}
    assert any("words where numbers belong" in each for each in report.warnings)


def test_unknown_unit_is_an_error_that_names_the_column(flight, load):
    columns = writer.airdata_columns(flight)
    renamed = {key.replace("takeoff(feet)", "takeoff(furlongs)"): value for key, value in columns.items()}
    with pytest.raises(ReadError, match=r"height_above_takeoff\(furlongs\).*unknown unit"):
        load(writer.from_columns(renamed))
    bare = {key.replace("takeoff(feet)", "takeoff"): value for key, value in columns.items()}
    with pytest.raises(ReadError, match="states no unit"):
        load(writer.from_columns(bare))
    speed = {key.replace("xSpeed(mph)", "xSpeed(feet)"): value for key, value in columns.items()}
    with pytest.raises(ReadError, match="xSpeed"):
        load(writer.from_columns(speed))


def test_weak_fixes_are_refused_and_counted(flight, load):
    columns = writer.airdata_columns(flight)
    columns["satellites"][:3] = [3] * 3
    columns["gpslevel"][3:5] = [1] * 2
    columns["latitude"][5], columns["longitude"][5] = 0.0, 0.0
    trajectory, report = load(writer.from_columns(columns))
    assert len(trajectory) == 294
    assert report.dropped == {
        "fewer than 4 satellites": 3,
        "fewer than 2 as GPS level": 2,
        "latitude and longitude 0": 1,
    }


def test_empty_quality_columns_refuse_nothing(flight, load):
    columns = writer.airdata_columns(flight)
    columns["satellites"] = columns["gpslevel"] = [0] * len(flight)
    assert len(load(writer.from_columns(columns))[0]) == 300


def test_pictures_where_the_flag_rises(flight, load):
    columns = writer.airdata_columns(flight)
    columns["isPhoto"] = [int(k in (20, 21, 22, 100, 200)) for k in range(300)]
    trajectory, report = load(writer.from_columns(columns))
    assert trajectory.triggers.time.tolist() == trajectory.time[[20, 100, 200]].tolist()
    assert trajectory.triggers.number.tolist() == [-1, -1, -1]
    assert report.details["pictures"] == 3


def test_speeds_along_other_axes_are_not_used(flight, load):
    columns = writer.airdata_columns(flight)
    north, east = columns[" xSpeed(mph)"], columns[" ySpeed(mph)"]
    columns[" xSpeed(mph)"], columns[" ySpeed(mph)"] = [-each for each in east], north
    trajectory, report = load(writer.from_columns(columns))
    assert np.isnan(trajectory.velocity_ned[:, :2]).all()
    assert np.isfinite(trajectory.velocity_ned[:, 2]).all()
    assert any("do not follow the positions" in each for each in report.warnings)
    columns = writer.airdata_columns(flight)
    columns[" zSpeed(mph)"] = [-each for each in columns[" zSpeed(mph)"]]
    trajectory, report = load(writer.from_columns(columns))
    assert np.isnan(trajectory.velocity_ned[:, 2]).all()
    assert any("vertical speed" in each for each in report.warnings)


def test_attitude_of_zeros_is_missing(flight, load):
    columns = writer.airdata_columns(flight)
    for name in (" compass_heading(degrees)", " pitch(degrees)", " roll(degrees)"):
        columns[name] = [0] * len(flight)
    trajectory, report = load(writer.from_columns(columns))
    assert np.isnan(trajectory.attitude).all()
    assert any("taken as missing" in each for each in report.warnings)


def test_two_barometers_are_told(flight, load):
    columns = writer.airdata_columns(flight, metric=True)
    columns["altitude_above_seaLevel(meters)"] = [820.0 + 0.1 * k for k in range(300)]
    _, report = load(writer.from_columns(columns))
    assert any("varies by" in each for each in report.warnings)


def test_height_above_the_sea_alone_has_no_known_zero(flight, load):
    columns = writer.airdata_columns(flight)
    del columns["height_above_takeoff(feet)"]
    trajectory, report = load(writer.from_columns(columns))
    assert trajectory.height_ref == "unknown"
    assert any("reference unknown" in each for each in report.warnings)


def test_decimal_comma(flight, load):
    columns = writer.airdata_columns(flight)
    plain, _ = load(writer.from_columns(columns))
    comma, _ = load(writer.from_columns(columns, delimiter=";", comma=True))
    np.testing.assert_allclose(comma.lat, plain.lat, atol=1e-9)
    np.testing.assert_allclose(comma.height_source_m, plain.height_source_m, atol=1e-9)
    quoted, _ = load(writer.from_columns(columns, comma=True))  # cells with commas are quoted
    np.testing.assert_allclose(quoted.lat, plain.lat, atol=1e-9)
    assert comma.time.tolist() == quoted.time.tolist() == plain.time.tolist()


def test_comma_that_may_part_thousands_is_refused(flight, load):
    columns = writer.airdata_columns(flight)
    columns["height_above_takeoff(feet)"][7] = "1,234"
    with pytest.raises(ReadError, match="height_above_takeoff"):
        load(writer.from_columns(columns))


def test_stamps_in_another_spelling(flight, load):
    columns = writer.airdata_columns(flight)
    plain, _ = load(writer.from_columns(columns))
    stamps = flight.utc.astype("datetime64[s]")
    columns["datetime(utc)"] = [f"{writer.us_date(t)} {writer.clock(t, ampm=True, digits=0)}" for t in stamps]
    other, report = load(writer.from_columns(columns))
    assert other.time.tolist() == plain.time.tolist()
    assert report.answered == ()
    columns["datetime(utc)"] = [text.replace("6/14/", "6/7/") for text in columns["datetime(utc)"]]
    with pytest.raises(ReadError, match="either day, month"):
        load(writer.from_columns(columns))
    _, report = load(writer.from_columns(columns), date=dt.date(2026, 6, 7))
    assert report.answered == ("date",)


def test_without_counter_the_stamps_alone(flight, load):
    columns = writer.airdata_columns(flight)
    del columns["time(millisecond)"]
    trajectory, report = load(writer.from_columns(columns))
    assert len(trajectory) == 31
    assert trajectory.clock.sigma_s == pytest.approx(1.0 / np.sqrt(3.0))
    assert report.dropped == {"same time stamp as the row before": 269}


def test_without_utc_it_is_refused(flight, load):
    columns = writer.airdata_columns(flight)
    del columns["datetime(utc)"]
    with pytest.raises(ReadError, match=r"datetime\(utc\)"):
        load(writer.from_columns(columns))


def test_counter_that_starts_again_is_told(flight, load):
    columns = writer.airdata_columns(flight)
    columns["time(millisecond)"][200:] = [100 * k for k in range(100)]
    _, report = load(writer.from_columns(columns))
    assert any("contradict the counter" in each for each in report.warnings)


def test_utf16_and_bom(flight, load):
    text = writer.from_columns(writer.airdata_columns(flight))
    plain, _ = load(text)
    for encoding in ("utf-16", "utf-8-sig"):
        assert load(text.encode(encoding))[0].time.tolist() == plain.time.tolist()


def test_cut_file_loses_its_last_row_only(flight, load):
    text = writer.from_columns(writer.airdata_columns(flight))
    trajectory, report = load(text[:-20])
    assert len(trajectory) == 299
    assert report.dropped == {"last row cut short": 1}


def test_huge_fields_are_damage(flight, load):
    columns = writer.airdata_columns(flight)
    names = ["latitude", "height_above_takeoff(feet)", " xSpeed(mph)", "altitude_above_seaLevel(feet)"]
    for k, name in enumerate([*names, "time(millisecond)", "satellites", " roll(degrees)"]):
        columns[name][10 * k : 10 * k + 3] = ["1e308", "-1e308", "9" * 400]
    trajectory, report = load(writer.from_columns(columns))
    assert len(trajectory) == 294
    assert report.dropped == {"no time stamp": 3, "no position": 3}
    assert report.records == 300


@pytest.mark.parametrize(
    "text",
    [
        "time(millisecond),datetime(utc),latitude,longitude\n",
        "time(millisecond),datetime(utc),latitude,longitude\n0,2026-06-14 05:00:07,0,0\n",
        "time(millisecond),datetime(utc),latitude,longitude\n0,,43.25,76.9\n",
        "time(millisecond),datetime(utc),latitude,longitude\nx,y,z,w\n",
    ],
)
def test_nothing_to_read(load, text):
    with pytest.raises(ReadError):
        load(text)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"time,latitude,longitude\n",
        b"datetime(utc),latitude,longitude,CH4(ppm)\n",
        b"CUSTOM.date [local],OSD.latitude,OSD.longitude\n",
        b"Id,Time(seconds),Time(text),Latitude,Longitude\n",
        b"\xa3\x95\x80" * 40,
    ],
)
def test_other_tables_are_not_claimed(head, tmp_path):
    assert not dji_airdata.sniff(tmp_path / "a.csv", head)


@settings(max_examples=40)
@given(data=st.data())
def test_damage_gives_a_track_or_a_read_error(data, tmp_path_factory):
    content = bytearray(writer.from_columns(writer.airdata_columns(writer.Flight(2.0))).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("airdata") / "a.csv"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        trajectory, _ = dji_airdata.read(path, label="a.csv")
    except ReadError:
        return
    assert np.isfinite(trajectory.lat).all()
