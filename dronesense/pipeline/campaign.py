"""Layers of several flights as one: what was seen again, what was not, and what nobody looked at again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense import __version__, geodesy
from dronesense.errors import EvidenceError, ManifestError, ReadError
from dronesense.geotag.uncertainty import ce90, ellipse
from dronesense.hotspots.campaign import LEVEL, Find, Place, places
from dronesense.languages import marked
from dronesense.writers import geojson, gpkg, layers, reviews
from dronesense.writers.atomic import sha256_file

WORDING: Final = (
    "Each feature is a place where one or more flights found something: an indication with its limits, never "
    "proof. Position errors of different flights are taken as independent; a mount that is wrong in the same "
    "way in all of them is not in ce90_m."
)
SOUGHT: Final = re.compile(r"detect\[\d+\]\.target")
"""Parameters of ``run.json`` that name what was sought."""
NUMBERS: Final = {
    "lon": (-180.0, 180.0),
    "lat": (-90.0, 90.0),
    "ce90_m": (0.0, 1e7),
    "ellipse_major_m": (0.0, 1e7),
    "ellipse_minor_m": (0.0, 1e7),
    "ellipse_azimuth_deg": (-360.0, 360.0),
    "area_m2": (0.0, 1e15),
    "score": (-1e30, 1e30),
}
"""Properties that are reckoned with, and what they may be."""
CIRCLE: Final = 2.1460
"""CE90 over standard deviation of a circular error."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One flight's products.

    Parameters
    ----------
    id, flight : str
    path : Path
        Folder.
    sha256 : str
        Of the layer.
    features : tuple of dict
    decisions : dict
        Hotspot -> time and status of the last decision about it.
    start : str
        When it was flown, RFC 3339; empty when not known.
    seen : shapely geometry or None
        Ground that was looked at, lon/lat; None: not told.
    targets : frozenset of str
        What was sought.
    notes : tuple of str
    """

    id: str
    flight: str
    path: Path
    sha256: str
    features: tuple[dict[str, Any], ...]
    decisions: dict[str, tuple[str, str]]
    start: str
    seen: Any
    targets: frozenset[str]
    notes: tuple[str, ...]


def read_run(folder: Path, manifest: Mapping[str, Any], *, unverified: bool = False) -> Run:
    """Read the products in *folder*, and hold them against *manifest*, their ``run.json``.

    Raises
    ------
    EvidenceError
        If one that is used is not what ``run.json`` lists, and *unverified* is False.
    ReadError
        If there is no layer, or a number in it makes no sense, or the run has no id.
    """
    layer = layers.find(folder)
    if not manifest.get("run_id"):
        raise ReadError("names no run", where=folder / "run.json", fix="use products of `dronesense run`")
    used = _used(folder, manifest, layer.name)
    notes = [f"{path}: not as run.json lists it" for path, same in used.items() if not same]
    if notes and not unverified:
        raise EvidenceError(
            "is not what run.json lists: it was changed after the run",
            where=next(path for path, same in used.items() if not same),
            fix="use the products as they were made, or say --unverified",
        )
    features = tuple(layers.read_collection(layer)["features"])
    for each in features:
        _check(each, layer)
    track, packed = folder / "track.geojson", folder / "hotspots.gpkg"
    flown = layers.read_collection(track)["features"] if track in used else []
    stamps = [str(each["properties"].get("start") or "") for each in (*features, *flown)]
    start = min((each for each in stamps if each), default="")
    if not start:
        notes.append(f"{folder}: nothing says when it was flown, so it does not count as a later look")
    parameters = manifest.get("parameters") or {}
    sought = [row.get("value") for name, row in parameters.items() if SOUGHT.fullmatch(name)]
    latest = reviews.latest(reviews.read(layer))
    return Run(
        str(manifest["run_id"]),
        str(manifest.get("flight") or folder.name),
        folder,
        sha256_file(layer),
        features,
        {each: (review.time, review.status) for each, review in latest.items()},
        start,
        gpkg.seen(packed) if packed in used else None,
        frozenset(str(each) for each in sought),
        tuple(notes),
    )


def _used(folder: Path, manifest: Mapping[str, Any], layer: str) -> dict[Path, bool]:
    """Return the products that a merge looks at, and whether each is what *manifest* lists.

    The layer always; track and tables only where they are listed: others may be of another run.
    """
    rows = [row for row in manifest.get("outputs") or [] if isinstance(row, dict)]
    listed = {str(row.get("path")): row.get("sha256") for row in rows}
    names = [layer, *(name for name in ("track.geojson", "hotspots.gpkg") if name in listed)]
    paths = {name: folder / name for name in names}
    return {path: path.is_file() and sha256_file(path) == listed.get(name) for name, path in paths.items()}


def _check(feature: dict[str, Any], layer: Path) -> None:
    """Refuse numbers that make no sense; None is none."""
    shown = feature["properties"]
    for name, (low, high) in NUMBERS.items():
        value = shown.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and np.isfinite(value) and low <= value <= high):
            raise ReadError(
                f"{name} is {value!r}",
                where=f"{layer}, feature {feature['id']}",
                fix=f"it is a number from {low:g} to {high:g}, or null",
            )


def merged(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the campaign's layer as a GeoJSON collection, and what it is made of.

    Raises
    ------
    ManifestError
        If a run is given twice.
    """
    runs = sorted(runs, key=lambda run: (run.start, run.id))
    for one, other in pairwise(runs):
        if one.id == other.id:
            raise ManifestError(
                f"run {one.id} is given twice: {one.path} and {other.path}", fix="give each run once"
            )
    finds, owner, skipped = [], [], 0
    for number, run in enumerate(runs):
        for feature in run.features:
            cov = _covariance(feature["properties"])
            if cov is None:
                skipped += 1
                continue
            shown = feature["properties"]
            extent = float(np.sqrt((shown.get("area_m2") or 0.0) / np.pi))
            key = (str(shown.get("kind")), str(shown.get("target")))
            finds.append(Find(run.id, feature["id"], key, shown["lon"], shown["lat"], cov, extent))
            owner.append((number, feature))
    found = [_feature(place, owner, runs) for place in places(finds)]
    found.sort(key=lambda each: (-each["properties"]["n_flights"], each["id"]))
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    if found:
        collection["bbox"] = geojson.bbox([shapely.geometry.shape(each["geometry"]) for each in found])
    notes = [note for run in runs for note in run.notes]
    collection["dronesense"] = {"version": __version__, "wording": WORDING, "notes": notes}
    collection["features"] = found
    told = {
        "schema": "dronesense.campaign/1",
        "version": __version__,
        "runs": [
            {"run_id": run.id, "flight": run.flight, "hotspots": len(run.features), "sha256": run.sha256}
            for run in runs
        ],
        "places": len(found),
        "repeated": sum(each["properties"]["n_flights"] > 1 for each in found),
        "without_place": skipped,
        "parameters": {"level": LEVEL},
        "notes": notes,
        "meaning": WORDING,
    }
    return collection, told


