"""The report: read back as HTML, opened in Chromium without network, fed with hostile text, printed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from dronesense.cli import cli
from dronesense.model import thumbnail
from dronesense.writers import drawing, layers, report, view
from dronesense.writers.shrink import shrunk

sys.path.insert(0, str(Path(__file__).parent))
import layer_writer as maker
import test_view as page

MANIFEST = {
    "run_id": "c0ffee",
    "statements": {
        "false_alarms": ["CH4: 1 per hour stated"],
        "looked_at": "2 of 3 cubes",
        "noise_and_limits": "detection limit 0.04 ppm",
        "track": "a.BIN, clock fitted",
        "radiometry": [{"cube": "a.hdr", "steps": ["dark", "panel"]}],
        "searches": [{"target": "CH4", "species": "CH4", "method": "peak", "threshold": 5.0}],
    },
    "parameters": {"detect[0].target": {"value": "CH4", "origin": "flight.toml"}},
    "calibration": [{"input": "gas.csv", "record": "2026-06-01.toml"}],
    "inputs": [{"path": "raw/gas.csv", "role": "gas series", "bytes": 7, "sha256": "ab" * 32}],
    "outputs": [{"path": "hotspots.geojson", "bytes": 8, "sha256": "cd" * 32}],
    "versions": {"dronesense": "0.1.0", "numpy": "2.4"},
    "warnings": ["the clock is a guess"],
    "rejected": [{"path": "b.bin", "reason": "cut off"}],
    "not_looked_at": [{"path": "c.txt", "reason": "no reader"}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = maker.products(tmp_path_factory.mktemp("products"))
    (made / "run.json").write_text(json.dumps(MANIFEST), "utf-8")
    (made / "quicklooks").mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (600, 500, 4), dtype=np.uint8)
    noise[..., 3] = 255
    (made / "quicklooks" / "large.png").write_bytes(thumbnail.png(noise))
    return made


@pytest.fixture(scope="module")
def made(folder: Path) -> layers.Layers:
    return layers.from_path(folder)


def write(made: layers.Layers, path: Path, **changes: Any) -> str:
    told = view.About(run="c0ffee", warnings=["the clock is a guess"], rejected=[("b.bin", "cut off")])
    report.write(made, path, **{"about": told, "manifest": MANIFEST, **changes})
    return path.read_text("utf-8")


def test_every_section_has_what_the_manifest_says(made: layers.Layers, tmp_path: Path) -> None:
    text = write(made, tmp_path / "report.html")
    for part in ("1 per hour stated", "2 of 3 cubes", "0.04 ppm", "clock fitted", "a.hdr: steps dark, panel",
                 "method peak", "flight.toml", "2026-06-01.toml", "ab" * 32, "cd" * 32, "numpy 2.4", "c0ffee",
                 "the clock is a guess", "cut off", "never proof"):  # fmt: skip
        assert part in text, part
    for each in made.features:
        assert each["id"] in text
    assert "43TFH" in text
    section = text.split("<h2>What was looked at, and what was not</h2>")[1].split("</section>")[0]
    assert "2 of 3 cubes" in section
    assert "1 per hour" not in section


def test_no_script_and_nothing_from_outside_and_same_bytes(made: layers.Layers, tmp_path: Path) -> None:
    text = write(made, tmp_path / "report.html")
    assert text == write(made, tmp_path / "again.html")
    assert "<script" not in text
    assert set(re.findall(r'\b(?:src|href)="([^,"]*)', text)) <= {"data:image/png;base64"}
    assert not re.search(r'\sstyle="|\son\w+="', text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "script-src" not in policy[1]
    assert "unsafe" not in policy[1]


@pytest.mark.parametrize(("language", "wording"), [("ru", "не доказательство"), ("kk", "дәлел емес")])
def test_other_languages(made: layers.Layers, tmp_path: Path, language: str, wording: str) -> None:
    text = write(made, tmp_path / "report.html", language=language)
    assert f'<html lang="{language}">' in text
    assert wording in text
    headings = set(re.findall(r"<h2>(.*?)</h2>", text))
    assert not headings & set(re.findall(r"<h2>(.*?)</h2>", write(made, tmp_path / "en.html")))


def test_an_unknown_language_is_a_mistake(made: layers.Layers) -> None:
    with pytest.raises(ValueError, match="en, ru, kk"):
        report.encode(made, view.About(), manifest={}, language="de")


def test_without_manifest_and_hotspots_it_says_so(made: layers.Layers, tmp_path: Path) -> None:
    empty = layers.Layers("f", {"type": "FeatureCollection", "features": []})
    text = write(empty, tmp_path / "report.html", about=None, manifest=None)
    assert "nothing is there" in text
    assert "Nothing in this run has a place." in text
    odd = dict.fromkeys(MANIFEST, "x")
    assert "Nothing is said" in write(made, tmp_path / "odd.html", manifest=odd)
    worse = {name: [1, None, {"path": None, "role": name}] for name in MANIFEST}
    assert "<h2>" in write(made, tmp_path / "worse.html", manifest=worse)


def test_the_command_writes_decisions_beside_a_sealed_report(folder: Path) -> None:
    sealed = {**MANIFEST, "outputs": [{"path": "report.html"}]}
    (folder / "run.json").write_text(json.dumps(sealed), "utf-8")
    runner = CliRunner()
    identity = json.loads((folder / "hotspots.geojson").read_bytes())["features"][0]["id"]
    assert runner.invoke(cli, ["hotspots", "confirm", identity, "--layer", str(folder)]).exit_code == 0
    done = runner.invoke(cli, ["report", str(folder), "--lang", "ru"])
    assert done.exit_code == 0, done.output
    text = (folder / "report.reviewed.html").read_text("utf-8")
    assert "подтверждён человеком" in text
    assert hashlib.sha256((folder / "hotspots.geojson").read_bytes()).hexdigest() in text
    assert "large.png" in text
    assert not (folder / "report.html").exists()
    assert runner.invoke(cli, ["report", str(folder), "-o", str(folder / "report.html")]).exit_code != 0


# --- drawings -------------------------------------------------------------------------------------------


def test_the_map_has_north_up_and_a_scale_on_the_ellipsoid() -> None:
    """At 60 degrees a degree of longitude is 55.800 km (WGS84: a cos(lat) / sqrt(1 - e2 sin(lat)2))."""
    frame = drawing.Frame(np.array([[20.0, 60.0], [20.01, 60.001]]))
    (west, south), (east, north) = frame.sheet([[20.0, 60.0], [20.01, 60.001]]).tolist()
    assert east > west
    assert north < south
    assert (east - west) * frame.meters_per_unit() == pytest.approx(558.0, abs=0.5)
    length, label = drawing.scale_bar(frame)
    assert label == "100 m"
    assert length * frame.meters_per_unit() == pytest.approx(100.0, abs=0.1)


def test_numbers_on_the_map_do_not_cover_each_other() -> None:
    marks = np.array([[500.0 + k % 5, 300.0 + k // 5] for k in range(20)])
    spots = [(each["to_x"], each["to_y"]) for each in drawing._numbers(marks, (1000.0, 700.0))]
    for row, (x, y) in enumerate(spots):
        for other_x, other_y in spots[row + 1 :]:
            assert abs(x - other_x) >= drawing.LABEL[0] - 0.2 or abs(y - other_y) >= drawing.LABEL[1] - 0.2


def test_a_thinned_line_keeps_its_peak_and_a_hole_breaks_it() -> None:
    values: list[float | None] = [0.0] * 5000
    values[3217] = 7.0
    measured = {"center_nm": list(range(5000)), "pixel": values, "background": [None] * 5000,
                "signature": [None] * 5000, "cube": "c", "source": "s", "unit": "1"}  # fmt: skip
    chart = drawing.spectrum(measured)
    assert chart is not None
    assert (chart["low"], chart["high"]) == ("0", "7")
    (line,) = chart["lines"]
    assert " 0L" in line["path"]  # the peak touches the upper edge
    assert len(line["path"]) < 20_000
    short = {**measured, "center_nm": [1, 2, 3, 4, 5], "pixel": [1.0, 2.0, None, 2.0, 1.0],
             "background": [None] * 5, "signature": [None] * 5}  # fmt: skip
    broken = drawing.spectrum(short)
    assert broken is not None
    assert broken["lines"][0]["path"].count("M") == 2
    assert drawing.spectrum({**short, "pixel": [None] * 5}) is None


def test_large_pictures_are_made_smaller_and_others_left_out(folder: Path, tmp_path: Path) -> None:
    path = folder / "quicklooks" / "large.png"
    assert path.stat().st_size > report.QUICKLOOK_BYTES
    small = shrunk(path, report.QUICKLOOK_BYTES)
    assert small is not None
    assert len(small) <= report.QUICKLOOK_BYTES
    (tmp_path / "small.png").write_bytes(small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "small.png") as found:
            assert (found.height, found.width) == (300, 250)
            assert found.read(1).mean() == pytest.approx(127.0, abs=2.0)
    assert shrunk(path, 10**7) == path.read_bytes()
    for name, data in (("a.png", b"GIF89a"), ("b.png", path.read_bytes()[:5000] + b"x" * 400_000)):
        (tmp_path / name).write_bytes(data)
        assert shrunk(tmp_path / name, 1000) is None
    assert shrunk(tmp_path / "none.png", 1000) is None


# --- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if page.CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=page.CHROMIUM, args=page.SWITCHES)
        yield started
        started.close()


class Visit:
    """A report opened without network, and what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(offline=True, viewport={"width": 900, "height": 1200})
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.goto(path.as_uri())

    def close(self) -> None:
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith("data:")] == self.asked[:1]
        self.context.close()


