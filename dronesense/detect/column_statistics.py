"""The background of a gas column: means of detector columns, covariances of groups of them, their filters.

All numbers are relative: ``y = x / reference - 1`` with a reference for each element (band, column), so that
the gain of an element, whatever it is, drops out to the last step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import prefetch
from dronesense.errors import CoverageError
from dronesense.model import SpectralCube

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

REFERENCE_LINES: Final = 128
"""Lines, spread evenly, whose mean is the reference of each element."""
BAD_COLUMNS: Final = 0.05
"""A band without light in more than this share of the columns is left out; in fewer, the columns are."""
STATISTICS_BYTES: Final = 96 * 1024 * 1024
"""For the sums of products of all groups; with less room than groups, groups are made wider."""
LEAST_PIXELS_PER_BAND: Final = 2.0
"""Fewer pixels for each band than this leave no covariance worth the name."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The bands of a cube that a gas is looked for in, relative to a reference.

    Parameters
    ----------
    bands : (b,) int64
        Of the cube.
    reference : (b, cols) float32
        NaN in columns without light.
    by_column : bool
        Columns are those of a detector; False on a map, where they are not.
    dark_bands : int
        Bands left out for want of light.
    """

    cube: SpectralCube
    bands: NDArray[np.int64]
    reference: Floats
    by_column: bool
    dark_bands: int

    def blocks(self, budget_bytes: int) -> Iterator[tuple[int, Floats, Mask]]:
        """Yield first row, relative values (rows, b, cols) and validity (rows, cols) of block after block.

        What is not valid is 0.
        """
        inverse = (1.0 / self.reference).astype(np.float32)
        for block in prefetch(self.cube.blocks(max(1, budget_bytes // 4))):
            y = block.values[:, self.bands]
            with np.errstate(invalid="ignore", over="ignore"):
                y = y * inverse - np.float32(1.0)
            valid = block.valid & np.isfinite(y).all(axis=1)
            if not valid.all():
                y = np.where(valid[:, None, :], y, np.float32(0.0))
            yield block.start, y, valid


def window(cube: SpectralCube, bands: NDArray[np.int64], *, by_column: bool) -> Window:
    """Return the window of *bands* with the mean of some lines as reference.

    Raises
    ------
    CoverageError
        If there is light in fewer than three of the bands.
    """
    rows, _, cols = cube.shape
    total, count = np.zeros((len(bands), cols)), np.zeros(cols)
    for row in np.unique(np.linspace(0, rows - 1, min(rows, REFERENCE_LINES)).astype(np.int64)).tolist():
        values, valid = cube.source.read(row, row + 1)
        line = values[0, bands].astype(np.float64)
        usable = valid[0] & np.isfinite(line).all(axis=0)
        total += np.where(usable, line, 0.0)
        count += usable
    if not by_column:
        total = np.broadcast_to(total.sum(axis=1, keepdims=True), total.shape)
        count = np.full(cols, count.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        reference = total / count
        lit = reference > 0.0
    seen = lit[:, count > 0]
    keep = lit.any(axis=1) & (np.mean(~seen, axis=1) <= BAD_COLUMNS if seen.size else False)
    if int(keep.sum()) < 3:
        raise CoverageError(
            f"only {int(keep.sum())} of the {len(bands)} bands in which the gas absorbs hold light",
            where=cube.path,
            fix="take off the dark signal, or mark pixels without data as such",
        )
    reference = np.where(lit[keep].all(axis=0), reference[keep], np.nan)
    dark = int(np.count_nonzero(~keep))
    return Window(cube, bands[keep], reference.astype(np.float32), by_column, dark)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Groups of equal width that lie side by side.

    Parameters
    ----------
    first, last : int
        Columns of all of them, *last* excluded.
    width : int
        Columns of each.
    """

    first: int
    last: int
    width: int

    @property
    def count(self) -> int:
        """How many groups there are."""
        return (self.last - self.first) // self.width

    def split(self, y: NDArray[np.floating[Any]]) -> Doubles:
        """Return the pixels (groups, n, b) of a block (rows, b, cols)."""
        rows, b, _ = y.shape
        part = y[:, :, self.first : self.last].reshape(rows, b, self.count, self.width)
        flat = part.transpose(2, 0, 3, 1).reshape(self.count, rows * self.width, b)
        return np.asarray(flat, dtype=np.float64)

    def by_group(self, columns: NDArray[np.float64]) -> Doubles:
        """Return per-column numbers (b, cols) as (groups, width, b)."""
        part = columns[:, self.first : self.last].reshape(len(columns), self.count, self.width)
        return np.ascontiguousarray(part.transpose(1, 2, 0))

    def by_column(self, grouped: NDArray[np.float64]) -> Doubles:
        """Return numbers (groups, width, b) as (b, cols of these groups)."""
        return grouped.transpose(2, 0, 1).reshape(grouped.shape[2], -1)


