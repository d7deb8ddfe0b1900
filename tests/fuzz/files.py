"""Every parser of foreign files, by one table: small sound files to damage, and what reads them.

    python tests/fuzz/files.py                       lists the parsers
    python tests/fuzz/files.py gpx --cases 1000000   reads so many damaged files; anything but a refusal stops

Damage is drawn, not guided by coverage (that is ``run.py``, for the formats of flight logs): bytes and bits
changed, parts left out, doubled, swapped and spliced, numbers made huge, text made hostile, ends cut off.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

MEMORY = Path("/dev/shm")
"""Files that never reach a disk."""
MAX_BYTES = 1 << 14
HOSTILE = (
    b"",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"nan",
    b"inf",
    b"99999999999999999999",
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"=",
    b"<",
    b">",
    b"&",
    b"%",
    b"../",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"2026-02-30",
    b"24:00:00",
    b"1_000",
    b"\xd9\xa1",
    b"<!DOCTYPE a>",
    b"&a;",
)


@dataclass(frozen=True)
class Target:
    """A parser: *seeds* to damage, *read* to be given a path, the *name* of the file, and its companions."""

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
    beside: tuple[tuple[str, bytes], ...] = ()


def damaged(seeds: tuple[bytes, ...], rng: random.Random) -> bytes:
    """Return one of *seeds* with one to six changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        size = len(data)
        if not size:
            data += rng.choice(HOSTILE)
            continue
        at, kind = rng.randrange(size), rng.randrange(10)
        end = min(size, at + 1 + int(rng.expovariate(1 / 8)))
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end] * rng.randint(1, 4)
        elif kind == 4:
            data[at:end] = rng.choice(HOSTILE)
        elif kind == 5:
            data[at:at] = rng.choice(HOSTILE)
        elif kind == 6:
            other = rng.choice(seeds)
            place = rng.randrange(max(1, len(other)))
            data[at:end] = other[place : place + rng.randint(0, 64)]
        elif kind == 7:
            del data[at:]
        elif kind == 8:
            value = rng.choice((0, 1, 0x7F, 0x80, 0xFF)).to_bytes(1, "little") * rng.choice((2, 4, 8))
            data[at : at + len(value)] = value
        else:
            digits = [i for i in range(size) if 48 <= data[i] < 58]
            if digits:
                data[rng.choice(digits)] = 48 + rng.randrange(10)
    return bytes(data[:MAX_BYTES])


def run(target: Target, cases: int, *, seed: int, seconds: float = float("inf")) -> tuple[int, float]:
    """Read *cases* damaged files; return how many were read in the *seconds* there were, and the slowest, s.

    Anything but a refusal (a DronesenseError) is raised, with the damaged bytes in ``build/fuzz``.
    """
    from dronesense.errors import DronesenseError

    rng = random.Random(seed)
    slowest, begun = 0.0, time.monotonic()
    room = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=room) as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / target.name
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, data in target.beside:
            (Path(folder) / name).write_bytes(data)
        for number in range(cases):
            data = damaged(target.seeds, rng)
            path.write_bytes(data)
            before = time.perf_counter()
            try:
                target.read(path)
            except DronesenseError:
                pass
            except BaseException:
                kept = HERE.parents[1] / "build" / "fuzz"
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"found_{target.name}").write_bytes(data)
                print(f"case {number} of seed {seed}: {kept / f'found_{target.name}'}", file=sys.stderr)
                raise
            slowest = max(slowest, time.perf_counter() - before)
            if time.monotonic() - begun > seconds:
                return number + 1, slowest
    return cases, slowest


def _text(*lines: str) -> bytes:
    return "\n".join((*lines, "")).encode()


