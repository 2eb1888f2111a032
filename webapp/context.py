"""The template context: variables and functions for all templates."""

from urllib.parse import quote

from flask import Flask, request

from banners.steam import STEAMDB, STORE
from webapp.current import catalogue
from webapp.pages.walls import tabs
from webapp.params import origin, shows_adult


def register(app: Flask) -> None:
    app.jinja_env.globals.update(STORE=STORE, STEAMDB=STEAMDB)
    app.context_processor(_context)


def _context() -> dict[str, object]:
    query = request.query_string.decode("ascii", "ignore")
    return {
        "site": catalogue().site,  # not the catalogue: contexts may outlive it
        "tabs": tabs(catalogue()),
        "shows_adult": shows_adult(),
        "origin": origin(),
        "tab": None,  # the wall, on its page
        "json_url": "",  # of the page, if it has one
        "here": quote(request.path) + (f"?{query}" if query else ""),
    }
