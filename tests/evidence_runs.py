"""A flight folder with raw files and the products of a run, small, and sealed by the real run manifest."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path
from types import ModuleType

from dronesense import evidence
from dronesense.model import Flight, InputFile


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITER = sibling("layer_writer")
STARTED = dt.datetime(2026, 6, 14, 12, tzinfo=dt.UTC)


def run(flight: Path) -> Path:
    """Write raw files and products into the folder *flight* and return the products."""
    from dronesense.writers import gpkg

    raw = {"raw/log.bin": b"log" * 50, "raw/gas.csv": b"time,ch4\n1,2\n", "raw/l1.bil": bytes(range(256))}
    for name, data in raw.items():
        (flight / name).parent.mkdir(parents=True, exist_ok=True)
        (flight / name).write_bytes(data)
    layer = WRITER.layer(*WRITER.three())
    folder = WRITER.products(flight / "products", layer)
    assert isinstance(folder, Path)
    gpkg.write(layer, folder / "hotspots.gpkg")
    opened = Flight(
        id="2026-06-14-steppe", root=flight, trajectory=None,
        inputs=tuple(InputFile(name, "raw") for name in raw),
        settings={"detect": [{"threshold": {"value": 0.1 + 0.2, "origin": "flight.toml"}}]},
    )  # fmt: skip
    made = evidence.run_manifest(
        opened, layer, folder, started=STARTED, finished=STARTED + dt.timedelta(seconds=30)
    )
    evidence.write(made, folder / evidence.RUN_NAME)
    return folder
