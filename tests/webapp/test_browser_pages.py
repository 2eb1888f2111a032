"""Every page in a real browser: width, accessibility, missing images, no layout shift."""

import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from banners.games_csv import Game
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.conftest import picture
from tests.servers import Server, serving
from tests.webapp.small_site import make_catalogue
from webapp.pages.walls import WALLS

WALL_PAGES = tuple(f"/{wall.name}" for wall in WALLS if wall.name != "label")


WIDTHS = (320, 390, 820, 1440)


def test_everything_can_be_read_and_searched_without_javascript(browser, server):
    context = browser.new_context(base_url=server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("portal")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**/search?q=portal")
    page.get_by_role("link", name="Portal 2", exact=True).click()
    page.wait_for_url("**/render/20")
    expect(page.locator(".cards-matches > li")).to_have_count(6)
    context.close()


def test_titles_take_the_place_of_missing_images_and_nothing_moves(page):
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const e of list.getEntries()) shift += e.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    page.route(re.compile("/(banners|thumbnails)/"), lambda route: route.abort())
    page.goto("/render/10")
    page.wait_for_load_state("networkidle")
    arts = page.locator(".art")
    assert arts.count() == 7
    for index in range(arts.count()):
        box = arts.nth(index).bounding_box()
        assert box["height"] == pytest.approx(1.5 * box["width"], rel=0.02)
    assert page.locator(".art img").count() == 0
    expect(arts.first).to_have_text("Portal")
    assert page.evaluate("shift") == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/render/70",
        "/render_x/30",
        "/search?q=portal",
        *WALL_PAGES,
        "/about",
        "/api/v1/",
        "/render/21",
    ],
)
def test_no_page_is_wider_than_its_screen(page, url, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def steam_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A catalogue whose banners are on Steam's CDN."""
    with serving(make_catalogue(tmp_path_factory.mktemp("steam") / "c", source="steam")) as running:
        yield running


def test_a_missing_banner_is_looked_for_under_older_names_and_gives_way_to_its_title(browser, steam_server):
    context = browser.new_context(base_url=steam_server.url)
    page = context.new_page()
    header = io.BytesIO()
    picture(1, (460, 215)).save(header, "JPEG")
    asked: list[str] = []

    def cdn(route: Route) -> None:
        asked.append(route.request.url.split("/apps/")[1])
        if asked[-1] == "20/header.jpg":
            route.fulfill(status=200, content_type="image/jpeg", body=header.getvalue())
        else:
            route.fulfill(status=404, body="")

    page.route("https://shared.akamai.steamstatic.com/**", cdn)
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const e of list.getEntries()) shift += e.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    page.goto("/render/20/1")
    page.wait_for_load_state("networkidle")
    tried = ["library_600x900.jpg", "header.jpg"]
    assert sorted(asked) == sorted([*(f"10/{name}" for name in tried), *(f"20/{name}" for name in tried)])
    expect(page.locator(".query .art img")).to_have_class("is-header")
    expect(page.locator(".cards .art img")).to_have_count(0)
    expect(page.locator(".cards .art")).to_have_text("Portal")
    assert page.evaluate("shift") == 0
    context.close()


def test_a_hashed_banner_that_is_gone_gives_way_to_the_plain_one(browser, tmp_path):
    save_catalogue(
        tmp_path / "c",
        games=[Game(10, "Ten", {"image_path": "ab12/library_capsule.jpg?t=7"}), Game(20, "Twenty")],
        neighbours={"plain": nearest(np.eye(2, dtype=np.float32), k=1)},
        about={"encoder": {"id": "test"}, "images": {"source": "steam", "width": 300, "height": 450}},
    )
    context = browser.new_context(device_scale_factor=2)
    page = context.new_page()
    upright = io.BytesIO()
    picture(1, (300, 450)).save(upright, "JPEG")
    asked: list[str] = []

    def cdn(route: Route) -> None:
        asked.append(route.request.url)
        found = asked[-1].endswith("/10/library_600x900.jpg")
        route.fulfill(status=200 if found else 404, content_type="image/jpeg", body=upright.getvalue() if found else "")

    with serving(tmp_path / "c", STEAM_CDN_URL="https://covers.example/apps") as server:
        page.route("https://covers.example/**", cdn)
        page.goto(f"{server.url}/render/10")
        page.wait_for_load_state("networkidle")
        expect(page.locator(".query .art img")).to_have_attribute(
            "src", "https://covers.example/apps/10/library_600x900.jpg"
        )
        ours = [url for url in asked if "/10/" in url]
        assert ours == [
            "https://covers.example/apps/10/ab12/library_capsule.jpg?t=7",
            "https://covers.example/apps/10/library_600x900.jpg",
        ]
    context.close()


def test_adult_banners_are_blurred_until_the_switch_is_used_with_the_keyboard(page):
    page.goto("/search?q=hentai")
    assert "blur" in page.locator(".art-adult img").evaluate("image => getComputedStyle(image).filter")
    assert page.get_by_role("button", name="Show them").bounding_box()["height"] >= 24
    page.get_by_role("button", name="Show them").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Blur them")).to_be_visible()
    assert page.url.endswith("/search?q=hentai")
    assert page.locator(".art-adult img").evaluate("image => getComputedStyle(image).filter") == "none"


