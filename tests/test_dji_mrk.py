"""Photo positions: lines by hand, both time scales, damage."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_mrk
from dronesense.timescale import to_iso

_SPEC = importlib.util.spec_from_file_location("dji_writer", Path(__file__).with_name("dji_writer.py"))
writer = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(writer)

# Spelled as in DJI's manual for the P1, columns 7 and 8 as the cameras write them.
BY_HAND = (
    "1\t36018.500000\t[2423]\t    32,N\t   -21,E\t   112,V\t43.25000000,Lat\t76.90000000,Lon\t780.250,Ellh"
    "\t0.011, 0.012, 0.034\t50,Q\n"
)


def track(text, **options):
    return dji_mrk.track(dji_mrk.decode(text.encode()), label="a.MRK", options=TrackOptions(**options))


def lines(count=6, **how):
    return "".join(
        writer.mrk_line(k + 1, 36018.5 + 2.0 * k, 43.25 + 1e-5 * k, 76.9, 780.25, **how) + "\n"
        for k in range(count)
    )


def test_a_line_by_hand():
    trajectory, report = track(BY_HAND)
    # Week 2423 begins on Sunday 2026-06-14T00:00:00 GPS; 36018.5 s are 10:00:18.5 GPS, 18 s ahead of UTC.
    assert to_iso(int(trajectory.time[0]), 6) == "2026-06-14T10:00:00.500000Z"
    assert (trajectory.lat[0], trajectory.lon[0], trajectory.height_m[0]) == (43.25, 76.9, 780.25)
    assert trajectory.height_ref == "ellipsoid"
    assert trajectory.reference_point == "camera"
    assert trajectory.std_ned_m.tolist() == [[0.011, 0.012, 0.034]]
    assert trajectory.fix.tolist() == [5]
    assert trajectory.triggers.number.tolist() == [1]
    assert trajectory.triggers.time.tolist() == trajectory.time.tolist()
    # Millimeters from the antenna, down positive; told, not applied: the position is the camera's.
    assert report.details["antenna_to_camera_ned_m"] == pytest.approx([0.032, -0.021, 0.112])
    assert report.details["sources"][0]["kind"] == "rtk"
    assert not report.warnings


def test_columns_are_known_by_their_suffix():
    plain, _ = track(lines())
    swapped, _ = track(lines(swapped=True))
    assert plain.lat.tolist() == swapped.lat.tolist()
    assert plain.lon.tolist() == swapped.lon.tolist()
    assert plain.lat[1] == 43.25001


def test_time_scale_is_an_option():
    gps, said = track(lines())
    utc, report = track(lines(), time_scale="utc")
    assert (utc.time - gps.time).tolist() == [18 * 10**9] * 6
    assert report.answered == ("time_scale",)
    assert said.answered == ()
    assert any("18 s" in each for each in said.assumptions)
    assert track(lines(), time_scale="gps")[0].time.tolist() == gps.time.tolist()


def test_without_week_the_date_gives_it():
    with pytest.raises(ReadError, match="date = YYYY-MM-DD"):
        track(lines(week=None))
    trajectory, report = track(lines(week=None), date=dt.date(2026, 6, 14))
    assert trajectory.time.tolist() == track(lines())[0].time.tolist()
    assert report.answered == ("date",)
    with pytest.raises(ReadError, match="falls on a Sunday"):
        track(lines(week=None), date=dt.date(2026, 6, 17))


def test_week_of_ten_bits_is_unrolled_by_the_date():
    short = lines(week=2423 - 2 * 1024)
    with pytest.raises(ReadError, match="ten bits"):
        track(short)
    trajectory, report = track(short, date=dt.date(2026, 6, 14))
    assert trajectory.time.tolist() == track(lines())[0].time.tolist()
    assert report.answered == ("date",)


def test_week_zero_is_a_clock_not_set():
    trajectory, report = track(lines(2, week=0) + lines())
    assert len(trajectory) == 6
    assert report.dropped == {"no time of week": 2}


@pytest.mark.parametrize(("quality", "fix"), [(50, 5), (34, 4), (32, 4), (49, 4), (16, 2), (0, 2)])
def test_quality(quality, fix):
    trajectory, report = track(lines(quality=quality))
    assert set(trajectory.fix.tolist()) == {fix}
    assert report.details["quality"] == {str(quality): 6}
    kind = "rtk" if quality == 50 else "gnss"
    assert report.details["sources"][0]["kind"] == kind
    assert bool(report.warnings) == (quality != 50)


def test_unknown_quality_is_named():
    _, report = track(lines(quality=7))
    assert any("qualities 7" in each for each in report.warnings)


def test_no_uncertainty_is_not_zero_uncertainty():
    trajectory, report = track(lines(std=(0.0, 0.0, 0.0)))
    assert trajectory.std_ned_m[0].tolist() == [2.0, 2.0, 4.0]
    assert any("no uncertainty" in each for each in report.warnings)


def test_pictures_without_a_position_stay_pictures():
    empty = writer.mrk_line(99, 36031.0, 0.0, 0.0, 0.0) + "\n"
    trajectory, report = track(lines() + empty)
    assert len(trajectory) == 6
    assert trajectory.triggers.number.tolist() == [1, 2, 3, 4, 5, 6, 99]
    assert report.dropped == {"latitude and longitude 0": 1}


def test_cut_line_and_junk_are_counted():
    text = lines() + "hello\n" + writer.mrk_line(7, 36031.0, 43.25, 76.9, 780.0)[:40]
    trajectory, report = track(text)
    assert len(trajectory) == 6
    assert report.dropped == {"garbled line": 2}
    assert any("line 7, 8" in each for each in report.warnings)


def test_repeated_pictures_are_merged():
    trajectory, report = track(lines() + lines())
    assert len(trajectory) == 6
    assert sum(report.dropped.values()) == 6


@pytest.mark.parametrize("text", ["", "x" * 20, "1\t2\t3\n", "\0" * 50])
def test_nothing_to_read(text):
    with pytest.raises(ReadError):
        track(text)


def test_read_and_sniff(tmp_path):
    path = tmp_path / "100_0001_Timestamp.MRK"
    path.write_text("\ufeff" + lines().replace("\n", "\r\n"), encoding="utf-8")
    assert dji_mrk.sniff(path, path.read_bytes())
    trajectory, report = dji_mrk.read(path, label="a.MRK")
    assert len(trajectory) == 6
    assert report.details["source_rate_hz"] == pytest.approx(0.5)
    assert not dji_mrk.sniff(path, b"latitude,longitude,Ellh\n1,2,3\n")
    with pytest.raises(ReadError, match="cannot be read"):
        dji_mrk.read(tmp_path / "none.MRK", label="none.MRK")


def test_unknown_source_is_refused():
    with pytest.raises(ReadError, match="MRK"):
        track(lines(), source="GPS")


@given(st.data())
def test_damage_gives_a_track_or_a_read_error(data):
    content = bytearray(lines().encode())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        trajectory, report = dji_mrk.track(dji_mrk.decode(bytes(content)), label="a.MRK")
    except ReadError:
        return
    assert np.isfinite(trajectory.lat).all()
    assert report.records >= len(trajectory)


def test_long_digits_are_quick_and_refused():
    with pytest.raises(ReadError):
        track("1" * 60_000 + ",Lat\t2,Lon\n")
