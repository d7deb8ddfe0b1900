"""Lines followed as a whole are the same as their pixels one by one; observation worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.geotag import igm
from dronesense.geotag.locate import trace
from dronesense.model import Clock, Instrument, LineCamera, Mount, Terrain, Trajectory

CRS = "EPSG:32632"
S = 1_000_000_000
NOON = 1_718_971_200 * S
"""2024-06-21T12:00:00Z."""


def ray(*, lat: float = 47.0, gap: bool = False, cols: int = 25, swing: float = 1.0) -> dict[str, Any]:
    n = 21
    time = NOON + np.arange(n) * S // 2
    along = (np.arange(n) * 5.0)[:, None] * [1.0, 0.0, 0.0]
    place = geodesy.displace(np.full(n, 9.3), np.full(n, lat), np.full(n, 100.0), along)
    t = np.arange(n)
    turns = np.column_stack([4.0 * np.sin(t), 2.0 * np.cos(t), 5.0 * np.sin(t)])
    attitude = Rotation.from_euler("ZYX", swing * turns, degrees=True)
    segment = np.zeros(n, np.int32)
    segment[12:] = 1 if gap else 0
    trajectory = Trajectory(
        time=time,
        lon=place[0],
        lat=place[1],
        height_m=place[2],
        height_source_m=place[2],
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=attitude.as_quat()[:, [3, 0, 1, 2]],
        std_ned_m=np.zeros((n, 3)),
        std_rpy_deg=np.zeros((n, 3)),
        fix=np.full(n, 5, np.uint8),
        segment=segment,
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="made up",
    )
    look = np.column_stack([np.linspace(-25.0, 25.0, cols), swing * np.linspace(-1.0, 1.0, cols)])
    mount = Mount(lever_arm_m=(0.2, 0.1, 0.3), boresight_deg=(1.0, 0.5, -1.0)) if swing else Mount()
    return {
        "line_time": NOON + np.arange(200) * S // 20 + 7,
        "trajectory": trajectory,
        "instrument": Instrument("scanner", "line_scan", LineCamera(cols, look), mount, ""),
        "terrain": Terrain.flat(0.0, sigma_m=0.0, source="flat"),
        "crs": CRS,
    }


@pytest.mark.parametrize("gap", [False, True])
def test_lines_are_their_pixels(gap: bool) -> None:
    given = ray(gap=gap)
    pixels = np.stack(np.meshgrid(np.arange(200), np.arange(25), indexing="ij"), axis=-1).reshape(-1, 2)
    one = trace(pixels, **given)
    blocks = list(igm.blocks(budget_bytes=25 * 400 * 17, **given))
    assert [each.first for each in blocks] == list(range(0, 200, 17))
    for name in ("x", "y", "height_m", "status"):
        whole = np.concatenate([getattr(each, name) for each in blocks])
        assert whole.shape == (200, 25)
        np.testing.assert_allclose(whole.ravel(), getattr(one.hits, name), atol=1e-7)
    assert (one.hits.status == 1).any() == gap
    all_lines = igm.follow(0, 200, normals=True, **given)
    np.testing.assert_allclose(all_lines.trace.hits.normal, one.hits.normal, atol=1e-12)
    np.testing.assert_allclose(all_lines.trace.direction, one.direction, atol=1e-14)
    np.testing.assert_array_equal(all_lines.trace.time, one.time)


def test_a_level_flight_over_level_ground() -> None:
    # Noon of the June solstice on the equator at 9.3 E: the sun stands 23.44 degrees north, a bit past noon.
    given = ray(lat=0.0, swing=0.0, cols=3)
    given["crs"] = "EPSG:32632"
    lines = igm.follow(10, 12, normals=True, **given)
    bands = dict(zip(igm.OBSERVATION_BANDS, igm.observation(lines), strict=True))
    np.testing.assert_allclose(bands["to-sensor zenith (deg)"][0], [25.0, 0.0, 25.0], atol=0.05)
    # Flown to the north: port pixels lie west, and from there the sensor is seen to the east.
    azimuth = bands["to-sensor azimuth (deg)"][0]
    assert azimuth[0] == pytest.approx(90.0, abs=3.0)
    assert azimuth[2] == pytest.approx(270.0, abs=3.0)
    np.testing.assert_allclose(
        bands["path length (m)"][0, [0, 2]], 100.0 / np.cos(np.radians(25.0)), rtol=1e-3
    )
    assert bands["path length (m)"][0, 1] == pytest.approx(100.0, abs=0.01)
    # Equation of time on that day -1.8 min: the hour angle is 9.3 - 0.45 degrees.
    hour, declination = np.radians(9.3 - 0.45), np.radians(23.44)
    zenith = np.degrees(np.arccos(np.cos(declination) * np.cos(hour)))
    assert bands["to-sun zenith (deg)"][0, 1] == pytest.approx(zenith, abs=0.05)
    assert 270.0 < bands["to-sun azimuth (deg)"][0, 1] < 360.0  # north and already in the west
    assert bands["solar phase (deg)"][0, 1] == pytest.approx(zenith, abs=0.1)
    cosine = bands["cosine of sun to surface normal"][0, 1]
    assert cosine == pytest.approx(np.cos(np.radians(zenith)), abs=1e-3)
    np.testing.assert_allclose(bands["slope (deg)"], 0.0, atol=0.01)
    assert bands["UTC time (h)"][0, 0] == pytest.approx(12.0 + 0.5 / 3600.0, abs=1e-5)
    assert bands["earth-sun distance (AU)"][0, 0] == pytest.approx(1.0163, abs=2e-4)


def test_only_line_scanners_have_lines() -> None:
    given = ray()
    from dataclasses import replace

    given["instrument"] = replace(given["instrument"], spec=None)
    with pytest.raises(TypeError, match="line scanner"):
        next(igm.blocks(**given))
