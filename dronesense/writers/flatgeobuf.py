"""The hotspots as FlatGeobuf, which web maps stream. The plug-in "fgb" of ``dronesense.writers``.

A FlatGeobuf holds one layer of one kind of geometry: the points, which every hotspot has.
"""

from __future__ import annotations

from pathlib import Path

from dronesense.errors import EvidenceError
from dronesense.model import HotspotLayer
from dronesense.writers import layers as layers_module
from dronesense.writers import ogr
from dronesense.writers.atomic import replacing
from dronesense.writers.layers import Layers
from dronesense.writers.markup import clean


def write(layer: HotspotLayer, path: Path) -> None:
    """Write the hotspots of *layer* to *path* as points.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written.
    """
    write_layers(layers_module.from_layer(layer), path)


def write_layers(layers: Layers, path: Path) -> None:
    """Write the hotspots of *layers* to *path* as points.

    Raises
    ------
    EvidenceError
        If what was read back differs from what was written.
    OSError
        If the disk is full or the folder cannot be written.
    """
    points, _, _ = layers_module.hotspot_tables(layers)
    with replacing(path) as temporary:
        ogr.write_table(points, temporary, driver="FlatGeobuf", append=False)
        if sorted(ogr.read_texts(temporary, "id")) != sorted(
            clean(str(each)) for each in points.values["id"]
        ):
            raise EvidenceError("does not read back as it was written", where=path, fix="check the disk")
