"""Where every pixel of a strip met the ground, and how it was looked at: input geometry and observation.

Strips are followed in blocks of lines, so that memory stays bounded whatever their length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy.sun import sun_direction, sun_distance
from dronesense.geotag.locate import MAX_ATTITUDE_GAP_S, Trace, trace_lines
from dronesense.model import Instrument, LineCamera, Terrain, Trajectory

DEFAULT_BUDGET_BYTES: Final = 128 * 1024 * 1024
"""Working memory."""
RAY_BYTES: Final = 400
"""Of it per pixel of a block, measured."""

OBSERVATION_BANDS: Final = (
    "path length (m)",
    "to-sensor azimuth (deg)",
    "to-sensor zenith (deg)",
    "to-sun azimuth (deg)",
    "to-sun zenith (deg)",
    "solar phase (deg)",
    "slope (deg)",
    "aspect (deg)",
    "cosine of sun to surface normal",
    "UTC time (h)",
    "earth-sun distance (AU)",
)
"""Bands of :func:`observation`, in the order of the JPL imaging spectrometers' files."""

_NS_PER_DAY: Final = 86_400_000_000_000
_NS_PER_HOUR: Final = 3.6e12

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GroundLines:
    """Places of the pixels of some lines; NaN where `status` is not 0.

    Parameters
    ----------
    first : int
        Number of the first line.
    x, y, height_m : (n, cols) float64
        In `crs`; heights above the WGS84 ellipsoid.
    status : (n, cols) uint8
        As in :class:`~dronesense.model.GroundPoints`.
    crs : str
        Metric.
    trace : Trace
        The rays themselves, line by line.
    """

    first: int
    x: Floats
    y: Floats
    height_m: Floats
    status: NDArray[np.uint8]
    crs: str
    trace: Trace


def follow(
    start: int,
    stop: int,
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    normals: bool = False,
) -> GroundLines:
    """Follow all pixels of lines ``start:stop`` to the ground.

    Parameters
    ----------
    start, stop : int
        Lines.
    line_time, trajectory, instrument, terrain, crs, max_gap_s
        As for :func:`dronesense.geotag.locate.locate_pixels`.
    normals : bool
        Also keep the surface's normals, which :func:`observation` needs.

    Raises
    ------
    CoverageError
        If the track has no attitude or height at the line times, or lies below the terrain.
    """
    found = trace_lines(
        np.arange(start, stop),
        line_time=line_time,
        trajectory=trajectory,
        instrument=instrument,
        terrain=terrain,
        crs=crs,
        max_gap_s=max_gap_s,
        normals=normals,
    )
    shape, hits = (stop - start, -1), found.hits
    x, y, height = hits.x.reshape(shape), hits.y.reshape(shape), hits.height_m.reshape(shape)
    return GroundLines(start, x, y, height, hits.status.reshape(shape), found.crs, found)


def blocks(
    *, line_time: Ints, instrument: Instrument, budget_bytes: int = DEFAULT_BUDGET_BYTES, **ray: Any
) -> Iterator[GroundLines]:
    """Yield all lines of a strip in blocks; parameters as for :func:`follow`."""
    if not isinstance(instrument.spec, LineCamera):
        raise TypeError(f"{instrument.id} is no line scanner")
    step = max(1, budget_bytes // (RAY_BYTES * instrument.spec.samples))
    for start in range(0, len(line_time), step):
        stop = min(start + step, len(line_time))
        yield follow(start, stop, line_time=line_time, instrument=instrument, **ray)


def observation(lines: GroundLines) -> NDArray[np.float32]:
    """Return how pixels were looked at and lit.

    Parameters
    ----------
    lines : GroundLines
        Followed with ``normals=True``.

    Returns
    -------
    (11, n, cols) float32
        :data:`OBSERVATION_BANDS`. Azimuths clockwise from true north, zeniths from the vertical, both as seen
        from the ground; aspect is where the slope faces, 0 on level ground. NaN where a pixel has no place.
        The vertical is that below the sensor; at the pixel it differs by 0.001 degrees per 100 m.

    Notes
    -----
    The solar phase is the angle between the directions to the sensor and to the sun. The sun's place is that
    of
    :func:`dronesense.geodesy.sun.sun_direction`.
    """
    found, hits = lines.trace, lines.trace.hits
    missing = hits.status != 0
    to_sensor = -found.direction
    per_line = sun_direction(found.poses.lon, found.poses.lat, found.poses.time)
    to_sun = per_line[found.line]
    slope = _zenith(hits.normal)
    bands = [
        hits.distance_m,
        _azimuth(to_sensor),
        _zenith(to_sensor),
        _azimuth(to_sun),
        _zenith(to_sun),
        np.degrees(np.arccos(np.clip(np.einsum("ki,ki->k", to_sensor, to_sun), -1.0, 1.0))),
        slope,
        np.where(slope > 0.0, _azimuth(hits.normal), 0.0),
        np.einsum("ki,ki->k", hits.normal, to_sun),
        (found.time % _NS_PER_DAY) / _NS_PER_HOUR,
        sun_distance(found.time),
    ]
    shape = lines.x.shape
    result = np.empty((len(bands), *shape), dtype=np.float32)
    for number, band in enumerate(bands):
        result[number] = np.where(missing, np.nan, band).reshape(shape)
    return result


def _azimuth(vector: Floats) -> Floats:
    """Return azimuths of vectors north, east, down, degrees 0 to 360."""
    return np.asarray(np.mod(np.degrees(np.arctan2(vector[:, 1], vector[:, 0])), 360.0))


def _zenith(vector: Floats) -> Floats:
    """Return angles of vectors north, east, down from the vertical, degrees."""
    return np.asarray(np.degrees(np.arccos(np.clip(-vector[:, 2], -1.0, 1.0))))
