"""Hotspots as Cursor-on-Target 2.0 markers in a data package, for teams that work with TAK. Only on request.

Every marker is a neutral yellow spot (``b-m-p-s-m``): nothing here says friend or foe. What people rejected
is left out. The layout of the package (``MANIFEST/manifest.xml``, one event in a file) is as TAK clients
write it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dronesense.errors import CoverageError
from dronesense.writers.atomic import write_bytes
from dronesense.writers.geojson import WORDING
from dronesense.writers.kmz import zipped
from dronesense.writers.layers import Layers
from dronesense.writers.markup import add, root, to_bytes

SPOT: Final = "b-m-p-s-m"
HOW: Final = "m-g"
"""Made by a machine from satellite positions, not entered by a person."""
YELLOW_ARGB: Final = "-256"
"""0xFFFFFF00 as a signed number."""
UNKNOWN_M: Final = "9999999.0"
"""How CoT writes a height or an error that is not known."""
STALE_AFTER: Final = dt.timedelta(days=30)
"""A marker stays for a month: an indication must not outlive the plan to check it."""


def write_layers(layers: Layers, path: Path) -> None:
    """Write a marker for each hotspot that nobody rejected, as a data package (ZIP), to *path*.

    Raises
    ------
    CoverageError
        If a hotspot has no time, which a marker needs.
    OSError
        If the disk is full or the folder cannot be written.
    """
    package = f"dronesense-{layers.flight}"
    manifest = root("MissionPackageManifest", {"version": "2"})
    settings = add(manifest, "Configuration")
    for name, value in (("uid", package), ("name", f"{layers.flight}: indications, not proof")):
        add(settings, "Parameter", attributes={"name": name, "value": value})
    contents = add(manifest, "Contents")
    files: dict[str, bytes] = {}
    for number, feature in enumerate(layers.features, start=1):
        if feature["properties"].get("status") == "rejected":
            continue
        entry = f"cot/hotspot_{number:04d}.cot"
        uid = f"{package}-{feature['id']}"
        content = add(contents, "Content", attributes={"ignore": "false", "zipEntry": entry})
        add(content, "Parameter", attributes={"name": "uid", "value": uid})
        files[entry] = event(feature["properties"], uid)
    write_bytes(path, zipped({"MANIFEST/manifest.xml": to_bytes(manifest), **files}))


def event(row: Mapping[str, Any], uid: str) -> bytes:
    """Return one CoT event for a hotspot with the properties *row*."""
    if not row.get("end"):
        raise CoverageError(f"hotspot {row.get('id')} has no time, which a marker needs")
    seen = dt.datetime.fromisoformat(str(row["end"])).astimezone(dt.UTC)
    times = {"time": seen, "start": seen, "stale": seen + STALE_AFTER}
    found = root("event", {"version": "2.0", "uid": uid, "type": SPOT, "how": HOW})
    for name, moment in times.items():
        found.set(name, moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    add(found, "point", attributes={
        "lat": f"{row['lat']:.7f}", "lon": f"{row['lon']:.7f}", "hae": _number(row.get("height_m")),
        "ce": _number(row.get("ce90_m")), "le": UNKNOWN_M,
    })  # fmt: skip
    detail = add(found, "detail")
    add(detail, "contact", attributes={"callsign": f"{row.get('target')} ? {str(row.get('id'))[:4]}"})
    add(detail, "usericon", attributes={"iconsetpath": f"COT_MAPPING_SPOTMAP/{SPOT}/{YELLOW_ARGB}"})
    add(detail, "color", attributes={"argb": YELLOW_ARGB})
    add(detail, "archive")
    q = "unknown" if row.get("q_value") is None else f"{row['q_value']:g}"
    add(detail, "remarks", f"{row.get('kind')}, {row.get('status')}, q-value {q}. {WORDING}")
    return to_bytes(found)


def _number(value: float | None) -> str:
    return UNKNOWN_M if value is None else f"{value:.3f}"
