"""How directions fall on pixels, and back: the one description of lenses that readers and geotag share.

Three models: Brown's (Brown 1966, Decentering distortion of lenses, Photogrammetric Engineering 32, 444-462)
with OpenCV's rational radial part, the fisheye of Kannala and Brandt 2006 (doi 10.1109/TPAMI.2006.153), and
that of Pix4D, ``rho = p0 + p1 t + p2 t^2 + p3 t^3`` with ``t = 2/pi * angle``. A Sequoia states a scale of
1659 px a quarter turn, which is 1056 px a radian: its 3.98 mm over 3.75 um pixels, so the factor 2/pi is
right.

None has a closed inverse. A table of the radial part gives a start, Newton's method the rest. A polynomial
that bends back maps two directions onto one pixel: beyond the *fold* both ways give NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

LensKind = Literal["perspective", "fisheye", "equidistant"]
Plane = NDArray[np.float64]

TOLERANCE_PX: Final = 1e-9
"""A direction counts as found when it falls on its pixel this closely."""
_DONE_PX: Final = 1e-11  # Newton's method goes on to the rounding of a few thousand pixels
_ITERATIONS: Final = 30
_NODES: Final = 2049  # of the table that Newton's method starts from
_STEEPEST: Final = 1e3  # tangent of the angle off the axis beyond which a perspective lens is not followed
_REAL: Final = 1e-9  # roots with a smaller imaginary share are real

_BROWN_NAMES: Final = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")

COEFFICIENT_ORDERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "opencv": _BROWN_NAMES,
        "opensfm": _BROWN_NAMES[:5],
        "micasense": ("k1", "k2", "k3", "p1", "p2"),
        "pix4d": ("k1", "k2", "k3", "p1", "p2"),  # written R1, R2, R3, T1, T2
    }
)
"""How makers order the coefficients of Brown's model; all mean the same by each."""


@dataclass(frozen=True, slots=True)
class Lens:
    """How directions fall on the pixels of one band.

    A direction (x right, y down, z along the optical axis) is first brought to the plane, then to pixels
    ``(u, v) = center + focal * plane``; pixels count from 0 at the center of the first one.

    Parameters
    ----------
    kind : {"perspective", "fisheye", "equidistant"}
        ``perspective``: Brown's model, `distortion` = (k1, k2, p1, p2, k3[, k4, k5, k6]) on (x/z, y/z), as
        in OpenCV; left out = 0.
        ``fisheye``: ``rho = p0 + p1 t + p2 t**2 + p3 t**3`` with ``t = 2/pi * angle from the axis``,
        `distortion` = (p0, p1, p2, p3).
        ``equidistant``: ``rho = a (1 + k1 a**2 + k2 a**4 + k3 a**6 + k4 a**8)`` with *a* the angle,
        `distortion` = (k1, k2, k3, k4); left out = 0.
    focal_px, center_px : (x, y)
        Scale, pixels; principal point, pixels.
    distortion : tuple of float
        Coefficients, as said above.
    """

    kind: LensKind
    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    distortion: tuple[float, ...]


def brown(coefficients: Sequence[float], *, order: str = "opencv") -> tuple[float, ...]:
    """Return coefficients of Brown's model in the order of :class:`Lens`, from that of a maker.

    Raises
    ------
    ValueError
        If `order` is none of :data:`COEFFICIENT_ORDERS`, or has fewer names than there are numbers.

    Examples
    --------
    >>> brown([0.1, 0.2, 0.3, 0.01, 0.02], order="micasense")
    (0.1, 0.2, 0.01, 0.02, 0.3)
    """
    names = COEFFICIENT_ORDERS.get(order)
    if names is None or len(coefficients) > len(names):
        raise ValueError(f"{len(coefficients)} coefficients in the order {order!r} are not known")
    value = dict(zip(names, (float(each) for each in coefficients), strict=False))
    wide = any(value.get(name) for name in _BROWN_NAMES[5:])
    return tuple(value.get(name, 0.0) for name in (_BROWN_NAMES if wide else _BROWN_NAMES[:5]))


