"""Draw the screenshots of README.md: a real gunicorn over the catalogue, a real Chromium in front of it."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = "8765"
URL = f"http://127.0.0.1:{PORT}"
SHOTS = (
    ("game-dark", "/render/9000280", 1440, 960, "dark"),
    ("game-light-390", "/render/9000280", 390, 844, "light"),
    ("home-light", "/", 1440, 960, "light"),
)


def main() -> None:
    environment = os.environ | {"PORT": PORT, "HOST": "127.0.0.1", "WEB_CONCURRENCY": "1"}
    server = subprocess.Popen([sys.executable, "-m", "gunicorn"], cwd=ROOT, env=environment)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{URL}/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as playwright:
            chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for name, path, width, height, theme in SHOTS:
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
                )
                page.goto(URL + path)
                page.wait_for_load_state("networkidle")
                page.screenshot(path=ROOT / "docs" / f"{name}.jpg", type="jpeg", quality=82)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
