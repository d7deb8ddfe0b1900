"""From a score map to regions: seeds above the threshold, grown by their partly filled rim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import tail as tails
from dronesense.model import Detection, ScoreMap
from dronesense.model.detection import false_discovery_rates

RIM_PROBABILITY: Final = 1e-3
"""A neighbor of a seed joins it when the background exceeds its score with at most this probability."""
RIM_SHARE: Final = 0.25
"""Without a tail, a neighbor joins when its score is at least this share of the threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Pixels that belong together.

    Parameters
    ----------
    index : (k, 2) int64
        Row and column; seeds first, by falling score, then the rim.
    seeds : int
        How many of them reach the threshold.
    """

    index: NDArray[np.int64]
    seeds: int


def outline(score_map: ScoreMap, *, min_pixels: int = 1) -> tuple[Region, ...]:
    """Return the regions of *score_map* with at least *min_pixels* seeds, by falling peak score.

    Seeds that touch, also at corners, form one region. The rim is one pixel wide: a pixel that a target fills
    in part lies next to one that it fills more. Of two regions that could take a pixel, it joins the one with
    the higher peak; a rim never merges regions.

    Raises
    ------
    ValueError
        If *min_pixels* is less than 1.
    """
    if min_pixels < 1:
        raise ValueError(f"min_pixels must be at least 1, not {min_pixels}")
    score = score_map.score
    flat = score.ravel()
    seeds = np.flatnonzero(flat >= score_map.threshold)  # NaN is not
    if not len(seeds):
        return ()
    labels = _joined(seeds, score.shape)
    count = int(labels.max()) + 1
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, labels, flat[seeds])
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(peak, kind="stable")] = np.arange(count)
    labels = rank[labels]
    rim, rim_labels = _rim(seeds, labels, score, _rim_level(score_map))
    index = np.concatenate([seeds, rim])
    member = np.concatenate([labels, rim_labels])
    is_seed = np.arange(len(index)) < len(seeds)
    order = np.lexsort((-flat[index], ~is_seed, -member))
    row, col = np.unravel_index(index[order], score.shape)
    pixels = np.stack([row, col], axis=1).astype(np.int64)
    ends = np.cumsum(np.bincount(member, minlength=count)[::-1])
    found = np.bincount(labels, minlength=count)[::-1]
    starts = np.concatenate([[0], ends[:-1]])
    return tuple(
        Region(pixels[start:end], int(n))
        for start, end, n in zip(starts.tolist(), ends.tolist(), found.tolist(), strict=True)
        if n >= min_pixels
    )


def _joined(seeds: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the number of the region (n,) of each of the sorted pixels *seeds* (flat index).

    Each pixel takes the smallest number among itself and its neighbors, and then that of the pixel it points
    at, until nothing changes.
    """
    first, second = [], []
    for place, _, other in _neighbors(seeds, shape):
        at = np.searchsorted(seeds, other)
        at[at == len(seeds)] = 0
        meets = seeds[at] == other
        first.append(place[meets])
        second.append(at[meets])
    one, two = np.concatenate(first), np.concatenate(second)
    root = np.arange(len(seeds))
    while True:
        before = root.copy()
        np.minimum.at(root, root[one], before[two])
        root = root[root]
        if np.array_equal(root, before):
            return np.unique(root, return_inverse=True)[1].astype(np.int64)


