"""The template context: variables and functions for all templates."""

from collections.abc import Hashable
from functools import lru_cache
from urllib.parse import quote

from flask import Flask, request
from markupsafe import Markup

from banners.steam import STEAMDB, STORE
from webapp.current import catalogue
from webapp.pages.walls import tabs
from webapp.params import shows_adult

_FRAGMENTS = 32_768  # some 20 MB


def register(app: Flask) -> None:
    app.jinja_env.globals.update(STORE=STORE, STEAMDB=STEAMDB)

    @lru_cache(maxsize=_FRAGMENTS)
    def fragment(macro: str, *arguments: Hashable) -> Markup:
        """The output of a macro of `_cards.html`; an LRU cache keeps it."""
        rendered: Markup = getattr(app.jinja_env.get_template("_cards.html").module, macro)(*arguments)
        return rendered

    app.jinja_env.globals["fragment"] = fragment
    app.context_processor(_context)


def _context() -> dict[str, object]:
    query = request.query_string.decode("ascii", "ignore")
    return {
        "site": catalogue().site,  # not the catalogue: contexts may outlive it
        "tabs": tabs(catalogue()),
        "shows_adult": shows_adult(),
        "origin": request.host_url.rstrip("/"),
        "tab": None,  # the wall, on its page
        "json_url": "",  # of the page, if it has one
        "here": quote(request.path) + (f"?{query}" if query else ""),
    }
