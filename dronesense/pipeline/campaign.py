"""Layers of several flights as one: what was seen again, what was not, and what nobody looked at again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from dronesense import __version__
from dronesense.errors import EvidenceError, ManifestError
from dronesense.geotag.uncertainty import ce90, ellipse
from dronesense.hotspots.campaign import Find, places
from dronesense.writers import geojson, gpkg, layers, reviews
from dronesense.writers.atomic import sha256_file

WORDING: Final = (
    "Each feature is a place where one or more flights found something: an indication with its limits, never "
    "proof. Position errors of different flights are taken as independent; a mount that is wrong in the same "
    "way in all of them is not in ce90_m."
)
CIRCLE: Final = 2.1460
"""CE90 over standard deviation of a circular error."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One flight's products: layer, people's decisions, and the ground that was looked at, if told."""

    id: str
    flight: str
    path: Path
    sha256: str
    features: tuple[dict[str, Any], ...]
    decisions: dict[str, str]
    start: str
    seen: Any
    notes: tuple[str, ...] = field(default=())


def read_run(folder: Path, manifest: Mapping[str, Any], *, unverified: bool = False) -> Run:
    """Read the products in *folder*, and hold their layer against *manifest*, their ``run.json``.

    Raises
    ------
    EvidenceError
        If the layer is not the one that ``run.json`` lists, and *unverified* is False.
    ReadError
        If there is no layer, or it is none.
    """
    layer = layers.find(folder)
    digest = sha256_file(layer)
    rows = [row for row in manifest.get("outputs") or [] if isinstance(row, dict)]
    listed = {row.get("path"): row.get("sha256") for row in rows}.get(layer.name)
    notes: tuple[str, ...] = ()
    if digest != listed:
        if not unverified:
            raise EvidenceError(
                "is not the layer that run.json lists: it was changed after the run",
                where=layer,
                fix="use the products as they were made, or say --unverified",
            )
        notes = (f"{layer}: changed after the run; taken because --unverified was said",)
    features = tuple(layers.read_collection(layer)["features"])
    track = folder / "track.geojson"
    flown = layers.read_collection(track)["features"] if track.is_file() else []
    stamps = [str(each["properties"].get("start") or "") for each in (*features, *flown)]
    latest = reviews.latest(reviews.read(layer))
    return Run(
        str(manifest.get("run_id")),
        str(manifest.get("flight") or folder.name),
        folder,
        digest,
        features,
        {each: review.status for each, review in latest.items()},
        min((each for each in stamps if each), default=""),
        gpkg.seen(folder / "hotspots.gpkg"),
        notes,
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
    collection["dronesense"] = {"version": __version__, "wording": WORDING}
    collection["features"] = found
    told = {
        "schema": 1,
        "version": __version__,
        "runs": [
            {"run_id": run.id, "flight": run.flight, "hotspots": len(run.features), "sha256": run.sha256}
            for run in runs
        ],
        "places": len(found),
        "repeated": sum(each["properties"]["n_flights"] > 1 for each in found),
        "without_place": skipped,
        "notes": [note for run in runs for note in run.notes],
        "meaning": WORDING,
    }
    return collection, told


def _covariance(shown: dict[str, Any]) -> Floats | None:
    """Return the covariance (east, north) of a feature, from its ellipse or CE90; None: it has no place."""
    place = [shown.get(name) for name in ("lon", "lat", "ce90_m")]
    if not all(isinstance(each, int | float) for each in place):
        return None
    parts = [shown.get(name) for name in ("ellipse_major_m", "ellipse_minor_m", "ellipse_azimuth_deg")]
    if not all(isinstance(each, int | float) for each in parts):
        return np.asarray((float(place[2]) / CIRCLE) ** 2 * np.eye(2))  # type: ignore[arg-type]
    major, minor, azimuth = (float(each) for each in parts)  # type: ignore[arg-type]
    along = np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    across = np.array([along[1], -along[0]])
    return np.asarray(major**2 * np.outer(along, along) + minor**2 * np.outer(across, across))


def _feature(place: Any, owner: Sequence[tuple[int, dict[str, Any]]], runs: Sequence[Run]) -> dict[str, Any]:
    """Return the feature of a place: the outline of its best find, the history of all."""
    mine = [owner[i] for i in place.members]
    best = min(mine, key=lambda each: (each[1]["properties"]["ce90_m"], each[1]["id"]))[1]
    last = max(number for number, _ in mine)
    point = shapely.Point(place.lon, place.lat)
    later = [runs[i] for i in range(last + 1, len(runs))]
    shown = best["properties"]
    known = [run for run in later if run.seen is not None and shown.get("kind") != "gas"]
    looked = [run for run in known if run.seen.covers(point)]
    untold = len(known) < len(later)
    if looked:
        word = "not seen again"
    elif later:
        word = "not known whether looked at again" if untold else "not looked at again"
    else:
        word = "repeated" if len(mine) > 1 else "new"
    decisions = [runs[number].decisions.get(each["id"]) for number, each in mine]
    decided = [each for each in decisions if each]
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
            "score_max": max((each["properties"].get("score") or 0.0 for _, each in mine), default=None),
            "lon": round(place.lon, 7),
            "lat": round(place.lat, 7),
            "ce90_m": round(float(ce90(place.cov)), 3),
            "ellipse_major_m": round(float(major), 3),
            "ellipse_minor_m": round(float(minor), 3),
            "ellipse_azimuth_deg": round(float(azimuth), 1),
            "status": decided[-1] if decided else "candidate",
            "members": ", ".join(f"{runs[number].id}/{each['id']}" for number, each in mine),
            "history": history,
        },
    }
