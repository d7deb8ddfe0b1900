"""The run as a document: one HTML page without scripts that every browser prints to PDF.

All text goes through the template, which escapes it; pictures are its own drawings (SVG) or data URIs.
Its content security policy allows no script at all. The same run gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import dronesense
from dronesense.languages import LANGUAGES, catalog, marked
from dronesense.writers import drawing, view, words
from dronesense.writers.atomic import write_bytes
from dronesense.writers.columns import HOTSPOT
from dronesense.writers.layers import Layers
from dronesense.writers.shrink import shrunk

NAME: Final = "report.html"
MOST_DRAWN: Final = 20
"""Hotspots with a drawing of what was measured there."""
MOST_LISTED: Final = 500
"""Hotspots in the table; all stand in hotspots.geojson."""
QUICKLOOK_BYTES: Final = 300_000
"""Of a picture on the page; larger ones are made smaller."""
MOST_QUICKLOOKS: Final = 12

KINDS: Final = {
    "gas": marked("gas (where the air was, not its source)"),
    "spectral": marked("spectral"),
    "fused": marked("gas and spectral together"),
}
STATUSES: Final = {
    "candidate": marked("candidate"),
    "confirmed": marked("confirmed by a person"),
    "rejected": marked("rejected by a person"),
}
GROUPS: Final = {
    "false_alarms": marked("How often chance makes a hotspot"),
    "positions": marked("How sure the places are"),
    "limits": marked("What could have been found: detection limits"),
    "calibration": marked("State of the calibration"),
    "coverage": marked("What was looked at, and what was not"),
    "other": marked("Further statements"),
}
"""Sections made of what the run says of itself."""


def write(
    layers: Layers,
    path: Path,
    *,
    about: view.About | None = None,
    manifest: Mapping[str, Any] | None = None,
    quicklooks: Sequence[Path] = (),
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> None:
    """Write the report of *layers* to *path*.

    Parameters
    ----------
    about : About, optional
        What the map page says beside the layers.
    manifest : mapping, optional
        Of the run, as in ``run.json``; sections about what it does not say stay empty and say so.
    quicklooks : sequence of Path
        PNG files, in the order in which they are shown.
    overlays : sequence of mapping, optional
        What :func:`.view.ground_overlays` gives for *layers*, when it is at hand.
    language : {"en", "ru", "kk"}
        Of headings and explanations. What the processing says of itself stays in English, as in ``run.json``.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    page = encode(
        layers,
        about or view.About(),
        manifest=manifest or {},
        quicklooks=quicklooks,
        overlays=overlays,
        language=language,
    )
    write_bytes(path, page)


