"""Products with the inverse covariance of pixels in front of others, for many groups of pixels at a time.

``S = R R' + Z' Z``: the root R is shared, the few rows Z are those of the pixels around each group, which
cost an update of low rank (Woodbury).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

RING_INFLATION: Final = 2.0
"""Factor on the covariance of the pixels around a region: they are few, their spread is underestimated."""
SOLVED_AT_ONCE: Final = 48
"""Bands that are solved for at once: triangles of this size are inverted."""


class Root:
    """``L L' = S``: whitens rows v to ``L^-1 v``, block after block, without the inverse of all of L.

    Raises
    ------
    ValueError
        If the covariance is not positive definite.
    """

    def __init__(self, covariance: Doubles) -> None:
        self._lower = np.asarray(np.linalg.cholesky(covariance))
        k = len(covariance)
        edges = np.linspace(0, k, -(-k // SOLVED_AT_ONCE) + 1).astype(int).tolist()
        inverse = np.tile(np.eye(max(b - a for a, b in pairwise(edges))), (len(edges) - 1, 1, 1))
        for place, (a, b) in zip(inverse, pairwise(edges), strict=True):
            place[: b - a, : b - a] = self._lower[a:b, a:b]
        inverse = np.asarray(np.linalg.inv(inverse), dtype=np.float64)
        self._blocks = [(a, b, inverse[i, : b - a, : b - a]) for i, (a, b) in enumerate(pairwise(edges))]
        self.log_det = 2.0 * float(np.log(np.diag(self._lower)).sum())

    def whitened(self, rows: Doubles) -> Doubles:
        """Return ``L^-1 v`` for each row v (n, k)."""
        result, wanted = np.empty(rows.shape[::-1]), rows.T
        for a, b, inverse in self._blocks:
            result[a:b] = inverse @ (wanted[a:b] - self._lower[a:b, :a] @ result[:a])
        return result.T


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Pixels (n, k) and what they are in front of: its mean (k,), and rows Z (m, k) that add ``Z' Z`` to S.

    *near* is False in front of the whole scene; there are no rows then.
    """

    pixels: NDArray[np.floating]
    mean: Doubles
    rows: Doubles
    near: bool

    @classmethod
    def of(cls, pixels: NDArray[np.floating], scene: Doubles, around: Doubles | None = None) -> Group:
        """Return *pixels* in front of those *around* (m, k), or of a scene with this mean."""
        if around is None:
            return cls(pixels, scene, np.empty((0, len(scene))), near=False)
        mean = around.mean(axis=0)
        return cls(pixels, mean, (around - mean) * np.sqrt(RING_INFLATION / (len(around) - 1)), near=True)


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Products with ``S^-1`` of the pixels y of groups, with y' S^-1 y, and of vectors v.

    Parameters
    ----------
    own : (g, n) float64
        ``y' S^-1 y``; 0 where a group has fewer pixels than others.
    along : (g, n, v) float64
        ``y' S^-1 v``.
    gram : (g, v, v) float64
        ``v' S^-1 w``.
    log_det : (g,) float64
        Of S.
    """

    own: Doubles
    along: Doubles
    gram: Doubles
    log_det: Doubles


def weigh(groups: Sequence[Group], fill: float, root: Root, vectors: Doubles) -> Weighed:
    """Weigh the pixels of *groups*, less their background, with the covariance of one fill.

    Parameters
    ----------
    groups : sequence of Group
        Those near pixels of their own may have different numbers of them.
    fill : float
        Share of the background that is covered: 1 leaves nothing of it, and of the pixels around.
    root : Root
        Of S without the part of the pixels around.
    vectors : (v, k) float64
        Whitened by *root*.
    """
    rest = 1.0 - fill
    parts = [each.pixels - rest * each.mean for each in groups]
    parts += [rest * each.rows[: None if rest else 0] for each in groups]
    white = np.split(root.whitened(np.concatenate(parts)), np.cumsum([len(each) for each in parts])[:-1])
    y, z = _padded(white[: len(groups)]), _padded(white[len(groups) :])
    own, along = np.einsum("gnk,gnk->gn", y, y), y @ vectors.T
    gram = np.broadcast_to(vectors @ vectors.T, (len(groups), len(vectors), len(vectors)))
    log_det = np.full(len(groups), root.log_det)
    if z.shape[1]:
        across = np.swapaxes(z, 1, 2)
        core = z @ across
        np.einsum("gmm->gm", core)[:] += 1.0
        y_z, z_v = y @ across, z @ vectors.T
        solved = np.linalg.solve(core, np.concatenate([z_v, np.swapaxes(y_z, 1, 2)], axis=2))
        of_v, of_y = solved[..., : len(vectors)], solved[..., len(vectors) :]
        own = own - np.einsum("gnm,gmn->gn", y_z, of_y)
        along = along - y_z @ of_v
        gram = gram - np.swapaxes(z_v, 1, 2) @ of_v
        log_det = log_det + np.linalg.slogdet(core)[1]
    return Weighed(own, along, np.asarray(gram), log_det)


def _padded(parts: Sequence[Doubles]) -> Doubles:
    """Stack matrices of as many columns, (g, most rows, k), with zeros below the shorter ones."""
    result = np.zeros((len(parts), max(len(each) for each in parts), parts[0].shape[1]))
    for place, each in zip(result, parts, strict=True):
        place[: len(each)] = each
    return result
