"""ArduPilot logs to trajectories: a planted flight, damage, and real logs beside pymavlink."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from dronesense import plugins
from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.readers import ardupilot
from dronesense.timescale import NS_PER_S, RECEIVER_LATENCY_SIGMA_S, gps_to_utc_ns

_SPEC = importlib.util.spec_from_file_location(
    "dataflash_writer", Path(__file__).with_name("dataflash_writer.py")
)
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)

WEEK, TOW_0 = 2371, 36_000_000
"""GPS week, and ms of week at boot."""
LAT_0, LON_0, ALT_0, UNDULATION = 43.25, 76.9, 820.0, -38.5
SPEED_LAT, CLIMB = 5e-5, 0.5  # degrees (5.6 m) and m a second, due north


def lat_at(t):
    return LAT_0 + SPEED_LAT * t


def alt_at(t):
    return ALT_0 + CLIMB * t


class Flight:
    """A straight climb, 20 s, logged with a GPS latency of `latency` plus jitter."""

    def __init__(
        self, *, gps=writer.GPS, gpa=writer.GPA, status=3, latency=0.03, receivers=1, duration=20.0
    ) -> None:
        self.log = writer.Log()
        for name, layout in (
            ("GPS", gps), ("GPA", gpa), ("POS", writer.POS), ("ATT", writer.ATT), ("BARO", writer.BARO),
            ("ORGN", writer.ORGN), ("XKF1", writer.XKF1), ("MSG", writer.MSG),
        ):  # fmt: skip
            self.log.define(name, *layout)
        self.columns = {name: layout[1].split(",") for name, layout in (("GPS", gps), ("GPA", gpa))}
        self.rows: list[tuple[float, str, tuple]] = [(0.0, "MSG", (1000, b"ArduCopter V4.2.3 (00c0ffee)"))]
        self.status, self.receivers = status, receivers
        for k in range(int(duration * 5)):
            t = k * 0.2
            self.gps(t, t + latency + 0.02 * (k * 7 % 10) / 10)
        for k in range(int(duration * 25)):
            self.pos(k * 0.04 + 0.001)
        for k in range(int(duration * 50)):
            self.att(k * 0.02 + 0.0005)
        for k in range(int(duration * 10)):
            self.put(k * 0.1, "BARO", I=0, Press=91_000.0 - k)

    def put(self, t: float, name: str, **values) -> None:
        columns = {"BARO": writer.BARO, "XKF1": writer.XKF1, "ORGN": writer.ORGN}[name][1]
        row = dict.fromkeys(columns.split(","), 0) | {"TimeUS": round(t * 1e6)} | values
        self.rows.append((t, name, tuple(row.values())))

    def gps(self, epoch: float, arrival: float, *, instance: int | None = None, **values) -> None:
        tow = TOW_0 + round(epoch * 1000)
        for i in range(self.receivers) if instance is None else (instance,):
            row = {
                "TimeUS": round(arrival * 1e6), "I": i, "Status": self.status, "GMS": tow, "GWk": WEEK,
                "NSats": 17, "HDop": 0.7, "Lat": lat_at(epoch) + i * 1e-4, "Lng": LON_0, "Alt": alt_at(epoch),
                "Spd": 5.5, "GCrs": 0.0, "VZ": -CLIMB, "Yaw": 0.0, "U": 1,
            } | values  # fmt: skip
            self.rows.append((arrival, "GPS", tuple(row[c] for c in self.columns["GPS"])))
            row = {
                "TimeUS": round(arrival * 1e6), "I": i, "VDop": 1.0, "HAcc": 0.8, "VAcc": 1.5, "SAcc": 0.2,
                "YAcc": 0.0, "VV": 1, "SMS": round(arrival * 1000), "Delta": 200, "Und": UNDULATION,
                "AEl": row["Alt"] - UNDULATION, "RTCMFU": 0, "RTCMFD": 0,
            }  # fmt: skip
            if "GPA" in self.columns:
                self.rows.append((arrival, "GPA", tuple(row[c] for c in self.columns["GPA"])))

    def pos(self, t: float, *, origin: float = 0.0, **values) -> None:
        row = {
            "TimeUS": round(t * 1e6),
            "Lat": lat_at(t),
            "Lng": LON_0,
            "Alt": alt_at(t),
            "RelHomeAlt": 0.0,
            "RelOriginAlt": origin,
        }
        self.rows.append((t, "POS", tuple((row | values).values())))

    def att(self, t: float) -> None:
        row = (round(t * 1e6), 0.0, 2.0, 0.0, -3.0, 0.0, (350.0 + t) % 360.0, 0.1, 0.1, 3)
        self.rows.append((t, "ATT", row))

    def without(self, *names: str) -> Flight:
        self.rows = [row for row in self.rows if row[1] not in names]
        return self

    def packed(self) -> list[bytes]:
        return [self.log.pack(name, *values) for _, name, values in sorted(self.rows, key=lambda row: row[0])]

    def data(self) -> bytes:
        return self.log.data() + b"".join(self.packed())

    def text(self) -> str:
        """The same flight as a text log."""
        rows = [self.log.line(name, *values) for _, name, values in sorted(self.rows, key=lambda row: row[0])]
        return "\n".join([*self.log.definitions(), *rows]) + "\n"


def read(tmp_path: Path, flight: Flight | bytes, source: str = "auto") -> tuple[Trajectory, IngestReport]:
    path = tmp_path / "00000042.BIN"
    path.write_bytes(flight if isinstance(flight, bytes) else flight.data())
    return ardupilot.read(path, label="raw/00000042.BIN", options=TrackOptions(source=source))


def boot_s(track: Trajectory) -> np.ndarray:
    """Seconds since boot by the true clock (GPS time of the log's boot)."""
    return (track.time - gps_to_utc_ns(WEEK, TOW_0)) / NS_PER_S


def test_the_planted_flight_comes_back(tmp_path: Path) -> None:
    track, report = read(tmp_path, Flight())
    late = 0.03  # the constant part of the latency cannot be seen; the jitter (0 to 18 ms) is gone
    t = boot_s(track) + late
    np.testing.assert_allclose(track.lat, lat_at(t), atol=SPEED_LAT * 0.003)
    np.testing.assert_allclose(track.height_source_m, alt_at(t), atol=2e-3)
    np.testing.assert_allclose(track.height_m - track.height_source_m, -UNDULATION, atol=1e-4)
    assert track.height_ref == "receiver-geoid"
    assert (track.reference_point, track.source) == ("imu", "raw/00000042.BIN:POS")
    assert set(track.fix.tolist()) == {7}
    assert track.clock.kind == "fitted"
    assert RECEIVER_LATENCY_SIGMA_S <= track.clock.sigma_s < 1.1 * RECEIVER_LATENCY_SIGMA_S
    np.testing.assert_allclose(track.std_ned_m, np.tile([0.8, 0.8, 1.5], (len(track), 1)))
    np.testing.assert_allclose(track.velocity_ned[100], [5.5, 0.0, -CLIMB], atol=1e-6)
    assert report.dropped == {}
    assert report.holes == ()
    assert report.warnings == ("the log ends at a speed of 5.5 m/s: it may be cut",)
    assert report.details["firmware"] == "ArduCopter V4.2.3 (00c0ffee)"
    assert report.details["messages"]["ATT"] == 1000
    assert [(each["name"], each["kind"], each["used"]) for each in report.details["sources"]] == [
        ("POS", "filter", True),
        ("GPS[0]", "gnss", False),
    ]
    assert report.details["sources"][1]["minus_used_m"]["vertical_p95"] < 0.05
    json.dumps(report.details)


def test_rows_are_the_union_of_positions_and_attitudes(tmp_path: Path) -> None:
    track, report = read(tmp_path, Flight())
    offset = round(report.details["clock"]["offset_s"] * 1e6)
    stamps = set((track.time // 1000 - offset).tolist())
    pos = {round((k * 0.04 + 0.001) * 1e6) for k in range(500)}
    att = {round((k * 0.02 + 0.0005) * 1e6) for k in range(1000)}
    inside = {t for t in att if min(pos) <= t <= max(pos)}
    assert {t + d for t in stamps for d in (-1, 0, 1)} >= pos | inside
    assert len(track) == len(pos | inside)


def test_attitude_is_slerped_and_pressure_interpolated(tmp_path: Path) -> None:
    track, _ = read(tmp_path, Flight())
    t = boot_s(track) + 0.03
    w, x, y, z = track.attitude.T
    yaw = np.degrees(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))) % 360.0
    pitch = np.degrees(np.arcsin(2 * (w * y - z * x)))
    roll = np.degrees(np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)))
    error = (yaw - (350.0 + t) + 180.0) % 360.0 - 180.0
    assert np.abs(error).max() < 0.02  # yaw is stored in steps of 0.01; passes north without turning round
    np.testing.assert_allclose(roll, 2.0, atol=1e-3)
    np.testing.assert_allclose(pitch, -3.0, atol=1e-3)
    assert np.all(w >= 0)
    np.testing.assert_allclose(track.pressure_hpa[5:-20], ((91_000.0 - 10 * t) / 100.0)[5:-20], atol=1e-3)


