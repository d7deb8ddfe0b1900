"""Clocks to UTC: published leap seconds, the system's own tables, planted latencies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.errors import ManifestError, ReadError
from dronesense.timescale import (
    GPS_EPOCH_S,
    LEAP_SECONDS,
    RECEIVER_LATENCY_S,
    RECEIVER_LATENCY_SIGMA_S,
    day_seconds_to_utc_ns,
    fit_latency_envelope,
    gps_seconds_to_utc_ns,
    gps_to_utc_ns,
    gps_tow_to_utc_ns,
    leap_note,
    leap_seconds_at,
    parse_times,
    to_iso,
    unroll_utc_ns,
    unroll_week,
)

S = 10**9


def test_leap_second_table_is_that_of_the_iers() -> None:
    assert len(LEAP_SECONDS) == 18
    path = next((p for p in map(Path, ("/usr/share/zoneinfo/leap-seconds.list",)) if p.is_file()), None)
    if path is None:
        pytest.skip("this system has no leap-seconds.list")
    ntp_to_unix = 2_208_988_800
    rows = [
        line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")
    ]
    steps = [datetime.fromtimestamp(int(row[0]) - ntp_to_unix, UTC) for row in rows]
    assert [str(step.date()) for step in steps if step.timestamp() > GPS_EPOCH_S] == list(LEAP_SECONDS)


@pytest.mark.parametrize(
    ("week", "tow_s", "utc"),
    [
        (0, 0, "1980-01-06T00:00:00.000Z"),
        # 2017-01-01 is a Sunday: week 1930 starts at its 00:00 GPS, when GPS was 17 s ahead of UTC
        (1930, 0, "2016-12-31T23:59:43.000Z"),
        (1930, 16, "2016-12-31T23:59:59.000Z"),
        (1930, 18, "2017-01-01T00:00:00.000Z"),
        (1851, 3 * 86_400 + 17, "2015-07-01T00:00:00.000Z"),  # a Wednesday; 17 s from then on
        (1851, 3 * 86_400 + 15, "2015-06-30T23:59:59.000Z"),  # 16 s until then
        (2371, 18, "2025-06-15T00:00:00.000Z"),
    ],
)
def test_gps_time_by_hand(week: int, tow_s: int, utc: str) -> None:
    assert to_iso(gps_to_utc_ns(week, tow_s * 1000)[()]) == utc


@pytest.mark.parametrize(("index", "day"), list(enumerate(LEAP_SECONDS)))
def test_both_sides_of_every_leap_second(index: int, day: str) -> None:
    """GPS minus UTC is `index` s before and `index + 1` s after (USNO table of GPS-UTC: 1 s from 1981-07)."""
    midnight = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
    before_gps_s = midnight - 1 - GPS_EPOCH_S + index
    inside_gps_s = before_gps_s + 1  # 23:59:60
    found = gps_seconds_to_utc_ns([before_gps_s, inside_gps_s, inside_gps_s + 1, inside_gps_s + 2])
    assert (found // S - midnight).tolist() == [-1, 0, 0, 1]
    week, tow = divmod(before_gps_s, 604_800)
    assert gps_to_utc_ns(week, tow * 1000) == found[0]
    assert leap_seconds_at([midnight * S - 1, midnight * S]).tolist() == [index, index + 1]


def test_published_offsets_of_gps_from_utc() -> None:
    """Values of the GPS almanacs of the time."""
    published = {"1980-01-06": 0, "1990-06-01": 6, "1999-06-01": 13, "2010-01-01": 15, "2016-12-31": 16 + 1}
    published |= {"2017-01-01": 18, "2026-06-27": 18}
    stamps = parse_times([f"{day}T12:00Z" for day in published])
    assert leap_seconds_at(stamps).tolist() == list(published.values())


def test_stamps_after_the_table_get_a_note() -> None:
    assert leap_note(parse_times(["2026-06-27T23:00Z"])) == ""
    assert "18 s ahead" in leap_note(parse_times(["2026-06-27T23:00Z", "2026-06-28T00:00Z"]))
    assert leap_note(np.array([], dtype=np.int64)) == ""


def test_time_of_week_gets_its_week_from_the_date() -> None:
    # 2025-01-03 is a Friday, week 2347: 481577.8 s - 18 s = 13:45:59.8 UTC
    assert to_iso(gps_tow_to_utc_ns([481_577.8], date=date(2025, 1, 3))).tolist() == [
        "2025-01-03T13:45:59.800Z"
    ]
    # Sunday 00:00:05 GPS is Saturday 23:59:47 UTC: the date of the first stamp is the Saturday
    assert to_iso(gps_tow_to_utc_ns([5.0], date=date(2025, 1, 4))).tolist() == ["2025-01-04T23:59:47.000Z"]


@given(
    st.dates(date(1981, 1, 1), date(2100, 1, 1)),
    st.floats(0.0, 86_399.0),
    st.lists(st.floats(0.01, 200_000.0), max_size=20),
)
def test_time_of_week_goes_there_and_back(day: date, start_s: float, steps: list[float]) -> None:
    """Peer: the full week, which the series of times of week does not have."""
    midnight = (day - date(1970, 1, 1)).days * 86_400
    leap = int(leap_seconds_at((midnight + int(start_s)) * S))
    gps_ms = np.rint((midnight - GPS_EPOCH_S + leap + start_s + np.cumsum([0.0, *steps])) * 1000).astype(
        np.int64
    )
    week, tow_ms = np.divmod(gps_ms, 604_800_000)
    found = gps_tow_to_utc_ns(tow_ms / 1000, date=day)
    np.testing.assert_allclose((found - gps_to_utc_ns(week, tow_ms)) / S, 0.0, atol=1e-6)


def test_week_rolls_over_inside_a_series_and_late_rows_stay_late() -> None:
    tow = [604_799.6, 604_799.8, 0.0, 604_799.9, 0.2, 0.4]
    seconds = (gps_tow_to_utc_ns(tow, date=date(2026, 6, 13)) - parse_times(["2026-06-13T23:59:42Z"])) / S
    np.testing.assert_allclose(seconds, [-0.4, -0.2, 0.0, -0.1, 0.2, 0.4], atol=1e-9)
    counted_on = gps_tow_to_utc_ns([604_799.6, 604_800.2], date=date(2026, 6, 13))
    assert (counted_on[1] - counted_on[0]) / S == pytest.approx(0.6)


def test_a_date_that_cannot_be_is_refused() -> None:
    tow = [481_577.8]  # a Friday
    for near in (2, 3, 4):
        assert to_iso(gps_tow_to_utc_ns(tow, date=date(2025, 1, near)))[0].startswith("2025-01-03")
    for wrong in (1, 5, 6):
        with pytest.raises(ReadError, match=r"a\.out: .* falls on a Friday, but .*set date"):
            gps_tow_to_utc_ns(tow, date=date(2025, 1, wrong), where="a.out")
    with pytest.raises(ReadError, match="not the day of a flight"):
        gps_tow_to_utc_ns(tow, date=date(9999, 1, 1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 1e300, 2e6])
def test_damaged_stamps_are_refused_not_wrapped(bad: float) -> None:
    with pytest.raises(ReadError, match="stamp 2 of 2"):
        gps_tow_to_utc_ns([5.0, bad], date=date(2025, 1, 4))
    with pytest.raises(ReadError, match="stamp 2 of 2"):
        day_seconds_to_utc_ns([5.0, bad], date=date(2025, 1, 4))
    if bad != 2e6:
        with pytest.raises(ReadError, match="stamp 1 of 1"):
            gps_seconds_to_utc_ns([bad])


def test_gps_seconds_of_a_pushbroom_log() -> None:
    assert to_iso(gps_seconds_to_utc_ns([1_340_119_934.235])).tolist() == ["2022-06-24T15:31:56.235Z"]
    assert gps_seconds_to_utc_ns(np.array([0, 1])).tolist() == [GPS_EPOCH_S * S, (GPS_EPOCH_S + 1) * S]


def test_midnight_is_counted_small_steps_back_are_not() -> None:
    day = date(2026, 6, 14)
    midnight = parse_times(["2026-06-15T00:00Z"])[0]
    of_day = [86_398.0, 86_399.0, 0.0, 86_399.5, 1.0, 0.5, 2.0]
    seconds = (day_seconds_to_utc_ns(of_day, date=day) - midnight) / S
    assert seconds.tolist() == [-2.0, -1.0, 0.0, -0.5, 1.0, 0.5, 2.0]


def test_a_clock_that_starts_at_zero_stays_on_the_day() -> None:
    """A receiver without a fix says 00:00:00; then it is 14:00, and later it is midnight."""
    seconds = day_seconds_to_utc_ns([0.0, 0.0, 50_400.0, 86_399.0, 1.0], date=date(2026, 6, 14))
    since = (seconds - parse_times(["2026-06-14T00:00Z"])[0]) // S
    assert since.tolist() == [0, 0, 50_400, 86_399, 86_401]


def test_empty_series_have_no_stamps() -> None:
    day = date(2026, 6, 14)
    for found in (gps_tow_to_utc_ns([], date=day), day_seconds_to_utc_ns([], date=day)):
        assert (found.shape, found.dtype) == ((0,), np.int64)
    assert unroll_utc_ns(np.array([], dtype=np.int64), near=day).shape == (0,)


def test_short_week_numbers() -> None:
    """Rollovers: 1999-08-22 (week 1024) and 2019-04-07 (week 2048)."""
    assert unroll_week([1023, 0], near=date(1999, 8, 22)).tolist() == [1023, 1024]
    assert unroll_week([1023, 0], near=date(2019, 4, 7)).tolist() == [2047, 2048]
    assert unroll_week(299, not_before=date(2024, 1, 1)) == 2347
    assert unroll_week(2347, near=date(2025, 1, 3)) == 2347
    # 2018-12-30 is in week 2034 = 1024 + 1010: 1009 is only due in week 3057
    assert unroll_week([1010, 1009], not_before=date(2018, 12, 30)).tolist() == [2034, 3057]
    for dates in ({}, {"near": date(2020, 1, 1), "not_before": date(2020, 1, 1)}):
        with pytest.raises(ValueError, match="either"):
            unroll_week(0, **dates)


def test_dates_of_receivers_that_lost_a_rollover() -> None:
    """2019-04-06 read as 1999-08-21: 1024 weeks."""
    stamps = parse_times(["1999-08-21T10:00Z", "1999-08-21T10:00:01Z"])
    assert to_iso(unroll_utc_ns(stamps, near=date(2019, 1, 1)), 0).tolist() == [
        "2019-04-06T10:00:00Z",
        "2019-04-06T10:00:01Z",
    ]
    np.testing.assert_array_equal(unroll_utc_ns(stamps, near=date(2000, 1, 1)), stamps)


def test_gps_time_keeps_fractions_and_vectorises() -> None:
    utc = gps_to_utc_ns(np.array([2347, 2347]), np.array([481_577_800.25, 481_577_800.000001]))
    assert (utc[0] - utc[1], utc.dtype) == (249_999, np.int64)


@given(st.integers(GPS_EPOCH_S * S, 2_200_000_000 * S), st.integers(0, 9))
def test_iso_goes_there_and_back(ns: int, digits: int) -> None:
    text = to_iso(ns, digits)
    assert len(text) == 20 + (digits + 1 if digits else 0)
    assert abs(int(parse_times([text])[0]) - ns) <= S // 10**digits // 2


def test_iso_of_arrays_and_rounding() -> None:
    assert to_iso(np.array([0, 1_500_000_000]), 0).tolist() == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:02Z",
    ]
    assert to_iso(999_999_999_999, 6) == "1970-01-01T00:16:40.000000Z"
    with pytest.raises(ValueError, match="digits"):
        to_iso(0, 10)


@pytest.mark.parametrize(
    ("text", "kwargs", "unix_ns"),
    [
        ("2023-04-19 14:10:05.669701+00:00", {}, 1_681_913_405_669_701_000),
        ("2023-04-19T14:10:05.669701123Z", {}, 1_681_913_405_669_701_123),
        (" 2023-04-19T19:10:05,5+05:00 ", {}, 1_681_913_405_500_000_000),
        ("2023-04-19T14:10Z", {}, 1_681_913_400_000_000_000),
        ("2023-04-19 19:10:05", {"zone": "+05:00"}, 1_681_913_405 * S),
        ("2023-04-19 10:10:05", {"zone": "-0400"}, 1_681_913_405 * S),
        ("2023-04-19 16:10:05", {"zone": "Europe/Oslo"}, 1_681_913_405 * S),
        ("2023-04-19 14:10:05", {"zone": "UTC"}, 1_681_913_405 * S),
        ("2023-04-19T14:10:05Z", {"zone": "Asia/Tokyo"}, 1_681_913_405 * S),  # the stamp's own offset wins
        ("1681913405.669701001", {"format": "unix"}, 1_681_913_405_669_701_001),
        ("1681913405669.701", {"format": "unix_ms"}, 1_681_913_405_669_701_000),
        ("1681913405 69701001", {"format": "unix_s_ns"}, 1_681_913_405_069_701_001),
        ("2261-12-31T23:59:59Z", {"zone": "UTC"}, 9_214_646_399 * S),
        (
            "19.04.2023 14:10:05.25",
            {"format": "%d.%m.%Y %H:%M:%S.%f", "zone": "UTC"},
            1_681_913_405_250_000_000,
        ),
        ("19/Apr/2023 19:10:05 +0500", {"format": "%d/%b/%Y %H:%M:%S %z"}, 1_681_913_405 * S),
    ],
)
def test_written_stamps_by_hand(text: str, kwargs: dict[str, str], unix_ns: int) -> None:
    assert parse_times([text], **kwargs).tolist() == [unix_ns]


@pytest.mark.parametrize(
    ("texts", "kwargs", "error", "match"),
    [
        (["2023-04-19 14:10:05"], {}, ManifestError, r"has no zone.*set zone = "),
        (["2023-04-19 14:10:05"], {"zone": "Mars/Olympus"}, ManifestError, "unknown"),
        (["2023-04-19 14:10:05"], {"zone": "../../etc/passwd"}, ManifestError, "unknown"),
        (["2023-04-19"], {}, ReadError, "not an ISO"),
        (["now"], {}, ReadError, "not an ISO"),
        ([""], {}, ReadError, "not an ISO"),
        (["2023-04-19 14:10:05Z", "2023-02-30 14:10:05Z"], {}, ReadError, "stamp 2 of 2.*does not exist"),
        (["2023-04-19 14:10:05+99:00"], {}, ReadError, "impossible offset"),
        (["2023-10-29 02:30:00"], {"zone": "Europe/Oslo"}, ReadError, "exists twice"),
        (["2023-03-26 02:30:00"], {"zone": "Europe/Oslo"}, ReadError, "does not exist or"),
        (["1681913405669"], {"format": "unix"}, ReadError, "not between 1980 and 2100"),
        (["12.5"], {"format": "unix_ms"}, ReadError, "not between 1980 and 2100"),
        (["1e9"], {"format": "unix"}, ReadError, "not a plain number"),
        (["1681913405"], {"format": "unix", "zone": "+05:00"}, ManifestError, "makes no sense"),
        (["19.04.2023"], {"format": "%d.%m.%y"}, ReadError, "does not agree"),
        (["19.04.2023"], {"format": "is"}, ManifestError, "not a time format"),
        (["14:10:05"], {"format": "%H:%M:%S", "zone": "UTC"}, ManifestError, "has no year"),
        (["%Y 14"], {"format": "%%Y %H", "zone": "UTC"}, ManifestError, "has no year"),
        (["2023-04-19T14:10:05Z", "3023-04-19T14:10:05Z"], {}, ReadError, "stamp 2 .*year between 1678"),
        (["1066-10-14T09:00:00Z"], {}, ReadError, "year between 1678"),
        (["14.10.1066"], {"format": "%d.%m.%Y", "zone": "UTC"}, ReadError, "year between 1678"),
        (["2262-01-01T00:00:00Z"], {}, ReadError, "year between 1678"),
        (["1681913405.5 1"], {"format": "unix_s_ns"}, ReadError, "whole seconds and nanoseconds"),
        (["1681913405 1234567890"], {"format": "unix_s_ns"}, ReadError, "whole seconds and nanoseconds"),
        (["5 1"], {"format": "unix_s_ns"}, ReadError, "not between 1980 and 2100"),
    ],
)
def test_what_is_not_sure_is_refused(texts, kwargs, error, match) -> None:
    with pytest.raises(error, match=match):
        parse_times(texts, **kwargs)


@pytest.mark.parametrize(("suffix", "offset_s"), [("+05:30", 19_800), ("-0930", -34_200), ("+05:59", 21_540)])
def test_offsets_with_minutes(suffix: str, offset_s: int) -> None:
    assert parse_times([f"2023-04-19T14:10:05{suffix}"])[0] == (1_681_913_405 - offset_s) * S


def test_the_first_and_the_last_of_what_is_a_stamp() -> None:
    """Both ends belong to it, and what lies one beyond them does not."""
    for text in ("315964800", "4102444800"):
        assert parse_times([text], format="unix").tolist() == [int(text) * S]
        assert parse_times([text + "000"], format="unix_ms").tolist() == [int(text) * S]
    for text in ("315964799", "4102444801"):
        with pytest.raises(ReadError, match="not between 1980 and 2100"):
            parse_times([text], format="unix")
    assert parse_times(["1678-01-01T00:00:00Z"])[0] == np.datetime64("1678-01-01", "ns").astype(np.int64)
    assert parse_times(["2261-12-31T23:59:59Z"])[0] == np.datetime64("2261-12-31T23:59:59", "ns").astype(
        np.int64
    )
    with pytest.raises(ReadError, match="year between 1678"):
        parse_times(["1677-12-31T23:59:59Z"])
    for day in (date(1980, 1, 1), date(2251, 12, 31)):
        assert to_iso(int(day_seconds_to_utc_ns([0.0], date=day)[0]))[:10] == day.isoformat()
    for day in (date(1979, 12, 31), date(2252, 1, 1)):
        with pytest.raises(ReadError, match="not the day of a flight"):
            day_seconds_to_utc_ns([0.0], date=day)
    assert day_seconds_to_utc_ns([86_400.5], date=date(2016, 12, 31)).size == 1  # 23:59:60.5
    for seconds in (86_401.0, -0.001):
        with pytest.raises(ReadError, match="is not a count of"):
            day_seconds_to_utc_ns([seconds], date=date(2016, 12, 31))
    assert gps_tow_to_utc_ns([1_209_599.0], date=date(2016, 12, 31)).size == 1
    with pytest.raises(ReadError, match="is not a count of"):
        gps_tow_to_utc_ns([1_209_600.0], date=date(2016, 12, 31))


def test_messages_name_file_and_row() -> None:
    with pytest.raises(ReadError, match=r"gas\.csv, row 17: time stamp \"x\""):
        parse_times(["2023-04-19T14:10:05Z", "x"], rows=np.array([16, 17]), where="gas.csv")


@given(st.integers(0, 35 * 366 * 86_400))
def test_zones_agree_with_zoneinfo(elapsed_s: int) -> None:
    zone = ZoneInfo("America/New_York")
    local = (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=elapsed_s)).astimezone(zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
        with pytest.raises(ReadError):
            parse_times([text], zone="America/New_York")
    else:
        assert parse_times([text], zone="America/New_York")[0] == int(local.timestamp()) * S


def test_no_stamps_are_no_times() -> None:
    for kwargs in ({}, {"format": "unix"}, {"format": "%Y", "zone": "UTC"}):
        assert parse_times([], **kwargs).shape == (0,)


def planted(n: int, *, step_s: float, drift: float, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Boot stamps, UTC stamps and the true UTC of boot zero; latency 0 to 160 ms."""
    rng = np.random.default_rng(seed)
    origin = 1_735_911_000 * S + 123_456_789
    sent = (5.0 + np.arange(n) * step_s) * S
    boot = sent + rng.uniform(0.0, 0.16, n) * S
    return boot.astype(np.int64), (origin + sent * (1.0 + drift)).astype(np.int64), origin