QUERY_PAGES = (
    "/upload",
    "/mix",
    "/mix?game=11&text=blue&not_text=red",
    "/labels",
    "/label?name=red",
    "/render/11",
    "/search?q=green",
    "/",
)


PAGES = (
    "/",
    "/render/10",
    "/render/10/3",
    "/render_x/10",
    "/store/10",
    "/search?q=portal",
    "/search?q=portl",
    "/search?q=zzzzqq",
    *WALL_PAGES,
    "/unique?below=-1",
    "/search",
    "/compare/10/30",
    "/board",
    "/board?game=10&game=30&game=60",
    "/about",
    "/api/v1/",
    "/render/11",
    "/nothing",
)


def test_axe_finds_nothing_to_complain_about(browser, server, queried):
    found: list[str] = []
    for asked, pages in ((server, PAGES), (queried, QUERY_PAGES)):
        context = browser.new_context(base_url=asked.url, color_scheme="light", bypass_csp=True)
        found += complaints(context.new_page(), pages)
        context.close()
    assert found == []


RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


def complaints(opened: Page, pages: tuple[str, ...]) -> list[str]:
    """All rules in light, and of the other theme what differs: its colours."""
    found: list[str] = []
    for url in pages:
        opened.emulate_media(color_scheme="light")
        opened.goto(url)
        light = Axe().run(opened, options={"runOnly": RULES}).response
        assert len(light["passes"]) > 10, url
        opened.emulate_media(color_scheme="dark")
        dark = Axe().run(opened, options={"runOnly": {"type": "rule", "values": ["color-contrast"]}}).response
        assert len(dark["passes"]) == 1, url
        found += [
            f"{url}: {violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:120]}"
            for violation in (*light["violations"], *dark["violations"])
        ]
    return found


def test_open_panels_are_accessible_too(browser, queried):
    context = browser.new_context(base_url=queried.url, bypass_csp=True)
    opened = context.new_page()
    opened.goto("/render/21")
    opened.goto("/render/11?tag=x&from=1990")
    found = []
    for panel in ("filters", "mix", "history"):
        opened.locator(f"button[popovertarget={panel}]").click()
        expect(opened.locator(f"#{panel}")).to_be_visible()
        found += [one["id"] for one in Axe().run(opened, options={"runOnly": RULES}).response["violations"]]
        opened.keyboard.press("Escape")
    opened.goto("/render/11")
    opened.locator(".card").first.hover()
    opened.locator(".dots").first.click()
    found += [one["id"] for one in Axe().run(opened, options={"runOnly": RULES}).response["violations"]]
    opened.keyboard.press("Escape")
    opened.keyboard.press("?")
    found += [one["id"] for one in Axe().run(opened, options={"runOnly": RULES}).response["violations"]]
    context.close()
    assert found == []


def test_the_open_list_of_suggestions_is_accessible_too(browser, server):
    context = browser.new_context(base_url=server.url, bypass_csp=True)
    opened = context.new_page()
    opened.goto("/")
    opened.get_by_role("combobox").press_sequentially("portal")
    expect(opened.get_by_role("option").first).to_be_visible()
    violations = Axe().run(opened).response["violations"]
    context.close()
    assert [violation["id"] for violation in violations] == []


@pytest.mark.parametrize("width", [1000, 1440, 1700])
def test_the_text_of_the_first_page_stays_where_it_is_when_the_example_comes_late(browser, server, width):
    with browser.new_page(base_url=server.url, viewport={"width": width, "height": 800}) as page:
        page.goto("/")
        text = page.locator(".hero-text")
        with_example = text.bounding_box()
        page.locator(".example").evaluate("example => example.remove()")
        assert text.bounding_box() == with_example


def test_nothing_moves_while_a_page_loads_also_when_every_image_fails(browser, server):
    context = browser.new_context(base_url=server.url)
    opened = context.new_page()
    opened.route(re.compile("/(banners|thumbnails)/"), lambda route: route.abort())
    for url in ("/", "/render/10", "/compare/10/30", "/board?game=10&game=30", "/search?q=portal", *WALL_PAGES):
        opened.goto(url)
        opened.wait_for_load_state("networkidle")
        shift = opened.evaluate(
            """() => new Promise(resolve => {
                let sum = 0;
                new PerformanceObserver(list => list.getEntries().forEach(entry => sum += entry.value))
                    .observe({type: "layout-shift", buffered: true});
                setTimeout(() => resolve(sum), 300);
            })"""
        )
        assert shift == 0, url
    context.close()


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(browser, queried, width):
    context = browser.new_context(
        base_url=queried.url, viewport={"width": width, "height": 800}, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    for url in (
        "/",
        "/render/11",
        "/search?q=red",
        "/mix?game=11&not_text=red",
        "/upload",
        *WALL_PAGES,
        "/labels",
        "/label?name=red",
        "/about",
        "/api/v1/",
        "/render/999",
    ):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url
    context.close()