@pytest.mark.parametrize(
    ("gps", "gpa", "known"),
    [
        (writer.GPS_OLD, ("QCCCCBIH", "TimeUS,VDop,HAcc,VAcc,SAcc,VV,SMS,Delta"), False),
        (writer.GPS, writer.GPA, True),
        (
            writer.GPS,
            ("QBCCCCfBIHfHH", "TimeUS,I,VDop,HAcc,VAcc,SAcc,YAcc,VV,SMS,Delta,AEl,RTCMFU,RTCMFD"),
            True,
        ),
    ],
    ids=["3.8", "4.2", "4.6"],
)
def test_layouts_of_all_firmwares(tmp_path: Path, gps, gpa, known) -> None:
    for source in ("POS", "GPS"):
        track, report = read(tmp_path, Flight(gps=gps, gpa=gpa), source)
        assert track.height_ref == "receiver-geoid"
        if known:
            np.testing.assert_allclose(track.height_m - track.height_source_m, -UNDULATION, atol=1e-4)
        else:
            assert np.isnan(track.height_m).all()
            assert any("undulation" in warning for warning in report.warnings)


def test_an_undulation_of_zero_is_no_undulation(tmp_path: Path) -> None:
    flight = Flight()
    und = writer.GPA[1].split(",").index("Und")
    flight.rows = [(t, n, (*v[:und], 0.0) if n == "GPA" else v) for t, n, v in flight.rows]
    assert np.isnan(read(tmp_path, flight)[0].height_m).all()


