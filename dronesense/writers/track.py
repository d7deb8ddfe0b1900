"""The flown track as GeoJSON (RFC 7946): a line for each segment, a point for each picture the log knows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.geodesy import to_ecef
from dronesense.model import Trajectory
from dronesense.timescale import NS_PER_S, to_iso
from dronesense.writers.atomic import write_bytes

DECIMALS: Final = 7
"""Of coordinates in degrees: 1.1 cm."""
VERTEX_EVERY_M: Final = 0.5
"""A vertex of the line for each half meter flown: finer than any position error that a log states."""
HALF_TURN_DEG: Final = 180.0
FIXES: Final = (
    "none",
    "2-D",
    "3-D",
    "differential",
    "RTK float",
    "RTK fixed",
    "post-processed",
    "filter",
)
"""Words for `Trajectory.fix`."""


def write(trajectory: Trajectory, path: Path, *, flight: str) -> None:
    """Write the track of *flight* to *path*; properties are described in ``docs/products.md``.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode(trajectory, flight=flight))


def encode(trajectory: Trajectory, *, flight: str) -> bytes:
    """Return the track as UTF-8 GeoJSON, a line for each feature."""
    features = [*_segments(trajectory, flight), *_triggers(trajectory, flight)]
    lines = ",\n".join(
        json.dumps(each, allow_nan=False, ensure_ascii=False, separators=(",", ":")) for each in features
    )
    return f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n'.encode()


def fix_shares(fix: NDArray[np.uint8]) -> str:
    """Return the kinds of fix with their share of samples, the most frequent first.

    >>> fix_shares(np.array([5, 5, 5, 4], dtype=np.uint8))
    'RTK fixed 75 %, RTK float 25 %'
    """
    count = np.bincount(fix, minlength=len(FIXES))
    order = [kind for kind in np.argsort(-count, kind="stable").tolist() if count[kind]]
    return ", ".join(
        f"{FIXES[kind] if kind < len(FIXES) else kind} {100.0 * count[kind] / fix.size:.0f} %"
        for kind in order
    )


def _segments(trajectory: Trajectory, flight: str) -> Iterator[dict[str, Any]]:
    borders = np.flatnonzero(np.diff(trajectory.segment)) + 1
    for rows in np.split(np.arange(len(trajectory)), borders):
        time, std = trajectory.time[rows], trajectory.std_ned_m[rows]
        places = to_ecef(trajectory.lon[rows], trajectory.lat[rows], np.nan_to_num(trajectory.height_m[rows]))
        flown = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
        stage = np.floor(flown / VERTEX_EVERY_M)
        kept = np.flatnonzero(np.diff(stage, prepend=-1.0) > 0.0)
        kept = np.union1d(kept, [rows.size - 1]) if rows.size > 1 else kept
        yield {
            "type": "Feature",
            "geometry": _line(_positions(trajectory, rows[kept])),
            "properties": {
                "kind": "track",
                "flight": flight,
                "segment": int(trajectory.segment[rows[0]]),
                "start": to_iso(int(time[0])),
                "end": to_iso(int(time[-1])),
                "samples": int(rows.size),
                "length_m": round(float(flown[-1]), 2),
                "source": trajectory.source,
                "fix": fix_shares(trajectory.fix[rows]),
                "sigma_horizontal_m": _median(np.hypot(std[:, 0], std[:, 1]) / math.sqrt(2.0)),
                "sigma_vertical_m": _median(std[:, 2]),
                "height_ref": trajectory.height_ref,
                "height_min_m": _rounded(trajectory.height_m[rows], np.nanmin),
                "height_max_m": _rounded(trajectory.height_m[rows], np.nanmax),
                "clock": trajectory.clock.kind,
                "sigma_clock_s": float(f"{trajectory.clock.sigma_s:.3g}"),
            },
        }


def _triggers(trajectory: Trajectory, flight: str) -> Iterator[dict[str, Any]]:
    """Return a point for each picture taken within the track, at the nearest sample before or at it."""
    triggers = trajectory.triggers
    if triggers is None or not len(triggers):
        return
    last = len(trajectory) - 1
    right = np.clip(np.searchsorted(trajectory.time, triggers.time), 0, last)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(trajectory.time[left] - triggers.time) < np.abs(trajectory.time[right] - triggers.time)
    nearest = np.where(nearer, left, right)
    for row, time, number in zip(
        nearest.tolist(), triggers.time.tolist(), triggers.number.tolist(), strict=True
    ):
        if abs(int(trajectory.time[row]) - time) > NS_PER_S:
            continue
        yield {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": _positions(trajectory, np.array([row]))[0],
            },
            "properties": {
                "kind": "picture",
                "flight": flight,
                "number": None if number < 0 else number,
                "time": to_iso(time),
                "source": triggers.source,
            },
        }


def _positions(trajectory: Trajectory, rows: NDArray[np.intp]) -> list[list[float]]:
    lon, lat = (np.round(values[rows], DECIMALS) for values in (trajectory.lon, trajectory.lat))
    height = np.round(trajectory.height_m[rows], 3)
    if np.isfinite(height).all():
        found: list[list[float]] = np.column_stack([lon, lat, height]).tolist()
    else:
        found = np.column_stack([lon, lat]).tolist()
    return found


def _line(positions: list[list[float]]) -> dict[str, Any]:
    """Return a line, cut where it crosses the antimeridian; a point for a single position."""
    if len(positions) == 1:
        return {"type": "Point", "coordinates": positions[0]}
    lon = np.array(positions)[:, 0]
    crossings = (np.flatnonzero(np.abs(np.diff(lon)) > HALF_TURN_DEG) + 1).tolist()
    if not crossings:
        return {"type": "LineString", "coordinates": positions}
    edges = [0, *crossings, len(positions)]
    parts: list[list[list[float]]] = []
    for first, last in pairwise(edges):
        part = positions[first:last]
        if first:
            part = [_on_border(positions[first], positions[first - 1]), *part]
        if last < len(positions):
            part = [*part, _on_border(positions[last - 1], positions[last])]
        parts.append(part)
    return {"type": "MultiLineString", "coordinates": parts}


def _on_border(inside: list[float], beyond: list[float]) -> list[float]:
    """Return where the way from *inside* to *beyond* meets the antimeridian, on the side of *inside*."""
    border = math.copysign(HALF_TURN_DEG, inside[0])
    far = beyond[0] + math.copysign(2.0 * HALF_TURN_DEG, inside[0])
    share = 0.0 if far == inside[0] else (border - inside[0]) / (far - inside[0])
    return [
        border,
        *(round(a + share * (b - a), DECIMALS) for a, b in zip(inside[1:], beyond[1:], strict=True)),
    ]


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 3) if known.size else None


def _rounded(values: NDArray[np.float64], extreme: Any) -> float | None:
    return round(float(extreme(values)), 2) if np.isfinite(values).any() else None
