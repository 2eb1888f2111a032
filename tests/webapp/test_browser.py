"""A reader's ways through the site, in a real Chromium against a real gunicorn."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.colour_clip import coloured
from tests.conftest import picture, skip_or_fail
from tests.servers import Server, serving
from tests.webapp.small_site import make_catalogue
from webapp.pages.walls import WALLS

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
WALL_PAGES = tuple(f"/{wall.name}" for wall in WALLS if wall.name != "label")
WIDTHS = (320, 390, 820, 1440)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        skip_or_fail(f"no Chromium at {CHROMIUM}; set CHROMIUM to its path")
    with sync_playwright() as playwright:
        # As root, as in containers, Chromium runs only without its sandbox; every page it opens here is our own.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "banners").mkdir()
    for appid in (10, 20, 30, 40, 60, 70):
        picture(appid, (300, 450)).save(folder / "banners" / f"{appid}.jpg")
    (folder / "banners" / "50.jpg").write_bytes(b"no image")
    with serving(make_catalogue(folder / "c"), folder / "banners") as running:
        yield running


@pytest.fixture(scope="module")
def queried(colour_site: Path) -> Iterator[Server]:
    """A catalogue that answers words and pictures."""
    with serving(colour_site / "c", colour_site / "banners") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
    yield opened
    context.close()
    assert complaints == []


def test_typing_a_name_and_picking_a_suggestion_with_the_keyboard_leads_to_the_game(page):
    page.goto("/")
    box = page.get_by_role("combobox")
    box.press_sequentially("portal")
    options = page.get_by_role("option")
    expect(options).to_have_count(2)
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("ArrowDown")
    box.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(box).to_have_attribute("aria-activedescendant", options.nth(1).get_attribute("id"))
    box.press("Enter")
    page.wait_for_url("**/render/20")
    expect(page.get_by_role("heading", level=1)).to_have_text("Portal 2")


def test_escape_closes_the_suggestions_and_enter_leads_to_the_results(page):
    page.goto("/render/10")
    box = page.get_by_role("combobox")
    box.press_sequentially("por")
    expect(page.get_by_role("listbox")).to_be_visible()
    box.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(box).to_have_value("por")
    box.press("Enter")
    page.wait_for_url("**/search?q=por")
    expect(page.get_by_role("heading", level=1)).to_contain_text("2 games for")


def test_suggestions_show_names_as_text_with_the_match_marked(page):
    page.goto("/")
    page.get_by_role("combobox").press_sequentially("script")
    option = page.get_by_role("option")
    expect(option).to_have_text('A <script>alert("&amp;")</script> Name')
    expect(option.locator("b").first).to_have_text("script")


def test_no_results_are_announced(page):
    page.goto("/")
    page.get_by_role("combobox").press_sequentially("zzzzqq")
    expect(page.get_by_role("status")).to_have_text("No game has a name like this")


def test_leaving_the_box_closes_the_suggestions(page):
    page.goto("/")
    page.get_by_role("combobox").press_sequentially("portal")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.get_by_role("button", name="Search").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_a_game_is_reached_with_the_keyboard_alone(page):
    page.goto("/render/10")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.cards') !== null"):
            break
    name = page.evaluate("document.activeElement.textContent.trim()")
    page.keyboard.press("Enter")
    page.wait_for_url("**/render/*")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


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


def test_a_banner_is_as_clickable_as_its_name(page):
    page.goto("/render/10")
    box = page.locator(".cards-matches > li .art").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/render/20")


def test_missing_images_leave_a_placeholder_and_move_nothing(page):
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => { for (const e of list.getEntries()) shift += e.value; })"
        ".observe({type: 'layout-shift', buffered: true});"
    )
    page.route("**/banners/*", lambda route: route.abort())
    page.goto("/render/10")
    page.wait_for_load_state("networkidle")
    arts = page.locator(".art")
    assert arts.count() == 7
    for index in range(arts.count()):
        box = arts.nth(index).bounding_box()
        assert box["height"] == pytest.approx(1.5 * box["width"], rel=0.02)
    assert page.locator(".art img:not([hidden])").count() == 0
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


def test_a_missing_banner_is_looked_for_under_older_names_and_ends_at_the_placeholder(browser, steam_server):
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
    assert sorted(asked) == ["10/header.jpg", "10/library_600x900.jpg", "20/header.jpg", "20/library_600x900.jpg"]
    expect(page.locator(".query .art img")).to_have_class("is-header")
    expect(page.locator(".cards .art img")).to_be_hidden()
    assert page.evaluate("shift") == 0
    context.close()


def test_adult_banners_are_blurred_until_the_switch_is_used_with_the_keyboard(page):
    page.goto("/search?q=hentai")
    expect(page.locator(".adult-label")).to_have_text("Adult")
    assert "blur" in page.locator(".art-adult img").evaluate("image => getComputedStyle(image).filter")
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
    "/about",
    "/api/v1/",
    "/render/11",
    "/nothing",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_about(browser, server, queried, scheme):
    found: list[str] = []
    for asked, pages in ((server, PAGES), (queried, QUERY_PAGES)):
        context = browser.new_context(base_url=asked.url, color_scheme=scheme, bypass_csp=True)
        found += complaints(context.new_page(), pages)
        context.close()
    assert found == []


def complaints(opened: Page, pages: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for url in pages:
        opened.goto(url)
        results = Axe().run(opened, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
        assert len(results.response["passes"]) > 10, url
        found += [
            f"{url}: {violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:120]}"
            for violation in results.response["violations"]
        ]
    return found


def test_the_open_list_of_suggestions_is_accessible_too(browser, server):
    context = browser.new_context(base_url=server.url, bypass_csp=True)
    opened = context.new_page()
    opened.goto("/")
    opened.get_by_role("combobox").press_sequentially("portal")
    expect(opened.get_by_role("option").first).to_be_visible()
    violations = Axe().run(opened).response["violations"]
    context.close()
    assert [violation["id"] for violation in violations] == []


def test_nothing_moves_while_a_page_loads_also_when_every_image_fails(browser, server):
    context = browser.new_context(base_url=server.url)
    opened = context.new_page()
    opened.route("**/banners/**", lambda route: route.abort())
    for url in ("/", "/render/10", *WALL_PAGES):
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


def test_the_arrow_keys_walk_through_the_neighbours_and_the_trail_leads_back(page):
    page.goto("/render/10")
    expect(page.get_by_role("navigation", name="Games you came from")).to_be_hidden()
    links = page.locator(".cards-matches .name a")
    page.keyboard.press("ArrowRight")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/render/20")
    trail = page.get_by_role("navigation", name="Games you came from").get_by_role("link")
    expect(trail).to_have_text(["Portal"])
    trail.click()
    page.wait_for_url("**/render/10")
    expect(trail).to_have_text(["Portal 2"])


def test_arrow_keys_in_the_search_box_stay_in_it(page):
    page.goto("/render/10")
    box = page.get_by_role("combobox")
    box.fill("por")
    box.press("ArrowLeft")
    expect(box).to_be_focused()


def test_a_trail_that_somebody_spoilt_is_forgotten(page):
    for spoilt in ("{", '"x"', '[{"id": "1", "path": "javascript:alert(1)", "name": "x"}, null]'):
        page.goto("/render/10")
        page.evaluate("text => sessionStorage.setItem('trail', text)", spoilt)
        page.goto("/render/20")
        expect(page.locator(".trail a")).to_have_count(0)


def dropped(page: Page, data: bytes, event: str) -> None:
    """Let a picture be dropped or pasted on the page."""
    page.evaluate(
        """([data, event]) => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(data)], "x.png", { type: "image/png" }));
          const options = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(event === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: files })
            : new DragEvent("drop", { ...options, dataTransfer: files }));
        }""",
        [list(data), event],
    )


@pytest.mark.parametrize("how", ["choose", "drop", "paste"])
def test_a_picture_is_chosen_dropped_or_pasted_and_then_refined(browser, queried, how):
    file = io.BytesIO()
    coloured("violet", 7).save(file, "PNG")
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/upload")
    if how == "choose":
        page.set_input_files("#picture", {"name": "x.png", "mimeType": "image/png", "buffer": file.getvalue()})
    else:
        dropped(page, file.getvalue(), how)
    page.wait_for_url("**/mix?picture=*")
    first = page.locator(".cards .name a").first
    assert first.get_attribute("href") in ("/render/51", "/render/52")
    page.get_by_label("Add a game or words").fill("red")
    page.get_by_role("button", name="Less like it").press("Enter")
    page.wait_for_url("**not_text=red*")
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("link", name="Leave out: red").press("Enter")
    expect(page.locator(".chip")).to_have_count(1)
    expect(page.locator(".chip canvas")).to_have_count(1)  # the tab still knows what it looked like
    page.goto("/upload")
    data = list(b"%PDF-1.4")
    page.evaluate(
        """(data) => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(data)], "x.pdf", { type: "application/pdf" }));
          document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: files }));
        }""",
        data,
    )
    expect(page.get_by_role("alert")).to_have_text(re.compile("That is no picture"))
    context.close()


def test_a_suggested_game_is_added_to_the_query(browser, queried):
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/mix?not_text=red")
    box = page.get_by_role("combobox", name="Add a game or words")
    box.press_sequentially("green h")
    expect(page.get_by_role("option", name="Green Hills")).to_have_count(1)
    box.press("ArrowDown")
    box.press("Enter")
    page.wait_for_url("**/mix?not_text=red&game=11")
    expect(page.locator(".chip")).to_have_count(2)
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


def test_a_picture_can_be_sent_without_javascript(browser, queried):
    file = io.BytesIO()
    coloured("green", 7).save(file, "PNG")
    context = browser.new_context(base_url=queried.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/upload")
    page.set_input_files("#picture", {"name": "x.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.get_by_role("button", name="Find look-alikes").click()
    page.wait_for_url("**/mix?picture=*")
    assert page.locator(".cards .name a").first.get_attribute("href") in ("/render/21", "/render/22")
    context.close()


def test_going_on_typing_forgets_what_was_picked(page):
    page.goto("/")
    box = page.get_by_role("combobox")
    box.press_sequentially("portal")
    expect(page.get_by_role("option")).to_have_count(2)
    box.press("ArrowDown")
    box.press_sequentially("zz")
    expect(box).not_to_have_attribute("aria-activedescendant", re.compile(".+"))
    box.press("Enter")
    page.wait_for_url("**/search?q=portalzz")


def test_arrows_walk_through_rows_and_columns_of_neighbours(page):
    page.set_viewport_size({"width": 500, "height": 800})  # two columns
    page.goto("/render/10")
    names = page.locator(".cards-matches .name a")
    page.keyboard.press("ArrowRight")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(names.nth(2)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(names.nth(3)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(names.nth(1)).to_be_focused()
