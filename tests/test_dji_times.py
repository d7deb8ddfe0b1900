"""Times as DJI's programs write them: calendars, 12-hour clocks, stamps of whole seconds."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.readers.dji_times import fit_coarse, read_wall_times, start_in_name, to_utc
from dronesense.readers.tally import Tally
from dronesense.timescale import NS_PER_S, to_iso


def read(*texts, near=None):
    return read_wall_times(texts, near=near, label="log.csv")


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-07-27 14:00:03.5", "2026-07-27T14:00:03.500Z"),
        ("2026/07/27 14:00:03.078", "2026-07-27T14:00:03.078Z"),
        ("2026-07-27T14:00:03", "2026-07-27T14:00:03.000Z"),
        ("27.7.2026 14:00:03,5", "2026-07-27T14:00:03.500Z"),
        ("7/27/2026 2:00:03.97 PM", "2026-07-27T14:00:03.970Z"),
        ("27/7/2026 2:00:03 pm", "2026-07-27T14:00:03.000Z"),
        ("2026-07-27 12:00:03 AM", "2026-07-27T00:00:03.000Z"),
        ("2026-07-27 12:00:03 p.m.", "2026-07-27T12:00:03.000Z"),
        ("2026-07-27 2:00:03,0\u202fpm", "2026-07-27T14:00:03.000Z"),
    ],
)
def test_spellings(text, iso):
    times = read(text)
    assert times.known.all()
    assert to_iso(int(times.ns[0])) == iso


@pytest.mark.parametrize(
    "text",
    ["", "n/a", "2026-02-30 10:00:00", "2026-07-27 25:00:00", "2026-07-27 13:00:00 PM", "27.7.26 10:00:00",
     "1969-07-27 10:00:00", "2026-07-27"],
)  # fmt: skip
def test_no_stamp(text):
    assert not read(text).known.any()


def test_last_digit_is_the_step():
    assert read("2026-07-27 14:00:03.97", "2026-07-27 14:00:04").step_ns == NS_PER_S // 100
    assert read("2026-07-27 14:00:03").step_ns == NS_PER_S


def test_order_of_day_and_month():
    # Some row has a day over 12.
    assert to_iso(int(read("7/12/2026 1:00:00", "7/13/2026 1:00:00").ns[0]), 0) == "2026-07-12T01:00:00Z"
    assert to_iso(int(read("12/7/2026 1:00:00", "13/7/2026 1:00:00").ns[0]), 0) == "2026-07-12T01:00:00Z"
    # The same day either way.
    assert to_iso(int(read("7/7/2026 1:00:00").ns[0]), 0) == "2026-07-07T01:00:00Z"
    # Nobody can tell, but a date nearby.
    with pytest.raises(ReadError, match="either day, month or month, day"):
        read("6/7/2026 1:00:00")
    for near, iso in ((dt.date(2026, 7, 6), "2026-07-06"), (dt.date(2026, 6, 8), "2026-06-07")):
        times = read("6/7/2026 1:00:00", near=near)
        assert times.hinted
        assert to_iso(int(times.ns[0])).startswith(iso)
    with pytest.raises(ReadError, match="not near 2026-01-01"):
        read("6/7/2026 1:00:00", near=dt.date(2026, 1, 1))
    with pytest.raises(ReadError, match="either"):
        read("13/7/2026 1:00:00", "7/13/2026 1:00:00")


def test_zone_is_needed_and_answered():
    wall = read("2026-07-27 14:00:03.5").ns
    with pytest.raises(ReadError, match="tz ="):
        to_utc(wall, None, Tally(), label="log.csv", rows=None)
    with pytest.raises(ReadError, match='"Mars/Base" is unknown'):
        to_utc(wall, "Mars/Base", Tally(), label="log.csv", rows=None)
    for zone in ("+05:00", "Asia/Almaty"):
        tally = Tally()
        utc = to_utc(wall, zone, tally, label="log.csv", rows=None)
        assert to_iso(int(utc[0])) == "2026-07-27T09:00:03.500Z"
        assert tally.answered == ["tz"]
    twice = read("2026-10-25 02:30:00").ns
    with pytest.raises(ReadError, match="exists twice"):
        to_utc(twice, "Europe/Berlin", Tally(), label="log.csv", rows=None)


def test_start_in_name():
    assert str(start_in_name("DJIFlightRecord_2021-07-29_[16-32-50].csv")) == "2021-07-29 16:32:50"
    assert str(start_in_name("DJI_20230628182818_0001_T.SRT")) == "2023-06-28 18:28:18"
    for name in (
        "DJI_0094.SRT",
        "2021-07-29.csv",
        "DJI_20231328182818_0001.SRT",
        "a_2021-07-29_[25-32-50].csv",
    ):
        assert start_in_name(name) is None


@given(
    start=st.integers(0, 10**9 - 1),
    step=st.sampled_from([50, 100, 125, 200, 333]),
    count=st.integers(25, 200),
)
def test_coarse_fit_finds_the_planted_start(start, step, count):
    counter = np.arange(count) * step * 1_000_000
    fit = fit_coarse(counter, (counter + start) // NS_PER_S * NS_PER_S, NS_PER_S)
    assert fit.agree == count
    # Within the interval that the rows leave open, which is at most a step of theirs.
    assert abs(fit.offset_ns - start) <= step * 1_000_000 / 2 + 1
    assert fit.sigma_s <= step * 1e-3 / np.sqrt(12.0) + 1e-9
    assert not fit.warning()


def test_rows_as_slow_as_the_stamps_are_taken_as_written():
    counter = np.arange(20) * NS_PER_S
    fit = fit_coarse(counter, counter + 7 * NS_PER_S, NS_PER_S)
    assert fit.offset_ns == 7 * NS_PER_S
    assert fit.sigma_s == pytest.approx(1.0 / np.sqrt(3.0))


def test_single_damage_is_outvoted_and_a_set_clock_is_told():
    counter = np.arange(300) * 100_000_000
    stamp = (counter + 340_000_000) // NS_PER_S * NS_PER_S
    stamp[50] += 3600 * NS_PER_S
    fit = fit_coarse(counter, stamp, NS_PER_S)
    assert abs(fit.offset_ns - 340_000_000) <= 50_000_000
    assert fit.agree == 299
    assert not fit.warning()
    stamp[200:] += 7 * NS_PER_S
    fit = fit_coarse(counter, stamp, NS_PER_S)
    assert abs(fit.offset_ns - 340_000_000) <= 50_000_000
    assert "a clock was set" in fit.warning()
