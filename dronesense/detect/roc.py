"""How a threshold divides known targets from known background."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError, ReadError
from dronesense.geodesy import to_grid
from dronesense.model.hotspot import GroundRaster

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """Shares of target and background pixels that reach each threshold.

    Parameters
    ----------
    threshold : (k,) float64
        Every score that occurs, falling; in front of them infinity, which nothing reaches.
    found, false : (k,) float64
        Share of target, and of background pixels whose score is at least the threshold.
    area : float
        Under the curve: the probability that a target pixel scores higher than a background pixel, a tie
        counting half (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).
    targets, background : int
        Pixels that have a score.
    """

    threshold: Doubles
    found: Doubles
    false: Doubles
    area: float
    targets: int
    background: int

    def at(self, threshold: float) -> tuple[float, float]:
        """Return the shares of target and of background pixels that reach *threshold*."""
        last = int(np.searchsorted(-self.threshold, -threshold, side="right")) - 1
        return float(self.found[last]), float(self.false[last])


def roc(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> Roc:
    """Compare scores with what is known to be there; pixels without a score count for nothing.

    Parameters
    ----------
    score : (rows, cols) float
        NaN where there is none.
    truth : (rows, cols) bool
        True on targets.

    Raises
    ------
    ValueError
        If the shapes differ.
    CoverageError
        If no target pixel, or no background pixel, has a score.

    Examples
    --------
    >>> curve = roc(np.array([[0.9, 0.8, 0.1]]), np.array([[True, False, False]]))
    >>> curve.area, curve.at(0.5)
    (1.0, (1.0, 0.5))
    """
    if score.shape != truth.shape:
        raise ValueError(f"scores of {score.shape} and a truth of {truth.shape} pixels")
    known = np.isfinite(score)
    values, is_target = score[known].astype(np.float64), truth[known].astype(bool)
    targets = int(is_target.sum())
    background = len(values) - targets
    if not (targets and background):
        raise CoverageError(
            f"{targets} target and {background} background pixels have a score; both are needed",
            fix="give a truth that overlaps the scores and leaves some background",
        )
    order = np.argsort(-values, kind="stable")
    values, is_target = values[order], is_target[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    found = np.append(0.0, np.cumsum(is_target)[last] / targets)
    false = np.append(0.0, np.cumsum(~is_target)[last] / background)
    area = float(np.sum(np.diff(false) * (found[1:] + found[:-1]) / 2))
    return Roc(np.append(np.inf, values[last]), found, false, area, targets, background)


def truth_on(raster: GroundRaster, path: Path, *, radius_m: float, target: str = "") -> NDArray[np.bool_]:
    """Return which pixels of *raster* have their center in a feature of a GeoJSON file.

    Parameters
    ----------
    raster : GroundRaster
        In a metric CRS.
    path : Path
        WGS84 (RFC 7946).
    radius_m : float
        Around points, and added around lines and polygons.
    target : str
        Only features whose property ``target`` is this one count; empty, or no feature says: all do.

    Raises
    ------
    ReadError
        If the file is not GeoJSON.
    """
    import shapely

    try:
        features = json.loads(path.read_text("utf-8"))["features"]
        targets = [(f.get("properties") or {}).get("target") for f in features]
        told = target and any(targets)
        wanted = [f for f, of in zip(features, targets, strict=True) if not told or of == target]
        shapes = [shapely.from_geojson(json.dumps(f["geometry"])) for f in wanted if f["geometry"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, shapely.errors.ShapelyError) as error:
        raise ReadError(
            f"no GeoJSON features: {error}", where=path, fix="give a FeatureCollection"
        ) from error
    a, b, c, d, e, f = raster.transform
    row, col = np.indices(raster.values.shape) + 0.5
    truth = np.zeros(raster.values.shape, dtype=np.bool_)
    for shape in shapes:  # features, not pixels
        flat = shapely.transform(
            shapely.force_2d(shape), lambda at: np.column_stack(to_grid(at[:, 0], at[:, 1], raster.crs))
        )
        truth |= shapely.contains_xy(flat.buffer(radius_m), a * col + b * row + c, d * col + e * row + f)
    return truth
