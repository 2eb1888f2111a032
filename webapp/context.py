"""The template context: variables and functions for all templates."""

from urllib.parse import quote

from flask import Flask, request

from banners.steam import STEAMDB, STORE
from webapp.current import current_site
from webapp.pages.walls import tabs
from webapp.params import address, origin, shows_adult


def register(app: Flask) -> None:
    app.jinja_env.globals.update(STORE=STORE, STEAMDB=STEAMDB, address=address)
    app.context_processor(_context)


def _context() -> dict[str, object]:
    query = request.query_string.decode("ascii", "ignore")
    return {
        "facts": current_site().facts,  # not the catalogue: contexts may outlive it
        "tabs": tabs(current_site()),
        "shows_adult": shows_adult(),
        "origin": origin(),
        "tab": None,  # the wall, on its page
        "share": None,  # how other sites show the page
        "json_url": "",  # of the page, if it has one
        "here": quote(request.path) + (f"?{query}" if query else ""),
    }
