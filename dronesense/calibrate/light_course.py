"""The light over a flight: between panels, and by a sensor on the roof that panels put on their scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import timescale
from dronesense.calibrate.reference import White
from dronesense.errors import CalibrationError
from dronesense.model import LineScan, Panel, SpectralCube
from dronesense.model.radiometry import LightSeries

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_QUIET: Final = 0.05
"""Change between panels (median over bands) up to which nothing is warned of: 5 %."""
MAX_GAP_NS: Final = 30_000_000_000
"""A light sensor's light is taken as known up to this far from a reading: 30 s."""
NS_PER_MIN: Final = 60e9


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a white surface gives, line by line: ``white[first] (1 - weight) + white[first + 1] weight``.

    Parameters
    ----------
    white : (panels, bands, samples) float64
        In order of time; over the sensor's light where there is one.
    first : (rows,) int64
    weight : (rows,) float32
    constant : (bands, samples) float64 or None
        The same for all lines, where it is.
    sigma : (bands,) float64
        Relative standard uncertainty: how the light went between panels is not known.
    change : (bands,) float64 or None
        Last over first panel, minus 1; None with one panel.
    notes, doubts : tuple of str
        For the history; and what a user should know.
    """

    white: Doubles
    first: NDArray[np.int64]
    weight: NDArray[np.float32]
    constant: Doubles | None
    sigma: Doubles
    change: Doubles | None
    notes: tuple[str, ...]
    doubts: tuple[str, ...]


def light_at(light: LightSeries, time: NDArray[np.int64], center_nm: Doubles) -> Doubles:
    """Return the irradiance at times and wavelengths, (n, bands), linear in both.

    Beyond the sensor's wavelengths that of its outermost band is used: only its course counts.

    Examples
    --------
    >>> value = np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> series = LightSeries(np.array([0, 10]), np.array([400.0, 500.0]), value, "")
    >>> light_at(series, np.array([5]), np.array([400.0, 450.0, 999.0]))
    array([[2., 2., 2.]])
    """
    after = np.clip(np.searchsorted(light.time, time), 1, max(len(light.time) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(light.time) - 1)
    gap = np.maximum(light.time[after] - light.time[before], 1)
    share = np.clip((time - light.time[before]) / gap, 0.0, 1.0)[:, None]
    value = light.value[before] * (1.0 - share) + light.value[after] * share
    if len(light.center_nm) == 1:
        return np.broadcast_to(value, (len(time), len(center_nm))).copy()
    place = np.interp(center_nm, light.center_nm, np.arange(len(light.center_nm)))
    low = np.minimum(place.astype(np.int64), len(light.center_nm) - 2)
    part = place - low
    return np.asarray(value[:, low] * (1.0 - part) + value[:, low + 1] * part)


def course_of(
    cube: SpectralCube,
    panels: Sequence[Panel],
    whites: Sequence[White],
    good: Mask,
    light: LightSeries | None = None,
) -> Course:
    """Return how what a white surface gives changes over the lines of *cube*.

    Parameters
    ----------
    cube : SpectralCube
    panels, whites : sequence
        One capture each, in any order.
    good : (bands,) bool
        Bands that count where a change is told.
    light : LightSeries, optional
        Irradiance over time.

    Raises
    ------
    CalibrationError
        If there are several panels and one has no time, two have the same, or the light sensor does not cover
        lines and panels.
    """
    lines = cube.geometry.time if isinstance(cube.geometry, LineScan) else None
    if light is not None and lines is None:
        raise CalibrationError(
            "has no line times, so the light sensor's readings cannot be put to its lines",
            where=cube.path,
            fix="leave irradiance out, or give the line times",
        )
    if len(whites) == 1 and light is None:
        still = np.zeros(cube.shape[0], dtype=np.int64)
        bands = np.zeros(cube.shape[1])
        one = whites[0].signal
        notes = _alone(lines, whites[0].time)
        return Course(one[None], still, still.astype(np.float32), one, bands, None, notes, ())
    order = _ordered(panels, whites)
    time = np.array([whites[i].time for i in order], dtype=np.int64)
    white = np.array([whites[i].signal for i in order])
    if light is not None and lines is not None:
        _check_covered(light, lines, f"the lines of {cube.path}")
        for i, at in zip(order, time, strict=True):
            _check_covered(light, np.array([at]), f"the panel {panels[i].cube.path}")
        white = white / light_at(light, time, cube.bands.center_nm)[:, :, None]
    first, weight = _between(time, lines, cube.shape[0])
    constant = None
    if light is None and bool((first == first[0]).all() and (weight == weight[0]).all()):
        following = white[min(int(first[0]) + 1, len(white) - 1)]
        constant = white[first[0]] * (1.0 - weight[0]) + following * weight[0]
    change, sigma = _drift(white, first, weight)
    notes, doubts = _told(cube.path, change, good, time, lines, light)
    return Course(white, first, weight.astype(np.float32), constant, sigma, change, notes, doubts)


def _ordered(panels: Sequence[Panel], whites: Sequence[White]) -> list[int]:
    """Return the panels in order of time."""
    for panel, each in zip(panels, whites, strict=True):
        if each.time is None:
            raise CalibrationError(
                "the time of the panel capture is not known",
                where=panel.cube.path,
                fix="state time = 2026-06-14T09:58:00Z in its panel table, or put <name>.lines.csv beside it",
            )
    order = sorted(range(len(whites)), key=lambda i: whites[i].time or 0)
    for a, b in pairwise(order):
        if whites[a].time == whites[b].time:
            raise CalibrationError(
                f"was taken at the same time as {panels[a].cube.path}",
                where=panels[b].cube.path,
                fix="keep one of the two",
            )
    return order


def _between(
    time: NDArray[np.int64], lines: NDArray[np.int64] | None, rows: int
) -> tuple[NDArray[np.int64], Doubles]:
    """Return the panel before each line and the weight of the one after; without line times midway."""
    last = max(len(time) - 2, 0)
    if len(time) == 1:
        return np.zeros(rows, dtype=np.int64), np.zeros(rows)
    if lines is None:
        middle = time[0] + (time[-1] - time[0]) // 2
        lines = np.full(rows, middle)
    first = np.clip(np.searchsorted(time, lines, side="right") - 1, 0, last).astype(np.int64)
    weight = (lines - time[first]) / (time[first + 1] - time[first])
    return first, np.clip(weight, 0.0, 1.0)


def _drift(white: Doubles, first: NDArray[np.int64], weight: Doubles) -> tuple[Doubles | None, Doubles]:
    r"""Return last over first panel minus 1, and the uncertainty of what is between them, each (bands,).

    As in :func:`dronesense.calibrate.panel.at`: ``|E1 - E0| sqrt(w (1 - w))``, here over the value, and the
    root mean square over the lines.
    """
    bands = white.shape[1]
    if len(white) == 1:
        return None, np.zeros(bands)
    level = np.array([_middle(each) for each in white])
    with np.errstate(divide="ignore", invalid="ignore"):
        change = level[-1] / level[0] - 1.0
        square = np.zeros(bands)
        for pair in np.unique(first):
            w = weight[first == pair][:, None]
            low, high = level[pair], level[pair + 1]
            square += np.sum(((high - low) / (low * (1.0 - w) + high * w)) ** 2 * w * (1.0 - w), axis=0)
    return change, np.sqrt(np.nan_to_num(square, nan=0.0) / len(first))


def _middle(values: Doubles) -> Doubles:
    """Return the median over samples (bands,) of what is known."""
    result = np.full(len(values), np.nan)
    known = np.isfinite(values).any(axis=1)
    result[known] = np.nanmedian(values[known], axis=1)
    return result


def _check_covered(light: LightSeries, time: NDArray[np.int64], what: str) -> None:
    after = np.searchsorted(light.time, time)
    before = light.time[np.maximum(after - 1, 0)]
    behind = light.time[np.minimum(after, len(light.time) - 1)]
    far = np.minimum(np.abs(time - before), np.abs(behind - time)) > MAX_GAP_NS
    if far.any():
        raise CalibrationError(
            f"has no reading within {MAX_GAP_NS / 1e9:g} s of {int(far.sum())} of {len(time)} times: {what}",
            where=light.source,
            fix="check its clock, or leave irradiance out",
        )


def _alone(lines: NDArray[np.int64] | None, time: int | None) -> tuple[str, ...]:
    if lines is None or time is None or lines[0] <= time <= lines[-1]:
        return ()
    gap = (lines[0] - time if time < lines[0] else time - lines[-1]) / NS_PER_MIN
    side = "before" if time < lines[0] else "after"
    return (f"one panel capture, {gap:.1f} min {side} the lines: a change of light between is not seen",)


def _told(
    path: str,
    change: Doubles | None,
    good: Mask,
    time: NDArray[np.int64],
    lines: NDArray[np.int64] | None,
    light: LightSeries | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is to be said of the light, for the history and for the user."""
    notes, doubts = [], []
    if light is not None:
        notes.append(f"light followed by {light.source}, put on the scale of the panel")
    if change is not None:
        known = change[good & np.isfinite(change)]
        typical = float(np.median(known)) if known.size else 0.0
        span = f"{100.0 * known.min():+.1f} % to {100.0 * known.max():+.1f} % by band" if known.size else "?"
        minutes = (time[-1] - time[0]) / NS_PER_MIN
        if light is None:
            text = (
                f"light changed by {100.0 * typical:+.1f} % ({span}) between panels {minutes:.1f} min apart"
            )
        else:
            text = (
                f"panels and light sensor disagree by {100.0 * typical:+.1f} % ({span}) about how the light "
                f"changed within {minutes:.1f} min"
            )
        notes.append(text)
        if abs(typical) > MAX_QUIET:
            doubts.append(
                f"{path}: {text}: a straight line in time is drawn between them, half of that is doubt"
            )
        if lines is None:
            notes.append("no line times: the light midway between the panels")
    if len(time) > 1 and lines is not None:
        outside = int(((lines < time[0]) | (lines > time[-1])).sum())
        if outside:
            notes.append(
                f"{outside} of {len(lines)} lines lie outside the panels "
                f"({timescale.to_iso(int(time[0]))} to {timescale.to_iso(int(time[-1]))}): "
                "the nearest one's light is used"
            )
    return tuple(notes), tuple(doubts)
