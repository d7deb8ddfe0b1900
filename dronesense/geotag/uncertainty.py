"""How far the true place may lie from the stated one: ground covariance, CE90 and error ellipse.

Errors of navigation, mounting, clock and terrain are the same, or nearly so, for all pixels of a hotspot, so
they do not average out over its pixels. Only the part from the finite size of a pixel does: it is kept apart,
so that a centroid of k pixels gets ``mean(common) + mean(pixel) / k``. Mounting, clock and terrain are the
same in every strip, but shift each in its own direction: they are kept as vectors, so that the covariance
between two strips is known too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.geotag.camera import nominal_rotation
from dronesense.geotag.poses import Poses, rpy_to_matrix
from dronesense.model import Mount

UNIFORM_VARIANCE: Final = 1.0 / 12.0
"""Variance of a uniform distribution of width 1."""

SHARED_ERRORS: Final = 14
"""Errors that are the same in every strip: what passes have in common of position and attitude, boresight and
lever arm (3 each), clock, height of the ground."""
PASS_CORRELATION: Final = 0.4
"""Correlation of slow navigation errors between two passes of a flight.

Logs state how large their errors are, not how long they last. A Gauss-Markov error of correlation time tau,
10 to 600 s, has between passes 20 to 300 s apart a correlation ``exp(-gap / tau)`` whose mean, both evenly in
their logarithm, is 0.40."""
PROBABILITY: Final = 0.9
_RATIO_NODES: Final = 401  # table of K over 0..1; linear interpolation is good to 2e-6
_QUADRATURE_NODES: Final = 400
_BISECTIONS: Final = 50

Floats = NDArray[np.float64]


@lru_cache(maxsize=1)
def _circle_factors() -> tuple[Floats, Floats]:
    """Return ratios of the semi-axes and the radii, in major semi-axes, of circles that hold 90 %."""
    from scipy.special import erf

    ratio = np.linspace(0.0, 1.0, _RATIO_NODES)
    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE_NODES)
    angle, weights = 0.5 * np.pi * nodes, 0.5 * np.pi * weights
    low, high = np.full_like(ratio, 1.0), np.full_like(ratio, 3.0)
    narrow = np.maximum(ratio, np.finfo(np.float64).tiny)[:, None]
    for _ in range(_BISECTIONS):
        k = 0.5 * (low + high)[:, None]
        x, half_chord = k * np.sin(angle), k * np.cos(angle)
        with np.errstate(over="ignore"):
            across = erf(half_chord / (narrow * np.sqrt(2.0)))
        inside = (np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi) * across * half_chord) @ weights
        enough = inside >= PROBABILITY
        high = np.where(enough, k[:, 0], high)
        low = np.where(enough, low, k[:, 0])
    return ratio, 0.5 * (low + high)


def _axes(cov: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return one-sigma semi-axes (major, minor) and the angle of the major one from x towards y, rad."""
    cov = np.asarray(cov, dtype=np.float64)
    xx, yy = cov[..., 0, 0], cov[..., 1, 1]
    xy = 0.5 * (cov[..., 0, 1] + cov[..., 1, 0])
    mean, spread = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    minor = np.sqrt(np.maximum(mean - spread, 0.0))
    return np.sqrt(np.maximum(mean + spread, 0.0)), minor, 0.5 * np.arctan2(2.0 * xy, xx - yy)


def ce90(cov: ArrayLike) -> Floats:
    """Return the radius of the circle around the stated place that holds the true one with 90 % probability.

    Parameters
    ----------
    cov : (..., 2, 2) array_like
        Covariance of x and y, m². NaN gives NaN.

    Returns
    -------
    (...) float64
        ``K(minor / major) * major``, m, for a normal distribution; K is exact to 1e-5.

    References
    ----------
    Dolloff and Carr 2016, Computation of scalar accuracy metrics LE, CE, and SE as both predictive and
    sample-based statistics, NGA, PA case 16-277.

    Examples
    --------
    >>> import numpy as np
    >>> ce90(np.eye(2)).round(4).item(), ce90(np.diag([1.0, 0.0])).round(4).item()
    (2.146, 1.6449)
    """
    major, minor, _ = _axes(cov)
    ratio = np.divide(minor, major, out=np.zeros_like(major), where=major > 0.0)
    return np.asarray(np.interp(ratio, *_circle_factors()) * major)


