"""Several logs of one flight put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dronesense.errors import ManifestError
from dronesense.manifest import track
from dronesense.manifest.schema import TrackTable
from dronesense.model import (
    Clock,
    Column,
    GasInstrument,
    IngestReport,
    Instrument,
    Mount,
    TimeColumn,
    Trajectory,
    Triggers,
)
from dronesense.readers.streams import quaternions_of

S = 1_000_000_000
T0 = 1_700_000_000 * S


def flown(start_s: float, n: int, *, step_s: float = 0.2, **more: Any) -> Trajectory:
    """North at 10 m/s from 48 N, 9 E; without attitude unless *more* brings one."""
    seconds = start_s + np.arange(n) * step_s
    base = Trajectory(
        time=T0 + np.rint(seconds * S).astype(np.int64),
        lon=np.full(n, 9.0),
        lat=48.0 + seconds * 10.0 / 111_195.0,
        height_m=np.full(n, 500.0),
        height_source_m=np.full(n, 452.0),
        height_ref="receiver-geoid",
        velocity_ned=np.tile([10.0, 0.0, 0.0], (n, 1)),
        attitude=np.full((n, 4), np.nan),
        std_ned_m=np.full((n, 3), 0.02),
        std_rpy_deg=np.full((n, 3), 1.0),
        fix=np.full(n, 5, dtype=np.uint8),
        segment=np.zeros(n, dtype=np.int32),
        clock=Clock("exact", 0.001),
        reference_point="antenna",
        source="a.pos:solution",
    )
    return replace(base, **more)


def test_logs_of_several_lines_become_one_track_with_a_segment_each() -> None:
    first, second = flown(0.0, 10), flown(60.0, 5, source="b.lcf:lcf", clock=Clock("fitted", 0.1))
    pictures = Triggers(np.array([T0 + 61 * S]), np.array([4]), "CAM")
    joined = track.join([replace(second, triggers=pictures), first], where="flight.toml")
    assert len(joined) == 15
    assert joined.segment.tolist() == [0] * 10 + [1] * 5
    assert joined.clock.sigma_s == 0.1  # the worse of the two
    assert joined.triggers is not None
    assert joined.triggers.number.tolist() == [4]
    assert joined.source == "a.pos:solution and 1 more"


def test_a_pressure_that_only_one_log_has_is_unknown_in_the_other() -> None:
    first, second = flown(0.0, 3, pressure_hpa=np.full(3, 950.0)), flown(60.0, 2)
    joined = track.join([first, second], where="flight.toml")
    assert joined.pressure_hpa is not None
    np.testing.assert_array_equal(joined.pressure_hpa, [950.0, 950.0, 950.0, np.nan, np.nan])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (flown(1.0, 10), "overlap in time"),
        (flown(60.0, 5, height_ref="takeoff"), "heights of a.pos:solution refer to receiver-geoid"),
    ],
)
def test_logs_that_do_not_fit_together_are_refused(second: Trajectory, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        track.join([flown(0.0, 10), second], where="flight.toml")


def test_the_attitude_of_another_log_is_laid_over_the_positions() -> None:
    seconds = np.arange(0.0, 4.0, 0.02)
    yaw = 10.0 * seconds  # degrees
    zero = np.zeros_like(yaw)
    turned = flown(
        -1.0,
        seconds.size,
        step_s=0.02,
        attitude=quaternions_of(zero, zero, yaw),
        clock=Clock("fitted", 0.05),
        pressure_hpa=np.full(seconds.size, 951.0),
        source="b.BIN:POS",
        height_m=np.full(seconds.size, 502.0),
    )
    positions = flown(0.0, 11)
    joined, remarks = track.with_attitude(positions, turned)
    assert joined.source == "a.pos:solution"
    assert joined.clock.sigma_s == 0.05
    assert len(joined) == 101  # every 20 ms from 0 to 2 s
    np.testing.assert_allclose(joined.lat, 48.0 + (joined.time - T0) / S * 10.0 / 111_195.0, atol=1e-12)
    heading = np.degrees(2.0 * np.arctan2(joined.attitude[:, 3], joined.attitude[:, 0]))
    np.testing.assert_allclose(heading, 10.0 * ((joined.time - T0) / S + 1.0), atol=1e-6)
    assert joined.pressure_hpa is not None
    assert np.all(joined.pressure_hpa == 951.0)
    assert any("vertical median 2.00 m" in remark for remark in remarks)


def test_an_attitude_of_another_hour_is_refused() -> None:
    turned = flown(7200.0, 5, attitude=np.tile([1.0, 0.0, 0.0, 0.0], (5, 1)), source="b.BIN:POS")
    with pytest.raises(ManifestError, match=r"b\.BIN:POS has no attitude during a\.pos:solution"):
        track.with_attitude(flown(0.0, 5), turned)


def test_answers_that_no_log_asked_for_are_named() -> None:
    table = TrackTable(path="a.BIN", tz="+05:00", time_scale="gps")
    assert track.not_used(table, [IngestReport("x", 1, answered=("tz",))]) == [
        "[track] time_scale is not used: the log says it itself"
    ]


def test_an_analyser_with_a_receiver_brings_its_own_positions(tmp_path: Path) -> None:
    columns = {
        "CH4": Column("ppm", species="CH4"),
        "Lat": Column("deg", field="latitude"),
        "Lon": Column("deg", field="longitude"),
    }
    spec = GasInstrument(TimeColumn(("t",), "unix"), columns)
    logger = Instrument("logger", "gas", spec, Mount(), "logger.toml")
    path = tmp_path / "gas.csv"
    path.write_text("t,CH4,Lat,Lon\n1700000000,2.0,48.0,9.0\n1700000001,2.1,48.00001,9.0\n", "utf-8")
    own = track.of_analyser(path, logger)
    assert own is not None
    assert own.lat.tolist() == [48.0, 48.00001]
    blind = GasInstrument(TimeColumn(("t",), "unix"), {"CH4": columns["CH4"]})
    assert track.of_analyser(path, replace(logger, spec=blind)) is None
    path.write_text("t,CH4,Lat,Lon\n1700000000,2.0,0,0\n", "utf-8")
    assert track.of_analyser(path, logger) is None
