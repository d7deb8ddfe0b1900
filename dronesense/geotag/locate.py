"""Pixels and gas samples -> places in a metric CRS, with status and covariance.

The covariance of a pixel's place comes with its parts: what is its own, and what the whole flight shares
(:mod:`dronesense.geotag.uncertainty`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import camera, uncertainty
from dronesense.geotag.poses import NS_PER_S, Poses, interpolate, line_scan_times
from dronesense.geotag.terrain import HIT, NO_TRAJECTORY, Hits, intersect, surface_of
from dronesense.model import (
    GasSeries,
    GroundPoints,
    Instrument,
    LineCamera,
    MapGrid,
    Mount,
    Terrain,
    Trajectory,
)

MAX_ATTITUDE_GAP_S: Final = 1.0
"""Longest interval between navigation samples over which a camera's attitude is interpolated, s."""
MAX_POSITION_GAP_S: Final = 5.0
"""Longest interval between navigation samples over which the place of a gas sample is interpolated, s."""
_CORNERS: Final = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Rays of a push-broom camera and where they met the ground.

    Parameters
    ----------
    poses : Poses
        One per different line.
    line : (k,) int64
        Which pose each ray belongs to.
    time : (k,) int64
        UTC ns.
    direction : (k, 3) float64
        Unit vectors north, east, down.
    hits : Hits
        In `crs`.
    crs : str
        Metric.
    """

    poses: Poses
    line: Ints
    time: Ints
    direction: Floats
    hits: Hits
    crs: str


def trace(
    pixels: ArrayLike,
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
) -> Trace:
    """Follow the rays of pixels to the ground; parameters as for :func:`locate_pixels`."""
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    spec = line_camera(instrument)
    crs = geodesy.check_crs(crs, metric=True)
    rows, line = np.unique(pixels[:, 0], return_inverse=True)
    stand = _Stand.at(rows, line_time, trajectory, instrument, max_gap_s)
    frame_of_line = np.cumsum(stand.known) - 1
    lit = stand.known[line]
    looks = camera.directions(spec, pixels[:, 1]) @ camera.camera_to_body(instrument.mount).T
    direction = np.full((len(pixels), 3), np.nan)
    direction[lit] = (stand.rotation[frame_of_line[line[lit]]] @ looks[lit, :, None])[..., 0]
    hits = meet(stand.center, frame_of_line[line[lit]], direction[lit], terrain, crs)
    return Trace(stand.poses, line, stand.poses.time[line], direction, _spread(hits, lit), crs)


def trace_lines(
    rows: ArrayLike,
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
    normals: bool = False,
    samples: NDArray[np.integer] | None = None,
) -> Trace:
    """Follow the rays of the pixel centers of lines *rows* to the ground, line by line: all, or *samples*.

    The same as :func:`trace` of these pixels, in less time; the normals are found only where asked for.
    """
    spec = line_camera(instrument)
    crs = geodesy.check_crs(crs, metric=True)
    rows = np.asarray(rows, dtype=np.float64)
    stand = _Stand.at(rows, line_time, trajectory, instrument, max_gap_s)
    known = stand.known
    looks = camera.directions(spec, samples) @ camera.camera_to_body(instrument.mount).T
    seen = (looks @ stand.rotation.transpose(0, 2, 1)).reshape(-1, 3)
    frame = np.repeat(np.arange(np.count_nonzero(known)), len(looks))
    hits = meet(stand.center, frame, seen, terrain, crs, normals=normals)
    lit, line = np.repeat(known, len(looks)), np.repeat(np.arange(len(rows)), len(looks))
    direction = seen
    if not known.all():
        direction = np.full((len(lit), 3), np.nan)
        direction[lit] = seen
    return Trace(stand.poses, line, stand.poses.time[line], direction, _spread(hits, lit), crs)


def line_camera(instrument: Instrument) -> LineCamera:
    """Return the camera of a line scanner; TypeError if *instrument* is something else."""
    if not isinstance(instrument.spec, LineCamera):
        raise TypeError(f"{instrument.id} is no line scanner")
    return instrument.spec


@dataclass(frozen=True, slots=True, eq=False)
class _Stand:
    """Where a camera stood and how the aircraft was turned: poses of lines, and frames of the known ones."""

    poses: Poses
    known: NDArray[np.bool_]
    rotation: Floats
    center: tuple[Floats, Floats, Floats]

    @classmethod
    def at(
        cls,
        rows: Floats,
        line_time: Ints,
        trajectory: Trajectory,
        instrument: Instrument,
        max_gap_s: float,
    ) -> _Stand:
        """Interpolate the trajectory at fractional rows.

        Raises
        ------
        CoverageError
            If there is no height or no attitude at all.
        """
        time = line_scan_times(np.asarray(line_time, dtype=np.int64), rows)
        poses = interpolate(trajectory, time, max_gap_s=max_gap_s)
        _refuse_unknown(trajectory, poses)
        known = poses.ok & np.isfinite(poses.height_m) & np.isfinite(poses.attitude).all(axis=1)
        rotation = poses.rotation[known]
        arm = rotation @ np.asarray(instrument.mount.lever_arm_m)
        center = geodesy.displace(poses.lon[known], poses.lat[known], poses.height_m[known], arm)
        return cls(poses, known, rotation, center)


def _refuse_unknown(trajectory: Trajectory, poses: Poses) -> None:
    """Raise CoverageError when the trajectory has no height or no attitude at all for pixels."""
    if not poses.ok.any():
        return
    if not np.isfinite(poses.attitude[poses.ok]).any():
        raise CoverageError(
            "the track has no attitude (roll, pitch, yaw), so pixels cannot be placed",
            where=trajectory.source,
            fix="name a flight log with attitude in [track]",
        )
    if not np.isfinite(poses.height_m[poses.ok]).any():
        raise CoverageError(
            "the track has no height above the ellipsoid, so pixels cannot be placed",
            where=trajectory.source,
            fix="state what its heights refer to: height_ref in [track]",
        )


def meet(
    center: tuple[Floats, Floats, Floats],
    frame: Ints,
    direction: Floats,
    terrain: Terrain,
    crs: str,
    *,
    normals: bool = True,
) -> Hits:
    """Return where rays from *center* (lon, lat, height; by *frame*) meet the terrain, in *crs*.

    The search itself runs in the terrain's own CRS.

    Raises
    ------
    CoverageError
        If most of them start below the ground.
    """
    surface = surface_of(terrain)
    ground_crs = crs if terrain.is_flat else terrain.crs
    frames = geodesy.tangent_frames(*center, ground_crs)
    if len(frames.origin):
        clearance = frames.origin[:, 2] - surface.height_at(frames.origin[:, 0], frames.origin[:, 1])
        if np.isfinite(clearance).any() and np.nanmedian(clearance) < 0.0:
            raise CoverageError(
                f"the instrument flies {-np.nanmedian(clearance):.1f} m below the ground: the heights of "
                "track and terrain do not refer to the same zero",
                where=terrain.source,
                fix="check height_ref in [track] and in [terrain]",
            )
    hits = intersect(surface, frames, frame, direction, normals=normals)
    if geodesy.check_crs(ground_crs) == crs:
        return hits
    x, y = geodesy.transform(hits.x, hits.y, ground_crs, crs)
    return Hits(x, y, hits.height_m, hits.distance_m, hits.normal, hits.status)


def _spread(hits: Hits, lit: NDArray[np.bool_]) -> Hits:
    """Return *hits* of the rays in *lit* in their places among all, the others without trajectory."""
    if lit.all():
        return hits

    def over(values: Floats) -> Floats:
        wide = np.full((len(lit), *values.shape[1:]), np.nan)
        wide[lit] = values
        return wide

    status = np.full(len(lit), NO_TRAJECTORY, dtype=np.uint8)
    status[lit] = hits.status
    return Hits(
        over(hits.x), over(hits.y), over(hits.height_m), over(hits.distance_m), over(hits.normal), status
    )


def locate_pixels(
    pixels: ArrayLike,
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    clock_sigma_s: float = 0.0,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
) -> GroundPoints:
    """Locate pixels of a push-broom cube on the ground.

    Parameters
    ----------
    pixels : (k, 2) array_like
        Row and column, the center of a pixel being the integers.
    line_time : (rows,) int64
        UTC ns of every line of the cube.
    trajectory : Trajectory
        Needs heights and attitude.
    instrument : Instrument
        A line scanner.
    terrain : Terrain
        In any CRS.
    crs : str
        Metric CRS of the result.
    clock_sigma_s : float
        Standard uncertainty of the line times; that of the trajectory's clock is added.
    max_gap_s : float
        Longest interval between navigation samples that is bridged, s.

    Returns
    -------
    GroundPoints
        With the full covariance and its parts.

    Raises
    ------
    CoverageError
        If the track has no attitude or height at the line times, or lies below the terrain.
    ManifestError
        If `crs` is not metric, or the mount is unknown.
    ValueError
        If a pixel lies outside the cube.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    found = trace(
        pixels,
        line_time=line_time,
        trajectory=trajectory,
        instrument=instrument,
        terrain=terrain,
        crs=crs,
        max_gap_s=max_gap_s,
    )
    hits, k = found.hits, len(pixels)
    cov, own, white = (np.full((k, 2, 2), np.nan) for _ in range(3))
    shared = np.full((k, 2, uncertainty.SHARED_ERRORS), np.nan)
    hit = np.flatnonzero(hits.status == HIT)
    if hit.size:
        budget = uncertainty.error_budget(
            look(found, hit, pixels[hit], np.asarray(line_time, dtype=np.int64), instrument),
            mount=instrument.mount,
            clock_sigma_s=float(np.hypot(clock_sigma_s, trajectory.clock.sigma_s)),
            terrain_sigma_m=terrain.sigma_m,
        )
        cov[hit], own[hit], shared[hit] = budget.common + budget.pixel, budget.pixel, budget.shared
        white[hit] = budget.white
    place = (hits.x, hits.y, hits.height_m, cov, hits.status, found.crs, found.time)
    step_s = float(np.median(np.diff(trajectory.time))) / NS_PER_S if len(trajectory.time) > 1 else 0.0
    return GroundPoints(
        *place, cov_own=own, shared=shared, rig=instrument.id, cov_white=white, white_s=step_s
    )


