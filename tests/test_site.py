"""The documentation as a site: it builds strictly, links lead somewhere, nothing is asked of a network."""

from __future__ import annotations

import hashlib
import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("material")
ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run"]  # fmt: skip
ASSET = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(?P<url>[^\"'\s>]+)[^>]*>", re.IGNORECASE
)
ANCHOR = re.compile(r"<a\b[^>]*?\bhref=[\"']?(?P<url>[^\"'\s>]+)", re.IGNORECASE)
NAMED = re.compile(r"\bid=[\"']?(?P<id>[^\"'\s>]+)")


SHIM_SHA256 = "2e06927070aa169f022497ffe660a1bfad1183116459fd05083fb168fd90b594"


def build(folder: Path, **environment: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages; those of the library without what mkdocstrings says, which takes long."""
    return build(tmp_path_factory.mktemp("site"), DRONESENSE_SITE_QUICK="1")


def pages(site: Path) -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def broken(site: Path) -> list[str]:
    """Return links, scripts, styles and pictures that lead nowhere within the site."""
    found, bad = pages(site), []
    names = {path: set(NAMED.findall(text)) for path, text in found.items()}
    for path, text in found.items():
        for url in {*ANCHOR.findall(text), *ASSET.findall(text)}:
            parts = urlsplit(html.unescape(url))
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = bool(parts.fragment) and unquote(parts.fragment) not in names.get(there, {parts.fragment})
            if lost or not there.is_file():
                bad.append(f"{path.relative_to(site)}: {url}")
    return bad


def asked(site: Path) -> list[str]:
    """Return what pages and styles would ask of a network when they are opened."""
    found = []
    for path, text in pages(site).items():
        found += [f"{path.name}: {each[0]}" for each in ASSET.finditer(text) if urlsplit(each["url"]).netloc]
    for path in site.rglob("*.css"):
        found += re.findall(r"url\([\"']?(?:https?:)?//[^)]+\)|@import[^;]+//[^;]+;", path.read_text("utf-8"))
    return found


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_every_page_is_there_and_its_links_lead_somewhere(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert written <= {path.relative_to(site) for path in pages(site)}
    assert broken(site) == []


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_nothing_is_asked_of_a_network(site: Path) -> None:
    """Scripts, styles, fonts and pictures are files of the site; so are those that styles name."""
    assert asked(site) == []
    (shim,) = (site / "vendor").glob("iframe-worker-*.js")
    assert hashlib.sha256(shim.read_bytes()).hexdigest() == SHIM_SHA256
    assert f'src="vendor/{shim.name}"' in (site / "index.html").read_text("utf-8")


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_links_to_code_are_words_and_pages_from_outside_are_there(site: Path) -> None:
    assert "dronesense" in (site / "project/overview.html").read_text("utf-8")
    assert "threat" in (site / "project/security.html").read_text("utf-8")
    library = (site / "api/geotag.html").read_text("utf-8")
    assert 'id="locate"' in library


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_steps_keep_their_numbers(site: Path) -> None:
    """Blocks indented by three spaces end a list of Python-Markdown; every step would be the first."""
    text = (site / "tutorials/field.html").read_text("utf-8")
    (steps,) = re.findall(r"<ol>.*?</ol>", text, re.DOTALL)
    assert steps.count("<li>") == 6
    assert "dronesense hotspots confirm" in steps


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here")
def test_the_search_works_from_the_disk_and_asks_nobody(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        tab = browser.new_context(offline=True).new_page()
        urls: list[str] = []
        tab.on("request", lambda request: urls.append(request.url))
        tab.goto((site / "howto/clocks.html").as_uri())
        tab.fill("input.md-search__input", "planning a flight")
        tab.click("input.md-search__input")
        first = tab.locator(".md-search-result__link").first
        first.wait_for(timeout=20_000)
        assert "/methods/planning.html" in (first.get_attribute("href") or "")
        browser.close()
    assert len(urls) > 3
    assert {urlsplit(url).scheme for url in urls} <= {"file", "blob", "data"}


@pytest.mark.slow
def test_all_of_the_site(tmp_path: Path) -> None:
    """With the pages of the library: about half a minute."""
    whole = build(tmp_path)
    assert broken(whole) == []
    assert asked(whole) == []
    text = (whole / "api/dronesense.html").read_text("utf-8")
    assert all(name in text for name in ("open_flight", "process", "tune", "DronesenseError"))
    for path in (whole / "api").glob("*.html"):  # roles of docstrings are names here
        assert re.findall(r":(?:func|class|mod|meth|data|attr):<", path.read_text("utf-8")) == [], path
