"""Real QGIS opens the layers: valid, in place, styled, with headings for people, and draws them.

QGIS has a Python of its own, so the checks run there in a process without a screen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dronesense.writers import gpkg, layers, side_style

sys.path.insert(0, str(Path(__file__).parent))
import layer_writer as maker

pytest.importorskip("pyogrio")
CHECK = """
import json, sys
from pathlib import Path
from qgis.core import *
from qgis.PyQt.QtCore import QSize
folder, target = Path(sys.argv[1]), Path(sys.argv[2])
application = QgsApplication([], False)
application.initQgis()
found, shown = {}, []
sources = {name: (f"{folder}/hotspots.gpkg|layername={name}")
           for name in "hotspot_points hotspot_lines hotspots gas_samples track coverage".split()}
sources["geojson"] = f"{folder}/hotspots.geojson|geometrytype=Polygon"
for name, source in sources.items():
    layer = QgsVectorLayer(source, name, "ogr")
    box = layer.extent()
    found[name] = {
        "valid": layer.isValid(), "crs": layer.crs().authid(), "count": layer.featureCount(),
        "renderer": layer.renderer().type(), "legend": [c.label() for c in layer.renderer().categories()],
        "symbols": sorted({s.type() for s in layer.renderer().symbols(QgsRenderContext())}),
        "labels": layer.labelsEnabled(), "tip": layer.mapTipTemplate(),
        "aliases": {f.name(): layer.attributeAlias(i) for i, f in enumerate(layer.fields())},
        "types": {f.name(): f.typeName() for f in layer.fields()},
        "box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
    }
    rule = QgsExpression(layer.renderer().classAttribute())
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    keys = {c.value() for c in layer.renderer().categories()}
    classes = []
    for feature in layer.getFeatures():
        context.setFeature(feature)
        classes.append(rule.evaluate(context))
    found[name]["unclassed"] = [each for each in classes if each not in keys]
    if layer.labelsEnabled():
        text = QgsExpression(layer.labeling().settings().fieldName)
        found[name]["texts"] = []
        for feature in layer.getFeatures():
            context.setFeature(feature)
            found[name]["texts"].append(text.evaluate(context))
    shown.append(layer)
for path in sorted(folder.rglob("*.tif")):
    layer = QgsRasterLayer(str(path), path.stem)
    box = layer.extent()
    found[path.stem] = {
        "valid": layer.isValid(), "crs": layer.crs().authid(), "renderer": layer.renderer().type(),
        "nodata": layer.dataProvider().sourceHasNoDataValue(1), "band": layer.bandName(1),
        "box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
    }
    shown.append(layer)
settings = QgsMapSettings()
settings.setLayers(shown)
settings.setOutputSize(QSize(400, 300))
settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
extent = shown[0].extent()
extent.grow(3e-4)
settings.setExtent(extent)
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
image.save(str(target / "map.png"))
found["colors"] = sorted({image.pixelColor(x, y).name() for x in range(400) for y in range(300)})
(target / "found.json").write_text(json.dumps(found))
sys.stdout.flush()
import os
os._exit(0)  # QGIS may crash while it takes itself down
"""


def qgis_python() -> str | None:
    """Return a Python that has QGIS: named by QGIS_PYTHON, or of the system."""
    for python in (os.environ.get("QGIS_PYTHON"), "/usr/bin/python3", shutil.which("python3")):
        if python and Path(python).is_file():
            asked = subprocess.run([python, "-c", "import qgis.core"], capture_output=True, check=False)
            if asked.returncode == 0:
                return python
    return None


@pytest.mark.slow
def test_qgis_opens_everything_styled_and_in_place(tmp_path: Path) -> None:
    python = qgis_python()
    if python is None:
        pytest.skip("no Python with QGIS here (Debian: python3-qgis; or name one in QGIS_PYTHON)")
    folder = maker.products(tmp_path / "products")
    gpkg.write_layers(layers.from_path(folder), folder / "hotspots.gpkg")
    for product in (folder / "hotspots.geojson", *folder.rglob("*.tif")):
        side_style.write_side_style(product)
    before = (folder / "hotspots.gpkg").read_bytes()
    done = subprocess.run(
        [python, "-c", CHECK, str(folder), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (tmp_path / "found.json").is_file(), done.stderr
    assert "may only be partially supported" not in done.stderr
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    counts = {
        "hotspot_points": 3,
        "hotspot_lines": 1,
        "hotspots": 1,
        "gas_samples": 2,
        "track": 1,
        "coverage": 1,
    }
    symbol = {
        "hotspot_points": 0,
        "hotspot_lines": 1,
        "hotspots": 2,
        "gas_samples": 0,
        "track": 1,
        "coverage": 2,
    }
    for name, count in counts.items():
        layer = found[name]
        assert (layer["valid"], layer["crs"], layer["count"]) == (True, "EPSG:4326", count), name
        assert layer["renderer"] == "categorizedSymbol", name
        assert layer["symbols"] == [symbol[name]], name
        assert layer["unclassed"] == [], name
        west, south, east, north = layer["box"]
        assert maker.LON - 1e-5 <= west <= east <= maker.LON + 7e-4, name
        assert maker.LAT - 1e-4 <= south <= north <= maker.LAT + 3e-4, name
    points = found["hotspot_points"]
    assert points["aliases"]["ce90_m"] == "Error 90 % (m)"
    assert points["types"]["start"] == "DateTime"
    assert points["labels"]
    assert points["texts"][:2] == ["blue-cover ? ±0.4 m", "CH4 ? ±0.4 m"]
    assert "never proof" in points["tip"]
    assert "gas (where the air was, not its source): q < 0.05" in points["legend"]
    assert found["geojson"]["renderer"] == "categorizedSymbol"
    assert found["geojson"]["aliases"]["q_value"] == "q-value"
    for name in ("line_1__blue-cover", "CH4_map"):
        raster = found[name]
        assert (raster["valid"], raster["crs"]) == (True, maker.CRS)
        assert raster["renderer"] == "singlebandpseudocolor"
        assert raster["nodata"]
        a, _, x, _, e, y = maker.grid("g").transform
        assert raster["box"] == pytest.approx([x, y + 40 * e, x + 60 * a, y], abs=1e-6)
    assert "#d55e00" in found["colors"]  # a spectral hotspot is drawn in its color
    assert len(found["colors"]) > 20  # and the rasters under it
    assert (folder / "hotspots.gpkg").read_bytes() == before
