"""Clocks to UTC: published leap seconds, the system's own tables, planted latencies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    RECEIVER_LATENCY_SIGMA_S,
    fit_latency_envelope,
    gps_to_utc_ns,
    parse_times,
    to_iso,
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
