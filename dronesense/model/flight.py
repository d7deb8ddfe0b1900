"""A flight that has been opened: what was found, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dronesense.model import showing
from dronesense.model.absorption import AbsorptionTable
from dronesense.model.calibration import CameraCalibration, GasCalibration
from dronesense.model.cube import SpectralCube
from dronesense.model.gas import GasSeries
from dronesense.model.gas_tables import Sheets
from dronesense.model.instrument import Instrument
from dronesense.model.orientation import PictureOrientation
from dronesense.model.radiometry import LightSeries
from dronesense.model.report import IngestReport
from dronesense.model.signature import Signature
from dronesense.model.terrain import Terrain
from dronesense.model.trajectory import Trajectory
from dronesense.model.wind import Wind


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that the run read.

    Parameters
    ----------
    path : str
        Relative to the flight folder; how products name it.
    role : str
        ``flight log``, ``gas series``, ``cube``, ...
    report : IngestReport or None
        What the reader said.
    file : Path or None
        Where it lies now; never written into products.
    """

    path: str
    role: str
    report: IngestReport | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """A reflectance panel capture.

    Parameters
    ----------
    cube : SpectralCube
        The capture.
    reflectance : Signature
        Of the panel, or of a target on the ground.
    rows, samples : (first, last) or None
        Region to use; None: all.
    time : int or None
        When it was taken, int64 UTC ns; None where nobody knows.
    find : {"auto", "whole"} or None
        Without a region: look for the panel; take all for the panel; None: all if it is alike from line to
        line, else look.
    """

    cube: SpectralCube
    reflectance: Signature
    rows: tuple[int, int] | None = None
    samples: tuple[int, int] | None = None
    time: int | None = None
    find: Literal["auto", "whole"] | None = None


@dataclass(frozen=True, slots=True)
class GasInput:
    """Gas series of one file.

    Parameters
    ----------
    series : tuple of GasSeries
        One per species, all on the analyser's own clock.
    instrument : Instrument
        Analyser.
    calibration : GasCalibration or None
        The record that is valid on that day.
    clock_offset_s : float or "auto"
        What to add to the analyser's time to get UTC.
    shares_track_clock : bool
        The track stands in the same file, row by row: no offset to find.
    own_track : Trajectory or None
        Positions that the analyser's own receiver wrote into the file, on its own clock.
    sheets : mapping of str to Sheets
        Species -> the data of its cell, lamp or metal oxide.
    """

    series: tuple[GasSeries, ...]
    instrument: Instrument
    calibration: GasCalibration | None
    clock_offset_s: float | Literal["auto"]
    shares_track_clock: bool = False
    own_track: Trajectory | None = None
    sheets: Mapping[str, Sheets] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CubeInput:
    """A cube with all that is needed to calibrate and place it.

    Parameters
    ----------
    cube : SpectralCube
        As it was recorded.
    instrument : Instrument or None
        Camera.
    calibration : CameraCalibration or None
        The record that is valid on that day.
    darks : tuple of SpectralCube
        Dark captures of the flight; they win over the record's.
    panels : tuple of Panel
        Captures of panels before, after, or between.
    targets : tuple of Panel
        Targets on the ground for an empirical line; their cube may be this one.
    light : LightSeries or None
        What a light sensor on the roof wrote.
    orientation : PictureOrientation or None
        Of a picture that an adjustment placed; then the track does not count.
    """

    cube: SpectralCube
    instrument: Instrument | None
    calibration: CameraCalibration | None = None
    darks: tuple[SpectralCube, ...] = ()
    panels: tuple[Panel, ...] = ()
    targets: tuple[Panel, ...] = ()
    light: LightSeries | None = None
    orientation: PictureOrientation | None = None


