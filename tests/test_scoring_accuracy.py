"""Every shipped detector on a cube beside the text-book formula in float64, at high condition numbers."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import linalg, optimize

from dronesense.detect import background, spectral
from dronesense.model import Signature

SHIPPED = sorted(
    each.name for each in entry_points(group="dronesense.detectors") if each.value.startswith("dronesense.")
)
BANDS, ROWS, COLS = 120, 120, 100
BEYOND = {"ndwi-gao", "-ndwi-gao"}
"""They need 1240 nm; the same arithmetic as NDVI."""
UNWANTED = 5
"""Directions of the background that OSP and AMSD project out, as their page says."""


def scenes() -> ModuleType:
    path = Path(__file__).parent / "test_spectral.py"
    spec = importlib.util.spec_from_file_location("spectral_scenes_for_accuracy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def whitened(x: np.ndarray, t: np.ndarray, known: background.Background) -> dict[str, np.ndarray]:
    """Return the scores that use the covariance."""
    inverse = np.linalg.inv(known.covariance)
    d, s = x - known.mean, t - known.mean
    along, power = d @ inverse @ s, float(s @ inverse @ s)
    energy = np.einsum("ri,ij,rj->r", d, inverse, d, optimize=True)
    moments = np.linalg.inv(known.covariance + np.outer(known.mean, known.mean))
    ace = np.sign(along) * along**2 / power / energy
    return {
        "mf": along / power,
        "ace": ace,
        "asd": ace,  # of one signature
        "rx": energy,
        "cem": x @ moments @ t / (t @ moments @ t),
    }


def projected(x: np.ndarray, t: np.ndarray, known: background.Background) -> dict[str, np.ndarray]:
    """Return the scores that project the background's strongest directions out."""
    _, vectors = np.linalg.eigh(known.covariance + np.outer(known.mean, known.mean))
    strong = vectors[:, -UNWANTED:]
    off = np.eye(len(t)) - strong @ strong.T
    wanted = (x @ off @ t) ** 2 / (t @ off @ t)
    return {
        "osp": x @ off @ t / (t @ off @ t),
        "amsd": wanted / (np.einsum("ni,ij,nj->n", x, off, x, optimize=True) - wanted),
    }


