"""NMEA 0183: by hand, against pynmea2, and what damage and missing dates do."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head
from dronesense.readers import nmea
from dronesense.readers.nmea_sentences import BAD_CHECKSUM, CUT, Sentences, decimals, plain
from dronesense.readers.nmea_time import seconds_of_day

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "fuzz")]
import fuzz_nmea  # noqa: E402
from nmea_writer import array, flight, gga, log, pashr, rmc, sentence  # noqa: E402

REAL = ("gpsbabel_nmea.nmea", "gpsbabel_utf16.nmea", "gpsbabel_backfilldate.nmea", "exiftool_Geotag.log",
        "exiftool_Geotag2.log")  # fmt: skip


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def decode(data: bytes | list[str], **options):
    raw = log(data) if isinstance(data, list) else data
    return nmea.decode(array(plain(raw)), label="x", options=TrackOptions(**options))


# --- rows by hand ----------------------------------------


def test_a_row_by_hand():
    track, report = decode(
        [
            "GPGGA,123519.25,4807.0380,N,01131.0000,W,4,08,0.9,545.4,M,46.9,M,,",
            "GPRMC,123519.25,A,4807.0380,N,01131.0000,W,022.4,084.4,230394,003.1,W",
        ],
        date=dt.date(1994, 3, 23),
    )
    assert track.time.tolist() == [ns("1994-03-23T12:35:19.25")]
    assert track.lat[0] == pytest.approx(48 + 7.038 / 60, abs=1e-13)
    assert track.lon[0] == pytest.approx(-(11 + 31.0 / 60), abs=1e-13)
    assert (track.height_source_m[0], track.height_m[0]) == (545.4, pytest.approx(592.3))
    assert (track.height_ref, track.fix[0], track.reference_point) == ("receiver-geoid", 5, "antenna")
    speed = 22.4 * 1852 / 3600
    turn = np.radians(84.4)
    np.testing.assert_allclose(track.velocity_ned[0, :2], [speed * np.cos(turn), speed * np.sin(turn)])
    assert np.isnan(track.velocity_ned[0, 2])
    assert track.clock.kind == "exact"
    assert track.clock.sigma_s == pytest.approx(0.01 / np.sqrt(12))
    assert not report.dropped


def test_south_and_east_and_a_longitude_over_100():
    track, _ = decode(["GNGGA,000001,3352.1234,S,15112.5000,E,1,09,1.0,20.0,M,22.0,M,,",
                       "GNZDA,000001,01,02,2026,00,00"])  # fmt: skip
    assert track.lat[0] == pytest.approx(-(33 + 52.1234 / 60), abs=1e-13)
    assert track.lon[0] == pytest.approx(151 + 12.5 / 60, abs=1e-13)
    assert track.time[0] == ns("2026-02-01T00:00:01")
    assert track.clock.sigma_s == pytest.approx(1 / np.sqrt(12))


def test_a_flight():
    track, report = decode(flight(20))
    assert len(track) == 20
    np.testing.assert_array_equal(track.time, ns("2026-06-14T10:00:00") + np.arange(20) * 200_000_000)
    np.testing.assert_allclose(track.lon, 82.9 + 1e-5 * np.arange(20), atol=1e-9)
    np.testing.assert_allclose(track.height_m, 150.0 + 0.1 * np.arange(20) - 34.2, atol=1e-9)
    np.testing.assert_allclose(track.std_ned_m, np.tile([0.012, 0.014, 0.025], (20, 1)))
    np.testing.assert_allclose(track.std_rpy_deg, np.tile([0.02, 0.03, 0.1], (20, 1)))
    euler = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(
        euler, np.column_stack([90.0 + 0.1 * np.arange(20), [-2.5] * 20, [1.5] * 20]), atol=1e-9
    )
    assert set(track.fix.tolist()) == {5}
    assert report.details["source"] == "GPGGA"
    assert report.details["sources"][0]["kind"] == "rtk"
    assert report.details["source_rate_hz"] == pytest.approx(5.0)
    assert report.records == 80
    assert not report.dropped


@pytest.mark.parametrize(("quality", "fix"), [(1, 2), (2, 3), (3, 2), (4, 5), (5, 4), (6, 1), (9, 3)])
def test_quality(quality, fix):
    bodies = [gga(k, 10.0, 20.0 + k * 1e-6, quality=quality, hdop=1.4) for k in range(3)]
    track, _ = decode([*bodies, "GPZDA,000002,14,06,2026,,"])
    assert set(track.fix.tolist()) == {fix}
    uere = {1: 10.0, 2: 2.8, 3: 1.0, 4: 0.42, 5: 0.042}[fix]
    np.testing.assert_allclose(track.std_ned_m[:, 0], uere * 1.4 / np.sqrt(2))
    np.testing.assert_allclose(track.std_ned_m[:, 2], uere * 1.5 * 1.4)


def test_no_fix_is_dropped_and_counted():
    bodies = [gga(k, 10.0, 20.0, quality=0 if k < 3 else 1) for k in range(6)]
    track, report = decode([*bodies, "GPZDA,000006,14,06,2026,,"])
    assert len(track) == 3
    assert report.dropped == {"GPGGA: no fix": 3}
    void = [rmc(k, 10.0, 20.0, "140626", status="V" if k < 2 else "A") for k in range(5)]
    track, report = decode(void)
    assert len(track) == 3
    assert report.dropped == {"GPRMC: no fix": 2}
    assert np.isnan(track.height_source_m).all()
    assert "GPRMC: the log has no height" in report.warnings


def test_two_dimensional_fix_of_gsa():
    bodies = []
    for k in range(4):
        bodies += [gga(k, 10.0, 20.0), f"GPGSA,A,{2 if k < 2 else 3},04,05,,09,12,,,24,,,,,2.5,1.3,3.0"]
    track, _ = decode([*bodies, "GPZDA,000004,14,06,2026,,"])
    assert track.fix.tolist() == [1, 1, 2, 2]
    np.testing.assert_allclose(track.std_ned_m[2:, 2], 2.8 * 3.0)


def test_epochs_are_merged_and_rows_without_height_take_it_from_their_neighbors():
    bodies = []
    for k in range(11):
        if k % 5 == 0:
            bodies.append(gga(k / 5, 10.0, 20.0 + 1e-5 * k, alt=100.0 + k))
        bodies.append(rmc(k / 5, 10.0, 20.0 + 1e-5 * k, "140626"))
    track, _ = decode(bodies)
    assert len(track) == 11
    np.testing.assert_allclose(track.height_source_m, 100.0 + np.arange(11), atol=1e-9)


def test_velocity_of_vtg_where_there_is_no_rmc():
    bodies = []
    for k in range(3):
        bodies += [gga(k, 10.0, 20.0), "GPVTG,180.0,T,,M,3.6,N,6.7,K"]
    track, _ = decode([*bodies, "GPZDA,000003,14,06,2026,,"])
    np.testing.assert_allclose(track.velocity_ned[:, :2], [[-3.6 * 1852 / 3600, 0.0]] * 3, atol=1e-12)


def test_two_receivers_are_two_sources():
    bodies = []
    for k in range(4):
        bodies += [gga(k, 10.0, 20.0), gga(k, 10.0, 20.00001, quality=4, talker="GN")]
    bodies.append("GPZDA,000003,14,06,2026,,")
    track, report = decode(bodies)
    assert report.details["source"] == "GNGGA"
    assert report.details["sources"][1]["minus_used_m"]["horizontal_p50"] == pytest.approx(1.095, abs=0.01)
    assert decode(bodies, source="GPGGA")[0].lon[0] == pytest.approx(20.0)
    with pytest.raises(ReadError, match="did you mean"):
        decode(bodies, source="GPGG")
    assert track.lon[0] == pytest.approx(20.00001)


# --- heights ----------------------------------------


def test_no_separation_no_ellipsoidal_height():
    for sep in ("", "0.0"):
        bodies = [gga(k, 50.0, 17.0, sep=sep) for k in range(3)]
        track, report = decode([*bodies, "GPZDA,000003,14,06,2026,,"])
        assert np.isnan(track.height_m).all()
        assert track.height_ref == "receiver-geoid"
        assert any("separation of 0" in each for each in report.assumptions) == (sep == "0.0")


# --- days ----------------------------------------


def test_rows_before_the_first_date_and_after_midnight():
    bodies = [gga(86_395.0 + k, 10.0, 20.0) for k in range(10)]
    bodies.append(rmc(86_395.0 + 9, 10.0, 20.0, "150626"))
    track, _ = decode(bodies)
    np.testing.assert_array_equal(track.time, ns("2026-06-14T23:59:55") + np.arange(10) * 10**9)


def test_late_sentences_around_midnight_keep_their_day():
    bodies = []
    for k in range(-5, 5):
        bodies += [pashr(86_400 + k + 0.1, 0, 0, 0), gga(86_400 + k, 10, 20), rmc(86_400 + k, 10, 20,
                   "140626" if k < 0 else "150626")]  # fmt: skip
    track, report = decode(bodies)
    assert not report.dropped
    assert track.time[0] == ns("2026-06-14T23:59:55")
    assert track.time[-1] == ns("2026-06-15T00:00:04")


def test_two_days_in_one_file():
    one = [each for k in range(5) for each in (gga(100 + k, 10, 20), rmc(100 + k, 10, 20, "140626"))]
    two = [each for k in range(9) for each in (gga(500 + k, 10, 20), rmc(500 + k, 10, 20, "150626"))]
    track, report = decode(one + two)
    assert track.time[-1] == ns("2026-06-15T00:08:28")
    assert len(track) == 9 or track.time[0] == ns("2026-06-14T00:01:40")
    assert sum(report.dropped.values()) + len(track) >= 14


def test_without_a_date_it_must_be_given():
    bodies = [gga(86_398.0 + k, 10.0, 20.0) for k in range(4)]
    with pytest.raises(ReadError, match="no date") as caught:
        decode(bodies)
    assert "set date = YYYY-MM-DD" in str(caught.value)
    track, report = decode(bodies, date=dt.date(2026, 6, 14))
    np.testing.assert_array_equal(track.time, ns("2026-06-14T23:59:58") + np.arange(4) * 10**9)
    assert track.clock.kind == "date-only"
    assert report.answered == ("date",)


def test_rollover_of_the_week():
    bodies = [rmc(k, 10.0, 20.0, "220899") for k in range(3)]
    track, report = decode(bodies)
    assert track.time[0] == ns("2019-04-07")  # 1024 weeks after 1999-08-22
    assert any("1024 weeks" in each for each in report.warnings)
    assert any("lost count of the week" in each for each in report.assumptions)
    late = [rmc(k, 10.0, 20.0, "300107") for k in range(3)]
    track, report = decode(late)
    assert track.time[0] == ns("2007-01-30")
    assert any("2026-09-15" in each for each in report.warnings)
    track, report = decode(late, date=dt.date(2026, 9, 1))
    assert track.time[0] == ns("2026-09-15")
    assert report.answered == ("date",)
    track, report = decode([rmc(k, 10.0, 20.0, "140626") for k in range(3)], date=dt.date(2026, 6, 1))
    assert track.time[0] == ns("2026-06-14")
    assert not report.answered


def test_a_clock_that_is_not_set_yet():
    early = [f"GPZDA,0000{k:02},06,01,1980,," for k in range(5)]
    track, _ = decode(early + flight(5))
    assert track.time[0] == ns("2026-06-14T10:00:00")


def test_impossible_dates_and_times():
    assert np.isnan(seconds_of_day(np.array([240000.0, 6000.0, 61.0, -1.0, np.nan]))).all()
    assert seconds_of_day(np.array([235960.5]))[0] == 86400.5
    with pytest.raises(ReadError, match="no date"):
        decode([rmc(0, 10, 20, "310226"), rmc(1, 10, 20, "001326")])


# --- attitude ----------------------------------------


def test_pashr_between_positions():
    bodies = [rmc(0, 10.0, 20.0, "140626")]
    for k in range(1, 11):
        bodies += [pashr(k / 10, 359.0 + 0.2 * k, 0.0, 0.0)]
    bodies += [gga(0, 10.0, 20.0), gga(1, 10.0, 20.0001)]
    track, _ = decode(bodies)
    assert len(track) == 11
    assert track.lon[5] == pytest.approx(20.00005)


def test_pashr_that_cannot_be_used():
    turn = pashr(0, 10.0, 1.0, 2.0)
    others = [turn.replace(",T,", ",M,"), "PASHR,HPR,000000.00,90.0,1.0,2.0,0.001,0.001,0,0,1.2",
              "PASHR,000000.00,,T,,,,,,,0,0"]  # fmt: skip
    track, report = decode([*others, gga(0, 10, 20), "GPZDA,000000,14,06,2026,,"])
    assert np.isnan(track.attitude).all()
    assert report.dropped == {
        "PASHR of another layout or without a time": 1,
        "PASHR: heading not from true north": 1,
        "PASHR without a solution": 1,
    }


def test_ptnthpr_belongs_to_the_epoch_after_it_where_the_log_starts_with_it():
    bodies = []
    for k in range(3):
        bodies += [f"PTNTHPR,{90 + 10 * k}.0,N,-5.0,N,3.0,N", rmc(10 * k, 10, 20, "140626")]
    track, report = decode(bodies)
    yaw = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(yaw, [[90, -5, 3], [100, -5, 3], [110, -5, 3]], atol=1e-9)
    assert track.std_rpy_deg[0, 2] > 10.0
    assert any("magnetic" in each for each in report.warnings)
    alarm = [each.replace("-5.0,N", "-5.0,P") for each in bodies]
    assert np.isnan(decode(alarm)[0].attitude).all()


# --- bytes ----------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
@pytest.mark.parametrize("encoding", ["ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_line_ends_and_encodings(end, encoding):
    raw = log(flight(5), end=end).decode().encode(encoding)
    track, report = decode(raw)
    assert len(track) == 5
    assert not report.dropped


def test_garbage_between_sentences():
    lines = log(flight(20)).splitlines(keepends=True)
    noisy = b"firmware 1.0\n" + b"\x00\xff$$\x80".join(lines) + b"tail,,,*"
    clean, _ = decode(b"".join(lines))
    track, report = decode(noisy)
    np.testing.assert_array_equal(track.time, clean.time)
    assert report.records == 80


def test_checksums_are_verified_and_missing_ones_counted():
    bodies = flight(10)
    raw = "".join(sentence(body, good=k % 7 != 3) + "\n" for k, body in enumerate(bodies))
    wrong = sum(k % 7 == 3 for k in range(len(bodies)))
    _, report = decode(raw.encode())
    assert report.dropped[BAD_CHECKSUM] == wrong
    assert report.records == len(bodies) - wrong
    bare = "".join(f"${body}\n" for body in bodies)
    track, report = decode(bare.encode())
    assert len(track) == 10
    assert report.details["without_checksum"] == 40
    assert any("40 sentence(s) have no checksum" in each for each in report.warnings)
    lower = "".join(sentence(body).lower()[-3:] for body in bodies[:1])
    assert decode((f"${bodies[1]}\n${bodies[0]}{lower}\n").encode())[0].time.size == 1


def test_a_cut_last_sentence_is_refused():
    raw = log(flight(3))
    for length in range(len(raw) - 60, len(raw) - 2):
        _, report = decode(raw[:length])
        whole = raw[:length].endswith(b"\n") or raw[:length].rpartition(b"*")[2].isalnum()
        assert report.records + report.dropped.get(CUT, 0) + report.dropped.get(BAD_CHECKSUM, 0) >= 11, whole
    bare = b"".join(b"$" + body.encode() + b"\n" for body in flight(3))
    assert decode(bare[:-5])[1].dropped == {CUT: 1}


def test_a_sentence_without_fields():
    """The address alone, also as the last in a file, where no comma follows."""
    raw = log(["GPGGA", *flight(3), "GPRMC", "PASHR", "GPGST", "GPGGA"])
    track, report = decode(raw)
    assert len(track) == 3
    assert report.records == 17


@pytest.mark.parametrize("raw", [b"", b"\n", b"$", b"$$$$", b"$GPGGA", b"nothing here at all.", b"\0" * 20])
def test_nothing_in_it(raw):
    with pytest.raises(ReadError):
        decode(raw)


def test_ypr_table_is_refused_with_its_reason(shared_data):
    path = shared_data / "logs/nmea/exiftool_Geotag3.log"
    assert not nmea.sniff(path, path.read_bytes())
    with pytest.raises(ReadError, match="table of picture positions"):
        nmea.read(path, label="x")
    made = b"   1 0001   42.72   61.67  249  25.21 21/04/2014 07:06:41  25.2   5.9   3.2 ypr\r\n"
    with pytest.raises(ReadError, match="table of picture positions"):
        decode(made)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None), st.sampled_from(["", "+", "0", "00"]))
@settings(max_examples=300)
def test_decimals_are_those_of_float(value, prefix):
    text = f"{value:f}"
    if prefix == "+" and text.startswith("-"):
        prefix = ""
    text = text if text.startswith("-") else prefix + text
    raw = text.encode()[:60]
    letters = np.frombuffer(raw, dtype=np.uint8).reshape(1, -1)
    (got,), (good,) = decimals(letters, np.array([len(raw)]))
    assert good
    assert got == float(raw)


@pytest.mark.parametrize("text", ["", ".", "+", "-", "1.2.3", "1-2", "--1", "1e5", "nan", "1_0", " 1", "0x1"])
def test_what_is_no_decimal(text):
    raw = (text or "\0").encode()
    letters = np.frombuffer(raw, dtype=np.uint8).reshape(1, -1)
    (got,), (good,) = decimals(letters, np.array([len(text)]))
    assert not good
    assert np.isnan(got)


@given(st.sampled_from(fuzz_nmea.SEEDS), st.data())
@settings(max_examples=60)
def test_damage_gives_nothing_but_refusals(seed, data):
    raw = bytearray(seed)
    for _ in range(data.draw(st.integers(0, 12))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.integers(0, 2))
        if kind == 0:
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == 1:
            raw = raw[: at + 1]
        else:
            del raw[at : at + data.draw(st.integers(1, 300))]
        if not raw:
            break
    fuzz_nmea.one(bytes(raw))


@given(st.lists(st.sampled_from(["GPGGA", "GPRMC", "PASHR", "GPZDA", "GPGST", "GPGLL", "SPTSMP", "PTNTHPR"]),
                max_size=8),
       st.lists(st.text("0123456789.,-NSEWAVT", max_size=60), min_size=8, max_size=8))  # fmt: skip
@settings(max_examples=60)
def test_sound_sentences_of_nonsense(names, fields):
    fuzz_nmea.one(log(f"{name},{text}" for name, text in zip(names, fields, strict=False)))


# --- real files ----------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_fields_equal_those_of_pynmea2(shared_data, name):
    import pynmea2

    raw = plain((shared_data / "logs/nmea" / name).read_bytes())
    sentences = Sentences(array(raw))
    theirs: dict[str, list[object]] = {}
    refused = 0
    for line in raw.decode("latin-1").splitlines():
        try:
            message = pynmea2.parse(line, check=True)
        except pynmea2.ChecksumError:
            refused += 1
            continue
        except pynmea2.ParseError:
            continue
        theirs.setdefault(getattr(message, "sentence_type", ""), []).append(message)
    assert sentences.refused.get(BAD_CHECKSUM, 0) == refused
    for form, numbers, texts in (
        ("GGA", {1: "timestamp", 2: "lat", 4: "lon", 6: "gps_qual", 7: "num_sats", 8: "horizontal_dil",
                 9: "altitude", 11: "geo_sep"}, {3: "lat_dir", 5: "lon_dir", 10: "altitude_units"}),
        ("RMC", {3: "lat", 5: "lon", 7: "spd_over_grnd", 8: "true_course"},
         {2: "status", 4: "lat_dir", 6: "lon_dir"}),
        ("GST", {6: "std_dev_latitude"}, {}),
        ("VTG", {1: "true_track", 5: "spd_over_grnd_kts"}, {}),
    ):  # fmt: skip
        rows = sentences.rows(form)
        assert rows.size == len(theirs.get(form, []))
        columns, sound = sentences.columns(rows, list(numbers))
        assert sound.all()
        for field, column in zip(numbers.values(), columns, strict=True):
            for mine, message in zip(column, theirs.get(form, []), strict=True):
                value = getattr(message, field)
                if field == "timestamp":
                    value = value.hour * 10**4 + value.minute * 100 + value.second + value.microsecond / 1e6
                    assert mine == pytest.approx(value, abs=1e-6)
                else:
                    assert (np.isnan(mine) and value in (None, "")) or mine == float(value)
        for place, field in texts.items():
            assert sentences.texts(rows, place).tolist() == [
                getattr(message, field).encode() for message in theirs.get(form, [])
            ]


@pytest.mark.parametrize("name", REAL[:3])
def test_positions_and_times_equal_those_of_pynmea2(shared_data, name):
    import pynmea2

    path = shared_data / "logs/nmea" / name
    track, report = nmea.read(path, label=name)
    lines = plain(path.read_bytes()).decode("latin-1").splitlines()
    fixes = [pynmea2.parse(line) for line in lines if "GGA," in line]
    assert len(track) == len(fixes)
    np.testing.assert_allclose(track.lat, [each.latitude for each in fixes], rtol=0, atol=1e-12)
    np.testing.assert_allclose(track.lon, [each.longitude for each in fixes], rtol=0, atol=1e-12)
    of_day = [each.timestamp for each in fixes]
    ms = [((t.hour * 60 + t.minute) * 60 + t.second) * 1000 + t.microsecond // 1000 for t in of_day]
    np.testing.assert_array_equal(track.time // 10**6 % 86_400_000, ms)
    assert not report.dropped


def test_real_days_and_heights(shared_data):
    folder = shared_data / "logs/nmea"
    track, _ = nmea.read(folder / "gpsbabel_nmea.nmea", label="x")
    assert track.time[0] == ns("2004-08-07T03:29:08.379")
    np.testing.assert_allclose(track.height_m - track.height_source_m, -34.2, atol=1e-9)
    track, _ = nmea.read(folder / "gpsbabel_backfilldate.nmea", label="x")
    assert track.time[[0, -1]].tolist() == [ns("2019-03-08T23:56:00"), ns("2019-03-09T00:04:19")]
    track, report = nmea.read(folder / "exiftool_Geotag.log", label="x")
    assert (len(track), report.details["source"], track.height_ref) == (12, "PMGNTRK", "unknown")
    assert (track.time[0], track.height_source_m[0]) == (ns("2009-04-03T11:08:33.53"), 95.0)
    assert track.lat[0] == pytest.approx(44 + 15.163 / 60)
    track, report = nmea.read(folder / "exiftool_Geotag2.log", label="x")
    assert len(track) == 3
    assert report.dropped == {BAD_CHECKSUM: 4}  # its PTNTHPR lines; pynmea2 refuses them too


def test_sniff(shared_data, tmp_path):
    head = log(flight(3))
    assert nmea.sniff(tmp_path / "a.txt", head)
    assert nmea.sniff(tmp_path / "a.txt", head.decode().encode("utf-16"))
    assert nmea.sniff(tmp_path / "a.txt", b"boot\r\n" + head)
    assert not nmea.sniff(tmp_path / "a.nav", head)
    assert not nmea.sniff(tmp_path / "a.txt", head + b"$SPTSMP,0,1\n")
    assert not nmea.sniff(tmp_path / "a.txt", b"time,nmea\n0,$GPGGA,1\n")
    claimed = [
        path.name
        for path in sorted(shared_data.rglob("*"))
        if path.is_file() and nmea.sniff(path, read_head(path))
    ]
    assert claimed == sorted(REAL)
    with pytest.raises(ReadError, match="cannot be opened"):
        nmea.read(tmp_path / "none.nmea", label="x")
