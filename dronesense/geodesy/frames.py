"""Local north-east-down frames: places moved by meters, and their maps into any CRS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.geodesy.crs import parsed, to_grid, transformer
from dronesense.geodesy.ellipsoid import ned_axes, to_ecef

Floats = NDArray[np.float64]


def displace(
    lon: ArrayLike, lat: ArrayLike, height_m: ArrayLike, offset_ned_m: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return lon, lat and height of places moved by (k, 3) meters north, east, down.

    Examples
    --------
    >>> lon, lat, height = displace([9.0], [48.0], [100.0], np.array([[0.0, 0.0, -20.0]]))
    >>> round(float(lon[0]), 9), round(float(lat[0]), 9), round(float(height[0]), 6)
    (9.0, 48.0, 120.0)
    """
    moved = to_ecef(lon, lat, height_m) + np.einsum("kij,kj->ki", ned_axes(lon, lat), offset_ned_m)
    lon, lat, height_m = transformer("EPSG:4978", "EPSG:4979").transform(*moved.T)
    return np.asarray(lon), np.asarray(lat), np.asarray(height_m)


@dataclass(frozen=True, slots=True, eq=False)
class TangentFrames:
    """Second-order maps from local north-east-down offsets to x, y, height of a CRS.

    ``(x, y, h) = origin + linear @ d + quadratic @ (dn², de², dd², dn de, dn dd, de dd)``: convergence,
    scale, reduction for height and curvature of the earth in one.

    Parameters
    ----------
    origin : (k, 3) float64
        x, y in the CRS, and ellipsoidal height.
    linear : (k, 3, 3) float64
        First derivatives.
    quadratic : (k, 3, 6) float64
        Coefficients of the products.
    """

    origin: Floats
    linear: Floats
    quadratic: Floats


# Offsets of the stencil in units of its reach: center, +-n, +-e, +-d, then +-(n+e), +-(n+d), +-(e+d).
_HALF_STENCIL: Final = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float64
)
_STENCIL: Final = np.concatenate([np.zeros((1, 3)), _HALF_STENCIL, -_HALF_STENCIL])


def tangent_frames(
    lon: ArrayLike, lat: ArrayLike, height_m: ArrayLike, crs: str, *, reach_m: float = 1000.0
) -> TangentFrames:
    """Expand *crs* around places, from central differences of the exact earth-centered geometry.

    Parameters
    ----------
    lon, lat, height_m : (k,) array_like
        WGS84 degrees and ellipsoidal height.
    crs : str
        Projected or geographic.
    reach_m : float
        Half width of the stencil, of the order of the distances to be bridged. The error of the expansion
        grows with the cube of the distance: about 0.01 mm at 1 km in UTM.
    """
    lon, lat, height_m = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lon, lat, height_m))
    offsets = reach_m * np.einsum("kij,sj->ksi", ned_axes(lon, lat), _STENCIL)
    places = (to_ecef(lon, lat, height_m)[:, None, :] + offsets).reshape(-1, 3)
    p_lon, p_lat, p_h = transformer("EPSG:4978", "EPSG:4979").transform(*places.T)
    x, y = to_grid(p_lon, p_lat, crs)
    values = np.stack([x, y, p_h], axis=-1).reshape(len(lon), len(_STENCIL), 3)
    center, plus, minus = values[:, 0], values[:, 1:7], values[:, 7:]
    if not parsed(crs).is_projected:  # across the date line
        for side in (plus, minus):
            side[..., 0] -= 360.0 * np.round((side[..., 0] - center[:, None, 0]) / 360.0)
    linear = (plus[:, :3] - minus[:, :3]) / (2.0 * reach_m)
    half_second = (plus + minus - 2.0 * center[:, None]) / (2.0 * reach_m**2)
    mixed = half_second[:, 3:] - half_second[:, [0, 0, 1]] - half_second[:, [1, 2, 2]]
    quadratic = np.concatenate([half_second[:, :3], mixed], axis=1)
    return TangentFrames(center, linear.transpose(0, 2, 1), quadratic.transpose(0, 2, 1))
