"""The JSON API, and that the OpenAPI document tells the truth about it and about the earlier systems' routes."""

import html

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.webapp.small_site import NAMES, make_catalogue
from webapp import create_app
from webapp.api.openapi import Endpoint, endpoints


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    return create_app({"CATALOGUE": make_catalogue(tmp_path_factory.mktemp("api") / "c")})


@pytest.fixture
def get(app):
    client = app.test_client()

    def ask(url: str, status: int = 200):
        response = client.get(url)
        assert response.status_code == status, (url, response.get_data(as_text=True))
        expected = "application/json" if status == 200 else "application/problem+json"
        assert response.mimetype == expected
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        return response.get_json()

    return ask


@pytest.fixture
def ask_anything(app, colour_site):
    """A function that asks an endpoint, with its number of examples; those about queries of a catalogue that can
    answer them, since a 501 counts as a failure whatever the document says."""

    def ask(endpoint: Endpoint, examples: int) -> None:
        asked = app
        if 501 in endpoint.statuses:
            asked = create_app({"CATALOGUE": colour_site / "c", "QUERIES_PER_MINUTE": "0"})
        schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", asked)
        # That a text is not asked for twice, or that bytes are a picture, no schema can say.
        excluded = [positive_data_acceptance] if 501 in endpoint.statuses else []
        # Earlier clients may send numbers in more forms than the document has.
        excluded += [negative_data_rejection] if endpoint.query.takes_python_integers else []
        _ask_anything(schema[endpoint.path][endpoint.method.upper()], examples, excluded)

    return ask


