"""The layer as one offline page: map, list, spectra and gas traces in a single HTML file without any network.

Leaflet and uPlot come along unchanged (``page/vendor``). Data travel as JSON and become text on the page,
never markup; the content security policy lets only the scripts run whose hashes it names. Same layers give
the same bytes.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

import dronesense
from dronesense.geodesy import places
from dronesense.model import GroundPicture, GroundRaster
from dronesense.model.thumbnail import png
from dronesense.writers import columns, kmz, style, thinning
from dronesense.writers import layers as layers_module
from dronesense.writers.atomic import write_bytes
from dronesense.writers.layers import Layers

NAME: Final = "view.html"
LANGUAGES: Final = ("en", "ru", "kk")
SCRIPTS: Final = ("vendor/leaflet.js", "vendor/uPlot.iife.min.js", "view.js")
STYLES: Final = ("vendor/leaflet.css", "vendor/uPlot.min.css", "view.css")
MAX_PICTURES: Final = 8
MAX_OVERLAYS: Final = 16
"""Pictures on the page; each costs some 100 kB."""
VALUE_DIGITS: Final = 6
"""Significant digits of spectra and gas readings."""
SELECTED_COLOR, RULER_COLOR, OTHER_COLOR = "#e6007e", "#e6007e", "#555555"


@dataclass(frozen=True, slots=True)
class About:
    """What a page says beside the layers.

    Parameters
    ----------
    run : str
        Run id.
    layer_sha256 : str
        Of the bytes of ``hotspots.geojson``.
    statements : sequence of (name, text)
        How sure, and what was looked at.
    warnings : sequence of str
    rejected, ignored : sequence of (path, reason)
        What was not used.
    thresholds : mapping of str to float
        Species -> threshold of its search, standard deviations; absent when it was not searched.
    spectra : mapping of str to sequence of mapping
        Hotspot id -> what was measured there, as in ``spectra.json``.
    """

    run: str = ""
    layer_sha256: str = ""
    statements: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    rejected: Sequence[tuple[str, str]] = ()
    ignored: Sequence[tuple[str, str]] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    spectra: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def write(
    layers: Layers,
    path: Path,
    *,
    about: About | None = None,
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> None:
    """Write the page of *layers* to *path*.

    Parameters
    ----------
    overlays : sequence of mapping, optional
        What :func:`ground_overlays` gives for *layers*, when it is at hand.
    language : {"en", "ru", "kk"}
        That the page opens in; it can be changed there.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode(layers, about or About(), overlays=overlays, language=language))


