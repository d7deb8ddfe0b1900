"""What a camera sees from a height: pixels on the ground, swath, exposure, the smallest target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.errors import ManifestError
from dronesense.geotag.camera import camera_to_body, directions, for_own_attitude
from dronesense.geotag.frame_camera import pixel_directions
from dronesense.model import FrameCamera, Instrument, LineCamera

Floats = NDArray[np.float64]

BLUR_SHARE: Final = 0.5
"""Of a pixel that the aircraft may move while it is exposed, when nobody says it."""
EDGE_NODES: Final = 33
"""Places on each edge of a picture where its footprint is looked up."""
FULL_FILL: Final = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """What a camera sees of flat ground one meter below it, in meters: multiply by the height.

    Parameters
    ----------
    kind : {"line", "frame"}
        A push-broom line or whole pictures.
    port, starboard : float
        Edges of what every line or picture covers, positive to starboard.
    aft, fore : float
        The same along track, positive forward; of a line: how far its pixels look aft and forward.
    across, along : float
        Ground sampling distance of the pixel in the middle.
    widest : float
        Across-track ground sampling distance of the widest pixel.
    square : bool
        `along` is no knowledge of the camera: a pixel is taken as long as it is wide.
    """

    kind: Literal["line", "frame"]
    port: float
    starboard: float
    aft: float
    fore: float
    across: float
    along: float
    widest: float
    square: bool

    @property
    def width(self) -> float:
        """Swath for each meter of height."""
        return self.starboard - self.port

    @property
    def length(self) -> float:
        """Extent along track for each meter of height; of a line: how much it is bent or slanted."""
        return self.fore - self.aft


def view(instrument: Instrument, *, along_mrad: float | None = None) -> View:
    """Return what the camera *instrument* sees from level flight over flat ground.

    Parameters
    ----------
    instrument : Instrument
        A line-scan or frame camera with its mount; a gimbal is taken to look straight down.
    along_mrad : float, optional
        Along-track field of view of one pixel of a line-scan camera, milliradians (slit width over focal
        length); left out: as wide as the middle pixel is across.

    Raises
    ------
    ManifestError
        If it is no camera, looks at or above the horizon, or its line does not lie across the track.
    CoverageError
        If the lens of a frame camera is not known.
    """
    turn = camera_to_body(for_own_attitude(instrument.mount))
    spec = instrument.spec
    if isinstance(spec, LineCamera):
        made = _line(spec, turn, along_mrad, instrument.path)
    elif isinstance(spec, FrameCamera):
        made = _frame(spec, turn, instrument.path)
    else:
        fix = 'planning needs one of kind = "line_scan" or "frame"'
        raise ManifestError(f'"{instrument.id}" is no camera', where=instrument.path, fix=fix)
    if not (made.width > 0.0 and (made.kind == "line" or made.length > 0.0)):
        raise ManifestError(
            "the camera sees no strip of ground", where=instrument.path, fix="check the mount"
        )
    return made


def _ground(body: Floats, path: str) -> tuple[Floats, Floats]:
    """Return forward and starboard places of directions on the ground one meter below."""
    down = body[..., 2]
    if not np.all(down > 0.0):
        raise ManifestError(
            "part of the camera's field of view looks at the horizon or above it",
            where=path,
            fix="plan with a smaller tilt or field of view: such pixels meet no ground",
        )
    return body[..., 0] / down, body[..., 1] / down


def _line(camera: LineCamera, turn: Floats, along_mrad: float | None, path: str) -> View:
    edges = np.arange(camera.samples + 1) - 0.5
    if camera.samples == 1:
        raise ManifestError("a camera of one sample has no swath", where=path)
    forward, aside = _ground(directions(camera, edges) @ turn.T, path)
    if np.ptp(aside) < np.ptp(forward):
        raise ManifestError(
            "the line of the camera lies along the track, not across it",
            where=f"{path}, key mount.rotation",
            fix='for a push-broom camera it is "nadir" or "nadir-180", or oblique to one side',
        )
    size = np.abs(np.diff(aside))
    across = float(np.median(size[(camera.samples - 1) // 2 : camera.samples // 2 + 1]))
    # The middle of the line may look aside: its slant is longer than the height.
    middle = camera.samples // 2
    reach = math.hypot(1.0, aside[middle])
    slant = reach * (1.0 + (forward[middle] / reach) ** 2)
    along = across if along_mrad is None else 1e-3 * along_mrad * slant
    return View(
        "line", float(aside.min()), float(aside.max()), float(forward.min()), float(forward.max()),
        across, along, float(size.max()), along_mrad is None,
    )  # fmt: skip


def _frame(camera: FrameCamera, turn: Floats, path: str) -> View:
    if camera.shape is None:
        raise ManifestError("shape is missing", where=path, fix="state shape = [rows, columns]")
    rows, columns = camera.shape
    row = np.linspace(-0.5, rows - 0.5, EDGE_NODES)
    column = np.linspace(-0.5, columns - 0.5, EDGE_NODES)
    sides = [
        np.column_stack([np.full(EDGE_NODES, -0.5), column]),
        np.column_stack([np.full(EDGE_NODES, rows - 0.5), column]),
        np.column_stack([row, np.full(EDGE_NODES, -0.5)]),
        np.column_stack([row, np.full(EDGE_NODES, columns - 0.5)]),
    ]
    seen = [_ground(pixel_directions(camera, side) @ turn.T, path) for side in sides]
    # A side whose middle is farthest to starboard bounds the strip there, with its innermost point.
    starboard, port = _bounds([aside for _, aside in seen])
    fore, aft = _bounds([forward for forward, _ in seen])
    center = np.array([(rows - 1) / 2.0, (columns - 1) / 2.0])
    steps = np.array([[0.0, -0.5], [0.0, 0.5], [-0.5, 0.0], [0.5, 0.0]])
    forward, aside = _ground(pixel_directions(camera, center + steps) @ turn.T, path)
    # Rows lie across the track for "nadir"; a camera turned by 90° has its columns there.
    by_column = (abs(aside[1] - aside[0]), abs(forward[1] - forward[0]))
    by_row = (abs(aside[3] - aside[2]), abs(forward[3] - forward[2]))
    across, along = max(by_column[0], by_row[0]), max(by_column[1], by_row[1])
    border = np.column_stack([np.full(2, center[0]), [-0.5, columns - 0.5]])
    inner = np.column_stack([np.full(2, center[0]), [0.5, columns - 1.5]])
    if by_row[0] > by_column[0]:
        border = np.column_stack([[-0.5, rows - 0.5], np.full(2, center[1])])
        inner = np.column_stack([[0.5, rows - 1.5], np.full(2, center[1])])
    outer = _ground(pixel_directions(camera, border) @ turn.T, path)[1]
    within = _ground(pixel_directions(camera, inner) @ turn.T, path)[1]
    widest = max(float(np.abs(outer - within).max()), float(across))
    return View("frame", port, starboard, aft, fore, float(across), float(along), widest, False)


def _bounds(sides: list[Floats]) -> tuple[float, float]:
    """Return the innermost place of the side farthest to the positive, and of that farthest to the other."""
    order = sorted(sides, key=lambda each: float(each[EDGE_NODES // 2]))
    return float(order[-1].min()), float(order[0].max())


@dataclass(frozen=True, slots=True)
class Sampling:
    """Ground sampling of a flight at one height and speed.

    Parameters
    ----------
    gsd_across_m, gsd_along_m : float
        Size of the middle pixel on the ground.
    widest_m : float
        Across-track size of the widest pixel.
    swath_m : float
        Width of ground that every line or picture covers.
    spacing_m : float
        Between neighboring legs for the asked overlap.
    step_m : float
        Along track from one line or picture to the next: as set, else for square pixels or the overlap.
    rate_hz : float
        Lines or pictures a second that give `step_m`.
    square_rate_hz : float
        Lines a second for square pixels; NaN for pictures.
    longest_exposure_s : float
        The shorter of what the blur and the rate allow.
    blur_exposure_s : float
        Longest exposure for the stated blur.
    fastest_m_s : float
        Speed up to which lines leave no gap, or pictures keep the overlap, at `rate_hz`.
    """

    gsd_across_m: float
    gsd_along_m: float
    widest_m: float
    swath_m: float
    spacing_m: float
    step_m: float
    rate_hz: float
    square_rate_hz: float
    longest_exposure_s: float
    blur_exposure_s: float
    fastest_m_s: float


def sampling(
    seen: View,
    *,
    height_m: float,
    speed_m_s: float,
    overlap: float,
    forward_overlap: float | None = None,
    rate_hz: float | None = None,
    blur_share: float = BLUR_SHARE,
) -> Sampling:
    """Return the ground sampling from *height_m* above flat ground at *speed_m_s*.

    Thin-lens (pinhole) geometry: a pixel of angular size ``tan a2 - tan a1`` covers that times the height.

    Parameters
    ----------
    seen : View
        From :func:`view`.
    height_m, speed_m_s : float
        Above ground; over ground.
    overlap : float
        Share of the swath that neighboring legs have in common, in [0, 1).
    forward_overlap : float, optional
        The same between pictures of one leg; left out: as *overlap*. Lines have none.
    rate_hz : float, optional
        Lines or pictures a second as the camera is set.
    blur_share : float
        Of an along-track pixel that the aircraft may move during one exposure.

    Examples
    --------
    A lens of 8 mm over 640 pixels of 8 um sees 0.001 rad a pixel: from 60 m that is 6 cm, and 38.4 m in all.

    >>> seen = View("line", -0.32, 0.32, 0.0, 0.0, 0.001, 0.001, 0.001, True)
    >>> made = sampling(seen, height_m=60.0, speed_m_s=6.0, overlap=0.25)
    >>> [round(x, 6) for x in (made.gsd_across_m, made.swath_m, made.spacing_m, made.square_rate_hz)]
    [0.06, 38.4, 28.8, 100.0]
    """
    forward = overlap if forward_overlap is None else forward_overlap
    if not (height_m > 0.0 and speed_m_s > 0.0 and blur_share > 0.0):
        raise ValueError("height, speed and share of blur must be > 0")
    if not (0.0 <= overlap < 1.0 and 0.0 <= forward < 1.0) or (rate_hz is not None and not rate_hz > 0.0):
        raise ValueError("overlaps must lie in [0, 1) and the rate be > 0")
    across, along = seen.across * height_m, seen.along * height_m
    swath = seen.width * height_m
    square = math.nan
    if seen.kind == "line":
        square = speed_m_s / across
        most = along  # a line farther on leaves a gap
        wanted = across
    else:
        most = wanted = seen.length * height_m * (1.0 - forward)
    rate = speed_m_s / wanted if rate_hz is None else rate_hz
    blur = blur_share * along / speed_m_s
    return Sampling(
        gsd_across_m=across,
        gsd_along_m=along,
        widest_m=seen.widest * height_m,
        swath_m=swath,
        spacing_m=swath * (1.0 - overlap),
        step_m=speed_m_s / rate,
        rate_hz=rate,
        square_rate_hz=square,
        longest_exposure_s=min(blur, 1.0 / rate),
        blur_exposure_s=blur,
        fastest_m_s=most * rate,
    )


def overlap_at(seen: View, *, height_m: float, spacing_m: float) -> float:
    """Return the share of the swath that legs *spacing_m* apart have in common; negative = a gap.

    >>> round(overlap_at(View("line", -0.5, 0.5, 0, 0, 1e-3, 1e-3, 1e-3, True), height_m=50, spacing_m=40), 6)
    0.2
    """
    return 1.0 - spacing_m / (seen.width * height_m)


def smallest_target_m(across_m: float, along_m: float, *, fill: float = FULL_FILL) -> float:
    """Return the side of a square that fills a share of at least one pixel, wherever it falls on the grid.

    Where it is divided evenly, two pixels in a row hold half of a side each: the share that is sure is
    ``min(s / 2a, 1) min(s / 2b, 1)`` for pixels of a by b.

    Parameters
    ----------
    across_m, along_m : float
        Size of a pixel; along track with the way flown during the exposure.
    fill : float
        Share that the search needs, in (0, 1]; 1: a pixel of the target alone.

    Examples
    --------
    >>> smallest_target_m(0.06, 0.06), round(smallest_target_m(0.06, 0.06, fill=0.25), 6)
    (0.12, 0.06)
    """
    if not (across_m > 0.0 and along_m > 0.0 and 0.0 < fill <= 1.0):
        raise ValueError("pixels must be > 0 and fill lie in (0, 1]")
    short, long = sorted((across_m, along_m))
    side = 2.0 * math.sqrt(fill * short * long)
    return side if side <= 2.0 * short else 2.0 * fill * long