def shaped(x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores that compare shapes."""
    cosine = x @ t / np.linalg.norm(x, axis=1) / np.linalg.norm(t)
    p, q = x / x.sum(axis=1, keepdims=True), t / t.sum()
    divergence = ((p - q) * np.log(p / q)).sum(axis=1)
    centered = x - x.mean(axis=1, keepdims=True)
    return {
        "sam": cosine,
        "scm": centered @ (t - t.mean()) / np.linalg.norm(centered, axis=1) / np.linalg.norm(t - t.mean()),
        "sid": -divergence,
        "sid-sam": -divergence * np.tan(np.arccos(np.minimum(cosine, 1.0))),
    }


def indexed(x: np.ndarray, nm: np.ndarray) -> dict[str, np.ndarray]:
    """Return the indices, from the means of the bands in each window."""

    def mean(low: float, high: float) -> np.ndarray:
        return x[:, (nm >= low) & (nm <= high)].mean(axis=1)

    n, r, g, e = mean(780, 890), mean(630, 690), mean(540, 570), mean(705, 735)
    n8, r6 = mean(790, 810), mean(660, 680)
    under = np.sqrt((2 * n8 + 1) ** 2 - (6 * n8 - 5 * np.sqrt(r6)) - 0.5)
    r531, r570 = mean(529, 533), mean(568, 572)
    high = {
        "ndvi": (n - r) / (n + r),
        "gndvi": (n - g) / (n + g),
        "ndre": (n - e) / (n + e),
        "ndwi": (g - n) / (g + n),
        "pri": (r531 - r570) / (r531 + r570),
        "evi2": 2.5 * (n - r) / (n + 2.4 * r + 1),
        "mcari2": 1.5 * (2.5 * (n8 - r6) - 1.3 * (n8 - g)) / under,
    }
    return high | {f"-{name}": -value for name, value in high.items()}


def few(x: np.ndarray) -> np.ndarray:
    """Return some pixels, the planted ones among them, for formulas that take their time."""
    return np.union1d(np.arange(0, len(x), 50), [50, 7000, 900, 9000])


def mixed(x: np.ndarray, t: np.ndarray, known: background.Background) -> dict[str, np.ndarray]:
    """Return the scores that take pixels for mixtures; shares by an active set, pixel by pixel."""
    unit, spectra, rest = np.linalg.qr(t[:, None])[0], [t], known.sample.astype(np.float64)
    for _ in range(6):
        away = rest - (rest @ unit) @ unit.T
        spectra.append(rest[np.argmax(np.linalg.norm(away, axis=1))])
        unit = np.linalg.qr(np.array(spectra).T)[0]
    a = np.array(spectra).T
    heavy = 1e4  # of the equation "shares sum to one"
    summed = np.vstack([a, np.full(len(spectra), heavy)])
    some = few(x)
    d, s = x - known.mean, t - known.mean
    inverse = np.linalg.inv(known.covariance)
    fraction = d @ inverse @ s / (s @ inverse @ s)
    value, vector = linalg.eigh(known.covariance, known.noise)
    left = (1 - np.clip(fraction, 0, 1)) ** 2
    z = (d - fraction[:, None] * s) @ vector
    infeasible = np.sqrt((z**2 / (left[:, None] * (value - 1) + 1)).mean(axis=1))
    found = {"mtmf": fraction / np.maximum(1, infeasible)}
    for name in ("nnls", "fcls"):
        found[name] = np.full(len(x), np.nan)
    found["nnls"][some] = [optimize.nnls(a, x[i])[0][0] for i in some]
    found["fcls"][some] = [optimize.nnls(summed, np.append(x[i], heavy))[0][0] for i in some]
    return found


def below(x: np.ndarray, t: np.ndarray, nm: np.ndarray) -> dict[str, np.ndarray]:
    """Return the depths below the continuum, the highest of all chords above each band."""

    def depth(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        top = values.copy()
        for a in range(len(at)):
            for b in range(a + 2, len(at)):
                share = (at[a + 1 : b] - at[a]) / (at[b] - at[a])
                chord = values[:, [a]] * (1 - share) + values[:, [b]] * share
                top[:, a + 1 : b] = np.maximum(top[:, a + 1 : b], chord)
        return 1 - values / top

    own = depth(t[None], nm)[0]
    corners = np.flatnonzero(own < 1e-12)
    some = few(x)
    total, areas = np.zeros(len(some)), 0.0
    for a, b in pairwise(corners):
        u = own[a : b + 1]
        if b - a < 4 or u.max() < 0.02:
            continue
        v = depth(x[some, a : b + 1], nm[a : b + 1])
        rest, shape = v - v.mean(axis=1, keepdims=True), u - u.mean()
        slope = rest @ shape / (shape @ shape)
        fit = rest @ shape / np.linalg.norm(shape) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
        area = np.trapezoid(u, nm[a : b + 1])
        total, areas = total + area * slope * u.max() * np.abs(fit), areas + area
    found = np.full(len(x), np.nan)
    found[some] = total / areas
    return {"band-depth": found}


@pytest.mark.parametrize("condition", [1e3, 1e5, 1e7])
def test_every_detector_agrees_with_float64(condition: float) -> None:
    rng = np.random.default_rng(3)
    rotation, _ = np.linalg.qr(rng.normal(size=(BANDS, BANDS)))
    root = rotation * np.sqrt(np.geomspace(1.0, 1.0 / condition, BANDS)) * 0.05
    x = 0.4 + rng.normal(size=(ROWS * COLS, BANDS)) @ root.T
    target = 0.4 + 0.03 * rng.normal(size=BANDS)
    # scores then span their whole range, of matched filters and of shapes
    x[[50, 7000]] = target + 0.01 * rng.normal(size=(2, BANDS))
    x[[900, 9000]] = np.linspace([0.9, 0.05], [0.05, 0.9], BANDS).T
    made = scenes()
    nm = np.linspace(400.0, 1000.0, BANDS)
    cube = made.make_cube(x.reshape(ROWS, COLS, BANDS).transpose(0, 2, 1), nm)
    x = cube.source.read(0, ROWS)[0].transpose(0, 2, 1).reshape(-1, BANDS).astype(np.float64)
    none = np.full(BANDS, np.nan)
    signature = Signature("t", np.arange(BANDS, dtype=float), target, none, "reflectance", by_band=True)
    known = background.estimate(cube, ridge=0.0)
    assert known.condition > condition / 30
    expected = whitened(x, target, known) | projected(x, target, known) | shaped(x, target)
    expected |= indexed(x, nm) | mixed(x, target, known) | below(x, target, nm)
    shipped = [name for name in SHIPPED if name not in BEYOND]
    rules = [made.rule(signature, name, threshold=1e9) for name in shipped]
    assert set(shipped) <= set(expected)
    worst = {}
    for score, _ in spectral.search(cube, rules, ridge=0.0):
        true = expected[score.method]
        worst[score.method] = float(
            np.nanmax(np.abs(score.score.ravel() - true)) / (np.nanmax(true) - np.nanmin(true))
        )
    assert {name: value for name, value in worst.items() if not value <= 2e-5} == {}