def test_rows_that_cannot_be_trusted_are_refused_and_counted(tmp_path: Path) -> None:
    flight = Flight()
    for k in range(7):
        flight.gps(-3.0 + 0.2 * k, 0.001 * (k + 1), Status=1, Lat=0.0, Lng=0.0)
    for k in range(4):
        flight.gps(-1.0 + 0.2 * k, 0.010 + 0.001 * k, GWk=0)
    flight.gps(-0.2, 0.020, Lat=0.0, Lng=0.0)
    for k in range(3):
        flight.pos(0.0001 * (k + 1), origin=math.nan, Alt=-0.34)
    flight.gps(5.0, 5.1901, Lat=lat_at(5.0) + 1.0)  # one flipped bit away
    flight.pos(6.0001, Alt=60_000.0)
    flight.pos(7.0001, Lng=LON_0 + 30)
    track, report = read(tmp_path, flight, "POS")
    assert report.dropped == {
        "GPS: no 3-D fix": 7,
        "GPS: latitude and longitude 0": 1,
        "GPS: GPS week 0: date not known yet": 4,
        "GPS: position jumps": 1,
        "POS: before the filter's origin was set": 3,
        "POS: position out of range": 1,
        "POS: position jumps": 1,
    }
    assert track.lon.min() == track.lon.max() == LON_0
    assert track.height_source_m.min() > ALT_0 - 1


def test_old_logs_take_the_origin_message(tmp_path: Path) -> None:
    flight = Flight()
    flight.log.records = [r for r in flight.log.records if b"RelOriginAlt" not in r]
    flight.log.define("POS", "QLLf", "TimeUS,Lat,Lng,Alt", kind=flight.log.types["POS"][0])
    flight.rows = [(t, n, v[:4] if n == "POS" else v) for t, n, v in flight.rows]
    first = read(tmp_path, flight)[1].dropped["POS: before the filter's origin was set"]
    assert first == 1  # before the first fix arrived at 0.03 s
    flight.put(2.0, "ORGN", Lat=LAT_0, Lng=LON_0, Alt=ALT_0)
    assert read(tmp_path, flight)[1].dropped["POS: before the filter's origin was set"] == 50


def test_damaged_time_stamps_are_refused(tmp_path: Path) -> None:
    flight = Flight()
    flight.rows = [
        (t, n, (v[0] ^ (1 << 52), *v[1:]) if n == "ATT" and abs(t - 9.0005) < 1e-6 else v)
        for t, n, v in flight.rows
    ]
    again = next(row for row in flight.rows if row[1] == "POS" and row[0] > 4.0)
    flight.rows.append(again)
    track, report = read(tmp_path, flight)
    assert report.dropped == {"ATT: time stamp out of order": 1, "POS: time stamp out of order": 1}
    assert len(track) == len(read(tmp_path, Flight())[0]) - 1


def test_fixed_rtk_is_preferred_and_sources_can_be_named(tmp_path: Path) -> None:
    flight = Flight(status=6, receivers=2)
    track, _ = read(tmp_path, flight)
    assert track.source.endswith("GPS[0]")
    assert track.reference_point == "antenna"
    assert set(track.fix.tolist()) == {5}
    # a fix carries its own GPS time: no latency at all
    np.testing.assert_allclose(track.lat, lat_at(boot_s(track)), atol=2e-7)
    second, _ = read(tmp_path, flight, "GPS[1]")
    np.testing.assert_allclose(second.lat, lat_at(boot_s(second)) + 1e-4, atol=2e-7)
    assert read(tmp_path, flight, "POS")[0].source.endswith("POS")
    assert read(tmp_path, Flight().without("POS"))[0].source.endswith("GPS[0]")
    with pytest.raises(
        ReadError, match=r"no usable position source \"GPS\[2\]\".*auto, POS, GPS\[0\], GPS\[1\]"
    ):
        read(tmp_path, flight, "GPS[2]")
    with pytest.raises(ReadError, match="POS"):
        read(tmp_path, Flight().without("POS"), "POS")


