import time

import pytest

from banners.errors import BadInput
from banners.http import Client, Unanswered, _retry_after

from .steam_server import Steam, serving


def client(**options: object) -> Client:
    return Client(**({"pause": 0.01} | options))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("7", 7), (" 7 ", 7), ("99999", 6 * 3600), ("²", 0), ("-1", 0), ("x", 0)],
)
def test_retry_after_in_seconds_is_bounded_and_nonsense_is_none(text, seconds):
    assert _retry_after(text) == seconds


def test_retry_after_may_be_a_date():
    from email.utils import formatdate

    assert 8 < _retry_after(formatdate(time.time() + 10, usegmt=True)) <= 10
    assert _retry_after(formatdate(time.time() - 10, usegmt=True)) == 0


def test_a_missing_page_is_an_answer_and_a_refusal_is_none():
    with serving(Steam(3, troubles=False)) as steam:
        assert client().get(f"{steam.url}/nowhere").status == 404
        with pytest.raises(Unanswered, match="status 403"):
            client().get(f"{steam.url}/api/IStoreService/GetAppList/v1/?last_appid=0")


def test_a_server_that_fails_for_ever_is_given_up_after_the_attempts():
    with serving(Steam(3, always=frozenset({10}))) as steam:
        with pytest.raises(Unanswered, match="status 500"):
            client(attempts=3).get(f"{steam.url}/cdn/10/x.jpg")
        assert steam.requests["/cdn/10/x.jpg"] == 3


def test_an_unusable_body_is_asked_for_again():
    with serving(Steam(3, troubles=False)) as steam:
        bodies = []

        def check(body: bytes) -> str:
            bodies.append(body)
            return "" if len(bodies) == 2 else "not yet"

        assert client().get(f"{steam.url}/cdn/20/library_600x900.jpg", check=check).status == 200
        assert len(bodies) == 2


def test_all_threads_wait_as_long_as_one_was_told_and_so_does_the_next_run(tmp_path):
    number = 8  # the ninth trouble is a 429
    with serving(Steam(20, retry_after=1.0)) as steam:
        path = f"/cdn/{number * 10}/{steam.path(number * 10)}"
        assert steam.trouble(number * 10) == "429"
        with pytest.raises(Unanswered):
            client(attempts=1, remember=tmp_path / "wait").get(steam.url + path)
        started = time.monotonic()
        assert client(attempts=1, remember=tmp_path / "wait").get(f"{steam.url}/nowhere").status == 404
        assert 0.7 < time.monotonic() - started < 3


@pytest.mark.parametrize("trouble", ["drip", "dripping head"])
def test_an_answer_that_drips_is_cut_off(trouble):
    with serving(Steam(40)) as steam:
        appid = next(appid for appid in steam.appids if steam.trouble(appid) == trouble and steam.has_banner(appid))
        path = f"/cdn/{appid}/{steam.path(appid)}"
        started = time.monotonic()
        with pytest.raises(Unanswered, match=r"too long|timed out"):
            client(attempts=1, timeout=0.5).get(steam.url + path)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://[::1"])
def test_what_is_no_address_is_said_to_be_none(url):
    with pytest.raises((BadInput, Unanswered)):
        client(attempts=1).get(url)
