"""Where the pixels of a cube lie: one answer for lines of a push-broom camera, pictures and map grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CoverageError
from dronesense.geotag import frames, glt, locate, ortho, resample, uncertainty
from dronesense.model import (
    CubeInput,
    Flight,
    Frame,
    GroundPoints,
    GroundRaster,
    LineScan,
    MapGrid,
    SpectralCube,
)
from dronesense.model.capture import CaptureCube
from dronesense.pipeline.account import span
from dronesense.pipeline.site import Site

FRAME_ROWS: Final = 64
"""Rows of a picture that are followed to the ground at a time."""
SAME_CELLS: Final = 1.5
"""Strips of one camera share the cells of the first, unless their own differ by more than this factor."""
GIMBALED: Final = "dji"
"""Families of cameras that hang on a gimbal and state its angles begin like that."""
QUALITY_NODES: Final = 33
"""Lines and samples of a strip whose position error is worked out; between them it is interpolated."""

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]


class Ground(Protocol):
    """Takes pixels of one cube to the ground."""

    def points(self, pixels: Floats) -> GroundPoints:
        """Return the places of pixels (k, 2) with their uncertainty."""

    def corners(self, pixels: Floats) -> Floats:
        """Return the corners (k, 4, 2) of pixels."""

    def raster(self, values: Plane, *, name: str, unit: str, description: str) -> GroundRaster:
        """Return a map of the pixels (rows, cols) on the ground."""

    def quality(self) -> tuple[Plane, Plane] | None:
        """Return CE90, m, and view zenith, degrees, of each cell of :meth:`raster`; None: not worked out."""


def of(given: CubeInput, cube: SpectralCube, site: Site, *, budget_bytes: int) -> Ground:
    """Return the ground of *cube*, which was made of *given*.

    Raises
    ------
    CoverageError
        If its pixels have no place.
    """
    geometry = cube.geometry
    if isinstance(geometry, MapGrid):
        return _Map(geometry, site.crs)
    if isinstance(geometry, LineScan):
        return _Lines(given, cube, geometry, site, budget_bytes)
    if isinstance(geometry, Frame):
        return _Picture(given, cube, geometry, site)
    raise CoverageError(
        "has neither line times nor a map grid, so its pixels have no place",
        fix="put <name>.lines.csv (columns line,utc) beside it",
    )


def check(given: CubeInput, flight: Flight) -> None:
    """Refuse a cube whose pixels cannot have a place, before any work is done on it.

    Raises
    ------
    CoverageError
        If that is so.
    """
    geometry = given.cube.geometry
    if geometry is None:
        raise CoverageError(
            "has neither line times nor a map grid, so its pixels have no place",
            fix="put <name>.lines.csv (columns line,utc) beside it",
        )
    if isinstance(geometry, MapGrid):
        return
    if given.instrument is None:
        raise CoverageError("its optics and mount are not known", fix="set instrument in [[cube]]")
    if given.orientation is not None:
        if flight.terrain is None and flight.trajectory is None:
            raise CoverageError(
                "the height of the ground is not known", fix="name a height model in [terrain]"
            )
        return
    track = flight.trajectory
    if track is None:
        raise CoverageError("there is no track for it", fix="name the flight log in [track]")
    time = geometry.time if isinstance(geometry, LineScan) else np.array([geometry.time])
    if not ((time >= track.time[0]) & (time <= track.time[-1])).any():
        raise CoverageError(
            f"its lines ({span(time)}) lie outside the track ({span(track.time)})",
            fix="check the line times, and that log and cube are of one flight",
        )


class _Map:
    """A cube that lies on a map grid already."""

    def __init__(self, grid: MapGrid, crs: str) -> None:
        self._grid, self._crs = grid, crs

    def points(self, pixels: Floats) -> GroundPoints:
        return locate.locate_map_pixels(pixels, self._grid, crs=self._crs)

    def corners(self, pixels: Floats) -> Floats:
        return locate.map_footprints(pixels, self._grid, crs=self._crs)

    def raster(self, values: Plane, *, name: str, unit: str, description: str) -> GroundRaster:
        return GroundRaster(name, values, self._grid.transform, self._grid.crs, unit, description)

    def quality(self) -> None:
        return None


class _Traced:
    """A cube whose rays are followed to the ground; which pixel each cell of a map shows is found once."""

    _where: str
    _table: Any

    def raster(self, values: Plane, *, name: str, unit: str, description: str) -> GroundRaster:
        table = self._table
        if table.number.size == 0:
            raise CoverageError(
                f"no pixel of {name} meets the ground",
                where=self._where,
                fix="check the times, terrain and mount",
            )
        shown = resample.nearest(values, table)
        return GroundRaster(name, shown, table.transform, table.crs, unit, description)

    def quality(self) -> tuple[Plane, Plane] | None:
        return None


class _Lines(_Traced):
    """A strip of a push-broom camera."""

    def __init__(
        self, given: CubeInput, cube: SpectralCube, scan: LineScan, site: Site, budget_bytes: int
    ) -> None:
        self._shape = (cube.shape[0], cube.shape[2])
        self._budget_bytes = budget_bytes
        self._where = site.terrain.source
        self._cells = site.cells
        self._camera = "" if given.instrument is None else given.instrument.id
        self._ray: dict[str, Any] = {
            "line_time": scan.time,
            "trajectory": site.trajectory,
            "instrument": given.instrument,
            "terrain": site.terrain,
            "crs": site.crs,
        }

    @cached_property
    def _table(self) -> glt.Lookup:
        own = ortho.typical_gsd(self._shape, **self._ray)
        shared = self._cells.setdefault(self._camera, own)
        gsd = shared if max(own / shared, shared / own) <= SAME_CELLS else own
        return ortho.lookup(self._shape, gsd_m=gsd, budget_bytes=self._budget_bytes, **self._ray)

    def quality(self) -> tuple[Plane, Plane] | None:
        nodes = [np.unique(np.linspace(0, n - 1, QUALITY_NODES).astype(np.int64)) for n in self._shape]
        grid = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
        shape = [len(each) for each in nodes]
        radius = uncertainty.ce90(self.points(grid).cov).reshape(shape)
        down = locate.trace(grid, **self._ray).direction[:, 2]
        zenith = np.degrees(np.arccos(np.clip(down, -1.0, 1.0))).reshape(shape)
        return self._table.spread(nodes, radius), self._table.spread(nodes, zenith)

    def points(self, pixels: Floats) -> GroundPoints:
        return locate.locate_pixels(pixels, **self._ray)

    def corners(self, pixels: Floats) -> Floats:
        return locate.footprints(pixels, **self._ray)


class _Picture(_Traced):
    """A picture of a frame camera: at the pose of the track at its time, or where an adjustment put it."""

    def __init__(self, given: CubeInput, cube: SpectralCube, frame: Frame, site: Site) -> None:
        if given.instrument is None:
            raise CoverageError("its optics and mount are not known", fix="set instrument in [[cube]]")
        self._shape = (cube.shape[0], cube.shape[2])
        self._rig, self._clock_sigma_s = given.instrument.id, 0.0
        self._where, self._crs = site.terrain.source, site.crs
        ground: dict[str, Any] = {"terrain": site.terrain, "crs": site.crs}
        if given.orientation is not None:
            adjusted = frames.adjusted(given.orientation, given.instrument, time=frame.time, **ground)
            self._sight: Callable[[Floats], dict[str, Any]] = lambda _: adjusted
            return
        self._clock_sigma_s = site.trajectory.clock.sigma_s
        self._sight = partial(
            frames.picture,
            time=frame.time,
            trajectory=site.trajectory,
            instrument=given.instrument,
            gimbal_deg=_gimbal_deg(given.cube),
            **ground,
        )

    def points(self, pixels: Floats) -> GroundPoints:
        return frames.locate_frame_pixels(
            pixels, rig=self._rig, clock_sigma_s=self._clock_sigma_s, **self._sight(pixels)
        )

    def corners(self, pixels: Floats) -> Floats:
        return frames.frame_footprints(pixels, **self._sight(pixels))

    @cached_property
    def _table(self) -> glt.Lookup:
        middle = np.array([[(self._shape[0] - 1) / 2.0, (self._shape[1] - 1) / 2.0]])
        ring = self.corners(middle)[0]
        (ax, ay), (bx, by) = ring[2] - ring[0], ring[3] - ring[1]
        area = abs(ax * by - ay * bx) / 2.0
        if not np.isfinite(area):
            raise CoverageError(
                "its middle does not meet the ground", where=self._where, fix="check the mount"
            )
        gsd = float(f"{np.sqrt(area):.2g}")
        return glt.from_places(self._places(), shape=self._shape, gsd_m=gsd, crs=self._crs)

    def _places(self) -> Iterator[tuple[int, Floats, Floats]]:
        rows, cols = self._shape
        for first in range(0, rows, FRAME_ROWS):
            count = min(FRAME_ROWS, rows - first)
            row, col = np.divmod(np.arange(count * cols), cols)
            pixels = np.column_stack([row + first, col]).astype(np.float64)
            x, y = frames.frame_places(pixels, **self._sight(pixels))
            yield first, x.reshape(count, cols), y.reshape(count, cols)


def _gimbal_deg(cube: SpectralCube) -> tuple[float, float, float] | None:
    """Return yaw, pitch and roll of the gimbal that the picture itself states."""
    if not isinstance(cube.source, CaptureCube) or not cube.source.capture.family.startswith(GIMBALED):
        return None
    return cube.source.capture.attitude_deg