def normalized(
    kind: LensKind,
    *,
    focal: tuple[float, float],
    center: tuple[float, float],
    distortion: tuple[float, ...],
    shape: tuple[int, int],
) -> Lens:
    """Return the lens of shares of the longer side, counted from the middle of the picture (OpenSfM).

    Examples
    --------
    >>> normalized("perspective", focal=(0.5, 0.5), center=(0.0, 0.0), distortion=(), shape=(3, 4)).center_px
    (1.5, 1.0)
    """
    rows, cols = shape
    size = float(max(rows, cols))
    middle = (0.5 * (cols - 1), 0.5 * (rows - 1))
    return Lens(
        kind,
        (focal[0] * size, focal[1] * size),
        (middle[0] + center[0] * size, middle[1] + center[1] * size),
        distortion,
    )


def limit_rad(lens: Lens) -> float:
    """Return the angle off the axis at which the lens folds; pi/2 or pi where it never does.

    Examples
    --------
    ``r (1 - r^2 / 3)`` turns back at r = 1, which is 45°:

    >>> lens = Lens("perspective", (1.0, 1.0), (0.0, 0.0), (-1 / 3,))
    >>> round(math.degrees(limit_rad(lens)), 9)
    45.0
    """
    if lens.kind == "perspective":
        return math.atan(_brown_fold(lens.distortion))
    polynomial, scale = _angular(lens.kind, lens.distortion)
    return _angular_fold(polynomial, math.pi * scale) / scale


def project(lens: Lens, x: Plane, y: Plane, z: Plane, *, folded: bool = False) -> tuple[Plane, Plane]:
    """Return the pixel (u, v) on which directions (x, y, z) fall; NaN behind the camera, beyond the fold.

    `folded`: follow the polynomial of a perspective lens beyond its fold too, as programs do that know of
    none. What lies there is not in the picture, although it falls on its pixels.
    """
    if lens.kind == "perspective":
        with np.errstate(invalid="ignore", divide="ignore"):
            ahead = np.where(np.asarray(z) > 0.0, z, np.nan)
            across, down = x / ahead, y / ahead
            if not folded:
                seen = across * across + down * down < _brown_fold(lens.distortion) ** 2
                across, down = np.where(seen, across, np.nan), np.where(seen, down, np.nan)
            right, below = _distort(lens.distortion, across, down)
    else:
        polynomial, scale = _angular(lens.kind, lens.distortion)
        radius = np.hypot(x, y)
        t = np.arctan2(radius, z) * scale
        fold = _angular_fold(polynomial, np.pi * scale)
        rho = np.where(t < fold, np.polynomial.polynomial.polyval(t, polynomial), np.nan)
        share = np.divide(rho, radius, out=np.where(np.isnan(rho), np.nan, 0.0), where=radius > 0.0)
        right, below = x * share, y * share
    return lens.center_px[0] + lens.focal_px[0] * right, lens.center_px[1] + lens.focal_px[1] * below


def directions(lens: Lens, u: Plane, v: Plane) -> tuple[Plane, Plane, Plane]:
    """Return the directions (x, y, z) that fall on pixels; unit vectors for a fisheye, z = 1 otherwise.

    They fall on their pixels within 1e-9 px. NaN for pixels that the lens maps no direction to.
    """
    right = (np.asarray(u, dtype=np.float64) - lens.center_px[0]) / lens.focal_px[0]
    below = (np.asarray(v, dtype=np.float64) - lens.center_px[1]) / lens.focal_px[1]
    right, below = np.broadcast_arrays(right, below)
    scale_px = max(abs(lens.focal_px[0]), abs(lens.focal_px[1]))
    if lens.kind == "perspective":
        x, y = _undistort(lens.distortion, right.ravel(), below.ravel(), scale_px)
        x, y = x.reshape(right.shape), y.reshape(right.shape)
        return x, y, np.where(np.isnan(x), np.nan, 1.0)
    polynomial, scale = _angular(lens.kind, lens.distortion)
    rho = np.hypot(right, below)
    angle = _angle_of(polynomial, np.pi * scale, rho.ravel(), scale_px).reshape(rho.shape) / scale
    share = np.divide(np.sin(angle), rho, out=np.where(np.isnan(angle), np.nan, 0.0), where=rho > 0.0)
    return right * share, below * share, np.cos(angle)


