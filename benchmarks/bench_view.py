"""The offline page in Chromium: bytes, and milliseconds from the start of navigation until it is ready.

    python benchmarks/bench_view.py [--rounds 3]

Made-up layers of 300 hotspots with 6,000 gas samples and 5,000 with 40,000, spectra of 270 bands at the 300
best, one picture; opened from the disk without network by playwright in the installed Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from machine import describe, table
from playwright.sync_api import sync_playwright

from dronesense.model import GroundRaster
from dronesense.writers import view
from dronesense.writers.layers import Layers

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZES = ((300, 6_000), (5_000, 40_000))
SPECTRA, BANDS = 300, 270
LON, LAT, SIDE_DEG = 76.9, 43.25, 0.01
SPHERE_M_PER_DEG = 111_320.0


def layers(hotspots: int, samples: int) -> Layers:
    rng = np.random.default_rng(1)
    features = []
    for number in range(hotspots):
        lon, lat = LON + SIDE_DEG * rng.random(), LAT + SIDE_DEG * rng.random()
        ring = [[lon + 2e-6 * a, lat + 2e-6 * b] for a, b in ((0, 0), (5, 0), (6, 4), (1, 5), (0, 0))]
        row = {
            "id": f"{number:012x}", "target": "cover", "kind": "spectral", "method": "ace",
            "score": 1.0 - number / hotspots, "p_value": 1e-6, "q_value": 1e-3, "value": 0.5,
            "unit": "fraction",
            "value_sigma": 0.1, "n_pixels": 9, "n_samples": None, "n_passes": 1, "area_m2": 1.0, "lon": lon,
            "lat": lat, "height_m": 300.0, "ce90_m": 0.4, "ellipse_major_m": 0.2, "ellipse_minor_m": 0.1,
            "ellipse_azimuth_deg": 20.0, "start": "2026-06-14T10:00:00.000Z",
            "end": "2026-06-14T10:00:01.000Z",
            "flight": "made-up", "sources": "a.hdr#line 1 sample 2", "status": "candidate", "flags": "",
        }  # fmt: skip
        features.append(
            {
                "type": "Feature",
                "id": row["id"],
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": row,
            }
        )
    heading = (
        "time_utc,lon_deg,lat_deg,height_m,CH4_ppm,CH4_sigma_ppm,CH4_background_ppm,z,flags,source,row\n"
    )
    stamps = np.datetime_as_string(
        np.datetime64("2026-06-14T10:00:00.000") + 100 * np.arange(samples), unit="ms"
    )
    lines = [
        f"{stamp}Z,{LON + SIDE_DEG * i / samples:.7f},{LAT:.7f},300,2.{i % 97:02d},0.01,2,0.5,,a.csv,{i + 2}"
        for i, stamp in enumerate(stamps)
    ]
    side = SIDE_DEG * SPHERE_M_PER_DEG / 1000.0
    values = rng.random((1000, 1000)).astype(np.float32)
    raster = GroundRaster(
        "a__cover", values, (side, 0.0, 653_000.0, 0.0, -side, 4_791_000.0), "EPSG:32643", "1", "score"
    )
    collection = {"type": "FeatureCollection", "features": features}
    return Layers("made-up", collection, None, (heading + "\n".join(lines) + "\n",), (raster,), ())


def about(made: Layers) -> view.About:
    rng = np.random.default_rng(2)
    names = ("pixel", "background", "signature")
    spectra = {}
    for feature in made.features[:SPECTRA]:
        lists = {name: [float(f"{each:.6g}") for each in rng.random(BANDS)] for name in names}
        center = np.linspace(400.0, 1000.0, BANDS).round(3).tolist()
        more = {"center_nm": center, "fwhm_nm": [3.0] * BANDS, "good": [True] * BANDS, "fill": 0.5}
        spectra[feature["id"]] = [
            {"cube": "a", "source": "a.hdr#line 1 sample 2", "unit": "reflectance", **more, **lists}
        ]
    return view.About(run="made-up", spectra=spectra, thresholds={"CH4": 5.0})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is not installed")
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        for hotspots, samples in SIZES:
            made = layers(hotspots, samples)
            path = Path(folder) / f"{hotspots}.html"
            view.write(made, path, about=about(made))
            data = len(json.dumps(view.page_data(made, about(made)), separators=(",", ":")))
            ready = []
            for _ in range(rounds):
                page = browser.new_context(offline=True).new_page()
                page.goto(path.as_uri())
                page.wait_for_selector("html[data-ready=yes]")
                ready.append(page.evaluate("dronesense.ready_ms"))
                page.context.close()
            size = path.stat().st_size
            rows.append([str(hotspots), str(samples), f"{size / 1e6:.2f}", f"{(size - data) / 1e3:.0f}",
                         f"{statistics.median(ready):.0f}"])  # fmt: skip
        browser.close()
    print(describe())
    table(["hotspots", "gas samples", "MB", "kB beside the data", "ms until ready"], rows)


if __name__ == "__main__":
    main()
