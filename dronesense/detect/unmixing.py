"""Shares of materials in mixed pixels: least squares with non-negative shares that may have to sum to one.

All pixels are solved together. Each has a set of materials that may be present; the answer for a set is a
matrix, made once for all pixels that share it, and sets are changed by block principal pivoting until every
pixel fulfills the conditions of the optimum, which is unique where the spectra are independent. Spectra are
made orthogonal first, so the normal equations, which square their condition number, are never formed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.blocks import one_blas_thread, share_out, worker_count
from dronesense.detect.background import whiten

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_MATERIALS: Final = 32
"""Materials of one mixture: their sets are counted in the bits of a number."""
MAX_ROUNDS: Final = 200
"""Changes of the sets; a handful is usual. What is left then is solved pixel by pixel."""
FULL_CHANGES: Final = 3
"""Changes of everything infeasible that may fail to help before one material at a time is changed."""
ROUNDING: Final = 1e-13
"""Relative to the pixel, and for shares times the condition number: below, a number counts as zero."""
PIXELS_AT_ONCE: Final = 32_768
"""Pixels that change their sets together."""
SHORT_BITS: Final = 16
"""Sets of so few materials are sorted by their digits."""
TILE: Final = 16
"""Pixels of one set that are multiplied with its matrix at a time."""
LEFT_OVER_AT_ONCE: Final = 2048
"""Pixels whose rest is computed at a time, band by band: it stays in the processor's cache."""
CANCELED: Final = 1e-6
"""Share of a pixel's square: what is left over is computed band by band where it is less than this."""
WORKERS: Final = 2
"""Threads."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixtures:
    """What n pixels are mixed of.

    Parameters
    ----------
    share : (n, p) float64
        >= 0; NaN where the pixel is not finite.
    sigma : (n, p) float64
        Standard uncertainty of each share *given which materials are present*: errors of the spectra, and of
        the choice of the set, are not in it. Of an absent material: that its share would have if it were the
        next one to be present, the scale of an upper limit. NaN where it is to come from what is left over
        and there are not more bands than present materials.
    rest : (n,) float64
        Norm of what is left over; with a noise covariance in standard deviations of the noise.
    """

    share: Doubles
    sigma: Doubles
    rest: Doubles


def shares(
    pixels: NDArray[np.floating],
    materials: Doubles,
    *,
    sum_to_one: bool = False,
    noise: Doubles | None = None,
    workers: int = WORKERS,
) -> Mixtures:
    """Return the shares of *materials* in *pixels* that explain them best and are not negative.

    Parameters
    ----------
    pixels : (n, k)
    materials : (p, k) float64
        Linearly independent spectra, at most 32.
    sum_to_one : bool
        False: NNLS. True: fully constrained least squares (FCLS, Heinz & Chang 2001, doi
        10.1109/36.911111); the shares of each pixel sum to one.
    noise : (k, k) float64, optional
        Covariance of the noise of a pixel: squares are then weighted with its inverse, and `sigma` follows
        from it. Without: all bands weigh the same, and `sigma` follows from what is left over in the pixel.
    workers : int
        Threads, at most as many as there are processors; the shares do not depend on it.

    Raises
    ------
    ValueError
        If the spectra are linearly dependent, or too many, or *noise* is not positive definite.

    Notes
    -----
    Block principal pivoting: Kim & Park 2011, doi 10.1137/110821172; pixels with equal sets share a
    factorization: Van Benthem & Keenan 2004, doi 10.1002/cem.889. With ``d_j = a_j - x`` shares that sum to
    one are the scaled non-negative solution of ``min |sum g_j d_j|^2 + (sum g_j - 1)^2``, with the same sets
    and signs, so pivoting ends for them as well.

    Examples
    --------
    >>> grass, soil = [1.0, 4.0, 2.0], [3.0, 2.0, 2.0]
    >>> found = shares(np.array([[1.5, 3.5, 2.0]]), np.array([grass, soil]), sum_to_one=True)
    >>> found.share.round(6)
    array([[0.75, 0.25]])
    """
    p = len(materials)
    if not 0 < p <= MAX_MATERIALS or np.linalg.matrix_rank(materials) < p:
        raise ValueError(f"{p} spectra are linearly dependent, none, or more than {MAX_MATERIALS}")
    n = len(pixels)
    result = Mixtures(np.empty((n, p)), np.empty((n, p)), np.empty(n))
    with one_blas_thread():
        problem = _Problem(materials, noise, sum_to_one=sum_to_one)

        def solve(part: slice) -> None:
            with np.errstate(invalid="ignore"):  # pixels that are not finite end as NaN
                problem.solve(pixels[part], result.share[part], result.sigma[part], result.rest[part])

        parts = [slice(start, start + PIXELS_AT_ONCE) for start in range(0, n, PIXELS_AT_ONCE)]
        share_out(parts, [solve] * min(worker_count(workers), max(1, len(parts))))
    return result


class _Problem:
    """Materials, and the matrices of the sets that have been met.

    The spectra, scaled to unit length, are the columns of ``Q R``. A pixel is known by ``Q' x``.
    """

    def __init__(self, materials: Doubles, noise: Doubles | None, *, sum_to_one: bool) -> None:
        self.white = None if noise is None else whiten(noise)
        self.materials = materials if self.white is None else materials @ self.white.T
        self.length = np.linalg.norm(self.materials, axis=1)
        self.across, triangle = np.linalg.qr((self.materials / self.length[:, None]).T)
        self.triangle, self.sum_to_one = triangle, sum_to_one
        factor = max(1.0, float(np.linalg.cond(triangle)))
        self.small = ROUNDING * factor
        self.floor = float(self.length.max()) if sum_to_one else float(np.finfo(np.float64).tiny)
        make = partial(_answers, triangle, self.length, sum_to_one=sum_to_one, slope=factor)
        self.sets = _Sets(make, len(materials))

    def solve(self, pixels: NDArray[np.floating], share: Doubles, sigma: Doubles, rest: Doubles) -> None:
        """Write the shares of some pixels, their standard uncertainty, and the norm of what is left over."""
        x = np.asarray(pixels, dtype=np.float64)
        if self.white is not None:
            x = x @ self.white.T
        known = x @ self.across
        at = self._pivot(known, share)
        tables = self.sets.tables
        share *= tables.unit.take(at, axis=0)
        np.maximum(share, 0.0, out=share)
        self._left_over(x, known, share, rest)
        tables.sigma.take(at, axis=0, out=sigma)
        if self.white is None:
            freedom = np.maximum(x.shape[1] - tables.fitted, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                scale = np.where(freedom > 0, 1.0 / np.sqrt(freedom), np.nan)
            sigma *= (rest * scale[at])[:, None]
        else:
            sigma[np.isnan(rest)] = np.nan

    def _left_over(self, x: Doubles, known: Doubles, share: Doubles, rest: Doubles) -> None:
        """Write the norm (n,) of what is left over: outside of the materials' space, and within it."""
        within = (share * self.length) @ self.triangle.T
        within -= known
        whole = np.einsum("ij,ij->i", x, x)
        np.subtract(whole, np.einsum("ij,ij->i", known, known), out=rest)
        rest += np.einsum("ij,ij->i", within, within)
        little = np.flatnonzero(rest <= CANCELED * whole)
        for start in range(0, len(little), LEFT_OVER_AT_ONCE):
            part = little[start : start + LEFT_OVER_AT_ONCE]
            exact = x[part] - share[part] @ self.materials
            rest[part] = np.einsum("ij,ij->i", exact, exact)
        np.sqrt(rest, out=rest)

    def _pivot(self, known: Doubles, scaled: Doubles) -> NDArray[np.int64]:
        """Write the answers (n, p) of the best sets, and return the rows (n,) of the tables of these sets."""
        n, p = known.shape
        code = np.full(n, (1 << p) - 1)
        least, patience = np.full(n, p + 1, dtype=np.int8), np.full(n, FULL_CHANGES, dtype=np.int8)
        size = np.maximum(np.sqrt(np.einsum("ij,ij->i", known, known)), self.floor)
        pixel = np.concatenate([known / size[:, None], 1.0 / size[:, None]], axis=1)
        ready: list[tuple[NDArray[np.int64], Doubles, NDArray[np.int64]]] = []
        left = np.arange(n)
        for _ in range(MAX_ROUNDS):
            answer, at = self.sets.solve(pixel, code)
            wrong = _bits(answer < -self.small)
            going, done = np.flatnonzero(wrong), np.flatnonzero(wrong == 0)
            ready.append((left[done], answer.take(done, axis=0), at[done]))
            left, wrong, code, pixel = left[going], wrong[going], code[going], pixel.take(going, axis=0)
            if not len(left):
                break
            count = np.bitwise_count(wrong).astype(np.int8)
            better = count < least[going]
            least = np.minimum(count, least[going])
            patience = np.where(better, np.int8(FULL_CHANGES), patience[going] - np.int8(1))
            single = patience < 0
            wrong[single] = _highest(wrong[single])
            code ^= wrong
        else:  # rounding can keep sets apart that are equally good
            found = np.array([self._one(one) for one in known[left]])
            ready.append((left, found / size[left, None], self.sets.solve(pixel, _bits(found > 0.0))[1]))
        place = np.empty(n, dtype=np.int64)
        place[np.concatenate([each[0] for each in ready])] = np.arange(n)
        np.concatenate([each[1] for each in ready]).take(place, axis=0, out=scaled)
        scaled *= size[:, None]
        return np.concatenate([each[2] for each in ready])[place]

    def _one(self, known: Doubles) -> Doubles:
        """Return the scaled shares of one pixel, by an active set; see the notes of :func:`shares`."""
        from scipy.optimize import nnls

        if not self.sum_to_one:
            return np.asarray(nnls(self.triangle, known)[0])
        toward = self.triangle * self.length - known[:, None]
        size = max(float(np.linalg.norm(toward, axis=0).max()), np.finfo(float).tiny)
        share = nnls(np.vstack([toward / size, np.ones(len(known))]), np.eye(len(known) + 1)[-1])[0]
        return np.asarray(share / share.sum() * self.length)


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """Of s sets: the answer to a pixel, ``(known, 1) @ matrix``, and what its uncertainty follows from.

    Parameters
    ----------
    matrix : (s, p + 1, p)
        The answer is the scaled share of each material that is present, and a positive number times the slope
        of the squared misfit toward each that is absent.
    unit : (s, p)
        From scaled shares to shares; 0 where absent.
    sigma : (s, p)
        Of the shares, for noise of standard deviation 1.
    fitted : (s,) int64
        Numbers that were fitted.
    """

    matrix: Doubles
    unit: Doubles
    sigma: Doubles
    fitted: NDArray[np.int64]

    def with_more(self, more: _Tables) -> _Tables:
        """Return the rows of both."""
        return _Tables(
            np.concatenate([self.matrix, more.matrix]),
            np.concatenate([self.unit, more.unit]),
            np.concatenate([self.sigma, more.sigma]),
            np.concatenate([self.fitted, more.fitted]),
        )


