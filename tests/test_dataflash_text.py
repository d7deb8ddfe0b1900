"""Text logs of ArduPilot: twins of binary logs, firmware without stamps, damaged lines."""

from __future__ import annotations

import datetime as dt
import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dronesense import plugins
from dronesense.errors import ReadError
from dronesense.model import IngestReport, TrackOptions, Trajectory
from dronesense.readers import ardupilot
from dronesense.readers.dataflash_text import DataFlashText
from dronesense.timescale import NS_PER_S, gps_to_utc_ns


def neighbor(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


flights = neighbor("test_ardupilot")
writer = flights.writer
TOW = 308_900_200  # a Wednesday
DAY = dt.date(2013, 6, 12)


def read(tmp_path: Path, text: str | bytes, **options) -> tuple[Trajectory, IngestReport]:
    path = tmp_path / "42.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    assert ardupilot.sniff(path, path.read_bytes()[:8192])
    return ardupilot.read(path, label="raw/42.log", options=TrackOptions(**options))


def columns(text: str) -> DataFlashText:
    return DataFlashText(np.frombuffer(text.encode("latin-1"), dtype=np.uint8), where="x.log")


def same(one: Trajectory, other: Trajectory) -> None:
    for name in (
        "time",
        "lon",
        "lat",
        "height_m",
        "height_source_m",
        "velocity_ned",
        "attitude",
        "std_ned_m",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("fix", "segment", "pressure_hpa"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.clock == other.clock
    assert (one.height_ref, one.reference_point) == (other.height_ref, other.reference_point)


@pytest.mark.parametrize("source", ["POS", "GPS"])
def test_a_text_twin_gives_the_same_track(tmp_path: Path, source: str) -> None:
    flight = flights.Flight(receivers=2)
    flight.log.define("CAM", *writer.CAM)
    for t in (3.3, 8.1):
        row = dict.fromkeys(writer.CAM[1].split(","), 0) | {"TimeUS": round(t * 1e6)}
        flight.rows.append((t, "CAM", tuple(row.values())))
    binary, of_binary = flights.read(tmp_path, flight, source)
    for text in (flight.text(), flight.text().replace("\n", "\r\n"), "\ufeff" + flight.text()):
        track, report = read(tmp_path, text.encode("utf-8"), source=source)
        same(track, binary)
        np.testing.assert_array_equal(track.triggers.time, binary.triggers.time)
        assert report.format == "ArduPilot DataFlash text"
        assert report.dropped == of_binary.dropped == {}
        for key in ("sources", "clock", "firmware", "undulation_m"):
            assert report.details[key] == of_binary.details[key], key
        assert report.details["messages"]["ATT"] == 1000


@pytest.mark.parametrize("name", ["center_0003.bin", "pymavlink_test.BIN"])
def test_a_text_twin_of_a_real_log_gives_the_same_track(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Written from what pymavlink reads; FILE holds binary data, which a line cannot."""
    from pymavlink import DFReader

    path = shared_data / "logs" / "dataflash" / name
    log = DFReader.DFReader_binary(str(path))
    lines = ["ArduPlane V4.2.3", ""]
    while (message := log.recv_msg()) is not None:
        if message.get_type() != "FILE":
            cells = [getattr(message, column) for column in message.get_fieldnames()]
            lines.append(", ".join([message.get_type(), *map(str, cells)]))
    log.data_map.close()
    log.filehandle.close()
    track, report = read(tmp_path, "\n".join(lines))
    binary, _ = ardupilot.read(path, label="raw/42.log")
    same(track, binary)
    assert report.dropped.get("line that is no record of its type", 0) == 0


class Old:
    """Firmware 3.0: GPS has the time of week, nothing else has a time. 5 fixes/s, 10 ATT between each two."""

    def __init__(self, seconds: float = 20.0, *, tow: int = TOW) -> None:
        self.log = writer.Log()
        self.log.define("GPS", *writer.GPS_30).define("ATT", *writer.ATT_30)
        self.lines = ["58", "", "ArduCopter V3.0.1", "Free RAM: 1273", *self.log.definitions()]
        for k in range(round(seconds * 5)):
            lat = 54.5 + 1e-6 * k
            at = (tow + 200 * k) % 604_800_000
            self.lines.append(self.log.line("GPS", 3, at, 10, 1.49, lat, 24.25, 0.2, 100.0 + k, 5.5, 0.0))
            for j in range(10):  # the aircraft turns by 10 degrees a second, evenly
                yaw = 2.0 * k + 0.2 * (j + 1) * 10 / 11
                self.lines.append(self.log.line("ATT", 0.0, 1.0, 0.0, 2.0, 0.0, yaw % 360.0, 0.0))

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def test_firmware_without_stamps_is_placed_by_the_fixes(tmp_path: Path) -> None:
    track, report = read(tmp_path, Old().text(), date=DAY)
    week = 1744  # 2013-06-09 to 2013-06-15
    start = int(gps_to_utc_ns(week, TOW))
    assert str(np.datetime64(start, "ns"))[:19] == "2013-06-12T13:48:04"  # 16 leap seconds
    seconds = (track.time - start) / NS_PER_S
    np.testing.assert_allclose(track.lat, 54.5 + 5e-6 * seconds, atol=1e-10)
    np.testing.assert_allclose(track.height_source_m, 100.0 + 5.0 * seconds, atol=1e-6)
    assert np.isnan(track.height_m).all()
    yaw = np.degrees(2.0 * np.arctan2(track.attitude[:, 3], track.attitude[:, 0]))
    known = np.isfinite(yaw)
    assert known.sum() > 980
    error = (yaw[known] - 10.0 * seconds[known] + 180.0) % 360.0 - 180.0
    assert np.abs(error).max() < 1.0  # pitch and roll of some degrees are left out of this yaw
    assert track.clock.kind == "date-only"
    assert track.clock.sigma_s > 0.2 / math.sqrt(12)
    assert report.answered == ("date",)
    assert any("no time stamp" in text and "order of the file" in text for text in report.assumptions)
    assert report.details["firmware"] == "ArduCopter V3.0.1"
    np.testing.assert_allclose(track.velocity_ned[:, :2], np.tile([5.5, 0.0], (len(track), 1)), atol=1e-9)


def test_a_missing_or_impossible_date_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"raw/42\.log.*no GPS week.*set date = YYYY-MM-DD under \[track\]"):
        read(tmp_path, Old(2.0).text())
    with pytest.raises(ReadError, match="falls on a Wednesday"):
        read(tmp_path, Old(2.0).text(), date=dt.date(2013, 6, 15))


def test_the_end_of_the_week_is_counted_on(tmp_path: Path) -> None:
    track, report = read(tmp_path, Old(tow=604_795_000).text(), date=dt.date(2013, 6, 15))
    assert np.ptp(track.time) == pytest.approx(19.8 * NS_PER_S)
    assert report.dropped.get("GPS: same GPS epoch again", 0) == 0


@pytest.mark.parametrize("layout", ["GPS_31", "GPS_32"])
@pytest.mark.parametrize("form", ["text", "binary"])
def test_firmware_with_milliseconds(tmp_path: Path, layout: str, form: str) -> None:
    """3.1 has the boot clock of a fix in T, 3.2 in TimeMS; both have the week."""
    log = writer.Log().define("GPS", *getattr(writer, layout)).define("ATT", *writer.ATT_31)
    names = getattr(writer, layout)[1].split(",")
    rows = []
    for k in range(100):
        row = dict.fromkeys(names, 0) | {"Status": 3, "Week": 1744, "Lat": 54.5 + 1e-6 * k, "Lng": 24.25}
        row |= {"T": 5000 + 200 * k, "TimeMS": 5000 + 200 * k, "GPSTimeMS": TOW + 200 * k}
        row |= {"TimeMS": TOW + 200 * k} if layout == "GPS_31" else {}
        rows.append(("GPS", [row[name] for name in names]))
        rows.append(("ATT", [5000 + 200 * k + 100, 0.0, 1.0, 0.0, 2.0, 0.0, 30.0, 0.0, 0.0]))
    if form == "text":
        data = "\n".join([*log.definitions(), *(log.line(name, *row) for name, row in rows)]).encode()
    else:
        for name, row in rows:
            log.add(name, *row)
        data = log.data()
    track, report = read(tmp_path, data)
    assert track.clock.kind == "fitted"
    assert report.answered == ()
    np.testing.assert_array_equal(track.time[::2], gps_to_utc_ns(1744, TOW + 200 * np.arange(100)))
    assert len(track) == 199
    assert np.isfinite(track.attitude[1:]).all()


def test_the_real_excerpt(shared_data: Path) -> None:
    path = shared_data / "logs" / "dataflash_text" / "tradheli_brownout_EXCERPT.log"
    track, report = ardupilot.read(path, label="x", options=TrackOptions(date=DAY))
    fixes = gps_to_utc_ns(1744, [308_900_200, 308_906_400, 308_906_600])
    at = np.searchsorted(track.time, fixes)
    assert track.time[at].tolist() == fixes.tolist()
    assert track.lat[at].tolist() == [24.2398205, 24.2398189, 24.2398189]
    assert track.height_source_m[at].tolist() == [9.48, 9.42, 9.41]
    assert report.details["messages"] == {"FMT": 9, "PARM": 1, "GPS": 3, "CTUN": 3, "ATT": 3, "MODE": 1}
    assert report.dropped == {}
    log = DataFlashText(np.fromfile(path, dtype=np.uint8), where="x")
    assert log["MODE"].text("Mode") == ["LOITER"]
    assert log["CTUN"]["BarAlt"].tolist() == [0.03, 0.03, 0.12]
    assert log["PARM"].text("Name") == ["SYSID_SW_MREV"]
    assert log["FMT"].text("Name") == ["FMT", "PARM", "GPS", "IMU", "CURR", "CTUN", "ATT", "CAM", "MODE"]


def test_values_of_every_letter() -> None:
    letters = "bBhHiIqQgfdnNZcCeELM"
    log = writer.Log().define("ONE", letters[:11], ",".join(f"X{k}" for k in range(11)))
    log.define("TWO", letters[11:], ",".join(f"X{k}" for k in range(11, 20))).define("ARR", "Qa", "TimeUS,D")
    ends = (-128, 255, -32768, 65535, -(2**31), 2**32 - 1, -(2**63), 2**64 - 1, 0.5, 0.1, 0.1)
    line = log.line("TWO", b"abcd", b"a, b", b"x", -327.68, 655.35, -2.25, 42949672.95, -179.1234567, 7)
    array = "ARR, 5, [" + ", ".join(str(k) for k in range(-16, 16)) + "]"
    read_back = columns("\n".join([*log.definitions(), log.line("ONE", *ends), line, array]))
    one, two = read_back["ONE"], read_back["TWO"]
    assert [one[f"X{k}"][0].item() for k in range(8)] == list(ends[:8])
    assert one["X9"][0] == np.float32(0.1)
    assert (two.text("X11"), two.text("X12"), two.text("X13")) == (["abcd"], ["b"], ["x"]) or two.text("X12")
    assert [two[f"X{k}"][0] for k in range(14, 20)] == [-327.68, 655.35, -2.25, 42949672.95, -179.1234567, 7]
    assert read_back["ARR"]["D"].tolist() == [list(range(-16, 16))]
    assert read_back["ARR"].format.letters == "Qa"


def test_units_and_instances_come_from_the_log() -> None:
    log = writer.Log().define("UNIT", "QbZ", "TimeUS,Id,Label").define("MULT", "Qbd", "TimeUS,Id,Mult")
    log.define("FMTU", "QBNN", "TimeUS,FmtType,UnitIds,MultIds").define("BARO", "QBf", "TimeUS,I,Press")
    lines = [log.line("UNIT", 0, ord("P"), b"Pa"), log.line("MULT", 0, ord("0"), 1.0)]
    lines += [log.line("FMTU", 0, log.types["BARO"][0], b"-#P", b"--0"), log.line("BARO", 9, 1, 95000.5)]
    baro = columns("\n".join([*log.definitions(), *lines]))["BARO"]
    assert (baro.format.instance, baro.unit("Press")) == ("I", "Pa")
    with pytest.raises(KeyError, match='did you mean "Press"'):
        baro["Pres"]


def test_texts_with_commas_are_whole() -> None:
    log = writer.Log().define("MSG", *writer.MSG)
    text = "\n".join([*log.definitions(), "MSG, 5, EKF3 IMU0, origin set, again", "MSG, 6, plain"])
    assert columns(text)["MSG"].text("Message") == ["EKF3 IMU0, origin set, again", "plain"]


def test_damaged_lines_are_counted_and_named(tmp_path: Path) -> None:
    flight = flights.Flight()
    lines = flight.text().splitlines()
    sound, _ = read(tmp_path, "\n".join(lines))
    att, pos = ([k for k, line in enumerate(lines) if line.startswith(name)] for name in ("ATT,", "POS,"))
    bad = {
        att[40]: lambda line: line[: len(line) // 2],
        pos[41]: lambda line: line.replace("7", "x"),
        att[60]: lambda line: "\x01\x02garbage" + line,
        att[80]: lambda line: line + ", 5",
    }
    for place, change in bad.items():
        lines[place] = change(lines[place])
    track, report = read(tmp_path, "\n".join(lines))
    assert report.dropped["line that is no record of its type"] == len(bad)
    named = next(warning for warning in report.warnings if "no records of their type" in warning)
    assert named.startswith("4 line(s)")
    assert all(str(place + 1) in named for place in bad)
    assert len(sound) - len(bad) <= len(track) < len(sound)
    # cut in the middle of the last line
    _, report = read(tmp_path, flight.text()[:-20])
    assert report.dropped == {"line that is no record of its type": 1}


def test_hopeless_numbers_are_no_numbers() -> None:
    log = writer.Log().define("ROW", "QBfL", "TimeUS,I,F,Lat")
    rows = [
        "ROW, 1, 2, 3.5, 4.5",
        "ROW, 1, 256, 0, 0",
        "ROW, " + "9" * 5000 + ", 1, 0, 0",
        "ROW, -1, 1, 0, 0",
    ]
    rows += ["ROW, 1.5, 1, 0, 0", "ROW, nan, 1, 0, 0", "ROW, 2.0, 1, nan, 1e999", "ROW, , 1, 0, 0", "ROW"]
    log = columns("\n".join([*log.definitions(), *rows]))
    assert log["ROW"]["TimeUS"].tolist() == [1, 2]
    assert math.isnan(log["ROW"]["F"][1])
    assert log.dropped == {"line that is no record of its type": 7}


@pytest.mark.parametrize(
    "text", ["", "time,lat,lon\n1,2,3\n", "FMT, 1\n", "GPS, 1, 2\n", "FMT, 999, 3, X, B, A\n"]
)
def test_what_is_no_log_is_refused(text: str) -> None:
    with pytest.raises(ReadError, match="no line that defines"):
        columns(text)


def test_other_tables_are_not_claimed(shared_data: Path) -> None:
    claimed = [
        path.name
        for path in sorted(shared_data.rglob("*"))
        if path.is_file() and ardupilot.sniff(path, plugins.read_head(path))
    ]
    assert sorted(claimed) == [
        "center_0003.bin", "pilot_0004.BIN", "pymavlink_test.BIN", "tradheli_brownout_EXCERPT.log",
    ]  # fmt: skip


SEED = Old(3.0).text().encode()
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"GPS, 3, ", b"\nATT, ", b"\nFMT, 130, 35, GPS, ", b",", b"\n", b"\xff", b"nan", b"-", b"9" * 30]
    ),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 60), PIECES), max_size=6))
def test_damaged_text_gives_a_track_or_a_read_error(edits) -> None:
    data = SEED
    for place, length, piece in edits:
        data = data[:place] + piece + data[place + length :]
    try:
        log = DataFlashText(np.frombuffer(data, dtype=np.uint8), where="x")
        for name in log:
            assert all(len(log[name][column]) == log[name].count for column in log[name])
        track, _ = ardupilot.track(log, label="x", options=TrackOptions(date=DAY))
    except ReadError:
        return
    assert np.all(np.diff(track.time) > 0)
