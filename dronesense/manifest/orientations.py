"""Poses of pictures from an adjustment: the row of each picture, and the camera that was adjusted with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from dronesense import geodesy
from dronesense.errors import ManifestError
from dronesense.geodesy.geoid import undulation
from dronesense.manifest.schema import PosesTable
from dronesense.model import Instrument, Mount, SpectralCube
from dronesense.model.capture import CaptureCube
from dronesense.model.orientation import OrientationTable, PictureOrientation
from dronesense.readers import captures, colmap, opensfm

COLMAP_NAME: Final = "images.txt"
WITH_HEIGHT: Final = 3
"""Numbers of an origin that has a height."""
KEY: Final = "[[cube]] poses"


def read(path: Path, given: PosesTable) -> OrientationTable:
    """Read ``reconstruction.json`` of OpenSfM or OpenDroneMap, or ``images.txt`` of COLMAP.

    Returns
    -------
    OrientationTable
        Heights above the ellipsoid.

    Raises
    ------
    ManifestError
        If the place of its zero is not given though the file does not have it.
    ReadError
        If the file cannot be read.
    """
    origin = given.origin
    if path.name == COLMAP_NAME:
        if origin is None or len(origin) != WITH_HEIGHT:
            raise ManifestError(
                "COLMAP does not know where its zero lies",
                where=f"{path}, key {KEY}",
                fix="give origin = [x, y, height] in crs, or longitude, latitude, height without crs",
            )
        table = colmap.read(path.parent, crs=given.crs, origin=(origin[0], origin[1], origin[2]))
    else:
        table = opensfm.read(path, crs=given.crs, origin=None if origin is None else (origin[0], origin[1]))
    return table if given.height_ref == "ellipsoid" else _on_ellipsoid(table)


def of_picture(
    cube: SpectralCube, table: OrientationTable, given: PosesTable, *, source: Path
) -> PictureOrientation:
    """Return the orientation of the picture *cube*, found by the names of its files.

    Raises
    ------
    ManifestError
        If no picture, or more than one, has such a name.
    """
    names = [PurePosixPath(name).name.lower() for name in table.names]
    wanted = _file_names(cube)
    number = next((names.index(name) for name in wanted if name in names), None)
    if number is None:
        raise ManifestError(
            f"{source.name} has no picture called {wanted[0]}",
            where=cube.path,
            fix="name the pictures as when they were adjusted, or leave this one out of [[cube]] path",
        )
    if names.count(names[number]) > 1:
        raise ManifestError(
            f"{source.name} has several pictures called {names[number]}",
            where=cube.path,
            fix="adjust pictures of one folder at a time, or give them different names",
        )
    here = slice(number, number + 1)
    alone = replace(
        table,
        names=table.names[here],
        place=table.place[here],
        turn=table.turn[here],
        camera=table.camera[here],
    )
    return PictureOrientation(alone, given.sigma_m, given.sigma_deg, source.name)


def camera_of(
    orientation: PictureOrientation, instrument: Instrument | None, cube: SpectralCube
) -> Instrument:
    """Return the camera as it was adjusted together with the pose; else *instrument*, looking along the pose.

    Raises
    ------
    ManifestError
        If the adjusted camera has other pixels than the picture, and no instrument is named.
    """
    table = orientation.table
    name = table.camera[0] if table.camera else ""
    spec, pixels = table.cameras.get(name), (cube.shape[0], cube.shape[2])
    if spec is not None and spec.shape == pixels and not _in_plane_of_camera(cube):
        known = instrument or Instrument(name, "frame", spec, Mount(), orientation.source)
        return replace(known, spec=spec, mount=Mount())
    if instrument is None:
        shape = None if spec is None else spec.shape
        told = "no camera" if shape is None else f"a camera of {shape[0]} x {shape[1]} pixels"
        if _in_plane_of_camera(cube):
            told = "a camera that is not that of the plane in which the bands lie,"
        raise ManifestError(
            f"{orientation.source} has {told} for a picture of {pixels[0]} x {pixels[1]}",
            where=cube.path,
            fix="set instrument in [[cube]]",
        )
    return replace(instrument, mount=Mount())


def _file_names(cube: SpectralCube) -> list[str]:
    """Return the names under which an adjustment may know *cube*: first of the band that has its pixels."""
    if isinstance(cube.source, CaptureCube):
        frames = cube.source.capture.frames
        first = frames[captures.reference(cube.source.capture)]
        paths = [first.path, *(each.path for each in frames if each is not first)]
    else:
        paths = [cube.path]
    return [PurePosixPath(Path(each).as_posix()).name.lower() for each in paths]


def _in_plane_of_camera(cube: SpectralCube) -> bool:
    """Return whether the bands were brought to a plane of the camera's own, where no lens bends."""
    source = cube.source
    return isinstance(source, CaptureCube) and all(
        each.homography is not None for each in source.capture.frames
    )


def _on_ellipsoid(table: OrientationTable) -> OrientationTable:
    """Return *table* with the height of its zero above the ellipsoid instead of above EGM96."""
    x, y, height = table.origin
    lon, lat = geodesy.to_lonlat(x, y, table.crs or geodesy.WGS84)
    return replace(table, origin=(x, y, height + float(undulation(lon, lat))))