def _rim(
    seeds: NDArray[np.int64], labels: NDArray[np.int64], score: NDArray[np.float32], level: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pixels beside *seeds* of at least *level* (flat index), and the highest label beside each."""
    flat = score.ravel()
    near, whose = [], []
    for place, _, other in _neighbors(seeds, score.shape):
        joins = flat[other] >= level
        near.append(other[joins])
        whose.append(labels[place[joins]])
    pixels, owner = np.concatenate(near), np.concatenate(whose)
    outside = ~np.isin(pixels, seeds)
    pixels, owner = pixels[outside], owner[outside]
    rim, member = np.unique(pixels, return_inverse=True)
    best = np.full(len(rim), -1, dtype=np.int64)
    np.maximum.at(best, member, owner)
    return rim, best


def _neighbors(
    seeds: NDArray[np.int64], shape: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, for each of the eight directions, which of *seeds* have a neighbor there, they, and it."""
    rows, cols = shape
    row, col = np.divmod(seeds, cols)
    for down, right in product((-1, 0, 1), repeat=2):
        if down or right:
            inside = (row + down >= 0) & (row + down < rows) & (col + right >= 0) & (col + right < cols)
            place = np.flatnonzero(inside)
            yield place, seeds[place], seeds[place] + down * cols + right


def _rim_level(score_map: ScoreMap) -> float:
    if score_map.tail is None:
        return min(score_map.threshold, abs(score_map.threshold) * RIM_SHARE)
    return min(score_map.threshold, tails.score_at(score_map.tail, RIM_PROBABILITY))


def detect(
    score_map: ScoreMap,
    regions: Sequence[Region],
    *,
    source: str,
    fraction: NDArray[np.float32],
    sigma: float,
    flags: Sequence[tuple[str, ...]] | None = None,
) -> tuple[Detection, ...]:
    """Make a detection of each region.

    The weights of the centroid are the filled fractions where they are positive (a score such as ACE
    saturates, and would pull the centroid to the middle of the region).

    Parameters
    ----------
    score_map : ScoreMap
        That the regions are of.
    regions : sequence of Region
        From :func:`outline`.
    source : str
        File of the cube.
    fraction : (rows, cols) float32
        Matched-filter fill of each pixel.
    sigma : float
        Standard uncertainty of a fill from background and noise.
    flags : sequence of tuple of str, optional
        More flags for each region.

    Returns
    -------
    tuple of Detection
        In the order of *regions*.
    """
    if not regions:
        return ()
    score = score_map.score
    high = score[score >= _rim_level(score_map)].astype(np.float64)
    peaks = np.array([score[tuple(region.index[0])] for region in regions], dtype=np.float64)
    p, q = np.full(len(peaks), np.nan), np.full(len(peaks), np.nan)
    if score_map.tail is not None:
        p = tails.p_value(score_map.tail, peaks)
        high.sort()
        tested = int(np.isfinite(score).sum())
        rates = false_discovery_rates(tails.p_value(score_map.tail, high), tested=tested)
        q = rates[np.searchsorted(high, peaks)]
    detections = []
    for i, region in enumerate(regions):
        fill = fraction[region.index[:, 0], region.index[:, 1]].astype(np.float64)
        weight = np.maximum(fill, 0.0)
        if not weight.sum() > 0.0:
            weight = np.ones(len(weight))
        detections.append(
            Detection(
                target=score_map.target,
                kind="spectral",
                method=score_map.method,
                origin=score_map.cube,
                source=source,
                index=region.index,
                weight=weight,
                peak=0,
                score=float(peaks[i]),
                p_value=float(p[i]),
                q_value=float(q[i]),
                value=float(fill[0]),
                sigma=sigma,
                unit="fraction",
                flags=edge_flags(region, score) + (() if flags is None else flags[i]),
            )
        )
    return tuple(detections)


def edge_flags(region: Region, score: NDArray[np.float32]) -> tuple[str, ...]:
    """Return ``"edge"`` at the border of the cube, ``"saturated-neighbor"`` beside an invalid pixel."""
    rows, cols = score.shape
    row, col = region.index[:, 0], region.index[:, 1]
    found = []
    if row.min() == 0 or col.min() == 0 or row.max() == rows - 1 or col.max() == cols - 1:
        found.append("edge")
    down, right = np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij")
    near_row = np.clip(row[:, None] + down.ravel(), 0, rows - 1)
    near_col = np.clip(col[:, None] + right.ravel(), 0, cols - 1)
    if np.isnan(score[near_row, near_col]).any():
        found.append("saturated-neighbor")
    return tuple(found)
