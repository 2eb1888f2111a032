"""One word for each thing: what a reader sees, against the table of words. Code has others."""

import html
import re

import pytest

from tests.webapp.small_site import make_catalogue
from webapp import create_app
from webapp.pages.walls import WALLS

FORBIDDEN = re.compile(r"\b(banner|neighbour|neighbor|nearest|image|match|matches)(s|ing|ed)?\b", re.IGNORECASE)
PAGES = (
    *(
        "/",
        "/?page=2",
        "/render/11",
        "/render/11?tag=x",
        "/render/11/3",
        "/search",
        "/search?q=green",
        "/search?q=zzzz",
    ),
    *("/mix", "/mix?game=11", "/mix?game=11&text=blue&not_text=red", "/mix?add=qqq", "/upload", "/upload?game=11"),
    *(
        "/compare/11/12",
        "/compare/11/11",
        "/board",
        "/board?game=11&game=999&name=Mine",
        "/labels",
        "/about",
        "/api/v1/",
    ),
    *("/render/999", "/nothing", "/render_x/11", "/mix?game=x", "/unique?from=x"),
    *(f"/{wall.name}?name=red" for wall in WALLS),
)


def seen(page: str) -> str:
    """The text that a reader sees or is read: elements, titles, labels, and what other sites show. Code is not text."""
    page = re.sub(r"<(script|style|code)\b.*?</\1>|<!--.*?-->", " ", page, flags=re.DOTALL)
    attributes = re.findall(r'\s(?:alt|title|aria-label|placeholder)="([^"]*)"', page)
    shared = re.findall(r'<meta (?:property="og:(?:title|description)"|name="description") content="([^"]*)"', page)
    return html.unescape(" ".join([*attributes, *shared, re.sub(r"<[^>]*>", " ", page)]))


@pytest.mark.parametrize("url", PAGES)
def test_no_page_says_otherwise(query_app, url):
    text = seen(query_app.test_client().get(url).get_data(as_text=True))
    found = {word[0].lower() for word in FORBIDDEN.finditer(text)}
    assert found == set()


def test_descriptions_of_the_api_say_the_same(query_app):
    document = query_app.test_client().get("/api/v1/openapi.json").get_json()
    described = [document["info"]["description"]]
    for path, operations in document["paths"].items():
        if path.startswith("/api/"):
            for operation in operations.values():
                described += [operation["summary"], *(one.get("description", "") for one in operation["parameters"])]
    assert [text for text in described if FORBIDDEN.search(text)] == []


def test_local_folders_and_the_demo_set_are_called_what_they_are(query_app, tmp_path):
    assert "covers from a local folder" in query_app.test_client().get("/").get_data(as_text=True)
    demo = create_app({"CATALOGUE": make_catalogue(tmp_path / "c", source="demo")}).test_client()
    assert "these games do not exist" in demo.get("/render/10").get_data(as_text=True)