def test_default_sigma_by_kind_of_fix(tmp_path: Path) -> None:
    for status, sigma in ((3, (2.0, 4.0)), (4, (1.0, 2.0)), (6, (0.03, 0.05))):
        track, report = read(tmp_path, Flight(status=status).without("GPA"), "GPS")
        np.testing.assert_allclose(track.std_ned_m, np.tile([sigma[0], sigma[0], sigma[1]], (len(track), 1)))
        assert any("by kind of fix" in text for text in report.assumptions)


def test_nothing_is_interpolated_across_gaps(tmp_path: Path) -> None:
    flight = Flight()
    flight.rows = [row for row in flight.rows if not (row[1] == "POS" and 8.0 < row[0] < 11.0)]
    track, report = read(tmp_path, flight)
    t = boot_s(track) + 0.03
    assert not np.any((t > 8.05) & (t < 10.95))
    assert sorted(set(track.segment.tolist())) == [0, 1]
    assert np.all(track.segment[t > 9] == 1)
    assert report.dropped["attitude in a gap of POS"] > 100
    assert any(w.startswith("POS: 1 gap(s), the longest 3.0") for w in report.warnings)
    flight = Flight()
    flight.rows = [row for row in flight.rows if not (row[1] == "ATT" and 8.0 < row[0] < 11.0)]
    track, _ = read(tmp_path, flight)
    t = boot_s(track) + 0.03
    assert np.isnan(track.attitude[(t > 8.05) & (t < 10.95)]).all()
    assert np.isfinite(track.attitude[(t < 7.9) | (t > 11.1)]).all()


def test_a_tenth_of_a_second_cut_out_is_named(tmp_path: Path) -> None:
    flight = Flight()
    flight.rows = [
        row for row in flight.rows if not 8.0 < row[0] < 8.1
    ]  # at record borders: no byte looks wrong
    _, report = read(tmp_path, flight)
    assert report.holes == ()
    assert any("ATT: 1 gap(s), the longest 0.12 s" in warning for warning in report.warnings)


def early_ends(report: IngestReport) -> list[str]:
    return [warning for warning in report.warnings if "may be cut" in warning]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(1.0, "EV", 10)], ["the log ends while the motors are armed: it may be cut"]),
        ([(1.0, "EV", 10), (19.0, "EV", 11)], []),
        ([(1.0, "EV", 10), (9.0, "EV", 11), (11.0, "EV", 10), (12.0, "EV", 25)], ["armed"]),
        ([(1.0, "ARM", 1)], ["armed"]),
        ([(1.0, "ARM", 1), (19.0, "ARM", 0)], []),
        ([(1.0, "EV", 25)], ["at a speed of 5.5 m/s"]),  # says nothing of arming: the speed does
    ],
)
def test_an_end_before_the_landing_is_named(tmp_path: Path, events, expected: list[str]) -> None:
    flight = Flight()
    flight.log.define("EV", "QB", "TimeUS,Id")
    flight.log.define("ARM", "QBIBB", "TimeUS,ArmState,ArmChecks,Forced,Method")
    for t, name, value in events:
        rest = (0, 0, 1) if name == "ARM" else ()
        flight.rows.append((t, name, (round(t * 1e6), value, *rest)))
    _, report = read(tmp_path, flight)
    found = early_ends(report)
    assert len(found) == len(expected)
    assert all(part in warning for part, warning in zip(expected, found, strict=True))


@pytest.mark.parametrize(("climb", "expected"), [(0.4, []), (0.6, ["the log ends 11 m above its start"])])
def test_a_log_without_events_that_ends_aloft_is_named(tmp_path: Path, climb: float, expected) -> None:
    """A hover at its end: 19 s between the medians of the first and of the last second."""
    flight = Flight().without("GPS", "GPA", "POS")
    for k in range(100):
        flight.gps(k * 0.2, k * 0.2 + 0.03, Spd=0.1, Alt=100.0 + climb * k * 0.2)
    _, report = read(tmp_path, flight)
    found = early_ends(report)
    assert len(found) == len(expected)
    assert all(warning.startswith(part) for part, warning in zip(expected, found, strict=True))


def test_attitude_falls_back_to_quaternions(tmp_path: Path) -> None:
    flight = Flight().without("ATT")
    flight.log.define("XKQ", "QBffff", "TimeUS,C,Q1,Q2,Q3,Q4")
    half = math.radians(45.0)
    for k in range(500):
        for core in (0, 1):
            q = (-math.cos(half), 0.0, 0.0, -math.sin(half)) if core == 0 else (1.0, 0.0, 0.0, 0.0)
            flight.rows.append((k * 0.04 + 0.0001 * core, "XKQ", (round(k * 4e4), core, *q)))
    track, report = read(tmp_path, flight)
    np.testing.assert_allclose(track.attitude[10], [math.cos(half), 0.0, 0.0, math.sin(half)], atol=1e-6)
    assert not any("no attitude" in warning for warning in report.warnings)
    track, report = read(tmp_path, Flight().without("ATT"))
    assert np.isnan(track.attitude).all()
    assert any("no attitude" in warning for warning in report.warnings)