def grouping(window: Window, pixels_per_band: float) -> tuple[Group, ...]:
    """Return groups of adjacent columns, as narrow as their pixels allow, in at most two widths."""
    rows, _, cols = window.cube.shape
    b = len(window.bands)
    width = int(np.ceil(pixels_per_band * b / rows))
    most = min(cols // width, max(1, STATISTICS_BYTES // (8 * b * b))) if window.by_column else 1
    count = max(1, most)
    narrow, wider = divmod(cols, count)
    edge = wider * (narrow + 1)
    found = (Group(0, edge, narrow + 1), Group(edge, cols, narrow))
    return tuple(group for group in found if group.count)


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """A matched filter for each detector column.

    Parameters
    ----------
    weight : (b, cols) float64
        ``p = C^-1 t`` with ``t = k (1 + mean)``.
    mean : (b, cols) float64
        Of the background, relative to the reference.
    energy : (cols,) float64
        ``t' C^-1 t``.
    pixels : (cols,) float64
        Of the background that the column's covariance is from.
    shrinkage : (cols,) float64
        Share of the whole scene's covariance in it.
    condition : float
        Of the scene's correlation.
    curved : (b, cols) float64
        Filter of unit scatter for what a strong plume takes beyond the line: blind to the weak one.
    inverse : tuple of (groups, b, b) float64
        Inverse covariances, for each entry of the grouping.
    """

    weight: Doubles
    mean: Doubles
    energy: Doubles
    pixels: Doubles
    shrinkage: Doubles
    condition: float
    curved: Doubles
    inverse: tuple[Doubles, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Counts (cols,), sums (b, cols) and, for each entry of the grouping, sums of products (groups, b, b)."""

    count: Doubles
    total: Doubles
    products: tuple[Doubles, ...]


def add_up(window: Window, groups: tuple[Group, ...], *, plume: Mask | None, budget_bytes: int) -> Sums:
    """Pass over the cube once and sum the background, which *plume* (rows, cols) is not part of."""
    b, cols = window.reference.shape
    count, total = np.zeros(cols), np.zeros((b, cols))
    products = tuple(np.zeros((group.count, b, b)) for group in groups)
    for start, y, valid in window.blocks(budget_bytes):
        used = valid
        if plume is not None:
            used = valid & ~plume[start : start + len(valid)]
            y = y * used[:, None, :]
        count += used.sum(axis=0)
        total += y.sum(axis=0, dtype=np.float64)
        for group, product in zip(groups, products, strict=True):
            part = group.split(y)
            product += part.transpose(0, 2, 1) @ part
    return Sums(count, total, products)


def filters(
    window: Window,
    groups: tuple[Group, ...],
    sums: Sums,
    absorption: Doubles,
    strong: Doubles,
    *,
    shrinkage: float | None,
) -> Filters:
    """Return the matched filters for the unit absorption *absorption* (b,) and, beyond it, *strong* (b,).

    The covariance of a group is mixed with that of the whole scene (all relative to their own means): of n
    pixels in b bands, ``b / (b + n)`` of it, or the stated *shrinkage*.

    Raises
    ------
    CoverageError
        If there are fewer than two pixels for each band, or the covariance is singular.
    """
    b, cols = window.reference.shape
    count = sums.count
    if count.sum() < LEAST_PIXELS_PER_BAND * b:
        raise CoverageError(
            f"{int(count.sum())} pixels of background are too few for {b} bands",
            where=window.cube.path,
            fix="take more lines, or a narrower window_nm",
        )
    if window.by_column:
        mean = sums.total / np.maximum(count, 1.0)
    else:
        mean = np.broadcast_to(sums.total.sum(axis=1, keepdims=True) / count.sum(), (b, cols))
    scatter, pixels = [], []
    for group, product in zip(groups, sums.products, strict=True):
        rooted = group.by_group(mean * np.sqrt(count))
        scatter.append(product - rooted.transpose(0, 2, 1) @ rooted)
        pixels.append(group.by_group(count[None])[:, :, 0].sum(axis=1))
    whole = np.sum([part.sum(axis=0) for part in scatter], axis=0) / count.sum()
    weight, curved = np.empty((b, cols)), np.empty((b, cols))
    energy, of, shares = np.empty(cols), np.empty(cols), np.empty(cols)
    inverses = []
    alone = sum(each.count for each in groups) == 1
    for group, part, n in zip(groups, scatter, pixels, strict=True):
        share = b / (b + n) if shrinkage is None else np.full(group.count, shrinkage)
        share = np.where(n > 0.0, 0.0 if alone else share, 1.0)
        own = part / np.maximum(n, 1.0)[:, None, None]
        inverse = inverse_covariance(own + share[:, None, None] * (whole - own), window.cube.path)
        target = group.by_group((1.0 + mean) * absorption[:, None])
        filtered = target @ inverse
        at = slice(group.first, group.last)
        weight[:, at] = group.by_column(filtered)
        square = np.einsum("gwb,gwb->gw", filtered, target)
        energy[at] = square.ravel()
        beyond = group.by_group((1.0 + mean) * strong[:, None])
        beyond = beyond - target * (np.einsum("gwb,gwb->gw", filtered, beyond) / square)[:, :, None]
        seen = beyond @ inverse
        length = np.sqrt(np.maximum(np.einsum("gwb,gwb->gw", seen, beyond), np.finfo(np.float64).tiny))
        curved[:, at] = group.by_column(seen / length[:, :, None])
        of[at], shares[at] = np.repeat(n, group.width), np.repeat(share, group.width)
        inverses.append(inverse)
    return Filters(weight, np.asarray(mean), energy, of, shares, _condition(whole), curved, tuple(inverses))


def inverse_covariance(covariance: Doubles, where: str | None = None) -> Doubles:
    """Return the inverse covariance of each group, by way of its correlation."""
    deviation = np.sqrt(np.einsum("gbb->gb", covariance))[:, :, None]
    scale = deviation * deviation.transpose(0, 2, 1)
    try:
        lower = np.linalg.inv(np.linalg.cholesky(covariance / scale))
    except np.linalg.LinAlgError as error:
        raise CoverageError(
            "the background's covariance is singular: some band is a copy or a sum of others",
            where=where,
            fix="mark interpolated bands as bad (bbl), take more lines, or a narrower window_nm",
        ) from error
    return np.asarray(lower.transpose(0, 2, 1) @ lower / scale)


def distances(y: Floats, groups: tuple[Group, ...], learned: Filters) -> Doubles:
    """Return the squared Mahalanobis distance (rows, cols) of each pixel of a block from its background."""
    rows, _, cols = y.shape
    result = np.empty((rows, cols))
    for group, inverse in zip(groups, learned.inverse, strict=True):
        d = group.split(y - learned.mean)
        square = np.einsum("gnb,gnb->gn", d @ inverse, d).reshape(group.count, rows, group.width)
        result[:, group.first : group.last] = square.transpose(1, 0, 2).reshape(rows, -1)
    return result


def _condition(covariance: Doubles) -> float:
    deviation = np.sqrt(np.diag(covariance))
    eigenvalue = np.linalg.eigvalsh(covariance / deviation / deviation[:, None])
    return float(eigenvalue[-1] / eigenvalue[0]) if eigenvalue[0] > 0.0 else float("inf")
