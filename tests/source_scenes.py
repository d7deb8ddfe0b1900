"""Scenes with a planted source, and whether an inversion's regions hold it.

``puffs`` and ``beams`` come from :mod:`puff_simulator`, which shares no formula with the inversion; ``story``
is the inversion's own story with everything drawn from its priors (simulation-based calibration: Talts et al.
2018, arXiv 1804.06788).
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from dronesense.hotspots import gas_readings, plume, plume_likelihood, source
from dronesense.hotspots.plume_prior import Prior, Spread
from dronesense.model import Wind

_SPEC = importlib.util.spec_from_file_location(
    "puff_simulator", Path(__file__).with_name("puff_simulator.py")
)
puff_simulator = importlib.util.module_from_spec(_SPEC)
sys.modules["puff_simulator"] = puff_simulator
_SPEC.loader.exec_module(puff_simulator)

AREA = (-50.0, -50.0, 50.0, 50.0)
AIR = {"molar_mass_g_mol": 16.0425, "temperature_k": 288.0, "pressure_hpa": 1000.0}
FLIGHT_RATE = (1.0, 30.0)
BEAM_RATE = (0.3, 10.0)
NOISE_PPM = 0.05
BEAM_NOISE_PPM = 0.02
TURN = math.radians(source.SITE_TURN_DEG)


@dataclass(frozen=True)
class Scene:
    """What is given, and what is looked for."""

    readings: source.GasReadings
    wind: Wind
    rng: np.random.Generator
    place: tuple[float, float]
    rate_kg_h: float
    rate_prior: tuple[float, float]
    stability: str
    speed_m_s: float
    given: str


@dataclass(frozen=True)
class Outcome:
    """Whether the 50 % and 90 % regions of place and rate held the truth, and how large they were."""

    seed: int
    stability: str
    speed_m_s: float
    held: tuple[bool, bool, bool, bool]
    error_m: float
    area_90_m2: float
    rate_ratio: float
    seconds: float


def _wind(speed, toward):
    zero = np.zeros(1)
    return Wind(
        np.zeros(1, dtype=np.int64),
        np.array([speed * math.cos(toward)]),
        np.array([speed * math.sin(toward)]),
        zero,
        zero,
    )


def _flown(time_s, place, value, leg):
    return source.GasReadings(
        np.rint(time_s * 1e9).astype(np.int64),
        *place.T.copy(),
        value,
        np.full(value.size, NOISE_PPM),
        "EPSG:32633",
        leg=leg,
    )


def puffs(seed: int) -> Scene:
    """Twenty lines across the wind at 2 m and 6 m, winds of 1 to 8 m/s, classes A to F."""
    rng = np.random.default_rng(seed)
    release = puff_simulator.draw_release(rng, AREA, rate=FLIGHT_RATE)
    time_s, place, leg = puff_simulator.lawnmower((0.0, 0.0), release.toward_rad)
    value = puff_simulator.readings(release, time_s, place, rng)
    value = value + NOISE_PPM * rng.standard_normal(value.size)
    toward = release.toward_rad + TURN * rng.standard_normal()
    speed = release.speed_m_s * math.exp(source.SITE_SPEED * rng.standard_normal())
    return Scene(
        _flown(time_s, place, value, leg), _wind(speed, toward), rng, (release.x, release.y),
        release.rate_kg_h, FLIGHT_RATE, release.stability, release.speed_m_s, release.stability,
    )  # fmt: skip


def beams(seed: int) -> Scene:
    """Seven beams for half an hour, the wind and its turbulence from an anemometer that is read every 5 s."""
    rng = np.random.default_rng(seed)
    release = puff_simulator.draw_release(rng, AREA, rate=BEAM_RATE)
    air = puff_simulator.blow(release, -400.0, 1801.0, rng, veer_rad=math.radians(15.0))
    cos, sin = math.cos(release.toward_rad), math.sin(release.toward_rad)

    def at(ahead, aside):
        return np.array([ahead * cos - aside * sin, ahead * sin + aside * cos, 1.6])

    start = at(rng.uniform(-10, 20), rng.uniform(40, 60))
    ends = np.array([at(20 + 14 * k + rng.uniform(-5, 5), rng.uniform(-60, -20)) for k in range(7)])
    time_s = np.arange(0.0, 1800.0, 5.0)
    value = puff_simulator.along_beams(release, air, time_s, start, ends)
    # Each beam has a background of its own that is not quite known.
    value = value + BEAM_NOISE_PPM * (rng.standard_normal(value.shape) + rng.standard_normal(7))
    east, north, up = puff_simulator.anemometer(release, air, time_s, rng)
    turn, scale = TURN * rng.standard_normal(), math.exp(source.SITE_SPEED * rng.standard_normal())
    blown = scale * (east + 1j * north) * np.exp(1j * turn)
    stamps = np.rint(time_s * 1e9).astype(np.int64)
    zero = np.zeros(stamps.size)
    wind = Wind(stamps, blown.real.copy(), blown.imag.copy(), zero, zero, up=scale * up)
    readings = source.GasReadings(
        np.repeat(stamps, 7), *np.tile(start, (value.size, 1)).T.copy(), value.ravel(),
        np.full(value.size, BEAM_NOISE_PPM), "EPSG:32633", end=np.tile(ends, (stamps.size, 1)),
    )  # fmt: skip
    return Scene(
        readings, wind, rng, (release.x, release.y), release.rate_kg_h, BEAM_RATE, release.stability,
        release.speed_m_s, "auto",
    )  # fmt: skip


def story(seed: int) -> Scene:
    """The flight of :func:`puffs` through the plume that the inversion believes in."""
    rng = np.random.default_rng(seed)
    stability, speed = str(rng.choice(list("ABCDEF"))), rng.uniform(1.0, 8.0)
    given = rng.uniform(-math.pi, math.pi)
    curves = plume.briggs(stability)
    prior = Prior(
        AREA, FLIGHT_RATE, (0.0, 2.0), TURN, Spread(1.0, source.SCALE_SIGMA), Spread(1.0, source.SCALE_SIGMA),
        Spread(1.0, source.SWING_SIGMA), source.MEMORY, source.SIZE, source.STRENGTH, Spread(NOISE_PPM, 1.0),
    )  # fmt: skip
    drawn = prior.sources(prior.draw(1, rng))
    time_s, place, leg = puff_simulator.lawnmower((0.0, 0.0), given)
    toward = given + float(drawn.turn_rad[0])
    origin = np.array([drawn.x[0], drawn.y[0], drawn.height[0]])
    lines = [np.flatnonzero(leg == k) for k in range(int(leg[-1]) + 1)]
    distance = np.array([_distance(place[rows], origin, toward) for rows in lines])
    height = np.array([place[rows, 2].mean() for rows in lines])
    at_rest = np.column_stack([np.zeros((len(lines), 2)), height])
    swing = (source.WITHIN_PASS * math.atan(float(curves.across.slope)) * float(drawn.swing[0])) * _wander(
        np.array([time_s[rows].mean() for rows in lines]) - distance / speed, drawn.memory_s[0], rng
    )
    paths = replace(gas_readings.NO_PATHS, start=at_rest, step=np.zeros_like(at_rest))
    sigma = plume_likelihood.strength_sigma(
        paths, drawn, np.maximum(distance, plume_likelihood.NEAR_M)[None], curves, drawn.strength[:, None]
    )[0]
    strength = np.exp(sigma * rng.standard_normal(len(lines)))
    strength *= rng.random(len(lines)) >= plume_likelihood.MISSED
    growth = curves.scaled(source.WITHIN_PASS * drawn.across[0], drawn.vertical[0])
    wide = float(drawn.size_m[0])
    growth = replace(
        growth, across=replace(growth.across, width_m=wide), vertical=replace(growth.vertical, width_m=wide)
    )
    value = np.zeros(time_s.size)
    for k, rows in enumerate(lines):
        # Five looks a second, as an analyzer that integrates.
        ahead = ((np.arange(5) + 0.5) / 5 - 0.5)[:, None]
        fine = (place[rows, None, :] + ahead * np.gradient(place[rows], axis=0)[:, None, :]).reshape(-1, 3)
        direction = toward + swing[k]
        met = plume.point_coupling(
            origin[None], fine, wind_east=speed * math.cos(direction), wind_north=speed * math.sin(direction),
            dispersion=growth, density_kg_m3=plume.gas_density_kg_m3(**AIR),
        )  # fmt: skip
        value[rows] = drawn.rate_kg_h[0] * strength[k] * met.reshape(-1, 5).mean(axis=1)
        pieces = math.ceil(180.0 / gas_readings.BACKGROUND_M)
        drift = gas_readings.BACKGROUND_SHARE * NOISE_PPM * rng.standard_normal(pieces)
        value[rows] += np.repeat(drift, math.ceil(rows.size / pieces))[: rows.size]
    value += NOISE_PPM * rng.standard_normal(value.size)
    rate = float(drawn.rate_kg_h[0]) * math.exp(source.SITE_SPEED * rng.standard_normal())
    return Scene(
        _flown(time_s, place, value, leg), _wind(speed, given), rng, (float(origin[0]), float(origin[1])),
        rate, FLIGHT_RATE, stability, speed, stability,
    )  # fmt: skip


def _distance(line, origin, toward):
    """Return how far from the source its plume's axis meets a line."""
    along = line[-1, :2] - line[0, :2]
    equations = np.array([[math.cos(toward), -along[0]], [math.sin(toward), -along[1]]])
    return abs(float(np.linalg.solve(equations, line[0, :2] - origin[:2])[0]))