def test_ellipsoidal_heights_of_firmware_4_6_are_taken_as_they_are(tmp_path: Path) -> None:
    """AEl is the height above the ellipsoid, no undulation to take off; it need not be constant."""
    layout = ("QBCCCCfBIHfHH", "TimeUS,I,VDop,HAcc,VAcc,SAcc,YAcc,VV,SMS,Delta,AEl,RTCMFU,RTCMFD")
    flight = Flight(gpa=layout)
    place = layout[1].split(",").index("AEl")
    flight.rows = [
        (t, n, (*v[:place], v[place] + 0.1 * t, *v[place + 1 :]) if n == "GPA" else v)
        for t, n, v in flight.rows
    ]
    track, _ = read(tmp_path, flight, "GPS")
    ellipsoidal = alt_at(boot_s(track)) - UNDULATION + 0.1 * (boot_s(track) + 0.039)  # 9 ms of jitter
    np.testing.assert_allclose(track.height_m, ellipsoidal, atol=0.005)


def test_rows_of_the_primary_core_are_taken(tmp_path: Path) -> None:
    """The filter switches from core 0 to core 1 after 10 s: quaternions and velocity follow it."""
    flight = Flight().without("ATT")
    flight.log.define("XKQ", *writer.XKQ).define("XKF4", *writer.XKF4)
    for k in range(500):
        t = k * 0.04
        for core in (0, 1):
            q = (1.0, 0.0, 0.0, 0.0) if core == 0 else (0.0, 0.0, 0.0, 1.0)
            us = round(t * 1e6) + core
            flight.rows.append((t + core * 1e-6, "XKQ", (us, core, *q)))
            flight.put(t + core * 1e-6, "XKF1", C=core, VN=1.0 + core)
            primary = 0 if t < 10.0 else 1
            row = (us, core, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, primary)
            flight.rows.append((t + core * 1e-6, "XKF4", row))
    track, report = read(tmp_path, flight)
    t = boot_s(track) + 0.03
    assert np.all(track.attitude[(t > 0.1) & (t < 9.9), 0] == 1.0)
    assert np.all(track.attitude[(t > 10.1) & (t < 19.9), 3] == 1.0)
    np.testing.assert_allclose(track.velocity_ned[(t > 0.1) & (t < 9.9), 0], 1.0)
    np.testing.assert_allclose(track.velocity_ned[(t > 10.1) & (t < 19.9), 0], 2.0)
    assert report.details["resets"] == {"switch of the filter's core": 1}
    before, after = track.segment[t < 9.9], track.segment[t > 10.1]
    assert before.max() < after.min()
    assert any("the filter jumped" in warning for warning in report.warnings)


def test_numbered_messages_of_old_cores(tmp_path: Path) -> None:
    """Firmware 3.x numbers the messages of the second core on: NKF6 is its NKF1, NKF9 its NKF4."""
    flight = Flight().without("XKF1")
    flight.log.define("NKF1", "Qfff", "TimeUS,VN,VE,VD").define("NKF6", "Qfff", "TimeUS,VN,VE,VD")
    flight.log.define("NKF4", "Qbbb", "TimeUS,OFN,OFE,PI").define("NKF9", "Qbbb", "TimeUS,OFN,OFE,PI")
    for k in range(500):
        t = k * 0.04
        us = round(t * 1e6)
        flight.rows += [(t, "NKF1", (us, 3.0, 0.0, 0.0)), (t, "NKF6", (us, 4.0, 0.0, 0.0))]
        flight.rows += [(t, name, (us, 0, 0, int(t >= 10))) for name in ("NKF4", "NKF9")]
    track, _ = read(tmp_path, flight)
    t = boot_s(track) + 0.03
    np.testing.assert_allclose(track.velocity_ned[(t > 0.1) & (t < 9.9), 0], 3.0)
    np.testing.assert_allclose(track.velocity_ned[(t > 10.1) & (t < 19.8), 0], 4.0)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([("EV", 60)], "height reset (EV)"),
        ([("EV", 62)], "yaw reset (EV)"),
        ([("ERR", 24)], "switch of the filter's core"),
        ([("XKF4", 5.0)], "position reset of the filter"),
        ([("POS", 8.0)], "step of the position"),
        ([("EV", 10)], None),
    ],
)
def test_resets_that_the_log_tells_split_the_track(tmp_path: Path, events, reason: str | None) -> None:
    flight = Flight()
    flight.log.define("EV", "QB", "TimeUS,Id").define("ERR", "QBB", "TimeUS,Subsys,ECode")
    flight.log.define("XKF4", *writer.XKF4)
    for name, value in events:
        if name == "XKF4":
            for k in range(200):
                north = value if k >= 100 else 0.0
                row = (k * 100_000, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, north, 0.0, 0, 0, 0, 0, 0)
                flight.rows.append((k * 0.1, name, row))
        elif name == "POS":  # moved by 8 m to the north at 10 s and stays there
            flight.rows = [
                (t, n, (v[0], v[1] + (value / 111_195.0 if t > 9.99 else 0.0), *v[2:]) if n == "POS" else v)
                for t, n, v in flight.rows
            ]
        else:
            flight.rows.append((10.0, name, (10_000_000, value, *([0] if name == "ERR" else []))))
    track, report = read(tmp_path, flight)
    assert report.details["resets"] == ({} if reason is None else {reason: 1})
    t = boot_s(track) + 0.03
    before, after = track.segment[t < 9.8], track.segment[t > 10.1]
    assert bool(before.max() < after.min()) is (reason is not None)
    assert report.dropped.get("POS: position jumps", 0) == 0


