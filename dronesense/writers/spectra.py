"""Spectra of the hotspots as JSON: ``spectra.json``, by hotspot id."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ReadError
from dronesense.model import HotspotSpectrum
from dronesense.writers.atomic import write_bytes

NAME: Final = "spectra.json"
DIGITS: Final = 6
"""Significant digits."""
LISTS: Final = ("center_nm", "fwhm_nm", "pixel", "background", "signature")


def write(spectra: Sequence[HotspotSpectrum], path: Path) -> None:
    """Write *spectra* to *path*: ``{"<hotspot id>": [{"cube": ..., "pixel": [...], ...}, ...]}``.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    text = json.dumps(encode(spectra), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    write_bytes(path, text.encode())


def encode(spectra: Sequence[HotspotSpectrum]) -> dict[str, list[dict[str, Any]]]:
    """Return what :func:`write` writes."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in spectra:
        found.setdefault(each.hotspot, []).append(
            {
                "cube": each.cube,
                "source": each.source,
                "unit": each.unit,
                "fill": _number(each.fill),
                "good": each.good.tolist(),
                **{name: _list(getattr(each, name)) for name in LISTS},
            }
        )
    return found


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what :func:`write` wrote; nothing where there is no such file.

    Raises
    ------
    ReadError
        If it is something else.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ReadError(f"is not JSON ({error})", where=path) from error
    lists = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(each, list) and all(_is_spectrum(one) for one in each) for each in lists):
        raise ReadError("holds no spectra of hotspots", where=path)
    return dict(found)


def _is_spectrum(found: object) -> bool:
    if not isinstance(found, dict):
        return False
    lists = [found.get(name) for name in (*LISTS, "good")]
    return all(isinstance(each, list) for each in lists) and len({len(each or ()) for each in lists}) == 1


def _list(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(each) for each in values.tolist()]


def _number(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
