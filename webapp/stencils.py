"""Pages and lists of cards from stencils.

What a card says of its game is a few texts; all else is the same on every card of its kind, and so it is with the page
of a game. So a template is rendered once for each kind, with a hole wherever it prints something of the game, and from
then on a card or a page costs one substitution instead of some hundred steps of the template engine. A template may ask
of its object what is named here, which is what makes the kinds; of anything else it can only print, or it is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from operator import attrgetter, itemgetter
from secrets import token_hex
from typing import Any, Never, Self

from flask import Flask, current_app
from jinja2 import Environment
from markupsafe import Markup, escape

from webapp.frames import Frame, frame
from webapp.gallery import Card
from webapp.labels import Label
from webapp.pages import GamePage, Match, Site, ViewLink
from webapp.walls import HubCard, UniqueCard

_MARK = f"\0{token_hex(8)}\0"  # of a hole; nobody can write one into a catalogue
_BETWEEN = "\0"  # values
_MOST_KINDS = 1000  # of a catalogue there are some dozens, of an odd one hundreds; the next one has its own

_OF_CARD = ("has_image", "is_adult")
_ASKED: dict[type, tuple[str, ...]] = {
    Card: _OF_CARD,
    Match: (*(f"card.{one}" for one in _OF_CARD), "is_measured", "is_weak", "is_identical", "can_be_mixed"),
    HubCard: tuple(f"card.{one}" for one in _OF_CARD),
    UniqueCard: (*(f"{card}.{one}" for card in ("card", "nearest.card") for one in _OF_CARD), "nearest.is_weak"),
    Label: ("is_measured",),
    ViewLink: ("is_current",),
    Frame: ("site", "section", "shows_adult", "has_json"),
    GamePage: (
        *("query.has_image", "query.is_adult", "query.has_year", "view", "is_long_name", "is_ranked"),
        *("leads_to_store", "can_be_mixed", "wants_more", "has_scale", "has_similarities", "has_more", "shares"),
    ),
}


def _getter(paths: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(paths) > 1:
        return attrgetter(*paths)
    return lambda thing: tuple(attrgetter(path)(thing) for path in paths)


_KIND_OF = {which: _getter(asked) for which, asked in _ASKED.items()}


def _known(path: str, thing: object) -> dict[str, object]:
    return {f"{path}{asked}": attrgetter(asked)(thing) for asked in _ASKED[type(thing)]}


class CannotAsk(RuntimeError):
    """A template's text would depend on what is not the same for all that it is used for."""


class _Hole:
    """What a template gets for an object: `known` attributes are there, others become holes where they are printed.

    Whatever would make the text depend on what is in a hole raises `CannotAsk`, but for one thing: what was captured
    with it by `{% set %}` or a macro is a text like others, of which nothing must be asked.
    """

    def __init__(self, path: str, known: Mapping[str, object]) -> None:
        self._path, self._known = path, known

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        path = f"{self._path}.{name}" if self._path else name
        return self._known[path] if path in self._known else _Hole(path, self._known)

    def __html__(self) -> str:
        return f"{_MARK}{self._path}{_MARK}"

    def _refuse(self, *_: object) -> Never:
        raise CannotAsk(f"{self._path} is not the same for all of a kind: a template can print it, not ask for it")

    __bool__ = __str__ = __repr__ = __format__ = __hash__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __len__ = __iter__ = __contains__ = __getitem__ = __int__ = __float__ = __index__ = __neg__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __truediv__ = __rtruediv__ = _refuse


def _guarded(function: Any) -> Any:
    """A filter or a test of templates, as `is none`, that takes no hole."""

    @wraps(function)
    def guarded(*given: Any, **named: Any) -> Any:
        for value in given:
            if isinstance(value, _Hole):
                value._refuse()
            if isinstance(value, str) and _MARK in value:
                raise CannotAsk("what a template captured holds what is not the same for all of a kind")
        return function(*given, **named)

    return guarded


@dataclass(frozen=True)
class _Stencil:
    """`parts` are UTF-8, and holes between them. `values` gets from an object what belongs into so many `holes`, each
    once, and `places` puts that in the order of the parts."""

    parts: list[bytes]
    values: Callable[[Any], tuple[object, ...]]
    holes: int
    places: Callable[[Sequence[bytes]], tuple[bytes, ...]]

    @classmethod
    def cut(cls, rendered: str, slots: Sequence[str] = ()) -> Self:
        """`slots` are holes for what is HTML already; they come after the others."""
        parts = rendered.split(_MARK)
        paths = [path for path in dict.fromkeys(parts[1::2]) if path not in slots]
        order = [[*paths, *slots].index(path) for path in parts[1::2]]
        places = itemgetter(*order) if len(order) > 1 else lambda texts: tuple(texts[number] for number in order)
        return cls([part.encode() for part in parts], _getter(paths), len(paths), places)

    def filled(self, texts: Sequence[bytes]) -> list[bytes]:
        parts = self.parts.copy()
        parts[1::2] = self.places(texts)
        return parts


