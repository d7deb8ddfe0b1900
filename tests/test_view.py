"""The offline page: driven in Chromium from file:// without network, fed with hostile text."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from click.testing import CliRunner

from dronesense.cli import cli
from dronesense.errors import ReadError
from dronesense.model import Hotspot
from dronesense.writers import layers, spectra, view

sys.path.insert(0, str(Path(__file__).parent))
import layer_writer as maker

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run", "--disable-quic"]  # fmt: skip
HOOK = "window.hit=1"
PAYLOADS = [
    f"<script>{HOOK}</script>",
    f"</script><script>{HOOK}</script>",
    f"<img src=x onerror={HOOK}>",
    f"<svg onload={HOOK}>",
    f"<svg><script>{HOOK}</script></svg>",
    f'"><script>{HOOK}</script>',
    f"'><script>{HOOK}</script>",
    f'" onmouseover="{HOOK}',
    f"' onfocus='{HOOK}' autofocus='",
    f"javascript:{HOOK}",
    f'<a href="javascript:{HOOK}">x</a>',
    f"<iframe srcdoc='<script>parent.{HOOK}</script>'>",
    f'<iframe src="javascript:parent.{HOOK}">',
    f"<body onload={HOOK}>",
    f"<input autofocus onfocus={HOOK}>",
    f"<details open ontoggle={HOOK}>",
    f"<video><source onerror={HOOK}></video>",
    f"<audio src=x onerror={HOOK}>",
    f"<math><mtext></mtext><script>{HOOK}</script></math>",
    f"<style>@import 'javascript:{HOOK}';</style>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<base href='http://127.0.0.1:9/'>",
    f'<object data="javascript:{HOOK}">',
    f'<embed src="javascript:{HOOK}">',
    "<form action=http://127.0.0.1:9/><button>x</button></form>",
    f"<!--><script>{HOOK}</script>-->",
    f"<![CDATA[<script>{HOOK}</script>]]>",
    f"&lt;script&gt;{HOOK}&lt;/script&gt;",
    f"\\u003cscript\\u003e{HOOK}\\u003c/script\\u003e",
    f"\u2028{HOOK}//\u2029",
    f'";{HOOK};//',
    f"';{HOOK};//",
    f"${{{HOOK}}}",
    f"`;{HOOK};`",
    f"{{{{constructor.constructor('{HOOK}')()}}}}",
    "__proto__",
    "@@DATA@@ @@SCRIPTS@@",
    f"<ScRiPt x>{HOOK}</sCrIpT\t>",
]


def about(**changes: Any) -> view.About:
    return view.About(run="r1", statements=[("Looked at", "all")], warnings=["w"], **changes)


def spectrum(text: str = "a.hdr#line 3 sample 4") -> dict[str, Any]:
    band = [450.0, 550.0, 650.0]
    values = {"center_nm": band, "fwhm_nm": [20.0, None, 20.0], "pixel": [0.1, 0.2, 0.3]}
    more = {"background": [0.0, 0.1, 0.2], "signature": [0.2, None, 0.4], "good": [True, True, True]}
    return {"cube": text, "source": text, "unit": text, "fill": 0.5, **values, **more}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> layers.Layers:
    return layers.from_path(maker.products(tmp_path_factory.mktemp("products")))


def test_vendored_files_are_those_of_their_packages() -> None:
    folder = resources.files("dronesense.writers").joinpath("page", "vendor")
    listed = tomllib.loads(folder.joinpath("VENDORED.toml").read_text("utf-8"))
    hashes = {name: digest for library in listed.values() for name, digest in library["sha256"].items()}
    assert {each.name for each in folder.iterdir()} == {*hashes, "VENDORED.toml"}
    for name, digest in hashes.items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest, name


def test_every_word_is_there_in_every_language() -> None:
    page = resources.files("dronesense.writers").joinpath("page")
    strings = json.loads(page.joinpath("strings.json").read_text("utf-8"))
    assert tuple(strings) == view.LANGUAGES
    places = {key: sorted(re.findall(r"\{\d\}", text)) for key, text in strings["en"].items()}
    for table in strings.values():
        assert {key: sorted(re.findall(r"\{\d\}", text)) for key, text in table.items()} == places
        assert all(text.strip() for text in table.values())
    assert len({table["wording"] for table in strings.values()}) == len(strings)
    hints = get_type_hints(Hotspot)
    script, skeleton = (page.joinpath(name).read_text("utf-8") for name in ("view.js", "view.html"))
    used = set(re.findall(r'\bsay\("(\w+)"', script)) | set(re.findall(r'data-text="(\w+)"', skeleton))
    values = {*get_args(hints["kind"]), *get_args(hints["status"])} - {"rejected"}  # said by their name
    assert used | values | {"_name"} == set(places)


def test_same_layers_same_bytes_and_nothing_from_outside(made: layers.Layers) -> None:
    first = view.encode(made, about())
    assert first == view.encode(made, about())
    markup = re.sub(rb"<(script|style)\b.*?</\1>", b"", first, flags=re.DOTALL)
    assert not re.search(rb"\b(src|href|action)\s*=", markup)
    assert b"default-src 'none'" in first
    assert b"unsafe" not in re.search(rb"<meta http-equiv[^>]*>", first).group(0)  # type: ignore[union-attr]


def test_data_are_the_layer(made: layers.Layers) -> None:
    found = view.page_data(made, about(thresholds={"CH4": 5.0}, layer_sha256="ab"))
    features = made.collection["features"]
    assert [each["id"] for each in found["hotspots"]] == [each["id"] for each in features]
    scores = [each["properties"]["score"] for each in features]
    assert [each["score"] for each in found["hotspots"]] == scores
    (gas,) = found["gas"]
    assert gas["time"] == [0, 200, 1250]
    assert gas["value"][:2] == [2.0123, None]
    assert gas["limit"] == pytest.approx(5.0 * 0.0123 / 1.23)  # the noise is what one z is worth
    assert len(found["track"]) == 1
    assert len(found["coverage"]["features"]) == 1
    assert {each["unit"] for each in found["overlays"]} >= {"1"}


def test_an_unknown_language_is_a_mistake(made: layers.Layers) -> None:
    with pytest.raises(ValueError, match="en, ru, kk"):
        view.encode(made, about(), language="de")


def test_view_writes_a_page_beside_a_sealed_one_with_decisions(tmp_path: Path) -> None:
    folder = maker.products(tmp_path / "products")
    sealed = {"outputs": [{"path": "view.html"}], "run_id": "c0ffee", "statements": {"looked_at": "all"}}
    (folder / "run.json").write_text(json.dumps(sealed), "utf-8")
    (folder / "view.html").write_text("as it was", "utf-8")
    runner = CliRunner()
    identity = json.loads((folder / "hotspots.geojson").read_bytes())["features"][0]["id"]
    assert runner.invoke(cli, ["hotspots", "confirm", identity, "--layer", str(folder)]).exit_code == 0
    done = runner.invoke(cli, ["view", str(folder), "--lang", "kk"])
    assert done.exit_code == 0, done.output
    page = (folder / "view.reviewed.html").read_text("utf-8")
    assert (folder / "view.html").read_text("utf-8") == "as it was"
    found = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert found["hotspots"][0]["status"] == "confirmed"
    assert (found["run"], found["language"]) == ("c0ffee", "kk")
    assert found["statements"] == [["Looked at", "all"]]
    digest = hashlib.sha256((folder / "hotspots.geojson").read_bytes()).hexdigest()
    assert found["layer_sha256"] == digest
    assert runner.invoke(cli, ["view", str(folder), "-o", str(folder / "view.html")]).exit_code != 0
    (folder / "run.json").write_text("[]", "utf-8")
    assert runner.invoke(cli, ["view", str(folder)]).exit_code != 0


# --- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield started
        started.close()


class Visit:
    """A page that was opened without network, and what it asked for and complained of."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(offline=True, viewport={"width": 1200, "height": 800}, **context)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready=yes]", timeout=20_000)

    def close(self) -> None:
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith(("data:", "blob:"))] == self.asked[:1]
        self.context.close()


