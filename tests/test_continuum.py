"""Continuum and band depth: hulls by brute force, depths by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronesense.detect import continuum
from dronesense.detect.background import Background
from dronesense.detect.detectors import NONE, Problem, Products
from dronesense.errors import CoverageError

NM = np.linspace(600.0, 700.0, 21)
ABSENT = np.empty((0, len(NM)))


def chords(spectrum: np.ndarray, nm: np.ndarray) -> np.ndarray:
    """The upper hull, one point after the other: the highest of all chords above it."""
    result = spectrum.copy()
    for j in range(len(nm)):
        for a in range(j + 1):
            for b in range(j, len(nm)):
                if a < b:
                    share = (nm[j] - nm[a]) / (nm[b] - nm[a])
                    result[j] = max(result[j], (1 - share) * spectrum[a] + share * spectrum[b])
    return result


@given(
    seed=st.integers(0, 10_000), bands=st.integers(1, 14), kind=st.sampled_from(["noise", "arch", "steps"])
)
def test_the_hull_is_the_highest_of_all_chords(seed: int, bands: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    nm = np.cumsum(rng.uniform(1.0, 9.0, size=bands))
    spectra = rng.normal(size=(bands, 5))
    if kind == "arch":
        spectra = -((nm - nm.mean())[:, None] ** 2) * rng.uniform(-1, 1, size=5)
    if kind == "steps":
        spectra = np.round(spectra)  # corners on one line
    expected = np.stack([chords(one, nm) for one in spectra.T], axis=1)
    np.testing.assert_allclose(continuum.hull(spectra, nm), expected, atol=1e-9 * (1 + np.abs(spectra).max()))


def absorbing(depth: float, center: float = 650.0, width: float = 12.0) -> np.ndarray:
    """A straight continuum with one absorption."""
    dip = np.exp(-0.5 * ((NM - center) / width) ** 2)
    dip = np.maximum(dip - dip[5], 0.0) / (dip.max() - dip[5])  # zero up to 625 nm
    return (0.2 + 0.001 * (NM - 600.0)) * (1.0 - depth * dip)


def test_a_feature_has_the_shoulders_center_and_depth_it_was_given() -> None:
    (found,) = continuum.features(absorbing(0.3), NM)
    assert found.shoulders_nm == (625.0, 675.0)
    assert found.center_nm == 650.0
    assert found.depth == pytest.approx(0.3, abs=1e-12)
    assert continuum.features(absorbing(0.019), NM) == ()
    back = np.argsort(-NM)
    (again,) = continuum.features(absorbing(0.3)[back], NM[back])
    np.testing.assert_array_equal(back[again.bands], found.bands)


def scored(target: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    k = len(NM)
    background = Background(
        np.arange(k), np.zeros(k), np.eye(k), np.eye(k), 0.0, np.eye(k), 1.0, NONE, 1, 0, ()
    )
    scorer = continuum.band_depth.prepare(Problem(target, background, NM, target[None], ABSENT))
    spectra = np.ascontiguousarray(pixels.T, dtype=np.float32)
    return scorer.score(replace(Products(NONE, NONE, 1.0), spectra=spectra))


@pytest.mark.parametrize("depth", [0.05, 0.2, 0.5])
def test_the_score_of_the_same_shape_is_its_depth_in_any_light(depth: float) -> None:
    pixels = np.stack([absorbing(depth), 0.1 * absorbing(depth), 4000.0 * absorbing(depth)])
    np.testing.assert_allclose(scored(absorbing(0.3), pixels), depth, atol=2e-6)


def test_other_shapes_score_less() -> None:
    flat, bump = absorbing(0.0), absorbing(-0.2)
    elsewhere = absorbing(0.3, center=640.0)
    black = np.zeros_like(NM)
    found = scored(absorbing(0.3), np.stack([flat, bump, elsewhere, black, -flat]))
    assert abs(found[0]) < 1e-6
    assert found[1] < 0.0
    assert 0.0 < found[2] < 0.25
    assert abs(found[3]) < 1e-6
    assert np.isfinite(found).all()


def test_a_signature_without_absorptions_is_refused() -> None:
    with pytest.raises(CoverageError, match="no absorption of at least 2%"):
        scored(absorbing(0.0), np.ones((1, len(NM))))
