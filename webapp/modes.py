"""The forms of a game's address: which view of the query, and where its banners link to."""

from dataclasses import dataclass

from werkzeug.routing import BaseConverter, Map

from banners.encoders.views import View, view_of

_LETTERS: dict[View, str] = {"plain": "", "mirror": "_x", "flip": "_y", "rotate": "_xy"}
_VIEWS = {letters: view for view, letters in _LETTERS.items()}


@dataclass(frozen=True)
class Mode:
    """`/render` links a banner to its own page, `/store` to the Steam store; `_x`, `_y`, `_xy` choose the view."""

    view: View = "plain"
    to_store: bool = False

    @property
    def path(self) -> str:
        return ("store" if self.to_store else "render") + _LETTERS[self.view]

    def url(self, appid: int, n: int | None = None) -> str:
        return f"/{self.path}/{appid}" + (f"/{n}" if n is not None else "")


def mode_of(mode: Mode, mirror: bool, flip: bool) -> Mode:
    """A mode with what an address asks for besides taken into account."""
    mirror = mirror or mode.view in ("mirror", "rotate")
    flip = flip or mode.view in ("flip", "rotate")
    return Mode(view_of(mirror, flip), mode.to_store) if mirror or flip else mode


class ModeConverter(BaseConverter):
    """`render`, `render_x`, ... `store_xy` in a rule."""

    part_isolating = True

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map)
        self.regex = "(?:render|store)(?:_xy|_x|_y)?"

    def to_python(self, value: str) -> Mode:
        name, _, letters = value.partition("_")
        return Mode(_VIEWS[f"_{letters}" if letters else ""], name == "store")

    def to_url(self, value: Mode) -> str:
        return value.path


class AppidConverter(BaseConverter):
    """A whole number of at most 20 digits; more would make Python refuse to convert them, and none is an appid."""

    regex = "[0-9]{1,20}"

    def to_python(self, value: str) -> int:
        return int(value)