def test_page_shows_every_hotspot_and_asks_for_nothing(
    made: layers.Layers, browser: Any, tmp_path: Path
) -> None:
    path = tmp_path / "view.html"
    ids = [each["id"] for each in made.features]
    view.write(made, path, about=about(thresholds={"CH4": 5.0}, spectra={ids[0]: [spectrum()]}))
    visit = Visit(browser, path)
    page = visit.page
    assert page.locator("#list li").count() == page.evaluate("dronesense.marks()") == len(ids)
    page.locator("#list li").first.click()
    assert page.locator("#details h2").inner_text().startswith(str(made.features[0]["properties"]["target"]))
    assert page.locator("#details .uplot").count() == 2  # the spectrum, and what its mixture leaves
    assert "MGRS" in page.locator(".places").inner_text()
    page.keyboard.press("j")
    assert page.locator("#list li[aria-selected=true]").get_attribute("data-id") == ids[1]
    page.select_option("#kind", "gas")
    gas = sum(each["properties"]["kind"] == "gas" for each in made.features)
    assert page.locator("#list li").count() == gas
    page.keyboard.press("Escape")
    page.click("#filters button[type=reset]")
    page.locator("#list li").nth(len(ids) - 1).wait_for()
    page.evaluate("e => { least.value = 50; least.dispatchEvent(new Event('input', {bubbles: true})) }")
    assert page.locator("#list li").count() == -(-len(ids) // 2)
    page.select_option("#language", "ru")
    assert page.locator("#wording").inner_text() == "Признаки с указанием ограничений, не доказательство"
    page.click("#night")
    assert page.evaluate("document.documentElement.hasAttribute('data-night')")
    assert len(page.screenshot()) > 10_000
    page.emulate_media(media="print")
    assert not page.locator("#night").is_visible()
    visit.close()


def test_a_click_on_the_map_opens_the_hotspot(made: layers.Layers, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "view.html"
    view.write(made, path, about=about())
    visit = Visit(browser, path)
    place = visit.page.evaluate(
        """() => {
            const { map, data } = dronesense, spot = data.hotspots[0];
            map.setView([spot.lat, spot.lon], 24, { animate: false });
            const at = map.latLngToContainerPoint([spot.lat, spot.lon]);
            const box = map.getContainer().getBoundingClientRect();
            return [box.x + at.x, box.y + at.y];
        }"""
    )
    visit.page.mouse.click(*place)
    found = visit.page.locator("#list li[aria-selected=true]").get_attribute("data-id")
    assert found == made.features[0]["id"]  # the best lies on top
    visit.close()


def test_forty_injections_stay_text(made: layers.Layers, browser: Any, tmp_path: Path) -> None:
    assert len(PAYLOADS) == 40
    first = made.features[0]
    texts = [column for column, value in first["properties"].items() if isinstance(value, str)]
    features = []
    for number, payload in enumerate(PAYLOADS):
        hostile = dict.fromkeys(set(texts) - {"start", "end", "kind"}, payload)
        features.append(
            {**first, "id": f"{number}{payload}", "properties": {**first["properties"], **hostile}}
        )
    collection = {**made.collection, "features": features}
    evil = "".join(PAYLOADS)
    said = view.About(
        run=evil, layer_sha256=evil, statements=[(each, each) for each in PAYLOADS], warnings=PAYLOADS,
        rejected=[(each, each) for each in PAYLOADS], ignored=[(each, each) for each in PAYLOADS],
        spectra={each["id"]: [spectrum(payload)] for each, payload in zip(features, PAYLOADS, strict=True)},
    )  # fmt: skip
    hostile_layers = dataclasses.replace(made, collection=collection, flight=evil)
    path = tmp_path / "view.html"
    view.write(hostile_layers, path, about=said)
    visit = Visit(browser, path)
    rows = visit.page.locator("#list li b").all_inner_texts()
    assert [" ".join(each.split()) for each in rows] == [" ".join(each.split()) for each in PAYLOADS]
    for number in range(len(PAYLOADS)):
        visit.page.evaluate("i => dronesense.choose(dronesense.data.hotspots[i].id)", number)
    assert visit.page.evaluate("window.hit") is None
    assert visit.page.locator("iframe, object, embed, base, img[src=x], #details script").count() == 0
    visit.close()


def test_an_empty_layer_says_what_that_means(made: layers.Layers, browser: Any, tmp_path: Path) -> None:
    empty = dataclasses.replace(
        made, collection={**made.collection, "features": []}, samples=(), rasters=(), maps=(), track=None
    )
    path = tmp_path / "view.html"
    view.write(empty, path)
    visit = Visit(browser, path)
    assert "nothing is there" in visit.page.locator("#count").inner_text()
    visit.close()


# --- spectra.json ---------------------------------------------------------------------------------------


def test_spectra_come_back_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / spectra.NAME
    assert spectra.read(path) == {}
    path.write_text(json.dumps({"a": [spectrum()]}), "utf-8")
    assert spectra.read(path) == {"a": [spectrum()]}
    for wrong in ("{", "[]", '{"a": 1}', '{"a": [{"pixel": [1]}]}'):
        path.write_text(wrong, "utf-8")
        with pytest.raises(ReadError, match=r"JSON|spectra"):
            spectra.read(path)
