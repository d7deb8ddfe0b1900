"""There and back: a push-broom strip made by *inverse* projection of an orthophoto lies on it when put back.

The strip is made with formulas of this file, by SciPy's rotations and pyproj alone: for every place of the
orthophoto the time is found at which the camera's line swept over it. Putting it back follows rays to the
ground. The two share no code, so a wrong sign, a half pixel or a delay shows as a shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation, Slerp

from dronesense.geotag import ortho, resample
from dronesense.model import Clock, Instrument, LineCamera, Mount, Terrain, Trajectory

NS = 1_000_000_000
SAMPLES, FOV_DEG = 360, 52.0
SPEED_M_S = 6.0
NAV_HZ = 20.0
TILE = 48
MOUNT = Mount(boresight_deg=(1.2, -0.8, 2.0), lever_arm_m=(0.3, -0.2, 0.15))


@dataclass
class Photo:
    """An orthophoto and the surface that it lies on, on one grid."""

    values: np.ndarray
    height: np.ndarray
    transform: tuple[float, float, float, float, float, float]
    crs: str
    terrain: Terrain


@dataclass
class Flight:
    """A flight along an image's diagonal, with the wind in it."""

    time: np.ndarray  # s
    lon: np.ndarray
    lat: np.ndarray
    height: np.ndarray
    attitude: Rotation
    lines: np.ndarray  # s


def fly(photo: Photo, above: float, gsd: float) -> Flight:
    """A straight line over the middle of the photo, heading 25 degrees of the grid, turning and heaving."""
    rows, cols = photo.values.shape
    a, _, c, _, e, f = photo.transform
    x0, y0 = c + a * cols / 2, f + e * rows / 2
    length = 1.15 * rows * abs(e)
    time = np.arange(0.0, length / SPEED_M_S, 1.0 / NAV_HZ)
    heading = np.radians(25.0)
    way = (time - time.mean()) * SPEED_M_S
    x, y = x0 + way * np.sin(heading) + 0.5 * np.sin(0.9 * time), y0 + way * np.cos(heading)
    lon, lat = Transformer.from_crs(photo.crs, "EPSG:4326", always_xy=True).transform(x, y)
    height = np.nanmedian(photo.height) + above + 0.8 * np.sin(0.5 * time)
    yaw = 25.0 + 3.0 * np.sin(0.35 * time)
    pitch, roll = 2.0 * np.sin(0.8 * time), 3.0 * np.sin(1.1 * time)
    attitude = Rotation.from_euler("ZYX", np.column_stack([yaw, pitch, roll]), degrees=True)
    lines = np.arange(0.5, time[-1] - 0.5, gsd / SPEED_M_S)
    return Flight(time, np.asarray(lon), np.asarray(lat), height, attitude, lines)


