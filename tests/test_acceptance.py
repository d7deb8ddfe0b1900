"""Planted truth: what a synthetic flight holds is found, placed and sized as stated; look-alikes are not.

One seed on every run; twenty with ``make test-slow``. ``benchmarks/seeds.py`` prints the figures.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def seeds() -> ModuleType:
    """The script ``benchmarks/seeds.py`` as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "seeds.py"
    spec = importlib.util.spec_from_file_location("seeds", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["seeds"] = module
    spec.loader.exec_module(module)
    return module


def test_one_flight(seeds: ModuleType) -> None:
    flight = seeds.evaluate(7)
    assert flight.rejected == []
    assert all(flight.large)
    assert sum(flight.small) >= 0.8 * len(flight.small)
    assert flight.n_false <= 2 * flight.implied
    assert flight.plume_found
    assert abs(flight.clock_error_s) <= 0.3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_flights(seeds: ModuleType) -> None:
    figures = seeds.summarize([seeds.evaluate(seed) for seed in range(20)])
    assert figures["large_found"] == 1.0
    assert figures["small_found"] >= 0.8
    assert figures["false_per_flight"] <= 2 * figures["implied_per_flight"]
    assert figures["confusers_shown_of_planted"] <= 0.1
    assert figures["confusers_of_hotspots"] <= 0.1
    assert figures["median_error_m"] <= figures["gsd_m"] + 0.05
    assert 0.85 <= figures["inside_ce90"] <= 0.95
    assert figures["plume_found"] == 1.0
    assert figures["plume_within_3_sigma"] >= 0.9
    assert figures["worst_clock_error_s"] <= 0.3
