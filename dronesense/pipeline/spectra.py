"""What was measured at the spectral hotspots: their best pixels, beside their surroundings and signatures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dronesense.detect import matching
from dronesense.errors import DronesenseError
from dronesense.model import CubeView, Detection, DetectRule, Hotspot, HotspotSpectrum, Signature

MAX_HOTSPOTS: Final = 300
"""The best ones; each costs the reading of some lines."""
MAX_STRIPS: Final = 3
"""Strips of one hotspot, at most."""
AROUND_PIXELS: Final = 6
"""Pixels in so many rows and columns about the best one are looked at."""
SOURCE: Final = re.compile(r"(?P<path>.*)#line (?P<rows>\d+(?:-\d+)?) sample (?P<cols>\d+(?:-\d+)?)")


def hotspot_spectra(
    hotspots: Sequence[Hotspot], views: Sequence[CubeView], rules: Sequence[DetectRule]
) -> tuple[HotspotSpectrum, ...]:
    """Return the spectra of the best spectral hotspots, in their order.

    A hotspot names its raw data as ``file#line 12-15 sample 3-9``; of the detections of that file within
    those lines and samples the one with the highest score is shown.
    """
    signatures = {rule.target: rule for rule in rules if rule.signature is not None}
    found: list[HotspotSpectrum] = []
    chosen = [each for each in hotspots if each.kind != "gas"][:MAX_HOTSPOTS]
    for hotspot in chosen:
        strips = 0
        for source in hotspot.sources:
            match = SOURCE.fullmatch(source)
            if match is None or strips == MAX_STRIPS:
                continue
            rows, cols = (_span(match[name]) for name in ("rows", "cols"))
            for view in views:
                detection = _best(view, match["path"], rows, cols, hotspot)
                if detection is not None:
                    found.append(_spectrum(hotspot, view, detection, signatures.get(detection.target)))
                    strips += 1
                    break
    return tuple(found)


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _best(
    view: CubeView, path: str, rows: tuple[int, int], cols: tuple[int, int], hotspot: Hotspot
) -> Detection | None:
    """Return the detection of *view* that *hotspot* names with these rows and columns."""

    def inside(each: Detection) -> bool:
        row, col = each.index[each.peak].tolist()
        return bool(rows[0] <= row <= rows[1] and cols[0] <= col <= cols[1])

    fitting = [
        each
        for each in view.detections
        if each.source == path and (hotspot.kind == "fused" or each.target == hotspot.target) and inside(each)
    ]
    return max(fitting, key=lambda each: each.score, default=None)


def _spectrum(
    hotspot: Hotspot, view: CubeView, detection: Detection, rule: DetectRule | None
) -> HotspotSpectrum:
    cube = view.cube
    rows, _, cols = cube.shape
    row, col = detection.index[detection.peak].tolist()
    first, last = max(0, row - AROUND_PIXELS), min(rows, row + AROUND_PIXELS + 1)
    left, right = max(0, col - AROUND_PIXELS), min(cols, col + AROUND_PIXELS + 1)
    values, valid = cube.source.read(first, last)
    plain = valid[:, left:right].copy()
    for score in view.scores:
        with np.errstate(invalid="ignore"):
            plain &= ~(score.score[first:last, left:right] >= score.threshold)
    own = detection.index - [first, left]
    within = ((own >= 0) & (own < plain.shape)).all(axis=1)
    plain[tuple(own[within].T)] = False
    near = values[:, :, left:right].transpose(0, 2, 1)[plain].astype(np.float64)
    k = len(cube.bands)
    background = near.mean(axis=0) if len(near) else np.full(k, np.nan)
    return HotspotSpectrum(
        hotspot=hotspot.id,
        cube=cube.name,
        source=f"{detection.source}#line {row} sample {col}",
        unit=cube.quantity,
        center_nm=cube.bands.center_nm,
        fwhm_nm=cube.bands.fwhm_nm,
        good=cube.bands.good,
        pixel=values[row - first, :, col].astype(np.float64),
        background=background,
        signature=_signature(view, None if rule is None else _sought(view, detection, rule)),
        fill=detection.value if detection.unit == "fraction" else float("nan"),
    )


def _sought(view: CubeView, detection: Detection, rule: DetectRule) -> Signature | None:
    """Return the signature of *rule* that *detection* is of; the search names it where there are several."""
    own = [each for each in view.detections if each.target == detection.target]
    place = next((i for i, each in enumerate(own) if each is detection), -1)
    named = [each.parameters.get("variant") for each in view.scores if each.target == detection.target]
    names = named[0] if len(named) == 1 and isinstance(named[0], list) else []
    if 0 <= place < len(names) == len(own):
        return next((each for each in rule.signatures if each.name == names[place]), rule.signature)
    return rule.signature


def _signature(view: CubeView, sought: Signature | None) -> NDArray[np.float64]:
    """Return what was looked for in the bands of the cube, NaN where it is not known."""
    nothing = np.full(len(view.cube.bands), np.nan)
    if sought is None:
        return nothing
    try:
        value, _, covered = matching.signature_in_bands(sought, view.cube)
    except DronesenseError:
        return nothing
    return np.where(covered, value, np.nan)
