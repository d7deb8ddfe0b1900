"""``dronesense convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from dronesense.cli.sealed import unsealed

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
    target = unsealed(output, source.with_name(f"{source.stem}{FORMATS[kind]}"), end=FORMATS[kind])
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
