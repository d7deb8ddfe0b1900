"""Tracks computed by RTKLIB (``.pos``) and the programs that write as it does.

See ``docs/formats/rtklib-pos.md``; :mod:`dronesense.readers.rtklib_table` reads the columns.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.geodesy import displace, ned_axes, to_ecef
from dronesense.model import Clock, IngestReport, TrackOptions, Trajectory
from dronesense.model.trajectory import HeightRef
from dronesense.readers.assembly import (
    RTK_FIXED_SHARE,
    Positions,
    Rank,
    assemble,
    choose,
    compare,
    plausible,
    rate_hz,
)
from dronesense.readers.content import load, text_of
from dronesense.readers.rtklib_table import COLUMN_LINE, Solution, read_table
from dronesense.readers.streams import Float, ordered, sigma_origin, usual_sigma
from dronesense.readers.tally import Tally
from dronesense.timescale import leap_note

FORMAT: Final = "RTKLIB solution"
NAME: Final = "RTKLIB"

# Q of RTKLIB: 1 fix, 2 float, 3 sbas, 4 dgps, 5 single, 6 ppp -> `Trajectory.fix`; 0 is no solution.
FIX_OF_Q: Final = (0, 5, 4, 3, 3, 2, 6)
PRECISE_Q: Final = (1, 6)
LONGEST_M: Final = 2e7
"""Baselines and coordinates longer than half a turn of the earth are refused before they are turned, m."""


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether *head* has the ``%`` line that names the columns of a solution."""
    del path
    text = text_of(head)
    return text.startswith("%") and COLUMN_LINE.search(text) is not None


