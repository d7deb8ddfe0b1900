"""Make the pictures of the documentation: what each of the three users sees, on the synthetic flight.

    python docs/pictures.py [FOLDER]        (default: build/pictures)

Screens are pictures of what commands print, pages are opened in Chromium with the network off, the notebook's
tables are those that its records make of themselves, the layer is drawn by QGIS where that is installed.
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
}
"""Commands whose screens are shown, in their order."""
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
        env={**os.environ, "COLUMNS": "118", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    text = html.escape(done.stdout.replace(str(folder), "..."))
    command = f"<b>$ dronesense {' '.join(arguments)}</b>"
    return f"<meta charset=utf-8><style>{STYLE}</style><pre>{command}\n{text}</pre>"


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
    browser: Any, page: Path, target: Path, *, keys: str = "", paper: bool = False, whole: bool = False
) -> None:
    """Open *page* with the network off, press *keys*, and write a picture."""
    context = browser.new_context(viewport={"width": 1180, "height": 760}, offline=True)
    tab = context.new_page()
    if paper:
        tab.emulate_media(media="print")
    tab.goto(page.as_uri())
    tab.wait_for_timeout(700)
    for key in keys:
        tab.keyboard.press(key)
        tab.wait_for_timeout(300)
    tab.screenshot(path=str(target), full_page=whole)
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
            page = folder / f"{picture}.html"
            page.write_text(screen(folder, *arguments), encoding="utf-8")
            photograph(browser, page, target / f"{picture}.png", whole=True)
        (folder / "cells.html").write_text(cells(folder), encoding="utf-8")
        photograph(browser, folder / "cells.html", target / "notebook.png", whole=True)
        products = folder / "flights/demo/products"
        photograph(browser, products / "view.html", target / "view-day.png", keys="j")
        photograph(browser, products / "view.html", target / "view-night.png", keys="nj")
        photograph(browser, products / "view.html", target / "view-print.png", paper=True)
        photograph(browser, products / "report.html", target / "report.png")
        browser.close()
        shutil.copy(products / "quicklooks" / "line_1.png", target / "quicklook.png")
    print(f"{len(list(target.glob('*.png')))} pictures in {target}")


if __name__ == "__main__":
    main()
