"""The ground that all lanes of a run share: the metric CRS it works in, and the terrain."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense import geodesy
from dronesense.errors import CoverageError
from dronesense.geotag import datum
from dronesense.geotag.orientation import poses_of
from dronesense.model import Flight, MapGrid, Terrain, Trajectory, Wind
from dronesense.pipeline.account import Account

FLAT_TERRAIN_SIGMA_M: Final = 5.0
"""Standard uncertainty of "the ground is as high as the take-off place", when there is no height model."""

Floats = NDArray[np.float64]


class Site:
    """Work CRS, track and terrain of a flight."""

    def __init__(self, flight: Flight, account: Account) -> None:
        self._flight = flight
        self._account = account
        self.crs = _work_crs(flight)
        self.cells: dict[str, float] = {}  # side of the cells of each camera's rasters, m, by its first strip

    @property
    def trajectory(self) -> Trajectory:
        """The track.

        Raises
        ------
        CoverageError
            If there is none.
        """
        if self._flight.trajectory is None:
            raise CoverageError("there is no track to place it by", fix="name the flight log in [track]")
        return self._flight.trajectory

    @cached_property
    def terrain(self) -> Terrain:
        """The flight's terrain, or the height of the take-off place, with a warning."""
        terrain = self._flight.terrain
        if terrain is not None and self._flight.trajectory is None:
            return terrain
        trajectory = self.trajectory
        if terrain is not None:
            self._account.warnings += datum.datum_check(trajectory, terrain)
            return terrain
        known = trajectory.height_m[np.isfinite(trajectory.height_m)]
        if not known.size:
            raise CoverageError(
                "neither the ground's nor the aircraft's height is known",
                fix="name a height model in [terrain]",
            )
        self._account.warnings.append(
            f"no height model: the ground is taken as flat at the take-off height {known[0]:.1f} m "
            f"(± {FLAT_TERRAIN_SIGMA_M:g} m); name one in [terrain] for a better place"
        )
        return Terrain.flat(float(known[0]), sigma_m=FLAT_TERRAIN_SIGMA_M, source="take-off height")


def wind_on_grid(wind: Wind, x: Floats, y: Floats, crs: str) -> Wind:
    """Return a wind along the axes of a grid, with its covariance, by the convergence at x, y."""
    east, north = on_grid(wind.east, wind.north, x, y, crs)
    axis_east, axis_north = (
        on_grid(np.array([a]), np.array([b]), x, y, crs) for a, b in ((1.0, 0.0), (0.0, 1.0))
    )
    turn = np.array([[axis_east[0][0], axis_north[0][0]], [axis_east[1][0], axis_north[1][0]]])
    shared = np.zeros(len(wind)) if wind.cov_east_north is None else wind.cov_east_north
    cov = np.array([[wind.sigma_east**2, shared], [shared, wind.sigma_north**2]])
    turned = np.einsum("ij,jkn,lk->iln", turn, cov, turn)
    return replace(
        wind,
        east=east,
        north=north,
        sigma_east=np.sqrt(np.maximum(turned[0, 0], 0.0)),
        sigma_north=np.sqrt(np.maximum(turned[1, 1], 0.0)),
        cov_east_north=turned[0, 1],
    )


def on_grid(east: Floats, north: Floats, x: Floats, y: Floats, crs: str) -> tuple[Floats, Floats]:
    """Return winds (m/s toward true east and north) along the axes of a grid, by its convergence at x, y."""
    lon, lat = geodesy.to_lonlat(np.array([np.median(x)]), np.array([np.median(y)]), crs)
    turn = float(geodesy.grid_factors(lon, lat, crs)[0][0])
    cos, sin = np.cos(turn), np.sin(turn)
    return east * cos - north * sin, north * cos + east * sin


def _work_crs(flight: Flight) -> str:
    if flight.crs != "auto":
        return flight.crs
    if flight.trajectory is not None:
        track = flight.trajectory
        return geodesy.utm_crs(float(np.median(track.lon)), float(np.median(track.lat)))
    for given in flight.cubes:
        if given.orientation is not None:
            poses = poses_of(given.orientation.table)
            return geodesy.utm_crs(float(poses.lon[0]), float(poses.lat[0]))
        grid = given.cube.geometry
        if isinstance(grid, MapGrid):
            rows, _, cols = given.cube.shape
            a, b, c, d, e, f = grid.transform
            x, y = a * cols / 2 + b * rows / 2 + c, d * cols / 2 + e * rows / 2 + f
            lon, lat = geodesy.to_lonlat(np.array([x]), np.array([y]), grid.crs)
            return geodesy.utm_crs(float(lon[0]), float(lat[0]))
    raise CoverageError(
        "nothing says where the flight was: no track and no cube on a map grid",
        where=flight.root,
        fix="name the flight log in [track]",
    )
