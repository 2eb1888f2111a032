"""A packed catalogue behind a URL."""

import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from banners.catalogue import remote, writer
from banners.catalogue.remote import Source, fetch
from banners.errors import BadCatalogue, BadInput, SteamClipError, Unavailable
from tests.archive_server import ArchiveServer, archive_server, chunked, dripping, redirect, sending, status
from tests.conftest import ROOT
from tests.webapp.small_site import make_catalogue


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with archive_server() as served:
        yield served


@pytest.fixture
def packed(tmp_path, server) -> str:
    """The SHA-256 of the archive that `server` has."""
    return server.put(make_catalogue(tmp_path / "source"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "origin.json"}


def get(url: str, folder: Path, sha256: str = "") -> bool:
    return fetch(Source(url, sha256), folder, lambda _: None)


def test_a_catalogue_is_fetched_once_and_again_when_it_is_another(tmp_path, server, packed):
    assert get(server.url, tmp_path / "c", packed)
    assert content(tmp_path / "c") == content(tmp_path / "source")
    assert not get(server.url, tmp_path / "c", packed)
    assert server.asked == 1
    again = server.put(make_catalogue(tmp_path / "other", views=False))
    assert get(server.url, tmp_path / "c", again)
    assert content(tmp_path / "c") == content(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "other", "source"]


def test_without_a_hash_an_entity_tag_decides(tmp_path, server, packed):
    assert get(f"{server.url}?signature=secret", tmp_path / "c")
    assert "secret" not in (tmp_path / "c" / "origin.json").read_text()
    assert not get(f"{server.url}?signature=another", tmp_path / "c")
    assert (server.asked, server.sent) == (2, 1)
    server.put(make_catalogue(tmp_path / "other", views=False), etag='"2"')
    assert get(server.url, tmp_path / "c")
    assert content(tmp_path / "c") == content(tmp_path / "other")
    server.etag = ""  # a server without them: the hash of what was sent decides
    assert not get(server.url, tmp_path / "c")
    assert server.sent == 3


def test_a_catalogue_that_was_not_fetched_is_replaced_and_other_folders_never(tmp_path, server, packed):
    make_catalogue(tmp_path / "c", views=False)
    assert get(server.url, tmp_path / "c", packed)
    assert content(tmp_path / "c") == content(tmp_path / "source")
    (tmp_path / "c" / "mine.txt").write_text("mine")
    for folder in (tmp_path / "c", tmp_path):
        with pytest.raises(BadInput, match="holds other things"):
            get(server.url, folder, "0" * 64)
    assert (tmp_path / "c" / "mine.txt").exists()


def test_a_redirect_is_followed_on_this_machine_and_nowhere_else_by_http(tmp_path, server, packed):
    with archive_server() as other:
        other.trouble = redirect(server.url)
        assert get(other.url, tmp_path / "c", packed)
        for target in ("http://192.0.2.1/c.tar.gz", "ftp://127.0.0.1/c", "file:///etc/passwd", other.url):
            other.trouble = redirect(target)
            with pytest.raises(SteamClipError):
                get(other.url, tmp_path / "d")


def test_an_archive_may_come_in_chunks_but_not_without_the_last_one(tmp_path, server, packed):
    server.trouble = chunked(server.body, is_whole=False)
    with pytest.raises((Unavailable, BadCatalogue)):
        get(server.url, tmp_path / "c")
    server.trouble = chunked(server.body)
    assert get(server.url, tmp_path / "c", packed)


TROUBLES = {
    "missing": (status(404), "status 404"),
    "forbidden": (status(403), "status 403"),
    "failing": (status(500), "status 500"),
    "unchanged, though it was never fetched": (status(304), "status 304"),
    "a page": (sending(b"<html>Sign in</html>"), "truncated or damaged"),
    "nothing": (sending(b""), "does not begin with manifest.json|truncated or damaged"),
    "shorter than it says": (sending(b"x", length=10**12), "IncompleteRead|truncated"),
}


@pytest.mark.parametrize(("trouble", "message"), TROUBLES.values(), ids=TROUBLES.keys())
def test_a_server_that_answers_oddly_changes_nothing(tmp_path, server, packed, trouble, message):
    make_catalogue(tmp_path / "c", views=False)
    before = content(tmp_path / "c")
    server.trouble = trouble
    with pytest.raises((Unavailable, BadCatalogue), match=message) as caught:
        get(server.url, tmp_path / "c")
    assert "\n" not in str(caught.value)
    assert content(tmp_path / "c") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "source"]