def look(
    found: Trace, hit: NDArray[np.intp], pixels: Floats, line_time: Ints, instrument: Instrument
) -> uncertainty.Look:
    """Gather what the propagation of errors asks of the rays *hit* of *found*; *pixels* (k, 2) are theirs."""
    assert isinstance(instrument.spec, LineCamera)
    line = found.line[hit]
    poses = found.poses.take(line)
    used, of_line = np.unique(line, return_inverse=True)
    center = found.poses.take(used)
    frames = geodesy.tangent_frames(center.lon, center.lat, center.height_m, found.crs)
    last = instrument.spec.samples - 1
    edges = [
        camera.directions(instrument.spec, np.clip(pixels[:, 1] + side, -0.5, last + 0.5))
        for side in (-0.5, 0.5)
    ]
    step = (edges[1] - edges[0]) @ camera.camera_to_body(instrument.mount).T
    rows = np.clip(pixels[:, :1] + [[-0.5, 0.5]], -0.5, len(line_time) - 0.5)
    line_s = (line_scan_times(line_time, rows[:, 1]) - line_scan_times(line_time, rows[:, 0])) / NS_PER_S
    return uncertainty.Look(
        poses,
        found.direction[hit],
        found.hits.distance_m[hit],
        found.hits.normal[hit],
        frames.linear[of_line, :2],
        (poses.rotation @ step[:, :, None])[..., 0],
        line_s,
    )