def _ask_anything(operation, examples: int, excluded_checks=()) -> None:
    """Requests that the document allows, and such that it does not; each answer must be one that it describes."""
    modes = [GenerationMode.POSITIVE]
    if operation.query or operation.path_parameters:  # else nothing can be wrong
        modes.append(GenerationMode.NEGATIVE)
    for mode in modes:

        @hypothesis.settings(max_examples=examples, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_the_document_says(case):
            asked = case.query or {}
            # That two games are not one, no schema can say either.
            hypothesis.assume("a" not in asked or asked["a"] != asked.get("b"))
            # Its client for WSGI says that it reads gzip, and does not.
            case.call_and_validate(headers={"Accept-Encoding": "identity"}, excluded_checks=excluded_checks)

        answers_as_the_document_says()


ENDPOINTS = [pytest.param(endpoint, id=endpoint.name) for endpoint in endpoints]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_answers_as_the_document_says(ask_anything, endpoint):
    ask_anything(endpoint, examples=20)


@pytest.mark.soak
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_answers_as_the_document_says_whatever_is_asked(ask_anything, endpoint):
    ask_anything(endpoint, examples=1000)


def test_a_game_and_its_neighbours(get):
    game = get("/api/v1/games/10")
    assert game["game"] == {
        "appid": 10,
        "name": "Portal",
        "year": 2000,
        "image": None,
        "thumbnail": None,
        "image_2x": None,
        "url": "/render/10",
        "is_adult": False,
    }
    assert [same["appid"] for same in game["identical"]] == [20]
    assert game["views"] == ["plain", "mirror"]
    near = get("/api/v1/games/10/neighbours?n=3")
    assert (near["view"], near["available"], len(near["results"])) == ("plain", 6, 3)
    first = near["results"][0]
    assert (first["rank"], first["game"]["appid"], first["similarity"], first["is_identical"]) == (1, 20, 1.0, True)
    assert get("/api/v1/games/10/neighbours?view=mirror")["results"][0]["game"]["appid"] != 20
    assert get("/api/v1/games/10/neighbours?view=flip", 404)["status"] == 404
    assert get("/api/v1/games/11", 404)["title"] == "No such game here"
    assert "invalid enum value" in get("/api/v1/games/10/neighbours?view=upside", 400)["detail"]


def test_games_are_listed_and_found_page_by_page(get):
    everything = get("/api/v1/games")
    assert [game["appid"] for game in everything["games"]] == list(NAMES)
    assert everything["paging"] == {"page": 1, "pages": 1, "total": 8, "next": None, "previous": None}
    assert [game["appid"] for game in get("/api/v1/games?q=portal")["games"]] == [10, 20]
    assert get("/api/v1/games?q=portl")["is_approximate"] is True
    assert get("/api/v1/games?q=%E2%80%8B")["games"] == []  # a space of no width
    assert get("/api/v1/games?page=9")["games"] == []
    assert get("/api/v1/games?page=0", 400)["status"] == 400


def test_walls_leave_explicit_banners_out_unless_asked_for(get):
    for url in ("/api/v1/unique", "/api/v1/hubs"):
        without, whole = get(url), get(f"{url}?adult=1")
        assert 60 not in [entry["game"]["appid"] for entry in without["results"]]
        assert 60 in [entry["game"]["appid"] for entry in whole["results"]]
    group = get("/api/v1/duplicates")["results"][0]
    assert [game["appid"] for game in (group["game"], *group["identical"])] == [10, 20]
    assert {get("/api/v1/random")["appid"] for _ in range(60)} <= NAMES.keys() - {40, 60}


def test_unusual_games_can_be_limited(get):
    similarities = [entry["neighbours"][0]["similarity"] for entry in get("/api/v1/unique")["results"]]
    assert similarities == sorted(similarities)
    middle = similarities[2]
    below = get(f"/api/v1/unique?below={middle:.3f}")["results"]
    assert [entry["neighbours"][0]["similarity"] for entry in below] == [
        s for s in similarities if s < round(middle, 3)
    ]
    assert [entry["game"]["appid"] for entry in get("/api/v1/popular?from=1999&to=2000")["results"]] == [30, 20, 10]
    assert get("/api/v1/popular?from=2001")["results"] == []
    assert get("/api/v1/popular?from=2001&to=2000")["results"] == []


def test_the_catalogue_says_how_it_was_made(get):
    made = get("/api/v1/catalogue")
    assert (made["games"], made["encoder"], made["views"]) == (8, "test-encoder", ["plain", "mirror"])


# -- the earlier systems' routes ----------------------------------------------------------------------------------


def test_the_earlier_web_apps_routes_answer_in_their_form(get):
    app = {
        "index": 1,
        "id": 20,
        "name": "Portal 2",
        "steam_store_url": "https://store.steampowered.com/app/20/",
        "steam_illustration_url": "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps/20/library_600x900.jpg",
        "steamdb_url": "https://steamdb.info/app/20/",
        "query_url": "/render/20",
    }
    assert get("/index?index=1") == "1"
    assert get("/id?index=1") == get("/id_from_name?name=Portal+2") == 20
    assert get("/name?index=1") == get("/name_from_id?id=20") == "Portal 2"
    assert get("/app?index=1") == get("/app_from_id?id=20") == get("/app_from_name?name=PORTAL+2") == app
    assert get("/index_from_id?id=20") == get("/index_from_name?name=portal+2") == 1
    everything = get("/matches?index=1")
    assert everything[:2] == [1, 0]
    assert len(everything) == len(set(everything)) == 7
    assert get("/matches?index=1&n=2") == [1, 0]
    assert get("/matches?index=1&n=0") == []
    for url in (
        "/similar_apps?index=1&n=3",
        "/similar_apps_from_id?id=20&n=3",
        "/similar_apps_from_name?name=portal+2&n=3",
    ):
        similar = get(url)
        assert similar[0] == app
        assert [one["index"] for one in similar] == everything[:3]
    mirrored = get("/similar_apps_from_id?id=20&mirror=1")
    assert [one["id"] for one in mirrored] != [one["id"] for one in get("/similar_apps_from_id?id=20")]
    assert get("/similar_apps_from_id?id=20&mirror=0&flip=false") == get("/similar_apps_from_id?id=20")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/id?index=8", 404),
        ("/id?index=-1", 404),
        ("/id?index=x", 400),
        ("/id", 404),  # the default of the earlier app is a row that this catalogue does not have
        ("/app_from_id?id=11", 404),
        ("/app_from_id?id=", 400),
        ("/app_from_id?id=1e3", 404),
        ("/id_from_name?name=Nothing", 404),
        ("/similar_apps_from_id?id=20&n=many", 400),
        ("/similar_apps_from_id?id=20&mirror=perhaps", 400),
        ("/similar_apps_from_id?id=20&flip=1", 404),  # a view that this catalogue lacks
    ],
)
def test_what_they_answered_with_500_is_a_400_or_a_404(get, url, status):
    assert get(url, status)["status"] == status