def ellipse(cov: ArrayLike, *, convergence_rad: ArrayLike = 0.0) -> tuple[Floats, Floats, Floats]:
    """Return the one-sigma error ellipse.

    Parameters
    ----------
    cov : (..., 2, 2) array_like
        Covariance of (x, y) = (east, north) of the grid, m².
    convergence_rad : (...) array_like
        Meridian convergence at the place, :func:`dronesense.geodesy.grid_factors`.

    Returns
    -------
    major, minor : (...) float64
        Semi-axes, m.
    azimuth_deg : (...) float64
        From true north clockwise to the major axis, [0, 180).

    Examples
    --------
    >>> import numpy as np
    >>> major, minor, azimuth = ellipse(np.diag([4.0, 1.0]))
    >>> major.item(), minor.item(), azimuth.item()
    (2.0, 1.0, 90.0)
    """
    major, minor, angle = _axes(cov)
    azimuth = np.mod(np.degrees(0.5 * np.pi - angle + np.asarray(convergence_rad, dtype=np.float64)), 180.0)
    return major, minor, np.where(azimuth < 180.0, azimuth, 0.0)  # the rounded remainder may be 180


def pixel_covariance(corners: Floats) -> Floats:
    """Return the covariance (k, 2, 2) of a point spread evenly over each pixel, m².

    Parameters
    ----------
    corners : (k, 4, 2) float64
        Corners in ring order, as from :func:`dronesense.geotag.locate.footprints`.

    Examples
    --------
    A square pixel of 1 m: 1/12 m² along each axis.

    >>> import numpy as np
    >>> (12 * pixel_covariance(np.array([[[0, 0], [1, 0], [1, 1], [0, 1.0]]]))).round(6)[0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(corners, dtype=np.float64), 1, 0)
    return _spread(np.stack([0.5 * (c1 - c0 + c2 - c3), 0.5 * (c3 - c0 + c2 - c1)], axis=-1))


def _spread(edges: Floats) -> Floats:
    """Return the covariance of an even spread over parallelograms with *edges* (k, 2, 2) as columns."""
    cov: Floats = UNIFORM_VARIANCE * (edges @ np.swapaxes(edges, -1, -2))
    return cov


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The geometry of rays that met the ground; vectors north, east, down.

    Parameters
    ----------
    poses : Poses
        One per ray.
    direction : (k, 3) float64
        Unit vectors.
    distance_m : (k,) float64
        From the projection center to the ground.
    normal : (k, 3) float64
        Upward unit normal of the ground.
    to_grid : (k, 2, 3) float64
        Derivatives of grid x, y by north, east, down.
    pixel_step : (k, 3) float64
        Change of `direction` from one edge of the pixel to the other.
    line_s : (k,) float64
        Time from one line to the next.
    row_step : (k, 3) float64 or None
        Frame cameras: change of `direction` from the upper edge of the pixel to the lower one.
    """

    poses: Poses
    direction: Floats
    distance_m: Floats
    normal: Floats
    to_grid: Floats
    pixel_step: Floats
    line_s: Floats
    row_step: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Budget:
    """Where the error of each ray's place on the ground comes from; (x, y) of the grid, m.

    Parameters
    ----------
    navigation : (k, 2, 6) float64
        Shift by one standard deviation of north, east, down, roll, pitch, yaw: what each pass has for itself.
    shared : (k, 2, 14) float64
        The same for what passes share: the part of navigation (6) that lasts, boresight (3), lever arm (3),
        clock and, last, height of the ground.
    pixel : (k, 2, 2) float64
        Covariance of the place of a target within its pixel: independent from pixel to pixel.
    white : (k, 2, 2) float64
        Part of the covariance of `navigation` that jumps from one navigation sample to the next.
    """

    navigation: Floats
    shared: Floats
    pixel: Floats
    white: Floats

    @property
    def common(self) -> Floats:
        """Covariance (k, 2, 2) of what neighboring pixels have in common."""
        parts = np.concatenate([self.navigation, self.shared], axis=2)
        return np.asarray(parts @ parts.transpose(0, 2, 1))


