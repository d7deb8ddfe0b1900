"""Four strips over textured ground by a camera that sits otherwise than its file says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates
from scipy.spatial.transform import Rotation

from dronesense import geodesy
from dronesense.geotag.boresight import Strip
from dronesense.geotag.inverse import pixels_at
from dronesense.geotag.locate import trace
from dronesense.model import Clock, Instrument, LineCamera, Mount, Terrain, Trajectory
from dronesense.model.tie_points import TiePoints

CRS = "EPSG:32632"
S = 1_000_000_000
START = 1_718_971_200 * S
LON, LAT, HEIGHT = 9.3, 47.0, 60.0
SAMPLES, RATE_HZ, SPEED = 240, 50, 5.0
X0, Y0 = (float(each[0]) for each in geodesy.to_grid(np.array([LON]), np.array([LAT]), CRS))


@dataclass(frozen=True)
class Flight:
    """What is true, and what is assumed: `strips` with the logged tracks, `truth` with the flown ones."""

    strips: list[Strip]
    truth: list[dict[str, Any]]
    instrument: Instrument
    terrain: Terrain
    boresight_deg: np.ndarray
    time_s: float


def track(
    heading_deg: float,
    start_ns: int,
    rng: np.random.Generator,
    *,
    speed: float,
    height: float,
    gusts: bool = False,
) -> Trajectory:
    """A straight leg through the middle, 100 Hz, with swings of a few degrees, or *gusts* without repeats."""
    n = 1400
    t = np.arange(n) / 100.0
    away = speed * (t - 7.0)
    unit = np.array([np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg)), 0.0])
    sway = sum(
        rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * rng.uniform(0.05, 0.2) * t + rng.uniform(0, 6))
        for _ in range(2)
    )
    side = np.array([-unit[1], unit[0], 0.0])
    offset = away[:, None] * unit + sway[:, None] * side
    offset[:, 2] -= 0.2 * np.sin(2 * np.pi * 0.1 * t + rng.uniform(0, 6))
    lon, lat, up = geodesy.displace(np.full(n, LON), np.full(n, LAT), np.full(n, height), offset)
    turns = np.column_stack(
        [
            heading_deg + 2.0 * np.sin(2 * np.pi * 0.15 * t + rng.uniform(0, 6)),
            *(
                amplitude * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * t + rng.uniform(0, 6))
                for amplitude in (1.5, 2.0)
            ),
        ]
    )
    if gusts:
        rolls = gaussian_filter1d(rng.normal(size=n), 20.0)
        turns[:, 2] = 2.0 * rolls / rolls.std()
    attitude = Rotation.from_euler("ZYX", turns, degrees=True).as_quat()[:, [3, 0, 1, 2]]
    return Trajectory(
        time=start_ns + np.arange(n) * (S // 100),
        lon=lon,
        lat=lat,
        height_m=up,
        height_source_m=up,
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=attitude,
        std_ned_m=np.full((n, 3), 0.02),
        std_rpy_deg=np.tile([0.02, 0.02, 0.05], (n, 1)),
        fix=np.full(n, 6, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="made up",
    )


def logged(true: Trajectory, rng: np.random.Generator) -> Trajectory:
    """The track as a log tells it: off by one draw of its stated errors, for the whole strip."""
    shift = true.std_ned_m[0] * rng.normal(size=3)
    lon, lat, up = geodesy.displace(true.lon, true.lat, true.height_m, np.tile(shift, (len(true.lon), 1)))
    roll, pitch, yaw = true.std_rpy_deg[0] * rng.normal(size=3)
    turns = Rotation.from_quat(true.attitude[:, [1, 2, 3, 0]]).as_euler("ZYX", degrees=True)
    turned = Rotation.from_euler("ZYX", turns + np.array([yaw, pitch, roll]), degrees=True)
    return replace(
        true, lon=lon, lat=lat, height_m=up, height_source_m=up, attitude=turned.as_quat()[:, [3, 0, 1, 2]]
    )


def hills(rng: np.random.Generator, *, relief_m: float = 6.0) -> Terrain:
    if relief_m == 0.0:
        return Terrain.flat(0.0, sigma_m=0.1, source="flat")
    shape = gaussian_filter(rng.normal(size=(120, 120)), 10)
    height = relief_m * shape / np.abs(shape).max()
    return Terrain(height, (2.0, 0.0, X0 - 120.0, 0.0, -2.0, Y0 + 120.0), CRS, 0.1, "hills")


def make(
    seed: int,
    *,
    headings: tuple[float, ...] = (0.0, 180.0, 90.0, 270.0),
    speeds: tuple[float, ...] = (5.0, 5.0, 5.0, 5.0),
    heights: tuple[float, ...] = (60.0, 60.0, 60.0, 60.0),
    relief_m: float = 6.0,
    boresight_deg: tuple[float, float, float] = (0.6, -0.8, 1.0),
    time_s: float = 0.020,
    errors: bool = True,
    gusts: bool = False,
) -> Flight:
    """Draw a flight; the camera file says a mount without boresight and times that are *time_s* too early."""
    rng = np.random.default_rng(seed)
    look = np.column_stack([np.linspace(-16.0, 16.0, SAMPLES), np.zeros(SAMPLES)])
    arm = (0.1, -0.05, 0.15)
    assumed = Instrument("scanner", "line_scan", LineCamera(SAMPLES, look), Mount(lever_arm_m=arm), "")
    true = replace(assumed, mount=Mount(boresight_deg=boresight_deg, lever_arm_m=arm))
    terrain = hills(rng, relief_m=relief_m)
    strips, truth = [], []
    for i, (heading, speed, height) in enumerate(zip(headings, speeds, heights, strict=False)):
        start = START + i * 60 * S
        flown = track(heading, start, rng, speed=speed, height=height, gusts=gusts)
        stamps = start + S + np.arange(12 * RATE_HZ) * (S // RATE_HZ)
        strips.append(Strip(f"strip_{i}", stamps, logged(flown, rng) if errors else flown))
        truth.append(
            {
                "line_time": stamps + round(time_s * S),
                "trajectory": flown,
                "instrument": true,
                "terrain": terrain,
                "crs": CRS,
            }
        )
    return Flight(strips, truth, assumed, terrain, np.array(boresight_deg), time_s)


def ties(
    flight: Flight, rng: np.random.Generator, *, per_pair: int = 40, sigma_px: float = 0.2, gross: float = 0.0
) -> TiePoints:
    """Places seen by two strips, with errors of matching."""
    a, b, pixel_a, pixel_b = [], [], [], []
    for i in range(len(flight.strips)):
        for j in range(i + 1, len(flight.strips)):
            last = [len(flight.strips[i].line_time) - 1, SAMPLES - 1]
            some = rng.uniform(0.0, last, size=(6 * per_pair, 2))
            hits = trace(some, **flight.truth[i]).hits
            other = pixels_at(hits.x, hits.y, **flight.truth[j])
            seen = np.flatnonzero(np.isfinite(other).all(axis=1))[:per_pair]
            a += [i] * len(seen)
            b += [j] * len(seen)
            pixel_a.append(some[seen])
            pixel_b.append(other[seen])
    first, second = np.concatenate(pixel_a), np.concatenate(pixel_b)
    second = second + sigma_px * rng.normal(size=second.shape)
    wrong = rng.random(len(second)) < gross
    second[wrong] += rng.uniform(-20.0, 20.0, size=(int(wrong.sum()), 2))
    second = np.clip(second, -0.5, [len(flight.strips[0].line_time) - 0.5, SAMPLES - 0.5])
    n = len(first)
    return TiePoints(
        tuple(each.name for each in flight.strips),
        np.array(a),
        np.array(b),
        *first.T,
        *second.T,
        np.full(n, sigma_px),
    )


def pictures(flight: Flight, rng: np.random.Generator, *, noise: float = 0.05) -> list[np.ndarray]:
    """What the strips show of a ground with texture of 0.3 to 3 m, 0.1 m cells."""
    ground = sum(
        weight * gaussian_filter(rng.normal(size=(1400, 1400)), size) * size
        for weight, size in ((1.0, 1.5), (1.0, 4.0), (1.0, 15.0))
    )
    ground = ground / ground.std()
    made = []
    for one in flight.truth:
        n = len(one["line_time"])
        grid = np.stack(np.meshgrid(np.arange(n), np.arange(SAMPLES), indexing="ij"), axis=-1)
        hits = trace(grid.reshape(-1, 2), **one).hits
        row, col = (Y0 + 70.0 - hits.y) / 0.1, (hits.x - X0 + 70.0) / 0.1
        value = map_coordinates(ground, [row, col], order=1, cval=np.nan).reshape(n, SAMPLES)
        made.append((10.0 + value + noise * rng.normal(size=value.shape)).astype(np.float32))
    return made