def test_the_name_api_finds_what_people_type(get):
    assert get("/find/?name=portal&n=1") == [{"id": 10, "name": "Portal"}]
    assert get("/dl/?name=portl+2")[0]["id"] == 20
    assert get("/find/?name=portal&n=0") == []
    for path in ("/find/", "/dl/", "/difflib/", "/lv/", "/levenshtein/"):
        assert [one["id"] for one in get(f"{path}?name=portal&n=-1")][:2] == [10, 20]
        assert len(get(f"{path}?name={'portal ' * 40}&n=100000")) == 8


def test_an_illustration_of_ones_own_has_a_whole_address(tmp_path):
    from tests.conftest import picture

    (tmp_path / "b").mkdir()
    picture(1).save(tmp_path / "b" / "10.jpg")
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "b"}).test_client()
    app = client.get("/app_from_id?id=10").get_json()
    assert app["steam_illustration_url"].partition("?")[0] == "http://localhost/banners/10.jpg"


def test_the_guide_names_every_endpoint(app):
    page = html.unescape(app.test_client().get("/api/v1/").get_data(as_text=True))
    for path, methods in app.test_client().get("/api/v1/openapi.json").get_json()["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}<" in page
            for parameter in operation["parameters"]:
                assert parameter["in"] == "path" or html.escape(parameter["description"], quote=False) in page.replace(
                    "&#39;", "'"
                )


def test_the_earlier_name_api_always_gives_as_many_as_are_asked_for(client):
    def names(query: str) -> list[str]:
        return [one["name"] for one in client.get(f"/find/?{query}").get_json()]

    everybody = len(client.get("/find/?name=x&n=-1").get_json())
    assert everybody == 8
    assert len(names("name=portal")) == 5
    assert names("name=portal")[:2] == ["Portal", "Portal 2"]
    assert names("name=prtl&n=1") == ["Portal"]
    assert len(names("name=")) == 5
    assert len(names("name=portal&n=07")) == 7
    assert len(names(f"name=portal&n={10**25}")) == everybody


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("/app_from_id?id=00010", "/app_from_id?id=10"),
        ("/app_from_id?id=%2010", "/app_from_id?id=10"),
        ("/app_from_id?id=%2B10", "/app_from_id?id=10"),
        ("/similar_apps_from_id?id=10&n=03", "/similar_apps_from_id?id=10&n=3"),
        ("/similar_apps_from_id?id=10&n=99999999999999999999999", "/similar_apps_from_id?id=10"),
        ("/similar_apps_from_id?id=10&n=-7", "/similar_apps_from_id?id=10"),
        ("/matches?index=%2B0001", "/matches?index=1"),
        ("/id_from_name?name=", "/id_from_name?name="),
    ],
)
def test_numbers_of_earlier_clients_mean_what_they_meant(client, odd, plain):
    assert client.get(odd).status_code == 200
    assert client.get(odd).data == client.get(plain).data


def test_the_game_without_a_name_is_found_by_it(client):
    assert client.get("/id_from_name?name=").get_json() == 40


def test_pages_of_a_count_below_nothing_show_all(client):
    assert client.get("/render/10/-5").data == client.get("/render/10/-1").data.replace(b"/-1", b"/-5")


def test_numbers_of_the_api_itself_are_read_strictly(client):
    assert client.get("/api/v1/games/10/neighbours?n=%2B5").status_code == 400
