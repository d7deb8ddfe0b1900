"""The keys of ``flight.toml``, as the contract with users has them."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

SCHEMA_VERSION: Final = 1

DEFAULT_TERRAIN_SIGMA_M: Final = 1.0
"""Standard uncertainty of a height model when nobody states one, m."""
MAX_VARIANTS: Final = 16
"""Signatures of one target, at most; more are a library of several materials."""
DEFAULT_FALSE_ALARMS_PER_HOUR: Final = 1.0
DEFAULT_FALSE_ALARM_RATE: Final = 1e-5
"""Per pixel."""
MIN_TARGETS: Final = 2
"""An empirical line goes through two targets at least."""
DEFAULT_SEARCH_REACH_M: Final = 150.0
"""How far upwind of a gas hotspot its source is looked for, m."""


class Table(Struct, forbid_unknown_fields=True, kw_only=True):
    """A TOML table: unknown keys are errors."""


class FlightTable(Table):
    """``[flight]``."""

    id: str = ""
    crs: str = "auto"


class TrackSigma(Table):
    """``[track] sigma``: overrides the log's own accuracies."""

    horizontal_m: float | None = None
    vertical_m: float | None = None
    roll_pitch_deg: float | None = None
    heading_deg: float | None = None
    clock_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value >= 0.0:
                raise ValueError(f"{name} must be >= 0, not {value}")


class TrackTable(Table):
    """``[track]``."""

    path: str | list[str]
    reader: str | None = None
    instrument: str | None = None
    source: str = "auto"
    height_ref: Literal["auto", "ellipsoid", "egm96", "egm2008", "takeoff"] = "auto"
    date: dt.date | None = None
    tz: str | None = None
    time_scale: Literal["auto", "utc", "gps"] = "auto"
    roll_positive: Literal["auto", "right-wing-down", "right-wing-up"] = "auto"
    attitude: str | None = None
    geoid: str | None = None
    clock_offset_s: float | None = None
    sigma: TrackSigma = field(default_factory=TrackSigma)

    def paths(self) -> list[str]:
        """Return the logs, one or several."""
        return [self.path] if isinstance(self.path, str) else self.path


class TerrainTable(Table):
    """``[terrain]``: a height model, or one flat height."""

    path: str | None = None
    height_m: float | None = None
    height_ref: Literal["ellipsoid", "egm96", "egm2008"] = "ellipsoid"
    sigma_m: float = DEFAULT_TERRAIN_SIGMA_M

    def __post_init__(self) -> None:
        if (self.path is None) == (self.height_m is None):
            raise ValueError("needs either path or height_m")
        if not self.sigma_m >= 0.0:
            raise ValueError(f"sigma_m must be >= 0, not {self.sigma_m}")


class GasTable(Table):
    """``[[gas]]``."""

    path: str
    instrument: str | None = None
    reader: str | None = None
    clock_offset_s: float | Literal["auto"] = "auto"
    zone: str | None = None
    date_order: Literal["dmy", "mdy"] | None = None


class RegionTable(Table):
    """A region of a capture whose reflectance is known."""

    reflectance: str
    rows: tuple[int, int] | None = None
    samples: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "samples"):
            region = getattr(self, name)
            if region is not None and not 0 <= region[0] < region[1]:
                raise ValueError(f"{name} must be [first, last) with 0 <= first < last, not {list(region)}")


