"""Several signatures of one target: a pixel is the target if it is like any of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp

from dronesense import open_flight
from dronesense.cli import run_cli
from dronesense.detect import spectral
from dronesense.detect import tail as tails
from dronesense.errors import CoverageError, ManifestError, UnknownFormatError
from dronesense.model import DetectRule, Signature, SpectralCube

pytestmark = pytest.mark.once

_SPEC = importlib.util.spec_from_file_location(
    "spectral_scenes", Path(__file__).with_name("spectral_scenes.py")
)
scenes = importlib.util.module_from_spec(_SPEC)
sys.modules["spectral_scenes"] = scenes
_SPEC.loader.exec_module(scenes)

NEVER = 1e30


def planted(*, seed: int = 8) -> tuple[SpectralCube, np.ndarray, np.ndarray, np.ndarray]:
    """A scene with four patches of one variant and four of another; and their places (8, 2)."""
    scene = scenes.scene(seed, planted=0.0)
    rng = np.random.default_rng(seed)
    wet = scenes.spectrum(scene.nm, rng)
    values = scene.values.copy()
    rows, _, cols = values.shape
    cells = rng.permutation([(r, c) for r in range(8, rows - 8, 14) for c in range(8, cols - 8, 14)])[:8]
    for i, (row, col) in enumerate(cells):
        patch = (slice(row, row + 3), slice(None), slice(col, col + 3))
        noise = (values[patch] - values[:, :, 1:][patch]) / np.sqrt(2.0)
        values[patch] = (scene.target if i < 4 else wet)[:, None] * rng.uniform(0.9, 1.1) + noise
    return scenes.cube_of(values, scene.nm), scene.target, wet, cells


def with_variant(target: np.ndarray, *others: np.ndarray, **options: object) -> DetectRule:
    rule = scenes.rule_for(target, **options)
    k = np.arange(float(len(target)))
    more = tuple(
        Signature(f"variant {i}", k, each, np.zeros(len(k)), "reflectance", by_band=True)
        for i, each in enumerate(others)
    )
    return replace(rule, variants=more)


def seen(found: tuple, places: np.ndarray) -> int:
    pixels = {tuple(pixel) for each in found for pixel in each.index.tolist()}
    return sum((row + 1, col + 1) in pixels for row, col in places.tolist())


@pytest.mark.parametrize("method", ["ace", "mf", "asd", "cem"])
def test_both_variants_are_found_and_named(method: str) -> None:
    cube, dry, wet, places = planted()
    ((_, alone),) = spectral.search(cube, [scenes.rule_for(dry, method=method, false_alarm_rate=1e-4)])
    assert seen(alone, places[4:]) == 0
    ((score, found),) = spectral.search(cube, [with_variant(dry, wet, method=method, false_alarm_rate=1e-4)])
    assert seen(found, places) == 8
    which = score.parameters["variant"]
    assert isinstance(which, list)
    for each, name in zip(found, which, strict=True):
        if seen((each,), places):
            assert name == ("sought" if seen((each,), places[:4]) else "variant 0")
            assert each.value == pytest.approx(1.0, abs=0.35)  # the fill by the variant that it is
    told = score.parameters["variants"]
    assert isinstance(told, dict)
    assert told["signatures"] == ["sought", "variant 0"]


def test_the_best_of_the_variants_counts_whatever_the_order() -> None:
    cube, dry, wet, _ = planted()
    for method in ("ace", "mf", "sam", "scm"):
        one, other = (
            spectral.search(cube, [scenes.rule_for(each, method=method, threshold=NEVER)])[0][0].score
            for each in (dry, wet)
        )
        for pair in ((dry, wet), (wet, dry)):
            ((both, _),) = spectral.search(cube, [with_variant(*pair, method=method, threshold=NEVER)])
            np.testing.assert_allclose(both.score, np.maximum(one, other), rtol=1e-5, atol=1e-5)


def test_beside_other_rules_and_in_any_blocks_scores_are_the_same() -> None:
    cube, dry, wet, _ = planted()
    rules = [
        scenes.rule_for(wet, name="wet", method="mf", threshold=NEVER),
        with_variant(dry, wet, method="asd", threshold=NEVER),
        with_variant(dry, wet, method="sid", threshold=NEVER),
    ]
    together = spectral.search(cube, rules)
    again = spectral.search(cube, rules, budget_bytes=4000)
    for rule, (score, _), (other, _) in zip(rules, together, again, strict=True):
        np.testing.assert_array_equal(score.score, other.score)
        ((alone, _),) = spectral.search(cube, [rule])
        np.testing.assert_allclose(score.score, alone.score, rtol=1e-4, atol=1e-5)


def test_twice_the_same_signature_changes_nothing() -> None:
    cube, dry, _, _ = planted()
    for method in ("ace", "asd"):
        rule = scenes.rule_for(dry, method=method, false_alarm_rate=1e-4)
        ((score, found),) = spectral.search(cube, [rule])
        twin = with_variant(dry, dry, method=method, false_alarm_rate=1e-4)
        ((twice, same),) = spectral.search(cube, [twin])
        np.testing.assert_allclose(twice.score, score.score, rtol=1e-4, atol=1e-5)
        assert [each.index.tolist() for each in same] == [each.index.tolist() for each in found]


def test_the_rate_is_that_of_the_best_score() -> None:
    """Realized over stated in the background, targets of two variants in the scene, in six scenes."""
    above, pixels = np.zeros((2, 2)), 0
    for seed in range(20, 26):
        cube, dry, wet, places = planted(seed=seed)
        away = np.ones((cube.shape[0], cube.shape[2]), dtype=bool)
        for row, col in places.tolist():
            away[row - 2 : row + 5, col - 2 : col + 5] = False
        pixels += int(away.sum())
        for m, method in enumerate(("ace", "mf")):
            ((score, _),) = spectral.search(cube, [with_variant(dry, wet, method=method, threshold=NEVER)])
            assert score.tail is not None
            for r, rate in enumerate((1e-2, 1e-3)):
                above[m, r] += np.sum(score.score[away] >= tails.score_at(score.tail, rate))
    ratio = above / pixels / np.array([1e-2, 1e-3])
    assert (ratio > 0.5).all(), ratio
    assert (ratio < 2.0).all(), ratio


def test_variants_of_one_target_do_not_compete() -> None:
    cube, dry, wet, places = planted()
    other = 0.5 * dry + 0.5 * wet[::-1]
    rules = [
        with_variant(dry, wet, false_alarm_rate=1e-4),
        scenes.rule_for(other, name="other", false_alarm_rate=1e-4),
    ]
    (score, found), (rival, _) = spectral.search(cube, rules)
    assert seen(found, places) == 8
    told, against = score.parameters["competition"], rival.parameters["competition"]
    assert isinstance(told, dict)
    assert isinstance(against, dict)
    assert told["rivals"] == ["other"]
    assert against["rivals"] == ["sought"]


def test_what_does_not_go_together_is_refused() -> None:
    cube, dry, wet, _ = planted()
    half = Signature("half", np.linspace(400.0, 500.0, 9), np.full(9, 0.2), np.zeros(9), "reflectance")
    with pytest.raises(CoverageError, match="'half'"):
        spectral.search(cube, [replace(with_variant(dry), variants=(half,))])
    with pytest.raises(ValueError, match="several quantities"):
        replace(with_variant(dry, wet), variants=(replace(half, quantity="counts"),))
    with pytest.raises(ValueError, match="no signature"):
        DetectRule("sought", method="rx", variants=(half,))


MANIFEST = """schema = 1
[flight]
id = "variants"
[[cube]]
path = "raw/scene.hdr"
[[detect]]
target = "sought"
signature = {signature}
false_alarm_rate = 1e-4
"""
DN = 20_000.0


def write_flight(folder: Path, signature: str) -> np.ndarray:
    """A cube of counts on a map grid, and both variants as files and as columns of one file."""
    cube, dry, wet, places = planted()
    values, _ = cube.source.read(0, cube.shape[0])
    rows, bands, cols = values.shape
    raw = folder / "raw"
    raw.mkdir()
    np.clip(np.rint(values * DN), 0, 65535).astype("<u2").tofile(raw / "scene.img")
    nm = ", ".join(f"{each:.6f}" for each in cube.bands.center_nm)
    (raw / "scene.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\ndata type = 12\n"
        "interleave = bil\nbyte order = 0\nwavelength units = Nanometers\n"
        f"wavelength = {{{nm}}}\nmap info = {{UTM, 1, 1, 600000, 4790000, 2, 2, 43, North, WGS-84}}\n"
    )
    for name, value in (("dry", dry), ("wet", wet)):
        lines = [f"{i},{DN * each:.3f},{0.01 * DN * each:.3f}" for i, each in enumerate(value)]
        (raw / f"{name}.csv").write_text("band,counts,sigma\n" + "\n".join(lines) + "\n")
    lines = [f"{i},{DN * a:.3f},{DN * b:.3f}" for i, (a, b) in enumerate(zip(dry, wet, strict=True))]
    (raw / "both.csv").write_text("band,counts: dry,counts: wet\n" + "\n".join(lines) + "\n")
    (folder / "flight.toml").write_text(MANIFEST.format(signature=signature), "utf-8")
    return places


@pytest.mark.parametrize("signature", ['["raw/dry.csv", "raw/wet.csv"]', '"raw/both.csv"'])
def test_a_run_finds_all_variants(tmp_path: Path, signature: str) -> None:
    folder = tmp_path / "flight"
    folder.mkdir()
    places = write_flight(folder, signature)
    assert run_cli(["run", str(folder), "-o", str(tmp_path / "out")]) == 0
    features = json.loads((tmp_path / "out" / "hotspots.geojson").read_bytes())["features"]
    lon, lat = ([row["properties"][key] for row in features] for key in ("lon", "lat"))
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32643", lon, lat)
    found = np.stack([(4_790_000.0 - np.array(y)) / 2.0, (np.array(x) - 600_000.0) / 2.0], axis=1) - 0.5
    away = np.abs(found[:, None] - (places + 1)).max(axis=2).min(axis=0)
    assert away.max() < 1.0
    shown = json.loads((tmp_path / "out" / "spectra.json").read_bytes())
    by_place = {row["properties"]["id"]: place for row, place in zip(features, found, strict=True)}
    for hotspot, (each, *_) in shown.items():
        nearest = np.abs(places + 1 - by_place[hotspot]).max(axis=1)
        if nearest.min() < 1.0:  # full pixels: the one of the two variants that lies there is shown
            pixel, sought = np.array(each["pixel"], float), np.array(each["signature"], float)
            assert np.corrcoef(pixel, sought)[0, 1] > 0.95
    inputs = json.loads((tmp_path / "out" / "run.json").read_bytes())["inputs"]
    named = [each["path"] for each in inputs if each["role"] == "signature"]
    assert named == [each.strip(' "[]') for each in signature.split(",")]


def test_a_library_of_materials_is_no_target(tmp_path: Path) -> None:
    folder = tmp_path / "flight"
    folder.mkdir()
    write_flight(folder, '"raw/many.csv"')
    heads = ",".join(f"counts: m{i}" for i in range(17))
    rows = "\n".join(f"{b}," + ",".join(str(100 + b + i) for i in range(17)) for b in range(5))
    (folder / "raw" / "many.csv").write_text(f"band,{heads}\n{rows}\n")
    with pytest.raises(ManifestError, match="17 spectra are a library"):
        open_flight(folder)
    (folder / "flight.toml").write_text(MANIFEST.format(signature="[]"), "utf-8")
    with pytest.raises(ManifestError, match="signature must name"):
        open_flight(folder)


def test_a_table_that_is_no_signature_yet_says_how_to_bring_it_in(tmp_path: Path) -> None:
    folder = tmp_path / "flight"
    folder.mkdir()
    write_flight(folder, '"raw/export.txt"')
    (folder / "raw" / "export.txt").write_text("400 0.1\n500 0.2\n")
    with pytest.raises(UnknownFormatError, match=r"number 1, signature.*signatures import export\.txt"):
        open_flight(folder)
