"""The calibration folders: the flight's own first, then the one that comes with dronesense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dronesense.errors import ManifestError, did_you_mean
from dronesense.model import CameraCalibration, GasCalibration, GasInstrument, Instrument
from dronesense.model.gas_tables import Cell, CompensationTable, MoxSensor, Sheets
from dronesense.readers import gas_tables
from dronesense.readers import instrument as instrument_reader
from dronesense.readers import record as record_reader


def shipped_folder() -> Path:
    """Return the ``calibration/`` of this installation: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "calibration"
    return inside if inside.is_dir() else package.parent / "calibration"


class Catalog:
    """Instruments, dated records and signatures by name.

    Parameters
    ----------
    folders : sequence of Path
        Searched in this order; folders that do not exist are passed over.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = [folder for folder in folders if folder.is_dir()]

    def _files(self, pattern: str) -> Iterator[Path]:
        for folder in self.folders:
            yield from sorted(folder.glob(pattern))

    def instrument_files(self) -> dict[str, Path]:
        """Return id -> file; the first folder wins."""
        found: dict[str, Path] = {}
        for path in self._files("instruments/*.toml"):
            found.setdefault(path.stem, path)
        return found

    def instruments(self, *, kind: str | None = None) -> list[Instrument]:
        """Read all instruments (of *kind*), those of the flight first."""
        everything = [instrument_reader.read(path) for path in self.instrument_files().values()]
        return [instrument for instrument in everything if kind in (None, instrument.kind)]

    def instrument(self, name: str, *, key: str, where: Path) -> Instrument:
        """Read the instrument *name* that *key* of *where* asks for.

        Raises
        ------
        ManifestError
            If no calibration folder has it.
        """
        files = self.instrument_files()
        if name not in files:
            raise ManifestError(
                f'{key}: no instrument "{name}"{did_you_mean(name, files)}',
                where=where,
                fix=f"write calibration/instruments/{name}.toml, or use one of: {', '.join(files) or 'none'}",
            )
        return instrument_reader.read(files[name])

    def record(self, instrument: str, *, start: int) -> GasCalibration | CameraCalibration | None:
        """Return the newest record of *instrument* that is valid at *start* (UTC ns), or None.

        What a camera's detector does and how it is mounted change on different days: the newest record that
        says one is taken together with the newest that says the other.
        """
        records = [record_reader.read(path) for path in self._files(f"records/{instrument}/*.toml")]
        valid = [record for record in records if record.valid_from <= start]
        newest = max(valid, key=lambda record: record.valid_from, default=None)
        if not isinstance(newest, CameraCalibration):
            return newest
        cameras = [record for record in valid if isinstance(record, CameraCalibration)]
        cameras.sort(key=lambda record: record.valid_from, reverse=True)
        detector = next((record for record in cameras if record.of_detector), newest)
        mounted = next((record for record in cameras if record.mount is not None), None)
        if mounted is None or mounted is detector:
            return detector
        return replace(
            detector,
            mount=mounted.mount,
            time_offset_s=mounted.time_offset_s,
            mount_path=mounted.path,
        )

    def sheets(self, instrument: Instrument) -> tuple[dict[str, Sheets], dict[Path, str]]:
        """Return what the corrections of *instrument* need, by species; and the files of that, with roles.

        Raises
        ------
        ManifestError
            If no calibration folder has a sheet, a table of factors or a lamp that is asked for.
        """
        if not isinstance(instrument.spec, GasInstrument):
            return {}, {}
        sheets: dict[str, Sheets] = {}
        used: dict[Path, str] = {}
        for species, each in instrument.spec.correct.items():
            where = f'{instrument.path}, key correct."{species}"'
            if each.cell is not None:
                table = self._compensation(each.table, where)
                cell = self._cell(each.cell, table, where)
                sheets[species] = Sheets(cell=cell, table=table)
                used |= {Path(table.path): "compensation table", Path(cell.path): "cell calibration sheet"}
            elif each.mox is not None:
                sensor = self._mox(each.mox, where)
                sheets[species] = Sheets(mox=sensor)
                used[Path(sensor.path)] = "sensor calibration sheet"
            elif each.pid is not None:
                tables = tuple(gas_tables.read_pid(path) for path in self._first("pid/*.toml"))
                sheets[species] = Sheets(pid=tables)
                used |= {Path(table.path): "PID factors" for table in tables}
        return sheets, used

    def _first(self, pattern: str) -> list[Path]:
        """Return the files of *pattern*; of one name the first folder wins."""
        found: dict[str, Path] = {}
        for path in self._files(pattern):
            found.setdefault(path.stem, path)
        return list(found.values())

    def _compensation(self, name: str, where: str) -> CompensationTable:
        files = {path.stem: path for path in self._first("electrochemical/*.toml")}
        if name not in files:
            raise ManifestError(
                f'no factors "{name}"{did_you_mean(name, files)}',
                where=f"{where}.table",
                fix=f"write calibration/electrochemical/{name}.toml, or use one of: {', '.join(files)}",
            )
        return gas_tables.read_compensation(files[name])

    def _cell(self, serial: str, table: CompensationTable, where: str) -> Cell:
        known: dict[str, Cell] = {}
        for suffix in ("toml", "json"):
            for path in self._files(f"electrochemical/cells/*.{suffix}"):
                known = gas_tables.read_cells(path, table=table) | known
        if serial not in known:
            raise ManifestError(
                f'no calibration sheet of cell "{serial}"{did_you_mean(serial, known)}',
                where=f"{where}.cell",
                fix="enter it in calibration/electrochemical/cells/*.toml from the maker's sheet",
            )
        return known[serial]

    def _mox(self, name: str, where: str) -> MoxSensor:
        known: dict[str, MoxSensor] = {}
        for path in self._files("mox/*.toml"):
            known = gas_tables.read_mox(path) | known
        if name not in known:
            raise ManifestError(
                f'no calibration sheet of the sensor "{name}"{did_you_mean(name, known)}',
                where=f"{where}.mox",
                fix="enter it in calibration/mox/*.toml, at least with its r0_ohm",
            )
        return known[name]

    def signature_file(self, name: str) -> Path | None:
        """Return the file of the signature *name* of ``signatures/``, or None."""
        return next(self._files(f"signatures/{name}.csv"), None)
