"""What is known about an instrument before take-off: columns, optics, mounting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze


@dataclass(frozen=True, slots=True)
class Mount:
    """How an instrument sits in the aircraft.

    Parameters
    ----------
    rotation : str
        Named exact rotation, camera to body: ``"nadir"`` (camera x forward, y starboard, z down), ...
    boresight_deg : (roll, pitch, yaw)
        Small rotation of the camera against the nominal mount.
    lever_arm_m : (x, y, z)
        From the navigation reference point to the inlet or projection center, body forward-right-down.
    sigma_boresight_deg, sigma_lever_arm_m : float
        Standard uncertainty per axis.
    """

    rotation: str = "nadir"
    boresight_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lever_arm_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma_boresight_deg: float = 0.0
    sigma_lever_arm_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    unit : str
        As written in the instrument file.
    species : str or None
        Gas, for a concentration column.
    field : str or None
        ``pressure``, ``temperature``, ``humidity``, ``water``, ``status``, ``latitude``, ``longitude``,
        ``height``, ``roll``, ``pitch``, ``yaw``, ``velocity_north``, ``velocity_east``, ``velocity_down``,
        ``velocity_up``, ...
    basis : {"dry", "wet", "unknown"}
        For mole fractions.
    sigma : float
        Noise of one reading in `unit`; NaN when not stated.
    ok : tuple of float
        For ``field = "status"``: the values that mean a good reading; empty = any.
    """

    unit: str = "1"
    species: str | None = None
    field: str | None = None
    basis: Literal["dry", "wet", "unknown"] = "unknown"
    sigma: float = float("nan")
    ok: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where the time stamp stands and how it is written.

    Parameters
    ----------
    columns : tuple of str
        One or more columns, joined by a space.
    format : str
        ``iso``, ``unix``, ``unix_ms`` or a strptime pattern.
    zone : str or None
        ``UTC``, ``+05:00`` or an IANA name; None: the stamps carry their own offset (or are refused).
    """

    columns: tuple[str, ...]
    format: str = "iso"
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class GasInstrument:
    """A table-writing analyser.

    Parameters
    ----------
    time : TimeColumn
        The clock.
    columns : mapping of str to Column
        Column heading -> meaning.
    valid_range : mapping of str to (low, high)
        Species -> range in the column's own unit.
    missing : tuple of str
        Texts that stand for "no value" beside the empty cell, NaN and nan.
    delimiter : str or None
        None: found from the header.
    height_ref : str or None
        For a ``height`` column: what it refers to.
    """

    time: TimeColumn
    columns: Mapping[str, Column]
    valid_range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    height_ref: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LineCamera:
    """A push-broom camera.

    Parameters
    ----------
    samples : int
        Pixels across track.
    look_deg : (samples, 2) float64
        Across-track and along-track angle of each pixel center, degrees; across is positive to starboard,
        along positive forward, whatever side the first sample is on.
    saturation_dn : float
        Counts from which a pixel is saturated; inf when not stated.
    """

    samples: int
    look_deg: NDArray[np.float64]
    saturation_dn: float = float("inf")

    def __post_init__(self) -> None:
        freeze(self, np.float64, (self.samples, 2), "look_deg")


@dataclass(frozen=True, slots=True)
class FrameCamera:
    """A frame camera; only its radiometric limit is used so far."""

    saturation_dn: float = float("inf")


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument: what it is, how it is mounted.

    Parameters
    ----------
    id : str
        Name of its file.
    kind : {"gas", "line_scan", "frame"}
        Fixes the type of `spec`.
    spec : GasInstrument, LineCamera or FrameCamera
        What is particular to the kind.
    mount : Mount
        Where it sits.
    path : str
        File it was read from.
    """

    id: str
    kind: Literal["gas", "line_scan", "frame"]
    spec: GasInstrument | LineCamera | FrameCamera
    mount: Mount
    path: str