def test_a_second_receiver_by_name_and_by_instance(tmp_path: Path) -> None:
    flight = Flight(gps=writer.GPS_OLD)
    flight.log.define("GPS2", *writer.GPS_OLD)
    columns = writer.GPS_OLD[1].split(",")
    moved = {"Lat": 2e-4, "Status": 3.0}  # fixed RTK, and 22 m further north
    flight.rows += [
        (t + 1e-6, "GPS2", tuple(x + moved.get(c, 0) for c, x in zip(columns, v, strict=True)))
        for t, n, v in flight.rows
        if n == "GPS"
    ]
    flight.rows = [(t, n, (v[0], int(v[1]), *v[2:]) if n.startswith("GPS") else v) for t, n, v in flight.rows]
    track, report = read(tmp_path, flight)
    assert track.source.endswith(":GPS[1]")
    assert [(s["name"], s["kind"]) for s in report.details["sources"]] == [
        ("GPS[1]", "rtk"),
        ("POS", "filter"),
        ("GPS[0]", "gnss"),
    ]
    apart = report.details["sources"][2]["minus_used_m"]
    assert apart["horizontal_p50"] == pytest.approx(2e-4 * 111_195, rel=1e-3)


CAM_ROWS = {"Lat": 0.0, "Lng": 0.0, "Alt": 0.0, "RelAlt": 0.0, "GPSAlt": 0.0}


@pytest.mark.parametrize("layout", [writer.CAM, writer.CAM_OLD])
@pytest.mark.parametrize("name", ["CAM", "TRIG"])
def test_pictures_have_the_time_that_the_log_gives_best(tmp_path: Path, layout, name: str) -> None:
    """GPS time where it is the picture's own; the boot clock where it is that of the last fix, or unknown."""
    taken = (3.313, 7.127, 7.927, 15.741)
    for kind in ("own", "last fix", "none"):
        flight = Flight(latency=0.0)
        flight.log.define(name, *layout)
        for k, t in enumerate(taken):
            tow = TOW_0 + round(1000 * (t if kind == "own" else math.floor(t * 5) / 5))
            row = dict.fromkeys(layout[1].split(","), 0) | CAM_ROWS
            row |= {"TimeUS": round(t * 1e6), "GPSTime": tow, "GPSWeek": 0 if kind == "none" else WEEK}
            row |= {"Img": 40 + k} if "Img" in row else {}
            flight.rows.append((t, name, tuple(row.values())))
        track, report = read(tmp_path, flight)
        assert track.triggers is not None
        assert report.details["pictures"] == 4
        expected = gps_to_utc_ns(WEEK, [TOW_0 + round(t * 1000) for t in taken])
        assert np.abs(track.triggers.time - expected).max() <= (0 if kind == "own" else 3e6)
        assert track.triggers.source == f"{name} ({'GPS time' if kind == 'own' else 'boot clock'})"
        assert track.triggers.number.tolist() == ([40, 41, 42, 43] if "Img" in layout[1] else [-1] * 4)
    assert read(tmp_path, Flight(duration=2.0))[0].triggers is None


def test_pictures_minutes_apart_are_no_damaged_stamps(tmp_path: Path) -> None:
    flight = Flight(duration=200.0)
    flight.log.define("CAM", *writer.CAM)
    for t in (1.0, 80.0, 81.0, 82.0, 83.0, 190.0):
        row = dict.fromkeys(writer.CAM[1].split(","), 0) | CAM_ROWS | {"TimeUS": round(t * 1e6)}
        flight.rows.append((t, "CAM", tuple(row.values())))
    track, _ = read(tmp_path, flight)
    assert len(track.triggers) == 6


