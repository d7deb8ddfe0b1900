"""Resonon .lcf and .times: planted truth, damage, the real lines, and what decimation loses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dronesense.errors import ReadError
from dronesense.geotag.poses import interpolate
from dronesense.model import TrackOptions, Trajectory
from dronesense.plugins import read_head
from dronesense.readers import hyspex, line_times, resonon

REAL = ("Juvika_June2022_Pika_L_12", "Juvika_June2022_Pika_L_13")
METERS_PER_DEGREE = 111_195.0
T0 = 1_465_000_000.0  # GPS seconds
UTC0 = int(np.datetime64("2026-06-09T00:26:22", "ns").astype(np.int64))  # by hand: 315964800 + T0 - 18


def lcf(n: int = 200, *, t0: float = T0, dt: float = 0.005, use: float = 5, extra: str = "\t7") -> bytes:
    """A flight to the north-east with known angles."""
    rows = []
    for k in range(n):
        t = k * 0.005
        rows.append(
            f"{t0 + k * dt:.3f}\t{0.1 + 0.01 * t:.9f}\t-0.050000000\t{0.7 + 0.1 * t:.9f}\t"
            f"{82.9 + 1e-5 * t:.12f}\t{55.0 + 2e-5 * t:.12f}\t{150.0 + t:.6f}\t0\t0\t{use:g}{extra}"
        )
    return ("\n".join(rows) + "\n").encode()


def decode(data: bytes, **options):
    return resonon.decode(data, label="x", options=TrackOptions(**options))


def test_planted_truth():
    track, report = decode(lcf())
    t = np.arange(200) * 0.005
    np.testing.assert_array_equal(track.time, UTC0 + np.arange(200) * 5_000_000)
    np.testing.assert_allclose(track.lon, 82.9 + 1e-5 * t, atol=1e-12)
    np.testing.assert_allclose(track.height_m, 150.0 + t, atol=1e-6)
    assert (track.height_ref, track.fix[0], track.clock.kind) == ("ellipsoid", 7, "exact")
    euler = Rotation.from_quat(track.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX")
    np.testing.assert_allclose(
        euler, np.column_stack([0.7 + 0.1 * t, np.full(200, -0.05), -(0.1 + 0.01 * t)]), atol=1e-9
    )
    assert report.details["sources"][0]["kind"] == "filter"
    assert report.details["source_rate_hz"] == pytest.approx(200.0)


def test_roll_sign_is_the_users():
    def roll(**options):
        track, report = decode(lcf(3), **options)
        return Rotation.from_quat(track.attitude[0, [1, 2, 3, 0]]).as_euler("ZYX")[2], report

    assert roll()[0] == pytest.approx(-0.1)
    assert any("roll of either sign" in each for each in roll()[1].warnings)
    assert roll(roll_positive="right-wing-up")[0] == pytest.approx(-0.1)
    down, report = roll(roll_positive="right-wing-down")
    assert down == pytest.approx(0.1)
    assert report.answered == ("roll_positive",)
    assert not report.warnings


def test_time_scale():
    unix = lcf(3, t0=1_749_515_182.0)
    with pytest.raises(ReadError, match="GPS seconds of 2035-06-15 or Unix seconds of 2025-06-10") as caught:
        decode(unix)
    assert 'time_scale = "gps" or "utc"' in str(caught.value)
    track, report = decode(unix, time_scale="utc")
    assert track.time[0] == 1_749_515_182 * 10**9
    assert "time_scale" in report.answered
    assert decode(lcf(3, t0=1_700_000_000.0), time_scale="gps")[0].time[0] == (
        (315_964_800 + 1_700_000_000 - 18) * 10**9
    )


@pytest.mark.parametrize(("t0", "dt", "unit_ns"), [(100.0, 0.02, 10**9), (1e5, 20.0, 10**6),
                                                   (39016858790.0, 20000.0, 10**3)])  # fmt: skip
def test_the_units_own_clock_is_called_relative(t0, dt, unit_ns):
    track, report = decode(lcf(50, t0=t0, dt=dt))
    assert track.clock.kind == "relative"
    np.testing.assert_allclose(track.time, (t0 + dt * np.arange(50)) * unit_ns, rtol=0, atol=1)
    assert any("not UTC" in each for each in report.warnings)


def test_columns_with_the_date_tie_the_units_clock_to_utc():
    rows = lcf(400, t0=500.0, dt=0.02, extra="").decode().splitlines()
    dated = []
    for k, row in enumerate(rows):
        second = (k + 3) // 13 * 0.25  # a receiver at 4 Hz whose stamp arrives 60 ms after its epoch or later
        dated.append(f"{row} 2026 6 14 10 {int(second) // 60} {second % 60:.2f} 0 0")
    track, report = decode(("\n".join(dated) + "\n").encode())
    assert track.clock.kind == "fitted"
    start = int(np.datetime64("2026-06-14T10:00:00", "ns").astype(np.int64))
    assert abs(int(track.time[0]) - start) < 0.1e9
    assert report.assumptions[0].startswith("date and time of columns 11 to 16")


def test_rows_not_to_be_used_and_damage_are_counted():
    lines = lcf(50).splitlines(keepends=True)
    lines[10] = lines[10].replace(b"\t5\t", b"\t0\t")
    lines[20] = lines[20].replace(b"82.9", b"8x.9")
    lines[30] = lines[30][:40] + b"\n"
    lines[40] = b"nan" + lines[40][lines[40].index(b"\t") :]
    track, report = decode(b"".join(lines)[:-15])
    assert report.dropped == {
        "row marked as not to be used": 1,
        "row with a cell that is no number": 1,
        "row with another number of cells": 1,
        "row without a time": 1,
        "last row cut short": 1,
    }
    assert len(track) == 45


def test_repeated_and_late_rows():
    lines = lcf(60).splitlines(keepends=True)
    track, report = decode(b"".join([*lines[:30], lines[29], lines[10], *lines[30:]]))
    assert len(track) == 60
    assert sum(report.dropped.values()) == 2


@pytest.mark.parametrize("raw", [b"", b"\n", b"1 2 3\n", b"\0" * 20, b"a b c d e f g h i j k\n"])
def test_nothing_in_it(raw):
    with pytest.raises(ReadError):
        decode(raw)


@given(st.data())
@settings(max_examples=100)
def test_damage_gives_nothing_but_refusals(data):
    raw = bytearray(lcf(12))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.sampled_from(b"0123456789.-+e \t\nx\xff\x00_"))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    for reader in (resonon, hyspex):
        for scale in ("auto", "utc", "gps"):
            try:
                reader.decode(bytes(raw), label="x", options=TrackOptions(time_scale=scale))
            except ReadError:
                continue


def test_sniff(shared_data, tmp_path):
    assert resonon.sniff(tmp_path / "x", lcf()[:8192])
    assert resonon.sniff(tmp_path / "x", lcf(5, extra=""))
    for wrong in (
        lcf(5, use=3),
        lcf(5).replace(b"\t0\t0\t", b"\t0\t1\t"),
        lcf(5).replace(b"-0.05", b"-5.05"),
    ):
        assert not resonon.sniff(tmp_path / "x", wrong)
    claimed = [
        path.name
        for path in sorted(shared_data.rglob("*"))
        if path.is_file() and resonon.sniff(path, read_head(path))
    ]
    assert claimed == [f"{name}.lcf" for name in REAL]


# --- line times ----------------------------------------


def test_first_lines_are_of_the_same_moment(tmp_path):
    (tmp_path / "a.lcf").write_bytes(lcf())
    stamps = 876.386137 + np.array([0.0, 0.009175, 0.018349])
    (tmp_path / "a.bil.times").write_text("".join(f"{each:.6f}\n" for each in stamps))
    time = line_times.read(tmp_path / "a.bil.times", 3, warnings=[])
    np.testing.assert_array_equal(time, UTC0 + np.array([0, 9_175_000, 18_349_000]))
    np.testing.assert_array_equal(line_times.read(tmp_path / "a.lcf", 3, warnings=[]), time)


def test_a_first_row_marked_as_not_to_be_used_still_ties_the_lines(tmp_path):
    raw = lcf().replace(b"\t5\t", b"\t0\t", 1)
    (tmp_path / "a.lcf").write_bytes(raw)
    (tmp_path / "a.times").write_text("5.0\n5.1\n")
    assert line_times.read(tmp_path / "a.times", 2, warnings=[])[0] == UTC0
    (tmp_path / "a.lcf").write_bytes(b"x" + raw)
    with pytest.raises(ReadError, match="its first row"):
        line_times.read(tmp_path / "a.times", 2, warnings=[])


def test_damaged_times(tmp_path):
    (tmp_path / "a.lcf").write_bytes(lcf())
    for text, match in (
        ("5.0\n5.1\n", "2 line times for 3"),
        ("5.0\nx\n5.2\n", "one time a line"),
        ("5.0\n5.2\n5.1\n", "do not follow"),
        ("5.0 1\n5.1 1\n5.2 1\n", "one time a line"),
        ("5.000\n5.100\n5.2", "one time a line"),
        ("5.0\n5.1\n9e19\n", "more than a day"),
    ):
        (tmp_path / "a.times").write_text(text)
        with pytest.raises(ReadError, match=match):
            line_times.read(tmp_path / "a.times", 3, warnings=[])


def test_real_line_times(shared_data):
    folder = shared_data / "logs/resonon"
    for name in REAL:
        track, _ = resonon.read(folder / f"{name}.lcf", label=name)
        time = line_times.read(folder / f"{name}.bil.times", 2000, warnings=[])
        assert time[0] == track.time[0]
        beyond = (time[-1] - track.time[-1]) / 1e6
        assert 4.0 < beyond < 5.0  # ms: within one step of the navigation, 5 ms
        poses = interpolate(track, time, max_gap_s=0.5)
        assert poses.ok.all()


# --- real navigation, and what is lost by decimation ----------------------------------------


def decimated(track: Trajectory, step: int) -> Trajectory:
    index = np.arange(0, len(track), step)
    names = ("time", "lon", "lat", "height_m", "height_source_m", "velocity_ned", "attitude", "std_ned_m",
             "std_rpy_deg", "fix", "segment")  # fmt: skip
    return dataclasses.replace(track, **{name: getattr(track, name)[index] for name in names})


def loss(track: Trajectory, step: int) -> tuple[float, float, float]:
    """Rms of horizontal position, height (m) and attitude (degrees), interpolated from every step-th row."""
    thin = decimated(track, step)
    inside = track.time <= thin.time[-1]
    poses = interpolate(thin, track.time[inside], max_gap_s=1.0)
    assert poses.ok.all()
    east = (poses.lon - track.lon[inside]) * METERS_PER_DEGREE * np.cos(np.radians(track.lat[inside]))
    north = (poses.lat - track.lat[inside]) * METERS_PER_DEGREE
    up = poses.height_m - track.height_m[inside]
    first, second = (Rotation.from_quat(q[:, [1, 2, 3, 0]]) for q in (poses.attitude, track.attitude[inside]))
    angle = np.degrees((first.inv() * second).magnitude())
    flat, high, turned = (float(np.sqrt(np.mean(each))) for each in (east**2 + north**2, up**2, angle**2))
    return flat, high, turned


def test_real_navigation(shared_data):
    track, report = resonon.read(shared_data / f"logs/resonon/{REAL[0]}.lcf", label="x")
    assert len(track) == 3668
    assert not report.dropped
    # 1340119934.235 s after 1980-01-06 in GPS time, which was 18 s ahead of UTC
    assert track.time[0] == int(np.datetime64("2022-06-24T15:31:56.235", "ns").astype(np.int64))
    assert track.lon[0] == 15.005044096171448
    assert track.height_m[0] == 38.51876425148946


def test_decimation_to_5_hz_and_back(shared_data):
    for name in REAL:
        track, _ = resonon.read(shared_data / f"logs/resonon/{name}.lcf", label="x")
        position_m, height_m, attitude_deg = loss(track, 40)
        assert position_m <= 0.011  # horizontal, as in the published figures for this file
        assert height_m <= 0.02
        assert attitude_deg <= 0.02


def test_decimation_of_a_made_up_flight():
    """A drone that sways: amplitude and frequency fix what linear interpolation loses."""
    n, dt, sway_m, sway_deg, f = 4001, 0.005, 0.2, 0.2, 0.5
    t = np.arange(n) * dt
    rows = np.column_stack([
        T0 + t, np.radians(sway_deg) * np.sin(2 * np.pi * f * t), np.zeros(n), np.full(n, 0.5),
        82.9 + sway_m * np.sin(2 * np.pi * f * t) / METERS_PER_DEGREE / np.cos(np.radians(55.0)),
        55.0 + 4.0 * t / METERS_PER_DEGREE, np.full(n, 150.0), np.zeros(n), np.zeros(n), np.full(n, 5.0),
    ])  # fmt: skip
    raw = "\n".join(" ".join(f"{cell:.13g}" for cell in row) for row in rows) + "\n"
    track, _ = decode(raw.encode())
    assert len(track) == n
    position_m, _, attitude_deg = loss(track, 40)
    # Chords of a sine of amplitude A over steps h miss it by at most A (2 pi f h)^2 / 8.
    bound = (2 * np.pi * f * 0.2) ** 2 / 8
    assert 0.2 * sway_m * bound < position_m < sway_m * bound
    assert 0.2 * sway_deg * bound < attitude_deg < sway_deg * bound
    assert position_m <= 0.011
    assert attitude_deg <= 0.02


def test_never_across_a_gap(shared_data):
    lines = (shared_data / f"logs/resonon/{REAL[0]}.lcf").read_bytes().splitlines(keepends=True)
    for data in (lines, lcf(3668).splitlines(keepends=True)):
        track, report = decode(b"".join(data[:1000] + data[1500:]))
        assert track.segment[-1] == track.segment[0] + 1
        assert any("gap" in each for each in report.warnings)
        whole, _ = decode(b"".join(data))
        poses = interpolate(track, whole.time, max_gap_s=10.0)
        assert not poses.ok[1001:1499].any()
        assert np.isnan(poses.lon[1001:1499]).all()
        assert poses.ok[:1000].all()
        assert poses.ok[1500:].all()
