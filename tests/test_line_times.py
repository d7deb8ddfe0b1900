"""Line times: one for each line, in order, in UTC."""

from __future__ import annotations

import numpy as np
import pytest

from dronesense.errors import DronesenseError, ReadError
from dronesense.readers import line_times

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
