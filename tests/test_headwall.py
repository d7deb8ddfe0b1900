"""Headwall imu_gps.txt and frameIndex: both layouts, every tick, and the clock between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.plugins import read_head
from dronesense.readers import headwall, line_times

START = int(np.datetime64("2026-06-14T10:00:00", "ns").astype(np.int64))
NEW = "Roll\tPitch\tYaw\tLat\tLon\tAlt\tTimestamp\tGps_UTC_Date&Time\tStatus\tHeading"
OLD = ("Roll\tPitch\tYaw\tLat\tLon\tAlt\tGPS_UTC\tGps_UTC_Date&Time\tTrack_Angle\tGeoid_Separation\t"
       "SystemTime\tSpeed\tGps_Raw_Date&Time")  # fmt: skip
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def stamp(ns: int, *, name: bool) -> str:
    text = str(np.datetime64(ns, "ns").astype("datetime64[us]"))
    month = MONTHS[int(text[5:7]) - 1] if name else text[5:7]
    return f"{text[:4]}/{month}/{text[8:10]} {text[11:]}"


def navigation(n=60, *, layout="new", tick_ns=1000, origin=77_000, unaligned=5, utc_step=1, jitter=0) -> str:
    """Rows at 100 Hz; the camera's clock reads `origin` ticks at START."""
    rows = [NEW if layout == "new" else OLD]
    for k in range(n):
        passed = k * 10_000_000
        ticks = origin + (passed + (k * 7919 % 13) * jitter) // tick_ns
        utc = stamp(START + k // utc_step * utc_step * 10_000_000, name=layout == "old")
        turn = (0.0, 0.0, 0.0) if k < unaligned else (1.5, -2.5, 90.0 + 0.1 * k)
        head = "\t".join(f"{each:.4f}" for each in turn) + f"\t55.0\t{82.9 + 1e-6 * k:.7f}\t{150 + k:.2f}"
        if layout == "new":
            rows.append(f"{head}\t{ticks}\t{utc}\t7\t91.0")
        else:
            rows.append(f"{head}\t100000.0\t{utc}\t91.0\t-34.2\t{ticks}\t5.0\t{utc}")
    return "\n".join(rows) + "\n"


def read(tmp_path, text: str, **options):
    path = tmp_path / "imu_gps.txt"
    path.write_text(text)
    return headwall.read(path, label="x", options=TrackOptions(**options))


@pytest.mark.parametrize("layout", ["new", "old"])
def test_planted_truth(tmp_path, layout):
    track, report = read(tmp_path, navigation(layout=layout))
    k = np.arange(5, 60)
    np.testing.assert_array_equal(track.time, START + k * 10_000_000)
    np.testing.assert_allclose(track.lon, 82.9 + 1e-6 * k, atol=1e-9)
    np.testing.assert_allclose(track.height_source_m, 150.0 + k)
    assert np.isnan(track.height_m).all()
    assert (track.height_ref, track.clock.kind) == ("unknown", "exact")
    euler = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)
    np.testing.assert_allclose(euler, np.column_stack([90 + 0.1 * k, k * 0 - 2.5, k * 0 + 1.5]), atol=1e-9)
    assert report.dropped == {"row before alignment": 5}
    assert report.details["tick_ns"] == 1000
    assert report.details["status"] == ({"7": 60} if layout == "new" else {})