def _tables() -> dict[str, Target]:
    """Return the parsers of tables and text, with seeds that each of them reads."""
    from dronesense.manifest.catalog import shipped_folder
    from dronesense.model import TrackOptions
    from dronesense.readers import (
        absorption_table,
        asd,
        csv_gas,
        csv_signature,
        csv_track,
        csv_wind,
        dji_airdata,
        dji_datcon,
        dji_flightreader,
        dji_geotag,
        dji_mrk,
        ecostress,
        envi,
        envi_header,
        gpx,
        icp,
        igc,
        instrument,
        light_csv,
        line_times,
        record,
        resonon,
        spectral_evolution,
        spectrum_table,
        standards,
        svc,
        tie_table,
        usgs,
    )

    options = TrackOptions()
    generic = instrument.read(shipped_folder() / "instruments" / "generic-csv.toml")
    stamp = [f"2026-06-14T07:00:{s:02d}Z" for s in range(12)]
    gas = _text(
        "timestamp,latitude,longitude,height_m,CH4 (ppm),wind_speed_m_s,wind_from_deg,P (hPa)",
        *(f"{t},45.{i:05d},9.0,{100 + i},{2 + i / 10},3.{i},27{i % 10},1013.2" for i, t in enumerate(stamp)),
    )
    spectrum = [(400.0 + 10.0 * i, 0.1 + 0.01 * i) for i in range(20)]
    absorbed = [(2000.0 + 5.0 * i, (i % 7) * 1e2) for i in range(20)]
    plain = _text("wavelength_nm,reflectance,sigma", *(f"{w:g},{v:.4f},0.01" for w, v in spectrum))
    header = _text(
        "ENVI",
        "description = {made {up}}",
        "samples = 3",
        "lines = 2",
        "bands = 4",
        "header offset = 0",
        "file type = ENVI Standard",
        "data type = 12",
        "interleave = bil",
        "byte order = 0",
        "wavelength units = Nanometers",
        "wavelength = {450.0, 550.0, 650.0,",
        " 750.0}",
        "fwhm = {8, 8, 8, 8}",
        "map info = {UTM, 1, 1, 500000, 5700000, 0.5, 0.5, 33, North, WGS-84, units=Meters}",
        "data ignore value = 0",
        "; a comment",
    )
    cube = (("cube.bil", bytes(range(48))),)
    any_options: dict[str, Any] = {"label": "fuzz", "options": options}

    any_options["options"] = dataclasses.replace(options, zone="UTC")

    def track(module: Any) -> Callable[[Path], object]:
        return lambda path: module.sniff(path, path.read_bytes()[:8192]) and module.read(path, **any_options)

    return {
        "envi-header": Target("cube.bil.hdr", (header,), lambda p: envi_header.layout(envi_header.read(p))),
        "envi-cube": Target(
            "cube.bil.hdr",
            (header,),
            lambda p: envi.read(p, label="c", name="c", instrument=None, line_times="none", track=options),
            cube,
        ),
        "gas-csv": Target("gas.csv", (gas,), lambda p: csv_gas.read(p, label="g", instrument=generic)),
        "csv-track": Target(
            "gas.csv",
            (gas,),
            lambda p: csv_track.read(p, label="g", options=dataclasses.replace(options, instrument=generic)),
        ),
        "csv-wind": Target("gas.csv", (gas,), lambda p: csv_wind.read(p, label="g", instrument=generic)),
        "signature-csv": Target("s.csv", (plain,), csv_signature.read_all),
        "spectrum-table": Target("s.txt", (plain, plain.replace(b",", b"\t")), spectrum_table.read_all),
        "absorption-table": Target(
            "s.csv",
            (_text("wavelength_nm,absorption_per_ppm_m", *(f"{w:g},{v * 1e-7:.3e}" for w, v in absorbed)),),
            lambda p: absorption_table.read(p, species="CH4"),
        ),
        "line-times": Target(
            "c.lines.csv",
            (_text("line,utc", *(f"{i},{t}" for i, t in enumerate(stamp))),),
            lambda p: line_times.read(p, 12, warnings=[]),
        ),
        "light-csv": Target(
            "light.csv",
            (_text("utc,450,550,650", *(f"{t},1.0,1.1,{1 + i / 100}" for i, t in enumerate(stamp))),),
            lambda p: light_csv.read(p, label="l"),
        ),
        "tie-table": Target(
            "ties.csv",
            (_text("strip_a,line_a,sample_a,strip_b,line_b,sample_b", "a,1,2,b,3,4", "a,5.5,6,b,7,8.25"),),
            lambda p: tie_table.read_ties(p, strips=("a", "b")),
        ),
        "gpx": Target(
            "t.gpx",
            (
                _text(
                    '<?xml version="1.0"?><gpx version="1.1"><trk><name>a</name><trkseg>',
                    *(
                        f'<trkpt lat="45.{i:03d}" lon="9"><ele>{i}</ele><time>{t}</time></trkpt>'
                        for i, t in enumerate(stamp)
                    ),
                    "</trkseg></trk></gpx>",
                ),
            ),
            track(gpx),
        ),
        "igc": Target(
            "t.igc",
            (
                _text(
                    "AXXX001",
                    "HFDTE140626",
                    "HFDTM100GPSDATUM:WGS-84",
                    "I013638FXA",
                    *(f"B0700{s:02d}4500{s:03d}N00900000EA0010000{s:03d}010" for s in range(12)),
                    "GABC",
                ),
            ),
            track(igc),
        ),
        "dji-mrk": Target(
            "t.MRK",
            (
                _text(
                    *(
                        f"{i}\t{370000 + i}.5\t[2423]\t   1,N\t   2,E\t  -3,V\t45.{i:05d},Lat\t9.0,Lon\t"
                        f"10{i % 10}.5,Ellh\t0.01, 0.02, 0.03\t50,Q"
                        for i in range(1, 12)
                    ),
                ),
            ),
            track(dji_mrk),
        ),
        "dji-airdata": Target(
            "t.csv",
            (
                _text(
                    "time(millisecond),datetime(utc),latitude,longitude,height_above_takeoff(meters),"
                    "altitude_above_seaLevel(meters), compass_heading(degrees), pitch(degrees)",
                    *(
                        f"{100 * i},2026-06-14 07:00:{i:02d},45.{i:05d},9.0,{i},{100 + i},90,1"
                        for i in range(12)
                    ),
                ),
            ),
            track(dji_airdata),
        ),
        "dji-tables": Target(
            "t.csv",
            (
                _text(
                    "CUSTOM.date [local],CUSTOM.updateTime [local],OSD.latitude,OSD.longitude,"
                    "OSD.height [ft]",
                    *(f"6/14/2026,7:00:{i:02d}.10 AM,45.{i:05d},9.0,{i}" for i in range(12)),
                ),
                _text(
                    "Clock:offsetTime,GPS:Long,GPS:Lat,GPS:dateTimeStamp,IMU_ATTI(0):roll:C",
                    *(f"{i / 10},9.0,45.{i:05d},2026-06-14T07:00:{i:02d}Z,1.5" for i in range(12)),
                ),
                gas,
            ),
            lambda p: [track(each)(p) for each in (dji_flightreader, dji_datcon, dji_geotag)],  # in UTC
        ),
        "resonon": Target(
            "t.lcf",
            (_text(*(f"{1781420400 + i / 10} 0.01 0.02 1.5 9.0 45.{i:05d} 120.5" for i in range(12))),),
            lambda p: [track(resonon)(p), track(icp)(p) if hasattr(icp, "sniff") else None],
        ),
        "ecostress": Target(
            "e.txt",
            (
                _text(
                    "Name: Asphalt",
                    "Type: manmade",
                    "X Units: Wavelength (micrometers)",
                    "Y Units: Reflectance (percent)",
                    "First X Value: 0.4",
                    "Number of X Values: 20",
                    "",
                    *(f"{w / 1000:.4f}\t{100 * v:.3f}" for w, v in spectrum),
                ),
            ),
            ecostress.read_all,
        ),
        "usgs": Target(
            "splib07a_x_AREF.txt",
            (_text(" splib07a Record=1: Asphalt BECKa AREF", *(f" {v:.6E}" for _, v in spectrum)),),
            usgs.read_all,
            (
                (
                    "splib07a_Wavelengths_ASD.txt",
                    _text(
                        " splib07a Record=1: Wavelengths ASD 0.4-0.6 microns",
                        *(f" {w / 1000:.4f}" for w, _ in spectrum),
                    ),
                ),
            ),
        ),
        "svc": Target(
            "s.sig",
            (
                _text(
                    "/*** Spectra Vista SIG Data ***/",
                    "name= a",
                    "units= Radiance, Radiance",
                    "data=",
                    *(f"{w:.1f}  10.0  {10 * v:.4f}  {100 * v:.3f}" for w, v in spectrum),
                ),
            ),
            svc.read_all,
        ),
        "spectral-evolution": Target(
            "s.sed",
            (
                _text(
                    "Comment:",
                    "Version: 2.3",
                    "Columns [2]:",
                    "Data:",
                    "Wvl\tReflect. %",
                    *(f"{w:.1f}\t{100 * v:.3f}" for w, v in spectrum),
                ),
            ),
            spectral_evolution.read_all,
        ),
        "asd": Target("s.asd", _asd_seeds(), asd.read_all),
        "standards": Target(
            "s.toml",
            (
                _text(
                    "schema = 1",
                    "[[standard]]",
                    'species = "CH4"',
                    'unit = "ppm"',
                    "value = 2.0",
                    "sigma = 0.01",
                    "start = 2026-06-14T07:00:00Z",
                    "end = 2026-06-14T07:01:00Z",
                ),
            ),
            standards.read,
        ),
        "record": Target(
            "2026-06-01.toml",
            (
                _text(
                    "schema = 1",
                    'instrument = "a"',
                    "valid_from = 2026-06-01T00:00:00Z",
                    "[species.CH4]",
                    "zero = 0.05",
                    "span = 1.03",
                    "[response]",
                    "tau_s = 1.6",
                    "delay_s = 1.1",
                ),
            ),
            record.read,
        ),
        "instrument": Target(
            "generic-csv.toml",
            (
                (shipped_folder() / "instruments" / "generic-csv.toml").read_bytes(),
                (shipped_folder() / "instruments" / "example-line-scanner.toml")
                .read_bytes()
                .replace(b"example-line-scanner", b"generic-csv"),
            ),
            instrument.read,
        ),
    }


