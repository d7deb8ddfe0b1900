"""One pass's view of something: a detection with its place and outline, and how well both are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, MultiPoint, Point
from shapely.geometry.base import BaseGeometry

from dronesense.model import Detection, GasSeries, GroundPoints
from dronesense.model.checks import freeze

SNAP_PIXELS: Final = 0.01
"""Grid on which footprints are joined, in pixels: neighbors share corners that differ by rounding only."""
SMALL_PIXELS: Final = 2
"""Up to so many pixels a target may lie anywhere within them: nothing averages."""
ENDS_OF_A_ROW: Final = 0.5
"""Variance of the middle of a row of pixels whose two ends are cut independently, in pixel variances."""
EQUAL_WEIGHTS: Final = 0.05
"""Weights that spread by less than this part of their mean tell nothing about the filling of pixels."""
UNIFORM_VARIANCE: Final = 1.0 / 12.0
"""Variance of a uniform distribution of width 1."""
PARTLY_OFF_TERRAIN: Final = "partly-off-terrain"
PARTLY_WITHOUT_POSITION: Final = "partly-without-position"
REASONS: Final = {
    1: "no trajectory at that time",
    2: "no terrain data",
    3: "outside the terrain",
    4: "the ray does not go down",
    5: "grazing",
}
"""Status of :class:`~dronesense.model.GroundPoints` in words."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A detection on the ground.

    Parameters
    ----------
    target, kind, method, origin : str
        As in :class:`~dronesense.model.Detection`; `origin` is the strip (cube), or the species.
    detection : Detection
        What was found.
    x, y : float
        Best estimate of the place in `crs`, m: the centroid weighted by score (spectral), or the peak (gas).
    height_m : float
        Above the ellipsoid.
    cov : (2, 2) float64
        Covariance of (x, y), m².
    crs : str
        Metric CRS.
    outline : shapely geometry
        In `crs`: union of the pixels' footprints, or the stretch of track (a point for a single sample).
    resolution_m : float
        Pixel side, or distance between samples; 0 when a single sample leaves it unknown.
    start, end : int
        UTC ns.
    n_obs : int
        Pixels or samples that have a place.
    source : str
        ``file#line 12-15 sample 3-9`` or ``file#row 100-120``.
    flags : tuple of str
        What limits it.
    shared : (2, m) float64 or None
        Shift of (x, y) by one standard deviation of each error that the passes of `rig` share, as in
        :class:`~dronesense.model.GroundPoints`; part of `cov`.
    rig : str
        Whose errors these are.
    """

    target: str
    kind: Literal["gas", "spectral"]
    method: str
    origin: str
    detection: Detection
    x: float
    y: float
    height_m: float
    cov: Floats
    crs: str
    outline: BaseGeometry
    resolution_m: float
    start: int
    end: int
    n_obs: int
    source: str
    flags: tuple[str, ...] = ()
    shared: Floats | None = None
    rig: str = ""

    def __post_init__(self) -> None:
        freeze(self, np.float64, (2, 2), "cov")
        freeze(self, np.float64, (2, None), "shared")
        if not (np.isfinite([self.x, self.y]).all() and np.isfinite(self.cov).all()):
            raise ValueError(
                f"a sighting needs a finite place and covariance, not {self.x}, {self.y}, {self.cov}"
            )
        if not self.crs:
            raise ValueError("a sighting needs a CRS")


def from_pixels(
    detection: Detection, points: GroundPoints, footprints: NDArray[np.float64]
) -> tuple[tuple[Sighting, ...], tuple[str, ...]]:
    """Place a spectral detection.

    The place is the centroid of the pixels by weight (filled fraction or score). Its covariance is the part
    that all pixels of one pass share (``points.cov - points.cov_own``) in full, plus the pixels' own part
    (``points.cov_own``) divided by their effective number n = ``1 / sum(weight²)`` where the weights tell how
    full each pixel is. Where all weights are the same, by ``2 sqrt(n)``: a blob has about sqrt(n) rows, and
    the middle of a row that is cut at both ends has half the variance of a pixel. One or two pixels average
    nothing: the target may lie anywhere in them.

    Parameters
    ----------
    detection : Detection
        With k pixels.
    points : GroundPoints
        Place of each of the k pixels; those with a status other than 0 are dropped (flag
        ``partly-off-terrain``).
    footprints : (k, 4, 2) float64
        Corners of each pixel on the ground, in ring order, in the CRS of `points`.

    Returns
    -------
    sightings : tuple of Sighting
        One, or none when no pixel has a place.
    lost : tuple of str
        Why there is none.

    Raises
    ------
    ValueError
        If the arrays do not agree in length, or `detection` is not a spectral one.
    """
    k = len(detection.index)
    if detection.kind != "spectral" or len(points) != k or footprints.shape != (k, 4, 2):
        raise ValueError(f"{k} {detection.kind} pixels, {len(points)} points, footprints {footprints.shape}")
    hit = (points.status == 0) & np.isfinite(footprints).all(axis=(1, 2))
    if not hit.any():
        return (), (_lost(detection, points.status),)
    corners, weight = footprints[hit], _weights(detection.weight[hit])
    place = weight @ np.column_stack([points.x[hit], points.y[hit]])
    own = None if points.cov_own is None else points.cov_own[hit]
    sighting = Sighting(
        target=detection.target,
        kind="spectral",
        method=detection.method,
        origin=detection.origin,
        detection=detection,
        x=float(place[0]),
        y=float(place[1]),
        height_m=float(weight @ points.height_m[hit]),
        cov=_centroid_cov(points.cov[hit], own, weight),
        crs=points.crs,
        outline=_union(corners),
        resolution_m=_pixel_side(corners),
        start=int(points.time[hit].min()),
        end=int(points.time[hit].max()),
        n_obs=int(hit.sum()),
        source=_pixel_source(detection, hit),
        flags=detection.flags if hit.all() else (*detection.flags, PARTLY_OFF_TERRAIN),
        shared=None if points.shared is None else np.einsum("k,kij->ij", weight, points.shared[hit]),
        rig=points.rig,
    )
    return (sighting,), ()


def from_samples(
    detections: Sequence[Detection], points: GroundPoints, series: GasSeries
) -> tuple[tuple[Sighting, ...], tuple[str, ...]]:
    """Place the gas events of one series.

    The place of an event is the inlet's at its highest sample; the true highest point lies within half a
    step of it along the track, which adds step²/12 to the covariance. It is the place of the *air*, not of
    the source.

    Parameters
    ----------
    detections : sequence of Detection
        Events; ``index`` counts samples of `series`.
    points : GroundPoints
        Inlet position of **every** sample of `series`.
    series : GasSeries
        Calibrated.

    Returns
    -------
    sightings : tuple of Sighting
        In the order of `detections`, without those that have no place.
    lost : tuple of str
        Why each of these is missing.

    Raises
    ------
    ValueError
        If there is not one point a sample, or a detection is not a gas one.
    """
    if len(points) != len(series) or any(detection.kind != "gas" for detection in detections):
        raise ValueError(f"{len(points)} points for {len(series)} samples, or a detection that is not gas")
    located: list[Sighting] = []
    lost: list[str] = []
    for detection in detections:
        index = detection.index[points.status[detection.index] == 0]
        if index.size:
            located.append(_event(detection, index, points, series))
        else:
            lost.append(_lost(detection, points.status[detection.index]))
    return tuple(located), tuple(lost)


def _event(
    detection: Detection, index: NDArray[np.int64], points: GroundPoints, series: GasSeries
) -> Sighting:
    peak = int(detection.index[detection.peak])
    if peak not in index:
        weight = detection.weight[np.isin(detection.index, index)]
        peak = int(index[np.argmax(np.nan_to_num(weight, nan=-np.inf))])
    step = _track_step(points, peak)
    track = np.column_stack([points.x[index], points.y[index]])
    track = track[np.r_[True, np.any(np.diff(track, axis=0) != 0.0, axis=1)]]
    rows = series.row[index]
    whole = index.size == detection.index.size
    return Sighting(
        target=detection.target,
        kind="gas",
        method=detection.method,
        origin=detection.origin,
        detection=detection,
        x=float(points.x[peak]),
        y=float(points.y[peak]),
        height_m=float(points.height_m[peak]),
        cov=points.cov[peak] + UNIFORM_VARIANCE * np.outer(step, step),
        crs=points.crs,
        outline=LineString(track) if len(track) > 1 else Point(track[0]),
        resolution_m=float(np.hypot(*step)),
        start=int(series.time[index].min()),
        end=int(series.time[index].max()),
        n_obs=int(index.size),
        source=f"{series.source}#row {_span(rows)}",
        flags=detection.flags if whole else (*detection.flags, PARTLY_WITHOUT_POSITION),
    )


def _weights(score: Floats) -> Floats:
    """Return weights that sum to one; scores that say nothing (not finite, not positive) count nothing."""
    weight = np.where(np.isfinite(score), np.maximum(score, 0.0), 0.0)
    total = weight.sum()
    return weight / total if total > 0.0 else np.full(len(score), 1.0 / len(score))


def _centroid_cov(cov: Floats, own: Floats | None, weight: Floats) -> Floats:
    if own is None:
        return _mean(cov, weight)
    local = _mean(own, weight)
    if len(weight) > SMALL_PIXELS:
        graded = float(np.ptp(weight)) > EQUAL_WEIGHTS / len(weight)
        averaging = np.sum(weight**2)
        local = local * (averaging if graded else ENDS_OF_A_ROW * np.sqrt(averaging))
    return _positive(_mean(cov - own, weight)) + local


def _mean(cov: Floats, weight: Floats) -> Floats:
    return np.asarray(np.einsum("k,kij->ij", weight, cov))


def _positive(cov: Floats) -> Floats:
    """Return *cov* without the negative eigenvalues that rounding leaves."""
    values, vectors = np.linalg.eigh(cov)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _union(corners: Floats) -> BaseGeometry:
    """Return the outline of the pixels; their hull should the snapping leave nothing of them."""
    pixels = shapely.make_valid(shapely.polygons(corners))
    union: BaseGeometry = shapely.union_all(pixels, grid_size=SNAP_PIXELS * _pixel_side(corners))
    return MultiPoint(corners.reshape(-1, 2)).convex_hull if union.is_empty else union


def _pixel_side(corners: Floats) -> float:
    return float(np.sqrt(np.median(np.abs(shapely.area(shapely.polygons(corners))))))


def _track_step(points: GroundPoints, peak: int) -> Floats:
    """Return the mean step (dx, dy) between the samples beside *peak*; zero where there are none."""
    near = np.arange(max(peak - 1, 0), min(peak + 2, len(points)))
    near = near[points.status[near] == 0]
    if near.size < 2:
        return np.zeros(2)
    first, last = near[0], near[-1]
    step = np.array([points.x[last] - points.x[first], points.y[last] - points.y[first]])
    return step / float(last - first)


def _pixel_source(detection: Detection, hit: NDArray[np.bool_]) -> str:
    lines, samples = detection.index[hit].T
    return f"{detection.source}#line {_span(lines)} sample {_span(samples)}"


def _span(numbers: NDArray[np.int64]) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{low}-{high}"


def _lost(detection: Detection, status: NDArray[np.uint8]) -> str:
    """Say why a detection has no place; it must not vanish in silence."""
    known = sorted({int(code) for code in status} & set(REASONS))
    why = ", ".join(REASONS[code] for code in known) or "no finite footprint"
    return (
        f"{detection.source}: a detection of {detection.target} with score {detection.score:.4g} has no "
        f"place on the ground ({why}) and is not in the layer"
    )
