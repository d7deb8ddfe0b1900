"""Tables of Flight Reader, PhantomHelp, TXTlogToCSV: zones, languages, units, damage."""

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
from dronesense.readers import dji_flightreader
from dronesense.timescale import to_iso

_SPEC = importlib.util.spec_from_file_location("dji_writer", Path(__file__).with_name("dji_writer.py"))
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)


@pytest.fixture
def flight():
    return writer.Flight()


@pytest.fixture
def load(tmp_path):
    def load_(text, name="log.csv", **options):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert dji_flightreader.sniff(path, path.read_bytes()[:8192])
        return dji_flightreader.read(path, label="log.csv", options=TrackOptions(**options))

    return load_


@pytest.mark.parametrize("unit", ["ft", "m"])
@pytest.mark.parametrize("first", ["", "sep=,\r\n"])
def test_planted_flight(flight, load, unit, first):
    columns = writer.flight_reader_columns(flight, unit=unit)
    trajectory, report = load(writer.from_columns(columns, first=first), zone="+05:00")
    assert len(trajectory) == 300
    assert np.abs(trajectory.time - flight.ns).max() < 10_000_000  # the stamps have 0.01 s
    np.testing.assert_allclose(trajectory.lat, flight.lat, atol=1e-8)
    np.testing.assert_allclose(trajectory.height_source_m, flight.height, atol=1e-6)
    assert trajectory.height_ref == "takeoff"
    assert report.details["takeoff_elevation_m"] == pytest.approx(writer.ELEVATION, abs=1e-6)
    np.testing.assert_allclose(
        trajectory.velocity_ned[5], [writer.NORTH, writer.EAST, -writer.CLIMB], atol=1e-6
    )
    yaw, pitch, roll = Rotation.from_quat(trajectory.attitude[5], scalar_first=True).as_euler("ZYX", True)
    assert (roll, pitch, yaw) == pytest.approx((writer.ROLL, writer.PITCH, writer.HEADING))
    assert report.answered == ("tz",)
    assert report.details["gimbal"] == "present"
    assert trajectory.clock.kind == "exact"


def test_zone_is_never_guessed(flight, load):
    with pytest.raises(ReadError, match="tz ="):
        load(writer.from_columns(writer.flight_reader_columns(flight)))


def in_utc(flight):
    columns = writer.flight_reader_columns(flight)
    stamps = {
        "CUSTOM.date [UTC]": [str(t)[:10] for t in flight.utc],
        "CUSTOM.updateTime [UTC]": [writer.clock(t, ampm=True) for t in flight.utc],
    }
    return {**columns, **stamps}


def test_columns_in_utc_need_no_zone(flight, load):
    trajectory, report = load(writer.from_columns(in_utc(flight)))
    assert np.abs(trajectory.time - flight.ns).max() < 10_000_000
    assert report.answered == ()
    assert report.details["time_columns"] == ["CUSTOM.date [UTC]", "CUSTOM.updateTime [UTC]"]


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_count_since_1970(flight, load, scale):
    columns = writer.flight_reader_columns(flight)
    columns["CUSTOM.updateTime [epoch]"] = [f"{t / 1e9 * scale:.3f}" for t in flight.ns]
    trajectory, report = load(writer.from_columns(columns))
    assert trajectory.time.tolist() == flight.ns.tolist()
    assert report.answered == ()


def test_one_column_of_txtlogtocsv(flight, load):
    columns = writer.flight_reader_columns(flight, unit="m")
    del columns["CUSTOM.date [local]"], columns["CUSTOM.updateTime [local]"]
    columns["CUSTOM.updateTime"] = [str(t)[:23].replace("-", "/").replace("T", " ") for t in flight.utc]
    trajectory, report = load(writer.from_columns(columns), zone="UTC")
    assert trajectory.time.tolist() == flight.ns.tolist()
    assert report.answered == ("tz",)


def test_swedish(flight, load):
    """Quoted decimal commas, the fraction of seconds with a comma too, small letters: pm."""
    columns = writer.flight_reader_columns(flight)
    columns["CUSTOM.date [local]"] = [str(t)[:10] for t in flight.utc]
    stamps = columns["CUSTOM.updateTime [local]"]
    columns["CUSTOM.updateTime [local]"] = [text.replace("AM", "am") for text in stamps]
    plain, _ = load(writer.from_columns(columns), zone="+05:00")
    for delimiter in (",", ";"):
        comma, report = load(writer.from_columns(columns, delimiter=delimiter, comma=True), zone="+05:00")
        assert comma.time.tolist() == plain.time.tolist()
        np.testing.assert_allclose(comma.lon, plain.lon, atol=1e-9)
        np.testing.assert_allclose(comma.height_source_m, plain.height_source_m, atol=1e-6)
        assert report.details["decimal_comma"]


def test_both_decimal_marks_are_refused(flight, load):
    columns = writer.flight_reader_columns(flight)
    columns["OSD.latitude"][9] = "43,25001234"
    with pytest.raises(ReadError, match="with a point and with a comma"):
        load(writer.from_columns(columns), zone="+05:00")


