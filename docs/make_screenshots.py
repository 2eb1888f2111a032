"""Draw docs/screenshots.md: a real gunicorn over the demo catalogue, a real Chromium in front of it, each page in three
widths and both themes."""

import io
import os
import sys
from itertools import product
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
from tests.servers import serving  # noqa: E402

PAGES = (
    ("home", "/", "Home: search, an example, pairs"),
    ("map", "/map", "The map of all covers"),
    ("suggestions", "/", "Suggestions while typing"),
    ("search", "/search?q=the", "Results"),
    ("game", "/render/9000100", "A game beside its look-alikes"),
    ("mix", "/mix?game=9000100&game=9000200&not_game=9000300", "A mix: more like two games, less like a third"),
    ("compare", "/compare/9000100/9000200", "Why two covers match"),
    ("parts", "/parts?game=9000100&box=0.1,0.05,0.8,0.3", "Search by a part"),
    ("cover", "/upload", "Your cover: the verdict"),
    ("popular", "/popular", "Popular games, each with its look-alikes"),
    ("pairs", "/pairs", "Nearly the same cover"),
    ("unique", "/unique", "Covers like no other, each with the most similar one"),
    ("duplicates", "/duplicates", "Identical covers"),
    ("board", "/board?game=9000100&game=9000200&game=9000300&game=9000280&name=Mine", "A board"),
)
TYPED = "horizon"
SIZES = ((1440, 960), (820, 1100), (390, 844))
THEMES = ("light", "dark")


def main() -> None:
    catalogue, banners = Path(os.environ["CATALOGUE"]).absolute(), Path(os.environ["BANNERS"]).absolute()
    (DOCS / "screenshots").mkdir(exist_ok=True)
    with serving(catalogue, banners, WEB_CONCURRENCY="1") as server, sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for (name, path, _), size, theme in product(PAGES, SIZES, THEMES):
            draw(browser, name, server.url + path, size, theme)
        browser.close()
    (DOCS / "screenshots.md").write_text(listing(), encoding="utf-8")


def draw(browser: Browser, name: str, url: str, size: tuple[int, int], theme: str) -> None:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce")
    page.goto(url)
    if name == "cover":
        with page.expect_navigation():
            page.set_input_files("#picture", [{"name": "x.png", "mimeType": "image/png", "buffer": own_cover()}])
    if name == "suggestions":
        page.get_by_role("combobox").press_sequentially(TYPED)
        page.get_by_role("option").first.wait_for()
    page.wait_for_load_state("networkidle")
    shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").save(DOCS / "screenshots" / f"{name}-{width}-{theme}.webp", quality=75, method=6)
    page.close()


def own_cover() -> bytes:
    """A cover that the demo set does not have: the halves of two."""
    paths = sorted(Path(os.environ["BANNERS"]).glob("*.jpg"))
    top, bottom = (Image.open(path).convert("RGB").resize((300, 450)) for path in (paths[5], paths[12]))
    top.paste(bottom.crop((0, 225, 300, 450)), (0, 225))
    file = io.BytesIO()
    top.save(file, "PNG")
    return file.getvalue()


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
    parts.append("## What corresponds on fifty pairs\n")
    parts.append('<img src="screenshots/regions.webp" alt="Fifty games and their first look-alikes, framed">\n')
    return "\n".join(parts)


if __name__ == "__main__":
    main()
