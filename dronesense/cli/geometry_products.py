"""Geometric products of a flight's cubes: where pixels lie, how they were looked at, cubes on the ground."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.cli.products import file_name
from dronesense.errors import CoverageError
from dronesense.geotag import glt, igm, ortho, resample
from dronesense.geotag.poses import LINE_GAP
from dronesense.manifest import open_flight
from dronesense.model import CubeInput, LineScan, SpectralCube, colors
from dronesense.pipeline.account import Account
from dronesense.pipeline.site import Site
from dronesense.writers import geometry, raster

_SAMPLED_LINES: Final = 100
_WHITE: Final = 255.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a flight.

    Parameters
    ----------
    files : list of Path
        Products.
    skipped : list of (cube, reason)
        Cubes without products.
    warnings : list of str
        What to know before use.
    """

    files: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def make_geometry(
    path: Path,
    directory: Path,
    *,
    gsd_m: float | None = None,
    cubes: bool = False,
    method: resample.Method = "nearest",
) -> Made:
    """Write the geometric products of every push-broom cube of the flight at *path* into *directory*.

    Parameters
    ----------
    path, directory : Path
        Flight folder or manifest; where the products go.
    gsd_m : float or None
        Cell of the map grids, m; None: as large as the median footprint of each cube.
    cubes : bool
        Also write the cubes on their map grids.
    method : {"nearest", "bilinear"}
        How cubes are resampled.

    Raises
    ------
    DronesenseError
        If the flight cannot be used, or no cube has a geometry.
    OSError
        If the disk says no.
    """
    flight = open_flight(path)
    account = Account(flight)
    site = Site(flight, account)
    made = Made()
    for given in flight.cubes:
        try:
            scan, ray = _ray(given, site)
        except CoverageError as error:
            made.skipped.append((given.cube.path, error.what))
            continue
        stem = directory / file_name(given.cube.name)
        _one_cube(given.cube, stem, scan, ray, made, gsd_m=gsd_m, method=method if cubes else None)
    made.warnings.extend(account.warnings)
    if not made.files:
        reasons = "; ".join(f"{name}: {why}" for name, why in made.skipped) or "the flight has no cube"
        raise CoverageError(f"nothing to write ({reasons})", where=path)
    return made


def _ray(given: CubeInput, site: Site) -> tuple[LineScan, dict[str, Any]]:
    """Return what it takes to follow the pixels of a cube to the ground."""
    scan = given.cube.geometry
    if not isinstance(scan, LineScan):
        raise CoverageError("is no push-broom cube with line times")
    if given.instrument is None:
        raise CoverageError("its optics and mount are not known")
    ray = {
        "line_time": scan.time,
        "trajectory": site.trajectory,
        "instrument": given.instrument,
        "terrain": site.terrain,
        "crs": site.crs,
    }
    return scan, ray


def _one_cube(
    cube: SpectralCube,
    stem: Path,
    scan: LineScan,
    ray: dict[str, Any],
    made: Made,
    *,
    gsd_m: float | None,
    method: resample.Method | None,
) -> None:
    rows, _, cols = cube.shape
    gsd = gsd_m or ortho.typical_gsd((rows, cols), **ray)
    places = geometry.Layout(
        rows,
        cols,
        3,
        "float64",
        "bil",
        ("x (m)", "y (m)", "height above the ellipsoid (m)"),
        f"{cube.name}: where each pixel met the ground; {ray['crs']}; NaN: nowhere",
    )
    looks = geometry.Layout(
        rows,
        cols,
        len(igm.OBSERVATION_BANDS),
        "float32",
        "bil",
        igm.OBSERVATION_BANDS,
        f"{cube.name}: how each pixel was looked at and lit; NaN: it met no ground",
    )
    igm_path, looks_path = stem.with_name(f"{stem.name}__igm.img"), stem.with_name(f"{stem.name}__obs.img")
    with geometry.envi(igm_path, places) as igm_sink, geometry.envi(looks_path, looks) as looks_sink:

        def followed() -> Any:
            for lines in igm.blocks(normals=True, **ray):
                igm_sink.lines(lines.first, [lines.x, lines.y, lines.height_m])
                looks_sink.lines(lines.first, igm.observation(lines))
                yield lines.first, lines.x, lines.y

        table = glt.from_places(
            followed(),
            shape=(rows, cols),
            gsd_m=gsd,
            crs=ray["crs"],
            broken=glt.broken_lines(scan.time, LINE_GAP),
            offsets=True,
            fill=True,
        )
    made.files.extend((igm_path, looks_path))
    if table.number.size == 0:
        made.skipped.append((cube.path, "no pixel meets the ground: no map products"))
        return
    made.files.append(_write_glt(table, cube, stem))
    made.files.append(_write_picture(table, cube, stem))
    if method is not None:
        made.files.append(_write_cube(table, cube, stem, method))


