"""How layers look, defined once: QGIS styles (``.qml``) and KML draw from the same classes and colors.

A class says what the evidence is and how strong, in words that promise nothing more. Colors are from Okabe
and Ito's palette (jfly.uni-koeln.de/color), which people with any kind of color vision tell apart; rasters
use stops of the map "viridis" (CC0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from dronesense.writers.columns import Column
from dronesense.writers.markup import add, root, to_bytes

QML_HEAD: Final = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
QML_VERSION: Final = "3.22.0"
"""Oldest QGIS that reads what is written here."""
KINDS: Final = {
    "gas": ("#0072B2", "gas (where the air was, not its source)"),
    "spectral": ("#D55E00", "spectral"),
    "fused": ("#CC79A7", "gas and spectral together"),
}
"""Kind of evidence -> color, words."""
UNKNOWN_KIND: Final = ("#555555", "other evidence")
STRENGTHS: Final = (
    (0.001, "a", "q < 0.001", 1.0),
    (0.05, "b", "q < 0.05", 0.7),
    (float("inf"), "c", "q from 0.05, or unknown", 0.45),
)
"""Upper limit of the q-value, key, words, size relative to the strongest."""
MARKER_MM: Final = 4.2
LINE_MM: Final = 1.2
REJECTED_PERCENT: Final = 20
"""Opacity of what a person has rejected."""
RAMP: Final = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
RANGE_PERCENT: Final = (2.0, 99.9)
"""Percentiles of the values at the ends of the ramp: the faint is cut, the strongest pixels are not."""
SHAPE_NUMBER: Final = {"Point": 0, "MultiLineString": 1, "MultiPolygon": 2}
"""QGIS's numbers of kinds of geometry."""


@dataclass(frozen=True, slots=True)
class Class:
    """Features that look alike.

    Parameters
    ----------
    key : str
        What the rule of the style gives for them.
    label : str
        In the legend.
    color : str
        ``#rrggbb``.
    size : float
        Relative to the largest, 0 to 1.
    """

    key: str
    label: str
    color: str
    size: float = 1.0


@dataclass(frozen=True, slots=True)
class Style:
    """How a layer looks.

    Parameters
    ----------
    rule : str
        QGIS expression that gives the key of a feature's class.
    classes : tuple of Class
        In the order of the legend.
    label : str
        QGIS expression of the text beside a feature; empty for none.
    tip : str
        HTML with QGIS expressions, shown over a feature.
    opacity : str
        QGIS expression of the opacity in per cent; empty for opaque.
    filled : bool
        Whether areas are filled, thinly.
    """

    rule: str
    classes: tuple[Class, ...]
    label: str = ""
    tip: str = ""
    opacity: str = ""
    filled: bool = True


def class_of(properties: Mapping[str, Any]) -> str:
    """Return the key of the class of a hotspot.

    >>> class_of({"kind": "gas", "q_value": 0.01}), class_of({"kind": "spectral", "q_value": None})
    ('gas-b', 'spectral-c')
    """
    q = properties.get("q_value")
    strength = next(key for limit, key, _, _ in STRENGTHS if (q is not None and q < limit) or key == "c")
    return f"{properties.get('kind')}-{strength}"


def classes(kinds: Iterable[str]) -> tuple[Class, ...]:
    """Return the classes of hotspots of *kinds*; of every kind when there is none."""
    wanted = set(kinds) or set(KINDS)
    order = [*KINDS, *sorted(wanted - set(KINDS))]
    return tuple(
        Class(f"{kind}-{key}", f"{words}: {strength}", color, size)
        for kind in order
        if kind in wanted
        for color, words in [KINDS.get(kind, UNKNOWN_KIND)]
        for _, key, strength, size in STRENGTHS
    )


