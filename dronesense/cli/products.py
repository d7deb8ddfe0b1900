"""One flight in, one complete folder of products out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dronesense import timescale
from dronesense.errors import EvidenceError
from dronesense.languages import SOURCE
from dronesense.manifest import open_flight
from dronesense.model import Flight, HotspotLayer
from dronesense.pipeline import process

MAP_NAMES: Final = {"kernel-dmv": "map", "kernel-dmvw": "map_wind", "kriging": "map_kriging"}
"""End of a map's file name by its method."""

if TYPE_CHECKING:
    from dronesense.evidence import HashedInput
    from dronesense.writers.view import About

LEAST_FREE: Final = 50_000_000
"""Bytes that are free before a run: pages, layers, quicklooks."""
SCORE_BYTES: Final = 20
PICTURE_BYTES: Final = 8
SAMPLE_BYTES: Final = 1000
"""A gas sample in tables, layers and pages."""
RUN_DIGITS: Final = 8
"""Of the run id in a folder's name."""
FOLDERS: Final = ("scores", "mosaics", "gas", "quicklooks")
"""Of the products, made when there is something for them."""
Progress = Callable[[str, int, int], None]
"""Stage, steps done, steps in all."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a run has to tell; plain values, so that it travels between processes.

    Parameters
    ----------
    flight : str
        Flight id.
    run_id : str
        Of the run manifest.
    directory : str
        Folder of the products.
    files : list of str
        Products, relative to `directory`.
    hotspots : list of dict
        Properties as in ``hotspots.geojson``.
    statements : dict
        False alarms, clocks, heights, coverage.
    warnings : list of str
        What to know before trusting the layer.
    rejected, ignored : list of (path, reason)
        What was not looked at.
    up_to_date : bool
        Nothing was done: the products of an earlier run say all of it.
    renewed : str
        Why the products of an earlier run were not enough; empty where there were none.
    taken_up : list of str
        What a run that did not end had worked out.
    """

    flight: str
    run_id: str
    directory: str
    files: list[str]
    hotspots: list[dict[str, Any]]
    statements: dict[str, Any]
    warnings: list[str]
    rejected: list[tuple[str, str]]
    ignored: list[tuple[str, str]]
    up_to_date: bool = False
    renewed: str = ""
    taken_up: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome for ``--json``."""
        return {"schema": 1, **asdict(self)}


def make_products(
    path: Path,
    directory: Path,
    *,
    progress: Progress = no_progress,
    language: str = SOURCE,
    again: bool = False,
    jobs: int = 1,
    below: bool = False,
) -> Outcome:
    """Open the flight at *path*, process it, and put its products into *directory*.

    The folder appears complete or not at all; an older run's products stay until the new ones are whole.
    *language* is that of page and report; data files know none. Nothing is done, unless *again*, when the
    products of a finished run are there and a new one would only repeat them; what a run that did not end
    had worked out is taken up. *jobs* cubes are searched at a time. *below*: into a folder in *directory*
    that is named by start and run id, so that it never is another flight's.

    Raises
    ------
    DronesenseError
        If the flight cannot be used, or *directory* is not ours to write.
    OSError
        If the disk says no.
    """
    from dronesense import evidence
    from dronesense.cli.ahead import searching
    from dronesense.evidence import fresh, stages
    from dronesense.writers.atomic import lock, staging

    started = dt.datetime.now(dt.UTC)
    progress("open", 0, 1)
    flight = open_flight(path)
    progress("open", 1, 1)
    flight, inputs = evidence.hash_readable(flight, progress=progress)
    if below:
        directory /= own_name(flight, evidence.run_id(flight, inputs))
    directory.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(directory.parent, os.W_OK):
        raise EvidenceError(
            "may not be written to (a locked card?)",
            where=directory.parent,
            fix="name another folder with -o DIR",
        )
    with lock(directory):
        told, reason = (None, "") if again else fresh.sealed(flight, directory, inputs, language=language)
        if told is not None:
            stages.forget(directory)
            return _up_to_date(told, directory)
        _refuse_full(flight, directory.parent)
        with stages.keeping(directory, flight, inputs, anew=again) as keep, staging(directory) as folder:
            with searching(path, flight, inputs, keep.folder, jobs=jobs) as ahead:
                layer = process(flight, progress=progress, keep=dataclasses.replace(keep, ahead=ahead))
            statements = {"run_id": evidence.run_id(flight, inputs), **layer.statements}
            layer = dataclasses.replace(layer, statements=statements)
            _write(flight, layer, folder, progress)
            hashed = _pages(flight, layer, folder, inputs, language)
            manifest = evidence.run_manifest(
                flight,
                layer,
                folder,
                started=started,
                finished=dt.datetime.now(dt.UTC),
                inputs=inputs,
                language=language,
                outputs=hashed,
                taken_up=keep.taken_up,
            )
            evidence.write(manifest, folder / evidence.RUN_NAME)
            files = sorted(
                each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()
            )
    return _told(flight, layer, directory, files, renewed=reason, taken_up=keep.taken_up)


def _told(
    flight: Flight,
    layer: HotspotLayer,
    directory: Path,
    files: list[str],
    *,
    renewed: str,
    taken_up: list[str],
) -> Outcome:
    """Return what a run that has just ended has to tell."""
    from dronesense.writers import words
    from dronesense.writers.geojson import properties

    return Outcome(
        flight=flight.id,
        run_id=str(layer.statements["run_id"]),
        directory=str(directory),
        files=files,
        hotspots=[properties(hotspot, flight.id) for hotspot in layer],
        statements={key: value for key, value in layer.statements.items() if key not in words.UNTOLD},
        warnings=list(layer.warnings),
        rejected=list(layer.rejected),
        ignored=list(flight.ignored),
        renewed=renewed,
        taken_up=taken_up,
    )


def own_name(flight: Flight, run: str) -> str:
    """Return a name for the folder of a flight's products: when it began, in UTC, and which run it is."""
    starts = [] if flight.trajectory is None else [flight.trajectory.time[0]]
    starts += [gas.series[0].time[0] for gas in flight.gas if len(gas.series[0])]
    begun = f"{timescale.to_iso(int(starts[0]))[:16].replace('T', '_').replace(':', '')}Z_" if starts else ""
    return f"flight_{begun}{run[:RUN_DIGITS]}"


