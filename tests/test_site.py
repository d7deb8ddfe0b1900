"""The documentation as a site: it builds strictly, links lead somewhere, nothing is asked of a network."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("material")
ROOT = Path(__file__).parents[1]
ASSET = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(?P<url>[^\"'\s>]+)[^>]*>", re.IGNORECASE
)
ANCHOR = re.compile(r"<a\b[^>]*?\bhref=[\"']?(?P<url>[^\"'\s>]+)", re.IGNORECASE)
NAMED = re.compile(r"\bid=[\"']?(?P<id>[^\"'\s>]+)")


SHIM_SHA256 = "2e06927070aa169f022497ffe660a1bfad1183116459fd05083fb168fd90b594"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages; those of the library without what mkdocstrings says, which takes long."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "DRONESENSE_SITE_QUICK": "1", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_every_page_is_there_and_its_links_lead_somewhere(site: Path) -> None:
    found = pages(site)
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert written <= {path.relative_to(site) for path in found}
    names = {path: set(NAMED.findall(text)) for path, text in found.items()}
    broken = []
    for path, text in found.items():
        for url in ANCHOR.findall(text):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = bool(parts.fragment) and unquote(parts.fragment) not in names.get(there, {parts.fragment})
            if lost or not there.is_file():
                broken.append(f"{path.relative_to(site)}: {url}")
    assert broken == []


@pytest.mark.once
@pytest.mark.xdist_group("site")
def test_nothing_is_asked_of_a_network(site: Path) -> None:
    """Scripts, styles, fonts and pictures are files of the site; so are those that styles name."""
    asked = []
    for path, text in pages(site).items():
        found = ASSET.finditer(text)
        asked += [f"{path.name}: {each[0]}" for each in found if urlsplit(each["url"]).netloc]
    for path in site.rglob("*.css"):
        asked += re.findall(r"url\([\"']?(?:https?:)?//[^)]+\)|@import[^;]+//[^;]+;", path.read_text("utf-8"))
    assert asked == []
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