@dataclass(frozen=True, slots=True)
class DetectRule:
    """One ``[[detect]]`` table; a gas rule has `species`, a spectral rule `signature` or only a `method`.

    Parameters
    ----------
    target : str
        What a hotspot of this rule is called.
    species, signature
        What to look for: one of the two, or neither for a method that looks for anything (``"rx"``).
    method : str
        Detector. Default: ``"peak"`` for gas, ``"ace"`` for spectra, ``"column"`` for gas in cubes.
    false_alarms_per_hour, threshold_sigma, min_duration_s
        Of a gas rule: the rate that sets the threshold, or the threshold itself; duration of an event.
    background : str
        Of a gas rule: how the first background is drawn, ``"quantile"`` or a least-squares baseline. Of a
        spectral rule: ``"scene"``, ``"columns"``, ``"local"``, ``"clusters"`` or ``"iterated"``.
    window_s : float or None
        Of a gas rule: window of the background; None: chosen.
    false_alarm_rate, threshold, min_pixels
        Of a spectral rule: the rate per pixel, or the threshold itself; pixels of a region.
    window_pixels : (int, int) or None
        Of a spectral rule in front of a local background: pixels across guard and outer window.
    absorption : AbsorptionTable or None
        With `species`: the gas is sought in cubes, by what it takes out of the light.
    confusers : tuple of Signature
        Of a spectral rule: materials that may be mistaken for the target and are not sought.
    variants : tuple of Signature
        Beside `signature`: the same target as it ages, gets wet, or is lit from elsewhere. A pixel is the
        target if it is like any of them.
    """

    target: str
    species: str | None = None
    signature: Signature | None = None
    method: str = ""
    false_alarms_per_hour: float | None = None
    threshold_sigma: float | None = None
    min_duration_s: float = 0.0
    background: str = ""
    window_s: float | None = None
    false_alarm_rate: float | None = None
    threshold: float | None = None
    min_pixels: int = 1
    window_pixels: tuple[int, int] | None = None
    absorption: AbsorptionTable | None = None
    confusers: tuple[Signature, ...] = ()
    variants: tuple[Signature, ...] = ()

    def __post_init__(self) -> None:
        if self.species is not None and self.signature is not None:
            raise ValueError(f"rule {self.target!r} needs a species or a signature, not both")
        if self.species is None and self.signature is None and not self.method:
            raise ValueError(f"rule {self.target!r} needs a species, a signature, or a method without one")
        if self.absorption is not None and self.species is None:
            raise ValueError(f"rule {self.target!r} has a table of absorption, but no species")
        if self.variants and self.signature is None:
            raise ValueError(f"rule {self.target!r} has variants of a signature, but no signature")
        if len({each.quantity for each in self.signatures}) > 1:
            raise ValueError(f"rule {self.target!r} has signatures of several quantities")
        if not self.background:
            object.__setattr__(self, "background", "quantile" if self.lane == "gas" else "scene")
        if not self.method:
            default = {"gas": "peak", "spectral": "ace", "column": "column"}[self.lane]
            object.__setattr__(self, "method", default)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The signature and its variants; none for a rule without a signature."""
        return () if self.signature is None else (self.signature, *self.variants)

    @property
    def lane(self) -> Literal["gas", "spectral", "column"]:
        """What it searches: gas series, cubes for a material, or cubes for a gas."""
        if self.species is None:
            return "spectral"
        return "gas" if self.absorption is None else "column"


@dataclass(frozen=True, slots=True)
class EmissionRule:
    """A question about a source.

    Parameters
    ----------
    species : str
        Gas.
    method : {"mass-balance", "plume"}
        What the wind carried through the flown curtain or circle (rate); or a Gaussian plume turned around
        (place and rate).
    molar_mass_g_mol : float
        Of the gas.
    background_ppm, sigma_background_ppm : float
        Clean air, where it is known better than from the series itself; NaN: the background of the search.
    stability : {"auto", "A", ..., "F"}
        Pasquill class, for ``"plume"``.
    source_height_m : float
        Above ground, for ``"plume"``; NaN: anywhere up to 2 m.
    """

    species: str
    method: Literal["mass-balance", "plume"]
    molar_mass_g_mol: float
    background_ppm: float = float("nan")
    sigma_background_ppm: float = float("nan")
    stability: Literal["auto", "A", "B", "C", "D", "E", "F"] = "auto"
    source_height_m: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flight:
    """An opened flight folder.

    Parameters
    ----------
    id : str
        Name of the flight.
    root : Path
        The folder.
    trajectory : Trajectory or None
        None when every input is already on a map grid.
    gas, cubes : tuple
        Inputs.
    terrain : Terrain or None
        None: the pipeline falls back to the take-off height, with a warning.
    wind : Wind or None
        Of the flight; None: nothing upwind is inferred.
    rules : tuple of DetectRule
        What to look for.
    emissions : tuple of EmissionRule
        What to infer about sources.
    crs : str
        ``"auto"`` or the metric work CRS.
    merge_radius_m : float or "auto"
        How far apart two sightings of one target may be.
    gas_hotspots : {"crossings", "plumes"}
        Whether crossings of one plume become one hotspot.
    search_reach_m : float
        How far upwind of a gas hotspot its source is looked for.
    inputs : tuple of InputFile
        Every file that was read.
    rejected : tuple of (path, reason)
        Files that were asked for or found, and could not be used.
    ignored : tuple of (path, reason)
        Files in the folder that no role was found for.
    settings : mapping
        Every parameter with its origin, for ``run.json``.
    warnings : tuple of str
        What a user should know.
    """

    id: str
    root: Path
    trajectory: Trajectory | None
    gas: tuple[GasInput, ...] = ()
    cubes: tuple[CubeInput, ...] = ()
    terrain: Terrain | None = None
    wind: Wind | None = None
    rules: tuple[DetectRule, ...] = ()
    emissions: tuple[EmissionRule, ...] = ()
    crs: str = "auto"
    merge_radius_m: float | Literal["auto"] = "auto"
    gas_hotspots: Literal["crossings", "plumes"] = "crossings"
    search_reach_m: float = 150.0
    inputs: tuple[InputFile, ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<Flight {self.id}: {len(self.gas)} gas files, {len(self.cubes)} cubes, {len(self.rules)} rules>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "track": "none" if self.trajectory is None else self.trajectory,
            "gas": "; ".join(f"{each.species} ({len(each)} samples)" for g in self.gas for each in g.series),
            "cubes": len(self.cubes),
            "looked for": ", ".join(rule.target for rule in self.rules) or "nothing",
            "not used": f"{len(self.rejected)} rejected, {len(self.ignored)} ignored",
        }
        said = (*self.warnings, *(f"{path}: {why}" for path, why in self.rejected))
        below = showing.table(["file", "role"], [(each.path, each.role) for each in self.inputs])
        return showing.card(f"Flight {self.id}", facts, warnings=said, below=below)
