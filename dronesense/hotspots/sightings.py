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
from dronesense.timescale import NS_PER_S

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
HALF_WIDTH_TO_SIGMA: Final = 0.42
"""Standard deviation of a normal curve over its full width at half its height."""
CREST_STEPS: Final = 20
"""Mean shift settles well within so many steps."""
CREST_NOISE: Final = 4.0
"""Variance of a sum of correlated noise over that of white noise: (1 + phi) / (1 - phi) at phi = 0.6."""
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
    nothing: the target may lie anywhere in them. Errors of navigation that jump from sample to sample
    (``points.cov_white``) are divided by the number of samples in the time that the pixels took.

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
    common = points.cov[hit]
    if points.cov_white is not None:
        averaged = 1.0 - 1.0 / _samples(points.time[hit], weight, points.white_s)
        common = common - averaged * points.cov_white[hit]
    sighting = Sighting(
        target=detection.target,
        kind="spectral",
        method=detection.method,
        origin=detection.origin,
        detection=detection,
        x=float(place[0]),
        y=float(place[1]),
        height_m=float(weight @ points.height_m[hit]),
        cov=_centroid_cov(common, own, weight),
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

    The place of an event is the inlet's at the crest, with the covariance that the noise gives it, and
    step²/12 for the distance between samples. It is the place of the *air*, not of the source.

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
    weight = _weights(detection.weight[np.isin(detection.index, index)])
    peak = int(np.searchsorted(index, detection.index[detection.peak]))
    if peak == len(index) or index[peak] != detection.index[detection.peak]:
        peak = int(np.argmax(weight))
    step = _track_step(points, int(index[peak]))
    time = (points.time[index] - points.time[index[peak]]) * 1e-9
    crest, sigma_s = _crest(time, weight, peak, detection.score)
    place = [float(np.interp(crest, time, each[index])) for each in (points.x, points.y, points.height_m)]
    near = int(index[np.argmin(np.abs(time - crest))])
    shift = step * sigma_s / _interval_s(points, near)
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
        x=place[0],
        y=place[1],
        height_m=place[2],
        cov=points.cov[near] + UNIFORM_VARIANCE * np.outer(step, step) + np.outer(shift, shift),
        crs=points.crs,
        outline=LineString(track) if len(track) > 1 else Point(track[0]),
        resolution_m=float(np.hypot(*step)),
        start=int(series.time[index].min()),
        end=int(series.time[index].max()),
        n_obs=int(index.size),
        source=f"{series.source}#row {_span(rows)}",
        flags=detection.flags if whole else (*detection.flags, PARTLY_WITHOUT_POSITION),
    )


def _crest(time: Floats, weight: Floats, peak: int, score: float) -> tuple[float, float]:
    """Return when an event crested, and the standard uncertainty of that, s.

    The highest of several noisy samples may lie anywhere on a broad crest. The crest is the time t that is
    the centroid of the enhancements w under a normal window K around itself, as wide as the crest (mean
    shift; Comaniciu and Meer 2002, doi 10.1109/34.1000236). Noise dw of ``w_peak / score`` in every sample
    moves it by ``sum(K (t_i - t) dw_i) / sum(w K (1 - (t_i - t)² / h²))``.
    """
    high = time[weight >= 0.5 * weight[peak]]
    width = HALF_WIDTH_TO_SIGMA * float(np.ptp(high)) * len(high) / max(len(high) - 1, 1)  # n intervals
    crest = float(time[peak])
    if not (width > 0.0 and score > 0.0):
        return crest, 0.0
    for _ in range(CREST_STEPS):
        crest = float(np.average(time, weights=weight * _window(time - crest, width)))
    off = time - crest
    window = _window(off, width)
    slope = float(np.sum(weight * window * (1.0 - (off / width) ** 2)))
    moved = float(np.sqrt(CREST_NOISE * np.sum((window * off) ** 2))) * weight[peak] / score
    return crest, min(moved / slope, width) if slope > 0.0 else width


def _window(off: Floats, width: float) -> Floats:
    return np.exp(-0.5 * (off / width) ** 2)


def _weights(score: Floats) -> Floats:
    """Return weights that sum to one; scores that say nothing (not finite, not positive) count nothing."""
    weight = np.where(np.isfinite(score), np.maximum(score, 0.0), 0.0)
    total = weight.sum()
    return weight / total if total > 0.0 else np.full(len(score), 1.0 / len(score))


def _samples(time: NDArray[np.int64], weight: Floats, step_s: float) -> float:
    """Return how many samples of navigation *step_s* apart the pixels take, at least one.

    The time they take is that of an even spread with their standard deviation.
    """
    if not step_s > 0.0:
        return 1.0
    seconds = (time - time.min()) / NS_PER_S
    off = seconds - weight @ seconds
    return max(1.0, float(np.sqrt(12.0 * (weight @ off**2))) / step_s)


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


def _interval_s(points: GroundPoints, sample: int) -> float:
    """Return the mean time between the samples beside *sample*, s; one second for a lone sample."""
    near = points.time[max(sample - 1, 0) : sample + 2]
    return float(np.ptp(near)) * 1e-9 / (len(near) - 1) if len(near) > 1 else 1.0


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
