"""GPX tracks: hand-made files, gpxpy as the other reader, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronesense.errors import ManifestError, ReadError
from dronesense.model import TrackOptions
from dronesense.readers import gpx
from dronesense.timescale import to_iso

OPEN = '<?xml version="1.0"?>\n<gpx version="1.1" creator="me" xmlns="http://www.topografix.com/GPX/1/1">'


def point(k, lat="48.0", lon="9.0", time="2026-06-14T10:00:{:02d}Z", inner="<ele>300.5</ele>"):
    stamp = f"<time>{time.format(k)}</time>" if time else ""
    return f'<trkpt lat="{lat}" lon="{lon}">{inner}{stamp}</trkpt>'


def file(*segments, head=OPEN):
    body = "".join(f"<trkseg>{''.join(points)}</trkseg>" for points in segments)
    return f"{head}<wpt lat='1' lon='2'><ele>9</ele></wpt><trk>{body}</trk></gpx>"


def track(text, **options):
    content = text if isinstance(text, bytes) else text.encode()
    return gpx.track(np.frombuffer(content, dtype=np.uint8), label="a.gpx", options=TrackOptions(**options))


def test_a_track_by_hand():
    trajectory, report = track(file([point(k, lat=f"48.00000{k}", lon="-9.25") for k in range(3)]))
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T10:00:00.000Z"
    assert trajectory.lat.tolist() == [48.0, 48.000001, 48.000002]
    assert trajectory.lon.tolist() == [-9.25] * 3
    assert trajectory.height_source_m.tolist() == [300.5] * 3
    assert trajectory.height_ref == "unknown"
    assert np.isnan(trajectory.height_m).all()
    assert trajectory.fix.tolist() == [2, 2, 2]
    assert np.isnan(trajectory.velocity_ned).all()
    assert np.isnan(trajectory.attitude).all()
    assert trajectory.clock.sigma_s == pytest.approx(1 / np.sqrt(12))
    assert (report.records, report.dropped, report.details["creator"]) == (3, {}, "me")


def test_heights_are_ellipsoidal_with_geoidheight():
    inner = "<ele>300.5</ele><geoidheight>{}</geoidheight>"
    trajectory, _ = track(file([point(0, inner=inner.format(48.25)), point(1)]))
    assert trajectory.height_ref == "receiver-geoid"
    assert trajectory.height_m[0] == 348.75
    assert np.isnan(trajectory.height_m[1])
    trajectory, report = track(file([point(k, inner=inner.format(0)) for k in range(2)]))
    assert trajectory.height_ref == "unknown"
    assert any("geoidheight is 0 throughout" in each for each in report.warnings)
    _, report = track(file([point(k, inner="") for k in range(2)]))
    assert any("no heights" in each for each in report.warnings)


def test_quality_speed_and_course():
    inner = "<ele>1</ele><fix>dgps</fix><hdop>3</hdop><vdop>0.5</vdop><speed>2.0</speed><course>90</course>"
    extended = (
        "<ele>1</ele><extensions><x:TrackPointExtension xmlns:x='u'><x:speed>4</x:speed>"
        "<x:course>180</x:course><x:ele>77</x:ele></x:TrackPointExtension></extensions>"
    )
    trajectory, report = track(
        file([point(0, inner=inner), point(1, inner=extended), point(2, inner="<fix>none</fix>")])
    )
    assert trajectory.fix.tolist() == [3, 2]
    assert trajectory.std_ned_m.tolist() == [[6.0, 6.0, 4.0], [2.0, 2.0, 4.0]]
    np.testing.assert_allclose(trajectory.velocity_ned[:, :2], [[0, 2], [-4, 0]], atol=1e-12)
    assert np.isnan(trajectory.velocity_ned[:, 2]).all()
    assert trajectory.height_source_m.tolist() == [1.0, 1.0]
    assert report.dropped == {"no fix": 1}


def test_segments_and_tracks_in_any_order():
    late, early = [point(k) for k in (10, 11, 12)], [point(k) for k in (0, 1, 2)]
    trajectory, report = track(file(late, [], early))
    assert to_iso(int(trajectory.time[0]), 0) == "2026-06-14T10:00:00Z"
    assert trajectory.segment.tolist() == [0, 0, 0, 2, 2, 2]  # a gap and a new trkseg
    assert report.details["segments"] == 2
    _, report = track(file(late, [point(11, lat="48.1"), point(13)]))
    assert report.dropped == {"time already covered by another segment": 1}
    days = [point(1, time="2026-06-{:02d}T10:00:00Z"), point(9, time="2026-06-{:02d}T10:00:00Z")]
    trajectory, report = track(file(days[:1], days[1:]))
    assert (len(trajectory), report.dropped) == (2, {})  # several days are no broken clock


def test_stamps_with_offsets_fractions_and_none():
    trajectory, report = track(file([point(k, time="2026-06-14T12:00:{:02d}.250+02:00") for k in range(2)]))
    assert to_iso(int(trajectory.time[0])) == "2026-06-14T10:00:00.250Z"
    assert trajectory.clock.sigma_s == pytest.approx(1e-3 / np.sqrt(12))
    assert report.answered == ()
    bare = file([point(k, time="2026-06-14T12:00:{:02d}") for k in range(2)])
    trajectory, report = track(bare)
    assert to_iso(int(trajectory.time[0]), 0) == "2026-06-14T12:00:00Z"
    assert any("without an offset taken as UTC" in each for each in report.assumptions)
    trajectory, report = track(bare, zone="+02:00")
    assert to_iso(int(trajectory.time[0]), 0) == "2026-06-14T10:00:00Z"
    assert report.answered == ("tz",)
    with pytest.raises(ManifestError):
        track(bare, zone="Nowhere/Land")


def test_damaged_points_are_counted_and_the_rest_read():
    points = [point(k) for k in range(20)]
    points[1] = point(1, time="")
    points[3] = point(3, time="2026-06-31T10:00:{:02d}Z")
    points[5] = point(5, time="yesterday")
    points[7] = point(7, lat="north")
    points[9] = point(9, lat="49.0")
    points[11] = points[10]
    trajectory, report = track(file(points))
    assert len(trajectory) == 14
    assert report.dropped == {
        "no time": 1,
        "garbled time stamp": 2,
        "no position": 1,
        "position jumps": 1,
        "same time stamp as the row before": 1,
    }


def test_a_cut_file_is_read_up_to_the_damage():
    text = file([point(k) for k in range(200)])
    at = text.index("10:00:50Z")
    trajectory, report = track(text[:at])
    assert len(trajectory) == 50
    ((offset, length),) = report.holes or [(at, 0)]
    assert offset + length == at
    assert any("read up to there" in each for each in report.warnings)
    broken = text[:at] + "</oops>" + text[at:]
    trajectory, report = track(broken)
    assert len(trajectory) == 50
    assert report.holes[0][0] == pytest.approx(at, abs=10)
    assert sum(report.holes[0]) == len(broken)
    with pytest.raises(ReadError, match="is not sound XML"):
        track(text[: text.index("<trkpt") + 9])


def test_bombs_and_references_are_refused():
    bomb = '<!DOCTYPE gpx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    outside = '<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    body = file([point(0)]).partition("\n")[2]
    for doctype in (bomb, outside):
        text = f'<?xml version="1.0"?>{doctype}{body}'.replace("300.5", "&b;")
        with pytest.raises(ReadError, match="defines entities"):
            track(text)
    with pytest.raises(ReadError, match="elements within each other"):
        track(OPEN + "<a>" * 100_000)
    long = file([point(0), point(1, inner=f"<ele>{'1' * 1_000_000}</ele>")])
    trajectory, _ = track(long)  # a number of a megabyte is none
    assert len(trajectory) == 1


def test_what_is_refused():
    for text, why in (
        (
            OPEN + "<rte><rtept lat='1' lon='2'><time>2026-06-14T10:00:00Z</time></rtept></rte></gpx>",
            "no track point",
        ),
        (file([point(0, time="")]), "no track point with a time"),
        ("<kml></kml>", 'holds "kml", not "gpx"'),
        ("no xml", "is not sound XML"),
        ('<?xml version="1.0" encoding="klingon"?><gpx/>', "is not sound XML"),
    ):
        with pytest.raises(ReadError, match=why):
            track(text)
    with pytest.raises(ReadError, match="no usable position source"):
        track(file([point(0)]), source="GPS")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding):
    name = {"utf-8-sig": "utf-8", "latin-1": "iso-8859-1"}.get(encoding, encoding)
    text = file([point(0), point(1)]).replace('"1.0"?', f'"1.0" encoding="{name}"?').replace('"me"', '"Jörg"')
    content = b"\n" * (encoding == "latin-1") + text.encode(encoding)
    trajectory, report = track(content)
    assert len(trajectory) == 2
    assert report.details["creator"] == "Jörg"
    assert gpx.sniff(Path("x"), content)


REAL = [
    "garmin-virb-ultra-30-output.gpx",
    "gpx1.1_with_all_fields.gpx",
    "gpx1.1_with_extensions.gpx",
    "korita-zbevnica.gpx",
    "track-with-empty-segment.gpx",
    "track-with-less-sec-time.gpx",
    "track_with_dilution_errors.gpx",
    "track_with_speed.gpx",
    "unicode_with_bom.gpx",
]


@pytest.mark.parametrize("name", REAL)
def test_real_files_as_gpxpy_reads_them(shared_data, name):
    import gpxpy

    path = shared_data / "logs/gpx" / name
    with path.open(encoding="utf-8-sig") as stream:
        parsed = gpxpy.parse(stream)
    timed = (
        sorted(
            (
                (
                    each.time.timestamp(),
                    each.latitude,
                    each.longitude,
                    np.nan if each.elevation is None else each.elevation,
                )
                for _, each in (
                    (k, p)
                    for t in parsed.tracks
                    for k, s in enumerate(t.segments)
                    for p in s.points
                    if p.time
                )
            ),
            key=lambda row: row[0],
        )
        if name != "gpx1.1_with_all_fields.gpx"
        else None
    )  # its stamp has no zone: below
    if timed == []:
        with pytest.raises(ReadError, match="no track point"):
            gpx.read(path, label=name)
        return
    trajectory, report = gpx.read(path, label=name)
    if timed is None:
        (only,) = [p for t in parsed.tracks for s in t.segments for p in s.points]
        assert (trajectory.lat[0], trajectory.lon[0]) == (only.latitude, only.longitude)
        assert trajectory.height_m[0] == only.elevation + only.geoid_height
        assert to_iso(int(trajectory.time[0]))[:19] == only.time.isoformat()[:19]
        return
    expected = np.array(timed)
    assert len(trajectory) == len(expected)
    np.testing.assert_allclose(trajectory.time / 1e9, expected[:, 0], atol=1e-6)
    assert trajectory.lat.tolist() == expected[:, 1].tolist()
    assert trajectory.lon.tolist() == expected[:, 2].tolist()
    np.testing.assert_array_equal(trajectory.height_source_m, expected[:, 3])
    assert report.records == sum(len(s.points) for t in parsed.tracks for s in t.segments)


def test_claims_only_its_own_real_files(shared_data):
    claimed = []
    for path in filter(Path.is_file, shared_data.rglob("*")):
        with path.open("rb") as stream:
            if gpx.sniff(path, stream.read(8192)):
                claimed.append(path.name)
    assert sorted(claimed) == sorted(REAL)


def test_sniff_by_content():
    assert gpx.sniff(Path("x"), b"<!-- <a> --><g:gpx xmlns:g='u'>")
    for head in (b"", b"<kml><gpx>", b"a,b\n<gpx>", b"\x00\xff<gpx", b"<gpxx>", b"<?xml version='1.0'?>"):
        assert not gpx.sniff(Path("x"), head)


SEED = file([point(0), point(1, inner="<ele>1</ele><hdop>2</hdop>")], [point(4)]).encode()


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_only_raise_read_errors(data):
    content = bytearray(SEED)
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.one_of(st.integers(0, 255), st.sampled_from(list(b"0123456789<>/&-:TZ\n")))
        )
    begin = data.draw(st.integers(0, len(content)))
    del content[begin : begin + data.draw(st.integers(0, 60))]
    gpx.sniff(Path("x"), bytes(content))
    try:
        gpx.track(np.frombuffer(bytes(content), dtype=np.uint8), label="fuzz")
    except ReadError:
        return