class PanelTable(RegionTable, kw_only=True):
    """``panel = {...}`` of a cube, or one of several."""

    path: str
    time: dt.datetime | None = None
    find: Literal["auto", "whole"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.time is not None and self.time.tzinfo is None:
            raise ValueError("time has no zone: write it as 2026-06-14T09:58:00Z")
        if self.find is not None and not (self.rows is None and self.samples is None):
            raise ValueError("give find, or rows and samples, not both")


class TargetTable(RegionTable, kw_only=True):
    """One of ``empirical_line = [{...}, ...]``: a target on the ground; without path in the cube itself."""

    path: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path is None and (self.rows is None or self.samples is None):
            raise ValueError("a target in the cube itself needs rows and samples")


class PosesTable(Table):
    """``poses = {...}`` of a cube: where an adjustment of its pictures lies, and how good it is."""

    path: str
    sigma_m: float
    sigma_deg: float
    crs: str = ""
    origin: list[float] | None = None
    height_ref: Literal["ellipsoid", "egm96"] = "ellipsoid"

    def __post_init__(self) -> None:
        for name in ("sigma_m", "sigma_deg"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be > 0, not {getattr(self, name)}")
        if self.origin is not None and len(self.origin) not in (2, 3):
            raise ValueError(f"origin must be [x, y] or [x, y, height], not {self.origin}")


class CubeTable(Table):
    """``[[cube]]``."""

    path: str
    instrument: str | None = None
    reader: str | None = None
    dataset: str | None = None
    order: str | None = None
    line_times: str = "auto"
    dark: str | list[str] | None = None
    panel: PanelTable | list[PanelTable] | None = None
    empirical_line: list[TargetTable] | None = None
    irradiance: str | None = None
    poses: PosesTable | None = None

    def __post_init__(self) -> None:
        if self.empirical_line is not None and len(self.empirical_line) < MIN_TARGETS:
            raise ValueError(f"empirical_line needs at least {MIN_TARGETS} targets: a dark and a bright one")
        if self.empirical_line is not None and self.panel is not None:
            raise ValueError("give panel or empirical_line, not both")
        if self.irradiance is not None and self.panel is None:
            raise ValueError("irradiance needs a panel: a light sensor alone has no scale")
        for name in ("dark", "panel"):
            if getattr(self, name) == []:
                raise ValueError(f"{name} is an empty list")

    def darks(self) -> list[str]:
        """Return the dark captures, paths or globs."""
        return [] if self.dark is None else [self.dark] if isinstance(self.dark, str) else self.dark

    def panels(self) -> list[PanelTable]:
        """Return the panel captures."""
        given = self.panel
        return [] if given is None else [given] if isinstance(given, PanelTable) else given


class CalibrationTable(Table):
    """``[calibration]``."""

    path: str = "calibration"


class WindTable(Table):
    """``[wind]``: a file, or a mean wind with its uncertainty."""

    path: str | None = None
    instrument: str | None = None
    zone: str | None = None
    speed_m_s: float | None = None
    from_deg: float | None = None
    sigma_speed_m_s: float | None = None
    sigma_from_deg: float | None = None


class DetectTable(Table):
    """``[[detect]]``: a gas rule has a species, a spectral rule a signature or a method that needs none.

    A species with a table of absorption is sought in cubes. Several signatures are variants of one target.
    """

    target: str
    species: str | None = None
    signature: str | list[str] | None = None
    method: str | None = None
    false_alarms_per_hour: float | None = None
    threshold_sigma: float | None = None
    min_duration_s: float = 0.0
    background: str | None = None
    window_s: float | None = None
    false_alarm_rate: float | None = None
    threshold: float | None = None
    min_pixels: int = 1
    window_pixels: tuple[int, int] | None = None
    absorption: str | None = None
    confusers: list[str] | None = None

    _GAS_ONLY = ("false_alarms_per_hour", "threshold_sigma", "window_s")
    _SPECTRAL_ONLY = ("false_alarm_rate", "threshold", "window_pixels", "confusers")
    _NOT_OF_COLUMNS = ("background", "window_pixels", "confusers")

    def __post_init__(self) -> None:
        if self.species is not None and self.signature is not None:
            raise ValueError("needs either species (a gas rule) or signature (a spectral rule)")
        if self.species is None and self.signature is None and self.method is None:
            raise ValueError(
                'needs species (a gas rule), signature (a spectral rule), or a method without one: "rx"'
            )
        if self.background == "iterated" and self.species is None and self.signature is None:
            raise ValueError('background = "iterated" needs a signature')
        if self.signature in ("", []):
            raise ValueError("signature must name a file, or several")
        if self.window_pixels is not None:
            guard, outer = self.window_pixels
            if not (0 < guard < outer and guard % 2 and outer % 2):
                raise ValueError(
                    f"window_pixels must be two odd numbers, guard < outer, not {guard}, {outer}"
                )
            if self.background != "local":
                raise ValueError('window_pixels belongs to background = "local"')
        if self.absorption is not None and self.species is None:
            raise ValueError("absorption needs the species that it is of")
        kind: str = "gas" if self.species is not None else "spectral"
        foreign: tuple[str, ...] = self._SPECTRAL_ONLY if kind == "gas" else self._GAS_ONLY
        if self.absorption is not None:
            kind, foreign = "column", (*self._GAS_ONLY, *self._NOT_OF_COLUMNS)
            if self.method not in (None, "column") or self.min_duration_s:
                raise ValueError('a gas is sought in cubes by method = "column", without min_duration_s')
        for name in foreign:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} does not belong to a {kind} rule")
        if self.false_alarms_per_hour is not None and not self.false_alarms_per_hour > 0.0:
            raise ValueError(f"false_alarms_per_hour must be > 0, not {self.false_alarms_per_hour}")
        if self.window_s is not None and not self.window_s > 0.0:
            raise ValueError(f"window_s must be > 0, not {self.window_s}")
        if self.false_alarm_rate is not None and not 0.0 < self.false_alarm_rate < 1.0:
            raise ValueError(f"false_alarm_rate must lie between 0 and 1, not {self.false_alarm_rate}")
        if self.min_pixels < 1:
            raise ValueError(f"min_pixels must be >= 1, not {self.min_pixels}")
        if self.threshold is not None and self.false_alarm_rate is not None:
            raise ValueError("give threshold or false_alarm_rate, not both")
        if self.threshold_sigma is not None and self.false_alarms_per_hour is not None:
            raise ValueError("give threshold_sigma or false_alarms_per_hour, not both")


class EmissionTable(Table):
    """``[[emission]]``: a question about a source."""

    species: str
    method: Literal["mass-balance", "plume"]
    molar_mass_g_mol: float | None = None
    background_ppm: float | None = None
    sigma_background_ppm: float | None = None
    stability: Literal["auto", "A", "B", "C", "D", "E", "F"] | None = None
    source_height_m: float | None = None

    def __post_init__(self) -> None:
        if self.background_ppm is not None and not self.background_ppm >= 0.0:
            raise ValueError(f"background_ppm must not be negative, is {self.background_ppm}")
        if (self.sigma_background_ppm is None) != (self.background_ppm is None):
            raise ValueError("give background_ppm and sigma_background_ppm together")
        if self.sigma_background_ppm is not None and not self.sigma_background_ppm >= 0.0:
            raise ValueError(f"sigma_background_ppm must not be negative, is {self.sigma_background_ppm}")
        if self.molar_mass_g_mol is not None and not self.molar_mass_g_mol > 0.0:
            raise ValueError(f"molar_mass_g_mol must be > 0, not {self.molar_mass_g_mol}")
        if self.source_height_m is not None and not self.source_height_m >= 0.0:
            raise ValueError(f"source_height_m must not be negative, is {self.source_height_m}")
        for name in ("stability", "source_height_m"):
            if self.method != "plume" and getattr(self, name) is not None:
                raise ValueError(f'{name} belongs to method = "plume"')


class HotspotsTable(Table):
    """``[hotspots]``."""

    merge_radius_m: float | Literal["auto"] = "auto"
    gas: Literal["crossings", "plumes"] = "crossings"
    search_reach_m: float = DEFAULT_SEARCH_REACH_M

    def __post_init__(self) -> None:
        if not 0.0 < self.search_reach_m < float("inf"):
            raise ValueError(f"search_reach_m must be > 0, not {self.search_reach_m}")


class Manifest(Table):
    """The whole ``flight.toml``."""

    schema: int
    flight: FlightTable = field(default_factory=FlightTable)
    track: TrackTable | None = None
    terrain: TerrainTable | None = None
    gas: list[GasTable] = field(default_factory=list)
    cube: list[CubeTable] = field(default_factory=list)
    calibration: CalibrationTable = field(default_factory=CalibrationTable)
    wind: WindTable | None = None
    detect: list[DetectTable] = field(default_factory=list)
    emission: list[EmissionTable] = field(default_factory=list)
    hotspots: HotspotsTable = field(default_factory=HotspotsTable)

    def __post_init__(self) -> None:
        if self.schema != SCHEMA_VERSION:
            raise ValueError(
                f"schema = {self.schema} is not known; this version reads schema = {SCHEMA_VERSION}"
            )


def with_origin(manifest: Manifest, given: dict[str, Any], *, origin: str) -> dict[str, dict[str, object]]:
    """Return every parameter as ``{"track.source": {"value": "auto", "origin": "default"}, ...}``.

    Parameters
    ----------
    manifest : Manifest
        The complete settings.
    given : dict
        The raw TOML: what stands in it has *origin*, the rest is ``"default"``.
    origin : str
        ``"flight.toml"`` or ``"discovery"``.
    """
    result: dict[str, dict[str, object]] = {}

    def walk(value: object, raw: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                known = raw.get(key, UNSET) if isinstance(raw, dict) else UNSET
                walk(inner, known, f"{name}.{key}" if name else key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, inner in enumerate(value):
                walk(inner, raw[number] if isinstance(raw, list) else UNSET, f"{name}[{number}]")
        elif value is not None:
            result[name] = {"value": value, "origin": "default" if isinstance(raw, UnsetType) else origin}

    walk(msgspec.to_builtins(manifest), given, "")
    return result