def encode(
    layers: Layers,
    about: About,
    *,
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> bytes:
    """Return the page that :func:`write` writes, UTF-8."""
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, not {language!r}")
    scripts = [_script(name) for name in SCRIPTS]
    styles = [_stylesheet(name) for name in STYLES]
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data: blob:",
            f"script-src {' '.join(map(_digest, scripts))}",
            f"style-src {' '.join(map(_digest, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    page = _asset("view.html")
    parts = {
        "LANG": language,
        "POLICY": policy,
        "TITLE": html.escape(f"dronesense: {layers.flight}"),
        "STYLES": "\n".join(f"<style>{each}</style>" for each in styles),
        "SCRIPTS": "\n".join(f"<script>{each}</script>" for each in scripts),
        "DATA": _json(page_data(layers, about, overlays=overlays, language=language)),
    }
    pieces = page.split("@@")  # text, name, text, name, ...: one pass, so that no part is looked into
    return "".join(parts[each] if place % 2 else each for place, each in enumerate(pieces)).encode()


def page_data(
    layers: Layers,
    about: About,
    *,
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> dict[str, Any]:
    """Return everything that the page shows; *overlays* are made here unless they are given."""
    pictures = ground_overlays(layers) if overlays is None else overlays
    coverage = layers_module.coverage_table(layers)
    track = layers_module.track_table(layers)
    return {
        "flight": layers.flight,
        "run": about.run,
        "version": dronesense.__version__,
        "layer_sha256": about.layer_sha256,
        "language": language,
        "strings": json.loads(_asset("strings.json")),
        "colors": _colors(),
        "ramp": style.RAMP,
        "columns": [
            {"name": each.name, "alias": each.alias, "about": each.about} for each in columns.HOTSPOT
        ],
        "hotspots": _hotspots(layers),
        "spectra": about.spectra,
        "gas": [_gas(text, about.thresholds) for text in layers.samples],
        "track": [
            shapely.get_coordinates(part).round(7).tolist()
            for line in track.geometries
            for part in shapely.get_parts(line)
        ],
        "coverage": {
            "type": "FeatureCollection",
            "features": [
                {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shape)}
                for shape in coverage.geometries
            ],
        },
        "overlays": list(pictures),
        "statements": [list(each) for each in about.statements],
        "warnings": list(about.warnings),
        "rejected": [list(each) for each in about.rejected],
        "ignored": [list(each) for each in about.ignored],
    }


def _colors() -> dict[str, str]:
    return {
        **{kind: color for kind, (color, _) in style.KINDS.items()},
        "other": OTHER_COLOR,
        "track": style.TRACK.classes[0].color,
        "coverage": style.COVERAGE.classes[0].color,
        "selected": SELECTED_COLOR,
        "ruler": RULER_COLOR,
    }


def _hotspots(layers: Layers) -> list[dict[str, Any]]:
    """Return the hotspots in their order, with place, geometry and strength for the map."""
    points, _, _ = layers_module.hotspot_tables(layers)
    gases = {layers_module.gas_cells(text)[0] for text in layers.samples}
    strengths = {each.key: each.size for each in style.classes(style.KINDS)}
    found = []
    for feature, point in zip(layers.features, points.geometries, strict=True):
        row = {column.name: feature["properties"].get(column.name) for column in columns.HOTSPOT}
        lon, lat = shapely.get_coordinates(point)[0].tolist()
        target = str(row["target"])
        found.append(
            {
                **row,
                "id": str(feature["id"]),
                "lon": lon,
                "lat": lat,
                "geometry": feature["geometry"],
                "strength": strengths.get(style.class_of(row), strengths["gas-c"]),
                "places": places(lon, lat),
                "species": sorted(gases & {target} or gases),
            }
        )
    return found


def _gas(text: str, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """Return a gas series by columns, and how far its threshold lies above the background."""
    species, unit, rows = layers_module.gas_cells(text)
    cells = dict(zip(columns.GAS_CELLS, zip(*rows, strict=True), strict=True)) if rows else {}
    times = [dt.datetime.fromisoformat(each) for each in cells.get("time", ())]
    start = times[0] if times else dt.datetime.fromtimestamp(0, dt.UTC)
    value, background, z = (_numbers(cells.get(name, ())) for name in ("value", "background", "z"))
    limit = None
    if species in thresholds and np.isfinite(z).any():
        far = np.abs(z) > 1.0
        noise = np.median((value - background)[far] / z[far]) if far.any() else math.nan
        limit = _rounded(np.array([noise * thresholds[species]]))[0]
    return {
        "species": species,
        "unit": unit,
        "start": round(start.timestamp() * 1000.0),
        "time": [round((each - start).total_seconds() * 1000.0) for each in times],
        "lon": _listed(_numbers(cells.get("lon", ()))),
        "lat": _listed(_numbers(cells.get("lat", ()))),
        "value": _listed(value),
        "background": _listed(background),
        "limit": limit,
    }


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    return np.array([float(each) if each else math.nan for each in cells], dtype=np.float64)


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers as JSON has them: None where there is none."""
    return [each if math.isfinite(each) else None for each in values.tolist()]


def _rounded(values: NDArray[np.floating]) -> list[float | None]:
    return [float(f"{each:.{VALUE_DIGITS}g}") if math.isfinite(each) else None for each in values.tolist()]


def ground_overlays(layers: Layers) -> list[dict[str, Any]]:
    """Return the pictures under the hotspots: quicklooks first, then gas maps, then scores.

    The dearest part of :func:`page_data`; map page and report of one run share them.
    """
    found = [_picture(thinning.thin_picture(each)) for each in layers.pictures[:MAX_PICTURES]]
    for source in (*layers.maps, *layers.rasters):
        if len(found) == MAX_OVERLAYS:
            break
        raster = thinning.thin(source)
        overlay = _overlay(raster)
        if overlay is not None:
            found.append(overlay)
    return found


def _overlay(raster: GroundRaster) -> dict[str, Any] | None:
    values, (west, south, east, north) = kmz.to_lonlat_grid(raster, mercator=True)
    if not np.isfinite(values).any():
        return None
    low, high = style.value_range(values)
    return {
        "name": f"{raster.name.split('__')[0]}: {raster.description}",
        "unit": raster.unit,
        "url": _data_url(png(style.colored(values))),
        "bounds": [[south, west], [north, east]],
        "low": low,
        "high": high,
        "picture": False,
    }


def _picture(picture: GroundPicture) -> dict[str, Any]:
    seen = picture.rgba[3] > 0
    grid = kmz.lonlat_grid(seen.shape, picture.transform, picture.crs, mercator=True)
    west, south, east, north = grid.box
    shown = np.where(seen, picture.rgba, np.uint8(0))
    shown[3] = np.where(seen, np.uint8(255), np.uint8(0))
    rgba = np.stack([grid.pick(channel, np.uint8(0)) for channel in shown], axis=-1)
    return {
        "name": picture.description.partition(";")[0],
        "unit": "",
        "url": _data_url(png(rgba)),
        "bounds": [[south, west], [north, east]],
        "low": None,
        "high": None,
        "picture": True,
    }


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _json(value: object) -> str:
    """Return JSON that cannot end the element it stands in (HTML, section 4.12.1.3)."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _script(name: str) -> str:
    """Return a script without the comment that names a map of its source, which nobody has."""
    lines = _asset(name).splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL="))


def _stylesheet(name: str) -> str:
    """Return a style sheet without the pictures that it would ask for."""
    text = _asset(name)
    for picture in ("images/layers.png", "images/layers-2x.png", "images/marker-icon.png"):
        text = text.replace(f"url({picture})", "none")
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return resources.files("dronesense.writers").joinpath("page", *name.split("/")).read_text("utf-8")
