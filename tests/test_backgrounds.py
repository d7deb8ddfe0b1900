"""Rules without a signature, and backgrounds by column, by window and by cluster."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import dronesense as ds
from dronesense.detect import background, clusters, columns, local, spectral
from dronesense.detect import tail as tails
from dronesense.errors import CoverageError
from dronesense.model import DetectRule

pytestmark = pytest.mark.once


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


scenes = _sibling("spectral_scenes")
NM = np.linspace(450.0, 900.0, 6)


def made(rows: int = 90, cols: int = 40, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = 0.3 + 0.02 * rng.normal(size=(rows, 1, cols)) + 0.01 * rng.normal(size=(rows, 6, cols))
    values[20, :, 10] += 0.2 * np.array([1, -1, 1, -1, 1, -1])
    return np.asarray(values, dtype=np.float32)


def rx(kind: str = "scene", **options: object) -> DetectRule:
    return DetectRule("anomaly", method="rx", background=kind, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["scene", "columns", "local", "clusters"])
def test_what_differs_is_found_and_not_named(kind: str) -> None:
    cube = scenes.cube_of(made(), NM, "counts")
    ((score, found),) = spectral.search(cube, [rx(kind, false_alarm_rate=1e-5)])
    assert any((each.index == [20, 10]).all(axis=1).any() for each in found)
    assert "what it is is not known" in str(score.parameters["meaning"])
    assert np.isnan(found[0].sigma)
    assert found[0].unit != "fraction"
    ((again, _),) = spectral.search(cube, [rx(kind, false_alarm_rate=1e-5)], budget_bytes=4000)
    np.testing.assert_array_equal(again.score, score.score)


def test_distance_equals_brute_force() -> None:
    values = made()
    cube = scenes.cube_of(values, NM)
    ((score, _),) = spectral.search(cube, [rx(threshold=50.0)], ridge=1e-3)
    known = background.estimate(cube, ridge=1e-3)
    loaded = known.covariance + 1e-3 * np.diag(np.diag(known.covariance))
    rest = values.transpose(0, 2, 1).astype(float) - known.mean
    expected = np.einsum("rck,kl,rcl->rc", rest, np.linalg.inv(loaded), rest)
    np.testing.assert_allclose(score.score, expected, rtol=1e-4, atol=1e-3)


def test_stripes_are_taken_off_and_missing_pixels_do_not_count() -> None:
    values = made()
    stripe = np.random.default_rng(1).normal(size=(6, 40)).astype(np.float32)
    striped = values + stripe
    striped[5, 2, 3] = np.nan
    cube = columns.without_columns(scenes.cube_of(striped, NM))
    seen, valid = cube.source.read(0, 90)
    assert not valid[5, 3]
    center = np.where(valid[:, None], seen, 0.0).sum(axis=0) / valid.sum(axis=0)
    np.testing.assert_allclose(center - center.mean(axis=1, keepdims=True), 0.0, atol=2e-6)
    folded = cube.source.folded()  # type: ignore[attr-defined]
    np.testing.assert_allclose(folded.read(7, 9)[0] + folded.offset, seen[7:9], atol=1e-6)
    with pytest.raises(CoverageError, match="valid lines are too few"):
        columns.without_columns(scenes.cube_of(values[:30], NM))


def test_the_mean_around_equals_brute_force() -> None:
    values = made(24, 20)
    values[3, 1, 4] = np.nan
    cube = local.without_surroundings(scenes.cube_of(values, NM), np.zeros(6), window=(3, 9))
    seen, valid = cube.source.read(0, 24)
    for row, col in ((0, 0), (12, 10), (23, 19), (5, 6)):
        around = np.zeros((24, 20), dtype=bool)
        around[max(0, row - 4) : row + 5, max(0, col - 4) : col + 5] = True
        around[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2] = False
        around[3, 4] = False
        expected = values[row, :, col] - values.transpose(0, 2, 1)[around].mean(axis=0)
        np.testing.assert_allclose(seen[row, :, col], expected, atol=1e-5)
    assert not valid[3, 4]
    np.testing.assert_array_equal(cube.source.read(11, 13)[0], seen[11:13])
    with pytest.raises(ValueError, match="odd"):
        local.without_surroundings(cube, np.zeros(6), window=(4, 9))


def test_two_kinds_of_ground_are_told_apart() -> None:
    values = made()
    values[:, :, 20:] += np.linspace(0.3, 0.6, 6)[:, None]
    cube = scenes.cube_of(values, NM)
    found = clusters.find(background.estimate(cube, ridge=1e-3), count=2)
    assert len(found.pixels) == 2
    assert min(found.pixels) > 0.45 * sum(found.pixels)
    assert all(0.0 <= share <= 1.0 for share in found.shrinkage)


def test_a_rule_without_signature_needs_a_method() -> None:
    with pytest.raises(ValueError, match="needs a species"):
        DetectRule("anomaly")
    cube = scenes.cube_of(made(), NM)
    with pytest.raises(ValueError, match="needs a signature"):
        spectral.search(cube, [DetectRule("anomaly", method="ace")])
    with pytest.raises(ValueError, match="background must be"):
        spectral.search(cube, [rx("quantile")])


def test_signatures_are_sought_in_front_of_columns_and_windows() -> None:
    values = made()
    target = values.mean(axis=(0, 2)) + 0.2 * np.array([1, -1, 1, -1, 1, -1])
    rules = [
        scenes.rule_for(target, background=kind, false_alarm_rate=1e-4)
        for kind in ("scene", "columns", "local")
    ]
    for score, found in spectral.search(scenes.cube_of(values, NM), rules):
        assert any((each.index == [20, 10]).all(axis=1).any() for each in found), score.parameters


def test_a_flight_looks_for_anomalies_in_counts(tmp_path: Path) -> None:
    flights = _sibling("radiometry_flights")
    scanner = flights.Scanner(tmp_path)
    scanner.spectrum("paint", flights.paint(flights.NM), sigma=0.01)
    scanner.darks(10.0)
    scanner.write("line", scanner.counts(scanner.scene(), scanner.lines()), scanner.lines())
    scanner.manifest("")
    path = tmp_path / "flight.toml"
    text = re.sub(
        r"\[\[detect\]\][^\[]*", '[[detect]]\ntarget = "anomaly"\nmethod = "rx"\nbackground = "columns"\n\n',
        path.read_text("utf-8"),
    )  # fmt: skip
    path.write_text(text, "utf-8")
    layer = ds.process(ds.open_flight(tmp_path))
    assert {each.target for each in layer.hotspots} == {"anomaly"}
    assert "what it is is not known" in str(layer.cubes[0].scores[0].parameters["meaning"])


@pytest.mark.parametrize(
    "kind", ["scene", "columns", "clusters", pytest.param("local", marks=pytest.mark.slow)]
)
def test_stated_rates_of_anomalies_hold_on_other_lines(kind: str) -> None:
    """Learned from every second band of ten lines, counted on the others, of five scenes; twice at most."""
    above, pixels = np.zeros(2), 0
    for seed in range(320, 325):
        scene = scenes.scene(seed)
        ((score, _),) = spectral.search(scene.cube, [rx(kind, threshold=1e30)])
        turn = (np.arange(len(score.score)) // 10) % 2 == 0
        for learn, count in ((turn, ~turn), (~turn, turn)):
            known = tails.fit(score.score[learn], exclude=np.zeros_like(score.score[learn], dtype=bool))
            rest = score.score[count][scene.away[count]]
            rest = rest[np.isfinite(rest)]
            above += [np.sum(rest >= tails.score_at(known, rate)) for rate in (1e-2, 1e-3)]
            pixels += len(rest)
        assert score.tail is not None
        stated = tails.fit(score.score, exclude=np.zeros_like(score.score, dtype=bool))
        assert score.tail.scale == stated.scale  # the search learns in the same way
    ratio = above / pixels / np.array([1e-2, 1e-3])
    assert ((ratio > 0.5) & (ratio < 2.0)).all(), ratio
