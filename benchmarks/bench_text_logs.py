"""Reading NMEA and GPX logs to columns, beside pynmea2 and gpxpy in the same run.

    python benchmarks/bench_text_logs.py [--repeat 20]

Real logs below $DRONESENSE_SHARED (or ../shared/data), and the NMEA ones repeated to show the trend.
"columns": both sides read the same fields of GGA and RMC (time, position, quality, heights, speed, course,
date). "trajectory": dronesense builds the whole track with gates and report, the peer only reads fields.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import describe, paired, peak_mib, table

ROUNDS = 9
SMALL_BYTES = 10_000
GGA = {1: "timestamp", 2: "lat", 4: "lon", 6: "gps_qual", 8: "horizontal_dil", 9: "altitude", 11: "geo_sep"}
RMC = {1: "timestamp", 7: "spd_over_grnd", 8: "true_course", 9: "datestamp"}


def ours_nmea(raw: bytes) -> int:
    """Read the fields of GGA and RMC into arrays; return how many sentences."""
    from dronesense.readers.nmea import degrees
    from dronesense.readers.nmea_sentences import Sentences, plain

    sentences = Sentences(np.frombuffer(plain(raw), dtype=np.uint8))
    found = 0
    for form, fields in (("GGA", GGA), ("RMC", RMC)):
        rows = sentences.rows(form)
        columns, _ = sentences.columns(rows, list(fields))
        if form == "GGA":
            degrees(columns[1], sentences.texts(rows, 3), b"N", b"S")
            degrees(columns[2], sentences.texts(rows, 5), b"E", b"W")
        found += rows.size
    return found


def theirs_nmea(raw: bytes) -> int:
    """Read the same fields into lists with pynmea2; return how many sentences."""
    import pynmea2

    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    columns: dict[str, list[object]] = {}
    found = 0
    for line in raw.decode(encoding).splitlines():
        try:
            message = pynmea2.parse(line, check=True)
        except pynmea2.ParseError:
            continue
        kind = getattr(message, "sentence_type", "")
        if kind not in ("GGA", "RMC"):
            continue
        found += 1
        for name in (GGA if kind == "GGA" else RMC).values():
            columns.setdefault(kind + name, []).append(getattr(message, name))
        if kind == "GGA":
            columns.setdefault("latitude", []).append(message.latitude)
            columns.setdefault("longitude", []).append(message.longitude)
    return found


def trajectory_nmea(raw: bytes) -> int:
    """Build the whole trajectory: gates, dates, merging, report."""
    from dronesense.readers import nmea
    from dronesense.readers.nmea_sentences import plain

    return nmea.decode(np.frombuffer(plain(raw), dtype=np.uint8), label="x")[1].records


def nmea_rows(folder: Path, repeat: int) -> list[list[str]]:
    """Return the rows of the table for NMEA."""
    lines = []
    for path in sorted(folder.glob("*")):
        raw = path.read_bytes()
        if len(raw) < SMALL_BYTES or b"\0" in raw:
            continue
        for label, data in ((path.name, raw), (f"{path.name} x {repeat}", raw * repeat)):
            count = ours_nmea(data)
            if count != theirs_nmea(data):
                raise SystemExit(f"{label}: sentences differ")
            a, b = paired(lambda d=data: ours_nmea(d), lambda d=data: theirs_nmea(d), rounds=ROUNDS)
            lines.append([label, f"{len(data) / 1e6:.3f}", "columns", str(count), *_figures(a, b)])
        a, b = paired(lambda d=raw: trajectory_nmea(d), lambda d=raw: theirs_nmea(d), rounds=ROUNDS)
        lines.append(
            [path.name, f"{len(raw) / 1e6:.3f}", "trajectory", str(count // repeat), *_figures(a, b)]
        )
    return lines


def _figures(ours: float, theirs: float) -> list[str]:
    return [f"{ours * 1e3:.2f}", f"{theirs * 1e3:.1f}", f"{theirs / ours:.1f}"]


def gpx_rows(folder: Path) -> list[list[str]]:
    """Return the rows of the table for GPX; none where that reader is not there."""
    if importlib.util.find_spec("dronesense.readers.gpx") is None:
        return []
    import gpxpy

    from dronesense.errors import DronesenseError
    from dronesense.readers import gpx

    lines = []
    for path in sorted(folder.glob("*.gpx")):
        if path.stat().st_size < SMALL_BYTES:
            continue

        def ours(path: Path = path) -> object:
            return gpx.read(path, label=path.name)

        def theirs(path: Path = path) -> object:
            parsed = gpxpy.parse(path.read_bytes())
            points = [p for track in parsed.tracks for segment in track.segments for p in segment.points]
            return [(p.latitude, p.longitude, p.elevation, p.time) for p in points]

        lines += _pair(path, ours, theirs, DronesenseError)
    return lines


def _pair(
    path: Path, ours: Callable[[], object], theirs: Callable[[], object], refusal: type[Exception]
) -> list[list[str]]:
    try:
        ours()
    except refusal:
        return []
    a, b = paired(ours, theirs, rounds=ROUNDS)
    return [[path.name, f"{path.stat().st_size / 1e6:.3f}", "trajectory", "", *_figures(a, b)]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    shared = Path(os.environ.get("DRONESENSE_SHARED", Path(__file__).parents[2] / "shared" / "data"))
    print(describe())
    head = ["log", "MB", "what", "sentences", "dronesense ms", "peer ms", "times as fast"]
    table(head, nmea_rows(shared / "logs/nmea", options.repeat) + gpx_rows(shared / "logs/gpx"))
    print(f"largest memory of the run: {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
