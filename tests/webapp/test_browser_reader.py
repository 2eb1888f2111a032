"""What the browser keeps for its reader, sharing, and the keyboard, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.servers import Server


@pytest.fixture
def phone(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(
        base_url=server.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    yield context.new_page()
    context.close()


def saved(page: Page) -> str:
    return page.evaluate("localStorage.getItem('saved')")


def test_games_are_saved_and_come_back_on_the_board(page):
    page.goto("/render/10")
    page.get_by_role("button", name="Save Portal", exact=True).click()
    expect(page.get_by_role("button", name="Save Portal", exact=True)).to_have_text("♥ Saved")
    page.locator(".cards .card").nth(1).hover()
    page.locator(".cards .heart").nth(1).click()
    assert re.fullmatch(r"\[10,\d+\]", saved(page))
    expect(page.locator("[data-saved]")).to_have_attribute("data-count", "2")
    page.goto("/about")
    page.get_by_role("link", name="Saved games").click()
    page.wait_for_url("**/board?game=10&game=*#mine")
    expect(page.locator(".board .card")).to_have_count(2)
    page.goto("/board")
    page.wait_for_url("**/board?game=10&game=*#mine")
    page.get_by_role("button", name="Take off: Portal").click()
    expect(page.locator(".board .card")).to_have_count(1)
    assert "10," not in saved(page)
    page.goto("/render/10")
    expect(page.get_by_role("button", name="Save Portal", exact=True)).to_have_text("♡ Save")


def test_a_board_is_put_in_order_by_dragging_and_by_keys_and_its_address_follows(page):
    page.goto("/board?game=10&game=20&game=30&name=Mine")
    page.locator(".board .card").nth(2).drag_to(page.locator(".board .card").nth(0))
    page.wait_for_url("**/board?game=30&game=10&game=20&name=Mine")
    page.locator(".board .name a").nth(0).focus()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_url("**/board?game=10&game=30&game=20&name=Mine")
    expect(page.locator(".board .name a").nth(1)).to_be_focused()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Delete")
    page.wait_for_url("**/board?game=10&game=20&name=Mine")
    assert saved(page) is None  # somebody's board is not one's own
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name of the board").fill("Better")
    page.keyboard.press("Enter")
    page.wait_for_url("**/board?game=10&game=20&name=Better")
    expect(page.get_by_role("heading", level=1)).to_have_text("Better")
    page.get_by_role("button", name="Save all").click()
    assert saved(page) == "[10,20]"
    expect(page.get_by_role("button", name="Save all")).to_be_hidden()


def test_a_storage_that_refuses_is_no_error(page):
    page.add_init_script(
        "for (const name of ['getItem', 'setItem']) Storage.prototype[name] = () => {"
        " throw new DOMException('no', 'QuotaExceededError'); };"
    )
    page.goto("/render/10")
    heart = page.get_by_role("button", name="Save Portal", exact=True)
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="History").click()
    expect(page.locator("#history")).to_have_text("Nothing yet.")
    page.goto("/board")
    expect(page.get_by_role("heading", level=1)).to_have_text("Saved games")


def test_at_most_sixty_games_are_saved(page):
    page.goto("/")
    page.evaluate("localStorage.setItem('saved', JSON.stringify([...Array(70).keys()].map((one) => one + 100)))")
    page.goto("/render/10")
    expect(page.locator("[data-saved]")).to_have_attribute("data-count", "60")
    page.get_by_role("button", name="Save Portal", exact=True).click()
    assert page.goto(page.locator("[data-saved]").get_attribute("href")).status == 200


def test_a_page_is_shared_by_its_address(browser, server):
    context = browser.new_context(base_url=server.url, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    for path in ("/render/10?tag=x", "/unique", "/compare/10/30"):
        page.goto(path)
        page.get_by_role("button", name="Share").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == server.url + path
    page.goto("/")
    page.get_by_role("button", name="Share").click()
    assert re.fullmatch(server.url + r"/\?example=\d+", page.evaluate("navigator.clipboard.readText()"))
    context.close()


def test_another_example_takes_the_place_of_the_one_there(page):
    page.goto("/")
    first = page.locator(".example-caption bdi").text_content()
    page.get_by_role("link", name="Next example").click()
    expect(page.locator(".example-caption bdi")).not_to_have_text(first)
    expect(page.get_by_role("link", name="Next example")).to_be_focused()
    assert re.search(r"/\?example=\d+$", page.url)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".example-caption bdi")).to_have_text(first)


def test_keys_search_open_a_random_game_save_and_show_themselves(page):
    page.goto("/render/10")
    page.keyboard.press("/")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("r/s?m")  # letters in a box are letters
    expect(page.get_by_role("combobox")).to_have_value("r/s?m")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("s")
    assert saved(page) == "[10]"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    assert re.fullmatch(r"\[10,\d+\]", saved(page))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.get_by_label("Single letters are short cuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.wait_for_timeout(200)
    assert page.url.endswith("/render/10")
    page.keyboard.press("?")
    page.get_by_label("Single letters are short cuts").check()
    page.keyboard.press("Escape")
    with page.expect_navigation(url=re.compile(r"/render/(10|20|30|50|70|80)$")):  # perhaps the same game again
        page.keyboard.press("r")


@pytest.mark.parametrize(
    "url", ["/render/10", "/unique", "/pairs", "/popular", "/", "/search?q=portal", "/compare/10/30"]
)
def test_a_card_is_one_stop_of_the_tab_key_and_arrows_walk(page, url):
    page.goto(url)
    cards = page.locator("main .card")
    stops = """card => [...card.querySelectorAll("a, button")].filter(
        (one) => one.tabIndex >= 0 && one.checkVisibility()).length"""
    assert {card.evaluate(stops) for card in cards.all()} == {1}
    page.keyboard.press("ArrowRight")
    expect(cards.first.locator(".name a")).to_be_focused()


def test_the_actions_of_a_card_are_one_key_away(browser, queried):
    with browser.new_page(base_url=queried.url) as page:
        page.goto("/render/11")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("m")
        menu = page.locator(".menu:popover-open")
        expect(menu.get_by_role("link", name="Compare")).to_be_visible()
        assert menu.bounding_box()["y"] > 0
        expect(menu.get_by_role("link").first).to_be_focused()
        page.keyboard.press("Escape")
        expect(menu).to_have_count(0)
        expect(page.locator(".cards .name a").first).to_be_focused()


def test_a_phone_has_everything_behind_two_buttons(phone):
    phone.goto("/render/10")
    expect(phone.get_by_role("searchbox")).to_have_count(0)
    phone.get_by_role("link", name="Search", exact=True).click()
    expect(phone.get_by_role("combobox")).to_be_focused()
    phone.get_by_role("heading", level=1).click()
    expect(phone.get_by_role("combobox")).to_be_hidden()
    phone.get_by_role("button", name="Menu").click()
    for name in ("Browse", "Surprise me", "About"):
        expect(phone.get_by_role("navigation", name="Pages").get_by_role("link", name=name)).to_be_visible()
    phone.get_by_role("navigation", name="Pages").get_by_role("link", name="About").click()
    phone.wait_for_url("**/about")


def test_without_javascript_panels_open_and_nothing_that_needs_it_is_shown(browser, queried, server):
    context = browser.new_context(base_url=queried.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/render/11?tag=x")
    page.get_by_role("button", name="Filter · 1").click()
    page.get_by_role("link", name="Clear filters").first.click()
    page.wait_for_url("**/render/11")
    page.get_by_role("button", name="Mix +").click()
    page.get_by_label("Mix with words or another game").fill("blue")
    page.get_by_role("button", name="More like").click()
    page.wait_for_url("**/mix?game=11&text=blue")
    page.locator(".dots").first.click()
    page.get_by_role("link", name="Less like this").first.click()
    page.wait_for_url("**not_game=*")
    for path in ("/render/11", "/board?game=11", "/unique"):
        page.goto(path)
        for name in ("Share", "Save", "History"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto(f"{server.url}/")
    page.get_by_role("link", name="Next example").click()
    page.wait_for_url("**/?example=*")
    context.close()


def test_a_cover_dropped_on_any_page_is_looked_for(browser, queried):
    from tests.webapp.test_browser import _png, dropped

    with browser.new_page(base_url=queried.url) as page:
        page.goto("/render/31")
        dropped(page, _png("green"), "drop")
        page.wait_for_url("**/upload?picture=*")
        expect(page.get_by_role("heading", level=1)).to_have_text("There is next to nothing on it")
        expect(page.locator(".own-art canvas")).to_have_count(1)
        dropped(page, _png("red"), "paste")
        page.wait_for_function("first => !location.href.includes(first)", arg=page.url[-40:])
        assert page.locator(".cards .name a").first.get_attribute("href") in ("/render/11", "/render/12")
