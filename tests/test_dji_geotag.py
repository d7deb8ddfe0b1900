"""Tables with the start in the name of the file: by hand, and the real one."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import dji_geotag
from dronesense.timescale import to_iso

NAME = "Geotag_DJI_2020-12-02_[07-50-31].csv"
TEXT = (
    "Id,Time(seconds),Time(text),Latitude,Longitude\r\n"
    "1,0.3,0m 0.3s,-44.69009395,170.42456545\r\n"
    "2,0.4,0m 0.4s,-44.69009389,170.42456538\r\n"
    "3,1,0m 1s,-44.69009331,170.42456511\r\n\r\n"
)


@pytest.fixture
def load(tmp_path):
    def load_(text=TEXT, name=NAME, zone="+13:00"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert dji_geotag.sniff(path, text.encode())
        return dji_geotag.read(path, label=name, options=TrackOptions(zone=zone))

    return load_


def test_by_hand(load):
    trajectory, report = load()
    assert to_iso(trajectory.time).tolist() == [
        "2020-12-01T18:50:31.300Z",
        "2020-12-01T18:50:31.400Z",
        "2020-12-01T18:50:32.000Z",
    ]
    assert trajectory.lat.tolist() == [-44.69009395, -44.69009389, -44.69009331]
    assert trajectory.lon.tolist() == [170.42456545, 170.42456538, 170.42456511]
    assert np.isnan(trajectory.height_source_m).all()
    assert trajectory.height_ref == "unknown"
    assert trajectory.clock.kind == "date-only"
    assert trajectory.clock.sigma_s == pytest.approx(1.0 / np.sqrt(3.0))
    assert report.answered == ("tz",)


def test_what_is_left_open_is_asked_for(load):
    with pytest.raises(ReadError, match="tz ="):
        load(zone=None)
    with pytest.raises(ReadError, match="name does not tell"):
        load(name="track.csv")
    with pytest.raises(ReadError, match="no row has a date and time"):
        load(TEXT[:50] + "1,x,0m,1,2\r\n")


def test_bad_rows_are_counted(load):
    text = TEXT + "4,1.1,0m 1.1s,0,0\r\n5,1.2,0m 1.2s,n/a,170.4\r\n6,1.2,0m 1.2s,-44.69,170.42\r\n7,1.3,0m"
    trajectory, report = load(text)
    assert len(trajectory) == 3
    assert report.dropped == {
        "last row cut short": 1,
        "no position": 1,
        "latitude and longitude 0": 1,
        "same time stamp as the row before": 1,
    }


def test_real_file(shared_data):
    path = shared_data / "logs" / "dji_csv" / NAME
    assert dji_geotag.sniff(path, path.read_bytes()[:8192])
    trajectory, report = dji_geotag.read(path, label=NAME, options=TrackOptions(zone="+13:00"))
    assert len(trajectory) == report.records == 92
    assert to_iso(int(trajectory.time[0])) == "2020-12-01T18:50:31.300Z"
    assert (trajectory.lat[0], trajectory.lon[0]) == (-44.69009395, 170.42456545)
    assert to_iso(int(trajectory.time[-1])) == "2020-12-01T18:50:41.000Z"
    assert (trajectory.lat[-1], trajectory.lon[-1]) == (-44.69008766, 170.4245683)
    assert report.dropped == {}


def test_other_tables_are_not_claimed(tmp_path):
    for head in (b"", b"time(millisecond),datetime(utc),latitude,longitude\n", b"Id,Latitude,Longitude\n"):
        assert not dji_geotag.sniff(tmp_path / "a.csv", head)