def _refuse_full(flight: Flight, folder: Path) -> None:
    """Refuse a disk that the products may not fit on, before any work is done.

    Scores, what is kept of them until the end, and their mosaics on the ground take up to
    :data:`SCORE_BYTES` for each pixel and rule, a cube in color :data:`PICTURE_BYTES`; all else is small.
    """
    rules = sum(rule.lane in ("spectral", "column") for rule in flight.rules)
    pixels = sum(given.cube.shape[0] * given.cube.shape[2] for given in flight.cubes)
    samples = sum(len(series) for gas in flight.gas for series in gas.series)
    wanted = LEAST_FREE + pixels * (SCORE_BYTES * rules + PICTURE_BYTES) + samples * SAMPLE_BYTES
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise EvidenceError(
            f"{free / 1e9:.2g} GB are free on the disk; the products may take up to {wanted / 1e9:.2g} GB",
            where=folder,
            fix="make room, or name a folder on another disk with -o DIR",
        )


def _up_to_date(told: Mapping[str, Any], directory: Path) -> Outcome:
    """Return what the finished run in *directory* had to tell, by its manifest."""
    from dronesense.evidence import RUN_NAME
    from dronesense.writers import layers, words

    layer = layers.from_path(directory)
    return Outcome(
        flight=str(told["flight"]),
        run_id=str(told["run_id"]),
        directory=str(directory),
        files=sorted([RUN_NAME, *(str(row["path"]) for row in told["outputs"])]),
        hotspots=[{"id": each["id"], **each["properties"]} for each in layer.features],
        statements={key: value for key, value in told["statements"].items() if key not in words.UNTOLD},
        warnings=list(told["warnings"]),
        rejected=[(row["path"], row["reason"]) for row in told["rejected"]],
        ignored=[(row["path"], row["reason"]) for row in told["not_looked_at"]],
        up_to_date=True,
    )


def file_name(*parts: str) -> str:
    """Return *parts* as a file name that every file system takes.

    >>> file_name("line 1", "CH4/dry")
    'line_1__CH4_dry'
    """
    return "__".join(re.sub(r"[^\w.-]+", "_", part).strip("._") or "_" for part in parts)


