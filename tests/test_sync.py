"""Sync: planted offsets between any two streams come back within the stated sigma; others are refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, lfilter, sosfilt

from dronesense.calibrate.clock import PRESSURE, RATES
from dronesense.calibrate.sync import ClockOffset, Nature, Signal, cross_correlate, match_tracks, refused

S = 1_000_000_000
T0 = 1_781_000_000 * S
SPEED = 5.0
Rng = np.random.Generator
Case = tuple[ClockOffset, float]

HEIGHT = Nature(
    "height", step_s=1.0, change_s=4.0, lobe_s=20.0, hole_s=5.0, smoothing_s=0.4, overlap_s=60.0,
    min_correlation=0.7, scale=(0.8, 1.25),
)  # fmt: skip


def signal(seconds: np.ndarray, value: np.ndarray) -> Signal:
    return Signal(T0 + np.round(seconds * S).astype(np.int64), value)


def red(rng: Rng, seconds: np.ndarray, sigma: float, tau: float, channels: int = 2) -> np.ndarray:
    """First-order Gauss-Markov noise: what receivers wander."""
    step = float(np.median(np.diff(seconds)))
    keep = math.exp(-step / tau)
    white = rng.standard_normal((seconds.size + int(5 * tau / step), channels))
    wander = lfilter([1.0], [1.0, -keep], white, axis=0)[-seconds.size :]
    return np.asarray(sigma * math.sqrt(1.0 - keep**2) * wander)


def survey(rng: Rng, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Knots of parallel lines at 5 m/s, turned at random; a minute at the take-off point at both ends."""
    length, spacing = rng.uniform(80.0, 300.0), rng.uniform(12.0, 30.0)
    corners = [np.zeros(2), rng.uniform(-200.0, 200.0, 2)]
    side, way = 1.0, float(np.linalg.norm(corners[1]))
    while way < (duration - 120.0) * SPEED:
        corners.append(corners[-1] + [side * length, 0.0])
        corners.append(corners[-1] + [0.0, spacing])
        side, way = -side, way + length + spacing
    places = np.array([*corners, np.zeros(2)])
    at = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))] / SPEED + 60.0
    turn = rng.uniform(0.0, 2.0 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    knots = np.r_[0.0, at, at[-1] + 60.0]
    return knots, np.vstack([places[:1], places, places[-1:]]) @ rotation.T


def receiver(
    rng: Rng,
    flight: tuple[np.ndarray, np.ndarray],
    *,
    rate: float,
    offset: float = 0.0,
    part: tuple[float, float] = (0.0, 1.0),
    shift: np.ndarray | float = 0.0,
    white: float = 0.2,
) -> Signal:
    knots, places = flight
    t = np.arange(part[0] * knots[-1], part[1] * knots[-1], 1.0 / rate) + rng.uniform(0.0, 1.0 / rate)
    exact = np.column_stack([np.interp(t, knots, each) for each in places.T])
    noise = white * rng.standard_normal(exact.shape) + red(rng, t, 0.6, 60.0)
    return signal(t - offset, exact + noise + shift)


def tracks(seed: int, related: bool = True) -> Case:
    """GNSS of a logger at 1 Hz, some meters aside, over a part of the flight; autopilot at 5 Hz."""
    rng = np.random.default_rng(seed)
    duration = 300.0 + 60.0 * (seed % 15)
    flight, offset = survey(rng, duration), float(rng.uniform(-3000.0, 3000.0))
    part = (rng.uniform(0.0, 0.3), rng.uniform(0.7, 1.0))
    one = receiver(rng, flight, rate=1.0, offset=offset, part=part, shift=rng.uniform(-5.0, 5.0, 2))
    other = receiver(rng, flight if related else survey(rng, duration), rate=5.0, white=0.1)
    return match_tracks(one, other, max_offset_s=7200.0), offset


def wobble(rng: Rng, duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Angle, degrees, at 200 Hz: a resonance of 0.3 to 1 Hz and gusts."""
    rate = 200.0
    white = rng.standard_normal((2, int(duration * rate) + 4000))
    low = rng.uniform(0.3, 1.0)
    swing = sosfilt(butter(2, [0.5 * low, 2.0 * low], "bandpass", fs=rate, output="sos"), white[0])[4000:]
    gusts = sosfilt(butter(2, 3.0, fs=rate, output="sos"), white[1])[4000:]
    turn = swing / swing.std() * rng.uniform(1.0, 5.0) + gusts / gusts.std()
    return np.arange(turn.size) / rate, np.cumsum(turn) / rate


def image(seed: int, related: bool = True, *, frames: float = 5.0, gyro: float = 25.0) -> Case:
    """Image shifts with 30 % noise, a hole and a constant motion; the image runs against the body."""
    rng = np.random.default_rng(seed)
    duration = 150.0
    t, angle = wobble(rng, duration)
    offset = float(rng.uniform(-10.0, 10.0))
    seen = t, angle if related else wobble(rng, duration)[1]
    tg = np.arange(0.0, duration - 0.1, 1.0 / gyro)
    rate = np.diff(np.interp(tg, t, angle)) * gyro
    body = signal(tg[:-1] + 0.5 / gyro, rate + 0.1 * rng.standard_normal(rate.size))
    tf = np.arange(0.15 * duration, 0.85 * duration, 1.0 / frames)
    moved = -12.0 * np.diff(np.interp(tf, *seen))
    moved = moved + 0.3 * moved.std() * rng.standard_normal(moved.size) + 3.0
    moved[moved.size // 3 : moved.size // 3 + 5] = np.nan
    return cross_correlate(
        signal(tf[:-1] + 0.5 / frames - offset, moved * frames), body, RATES, max_offset_s=60.0
    ), offset


def barometers(seed: int, related: bool = True) -> Case:
    """Climbs felt by two barometers; stamps lie off the middle of what they average by half an interval over
    sqrt(12), as sigma allows for (drawn normal; of the rectangle it stands for 58 % lie within one sigma)."""
    rng = np.random.default_rng(seed)

    def flight() -> tuple[np.ndarray, np.ndarray]:
        t, h = [0.0, 30.0], [0.0, 0.0]
        while t[-1] < 300.0 + 60.0 * (seed % 16):
            h.append(max(0.0, h[-1] + float(rng.choice([-1.0, 1.0]) * rng.uniform(5.0, 40.0))))
            t.append(t[-1] + max(abs(h[-1] - h[-2]) / 2.5, 0.1))
            t.append(t[-1] + float(rng.uniform(15.0, 60.0)))
            h.append(h[-1])
        return np.array([*t, t[-1] + h[-1] / 2.5 + 0.1, t[-1] + 150.0]), np.array([*h, 0.0, 0.0])

    climbs, offset = flight(), float(rng.uniform(-5000.0, 5000.0))
    end = climbs[0][-1]
    t, log = np.arange(rng.uniform(0.0, 1.0), end, 1.0), np.arange(0.0, end, 0.2)
    middle = rng.normal(0.0, 0.5 / math.sqrt(12.0))
    other = climbs if related else flight()
    felt = 960.0 * np.exp(-np.interp(t, *climbs) / 8000.0) + 0.05 * rng.standard_normal(t.size)
    logged = 960.0 * np.exp(-np.interp(log, *other) / 8000.0) + 0.03 * rng.standard_normal(log.size)
    found = cross_correlate(
        signal(t - offset + middle, felt), signal(log, logged), PRESSURE, max_offset_s=7200.0
    )
    return found, offset


PAIRS = pytest.mark.parametrize("pair", [barometers, tracks, image], ids=lambda each: each.__name__)


def coverage(pair: Callable[..., Case], seeds: range) -> None:
    """The stated sigma holds: shares within 1 and 1.96 sigma lie within three binomial deviations."""
    found = [pair(seed) for seed in seeds]
    ratio = np.array([(each.offset_s - offset) / each.sigma_s for each, offset in found if each.accepted])
    assert ratio.size >= 0.95 * len(seeds)
    for limit, share in ((1.0, 0.6827), (1.96, 0.95)):
        within = float(np.mean(np.abs(ratio) <= limit))
        assert abs(within - share) <= 3.0 * math.sqrt(share * (1.0 - share) / ratio.size), (limit, within)
    assert 0.8 < np.sqrt(np.mean(ratio**2)) < 1.2


@PAIRS
def test_the_true_offset_lies_within_the_stated_sigma(pair: Callable[..., Case]) -> None:
    coverage(pair, range(150))


@PAIRS
def test_unrelated_streams_are_refused(pair: Callable[..., Case]) -> None:
    found = [pair(seed, related=False)[0] for seed in range(100)]
    assert [each.reason for each in found if each.accepted] == []
    assert all(each.offset_s == 0.0 and math.isinf(each.sigma_s) and each.reason for each in found)


@pytest.mark.slow
@PAIRS
def test_sweep_of_the_stated_sigma(pair: Callable[..., Case]) -> None:
    coverage(pair, range(1000, 1300))


@pytest.mark.slow
@PAIRS
def test_sweep_of_unrelated_streams(pair: Callable[..., Case]) -> None:
    """Fewer than 1 % are accepted: of 400 at most 3."""
    assert sum(pair(seed, related=False)[0].accepted for seed in range(2000, 2400)) <= 3


@pytest.mark.parametrize(("frames", "gyro"), [(100.0, 50.0), (30.0, 10.0), (2.0, 50.0), (1.0, 25.0)])
def test_image_and_gyro_of_different_rates(frames: float, gyro: float) -> None:
    for seed in range(4):
        found, offset = image(seed, frames=frames, gyro=gyro)
        assert found.accepted, found.reason
        assert abs(found.offset_s - offset) < min(4.0 * found.sigma_s, 0.1 / math.sqrt(frames))
        assert found.correlation < 0.0  # the image runs against the body


def test_narrow_lines_and_circles_leave_it_open() -> None:
    """Rounds of 50 s, of which the logger saw five of twelve: every round fits."""
    t = np.arange(600.0)
    turn = 2.0 * np.pi * t / 50.0
    rounds = t, 50.0 * np.column_stack([np.cos(turn), np.sin(turn)])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one = receiver(rng, rounds, rate=1.0, part=(0.3, 0.7))
        found = match_tracks(one, receiver(rng, rounds, rate=5.0), max_offset_s=7200.0)
        assert not found.accepted
        assert "another offset" in found.reason


def test_a_hover_and_another_place_are_refused() -> None:
    rng = np.random.default_rng(1)
    still = np.array([0.0, 600.0]), np.zeros((2, 2))
    one, other = receiver(rng, still, rate=1.0), receiver(rng, still, rate=5.0)
    assert "correlate only" in match_tracks(one, other, max_offset_s=100.0).reason
    flight = survey(rng, 600.0)
    away = receiver(rng, flight, rate=1.0, shift=500.0)
    found = match_tracks(away, receiver(rng, flight, rate=5.0), max_offset_s=100.0)
    assert not found.accepted


def test_a_logger_that_stumbles_is_refused() -> None:
    """Six seconds lost half way: no one offset is true."""
    rng = np.random.default_rng(3)
    flight = survey(rng, 700.0)
    one = receiver(rng, flight, rate=1.0)
    time = one.time.copy()
    time[time.size // 2 :] += 6 * S
    found = match_tracks(Signal(time, one.value), receiver(rng, flight, rate=5.0), max_offset_s=100.0)
    assert not found.accepted


def test_few_samples_prove_nothing() -> None:
    """Two minutes of slow, unrelated swings: some offset makes them agree by 0.7, and it is chance."""
    t = np.arange(0.0, 120.0, 0.2)
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        swings = [
            np.convolve(rng.standard_normal(t.size + 200), np.hanning(201), "valid")[: t.size] for _ in "ab"
        ]
        found.append(cross_correlate(*(signal(t, each) for each in swings), HEIGHT, max_offset_s=60.0))
    assert not any(each.accepted for each in found)
    by_chance = [each for each in found if "may be chance" in each.reason]
    assert len(by_chance) >= 5
    assert all(each.correlation >= 0.7 for each in by_chance)


def test_a_size_that_cannot_be_is_refused() -> None:
    rng = np.random.default_rng(5)
    knots = np.cumsum(rng.uniform(10.0, 40.0, 40))
    levels = np.cumsum(rng.uniform(-20.0, 20.0, 40))
    t = np.arange(knots[0], knots[-1], 0.5)
    height = np.interp(t, knots, levels)
    feet = cross_correlate(signal(t, height / 0.3048), signal(t, height), HEIGHT, max_offset_s=60.0)
    assert "differ in size (3.28 times" in feet.reason
    assert not cross_correlate(signal(t, -height), signal(t, height), HEIGHT, max_offset_s=60.0).accepted


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.full(300, np.nan), "the first stream holds less than 60 s"),
        (np.zeros(300), "does not change"),
        (np.r_[np.arange(20.0), np.full(280, np.nan)], "the first stream holds less than 60 s"),
    ],
)
def test_streams_that_say_nothing(value: np.ndarray, why: str) -> None:
    t = np.arange(300.0)
    other = signal(t, np.sin(t / 9.0))
    assert why in cross_correlate(signal(t, value), other, HEIGHT, max_offset_s=60.0).reason
    nothing = Signal(np.zeros(0, np.int64), np.zeros(0))
    assert not cross_correlate(nothing, nothing, HEIGHT, max_offset_s=60.0).accepted


def test_a_stamp_years_away_does_not_fill_the_memory() -> None:
    t = np.arange(300.0)
    far = np.r_[t[:-1], 1e9]
    found = cross_correlate(
        signal(t, np.sin(t / 9.0)),
        Signal(np.round(far * S).astype(np.int64), np.sin(t)),
        HEIGHT,
        max_offset_s=60.0,
    )
    assert "a stamp may be wrong" in found.reason


def test_programmers_mistakes() -> None:
    t = np.arange(300.0)
    one, two = signal(t, t), signal(t, np.column_stack([t, t]))
    with pytest.raises(ValueError, match="channels"):
        cross_correlate(one, two, HEIGHT, max_offset_s=60.0)
    with pytest.raises(ValueError, match="max_offset_s"):
        cross_correlate(one, one, HEIGHT, max_offset_s=math.nan)


def test_a_refusal_states_no_offset() -> None:
    found = refused("why", "none")
    assert (found.offset_s, found.sigma_s, found.accepted) == (0.0, math.inf, False)
