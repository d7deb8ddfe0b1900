"""Exterior orientation as a table: a picture a row, with its place and omega, phi, kappa or gimbal angles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from dronesense.errors import ReadError
from dronesense.model.orientation import OrientationConvention, OrientationTable
from dronesense.readers.table import read_table

TURNS: Final[Mapping[OrientationConvention, tuple[str, str, str]]] = MappingProxyType(
    {
        "opk": ("omega", "phi", "kappa"),
        "gimbal": ("gimbal_yaw", "gimbal_pitch", "gimbal_roll"),
        "rpy": ("roll", "pitch", "yaw"),
    }
)
"""Columns of each convention, degrees; the first whose columns are there counts."""

PLACES: Final = (("x", "y", "z"), ("longitude", "latitude", "altitude"))


def read(path: Path, *, crs: str = "") -> OrientationTable:
    """Read a table with the columns ``filename``, a place and angles.

    Parameters
    ----------
    path : Path
        Columns x, y, z in `crs`, or longitude, latitude, altitude in degrees and m above the ellipsoid; and
        omega, phi, kappa, or gimbal_yaw, gimbal_pitch, gimbal_roll, or roll, pitch, yaw.
    crs : str
        Projected CRS of x, y.

    Raises
    ------
    ReadError
        If columns or numbers are missing, or x and y have no CRS.
    """
    table = read_table(path)
    place = next((each for each in PLACES if set(each) <= set(table.names)), None)
    convention = next((key for key, each in TURNS.items() if set(each) <= set(table.names)), None)
    if "filename" not in table.names or place is None or convention is None:
        raise ReadError(
            "is no table of exterior orientation",
            where=path,
            fix="columns filename; x, y, z or longitude, latitude, altitude; and omega, phi, kappa, "
            "gimbal_yaw, gimbal_pitch, gimbal_roll or roll, pitch, yaw",
        )
    on_grid = place == PLACES[0]
    if on_grid != bool(crs) or (convention == "opk" and not on_grid):
        raise ReadError(
            "x and y need a CRS, longitude and latitude have none, and omega, phi, kappa need x and y",
            where=path,
            fix="name the projected CRS of x and y",
        )
    where, turn = (
        np.column_stack([table.numbers(name) for name in each]) for each in (place, TURNS[convention])
    )
    if not (np.isfinite(where).all() and np.isfinite(turn).all()):
        raise ReadError("a place or an angle is missing", where=path)
    camera = tuple(table.text("camera")) if "camera" in table.names else ()
    return OrientationTable(tuple(table.text("filename")), convention, where, turn, crs=crs, camera=camera)