def encode(
    layers: Layers,
    about: view.About,
    *,
    manifest: Mapping[str, Any],
    quicklooks: Sequence[Path] = (),
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> bytes:
    """Return the report that :func:`write` writes, UTF-8."""
    import jinja2

    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {', '.join(LANGUAGES)}, not {language!r}")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    said = catalog(language)
    environment.install_gettext_callables(said.gettext, said.ngettext, newstyle=True)  # type: ignore[attr-defined]
    style = _asset("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    template = environment.from_string(_asset("report.html.jinja"))
    page = template.render(
        language=language,
        policy=policy,
        style=style,
        **content(
            layers, about, manifest=manifest, quicklooks=quicklooks, overlays=overlays, language=language
        ),
    )
    return page.encode()


def content(
    layers: Layers,
    about: view.About,
    *,
    manifest: Mapping[str, Any],
    quicklooks: Sequence[Path] = (),
    overlays: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
) -> dict[str, Any]:
    """Return everything that the report shows, as the template takes it."""
    translate = catalog(language).gettext
    data = view.page_data(layers, about, overlays=overlays, language=language)
    hotspots = [_row(rank, each, translate) for rank, each in enumerate(data["hotspots"], start=1)]
    times = [text for text in (layers.begin(), layers.moment()) if text]
    return {
        "flight": layers.flight,
        "run": about.run,
        "layer_sha256": about.layer_sha256,
        "version": dronesense.__version__,
        "time_span": times if layers.begin() else [],
        "map": drawing.ground_map(data),
        "hotspots": hotspots[:MOST_LISTED],
        "unlisted": max(len(hotspots) - MOST_LISTED, 0),
        "closeups": [_closeup(row, spot, data) for row, spot in _pairs(hotspots, data)],
        "drawn": MOST_DRAWN,
        "groups": _groups(manifest, about, translate),
        "warnings": about.warnings,
        "rejected": about.rejected,
        "ignored": about.ignored,
        "quicklooks": _quicklooks(quicklooks),
        "unshown": [each.name for each in quicklooks[MOST_QUICKLOOKS:]],
        "methods": words.searches(manifest.get("statements")),
        "parameters": words.parameters(manifest.get("parameters")),
        "calibration": words.calibrations(manifest.get("calibration")),
        "inputs": words.rows(manifest.get("inputs"), ("path", "role", "bytes", "sha256")),
        "outputs": words.rows(manifest.get("outputs"), ("path", "bytes", "sha256")),
        "versions": words.table(manifest.get("versions")),
    }


def _pairs(rows: Sequence[dict[str, Any]], data: Mapping[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    return list(zip(rows, data["hotspots"], strict=True))[:MOST_DRAWN]


def _row(rank: int, spot: Mapping[str, Any], translate: words.Translate) -> dict[str, Any]:
    """Return a hotspot as the cells of the table."""
    places = spot["places"]
    kind, status = str(spot["kind"]), str(spot["status"])
    facts = [
        (translate(column.alias), words.cell(spot[column.name]))
        for column in HOTSPOT
        if spot[column.name] not in (None, "") and column.name not in ("flight", "lon", "lat")
    ]
    return {
        "rank": rank,
        "id": spot["id"],
        "target": words.cell(spot["target"]),
        "kind": translate(KINDS[kind]) if kind in KINDS else kind,
        "wgs84": places["WGS84"],
        "mgrs": places.get("MGRS", "-"),
        "ce90": words.number(spot["ce90_m"], ".1f"),
        "score": words.number(spot["score"], ".3g"),
        "q": words.number(spot["q_value"], ".1e"),
        "value": words.size(spot),
        "passes": words.cell(spot["n_passes"]),
        "seen": words.cell(spot["start"]),
        "status": translate(STATUSES[status]) if status in STATUSES else status,
        "flags": words.cell(spot["flags"]) if spot["flags"] else "",
        "places": list(places.items()),
        "facts": facts,
    }


def _closeup(row: dict[str, Any], spot: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hotspot with drawings of its spectra and of the gas while it was passed."""
    spectra = [drawing.spectrum(each) for each in data["spectra"].get(spot["id"], ())]
    gases = [drawing.trace(each, spot) for each in data["gas"] if each["species"] in spot["species"]]
    drawn = [chart for chart in (*spectra, *gases) if chart is not None] if spot["kind"] != "gas" else [
        chart for chart in gases if chart is not None
    ]  # fmt: skip
    return {**row, "charts": drawn[:2]}


def _groups(
    manifest: Mapping[str, Any], about: view.About, translate: words.Translate
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return (name, heading, statements) of each section; without a manifest all in one."""
    told = manifest.get("statements")
    if not isinstance(told, Mapping):
        return [("other", translate(GROUPS["other"]), list(about.statements))]
    sorted_out: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    for title, statement in told.items():
        sorted_out[words.GROUP_OF.get(title, "other")][title] = statement
    return [
        (name, translate(heading), words.statements(sorted_out[name], translate=translate))
        for name, heading in GROUPS.items()
    ]


def _quicklooks(paths: Iterable[Path]) -> list[dict[str, str]]:
    """Return the first pictures as data URIs, made smaller where they are large."""
    found = []
    for path in list(paths)[:MOST_QUICKLOOKS]:
        png = shrunk(path, QUICKLOOK_BYTES)
        found.append(
            {
                "name": path.name,
                "url": f"data:image/png;base64,{base64.b64encode(png).decode()}" if png else "",
            }
        )
    return found


def _asset(name: str) -> str:
    return resources.files("dronesense.writers").joinpath("page", name).read_text("utf-8")
