"""One release of a camera with a lens per band: the files it wrote, and what they say of light and optics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dronesense.model.lens import Lens

CameraFamily = Literal["micasense", "sequoia", "dji-p4m", "dji-m3m"]


class PixelFlag(IntFlag):
    """What is to be known of one value; nothing is ever clipped to hide it.

    - ``SATURATED``: the count is at or beyond the camera's full scale.
    - ``BELOW_DARK``: the count lies below the dark level, so the value is negative.
    - ``ABOVE_ONE``: a reflectance above 1: a glint, or a panel that was not what it was taken for.
    - ``EXTRAPOLATED``: outside what the reference targets span.
    - ``OUTSIDE``: the band does not see this place, or nothing can be said of it there.
    """

    SATURATED = 1
    BELOW_DARK = 2
    ABOVE_ONE = 4
    EXTRAPOLATED = 8
    OUTSIDE = 16


Flags = NDArray[np.uint8]
Convert: TypeAlias = Callable[[int, NDArray[Any], int], tuple[NDArray[np.float32], Flags]]
"""``convert(band, counts, first_row)`` -> values and all flags of whole rows on the band's own pixel grid."""


@dataclass(frozen=True, slots=True)
class BandFrame:
    """What one band file of a capture says of itself.

    Parameters
    ----------
    path : str
        The file.
    band : str
        Name of the band as the camera writes it.
    index : int
        Place in the rig.
    shape : (rows, cols)
        Pixels.
    center_nm, fwhm_nm : float
        Center and full width at half maximum, nm; NaN when not stated.
    exposure_s, gain, f_number : float
        Exposure time, s; gain (ISO / 100 or the camera's own factor); f-number, NaN when not stated.
    black_level, saturation_dn : float
        Counts without light; counts at full scale.
    bits : int
        Bits of a stored number.
    lens : Lens or None
        Optics, where the file has them.
    rig_deg : (x, y, z) or None
        Rotation of this band's camera in the rig, degrees; turned about x, then y, then z.
    homography : (9,) float or None
        Row by row, undistorted pixels of this band -> pixels of the plane that all bands share.
    parameters : mapping of str to tuple of float
        Radiometric constants by the name the camera gives them.
    light : mapping of str to float
        What the downwelling sensor says, by the camera's names.
    panel : tuple of (x, y)
        Corners of the reflectance panel where the camera found it, pixels; empty otherwise.
    panel_reflectance : float
        Reflectance of that panel as the camera knows it; NaN otherwise.
    """

    path: str
    band: str
    index: int
    shape: tuple[int, int]
    center_nm: float
    fwhm_nm: float
    exposure_s: float
    gain: float
    black_level: float
    saturation_dn: float
    bits: int = 16
    f_number: float = float("nan")
    lens: Lens | None = None
    rig_deg: tuple[float, float, float] | None = None
    homography: tuple[float, ...] | None = None
    parameters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    light: Mapping[str, float] = field(default_factory=dict)
    panel: tuple[tuple[float, float], ...] = ()
    panel_reflectance: float = float("nan")


@dataclass(frozen=True, slots=True)
class Capture:
    """The bands of one release.

    Parameters
    ----------
    camera : str
        Make and model as written in the files.
    family : CameraFamily
        Which radiometric model the counts follow.
    id : str
        The camera's name for this release; empty when it gives none.
    frames : tuple of BandFrame
        In the order of the bands of the cube.
    time : int or None
        Release, int64 UTC ns; None when the files tell no UTC.
    position : (lon, lat, height_m) or None
        WGS84 degrees; what the height refers to depends on the camera and is not told here.
    attitude_deg : (yaw, pitch, roll) or None
        Of the camera or gimbal as the camera writes it.
    serial : str
        Of the camera; empty when not stated.
    """

    camera: str
    family: CameraFamily
    id: str
    frames: tuple[BandFrame, ...]
    time: int | None
    position: tuple[float, float, float] | None = None
    attitude_deg: tuple[float, float, float] | None = None
    serial: str = ""


@runtime_checkable
class CaptureCube(Protocol):
    """A cube source that still knows the capture behind it, so that its counts can be converted.

    Conversion happens on each band's own pixel grid, before the bands are brought together: vignetting and
    row gradients belong to the detector.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, bands, columns of the shared grid."""
        ...

    @property
    def capture(self) -> Capture:
        """The capture."""
        ...

    def counts(self, band: int, start: int = 0, stop: int | None = None) -> NDArray[np.uint16]:
        """Return rows of one band as stored, on its own pixel grid."""
        ...

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return rows of the shared grid, see :class:`~dronesense.model.CubeSource`."""
        ...

    def flags(self, start: int, stop: int) -> Flags:
        """Return the :class:`PixelFlag` of rows of the shared grid as (rows, bands, cols)."""
        ...

    def converted(self, convert: Convert, good: NDArray[np.bool_] | None = None) -> CaptureCube:
        """Return the same source with *convert* between the counts and the shared grid.

        `good` (bands,): bands that decide whether a pixel is valid; None: all.
        """
        ...