def test_it_opens_offline_and_prints(made: layers.Layers, folder: Path, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    first = made.features[0]["id"]
    told = view.About(run="r", spectra={first: [page.spectrum()]}, thresholds={"CH4": 5.0})
    write(made, path, about=told, quicklooks=[folder / "quicklooks" / "large.png"], language="ru")
    visit = Visit(browser, path)
    assert visit.page.locator(".spots tbody tr").count() == len(made.features)
    assert visit.page.locator("figure.map circle").count() == len(made.features)
    assert visit.page.locator("figure.chart").count() >= 1
    assert visit.page.locator(".quicklook img").evaluate("image => image.naturalWidth") == 250
    assert (
        visit.page.evaluate("getComputedStyle(document.querySelector('h1')).marginTop") == "0px"
    )  # style on
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(visit.page.screenshot()) > 10_000
    printed = visit.page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert pages >= 2
    box = re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert box is not None
    points = [size / 25.4 * 72.0 for size in (210.0, 297.0)]  # A4
    assert all(
        math.isclose(float(found), size, abs_tol=1.5)
        for found, size in zip(box.groups(), points, strict=True)
    )
    visit.close()


def test_forty_injections_stay_text(made: layers.Layers, browser: Any, tmp_path: Path) -> None:
    first = made.features[0]
    texts = [name for name, value in first["properties"].items() if isinstance(value, str)]
    features = []
    for number, payload in enumerate(page.PAYLOADS):
        hostile = dict.fromkeys(set(texts) - {"start", "end"}, payload)
        features.append(
            {**first, "id": f"{number}{payload}", "properties": {**first["properties"], **hostile}}
        )
    evil = "".join(page.PAYLOADS)
    pairs = [(each, each) for each in page.PAYLOADS]
    spectra = {each["id"]: [page.spectrum(text)] for each, text in zip(features, page.PAYLOADS, strict=True)}
    said = view.About(run=evil, layer_sha256=evil, statements=pairs, warnings=page.PAYLOADS, rejected=pairs,
                      ignored=pairs, spectra=spectra)  # fmt: skip
    rows = [
        {"path": each, "role": each, "bytes": each, "sha256": each, "input": each} for each in page.PAYLOADS
    ]
    manifest = {
        "statements": {**dict(pairs), "false_alarms": page.PAYLOADS, "searches": [dict(pairs)]},
        "parameters": {each: {"value": each, "origin": each} for each in page.PAYLOADS},
        "calibration": rows, "inputs": rows, "outputs": rows, "versions": dict(pairs),
    }  # fmt: skip
    named = tmp_path / "<img src=x onerror=window.hit=1>.png"
    named.write_bytes(b"no picture")
    hostile_layers = dataclasses.replace(
        made, collection={**made.collection, "features": features}, flight=evil
    )
    path = tmp_path / "report.html"
    report.write(hostile_layers, path, about=said, manifest=manifest, quicklooks=[named])
    visit = Visit(browser, path)
    cells = visit.page.locator(".spots td:nth-child(2)").all_text_contents()
    assert [" ".join(each.split()) for each in cells] == [" ".join(each.split()) for each in page.PAYLOADS]
    assert visit.page.evaluate("window.hit") is None
    forbidden = (
        "script, iframe, object, embed, base, link, form, a, input, video, audio, body style, img[src=x]"
    )
    assert visit.page.locator(forbidden).count() == 0
    assert visit.page.locator("meta").count() == 4
    visit.close()