def read(
    path: Path,
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Read the track of a ``.pos`` file.

    Parameters
    ----------
    path : Path
        The solution.
    label : str
        What messages and `Trajectory.source` call it.
    options : TrackOptions
        Its `source`: ``"auto"`` or ``"RTKLIB"``. The rest the file says itself.

    Returns
    -------
    Trajectory
        A row per solution, no attitude. Heights are ellipsoidal if the header says so, and for solutions in
        earth-centered coordinates and baselines.
    IngestReport
        Rows refused by reason, counts of the kinds of solution.

    Raises
    ------
    ReadError
        If the file is no solution, states no reference position for its baselines, or has no usable row.
    """
    return track(load(path, label), label=label, options=options)


def track(
    data: NDArray[np.uint8],
    *,
    label: str,
    options: TrackOptions = TrackOptions(),  # noqa: B008 - frozen
) -> tuple[Trajectory, IngestReport]:
    """Make the track of the bytes of a solution; parameters, result and errors as of :func:`read`."""
    tally = Tally()
    table = read_table(text_of(data.tobytes()), tally, where=label)
    index = np.arange(table.time.size)
    index = index[tally.keep(_quality(table.columns) > 0, "no solution (Q = 0 or unknown)")]
    kept, piece = ordered(table.time[index], tally)
    index = index[kept]
    lon, lat, height = _places(table, index, label)
    keep = plausible("", table.time[index], lon, lat, height, tally)
    if not keep.size:
        raise ReadError(f"no row can be used{tally.reasons()}", where=label, fix="run the solution again")
    index, piece, lon, lat, height = index[keep], piece[keep], lon[keep], lat[keep], height[keep]
    columns, time = table.at(index), table.time[index]
    quality = _quality(columns)
    ref = _height_ref(table, tally)
    precise = np.isin(quality, PRECISE_Q)
    std, origin = _std(columns, quality, lon, lat, tally)
    positions = Positions(
        name=NAME,
        rank=Rank.PPK if precise.mean() >= RTK_FIXED_SHARE else Rank.GNSS,
        time=time,
        lon=lon,
        lat=lat,
        height_m=height if ref == "ellipsoid" else np.full(time.size, np.nan),
        height_source_m=height,
        height_ref=ref,
        std_ned_m=std,
        sigma_from=origin,
        fix=np.array(FIX_OF_Q, dtype=np.uint8)[quality],
        clock=Clock("exact", table.step_s / math.sqrt(12.0), note=f"{table.scale} of the solution"),
        point="antenna",
        velocity_ned=_velocity(columns, lon, lat),
        reset=piece,
    )
    chosen = choose([positions], options.source, label=label)
    trajectory = assemble(chosen, label=label, tally=tally)
    if table.scale == "GPST" and (note := leap_note(time)):
        tally.warnings.append(note)
    details = _details(table, columns, quality) | {
        "source_rate_hz": rate_hz(time),
        "sources": compare(chosen, [positions]),
        "clock": {"kind": "exact", "scale": table.scale, "sigma_s": positions.clock.sigma_s},
    }
    return trajectory, tally.report(FORMAT, table.records, details=details)


def _quality(columns: dict[str, Float]) -> NDArray[np.intp]:
    """Return Q, 0 where it is none of those known; 5, single, where the file has none."""
    stated = columns.get("Q")
    if stated is None:
        return np.full(len(next(iter(columns.values()))), 5, dtype=np.intp)
    known = np.isin(stated, range(len(FIX_OF_Q)))
    return np.where(known, stated, 0.0).astype(np.intp)


def _places(table: Solution, index: NDArray[np.intp], label: str) -> tuple[Float, Float, Float]:
    """Return longitude, latitude and height of rows; NaN where the coordinates cannot be true."""
    columns = table.at(index)
    if table.kind == "lat/lon/height":
        return columns["longitude"], columns["latitude"], columns["height"]
    if table.kind == "x/y/z-ecef":
        # The frame at longitude 0, latitude 0, height 0 has the axes of the earth: north z, east y, up x.
        origin = (0.0, 0.0, 0.0)
        up0 = float(to_ecef(*origin)[0])
        east, north, up = columns["y-ecef"], columns["z-ecef"], columns["x-ecef"] - up0
    else:
        if table.reference is None:
            raise ReadError(
                "gives baselines but no reference position",
                where=label,
                fix="write the solution as latitude and longitude (out-solformat = llh)",
            )
        origin = (table.reference[1], table.reference[0], table.reference[2])
        east, north, up = (columns[f"{axis}-baseline"] for axis in "enu")
    offset = np.column_stack([north, east, -up])
    near = np.all(np.abs(offset) < LONGEST_M, axis=1)
    places = np.full((3, index.size), np.nan)
    if near.any():
        here = [np.full(np.count_nonzero(near), each) for each in origin]
        places[:, near] = displace(here[0], here[1], here[2], offset[near])
    return places[0], places[1], places[2]


def _height_ref(table: Solution, tally: Tally) -> HeightRef:
    if table.kind != "lat/lon/height" or table.height == "ellipsoidal":
        return "ellipsoid"
    if table.height == "geodetic":
        tally.assumptions.append("geodetic heights by a geoid model that the solution does not name")
        return "receiver-geoid"
    tally.warnings.append(
        "the header does not say what heights refer to (RTKLIB writes ellipsoidal ones unless told otherwise)"
    )
    return "unknown"


def _std(
    columns: dict[str, Float], quality: NDArray[np.intp], lon: Float, lat: Float, tally: Tally
) -> tuple[Float, str]:
    """Return (n, 3) standard deviations, the usual ones where none are stated, and their origin."""
    if {"sdn", "sde", "sdu"} <= columns.keys():
        found = np.column_stack([columns["sdn"], columns["sde"], columns["sdu"]])
    elif {"sdx", "sdy", "sdz", "sdxy", "sdyz", "sdzx"} <= columns.keys():
        signed = np.column_stack([columns[f"sd{axes}"] for axes in ("x", "y", "z", "xy", "yz", "zx")])
        xx, yy, zz, xy, yz, zx = (np.sign(signed) * signed**2).T
        cov = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]).transpose(2, 0, 1)
        axes = ned_axes(lon, lat)
        variance = np.einsum("kji,kjl,kli->ki", axes, cov, axes)
        found = np.sqrt(np.where(variance > 0.0, variance, np.nan))
    else:
        found = np.full((quality.size, 3), np.nan)
    stated = np.all((found > 0.0) & np.isfinite(found), axis=1)
    if not stated.all():
        tally.assumptions.append(
            f"usual uncertainty by the kind of solution for {np.count_nonzero(~stated)} of {stated.size} "
            "positions: no standard deviation stated"
        )
    usual = usual_sigma(np.array(FIX_OF_Q, dtype=np.uint8)[quality])
    return np.where(stated[:, None], found, usual), sigma_origin(stated)


def _velocity(columns: dict[str, Float], lon: Float, lat: Float) -> Float | None:
    """Return (n, 3) velocity north, east, down, or None where the solution has none."""
    if {"vn", "ve", "vu"} <= columns.keys():
        return np.column_stack([columns["vn"], columns["ve"], -columns["vu"]])
    if {"vx", "vy", "vz"} <= columns.keys():
        earth = np.column_stack([columns["vx"], columns["vy"], columns["vz"]])
        return np.asarray(np.einsum("kji,kj->ki", ned_axes(lon, lat), earth))
    return None


def _details(table: Solution, columns: dict[str, Float], quality: NDArray[np.intp]) -> dict[str, object]:
    found: dict[str, object] = {
        "source": NAME,
        "solution": table.kind,
        "program": table.header.get("program", ""),
        "mode": table.header.get("pos mode", ""),
        "heights": table.height or "unstated",
        "reference_position": None if table.reference is None else list(table.reference),
        "quality": {str(q): int(n) for q, n in enumerate(np.bincount(quality)) if n},
    }
    for name, key in (("ns", "satellites_median"), ("ratio", "ratio_median"), ("age", "age_median_s")):
        if name in columns:
            middle = float(np.median(columns[name]))
            found[key] = middle if np.isfinite(middle) else None
    return found
