"""Indices: values by hand, bands by hand, and a search without a signature from cube to detection."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dronesense import plugins
from dronesense.detect import indices, spectral
from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import DetectRule

REDEDGE_NM = np.array([475.0, 560.0, 668.0, 717.0, 840.0])
P4M_NM = np.array([450.0, 560.0, 650.0, 730.0, 840.0])
SEQUOIA_NM = np.array([550.0, 660.0, 735.0, 790.0])
M3M_NM = np.array([560.0, 650.0, 730.0, 860.0])
BY_NAME = {index.name: index for index in indices.TABLE}


def scenes() -> ModuleType:
    path = Path(__file__).parent / "test_spectral.py"
    spec = importlib.util.spec_from_file_location("spectral_scenes_for_indices", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "operands", "expected"),
    [
        ("ndvi", [0.45, 0.05], 0.8),
        ("gndvi", [0.45, 0.15], 0.5),
        ("ndre", [0.4, 0.1], 0.6),
        ("ndwi", [0.06, 0.02], 0.5),
        ("ndwi-gao", [0.3, 0.2], 0.2),
        ("pri", [0.05, 0.06], -1.0 / 11.0),
        ("evi2", [0.5, 0.1], 2.5 * 0.4 / 1.74),
        # N 0.5, R 0.09, G 0.1: 1.5 (2.5 * 0.41 - 1.3 * 0.4) / sqrt(4 - (3 - 1.5) - 0.5)
        ("mcari2", [0.5, 0.09, 0.1], 0.7575 / np.sqrt(2.0)),
    ],
)
def test_values_by_hand(name: str, operands: list[float], expected: float) -> None:
    found = indices.value(BY_NAME[name], np.array(operands)[:, None])
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_values_below_zero_are_zero_and_black_pixels_have_no_index() -> None:
    found = indices.value(BY_NAME["ndwi"], np.array([[0.03, -0.01, 0.0], [-0.001, 0.2, -0.5]]))
    assert found[:2].tolist() == [1.0, -1.0]
    assert np.isnan(found[2])


@pytest.mark.parametrize("center", [REDEDGE_NM, P4M_NM, SEQUOIA_NM, M3M_NM])
def test_the_bands_of_multispectral_cameras_are_taken(center: np.ndarray) -> None:
    def taken(operand: indices.Operand) -> list[float]:
        return center[operand.weights(center) > 0].tolist()

    near, edge = center[-1], center[-2] if center is not SEQUOIA_NM else center[2]
    assert taken(indices.NIR) == [near]
    assert taken(indices.RED_EDGE) == [edge]
    assert 640 < taken(indices.RED)[0] < 670
    assert 545 < taken(indices.GREEN)[0] < 565


def test_bands_in_the_window_are_averaged_and_the_nearest_stands_in() -> None:
    some = indices.Operand("here", 500.0, 510.0, 4.0)
    assert some.weights(np.array([499.0, 500.0, 505.0, 510.0, 511.0])).tolist() == [0, 1 / 3, 1 / 3, 1 / 3, 0]
    assert some.weights(np.array([np.nan, 498.0, 513.0])).tolist() == [0, 1, 0]
    with pytest.raises(CoverageError, match="496 to 514 nm"):
        some.weights(np.array([495.9, 514.1, np.nan]))


def field() -> np.ndarray:
    """Green grass with a dry patch, in the bands of a camera with five."""
    rng = np.random.default_rng(4)
    green, dry = np.array([0.03, 0.08, 0.04, 0.2, 0.5]), np.array([0.12, 0.16, 0.22, 0.25, 0.3])
    values = np.broadcast_to(green[None, :, None], (60, 5, 60)).copy()
    values[20:24, :, 30:35] = dry[None, :, None]
    values *= 1.0 + 0.03 * rng.normal(size=values.shape)
    return values


@pytest.mark.parametrize(("method", "threshold"), [("-ndvi", -0.4), ("-evi2", -0.3)])
def test_a_rule_without_a_signature_finds_dry_grass(method: str, threshold: float) -> None:
    values = field()
    cube = scenes().make_cube(values, REDEDGE_NM, fwhm=20.0)
    rule = DetectRule(target="dry grass", method=method, threshold=threshold)
    ((score, detections),) = spectral.search(cube, [rule])
    assert len(detections) == 1
    seen = detections[0].index
    assert (seen.min(axis=0) >= [19, 29]).all()
    assert (seen.max(axis=0) <= [24, 35]).all()
    index = (values[:, 4] - values[:, 2]) / (values[:, 4] + values[:, 2])
    if method == "-ndvi":
        np.testing.assert_allclose(score.score, -index, atol=1e-6)


def test_what_an_index_cannot_be_asked_of() -> None:
    values = field()
    counts = scenes().make_cube(1000.0 * values, REDEDGE_NM, "counts")
    with pytest.raises(CalibrationError, match="reflectance"):
        spectral.search(counts, [DetectRule(target="grass", method="ndvi", threshold=0.5)])
    cube = scenes().make_cube(values, REDEDGE_NM)
    with pytest.raises(CoverageError, match="1220 to 1260 nm") as caught:
        spectral.search(cube, [DetectRule(target="wet leaves", method="ndwi-gao", threshold=0.5)])
    assert caught.value.where == cube.path
    for background in ("columns", "local"):
        rule = DetectRule(target="grass", method="ndvi", threshold=0.5, background=background)
        with pytest.raises(CalibrationError, match="itself, not what differs"):
            spectral.search(cube, [rule])


@pytest.mark.parametrize("index", indices.TABLE, ids=lambda index: index.name)
def test_every_index_is_two_detectors(index: indices.Index) -> None:
    for name in (index.name, f"-{index.name}"):
        detector = plugins.find("dronesense.detectors", name)
        assert detector.name == name
        assert not detector.needs_signature
