"""The variants of a game's address: which view of the query, and where its banners link to."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from werkzeug.routing import BaseConverter, IntegerConverter

from banners.encoders.views import View, view_of
from banners.steam import STORE
from webapp.records import Game

_SUFFIXES: dict[View, str] = {"plain": "", "mirror": "_x", "flip": "_y", "rotate": "_xy"}


@dataclass(frozen=True)
class Variant:
    """`/render` links a banner to its own page, `/store` to the Steam store; `_x`, `_y`, `_xy` choose the view."""

    view: View = "plain"
    to_store: bool = False
    filters: tuple[tuple[str, str], ...] = ()  # parameters that stay

    @property
    def path(self) -> str:
        return ("store" if self.to_store else "render") + _SUFFIXES.get(self.view, "")

    def url(self, appid: int, n: int | None = None) -> str:
        query = urlencode([*([("view", "artwork")] if self.view == "artwork" else []), *self.filters])
        return f"/{self.path}/{appid}" + (f"/{n}" if n is not None else "") + (f"?{query}" if query else "")

    def link(self, game: Game, n: int | None) -> Game:
        """`game` with a link as this variant's pages have it."""
        return replace(game, url=f"{STORE}{game.appid}/" if self.to_store else self.url(game.appid, n))

    def reversed(self, mirror: bool, flip: bool) -> "Variant":
        """This variant, and mirrored or flipped if it was not."""
        mirror = mirror or self.view in ("mirror", "rotate")
        flip = flip or self.view in ("flip", "rotate")
        return replace(self, view=view_of(mirror, flip))


VARIANTS = {one.path: one for one in (Variant(view, to_store) for view in _SUFFIXES for to_store in (False, True))}


class VariantConverter(BaseConverter):
    """`render`, `render_x`, ... `store_xy` in a rule."""

    regex = "|".join(VARIANTS)

    def to_python(self, value: str) -> Variant:
        return VARIANTS[value]


class CountConverter(IntegerConverter):
    """A number of neighbours; one below 0 means all."""

    regex = "-?[0-9]{1,20}"
    signed = True


class AppidConverter(IntegerConverter):
    """A whole number of at most 20 digits; Python would refuse to convert many more, and none is an appid."""

    regex = "[0-9]{1,20}"