def test_envelope_finds_the_earliest_arrival() -> None:
    errors = []
    for seed in range(30):
        boot, utc, origin = planted(300, step_s=0.2, drift=0.0, seed=seed)
        fit = fit_latency_envelope(boot, utc)
        assert fit.slope == 0.0
        assert fit.sigma_s >= RECEIVER_LATENCY_SIGMA_S
        assert 0.14 < fit.spread_s <= 0.16
        errors.append((fit.offset_ns - origin) / S)
        assert abs((np.mean(utc - boot) - origin) / S) > 0.07  # what the mean would have said
        assert fit.to_utc(boot)[0] == boot[0] + fit.offset_ns
    assert np.all(np.abs(errors) < 0.006)


def test_envelope_resists_damaged_stamps() -> None:
    boot, utc, origin = planted(300, step_s=0.2, drift=0.0, seed=1)
    utc[40] += 300 * 1_000_000
    boot[90] += 2**40
    utc[200] -= 604_800 * S
    fit = fit_latency_envelope(boot, utc)
    assert abs(fit.offset_ns - origin) < 0.01 * S
    assert fit.n == 298


def test_drift_is_fitted_only_in_long_logs() -> None:
    boot, utc, origin = planted(2400, step_s=1.0, drift=20e-6, seed=3)
    fit = fit_latency_envelope(boot, utc)
    assert fit.slope == pytest.approx(20e-6, abs=8e-6)
    late = fit.to_utc(boot)
    true = origin + (boot * (1.0 + 20e-6)).astype(np.int64)
    assert np.max(np.abs(late - true)) < 0.025 * S
    short = fit_latency_envelope(boot[:500], utc[:500])
    assert short.slope == 0.0
    boot, utc, _ = planted(2400, step_s=1.0, drift=400e-6, seed=3)
    assert "no clock's" in fit_latency_envelope(boot, utc - np.arange(2400)).note


