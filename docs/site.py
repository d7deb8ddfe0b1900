"""What turns these pages into a site (hooks of MkDocs, see mkdocs.yml).

The pages are written to be read in the repository. Here those that lie outside of ``docs`` are brought in,
links between all of them are turned, links to code become its name, the pages of the library are made from
the list of rooms, folders of the navigation are filled, and pictures are put in where they were made
(``docs/pictures.py``): ``<!-- picture: NAME "caption" -->``.
"""

from __future__ import annotations

import ast
import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import dronesense

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
"""Set: the pages of the library have only their headings, for a test that looks at all others."""
LESS = ("---", "search:", "  boost: 0.1", "---")
"""Begins pages of the library: the search ranks them lower than others."""
LINK = re.compile(r"(?P<text>\[[^\]\n]+\])\((?P<target>[^)\s]+)\)")
ROLE = re.compile(
    r":(?:class|func|meth|mod|attr|data|exc):<code>(?:~?[\w.]*\.)?(?P<name>\w+)(?: &lt;.*?&gt;)?</code>"
)
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r'^(?P<indent> *)<!-- picture: (?P<name>[\w-]+) "(?P<caption>[^"]+)" -->$', re.MULTILINE)


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
    files.append(File.generated(config, "api/dronesense.md", content=_front_door()))
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


def on_page_content(html: str, **_: Any) -> str:
    """Show names that docstrings refer to as names: ``:class:`~dronesense.model.Bands``` is ``Bands``."""
    return ROLE.sub(lambda match: f"<code>{match['name']}</code>", html)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """Take the script by which the search works from the disk from here instead of from a network."""
    return output.replace(SHIM, posixpath.relpath(VENDORED, posixpath.dirname(page.file.dest_uri) or "."))


def _pages(item: str) -> list[str]:
    """Return the pages of a folder of the navigation, or the page itself."""
    if not item.endswith("/"):
        return [item]
    if item == "api/":
        return [f"api/{room}.md" for room in ("dronesense", *ROOMS)]
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
    indent, caption = match["indent"], match["caption"]
    return f"{indent}[![{caption}]({relative})]({relative})\n\n{indent}*{caption}*"  # in full where clicked


def _library_page(room: str) -> str:
    """Return the page of a room: what it says of itself, and every module that offers something."""
    place = ROOT / "dronesense" / room
    lines = [*LESS, f"# `dronesense.{room}`", "", *_told(f"dronesense.{room}", heading_level=2)]
    for path in sorted(place.glob("*.py")):
        nodes = ast.parse(path.read_text("utf-8")).body
        offered = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        if path.stem != "__init__" and any(not name.startswith("_") for name in offered):
            lines += [f"## `{path.stem}`", "", *_told(f"dronesense.{room}.{path.stem}", heading_level=3)]
    return "\n".join(lines)


def _front_door() -> str:
    """Return the page of what ``import dronesense`` gives by itself."""
    said = "What `import dronesense` gives by itself. Records are in `dronesense.model`."
    lines = [*LESS, "# `dronesense`", "", said, ""]
    shown = {"show_root_heading": True, "show_root_toc_entry": True, "show_root_full_path": False}
    for name in dronesense.__all__:
        lines += _told(f"{getattr(dronesense, name).__module__}.{name}", heading_level=2, **shown)
    return "\n".join(lines)


def _told(name: str, **options: Any) -> list[str]:
    """Return the lines by which mkdocstrings tells of *name*; none in a quick build."""
    if QUICK in os.environ:
        return []
    given = [f"      {key}: {json.dumps(value)}" for key, value in options.items()]
    return [f"::: {name}", "    options:", *given, ""]