def to_camera(flight: Flight, points: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Earth-centered points in the frame of the camera at their times: x forward, y starboard, z down."""
    lon, lat, height = (
        np.interp(time, flight.time, each) for each in (flight.lon, flight.lat, flight.height)
    )
    exact = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    center = np.column_stack(exact.transform(lon, lat, height))
    # From the earth's axes to north, east, down: about the pole, then tipped by the latitude.
    to_ned = Rotation.from_euler("ZY", np.column_stack([lon, -90.0 - lat]), degrees=True).inv()
    body = Slerp(flight.time, flight.attitude)(time).inv().apply(to_ned.apply(points - center))
    boresight = Rotation.from_euler("ZYX", MOUNT.boresight_deg[::-1], degrees=True)
    return np.asarray(boresight.inv().apply(body - np.asarray(MOUNT.lever_arm_m)))


def photograph(photo: Photo, flight: Flight) -> np.ndarray:
    """The strip: the time at which each place crossed the line, and the sample that it fell on."""
    rows, cols = np.indices(photo.values.shape)
    a, _, c, _, e, f = photo.transform
    x, y = c + a * (cols + 0.5), f + e * (rows + 0.5)
    known = np.isfinite(photo.height) & np.isfinite(photo.values)
    lon, lat = Transformer.from_crs(photo.crs, "EPSG:4326", always_xy=True).transform(x[known], y[known])
    exact = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    points = np.column_stack(exact.transform(lon, lat, photo.height[known]))
    value = photo.values[known]
    time = np.full(len(points), flight.time[len(flight.time) // 2])
    for _ in range(28):
        seen = to_camera(flight, points, np.clip(time, flight.time[0], flight.time[-1]))
        time = np.clip(time, flight.time[0], flight.time[-1]) + 0.8 * seen[:, 0] / SPEED_M_S
    inside = (time > flight.time[0]) & (time < flight.time[-1])
    points, value, time = points[inside], value[inside], time[inside]
    seen = to_camera(flight, points, time)
    assert np.abs(seen[:, 0]).max() < 1e-3, "the line time is not found"
    tangent = seen[:, 1] / seen[:, 2]
    sample = 0.5 * SAMPLES * (tangent / np.tan(np.radians(FOV_DEG / 2)) + 1.0) - 0.5
    line = (time - flight.lines[0]) / (flight.lines[1] - flight.lines[0])
    near = (sample > -3) & (sample < SAMPLES + 2)
    strip = LinearNDInterpolator(np.column_stack([line[near], sample[near]]), value[near])
    return np.asarray(strip(*np.mgrid[0 : len(flight.lines), 0:SAMPLES]), dtype=np.float32)


def put_back(photo: Photo, flight: Flight, strip: np.ndarray) -> np.ndarray:
    """The strip on the grid of the photo, by the way of the package."""
    n = len(flight.time)
    trajectory = Trajectory(
        time=np.round(flight.time * NS).astype(np.int64),
        lon=flight.lon,
        lat=flight.lat,
        height_m=flight.height,
        height_source_m=flight.height,
        height_ref="ellipsoid",
        velocity_ned=np.full((n, 3), np.nan),
        attitude=flight.attitude.as_quat()[:, [3, 0, 1, 2]],
        std_ned_m=np.zeros((n, 3)),
        std_rpy_deg=np.zeros((n, 3)),
        fix=np.full(n, 5, np.uint8),
        segment=np.zeros(n, np.int32),
        clock=Clock("exact", 0.0),
        reference_point="imu",
        source="made up",
    )
    edge = np.tan(np.radians(FOV_DEG / 2))
    look = np.degrees(np.arctan((2.0 * (np.arange(SAMPLES) + 0.5) / SAMPLES - 1.0) * edge))
    camera = LineCamera(SAMPLES, np.column_stack([look, np.zeros(SAMPLES)]))
    table = ortho.lookup(
        strip.shape,
        line_time=np.round(flight.lines * NS).astype(np.int64),
        trajectory=trajectory,
        instrument=Instrument("scanner", "line_scan", camera, MOUNT, ""),
        terrain=photo.terrain,
        crs=photo.crs,
        gsd_m=photo.transform[0],
        offsets=True,
    )
    raster = resample.bilinear(strip, table)
    a, _, c, _, _, f = photo.transform
    left, top = round((table.transform[2] - c) / a), round((f - table.transform[5]) / a)
    rows, cols = photo.values.shape
    wide = np.full((rows, cols), np.nan, dtype=np.float32)
    y, x = np.mgrid[0:rows, 0:cols]
    inside = (y >= top) & (y < top + raster.shape[0]) & (x >= left) & (x < left + raster.shape[1])
    wide[inside] = raster[y[inside] - top, x[inside] - left]
    return wide


def shifts(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Offsets of tiles in pixels by phase correlation, the peak found by a fit to the phases' slopes."""
    found = []
    window = np.outer(np.hanning(TILE), np.hanning(TILE))
    for top in range(0, one.shape[0] - TILE + 1, 3 * TILE // 4):
        for left in range(0, one.shape[1] - TILE + 1, 3 * TILE // 4):
            a, b = (each[top : top + TILE, left : left + TILE].astype(float) for each in (one, other))
            if not np.isfinite(a + b).all():
                continue
            spectra = [np.fft.fft2((each - each.mean()) * window) for each in (a, b)]
            cross = np.conj(spectra[0]) * spectra[1]
            padded = np.zeros((16 * TILE,) * 2, dtype=complex)
            middle = 8 * TILE - TILE // 2
            padded[middle : middle + TILE, middle : middle + TILE] = np.fft.fftshift(
                cross / (np.abs(cross) + 1e-6 * np.abs(cross).max())
            )
            power = np.fft.ifft2(np.fft.ifftshift(padded)).real
            peak = np.array(np.unravel_index(np.argmax(power), power.shape), dtype=float)
            peak[peak > 8 * TILE] -= 16 * TILE
            found.append(peak / 16.0)
    return np.array(found)


def report(photo: Photo, above: float) -> tuple[np.ndarray, float]:
    flight = fly(photo, above, photo.transform[0])
    back = put_back(photo, flight, photograph(photo, flight))
    both = np.isfinite(back) & np.isfinite(photo.values)
    assert both.mean() > 0.3
    offsets = shifts(photo.values, back)
    assert len(offsets) >= 15
    return offsets, float(np.corrcoef(back[both], photo.values[both])[0, 1])


def made_up(rng: np.random.Generator) -> Photo:
    """Hills 6 m high with a terrace, and a texture."""
    n, gsd = 400, 0.2
    transform = (gsd, 0.0, 620_000.0, 0.0, -gsd, 5_320_000.0)
    cells = n // 4 + 8  # the surface model is coarser, and reaches farther
    height = gaussian_filter(rng.normal(size=(cells, cells)), 12.0)
    height *= 2.0 / height.std()
    height[60:, :] += 3.0
    dem = (0.8, 0.0, transform[2] - 3.2, 0.0, -0.8, transform[5] + 3.2)
    terrain = Terrain(gaussian_filter(height, 1.5) + 400.0, dem, "EPSG:32632", 0.0, "made up")
    texture = gaussian_filter(rng.normal(size=(n, n)), 1.5)
    return Photo(
        texture / texture.std(), on_grid(terrain, transform, (n, n)), transform, "EPSG:32632", terrain
    )


def on_grid(terrain: Terrain, transform: tuple[float, ...], shape: tuple[int, int]) -> np.ndarray:
    """Bilinear heights at the centers of a grid, by SciPy."""
    rows, cols = np.indices(shape)
    a, _, c, _, e, f = transform
    x, y = c + a * (cols + 0.5), f + e * (rows + 0.5)
    ta, _, tc, _, te, tf = terrain.transform
    at = [(y - tf) / te - 0.5, (x - tc) / ta - 0.5]
    return np.asarray(map_coordinates(terrain.height_m, at, order=1, cval=np.nan))


@pytest.mark.once
def test_a_strip_made_by_inverse_projection_lies_where_it_came_from() -> None:
    offsets, correlation = report(made_up(np.random.default_rng(4)), 80.0)
    assert np.median(np.hypot(*offsets.T)) <= 0.1
    assert np.abs(np.median(offsets, axis=0)).max() <= 0.07  # a half pixel would be 0.5
    assert correlation > 0.97


def test_the_measure_sees_half_a_pixel() -> None:
    rng = np.random.default_rng(1)
    picture = gaussian_filter(rng.normal(size=(240, 240)), 1.5)
    from scipy.ndimage import shift

    moved = shift(picture, (0.5, -1.25), order=5, mode="wrap")
    np.testing.assert_allclose(np.median(shifts(picture, moved), axis=0), [0.5, -1.25], atol=0.07)


def drape(folder: Path, name: str, gsd: float, box: tuple[float, float, float, float]) -> Photo:
    """An orthophoto of one frame of the ODM set on its surface model, by the pose that OpenSfM found."""
    import json

    import rasterio

    with rasterio.open(folder / "odm_dem" / "dsm.tif") as source:
        terrain = Terrain(source.read(1).astype(float), tuple(source.transform)[:6], "EPSG:32651", 0.0, "ODM")
    left, top = np.round(np.array([box[0], box[3]]) / gsd) * gsd
    shape = round((box[3] - box[1]) / gsd), round((box[2] - box[0]) / gsd)
    transform = (gsd, 0.0, float(left), 0.0, -gsd, float(top))
    height = on_grid(terrain, transform, shape)
    rows, cols = np.indices(shape)
    lon, lat = Transformer.from_crs("EPSG:32651", "EPSG:4326", always_xy=True).transform(
        left + gsd * (cols + 0.5), top - gsd * (rows + 0.5)
    )
    model = json.loads((folder / "opensfm" / "reconstruction.json").read_text())[0]
    lens, shot = next(iter(model["cameras"].values())), model["shots"][name]
    local = Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 "
        "+step +proj=topocentric +ellps=WGS84 "
        "+lon_0={longitude} +lat_0={latitude} +h_0={altitude}".format(**model["reference_lla"])
    )
    enu = np.stack(local.transform(lon, lat, height), axis=-1)
    seen = Rotation.from_rotvec(shot["rotation"]).apply(enu.reshape(-1, 3)) + shot["translation"]
    x, y = (seen[:, :2] / seen[:, 2:]).T
    r2 = x * x + y * y
    radial = 1.0 + r2 * (lens["k1"] + r2 * (lens["k2"] + r2 * lens["k3"]))
    u = x * radial + 2.0 * lens["p1"] * x * y + lens["p2"] * (r2 + 2.0 * x * x)
    v = y * radial + 2.0 * lens["p2"] * x * y + lens["p1"] * (r2 + 2.0 * y * y)
    size = max(lens["width"], lens["height"])
    col = size * (lens["focal_x"] * u + lens["c_x"]) + 0.5 * (lens["width"] - 1)
    row = size * (lens["focal_y"] * v + lens["c_y"]) + 0.5 * (lens["height"] - 1)
    with rasterio.open(folder / "images" / f"{name}.tif") as source:
        picture = source.read(2).astype(float)
    values = map_coordinates(picture, [row, col], order=1, cval=np.nan).reshape(shape)
    return Photo(gaussian_filter(values, 0.7), height, transform, "EPSG:32651", terrain)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # frames, not maps
@pytest.mark.once
def test_a_strip_over_the_surface_of_odm(shared_data: Path, record_property: Any) -> None:
    folder = shared_data / "georef" / "orthority" / "odm"
    photo = drape(folder, "100_0005_0018", 0.25, (292_776.0, 2_730_998.0, 292_866.0, 2_731_088.0))
    assert np.isfinite(photo.values).mean() > 0.9
    offsets, correlation = report(photo, 90.0)
    median = float(np.median(np.hypot(*offsets.T)))
    record_property("median_px", median)
    assert median <= 0.3  # a roof hides what lies behind it, and the strip there shows other ground
    assert np.abs(np.median(offsets, axis=0)).max() <= 0.1
    assert correlation > 0.9
