"""Depth of absorptions below the continuum: the upper convex hull of a spectrum, and a detector of shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.detectors import TINY, Detector, Problem, Products, Scorer
from dronesense.errors import CoverageError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MIN_DEPTH: Final = 0.02
"""Depth of the shallowest feature: as much as is commonly left of errors of calibration."""
ON_CONTINUUM: Final = 1e-9
"""Depth that is rounding."""
MIN_INSIDE: Final = 3
"""Bands between the shoulders, at least: a correlation over fewer says little about a shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """An absorption of a signature, between two bands that lie on its continuum.

    Parameters
    ----------
    bands : (b,) int64
        Index of the bands, by wavelength, shoulders included.
    nm : (b,) float64
        Their centers.
    profile : (b,) float64
        One minus value over continuum; 0 at the shoulders.
    """

    bands: NDArray[np.int64]
    nm: Doubles
    profile: Doubles

    @property
    def shoulders_nm(self) -> tuple[float, float]:
        """Centers of the outermost bands."""
        return float(self.nm[0]), float(self.nm[-1])

    @property
    def center_nm(self) -> float:
        """Center of the deepest band."""
        return float(self.nm[np.argmax(self.profile)])

    @property
    def depth(self) -> float:
        """Greatest depth, as a share of the continuum."""
        return float(self.profile.max())

    @property
    def area_nm(self) -> float:
        """Area between spectrum and continuum, in nm."""
        return float(np.trapezoid(self.profile, self.nm))


def hull(spectra: NDArray[np.floating], nm: Doubles) -> NDArray[np.floating]:
    """Return the upper convex hull (k, n) of *spectra* (k, n): the least concave function above each.

    The hull is walked along by band, all spectra together: those with a corner in a band look for the
    steepest way to the bands behind it, which leads to their next corner.

    Parameters
    ----------
    nm : (k,) float64
        Rising strictly.

    Examples
    --------
    >>> hull(np.array([[1.0], [0.0], [3.0], [2.0]]), np.array([0.0, 1.0, 2.0, 3.0])).ravel().tolist()
    [1.0, 2.0, 3.0, 2.0]
    """
    k, n = spectra.shape
    result = np.array(spectra, copy=True)
    corner = np.zeros(n, dtype=np.int64)
    begin, start, slope = np.zeros(n, spectra.dtype), np.zeros(n, spectra.dtype), np.zeros(n, spectra.dtype)
    place = (nm - nm[0]).astype(spectra.dtype)
    with np.errstate(invalid="ignore"):  # values that are not finite stay so
        for i in range(k - 1):
            here = np.flatnonzero(corner == i)
            if here.size:
                rise = spectra[i + 1 :].take(here, axis=1) - spectra[i].take(here)
                rise /= (place[i + 1 :] - place[i])[:, None]
                steepest = rise.argmax(axis=0)
                corner[here] = steepest + (i + 1)
                begin[here], start[here] = place[i], spectra[i, here]
                slope[here] = rise[steepest, np.arange(here.size)]
            inside = corner > i + 1
            line = start + slope * (place[i + 1] - begin)
            np.copyto(result[i + 1], line, where=inside)
    return result


def removed(spectra: NDArray[np.floating], nm: Doubles) -> NDArray[np.floating]:
    """Return *spectra* (k, n) over their :func:`hull`; 1 where the hull is not positive.

    Clark & Roush 1984, doi 10.1029/JB089iB07p06329.
    """
    continuum = hull(spectra, nm)
    lit = continuum > 0.0
    return np.asarray(np.where(lit, spectra / np.where(lit, continuum, 1.0), 1.0), dtype=spectra.dtype)


def features(value: Doubles, center_nm: Doubles, *, min_depth: float = MIN_DEPTH) -> tuple[Feature, ...]:
    """Return the absorptions of a spectrum, by wavelength.

    A feature lies between two corners of the hull of the whole spectrum, with at least three bands between.

    Parameters
    ----------
    value, center_nm : (k,) float64
        In any order of wavelength; bands without one, and repeated ones, are left out.
    min_depth : float
        Share of the continuum.

    Examples
    --------
    >>> found, = features(np.array([1.0, 0.9, 0.6, 0.9, 1.0]), np.array([500.0, 510, 520, 530, 540]))
    >>> found.shoulders_nm, found.center_nm, round(found.depth, 3)
    ((500.0, 540.0), 520.0, 0.4)
    """
    known = np.flatnonzero(np.isfinite(center_nm) & np.isfinite(value))
    if known.size == 0:
        return ()
    nm, first = np.unique(center_nm[known], return_index=True)
    order = known[first]
    spectrum = value[order]
    depth = 1.0 - removed(spectrum[:, None], nm)[:, 0]
    corners = np.flatnonzero(depth <= ON_CONTINUUM)
    made = []
    for left, right in zip(corners[:-1].tolist(), corners[1:].tolist(), strict=True):
        part = slice(left, right + 1)
        if right - left > MIN_INSIDE and depth[part].max() >= min_depth:
            made.append(Feature(order[part], nm[part], np.maximum(depth[part], 0.0)))
    return tuple(made)


def _shape(profile: Doubles) -> Floats:
    """Return the profile without its mean, scaled to unit length."""
    rest = profile - profile.mean()
    return np.asarray(rest / np.linalg.norm(rest), dtype=np.float32)


def _prepare(problem: Problem) -> Scorer:
    if not np.isfinite(problem.center_nm).any():
        raise CoverageError(
            "the cube has no wavelengths", fix="put them into the header, or use another method"
        )
    found = features(problem.target, problem.center_nm)
    if not found:
        raise CoverageError(
            f"the signature has no absorption of at least {MIN_DEPTH:.0%} of its continuum over "
            f"{MIN_INSIDE} or more of the bands",
            fix='use another method ("ace"), or a camera with more bands',
        )
    total = sum(feature.area_nm for feature in found)
    shapes = [_shape(feature.profile) for feature in found]
    # From a product with the unit shape to the depth at the center
    reach = [f.depth / float(np.linalg.norm(f.profile - f.profile.mean())) for f in found]
    weight = [feature.area_nm / total for feature in found]

    def score(products: Products) -> Floats:
        result = np.zeros(products.spectra.shape[1], dtype=np.float32)
        for feature, shape, scale, share in zip(found, shapes, reach, weight, strict=True):
            profile = 1.0 - removed(products.spectra[feature.bands], feature.nm)
            profile -= profile.mean(axis=0)
            along = shape @ profile
            spread = np.sqrt(np.einsum("kn,kn->n", profile, profile))
            result += np.float32(share * scale) * along * np.abs(along) / np.maximum(spread, TINY)
        return result

    return Scorer(score, needs=frozenset({"spectra"}))


band_depth: Final = Detector(
    "band-depth",
    "1",
    _prepare,
    "continuum: Clark & Roush 1984, doi 10.1029/JB089iB07p06329; "
    "depth times fit in the manner of Clark et al. 2003, doi 10.1029/2002JE001847",
)
"""Absorptions of the signature: their depth in the pixel times the correlation of their shapes, features
weighted by area. 0 = no such absorption, negative = a bump in its place; free of gain."""
