"""Draws from a posterior by tempering: particles of the prior, led there in steps that they can follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KEPT_SHARE: Final = 0.5
"""Each step of temperature leaves an effective share of this size of the particles."""
BISECTIONS: Final = 40
MAX_MOVES: Final = 20
"""Pairs of moves at most for each renewal that is asked for."""
DIFFERENCE_WORTH: Final = 0.25
"""Of a move by differences, in terms of one afresh."""
MAX_STEPS: Final = 200
JITTER: Final = 1e-3
"""Width of the noise on each proposal, as a share of the particles' own spread."""
LEAP_SHARE: Final = 0.1
"""Share of proposals by a whole difference of two particles: leaps between modes."""
TAIL_FREEDOM: Final = 5
"""Degrees of freedom of the Student t that proposes afresh."""
RIDGE: Final = 1e-6
TARGET_ACCEPTANCE: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Draws from a posterior.

    Parameters
    ----------
    theta : (n, d) float64
        Draws of equal weight; those of consecutive sweeps hang together.
    log_evidence : float
        Natural logarithm of the mean likelihood under the prior.
    acceptance : float
        Share of accepted moves in the last sweeps.
    steps : int
        Temperatures that were needed.
    """

    theta: Floats
    log_evidence: float
    acceptance: float
    steps: int


def sample(
    start: Floats,
    *,
    log_likelihood: Callable[[Floats], Floats],
    log_prior: Callable[[Floats], Floats],
    rng: np.random.Generator,
    moves: float = 0.5,
    sweeps: int = 10,
) -> Draws:
    """Return draws from ``prior x likelihood``.

    Sequential Monte Carlo: the power of the likelihood grows from 0 to 1 as fast as half of the particles
    survive; after each resampling all particles move by differential evolution, one half by differences of
    the other, which leaves the tempered posterior as it is.

    Parameters
    ----------
    start : (n, d) float64
        Draws from the prior; n even.
    log_likelihood, log_prior : callable
        (k, d) -> (k,); the prior may be -inf outside of its support, where the likelihood is not asked.
    rng : numpy.random.Generator
        Randomness.
    moves : float
        How often each particle is renewed at each temperature, on average.
    sweeps : int
        Moves of each particle at the posterior that are kept: n times this many draws.

    References
    ----------
    Del Moral, Doucet & Jasra 2006, doi 10.1111/j.1467-9868.2006.00553.x; ter Braak 2006,
    doi 10.1007/s11222-006-8769-1.
    """
    if start.ndim != 2 or len(start) % 2:
        raise ValueError(f"start must be (n, d) with n even, not {start.shape}")
    theta = start.copy()
    likelihood, prior = log_likelihood(theta), log_prior(theta)
    power, evidence, scale, steps, accepted = 0.0, 0.0, 1.0, 0, 0.0
    kept = []
    while True:
        if power < 1.0:
            step = _next_step(likelihood, 1.0 - power)
            weight = np.exp(step * (likelihood - likelihood.max()))
            evidence += math.log(float(weight.mean())) + step * float(likelihood.max())
            chosen = _systematic(weight, rng)
            theta, likelihood, prior = theta[chosen], likelihood[chosen], prior[chosen]
            power = 1.0 if steps + 1 >= MAX_STEPS else power + step
            steps += 1
        last = power >= 1.0 - 1e-12
        moved, done = 0.0, 0
        while moved < moves and done < MAX_MOVES * moves:
            accepted = _move(theta, likelihood, prior, power, scale, log_likelihood, log_prior, rng)
            scale = float(np.clip(scale * math.exp(accepted - TARGET_ACCEPTANCE), 0.05, 2.0))
            fresh = _move(theta, likelihood, prior, power, 0.0, log_likelihood, log_prior, rng)
            # A move afresh forgets where it came from; one by differences goes a part of the way.
            moved, done = moved + fresh + DIFFERENCE_WORTH * accepted, done + 1
        for _ in range(sweeps if last else 0):
            for each in (scale, 0.0):
                accepted = _move(theta, likelihood, prior, power, each, log_likelihood, log_prior, rng)
            kept.append(theta.copy())
        if last:
            return Draws(np.concatenate(kept), evidence, accepted, steps)


def _next_step(likelihood: Floats, most: float) -> float:
    """Return the step of the power that leaves :data:`KEPT_SHARE` of the particles, *most* at most."""

    def share(step: float) -> float:
        weight = np.exp(step * (likelihood - likelihood.max()))
        effective = weight.sum() ** 2 / np.sum(weight**2)
        return float(effective / weight.size)

    if share(most) >= KEPT_SHARE:
        return most
    low, high = 0.0, most
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) > KEPT_SHARE else (low, middle)
    return high


def _systematic(weight: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return which particles go on, each as often as its weight says."""
    n = weight.size
    reached = np.cumsum(weight / weight.sum())
    return np.minimum(np.searchsorted(reached, (np.arange(n) + rng.random()) / n), n - 1)


