"""The map: its page, tiles, JSON, and a flight in a browser."""

import html
import re
import shutil
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from banners.catalogue.reader import open_catalogue
from tests.servers import serving
from tests.webapp.query_site import text
from tests.webapp.small_site import make_catalogue
from tests.webapp.test_browser_pages import complaints
from webapp import create_app


@pytest.fixture(scope="module")
def client(gallery):
    overrides = {"CATALOGUE": gallery / "c", "BANNERS": gallery / "b", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides).test_client()


@pytest.fixture(scope="module")
def site(shelf):
    with serving(shelf / "c", shelf / "b", QUERIES_PER_MINUTE="0") as server:
        yield server


@pytest.fixture
def page(browser, site):
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=site.url)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield opened
    opened.close()
    assert not errors


def test_the_json_says_where_everything_is(client, gallery):
    answer = client.get("/api/v1/map").get_json()
    catalogue = open_catalogue(gallery / "c")
    assert {one["appid"] for one in answer["cells"]} == set(catalogue.appids.tolist())
    assert len({(one["x"], one["y"]) for one in answer["cells"]}) == len(catalogue)
    assert max(one["x"] for one in answer["cells"]) < answer["columns"]
    assert max(one["y"] for one in answer["cells"]) < answer["rows"]
    for region in answer["regions"]:
        assert region["x"] + region["width"] <= answer["columns"]
    tile = client.get(answer["tiles"].format(z=0, x=0, y=0))
    assert tile.status_code == 200
    assert tile.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert Image.open(BytesIO(tile.data)).size == (512, 512)


@pytest.mark.parametrize(
    "place", ["9/0/0", "0/1/0", "0/0/1", "0/-1/0", "99999999999999999999/0/0", "0/99999999999999999999/0", "a/0/0"]
)
def test_there_is_no_tile_outside(client, place):
    version = client.get("/api/v1/map").get_json()["tiles"].split("/")[3]
    assert client.get(f"/map/tiles/{version}/{place}.webp").status_code == 404
    assert client.get("/map/tiles/000000000000/0/0/0.webp").status_code == 404


def test_the_page_names_regions_and_shows_an_overview_without_a_script(client):
    page = text(client, "/map")
    regions = client.get("/api/v1/map").get_json()["regions"]
    assert re.findall(r'href="/map/region/(\d+)"', page) == [str(number) for number in range(len(regions))]
    assert regions
    overview = re.findall(r'<image href="([^"]*)"', page)
    assert overview
    assert {client.get(url).status_code for url in overview} == {200}
    listed = text(client, "/map/region/0")
    assert regions[0]["name"] in listed
    assert listed.count('class="card"') >= 3
    text(client, f"/map/region/{len(regions)}", 404)


def test_every_game_page_leads_to_the_map_and_its_card_back(client):
    game = client.get("/api/v1/map").get_json()["cells"][5]["appid"]
    assert f'href="/map?game={game}"' in text(client, f"/render/{game}")
    assert f'data-game="{game}"' in text(client, f"/map?game={game}")
    card = text(client, f"/map/card/{game}")
    assert f'href="/render/{game}"' in card
    assert len(re.findall("data-appid", card)) == 4
    assert client.get("/map/card/4").status_code == 404
    text(client, "/map?game=4", 404)


