"""A small catalogue for the tests of the web app, and how to read its pages."""

import html
import re
from pathlib import Path

import numpy as np
from flask.testing import FlaskClient

from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours, nearest
from tests.catalogues import save_catalogue

NAMES = {
    10: "Portal",
    20: "Portal 2",
    30: 'A <script>alert("&amp;")</script> Name',
    40: "",
    50: "五十 / Fifty 🚀",
    60: "Hentai Puzzle",
    70: "L" + "o" * 490 + "ng",
    80: "Shalom\n\u202eevil",
}


def embeddings(count: int = len(NAMES)) -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(count, 8)).astype(np.float32)
    made[1] = made[0]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


# Portal 2 and "Fifty" have the same art.
SAME_ART = {
    "same_art": np.array([[1, 4]], np.int32),
    "same_art_nats": np.array([90], np.float32),
    "same_art_share": np.array([0.8], np.float32),
}


def make_catalogue(
    folder: Path, *, views: bool = True, similarities: bool = True, source: str = "", same_art: bool = False
) -> Path:
    plain = embeddings()
    found = {"plain": nearest(plain, k=6)}
    if views:
        found["mirror"] = nearest(plain, k=6, queries=-plain)
    if not similarities:
        found = {view: Neighbours(one.rows, None) for view, one in found.items()}
    save_catalogue(
        folder,
        games=[
            Game(appid, name, {"popularity": appid, "year": 2000} if appid < 40 else {})
            for appid, name in NAMES.items()
        ],
        neighbours=found,
        embeddings=plain if similarities else None,
        arrays=SAME_ART if same_art else {},
        duplicates=np.array([0, 0, 2, 3, 4, 5, 6, 7], np.int32),
        about={
            "encoder": {"id": "test-encoder", "revision": "r1"},
            "fit": "squash",
            "scales": {"plain": {"random": 0.1, "rare": [0.5]}},
            "images": {"source": source, "width": 300, "height": 450},
        },
    )
    return folder


def text(client: FlaskClient, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status, (url, response.status_code)
    assert response.mimetype == "text/html"
    return response.get_data(as_text=True)


def linked(page: str) -> list[str]:
    """Where the banners of the cards link to, in order."""
    return [html.unescape(url) for url in re.findall(r'class="name"><a href="([^"]+)"', page)]
