"""Draw docs/screenshots.md: a real gunicorn over the demo catalogue, a real Chromium in front of it, each page in three
widths and both themes."""

import io
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PORT = "8765"
URL = f"http://127.0.0.1:{PORT}"
PAGES = (
    ("home", "/", "Home: search, popular games, unusual banners"),
    ("suggestions", "/", "Suggestions while typing"),
    ("search", "/search?q=the", "Results"),
    ("game", "/render/9000280", "A game beside its nearest neighbours"),
    ("popular", "/popular", "The benchmark list"),
    ("unique", "/unique", "The most unusual banners, each with its nearest neighbour"),
    ("duplicates", "/duplicates", "Identical banners"),
)
TYPED = "horizon"
SIZES = ((1440, 960), (820, 1100), (390, 844))
THEMES = ("light", "dark")


def main() -> None:
    environment = os.environ | {"PORT": PORT, "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"}
    server = subprocess.Popen([sys.executable, "-m", "gunicorn"], cwd=ROOT, env=environment)
    try:
        wait_for_server()
        (DOCS / "screenshots").mkdir(exist_ok=True)
        with sync_playwright() as playwright:
            chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for name, path, _ in PAGES:
                for width, height in SIZES:
                    for theme in THEMES:
                        draw(browser, name, path, width, height, theme)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    (DOCS / "screenshots.md").write_text(listing(), encoding="utf-8")


def wait_for_server() -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{URL}/healthz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)


def draw(browser: Browser, name: str, path: str, width: int, height: int, theme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce")
    page.goto(URL + path)
    if name == "suggestions":
        page.get_by_role("combobox").press_sequentially(TYPED)
        page.get_by_role("option").first.wait_for()
    page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").save(DOCS / "screenshots" / f"{name}-{width}-{theme}.webp", quality=75, method=6)
    page.close()


def listing() -> str:
    """The Markdown page that shows them all, the narrow ones beside each other."""
    parts = ["# Screenshots\n", "The demo set, which this project draws itself; `make screenshots` makes them again.\n"]
    for name, _, title in PAGES:
        parts.append(f"## {title}\n")
        for theme in THEMES:
            pictures = [
                f'<img src="screenshots/{name}-{width}-{theme}.webp" width="{share}%"'
                f' alt="{title}, {width} px, {theme}">'
                for (width, _), share in zip(SIZES, (50, 29, 18), strict=True)
            ]
            parts.append("\n".join(pictures) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
