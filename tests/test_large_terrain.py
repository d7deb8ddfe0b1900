"""A height model of 2 GB: only the window under the flight is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from dronesense import geodesy

SIDE = 22_400
CRS = "EPSG:32632"
LEFT, TOP = 600_000.0, 5_330_000.0

SCRIPT = """
import sys
from pathlib import Path
from dronesense.geotag.terrain import Surface
from dronesense.readers.height_model import read_terrain

def peak_mib():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

import rasterio, pyproj, dronesense.geodesy  # what is loaded once, whatever the file
with rasterio.open(sys.argv[1]) as source:
    source.read(1, window=((0, 1), (0, 1)))
before = peak_mib()
bounds = tuple(float(each) for each in sys.argv[2:6])
terrain, _ = read_terrain(
    Path(sys.argv[1]), label="dem", bounds=bounds, height_ref="ellipsoid", sigma_m=0.5
)
surface = Surface(terrain)
surface.steepness
print(peak_mib() - before, terrain.height_m.shape[0], terrain.height_m.shape[1], surface.high)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux' /proc")
def test_memory_is_that_of_the_window(tmp_path: Path) -> None:
    path = tmp_path / "dem.tif"
    shape = {"width": SIDE, "height": SIDE, "count": 1, "dtype": "float32", "crs": CRS}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        tiled=True,
        sparse_ok=True,
        transform=rasterio.Affine(1.0, 0.0, LEFT, 0.0, -1.0, TOP),
        **shape,
    ) as sink:
        hill = np.full((512, 512), 450.0, dtype=np.float32)
        sink.write(hill, 1, window=((11_008, 11_520), (11_008, 11_520)))
    assert SIDE**2 * 4 > 2e9
    lon, lat = geodesy.to_lonlat(
        np.array([LEFT + 10_700.0, LEFT + 11_800.0]), np.array([TOP - 11_800.0, TOP - 10_700.0]), CRS
    )
    bounds = [str(each) for each in (lon[0], lat[0], lon[1], lat[1])]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), *bounds], capture_output=True, text=True, check=True
    )
    grown, rows, cols, high = (float(each) for each in done.stdout.split())
    assert 1100 <= rows <= 1150
    assert 1100 <= cols <= 1150
    assert high == 450.0
    # 1.2 million heights: 10 MB as float64, a few times that for the pyramids; the file is 2 GB.
    assert grown < 150.0