def hotspots(kinds: Iterable[str], *, labels: bool) -> Style:
    """Return the style of the hotspots: color by kind of evidence, size by q-value, faint when rejected."""
    cases = " ".join(f"WHEN \"q_value\" < {limit:g} THEN '{key}'" for limit, key, _, _ in STRENGTHS[:-1])
    tip = (
        '<b>[% "target" %]</b> [% "kind" %], [% "status" %]<br>'
        "q-value [% coalesce(\"q_value\", 'unknown') %],"
        " error 90 % [% coalesce(\"ce90_m\", 'unknown') %] m<br>[% \"flags\" %]<br>"
        "<i>An indication with its limits, never proof.</i>"
    )  # fmt: skip
    return Style(
        rule=f"\"kind\" || '-' || CASE {cases} ELSE '{STRENGTHS[-1][1]}' END",
        classes=classes(kinds),
        label=(
            "\"target\" || CASE WHEN \"status\" = 'candidate' THEN ' ?' ELSE ' (' || \"status\" || ')' END"
            " || coalesce(' ±' || round(\"ce90_m\", 1) || ' m', '')"
        )
        if labels
        else "",
        tip=tip,
        opacity=f"CASE WHEN \"status\" = 'rejected' THEN {REJECTED_PERCENT} ELSE 100 END",
    )


GAS: Final = Style(
    rule="CASE WHEN \"flags\" <> '' THEN 'flagged' WHEN \"z\" IS NULL THEN 'plain' "
    "WHEN \"z\" >= 5 THEN 'high' WHEN \"z\" >= 3 THEN 'raised' ELSE 'background' END",
    classes=(
        Class("high", "5 sigma over the background or more", "#D55E00", 0.6),
        Class("raised", "3 to 5 sigma over the background", "#E69F00", 0.5),
        Class("background", "background", "#56B4E9", 0.35),
        Class("plain", "not searched", "#999999", 0.35),
        Class("flagged", "flagged: not to be trusted", "#000000", 0.25),
    ),
    tip="<b>[% \"species\" %]</b> [% \"value\" %] [% \"unit\" %]<br>[% \"time\" %]<br>[% \"flags\" %]",
)  # fmt: skip
TRACK: Final = Style("'track'", (Class("track", "flown track", "#555555", 0.4),))
COVERAGE: Final = Style(
    "'coverage'", (Class("coverage", "looked at by cameras", "#009E73", 0.3),), filled=False
)


def of_table(name: str, kinds: Iterable[str]) -> Style:
    """Return the style of the table *name*; *kinds* of evidence are those of its features."""
    plain = {"gas_samples": GAS, "track": TRACK, "coverage": COVERAGE}
    return plain[name] if name in plain else hotspots(kinds, labels=name == "hotspot_points")


def qml(style: Style, shape: str, columns: Sequence[Column]) -> bytes:
    """Return *style* as a QGIS layer style for features of *shape*, with aliases of the *columns*."""
    document = root("qgis", {"version": QML_VERSION, "labelsEnabled": str(int(bool(style.label)))})
    document.set("styleCategories", "Symbology|Labeling|Fields|MapTips|AttributeTable")
    renderer = add(document, "renderer-v2", attributes={"type": "categorizedSymbol", "attr": style.rule})
    legend, symbols = add(renderer, "categories"), add(renderer, "symbols")
    for number, each in enumerate(style.classes):
        add(legend, "category", attributes={
            "symbol": str(number), "value": each.key, "label": each.label, "render": "true", "type": "string",
        })  # fmt: skip
        _symbol(symbols, str(number), each, style, shape)
    if style.label:
        _labeling(document, style.label)
    aliases = add(document, "aliases")
    for index, column in enumerate(columns):
        add(aliases, "alias", attributes={"field": column.name, "index": str(index), "name": column.alias})
    add(document, "mapTip", style.tip)
    add(document, "layerGeometryType", str(SHAPE_NUMBER[shape]))
    return to_bytes(document, head=QML_HEAD)


def _symbol(parent: Element, name: str, each: Class, style: Style, shape: str) -> None:
    kind = {"Point": "marker", "MultiLineString": "line", "MultiPolygon": "fill"}[shape]
    symbol = add(parent, "symbol", attributes={"type": kind, "name": name, "alpha": "1"})
    if style.opacity:
        _data_defined(add(symbol, "data_defined_properties"), "alpha", style.opacity)
    color, clear = f"{_rgb(each.color)},255", f"{_rgb(each.color)},{70 if style.filled else 0}"
    options = {
        "marker": {
            "name": "circle", "color": color, "outline_color": "255,255,255,255", "outline_width": "0.3",
            "outline_width_unit": "MM", "size": f"{MARKER_MM * each.size:g}", "size_unit": "MM",
        },
        "line": {"line_color": color, "line_width": f"{LINE_MM * each.size:g}", "line_width_unit": "MM"},
        "fill": {
            "color": clear, "outline_color": color, "outline_style": "solid", "style": "solid",
            "outline_width": f"{LINE_MM * each.size:g}", "outline_width_unit": "MM",
        },
    }[kind]  # fmt: skip
    names = {"marker": "SimpleMarker", "line": "SimpleLine", "fill": "SimpleFill"}
    layer = add(
        symbol, "layer", attributes={"class": names[kind], "enabled": "1", "locked": "0", "pass": "0"}
    )
    table = add(layer, "Option", attributes={"type": "Map"})
    for option, value in options.items():
        add(table, "Option", attributes={"name": option, "type": "QString", "value": value})


