"""Gas readings made ready for an inversion: few numbers that a plume can be held to, with their wind."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.hotspots.legs import flight_lines
from dronesense.model import Wind

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NS_PER_S: Final = 1e9
MIN_READINGS: Final = 8
MIN_PASS_M: Final = 10.0
"""A stretch of a moving sensor shorter than this is a hover."""
GAP_FACTOR: Final = 5.0
"""A pause this many times longer than usual ends a pass."""
FIXED_REPEATS: Final = 3
"""A sensor that has this many readings at one place, usually, does not move."""
SAME_PLACE_M: Final = 0.1
TINY: Final = 1e-9
DETECTED_SIGMAS: Final = 5.0
"""A pass whose mean lies this far above its noise has met the plume; below, nobody asks where."""
ACROSS_WIND_SINE: Final = 0.5
"""A line within 30 degrees of the wind runs along plumes: it does not say on which side they lie."""
BACKGROUND_SHARE: Final = 0.5
BACKGROUND_M: Final = 50.0
"""What a background hides: half the noise of a reading, anew every 50 m."""
CLEAR_SIGMAS: Final = 2.0
"""Only what lies this far above the noise counts for the place of a crossing."""
AVERAGE_S: Final = 60.0
MAX_AVERAGES: Final = 100
"""Fixed sensors and beams are averaged over a minute, longer where that gives more averages than this."""
SPELL_S: Final = 1800.0
"""Averages at one place within this time share an error of the model."""
WIND_SPAN_S: Final = 600.0
"""Wind of passes: a mean over this time; faster swings are the plume's own."""
MIN_TURBULENCE_ROWS: Final = 10
"""Rows of wind within an average that say how much it swings."""
MIN_SWING_ROWS: Final = 60
"""The same for a whole flight."""
CALM_M_S: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class GasReadings:
    """Enhancements with their places.

    Parameters
    ----------
    time : (n,) int64
        UTC ns, any order.
    x, y, z_agl_m : (n,) float64
        Place of the inlet, or of the start of a beam; heights above ground.
    enhancement_ppm, sigma_ppm : (n,) float64
        Over the background, and its standard uncertainty.
    crs : str
        Metric CRS of x and y.
    end : (n, 3) float64, optional
        Ends of beams (x, y, height above ground): the enhancements are then averages over paths.
    leg : (n,) int64, optional
        Flight line of each reading; otherwise found from the track.
    """

    time: NDArray[np.int64]
    x: Floats
    y: Floats
    z_agl_m: Floats
    enhancement_ppm: Floats
    sigma_ppm: Floats
    crs: str
    end: Floats | None = None
    leg: Indices | None = None

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Means over straight ways, with the wind that carries the gas there.

    Parameters
    ----------
    start, step : (n, 3) float64
        Where each way begins, x, y, height above ground, and its vector to the end; zero for a point.
    value, sigma : (n,) float64
        Mean enhancement, ppm, and the standard uncertainty of its noise.
    time_s : (n,) float64
        Middle, s after the first reading.
    east, north : (n,) float64
        Unit vector toward which the wind blows.
    speed : (n,) float64
        m/s.
    center : (n, 2) float64
        Where the plume was crossed; NaN where that is not known.
    center_sigma : (n,) float64
        m along the way.
    spell, window : (n,) int64
        Means of one place that share an error of the model have the same number, and those of one time.
    sway, lift : (n,) float64
        Standard deviation of the direction and of the elevation of the wind, rad; NaN where unknown.
    """

    start: Floats
    step: Floats
    value: Floats
    sigma: Floats
    time_s: Floats
    east: Floats
    north: Floats
    speed: Floats
    center: Floats
    center_sigma: Floats
    spell: Indices
    window: Indices
    sway: Floats
    lift: Floats

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, rows: NDArray[np.bool_] | Indices) -> Paths:
        return Paths(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def crossed(self) -> NDArray[np.bool_]:
        """True where the place of the plume on the way is known."""
        return np.isfinite(self.center_sigma)

    @property
    def detected(self) -> NDArray[np.bool_]:
        """True where the mean lies clearly above its noise."""
        return np.asarray(self.value > DETECTED_SIGMAS * self.sigma)


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """What is left of readings.

    Parameters
    ----------
    passes : Paths
        Lines of a moving sensor.
    averages : Paths
        Of fixed sensors, beams and hovers.
    left_out : int
        Passes and averages without a usable wind.
    """

    passes: Paths
    averages: Paths
    left_out: int


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """Usable readings by time; `number` is the pass or the place that each belongs to."""

    time: Indices
    place: Floats
    end: Floats
    value: Floats
    sigma: Floats
    sway: Floats
    lift: Floats
    number: Indices

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> _Sorted:
        return _Sorted(*(getattr(self, name)[rows] for name in self.__slots__))


def reduced(
    readings: GasReadings, wind: Wind, *, turbulence_rad: tuple[Floats, Floats] | None = None
) -> Reduced:
    """Return the passes of a moving sensor, and the averages of fixed sensors, beams and hovers.

    Of a pass two numbers are left: its mean, which hardly depends on how wide the plume is at that moment and
    where it swings to, and where it crossed the plume.

    Parameters
    ----------
    readings : GasReadings
        In any order; those with a number that is not finite are left out.
    wind : Wind
        A series or one row.
    turbulence_rad : (horizontal, vertical) of (n,) float64, optional
        Standard deviations of the wind's direction and elevation while an average was taken.

    Raises
    ------
    CoverageError
        If too few readings are usable, or the wind is unknown or calm at all of them.
    """
    raw = _sorted(readings, turbulence_rad)
    moving, raw = _numbered(raw, readings)
    order = np.argsort(raw.number, kind="stable")
    raw, moving = raw[order], moving[order]
    parts = [_crossings(raw[moving], raw.time.min(), wind), _averages(raw[~moving], raw.time.min(), wind)]
    kept = [part[part.speed >= CALM_M_S] for part in parts]
    if not sum(map(len, kept)):
        calm = any(bool(np.any(np.isfinite(part.speed))) for part in parts)
        raise CoverageError(
            f"the wind stays below {CALM_M_S} m/s: a plume has no direction then"
            if calm
            else "has no wind around the gas readings",
            where=wind.source or None,
            fix="fly again in a wind of 2 m/s or more"
            if calm
            else "give a wind that covers the flight, or state speed_m_s and from_deg in [wind]",
        )
    return Reduced(kept[0], kept[1], sum(map(len, parts)) - sum(map(len, kept)))


def wind_swing_rad(wind: Wind, begin_ns: int, end_ns: int) -> float:
    """Return the standard deviation of the wind direction within a time; NaN when its series does not say."""
    inside = (
        np.isfinite(wind.east) & np.isfinite(wind.north) & (wind.time >= begin_ns) & (wind.time <= end_ns)
    )
    if int(inside.sum()) < MIN_SWING_ROWS:
        return math.nan
    series = _Wind.of(wind)
    _, _, speed, sway, _ = series.within(np.array([begin_ns]), np.array([end_ns]))
    return float(sway[0]) if speed[0] > 0.0 else math.nan


def _sorted(readings: GasReadings, turbulence: tuple[Floats, Floats] | None) -> _Sorted:
    fields = (readings.x, readings.y, readings.z_agl_m, readings.enhancement_ppm, readings.sigma_ppm)
    good = np.all(np.isfinite(np.stack(fields)), axis=0) & (readings.sigma_ppm > 0.0)
    if readings.end is not None:
        good &= np.all(np.isfinite(readings.end), axis=1)
    rows = np.flatnonzero(good)
    if rows.size < MIN_READINGS:
        raise CoverageError(
            f"only {rows.size} of {len(readings)} gas readings have a place, a value and a sigma",
            fix=f"{MIN_READINGS} is the least for a source",
        )
    rows = rows[np.argsort(readings.time[rows], kind="stable")]
    # Readings under the ground count as on it.
    place = np.column_stack([readings.x, readings.y, np.maximum(readings.z_agl_m, 0.0)])[rows]
    sway, lift = np.full((2, len(readings)), np.nan) if turbulence is None else turbulence
    return _Sorted(
        readings.time[rows],
        place,
        place if readings.end is None else readings.end[rows],
        readings.enhancement_ppm[rows],
        readings.sigma_ppm[rows],
        sway[rows],
        lift[rows],
        np.zeros(rows.size, dtype=np.int64) if readings.leg is None else readings.leg[rows],
    )


def _numbered(raw: _Sorted, readings: GasReadings) -> tuple[NDArray[np.bool_], _Sorted]:
    """Return which readings belong to passes, and all with the number of their pass or place."""
    ways = np.rint(np.hstack([raw.place, raw.end]) / SAME_PLACE_M)
    station = np.unique(ways, axis=0, return_inverse=True)[1].ravel()
    usual = float(np.median(np.bincount(station)[station]))
    if readings.end is not None or usual >= FIXED_REPEATS:
        return np.zeros(station.size, dtype=np.bool_), replace(raw, number=station)
    leg = raw.number if readings.leg is not None else flight_lines(raw.place[:, 0], raw.place[:, 1])
    step = np.diff(raw.time)
    usual = float(np.median(step[step > 0])) if np.any(step > 0) else math.inf
    ends = (step > GAP_FACTOR * usual) | (np.diff(leg) != 0)
    number = np.concatenate([[0], np.cumsum(ends)])
    corner = np.flatnonzero(np.diff(number, prepend=-1))
    span = np.maximum.reduceat(raw.place, corner) - np.minimum.reduceat(raw.place, corner)
    moved = (np.hypot(span[:, 0], span[:, 1]) >= MIN_PASS_M) & (np.bincount(number) > 2)
    return np.asarray(moved[number]), replace(raw, number=number)


def _crossings(raw: _Sorted, start_ns: np.int64, wind: Wind) -> Paths:
    """Return one path for each number: its mean over the way, and where on it the gas was."""
    if not raw.time.size:
        return NO_PATHS
    first = np.flatnonzero(np.diff(raw.number, prepend=-1))
    label = np.repeat(np.arange(first.size), np.diff(np.append(first, raw.time.size)))
    last = np.append(first[1:], raw.time.size) - 1
    inner = np.hypot(*np.diff(raw.place[:, :2], axis=0).T) * (np.diff(label) == 0)
    weight = 0.5 * (np.append(inner, 0.0) + np.insert(inner, 0, 0.0)) + TINY
    length = np.bincount(label, weight)
    share = weight / length[label]
    value = np.asarray(np.bincount(label, share * raw.value), dtype=np.float64)
    noise = np.bincount(label, (share * raw.sigma) ** 2)
    drift = BACKGROUND_SHARE * np.bincount(label, raw.sigma) / np.bincount(label)
    sigma = np.sqrt(noise + drift**2 * np.minimum(1.0, BACKGROUND_M / length))
    half = 0.5 * WIND_SPAN_S * NS_PER_S
    middle = raw.time[first] + (raw.time[last] - raw.time[first]) // 2
    low = np.minimum(raw.time[first], middle - int(half))
    carried = _Wind.of(wind).within(low, np.maximum(raw.time[last], middle + int(half)))
    step = raw.place[last] - raw.place[first]
    seconds = np.asarray((middle - start_ns) / NS_PER_S)
    paths = Paths(
        raw.place[first], step, value, sigma, seconds, *carried[:3],
        center=np.full((first.size, 2), np.nan), center_sigma=np.full(first.size, np.nan),
        spell=np.arange(first.size), window=np.arange(first.size),
        sway=np.full(first.size, np.nan), lift=np.full(first.size, np.nan),
    )  # fmt: skip
    # Where: the centroid of what stands out of the noise.
    clear = np.maximum(raw.value - CLEAR_SIGMAS * raw.sigma, 0.0) * share
    total = np.maximum(np.bincount(label, clear), TINY)
    center = np.column_stack([np.bincount(label, clear * raw.place[:, k]) / total for k in (0, 1)])
    off = np.hypot(*(raw.place[:, :2] - center[label]).T)
    spacing = length / np.bincount(label)
    spread = np.bincount(label, (share * raw.sigma * off * (clear > 0.0)) ** 2) / total**2 + spacing**2 / 12.0
    sine = (step[:, 0] * paths.north - step[:, 1] * paths.east) / np.maximum(
        np.hypot(step[:, 0], step[:, 1]), TINY
    )
    known = paths.detected & (np.abs(sine) > ACROSS_WIND_SINE)
    return replace(
        paths,
        center=np.where(known[:, None], center, np.nan),
        center_sigma=np.where(known, np.sqrt(spread), np.nan),
    )


def _averages(raw: _Sorted, start_ns: np.int64, wind: Wind) -> Paths:
    """Return the means of each place over a minute, or longer where there are many."""
    if not raw.time.size:
        return NO_PATHS
    seconds = (raw.time - start_ns) / NS_PER_S
    # Longer than a minute where that would give too many.
    minutes = np.unique(np.stack([raw.number, (seconds // AVERAGE_S).astype(np.int64)]), axis=1).shape[1]
    length = AVERAGE_S * math.ceil(minutes / MAX_AVERAGES)
    window = (seconds // length).astype(np.int64)
    order = np.lexsort((window, raw.number))
    changes = (np.diff(raw.number[order]) != 0) | (np.diff(window[order]) != 0)
    first = np.flatnonzero(np.concatenate([[True], changes]))
    raw, seconds = raw[order], seconds[order]
    label = np.repeat(np.arange(first.size), np.diff(np.append(first, seconds.size)))
    count = np.bincount(label)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.bincount(label, values) / count)

    middle = start_ns + np.rint(mean(seconds) * NS_PER_S).astype(np.int64)
    half = int(0.5 * length * NS_PER_S)
    east, north, speed, sway, lift = _Wind.of(wind).within(middle - half, middle + half)
    stated = np.isfinite(raw.sway[0])
    spell = np.floor(mean(seconds) / SPELL_S).astype(np.int64)
    changed = (np.diff(spell) != 0) | (np.diff(raw.number[first]) != 0)
    return Paths(
        raw.place[first], raw.end[first] - raw.place[first], mean(raw.value),
        np.sqrt(np.bincount(label, raw.sigma**2)) / count, mean(seconds), east, north, speed,
        center=np.full((first.size, 2), np.nan), center_sigma=np.full(first.size, np.nan),
        spell=np.concatenate([[0], np.cumsum(changed)]), window=window[order][first],
        sway=mean(raw.sway) if stated else sway, lift=mean(raw.lift) if stated else lift,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Wind:
    """A wind as running sums, so that means within many times cost nothing."""

    time: Indices
    sums: Floats
    has_up: bool

    @classmethod
    def of(cls, wind: Wind) -> _Wind:
        known = np.isfinite(wind.east) & np.isfinite(wind.north)
        east, north = wind.east[known], wind.north[known]
        up = np.zeros(east.size) if wind.up is None else wind.up[known]
        table = np.stack([east, north, up, east**2, north**2, east * north, up**2])
        sums = np.concatenate([np.zeros((len(table), 1)), np.cumsum(table, axis=1)], axis=1)
        return cls(wind.time[known], sums, wind.up is not None and bool(np.all(np.isfinite(up))))

    def within(self, begin: Indices, end: Indices) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return unit vector east and north, speed, and standard deviations of direction and elevation."""
        if self.time.size == 1:
            low, high = np.zeros(begin.size, dtype=np.intp), np.ones(begin.size, dtype=np.intp)
        else:
            low, high = np.searchsorted(self.time, begin), np.searchsorted(self.time, end, side="right")
        count = high - low
        with np.errstate(invalid="ignore", divide="ignore"):
            moment = (self.sums[:, high] - self.sums[:, low]) / np.where(count > 0, count, np.nan)
            east, north, up, *_ = moment
            speed = np.hypot(east, north)
            unit_east, unit_north = east / speed, north / speed
            # Variance across the mean direction; the mean across it is zero.
            sideways = (
                moment[3] * unit_north**2
                + moment[4] * unit_east**2
                - 2.0 * moment[5] * unit_east * unit_north
            )
            told = count >= MIN_TURBULENCE_ROWS
            sway = np.where(told, np.arctan(np.sqrt(np.maximum(sideways, 0.0)) / speed), np.nan)
            lift = np.arctan(np.sqrt(np.maximum(moment[6] - up**2, 0.0)) / speed)
        return unit_east, unit_north, speed, sway, np.where(told & self.has_up, lift, np.nan)


NO_PATHS: Final = Paths(
    *(np.zeros(shape) for shape in [(0, 3)] * 2 + [(0,)] * 6 + [(0, 2)] + [(0,)]),  # type: ignore[arg-type]
    *(np.zeros(0, dtype=np.int64) for _ in range(2)),
    *(np.zeros(0) for _ in range(2)),
)
