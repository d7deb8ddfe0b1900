"""Read what a manifest names, reject what cannot be read, keep going with the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from dronesense import geodesy, plugins
from dronesense.calibrate.clock import shift_track
from dronesense.errors import DronesenseError, ManifestError, ReadError, did_you_mean
from dronesense.geodesy.geoid import GeoidGrid
from dronesense.geotag import course, heights
from dronesense.manifest import spans, track, wind
from dronesense.manifest.catalog import Catalog, shipped_folder
from dronesense.manifest.cubes import CubeOpener
from dronesense.manifest.discover import GAS, SIGNATURE, TRAJECTORY
from dronesense.manifest.rules import RuleOpener
from dronesense.manifest.schema import (
    CalibrationTable,
    CubeTable,
    EmissionTable,
    GasTable,
    Manifest,
)
from dronesense.model import (
    CameraCalibration,
    CubeInput,
    EmissionRule,
    Flight,
    GasCalibration,
    GasInput,
    IngestReport,
    InputFile,
    Instrument,
    MapGrid,
    Signature,
    Terrain,
    TrackOptions,
    Trajectory,
    Wind,
)
from dronesense.readers import content, csv_wind, gas_tables, geoid_grid, height_model
from dronesense.readers.instrument import with_clock

T = TypeVar("T")
NAMELESS: Final = "card"
"""Id of a flight that is the root of a drive, which has no name."""


class Opener:
    """Reads the parts of one flight and keeps the books on inputs, rejections and warnings."""

    def __init__(self, root: Path, manifest: Manifest, file: Path | None) -> None:
        self.root = root
        self.manifest = manifest
        self.where = file or root
        self.discovered = file is None
        own = root / manifest.calibration.path
        if manifest.calibration != CalibrationTable() and not own.is_dir():
            raise ManifestError(
                f'[calibration] path = "{manifest.calibration.path}" is no folder',
                where=self.where,
                fix=f"paths are relative to {root}",
            )
        self.catalog = Catalog(own, shipped_folder())
        self.inputs: dict[str, InputFile] = {}
        self.rejected: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.cubes = CubeOpener(
            where=self.where,
            label=self._label,
            paths=self._paths,
            used=self._used,
            signature=self._signature,
            track=TrackOptions() if manifest.track is None else track.options(manifest.track, None),
        )
        self.rules = RuleOpener(
            where=self.where,
            catalog=self.catalog,
            one=self._one,
            used=self._used,
            signature=self._signature,
        )
        if file is not None:
            self._used(file, "manifest")

    def flight(self, settings: dict[str, dict[str, object]], *, whole: bool = True) -> Flight:
        """Read everything and put it together; *whole*: refuse what holds neither gas nor cube."""
        manifest = self.manifest
        self._check_crs()
        trajectory, refused = self._unless_discovered(self._trajectory, "track")
        geoid = self._geoid(trajectory)
        terrain, _ = self._unless_discovered(lambda: self._terrain(trajectory, geoid), "terrain")
        if trajectory is not None and manifest.track is not None:
            trajectory, remarks = heights.to_ellipsoid(
                trajectory, height_ref=manifest.track.height_ref, terrain=terrain, geoid=geoid
            )
            self.warnings += remarks
            found = course.check_course(trajectory)
            if found.verdict not in ("forward", "none"):
                self.warnings.append(f"{trajectory.source}: {found.text}")
        start = None if trajectory is None else int(trajectory.time[0])
        gas = [gas for table in manifest.gas for gas in self._each(table, start, self._gas)]
        cubes = [cube for table in manifest.cube for cube in self._each(table, start, self._cube)]
        rules = [self.rules.rule(table, number) for number, table in enumerate(manifest.detect)]
        emissions = [self._emission(table) for table in manifest.emission]
        self.warnings += spans.remarks(trajectory, gas, cubes)
        placed = any(isinstance(each.cube.geometry, MapGrid) for each in cubes)
        if refused is not None and not placed and (whole or not gas):
            raise refused
        if whole and not gas and not cubes:
            reasons = "; ".join(f"{path}: {why}" for path, why in self.rejected)
            raise ReadError(
                f"no usable gas series or cube{f' ({reasons})' if reasons else ''}",
                where=self.where,
                fix="copy a gas series or a cube beside the log, or name one in [[gas]] or [[cube]]",
            )
        return Flight(
            id=manifest.flight.id or self.root.resolve().name or NAMELESS,
            root=self.root,
            trajectory=trajectory,
            gas=tuple(gas),
            cubes=tuple(cubes),
            terrain=terrain,
            wind=self._wind(trajectory),
            rules=tuple(rules),
            emissions=tuple(emissions),
            crs=manifest.flight.crs,
            merge_radius_m=manifest.hotspots.merge_radius_m,
            gas_hotspots=manifest.hotspots.gas,
            search_reach_m=manifest.hotspots.search_reach_m,
            inputs=tuple(self.inputs.values()),
            rejected=tuple(self.rejected),
            settings=settings,
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    def _unless_discovered(
        self, read: Callable[[], T | None], what: str
    ) -> tuple[T | None, DronesenseError | None]:
        """Return what *read* gives; of a folder without a manifest it may fail, and the rest goes on."""
        try:
            return read(), None
        except DronesenseError as error:
            if not self.discovered:
                raise
            table = self.manifest.track if what == "track" else self.manifest.terrain
            named = getattr(table, "path", what)
            self.rejected.append((named if isinstance(named, str) else ", ".join(named), str(error)))
            return None, error

    # -- books --

    def _label(self, path: Path) -> str:
        """Return *path* as products name it: relative to the flight folder where possible."""
        full, shipped = path.resolve(), shipped_folder().resolve()
        if full.is_relative_to(self.root.resolve()):
            return full.relative_to(self.root.resolve()).as_posix()
        if full.is_relative_to(shipped):
            return f"calibration/{full.relative_to(shipped).as_posix()} (shipped)"
        return full.as_posix()

    def _used(self, path: Path, role: str, report: IngestReport | None = None) -> None:
        label = self._label(path)
        self.inputs.setdefault(label, InputFile(label, role, report, path))
        for companion in () if report is None else report.companions:
            other = self._label(Path(companion))
            self.inputs.setdefault(other, InputFile(other, role, None, Path(companion)))
        if report is not None:
            self.warnings.extend(f"{label}: {warning}" for warning in report.warnings)

    def _paths(self, pattern: str, key: str) -> list[Path]:
        """Return the files that a path or glob of the manifest names."""
        direct = self.root / pattern
        if direct.is_file():
            return [direct]
        if Path(pattern).is_absolute():
            found = [Path(pattern)] if Path(pattern).is_file() else []
        else:
            found = sorted(path for path in self.root.glob(pattern) if path.is_file())
        if not found:
            raise ManifestError(
                f'{key} = "{pattern}" names no file',
                where=self.where,
                fix=f"paths are relative to {self.root}; `dronesense inspect` shows what is there",
            )
        return found

    def _one(self, pattern: str, key: str) -> Path:
        found = self._paths(pattern, key)
        if len(found) > 1:
            raise ManifestError(
                f'{key} = "{pattern}" names {len(found)} files; it must name one', where=self.where
            )
        return found[0]

    def _each(
        self, table: Any, start: int | None, read: Callable[[Any, Path, int | None], Any]
    ) -> Iterable[Any]:
        """Read every file of a table; a file that cannot be used is rejected, the rest goes on."""
        key = "[[gas]] path" if isinstance(table, GasTable) else "[[cube]] path"
        for path in self._paths(table.path, key):
            try:
                yield content.patiently(partial(read, table, path, start), path)
            except DronesenseError as error:
                if isinstance(error, ManifestError) and error.where == str(self.where):
                    raise
                self.rejected.append((self._label(path), str(error)))

    # -- parts --

    def _trajectory(self) -> Trajectory | None:
        table = self.manifest.track
        if table is None:
            return None
        instrument = None
        if table.instrument is not None:
            instrument = self._instrument(table.instrument, "[track] instrument")
        options = track.options(table, instrument)
        paths = [path for pattern in table.paths() for path in self._paths(pattern, "[track] path")]
        reader = table.reader or ("csv" if table.instrument else None)
        read = [self._log(path, reader, options) for path in dict.fromkeys(paths)]
        trajectory = track.join([each for each, _ in read], where=str(self.where))
        reports = [report for _, report in read]
        if table.attitude is not None:
            path = self._one(table.attitude, "[track] attitude")
            other, report = self._log(path, None, dataclasses.replace(options, source="auto"))
            reports.append(report)
            trajectory, remarks = track.with_attitude(trajectory, other)
            self.warnings += remarks
        self.warnings += track.not_used(table, reports)
        if table.clock_offset_s is not None:
            trajectory = shift_track(trajectory, table.clock_offset_s, table.sigma.clock_s or 0.0)
        if trajectory.clock.kind == "relative":
            raise ManifestError(
                f"{trajectory.source} counts from a start of its own: it cannot be put on UTC",
                where=self.where,
                fix="set clock_offset_s under [track] to the seconds to add to its time, or use another log",
            )
        return track.with_sigma(trajectory, msgspec.to_builtins(table.sigma))

    def _log(self, path: Path, reader: str | None, options: TrackOptions) -> tuple[Trajectory, IngestReport]:
        trajectory, report = content.patiently(
            lambda: plugins.find(TRAJECTORY, reader or plugins.sniff(TRAJECTORY, path)).read(
                path, label=self._label(path), options=options
            ),
            path,
        )
        assert isinstance(trajectory, Trajectory)
        table = self.manifest.track
        if (
            table is not None and table.height_ref != "auto"
        ):  # the manifest answers what the reader had to ask
            answered = tuple(each for each in report.warnings if "height_ref" not in each)
            report = dataclasses.replace(report, warnings=answered)
        self._used(path, "flight log", report)
        return trajectory, report

    def _geoid(self, trajectory: Trajectory | None) -> GeoidGrid | None:
        table = self.manifest.track
        if table is None or table.geoid is None:
            return None
        path = self._one(table.geoid, "[track] geoid")
        bounds = None if trajectory is None else track.bounds(trajectory)
        grid = geoid_grid.read(path, label=self._label(path), bounds=bounds)
        self._used(path, "geoid")
        return grid

    def _terrain(self, trajectory: Trajectory | None, geoid: GeoidGrid | None) -> Terrain | None:
        table = self.manifest.terrain
        if table is None:
            return None
        geoid = geoid if table.height_ref == "egm2008" else None  # EGM96 is EGM96, whatever the track uses
        if table.height_m is not None:
            if trajectory is None and table.height_ref != "ellipsoid":
                raise ManifestError(
                    f'[terrain] height_ref = "{table.height_ref}" needs a place, and there is no track',
                    where=self.where,
                    fix='state an ellipsoidal height with height_ref = "ellipsoid"',
                )
            if trajectory is None:
                return Terrain.flat(table.height_m, sigma_m=table.sigma_m, source="[terrain] height_m")
            return heights.flat_ground(
                table.height_m,
                height_ref=table.height_ref,
                lon=float(trajectory.lon[0]),
                lat=float(trajectory.lat[0]),
                sigma_m=table.sigma_m,
                source="[terrain] height_m",
                geoid=geoid,
            )
        assert table.path is not None
        path = self._one(table.path, "[terrain] path")
        terrain, report = height_model.read_terrain(
            path,
            label=self._label(path),
            bounds=None if trajectory is None else track.bounds(trajectory),
            height_ref=table.height_ref,
            sigma_m=table.sigma_m,
            geoid=geoid,
        )
        self._used(path, "terrain", report)
        return terrain

    def _instrument(self, name: str, key: str) -> Instrument:
        instrument = self.catalog.instrument(name, key=key, where=self.where)
        self._used(Path(instrument.path), "instrument")
        if Path(instrument.path).resolve().is_relative_to(shipped_folder().resolve()):
            self.warnings.append(
                f"{name}: the flight has no calibration/instruments/{name}.toml; the shipped one is used"
            )
        return instrument

    def _record(self, instrument: str, start: int | None) -> GasCalibration | CameraCalibration | None:
        if start is None:
            return None
        record = self.catalog.record(instrument, start=start)
        if record is not None:
            self._used(Path(record.path), "calibration record")
            if isinstance(record, GasCalibration) and record.after is not None:
                self._used(Path(record.after.path), "calibration record")
            if isinstance(record, CameraCalibration) and record.mount_path:
                self._used(Path(record.mount_path), "calibration record")
        return record

    def _gas(self, table: GasTable, path: Path, start: int | None) -> GasInput:
        instrument = with_clock(
            self._gas_instrument(table, path), zone=table.zone, date_order=table.date_order
        )
        reader = plugins.find(GAS, table.reader or "csv")
        series, report = reader.read(path, label=self._label(path), instrument=instrument)
        if not series:
            raise ReadError("holds no gas column", where=path)
        series = tuple(each for each in series if len(each))
        if not series:
            raise ReadError("holds no valid reading: every gas cell is empty", where=path)
        first = min(int(each.time[0]) for each in series)
        record = self._record(instrument.id, start if start is not None else first)
        if record is not None and not isinstance(record, GasCalibration):
            raise ManifestError("is a camera record; the instrument is a gas analyser", where=record.path)
        self._used(path, "gas series", report)
        log = self.manifest.track
        shares = log is not None and any(path in self._paths(each, "[track] path") for each in log.paths())
        own = None if shares else track.of_analyser(path, instrument)
        sheets, used = self.catalog.sheets(instrument)
        for file, role in used.items():
            self._used(file, role)
        return GasInput(series, instrument, record, table.clock_offset_s, shares, own, sheets)

    def _gas_instrument(self, table: GasTable, path: Path) -> Instrument:
        if table.instrument is not None:
            return self._instrument(table.instrument, "[[gas]] instrument")
        from dronesense.readers import instrument as instrument_reader

        fitting = [
            each
            for each in self.catalog.instruments(kind="gas")
            if instrument_reader.header_matches(each, path)
        ]
        if not fitting:
            raise ReadError(
                "its columns match no instrument",
                where=path,
                fix="describe it in calibration/instruments/<id>.toml, then set instrument in [[gas]]",
            )
        best = instrument_reader.best_of(fitting)
        self._used(Path(best.path), "instrument")
        return best

    def _cube(self, table: CubeTable, path: Path, start: int | None) -> CubeInput:
        instrument = (
            None if table.instrument is None else self._instrument(table.instrument, "[[cube]] instrument")
        )
        record = None if instrument is None else self._record(instrument.id, start)
        if record is not None and not isinstance(record, CameraCalibration):
            raise ManifestError("is a gas record; the instrument is a camera", where=record.path)
        return self.cubes.read(table, path, instrument, record)

    def _signature(self, path: Path, role: str) -> Signature:
        signature, report = content.patiently(
            lambda: plugins.find(SIGNATURE, plugins.sniff(SIGNATURE, path)).read(path), path
        )
        self._used(path, role, report)
        assert isinstance(signature, Signature)
        return signature

    def _check_crs(self) -> None:
        crs = self.manifest.flight.crs
        if crs == "auto":
            return
        try:
            metric = geodesy.is_metric(crs)
        except DronesenseError as error:
            raise ManifestError(
                f'[flight] crs = "{crs}": {error.what}', where=self.where, fix=error.fix
            ) from error
        if not metric:
            raise ManifestError(
                f'[flight] crs = "{crs}" is not in meters', where=self.where, fix='use "auto" or a UTM zone'
            )

    def _emission(self, table: EmissionTable) -> EmissionRule:
        mass = table.molar_mass_g_mol
        if mass is None:
            gases = gas_tables.read_gases(shipped_folder() / "gases.toml")
            if table.species not in gases:
                raise ManifestError(
                    f'[[emission]] species = "{table.species}" has no known molar mass'
                    f"{did_you_mean(table.species, gases)}",
                    where=self.where,
                    fix="set molar_mass_g_mol",
                )
            mass = gases[table.species].molar_mass_g_mol
        given = {key: value for key, value in msgspec.to_builtins(table).items() if value is not None}
        return EmissionRule(**given | {"molar_mass_g_mol": mass})

    def _wind(self, trajectory: Trajectory | None) -> Wind | None:
        table = self.manifest.wind
        if table is None:
            return None
        if table.path is None:
            start = 0 if trajectory is None else int(trajectory.time[0])
            made, remarks = wind.stated(table, time=start, where=str(self.where))
            self.warnings += remarks
            return made
        path = self._one(table.path, "[wind] path")
        if table.instrument is None:
            raise ManifestError(
                "[wind] path needs an instrument that says which column is what",
                where=self.where,
                fix='set instrument = "..." under [wind]; its columns have field = "wind_speed", ...',
            )
        instrument = with_clock(self._instrument(table.instrument, "[wind] instrument"), zone=table.zone)
        columns, report = csv_wind.read(path, label=self._label(path), instrument=instrument)
        self._used(path, "wind", report)
        return wind.from_columns(columns, trajectory, label=self._label(path))
