"""Small pictures of records for notebooks: pixels to PNG by the standard library, no plotting package."""

from __future__ import annotations

import base64
import itertools
import struct
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import DronesenseError
from dronesense.geodesy import to_grid, to_lonlat, utm_crs

if TYPE_CHECKING:
    from dronesense.model.cube import SpectralCube
    from dronesense.model.hotspot import GroundPicture, HotspotLayer

SIDES: Final = (160, 120, 90, 64)
"""Longest side, pixels: the first whose picture is small enough."""
LEVELS: Final = (255, 51, 17)
"""Steps between dark and bright: divisors of 255, so that black, white and not seen stay what they are."""
MAX_URL_BYTES: Final = 30_000
"""Of a picture as text: notebooks keep it."""
MAX_READ_BYTES: Final = 64 * 1024 * 1024
"""Of a cube, as float32, that a picture may cost: less is shown of a larger one."""
MIN_SIDE: Final = 2
"""A cube whose rows are so large that fewer of them may be read has no picture."""
MARGIN: Final = 0.05
"""Around everything that has a place, as share of its extent."""
LEAST_EXTENT_M: Final = 20.0
DOT: Final = 2
"""Half a side of a hotspot's mark, pixels; one more for its white edge."""
TRACK_COLOR: Final = (85, 85, 85, 255)
WHITE: Final = (255, 255, 255, 255)
KIND_COLORS: Final = {"gas": (0, 114, 178, 255), "spectral": (213, 94, 0, 255), "fused": (204, 121, 167, 255)}
"""As on the map page; Okabe and Ito, https://jfly.uni-koeln.de/color/."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


def png(pixels: Pixels) -> bytes:
    """Return red, green, blue, opacity (ny, nx, 4) as PNG (ISO/IEC 15948), every row without a filter."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def of_cube(cube: SpectralCube) -> str:
    """Return the cube in color as HTML; empty where its file cannot be read any more."""
    rows, bands, cols = cube.shape
    dearest = -(-rows * bands * cols * 4 // MAX_READ_BYTES)
    if max(rows, cols) // dearest < MIN_SIDE:
        return ""
    try:
        colors = cube.rgb(max_side=min(SIDES[0], max(rows, cols) // dearest))
    except (DronesenseError, OSError):
        return ""
    known = np.isfinite(colors).all(axis=2)
    pixels = np.zeros((*known.shape, 4), np.uint8)
    pixels[known, :3] = np.rint(255.0 * colors[known])
    pixels[known, 3] = 255
    return image(pixels)


def of_layer(layer: HotspotLayer) -> str:
    """Return what the cameras saw, the track and the hotspots, north up, as HTML; empty without a place."""
    lon, lat = _everything(layer)
    if not len(lon):
        return ""
    crs = utm_crs(float(lon[0]), float(lat[0]))
    x, y = to_grid(lon, lat, crs)
    extent = max(float(np.ptp(x)), float(np.ptp(y)), LEAST_EXTENT_M)
    step = extent * (1.0 + 2.0 * MARGIN) / SIDES[0]
    rim = 2.0 * MARGIN * extent
    shape = tuple(min(SIDES[0], int((np.ptp(each) + rim) / step) + 1) for each in (y, x))
    west = (x.min() + x.max() - shape[1] * step) / 2.0
    north = (y.min() + y.max() + shape[0] * step) / 2.0
    canvas = np.zeros((shape[0], shape[1], 4), np.uint8)
    east_of = west + (np.arange(shape[1]) + 0.5) * step
    north_of = north - (np.arange(shape[0]) + 0.5) * step
    grid_x, grid_y = np.meshgrid(east_of, north_of)
    there = to_lonlat(grid_x.ravel(), grid_y.ravel(), crs)
    for picture in layer.pictures:  # a handful of strips
        _lay(canvas, picture, *there)
    if layer.trajectory is not None:
        way_x, way_y = to_grid(layer.trajectory.lon, layer.trajectory.lat, crs)
        _dots(canvas, (way_x - west) / step, (north - way_y) / step, 0, TRACK_COLOR)
    for hotspot in reversed(layer.hotspots):  # the best lies on top
        at_x, at_y = to_grid([hotspot.lon], [hotspot.lat], crs)
        place = (at_x - west) / step, (north - at_y) / step
        _dots(canvas, *place, DOT + 1, WHITE)
        _dots(canvas, *place, DOT, KIND_COLORS[hotspot.kind])
    return image(canvas)


def image(pixels: Pixels) -> str:
    """Return pixels (ny, nx, 4) as an HTML image; fewer shades, then fewer pixels, until it is small enough.

    Examples
    --------
    >>> image(np.zeros((1, 1, 4), np.uint8))[:32]
    '<img alt="" src="data:image/png;'
    """
    for side, levels in itertools.product(SIDES, LEVELS):
        small = np.rint(_thinned(pixels, side) * (levels / 255.0)) * (255.0 / levels)
        url = "data:image/png;base64," + base64.b64encode(png(small.astype(np.uint8))).decode("ascii")
        if len(url) <= MAX_URL_BYTES:
            break
    return f'<img alt="" src="{url}">'


def _thinned(pixels: Pixels, side: int) -> Pixels:
    """Return every n-th pixel, n >= 1 and not always whole, so that the longest side has at most *side*."""
    step = max(1.0, max(pixels.shape[:2]) / side)
    row, col = (np.arange(max(1, int(length / step))) * step for length in pixels.shape[:2])
    return pixels[np.ix_(row.astype(np.intp), col.astype(np.intp))]


def _everything(layer: HotspotLayer) -> tuple[Floats, Floats]:
    """Return longitude and latitude of hotspots, track and corners of pictures."""
    lon = [np.array([each.lon for each in layer.hotspots])]
    lat = [np.array([each.lat for each in layer.hotspots])]
    if layer.trajectory is not None:
        lon.append(layer.trajectory.lon)
        lat.append(layer.trajectory.lat)
    for picture in layer.pictures:
        a, b, c, d, e, f = picture.transform
        _, ny, nx = picture.rgba.shape
        col, row = np.array([0.0, nx, 0.0, nx]), np.array([0.0, 0.0, ny, ny])
        corners = to_lonlat(a * col + b * row + c, d * col + e * row + f, picture.crs)
        lon.append(corners[0])
        lat.append(corners[1])
    return np.concatenate(lon), np.concatenate(lat)


def _lay(canvas: Pixels, picture: GroundPicture, lon: Floats, lat: Floats) -> None:
    """Put a picture under the places of the canvas, nearest pixel, where it saw something."""
    x, y = to_grid(lon, lat, picture.crs)
    a, b, c, d, e, f = picture.transform
    col = (e * (x - c) - b * (y - f)) / (a * e - b * d)
    row = (a * (y - f) - d * (x - c)) / (a * e - b * d)
    _, ny, nx = picture.rgba.shape
    inside = (col >= 0.0) & (col < nx) & (row >= 0.0) & (row < ny)
    found = picture.rgba[:, row[inside].astype(np.intp), col[inside].astype(np.intp)].T
    flat = canvas.reshape(-1, 4)
    flat[np.flatnonzero(inside)[found[:, 3] > 0]] = found[found[:, 3] > 0]


def _dots(canvas: Pixels, col: Floats, row: Floats, reach: int, color: tuple[int, int, int, int]) -> None:
    """Paint squares around places, *reach* pixels to each side."""
    offset = np.arange(-reach, reach + 1)
    rows = (np.floor(row).astype(np.intp)[:, None, None] + offset[:, None]).clip(0, canvas.shape[0] - 1)
    cols = (np.floor(col).astype(np.intp)[:, None, None] + offset[None, :]).clip(0, canvas.shape[1] - 1)
    canvas[rows, cols] = color
