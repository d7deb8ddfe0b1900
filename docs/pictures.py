"""Make the pictures of the documentation: what each of the three users sees, on the synthetic flight.

    python docs/pictures.py [FOLDER]        (default: build/pictures)

Screens are pictures of what commands print, pages are opened in Chromium with the network off, the notebook's
tables are those that its records make of themselves.
"""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run"]  # fmt: skip
SCREENS = {
    "screen-demo": ("demo", "flights/demo"),
    "screen-inspect": ("inspect", "flights/demo"),
    "screen-run": ("run", "flights/demo", "--again"),
    "screen-verify": ("verify", "flights/demo", "--inputs"),
    "screen-merge": ("merge", "products/strips-12", "products/strips-23", "-o", "campaign"),
}
"""Commands whose screens are shown, in their order."""
COLUMNS, LINES, WIDTH_PX = 124, 30, 1160
"""Of a screen; what a command prints beyond is counted."""
STYLE = (
    "body{margin:0;background:#11151a}b{color:#8fd18f}"
    "pre{margin:0;padding:18px;color:#d8dee6;font:15px/1.35 monospace;white-space:pre-wrap}"
)
CELL = "body{margin:16px;font:15px sans-serif;background:#fff}pre{background:#f3f4f6;padding:10px}"
NOTEBOOK = """import dronesense as ds
flight = ds.open_flight("flights/demo")
layer = ds.process(flight)"""


def screen(folder: Path, *arguments: str) -> str:
    """Return a page with what a command prints on both streams."""
    start = "import sys; from dronesense.cli import main; sys.argv[0] = 'dronesense'; main()"
    done = subprocess.run(  # noqa: S603 - this Python, words from above
        [sys.executable, "-c", start, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    lines = done.stdout.replace(str(folder), "...").rstrip().splitlines()
    if len(lines) > LINES:
        lines[LINES:] = [f"... {len(lines) - LINES} lines more"]
    text = html.escape("\n".join(lines))
    command = f"<b>$ dronesense {' '.join(arguments)}</b>"
    return f"<meta charset=utf-8><style>{STYLE}</style><pre>{command}\n{text}</pre>"


def run_by_strips(folder: Path) -> None:
    """Run the first two strips of the flight, and the last two, as if they had been flown on two days."""
    flight = folder / "flights/demo"
    text = (flight / "flight.toml").read_text("utf-8")
    for strips in ("12", "23"):
        part = text.replace("line_*", f"line_[{strips}]").replace("synthetic-0", f"strips-{strips}")
        (flight / f"strips-{strips}.toml").write_text(part, "utf-8")
        screen(folder, "run", f"flights/demo/strips-{strips}.toml", "-o", f"products/strips-{strips}")


def cells(folder: Path) -> str:
    """Return a page as a notebook shows flight, layer and cube."""
    import dronesense as ds

    flight = ds.open_flight(folder / "flights/demo")
    layer = ds.process(flight)
    shown = [("flight", flight), ("layer", layer), ("layer.cubes[0].cube", layer.cubes[0].cube)]
    parts = [f"<pre>{html.escape(NOTEBOOK)}</pre>"]
    parts += [f"<pre>{html.escape(name)}</pre>{record._repr_html_()}" for name, record in shown]
    return f"<meta charset=utf-8><style>{CELL}</style>{''.join(parts)}"


def photograph(
    browser: Any, page: Path, target: Path, *, keys: str = "", paper: bool = False, width: int = 0
) -> None:
    """Open *page* with the network off, press *keys*, and write a picture; with *width*, of all of it."""
    size = {"width": width or 1180, "height": 100 if width else 760}
    context = browser.new_context(viewport=size, offline=True)
    tab = context.new_page()
    if paper:
        tab.emulate_media(media="print")
    tab.goto(page.as_uri())
    tab.wait_for_timeout(700)
    for key in keys:
        tab.keyboard.press(key)
        tab.wait_for_timeout(300)
    tab.screenshot(path=str(target), full_page=width > 0)
    context.close()


def main() -> None:
    """Make all pictures, or say why not."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "pictures").resolve()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        print("no pictures: they need playwright (requirements/dev.txt) and Chromium", file=sys.stderr)
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        for picture, arguments in SCREENS.items():
            if picture == "screen-merge":
                run_by_strips(folder)
            page = folder / f"{picture}.html"
            page.write_text(screen(folder, *arguments), encoding="utf-8")
            photograph(browser, page, target / f"{picture}.png", width=WIDTH_PX)
        (folder / "cells.html").write_text(cells(folder), encoding="utf-8")
        photograph(browser, folder / "cells.html", target / "notebook.png", width=900)
        products = folder / "flights/demo/products"
        photograph(browser, products / "view.html", target / "view-day.png", keys="j")
        photograph(browser, products / "view.html", target / "view-night.png", keys="nj")
        photograph(browser, products / "view.html", target / "view-print.png", paper=True)
        photograph(browser, products / "report.html", target / "report.png")
        browser.close()
        for picture in ("line_1", "CH4"):
            shutil.copy(products / "quicklooks" / f"{picture}.png", target / f"quicklook-{picture}.png")
    print(f"{len(list(target.glob('*.png')))} pictures in {target}")


if __name__ == "__main__":
    main()
