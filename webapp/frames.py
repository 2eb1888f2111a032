"""What surrounds every page, whatever it shows."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlencode

from flask import Flask, render_template, request
from markupsafe import Markup

from webapp import arguments, queries
from webapp.exhibition import shown
from webapp.pages import Site

_FRAGMENTS = 32_768  # some 20 MB


@dataclass(frozen=True)
class Frame:
    """`section` is the name of the page's endpoint, `json_url` the address of what it shows as JSON, "" where there is
    no such thing, `path` and `query` are the page's address, `origin` this server's scheme and host."""

    site: Site
    section: str
    json_url: str
    path: str
    query: str
    origin: str
    shows_adult: bool

    @property
    def back(self) -> str:
        """Where the switch for adult banners returns to."""
        return quote(self.path) + (f"?{self.query}" if self.query else "")


def frame(json_url: str | None = None) -> Frame:
    """That of this request's page. Where `json_url` is not given, the request tells."""
    asker = request
    section = (asker.endpoint or "").removeprefix("pages.")
    return Frame(
        shown().site,
        section,
        _json_url(section) if json_url is None else json_url,
        asker.path,
        asker.query_string.decode("ascii", "ignore"),
        asker.host_url.rstrip("/"),
        arguments.shows_adult(),
    )


def render(template: str, surrounding: Frame | None = None, **context: object) -> str:
    """A page from its template, which gets what surrounds it as `frame` and `site`."""
    made = surrounding or frame()
    return render_template(template, frame=made, site=made.site, **context)


def register(app: Flask) -> None:
    """Give templates `fragment(macro, *arguments)`: what a macro of `_cards.html` renders, kept for the latest ones."""

    @lru_cache(maxsize=_FRAGMENTS)
    def fragment(macro: str, *arguments: Hashable) -> Markup:
        rendered: Markup = getattr(app.jinja_env.get_template("_cards.html").module, macro)(*arguments)
        return rendered

    app.jinja_env.globals["fragment"] = fragment


def _json_url(section: str) -> str:
    given = request.args
    kept = {key: given[key] for key in ("page", "from", "to", "below", "q") if given.get(key)}
    if section == "search" and kept.get("q"):
        return f"/api/v1/games?{urlencode(kept)}"
    if section == "mix":
        parts, count = arguments.parts(), arguments.whole("n", queries.MIXED, 1, queries.MAX_NEAREST)
        return queries.url_of(parts, "/api/v1/similar", count) if parts else ""
    if section == "label_list":
        return "/api/v1/labels"
    if section in ("unique", "hubs", "duplicates", "popular", "label"):
        kept |= {"name": given.get("name", "")} if section == "label" else {}
        kept |= {"adult": "1"} if arguments.shows_adult() else {}
        return f"/api/v1/{section}" + (f"?{urlencode(kept)}" if kept else "")
    return "/api/v1/catalogue" if section in ("home", "about") else ""
