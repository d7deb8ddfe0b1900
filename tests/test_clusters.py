"""Crossings of one plume become one hotspot where they hang together, and only there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dronesense import synthetic
from dronesense.cli import run_cli
from dronesense.geotag.uncertainty import ce90, ellipse
from dronesense.hotspots import clusters
from dronesense.hotspots.merge import merge

pytestmark = pytest.mark.once

spec = importlib.util.spec_from_file_location("merge_makers", Path(__file__).with_name("test_merge.py"))
assert spec is not None
assert spec.loader is not None
makers = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = makers
spec.loader.exec_module(makers)


def crossings(count: int = 5, *, gap: float = 20.0, x: float = 0.0, first: float = 0.0) -> list[object]:
    """A plume crossed on parallel lines *gap* meters apart."""
    return [
        makers.event(x - 15.0, x + 15.0, gap * i, start=first + 60.0 * i, score=20.0 - i)
        for i in range(count)
    ]


def joined(*sightings: object, gas: str = "plumes"):
    return merge(sightings, flight="f", radius_m="auto", ce90=ce90, ellipse=ellipse, gas=gas)


def test_crossings_of_one_plume_are_one_and_two_plumes_two() -> None:
    near, far = crossings(), crossings(4, x=400.0, first=1000.0)
    assert len(joined(*near, *far, gas="crossings")) == 9
    found = joined(*near, *far)
    assert len(found) == 2
    assert sorted(each.n_passes for each in found) == [4, 5]
    assert sorted(len(each.sources) for each in found) == [4, 5]
    best = max(found, key=lambda each: each.score)
    assert best.score == 20.0  # place and score are those of the strongest crossing


def test_a_lone_event_stays_alone_and_the_order_does_not_matter() -> None:
    lone = makers.event(600.0, 630.0, 300.0, start=5000.0)
    events = [*crossings(), lone]
    forward, backward = joined(*events), joined(*events[::-1])
    assert len(forward) == 2
    assert [each.id for each in forward] == [each.id for each in backward]


def test_the_reach_is_the_gap_between_lines_by_hand() -> None:
    label, reach = clusters.plumes(crossings(gap=20.0), np.full(5, 0.1))
    assert reach == pytest.approx(30.0)
    assert set(label.tolist()) == {0}
    label, reach = clusters.plumes(crossings(gap=20.0), np.full(5, 40.0))
    assert reach == pytest.approx(120.0)
    label, reach = clusters.plumes(crossings(1), np.full(1, 1.0))
    assert (label.tolist(), reach) == ([-1], 0.0)


@pytest.mark.once
def test_a_fast_analyser_counts_no_more_than_a_slow_one() -> None:
    label, _ = clusters.plumes(crossings(), np.full(5, 0.1))
    dense = [
        makers.dataclasses.replace(each, outline=makers.shapely.segmentize(each.outline, 0.01))
        for each in crossings()
    ]
    again, _ = clusters.plumes(dense, np.full(5, 0.1))
    assert label.tolist() == again.tolist()


def test_spectral_sightings_are_left_as_they_are() -> None:
    spectral = [makers.seen(5.0 * i, 0.0, strip="a") for i in range(4)]
    assert len(joined(*spectral)) == len(joined(*spectral, gas="crossings"))


def test_a_run_joins_crossings_when_asked(tmp_path: Path) -> None:
    folder = synthetic.write_flight(tmp_path / "flight", seed=0)
    manifest = folder / "flight.toml"
    rule = '[[detect]]\ntarget = "CH4"\nspecies = "CH4"\nmin_duration_s = 0.6\n[hotspots]\n'
    text = manifest.read_text("utf-8").split("[[cube]]")[0] + rule
    for path in (folder / "raw").glob("line_*"):
        path.unlink()
    counts = {}
    for gas in ("crossings", "plumes"):
        manifest.write_text(text.replace("[hotspots]\n", f'[hotspots]\ngas = "{gas}"\n'), "utf-8")
        assert run_cli(["run", str(folder), "-o", str(tmp_path / gas)]) == 0
        features = json.loads((tmp_path / gas / "hotspots.geojson").read_bytes())["features"]
        found = [each for each in features if each["properties"]["kind"] == "gas"]
        counts[gas] = len(found)
    assert counts["plumes"] == 1
    assert counts["crossings"] >= 4
    assert len(found[0]["properties"]["sources"].split("; ")) == counts["crossings"]
    assert found[0]["geometry"]["type"] == "MultiLineString"
