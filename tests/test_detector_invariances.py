"""What every shipped detector does not change under: gain, offset, affine maps of the bands."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense import plugins
from dronesense.detect.background import Background, factor
from dronesense.detect.detectors import Detector, Problem, Products

SHIPPED = {
    each.name for each in entry_points(group="dronesense.detectors") if each.value.startswith("dronesense.")
}
AFFINE = {"mf", "ace", "asd", "rx", "mtmf"}
"""Every band with a gain and an offset of its own, for pixels, signature and background alike."""
PIXEL_GAIN = {"sam", "scm", "sid", "sid-sam", "amsd", "band-depth"} | {
    sign + name for name in ("ndvi", "gndvi", "ndre", "ndwi", "ndwi-gao", "pri") for sign in ("", "-")
}
"""Light on the pixel alone."""
PIXEL_OFFSET = {"scm"}
"""A constant added to all bands of the pixel alone."""
PROPORTIONAL = {"cem", "osp", "nnls"}
"""The score grows with the light on the pixel."""
SCENE_GAIN = SHIPPED - {"evi2", "-evi2", "mcari2", "-mcari2"}
"""One gain for everything: units of the cube."""
NM = np.array([480.0, 531, 550, 560, 570, 620, 670, 680, 717, 760, 800, 840, 860, 1000, 1240])
K = len(NM)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (60, K), sample (300, K), target (K,), and factor of the covariance and noise; all positive."""
    rng = np.random.default_rng(seed)
    root = 0.02 * (np.eye(K) + 0.3 * rng.normal(size=(K, K)))
    sample = 0.5 + rng.normal(size=(300, K)) @ root.T
    target = 0.5 + 0.1 * rng.normal(size=K)
    target[5:8] *= 0.6  # an absorption
    x = 0.5 + rng.normal(size=(60, K)) @ root.T + np.outer(np.linspace(0, 1, 60), target - 0.5)
    return np.maximum(x, 0.05), np.maximum(sample, 0.05), target, root @ root.T, np.full(K, 0.5)


def scores(
    detector: Detector,
    x: np.ndarray,
    sample: np.ndarray,
    target: np.ndarray,
    covariance: np.ndarray,
    mean: np.ndarray,
) -> np.ndarray:
    whitening, condition = factor(covariance, ridge=0.0, where="")
    known = Background(
        bands=np.arange(K),
        mean=mean,
        covariance=covariance,
        noise=np.diag(np.diag(covariance)) / 100.0,
        ridge=0.0,
        whitening=whitening,
        condition=condition,
        sample=sample.astype(np.float32),
        pixels=300,
        trimmed=0,
        history=(),
    )
    scorer = detector.prepare(Problem(target, known, NM, target[None], np.empty((0, K))))
    inverse = whitening.T @ whitening
    d, t = x - mean, target - mean
    contrast = float(t @ inverse @ t)
    made = Products(
        fraction=(d @ inverse @ t / contrast).astype(np.float32),
        energy=np.einsum("ij,jk,ik->i", d, inverse, d).astype(np.float32),
        contrast=contrast,
    )
    if scorer.rows.size:
        made = replace(made, rows=(scorer.rows @ x.T).astype(np.float32))
    if scorer.centered.size:
        made = replace(made, centered=(scorer.centered @ d.T).astype(np.float32))
    spectra = np.ascontiguousarray(x.T, dtype=np.float32)
    norm = np.einsum("ij,ij->i", x, x).astype(np.float32)
    return scorer.score(replace(made, norm=norm, spectra=spectra)).astype(float)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-4 * np.abs(expected).max())


def find(name: str) -> Detector:
    made = plugins.find("dronesense.detectors", name)
    assert isinstance(made, Detector)
    return made


def test_every_detector_is_known_here() -> None:
    rest = SHIPPED - AFFINE - PIXEL_GAIN - PROPORTIONAL
    assert rest == {"fcls", "evi2", "-evi2", "mcari2", "-mcari2"}


@pytest.mark.parametrize("name", sorted(AFFINE))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999))
def test_affine_maps_of_the_bands(name: str, seed: int) -> None:
    x, sample, t, c, m = scene(seed)
    rng = np.random.default_rng(seed + 1)
    gain, offset = np.exp(rng.normal(size=K)), rng.normal(size=K)
    expected = scores(find(name), x, sample, t, c, m)
    mapped = [each * gain + offset for each in (x, sample, t)]
    close(scores(find(name), *mapped, c * np.outer(gain, gain), m * gain + offset), expected)


@pytest.mark.parametrize("name", sorted(PIXEL_GAIN | PROPORTIONAL))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), light=st.floats(0.2, 5.0))
def test_light_on_the_pixel(name: str, seed: int, light: float) -> None:
    x, *rest = scene(seed)
    expected = scores(find(name), x, *rest)
    close(scores(find(name), light * x, *rest), expected * (light if name in PROPORTIONAL else 1.0))


@pytest.mark.parametrize("name", sorted(PIXEL_OFFSET))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), haze=st.floats(-0.2, 0.5))
def test_haze_on_the_pixel(name: str, seed: int, haze: float) -> None:
    x, *rest = scene(seed)
    close(scores(find(name), x + haze, *rest), scores(find(name), x, *rest))


@pytest.mark.parametrize("name", sorted(SCENE_GAIN))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), gain=st.floats(0.01, 1000.0))
def test_units_of_the_cube(name: str, seed: int, gain: float) -> None:
    x, sample, t, c, m = scene(seed)
    expected = scores(find(name), x, sample, t, c, m)
    close(scores(find(name), gain * x, gain * sample, gain * t, gain**2 * c, gain * m), expected)


@pytest.mark.parametrize("name", ["evi2", "mcari2", "fcls", "sam", "ndvi"])
def test_what_is_not_claimed_does_not_hold(name: str) -> None:
    """The properties above can fail: haze changes all of these."""
    x, *rest = scene(7)
    before, after = (scores(find(name), each, *rest) for each in (x, x + 0.2))
    assert np.abs(before - after).max() > 2e-3 * np.abs(before).max()
