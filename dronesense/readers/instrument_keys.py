"""Keys that all instrument files share."""

from __future__ import annotations

import msgspec


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unknown key is an error."""


class AngleKeys(Strict, frozen=True):
    """`[mount] boresight_deg`."""

    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


class SigmaKeys(Strict, frozen=True):
    """`[mount] sigma`."""

    boresight_deg: float = 0.0
    lever_arm_m: float = 0.0


class MountKeys(Strict, frozen=True):
    """`[mount]`."""

    rotation: str = "nadir"
    tilt_deg: float = 0.0
    boresight_deg: AngleKeys = AngleKeys()
    lever_arm_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma: SigmaKeys = SigmaKeys()
