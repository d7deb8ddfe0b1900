"""What share of a pixel a target must fill to be found: predicted on a background that was flown before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, cast

from dronesense.detect import spectral
from dronesense.model import DetectRule, Signature, SpectralCube

LEAST_FILL: Final = 0.01
"""Finest share that the prediction tries (:data:`dronesense.detect.detectability.FILLS`)."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Share of a pixel at which nine in ten are found.

    Parameters
    ----------
    fill : float
        In (0, 1]; NaN where even a full pixel is found less often.
    text : str
        The same in words, with the rate of false alarms.
    """

    fill: float
    text: str


def needed(
    background: SpectralCube, signatures: tuple[Signature, ...], *, method: str, false_alarm_rate: float
) -> Needed:
    """Return the fill that a search of a scene like *background* needs for a target.

    Parameters
    ----------
    background : SpectralCube
        Of the same kind of ground and light, of the signatures' quantity, in the bands of the camera.
    signatures : tuple of Signature
        The target; more than one: variants, and the one hardest to find counts.
    method : str
        Detector.
    false_alarm_rate : float
        Per pixel.

    Raises
    ------
    CalibrationError
        If signature and background are not of one quantity.
    CoverageError
        If the signature covers too few bands, or there are too few pixels.
    PluginError
        If there is no such detector.
    """
    rule = DetectRule(
        target=signatures[0].name, signature=signatures[0], variants=signatures[1:], method=method,
        false_alarm_rate=false_alarm_rate,
    )  # fmt: skip
    score_map, _ = spectral.search(background, [rule])[0]
    told = cast("dict[str, Any]", score_map.parameters["detection_limit"])
    fill = told["fill_found_9_in_10"]
    return Needed(math.nan if fill is None else max(LEAST_FILL, float(fill)), str(told["text"]))