def _wander(times, memory_s, rng):
    """Return an Ornstein-Uhlenbeck process of unit variance at *times* in any order."""
    out, state, before = np.empty(times.size), float(rng.standard_normal()), float(times.min())
    for k in np.argsort(times):
        kept = math.exp(-(times[k] - before) / memory_s)
        state = kept * state + math.sqrt(1.0 - kept**2) * float(rng.standard_normal())
        out[k], before = state, float(times[k])
    return out


SCENES = {"puffs": puffs, "story": story, "beams": beams}


def outcome(name: str, seed: int) -> Outcome:
    """Invert a scene with the defaults and the scene's own priors."""
    scene = SCENES[name](seed)
    begun = time.process_time()
    found = source.estimate_source(
        scene.readings, scene.wind, species="CH4", **AIR, rng=scene.rng, stability=scene.given, area=AREA,
        rate_prior_kg_h=scene.rate_prior,
    )  # fmt: skip
    seconds = time.process_time() - begun
    truth = shapely.Point(scene.place)
    held = (
        bool(found.region_50.contains(truth)),
        bool(found.region_90.contains(truth)),
        found.rate_50_kg_h[0] <= scene.rate_kg_h <= found.rate_50_kg_h[1],
        found.rate_90_kg_h[0] <= scene.rate_kg_h <= found.rate_90_kg_h[1],
    )
    return Outcome(
        seed, scene.stability, scene.speed_m_s, held,
        math.hypot(found.x - scene.place[0], found.y - scene.place[1]), found.region_90.area,
        found.rate_kg_h / scene.rate_kg_h, seconds,
    )  # fmt: skip
