"""Your cover, boxes and comparisons in a browser: drafts, cutting, drawing, keys."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.servers import serving
from tests.webapp.query_site import encoded
from tests.webapp.test_browser_pages import complaints
from tests.webapp.test_words import FORBIDDEN

SIZE = (300, 450)
SHIFT = """() => new Promise(resolve => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => sum += entry.value))
        .observe({type: "layout-shift", buffered: true});
    setTimeout(() => resolve(sum), 300);
})"""


@pytest.fixture(scope="module")
def site(shelf):
    with serving(shelf / "c", shelf / "b", QUERIES_PER_MINUTE="0") as server:
        yield server


@pytest.fixture
def page(browser, site):
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=site.url)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors


def cover(shelf, number: int) -> Image.Image:
    with Image.open(sorted((shelf / "b").glob("*.jpg"))[number]) as image:
        return image.convert("RGB").resize(SIZE)


def send(page, image: Image.Image, selector: str = "#picture") -> None:
    with page.expect_navigation():
        page.set_input_files(
            selector, [{"name": "x.png", "mimeType": "image/png", "buffer": encoded(image)}], no_wait_after=True
        )


def test_drafts_stand_side_by_side_and_back_leads_to_each(page, shelf):
    page.goto("/upload")
    send(page, cover(shelf, 3))
    heading = page.locator("h1")
    first = heading.inner_text()
    assert first.startswith("This is the cover of ")
    expect(page.locator(".own-art canvas")).to_be_visible()
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(1)
    send(page, Image.blend(cover(shelf, 20), cover(shelf, 90), 0.5), ".draft-add input")
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(2)
    assert heading.inner_text() != first
    page.go_back()
    expect(heading).to_have_text(first)
    expect(page.locator('.draft [aria-current="page"]')).to_have_count(1)
    page.get_by_role("button", name="Remove draft 2").click()
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(1)
    page.reload()
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(1)


def test_at_most_four_drafts_are_kept(page, shelf):
    page.goto("/upload")
    for number in range(5):
        send(page, cover(shelf, number), "#picture")
        expect(page.locator('.draft [aria-current="page"]')).to_have_count(1)  # kept, with its verdict
        page.goto("/upload")
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(4)


def test_a_wide_picture_is_cut_in_the_browser(page, shelf):
    wide = Image.new("RGB", (920, 430), (20, 60, 90))
    wide.paste(cover(shelf, 40).resize((287, 430)), (60, 0))
    page.goto("/upload")
    send(page, wide)
    expect(page.locator("h1")).to_have_text("920x430 is Steam’s header")
    page.get_by_role("button", name="Cut it here").click()
    for _ in range(13):
        page.keyboard.press("ArrowLeft")
    with page.expect_navigation():
        page.get_by_role("button", name="See the verdict").click()
    expect(page.locator("h1")).to_contain_text("the cover of ")
    expect(page.locator(".draft:not(.draft-add)")).to_have_count(1)


def test_a_box_is_drawn_by_mouse_and_by_keys(page, shelf, site):
    appid = sorted(int(path.stem) for path in (shelf / "b").glob("*.jpg"))[12]
    page.goto(f"/parts?game={appid}")
    layer = page.locator(".drawing")
    room = layer.bounding_box()
    page.mouse.move(room["x"] + 0.1 * room["width"], room["y"] + 0.2 * room["height"])
    page.mouse.down()
    page.mouse.move(room["x"] + 0.6 * room["width"], room["y"] + 0.5 * room["height"], steps=4)
    page.mouse.up()
    x, y, width, height = map(float, page.locator("#box").input_value().split(","))
    assert (x, y, width, height) == pytest.approx((0.1, 0.2, 0.5, 0.3), abs=0.02)
    layer.press("ArrowRight")
    layer.press("Shift+ArrowDown")
    x2, _, _, height2 = map(float, page.locator("#box").input_value().split(","))
    assert (x2 - x, height2 - height) == pytest.approx((0.02, 0.02), abs=0.003)
    with page.expect_navigation():
        layer.press("Enter")
    expect(page.locator(".found .card")).to_have_count(20)


def test_a_part_of_an_own_cover_is_searched(page, shelf):
    page.goto("/upload")
    send(page, cover(shelf, 12))
    page.get_by_role("button", name="Search a part").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Find what is in the box").click()
    expect(page.locator("h1")).to_have_text("Where else it is")
    expect(page.locator(".part-art canvas")).to_be_visible()


def test_an_own_cover_is_compared_from_a_cards_menu(page, shelf):
    page.goto("/upload")
    send(page, cover(shelf, 12))
    card = page.locator("[data-list] .card").first
    card.locator(".dots").press("Enter")
    with page.expect_navigation():
        card.get_by_role("link", name="Compare").press("Enter")
    expect(page.locator(".compare canvas")).to_be_visible()
    expect(page.locator(".compare-sentence")).to_contain_text("They are one picture")


def look_alikes(page, shelf, corresponds: bool) -> tuple[int, int]:
    """A game and its first look-alike, on whose covers something corresponds or nothing does."""
    for a in sorted(int(path.stem) for path in (shelf / "b").glob("*.jpg")):
        b = page.request.get(f"/api/v1/games/{a}/neighbours?n=1").json()["results"][0]["game"]["appid"]
        regions = page.request.get(f"/api/v1/compare?a={a}&b={b}").json()["regions"]
        if (regions[0]["cosine"] >= 0.6) == corresponds:
            assert len(regions) == (5 if corresponds else 3)
            return a, b
    pytest.fail("no such pair")


def test_places_are_marked_where_something_corresponds_else_when_they_are_asked_for(page, shelf):
    page.goto("/compare/{}/{}".format(*look_alikes(page, shelf, corresponds=False)))
    expect(page.locator(".compare .boxes").first).to_be_hidden()
    page.get_by_role("button", name="Show the closest places all the same").click()
    expect(page.locator(".compare .boxes").first).to_be_visible()
    page.goto("/compare/{}/{}".format(*look_alikes(page, shelf, corresponds=True)))
    expect(page.locator(".compare .boxes").first).to_be_visible()


def test_a_draft_is_compared_and_leads_back_to_its_verdict(page, shelf):
    page.goto("/upload")
    send(page, Image.blend(cover(shelf, 20), cover(shelf, 90), 0.5))
    expect(page.locator('.draft [aria-current="page"]')).to_have_count(1)
    verdict, likeness = page.url, page.locator(".card .similarity").first.inner_text()
    with page.expect_navigation():
        page.locator(".card .why").first.click()
    expect(page.locator(".compare canvas")).to_be_visible()
    assert page.locator(".scales .similarity").first.inner_text() == likeness
    address = page.url
    with page.expect_navigation():
        page.get_by_role("link", name="Back to the verdict").click()
    assert page.url == verdict
    page.goto(address)
    with page.expect_navigation():
        page.get_by_role("button", name="Use the draft that this browser keeps").click()
    expect(page.locator(".compare canvas")).to_be_visible()


def test_covers_are_flipped_lit_and_stepped_by_keys(page, shelf):
    a, b = look_alikes(page, shelf, corresponds=True)
    page.goto(f"/compare/{a}/{b}")
    page.locator(".regions [data-region='2']").hover()
    expect(page.locator(".boxes .is-lit")).to_have_count(2)
    page.keyboard.press("f")
    expect(page.locator(".compare > li").last).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator(".compare > li").first).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator(".compare > li").first).to_be_visible()
    with page.expect_navigation():
        page.keyboard.press("ArrowRight")
    assert page.url.split("/")[-2] == str(a)
    assert page.url.split("/")[-1] != str(b)


def test_the_library_shows_the_draft_among_others(page, shelf):
    page.goto("/upload")
    send(page, cover(shelf, 12))
    page.get_by_text("100x150").click()
    shelf_shown = page.locator(".shelf:visible")
    expect(shelf_shown).to_have_count(1)
    expect(shelf_shown.locator(".shelf-own canvas")).to_be_visible()
    assert round(shelf_shown.locator(".shelf-own").bounding_box()["width"]) == 100
    page.get_by_text("Random", exact=True).click()
    expect(page.locator(".shelf:visible .shelf-own canvas")).to_be_visible()


def test_a_browser_that_keeps_nothing_shows_the_verdict(browser, site, shelf):
    context = browser.new_context(base_url=site.url)
    context.add_init_script("indexedDB.open = () => { throw new Error('refused'); };")
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/upload")
    send(page, cover(shelf, 12))
    expect(page.locator("h1")).to_contain_text("This is the cover of ")
    assert not errors
    context.close()


def test_without_javascript_everything_is_there(browser, site, shelf):
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/upload")
    page.set_input_files("#picture", [{"name": "x.png", "mimeType": "image/png", "buffer": encoded(cover(shelf, 12))}])
    page.get_by_role("button", name="See the verdict").click()
    expect(page.locator("h1")).to_contain_text("This is the cover of ")
    wide = cover(shelf, 12).resize((920, 430))
    page.goto("/upload")
    page.set_input_files("#picture", [{"name": "x.png", "mimeType": "image/png", "buffer": encoded(wide)}])
    page.get_by_role("button", name="See the verdict").click()
    page.get_by_role("link", name="Take its middle").click()
    expect(page.locator(".own-text")).to_contain_text("This is about the middle of your picture.")
    a = sorted(int(path.stem) for path in (shelf / "b").glob("*.jpg"))[12]
    page.goto(f"/parts?game={a}")
    page.get_by_role("button", name="Find it").click()
    expect(page.locator(".found .card")).to_have_count(20)
    context.close()


def pages_about_covers(page, shelf) -> list[str]:
    """The addresses of one page of each kind."""
    a, b = sorted(int(path.stem) for path in (shelf / "b").glob("*.jpg"))[12:14]
    addresses = [f"/compare/{a}/{b}", f"/compare/cover/{a}", f"/parts?game={a}&box=0.1,0.1,0.5,0.3", f"/parts?game={a}"]
    wide, blank = cover(shelf, 12).resize((920, 430)), Image.new("RGB", SIZE, (40, 60, 80))
    mixed = Image.blend(cover(shelf, 20), cover(shelf, 90), 0.5)
    for image in (cover(shelf, 12), wide, blank, mixed):
        page.goto("/upload")
        send(page, image)
        addresses.append(page.url)
    return [*addresses, f"{page.url}&tag=Sports&without={a}", "/upload", "/reused"]


def test_the_pages_are_accessible_and_say_one_word_for_each_thing(browser, site, shelf):
    context = browser.new_context(base_url=site.url, bypass_csp=True)
    page = context.new_page()
    addresses = pages_about_covers(page, shelf)
    assert complaints(page, tuple(addresses)) == []
    for address in addresses:
        page.goto(address)
        assert not FORBIDDEN.search(page.locator("body").inner_text()), address
    context.close()


def test_no_page_is_wider_than_its_window_and_nothing_moves(browser, site, shelf):
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    for address in pages_about_covers(page, shelf):
        for width in (320, 390, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            page.goto(address)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, address)
            assert page.evaluate(SHIFT) < 0.02, (width, address)
    context.close()
