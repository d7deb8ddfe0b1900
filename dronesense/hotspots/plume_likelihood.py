"""How probable passes and averages are for a source: a plume that swings and breathes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.hotspots.gas_readings import Paths
from dronesense.hotspots.plume import Dispersion, Growth, beam_nodes, dilution
from dronesense.hotspots.plume_prior import Sources

Floats = NDArray[np.float64]
Real = NDArray[Any]

NODES: Final = 8
"""Gauss-Legendre nodes on the part of a way that lies in the plume."""
PASS_SWING_NODES: Final = 5
AVERAGE_SWING_NODES: Final = 3
STRENGTH_NODES: Final = 7
"""Gauss-Hermite nodes over what is not known of a single pass or average."""
SHAPE: Final = 0.2
"""How far the local depth of a plume departs from the curve, relative: one standard deviation."""
PERSISTENT: Final = 0.3
COMMON: Final = 0.3
OWN: Final = 0.2
"""Relative errors of averages: of one place for a spell, of all places at one time, and of each."""
MISSED: Final = 0.02
"""Share of the passes that meet nothing of a plume that is there: it was lifted or torn."""
CHUNK: Final = 1 << 18
"""Nodes looked at together: bounds the memory."""
LEAST: Final = 1e-12
"""ppm for a kg/h: less is none."""
NEAR_M: Final = 0.5
LEAST_SINE: Final = 0.05
GRAZING: Final = 6.0
"""Log-normal errors grow with how far above or below the plume one is, up to this many times `SHAPE`."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What an inversion knows.

    Parameters
    ----------
    passes, averages : Paths
        See :func:`~dronesense.hotspots.gas_readings.reduced`.
    pass_growth, average_growth : Dispersion
        Growth of the plume within a pass, and of its mean over an average, whose slopes may be (n,).
    pass_swing, average_swing : float and (n,) float64
        Standard deviation of the direction of a release, and of an average against its own wind, rad; before
        the factor of the sources.
    bend_ppm : float
        Averages below are compared by differences, above by ratios.
    ppm_per_kg_h : float
        See :func:`~dronesense.hotspots.plume.ppm_per_kg_h`.
    """

    passes: Paths
    averages: Paths
    pass_growth: Dispersion
    average_growth: Dispersion
    pass_swing: float
    average_swing: Floats
    bend_ppm: float
    ppm_per_kg_h: float


def log_likelihood(readings: Readings, sources: Sources) -> Floats:
    """Return the natural logarithm of the probability density of the readings for each source, (k,).

    Equations: docs/methods/source.md.
    """
    crossed = readings.passes.crossed
    met, open_ = readings.passes[crossed], readings.passes[~crossed]
    table = np.stack([getattr(sources, name) for name in Sources.__slots__])
    total = np.zeros(sources.x.size)
    each = max(1, CHUNK // (NODES * max(len(met), len(open_), len(readings.averages))))
    for begin in range(0, total.size, each):
        part = Sources(*table[:, begin : begin + each])
        out = total[begin : begin + each]
        with np.errstate(under="ignore", over="ignore", divide="ignore"):
            if len(met):
                out += _crossed(met, part, readings)
            if len(open_):
                out += _open(open_, part, readings)
            if len(readings.averages):
                out += _averages(readings.averages, part, readings)
    return total


def coupling(
    paths: Paths, sources: Sources, east: Floats, north: Floats, growth: Dispersion, factor: float
) -> Floats:
    """Return the mean ppm on each way for a kg/h of each source, (k, n), of plumes that point (east, north).

    Parameters
    ----------
    paths : Paths
        n ways.
    sources : Sources
        k sources.
    east, north : (k, n) float64
        Unit vectors toward.
    growth : Dispersion
        Before the factors of the sources.
    factor : float
        ppm for a kg/h and s/m³.
    """
    kind = np.float32
    east, north = east.astype(kind), north.astype(kind)
    dx = (paths.start[:, 0] - sources.x[:, None]).astype(kind)
    dy = (paths.start[:, 1] - sources.y[:, None]).astype(kind)
    own = _own(growth, sources, kind)
    ahead, aside = dx * east + dy * north, dy * east - dx * north
    height, source_height = paths.start[:, 2].astype(kind), sources.height[:, None].astype(kind)
    speed = paths.speed.astype(kind)
    if not paths.step.any():
        met = dilution(ahead, aside, height, source_height=source_height, speed=speed, dispersion=own)
        return np.asarray(factor * met, dtype=np.float64)
    step = paths.step.astype(kind)
    ahead_step, aside_step = step[:, 0] * east + step[:, 1] * north, step[:, 1] * east - step[:, 0] * north
    share, weight = beam_nodes(
        ahead, ahead_step, aside, aside_step,
        slope=own.across.slope, width=own.across.width_m, nodes=NODES,
    )  # fmt: skip
    met = dilution(
        ahead + share * ahead_step,
        aside + share * aside_step,
        height + share * step[:, 2],
        source_height=source_height,
        speed=speed,
        dispersion=own,
    )
    return np.asarray(factor * np.sum(weight * met, axis=0), dtype=np.float64)


def strength_sigma(
    paths: Paths, sources: Sources, distance: Floats, growth: Dispersion, strength: Floats | float
) -> Floats:
    """Return the standard deviation of the logarithm of what is met against the mean plume, (k, n).

    A plume whose depth departs from the curve by a share s changes the concentration at height z by
    ``s |((z - h) / sigma_z)² - 1|``: little at its edge, much above it.
    """
    depth = _own(growth, sources, np.float64).vertical(distance)
    middle = paths.start[:, 2] + 0.5 * paths.step[:, 2]
    steep = np.abs(((middle - sources.height[:, None]) / depth) ** 2 - 1.0)
    return np.asarray(np.hypot(strength, SHAPE * np.minimum(steep, GRAZING)))


def wandering_log_density(
    angle: Floats, variance: Floats, time_s: Floats, sd: Floats, memory_s: Floats
) -> Floats:
    """Return the log density of angles of an Ornstein-Uhlenbeck process, seen with errors, (k,).

    Parameters
    ----------
    angle, variance, time_s : (k, n) float64
        What was seen, the variance of its error, and when the gas was released; in any order.
    sd, memory_s : (k,) float64
        Of the process.
    """
    order = np.argsort(time_s, axis=1)
    angle, variance, time_s = (np.take_along_axis(v, order, axis=1) for v in (angle, variance, time_s))
    kept = np.exp(-np.diff(time_s, axis=1) / memory_s[:, None])
    mean, spread, total = np.zeros(len(sd)), sd**2, np.zeros(len(sd))
    for k in range(angle.shape[1]):
        if k:
            mean = kept[:, k - 1] * mean
            spread = sd**2 + kept[:, k - 1] ** 2 * (spread - sd**2)
        whole = spread + variance[:, k]
        innovation = angle[:, k] - mean
        total -= 0.5 * (innovation**2 / whole + np.log(2.0 * math.pi * whole))
        gain = spread / whole
        mean, spread = mean + gain * innovation, spread * (1.0 - gain)
    return total


def _crossed(paths: Paths, sources: Sources, readings: Readings) -> Floats:
    """Return the log density of passes that met the plume at a known place, (k,)."""
    dx = paths.center[:, 0] - sources.x[:, None]
    dy = paths.center[:, 1] - sources.y[:, None]
    distance = np.maximum(np.hypot(dx, dy), NEAR_M)
    east, north = dx / distance, dy / distance
    met = coupling(paths, sources, east, north, readings.pass_growth, readings.ppm_per_kg_h)
    expected = np.log(sources.rate_kg_h[:, None] * np.maximum(met, LEAST))
    sigma = strength_sigma(paths, sources, distance, readings.pass_growth, sources.strength[:, None])
    variance = sigma**2 + (paths.sigma / paths.value) ** 2
    total = _normal(np.log(paths.value) - expected, variance).sum(axis=1)
    # Density of the place on the line = density of the direction times its change along the line.
    angle = np.arctan2(dy * paths.east - dx * paths.north, dx * paths.east + dy * paths.north)
    off = np.remainder(angle - sources.turn_rad[:, None] + math.pi, 2.0 * math.pi) - math.pi
    length = np.hypot(paths.step[:, 0], paths.step[:, 1])
    sine = np.abs(paths.step[:, 0] * north - paths.step[:, 1] * east) / length
    change = np.maximum(sine, LEAST_SINE) / distance
    error = (paths.center_sigma**2 + sources.size_m[:, None] ** 2) * change**2
    released = paths.time_s - distance / paths.speed
    total += np.log(change).sum(axis=1)
    swing = readings.pass_swing * sources.swing
    total += wandering_log_density(off, error, released, swing, sources.memory_s)
    return np.asarray(total)


def _open(paths: Paths, sources: Sources, readings: Readings) -> Floats:
    """Return the log density of passes that met nothing or ran along the plume, the swing averaged over."""
    sway, sway_weight = _hermite(PASS_SWING_NODES)
    pulse, pulse_weight = _hermite(STRENGTH_NODES)
    middle = paths.start + 0.5 * paths.step
    way = np.hypot(middle[:, 0] - sources.x[:, None], middle[:, 1] - sources.y[:, None])
    sigma = strength_sigma(
        paths, sources, np.maximum(way, NEAR_M), readings.pass_growth, sources.strength[:, None]
    )
    detected = paths.detected
    density = np.zeros((sources.x.size, len(paths)))
    for node, weight in zip(sway, sway_weight, strict=True):
        east, north = _turned(paths, (sources.turn_rad + node * readings.pass_swing * sources.swing)[:, None])
        met = coupling(paths, sources, east, north, readings.pass_growth, readings.ppm_per_kg_h)
        expected = sources.rate_kg_h[:, None] * met
        off = np.log(np.maximum(paths.value, LEAST)) - np.log(np.maximum(expected, LEAST))
        variance = sigma**2 + (paths.sigma / paths.value) ** 2
        positive = np.exp(_normal(off, variance)) / np.maximum(paths.value, LEAST)
        quiet = np.zeros_like(density)
        for each, share in zip(pulse, pulse_weight, strict=True):
            quiet += share * np.exp(_normal(paths.value - expected * np.exp(each * sigma), paths.sigma**2))
        density += weight * np.where(detected, positive, quiet)
    nothing = np.exp(_normal(paths.value, paths.sigma**2))
    density = (1.0 - MISSED) * density + MISSED * nothing
    return np.asarray(np.log(np.maximum(density, np.finfo(np.float64).tiny)).sum(axis=1))


def _averages(paths: Paths, sources: Sources, readings: Readings) -> Floats:
    """Return the log density of averages, (k,): jointly normal.

    Errors of strength and of background are shared by one place for a spell, errors of strength and of the
    direction of the wind by all places at one time; each average has its own besides.
    """
    node, weight = _hermite(AVERAGE_SWING_NODES)
    met = np.empty((sources.x.size, len(paths), node.size))
    for k, each in enumerate(node):
        swing = each * readings.average_swing * sources.swing[:, None]
        east, north = _turned(paths, sources.turn_rad[:, None] + swing)
        met[:, :, k] = coupling(paths, sources, east, north, readings.average_growth, readings.ppm_per_kg_h)
    # Errors are factors where noise does not count: a function that is linear below and a logarithm above.
    bend = 2.0 * readings.bend_ppm
    met *= sources.rate_kg_h[:, None, None]
    slope = 1.0 / np.hypot(met @ weight, bend)
    relative = slope * (met @ weight)
    np.arcsinh(met / bend, out=met)
    mean = met @ weight
    swung = (met - mean[:, :, None]) * np.sqrt(weight)
    same_place = paths.spell[:, None] == paths.spell
    same_time = paths.window[:, None] == paths.window
    own = np.eye(len(paths))
    cov = PERSISTENT**2 * same_place + COMMON**2 * same_time + OWN**2 * own
    cov = relative[:, :, None] * relative[:, None, :] * cov + (swung @ swung.transpose(0, 2, 1)) * same_time
    floor = sources.floor_ppm[:, None, None] ** 2 * (same_place + own) + np.diag(paths.sigma**2)
    cov += slope[:, :, None] * slope[:, None, :] * floor
    root = np.linalg.cholesky(cov)
    whitened = np.linalg.solve(root, (np.arcsinh(paths.value / bend) - mean)[:, :, None])[:, :, 0]
    logs = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    constant = 0.5 * len(paths) * math.log(2.0 * math.pi)
    return np.asarray(-0.5 * np.sum(whitened**2, axis=1) - logs - constant)


def _own(growth: Dispersion, sources: Sources, kind: type[np.floating[Any]]) -> Dispersion:
    """Return the growth of the plume of each source, (k, 1) or (k, n)."""

    def grown(curve: Growth, factor: Floats) -> Growth:
        slope = np.asarray(curve.slope, dtype=kind) * factor[:, None].astype(kind)
        return replace(curve, slope=slope, width_m=sources.size_m[:, None].astype(kind))

    return replace(
        growth, across=grown(growth.across, sources.across), vertical=grown(growth.vertical, sources.vertical)
    )


def _turned(paths: Paths, angle: Floats) -> tuple[Floats, Floats]:
    """Return the wind of each way turned counterclockwise by the angles of each source, (k, n)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return paths.east * cos - paths.north * sin, paths.north * cos + paths.east * sin


def _normal(off: Floats, variance: Floats) -> Floats:
    return np.asarray(-0.5 * (off**2 / variance + np.log(2.0 * math.pi * variance)))


def _hermite(nodes: int) -> tuple[Floats, Floats]:
    place, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return place, weight / weight.sum()
