"""What a visitor came for is on the first screen: measured on real covers, at the widths that people have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.servers import Server, serving
from webapp.pages.walls import WALLS

GAME = 100040
RARE = 106610  # one pair in ten thousand is as close as it and its first look-alike, which is said above the list
WALL_PAGES = [f"/{wall.name}" for wall in WALLS if wall.name not in ("label", "duplicates")]  # this shelf has neither
# Cards that are whole, with their captions, on the first screen.
WHOLE = """() => [...document.querySelectorAll(".cards > .card")].filter((card) => {
    const place = card.getBoundingClientRect();
    return place.width && place.top >= 0 && place.bottom <= innerHeight && place.right <= innerWidth;
}).length"""
SHIFT = """() => new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (sum += entry.value)))
        .observe({ type: "layout-shift", buffered: true });
    setTimeout(() => resolve(sum), 300);
})"""


@pytest.fixture(scope="module")
def site(shelf: Path) -> Iterator[Server]:
    with serving(shelf / "c", shelf / "b", QUERIES_PER_MINUTE="0") as running:
        yield running


def opened(browser: Browser, site: Server, path: str, width: int, height: int) -> Page:
    page = browser.new_page(base_url=site.url, viewport={"width": width, "height": height})
    page.goto(path)
    page.wait_for_load_state("networkidle")
    return page


@pytest.mark.parametrize(
    "path",
    [
        f"/render/{GAME}",
        f"/render/{RARE}",
        f"/render/{GAME}?from=1985&tag=Action&min_likeness=2",
        f"/render/{GAME}?view=artwork",
    ],
)
def test_six_results_are_whole_on_a_phone_and_all_ten_on_a_desk(browser, site, path):
    for width, height, least in ((390, 844, 6), (1440, 900, 10)):
        with opened(browser, site, path, width, height) as page:
            assert page.evaluate(WHOLE) >= least, (path, width)
            assert page.evaluate(SHIFT) == 0


@pytest.mark.parametrize(("width", "height"), [(1366, 657), (1024, 768), (320, 568), (390, 844), (1440, 900)])
@pytest.mark.parametrize("path", [f"/render/{GAME}", "/unique", "/newest"])
def test_a_page_stands_at_the_top_after_loading(browser, site, path, width, height):
    with opened(browser, site, path, width, height) as page:
        page.wait_for_timeout(300)
        assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("path", WALL_PAGES)
def test_the_first_cover_of_a_wall_is_high_up_on_a_phone(browser, site, path):
    with opened(browser, site, path, 390, 844) as page:
        assert page.locator("[data-list] .art").first.bounding_box()["y"] < 250


def test_the_first_row_of_a_mix_of_six_parts_is_on_the_first_screen(browser, site, shelf):
    appids = sorted(int(path.stem) for path in (shelf / "b").glob("*.jpg"))[:6]
    url = "/mix?" + "&".join(f"game={appid}" for appid in appids[:5]) + f"&not_game={appids[5]}"
    for width, height, columns in ((390, 844, 3), (1440, 900, 6)):
        with opened(browser, site, url, width, height) as page:
            assert page.evaluate(WHOLE) >= columns, width


def test_cards_are_wide_enough_at_every_width(browser, site):
    with opened(browser, site, f"/render/{GAME}", 390, 900) as page:
        for width in range(320, 2561, 16):
            page.set_viewport_size({"width": width, "height": 900})
            card, is_beside = page.evaluate(
                """() => {
                    const [list, query] = [".cards-matches > .card", ".query-art"].map((one) =>
                        document.querySelector(one).getBoundingClientRect());
                    return [list.width, list.left > query.right];
                }"""
            )
            assert card >= (140 if is_beside else 80), width
            assert is_beside == (width >= 1152 + 15 or width >= 1152), width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.locator(".cards-matches > .card").first.bounding_box()["width"] >= 104
