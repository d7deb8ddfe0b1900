"""A signature in the bands of a cube."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import CalibrationError, CoverageError
from dronesense.model import DetectRule, Signature, SpectralCube

MIN_COVERED: Final = 0.5
"""Share of the good bands that a signature must cover."""

Doubles = NDArray[np.float64]


def signature_in_bands(
    signature: Signature, cube: SpectralCube
) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return value and uncertainty of *signature* in the bands of *cube*, and which bands it covers.

    Raises
    ------
    CalibrationError
        If the quantities differ, or a signature by band has another number of bands.
    """
    if signature.quantity != cube.quantity:
        fix = f"use a signature in {cube.quantity}"
        if cube.quantity == "counts" and signature.quantity == "reflectance":
            fix = "give the cube a panel (and a dark capture), so that it can be turned into reflectance"
        raise CalibrationError(
            f"the signature {signature.name!r} is in {signature.quantity}, the cube in {cube.quantity}",
            where=cube.path,
            fix=fix,
        )
    if not signature.by_band:
        return signature.in_bands(center_nm=cube.bands.center_nm, fwhm_nm=cube.bands.fwhm_nm)
    if len(signature.value) != len(cube.bands):
        raise CalibrationError(
            f"the signature {signature.name!r} has {len(signature.value)} bands, the cube {len(cube.bands)}",
            where=cube.path,
            fix="take the signature from a cube of the same camera and binning",
        )
    return signature.value, signature.sigma, np.ones(len(cube.bands), dtype=np.bool_)


def match_bands(cube: SpectralCube, rule: DetectRule) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return :func:`signature_in_bands` of all signatures of *rule*, and refuse those that cover too little.

    Returns
    -------
    value, sigma : (v, bands) float64
        One row per signature, that of the rule first, then its variants.
    covered : (bands,) bool
        Bands that every one covers.

    Raises
    ------
    CalibrationError
        If one is not of the cube's quantity.
    CoverageError
        If one covers less than half of the good bands, or all together do, or the cube has no wavelengths.
    ValueError
        If the rule has no signature.
    """
    if rule.signature is None:
        raise ValueError(f"rule {rule.target!r} has no signature")
    matched = [signature_in_bands(each, cube) for each in rule.signatures]
    good = cube.bands.good
    everywhere = good.copy()
    for signature, (_, _, covered) in zip(rule.signatures, matched, strict=True):
        if not signature.by_band and not np.isfinite(cube.bands.center_nm).any():
            raise CoverageError(
                "the cube has no wavelengths",
                where=cube.path,
                fix="put them into the header, or use a signature taken from the cube's own bands",
            )
        low, high = signature.wavelength_nm[[0, -1]]
        _check_share(
            f"the signature {signature.name!r} ({low:g} to {high:g} nm) covers", covered & good, cube
        )
        everywhere &= covered
    _check_share(f"the {len(matched)} signatures of {rule.target!r} together cover", everywhere, cube)
    every = np.all([each[2] for each in matched], axis=0)
    return np.array([each[0] for each in matched]), np.array([each[1] for each in matched]), every


def _check_share(what: str, covered: NDArray[np.bool_], cube: SpectralCube) -> None:
    """Refuse *covered* (bands,) below half of the good bands."""
    share = float(covered.sum()) / max(1, int(cube.bands.good.sum()))
    if share < MIN_COVERED:
        raise CoverageError(
            f"{what} {share:.0%} of the bands",
            where=cube.path,
            fix=f"use a signature that covers at least {MIN_COVERED:.0%} of the good bands",
        )