def error_budget(look: Look, *, mount: Mount, clock_sigma_s: float, terrain_sigma_m: float) -> Budget:
    """Propagate every source of error to the ground, in closed form.

    Parameters
    ----------
    look : Look
        Rays and ground.
    mount : Mount
        Lever arm and boresight with their uncertainties.
    clock_sigma_s : float
        Standard uncertainty of the line times against the trajectory.
    terrain_sigma_m : float
        Standard uncertainty of the ground's height.

    Returns
    -------
    Budget
        NaN where the trajectory does not state an accuracy.

    Notes
    -----
    ``P = I - d nᵀ / (nᵀ d)`` slides a displaced ray along itself onto the plane of the ground. With *a* the
    arm from the navigation point to the ground and *e* the axis of a rotation: position P, attitude
    ``P (e × a)``, boresight ``P (e × s d)``, lever arm ``P R``, height of the ground ``d n_up / (nᵀ d)``,
    time ``P (v + ω × a)``. See docs/methods/georeferencing.md.
    """
    poses = look.poses
    rotation = poses.rotation
    descent = np.einsum("ki,ki->k", look.normal, look.direction)[:, None]
    ray = look.distance_m[:, None] * look.direction
    arm = ray + rotation @ np.asarray(mount.lever_arm_m)

    def ground(shift: Floats) -> Floats:
        """Return by how much (k, 2) the hit moves in the grid when the ray moves by *shift* (k, 3) there."""
        slide = np.einsum("ki,ki->k", look.normal, shift)[:, None] / descent
        moved: Floats = (look.to_grid @ (shift - slide * look.direction)[:, :, None])[..., 0]
        return moved

    unit = np.broadcast_to(np.eye(3), rotation.shape)
    turn = np.radians(mount.sigma_boresight_deg)
    mounted = rotation @ nominal_rotation(mount)
    std_rpy = np.radians(poses.std_rpy_deg)
    navigation = [ground(poses.std_ned_m[:, i : i + 1] * unit[:, i]) for i in range(3)]
    navigation += [
        ground(std_rpy[:, i : i + 1] * np.cross(axis, arm)) for i, axis in enumerate(_rpy_axes(rotation))
    ]
    shared = [ground(turn * np.cross(mounted @ axis, ray)) for axis in _boresight_axes(mount)]
    shared += [ground(mount.sigma_lever_arm_m * rotation[:, :, i]) for i in range(3)]
    rate = np.einsum("kij,kj->ki", rotation, np.nan_to_num(poses.rate))
    ground_speed = ground(np.nan_to_num(poses.velocity_ned) + np.cross(rate, arm))
    shared.append(clock_sigma_s * ground_speed)
    up = terrain_sigma_m * -look.normal[:, 2:]
    shared.append((look.to_grid @ (look.direction * up / descent)[:, :, None])[..., 0])

    slow = np.ones((len(poses), 6)) if poses.slow is None else poses.slow
    lasting = np.zeros((len(poses), 6)) if poses.slow is None else PASS_CORRELATION * slow
    drift = np.stack(navigation, axis=-1)
    shared = [*np.moveaxis(drift * np.sqrt(lasting)[:, None, :], -1, 0), *shared]

    down = ground_speed * look.line_s[:, None]
    if look.row_step is not None:
        down = down + ground(look.distance_m[:, None] * look.row_step)
    edges = np.stack([ground(look.distance_m[:, None] * look.pixel_step), down], axis=-1)
    jumps = drift * np.sqrt(1.0 - slow)[:, None, :]
    return Budget(
        drift * np.sqrt(1.0 - lasting)[:, None, :],
        np.stack(shared, axis=-1),
        _spread(edges),
        jumps @ jumps.transpose(0, 2, 1),
    )


def _rpy_axes(rotation: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the axes (k, 3) about which small changes of roll, pitch and yaw turn a body."""
    forward = rotation[:, :, 0]
    zero = np.zeros(len(forward))
    level = np.hypot(forward[:, 0], forward[:, 1])
    straight_up = level == 0.0  # roll and yaw cannot be told apart: any level axis serves for pitch
    scale = np.where(straight_up, 1.0, level)
    starboard = np.column_stack(
        [-forward[:, 1] / scale, np.where(straight_up, 1.0, forward[:, 0] / scale), zero]
    )
    down = np.broadcast_to(np.array([0.0, 0.0, 1.0]), forward.shape)
    return forward, starboard, down


def _boresight_axes(mount: Mount) -> Floats:
    """Return the axes, one a row, about which the boresight angles turn the camera in its mount."""
    roll, pitch, yaw = np.radians(mount.boresight_deg)
    return np.stack(list(np.concatenate(_rpy_axes(rpy_to_matrix(roll, pitch, yaw)[None]))))
