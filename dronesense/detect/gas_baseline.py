"""Baselines by asymmetric least squares: where the background of a gas series may start from.

The family is pybaselines' (Whittaker smoothers whose weights shrink where the data lie above the curve). None
of them is used as it comes: what they leave over is searched for plumes, and the background is drawn again
without those (:mod:`dronesense.detect.gas_background`).
"""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

FAMILY: Final = ("asls", "iasls", "airpls", "arpls", "drpls", "iarpls", "aspls", "psalsa", "derpsalsa")
ASYMMETRY: Final = 0.01
"""Weight of samples above the curve against those below it: Eilers & Boelens 2005 advise 0.001 to 0.1."""
MAX_ROUNDS: Final = 50
TOLERANCE: Final = 1e-3
"""Relative change of the weights that ends the rounds."""
MIN_SAMPLES: Final = 5
"""Second differences need more than two samples, and the families' own start-up some more."""

_WITH_ASYMMETRY: Final = ("asls", "iasls", "psalsa", "derpsalsa")
_FALLBACK: Final = "asls"
"""Its weights do not divide by the noise, so it has an answer where there is none."""


def baseline(
    value: NDArray[np.float64],
    *,
    family: str = "asls",
    strength: float,
    asymmetry: float = ASYMMETRY,
) -> NDArray[np.float64]:
    """Return a smooth curve that keeps to the lower side of equally spaced values.

    It minimizes ``sum w (y - b)^2 + strength * sum (D2 b)^2`` with weights that fall where y lies above b.
    Several families divide by the noise of what lies below and have no answer without any (they
    return NaN, stop early or fail); the plain one answers then.

    Parameters
    ----------
    value : (m,) float64
        Finite, at least :data:`MIN_SAMPLES`.
    family : str
        How the weights fall: one of :data:`FAMILY`.
    strength : float
        Penalty on the second difference.
    asymmetry : float
        Weight of values above the curve, for the families that have one (asls, iasls, psalsa, derpsalsa).

    Returns
    -------
    (m,) float64

    Raises
    ------
    ValueError
        If the family is unknown, a value is not finite, or there are too few.

    References
    ----------
    Eilers & Boelens 2005, "Baseline correction with asymmetric least squares smoothing", Leiden University
    Medical Centre report; Baek et al. 2015, doi 10.1039/C4AN01061B (arpls).

    Examples
    --------
    >>> i = np.arange(200.0)
    >>> peak = 3.0 * np.exp(-(((i - 100.0) / 8.0) ** 2))
    >>> float(baseline(2.0 + 0.001 * i + peak, strength=1e7)[100].round(1))
    2.1
    """
    if family not in FAMILY:
        raise ValueError(f"family must be one of {FAMILY}, not {family!r}")
    if value.size < MIN_SAMPLES or not np.isfinite(value).all():
        raise ValueError(f"needs at least {MIN_SAMPLES} finite values")
    # The families compare weights and noise with fixed tiny numbers: take level and size off first.
    middle = float(np.median(value))
    size = float(np.abs(value - middle).max())
    if size == 0.0:
        return value.copy()
    scaled = (value - middle) / size
    curve = _fit(scaled, family, strength, asymmetry)
    if family != _FALLBACK and not np.isfinite(curve).all():
        curve = _fit(scaled, _FALLBACK, strength, asymmetry)
    return middle + size * curve


def _fit(value: NDArray[np.float64], family: str, strength: float, asymmetry: float) -> NDArray[np.float64]:
    """Ask pybaselines; NaN where it has no answer."""
    from pybaselines import Baseline

    settings: dict[str, float] = {"lam": strength, "max_iter": MAX_ROUNDS, "tol": TOLERANCE}
    if family in _WITH_ASYMMETRY:
        settings["p"] = asymmetry
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            curve, _ = getattr(Baseline(), family)(value, **settings)
        except (np.linalg.LinAlgError, ValueError):
            return np.full(value.size, np.nan)
    return np.asarray(curve, dtype=np.float64)
