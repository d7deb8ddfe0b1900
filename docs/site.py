"""What turns these pages into a site (hooks of MkDocs, see mkdocs.yml).

The pages are written to be read in the repository. Here those that lie outside of ``docs`` are brought in,
links between all of them are turned, links to code become its name, the pages of the library are made from
the list of rooms, folders of the navigation are filled, and pictures are put in where they were made
(``docs/pictures.py``): ``<!-- picture: NAME "caption" -->``.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BROUGHT_IN = {
    "README.md": "project/overview.md",
    "flights/README.md": "project/flights.md",
    "calibration/README.md": "project/calibration.md",
    "notebooks/README.md": "project/notebooks.md",
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changes.md",
}
"""Pages outside of ``docs``, and where they go."""
ROOMS = ("model", "manifest", "pipeline", "planning", "calibrate", "detect", "geotag", "hotspots", "readers",
         "writers", "evidence", "geodesy", "units", "timescale", "errors", "synthetic", "plot")  # fmt: skip
PICTURES = ROOT / "build" / "pictures"
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme asks a network for, so that its search works from file://."""
VENDORED = "vendor/iframe-worker-1.0.4.js"
"""The same (npm, MIT; tests/test_site.py has its hash)."""
QUICK = "DRONESENSE_SITE_QUICK"
"""Set: the pages of the library are left empty, for a test that looks at all others."""
LINK = re.compile(r"(?P<text>\[[^\]\n]+\])\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r'^<!-- picture: (?P<name>[\w-]+) "(?P<caption>[^"]+)" -->$', re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the folders of the navigation with their pages."""
    filled: list[Any] = []
    for entry in config.nav or []:
        ((title, items),) = entry.items()
        single = isinstance(items, str) and not items.endswith("/")
        names = [items] if isinstance(items, str) else items
        filled.append({title: items if single else [page for item in names for page in _pages(item)]})
    config.nav = filled
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add pages from outside, those of the library, and pictures."""
    for source, target in BROUGHT_IN.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text("utf-8")))
    for room in ROOMS:
        files.append(File.generated(config, f"api/{room}.md", content=_library_page(room)))
    for path in sorted(PICTURES.glob("*.png")):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turn links and put pictures in."""
    here = page.file.src_uri
    own = next((source for source, target in BROUGHT_IN.items() if target == here), f"docs/{here}")
    parts = FENCE.split(markdown)
    for number in range(0, len(parts), 2):  # between the fences
        parts[number] = LINK.sub(lambda match: _link(match, own, here), parts[number])
        parts[number] = PICTURE.sub(lambda match: _picture(match, here), parts[number])
    return "".join(parts)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """Take the script by which the search works from the disk from here instead of from a network."""
    return output.replace(SHIM, posixpath.relpath(VENDORED, posixpath.dirname(page.file.dest_uri) or "."))


def _pages(item: str) -> list[str]:
    """Return the pages of a folder of the navigation, or the page itself."""
    if not item.endswith("/"):
        return [item]
    if item == "api/":
        return [f"api/{room}.md" for room in ROOMS]
    return [f"{item}{path.name}" for path in sorted((ROOT / "docs" / item).glob("*.md"))]


def _link(match: re.Match[str], own: str, here: str) -> str:
    """Return a link of the page *own* of the repository as the page *here* of the site has it."""
    target, _, anchor = match["target"].partition("#")
    if not target or "://" in target or target.startswith("mailto:"):
        return match[0]
    there = posixpath.normpath(posixpath.join(posixpath.dirname(own), target))
    if (ROOT / there).is_dir():
        there = posixpath.join(there, "README.md")
    if there in BROUGHT_IN:
        page = BROUGHT_IN[there]
    elif there.startswith("docs/") and there.endswith(".md"):
        page = there.removeprefix("docs/")
    else:
        return match["text"][1:-1]  # code, data, a license: no page of the site
    relative = posixpath.relpath(page, posixpath.dirname(here) or ".")
    return f"{match['text']}({relative}{'#' + anchor if anchor else ''})"


def _picture(match: re.Match[str], here: str) -> str:
    """Return a picture with its caption, if it was made."""
    if not (PICTURES / f"{match['name']}.png").is_file():
        return ""
    relative = posixpath.relpath(f"pictures/{match['name']}.png", posixpath.dirname(here) or ".")
    return f"![{match['caption']}]({relative})\n\n*{match['caption']}*"


def _library_page(room: str) -> str:
    """Return the page of a room: what its first lines say, and every module that offers something."""
    place = ROOT / "dronesense" / room
    modules = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    lines = [f"# `dronesense.{room}`", ""]
    for path in modules:
        tree = ast.parse(path.read_text("utf-8"))
        offered = [
            node.name
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        ]
        name = f"dronesense.{room}" if path.stem in ("__init__", room) else f"dronesense.{room}.{path.stem}"
        if not offered and path.stem != "__init__":
            continue
        lines += [f"## `{name}`", ""]
        if QUICK in os.environ:
            lines += [(ast.get_docstring(tree) or "").partition("\n")[0], ""]
        else:
            lines += [f"::: {name}", "    options:", "      heading_level: 3", ""]
    return "\n".join(lines)
