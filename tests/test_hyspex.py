"""HySpex navigation: planted truth, and nothing guessed of its clock."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head
from dronesense.readers import hyspex

DAY = dt.date(2026, 6, 14)  # a Sunday: GPS time of week 0 to 86400


def navigation(n: int = 50, *, t0: float = 36_000.0, dt_s: float = 0.02) -> bytes:
    rows = [
        f"{k:6d} {82.9 + 1e-6 * k:.8f} {-55.0:.8f} {150.0 + k:.3f} 1.5000 -2.5000 {(359.0 + k) % 360:.4f} "
        f"{t0 + k * dt_s:.4f}"
        for k in range(n)
    ]
    return ("\n".join(rows) + "\n").encode()


def decode(data: bytes, **options):
    return hyspex.decode(data, label="x", options=TrackOptions(**options))


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_planted_truth():
    track, report = decode(navigation(), date=DAY, time_scale="utc")
    np.testing.assert_array_equal(track.time, ns("2026-06-14T10:00:00") + np.arange(50) * 20_000_000)
    np.testing.assert_allclose(track.height_source_m, 150.0 + np.arange(50))
    assert np.isnan(track.height_m).all()
    assert (track.height_ref, track.clock.kind, track.fix[0]) == ("unknown", "date-only", 7)
    euler = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(euler[:3], [[-1, -2.5, 1.5], [0, -2.5, 1.5], [1, -2.5, 1.5]], atol=1e-9)
    assert set(report.answered) == {"date", "time_scale"}
    up, report = decode(navigation(3), date=DAY, time_scale="utc", roll_positive="right-wing-up")
    roll = Rotation.from_quat(up.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)[:, 2]
    np.testing.assert_allclose(roll, -1.5)
    assert "roll_positive" in report.answered


def test_what_its_seconds_count_is_not_guessed():
    with pytest.raises(ReadError, match="GPS week or of the UTC day") as caught:
        decode(navigation(), date=DAY)
    assert 'time_scale = "gps"' in str(caught.value)
    with pytest.raises(ReadError, match="no date") as caught:
        decode(navigation(), time_scale="gps")
    assert "set date = YYYY-MM-DD" in str(caught.value)
    week, _ = decode(navigation(), date=DAY, time_scale="gps")
    assert week.time[0] == ns("2026-06-14T09:59:42")
    wednesday, report = decode(navigation(t0=3 * 86_400.0 + 36_018.0), date=dt.date(2026, 6, 17))
    assert wednesday.time[0] == ns("2026-06-17T10:00:00")
    assert "times over a day taken as seconds of the GPS week" in report.assumptions
    since_1980, report = decode(navigation(t0=1_465_000_000.0))
    assert since_1980.time[0] == ns("2026-06-09T00:26:22")
    assert since_1980.clock.kind == "exact"
    with pytest.raises(ReadError, match="no count of seconds"):
        decode(navigation(t0=5e7), date=DAY)


def test_damage_is_counted():
    lines = navigation().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"82.9", b"8?.9")
    lines[9] = b"1 2 3\n"
    track, report = decode(b"".join(lines)[:-5], date=DAY, time_scale="utc")
    assert len(track) == 47
    assert sum(report.dropped.values()) == 3


def test_sniff(shared_data, tmp_path):
    assert hyspex.sniff(tmp_path / "x", navigation()[:8192])
    assert not hyspex.sniff(tmp_path / "x", navigation(1))
    assert not hyspex.sniff(tmp_path / "x", navigation().replace(b"\n", b" 0\n"))
    assert not hyspex.sniff(tmp_path / "x", b"0 1 2 3 4 5 6 7\n5 1 2 3 4 5 6 8\n")
    assert not any(hyspex.sniff(path, read_head(path)) for path in shared_data.rglob("*") if path.is_file())
