"""Search, suggestions and the first page."""

import re

import pytest

from tests.webapp.small_site import linked, text


def test_search_finds_games_and_keeps_the_query_in_the_box(client):
    page = text(client, "/search?q=portal")
    assert linked(page) == ["/render/10", "/render/20"]
    assert 'value="portal"' in page
    assert "2 games for" in page


def test_search_forgives_typos_and_admits_defeat(client):
    assert "Names like" in text(client, "/search?q=protal")
    assert "Nothing for" in text(client, "/search?q=zzzzqqq")
    assert "A name, a part of one" in text(client, "/search?q=")
    assert "A name, a part of one" in text(client, "/search?q=%00%00")
    for space in ("%E3%80%80", "%C2%A0", "%09", "+++"):
        assert client.get(f"/search?q=portal{space}2").headers["Location"] == "/render/20"
    assert "A name, a part of one" in text(client, "/search")


def test_a_query_is_escaped_wherever_it_appears(client):
    page = text(client, "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page


def test_a_query_longer_than_any_name_is_refused_kindly(client):
    assert "longer than any name: 5000 characters" in text(client, "/search?q=" + "x" * 5000, 400)
    assert client.get("/suggest?q=" + "x" * 5000).get_json()["suggestions"] == []


def test_suggestions_are_json_for_the_search_box(client):
    response = client.get("/suggest?q=portal")
    version = re.search(r"\?v=(\w+)", response.text)[1]
    assert response.get_json() == {
        "query": "portal",
        "suggestions": [
            {
                "appid": 10,
                "name": "Portal",
                "url": "/render/10",
                "image": f"/banners/10.jpg?v={version}",
                "thumbnail": f"/thumbnails/200/10.webp?v={version}",
                "image_2x": None,
                "is_adult": False,
                "year": 2000,
            },
            {
                "appid": 20,
                "name": "Portal 2",
                "url": "/render/20",
                "image": None,
                "thumbnail": None,
                "image_2x": None,
                "is_adult": False,
                "year": 2000,
            },
        ],
        "hidden": 0,
        "shown_total": "2",
        "approximate": False,
    }
    assert client.get("/suggest").get_json()["suggestions"] == []
    assert client.get("/suggest?q=40").get_json()["suggestions"][0]["name"] == "App 40"


def test_the_home_page_shows_banners_but_no_adult_ones(client):
    page = text(client, "/")
    assert 'href="/render/10"' in page  # on the wall, or as the example
    assert "/render/60" not in linked(page)
    assert 'action="/search"' in page


@pytest.mark.parametrize(
    ("query", "place"), [("portal+2", "/render/20"), ("PORTAL+2", "/render/20"), ("10", "/render/10")]
)
def test_a_search_for_one_game_by_its_whole_name_goes_straight_to_it(client, query, place):
    response = client.get(f"/search?q={query}")
    assert (response.status_code, response.headers["Location"]) == (302, place)


@pytest.mark.parametrize("query", ["portal", "porta", "portl+2", "2", "zzz"])
def test_a_search_that_may_mean_others_lists_them(client, query):
    text(client, f"/search?q={query}")


@pytest.mark.parametrize("address", ["https://store.steampowered.com/app/{}/Portal_2/", "steam://run/{}", "app/{}"])
def test_the_address_of_a_store_page_leads_to_its_game_or_says_that_it_is_not_here(client, address):
    answer = client.get("/search", query_string={"q": address.format(20)})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/render/20")
    answer = client.get("/search", query_string={"q": address.format(21)})
    assert answer.status_code == 404
    assert "No game in this catalogue has the appid 21." in answer.get_data(as_text=True)
    suggested = client.get("/suggest", query_string={"q": address.format(20)}).get_json()["suggestions"]
    assert [game["appid"] for game in suggested] == [20]
    assert client.get("/id_from_name", query_string={"name": address.format(20)}).get_json() == 20
    assert client.get("/id_from_name", query_string={"name": address.format(21)}).status_code == 404
    long = address.format(20) + "?" + "x" * 400
    assert client.get("/search", query_string={"q": long}).headers["Location"] == "/render/20"


def test_an_appid_in_full_width_digits_leads_to_its_game(client):
    assert client.get("/search?q=２０").headers["Location"] == "/render/20"
