"""The variants of a game's address: which view of the query, and where its banners link to."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from werkzeug.routing import BaseConverter, IntegerConverter

from banners.steam import STORE
from banners.views import View, view_of
from webapp.params import Pairs, address
from webapp.site import Site

VIEW_NAMES: dict[View, str] = {
    "plain": "Whole cover",
    "artwork": "Art only",
    "mirror": "Mirrored",
    "flip": "Flipped",
    "rotate": "Rotated",
}
_SUFFIXES: dict[View, str] = {"plain": "", "mirror": "_x", "flip": "_y", "rotate": "_xy"}


@dataclass(frozen=True)
class Variant:
    """`/render` links a banner to its own page, `/store` to the Steam store; `_x`, `_y`, `_xy` choose the view."""

    view: View = "plain"
    to_store: bool = False
    filters: Pairs = ()  # parameters that stay

    @property
    def path(self) -> str:
        return ("store" if self.to_store else "render") + _SUFFIXES.get(self.view, "")

    def url(self, appid: int, n: int | None = None) -> str:
        path = f"/{self.path}/{appid}" + (f"/{n}" if n is not None else "")
        return address(path, (*self.view_parameter, *self.filters))

    def link(self, appid: int, n: int | None) -> str:
        """Where a banner links to."""
        return f"{STORE}{appid}/" if self.to_store else self.url(appid, n)

    @property
    def view_parameter(self) -> Pairs:
        """The view by artwork; the others are part of the path."""
        return (("view", "artwork"),) if self.view == "artwork" else ()

    def reversed(self, mirror: bool, flip: bool) -> "Variant":
        """This variant, and mirrored or flipped if it was not."""
        mirror = mirror or self.view in ("mirror", "rotate")
        flip = flip or self.view in ("flip", "rotate")
        return replace(self, view=view_of(mirror, flip))


def view_links(site: Site, current: View, url_of: Callable[[View], str]) -> list[tuple[str, str, bool]]:
    """The views that a reader can choose between: name, address, and whether it is the current one. None if there is
    no choice."""
    views: tuple[View, ...] = ("plain", "artwork") if "artwork" in site.catalogue.views else ()
    return [(VIEW_NAMES[view], url_of(view), view == current) for view in views]


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