def _asd_seeds() -> tuple[bytes, ...]:
    import struct

    head = bytearray(484)
    head[:3] = b"ASD"
    head[186] = 1
    struct.pack_into("<f", head, 191, 400.0)
    struct.pack_into("<f", head, 195, 10.0)
    head[199] = 2
    struct.pack_into("<h", head, 204, 20)
    return (bytes(head) + struct.pack("<20d", *(0.1 + 0.01 * i for i in range(20))),)


def _structures() -> dict[str, Target]:
    """Return the parsers of XML, TIFF directories, evidence, manifests, outlines and archives."""
    import io
    import json
    import struct
    import zipfile

    from dronesense.evidence import custody, timestamp
    from dronesense.manifest.schema import Manifest
    from dronesense.readers import exif, site, tiff_directory, toml, xmp, zip_pack

    entries = [
        (256, 4, 1, 4),
        (257, 4, 1, 2),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 4, 1, 2),
        (279, 4, 1, 8),
        (271, 2, 4, 0x00414141),
        (34665, 4, 1, 180),
    ]
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries))
    tiff += b"".join(struct.pack("<HHII", *each) for each in entries) + bytes(100)
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:Camera="http://pix4d.com/camera/1.0" '
        b'Camera:CentralWavelength="475"><Camera:Bands><rdf:Seq><rdf:li>Blue</rdf:li></rdf:Seq>'
        b"</Camera:Bands></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    ring = [[9.0, 45.0], [9.1, 45.0], [9.1, 45.1], [9.0, 45.0]]
    outline = json.dumps({"type": "Polygon", "coordinates": [ring]}).encode()
    kml = b"<kml><Placemark><Polygon><outerBoundaryIs><LinearRing><coordinates>9,45 9.1,45 9.1,45.1 9,45"
    kml += b"</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></kml>"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("doc.kml", kml)
    manifest = _text(
        "schema = 1",
        "[track]",
        'path = "raw/log.bin"',
        "[terrain]",
        "height_m = 312.0",
        "[[gas]]",
        'path = "raw/gas.csv"',
        "clock_offset_s = 1.5",
        "[[cube]]",
        'path = "raw/*.hdr"',
        "[[detect]]",
        'target = "CH4"',
        'species = "CH4"',
        "false_alarms_per_hour = 1.0",
        "[hotspots]",
        'merge_radius_m = "auto"',
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "custody.jsonl"
        for action in ("ingest", "handed over"):
            custody.append(
                log, action, utc="2026-06-14T07:00:00Z", actor="a", tool="t", subject_sha256=("0" * 64,)
            )
        chain = log.read_bytes()

    def unpacked(path: Path) -> object:
        return [zip_pack.member(path, info) for info in zip_pack.names(path).values()]

    return {
        "tiff-directory": Target(
            "t.tif", (tiff,), lambda p: (tiff_directory.check(p), tiff_directory.run(p))
        ),
        "exif": Target("t.tif", (tiff,), lambda p: exif.position(exif.read(p))),
        "xmp": Target("t.xmp", (packet,), lambda p: xmp.parse(p.read_bytes(), p)),
        "site": Target("t.geojson", (outline,), site.read),
        "site-kml": Target("t.kml", (kml,), site.read),
        "zip": Target("t.zip", (packed.getvalue(),), unpacked),
        "flight-toml": Target("flight.toml", (manifest,), lambda p: toml.load(p, Manifest)),
        "custody": Target("custody.jsonl", (chain,), custody.read),
        "time-stamp": Target(
            "t.tsr",
            (
                bytes.fromhex("30180201003010020101300b0609608648016503040201040100"),
                bytes.fromhex(
                    "3020300302010030190609 2a864886f70d010702a00c300a020103310030020500".replace(" ", "")
                ),
            ),
            timestamp.read,
        ),
    }


def _logs() -> dict[str, Target]:
    """Return the parsers of flight logs that ``run.py`` guides by coverage, with the same seeds."""
    import run as guided

    found = {}
    for name in guided.formats():
        module = guided.load(name)
        found[name] = Target(
            f"t.{name}", tuple(module.SEEDS), lambda path, m=module: m.one(path.read_bytes())
        )
    return found


def targets() -> dict[str, Target]:
    """Return every parser by name."""
    return {**_tables(), **_structures(), **_logs()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parser", nargs="*")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most, for each parser")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    known = targets()
    if not given.parser:
        print("\n".join(known))
    for name in list(known) if given.parser == ["all"] else given.parser:
        begun = time.perf_counter()
        cases, slowest = run(known[name], given.cases, seed=given.seed, seconds=given.seconds)
        took = time.perf_counter() - begun
        print(f"| {name} | {cases} | {cases / took:.0f} | {1000 * slowest:.0f} |", flush=True)


if __name__ == "__main__":
    main()
