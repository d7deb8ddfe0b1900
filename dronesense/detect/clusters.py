"""A background of several kinds of ground: clusters, each with a mean and a covariance of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import background as backgrounds
from dronesense.detect.background import Background
from dronesense.detect.detectors import Products, Scorer

DEFAULT_CLUSTERS: Final = 4
"""Clusters at most. Not tuned."""
ROUNDS: Final = 50
"""Of Lloyd's algorithm, at most."""
PIXELS_PER_BAND: Final = 2
"""Fewest pixels per band of a cluster; a smaller one is dissolved into the others."""

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Kinds of ground.

    Parameters
    ----------
    center : (c, k) float64
        From the scene's mean, in deviations of each band.
    mean : (c, k) float64
        The same centers in the coordinates of the scene's whitened background.
    whitening : (c, k, k) float64
        Of a whitened pixel minus the center.
    pixels : tuple of int
    shrinkage : tuple of float
        Share of the scene's own covariance in that of each cluster.
    """

    center: Doubles
    mean: Doubles
    whitening: Doubles
    pixels: tuple[int, ...]
    shrinkage: tuple[float, ...]

    def note(self) -> str:
        """Say what they are."""
        shares = ", ".join(f"{share:.3g}" for share in self.shrinkage)
        counts = ", ".join(map(str, self.pixels))
        return f"background in {len(self.pixels)} clusters of {counts} pixels, shrinkage {shares}"


def find(background: Background, *, count: int = DEFAULT_CLUSTERS) -> Clusters:
    """Cluster the sample of *background*: k-means on bands in units of their deviation.

    The first centers are the means of equal parts along the strongest direction: no chance is involved. Small
    clusters are dissolved into their neighbors. The covariance of each, with the background's ridge, is
    shrunk toward that of the scene by the analytic share of Ledoit & Wolf 2004 (doi
    10.1016/S0047-259X(03)00096-4), the scene's in the place of the identity.
    """
    deviation = np.sqrt(np.diag(background.covariance))
    rest = background.sample.astype(np.float64) - background.mean
    label = _k_means(rest / deviation, count, least=PIXELS_PER_BAND * rest.shape[1])
    white = rest @ background.whitening.T
    scaled = background.whitening * deviation
    ridge = background.ridge * scaled @ scaled.T
    kinds = np.unique(label)
    parts = [white[label == kind] for kind in kinds]
    shrunk = [_shrunk(part, ridge) for part in parts]
    return Clusters(
        center=np.array([(rest[label == kind] / deviation).mean(axis=0) for kind in kinds]),
        mean=np.array([part.mean(axis=0) for part in parts]),
        whitening=np.array([backgrounds.whiten(covariance) for covariance, _ in shrunk]),
        pixels=tuple(map(len, parts)),
        shrinkage=tuple(share for _, share in shrunk),
    )


def scorer(background: Background, clusters: Clusters) -> Scorer:
    """Return the squared distance of a pixel from the cluster whose center is nearest to it."""
    c, k = clusters.center.shape
    own = clusters.whitening @ background.whitening
    to_centers = clusters.center / np.sqrt(np.diag(background.covariance))
    half = 0.5 * np.einsum("ck,ck->c", clusters.center, clusters.center)
    start = np.einsum("cij,cj->ci", clusters.whitening, clusters.mean).astype(np.float32)

    def score(products: Products) -> Floats:
        nearness = products.centered[c * k :] - half.astype(np.float32)[:, None]
        nearest = np.argmax(nearness, axis=0)
        result = np.empty(products.centered.shape[1], dtype=np.float32)
        for i in range(c):
            mine = nearest == i
            rest = products.centered[i * k : (i + 1) * k, mine] - start[i][:, None]
            result[mine] = np.einsum("kn,kn->n", rest, rest)
        return result

    return Scorer(score, centered=np.concatenate([own.reshape(c * k, k), to_centers]))


def _k_means(points: Doubles, count: int, *, least: int) -> NDArray[np.int64]:
    """Return the cluster of each point (n, k); fewer than *count* where they would have under *least*."""
    strongest = np.linalg.eigh(points.T @ points)[1][:, -1]
    order = np.argsort(points @ (strongest * np.sign(strongest.sum())), kind="stable")
    center = np.array([points[part].mean(axis=0) for part in np.array_split(order, count)])
    for _ in range(ROUNDS):
        label = np.argmin(_distances(points, center), axis=1)
        sizes = np.bincount(label, minlength=len(center))
        if len(center) > 1 and sizes.min() < least:
            center = np.delete(center, int(np.argmin(sizes)), axis=0)
            continue
        again = np.array([points[label == i].mean(axis=0) for i in range(len(center))])
        if np.array_equal(again, center):
            break
        center = again
    return np.asarray(np.argmin(_distances(points, center), axis=1), dtype=np.int64)


def _distances(points: Doubles, centers: Doubles) -> Doubles:
    """Return squared distances (n, c) but for the part that all centers share."""
    square = np.einsum("nk,nk->n", points, points)[:, None]
    return np.asarray(square - 2.0 * points @ centers.T + np.einsum("ck,ck->c", centers, centers))


def _shrunk(part: Doubles, ridge: Doubles) -> tuple[Doubles, float]:
    """Return the covariance of *part* (n, k) plus *ridge*, shrunk toward the identity, and by which share."""
    n, k = part.shape
    rest = part - part.mean(axis=0)
    covariance = rest.T @ rest / max(1, n - 1)
    misfit = float(((covariance + ridge - np.eye(k)) ** 2).sum())
    square = np.einsum("nk,nk->n", rest, rest)
    spread = (float((square**2).sum()) / n - float((covariance**2).sum())) / n
    share = min(1.0, max(0.0, spread / misfit)) if misfit > 0.0 else 1.0
    return share * np.eye(k) + (1.0 - share) * (covariance + ridge), share