def _data_defined(parent: Element, name: str, expression: str) -> None:
    outer = add(parent, "Option", attributes={"type": "Map"})
    add(outer, "Option", attributes={"name": "name", "type": "QString", "value": ""})
    inner = add(outer, "Option", attributes={"name": "properties", "type": "Map"})
    rule = add(inner, "Option", attributes={"name": name, "type": "Map"})
    for option, kind, value in (
        ("active", "bool", "true"),
        ("expression", "QString", expression),
        ("type", "int", "3"),
    ):
        add(rule, "Option", attributes={"name": option, "type": kind, "value": value})
    add(outer, "Option", attributes={"name": "type", "type": "QString", "value": "collection"})


def _labeling(document: Element, expression: str) -> None:
    settings = add(add(document, "labeling", attributes={"type": "simple"}), "settings")
    text = add(settings, "text-style", attributes={
        "fieldName": expression, "isExpression": "1", "fontSize": "8", "fontSizeUnit": "Point",
        "textColor": "0,0,0,255", "textOpacity": "1", "fontWeight": "50",
    })  # fmt: skip
    add(text, "text-buffer", attributes={
        "bufferDraw": "1", "bufferSize": "0.8", "bufferSizeUnits": "MM", "bufferColor": "255,255,255,255",
        "bufferOpacity": "1",
    })  # fmt: skip
    add(settings, "placement", attributes={"placement": "0", "dist": "1", "distUnits": "MM"})
    add(settings, "rendering", attributes={"drawLabels": "1", "obstacle": "1"})


def raster_qml(values: NDArray[np.float32], label: str) -> bytes:
    """Return a QGIS style for the first band of a raster of *values*; *label*: quantity, unit."""
    low, high = value_range(values)
    document = root("qgis", {"version": QML_VERSION, "styleCategories": "Symbology"})
    renderer = add(add(document, "pipe"), "rasterrenderer", attributes={
        "type": "singlebandpseudocolor", "band": "1", "opacity": "1", "alphaBand": "-1",
        "classificationMin": f"{low:.6g}", "classificationMax": f"{high:.6g}", "nodataColor": "",
    })  # fmt: skip
    shader = add(add(renderer, "rastershader"), "colorrampshader", attributes={
        "colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0", "labelPrecision": "6",
        "minimumValue": f"{low:.6g}", "maximumValue": f"{high:.6g}",
    })  # fmt: skip
    for share, color in zip(np.linspace(0.0, 1.0, len(RAMP)).tolist(), RAMP, strict=True):
        value = low + share * (high - low)
        words = f"{value:.4g} {label}" if share in (0.0, 1.0) else f"{value:.4g}"
        add(shader, "item", attributes={
            "value": f"{value:.6g}", "color": color, "alpha": "255", "label": words,
        })  # fmt: skip
    return to_bytes(document, head=QML_HEAD)


def value_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the values at the ends of the color ramp; 0 and 1 where there is none."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known.astype(np.float64), RANGE_PERCENT).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def colored(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return *values* (ny, nx) as red, green, blue, opacity (ny, nx, 4); clear where there is none."""
    low, high = value_range(values)
    stops = np.array([[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in RAMP], dtype=np.float64)
    share = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0.0, 1.0) * (len(RAMP) - 1)
    channels = [np.interp(share, np.arange(len(RAMP)), stops[:, k]) for k in range(3)]
    opaque = np.where(np.isfinite(values), 255.0, 0.0)
    return np.round(np.stack([*channels, opaque], axis=-1)).astype(np.uint8)


def _rgb(color: str) -> str:
    return ",".join(str(int(color[k : k + 2], 16)) for k in (1, 3, 5))
