"""A threshold, tried out where the truth is known: map, histogram and ROC, under a slider in a notebook."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect.roc import Roc, roc, truth_on
from dronesense.errors import CoverageError
from dronesense.model import HotspotLayer, ScoreMap
from dronesense.plot import DPI, EVENT_COLOR, VALUE_COLOR, style

TUNING_INCHES: Final = (13.0, 4.2)
TUNING_BINS: Final = 80
TUNING_STEPS: Final = 200
"""Of the slider, from the lowest to the highest score."""


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """Scores beside what is known to be there; made by :func:`tune`, shown by a notebook.

    A slider where ipywidgets is installed and a kernel runs, a picture everywhere else.
    """

    name: str
    score: NDArray[np.floating]
    truth: NDArray[np.bool_]
    curve: Roc
    threshold: float

    def threshold_at(self, false_alarm_rate: float) -> float:
        """Return the lowest score that at most this share of the background pixels reaches."""
        return float(self.curve.threshold[self.curve.false <= false_alarm_rate][-1])

    def png(self, threshold: float | None = None) -> bytes:
        """Return map, histogram and ROC at a threshold (the map's own unless given) as a picture."""
        from matplotlib.figure import Figure

        at = self.threshold if threshold is None else threshold
        found, false = self.curve.at(at)
        with style():
            figure = Figure(figsize=TUNING_INCHES, dpi=DPI, layout="constrained")
            where, count, share = figure.subplots(1, 3)
            where.imshow(self.score, cmap="gray", interpolation="nearest")
            where.imshow(np.where(self.score >= at, 1.0, np.nan), cmap="autumn", interpolation="nearest")
            where.contour(self.truth, levels=[0.5], colors="deepskyblue", linewidths=0.8)
            where.set_title(f"{self.name}: over {at:.4g} red, truth blue")
            known = np.isfinite(self.score)
            edges = np.histogram_bin_edges(self.score[known], TUNING_BINS)
            for label, those in (("background", known & ~self.truth), ("target", known & self.truth)):
                count.hist(self.score[those], bins=edges, histtype="step", label=label)
            count.axvline(at, color=EVENT_COLOR)
            count.set(yscale="log", xlabel="score", ylabel="pixels")
            count.yaxis.set_major_formatter("{x:g}")  # the style draws no formulas
            count.legend()
            share.plot(self.curve.false, self.curve.found, color=VALUE_COLOR)
            share.plot([false], [found], "o", color=EVENT_COLOR)
            share.set(xlabel="background over it", ylabel="target over it")
            share.set_xscale("log")
            share.xaxis.set_major_formatter("{x:g}")
            share.xaxis.set_minor_formatter("")
            count.yaxis.set_minor_formatter("")
            share.set_title(f"{found:.1%} found, {false:.2g} false, area {self.curve.area:.4f}")
            picture = io.BytesIO()
            figure.savefig(picture, format="png", metadata={"Software": None})
        return picture.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"image/png": self.png(), "text/plain": f"<Tuning {self.name}>"}
        try:
            widgets: Any = import_module("ipywidgets")
        except ImportError:
            return bundle
        known = self.score[np.isfinite(self.score)]
        low, high = float(known.min()), float(known.max())
        slider = widgets.FloatSlider(
            self.threshold,
            min=min(low, self.threshold),
            max=max(high, self.threshold),
            step=max(high - low, 1e-12) / TUNING_STEPS,
            readout_format=".4g",
            description="threshold",
            continuous_update=False,
        )
        image = widgets.Image(value=bundle["image/png"], format="png")
        slider.observe(lambda change: setattr(image, "value", self.png(change["new"])), "value")
        bundle |= widgets.VBox([slider, image])._repr_mimebundle_()
        return bundle


def tune(
    scores: ScoreMap | HotspotLayer,
    truth: NDArray[np.bool_] | str | Path,
    *,
    name: str = "",
    radius_m: float = 1.0,
) -> Tuning:
    """Try thresholds on scores where the truth is known.

    Parameters
    ----------
    scores : ScoreMap or HotspotLayer
        Of a layer: its ground raster *name*, ``<cube>__<target>``; the first unless given.
    truth : (rows, cols) bool, or GeoJSON file
        A mask of the same pixels. Features on the ground (for a layer): points grow by *radius_m*; only those
        whose ``target`` is the one sought count, where features say so.

    Raises
    ------
    CoverageError
        If a layer has no such raster, or truth and scores do not overlap.
    TypeError
        If a file is given for a score map, which has no place on the ground.
    """
    if isinstance(scores, ScoreMap):
        if isinstance(truth, str | Path):
            raise TypeError("a score map is not on the ground: give a mask, or the layer")
        mask = np.asarray(truth, dtype=np.bool_)
        shown = f"{scores.cube}, {scores.target}"
        return Tuning(shown, scores.score, mask, roc(scores.score, mask), scores.threshold)
    views = {f"{s.cube}__{s.target}": s for view in scores.cubes for s in view.scores}
    raster = next((r for r in scores.rasters if r.name in views and name in ("", r.name)), None)
    if raster is None:
        raise CoverageError(f"the layer has no score raster {name!r}", fix=f"one of {sorted(views)}")
    score = views[raster.name]
    mask = (
        truth_on(raster, Path(truth), radius_m=radius_m, target=score.target)
        if isinstance(truth, str | Path)
        else np.asarray(truth, dtype=np.bool_)
    )
    return Tuning(raster.name, raster.values, mask, roc(raster.values, mask), score.threshold)
