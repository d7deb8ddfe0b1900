"""The file that says which standards an analyser was given, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from dronesense.errors import ManifestError, UnitsError
from dronesense.model.calibration import Standard, Standards, Switches
from dronesense.readers import toml
from dronesense.readers.record import UNIX_EPOCH
from dronesense.units import convert, quantity_of


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unknown key is an error."""


class _Standard(_Strict, frozen=True):
    species: str
    value: float
    sigma: float = 0.0
    unit: str = "ppm"
    start: datetime | None = None
    end: datetime | None = None
    max_drift: float = 0.0


class _Switches(_Strict, frozen=True):
    species: str
    switched: list[datetime]
    levels: list[float]
    asymmetric: bool | None = None
    max_delay_s: float | None = None


class _Standards(_Strict, frozen=True):
    schema: Literal[1]
    standard: list[_Standard] = []
    response: _Switches | None = None
    valid_from: datetime | None = None
    min_duration_s: float = 60.0
    note: str = ""


def read(path: Path) -> Standards:
    """Read a file of standards (docs/methods/gas-calibration.md).

    Raises
    ------
    ManifestError
        If a key is unknown, missing, of the wrong type or out of its range, or a time has no zone.
    """
    path = Path(path)
    entry = toml.load(path, _Standards)
    if not entry.standard and entry.response is None:
        raise ManifestError(
            "names neither a standard nor a response", where=path, fix="add [[standard]] or [response]"
        )
    if not entry.min_duration_s > 0.0:
        raise ManifestError("must be greater than 0", where=f"{path}, key min_duration_s")
    return Standards(
        standards=tuple(
            _standard(each, f"{path}, key standard[{number}]") for number, each in enumerate(entry.standard)
        ),
        switches=None if entry.response is None else _switches(entry.response, f"{path}, key response"),
        valid_from=None if entry.valid_from is None else _utc_ns(entry.valid_from, f"{path}, key valid_from"),
        min_duration_s=entry.min_duration_s,
        note=entry.note,
        path=str(path),
    )


def _standard(entry: _Standard, where: str) -> Standard:
    if (
        not np.isfinite([entry.value, entry.sigma, entry.max_drift]).all()
        or min(entry.sigma, entry.max_drift) < 0.0
    ):
        raise ManifestError("value must be finite, sigma and max_drift 0 or greater", where=where)
    if (entry.start is None) != (entry.end is None):
        raise ManifestError("states only one of start and end", where=where, fix="state both, or none")
    start = None if entry.start is None else _utc_ns(entry.start, f"{where}.start")
    end = None if entry.end is None else _utc_ns(entry.end, f"{where}.end")
    if start is not None and end is not None and end <= start:
        raise ManifestError("ends before it starts", where=where)
    try:
        to = "ppm m" if quantity_of(entry.unit) == "column" else "ppm"
        scale = convert(1.0, entry.unit, to)
    except UnitsError as error:
        raise ManifestError(error.what, where=f"{where}.unit", fix=error.fix) from error
    return Standard(
        entry.species, entry.value * scale, entry.sigma * scale, start, end, entry.max_drift * scale
    )


def _switches(entry: _Switches, where: str) -> Switches:
    times = [_utc_ns(each, f"{where}.switched") for each in entry.switched]
    if not times or sorted(set(times)) != times:
        raise ManifestError("times must increase", where=f"{where}.switched")
    if len(entry.levels) != len(times) + 1:
        raise ManifestError(
            f"{len(entry.levels)} levels for {len(times)} switches",
            where=f"{where}.levels",
            fix="one before the first switch, and one after each",
        )
    return Switches(entry.species, tuple(times), tuple(entry.levels), entry.asymmetric, entry.max_delay_s)


def _utc_ns(time: datetime, where: str) -> int:
    if time.tzinfo is None:
        raise ManifestError("has no zone", where=where, fix="write it as 2026-06-01T00:00:00Z")
    return (time - UNIX_EPOCH) // timedelta(microseconds=1) * 1000
