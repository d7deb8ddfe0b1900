"""Detections in the sensor's own frame: sample index or pixel, no coordinates yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model import showing
from dronesense.model.checks import freeze

if TYPE_CHECKING:
    import xarray as xr

    from dronesense.model.cube import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class TailModel:
    """Upper tail of the background's scores: ``P(score > s)``.

    Empirical below `threshold`, generalized Pareto above it (peaks over threshold;
    Coles 2001, doi 10.1007/978-1-4471-3675-0).

    Parameters
    ----------
    quantile, probability : (k,) float64
        Score (increasing) and exceedance probability (decreasing): the empirical part.
    threshold : float
        Where the Pareto tail starts; inf when the fit was refused and only the empirical part is used.
    exceedance : float
        ``P(score > threshold)``.
    shape, scale : float
        Of the generalized Pareto distribution.
    n_background : int
        Pixels or samples that the model was fitted to.
    note : str
        ``"pareto"``, or why the empirical quantiles are used instead.
    """

    quantile: NDArray[np.float64]
    probability: NDArray[np.float64]
    threshold: float
    exceedance: float
    shape: float
    scale: float
    n_background: int
    note: str = "pareto"

    def __post_init__(self) -> None:
        k = len(self.quantile)
        freeze(self, np.float64, (None,), "quantile")
        freeze(self, np.float64, (k,), "probability")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMap:
    """The score of every pixel of a cube for one target.

    Parameters
    ----------
    cube, target, method : str
        What was compared with what, and how.
    score : (rows, cols) float32
        NaN where the pixel is not valid.
    unit : str
        ``"1"`` (cosine, signed ACE), ``"deg"``, ``"fraction"`` ...
    threshold : float
        Score from which a pixel counts.
    false_alarm_rate : float
        Stated probability that a background pixel exceeds `threshold`; NaN when the user gave the threshold.
    tail : TailModel or None
        Score to p-value.
    parameters : mapping
        Ridge, condition number, number of background pixels, ... JSON-ready.
    """

    cube: str
    target: str
    method: str
    score: NDArray[np.float32]
    unit: str
    threshold: float
    false_alarm_rate: float
    tail: TailModel | None
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        freeze(self, np.float32, (None, None), "score")

    def _repr_html_(self) -> str:
        known = self.score[np.isfinite(self.score)]
        facts = {
            "method": self.method,
            "pixels": f"{known.size} of {self.score.size} with a score",
            "scores": showing.span(float(known.min()), float(known.max()), self.unit) if known.size else "",
            "threshold": float(self.threshold),
            "over it": int((known >= self.threshold).sum()),
            "false-alarm rate stated": self.false_alarm_rate if np.isfinite(self.false_alarm_rate) else "",
        }
        return showing.card(f"Scores of {self.target} in {self.cube}", facts)

    def to_xarray(self, geometry: Geometry | None = None) -> xr.Dataset:
        """Return the scores as a dataset, with the threshold as attribute.

        Parameters
        ----------
        geometry : LineScan, Frame, MapGrid or None
            That of the cube (``cube.geometry``): times of lines, or x, y and the CRS as `spatial_ref`.

        Raises
        ------
        PluginError
            If xarray is not installed.
        """
        from dronesense.model.exchange import arrays

        return arrays.score_map(self, geometry)


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One region of pixels, or one run of samples.

    Parameters
    ----------
    target : str
        Rule that it answers to.
    kind : {"gas", "spectral"}
        Fixes the meaning of `index`.
    method : str
        Detector.
    origin : str
        Name of the cube, or species of the series.
    source : str
        File it was found in.
    index : (k,) or (k, 2) int64
        Sample numbers, or (row, col) of pixels.
    weight : (k,) float64
        Score (or enhancement) of each: weights of the centroid.
    peak : int
        Position in `index` of the highest score.
    score : float
        At the peak.
    p_value, q_value : float
        Probability of as high a score from background alone; false discovery rate. NaN when unknown.
    value, sigma : float
        Physical size: enhancement (gas) or filled fraction of the pixel (spectral); NaN when unknown.
    unit : str
        Of `value`.
    flags : tuple of str
        What limits it, in short words: ``"truncated"``, ``"saturated-neighbor"``, ...
    """

    target: str
    kind: Literal["gas", "spectral"]
    method: str
    origin: str
    source: str
    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    peak: int
    score: float
    p_value: float
    q_value: float
    value: float
    sigma: float
    unit: str
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape: tuple[int | None, ...] = (None,) if self.kind == "gas" else (None, 2)
        freeze(self, np.int64, shape, "index")
        k = len(self.index)
        freeze(self, np.float64, (k,), "weight")
        if not 0 <= self.peak < k:
            raise ValueError(f"peak {self.peak} is not among the {k} samples of the detection")
        for name in ("p_value", "q_value"):
            value = getattr(self, name)
            if np.isfinite(value) and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], not {value}")


def false_discovery_rates(p: NDArray[np.float64], *, tested: int) -> NDArray[np.float64]:
    """Return the q-value of each of the smallest p-values out of *tested*.

    Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.

    Parameters
    ----------
    p : (k,) float64
        The k smallest of all p-values, in any order.
    tested : int
        How many there are in all, >= k.

    Examples
    --------
    >>> false_discovery_rates(np.array([0.001, 0.3, 0.02]), tested=10)
    array([0.01, 1.  , 0.1 ])
    """
    order = np.argsort(p, kind="stable")
    ratio = p[order] * tested / np.arange(1, len(p) + 1)
    q = np.minimum.accumulate(ratio[::-1])[::-1]
    result = np.empty_like(p)
    result[order] = np.minimum(q, 1.0)
    return result