def _write(flight: Flight, layer: HotspotLayer, folder: Path, progress: Progress) -> None:
    from dronesense import plot
    from dronesense.writers import emission, gpkg, layers, raster, side_style, spectra, table, track

    steps = (
        2
        + len(layer.rasters)
        + len(layer.mosaics)
        + 2 * len(layer.gas)
        + len(layer.maps)
        + len(layer.cubes)
        + len(layer.pictures)
    )
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("write", done, steps)

    for name in FOLDERS:
        (folder / name).mkdir()
    layer.write(folder / "hotspots.geojson")
    if flight.trajectory is not None:
        track.write(flight.trajectory, folder / "track.geojson", flight=flight.id)
    step()
    for each in layer.rasters:
        raster.write(each, folder / "scores" / f"{file_name(*each.name.split('__'))}.tif")
        step()
    for bands in layer.mosaics:
        target = file_name(*bands[0].name.split("__")[1:])
        raster.write(bands, folder / "mosaics" / f"{target}.tif", overviews="NEAREST")
        step()
    for trace in layer.gas:
        name = file_name(trace.series.species)
        table.write_gas(trace, folder / "gas" / f"{name}.csv")
        step()
        plot.series_quicklook(trace, folder / "quicklooks" / f"{name}.png", title=f"{flight.id}: {name}")
        step()
    for gas_map in layer.maps:
        name = f"{file_name(gas_map.species)}_{MAP_NAMES[gas_map.method]}"
        raster.write_map(gas_map, folder / "gas" / f"{name}.tif")
        step()
    if layer.sources or layer.sectors or layer.fluxes:
        emission.write(
            layer.sources, layer.sectors, layer.fluxes, folder / "sources.geojson", flight=flight.id
        )
    for seen in layer.cubes:
        plot.cube_quicklook(seen, folder / "quicklooks" / f"{file_name(seen.cube.name)}.png")
        step()
    for picture in layer.pictures:
        path = folder / "quicklooks" / f"{file_name(picture.name)}.tif"
        raster.write_picture(
            picture.rgba,
            path,
            transform=picture.transform,
            crs=picture.crs,
            description=picture.description,
        )
        step()
    for name in FOLDERS:
        if not any((folder / name).iterdir()):
            (folder / name).rmdir()
    if layer.spectra:
        spectra.write(layer.spectra, folder / spectra.NAME)
    tables = layers.from_path(folder)
    gpkg.write_layers(tables, folder / "hotspots.gpkg")
    styled = [each for name in FOLDERS[:3] for each in (folder / name).glob("*.tif")]
    for product in (folder / layers.HOTSPOTS_NAME, *sorted(styled)):
        side_style.write_side_style(product)
    step()


def _pages(
    flight: Flight, layer: HotspotLayer, folder: Path, inputs: tuple[HashedInput, ...], language: str
) -> list[dict[str, Any]]:
    """Write the map page, and the report of all products in *folder* with their hashes; return these."""
    from dronesense import evidence
    from dronesense.writers import layers, report, view

    tables = layers.from_path(folder)
    about = _about(flight, layer, folder)
    overlays = view.ground_overlays(tables)
    view.write(tables, folder / view.NAME, about=about, overlays=overlays, language=language)
    manifest = evidence.run_manifest(flight, layer, folder, inputs=inputs, language=language)
    report.write(
        tables,
        folder / report.NAME,
        about=about,
        manifest=manifest,
        quicklooks=sorted((folder / "quicklooks").glob("*.png")),
        overlays=overlays,
        language=language,
    )
    hashed: list[dict[str, Any]] = manifest["outputs"]
    return hashed


def _about(flight: Flight, layer: HotspotLayer, folder: Path) -> About:
    from dronesense.writers import layers, spectra, words
    from dronesense.writers.view import About

    searched = [trace for trace in layer.gas if math.isfinite(trace.threshold)]
    return About(
        run=str(layer.statements["run_id"]),
        layer_sha256=hashlib.sha256((folder / layers.HOTSPOTS_NAME).read_bytes()).hexdigest(),
        statements=words.statements(layer.statements),
        warnings=layer.warnings,
        rejected=layer.rejected,
        ignored=flight.ignored,
        thresholds={trace.series.species: trace.threshold for trace in searched},
        spectra=spectra.encode(layer.spectra),
    )