def test_envelope_of_one_stamp_and_of_none() -> None:
    fit = fit_latency_envelope(np.array([5]), np.array([S]))
    assert (fit.offset_ns, fit.n, fit.spread_s) == (S - 5, 1, 0.0)
    with pytest.raises(ValueError, match="at least 1"):
        fit_latency_envelope(np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def latencies(rng: np.random.Generator, n: int) -> tuple[np.ndarray, float]:
    """Boot-clock delays, s: a constant from the stated prior, and a jitter of one of three kinds."""
    constant = float(rng.uniform(*RECEIVER_LATENCY_S))
    kind = rng.integers(3)
    jitter = (rng.uniform(0.0, 0.16, n), rng.exponential(0.03, n), rng.choice([0.0, 0.1], n))[kind]
    return constant + jitter, constant


@pytest.mark.parametrize("correct", [False, True])
def test_the_stated_sigma_holds(correct: bool) -> None:
    """Over 600 logs of 1 to 30 min the rms error is the stated sigma; a uniform latency is never beyond 2 of
    them, and 58 % (its share) to 68 % lie within one if the latency is corrected."""
    ratio = []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        n, step = int(rng.integers(60, 1800)), float(rng.choice([0.2, 1.0]))
        drift = float(rng.normal(0.0, 5e-6))
        sent = rng.uniform(0.0, 100.0) + np.arange(n) * step
        late, _ = latencies(rng, n)
        origin = 1_735_911_000 * S
        boot = ((sent + late) * S).astype(np.int64)
        fit = fit_latency_envelope(
            boot, (origin + sent * (1.0 + drift) * S).astype(np.int64), correct_latency=correct
        )
        middle = int(sent.mean() * S)
        truth = origin + int(sent.mean() * (1.0 + drift) * S)
        ratio.append((int(fit.to_utc(np.array([middle]))[0]) - truth) / S / fit.sigma_s)
    error = np.abs(ratio)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(1.0, abs=0.1)
    assert np.mean(error < 1.96) >= 0.95
    if correct:
        assert abs(np.mean(ratio)) < 0.15
        assert 0.52 < np.mean(error < 1.0) < 0.72


@pytest.mark.parametrize("step_s", [-0.5, 1.0, -18.0, 3.0, 86_400.0])
def test_a_step_of_utc_refuses_the_smaller_part(step_s: float) -> None:
    boot, utc, origin = planted(300, step_s=0.2, drift=0.0, seed=4)
    utc[:60] += int(step_s * S)
    fit = fit_latency_envelope(boot, utc)
    assert abs(fit.offset_ns - origin) < 0.01 * S
    assert (fit.n, len(fit.doubtful)) == (240, 1)
    assert "step against each other 1 time(s)" in fit.warning
    assert "60 stamps" in fit.warning
    np.testing.assert_array_equal(fit.trusted(boot), np.arange(300) >= 60)


def test_a_restart_of_the_boot_clock_is_named() -> None:
    boot, utc, origin = planted(300, step_s=0.2, drift=0.0, seed=5)
    boot[200:] += 100 * S  # a second boot that started later
    fit = fit_latency_envelope(boot, utc)
    assert abs(fit.offset_ns - origin) < 0.01 * S
    np.testing.assert_array_equal(fit.trusted(boot), np.arange(300) < 200)
    assert "-99." in fit.warning or "-100." in fit.warning


def test_sound_clocks_get_no_warning() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        sent = np.arange(400) * 0.2 * S
        late, _ = latencies(rng, 400)
        fit = fit_latency_envelope((sent + late * S).astype(np.int64), sent.astype(np.int64))
        assert (fit.warning, fit.doubtful, fit.n) == ("", (), 400)
    boot, utc, _ = planted(300, step_s=0.2, drift=0.0, seed=1)
    utc[40:43] += 5 * S  # three damaged stamps are no step
    fit = fit_latency_envelope(boot, utc)
    assert (fit.warning, fit.n) == ("", 297)
    assert fit.trusted(boot).all()


@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=40
    )
)
def test_no_stamps_break_the_fit(rows: list[tuple[int, int]]) -> None:
    boot, utc = np.array(rows, dtype=np.int64).T
    fit = fit_latency_envelope(boot, utc)
    assert fit.n >= 1
    assert np.isfinite([fit.slope, fit.sigma_s, fit.spread_s]).all()
    assert fit.trusted(boot).shape == boot.shape