def test_thousands_of_vendor_blocks_cost_only_the_records_they_cut(tmp_path: Path) -> None:
    """A header of 32 bytes before every 4096: one warning, and every record that no block cuts."""
    flight = Flight(duration=60.0)
    data = flight.data()
    head = len(flight.log.data())  # the definitions stay whole: a type without one cannot be read
    vendor = b"\x5aVENDOR\x01" * 4
    blocks = [data[:head], *(vendor + data[k : k + 4096] for k in range(head, len(data), 4096))]
    track, report = read(tmp_path, b"".join(blocks))
    whole, plain = read(tmp_path, data)
    borders = np.arange(head + 4096, len(data), 4096)
    starts = np.cumsum([head, *(len(r) for r in flight.packed())])
    behind = borders - starts[np.searchsorted(starts, borders, side="right") - 1]
    lost = plain.records - report.records  # only those whose header a block splits
    assert lost <= np.count_nonzero((behind > 0) & (behind < 3))
    assert len(report.holes) == len(blocks) - 1
    assert sum(length for _, length in report.holes) >= 32 * (len(blocks) - 1)
    # a whole record before a block is kept too, but nothing confirms its end
    assert report.details["unconfirmed_records"] <= len(blocks) - 1
    cut = len(blocks) - 1 + lost
    assert len(track) >= len(whole) - 2 * cut
    named = [warning for warning in report.warnings if "hold no record" in warning]
    assert len(named) == 1
    words = re.search(
        r"most are 32 bytes long, some (\d+) bytes apart: perhaps blocks that a vendor put", named[0]
    )
    assert 4100 <= int(words[1]) <= 4160  # a hole starts where the record that it cuts would end
    assert len(named[0]) < 400
    assert np.isin(track.lat, whole.lat).mean() > 0.9


def test_velocity_of_the_filter_comes_first(tmp_path: Path) -> None:
    flight = Flight()
    for k in range(500):
        flight.put(k * 0.04, "XKF1", C=0, VN=1.0, VE=2.0, VD=3.0)
        flight.put(k * 0.04 + 0.001, "XKF1", C=1, VN=9.0, VE=9.0, VD=9.0)
    track, _ = read(tmp_path, flight)
    np.testing.assert_allclose(track.velocity_ned[50:-50], np.tile([1.0, 2.0, 3.0], (len(track) - 100, 1)))


def test_across_the_antimeridian(tmp_path: Path) -> None:
    flight = Flight()
    east = {"POS": 2, "GPS": writer.GPS[1].split(",").index("Lng")}

    def moved(t, name, v):
        if name not in east:
            return v
        lon = (179.9999 + 2e-5 * t + 180.0) % 360.0 - 180.0
        return (*v[: east[name]], lon, *v[east[name] + 1 :])

    flight.rows = [(t, n, moved(t, n, v)) for t, n, v in flight.rows]
    track, report = read(tmp_path, flight)
    assert report.dropped == {}
    unwrapped = np.degrees(np.unwrap(np.radians(track.lon)))
    np.testing.assert_allclose(np.diff(unwrapped) / np.diff(boot_s(track)), 2e-5, atol=6e-5)
    assert np.abs(track.lon).min() > 179.999


@pytest.mark.parametrize(
    ("flight", "match"),
    [
        (Flight(duration=1.0).without("GPS"), "no GPS row"),
        (Flight(duration=1.0, status=2), "5 x GPS: no 3-D fix"),
        (b"", "is empty"),
        (b"\xa3\x95\x80" + bytes(17), "no complete FMT"),
    ],
)
def test_what_has_no_track_says_why(tmp_path: Path, flight, match) -> None:
    with pytest.raises(ReadError, match=match):
        read(tmp_path, flight)


def test_damage_is_named_and_never_raises_anything_else(tmp_path: Path) -> None:
    data = Flight().data()
    rng = np.random.default_rng(2)
    sound, _ = read(tmp_path, data)
    for trial in range(60):
        broken = bytearray(data)
        place = int(rng.integers(2000, len(data) - 3000))
        place += data[place + 1 : place + 3] == b"\xa3\x95"  # a cut between two records leaves no trace
        match trial % 6:
            case 0:
                broken = broken[: place + 1]
            case 1:
                broken[place : place + 1500] = bytes(1500)
            case 2:
                del broken[place : place + 1501]
            case 3:
                broken += b"\xff" * 4096
            case 4:
                broken[place:place] = b"\x5aVENDOR\x00" * 64
            case _:
                for where in rng.integers(2000, len(data), 50):
                    broken[where] ^= 1 << int(rng.integers(8))
        try:
            track, report = read(tmp_path, bytes(broken))
        except ReadError:
            continue
        assert report.holes or report.dropped or report.warnings or trial % 6 == 5
        if trial % 6 < 5:
            assert report.holes
            assert any("byte" in warning for warning in report.warnings)
        assert np.all(np.abs(track.lat - lat_at(boot_s(track) + 0.03)) < 3e-4), trial  # 33 m: no wild row
        assert np.all(track.lon < LON_0 + 3e-4)
        assert len(track) <= len(sound)


