"""Specim .nav: frame marks on a flight with known times, and the date that stands elsewhere."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head
from dronesense.readers import line_times, nmea, specim

sys.path[:0] = [str(Path(__file__).parent)]
from nmea_writer import gga, log, pashr, rmc  # noqa: E402

DAY = dt.date(2026, 6, 14)
RATE = 100.0  # frames a second
EPOCH = int(np.datetime64("2026-06-14T10:00:00", "ns").astype(np.int64))


def nav(marks: int = 8, *, wrap: int = 10_000, lost: tuple[int, ...] = (), first: int = 1, date: str = "",
        south: bool = False, start: float = 36_000.0) -> bytes:  # fmt: skip
    """Attitude at 100 Hz, positions at 5 Hz, a mark every 50 frames at the time of the attitude before it."""
    side = -1 if south else 1
    lines = [log([gga(start, side * 55.0, side * 82.9)])]
    n = 0
    for k in range(marks * 50):
        second = start + (k + 1) / RATE
        lines.append(log([pashr(second, 45.0, 2.0, -1.0)]))
        if k % 20 == 0:
            lines.append(log([gga(second, side * 55.0, side * (82.9 + k * 1e-6))]))
        if k % 50 == 0:
            frame = (first - 1 + 50 * n) % wrap + 1
            if n not in lost:
                lines.append(f"$SPTSMP,{n},{frame}\r\n".encode())
            n += 1
    if date:
        lines.append(log([rmc(second, 55.0, 82.9, date)]))
    return b"".join(lines)


def header(path: Path, date: str = "DATE(yyyy-mm-dd): 2026-06-14") -> None:
    lines = ["samples = 2", "lines = 3", "bands = 1", "data type = 1", "interleave = bil"]
    if date:
        lines.append(f"acquisition date = {date}")
    path.write_text("ENVI\n" + "\n".join(lines) + "\n")


def write(tmp_path, data: bytes, **over) -> Path:
    path = tmp_path / "flight.nav"
    path.write_bytes(data)
    header(tmp_path / "flight.hdr", **over)
    return path


def test_the_date_stands_in_the_header_beside(tmp_path):
    track, report = specim.read(write(tmp_path, nav()), label="x")
    assert track.time[0] == EPOCH
    assert track.clock.kind == "date-only"
    assert np.isfinite(track.attitude).all(axis=1).sum() > 350
    assert report.answered == ()
    assert any("2026-06-14 of flight.hdr" in each for each in report.assumptions)
    assert [Path(each).name for each in report.companions] == ["flight.hdr"]
    assert report.details["frame_marks"] == 8
    assert track.height_m[0] == pytest.approx(100.0 - 34.2)


def test_the_users_date_wins_and_none_is_refused(tmp_path):
    path = write(tmp_path, nav(), date="")
    with pytest.raises(ReadError, match="no date"):
        specim.read(path, label="x")
    track, report = specim.read(path, label="x", options=TrackOptions(date=dt.date(2026, 6, 15)))
    assert track.time[0] == EPOCH + 86_400 * 10**9
    assert report.answered == ("date",)
    header(tmp_path / "flight.hdr", "DATE(yyyy-mm-dd): 2026-02-31")
    with pytest.raises(ReadError, match="no date"):
        specim.read(path, label="x")


def test_headers_that_disagree_are_not_believed(tmp_path):
    path = tmp_path / "gps.nav"
    path.write_bytes(nav())
    header(tmp_path / "a.hdr")
    assert specim.read(path, label="x")[0].time[0] == EPOCH
    header(tmp_path / "b.hdr", "DATE(yyyy-mm-dd): 2026-06-13")
    with pytest.raises(ReadError, match="no date"):
        specim.read(path, label="x")
    header(tmp_path / "gps.hdr")
    assert specim.read(path, label="x")[0].time[0] == EPOCH


def test_south_and_west(tmp_path):
    track, _ = specim.read(write(tmp_path, nav(south=True)), label="x")
    assert track.lat[0] == pytest.approx(-55.0)
    assert track.lon[0] == pytest.approx(-82.9)


def truth(lines: int) -> np.ndarray:
    """Frame f (from 0) is at the stamp of attitude row f."""
    return EPOCH + 10_000_000 + np.arange(lines) * 10_000_000


def times(path: Path, lines: int) -> np.ndarray:
    return line_times.read(path, lines, warnings=[])


def test_frames_between_and_after_the_marks(tmp_path):
    path = write(tmp_path, nav())
    np.testing.assert_allclose(times(path, 400), truth(400), rtol=0, atol=1)
    said: list[str] = []
    line_times.read(path, 500, warnings=said)
    assert any("149 lines come after the last frame mark" in each for each in said)


@pytest.mark.parametrize("wrap", [200, 300, 10_000])
@pytest.mark.parametrize("lost", [(), (1,), (3, 4), (6,)])
def test_the_counter_starts_again(tmp_path, wrap, lost):
    path = write(tmp_path, nav(12, wrap=wrap, lost=lost))
    np.testing.assert_allclose(times(path, 551), truth(551), rtol=0, atol=1)


def test_marks_that_start_late(tmp_path):
    path = write(tmp_path, nav(first=101))
    np.testing.assert_allclose(times(path, 400)[100:], truth(300), rtol=0, atol=1)
    assert times(path, 400)[0] == truth(1)[0] - 1_000_000_000


def test_over_midnight(tmp_path):
    path = write(tmp_path, nav(start=86_398.0))
    expected = truth(400) + (86_398 - 36_000) * 10**9
    np.testing.assert_allclose(times(path, 400), expected, rtol=0, atol=1)


def test_a_date_of_its_own(tmp_path):
    path = tmp_path / "flight.nav"
    path.write_bytes(nav(date="140626"))
    np.testing.assert_allclose(times(path, 10), truth(10), rtol=0, atol=1)


def test_too_few_marks(tmp_path):
    path = write(tmp_path, nav(1))
    with pytest.raises(ReadError, match="marks 1 frame"):
        times(path, 10)
    with pytest.raises(ReadError, match="no date"):
        times(write(tmp_path, nav(), date=""), 10)


def test_cuts_anywhere(tmp_path):
    raw = nav(3)
    for length in range(0, len(raw), 997):
        path = write(tmp_path, raw[:length])
        for work in (lambda p: specim.read(p, label="x"), lambda p: times(p, 100)):
            try:
                work(path)
            except ReadError:
                continue


def test_sniff(shared_data, tmp_path):
    assert specim.sniff(tmp_path / "x.txt", nav()[:8192])
    assert specim.sniff(tmp_path / "x.nav", nav().replace(b"SPTSMP", b"SPTXXX")[:8192])
    for name in ("x.txt", "x.nav"):
        for raw in (nav(), nav().replace(b"SPTSMP", b"SPTXXX")):
            claims = [specim.sniff(tmp_path / name, raw[:8192]), nmea.sniff(tmp_path / name, raw[:8192])]
            assert sum(claims) == 1
    assert not any(specim.sniff(path, read_head(path)) for path in shared_data.rglob("*") if path.is_file())
