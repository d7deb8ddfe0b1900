"""A ``flight.toml`` for a bare folder, written for a person to edit."""

from __future__ import annotations

import json
from typing import Any

from dronesense.manifest.discover import Discovery

_COMMENTS = {
    "flight": 'crs = "auto" works in the UTM zone of the track',
    "track": "source and height_ref may be set; sigma overrides the log's own accuracies",
    "terrain": "a height model above the ellipsoid; or height_m = 312.0 for flat ground",
    "gas": 'clock_offset_s = 0.0 when the analyser\'s clock is right; "auto" finds it from the pressure',
    "cube": "dark and panel are needed for reflectance; instrument for a place on the ground",
    "detect": "a gas rule has species, a spectral rule signature; the false-alarm rate is yours to state",
}


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def draft(discovery: Discovery) -> str:
    """Return the text of a ``flight.toml`` that says what *discovery* found, with comments."""
    lines = ["# Written by `dronesense init`. Paths are relative to this file.", "schema = 1", ""]
    for name, table in discovery.tables.items():
        if name == "schema":
            continue
        many = isinstance(table, list)
        for number, entry in enumerate(table if many else [table]):
            if number == 0 and name in _COMMENTS:
                lines.append(f"# {_COMMENTS[name]}")
            lines.append(f"[[{name}]]" if many else f"[{name}]")
            lines.extend(f"{key} = {_inline(value)}" for key, value in entry.items())
            lines.append("")
    if discovery.ignored:
        lines.append("# Not used:")
        lines.extend(f"#   {path}: {reason}" for path, reason in discovery.ignored)
        lines.append("")
    return "\n".join(lines)
