"""DatCon tables: filter and receiver of a planted flight, units stated or not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_datcon
from dronesense.timescale import RECEIVER_LATENCY_SIGMA_S

_SPEC = importlib.util.spec_from_file_location("dji_writer", Path(__file__).with_name("dji_writer.py"))
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)


@pytest.fixture
def flight():
    return writer.Flight()


@pytest.fixture
def load(tmp_path):
    def load_(columns, **options):
        path = tmp_path / "FLY042.csv"
        path.write_text(writer.from_columns(columns), encoding="utf-8")
        assert dji_datcon.sniff(path, path.read_bytes()[:8192])
        return dji_datcon.read(path, label="FLY042.csv", options=TrackOptions(**options))

    return load_


@pytest.mark.parametrize("units", [False, True])
def test_navigation_filter_is_preferred(flight, load, units):
    trajectory, report = load(writer.datcon_columns(flight, units=units))
    assert trajectory.source == "FLY042.csv:IMU_ATTI[0]"
    assert set(trajectory.fix.tolist()) == {7}
    assert len(trajectory) == 300
    assert np.abs(trajectory.time - flight.ns).max() <= 50_000_000
    assert trajectory.clock.kind == "fitted"
    assert trajectory.clock.sigma_s >= RECEIVER_LATENCY_SIGMA_S
    np.testing.assert_allclose(trajectory.lat, flight.lat, atol=1e-8)
    np.testing.assert_allclose(trajectory.height_source_m, flight.height, atol=1e-8)
    assert trajectory.height_ref == "takeoff"
    assert trajectory.reference_point == "imu"
    np.testing.assert_allclose(
        trajectory.velocity_ned[5], [writer.NORTH, writer.EAST, -writer.CLIMB], atol=1e-9
    )
    yaw, pitch, roll = Rotation.from_quat(trajectory.attitude[5], scalar_first=True).as_euler("ZYX", True)
    assert (roll, pitch, yaw) == pytest.approx((writer.ROLL, writer.PITCH, writer.HEADING))
    assert {each["name"] for each in report.details["sources"]} == {"IMU_ATTI[0]", "GPS[0]"}


def test_receiver_without_its_held_rows(flight, load):
    trajectory, _ = load(writer.datcon_columns(flight), source="GPS[0]")
    assert trajectory.height_ref == "receiver-geoid"
    assert trajectory.reference_point == "antenna"
    # Attitude stamps stay; the positions are those of every second row, interpolated in between.
    np.testing.assert_allclose(trajectory.lat[:20], flight.lat[:20], atol=1e-8)
    np.testing.assert_allclose(
        trajectory.height_source_m[:20], flight.height[:20] + writer.ELEVATION, atol=1e-6
    )


def test_aircraft_at_rest_has_no_gap(flight, load):
    columns = writer.datcon_columns(flight)
    for name in ("GPS(0):Lat", "GPS(0):Long", "IMU_ATTI(0):Latitude", "IMU_ATTI(0):Longitude"):
        columns[name] = [columns[name][0]] * 300
    trajectory, _ = load(columns)
    assert trajectory.segment[-1] == 0
    assert len(trajectory) > 280


def test_gps_columns_without_number(flight, load):
    columns = {key.replace("GPS(0):", "GPS:"): value for key, value in writer.datcon_columns(flight).items()}
    columns = {key: value for key, value in columns.items() if not key.startswith("IMU_ATTI(0):L")}
    columns["Clock:offsetTime"] = columns.pop("offsetTime")
    trajectory, report = load(columns)
    assert report.details["source"] == "GPS[0]"
    assert np.abs(trajectory.time - flight.ns[: len(trajectory)]).max() <= 50_000_000


def test_date_and_time_in_two_columns(flight, load):
    columns = writer.datcon_columns(flight)
    one, _ = load(columns)
    stamps = [str(t) for t in flight.utc.astype("datetime64[s]")]
    del columns["GPS:dateTimeStamp"]
    columns["GPS(0):Date"] = [text[:10].replace("-", "") for text in stamps]
    columns["GPS(0):Time"] = [text[11:].replace(":", "").lstrip("0") for text in stamps]
    other, _ = load(columns)
    assert other.time.tolist() == one.time.tolist()


def test_rows_before_the_first_fix(flight, load):
    columns = writer.datcon_columns(flight)
    for name in (
        "GPS:dateTimeStamp",
        "GPS(0):Lat",
        "GPS(0):Long",
        "IMU_ATTI(0):Latitude",
        "IMU_ATTI(0):Longitude",
    ):
        columns[name] = [""] * 50 + columns[name][50:]
    trajectory, report = load(columns)
    assert len(trajectory) == 250
    assert report.dropped["IMU_ATTI[0]: no position"] == 50
    assert np.abs(trajectory.time - flight.ns[50:]).max() <= 50_000_000


def test_without_utc_it_is_refused(flight, load):
    columns = writer.datcon_columns(flight)
    del columns["GPS:dateTimeStamp"]
    with pytest.raises(ReadError, match="dateTimeStamp"):
        load(columns)


def test_degrees_or_radians_is_not_guessed(flight, load):
    columns = writer.datcon_columns(flight)
    for name in ("GPS(0):Lat", "GPS(0):Long", "IMU_ATTI(0):Latitude", "IMU_ATTI(0):Longitude"):
        columns[name] = np.radians(columns[name]).tolist()
    with pytest.raises(ReadError, match="degrees or radians"):
        load(columns)
    told = {
        f"{key}[radians]" if key.split(":")[-1] in ("Lat", "Long", "Latitude", "Longitude") else key: value
        for key, value in columns.items()
    }
    trajectory, _ = load(told)
    np.testing.assert_allclose(trajectory.lat, flight.lat, atol=1e-6)


def test_other_tables_are_not_claimed(tmp_path):
    for head in (
        b"time(millisecond),latitude,longitude\n",
        b"Tick#,a,b\n1,2,3\n",
        b"",
        b"GPS(0):Lat,GPS(0):Long\n",
    ):
        assert not dji_datcon.sniff(tmp_path / "a.csv", head)
