"""Whether a run would say anything that its folder does not say already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dronesense.errors import DronesenseError
from dronesense.evidence import custody, environment, manifest, verify
from dronesense.evidence.manifest import HashedInput
from dronesense.model import Flight


def sealed(
    flight: Flight, directory: Path, inputs: tuple[HashedInput, ...], *, language: str
) -> tuple[Mapping[str, Any] | None, str]:
    """Return the manifest of a finished run that the flight's run would only repeat.

    Parameters
    ----------
    flight : Flight
        Opened.
    directory : Path
        Where its products would go.
    inputs : tuple of HashedInput
        Of the flight, hashed now.
    language : str
        Of page and report.

    Returns
    -------
    manifest : mapping or None
        ``run.json`` when inputs, settings, versions, code and language are those of the run in *directory*,
        all its products are as it wrote them, and the custody log only grew since; else None.
    reason : str
        Why it is None, in words; empty where there was no run.
    """
    if not (directory / manifest.RUN_NAME).is_file():
        return None, ""
    try:
        run = verify.open_run(directory)
    except (DronesenseError, OSError) as error:
        return None, str(error)
    told = run.manifest
    reason = (
        _other_inputs(told, inputs)
        or _other_work(told, flight, inputs)
        or _other_versions(told)
        or _other_code(told)
        or _other_pages(told, flight, language)
        or _other_products(run)
    )
    return (None, reason) if reason else (told, "")


def _other_inputs(told: Mapping[str, Any], inputs: tuple[HashedInput, ...]) -> str:
    rows = {
        str(row.get("path")): row.get("sha256") for row in told.get("inputs", ()) if isinstance(row, dict)
    }
    now = {each.path: each.sha256 for each in inputs}
    for name in sorted(rows.keys() | now.keys()):
        if name not in now:
            return f"{name} is no longer used"
        if name not in rows:
            return f"{name} is new"
        if rows[name] != now[name]:
            return f"{name} has changed"
    return ""


def _other_work(told: Mapping[str, Any], flight: Flight, inputs: tuple[HashedInput, ...]) -> str:
    return "" if told.get("run_id") == manifest.run_id(flight, inputs) else "the settings have changed"


def _other_versions(told: Mapping[str, Any]) -> str:
    before, now = told.get("versions"), manifest.versions()
    if not isinstance(before, dict):
        return "it does not say what it was made with"
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"it was made with another version of {', '.join(changed)}" if changed else ""


def _other_code(told: Mapping[str, Any]) -> str:
    """Compare our files: a version says little where the program is changed in place."""
    before = told.get("environment")
    same = isinstance(before, dict) and before.get("code_sha256") == environment.code_sha256()
    return "" if same else "files of dronesense or its plug-ins have changed"


def _other_pages(told: Mapping[str, Any], flight: Flight, language: str) -> str:
    if told.get("language") != language:
        return "page and report are wanted in another language"
    before, now = told.get("custody"), manifest.custody_state(flight.root)
    if before is None or before == now:  # what was noted since (handed on, stamped) is about this run
        return ""
    path = flight.root / custody.NAME
    if now is None:
        return "the custody log is gone"
    head = str(before.get("head")) if isinstance(before, dict) else ""
    whole = not custody.read(path, heads=(head,)).problems
    return "" if whole else "the custody log does not go on from where it stood when the run ended"


def _other_products(run: verify.Sealed) -> str:
    names = [str(row.get("path")) for row in run.rows("outputs")]
    gone = [name for name in names if not (run.folder / name).is_file()]
    if gone or verify.integrity(run).passed is False:
        return f"its products are not as it wrote them{f': {gone[0]} is gone' if gone else ''}"
    return ""