def _coefficients(distortion: tuple[float, ...]) -> tuple[Plane, Plane, float, float]:
    """Return numerator and denominator of the radial factor in powers of r^2, and p1, p2."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    return np.array([1.0, k1, k2, k3]), np.array([1.0, k4, k5, k6]), p1, p2


def _radial(distortion: tuple[float, ...], square: Plane) -> tuple[Plane, Plane]:
    """Return the radial factor and its derivative by r^2."""
    above, under, _, _ = _coefficients(distortion)
    value = 1.0 + square * (above[1] + square * (above[2] + square * above[3]))
    slope = above[1] + square * (2.0 * above[2] + square * 3.0 * above[3])
    if under[1:].any():
        below = 1.0 + square * (under[1] + square * (under[2] + square * under[3]))
        below_slope = under[1] + square * (2.0 * under[2] + square * 3.0 * under[3])
        slope = (slope * below - value * below_slope) / (below * below)
        value = value / below
    return value, slope


def _distort(distortion: tuple[float, ...], x: Plane, y: Plane) -> tuple[Plane, Plane]:
    _, _, p1, p2 = _coefficients(distortion)
    square = x * x + y * y
    radial, _ = _radial(distortion, square)
    return (
        x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x),
        y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y,
    )


@lru_cache(maxsize=64)
def _brown_fold(distortion: tuple[float, ...]) -> float:
    """Return the tangent at which the radial part of Brown's model turns back or has a pole; inf if never."""
    from numpy.polynomial import polynomial as poly

    above, under, _, _ = _coefficients(distortion)
    turn = poly.polysub(
        poly.polymul(poly.polyder(above), under), poly.polymul(above, poly.polyder(under))
    )  # of d(r N/D)/dr = (N D + 2 s (N'D - N D')) / D^2 with s = r^2
    slope = poly.polyadd(poly.polymul(above, under), poly.polymul([0.0, 2.0], turn))
    first = min(_first_root(slope), _first_root(under))
    return float(np.sqrt(first))


def _first_root(polynomial: NDArray[np.floating[Any]]) -> float:
    """Return the least positive real root; inf if there is none."""
    from numpy.polynomial import polynomial as poly

    roots = poly.polyroots(poly.polytrim(polynomial))
    real = roots.real[(np.abs(roots.imag) <= _REAL * np.abs(roots)) & (roots.real > 0.0)]
    return float(real.min(initial=np.inf))


def _undistort(
    distortion: tuple[float, ...], right: Plane, below: Plane, scale_px: float
) -> tuple[Plane, Plane]:
    """Return (x, y) whose distorted place is (right, below), flat arrays; NaN where there is none."""
    if not any(distortion):
        return right.astype(np.float64), below.astype(np.float64)
    fold = _brown_fold(distortion)
    reach = np.hypot(right, below)
    r = _first_guess(distortion, fold, reach)
    share = np.divide(r, reach, out=np.ones_like(reach), where=reach > 0.0)
    x, y = right * share, below * share
    left = np.flatnonzero(np.isfinite(x))
    found = np.zeros(len(x), dtype=bool)
    for _ in range(_ITERATIONS):
        if not left.size:
            break
        a, b = x[left], y[left]
        at_x, at_y = _distort(distortion, a, b)
        miss_x, miss_y = right[left] - at_x, below[left] - at_y
        (xx, xy, yy), determinant = _jacobian(distortion, a, b)
        miss_px = scale_px * np.maximum(np.abs(miss_x), np.abs(miss_y))
        found[left] = (miss_px <= TOLERANCE_PX) & (determinant > 0.0)
        on = (miss_px > _DONE_PX) & (determinant > 0.0)
        left = left[on]
        a = a[on] + ((yy * miss_x - xy * miss_y) / determinant)[on]
        b = b[on] + ((xx * miss_y - xy * miss_x) / determinant)[on]
        inside = np.minimum(1.0, fold / np.maximum(np.hypot(a, b), np.finfo(np.float64).tiny))
        x[left], y[left] = a * inside, b * inside
    x[~found] = y[~found] = np.nan
    return x, y