def _covariance(shown: dict[str, Any]) -> Floats | None:
    """Return the covariance (east, north) of a feature, from its ellipse or CE90; None: it has no place."""
    if any(shown.get(name) is None for name in ("lon", "lat", "ce90_m")):
        return None
    parts = [shown.get(name) for name in ("ellipse_major_m", "ellipse_minor_m", "ellipse_azimuth_deg")]
    if any(each is None for each in parts):
        return np.asarray((float(shown["ce90_m"]) / CIRCLE) ** 2 * np.eye(2))
    major, minor, azimuth = (float(each or 0.0) for each in parts)
    along = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    across = np.array([along[1], -along[0]])
    return np.asarray(major**2 * np.outer(along, along) + minor**2 * np.outer(across, across))


def _since(place: Place, last: int, key: tuple[str, str], runs: Sequence[Run]) -> str:
    """Return what later runs than the *last* one that found it tell of a place, in words."""
    kind, target = key
    later = [run for run in runs[last + 1 :] if target in run.targets]
    if any(run.seen is not None and run.seen.covers(_circle(place)) for run in later if kind != "gas"):
        return marked("not seen again")
    if last == len(runs) - 1:
        return marked("repeated") if len(place.members) > 1 else marked("new")
    untold = kind == "gas" or any(run.seen is None for run in later)
    if later and untold:
        return marked("not known whether looked at again")
    return marked("not looked at again")


def _circle(place: Place) -> shapely.Polygon:
    """Return the circle of CE90 around a place, lon/lat."""
    angle = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    radius = float(ce90(place.cov))
    offset = radius * np.column_stack([np.cos(angle), np.sin(angle), np.zeros(16)])
    here = np.full(16, place.lon), np.full(16, place.lat), np.zeros(16)
    return shapely.Polygon(np.column_stack(geodesy.displace(*here, offset)[:2]))


def _feature(
    place: Place, owner: Sequence[tuple[int, dict[str, Any]]], runs: Sequence[Run]
) -> dict[str, Any]:
    """Return the feature of a place: the outline of its best find, the history of all."""
    mine = [owner[i] for i in place.members]
    best = min(mine, key=lambda each: (each[1]["properties"]["ce90_m"], each[1]["id"]))[1]
    shown = best["properties"]
    word = _since(
        place, max(number for number, _ in mine), (str(shown.get("kind")), str(shown.get("target"))), runs
    )
    decisions = [runs[number].decisions.get(each["id"], ("", "candidate")) for number, each in mine]
    scores = [each["properties"]["score"] for _, each in mine if each["properties"].get("score") is not None]
    history = "; ".join(
        f"{each['properties'].get('start') or runs[number].start} {runs[number].flight} "
        f"{each['id']} score {each['properties'].get('score')}"
        for number, each in mine
    )
    major, minor, azimuth = ellipse(place.cov)
    stable = hashlib.sha256("|".join(sorted(f"{runs[n].id}/{each['id']}" for n, each in mine)).encode())
    name = stable.hexdigest()[:12]
    return {
        "type": "Feature",
        "id": name,
        "geometry": best["geometry"],
        "properties": {
            "id": name,
            "target": shown.get("target"),
            "kind": shown.get("kind"),
            "n_flights": len(mine),
            "first_seen": min(str(each["properties"].get("start") or "") for _, each in mine) or None,
            "last_seen": max(str(each["properties"].get("end") or "") for _, each in mine) or None,
            "since": word,
            "score_max": max(scores, default=None),
            "lon": round(place.lon, 7),
            "lat": round(place.lat, 7),
            "ce90_m": round(float(ce90(place.cov)), 3),
            "ellipse_major_m": round(float(major), 3),
            "ellipse_minor_m": round(float(minor), 3),
            "ellipse_azimuth_deg": round(float(azimuth), 1),
            "status": max(decisions)[1],
            "members": ", ".join(f"{runs[number].id}/{each['id']}" for number, each in mine),
            "history": history,
        },
    }
