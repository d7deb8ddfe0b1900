"""Rays that meet the ground, and pixels that are located, per second.

    python benchmarks/bench_geotag.py

The first peer is the plain way: march along every ray in steps of half a cell, interpolate the heights, take
the first sample below the ground. It is less exact and may step over a crest. The second is GDAL's warping
by geolocation arrays, through rasterio, which is given the places of the pixels for nothing; what it takes
them for, the upper left corners of pixels, is made from their centers here. CPU seconds, in turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from machine import describe, paired, seconds, table

from dronesense import geodesy
from dronesense.geotag import glt, igm, ortho, resample
from dronesense.geotag.locate import locate_pixels
from dronesense.geotag.terrain import HIT, Surface, intersect
from dronesense.model import Clock, Instrument, LineCamera, Mount, Terrain, Trajectory

CRS = "EPSG:32632"
LON, LAT = 9.0, 48.0
CELLS = 1000
HEIGHT_M = 80.0
SAMPLES, LINES = 640, 300
FOV_DEG = 40.0
STRIP_LINES, STRIP_GSD_M, BANDS = 2000, 0.08, 10
ROUNDS = 5
RELIEF_M = {"smooth": (5.0, 60.0), "rough": (3.0, 1.0)}
"""Standard deviation of the heights and correlation length, m; cells are 1 m."""


def make_terrain(kind: str) -> Terrain:
    """Return a made-up height model around (LON, LAT)."""
    from scipy.ndimage import gaussian_filter

    sigma_m, length_m = RELIEF_M[kind]
    field = gaussian_filter(np.random.default_rng(0).normal(size=(CELLS, CELLS)), length_m, mode="wrap")
    height = field / field.std() * sigma_m
    x, y = geodesy.to_grid(LON, LAT, CRS)
    transform = (1.0, 0.0, float(x) - CELLS / 2, 0.0, -1.0, float(y) + CELLS / 2)
    return Terrain(height, transform, CRS, 0.1, kind)


def make_trajectory(seconds_flown: int = 30) -> Trajectory:
    """Return a flight to the north at 5 m/s with slow roll, pitch and yaw."""
    from scipy.spatial.transform import Rotation

    t = np.arange(0.0, seconds_flown + 1.0, 0.1)
    n = len(t)
    place = geodesy.displace(
        np.full(n, LON), np.full(n, LAT), np.full(n, HEIGHT_M), (t - t.mean())[:, None] * [5.0, 0.0, 0.0]
    )
    angles = np.column_stack([5 * np.sin(t / 3), 3 * np.sin(t / 2), 4 * np.sin(t)])
    attitude = Rotation.from_euler("ZYX", angles, degrees=True).as_quat()[:, [3, 0, 1, 2]]
    return Trajectory(
        time=np.round(t * 1e9).astype(np.int64),
        lon=place[0],
        lat=place[1],
        height_m=place[2],
        height_source_m=place[2],
        height_ref="ellipsoid",
        velocity_ned=np.tile([5.0, 0.0, 0.0], (n, 1)),
        attitude=attitude,
        std_ned_m=np.full((n, 3), 0.02),
        std_rpy_deg=np.full((n, 3), 0.1),
        fix=np.full(n, 5, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.001),
        reference_point="imu",
        source="made up",
    )


def march(
    terrain: Terrain, frames: geodesy.TangentFrames, frame: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Return the distance of the first sample below the ground, half a cell apart; NaN: none."""
    from scipy.ndimage import map_coordinates

    height = np.asarray(terrain.height_m)
    step, origin = frames.linear[frame] @ direction[:, :, None], frames.origin[frame]
    step = step[..., 0] * 0.5
    found = np.full(len(direction), np.nan)
    live = np.arange(len(direction))
    for k in range(1, int(4 * HEIGHT_M)):
        place = origin[live] + k * step[live]
        row = terrain.transform[5] - place[:, 1] - 0.5
        col = place[:, 0] - terrain.transform[2] - 0.5
        below = place[:, 2] <= map_coordinates(height, [row, col], order=1, cval=-np.inf)
        found[live[below]] = 0.5 * k
        live = live[~below]
        if not live.size:
            break
    return found


def rays(terrain: Terrain) -> list[str]:
    """Return a row: rays per second of both, and how far they differ."""
    t = np.linspace(-50.0, 50.0, LINES)
    place = geodesy.displace(
        np.full(LINES, LON), np.full(LINES, LAT), np.full(LINES, HEIGHT_M), t[:, None] * [1.0, 0.0, 0.0]
    )
    frames = geodesy.tangent_frames(*place, CRS)
    frame = np.repeat(np.arange(LINES), SAMPLES)
    across = np.tan(np.radians(np.linspace(-FOV_DEG / 2, FOV_DEG / 2, SAMPLES)))
    looks = np.column_stack([np.full(SAMPLES, 0.05), across, np.ones(SAMPLES)])
    direction = np.tile(looks / np.linalg.norm(looks, axis=1, keepdims=True), (LINES, 1))
    surface = Surface(terrain)
    hits, coarse = intersect(surface, frames, frame, direction), march(terrain, frames, frame, direction)
    hit = hits.status == HIT  # the others graze a crest: refused, as their place is not known well
    a, b = paired(
        lambda: intersect(surface, frames, frame, direction), lambda: march(terrain, frames, frame, direction)
    )
    n, late = len(frame), (coarse - hits.distance_m)[hit]
    far = np.mean(np.abs(late) > 1.0)
    return [
        f"rays, {terrain.source}",
        f"{n / a:,.0f}",
        f"{n / b:,.0f}",
        f"{b / a:.1f}",
        f"{np.median(late):.2f} m late, {far:.2%} off by > 1 m, {np.sum(~hit)} grazing",
    ]