def _escaped(values: Sequence[object]) -> list[bytes]:
    """Each as UTF-8 that can stand in HTML."""
    # All in one go: it is the calls that cost.
    texts = escape(_BETWEEN.join(map(str, values))).encode().split(_BETWEEN.encode())
    return texts if len(texts) == len(values) else [escape(value).encode() for value in values]


@dataclass(frozen=True)
class _Sheet:
    frame: Frame
    page: object


@dataclass(frozen=True)
class Stencils:
    """The stencils of an app's templates, cut when they are first needed. What they make is HTML in UTF-8."""

    environment: Environment
    _cut: dict[tuple[object, ...], _Stencil] = field(default_factory=dict)

    def each(self, macro: str, site: Site, things: Sequence[object], eager: int = 0, **same: object) -> bytes:
        """`macro(site, thing, is_eager, **same)` of `_cards.html` for each of `things`, which are of one class; the
        first `eager` ones are those that a reader sees at once."""
        if not things:
            return b""
        stencils: list[_Stencil] = []
        values: list[object] = []
        kind_of = _KIND_OF[type(things[0])]
        met: dict[object, _Stencil] = {}  # most things of a list are of a few kinds
        for number, thing in enumerate(things):
            kind = number < eager, kind_of(thing)
            stencil = met.get(kind)
            if stencil is None:
                stencil = met[kind] = self._of_macro(macro, site, thing, number < eager, same)
            stencils.append(stencil)
            values += stencil.values(thing)
        texts = _escaped(values)
        filled: list[bytes] = []
        at = 0
        for stencil in stencils:
            end = at + stencil.holes
            filled += stencil.filled(texts[at:end])
            at = end
        return b"".join(filled)

    def _of_macro(self, macro: str, site: Site, thing: object, is_eager: bool, same: Mapping[str, object]) -> _Stencil:
        kind = macro, site, is_eager, *same.items(), _KIND_OF[type(thing)](thing)
        stencil = self._cut.get(kind)
        if stencil is None:
            module = self.environment.get_template("_cards.html").module
            rendered = getattr(module, macro)(site, _Hole("", _known("", thing)), is_eager, **same)
            stencil = self._keep(kind, _Stencil.cut(rendered))
        return stencil

    def page(self, template: str, page: object, surrounding: Frame, **slots: bytes) -> bytes:
        """A template's page; `slots` are HTML, which the template may ask whether there is any."""
        kind = template, _KIND_OF[Frame](surrounding), _KIND_OF[type(page)](page), *map(bool, slots.values())
        stencil = self._cut.get(kind)
        if stencil is None:
            known = _known("frame.", surrounding) | _known("page.", page)
            rendered = self.environment.get_template(template).render(
                {"site": surrounding.site, "frame": _Hole("frame", known), "page": _Hole("page", known)},
                **{name: Markup(f"{_MARK}{name}{_MARK}") if slots[name] else "" for name in slots},  # noqa: S704
            )
            stencil = self._keep(kind, _Stencil.cut(rendered, tuple(slots)))
        texts = _escaped(stencil.values(_Sheet(surrounding, page)))
        return b"".join(stencil.filled([*texts, *slots.values()]))

    def _keep(self, kind: tuple[object, ...], stencil: _Stencil) -> _Stencil:
        if not self.environment.auto_reload:
            if len(self._cut) >= _MOST_KINDS:
                self._cut.clear()
            self._cut[kind] = stencil
        return stencil


def register(app: Flask) -> None:
    """Give templates `each`."""
    stencils = app.extensions["stencils"] = Stencils(app.jinja_env)

    def each(*given: Any, **named: Any) -> Markup:
        return Markup(stencils.each(*given, **named).decode())  # noqa: S704  whatever was filled in is escaped

    app.jinja_env.globals["each"] = each
    for functions in (app.jinja_env.tests, app.jinja_env.filters):
        functions.update({name: _guarded(functions[name]) for name in functions if name not in ("e", "escape")})


def game_page(page: GamePage) -> bytes:
    """The page of a game, in UTF-8."""
    stencils: Stencils = current_app.extensions["stencils"]
    made = frame(page.json_url)
    return stencils.page(
        "game.html",
        page,
        made,
        matches=stencils.each("match", made.site, page.matches, eager=5),
        labels=stencils.each("label", made.site, page.labels),
        views=stencils.each("view", made.site, page.views),
    )