def test_sniff() -> None:
    assert ardupilot.sniff(Path("x"), Flight(duration=1.0).data()[: plugins.HEAD_BYTES])
    assert ardupilot.sniff(Path("x"), b"VENDOR" * 20 + Flight(duration=1.0).data())
    for head in (b"", b"\xa3\x95", b"ULog\x01\x12\x35", b"time,lat,lon\n", bytes(8192)):
        assert not ardupilot.sniff(Path("x"), head)


@pytest.mark.parametrize("name", ["center_0003.bin", "pilot_0004.BIN", "pymavlink_test.BIN"])
def test_real_logs_equal_pymavlink_at_every_stamp(shared_data: Path, name: str) -> None:
    from pymavlink import DFReader

    path = shared_data / "logs" / "dataflash" / name
    track, report = ardupilot.read(path, label=name)
    log = DFReader.DFReader_binary(str(path))
    rows: dict[str, list] = {"POS": [], "ATT": [], "GPS": []}
    while (message := log.recv_match(type=list(rows))) is not None:
        rows[message.get_type()].append(message)
    log.data_map.close()
    log.filehandle.close()
    offset = round(report.details["clock"]["offset_s"] * 1e9)
    boot_us = np.rint((track.time - offset) / 1000).astype(np.int64)
    pos = [m for m in rows["POS"] if not math.isnan(m.RelOriginAlt)]
    at = np.searchsorted(boot_us, [m.TimeUS for m in pos])
    assert boot_us[at].tolist() == [m.TimeUS for m in pos]
    assert track.lat[at].tolist() == [m.Lat for m in pos]
    assert track.lon[at].tolist() == [m.Lng for m in pos]
    assert track.height_source_m[at].tolist() == [m.Alt for m in pos]
    att = [m for m in rows["ATT"] if pos[0].TimeUS <= m.TimeUS <= pos[-1].TimeUS]
    at = np.searchsorted(boot_us, [m.TimeUS for m in att])
    assert boot_us[at].tolist() == [m.TimeUS for m in att]
    half = np.radians([[m.Roll, m.Pitch, m.Yaw] for m in att]) / 2.0
    (cr, cp, cy), (sr, sp, sy) = np.cos(half).T, np.sin(half).T
    expected = np.column_stack([
        cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy,
    ])  # fmt: skip
    expected *= np.where(expected[:, :1] < 0, -1.0, 1.0)
    np.testing.assert_allclose(track.attitude[at], expected, atol=1e-12)
    good = [m for m in rows["GPS"] if m.Status >= 3 and m.GWk > 0 and (m.Lat or m.Lng)]
    fixes, _ = ardupilot.read(path, label=name, options=TrackOptions(source="GPS"))
    epochs = gps_to_utc_ns([m.GWk for m in good], [m.GMS for m in good])
    at = np.searchsorted(fixes.time, epochs)
    assert fixes.time[at].tolist() == epochs.tolist()
    assert fixes.lat[at].tolist() == [m.Lat for m in good]
    assert fixes.lon[at].tolist() == [m.Lng for m in good]
    assert fixes.height_source_m[at].tolist() == [m.Alt for m in good]


def test_known_facts_of_the_real_logs(shared_data: Path) -> None:
    """Rows refused, undulation at Bristol, date and latency spread as counted by hand with pymavlink."""
    folder = shared_data / "logs" / "dataflash"
    track, report = ardupilot.read(folder / "pilot_0004.BIN", label="pilot")
    assert early_ends(report) == []  # on the bench from beginning to end, as are the other two
    assert report.dropped["GPS: no 3-D fix"] == 376
    assert report.details["undulation_m"] == pytest.approx(48.527, abs=1e-3)
    assert str(track.time[0].astype("datetime64[ns]"))[:10] == "2025-01-03"
    assert early_ends(ardupilot.read(folder / "pymavlink_test.BIN", label="old")[1]) == []
    _, report = ardupilot.read(folder / "center_0003.bin", label="center")
    assert early_ends(report) == []
    assert report.dropped["GPS: GPS week 0: date not known yet"] == 1
    assert report.dropped["POS: before the filter's origin was set"] == 21
    assert report.details["clock"]["latency_spread_s"] == pytest.approx(0.1003, abs=1e-3)
    assert report.details["firmware"].startswith("ArduPlane V4.2.3")


def test_a_damaged_format_that_makes_a_number_a_text_is_not_used_as_a_number(tmp_path: Path) -> None:
    """Found by fuzzing: one flipped byte of FMT made the speed of the receiver four letters."""
    sound = Flight().data()
    damaged = sound.replace(b"QBBIHBcLLeffffB", b"QBBIHBcLLenfffB")
    assert damaged != sound
    track, _ = read(tmp_path, damaged, "GPS")
    assert np.isnan(track.velocity_ned[:, :2]).all()
    assert np.isfinite(track.lon).all()