def pixels(terrain: Terrain) -> list[str]:
    """Return a row: pixels located per second, with covariance."""
    look = np.column_stack([np.linspace(-FOV_DEG / 2, FOV_DEG / 2, SAMPLES), np.zeros(SAMPLES)])
    mount = Mount(sigma_boresight_deg=0.05, lever_arm_m=(0.1, 0.0, 0.1), sigma_lever_arm_m=0.01)
    camera = Instrument("camera", "line_scan", LineCamera(SAMPLES, look), mount, "camera.toml")
    line_time = np.round(np.linspace(1.0, 29.0, LINES) * 1e9).astype(np.int64)
    row, col = np.meshgrid(np.arange(LINES), np.arange(SAMPLES), indexing="ij")
    spots = np.column_stack([row.ravel(), col.ravel()])
    track = make_trajectory()
    spent = min(
        seconds(
            lambda: locate_pixels(
                spots, line_time=line_time, trajectory=track, instrument=camera, terrain=terrain, crs=CRS
            )
        )
        for _ in range(3)
    )
    return [
        f"pixels, {terrain.source}",
        f"{len(spots) / spent:,.0f}",
        "",
        "",
        "with covariance and its parts",
    ]


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def warp(terrain: Terrain, method: resample.Method) -> list[str]:
    """Return a row: a strip of 640 x 2000 pixels, followed and put on a grid with 10 bands; and by GDAL."""
    import rasterio
    from rasterio.warp import Resampling, reproject

    look = np.column_stack([np.linspace(-FOV_DEG / 2, FOV_DEG / 2, SAMPLES), np.zeros(SAMPLES)])
    camera = Instrument("camera", "line_scan", LineCamera(SAMPLES, look), Mount(), "camera.toml")
    line_time = np.round(np.linspace(1.0, 29.0, STRIP_LINES) * 1e9).astype(np.int64)
    shape = STRIP_LINES, SAMPLES
    ray = {
        "line_time": line_time,
        "trajectory": make_trajectory(),
        "instrument": camera,
        "terrain": terrain,
        "crs": CRS,
    }
    bands = np.random.default_rng(1).normal(size=(BANDS, *shape)).astype(np.float32)

    def ours() -> tuple[glt.Lookup, np.ndarray]:
        table = ortho.lookup(shape, gsd_m=STRIP_GSD_M, offsets=method == "bilinear", **ray)
        return table, getattr(resample, method)(bands, table)

    table, result = ours()
    followed = list(igm.blocks(**ray))
    corners = np.stack(
        [_corners(np.concatenate(each)) for each in zip(*((b.x, b.y) for b in followed), strict=True)]
    )
    crs = rasterio.CRS.from_user_input(CRS)
    theirs_result = np.full(result.shape, np.nan, dtype=np.float32)

    def theirs() -> None:
        reproject(
            bands,
            theirs_result,
            src_geoloc_array=corners,
            src_crs=crs,
            dst_crs=crs,
            dst_transform=rasterio.Affine(*table.transform),
            resampling=Resampling[method],
            dst_nodata=np.nan,
            num_threads=1,
        )

    pairs = [(_cpu_s(ours), _cpu_s(theirs)) for _ in range(ROUNDS)]
    a, b = (statistics.median(each) for each in zip(*pairs, strict=True))
    both = np.isfinite(result[0]) & np.isfinite(theirs_result[0])
    same = np.mean(result[0][both] == theirs_result[0][both])
    n = STRIP_LINES * SAMPLES
    note = f"{a:.2f} s, GDAL {b:.2f} s" + (f", {same:.2%} of cells equal" if method == "nearest" else "")
    return [f"rays and {BANDS} bands, {method}", f"{n / a:,.0f}", f"{n / b:,.0f}", f"{b / a:.1f}", note]


def _corners(center: np.ndarray) -> np.ndarray:
    """Return the upper left corners of pixels from their centers, continued by half a pixel at the edges."""
    wide = np.pad(center, 1, mode="reflect", reflect_type="odd")
    corner = 0.25 * (wide[:-1, :-1] + wide[1:, :-1] + wide[:-1, 1:] + wide[1:, 1:])
    return np.asarray(corner[:-1, :-1])


def main() -> None:
    """Print the table."""
    print(describe())
    print(f"{SAMPLES * LINES:,} rays from {HEIGHT_M:.0f} m onto {CELLS} x {CELLS} cells of 1 m")
    grounds = [make_terrain(kind) for kind in RELIEF_M]
    rows = [rays(ground) for ground in grounds] + [pixels(ground) for ground in grounds]
    rows += [warp(grounds[0], method) for method in resample.METHODS]
    table(["what", "per second", "peer, per second", "times as fast", "note"], rows)


if __name__ == "__main__":
    main()
