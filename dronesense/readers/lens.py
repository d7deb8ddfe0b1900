"""Pixels to directions and back, for the two lens models that multispectral cameras state.

Brown's model as in OpenCV (k1, k2, p1, p2, k3); the fisheye of Pix4D, ``rho = p0 + p1 t + p2 t^2 + p3 t^3``
with ``t = 2/pi * angle``. A Sequoia states a scale of 1659 px a quarter turn, which is 1056 px a radian: its
3.98 mm over 3.75 um pixels, so the factor 2/pi is right.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.model.capture import Lens

Plane = NDArray[np.float64]

ITERATIONS: Final = 20
TOLERANCE: Final = 1e-10
"""Steps of the inversion, and the change (tangent of the angle, or quarter turns) at which it is done."""


def project(lens: Lens, x: Plane, y: Plane, z: Plane) -> tuple[Plane, Plane]:
    """Return the pixel (u, v) on which directions (x, y, z) fall; NaN behind the camera."""
    if lens.kind == "fisheye":
        radius = np.hypot(x, y)
        rho = _polynomial(lens.distortion, np.arctan2(radius, z) * (2.0 / np.pi))
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(radius > 0.0, rho / radius, 0.0)
        right, down = x * scale, y * scale
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            ahead = np.where(z > 0.0, z, np.nan)
            right, down = _distort(lens.distortion, x / ahead, y / ahead)
    return lens.center_px[0] + lens.focal_px[0] * right, lens.center_px[1] + lens.focal_px[1] * down


def directions(lens: Lens, u: Plane, v: Plane) -> tuple[Plane, Plane, Plane]:
    """Return the directions (x, y, z) that fall on pixels; unit vectors for a fisheye, z = 1 otherwise.

    Brown's model has no closed inverse: it is iterated until the change is below 1e-10, at most 20 times.
    """
    right = (u - lens.center_px[0]) / lens.focal_px[0]
    down = (v - lens.center_px[1]) / lens.focal_px[1]
    if lens.kind == "fisheye":
        rho = np.hypot(right, down)
        angle = _inverse(lens.distortion, rho) * (np.pi / 2.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(rho > 0.0, np.sin(angle) / rho, 0.0)
        return right * scale, down * scale, np.cos(angle)
    x, y = right.copy(), down.copy()
    for _ in range(ITERATIONS):
        ahead_x, ahead_y = _distort(lens.distortion, x, y)
        step_x, step_y = right - ahead_x, down - ahead_y
        x += step_x
        y += step_y
        if max(np.abs(step_x).max(initial=0.0), np.abs(step_y).max(initial=0.0)) < TOLERANCE:
            break
    return x, y, np.ones_like(x)


def _distort(distortion: tuple[float, ...], x: Plane, y: Plane) -> tuple[Plane, Plane]:
    k1, k2, p1, p2, k3 = distortion
    square = x * x + y * y
    radial = 1.0 + square * (k1 + square * (k2 + square * k3))
    return (
        x * radial + 2.0 * p1 * x * y + p2 * (square + 2.0 * x * x),
        y * radial + p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y,
    )


def _polynomial(coefficients: tuple[float, ...], t: Plane) -> Plane:
    value = np.zeros_like(t)
    for each in reversed(coefficients):
        value = value * t + each
    return value


def _inverse(coefficients: tuple[float, ...], rho: Plane) -> Plane:
    """Return the t of each rho by Newton's method from t = rho."""
    slope = tuple(power * each for power, each in enumerate(coefficients))[1:]
    t = rho.copy()
    for _ in range(ITERATIONS):
        step = (_polynomial(coefficients, t) - rho) / _polynomial(slope, t)
        t -= step
        if np.abs(step).max(initial=0.0) < TOLERANCE:
            break
    return t