def footprints(
    pixels: ArrayLike,
    *,
    line_time: Ints,
    trajectory: Trajectory,
    instrument: Instrument,
    terrain: Terrain,
    crs: str,
    max_gap_s: float = MAX_ATTITUDE_GAP_S,
) -> Floats:
    """Return the corners (k, 4, 2) of pixels in `crs`, in ring order.

    The parameters are those of :func:`locate_pixels`. Along the track a pixel reaches from half a line before
    to half a line after its own time. A corner whose ray finds no ground is NaN.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    corners = (pixels[:, None, :] + _CORNERS).reshape(-1, 2)
    found = trace(
        corners,
        line_time=line_time,
        trajectory=trajectory,
        instrument=instrument,
        terrain=terrain,
        crs=crs,
        max_gap_s=max_gap_s,
    )
    return np.column_stack([found.hits.x, found.hits.y]).reshape(-1, 4, 2)


def locate_map_pixels(
    pixels: ArrayLike, grid: MapGrid, *, crs: str, sigma_m: float = 0.0, time: int = 0
) -> GroundPoints:
    """Locate pixels of a cube that lies on a map grid.

    Parameters
    ----------
    pixels : (k, 2) array_like
        Row and column, the center of a pixel being the integers.
    grid : MapGrid
        Transform and CRS of the cube.
    crs : str
        Metric CRS of the result.
    sigma_m : float
        Standard uncertainty per axis of the map itself; a map states none, so 0 counts the pixel size alone.
    time : int
        UTC ns, when known.

    Returns
    -------
    GroundPoints
        Heights are NaN.
    """
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    k = len(pixels)
    x, y = _on_map(pixels, grid, crs)
    own = uncertainty.pixel_covariance(map_footprints(pixels, grid, crs=crs))
    return GroundPoints(
        x,
        y,
        np.full(k, np.nan),
        own + sigma_m**2 * np.eye(2),
        np.zeros(k, dtype=np.uint8),
        geodesy.check_crs(crs, metric=True),
        np.full(k, time, dtype=np.int64),
        cov_own=own,
    )


def map_footprints(pixels: ArrayLike, grid: MapGrid, *, crs: str) -> Floats:
    """Return the corners (k, 4, 2) of pixels of a map grid in `crs`, in ring order."""
    pixels = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
    corners = (pixels[:, None, :] + _CORNERS).reshape(-1, 2)
    return np.column_stack(_on_map(corners, grid, crs)).reshape(-1, 4, 2)


def _on_map(pixels: Floats, grid: MapGrid, crs: str) -> tuple[Floats, Floats]:
    """Return x, y in *crs* of fractional (row, col)."""
    a, b, c, d, e, f = grid.transform
    row, col = pixels.T + 0.5
    return geodesy.transform(a * col + b * row + c, d * col + e * row + f, grid.crs, crs)


def locate_samples(
    series: GasSeries,
    *,
    trajectory: Trajectory,
    mount: Mount,
    crs: str,
    clock_sigma_s: float = 0.0,
    max_gap_s: float = MAX_POSITION_GAP_S,
) -> GroundPoints:
    """Locate the inlet of an analyser at the time of every sample.

    Parameters
    ----------
    series : GasSeries
        Its time already is UTC, with the inlet delay taken off.
    trajectory : Trajectory
        Heights and attitude may be unknown.
    mount : Mount
        Lever arm to the inlet.
    crs : str
        Metric CRS of the result.
    clock_sigma_s : float
        Standard uncertainty of the series' time against UTC; that of the trajectory's clock is added.
    max_gap_s : float
        Longest interval between navigation samples that is bridged, s.

    Returns
    -------
    GroundPoints
        Status 0 or 1 (not covered by the trajectory). The height is NaN where the trajectory has none. Where
        the attitude is unknown the place is that of the navigation reference point, and the covariance holds
        the length of the lever arm in any direction.
    """
    crs = geodesy.check_crs(crs, metric=True)
    poses = interpolate(trajectory, series.time, max_gap_s=max_gap_s)
    k = len(poses)
    ok = poses.ok
    x, y, height = np.full(k, np.nan), np.full(k, np.nan), np.full(k, np.nan)
    cov = np.full((k, 2, 2), np.nan)
    if ok.any():
        some = poses.take(np.flatnonzero(ok))
        lever = np.asarray(mount.lever_arm_m)
        aligned: NDArray[np.bool_] = np.asarray(np.isfinite(some.attitude).all(axis=1))
        arm = np.where(aligned[:, None], some.rotation @ lever, 0.0)
        known_height = np.nan_to_num(some.height_m)
        lon, lat, inlet = geodesy.displace(some.lon, some.lat, known_height, arm)
        x[ok], y[ok] = geodesy.to_grid(lon, lat, crs)
        height[ok] = np.where(np.isfinite(some.height_m), inlet, np.nan)
        spin = np.cross(np.einsum("kij,kj->ki", some.rotation, some.rate), arm)
        velocity = np.nan_to_num(some.velocity_ned + np.where(np.isfinite(spin), spin, 0.0))
        clock = float(np.hypot(clock_sigma_s, trajectory.clock.sigma_s))
        unaligned = np.where(aligned, 0.0, 0.5 * float(lever @ lever))  # anywhere on a circle of that radius
        variance = some.std_ned_m[:, :2] ** 2 + (mount.sigma_lever_arm_m**2 + unaligned)[:, None]
        ned = variance[:, :, None] * np.eye(2) + clock**2 * velocity[:, :2, None] * velocity[:, None, :2]
        convergence, east, north = geodesy.grid_factors(lon, lat, crs)
        c, s = np.cos(convergence), np.sin(convergence)
        to_grid = np.stack([np.stack([-north * s, east * c], -1), np.stack([north * c, east * s], -1)], -2)
        cov[ok] = to_grid @ ned @ to_grid.transpose(0, 2, 1)
    status = np.where(ok, HIT, NO_TRAJECTORY).astype(np.uint8)
    return GroundPoints(x, y, height, cov, status, crs, series.time)