def _move(
    theta: Floats,
    likelihood: Floats,
    prior: Floats,
    power: float,
    scale: float,
    log_likelihood: Callable[[Floats], Floats],
    log_prior: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> float:
    """Move each particle once, in place; return the share of moves that were accepted."""
    n = len(theta)
    order = rng.permutation(n)
    taken = 0
    for mine, other in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
        if scale > 0.0:
            proposal = _differences(theta[mine], theta[other], scale, rng)
            odds = np.zeros(mine.size)
        else:
            proposal, odds = _afresh(theta[mine], theta[other], rng)
        new_prior = log_prior(proposal)
        inside = np.isfinite(new_prior)
        new_likelihood = np.full(mine.size, -np.inf)
        if inside.any():
            new_likelihood[inside] = log_likelihood(proposal[inside])
        with np.errstate(invalid="ignore"):
            gain = power * (new_likelihood - likelihood[mine]) + new_prior - prior[mine] + odds
        better = inside & (np.log(rng.random(mine.size)) < gain)
        moved = mine[better]
        theta[moved], likelihood[moved], prior[moved] = (
            proposal[better],
            new_likelihood[better],
            new_prior[better],
        )
        taken += int(better.sum())
    return float(taken / n)


def _differences(mine: Floats, other: Floats, scale: float, rng: np.random.Generator) -> Floats:
    """Return proposals by differences of other particles: they know the posterior's shape and its modes."""
    size, d = mine.shape
    first = rng.integers(0, len(other), size)
    second = (first + rng.integers(1, len(other), size)) % len(other)
    length = np.where(rng.random(size) < LEAP_SHARE, 1.0, scale * 2.38 / math.sqrt(2.0 * d))
    step = length[:, None] * (other[first] - other[second])
    return np.asarray(mine + step + JITTER * other.std(axis=0) * rng.standard_normal(mine.shape))


def _afresh(mine: Floats, other: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return proposals from a Student t fitted to the other particles, and the log odds of going back."""
    size, d = mine.shape
    center = other.mean(axis=0)
    cov = np.cov(other.T) + np.diag(RIDGE * other.var(axis=0) + 1e-12)
    root = np.linalg.cholesky(cov)
    tail = rng.chisquare(TAIL_FREEDOM, size) / TAIL_FREEDOM
    proposal = center + (rng.standard_normal((size, d)) / np.sqrt(tail)[:, None]) @ root.T

    def log_t(theta: Floats) -> Floats:
        whitened = np.linalg.solve(root, (theta - center).T)
        return np.asarray(-0.5 * (TAIL_FREEDOM + d) * np.log1p(np.sum(whitened**2, axis=0) / TAIL_FREEDOM))

    return np.asarray(proposal), np.asarray(log_t(mine) - log_t(proposal))
