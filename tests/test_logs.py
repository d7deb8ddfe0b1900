"""Which of several logs is used, and that no log is taken for another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dronesense import plugins
from dronesense.manifest import discover
from dronesense.manifest.logs import TRAJECTORY, choose_logs

sys.path.insert(0, str(Path(__file__).parent))
import nmea_writer
import rtklib_writer

GPX = """<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
<trkpt lat="48.0" lon="9.0"><ele>500</ele><time>{day}T10:00:00Z</time></trkpt>
<trkpt lat="48.0001" lon="9.0"><ele>500</ele><time>{day}T10:00:05Z</time></trkpt>
</trkseg></trk></gpx>"""
SUBTITLE = """1
00:00:00,000 --> 00:00:01,000
HOME(9.0,48.0) 2026.06.14 10:00:00
GPS(9.0001,48.0001,12) BAROMETER:10.0
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A post-processed solution, NMEA with attitude, two GPX tracks, a video's subtitles."""
    rows = [
        rtklib_writer.row(
            rtklib_writer.calendar(18.0 + 0.2 * k), [f"{48.0 + 1e-6 * k:.9f}", "9.000000000", "548.0000"]
        )
        for k in range(15)
    ]
    (tmp_path / "rover.pos").write_text(rtklib_writer.solution(rows), "utf-8")
    (tmp_path / "autopilot.nmea").write_bytes(nmea_writer.log(nmea_writer.flight(30)))
    (tmp_path / "same_hour.gpx").write_text(GPX.format(day="2026-06-14"), "utf-8")
    (tmp_path / "last_year.gpx").write_text(GPX.format(day="2025-06-14"), "utf-8")
    (tmp_path / "DJI_0001.SRT").write_text(SUBTITLE, "utf-8")
    return tmp_path


def found(folder: Path) -> list[tuple[Path, str]]:
    return [(path, plugins.sniff(TRAJECTORY, path)) for path in sorted(folder.iterdir())]


def test_the_best_kind_of_position_wins_and_another_log_lends_its_attitude(card: Path) -> None:
    chosen = choose_logs(found(card))
    assert [path.name for path in chosen.logs] == ["rover.pos"]
    assert chosen.reader == "rtklib"
    assert chosen.attitude is not None
    assert chosen.attitude.name == "autopilot.nmea"
    reasons = {path.name: reason for path, reason in chosen.ignored}
    assert sorted(reasons) == ["DJI_0001.SRT", "last_year.gpx", "same_hour.gpx"]
    assert "of another time than rover.pos" in reasons["last_year.gpx"]
    assert "of a lesser kind (table) than rover.pos (ppk)" in reasons["same_hour.gpx"]
    assert "local" in reasons["DJI_0001.SRT"]


def test_discovery_writes_the_choice_down(card: Path) -> None:
    tables = discover(card).tables
    assert tables["track"] == {"path": "rover.pos", "reader": "rtklib", "attitude": "autopilot.nmea"}


def test_a_lone_log_is_not_read_twice(card: Path) -> None:
    chosen = choose_logs([(card / "DJI_0001.SRT", "dji-srt")])
    assert chosen.logs == [card / "DJI_0001.SRT"]
    assert chosen.attitude is None


def test_where_no_log_can_be_read_the_largest_is_tried_and_says_why(card: Path) -> None:
    (card / "DJI_0002.SRT").write_text(SUBTITLE + "\n" + SUBTITLE.replace("1\n00", "2\n00", 1), "utf-8")
    chosen = choose_logs([(card / f"DJI_000{number}.SRT", "dji-srt") for number in (1, 2)])
    assert [path.name for path in chosen.logs] == ["DJI_0002.SRT"]


def test_no_real_file_is_claimed_by_two_readers_and_no_other_file_by_any(shared_data: Path) -> None:
    """Gas series, cubes, signatures and terrains are not logs; each log is one reader's."""
    for path in sorted(each for each in shared_data.rglob("*") if each.is_file()):
        claimed = plugins.claims(TRAJECTORY, path)
        is_log = path.relative_to(shared_data).parts[0] == "logs"
        assert len(claimed) <= (1 if is_log else 0), (path, claimed)
