"""The scripts in a real browser: search box, keyboard, history, pictures."""

import base64
import io
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from banners.games_csv import Game
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.colour_clip import coloured
from tests.servers import Server, serving


@pytest.fixture(scope="module")
def long_lists(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """400 games, without banners."""
    folder: Path = tmp_path_factory.mktemp("long")
    embeddings = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    save_catalogue(
        folder / "c",
        games=[Game(appid, f"Game {appid}") for appid in range(1, 401)],
        neighbours={"plain": nearest(embeddings, 80)},
        embeddings=embeddings,
    )
    with serving(folder / "c", None) as running:
        yield running


def test_a_wall_goes_on_as_it_is_scrolled_until_its_pager_waits(browser, long_lists):
    page = browser.new_page()
    page.goto(f"{long_lists.url}/unique")
    cards = page.locator("[data-list] > li")
    expect(cards).to_have_count(24)
    for pages in (2, 3, 4, 5):
        page.locator(".pager").scroll_into_view_if_needed()
        expect(cards).to_have_count(24 * pages)
    page.locator(".pager").scroll_into_view_if_needed()
    expect(page.locator(".pager")).to_contain_text("Page 5 of 17")
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**/unique?page=6")
    numbers = page.locator("[data-list] > li .rank")
    expect(numbers.first).to_have_text("Number 121")
    page.close()


def test_look_alikes_go_on_as_the_page_is_scrolled_and_the_arrow_keys_walk_on(browser, long_lists):
    page = browser.new_page()
    page.goto(f"{long_lists.url}/render/7")
    expect(page.locator(".card")).to_have_count(10)
    page.wait_for_timeout(300)
    expect(page.locator(".card")).to_have_count(10)  # nothing more for who does not scroll
    for _ in range(40):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(100)
    expect(page.locator(".card")).to_have_count(50)  # then the link waits
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".card")).to_have_count(60)
    assert page.url.endswith("/render/7/60")
    assert page.evaluate("document.activeElement.closest('.card').id") == "number-51"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.card').id") == "number-52"
    page.goto(f"{long_lists.url}/render/7/80")
    expect(page.get_by_role("link", name="Show more")).to_have_count(0)
    page.close()


def test_a_click_enlarges_the_banner_and_escape_closes_it(page):
    page.goto("/render/10")
    page.get_by_role("button", name="Enlarge the cover").click()
    large = page.locator(".large img")
    expect(large).to_be_visible()
    assert large.bounding_box()["height"] > 500
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    page.get_by_role("button", name="Enlarge the cover").press("Enter")
    large.click()
    expect(large).to_be_hidden()


def test_a_click_anywhere_on_the_drop_zone_opens_the_chooser(browser, queried):
    page = browser.new_page()
    page.goto(f"{queried.url}/upload")
    with page.expect_file_chooser():
        page.locator("[data-upload]").click(position={"x": 5, "y": 5})
    page.close()


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
    expect(option).to_have_count(1)
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


def test_a_banner_is_as_clickable_as_its_name(page):
    page.goto("/render/10")
    box = page.locator(".cards-matches > li .art").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/render/20")


def test_the_arrow_keys_walk_through_the_look_alikes_and_the_history_leads_back(page):
    page.goto("/render/10")
    links = page.locator(".cards-matches .name a")
    page.keyboard.press("ArrowRight")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/render/20")
    page.get_by_role("button", name="History").click()
    visited = page.locator("#history a")
    expect(visited).to_have_text(["Portal"])
    visited.click()
    page.wait_for_url("**/render/10")
    page.get_by_role("button", name="History").click()
    expect(visited).to_have_text(["Portal 2"])
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="History").click()
    expect(page.locator("#history")).to_have_text("Nothing yet.")


def test_arrow_keys_in_the_search_box_stay_in_it(page):
    page.goto("/render/10")
    box = page.get_by_role("combobox")
    box.fill("por")
    box.press("ArrowLeft")
    expect(box).to_be_focused()


def test_what_somebody_spoilt_in_the_storage_is_forgotten(page):
    for spoilt in ("{", '"x"', '[{"appid": "1", "name": "x"}, null]', '[{"appid": 7}]'):
        page.goto("/render/10")
        page.evaluate("text => { localStorage.setItem('visited', text); localStorage.setItem('saved', text); }", spoilt)
        page.goto("/render/20")
        page.get_by_role("button", name="History").click()
        expect(page.locator("#history a")).to_have_count(0)
        expect(page.locator("[data-saved]")).to_have_attribute("href", "/board")


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
    page.wait_for_url("**/upload?picture=*")
    first = page.locator(".cards .name a").first
    assert first.get_attribute("href") in ("/render/51", "/render/52")
    expect(page.locator(".own-art canvas")).to_have_count(1)
    page.get_by_role("link", name="Mix +").click()
    page.get_by_label("A game or words").fill("red")
    page.get_by_role("button", name="Less like").press("Enter")
    page.wait_for_url("**not_text=red*")
    expect(page.locator(".part")).to_have_count(2)
    page.get_by_role("link", name="Leave out: “red”").press("Enter")
    expect(page.locator(".part")).to_have_count(1)
    expect(page.locator(".part canvas")).to_have_count(1)  # the tab still knows what it looked like
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


