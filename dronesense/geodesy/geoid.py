"""How far the geoid lies above the ellipsoid: EGM96 from a packaged series, or a grid of the user's choice.

Ellipsoidal height = height above the geoid + undulation.

EGM96 (Lemoine et al. 1998, NASA/TP-1998-206861) is published by NGA as a grid of 15'. The packaged file
holds the surface harmonics of that grid up to degree 364 and order 360, from which the grid comes back within
:data:`EGM96_ERROR_M`; ``benchmarks/make_geoid.py`` made it. Layout of ``egm96.xz``, decompressed, little
endian:

===================  =================================================================================
``8s H H d``         ``DSGEOID1``, degree, order, step in m
``u8 [degree + 1]``  for each degree, how many low bits of its coefficients are kept apart
``i8 [n]``           coefficients in steps, shifted right by those bits: by degree, cosine before sine
bits                 low bits: the lowest of all coefficients that have one, then the next; packed
===================  =================================================================================
"""

from __future__ import annotations

import lzma
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CoverageError
from dronesense.geodesy.crs import to_lonlat
from dronesense.geodesy.ellipsoid import FLATTENING, geodesic_distance
from dronesense.geodesy.harmonics import parallels

EGM96_FILE: Final = Path(__file__).with_name("egm96.xz")
EGM96_MAGIC: Final = b"DSGEOID1"
EGM96_HEADER: Final = "<8sHHd"
EGM96_ERROR_M: Final = 0.002
"""Largest difference of the packaged series from NGA's grid of 15', anywhere (tests/test_geoid.py)."""
LARGEST_UNDULATION_M: Final = 120.0
"""The geoid lies between -107 m and +86 m off the ellipsoid: what is larger is no undulation."""

