"""Errors as a reader meets them."""

import pytest

from tests.webapp.small_site import linked, text


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/render/abc", 404),
        ("/render/-1", 404),
        ("/render/99999999999999999999", 404),
        ("/render/" + "9" * 5000, 404),
        ("/render/4294967296", 404),
        ("/render/10/abc", 404),
        ("/render/10/0", 400),
        ("/render/10/--5", 404),
        ("/render/10/100000", 200),
        ("/render/10/99999999999999999999", 200),
        ("/render/%00", 404),
        ("/render/10%00", 404),
        ("/render/１０", 404),
        ("/render/10?mirror=0", 200),
        ("/render/10?mirror=maybe", 400),
        ("/render/10?mirror=%00", 400),
        ("/render_z/10", 404),
        ("/search?q=%FF%FE", 200),
        ("/search?q=a&page=0", 400),
        ("/search?q=a&page=x", 400),
        ("/search?q=a&page=" + "9" * 5000, 400),
        ("/search?q=portal&page=99", 404),
        ("/unique?page=-1", 400),
        ("/" + "x" * 3000, 404),
    ],
)
def test_bad_input_has_a_clear_answer(client, url, status):
    page = text(client, url, status)
    assert "</html>" in page


def test_an_unknown_appid_offers_search_and_near_names(client):
    page = text(client, "/render/21", 404)
    assert "No game in this catalogue has the appid 21" in page
    assert 'action="/search"' in page
    assert "/render/20" in linked(page)
    assert "/render/60" not in linked(page)


def test_a_name_in_the_address_is_searched_for(client):
    page = text(client, "/render/protal", 404)
    assert linked(page)[0] in ("/render/10", "/render/20")
    assert 'value="protal"' in page


@pytest.mark.parametrize(
    ("name", "typed"), [("renderman", "renderman"), ("st.+protal", "st.+protal"), ("portal.2", "portal.2")]
)
def test_names_with_dots_or_like_a_route_are_searched_for_too(client, name, typed):
    page = text(client, f"/render/{name}", 404)
    assert f'value="{typed}"' in page
    if "portal" in name:
        assert "/render/20" in linked(page)


@pytest.mark.parametrize("url", ["/render/10", "/render/10/", "/render/10/3", "/store_x", "/", "/search", "/readyz"])
def test_other_methods_are_told_which_are_allowed(client, url):
    assert client.post(url).status_code == 405
    assert "GET" in client.options(url).headers["Allow"]


def test_errors_of_json_addresses_are_problem_details(client):
    response = client.post("/suggest")
    assert response.status_code == 405
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["status"] == 405
    assert "GET" in response.headers["Allow"]
