"""What is known about an instrument before take-off: columns, optics, mounting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dronesense.model.checks import freeze
from dronesense.model.lens import Lens


@dataclass(frozen=True, slots=True)
class Mount:
    """How an instrument sits in the aircraft.

    Parameters
    ----------
    rotation : str
        Named rotation, camera to body: ``"nadir"`` (camera x forward, y starboard, z down), ``"nadir-90"``,
        ``-180``, ``-270`` (turned clockwise about the optical axis), ``"oblique"`` and its kin (tilted by
        `tilt_deg`), ``"gimbal"`` (no fixed rotation: the angles of the gimbal count, not those of the body).
    boresight_deg : (roll, pitch, yaw)
        Small rotation of the camera against the nominal mount.
    lever_arm_m : (x, y, z)
        From the navigation reference point to the inlet or projection center, body forward-right-down.
    sigma_boresight_deg, sigma_lever_arm_m : float
        Standard uncertainty per axis.
    tilt_deg : float
        Of an oblique mount: from nadir towards the side it is named after (``"oblique"``: forward).
    """

    rotation: str = "nadir"
    boresight_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lever_arm_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sigma_boresight_deg: float = 0.0
    sigma_lever_arm_m: float = 0.0
    tilt_deg: float = 0.0


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
        ``velocity_up``, ``wind_from``, ... (docs/formats/instrument-toml.md lists them all).
    basis : {"dry", "wet", "unknown"}
        For mole fractions.
    sigma : float
        Noise of one reading in `unit`; NaN when not stated.
    ok : tuple of float or str
        For ``field = "status"``: the values or texts that mean a good reading; empty = any.
    bad_bits : int
        For ``field = "status"``: a good reading has none of these bits; 0 = not asked.
    within : (low, high) or None
        For ``field = "status"``: a good reading has a value within, both ends included.
    flag : str
        For ``field = "status"``: name of the :class:`~dronesense.model.Flag` that a bad one gets.
    of : str or None
        Species that a status, sigma, unit, basis or electrode column is about; None = all.
    optional : bool
        The table may lack the column.
    also : tuple of str
        Other headings of the same column: other languages, other versions.
    saturation : float
        Reading from which the sensor is saturated, in `unit`; inf when not stated.
    hold : bool or str
        The logger repeats the last reading until there is a new one; or the heading of the column by which
        repetitions are told (a dry mole fraction changes with the water, its wet one does not).
    derived : bool
        Computed from another channel, not measured (eCO2).
    stuck : int
        Equal readings in a row beyond which the sensor counts as stuck; 0 = never.
    molar_mass : float
        g/mol, to turn a mass concentration into a mole fraction; NaN when not stated.
    state : "sample" or (degC, hPa) or None
        Temperature and pressure that a mass concentration refers to.
    """

    unit: str = "1"
    species: str | None = None
    field: str | None = None
    basis: Literal["dry", "wet", "unknown"] = "unknown"
    sigma: float = float("nan")
    ok: tuple[float | str, ...] = ()
    bad_bits: int = 0
    within: tuple[float, float] | None = None
    flag: str = "STATUS"
    of: str | None = None
    optional: bool = False
    also: tuple[str, ...] = ()
    saturation: float = float("inf")
    hold: bool | str = False
    derived: bool = False
    stuck: int = 20
    molar_mass: float = float("nan")
    state: Literal["sample"] | tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class GasHeading:
    """Gas columns found by how they are headed: the set of gases varies between instruments of a kind.

    Parameters
    ----------
    heading : str
        ``"{name} ({unit})"``: `{name}` and `{unit}` stand for what the file says, the rest is literal.
    names : mapping of str to Column
        Name in the heading -> column; its unit counts only where the heading has none.
    """

    heading: str
    names: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where the time stamp stands and how it is written.

    Parameters
    ----------
    columns : tuple of str
        One or more columns, joined by a space.
    format : str
        ``iso``, ``unix``, ``unix_ms``, ``unix_us``, ``unix_ns``, ``unix_s_ns``, ``numeric`` (a date in
        figures, see `date_order`), ``excel`` (days since 1899-12-30), ``elapsed`` (seconds since a start), a
        strptime pattern, or ``auto``: what the stamps of the file can only be.
    zone : str or None
        ``UTC``, ``+05:00`` or an IANA name; None: the stamps carry their own offset (or are refused).
    date_order : {"dmy", "mdy", "ymd"} or None
        For ``numeric``; None: as a stamp of the file proves it (or it is refused).
    zone_line : str or None
        Text of the line above the headings that states the zone.
    start : str or None
        For ``elapsed``: the moment that seconds count from.
    start_line : str or None
        For ``elapsed``: text of the line above the headings that states that moment.
    also : tuple of tuple of str
        Other columns that stand for the clock, where the file lacks `columns`; the first found count.
    """

    columns: tuple[str, ...]
    format: str = "iso"
    zone: str | None = None
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    zone_line: str | None = None
    start: str | None = None
    start_line: str | None = None
    also: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """What is particular to how a table is laid out.

    Parameters
    ----------
    decimal : {".", ","} or None
        None: found from the cells.
    end : str or None
        The table ends before the first line that starts with this text.
    skip_rows : int
        Lines below the headings that hold units and names, no readings.
    extra_cells : bool
        Rows may have more cells than there are headings; those to the right are not read.
    """

    decimal: Literal[".", ","] | None = None
    end: str | None = None
    skip_rows: int = 0
    extra_cells: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """By what a file of the instrument is told from those of its relatives.

    Parameters
    ----------
    headings, without : tuple of str
        Headings that must, and must not, be there.
    text : str
        Text that must stand in the lines above the headings.
    last : bool
        Any other instrument that fits a file goes before this one.
    """

    headings: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    text: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class PidLamp:
    """A photoionization detector: who made it, its lamp, and the compound that its reading is taken for."""

    vendor: str
    lamp_ev: float
    compound: str


@dataclass(frozen=True, slots=True)
class Correct:
    """What lies between the signal of one species and its mole fraction: ``[correct.<species>]``.

    Parameters
    ----------
    ndir : (hPa, degC) or None
        The sensor counts molecules in an open cell; conditions at which it was set.
    dry : str or (linear, square) or None
        Model of the water (see :data:`dronesense.calibrate.ambient.WATER_POLYNOMIALS`), or its coefficients
        of ``wet / dry = 1 + linear h + square h^2``, h in percent.
    sigma_water_percent : float
        Standard uncertainty of the water, percent of a mole fraction.
    cell : str or None
        Serial number of an electrochemical cell, whose sheet the calibration folders hold.
    electrodes : str or None
        What its columns ``we`` and ``ae`` are said to be `of`; None: the species.
    table : str
        Issue of the maker's note that has its temperature factors.
    algorithm : int or None
        One of AAN 803 alone; None: the suggested one, and the spread of all in sigma.
    no2 : str or None
        Species whose mole fraction an oxidant cell sees as well.
    sigma_temperature_k : float
        Standard uncertainty of the cell's temperature.
    mox : str or None
        Name of a metal-oxide sensor, whose sheet the calibration folders hold.
    pid : PidLamp or None
        A photoionization detector.
    """

    ndir: tuple[float, float] | None = None
    dry: str | tuple[float, float] | None = None
    sigma_water_percent: float = 0.0
    cell: str | None = None
    electrodes: str | None = None
    table: str = "aan803-04"
    algorithm: int | None = None
    no2: str | None = None
    sigma_temperature_k: float = 1.0
    mox: str | None = None
    pid: PidLamp | None = None


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
    gases : tuple of GasHeading
        Gas columns found by how they are headed; of several for one species the first counts.
    layout : Layout
        How the table is laid out, beside `missing` and `delimiter`.
    warm_up_s : float
        Readings within this time of the first row are flagged.
    preamble : mapping of str to str
        Name -> text of the line above the headings whose value the report repeats.
    match : Match
        By what its files are told from those of its relatives.
    notes : tuple of str
        What every report on such a file repeats as an assumption.
    correct : mapping of str to Correct
        Species -> what its signal needs to become a mole fraction.
    """

    time: TimeColumn
    columns: Mapping[str, Column]
    valid_range: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    delimiter: str | None = None
    height_ref: str | None = None
    gases: tuple[GasHeading, ...] = ()
    layout: Layout = Layout()
    warm_up_s: float = 0.0
    preamble: Mapping[str, str] = field(default_factory=dict)
    match: Match = Match()
    notes: tuple[str, ...] = ()
    correct: Mapping[str, Correct] = field(default_factory=dict)


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
    """A camera that takes a whole picture at once, or row after row.

    Parameters
    ----------
    saturation_dn : float
        Counts from which a pixel is saturated; inf when not stated.
    shape : (rows, cols) or None
        Pixels; None: as the pictures are.
    lens : Lens or None
        None: as each picture says of itself.
    row_time_s : float
        Rolling shutter: time from one row to the next, negative from the bottom up; 0: all rows at once.
    row_reference : float
        Row whose exposure the time stamp of a picture refers to.
    """

    saturation_dn: float = float("inf")
    shape: tuple[int, int] | None = None
    lens: Lens | None = None
    row_time_s: float = 0.0
    row_reference: float = 0.0


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