def test_whole_seconds_are_refined_by_the_flight_time(flight, load):
    columns = writer.flight_reader_columns(flight)
    local = flight.utc + np.timedelta64(5, "h")
    columns["CUSTOM.updateTime [local]"] = [writer.clock(t, ampm=True, digits=0) for t in local]
    trajectory, report = load(writer.from_columns(columns), zone="+05:00")
    assert trajectory.clock.kind == "fitted"
    # The first row, where the counter stands still, keeps its own stamp: 0.34 s early.
    assert np.abs(trajectory.time[1:] - flight.ns[1:]).max() <= 50_000_000
    assert report.details["time_columns"][-1] == "OSD.flyTime [s]"
    del columns["OSD.flyTime [s]"]
    trajectory, _ = load(writer.from_columns(columns), zone="+05:00")
    assert trajectory.clock.sigma_s == pytest.approx(1.0 / np.sqrt(3.0))


def test_counter_at_rest_before_takeoff_keeps_the_stamps(flight, load):
    columns = writer.flight_reader_columns(flight)
    local = flight.utc + np.timedelta64(5, "h")
    columns["CUSTOM.updateTime [local]"] = [writer.clock(t, ampm=True, digits=0) for t in local]
    columns["OSD.flyTime [s]"] = np.maximum(flight.t - 10.0, 0.0).round(1).tolist()
    trajectory, report = load(writer.from_columns(columns), zone="+05:00")
    after = trajectory.time > flight.ns[101]
    assert np.count_nonzero(after) >= 190
    offset = np.abs(trajectory.time[after][:, None] - flight.ns).min(axis=1)
    assert offset.max() <= 50_000_000
    assert report.dropped["same time stamp as the row before"] >= 80


def test_order_of_day_and_month(flight, load):
    columns = writer.flight_reader_columns(flight)
    columns["CUSTOM.date [local]"] = ["6/7/2026"] * 300
    text = writer.from_columns(columns)
    with pytest.raises(ReadError, match="either day, month or month, day"):
        load(text, zone="+05:00")
    trajectory, report = load(text, zone="+05:00", date=dt.date(2026, 7, 6))
    assert to_iso(int(trajectory.time[0])).startswith("2026-07-06T05:00:07")
    assert report.answered == ("date", "tz")
    trajectory, report = load(text, zone="+05:00", name="DJIFlightRecord_2026-06-07_[10-00-00].csv")
    assert to_iso(int(trajectory.time[0])).startswith("2026-06-07")
    assert any("name of the file" in each for each in report.assumptions)


def test_times_without_date_over_midnight(flight, load):
    columns = writer.flight_reader_columns(flight)
    del columns["CUSTOM.date [local]"]
    late = flight.utc + np.timedelta64(19 * 3600 - 20, "s")  # 10 s after the start it is midnight, local
    columns["CUSTOM.updateTime [local]"] = [writer.clock(t, ampm=True) for t in late]
    text = writer.from_columns(columns)
    with pytest.raises(ReadError, match="date = YYYY-MM-DD"):
        load(text, zone="+05:00")
    trajectory, report = load(text, zone="+05:00", date=dt.date(2026, 6, 14))
    assert report.answered == ("date", "tz")
    assert np.ptp(trajectory.time) == pytest.approx(29.9e9)
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T18:59:47.340Z"


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("OSD.height [ft]", "OSD.height [fathom]", "unknown unit"),
        ("OSD.height [ft]", "OSD.height", "states no unit"),
        ("OSD.xSpeed [MPH]", "OSD.xSpeed [ft]", "xSpeed"),
        ("CUSTOM.updateTime [local]", "CUSTOM.other", "CUSTOM.updateTime"),
    ],
)
def test_schema_is_checked_loudly(flight, load, old, new, match):
    columns = {
        new if key == old else key: value for key, value in writer.flight_reader_columns(flight).items()
    }
    with pytest.raises(ReadError, match=match):
        load(writer.from_columns(columns), zone="+05:00")


def test_pictures_and_quality(flight, load):
    columns = writer.flight_reader_columns(flight)
    columns["CAMERA.isPhoto"] = ["True" if k in (50, 51, 90) else "False" for k in range(300)]
    columns["OSD.gpsNum"] = [2] * 10 + [15] * 290
    trajectory, report = load(writer.from_columns(columns), zone="+05:00")
    assert len(trajectory) == 290
    assert report.dropped == {"fewer than 4 satellites": 10}
    assert trajectory.triggers.time.tolist() == trajectory.time[[40, 80]].tolist()


def test_yaw_of_360_serves_where_the_other_is_missing(flight, load):
    columns = writer.flight_reader_columns(flight)
    del columns["OSD.yaw"]
    columns["OSD.yaw [360]"] = [323.0] * 300
    trajectory, _ = load(writer.from_columns(columns), zone="+05:00")
    yaw = Rotation.from_quat(trajectory.attitude[0], scalar_first=True).as_euler("ZYX", True)[0]
    assert yaw == pytest.approx(-37.0)


@settings(max_examples=40)
@given(data=st.data())
def test_damage_gives_a_track_or_a_read_error(data, tmp_path_factory):
    content = bytearray(writer.from_columns(writer.flight_reader_columns(writer.Flight(2.0))).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flightreader") / "a.csv"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        trajectory, _ = dji_flightreader.read(path, label="a.csv", options=TrackOptions(zone="UTC"))
    except ReadError:
        return
    assert np.isfinite(trajectory.lat).all()