def test_blocks_tell_the_games_of_their_cells(client):
    answer = client.get("/api/v1/map").get_json()
    version = re.search('data-version="([^"]*)"', text(client, "/map"))[1]
    told = {}
    for x in range(-(-answer["columns"] // 16)):
        for y in range(-(-answer["rows"] // 16)):
            games = client.get(f"/map/games/{version}/{x}/{y}.json").get_json()
            told |= {game[0]: (16 * x + int(n) % 16, 16 * y + int(n) // 16) for n, game in games.items()}
    assert told == {one["appid"]: (one["x"], one["y"]) for one in answer["cells"]}
    assert client.get(f"/map/games/{version}/99/0.json").status_code == 404
    assert client.get("/map/games/0/0/0.json").status_code == 404


def test_colours_and_filters_are_a_picture_of_the_grid(client):
    answer = client.get("/api/v1/map").get_json()
    tag = client.get(f"/api/v1/games/{answer['cells'][0]['appid']}").get_json()["tags"][0]

    def pixels(query: str) -> np.ndarray:
        picture = client.get(f"/map/layer.png?{query}")
        assert picture.status_code == 200
        return np.asarray(Image.open(BytesIO(picture.data)))

    popular = pixels("by=popularity")
    assert popular.shape == (answer["rows"], answer["columns"], 4)
    assert len({tuple(popular[one["y"], one["x"]]) for one in answer["cells"]}) > 20
    filtered = pixels(f"tag={tag}")
    found = client.get(f"/api/v1/games/{answer['cells'][0]['appid']}/neighbours?tag={tag}&n=200").get_json()["results"]
    named = {one["game"]["appid"] for one in found} | {answer["cells"][0]["appid"]}
    for one in answer["cells"]:
        assert (filtered[one["y"], one["x"], 3] == 0) == (one["appid"] in named)
    assert not pixels("").any()
    assert "/map/layer.png?tag=" in text(client, f"/map?tag={tag}")
    picture = client.get(f"/map/layer.png?tag={tag}")
    again = client.get(f"/map/layer.png?tag={tag}", headers={"If-None-Match": picture.headers["ETag"]})
    assert again.status_code == 304
    assert "immutable" not in picture.headers.get("Cache-Control", "")
    assert client.get("/map/layer.png?by=colour").status_code == 400


def test_a_tag_of_few_games_colours_before_one_of_many(client):
    page = text(client, "/map?by=tag")
    legend = re.findall(r'fill="rgb\(([^)]*)\)"/></svg>([^<]+)<', page)
    assert 1 <= len(legend) <= 7
    colours = {html.unescape(tag): tuple(map(int, colour.split(","))) for colour, tag in legend}
    assert len(set(colours.values())) == len(legend)
    picture = np.asarray(Image.open(BytesIO(client.get("/map/layer.png?by=tag").data)))
    seen = set()
    for one in client.get("/api/v1/map").get_json()["cells"]:
        tags = client.get(f"/api/v1/games/{one['appid']}").get_json()["tags"]
        named = [tag for tag in colours if tag in tags]  # those of the most games first
        pixel = picture[one["y"], one["x"]]
        assert (pixel[3] == 0) if not named else (tuple(pixel[:3]) == colours[named[-1]])
        seen |= set(named[-1:])
    assert seen


def test_what_a_query_finds_lights_up(client):
    games = [one["appid"] for one in client.get("/api/v1/map").get_json()["cells"][:3]]
    page = text(client, f"/map?game={games[0]}&game={games[1]}")
    glowing = re.search('data-glowing="([^"]*)"', page)
    assert glowing is not None
    assert len(glowing[1].split()) > 20


def test_without_a_map_it_is_said(tmp_path):
    other = create_app({"CATALOGUE": make_catalogue(tmp_path / "c")}).test_client()
    assert "made without a map" in text(other, "/map", 501)
    assert other.get("/api/v1/map").status_code == 501
    assert 'href="/map' not in text(other, "/render/10")


def test_a_flight_search_arrival_card_game_page_and_back_to_the_same_place(page, shelf):
    cells = page.request.get("/api/v1/map").json()["cells"]
    game = page.request.get(f"/api/v1/games/{cells[40]['appid']}").json()["game"]
    page.goto("/map")
    expect(page.locator(".leaflet-tile-loaded").first).to_be_visible()
    page.wait_for_url(re.compile("#.+"))
    before = page.evaluate("location.hash")
    page.locator(".top input").fill(str(game["appid"]))
    page.locator(".top [role=option]").first.click()
    card = page.locator("#map-card")
    expect(card.get_by_role("heading")).to_have_text(game["name"])
    page.wait_for_url(lambda url: not url.endswith(before))  # it has landed
    place = page.evaluate("location.hash")
    zoom, x, y = map(float, place[1:].split("/"))
    answer = page.request.get("/api/v1/map").json()
    assert zoom > -1
    assert x == pytest.approx((cells[40]["x"] + 0.5) / answer["columns"], abs=0.01)
    assert y == pytest.approx((cells[40]["y"] + 0.5) / answer["rows"], abs=0.02)
    card.get_by_role("link", name="Look-alikes").click()
    page.wait_for_url(f"**/render/{game['appid']}")
    page.go_back()
    page.wait_for_url(f"**/map?game={game['appid']}{place}")
    expect(card.get_by_role("heading")).to_have_text(game["name"])
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash") == place


def test_colours_keep_the_filter_and_the_place(page):
    page.goto("/map?from=1990#-1/0.3/0.4")
    page.locator("#by").select_option("unusual")
    page.wait_for_url(re.compile(r"/map\?from=1990&by=unusual#-1/0\.3\d*/0\.4"))
    expect(page.locator(".map-count")).to_be_visible()


def test_no_address_stops_the_map(page):
    for place in ("#0/1e308/1e308", "#0/1e200/0.5", "#1e300/0.5/0.5", "#-99/-5/7", "#x/y/z"):
        page.goto("/about")
        page.goto(f"/map{place}")
        expect(page.locator(".leaflet-tile-loaded").first).to_be_visible()


def test_covers_are_named_opened_and_left_by_keys(page, shelf):
    page.goto("/map#1/0.5/0.5")
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    page.keyboard.press("Enter")
    expect(page.locator("#map-card")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#map-card")).to_be_hidden()
    before = page.evaluate("location.hash")
    page.keyboard.press("-")
    page.wait_for_url(lambda url: not url.endswith(before))


def test_sharp_covers_lie_over_the_last_tiles(page):
    page.goto("/map#1/0.5/0.5")
    expect(page.locator(".map-cover").first).to_be_visible()
    page.goto("/map#-2/0.5/0.5")
    page.reload()
    expect(page.locator(".leaflet-tile-loaded").first).to_be_visible()
    expect(page.locator(".map-cover")).to_have_count(0)


def test_the_map_is_accessible_and_never_wider_than_its_window(browser, site):
    context = browser.new_context(base_url=site.url, reduced_motion="reduce", bypass_csp=True)
    page = context.new_page()
    game = page.request.get("/api/v1/map").json()["cells"][3]["appid"]
    assert complaints(page, ("/map", f"/map?game={game}", "/map?by=popularity", "/map/region/0")) == []
    for width in (320, 390, 820, 1440, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        page.goto(f"/map?game={game}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert page.locator("#map").bounding_box()["height"] >= 380
    context.close()


def test_nothing_but_this_server_is_asked_and_reduced_motion_is_respected(browser, site):
    context = browser.new_context(base_url=site.url, reduced_motion="reduce")
    page = context.new_page()
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    game = page.request.get("/api/v1/map").json()["cells"][3]["appid"]
    page.goto("/map")
    page.goto(f"/map?game={game}")
    expect(page.locator("#map-card")).to_be_visible()
    expect(page.locator(".leaflet-zoom-animated.leaflet-proxy")).to_have_count(0)
    assert hosts == {site.url.split("/")[2]}
    context.close()


def test_without_a_script_the_map_is_a_picture_and_a_list(browser, site):
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/map")
    expect(page.locator(".map-overview")).to_be_visible()
    page.locator(".map-regions summary").click()
    page.locator(".map-regions a").first.click()
    expect(page.locator(".card").first).to_be_visible()
    context.close()


def test_a_new_catalogue_brings_its_own_map(gallery, colour_site, tmp_path):
    """No tile of the old one is shown among the new: addresses change, and the old ones are gone."""
    shutil.copytree(gallery / "c", tmp_path / "c")
    app = create_app({"CATALOGUE": tmp_path / "c", "QUERIES_PER_MINUTE": "0"})
    client, current = app.test_client(), app.extensions["catalogue"]
    old = client.get("/api/v1/map").get_json()["tiles"]
    assert client.get(old.format(z=0, x=0, y=0)).status_code == 200
    shutil.copytree(colour_site / "c", tmp_path / "new")
    (tmp_path / "c").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "c")
    assert client.get(old.format(z=0, x=0, y=0)).status_code == 200  # served on until the new one is ready
    for _ in range(100):
        current.next_check = 0
        new = client.get("/api/v1/map").get_json()["tiles"]
        if new != old:
            break
        time.sleep(0.1)
    assert new != old
    assert client.get(old.format(z=0, x=0, y=0)).status_code == 404
    assert client.get(new.format(z=0, x=0, y=0)).status_code == 200
