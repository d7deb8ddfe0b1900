"""Reflectance panels in frames: where they are, what light they tell of, and the light between two of them.

A panel of reflectance rho under the irradiance E sends back the radiance ``L = rho E / pi`` (Lambert), so
``E = pi L / rho``, and the reflectance of anything else is ``pi L / E``. With a radiance in relative units E
is in pi of those, and reflectance comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dronesense.errors import CalibrationError

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_SPREAD: Final = 0.05
"""Standard deviation over mean of a panel's face from which it does not count as uniform."""
MIN_SQUARE: Final = 0.85
"""Area over that of the smallest rectangle around, and short over long side, of what counts as a square."""
AREA_SHARE: Final = (0.002, 0.25)
"""Smallest and largest share of the image that a panel takes."""
LEVELS: Final = 24
"""Brightness levels that are tried: a panel is an island above one of them."""
MIN_CONTRAST: Final = 1.5
"""Mean of a panel over the median of the image: it is bright."""
INSET: Final = 0.15
"""Share of the side that is left out along each edge of a found panel: frame, blur and shadow."""
MIN_FACE_PIXELS: Final = 9
"""Pixels of a panel's face below which it is too small to be one."""
SEARCH_PIXELS: Final = 480
"""The shorter side of the image in which the panel is looked for; larger ones are averaged in blocks."""
EDGE: Final = 1e-9
"""Pixels by which rounding may put a corner beyond an edge."""
ANGLES: Final = 90
"""Orientations of the rectangle around an island that are tried, over a quarter turn."""


@dataclass(frozen=True, slots=True)
class PanelRegion:
    """A panel in one band.

    Parameters
    ----------
    corners : (4,) of (x, y)
        Of the part to use, pixels.
    mean, spread : float
        Mean over it; standard deviation over mean.
    squareness : float
        Share of the smallest rectangle around it that it fills, times its short over its long side.
    """

    corners: tuple[tuple[float, float], ...]
    mean: float
    spread: float
    squareness: float


@dataclass(frozen=True, slots=True, eq=False)
class PanelLight:
    """Irradiance from one panel capture.

    Parameters
    ----------
    time : int
        Release, int64 UTC ns.
    irradiance : (bands,) float64
        W m-2 nm-1, or pi times the unit of the radiance; NaN for a band that cannot be used.
    sigma : (bands,) float64
        Standard uncertainty of it.
    """

    time: int
    irradiance: Doubles
    sigma: Doubles


def inside(shape: tuple[int, int], corners: Sequence[Sequence[float]]) -> Mask:
    """Return which pixels have their center within a convex polygon, its edges included.

    Parameters
    ----------
    shape : (rows, cols)
        Of the image.
    corners : (k, 2)
        (x, y) of the corners in order, clockwise or not.

    Raises
    ------
    ValueError
        If there are fewer than 3 corners, or the polygon is not convex.
    """
    points = np.asarray(corners, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"a region needs at least 3 corners (x, y), not {np.shape(corners)}")
    edges = np.roll(points, -1, axis=0) - points
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    if not (np.all(turns >= 0.0) or np.all(turns <= 0.0)) or not np.any(turns):
        raise ValueError("the corners of a region must go around it in order, without dents")
    side = 1.0 if turns.sum() > 0.0 else -1.0
    (left, top), (right, bottom) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1.0
    box = (slice(max(0, int(top)), max(0, int(bottom))), slice(max(0, int(left)), max(0, int(right))))
    within = np.zeros(shape, dtype=bool)
    view = within[box]
    y = np.arange(box[0].start, box[0].start + view.shape[0])[:, None]
    x = np.arange(box[1].start, box[1].start + view.shape[1])
    view[:] = True
    for (px, py), (dx, dy) in zip(points, edges, strict=True):
        view &= side * (dx * (y - py) - dy * (x - px)) >= 0.0
    return within


