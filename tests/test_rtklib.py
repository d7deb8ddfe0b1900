"""RTKLIB solutions: hand-made files of every kind, and a real one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from dronesense.errors import ReadError
from dronesense.model import TrackOptions
from dronesense.readers import rtklib
from dronesense.timescale import to_iso

_SPEC = importlib.util.spec_from_file_location("fuzz_run", Path(__file__).parent / "fuzz" / "run.py")
_RUN = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_RUN)
fuzz = _RUN.load("rtklib")
writer = fuzz.writer
row, calendar, week, solution = writer.row, writer.calendar, writer.week, writer.solution

PLACE = ["48.000000000", "  9.000000000", "  300.0000"]


def track(text, **options):
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    return rtklib.track(data, label="a.pos", options=TrackOptions(**options))


def test_degrees_by_hand():
    lines = [row(calendar(k), [f"48.00000000{k}", "-9.123456789", "300.2500"]) for k in range(3)]
    trajectory, report = track(solution(lines))
    assert trajectory.lat.tolist() == [48.0, 48.000000001, 48.000000002]
    assert trajectory.lon.tolist() == [-9.123456789] * 3
    assert trajectory.height_m.tolist() == [300.25] * 3
    assert trajectory.height_ref == "ellipsoid"
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T09:59:42.000Z"  # 18 leap seconds
    assert trajectory.std_ned_m[0].tolist() == [0.01, 0.02, 0.03]
    assert trajectory.fix.tolist() == [5, 5, 5]
    assert (trajectory.clock.kind, trajectory.reference_point) == ("exact", "antenna")
    assert trajectory.clock.sigma_s == pytest.approx(0.001 / np.sqrt(12))
    assert np.isnan(trajectory.velocity_ned).all()
    assert report.details["sources"][0]["kind"] == "ppk"
    assert report.details["quality"] == {"1": 3}


@pytest.mark.parametrize(
    ("scale", "utc"),
    [
        ("GPST", "2026-06-14T09:59:42.000Z"),
        ("UTC", "2026-06-14T10:00:00.000Z"),
        ("JST", "2026-06-14T01:00:00.000Z"),
    ],
)
@pytest.mark.parametrize("stamp", [calendar, week])
@pytest.mark.parametrize("sep", [" ", ",", ";", "\t", "|"])
def test_scales_stamps_and_separators(scale, utc, stamp, sep):
    stamps = [week(k, sep) if stamp is week else calendar(k) for k in range(3)]
    text = solution([row(each, PLACE, sep=sep) for each in stamps], scale=scale, sep=sep)
    trajectory, _ = track(text)
    assert to_iso(int(trajectory.time[0])) == utc
    assert np.diff(trajectory.time).tolist() == [10**9, 10**9]
    assert trajectory.lat[0] == 48.0


def test_degrees_minutes_seconds_by_hand():
    places = [
        ["  -0", "30", "36.00000", "  9", "07", "24.00000", "300.0"],
        ["48", "00", "00.0", "-9", "15", "00.0", "1"],
    ]
    lines = [row(calendar(k), place) for k, place in enumerate(places)]
    for each, place in ((0, (-0.51, 9.0 + 7.4 / 60)), (1, (48.0, -9.25))):
        trajectory, _ = track(solution(lines[each : each + 1], writer.DMS))
        np.testing.assert_allclose([trajectory.lat[0], trajectory.lon[0]], place, atol=1e-12)


def test_earth_centered_against_pyproj():
    places = np.array(
        [[9.0, 48.0, 300.0], [-105.2, -40.1, 1575.6], [179.9999, 0.001, -20.0], [-60.0, 89.9, 12.0]]
    )
    for lon, lat, height in places:
        x, y, z = Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height)
        sd = (0.03, 0.04, 0.05, 0.01, -0.02, 0.015)
        velocity = [f"{each:.6f}" for each in (1.0, 2.0, 3.0, *[0.1] * 6)]
        line = row(calendar(0), [f"{each:14.4f}" for each in (x, y, z)], sd=sd, more=velocity)
        words = solution([line], writer.ECEF, velocity=True)
        words = (
            words.replace("vn(m/s)", "vx(m/s)").replace("ve(m/s)", "vy(m/s)").replace("vu(m/s)", "vz(m/s)")
        )
        trajectory, _ = track(words)
        np.testing.assert_allclose(trajectory.lat[0], lat, atol=1e-9)
        np.testing.assert_allclose(trajectory.lon[0], lon, atol=1e-6)
        np.testing.assert_allclose(trajectory.height_m[0], height, atol=1e-4)
        # north, east, down in the axes of the earth, from the definition
        p, t = np.radians(lat), np.radians(lon)
        north = np.array([-np.sin(p) * np.cos(t), -np.sin(p) * np.sin(t), np.cos(p)])
        east = np.array([-np.sin(t), np.cos(t), 0.0])
        axes = np.array([north, east, np.cross(north, east)])
        np.testing.assert_allclose(trajectory.velocity_ned[0], axes @ [1.0, 2.0, 3.0], atol=1e-5)
        cov = np.diag([9e-4, 16e-4, 25e-4])
        cov[0, 1] = cov[1, 0] = 1e-4
        cov[1, 2] = cov[2, 1] = -4e-4  # the sign is that of the covariance, not of a root
        cov[0, 2] = cov[2, 0] = 2.25e-4
        np.testing.assert_allclose(trajectory.std_ned_m[0] ** 2, np.diag(axes @ cov @ axes.T), rtol=1e-4)


def enu_by_pyproj(east, north, up, reference):
    lat, lon, height = reference
    chain = (
        f"+proj=pipeline +step +inv +proj=topocentric +ellps=WGS84 +lon_0={lon} +lat_0={lat} +h_0={height} "
        "+step +inv +proj=cart +ellps=WGS84 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
    return Transformer.from_pipeline(chain).transform(east, north, up)


def test_baselines_have_their_own_order_and_need_a_reference():
    lines = [
        row(calendar(k), ["100.0000", " 200.0000", "30.0000"], sd=(0.1, 0.2, 0.3, 0, 0, 0)) for k in range(2)
    ]
    with pytest.raises(ReadError, match="no reference position"):
        track(solution(lines, writer.BASELINE))
    lon, lat, height = enu_by_pyproj(100.0, 200.0, 30.0, (40.086179918, -105.206044414, 1575.6355))
    for place in ("40.086179918-105.206044414 1575.6355", " 40 05 10.2477048 -105 12 21.7598904  1575.6355"):
        header = writer.HEADER + f"% ref pos   : {place}\n"
        trajectory, report = track(solution(lines, writer.BASELINE, header=header))
        np.testing.assert_allclose([trajectory.lon[0], trajectory.lat[0]], [lon, lat], atol=1e-11)
        np.testing.assert_allclose(trajectory.height_m[0], height, atol=1e-6)
        assert trajectory.std_ned_m[0].tolist() == [0.2, 0.1, 0.3]  # the file has east first
        assert report.details["reference_position"] == pytest.approx(
            [40.086179918, -105.206044414, 1575.6355]
        )


def test_velocity_columns():
    more = [f"{each:.4f}" for each in (1.0, 2.0, 3.0, *[0.1] * 6)]
    trajectory, _ = track(solution([row(calendar(k), PLACE, more=more) for k in range(2)], velocity=True))
    assert trajectory.velocity_ned[0].tolist() == [1.0, 2.0, -3.0]


def test_heights_by_what_the_header_says():
    lines = [row(calendar(k), PLACE) for k in range(2)]
    for comment, ref in (("lat/lon/height=WGS84/geodetic", "receiver-geoid"), ("", "unknown")):
        trajectory, _ = track(solution(lines, comment=comment))
        assert trajectory.height_ref == ref
        assert np.isnan(trajectory.height_m).all()
        assert trajectory.height_source_m[0] == 300.0
    with pytest.raises(ReadError, match="datum Tokyo"):
        track(solution(lines, comment="lat/lon/height=Tokyo/ellipsoidal"))


def test_kinds_of_solution_and_rank():
    lines = [row(calendar(k), PLACE, q=k) for k in range(9)]
    trajectory, report = track(solution(lines))
    assert trajectory.fix.tolist() == [5, 4, 3, 3, 2, 6]
    assert report.dropped == {"no solution (Q = 0 or unknown)": 3}
    assert report.details["sources"][0]["kind"] == "gnss"  # 2 of 6 are precise
    _, report = track(solution([row(calendar(k), PLACE, q=1 + k % 2) for k in range(4)]))
    assert report.details["sources"][0]["kind"] == "ppk"


def test_missing_standard_deviations_are_the_stated_ones():
    lines = [row(calendar(0), PLACE, q=2, sd=(0,) * 6), row(calendar(1), PLACE, q=2)]
    trajectory, report = track(solution(lines))
    np.testing.assert_allclose(trajectory.std_ned_m, [[0.5, 0.5, 1.0], [0.01, 0.02, 0.03]])
    assert any("1 of 2 positions" in each for each in report.assumptions)


def test_damaged_rows_are_counted_and_the_rest_read():
    lines = [row(calendar(k), PLACE) for k in range(40)]
    lines[3] = lines[3][:50]
    lines[5] = lines[5].replace("48.000000000", "48.00x000000")
    lines[7] = lines[7].replace("2026/06/14", "2026/06/31")
    lines[9] = lines[9].replace("48.000000000", "         nan")
    lines[11] = lines[11].replace("48.000000000", "48.500000000")
    lines[13] = lines[12]
    lines[-1] = lines[-1][:60]
    trajectory, report = track("\ufeff" + solution(lines))
    assert len(trajectory) == 40 - 7
    assert report.dropped == {
        "row without its 19 numbers": 2,
        "cell that is no number": 1,
        "no time stamp": 1,
        "no position": 1,
        "position jumps": 1,
        "same time stamp as the row before": 1,
    }
    assert any("last row is cut" in each for each in report.warnings)


def test_what_is_refused():
    lines = [row(calendar(k), PLACE) for k in range(2)]
    for text, why in (
        ("48 9 300\n", "no line that names its columns"),
        (solution([]), "holds no row of"),
        (solution(lines) + solution(lines, writer.ECEF), "two solutions of different columns"),
        (solution([row(calendar(0), PLACE, q=0)]), "no row can be used"),
        (solution(lines).replace("height(m)", "hight(m) "), 'no column "height"'),
    ):
        with pytest.raises(ReadError, match=why):
            track(text)
    with pytest.raises(ReadError, match="no usable position source"):
        track(solution(lines), source="GPS")
    trajectory, _ = track(solution(lines) + solution([row(calendar(5), PLACE)]))  # two runs, one layout
    assert len(trajectory) == 3


def test_the_real_solution_against_pyproj(shared_data):
    path = shared_data / "logs/rtklib/demo1_out.pos"
    trajectory, report = rtklib.read(path, label="demo1")
    assert len(trajectory) == report.records == 4230
    assert report.details["quality"] == {"1": 3063, "2": 1167}
    assert report.details["sources"][0]["kind"] == "ppk"
    # first row: 2015/12/14 17:24:57.000 GPST, sde 1.3662, sdn 1.5742, sdu 3.4640
    assert to_iso(int(trajectory.time[0])) == "2015-12-14T17:24:40.000Z"  # 17 leap seconds in 2015
    assert trajectory.std_ned_m[0].tolist() == [1.5742, 1.3662, 3.464]
    body = [line.split() for line in path.read_text().splitlines() if not line.startswith("%")]
    enu = np.array([[float(cell) for cell in line[2:5]] for line in body])
    lon, lat, height = enu_by_pyproj(*enu.T, (40.086179918, -105.206044414, 1575.6355))
    np.testing.assert_allclose(trajectory.lon, lon, atol=1e-11)
    np.testing.assert_allclose(trajectory.lat, lat, atol=1e-11)
    np.testing.assert_allclose(trajectory.height_m, height, atol=1e-6)


def test_claims_only_its_own_real_file(shared_data, tmp_path):
    claimed = []
    for path in filter(Path.is_file, shared_data.rglob("*")):
        with path.open("rb") as stream:
            if rtklib.sniff(path, stream.read(8192)):
                claimed.append(path.name)
    assert claimed == ["demo1_out.pos"]


def test_sniff_by_content():
    lines = [row(calendar(0), PLACE)]
    for columns in (writer.DEGREES, writer.DMS, writer.ECEF, writer.BASELINE):
        assert rtklib.sniff(Path("x"), solution(lines, columns, sep=",").encode())
    assert rtklib.sniff(Path("x"), solution(lines).encode("utf-16"))
    for head in (b"", b"%", b"% GPST but no columns\n1 2 3\n", b"latitude,longitude\n1,2\n"):
        assert not rtklib.sniff(Path("x"), head)


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_only_raise_read_errors(data):
    content = bytearray(data.draw(st.sampled_from(fuzz.SEEDS)))
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.one_of(st.integers(0, 255), st.sampled_from(list(b"0123456789-+.:/e% \n")))
        )
    begin = data.draw(st.integers(0, len(content)))
    del content[begin : begin + data.draw(st.integers(0, 100))]
    fuzz.one(bytes(content))
