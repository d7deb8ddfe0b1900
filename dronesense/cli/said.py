"""What run.json and spectra.json beside a layer say, for the pages that are written anew."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dronesense.errors import ReadError

if TYPE_CHECKING:
    from dronesense.writers.view import About


def manifest_beside(source: Path) -> dict[str, Any]:
    """Return the run manifest beside the layer *source*; empty where there is none.

    Raises
    ------
    ReadError
        If it is not one.
    """
    from dronesense.writers.atomic import MANIFEST_NAME

    path = source.parent / MANIFEST_NAME
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ReadError(f"is not JSON ({error})", where=path) from error
    if not isinstance(found, dict):
        raise ReadError("is not a run manifest", where=path)
    return found


def about(source: Path, found: dict[str, Any], *, language: str = "en") -> About:
    """Return what the manifest *found* and spectra.json beside *source* say; the rest is left out."""
    from dronesense.languages import catalog
    from dronesense.writers import spectra, words
    from dronesense.writers.view import About

    statements = found.get("statements")
    told = statements if isinstance(statements, dict) else {}
    return About(
        run=str(found.get("run_id", "")),
        layer_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        statements=words.statements(told, translate=catalog(language).gettext),
        warnings=[str(each) for each in _rows(found.get("warnings"))],
        rejected=_pairs(found.get("rejected")),
        ignored=_pairs(found.get("not_looked_at")),
        thresholds={
            str(each["species"]): float(each["threshold"])
            for each in _rows(told.get("searches"))
            if isinstance(each, dict) and "species" in each and _is_finite(each.get("threshold"))
        },
        spectra=spectra.read(source.with_name(spectra.NAME)),
    )


def _rows(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _pairs(value: object) -> list[tuple[str, str]]:
    return [
        (str(each.get("path")), str(each.get("reason"))) for each in _rows(value) if isinstance(each, dict)
    ]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
