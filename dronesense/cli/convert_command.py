"""``dronesense convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from dronesense.errors import EvidenceError

FORMATS: Final = {
    "gpkg": ".gpkg",
    "kmz": ".kmz",
    "fgb": ".fgb",
    "geojson": ".geojson",
    "qml": ".qml",
    "stac": ".stac.json",
    "cot": ".cot.zip",
}
"""Format -> end of the file name."""


@click.command("convert")
@click.argument("layer", metavar="LAYER", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-f", "--format", "kind", required=True, type=click.Choice(list(FORMATS)), help="Format to write."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; default: beside the layer (.reviewed where the run has one of that name).",
)
def command(layer: Path, kind: str, output: Path | None) -> int:
    """Write the hotspots at LAYER in another format, with what people decided about them.

    LAYER is hotspots.geojson, a products folder or a flight folder; for qml also a GeoTIFF. Products that a
    run sealed in run.json are never overwritten.
    """
    source = _layer(layer, kind)
    target = output or source.with_name(f"{source.stem}{FORMATS[kind]}")
    if output is None and _is_sealed(target):
        target = source.with_name(f"{source.stem}.reviewed{FORMATS[kind]}")
    if _is_sealed(target):
        raise EvidenceError(
            "is a product that run.json seals with its hash", where=target, fix="name another file with -o"
        )
    _write(source, kind, target)
    click.echo(target)
    return 0


def _layer(layer: Path, kind: str) -> Path:
    if kind == "qml" and layer.suffix.lower() in (".tif", ".tiff"):
        return layer
    from dronesense.writers.layers import find

    return find(layer)


def _write(source: Path, kind: str, target: Path) -> None:
    from dronesense.writers import layers as layers_module

    if kind == "qml":
        from dronesense.writers.side_style import write_side_style

        write_side_style(source, target)
        return
    layers = layers_module.from_path(source)
    if kind == "geojson":
        from dronesense.writers.atomic import write_bytes
        from dronesense.writers.geojson import to_bytes

        write_bytes(target, to_bytes(layers.collection))
    elif kind == "stac":
        from dronesense.writers import stac

        stac.write_layers(layers, source, target)
    else:
        from dronesense.writers import cot, flatgeobuf, gpkg, kmz

        {"gpkg": gpkg, "kmz": kmz, "fgb": flatgeobuf, "cot": cot}[kind].write_layers(layers, target)


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
