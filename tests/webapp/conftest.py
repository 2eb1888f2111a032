"""What the tests of the web app share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import picture, skip_or_fail
from tests.servers import Server, serving
from tests.webapp.small_site import make_catalogue
from webapp import create_app


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    banners = tmp_path / "banners"
    banners.mkdir()
    picture(1).save(banners / "10.jpg")
    return create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": banners}).test_client()


@pytest.fixture
def bare_client(tmp_path: Path) -> FlaskClient:
    """An imported catalogue: no similarities, no further views, images on Steam's CDN."""
    folder = make_catalogue(tmp_path / "c", views=False, similarities=False, source="steam")
    return create_app({"CATALOGUE": folder}).test_client()


@pytest.fixture(scope="module")
def query_app(colour_site):
    """An app whose catalogue answers words and pictures."""
    overrides = {"CATALOGUE": colour_site / "c", "BANNERS": colour_site / "banners", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides)


CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        skip_or_fail(f"no Chromium at {CHROMIUM}; set CHROMIUM to its path")
    with sync_playwright() as playwright:
        # As root, as in containers, Chromium runs only without its sandbox; every page it opens here is our own. The
        # shared memory of containers is small.
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
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
