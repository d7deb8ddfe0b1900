"""The records that travel down the stair: frozen, validated at birth, arrays never written in place."""

from dronesense.model.calibration import CameraCalibration, GasCalibration, Response, SpeciesCalibration
from dronesense.model.cube import (
    Bands,
    CubeBlock,
    CubeSource,
    Frame,
    Geometry,
    LineScan,
    MapGrid,
    SpectralCube,
)
from dronesense.model.detection import Detection, ScoreMap, TailModel
from dronesense.model.emission import FluxEstimate, GasMap, SearchSector, SourceEstimate
from dronesense.model.flight import CubeInput, DetectRule, EmissionRule, Flight, GasInput, InputFile, Panel
from dronesense.model.gas import Ambient, Beam, Flag, GasSeries
from dronesense.model.hotspot import (
    CubeView,
    GasTrace,
    GroundPicture,
    GroundPoints,
    GroundRaster,
    Hotspot,
    HotspotLayer,
    HotspotSpectrum,
)
from dronesense.model.instrument import (
    Column,
    Correct,
    FrameCamera,
    GasHeading,
    GasInstrument,
    Instrument,
    Layout,
    LineCamera,
    Match,
    Mount,
    PidLamp,
    TimeColumn,
)
from dronesense.model.report import IngestReport
from dronesense.model.signature import Signature
from dronesense.model.terrain import Terrain
from dronesense.model.trajectory import Clock, TrackOptions, Trajectory, Triggers
from dronesense.model.wind import Wind

__all__ = [
    "Ambient",
    "Bands",
    "Beam",
    "CameraCalibration",
    "Clock",
    "Column",
    "Correct",
    "CubeBlock",
    "CubeInput",
    "CubeSource",
    "CubeView",
    "DetectRule",
    "Detection",
    "EmissionRule",
    "Flag",
    "Flight",
    "FluxEstimate",
    "Frame",
    "FrameCamera",
    "GasCalibration",
    "GasHeading",
    "GasInput",
    "GasInstrument",
    "GasMap",
    "GasSeries",
    "GasTrace",
    "Geometry",
    "GroundPicture",
    "GroundPoints",
    "GroundRaster",
    "Hotspot",
    "HotspotLayer",
    "HotspotSpectrum",
    "IngestReport",
    "InputFile",
    "Instrument",
    "Layout",
    "LineCamera",
    "LineScan",
    "MapGrid",
    "Match",
    "Mount",
    "Panel",
    "PidLamp",
    "Response",
    "ScoreMap",
    "SearchSector",
    "Signature",
    "SourceEstimate",
    "SpeciesCalibration",
    "SpectralCube",
    "TailModel",
    "Terrain",
    "TimeColumn",
    "TrackOptions",
    "Trajectory",
    "Triggers",
    "Wind",
]
