"""Products that a run sealed in run.json are never overwritten by what people make of them later."""

from __future__ import annotations

import json
from pathlib import Path

from dronesense.errors import EvidenceError


def unsealed(asked: Path | None, usual: Path, *, end: str) -> Path:
    """Return the file to write: the one *asked* for, else *usual*, else ``<name>.reviewed<end>`` beside it.

    Raises
    ------
    EvidenceError
        If it is a product that a run.json lists.
    """
    target = asked or usual
    if asked is None and _is_sealed(target):
        target = usual.with_name(f"{usual.name.removesuffix(end)}.reviewed{end}")
    if _is_sealed(target):
        raise EvidenceError(
            "is a product that run.json seals with its hash", where=target, fix="name another file with -o"
        )
    return target


def _is_sealed(target: Path) -> bool:
    """Tell whether *target* is a product that a run.json lists, or such a run.json."""
    from dronesense.writers.atomic import MANIFEST_NAME

    for folder in target.resolve().parents[:2]:
        try:
            manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
        except (OSError, ValueError):
            continue
        rows = manifest.get("outputs", []) if isinstance(manifest, dict) else []
        sealed = {str(row.get("path")) for row in rows if isinstance(row, dict)} | {MANIFEST_NAME}
        if target.resolve().relative_to(folder).as_posix() in sealed:
            return True
    return False