_NODES_PER_DEGREE: Final = (
    12  # cubic interpolation of a wave of one degree (order 360) needs more than 4 nodes
)
_LATTICE_M: Final = 1000.0  # a height model takes undulations at this distance, linear in between
_TOLERANCE: Final = 1e-6  # of a cell: rounding at the edge of a grid
_CLOSES: Final = 0.01  # of a cell: what a rounded step may leave open around the globe or at a pole

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GeoidGrid:
    """Undulations at the nodes of a grid in longitude and latitude, bicubic in between.

    Parameters
    ----------
    undulation_m : (ny, nx) float32 or float64
        Geoid above the WGS84 ellipsoid; rows from south to north, columns from west to east; NaN = unknown.
    west, south : float
        First node, degrees.
    step_lon, step_lat : float
        Degrees between nodes.
    name : str
        File or model, for messages.

    Raises
    ------
    ValueError
        If there are fewer than 2 x 2 nodes, or a step is not positive.

    References
    ----------
    Keys 1981, Cubic convolution interpolation, doi 10.1109/TASSP.1981.1163711 (a = -1/2).
    """

    undulation_m: NDArray[np.floating]
    west: float
    south: float
    step_lon: float
    step_lat: float
    name: str
    _ringed: NDArray[np.floating] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.undulation_m.ndim != 2 or min(self.undulation_m.shape) < 2:
            raise ValueError(f"a grid of {self.undulation_m.shape} nodes spans no surface")
        if not (self.step_lon > 0.0 and self.step_lat > 0.0):
            raise ValueError(f"steps must be positive, not {self.step_lon}, {self.step_lat}")
        object.__setattr__(self, "_ringed", self._ring())

    @property
    def wraps(self) -> bool:
        """True if the columns go around the globe, the last one a step west of the first."""
        return bool(abs(self.undulation_m.shape[1] * self.step_lon - 360.0) < _CLOSES * self.step_lon)

    def _ring(self) -> NDArray[np.floating]:
        """Return the nodes and one more on each side: around the globe, over the pole, else linear."""
        nodes = self.undulation_m
        ny, nx = nodes.shape
        rows = np.pad(nodes, ((1, 1), (0, 0)), mode="reflect", reflect_type="odd")
        if self.wraps and nx % 2 == 0:  # the next node beyond the pole lies on the opposite meridian
            if abs(self.south + 90.0) < _CLOSES * self.step_lat:
                rows[0] = np.roll(nodes[1], nx // 2)
            if abs(self.south + (ny - 1) * self.step_lat - 90.0) < _CLOSES * self.step_lat:
                rows[-1] = np.roll(nodes[-2], nx // 2)
        if self.wraps:  # two more in the east: the last cell lies between the last node and the first
            return np.pad(rows, ((0, 0), (1, 2)), mode="wrap")
        return np.pad(rows, ((0, 0), (1, 1)), mode="reflect", reflect_type="odd")

    def undulation(self, lon: ArrayLike, lat: ArrayLike) -> Floats:
        """Return undulations at places, m; NaN where a coordinate is NaN.

        Raises
        ------
        CoverageError
            If a place lies outside the grid, or beside a node without a value.
        """
        lon, lat = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(lon, lat))
        known = np.isfinite(lon) & np.isfinite(lat)
        turn = 360.0 / self.step_lon
        col = np.where(known, np.mod(lon - self.west, 360.0) / self.step_lon, 0.0)
        col = np.where(col > turn - _TOLERANCE, np.maximum(col - turn, 0.0), col)
        row = np.where(known, (lat - self.south) / self.step_lat, 0.0)
        rows, cols = self._ringed.shape[0] - 3, self._ringed.shape[1] - 3  # cells
        outside = (col > cols + _TOLERANCE) | (row < -_TOLERANCE) | (row > rows + _TOLERANCE)
        self._refuse(outside, lon, lat, "does not cover the flight")
        i = np.clip(row.astype(np.int64), 0, rows - 1)
        j = np.clip(col.astype(np.int64), 0, cols - 1)
        across, along = _cubic_weights(col - j), _cubic_weights(row - i)
        value = np.zeros(lon.shape)
        for a in range(4):
            line = sum(across[b] * self._ringed[i + a, j + b] for b in range(4))
            value += along[a] * line
        self._refuse(known & np.isnan(value), lon, lat, "has no value")
        return np.where(known, value, np.nan)

    def _refuse(self, wrong: NDArray[np.bool_], lon: Floats, lat: Floats, what: str) -> None:
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise CoverageError(
                f"{what}: nothing at {lon.flat[first]:.4f}, {lat.flat[first]:.4f}",
                where=self.name,
                fix="use a geoid grid of the area of the flight",
            )


def _cubic_weights(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the weights of the nodes at -1, 0, 1, 2 for a place at *t* between 0 and 1."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def undulation(lon: ArrayLike, lat: ArrayLike, *, grid: GeoidGrid | None = None) -> Floats:
    """Return the height of the geoid above the WGS84 ellipsoid, m; NaN where a coordinate is NaN.

    Parameters
    ----------
    lon, lat : array_like
        WGS84 degrees.
    grid : GeoidGrid, optional
        A geoid of the user's choice; else EGM96.

    Raises
    ------
    CoverageError
        If *grid* does not cover the places.

    Examples
    --------
    The deepest hollow of the geoid lies south of Sri Lanka:

    >>> round(float(undulation(78.75, 4.75)))
    -107
    """
    lon, lat = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(lon, lat))
    if grid is None:
        known = lat[np.isfinite(lat)]
        if not known.size:
            return np.full(lon.shape, np.nan)
        if np.abs(known).max() > 90.0:
            raise ValueError("latitudes lie within -90 and 90 degrees")
        grid = egm96(float(known.min()), float(known.max()))
    return grid.undulation(lon, lat)


def egm96(south: float = -90.0, north: float = 90.0) -> GeoidGrid:
    """Return EGM96 between two parallels, around the globe, at nodes of 5'.

    The finer nodes keep the error of the cubic interpolation at a few mm; at 15' it is several cm.
    """
    first = int(np.floor(south * _NODES_PER_DEGREE)) - 1
    last = int(np.floor(north * _NODES_PER_DEGREE)) + 2
    lat = np.arange(first, last + 1) / _NODES_PER_DEGREE
    step = 1.0 / _NODES_PER_DEGREE
    nodes = egm96_parallels(lat, columns=360 * _NODES_PER_DEGREE)
    return GeoidGrid(nodes, 0.0, float(lat[0]), step, step, "EGM96")


def egm96_parallels(lat: ArrayLike, *, columns: int) -> Floats:
    """Return EGM96 along parallels at evenly spaced longitudes from 0: the series itself, (k, columns).

    Parameters
    ----------
    lat : (k,) array_like
        Geodetic latitude, degrees; beyond a pole the meridian goes on.
    columns : int
        More than 720.
    """
    return parallels(_egm96_coefficients(), *geocentric(lat), columns=columns)


def geocentric(lat: ArrayLike) -> tuple[Floats, Floats]:
    """Return sine and cosine of the geocentric latitudes of places on the ellipsoid."""
    phi = np.radians(np.asarray(lat, dtype=np.float64))
    sine, cosine = (1.0 - FLATTENING) ** 2 * np.sin(phi), np.cos(phi)
    radius = np.hypot(sine, cosine)
    return sine / radius, cosine / radius


@lru_cache(maxsize=1)
def _egm96_coefficients() -> Floats:
    """Return the packaged coefficients, (2, degree + 1, order + 1), m."""
    data = lzma.decompress(EGM96_FILE.read_bytes())
    magic, degree, order, step = struct.unpack_from(EGM96_HEADER, data)
    assert magic == EGM96_MAGIC
    index = coefficient_order(degree, order)
    start = struct.calcsize(EGM96_HEADER)
    width = np.frombuffer(data, np.uint8, degree + 1, start)[index[1]]
    number = np.frombuffer(data, np.int8, width.size, start + degree + 1).astype(np.int64) << width
    bits = np.unpackbits(np.frombuffer(data, np.uint8, offset=start + degree + 1 + width.size))
    used = 0
    for plane in range(int(width.max())):
        has = np.flatnonzero(width > plane)
        number[has] |= bits[used : used + has.size].astype(np.int64) << plane
        used += has.size
    coefficients = np.zeros((2, degree + 1, order + 1))
    coefficients[index] = number * step
    return coefficients


def coefficient_order(degree: int, order: int) -> tuple[Ints, Ints, Ints]:
    """Return kind (0 cosine, 1 sine), degree and order of the coefficients in their order in the file."""
    n, kind, m = np.meshgrid(np.arange(degree + 1), np.arange(2), np.arange(order + 1), indexing="ij")
    there = (m <= n) & (m >= kind)
    return kind[there], n[there], m[there]


def undulation_raster(
    transform: tuple[float, float, float, float, float, float],
    shape: tuple[int, int],
    crs: str,
    *,
    grid: GeoidGrid | None = None,
) -> Floats:
    """Return the undulation at the center of every pixel of a raster.

    It is computed on a lattice of about 1 km and linear in between, which costs less than 1 mm for EGM96.

    Parameters
    ----------
    transform : (a, b, c, d, e, f)
        As in :class:`~dronesense.model.MapGrid`; not rotated (b = d = 0).
    shape : (rows, columns)
        Of the raster.
    crs : str
        Of the raster, projected or geographic.
    grid : GeoidGrid, optional
        A geoid of the user's choice; else EGM96.
    """
    a, _, c, _, e, f = transform
    center = to_lonlat(c + a * shape[1] / 2, f + e * shape[0] / 2, crs)
    one = to_lonlat(c + a * (shape[1] / 2 + 1), f + e * (shape[0] / 2 + 1), crs)
    stride = max(1.0, _LATTICE_M / max(float(geodesic_distance(*center, *one)), 1e-3))
    rows, cols = (np.linspace(0, n - 1, int(np.ceil((n - 1) / stride)) + 1) for n in shape)
    x, y = np.meshgrid(c + a * (cols + 0.5), f + e * (rows + 0.5))
    lattice = undulation(*to_lonlat(x, y, crs), grid=grid)
    return _between(_between(lattice, shape[0]).T, shape[1]).T


def _between(nodes: Floats, count: int) -> Floats:
    """Return *count* evenly spaced rows, linear between the rows of *nodes* (first and last are kept)."""
    place = np.linspace(0.0, len(nodes) - 1.0, count)
    low = np.clip(place.astype(np.int64), 0, max(len(nodes) - 2, 0))
    high = np.minimum(low + 1, len(nodes) - 1)
    part = (place - low)[:, None]
    return np.asarray((1.0 - part) * nodes[low] + part * nodes[high])