def _write_glt(table: glt.Lookup, cube: SpectralCube, stem: Path) -> Path:
    path = stem.with_name(f"{stem.name}__glt.img")
    ny, nx = table.number.shape
    layout = geometry.Layout(
        ny,
        nx,
        2,
        "int32",
        "bil",
        ("sample", "line"),
        f"{cube.name}: sample and line of the pixel in each cell; from 1; negative: filled in; 0: none",
        table.transform,
        table.crs,
    )
    with geometry.envi(path, layout) as sink:
        for start in range(0, ny, 256):
            part = slice(start, min(start + 256, ny))
            line, sample = table.pixel(part)
            sign = np.sign(table.number[part])
            sink.lines(start, [sign * (sample + 1), sign * (line + 1)])
    return path


def _write_picture(table: glt.Lookup, cube: SpectralCube, stem: Path) -> Path:
    bands, kind = colors.rgb_bands(cube.bands)
    rows = np.unique(np.linspace(0, cube.shape[0] - 1, min(cube.shape[0], _SAMPLED_LINES)).astype(int))
    low, high = np.zeros(3), np.ones(3)
    sampled, valid = colors.decimated(cube, bands, rows=rows.tolist())
    if valid.any():
        low, high = np.percentile(sampled[valid], colors.STRETCH_PERCENT, axis=0)
    scale = _WHITE / np.maximum(high - low, np.finfo(np.float32).tiny)
    rgba = np.zeros((4, *table.number.shape), dtype=np.uint8)
    for piece in resample.stream(cube, table, method="bilinear", bands=np.array(bands)):
        known = np.isfinite(piece.values).all(axis=1)
        row, col = piece.row[known], piece.col[known]
        rgba[:3, row, col] = np.clip((piece.values[known] - low) * scale, 0.0, _WHITE).astype(np.uint8).T
        rgba[3, row, col] = int(_WHITE)
    path = stem.with_name(f"{stem.name}__rgb.tif")
    about = f"{cube.name}: {kind}; stretched, for looking at only"
    raster.write_picture(rgba, path, transform=table.transform, crs=table.crs, description=about)
    return path


def _write_cube(table: glt.Lookup, cube: SpectralCube, stem: Path, method: resample.Method) -> Path:
    path = stem.with_name(f"{stem.name}__ortho.img")
    ny, nx = table.number.shape
    center, fwhm = cube.bands.center_nm, cube.bands.fwhm_nm
    named = bool(np.isfinite(center).all())
    layout = geometry.Layout(
        ny,
        nx,
        len(center),
        "float32",
        "bil",
        tuple(f"{nm:.2f} nm" if named else f"band {number}" for number, nm in enumerate(center, start=1)),
        f"{cube.name}: {cube.quantity} on the ground, {method}",
        table.transform,
        table.crs,
        tuple(center.tolist()) if named else (),
        tuple(fwhm.tolist()) if named else (),
        float("nan"),
    )
    with geometry.envi(path, layout) as sink:
        for piece in resample.stream(cube, table, method=method):
            sink.cells(piece.row, piece.col, piece.values)
    return path