# -- borders, with clocks that agree to the nanosecond --


def steady(n: int, step_ns: int = S) -> np.ndarray:
    return np.arange(n, dtype=np.int64) * step_ns


@pytest.mark.parametrize(("n", "earliest"), [(1, 0), (9, 0), (10, 1), (50, 1)])
def test_from_ten_stamps_on_the_second_earliest_counts(n: int, earliest: int) -> None:
    """Stamp k arrives k ms late: the earliest is on time, the second earliest 1 ms late."""
    utc = steady(n)
    fit = fit_latency_envelope(utc + steady(n, 1_000_000), utc)
    assert fit.offset_ns == -earliest * 1_000_000
    assert fit.spread_s == pytest.approx((n - 1) / 1000.0)


def test_a_step_in_the_middle_is_cut_out_half_way_to_its_neighbors() -> None:
    boot, utc = steady(30), steady(30)
    utc[10:15] += 5 * S
    fit = fit_latency_envelope(boot, utc)
    assert fit.doubtful == ((19 * S // 2, 29 * S // 2),)
    assert "first by +5.000 s at 10.0 s: 5 stamps" in fit.warning
    borders = np.array([fit.doubtful[0][0] - 1, *fit.doubtful[0], fit.doubtful[0][1] + 1])
    assert fit.trusted(borders).tolist() == [True, False, False, True]
    utc[14] -= 5 * S  # four are damaged stamps, no step
    assert (fit_latency_envelope(boot, utc).warning, fit_latency_envelope(boot, utc).n) == ("", 26)


@pytest.mark.parametrize(("gap_ns", "kept"), [(300_000_000, 20), (300_000_001, 11)])
def test_a_gap_between_latencies_ends_a_group(gap_ns: int, kept: int) -> None:
    boot = steady(20)
    late = np.where(np.arange(20) < 11, 0, gap_ns)
    assert fit_latency_envelope(boot, boot - late).n == kept


def test_no_drift_is_fitted_up_to_ten_minutes() -> None:
    boot = steady(601)
    assert fit_latency_envelope(boot, boot + boot // 50_000).slope == 0.0
    boot[-1] += S // 2
    assert fit_latency_envelope(boot, boot + boot // 50_000).slope == pytest.approx(20e-6, rel=1e-6)


def test_a_drift_that_is_no_clocks_is_not_used() -> None:
    boot = steady(1200)
    fit = fit_latency_envelope(boot, boot + boot // 5_000)
    assert fit.slope == 0.0
    assert "a drift of 200 ppm is no clock's" in fit.note


@pytest.mark.parametrize(
    ("seed", "n"), [*((seed, 300) for seed in range(5)), *((seed, 40) for seed in range(9))]
)
def test_the_slope_is_theil_sens_over_the_second_earliest_of_twenty_blocks(seed: int, n: int) -> None:
    """Sen (1968), written out: all pairs of the second earliest arrivals of 20 equal parts of the time."""
    rng = np.random.default_rng(seed)
    boot = np.sort(rng.integers(0, 2000, n)) * S
    utc = boot - rng.integers(0, 200_000_000, n) + boot // 50_000
    start, width = int(boot[0]), (int(boot[-1]) - int(boot[0])) / 20
    points = []
    for k in range(20):
        inside = [
            (int(u - b), int(b))
            for b, u in zip(boot, utc, strict=True)
            if k * width <= b - start and (b - start < (k + 1) * width or k == 19)
        ]
        points += sorted(inside)[-2:][:1]
    slopes = [(q[0] - p[0]) / (q[1] - p[1]) for n, p in enumerate(points) for q in points[n + 1 :]]
    assert fit_latency_envelope(boot, utc).slope == pytest.approx(float(np.median(slopes)), rel=1e-9)


def test_the_last_count_of_gps_seconds() -> None:
    assert gps_seconds_to_utc_ns(2**33 - 1).tolist() == (2**33 - 1 + 315_964_800 - 18) * S
    with pytest.raises(ReadError, match="not a count"):
        gps_seconds_to_utc_ns(2**33)


@pytest.mark.parametrize(
    ("tow_s", "nearest"), [(3 * 86_400 + 23 * 3600, "2026-06-17"), (4 * 86_400 + 3600, "2026-06-11")]
)
def test_the_nearest_day_of_a_time_of_week_is_named(tow_s: int, nearest: str) -> None:
    """2026-06-14 is a Sunday, where weeks begin: the Wednesday after and the Thursday before are nearest."""
    with pytest.raises(ReadError) as error:
        gps_tow_to_utc_ns([tow_s], date=date(2026, 6, 14))
    assert f"nearest: {nearest}" in str(error.value.fix)


def test_short_weeks_lie_within_half_a_rollover() -> None:
    near = date(1980, 1, 6) + timedelta(weeks=2300)
    weeks = np.array([2300, 2300 - 512, 2300 - 513, 2300 + 511])
    assert unroll_week(weeks % 1024, near=near).tolist() == [2300, 2300 - 512, 2300 + 511, 2300 + 511]


@pytest.mark.parametrize(
    ("offset", "seconds"), [("+23:59", 86_340), ("-23:59", -86_340), ("+05", 18_000), ("+23:00", 82_800)]
)
def test_largest_offsets(offset: str, seconds: int) -> None:
    assert parse_times([f"1980-01-10T00:00:00{offset}"]).tolist() == [(316_310_400 - seconds) * S]


@pytest.mark.parametrize("offset", ["+24:00", "+05:60", "-24"])
def test_offsets_beyond_a_day_are_refused(offset: str) -> None:
    with pytest.raises(ReadError, match="impossible offset"):
        parse_times([f"1980-01-10T00:00:00{offset}"])


def test_the_date_that_does_not_exist_is_named_wherever_it_stands() -> None:
    good, bad = "2026-02-28T00:00:00Z", "2026-02-30T00:00:00Z"
    for place in range(3):
        texts = [good] * 3
        texts[place] = bad
        with pytest.raises(ReadError, match=f'"{bad}" does not exist') as error:
            parse_times(texts)
        assert f"stamp {place + 1} of 3" in str(error.value)