def test_a_body_cut_off_or_of_another_hash_changes_nothing(tmp_path, server, packed):
    for trouble in (
        sending(server.body[: len(server.body) // 2], length=len(server.body)),
        sending(server.body[:-1]),
    ):
        server.trouble = trouble
        with pytest.raises((Unavailable, BadCatalogue)):
            get(server.url, tmp_path / "c")
    server.trouble = None
    with pytest.raises(BadCatalogue, match=f"expected {'0' * 64}"):
        get(server.url, tmp_path / "c", "0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_body_that_takes_too_long_is_given_up(tmp_path, server, packed, monkeypatch):
    monkeypatch.setattr(remote, "LONGEST", 0.3)
    begun = time.monotonic()
    for trouble in (sending(server.body, pause=0.1), dripping(server.body, 0.1)):
        server.trouble = trouble
        with pytest.raises(Unavailable, match="takes longer"):
            get(server.url, tmp_path / "c")
    assert time.monotonic() - begun < 5


def test_nobody_there_is_one_line(tmp_path):
    with pytest.raises(Unavailable, match=r"http://127.0.0.1:9/c\.tar\.gz: "):
        get("http://127.0.0.1:9/c.tar.gz?signature=secret", tmp_path / "c")


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org/c.tar.gz",
        "ftp://127.0.0.1/c",
        "c.tar.gz",
        "https://",
        "https://h/c.tar.gz#sha256=12",
        "https://h/c.tar.gz#" + "g" * 64,
        "https://user:password@h/c.tar.gz",
        "s3://key:password@bucket/c",
        "https://user:pass word@h/c#password",
        "https://h/a b",
        "https://[::1/c",
    ],
)
def test_an_address_that_cannot_be_fetched_is_a_mistake_in_one_line(text):
    with pytest.raises(BadInput, match=r"^URL is no address such as https") as caught:
        Source.parse(text, "URL")
    assert "\n" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_addresses_are_read_with_and_without_a_hash():
    assert Source.parse(" https://h/c.tar.gz?a=b ", "URL") == Source("https://h/c.tar.gz?a=b", "")
    assert Source.parse("http://[::1]:80/c#sha256=" + "A" * 64, "URL") == Source("http://[::1]:80/c", "a" * 64)


def test_processes_that_fetch_at_once_wait_for_the_first(tmp_path, server, packed):
    server.trouble = sending(server.body, pause=0.05)
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(get(server.url, tmp_path / "c", packed))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [False, False, True]
    assert server.asked == 1


def test_without_entity_tags_those_who_waited_do_not_fetch_again(tmp_path, server, packed):
    server.etag, body = "", server.body
    server.trouble = sending(body, pause=0.05)
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: get(server.url, tmp_path / "c"), range(3)))
    assert sorted(results) == [False, False, True]
    assert server.asked == 1


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path, server, packed, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("put_in_place", "fresh_folder_beside"):
        with monkeypatch.context() as patched, pytest.raises(BadInput, match=r"cannot write .*No space left"):
            patched.setattr(writer, name, full)
            get(server.url, tmp_path / "c")
    assert get(server.url, tmp_path / "c")


def test_after_a_kill_the_next_fetch_succeeds(tmp_path, server, packed):
    server.trouble = sending(server.body, pause=0.3)
    command = [sys.executable, "manage_catalogue.py", "fetch", f"{server.url}#sha256={packed}", str(tmp_path / "c")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not server.asked:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    assert (tmp_path / ".c.new").is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "c").exists()
    server.trouble = None
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert content(tmp_path / "c") == content(tmp_path / "source")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "source"]