@pytest.mark.parametrize(
    ("option", "button", "query"),
    [
        ("Green Hills", "More like", "game=11&not_text=red"),
        ("Green Hills", "Less like", "not_game=11&not_text=red"),
        ("Covers that look like “green h”", "Less like", "not_text=red&not_text=green+h"),
    ],
)
def test_what_was_chosen_in_the_suggestions_is_added_or_excluded(browser, queried, option, button, query):
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/mix?not_text=red")
    box = page.get_by_role("combobox", name="A game or words")
    box.press_sequentially("green h")
    page.get_by_role("option", name=option).click()
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(f"**/mix?{query}")
    expect(page.locator(".part")).to_have_count(2)
    context.close()


def test_a_suggestion_chosen_with_the_keyboard_is_added_with_enter(browser, queried):
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/mix")
    box = page.get_by_role("combobox", name="A game or words")
    box.press_sequentially("green h")
    expect(page.get_by_role("option", name="Green Hills")).to_have_count(1)
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("Green Hills")
    box.press("Enter")
    page.wait_for_url("**/mix?game=11")
    context.close()


def test_a_suggestion_stays_chosen_when_a_later_answer_has_it_too(browser, queried):
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/mix")
    box = page.get_by_role("combobox", name="A game or words")
    box.press_sequentially("green")
    expect(page.get_by_role("option", name="Green Hills")).to_have_count(1)
    with page.expect_response("**/suggest?q=green%20h") as answer:
        box.press_sequentially(" h")
        box.press("ArrowDown")
    answer.value.finished()
    expect(page.get_by_role("option", name="Green Hills")).to_have_attribute("aria-selected", "true")
    context.close()


def test_where_words_work_suggestions_offer_them(browser, queried):
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("combobox").press_sequentially("qqqqqq")
    page.get_by_role("option", name="Covers that look like “qqqqqq”").click()
    page.wait_for_url("**/mix?text=qqqqqq")
    context.close()


def test_a_picture_that_is_too_large_is_made_smaller_before_it_is_sent(browser, queried):
    file = io.BytesIO()
    coloured("violet", 7).resize((4000, 3000)).save(file, "PNG")
    large = {"name": "x.png", "mimeType": "image/png", "buffer": file.getvalue()}
    context = browser.new_context(base_url=queried.url)
    page = context.new_page()
    page.goto("/upload")
    page.set_input_files("#picture", large)
    page.wait_for_url("**/upload?picture=*")
    assert page.locator(".cards .name a").first.get_attribute("href") in ("/render/51", "/render/52")
    context.close()
    context = browser.new_context(base_url=queried.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/upload")
    page.set_input_files("#picture", large)
    page.get_by_role("button", name="See the verdict").click()
    expect(page.get_by_role("alert")).to_contain_text("above 9 megapixels. Make it smaller: 600x900 is enough.")
    context.close()


def test_a_picture_can_be_sent_without_javascript(browser, queried):
    file = io.BytesIO()
    coloured("green", 7).save(file, "PNG")
    context = browser.new_context(base_url=queried.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/upload")
    page.set_input_files("#picture", {"name": "x.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.get_by_role("button", name="See the verdict").click()
    page.wait_for_url("**/upload?picture=*")
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
    page.set_viewport_size({"width": 500, "height": 800})  # three columns
    page.goto("/render/10")
    names = page.locator(".cards-matches .name a")
    page.keyboard.press("ArrowRight")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(names.nth(3)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(names.nth(4)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(names.nth(1)).to_be_focused()


class _Elsewhere(BaseHTTPRequestHandler):
    """A page of another site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, *_: object) -> None:
        pass


def test_pages_of_other_sites_may_ask_the_api(browser, queried):
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{elsewhere.server_port}/")
    headers = {"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest", "Cache-Control": "no-cache"}
    for path in ("/api/v1/games/11/neighbours", "/suggest?q=green", "/app_from_id?id=11"):
        ask = "async ([url, headers]) => (await fetch(url, {headers})).status"
        assert page.evaluate(ask, [queried.url + path, headers]) == 200
    assert page.evaluate(
        """async ([url, picture]) => {
            const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
            const headers = {"Content-Type": "image/png", "X-Requested-With": "XMLHttpRequest"};
            const answer = await fetch(url, {method: "POST", headers, body: bytes});
            return (await answer.json()).results.length;
        }""",
        [f"{queried.url}/api/v1/pictures", base64.b64encode(_png("green")).decode()],
    )
    page.close()
    elsewhere.shutdown()
    elsewhere.server_close()


def _png(colour: str) -> bytes:
    file = io.BytesIO()
    coloured(colour, 7).save(file, "PNG")
    return file.getvalue()
