"""The calibration folders: the flight's own first, then the one that comes with dronesense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dronesense.errors import ManifestError, did_you_mean
from dronesense.model import CameraCalibration, GasCalibration, Instrument
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
        """Return the newest record of *instrument* that is valid at *start* (UTC ns), or None."""
        records = [record_reader.read(path) for path in self._files(f"records/{instrument}/*.toml")]
        valid = [record for record in records if record.valid_from <= start]
        return max(valid, key=lambda record: record.valid_from, default=None)

    def signature_file(self, name: str) -> Path | None:
        """Return the file of the signature *name* of ``signatures/``, or None."""
        return next(self._files(f"signatures/{name}.csv"), None)
