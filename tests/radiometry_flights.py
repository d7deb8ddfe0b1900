"""Small flights of a made-up line scanner whose light changes, written as real files; the truth is known.

Counts are ``dark(t) + rho * light(time, band) * response * exposure``, 12 bands of 8 nm, 24 samples. Nothing
here is taken from ``dronesense.calibrate``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dronesense import geodesy

CRS = "EPSG:32633"
EAST, NORTH, GROUND_M, HEIGHT_M = 500_000.0, 5_700_000.0, 100.0, 30.0
LINES, BANDS, SAMPLES = 240, 12, 24
NM = np.linspace(450.0, 890.0, BANDS)
START_S = 1_781_420_400.0  # 2026-06-14T07:00:00Z
LINE_S = 0.05
SATURATION = 16_383
FIRST, LAST = START_S, START_S + LINES * LINE_S

TRACK = """schema = 1
id = "logger"
kind = "gas"
height_ref = "ellipsoid"
[time]
column = "t"
format = "unix"
zone = "UTC"
[columns]
lat = { field = "latitude", unit = "deg" }
lon = { field = "longitude", unit = "deg" }
alt = { field = "height", unit = "m" }
roll = { field = "roll", unit = "deg" }
pitch = { field = "pitch", unit = "deg" }
yaw = { field = "yaw", unit = "deg" }
"""
CAMERA = f"""schema = 1
id = "scanner"
kind = "line_scan"
samples = {SAMPLES}
fov_deg = 20.0
first_sample = "port"
[mount]
rotation = "nadir"
sigma = {{ boresight_deg = 0.05, lever_arm_m = 0.01 }}
[radiometry]
saturation_dn = {SATURATION}
"""
MANIFEST = """schema = 1
[flight]
crs = "{crs}"
[track]
path = "raw/track.csv"
instrument = "logger"
sigma = {{ horizontal_m = 0.1, vertical_m = 0.1, roll_pitch_deg = 0.1, heading_deg = 0.3 }}
[terrain]
height_m = {ground}
[[cube]]
path = "raw/{cube}"
instrument = "scanner"
{keys}
[[detect]]
target = "paint"
signature = "raw/{signature}.csv"
method = "ace"
threshold = 0.9
"""


def paint(nm: np.ndarray) -> np.ndarray:
    return 0.15 + 0.45 * np.exp(-0.5 * ((nm - 620.0) / 40.0) ** 2)


def gray(nm: np.ndarray) -> np.ndarray:
    return 0.5 + 1e-4 * (nm - 700.0)


@dataclass
class Scanner:
    """A camera, the light, and the folder that it writes to."""

    folder: Path
    seed: int = 0
    slope: float = 0.0
    """Change of the light per second, in parts of that at the first line; twice that in the last band."""
    noise: float = 3.0
    response: np.ndarray = field(init=False)
    dark: np.ndarray = field(init=False)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        shape = (BANDS, SAMPLES)
        self.response = 1000.0 * (1.0 + 0.3 * self.rng.random(shape))
        self.dark = 150.0 + 20.0 * self.rng.random(shape)
        for room in ("raw", "calibration/instruments", "calibration/records/scanner"):
            (self.folder / room).mkdir(parents=True, exist_ok=True)
        (self.folder / "calibration/instruments/logger.toml").write_text(TRACK, "utf-8")
        (self.folder / "calibration/instruments/scanner.toml").write_text(CAMERA, "utf-8")
        self.track()

    def light(self, unix_s: np.ndarray) -> np.ndarray:
        """Return the light (times, bands), 1 at the first line."""
        by_band = np.linspace(1.0, 2.0, BANDS)
        return 1.0 + self.slope * (np.asarray(unix_s)[:, None] - START_S) * by_band

    def dark_at(self, ms: float) -> np.ndarray:
        return self.dark + 5.0 * ms

    def counts(self, rho: np.ndarray, unix_s: np.ndarray, ms: float = 10.0) -> np.ndarray:
        """Return counts (lines, bands, samples) of a scene of that reflectance."""
        signal = rho * self.light(unix_s)[:, :, None] * self.response * ms
        values = self.dark_at(ms) + signal + self.noise * self.rng.normal(size=signal.shape)
        return np.clip(np.rint(values), 0, SATURATION).astype("<u2")

    def write(
        self,
        name: str,
        counts: np.ndarray,
        unix_s: np.ndarray | None = None,
        *,
        ms: float = 10.0,
        more: str = "",
    ) -> None:
        lines, bands, samples = counts.shape
        path = self.folder / f"raw/{name}.bil"
        path.write_bytes(counts.tobytes())
        header = f"""ENVI
