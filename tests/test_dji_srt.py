"""Subtitles of DJI's videos: every dialect from a writer, all real samples, damage."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_srt
from dronesense.timescale import to_iso

_SPEC = importlib.util.spec_from_file_location("fuzz_run", Path(__file__).parent / "fuzz" / "run.py")
_RUN = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RUN)
fuzz = _RUN.load("dji_srt")
writer = fuzz.writer

DATE = dt.date(2026, 6, 14)


def track(text, *, name="", **options):
    data = text if isinstance(text, bytes) else text.encode()
    assert dji_srt.sniff(Path("a.SRT"), data[:8192])
    return dji_srt.track(data, label="a.SRT", options=TrackOptions(**options), name=name)


def stamp(k, mark="-", part=""):
    return f"2026{mark}06{mark}14 10:00:{7 + k:02d}{part}"


def positions(n=8, decimals=6):
    """Return texts of latitude and longitude on a straight line."""
    return [(f"{43.25 + 4e-5 * k:.{decimals}f}", f"{76.9 + 3e-5 * k:.{decimals}f}") for k in range(n)]


def test_a_tuple_with_satellites_is_longitude_first():
    text = writer.srt(
        f"HOME(76.9000,43.2500) {stamp(k, '.')}\nGPS({lon},{lat},16) BAROMETER:{k / 2}\n"
        "ISO:100 Shutter:60 EV: Fnum:2.2"
        for k, (lat, lon) in enumerate(positions())
    )
    trajectory, report = track(text, zone="+05:00")
    assert len(trajectory) == 8
    assert (trajectory.lat[1], trajectory.lon[1]) == (43.25004, 76.90003)
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T05:00:07.000Z"
    assert trajectory.height_source_m.tolist() == [k / 2 for k in range(8)]
    assert trajectory.height_ref == "takeoff"
    assert report.details["axes"] == dji_srt.LON_LAT
    assert report.details["sources"][0]["kind"] == "subtitle"
    assert report.answered == ("tz",)


def test_a_old_firmware_with_two_heights_and_short_dates():
    text = writer.srt(
        f"HOME(149.0251,-20.2532) 2017.8.5 14:11:{51 + k}\nGPS(149.0251,-20.253{k},16) Hb:1.{k} Hs:9.9\n"
        "ISO:100 TV:60"
        for k in range(5)
    )
    trajectory, report = track(text, zone="UTC")
    assert to_iso(int(trajectory.time[0])) == "2017-08-05T14:11:51.000Z"
    assert trajectory.height_source_m.tolist() == [1.0, 1.1, 1.2, 1.3, 1.4]
    assert (trajectory.lat[3], trajectory.lon[3]) == (-20.2533, 149.0251)
    assert report.assumptions  # 149 is no latitude: nothing to assume of the axes
    assert not any("axes" in each for each in report.assumptions)


def test_b_enterprise_models_swap_the_axes():
    text = writer.srt(
        f"{stamp(k, '.')}\nGPS({lat},{lon},0.0M) BAROMETER:9{k}.7M"
        for k, (lat, lon) in enumerate(positions())
    )
    trajectory, report = track(text, zone="+05:00")
    assert (trajectory.lat[1], trajectory.lon[1]) == (43.25004, 76.90003)
    assert trajectory.height_source_m[3] == 93.7
    assert report.details["axes"] == dji_srt.LAT_LON
    assert any("custom of this dialect" in each for each in report.assumptions)


def test_c_relative_and_absolute_height():
    text = writer.srt(
        (
            f'<font size="28">FrameCnt: {k}, DiffTime: 34ms\n{stamp(k, part=".810")}\n[focal_len: 40.00] '
            f"[dzoom_ratio: 1.00], [latitude: {lat}] [longitude: {lon}] "
            f"[rel_alt: {k}.645 abs_alt: {820 + k}.888] [gb_yaw: 76.8 gb_pitch: -49.1 gb_roll: 0.0] </font>"
            for k, (lat, lon) in enumerate(positions())
        ),
        step=0.034,
    )
    trajectory, report = track(text, zone="+05:00")
    assert to_iso(int(trajectory.time[1])) == "2026-06-14T05:00:08.810Z"
    assert trajectory.height_source_m[2] == 2.645
    assert trajectory.height_ref == "takeoff"
    assert report.details["takeoff_elevation_m"] == pytest.approx(820.243)
    assert report.details["gimbal"] == "present"
    assert np.isnan(trajectory.attitude).all()  # a gimbal's angles are not the aircraft's


def test_d_misspelled_longitude_and_a_height_above_who_knows():
    text = writer.srt(
        f'<font size="36">FrameCnt : {k}, DiffTime : 40ms\n{stamp(0, part=f",{k}45,078")}\n[iso : 100] '
        f"[latitude : {lat}] [longtitude : {lon}] [altitude: 74.725998] "
        "[Drone: Yaw:-146.0, Pitch:-0.6, Roll:1.3] </font>"
        for k, (lat, lon) in enumerate(positions())
    )
    trajectory, report = track(text, zone="+05:00")
    assert to_iso(int(trajectory.time[3]), 6) == "2026-06-14T05:00:07.345078Z"
    assert (trajectory.lat[1], trajectory.lon[1]) == (43.25004, 76.90003)
    assert trajectory.height_ref == "unknown"
    assert trajectory.height_source_m[0] == 74.725998
    assert any("reference unknown" in each for each in report.warnings)
    angles = Rotation.from_quat(trajectory.attitude[0], scalar_first=True).as_euler("ZYX", True)
    assert angles == pytest.approx([-146.0, -0.6, 1.3])


def one_line(n=8, third="15", decimals=6):
    return writer.srt(
        f"F/5.6, SS 400, ISO 100, EV 0, GPS ({lon}, {lat}, {third}), HOME (76.900000, 43.250000, -57.98m), "
        f"D 698.70m, H {85 + k}.80m, H.S 2.88m/s, V.S 0.00m/s, F.PRY (3.0°, -19.9°, 110.3°), "
        "G.PRY (-24.4°, 0.0°, 110.5°)"
        for k, (lat, lon) in enumerate(positions(n, decimals))
    )


def test_e_one_line_without_a_date():
    with pytest.raises(ReadError, match="date = YYYY-MM-DD"):
        track(one_line())
    trajectory, report = track(one_line(), date=DATE)
    assert to_iso(int(trajectory.time[1])) == "2026-06-14T00:00:01.000Z"
    assert trajectory.clock.kind == "relative"
    assert trajectory.clock.sigma_s > 3600.0
    assert report.answered == ("date",)
    assert any("no time of day" in each for each in report.warnings)
    assert (trajectory.lat[1], trajectory.lon[1]) == (43.25004, 76.90003)
    assert trajectory.height_source_m[:2].tolist() == [85.8, 86.8]
    assert trajectory.height_ref == "takeoff"
    # Pitch, roll, yaw; the aircraft's, not the gimbal's.
    angles = Rotation.from_quat(trajectory.attitude[0], scalar_first=True).as_euler("ZYX", True)
    assert angles == pytest.approx([110.3, 3.0, -19.9])


def test_e_the_name_of_the_file_has_the_start():
    name = "DJI_20260614100007_0001_V.SRT"
    trajectory, report = track(one_line(), name=name, zone="+05:00")
    assert to_iso(int(trajectory.time[1])) == "2026-06-14T05:00:08.000Z"
    assert trajectory.clock.kind == "date-only"
    assert report.answered == ("tz",)
    with pytest.raises(ReadError, match="tz ="):
        track(one_line(), name=name)


def test_f_stamps_with_stuck_decimals_and_no_arrows():
    text = writer.srt(
        (
            f"2017.08.05 14:11:{51 + k},393,525{',393,525' if k == 0 else ''}\n"
            f"[latitude : -20.2533] [longtitude : 149.025{k}] [iso : 100]"
            for k in range(6)
        ),
        arrows=False,
    )
    trajectory, _ = track(text, zone="UTC")
    assert to_iso(int(trajectory.time[0]), 6) == "2017-08-05T14:11:51.393525Z"
    # Decimals that never change say nothing: the clock steps by a second.
    assert trajectory.clock.sigma_s == pytest.approx(1.0 / np.sqrt(3.0))
    assert np.isnan(trajectory.height_source_m).all()


def test_g_without_positions():
    text = writer.srt(
        f'<font size="36">FrameCnt : {k}\n{stamp(k)}\n[iso : 100] [ct : 5627] </font>' for k in range(3)
    )
    with pytest.raises(ReadError, match="holds no positions"):
        track(text, zone="UTC")


def test_zone_is_never_guessed():
    with pytest.raises(ReadError, match="tz ="):
        track(fuzz.SEEDS[0])


def test_latitude_beyond_90_turns_the_axes():
    text = writer.srt(f"{stamp(k, '.')}\nGPS(149.0251,-20.253{k},0.0M) BAROMETER:9.7M" for k in range(5))
    trajectory, report = track(text, zone="UTC")
    assert (trajectory.lat[2], trajectory.lon[2]) == (-20.2532, 149.0251)
    assert any("against the custom" in each for each in report.warnings)


def test_axes_that_cannot_be_told_are_told():
    text = writer.srt(f"{stamp(k, '.')}\nGPS(43.250{k},76.9001,69.800) BAROMETER(91.2)" for k in range(5))
    trajectory, report = track(text, zone="UTC")
    assert trajectory.lat[2] == 43.2502
    assert trajectory.height_source_m[0] == 91.2
    assert any("order of the axes cannot be told" in each for each in report.warnings)


def test_home_point_the_other_way_round_turns_the_axes():
    text = writer.srt(
        f"HOME(76.9000,43.2500) {stamp(k, '.')}\nGPS(43.250{k},76.9001,16) BAROMETER:1.9" for k in range(5)
    )
    trajectory, report = track(text, zone="UTC")
    assert (trajectory.lat[2], trajectory.lon[2]) == (43.2502, 76.9001)
    assert any("home point" in each for each in report.warnings)


@pytest.mark.parametrize("decimals", [3, 4, 5, 6, 7])
def test_uncertainty_follows_the_decimals(decimals):
    trajectory, report = track(one_line(3, decimals=decimals), date=DATE)
    step = 111_195.0 * 10.0**-decimals
    east = step * np.cos(np.radians(43.25))
    assert trajectory.std_ned_m[0] == pytest.approx([np.hypot(2.0, step), np.hypot(2.0, east), 4.0], rel=1e-4)
    assert report.details["coordinate_step_m"] == pytest.approx(step)
    assert any("decimals" in each for each in report.warnings) == (decimals <= 4)


def test_padded_zeros_are_no_decimals():
    text = writer.srt(
        f"{stamp(k)}\n[latitude: 43.25{k:02d}00] [longitude: 76.90{k:02d}00] " for k in range(20)
    )
    _, report = track(text, zone="UTC")
    assert report.details["coordinate_decimals"] == 4
    _, report = track(writer.srt([f"{stamp(0)}\n[latitude: 43.250000] [longitude: 76.900000] "]), zone="UTC")
    assert report.details["coordinate_decimals"] == 6


def test_video_clock_gives_the_fraction_of_whole_second_stamps():
    """25 cues a second, stamps cut to seconds: the planted start of 0.34 s comes back to half a frame."""
    when = [0.34 + 0.04 * k for k in range(200)]
    text = writer.srt(
        (
            f"HOME(76.9,43.25) 2026.06.14 10:00:{int(at):02d}\nGPS(76.9{k:03d},43.25,16) BAROMETER:1.0"
            for k, at in enumerate(when)
        ),
        step=0.04,
    )
    trajectory, _ = track(text, zone="UTC")
    assert len(trajectory) == 200
    assert trajectory.clock.kind == "fitted"
    first = int(np.datetime64("2026-06-14T10:00:00.340", "ns").astype(np.int64))
    assert abs(int(trajectory.time[0]) - first) <= 20_000_000
    assert trajectory.clock.sigma_s <= 0.04 / np.sqrt(12.0) + 1e-9


def test_repeated_stamps_are_merged():
    text = writer.srt(
        f"{stamp(k // 2, part='.500')}\n[latitude: 43.25] [longitude: 76.9{k}]" for k in range(6)
    )
    trajectory, report = track(text, zone="UTC")
    assert len(trajectory) == 3
    assert report.dropped == {"same time stamp as the row before": 3}


def test_cues_without_a_fix_are_counted():
    text = writer.srt(
        f"HOME(76.9,43.25) {stamp(k, '.')}\nGPS({place}) BAROMETER:1.0"
        for k, place in enumerate(
            ["N/A,N/A,4", "76.9,43.25,3", "0.0000,0.0000,12", "76.9,43.25,12", "76.9,43.25,12"]
        )
    )
    trajectory, report = track(text, zone="UTC")
    assert len(trajectory) == 2
    assert report.dropped == {
        "fewer than 4 satellites": 1,
        "no position": 1,
        "latitude and longitude 0": 1,
    }


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\xef\xbb\xbf", b"\0" * 100])
def test_empty_files(data):
    assert not dji_srt.sniff(Path("a.SRT"), data)
    with pytest.raises(ReadError, match="is empty"):
        dji_srt.track(data, label="a.SRT", options=TrackOptions(zone="UTC"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("latin-1"),
        lambda text: text.replace("\n\n", "\n\n\n").encode(),
        lambda text: text.encode() + b"\0" * 4096,
        lambda text: text.replace("1\n00:00:00", "00:00:00").encode(),
    ],
)
def test_encodings_and_line_ends(change):
    plain, _ = track(one_line(), date=DATE)
    other, _ = track(change(one_line()), date=DATE)
    assert other.time.tolist() == plain.time.tolist()
    assert other.lat.tolist() == plain.lat.tolist()


def test_a_number_cut_by_the_end_of_the_file_is_not_read():
    text = writer.srt(f"{stamp(k)}\n[latitude: 43.250001] [longitude: 76.900001] " for k in range(4))
    whole, _ = track(text, zone="UTC")
    cut, report = track(text[: text.rindex("00001]")], zone="UTC")
    assert len(cut) == len(whole) - 1
    assert report.dropped == {"no position": 1}
    for end in range(len(text) - 60, len(text)):
        lon = track(text[:end], zone="UTC")[0].lon
        assert set(lon.tolist()) == {76.900001}


def test_a_film_cut_together_from_two_is_one_of_them():
    mixed = one_line(3) + writer.srt(
        (f"{stamp(k)}\n[latitude: 43.25] [longitude: 76.9{k}]" for k in range(3)), start=3.0
    )
    trajectory, report = track(mixed, zone="UTC", date=DATE)
    assert len(trajectory) == 3
    assert report.details["dialect"] == "keys"
    assert report.dropped == {"cue of another dialect": 3}
    assert any("cut together" in each for each in report.warnings)


def test_other_subtitles_are_not_claimed():
    assert not dji_srt.sniff(Path("a.srt"), b"1\n00:00:01,000 --> 00:00:02,000\nHello there.\n\n")
    assert not dji_srt.sniff(Path("a.csv"), b"latitude,longitude\n1,2\n")


@given(data=st.data())
def test_damage_gives_a_track_or_a_read_error(data):
    seed = bytearray(data.draw(st.sampled_from(fuzz.SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        seed[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    fuzz.one(bytes(seed[: data.draw(st.integers(0, len(seed)))]))


@given(st.binary(max_size=200))
def test_anything_gives_a_read_error(tail):
    fuzz.one(b"1\n" + tail)


# The samples of JuanIrache/DJI_SRT_Parser: first row read by eye from the text of each file.
# name, cues, rows, first stamp (local), latitude, longitude, stated height, its reference, decimals
UNKNOWN, TAKEOFF = "unknown", "takeoff"
REAL = [
    ("air2s.srt", 17, 17, "2022-08-07T13:40:40.774808Z", 41.424724, 2.234156, 117.0, UNKNOWN, 6),
    ("broken_incomplete.SRT", 20, 19, "2017-07-03T10:15:03.000000Z", -34.7383, -58.4563, 20.1, TAKEOFF, 4),
    ("broken_incomplete2.SRT", 6, 4, "2020-08-12T08:55:21.745078Z", -34.86995, -57.823395, 74.725998,
     UNKNOWN, 6),
    ("m2zoom.SRT", 7113, 7113, "2020-04-02T15:19:58.720764Z", 31.452012, 74.398751, 213.983002, UNKNOWN, 6),
    ("mavic_2_style.SRT", 468, 463, "2017-08-05T14:11:51.393525Z", -20.2533, 149.0251, np.nan, UNKNOWN, 4),
    ("mavic_air2.srt", 25, 25, "2022-05-01T15:01:58.531716Z", 41.420684, 2.162162, 27.3, UNKNOWN, 6),
    ("mavic_mini.SRT", 117, 117, "2026-06-14T00:00:00.000000Z", 48.0771, -121.7458, 200.7, TAKEOFF, 4),
    ("mavic_pro.SRT", 468, 463, "2017-08-05T14:11:51.000000Z", -20.2533, 149.0251, 1.9, TAKEOFF, 4),
    ("mavic_pro_buggy.SRT", 546, 527, "2018-08-19T08:00:36.000000Z", 42.4668, -1.2218, 0.0, TAKEOFF, 4),
    ("mix_p4rtk_mavic2pro.srt", 12, 6, "2020-10-07T12:00:10.123182Z", -34.65118, -59.409483, 120.060997,
     UNKNOWN, 6),
    ("old_format.SRT", 468, 463, "2017-08-05T14:11:51.000000Z", -20.2533, 149.0251, 1.9, TAKEOFF, 4),
    ("p4_rtk.SRT", 55, 55, "2026-06-14T00:00:00.000000Z", -34.237922, -58.851745, 85.8, TAKEOFF, 6),
    ("p4p_sample.SRT", 5, 5, "2026-06-14T00:00:00.000000Z", 47.4692, 8.209, 45.6, TAKEOFF, 4),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cues", "rows", "iso", "lat", "lon", "height", "ref", "decimals"), REAL)
def test_real_samples(shared_data, name, cues, rows, iso, lat, lon, height, ref, decimals):
    path = shared_data / "logs" / "dji_srt" / name
    assert dji_srt.sniff(path, path.read_bytes()[:8192])
    trajectory, report = dji_srt.read(path, label=name, options=TrackOptions(zone="UTC", date=DATE))
    assert report.records == cues
    assert len(trajectory) == rows
    assert rows + sum(report.dropped.values()) == cues
    assert to_iso(int(trajectory.time[0]), 6) == iso
    assert (trajectory.lat[0], trajectory.lon[0]) == (lat, lon)
    assert trajectory.height_source_m[0] == pytest.approx(height, nan_ok=True)
    assert trajectory.height_ref == ref
    assert report.details["coordinate_decimals"] == decimals


def test_real_sample_without_positions(shared_data):
    path = shared_data / "logs" / "dji_srt" / "mavic_air.SRT"
    assert dji_srt.sniff(path, path.read_bytes()[:8192])
    with pytest.raises(ReadError, match="holds no positions"):
        dji_srt.read(path, label="mavic_air.SRT", options=TrackOptions(zone="UTC"))


def test_real_bank_agrees_with_the_motion(shared_data):
    """The Phantom 4 RTK flies to its left, banked left: F.PRY's second angle is roll, right down positive."""
    path = shared_data / "logs" / "dji_srt" / "p4_rtk.SRT"
    trajectory, _ = dji_srt.read(path, label="p4_rtk.SRT", options=TrackOptions(date=DATE))
    yaw, _, roll = Rotation.from_quat(trajectory.attitude[10:50], scalar_first=True).as_euler("ZYX", True).T
    north = np.diff(trajectory.lat[10:51])
    east = np.diff(trajectory.lon[10:51]) * np.cos(np.radians(trajectory.lat[0]))
    course = np.degrees(np.arctan2(east, north))
    beside = (course - yaw + 180.0) % 360.0 - 180.0
    assert np.all(np.abs(beside + 90.0) < 25.0)
    assert np.all(roll < -10.0)


def test_missing_file(tmp_path):
    with pytest.raises(ReadError, match="cannot be read"):
        dji_srt.read(tmp_path / "none.SRT", label="none.SRT")


def test_no_reader_of_dji_claims_another_format(shared_data):
    from dronesense.readers import dji_airdata, dji_datcon, dji_flightreader, dji_geotag, dji_mrk, dji_record

    readers = (dji_srt, dji_airdata, dji_datcon, dji_flightreader, dji_geotag, dji_mrk, dji_record)
    for path in sorted(each for each in shared_data.rglob("*") if each.is_file()):
        with path.open("rb") as stream:
            head = stream.read(8192)
        claims = {reader for reader in readers if reader.sniff(path, head)}
        own = {dji_srt} if path.parent.name == "dji_srt" else set()
        own |= {dji_geotag} if path.parent.name == "dji_csv" else set()
        assert claims == own, path
