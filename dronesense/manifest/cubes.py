"""Open the cubes that a manifest names, with the dark and panel captures, targets and light they need."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from dronesense import plugins
from dronesense.errors import ManifestError
from dronesense.manifest import orientations
from dronesense.manifest.discover import CUBE
from dronesense.manifest.schema import CubeTable, PanelTable, PosesTable, TargetTable
from dronesense.model import (
    CameraCalibration,
    CubeInput,
    Frame,
    IngestReport,
    Instrument,
    LineScan,
    Panel,
    Signature,
    SpectralCube,
    TrackOptions,
)
from dronesense.model.orientation import OrientationTable
from dronesense.readers import captures, light_csv

NS_PER_US: Final = 1000
NS_PER_S: Final = 1_000_000_000


@dataclass
class CubeOpener:
    """Reads cubes; the books are kept by whoever owns it.

    Parameters
    ----------
    where : Path
        The manifest, for messages.
    label : callable
        What a file is called in products.
    paths : callable
        ``paths(pattern, key)``: the files that a path or glob names.
    used : callable
        ``used(path, role, report)``: enter a file into the books.
    signature : callable
        ``signature(path, role)``: read a spectrum.
    track : TrackOptions
        What the user says of the flight log.
    """

    where: Path
    label: Callable[[Path], str]
    paths: Callable[[str, str], list[Path]]
    used: Callable[[Path, str, IngestReport | None], None]
    signature: Callable[[Path, str], Signature]
    track: TrackOptions
    seen: dict[Path, SpectralCube] = field(default_factory=dict)
    poses: dict[Path, OrientationTable] = field(default_factory=dict)

    def read(
        self,
        table: CubeTable,
        path: Path,
        instrument: Instrument | None,
        record: CameraCalibration | None,
    ) -> CubeInput:
        """Open one cube of a ``[[cube]]`` table with all that calibrates it.

        Raises
        ------
        ManifestError
            If a key names no file, or more than one where one is meant.
        ReadError
            If a file cannot be read.
        """
        named = {"dataset": table.dataset, "order": table.order}
        inside = {key: value for key, value in named.items() if value is not None}
        cube = self._cube(path, table.reader, instrument, self._line_times(table, path), "cube", **inside)
        files = [each for pattern in table.darks() for each in self.paths(pattern, "[[cube]] dark")]
        light = None
        if table.irradiance is not None:
            file = self._one(table.irradiance, "[[cube]] irradiance")
            light, report = light_csv.read(file, label=self.label(file))
            self.used(file, "irradiance", report)
        cube, instrument = _mounted(cube, instrument, record)
        orientation = None
        if table.poses is not None and isinstance(cube.geometry, Frame):
            file, adjusted = self._poses(table.poses)
            orientation = orientations.of_picture(cube, adjusted, table.poses, source=file)
            instrument = orientations.camera_of(orientation, instrument, cube)
        return CubeInput(
            cube,
            instrument,
            record,
            darks=tuple(self._capture(each, instrument, "dark") for each in dict.fromkeys(files)),
            panels=tuple(self._panel(each, instrument) for each in table.panels()),
            targets=tuple(self._target(each, table, cube, instrument) for each in table.empirical_line or ()),
            light=light,
            orientation=orientation,
        )

    def _poses(self, given: PosesTable) -> tuple[Path, OrientationTable]:
        """Return where an adjustment put the pictures; all pictures of a table share one reading."""
        file = self._one(given.path, "[[cube]] poses.path")
        if file not in self.poses:
            self.poses[file] = orientations.read(file, given)
            self.used(file, "picture orientations", None)
            if file.name == orientations.COLMAP_NAME:
                self.used(file.with_name("cameras.txt"), "picture orientations", None)
        return file, self.poses[file]

    def _one(self, pattern: str, key: str) -> Path:
        found = self.paths(pattern, key)
        if len(found) > 1:
            raise ManifestError(
                f'{key} = "{pattern}" names {len(found)} files; it must name one', where=self.where
            )
        return found[0]

    def _line_times(self, table: CubeTable, cube: Path) -> str | Path:
        """Return ``"auto"``, or the file of the glob that has the cube's name (or is the only one)."""
        if table.line_times in ("auto", "none"):
            return table.line_times
        files = self.paths(table.line_times, "[[cube]] line_times")
        own = [file for file in files if _stem(file) == _stem(cube)]
        if not own and len(files) > 1:
            raise ManifestError(
                f'[[cube]] line_times = "{table.line_times}" names no file called {_stem(cube)}.*',
                where=self.where,
                fix="name the line times like their cube",
            )
        return (own or files)[0]

    def _capture(
        self, path: Path, instrument: Instrument | None, role: str, line_times: str = "none"
    ) -> SpectralCube:
        """Open a dark, panel or target capture; many cubes share one."""
        if path not in self.seen:
            self.seen[path] = self._cube(path, None, instrument, line_times, role)
        return self.seen[path]

    def _cube(
        self,
        path: Path,
        reader: str | None,
        instrument: Instrument | None,
        line_times: str | Path,
        role: str,
        **inside: str,
    ) -> SpectralCube:
        path = captures.leader(path) or path
        module = plugins.find(CUBE, reader or plugins.sniff(CUBE, path))
        if unknown := set(inside) - set(inspect.signature(module.read).parameters):
            raise ManifestError(f"[[cube]] {min(unknown)} is for HDF5 and NetCDF-4 cubes", where=self.where)
        cube, report = module.read(
            path,
            label=self.label(path),
            name=_stem(path),
            instrument=instrument,
            line_times=line_times,
            track=self.track,
            **inside,
        )
        self.used(path, role, report)
        assert isinstance(cube, SpectralCube)
        return cube

    def _panel(self, table: PanelTable, instrument: Instrument | None) -> Panel:
        """Open a panel capture; its lines tell when it was taken, unless the manifest does."""
        path = self._one(table.path, "[[cube]] panel.path")
        cube = self._capture(path, instrument, "panel", "auto" if table.time is None else "none")
        reflectance = self._one(table.reflectance, "[[cube]] panel.reflectance")
        return Panel(
            cube,
            self.signature(reflectance, "panel reflectance"),
            table.rows,
            table.samples,
            time=None if table.time is None else _ns(table.time.timestamp()),
            find=table.find,
        )

    def _target(
        self, table: TargetTable, cubes: CubeTable, cube: SpectralCube, instrument: Instrument | None
    ) -> Panel:
        """Open a target of an empirical line: in a capture of its own, or in the cube itself."""
        own = cube
        if table.path is not None:
            own = self._capture(self._one(table.path, "[[cube]] empirical_line.path"), instrument, "target")
        elif len(self.paths(cubes.path, "[[cube]] path")) > 1:
            raise ManifestError(
                f'[[cube]] path = "{cubes.path}" names several cubes: in which one a target lies is not said',
                where=self.where,
                fix="name the cube in the target's table: path = ...",
            )
        reflectance = self._one(table.reflectance, "[[cube]] empirical_line.reflectance")
        return Panel(own, self.signature(reflectance, "target reflectance"), table.rows, table.samples)


def _mounted(
    cube: SpectralCube, instrument: Instrument | None, record: CameraCalibration | None
) -> tuple[SpectralCube, Instrument | None]:
    """Return the camera as a record says it sits, and the cube with times corrected as the record says."""
    if instrument is None or record is None or record.mount is None:
        return cube, instrument
    name = Path(record.mount_path or record.path).name
    offset, geometry = record.time_offset_s, cube.geometry
    history = f"mount: of the record {name}"
    if offset and isinstance(geometry, (LineScan, Frame)):
        late = round(offset * NS_PER_S)
        if isinstance(geometry, LineScan):
            geometry = LineScan(geometry.time + late)
        else:
            geometry = Frame(geometry.time + late)
        history += f", which adds {offset:+g} s to the times"
    moved = replace(cube, geometry=geometry, history=(*cube.history, history))
    return moved, replace(instrument, mount=record.mount)


def _ns(unix_s: float) -> int:
    """Return a time as UTC ns, to the microsecond that TOML has."""
    return int(np.rint(unix_s * 1e6)) * NS_PER_US


def _stem(path: Path) -> str:
    """Return the name up to the first dot: ``line_1`` for ``line_1.bil.hdr``."""
    return path.name.split(".", 1)[0]
