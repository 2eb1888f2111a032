"""What the tests of the web app share."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.conftest import picture
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