samples = {samples}
lines = {lines}
bands = {bands}
header offset = 0
data type = 12
interleave = bil
byte order = 0
wavelength units = Nanometers
wavelength = {{{", ".join(f"{v:.3f}" for v in NM)}}}
fwhm = {{{", ".join(["8.0"] * bands)}}}
integration time = {ms:g}
{more}
"""
        (self.folder / f"raw/{name}.bil.hdr").write_text(header, "utf-8")
        if unix_s is not None:
            rows = [f"{i},{iso(t)}" for i, t in enumerate(unix_s)]
            (self.folder / f"raw/{name}.lines.csv").write_text("\n".join(["line,utc", *rows, ""]), "utf-8")

    def spectrum(
        self, name: str, value: np.ndarray, *, sigma: float = 0.0, column: str = "reflectance"
    ) -> None:
        nm = np.arange(420.0, 921.0, 5.0)
        rows = [f"{w:g},{v:.8g},{sigma * v:.8g}" for w, v in zip(nm, np.interp(nm, NM, value), strict=True)]
        text = "\n".join([f"wavelength_nm,{column},sigma", *rows, ""])
        (self.folder / f"raw/{name}.csv").write_text(text, "utf-8")

    def track(self) -> None:
        t = np.arange(START_S - 2.0, LAST + 2.0, 0.1)
        lon, lat = geodesy.to_lonlat(EAST + 0.0 * t, NORTH + 2.0 * (t - START_S), CRS)
        rows = [
            f"{a:.3f},{b:.9f},{c:.9f},{GROUND_M + HEIGHT_M},0,0,0"
            for a, b, c in zip(t, lat, lon, strict=True)
        ]
        text = "\n".join(["t,lat,lon,alt,roll,pitch,yaw", *rows, ""])
        (self.folder / "raw/track.csv").write_text(text, "utf-8")

    def panel(
        self, name: str, unix_s: float, *, ms: float = 10.0, lines: int = 40, timed: bool = True
    ) -> None:
        """Write a capture of the gray panel over the whole swath."""
        when = unix_s + LINE_S * (np.arange(lines) - (lines - 1) / 2)
        counts = self.counts(np.broadcast_to(gray(NM)[None, :, None], (lines, BANDS, SAMPLES)), when, ms)
        self.write(name, counts, when if timed else None, ms=ms)

    def darks(self, *exposures: float) -> None:
        for ms in exposures:
            nothing = np.zeros((40, BANDS, SAMPLES))
            self.write(f"dark_{ms:g}", self.counts(nothing, np.full(40, START_S), ms), ms=ms)

    def scene(self) -> np.ndarray:
        """Return reflectance (lines, bands, samples): textured ground, four squares of paint."""
        rng = np.random.default_rng(self.seed + 1)
        ground = (0.06 + 0.0004 * (NM - 450.0))[None, :, None]
        texture = (
            1.0 + 0.25 * rng.normal(size=(LINES, 1, SAMPLES)) * np.linspace(1.0, 0.6, BANDS)[None, :, None]
        )
        rho = ground * np.clip(texture, 0.3, 1.9) + 0.004 * rng.normal(size=(LINES, BANDS, SAMPLES))
        rho = np.clip(rho, 0.01, None)
        for row in (40, 100, 160, 210):
            rho[row : row + 3, :, 8:11] = paint(NM)[None, :, None]
        return rho

    def lines(self) -> np.ndarray:
        return START_S + LINE_S * np.arange(LINES)

    def manifest(
        self, keys: str, *, cube: str = "line.bil.hdr", signature: str = "paint", more: str = ""
    ) -> None:
        text = MANIFEST.format(crs=CRS, ground=GROUND_M, cube=cube, keys=keys, signature=signature)
        (self.folder / "flight.toml").write_text(text + more, "utf-8")


def iso(unix_s: float) -> str:
    stamp = np.datetime64(round(unix_s * 1e6), "us")
    return f"{stamp}Z"
