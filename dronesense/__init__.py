"""dronesense: from a drone's SD card to a hotspot layer that says how sure it is.

>>> import dronesense as ds
>>> flight = ds.open_flight("flights/demo")          # doctest: +SKIP
>>> layer = ds.process(flight)                       # doctest: +SKIP
>>> layer.write("hotspots.geojson")                  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dronesense.errors import DronesenseError
    from dronesense.manifest import open_flight
    from dronesense.pipeline import process

__version__ = "0.1.0"
__all__ = ["DronesenseError", "open_flight", "process", "tune"]

_HOME = {
    "DronesenseError": "dronesense.errors",
    "open_flight": "dronesense.manifest",
    "process": "dronesense.pipeline",
    "tune": "dronesense.plot.tuning",
}


def __getattr__(name: str) -> Any:
    """Import the public functions on first use: ``--help`` must not wait for numpy."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
