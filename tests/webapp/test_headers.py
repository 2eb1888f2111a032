"""Entity tags, compression, security headers, and what a host header can do."""

import gzip
import html
import re

import pytest

from tests.webapp.small_site import make_catalogue, text
from webapp import create_app


def test_no_page_allows_inline_code_or_strangers(client):
    for url in ("/", "/render/10", "/nowhere", "/suggest?q=a"):
        policy = client.get(url).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    for url in ("/", "/render/10", "/search?q=portal", "/unique", "/about", "/nowhere"):
        page = client.get(url).get_data(as_text=True)
        assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son[a-z]+=", page), url


def test_headers_ask_for_isolation_and_json_is_for_everybody(client):
    page, answer = client.get("/render/10").headers, client.get("/api/v1/catalogue").headers
    assert page["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in page
    assert answer["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert client.get("/banners/10.jpg", buffered=True).headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer["Access-Control-Allow-Origin"] == "*"


def test_http_is_redirected_to_https_where_the_host_does_not(tmp_path):
    settings = {"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": "1", "HTTPS_ONLY": "1"}
    client = create_app(settings).test_client()
    answer = client.get("/search?q=a%20b", headers={"X-Forwarded-Proto": "http", "Host": "games.example"})
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://games.example/search?q=a%20b")
    secure = client.get("/", headers={"X-Forwarded-Proto": "https"})
    assert secure.status_code == 200
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert client.get("/healthz").status_code == 200
    settings["PROXY_HOPS"] = "0"  # forgotten: the redirect must end
    client = create_app(settings).test_client()
    assert client.get("/").status_code == 308
    assert client.get("/", headers={"X-Forwarded-Proto": "https"}).status_code == 200


def test_static_files_change_their_address_with_their_content(client):
    address = re.search(r"/static/site\.css\?v=[0-9a-f]{12}", text(client, "/")).group()
    assert "immutable" in client.get(address, buffered=True).headers["Cache-Control"]
    assert "immutable" not in client.get("/static/site.css?v=other", buffered=True).headers["Cache-Control"]


@pytest.mark.parametrize("host", ["a..b", ".com", "x" * 70, "evil.example:99999", "[::1", "a b"])
def test_a_malformed_host_is_no_server_error(client, host):
    for url in ("/", "/render/10", "/nowhere", "/render/"):
        assert client.get(url, headers={"Host": host}).status_code < 500


def test_no_redirect_leaves_for_where_the_host_header_says(client):
    for url in ("/render/", "/render//10", "//render/10", "/store_x"):
        location = client.get(url, headers={"Host": "evil.example"}).headers.get("Location", "/")
        assert location.startswith("/")
        assert not location.startswith("//")


def test_forwarded_headers_are_believed_from_as_many_proxies_as_there_are(tmp_path):
    from flask import request

    for hops, scheme in (("0", "http"), ("1", "https"), ("2", "https")):
        app = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": hops})
        app.add_url_rule("/scheme", view_func=lambda: request.scheme, endpoint="scheme")
        assert app.test_client().get("/scheme", headers={"X-Forwarded-Proto": "https"}).get_data(as_text=True) == scheme


@pytest.mark.parametrize(
    ("url", "twin"),
    [
        ("/", "/api/v1/catalogue"),
        ("/render/10", "/api/v1/games/10/neighbours"),
        ("/store_x/10/3", "/api/v1/games/10/neighbours?view=mirror&n=3"),
        ("/search?q=a+name&page=1", "/api/v1/games?q=a+name"),
        ("/unique?below=0.9&from=2000", "/api/v1/unique?from=2000&below=0.9"),
        ("/hubs", "/api/v1/hubs"),
    ],
)
def test_every_page_names_its_json_twin_which_is_there(client, url, twin):
    page = text(client, url)
    named = html.unescape(re.search(r'<link rel="alternate" type="application/json" href="([^"]+)"', page).group(1))
    assert named == twin
    assert client.get(named).status_code == 200


@pytest.mark.parametrize(
    "url", ["/render/10", "/search?q=portal", "/unique", "/hubs", "/api/v1/games/10", "/id?index=1", "/readyz"]
)
def test_a_page_that_is_there_already_is_not_sent_again(client, url):
    first = client.get(url)
    tag = first.headers["ETag"]
    assert "no-cache" in first.headers["Cache-Control"]
    again = client.get(url, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == tag
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_catalogue_or_the_switch_makes_another_page(tmp_path, client):
    tag = client.get("/render/10").headers["ETag"]
    other = make_catalogue(tmp_path / "other", views=False)
    assert create_app({"CATALOGUE": other}).test_client().get("/render/10").headers["ETag"] != tag
    client.post("/adult", data={"show": "1", "back": "/"})
    assert client.get("/render/10").headers["ETag"] != tag


@pytest.mark.parametrize("url", ["/random", "/render/", "/render/11", "/nothing"])
def test_redirects_and_errors_have_no_tag(client, url):
    assert "ETag" not in client.get(url).headers


def test_answers_are_compressed_for_those_who_can_read_them(client):
    for url in ("/render/10", "/api/v1/openapi.json", "/static/site.css", "/static/site.js"):
        with client.get(url) as plain:
            plain.get_data()
        packed = client.get(url, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip", url
        assert gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 2
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert "Content-Encoding" not in plain.headers
    for url, accepted in (("/render/10", "identity"), ("/banners/10.jpg", "gzip")):
        with client.get(url, headers={"Accept-Encoding": accepted}) as whole:
            assert "Content-Encoding" not in whole.headers
    assert client.head("/render/10", headers={"Accept-Encoding": "gzip"}).data == b""


def test_pages_are_small(client):
    assert len(client.get("/render/10").data) < 40_000
    page = client.get("/render/10").get_data(as_text=True)
    loaded = re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js)\?[^"]*)"', page)
    assert len(loaded) == 2
    assert sum(len(client.get(url).data) for url in loaded) < 70_000


def test_no_redirect_leads_to_whatever_the_host_header_says(client):
    for path in ("/find?q=x", "/dl?appid=10", "/api/v1", "/unique/", "//render//10", "/random", "/render/"):
        response = client.get(path, headers={"Host": "evil.example"})
        assert "evil" not in response.headers.get("Location", ""), path
        assert response.status_code != 308


def test_a_page_that_is_confirmed_varies_as_it_did(client):
    first = client.get("/render/10")
    confirmed = client.get("/render/10", headers={"If-None-Match": first.headers["ETag"]})
    assert confirmed.status_code == 304
    assert set(confirmed.headers["Vary"].split(", ")) == {"Accept-Encoding", "Cookie"}


@pytest.mark.parametrize("path", ["/api/v1/games/10", "//api/v1/games/11", "/find?appid=10", "//find?appid=10"])
def test_json_can_be_read_from_anywhere_however_its_address_begins(client, path):
    raw, _, query = path.partition("?")
    answer = client.get("/", query_string=query, environ_overrides={"PATH_INFO": raw})
    assert answer.is_json and answer.headers["Access-Control-Allow-Origin"] == "*"
    page = client.get("/", environ_overrides={"PATH_INFO": "//render/10"})
    assert not page.is_json and "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.parametrize("host", ["a b", "a@b", "[", "a..b", ".", "a" * 70 + ".example", "evil.example"])
def test_a_host_that_is_none_of_this_server_is_a_400(tmp_path, host):
    trusted = {"TRUSTED_HOSTS": ["good.example"]} if host == "evil.example" else {}
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), **trusted}).test_client()
    for path in ("/render/10", "/nothing", "/api/v1/games/10"):
        assert client.get(path, environ_overrides={"HTTP_HOST": host}).status_code == 400
        assert client.get(path, headers={"Host": "good.example:8000"}).status_code in (200, 404)


def test_a_scheme_of_a_proxys_is_http_or_https(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": "1"}).test_client()
    for scheme, status in (("https", 200), ("http", 200), ("javascript", 400)):
        assert client.get("/render/10", headers={"X-Forwarded-Proto": scheme}).status_code == status


@pytest.mark.parametrize("path", ["/similar_apps_from_id?id=10", "/api/v1/pictures", "/api/v1/games/10"])
def test_a_preflight_allows_the_headers_that_clients_send(client, path):
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Headers": "x-requested-with,x-of-mine"}
    answer = client.open(path, method="OPTIONS", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for header in ("Content-Type", "X-Requested-With", "x-of-mine"):
        assert header in answer.headers["Access-Control-Allow-Headers"]
    assert ("POST" in answer.headers["Access-Control-Allow-Methods"]) == (path == "/api/v1/pictures")


def test_https_is_asked_for_only_where_it_was_used(client):
    assert "Strict-Transport-Security" not in client.get("/about").headers
    assert "Strict-Transport-Security" in client.get("/about", base_url="https://localhost").headers


def test_a_forwarded_host_is_never_believed(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": "1"}).test_client()
    page = text(client, "/render/10")
    assert client.get("/render/10", headers={"X-Forwarded-Host": "evil.example"}).get_data(as_text=True) == page


def test_a_bad_host_is_a_problem_under_the_addresses_of_json(client):
    answer = client.get("/api/v1/games/10", headers={"Host": "a b"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