def find(image: NDArray[np.floating], *, aspect: float = MIN_SQUARE) -> PanelRegion:
    """Return the panel in one band: the largest island that is bright, uniform and square.

    Islands above each of 24 levels of brightness are measured; the QR code beside the panel is not read.

    Parameters
    ----------
    image : (rows, cols)
        Radiance or counts; NaN where there is none.
    aspect : float
        Least short over long side; smaller where pixels are not square, as in the lines of a scanner.

    Raises
    ------
    CalibrationError
        If there is none.

    References
    ----------
    Smallest rectangle by trying orientations, as for rotating calipers: H. Freeman, R. Shapira, Comm. ACM 18
    (1975) 409, doi 10.1145/360881.360919.
    """
    from scipy import ndimage

    values = np.asarray(image, dtype=np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        raise CalibrationError("the panel capture has no pixel that can be used")
    step = max(1, min(values.shape) // SEARCH_PIXELS)
    filled = _coarse(np.where(np.isfinite(values), values, known.min()), step)
    middle = float(np.median(known))
    # Levels lie where pixels differ: a few glints must not take them all.
    top = float(np.quantile(known, 0.9995))
    smallest, largest = (share * filled.size for share in AREA_SHARE)
    best: PanelRegion | None = None
    best_area = 0.0
    for level in range(1, LEVELS):
        above = filled > middle + (top - middle) * level / LEVELS
        labels, count = ndimage.label(above)
        if count == 0:
            continue
        areas = np.bincount(labels.ravel())
        for island in np.flatnonzero((areas >= smallest) & (areas <= largest)):
            if island == 0 or areas[island] <= best_area:
                continue
            found = _measure(values, labels == island, step, aspect)
            if found is not None and found.mean >= MIN_CONTRAST * middle:
                best, best_area = found, float(areas[island])
    if best is None:
        raise CalibrationError(
            "no reflectance panel was found: nothing in the image is bright, uniform and square",
            fix="state its corners, or its rows and samples",
        )
    return best


def box(region: PanelRegion) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return rows and columns [first, last) of the largest box of the region's own shape that lies within it.

    Examples
    --------
    >>> box(PanelRegion(((2.0, 1.0), (6.0, 1.0), (6.0, 4.0), (2.0, 4.0)), 1.0, 0.0, 1.0))
    ((1, 5), (2, 7))
    """
    points = np.asarray(region.corners)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    half = (points.max(axis=0) - points.min(axis=0)) / 2.0
    edges = np.roll(points, -1, axis=0) - points
    normal = np.column_stack([edges[:, 1], -edges[:, 0]])
    reach = np.abs(np.sum(normal * (points - middle), axis=1))
    share = float(np.min(reach / np.maximum(np.abs(normal) @ half, np.finfo(float).tiny)))
    low, high = middle - min(share, 1.0) * half, middle + min(share, 1.0) * half
    (left, top), (right, bottom) = np.ceil(low - EDGE).astype(int), np.floor(high + EDGE).astype(int) + 1
    return (max(0, int(top)), int(bottom)), (max(0, int(left)), int(right))


def _coarse(image: Doubles, step: int) -> Doubles:
    """Return means of blocks of *step* x *step* pixels; what is left over at the ends is left out."""
    rows, cols = (length // step for length in image.shape)
    blocks = image[: rows * step, : cols * step].reshape(rows, step, cols, step)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float64)


def _measure(image: Doubles, island: Mask, step: int, aspect: float) -> PanelRegion | None:
    """Return the region of an island in an image of *step* times its size; None if no uniform square."""
    rim = island & ~(
        np.pad(island, 1)[:-2, 1:-1]
        & np.pad(island, 1)[2:, 1:-1]
        & np.pad(island, 1)[1:-1, :-2]
        & np.pad(island, 1)[1:-1, 2:]
    )
    y, x = np.nonzero(rim)
    angle = np.arange(ANGLES) * (np.pi / 2.0 / ANGLES)
    along = np.outer(np.cos(angle), x) + np.outer(np.sin(angle), y)
    across = np.outer(np.cos(angle), y) - np.outer(np.sin(angle), x)
    box = np.stack([along.min(axis=1), along.max(axis=1), across.min(axis=1), across.max(axis=1)])
    long, wide = box[1] - box[0] + 1.0, box[3] - box[2] + 1.0
    place = int(np.argmin(long * wide))
    short, longer = sorted((float(long[place]), float(wide[place])))
    filled, square = float(island.sum()) / (short * longer), short / longer
    if filled < MIN_SQUARE or square < aspect:
        return None
    cut = INSET * short
    low, high, left, right = box[:, place] + (cut, -cut, cut, -cut)
    c, s = np.cos(angle[place]), np.sin(angle[place])
    corners = tuple(
        tuple(float((each + 0.5) * step - 0.5) for each in (a * c - b * s, a * s + b * c))
        for a, b in ((low, left), (high, left), (high, right), (low, right))
    )
    face = image[inside((image.shape[0], image.shape[1]), corners)]
    face = face[np.isfinite(face)]
    if face.size < MIN_FACE_PIXELS or not face.mean() > 0.0:
        return None
    spread = float(face.std() / face.mean())
    if spread > MAX_SPREAD:
        return None
    return PanelRegion(
        tuple((each[0], each[1]) for each in corners), float(face.mean()), spread, filled * square
    )


def light(
    time: int,
    mean: ArrayLike,
    *,
    spread: ArrayLike,
    reflectance: ArrayLike,
    sigma_reflectance: ArrayLike = 0.0,
) -> PanelLight:
    r"""Return the irradiance that a panel tells of, with its uncertainty, band by band.

    .. math:: E = \pi L / \rho, \quad (u_E / E)^2 = s^2 + (u_\rho / \rho)^2

    The spread s of the panel's face is taken in full: it is dirt, shade and vignetting left over more than
    noise, and does not average out over pixels.

    Parameters
    ----------
    time : int
        Release, int64 UTC ns.
    mean, spread : (bands,) float
        Radiance of the panel; its standard deviation over its mean.
    reflectance, sigma_reflectance : (bands,) float
        Of the panel as each band sees it; NaN or 0 where it is not known.
    """
    radiance, rho = np.asarray(mean, dtype=np.float64), np.asarray(reflectance, dtype=np.float64)
    relative = np.hypot(np.asarray(spread, dtype=np.float64), np.asarray(sigma_reflectance) / _nonzero(rho))
    with np.errstate(invalid="ignore"):
        irradiance = np.where((radiance > 0.0) & (rho > 0.0), np.pi * radiance / _nonzero(rho), np.nan)
    return PanelLight(time, irradiance, irradiance * relative)


def at(time: int, panels: Sequence[PanelLight]) -> tuple[PanelLight, str]:
    r"""Return the light at a time from the panels before and after it, and what is to be said about it.

    Between two panels E is a straight line in time. How the light went between is not known: to the
    uncertainty of the line, ``|E1 - E0| sqrt(w0 w1)`` is added, with w the weights of both: nothing at
    either panel, half the change midway. Outside of all panels the nearest one is used as it is.

    Raises
    ------
    CalibrationError
        If there is no panel.
    """
    if not panels:
        raise CalibrationError("there is no panel capture", fix="name one, or use the light sensor")
    ordered = sorted(panels, key=lambda each: each.time)
    before = [each for each in ordered if each.time <= time]
    after = [each for each in ordered if each.time > time]
    if not before or not after:
        nearest = before[-1] if before else after[0]
        side = "before" if before else "after"
        gap = abs(time - nearest.time) / 60e9
        same = "" if gap == 0.0 else f", {gap:.1f} min {side} it: a change of light since is not seen"
        return PanelLight(time, nearest.irradiance, nearest.sigma), f"light of one panel capture{same}"
    first, last = before[-1], after[0]
    weight = (time - first.time) / (last.time - first.time)
    value = first.irradiance * (1.0 - weight) + last.irradiance * weight
    change = last.irradiance - first.irradiance
    variance = ((1.0 - weight) * first.sigma) ** 2 + (weight * last.sigma) ** 2
    sigma = np.sqrt(variance + change**2 * weight * (1.0 - weight))
    relative = 100.0 * change / first.irradiance
    known = relative[np.isfinite(relative)]
    told = f"{known.min():+.1f} % to {known.max():+.1f} %" if known.size else "not known"
    return PanelLight(time, value, sigma), f"light between two panel captures; it changed by {told} by band"


def _nonzero(values: Doubles) -> Doubles:
    return np.where(values != 0.0, values, np.nan)
