"""IGC recordings: hand-made lines, and real files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import igc
from dronesense.timescale import to_iso

HEAD = ["AXYZ123TEST", "HFDTEDATE:140626,01", "HFDTM100GPSDATUM:WGS-1984"]


def fix(
    clock="100000", lat="4800000N", lon="00900000E", solid="A", pressure="00500", height="00600", more=""
):
    return f"B{clock}{lat}{lon}{solid}{pressure}{height}{more}"


def track(*lines, head=HEAD, **options):
    data = np.frombuffer("\r\n".join([*head, *lines, ""]).encode("latin-1"), dtype=np.uint8)
    return igc.track(data, label="a.igc", options=TrackOptions(**options))


def test_a_fix_by_hand():
    trajectory, report = track(fix("101112", "4830300S", "00915600W"), fix("101113", "4830300S", "00915600W"))
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T10:11:12.000Z"
    assert trajectory.lat[0] == pytest.approx(-(48 + 30.3 / 60), abs=1e-12)
    assert trajectory.lon[0] == pytest.approx(-(9 + 15.6 / 60), abs=1e-12)
    assert trajectory.height_source_m[0] == 600.0
    assert np.isnan(trajectory.height_m).all()
    assert trajectory.height_ref == "unknown"
    assert trajectory.fix.tolist() == [2, 2]
    assert (trajectory.clock.kind, trajectory.reference_point) == ("exact", "antenna")
    assert trajectory.clock.sigma_s == pytest.approx(1 / np.sqrt(12))
    assert report.records == 2
    assert report.details["recorder"] == "XYZ123TEST"
    assert np.isnan(trajectory.attitude).all()


@pytest.mark.parametrize(
    ("altitude", "hpa"),
    # ICAO standard atmosphere (Doc 7488) by geopotential altitude, which altimeters show
    [
        ("00000", 1013.25),
        ("00500", 954.61),
        ("01000", 898.76),
        ("05000", 540.20),
        ("11000", 226.32),
        ("-0500", 1074.77),
    ],
)
def test_pressure_of_the_standard_atmosphere(altitude, hpa):
    trajectory, _ = track(fix(pressure=altitude), fix("100001", pressure="00100"))
    assert trajectory.pressure_hpa[0] == pytest.approx(hpa, abs=0.02)


def test_no_pressure_sensor_or_another_pressure():
    trajectory, _ = track(fix(pressure="00000"), fix("100001", pressure="00000"))
    assert trajectory.pressure_hpa is None
    trajectory, _ = track(fix(), fix("100001"), head=[*HEAD, "HFALPALTPRESSURE:MSL"])
    assert trajectory.pressure_hpa is None


@pytest.mark.parametrize(
    ("line", "ref"),
    [("HFALGALTGPS:ELL", "ellipsoid"), ("HFALG:GEO", "receiver-geoid"), ("HFALGALTGPS:NKN", "unknown")],
)
def test_what_heights_refer_to(line, ref):
    trajectory, _ = track(fix(height="-0012"), fix("100001", height="-0012"), head=[*HEAD, line])
    assert trajectory.height_ref == ref
    assert trajectory.height_source_m[0] == -12.0
    assert np.isfinite(trajectory.height_m).all() == (ref == "ellipsoid")


def test_fixes_without_height():
    trajectory, _ = track(fix(solid="V", height="00000"), fix("100001"))
    assert trajectory.fix.tolist() == [1, 2]
    assert np.isnan(trajectory.height_source_m[0])


def test_extensions_of_the_fix():
    head = [*HEAD, "I053638FXA3940SIU4142LAD4344LOD4547TDS"]
    lines = [fix(f"10000{k}", more=f"01207121555{k}") for k in range(2)]  # 012 | 07 | 12 | 15 | 55k
    trajectory, report = track(*lines, head=head)
    assert trajectory.lat[0] == pytest.approx(48 + 0.00012 / 60, abs=1e-12)
    assert trajectory.lon[0] == pytest.approx(9 + 0.00015 / 60, abs=1e-12)
    assert to_iso(int(trajectory.time[1])) == "2026-06-14T10:00:01.551Z"
    np.testing.assert_allclose(trajectory.std_ned_m[0], [12 / 2.45, 12 / 2.45, 24 / 2.45])
    assert trajectory.clock.sigma_s == pytest.approx(1e-3 / np.sqrt(12))
    assert report.details["satellites_median"] == 7.0
    trajectory, _ = track(fix(), fix("100001"), head=head)  # lines without the promised letters
    np.testing.assert_allclose(trajectory.std_ned_m[0], [2.0, 2.0, 4.0])


def test_midnight_and_several_dates():
    trajectory, _ = track(fix("235959"), fix("000001"), fix("000002"))
    assert to_iso(trajectory.time, 0).tolist() == [
        "2026-06-14T23:59:59Z", "2026-06-15T00:00:01Z", "2026-06-15T00:00:02Z",
    ]  # fmt: skip
    again, _ = track(fix("235959"), "HFDTE150626", fix("000001"), fix("000002"))
    assert again.time.tolist() == trajectory.time.tolist()
    same, _ = track(fix("235959"), "HFDTE140626", fix("000001"), fix("000002"))
    assert same.time.tolist() == trajectory.time.tolist()


def test_dates_by_header_or_user():
    for line, day in (
        ("HFDTE010199", "1999-01-01"),
        ("HPDTE311279", "2079-12-31"),
        ("HFDTEDATE: 290224", "2024-02-29"),
    ):
        trajectory, _ = track(fix(), fix("100001"), head=["AXYZ", line])
        assert to_iso(int(trajectory.time[0]))[:10] == day
    for head in (["AXYZ"], ["AXYZ", "HFDTE310299"], ["AXYZ", "HFDTE000000"]):
        with pytest.raises(ReadError, match=r"set date = YYYY-MM-DD under \[track\]"):
            track(fix(), head=head)
        trajectory, report = track(fix(), fix("100001"), head=head, date=dt.date(2026, 6, 14))
        assert to_iso(int(trajectory.time[0])) == "2026-06-14T10:00:00.000Z"
        assert report.answered == ("date",)
        assert trajectory.clock.kind == "date-only"


def test_damaged_lines_are_counted_and_the_rest_read():
    lines = [fix(f"1000{k:02d}") for k in range(40)]
    lines[2] = lines[2][:20]
    lines[4] = lines[4].replace("N", "X")
    lines[6] = lines[6].replace("B1000", "B2567")
    lines[8] = fix("100008", "0000000N", "00000000E")
    lines[10] = fix("100010", "4900000N")
    lines[12] = lines[11]
    lines[14] = fix("100014", "9900000N")
    trajectory, report = track(*lines)
    assert len(trajectory) == 33
    assert report.dropped == {
        "garbled B record": 2,
        "time of day that does not exist": 1,
        "latitude and longitude 0": 1,
        "position out of range": 1,
        "position jumps": 1,
        "same time stamp as the row before": 1,
    }
    assert report.records == 40


def test_what_is_refused():
    with pytest.raises(ReadError, match="holds no fix"):
        track()
    with pytest.raises(ReadError, match='datum "Pulkovo 1942"'):
        track(fix(), head=[*HEAD[:2], "HFDTM000GPSDATUM:Pulkovo 1942"])
    with pytest.raises(ReadError, match="holds no usable fix"):
        track(fix(lat="0000000N", lon="00000000E"))
    with pytest.raises(ReadError, match="holds no fix with a time"):
        track(fix("990000"))
    with pytest.raises(ReadError, match="no usable position source"):
        track(fix(), source="GPS")


def test_real_files_by_hand(shared_data):
    folder = shared_data / "logs/igc"
    trajectory, report = igc.read(folder / "27GLQKF3.igc", label="a")
    assert len(trajectory) == report.records == 1070
    # B194216 4350396N 08026557W A 00438 00463 007 12 ...
    row = 2 + 1  # the fourth fix
    assert to_iso(int(trajectory.time[row])) == "2022-07-16T19:42:16.000Z"
    assert trajectory.lat[row] == pytest.approx(43 + 50.396 / 60, abs=1e-12)
    assert trajectory.lon[row] == pytest.approx(-(80 + 26.557 / 60), abs=1e-12)
    assert trajectory.height_source_m[row] == 463.0
    assert trajectory.pressure_hpa[row] == pytest.approx(961.73, abs=0.02)  # 438 m
    assert trajectory.std_ned_m[row, 0] == pytest.approx(7 / 2.45)
    assert report.details["header"]["FTY"] == "LX Eos"
    assert not any("RAZL" in str(value) for value in report.details.values())  # no names of people
    trajectory, report = igc.read(folder / "exiftool_Geotag.igc", label="b")
    # B072315 4916430N 00643910E A 00000 00443
    assert to_iso(int(trajectory.time[0])) == "2010-01-05T07:23:15.000Z"
    assert trajectory.lat[0] == pytest.approx(49 + 16.43 / 60, abs=1e-12)
    assert trajectory.lon[0] == pytest.approx(6 + 43.91 / 60, abs=1e-12)
    assert trajectory.height_source_m[0] == 443.0
    assert trajectory.pressure_hpa is None
    assert len(trajectory) == 10


def test_claims_only_its_own_real_files(shared_data):
    claimed = set()
    for path in filter(Path.is_file, shared_data.rglob("*")):
        with path.open("rb") as stream:
            if igc.sniff(path, stream.read(8192)):
                claimed.add(path.name)
    assert claimed == {"27GLQKF3.igc", "exiftool_Geotag.igc"}


def test_sniff_by_content():
    assert igc.sniff(Path("x"), "\n".join([*HEAD, fix()]).encode())
    assert igc.sniff(Path("x"), "\n".join(HEAD).encode())
    assert igc.sniff(Path("x"), fix().encode("utf-16"))
    for head in (b"", b"A", b"B100000 no", b"\xff\xfe\x00", b"A,B\n1,2\n"):
        assert not igc.sniff(Path("x"), head)


SEED = "\r\n".join(
    [*HEAD, "I023638FXA3940TDS", *(fix(f"2359{k}", more="00750") for k in range(56, 60)), fix("000000")]
)


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_only_raise_read_errors(data):
    content = bytearray(SEED.encode())
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.one_of(st.integers(0, 255), st.sampled_from(list(b"0123456789-NSEWAVBH\n")))
        )
    begin = data.draw(st.integers(0, len(content)))
    del content[begin : begin + data.draw(st.integers(0, 60))]
    igc.sniff(Path("x"), bytes(content))
    try:
        igc.track(np.frombuffer(bytes(content), dtype=np.uint8), label="fuzz")
    except ReadError:
        return