def test_roll_sign(tmp_path):
    track, report = read(tmp_path, navigation(), roll_positive="right-wing-up")
    assert Rotation.from_quat(track.attitude[0, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)[2] == (
        pytest.approx(-1.5)
    )
    assert report.answered == ("roll_positive",)


@pytest.mark.parametrize("tick_ns", headwall.TICKS_NS[:-1])
def test_the_length_of_a_tick_is_found(tmp_path, tick_ns):
    _, report = read(tmp_path, navigation(tick_ns=tick_ns, origin=5 * 10**17 if tick_ns == 100 else 12))
    assert report.details["tick_ns"] == tick_ns


def test_a_slow_receiver_leaves_the_rows_on_the_cameras_clock(tmp_path):
    track, report = read(tmp_path, navigation(200, utc_step=20, unaligned=0))
    assert track.clock.kind == "fitted"
    # The earliest arrivals, one in twenty rows, tell UTC; between them rows go on by the camera's clock.
    np.testing.assert_array_equal(track.time, START + np.arange(200) * 10_000_000)
    assert len(track) == 200
    assert not report.dropped


def test_damage_is_counted(tmp_path):
    lines = navigation(unaligned=0).splitlines(keepends=True)
    lines[5] = lines[5].replace("82.9", "8?.9")
    lines[9] = "1\t2\n"
    lines[12] = lines[12].replace("2026/06", "2026/17")
    lines[15] = lines[14]
    with pytest.raises(ReadError):
        read(tmp_path, "".join(lines))  # a month that does not exist is told with its line
    lines[12] = lines[12].replace("2026/17", "2026/Foo")
    track, report = read(tmp_path, "".join(lines)[:-3])
    assert len(track) == 55
    assert report.dropped["row without a date and time"] == 1
    assert report.dropped["Lon that is no number"] == 1
    assert report.dropped["same time stamp as the row before"] == 1


@pytest.mark.parametrize("text", ["", NEW, NEW + "\n", NEW.replace("Lat", "L") + "\n1\t2\n", "\0" * 50])
def test_nothing_in_it(tmp_path, text):
    with pytest.raises(ReadError):
        read(tmp_path, text)


@given(st.data())
@settings(max_examples=60)
def test_damage_gives_nothing_but_refusals(tmp_path_factory, data):
    raw = bytearray(navigation(12, unaligned=2).encode())
    for _ in range(data.draw(st.integers(1, 10))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.sampled_from(b'0123456789.-+e\t\nx\xff\x00_"/:'))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    path = tmp_path_factory.mktemp("damage") / "imu_gps.txt"
    path.write_bytes(raw)
    try:
        headwall.read(path, label="x")
    except ReadError:
        return


def frames(n=10, *, first=2000, tick_ns=1000, origin=77_000, start_ns=100_000_000) -> str:
    rows = [f"{first + k}\t{origin + (start_ns + k * 9_000_000) // tick_ns}" for k in range(n)]
    return "\n".join(["Frame#\tTimestamp", *rows]) + "\n"


@pytest.mark.parametrize("layout", ["new", "old"])
@pytest.mark.parametrize("tick_ns", [1000, 1_000_000])
def test_line_times(tmp_path, layout, tick_ns):
    (tmp_path / "imu_gps.txt").write_text(navigation(layout=layout, tick_ns=tick_ns))
    path = tmp_path / "frameIndex_2000.txt"
    path.write_text(frames(tick_ns=tick_ns))
    time = line_times.read(path, 10, warnings=[])
    np.testing.assert_array_equal(time, START + 100_000_000 + np.arange(10) * 9_000_000)
    path.write_text(frames(tick_ns=tick_ns)[:-1])  # no line end, nothing missing
    np.testing.assert_array_equal(line_times.read(path, 10, warnings=[]), time)


def test_line_times_by_the_earliest_arrivals(tmp_path):
    """Rows arrive 0 to 12 times 0.2 ms late; the frames are on the same clock."""
    (tmp_path / "imu_gps.txt").write_text(navigation(400, jitter=200_000))
    path = tmp_path / "frameIndex_2000.txt"
    path.write_text(frames())
    time = line_times.read(path, 10, warnings=[])
    truth = START + 100_000_000 + np.arange(10) * 9_000_000
    assert np.abs(time - truth).max() <= 200_000


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("2004\t", "2005\t", "do not follow each other"),
        ("Frame#", "Frame", "no column"),
        (frames().partition("\n")[2], "", "holds no frame"),
        ("2000\t177000", "2000\t177000999999999999", "not on the clock"),
        ("2009\t", "2009\tx", "has no time"),
        ("\n2009", "\n\n2x09", "do not follow"),
    ],
)
def test_damaged_frames(tmp_path, old, new, match):
    (tmp_path / "imu_gps.txt").write_text(navigation())
    path = tmp_path / "frameIndex_2000.txt"
    path.write_text(frames().replace(old, new))
    with pytest.raises(ReadError, match=match):
        line_times.read(path, 10, warnings=[])


def test_frames_without_a_clock(tmp_path):
    path = tmp_path / "frameIndex_0.txt"
    path.write_text(frames())
    with pytest.raises(ReadError, match="cannot be opened"):
        line_times.read(path, 10, warnings=[])
    (tmp_path / "imu_gps.txt").write_text(navigation(tick_ns=3000))
    with pytest.raises(ReadError, match="that runs with"):
        line_times.read(path, 10, warnings=[])
    (tmp_path / "imu_gps.txt").write_text(navigation())
    with pytest.raises(ReadError, match="10 line times for 9 lines"):
        line_times.read(path, 9, warnings=[])


def test_sniff(shared_data, tmp_path):
    for layout in ("new", "old"):
        assert headwall.sniff(tmp_path / "x", navigation(layout=layout).encode()[:8192])
    assert not headwall.sniff(tmp_path / "x", navigation().replace("\t", ",").encode())
    assert not any(headwall.sniff(path, read_head(path)) for path in shared_data.rglob("*") if path.is_file())