class _Sets:
    """The answers of each set of materials, made when it is first met."""

    def __init__(self, make: Callable[[NDArray[np.int64]], _Tables], count: int) -> None:
        self.make, self.count = make, count
        self.place: dict[int, int] = {}
        self.tables = make(np.empty(0, dtype=np.int64))
        self.turn = threading.Lock()

    def solve(self, pixel: Doubles, code: NDArray[np.int64]) -> tuple[Doubles, NDArray[np.int64]]:
        """Return the answers (n, p) and the rows (n,) of the tables: each tile of a set is one product."""
        n, p = len(pixel), self.count
        short = code.astype(np.uint16) if p <= SHORT_BITS else code
        order = np.argsort(short, kind="stable")
        first = np.flatnonzero(np.diff(code[order], prepend=-1))
        size = np.diff(first, append=n)
        at, tables = self._look_up(code[order[first]].tolist())
        if len(first) == 1:
            return pixel @ tables.matrix[at[0]], np.full(n, at[0])
        tiles = -(-size // TILE)
        start = (np.cumsum(tiles) - tiles) * TILE
        slot = np.arange(n) + np.repeat(start - first, size)
        which = np.repeat(at, tiles)
        filled = np.zeros(len(which) * TILE, dtype=np.int64)
        filled[slot] = order
        place = np.empty(n, dtype=np.int64)
        place[order] = slot
        padded = pixel.take(filled, axis=0).reshape(len(which), TILE, p + 1)
        answer = padded @ tables.matrix.take(which, axis=0)
        return answer.reshape(-1, p).take(place, axis=0), which[place // TILE]

    def _look_up(self, codes: list[int]) -> tuple[NDArray[np.int64], _Tables]:
        """Return the rows of *codes* in the tables."""
        with self.turn:
            new = [one for one in codes if one not in self.place]
            if new:
                self.tables = self.tables.with_more(self.make(np.array(new)))
                self.place.update(zip(new, range(len(self.place), len(self.place) + len(new)), strict=True))
            return np.array([self.place[one] for one in codes], dtype=np.int64), self.tables


def _bits(mask: Mask) -> NDArray[np.int64]:
    """Return each row of *mask* (n, p) as the bits of a number."""
    return np.asarray(mask @ np.ldexp(1.0, np.arange(mask.shape[1]))).astype(np.int64)


def _highest(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the highest bit of each number > 0."""
    return np.int64(1) << (np.frexp(code.astype(np.float64))[1] - 1).astype(np.int64)


def _answers(
    triangle: Doubles, length: Doubles, code: NDArray[np.int64], *, sum_to_one: bool, slope: float
) -> _Tables:
    """Return the tables of the sets *code*, from a factorization with the present materials first.

    With the materials in this order, ``R = Q [[F, M], [0, G]]``: scaled shares are ``F^-1 c`` and slopes
    ``-G' c``, with ``c = Q' known``. Where shares sum to one, with w for the lengths' inverse, ``c`` is first
    moved along ``u = F'^-1 w`` by what the sum lacks, ``(1 - u' c) / u' u``.
    """
    s, p = len(code), len(triangle)
    present = (code[:, None] >> np.arange(p)) & 1 != 0
    order = np.argsort(~present, axis=1, kind="stable")
    back = np.argsort(order, axis=1)
    here = np.take_along_axis(present, order, axis=1)
    q, r = np.linalg.qr(triangle[:, order].transpose(1, 0, 2))
    both = here[:, :, None] & here[:, None, :]
    inverse = np.linalg.inv(np.where(both, r, np.eye(p))) * both
    low = np.where(~here[:, :, None] & ~here[:, None, :], r, 0.0)
    middle = inverse - low.transpose(0, 2, 1)
    constant = np.zeros((s, p))
    apart = np.einsum("sij,sij->sj", low, low)  # of an absent material from those present, squared
    if sum_to_one:
        weight = 1.0 / length[order]
        u = np.einsum("sij,si->sj", inverse, np.where(here, weight, 0.0))
        mixed = np.einsum("sij,si->sj", np.where(here[:, :, None] & ~here[:, None, :], r, 0.0), u)
        lacking = np.where(here, 0.0, weight - mixed)
        uu = np.einsum("sj,sj->s", u, u)[:, None]
        constant = (np.einsum("sij,sj->si", inverse, u) - lacking) / uu
        middle -= constant[:, :, None] * u[:, None, :]
        apart += lacking**2 / uu
    variance = np.sum((middle * both) ** 2, axis=2)
    with np.errstate(divide="ignore"):
        sigma = np.sqrt(np.where(here, variance, 1.0 / apart))
    matrix = np.concatenate([q @ middle.transpose(0, 2, 1), constant[:, None, :]], axis=1)
    matrix = np.take_along_axis(matrix, back[:, None, :], axis=2)
    matrix *= np.where(present, 1.0, slope)[:, None, :]
    return _Tables(
        matrix,
        np.where(present, 1.0 / length, 0.0),
        np.take_along_axis(sigma, back, axis=1) / length,
        present.sum(axis=1) - int(sum_to_one),
    )
