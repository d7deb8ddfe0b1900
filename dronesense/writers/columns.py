"""The attributes of every layer: name, type, what people see, what it means. One place for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["text", "integer", "real", "time"]


@dataclass(frozen=True, slots=True)
class Column:
    """An attribute of a layer.

    Parameters
    ----------
    name : str
        In the file: lower-case ASCII, the unit at its end.
    kind : {"text", "integer", "real", "time"}
        Of its values.
    alias : str
        What a table shows as heading.
    about : str
        What it means, in a sentence.
    """

    name: str
    kind: Kind
    alias: str
    about: str


HOTSPOT: Final = (
    Column("id", "text", "Hotspot", "Stable id: same flight, target, method and place, same id"),
    Column("target", "text", "Target", "The rule that it answers to"),
    Column("kind", "text", "Kind of evidence", "gas: where the air was, not its source; spectral; fused"),
    Column("method", "text", "Method", "Detector"),
    Column("score", "real", "Score", "Of the best pixel or sample, in the unit of the method"),
    Column("p_value", "real", "p-value", "Probability that background alone scores as high"),
    Column("q_value", "real", "q-value", "Expected share of false ones among all that rank as high"),
    Column(
        "value", "real", "Enhancement", "Enhancement over the background, or filled part of the best pixel"
    ),
    Column("unit", "text", "Unit", "Of the enhancement and its uncertainty"),
    Column("value_sigma", "real", "Standard uncertainty", "Of the enhancement"),
    Column("n_pixels", "integer", "Pixels", "With a place, all strips together; spectral only"),
    Column("n_samples", "integer", "Samples", "With a position, all passes together; gas only"),
    Column("n_passes", "integer", "Passes", "Strips or passes that saw it"),
    Column("area_m2", "real", "Area (m²)", "Geodesic area of the outline; none for gas"),
    Column("lon", "real", "Longitude (°)", "Best estimate of the place, WGS84"),
    Column("lat", "real", "Latitude (°)", "Best estimate of the place, WGS84"),
    Column("height_m", "real", "Height (m)", "Of that place above the WGS84 ellipsoid"),
    Column("ce90_m", "real", "Error 90 % (m)", "Radius that holds the true place with 90 % probability"),
    Column("ellipse_major_m", "real", "Ellipse, major (m)", "One-sigma semi-axis of the error ellipse"),
    Column("ellipse_minor_m", "real", "Ellipse, minor (m)", "One-sigma semi-axis of the error ellipse"),
    Column("ellipse_azimuth_deg", "real", "Ellipse, azimuth (°)", "Major axis, clockwise from true north"),
    Column("start", "time", "First seen (UTC)", "First exposure or sample"),
    Column("end", "time", "Last seen (UTC)", "Last exposure or sample"),
    Column("flight", "text", "Flight", "Flight id"),
    Column("sources", "text", "Raw data", "File and lines and samples, or file and rows"),
    Column("status", "text", "Status", "candidate until a person says confirmed or rejected"),
    Column("flags", "text", "Limits", "What limits it; empty when nothing does"),
    Column("members", "text", "Members", "Of a fused hotspot: the hotspots that it was made of"),
)
"""Attributes of ``hotspots``, ``hotspot_lines`` and ``hotspot_points``, as in ``hotspots.geojson``."""

GAS: Final = (
    Column("species", "text", "Species", "Gas"),
    Column("time", "time", "Time (UTC)", "When the air was at the inlet"),
    Column("value", "real", "Reading", "Calibrated"),
    Column("unit", "text", "Unit", "Of reading, uncertainty and background"),
    Column("value_sigma", "real", "Standard uncertainty", "Of the reading"),
    Column("background", "real", "Background", "Under the series, when a rule asked for the species"),
    Column("z", "real", "Enhancement (sigma)", "Standardized enhancement over the background"),
    Column("height_m", "real", "Height (m)", "Of the inlet above the WGS84 ellipsoid"),
    Column("flags", "text", "Flags", "Why the sample is not to be trusted, joined by a bar"),
    Column("source", "text", "Raw file", "File that the reading came from"),
    Column("row", "integer", "Row", "Row in that file, 1-based, header included"),
)
"""Attributes of ``gas_samples``."""
GAS_CELLS: Final = (
    "time", "lon", "lat", "height_m", "value", "value_sigma", "background", "z", "flags", "source", "row",
)  # fmt: skip
"""What the cells of a line of ``gas/<species>.csv`` are called in :data:`GAS`."""

TRACK: Final = (
    Column("flight", "text", "Flight", "Flight id"),
    Column("segment", "integer", "Stretch", "Number of the stretch without a gap or a reset"),
    Column("start", "time", "Begin (UTC)", "First sample"),
    Column("end", "time", "End (UTC)", "Last sample"),
    Column("samples", "integer", "Samples", "Of the log"),
    Column("length_m", "real", "Length (m)", "Flown"),
    Column("source", "text", "Raw file", "File and position source"),
    Column("fix", "text", "Kinds of fix", "With their share of samples"),
    Column("sigma_horizontal_m", "real", "Sigma, horizontal (m)", "Per axis, median"),
    Column("sigma_vertical_m", "real", "Sigma, vertical (m)", "Median"),
    Column("height_ref", "text", "Heights refer to", "What the log's own heights refer to"),
    Column("height_min_m", "real", "Lowest (m)", "Above the WGS84 ellipsoid"),
    Column("height_max_m", "real", "Highest (m)", "Above the WGS84 ellipsoid"),
    Column("clock", "text", "Clock", "How the log's time became UTC"),
    Column("sigma_clock_s", "real", "Sigma, clock (s)", "Standard uncertainty of the time"),
)
"""Attributes of ``track``."""

COVERAGE: Final = (
    Column("kind", "text", "Kind", "seen: looked at; gap: inside the outline of all cubes, not looked at"),
    Column("cube", "text", "Cube", "Spectral cube whose pixels with a score this outlines; none for gaps"),
    Column("flight", "text", "Flight", "Flight id"),
    Column("area_m2", "real", "Area (m²)", "Geodesic area"),
)
"""Attributes of ``coverage``."""
