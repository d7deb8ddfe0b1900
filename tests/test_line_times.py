"""Line times: one for each line, in order, in UTC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dronesense.errors import DronesenseError, ReadError
from dronesense.model import LineScan
from dronesense.readers import envi, line_times
from dronesense.readers.nmea_sentences import checksum
from dronesense.readers.tally import Tally
from dronesense.timescale import to_iso

GOOD = "line,utc\n0,2026-06-14T05:00:00.000Z\n1,2026-06-14T05:00:00.010Z\n2,2026-06-14T05:00:00.020Z\n"
START = int(np.datetime64("2026-06-14T05:00:00", "ns").astype(np.int64))


@pytest.fixture
def read(tmp_path):
    def _read(text: str, lines: int = 3, warnings: list[str] | None = None):
        path = tmp_path / "a.lines.csv"
        path.write_text(text)
        return line_times.read(path, lines, warnings=[] if warnings is None else warnings)

    return _read


def test_good(read):
    expected = START + np.array([0, 10, 20]) * 1_000_000
    np.testing.assert_array_equal(read(GOOD), expected)
    np.testing.assert_array_equal(read(GOOD.replace("Z", "")), expected)
    np.testing.assert_array_equal(read(GOOD.replace("T05", "T10").replace("Z", "+05:00")), expected)
    shifted = GOOD.replace("\n2,", "\n3,").replace("\n1,", "\n2,").replace("\n0,", "\n1,")
    np.testing.assert_array_equal(read(shifted), expected)


@pytest.mark.parametrize("lines", [2, 4])
def test_wrong_number_names_both(read, lines):
    with pytest.raises(ReadError, match=f"3 line times for {lines} lines"):
        read(GOOD, lines)


def test_every_cut_is_noticed(read):
    assert read(GOOD, 3, whole := []).size == 3
    assert not whole
    for length in range(len(GOOD)):
        try:
            read(GOOD[:length], 3, said := [])
        except DronesenseError:
            continue
        assert any("may be cut" in warning for warning in said), length


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("\n1,", "\n5,", "out of order"),
        ("\n0,", "\n7,", "out of order"),
        (".020Z", ".010Z", "do not follow"),
        (".020Z", ".001Z", "do not follow"),
        ("line,", "lines,", 'did you mean "lines"'),
        (".010Z", ".010X", "ISO"),
    ],
)
def test_refused(read, old, new, match):
    with pytest.raises(ReadError, match=match):
        read(GOOD.replace(old, new))


def test_find(tmp_path):
    cube = tmp_path / "strip_1.bil.hdr"
    assert line_times.find(cube) is None
    short = tmp_path / "strip_1.lines.csv"
    short.write_text(GOOD)
    assert line_times.find(cube) == short
    assert line_times.find(tmp_path / "strip_1.hdr") == short
    longer = tmp_path / "strip_1.bil.lines.csv"
    longer.write_text(GOOD)
    assert line_times.find(cube) == longer


# --- files of cameras ----------------------------------------


def sentence(body: str) -> str:
    return f"${body}*{checksum(body.encode()):02X}\n"


NAV = "".join(
    sentence(f"PASHR,1000{k:02}.00,90.0,T,0.0,0.0,0.0,0.1,0.1,0.1,1,1") + f"$SPTSMP,0,{1 + 50 * k}\n"
    for k in range(4)
)
IMU = "Roll\tPitch\tYaw\tLat\tLon\tAlt\tTimestamp\tGps_UTC_Date&Time\n" + "".join(
    f"1\t2\t3\t55\t82\t150\t{10 * k}\t2026/06/14 10:00:00.{10 * k:03}\n" for k in range(9)
)
LCF_ROW = "{t:.3f} 0 0 1 82.9 55.0 150 0 0 5 7\n"
LCF = "".join(LCF_ROW.format(t=1_465_000_000 + 0.01 * k) for k in range(101))
LCF_START = int(np.datetime64("2026-06-09T00:26:22", "ns").astype(np.int64))


def resolve(cube, lines=3, how="auto", header=None):
    tally = Tally()
    found = line_times.resolve(cube, how, lines, header=header or {}, tally=tally)
    return found, tally


def test_order_of_the_sources(tmp_path):
    cube = tmp_path / "raw_0.bil.hdr"
    cube.write_text("ENVI\nacquisition date = DATE(yyyy-mm-dd): 2026-06-14\n")
    keys = {"acquisition date": "DATE(yyyy-mm-dd): 2026-06-14", "start time": "UTC TIME: 10:00:00",
            "fps": "100"}  # fmt: skip
    assert resolve(cube)[0] is None
    found, tally = resolve(cube, header=keys)
    assert found.source.startswith("header")
    assert found.files == ()
    start = int(np.datetime64("2026-06-14T10:00:00", "ns").astype(np.int64))
    np.testing.assert_array_equal(found.time, start + np.array([5, 15, 25]) * 1_000_000)
    assert "may be off by 1 s" in tally.warnings[0]
    for name, text, source in (
        ("other.nav", NAV, "other.nav"),
        ("imu_gps.txt", IMU, None),
        ("frameIndex_0.txt", "Frame#\tTimestamp\n0\t10\n1\t20\n2\t30\n", "frameIndex_0.txt + imu_gps.txt"),
        ("raw_0.lcf", LCF, "raw_0.lcf"),
        ("raw_0.bil.times", "5.0\n5.1\n5.2\n", "raw_0.bil.times + raw_0.lcf"),
        ("raw_0.lines.csv", GOOD, "raw_0.lines.csv"),
    ):
        (tmp_path / name).write_text(text)
        if source is not None:
            assert resolve(cube, header=keys)[0].source == source
    assert resolve(cube, how="none", header=keys)[0] is None
    for name, _, source in (("raw_0.lcf", 0, "raw_0.bil.times + raw_0.lcf"), ("other.nav", 0, "other.nav")):
        assert resolve(cube, how=tmp_path / name, header=keys)[0].source == source


def test_lcf_alone(tmp_path):
    cube = tmp_path / "a.bil.hdr"
    (tmp_path / "a.lcf").write_text(LCF)
    found, tally = resolve(cube, lines=101)
    np.testing.assert_allclose(found.time, LCF_START + np.arange(101) * 10_000_000, rtol=0, atol=1000)
    assert "the lines fill the time of the navigation" in tally.warnings[-1]
    found, tally = resolve(cube, lines=101, header={"framerate": "200"})
    np.testing.assert_array_equal(found.time, LCF_START + np.arange(101) * 5_000_000)
    assert "200 lines a second" in tally.warnings[-1]


def test_times_without_lcf(tmp_path):
    (tmp_path / "a.times").write_text("1\n2\n3\n")
    assert line_times.find(tmp_path / "a.hdr") is None
    with pytest.raises(ReadError, match=r"no \.lcf of the same name"):
        line_times.read(tmp_path / "a.times", 3, warnings=[])


def test_headers_that_do_not_tell(tmp_path):
    good = {"acquisition date": "2026-06-14", "start time": "UTC TIME: 10:00:00.5", "frame rate": "50"}
    cube = tmp_path / "a.hdr"
    assert resolve(cube, header=good)[0].time[0] % 10**9 == 510_000_000
    for key, text in (("acquisition date", "14-06-2026"), ("start time", "10:00:00"), ("frame rate", "0"),
                      ("frame rate", "fast"), ("frame rate", "inf")):  # fmt: skip
        assert resolve(cube, header={**good, key: text})[0] is None


def test_start_and_date_as_airborne_scanners_write_them(tmp_path):
    """Day first where that is stated, hours of one digit; the start of the GPS before that of the clock."""
    cube = tmp_path / "a.hdr"
    keys = {
        "acquisition date": "DATE(dd-mm-yyyy): 05-06-2019",
        "fps": "50",
        "start time": "UTC TIME: 11:00:00",
    }
    first = resolve(cube, header={**keys, "gps start time": "UTC TIME: 9:08:07.5"})[0].time[0]
    assert to_iso(int(first)) == "2019-06-05T09:08:07.510Z"
    assert to_iso(int(resolve(cube, header=keys)[0].time[0])) == "2019-06-05T11:00:00.010Z"
    found, tally = resolve(cube, header={**keys, "acquisition date": "05.06.2019"})
    assert found is None
    assert any('"05.06.2019" is not understood' in each for each in tally.warnings)


def test_two_nav_files_belong_to_nobody(tmp_path):
    cube = tmp_path / "a.hdr"
    cube.write_text("ENVI\nacquisition date = 2026-06-14\n")
    (tmp_path / "b.nav").write_text(NAV)
    assert line_times.find(cube) == tmp_path / "b.nav"
    (tmp_path / "c.nav").write_text(NAV)
    assert line_times.find(cube) is None
    (tmp_path / "a.nav").write_text(NAV)
    assert line_times.find(cube) == tmp_path / "a.nav"
    (tmp_path / "a.nav").write_text("     2.11           N: GPS NAV DATA                         RINEX\n")
    assert line_times.find(cube) is None


def test_the_cube_says_what_its_times_are(tmp_path):
    keys = ["samples = 2", "lines = 3", "bands = 1", "data type = 1", "interleave = bil"]
    cube = tmp_path / "a.bil.hdr"
    cube.write_text("ENVI\n" + "\n".join(keys) + "\n")
    (tmp_path / "a.bil").write_bytes(bytes(6))
    (tmp_path / "a.lcf").write_text(LCF)
    (tmp_path / "a.bil.times").write_text("5.0\n5.1\n5.2\n")
    read, report = envi.read(cube, label="a", name="a")
    assert isinstance(read.geometry, LineScan)
    np.testing.assert_array_equal(read.geometry.time, LCF_START + np.arange(3) * 100_000_000)
    assert report.details["line_times"] == "a.bil.times + a.lcf"
    assert {Path(each).name for each in report.companions} == {"a.bil", "a.lcf", "a.bil.times"}
    assert any("of the same moment" in each for each in report.assumptions)
    assert envi.read(cube, label="a", name="a", line_times="none")[1].details["line_times"] is None