def _first_guess(distortion: tuple[float, ...], fold: float, reach: Plane) -> Plane:
    """Return undistorted radii of distorted ones by the radial part alone; NaN far beyond its fold."""
    _, _, p1, p2 = _coefficients(distortion)
    known = reach[np.isfinite(reach)]
    top = min(fold, 1.0 + 1.5 * float(known.max(initial=0.0)))
    while top < min(fold, _STEEPEST) and top * float(_radial(distortion, np.array(top**2))[0]) < known.max():
        top = min(2.0 * top, fold)
    nodes = np.linspace(0.0, top, _NODES)
    nodes[-1] *= 1.0 - np.finfo(np.float64).eps  # a pole may be there
    values = nodes * _radial(distortion, nodes * nodes)[0]
    guess = np.interp(reach, values, nodes)
    decentering = 3.0 * (abs(p1) + abs(p2)) * top * top
    guess[~(reach <= values[-1] + decentering)] = np.nan
    return guess


def _jacobian(distortion: tuple[float, ...], x: Plane, y: Plane) -> tuple[tuple[Plane, Plane, Plane], Plane]:
    """Return the derivatives (xx, xy = yx, yy) of the distorted place, and their determinant."""
    _, _, p1, p2 = _coefficients(distortion)
    radial, slope = _radial(distortion, x * x + y * y)
    xx = radial + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
    xy = 2.0 * x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
    yy = radial + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
    return (xx, xy, yy), xx * yy - xy * xy


def _angular(kind: LensKind, distortion: tuple[float, ...]) -> tuple[tuple[float, ...], float]:
    """Return the polynomial of a fisheye and the scale of its variable against the angle in rad."""
    if kind == "fisheye":
        return distortion, 2.0 / np.pi
    odd = [0.0, 1.0]
    for each in distortion:
        odd += [0.0, each]
    return tuple(odd), 1.0


@lru_cache(maxsize=64)
def _angular_fold(polynomial: tuple[float, ...], last: float) -> float:
    """Return where the polynomial of a fisheye turns back, at most *last*."""
    slope = np.polynomial.polynomial.polyder(np.asarray(polynomial, dtype=np.float64))
    return min(last, _first_root(slope))


def _angle_of(polynomial: tuple[float, ...], last: float, rho: Plane, scale_px: float) -> Plane:
    """Return the t of each rho, flat; NaN where there is none."""
    poly = np.asarray(polynomial, dtype=np.float64)
    fold = _angular_fold(polynomial, last)
    polyval = np.polynomial.polynomial.polyval
    slope = np.polynomial.polynomial.polyder(poly)
    nodes = np.linspace(0.0, fold, _NODES)
    values = polyval(nodes, poly)
    t = np.asarray(np.interp(rho, values, nodes))
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(_ITERATIONS):
            miss = rho - polyval(t, poly)
            if not (scale_px * np.abs(miss) > _DONE_PX).any():
                break
            t = np.clip(t + np.nan_to_num(miss / polyval(t, slope)), 0.0, fold)
    within = scale_px * np.abs(rho - polyval(t, poly)) <= TOLERANCE_PX
    return np.where(within, t, np.nan)
