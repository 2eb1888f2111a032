"""What the tests of the programs share."""

import pytest

from tests.steam.steam_server import Steam, serving


@pytest.fixture
def steam(monkeypatch):
    """A function that starts a server and points the program at it."""
    running = []

    def start(count: int, **options: object) -> Steam:
        context = serving(Steam(count, **options))
        steam = context.__enter__()
        running.append(context)
        for name, value in steam.environment.items():
            monkeypatch.setenv(name, value)
        return steam

    yield start
    for context in running:
        context.__exit__(None, None, None)
