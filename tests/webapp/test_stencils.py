"""Pages and cards from stencils are what their templates give."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import DictLoader
from markupsafe import Markup

from tests.webapp.test_webapp import make_catalogue
from webapp import create_app, frames, pages, stencils
from webapp.exhibition import gallery
from webapp.gallery import Card
from webapp.labels import Label
from webapp.modes import Mode
from webapp.pages import Match, ViewLink
from webapp.walls import HubCard, UniqueCard

NAMES = ["Portal 2", "", '<b a="x">&amp;</b>', "{0} {name} %s %(x)d", "五十 — “é”", "nul\0in it", "\0", "L" * 200]
CARDS = [
    Card(10 + number, name, image, f"/render/{number}?a=1&b={name}", year, is_adult)
    for number, (name, image, year, is_adult) in enumerate(
        itertools.product(NAMES, [None, "/banners/1.jpg", '/x?"><script>'], ["", "1998"], [False, True])
    )
]
MATCHES = [
    Match(number, card, similarity, strength, is_weak, is_identical, mix_url)
    for number, (card, (similarity, strength), is_weak, is_identical, mix_url) in enumerate(
        itertools.product(
            CARDS[::5], [(None, None), (0.876, 0.5)], [False, True], [False, True], ["", "/mix?text=a&b"]
        ),
        1,
    )
]
MEASURED = [match for match in MATCHES if match.is_measured]
THINGS = {
    "plain": CARDS,
    "match": MATCHES,
    "small": MATCHES,
    "hub": [HubCard(rank, card, times) for rank, (card, times) in enumerate(itertools.product(CARDS, [1, 12_345]))],
    "unique": [UniqueCard(rank, card, near) for rank, (card, near) in enumerate(zip(CARDS, MEASURED, strict=False))],
    "label": [
        Label(name, "theme", f"/label?name={name}", odds) for name in NAMES for odds in (None, 0.0, 0.004, 0.5, 1)
    ],
    "view": [ViewLink(name, f"/{name}", is_current) for name in NAMES for is_current in (False, True)],
}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "10.jpg").write_bytes(b"\xff\xd8\xff")
    return create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "b"})


@pytest.mark.parametrize("macro", THINGS)
def test_a_list_from_stencils_is_what_its_macro_gives(app, macro):
    site = app.extensions["exhibition"].shown.site
    own = getattr(app.jinja_env.get_template("_cards.html").module, macro)
    made = app.extensions["stencils"].each(macro, site, THINGS[macro], eager=3).decode()
    assert made == "".join(own(site, thing, number < 3) for number, thing in enumerate(THINGS[macro]))
    assert (
        app.extensions["stencils"].each(macro, site, THINGS[macro], eager=3).decode() == made
    )  # with all that was cut
    one_by_one = [app.extensions["stencils"].each(macro, site, [thing]).decode() for thing in THINGS[macro]]
    assert one_by_one == [str(own(site, thing, False)) for thing in THINGS[macro]]


def test_what_is_the_same_on_a_page_makes_other_stencils(app):
    site, each = app.extensions["exhibition"].shown.site, app.jinja_env.globals["each"]
    assert "<h1" in each("plain", site, CARDS[:1], level=1) and "appid" not in each("plain", site, CARDS[:1], level=1)
    assert "<h3" in each("plain", site, CARDS[:1]) and "appid" not in each("plain", site, CARDS[:1])
    assert "<h2" in each("plain", site, CARDS[:1], level=2)
    assert '<p class="appid">App 10</p>' in each("plain", site, CARDS[:1], with_appid=True)
    assert f'width="{site.image_width}"' in each("plain", site, CARDS[4:6])
    assert 'width="7"' in each("plain", replace(site, image_width=7), CARDS[4:6])
    assert each("plain", site, []) == ""


GAMES = [
    (path, mode) for path in ("10", "20", "30", "40", "50", "60", "70") for mode in ("render", "store", "render_x")
]


@pytest.mark.parametrize("n", [None, 1, 6, 100])
@pytest.mark.parametrize(("appid", "mode"), GAMES)
def test_a_page_from_a_stencil_is_what_its_template_gives(app, appid, mode, n):
    path = f"/{mode}/{appid}" + (f"/{n}" if n else "") + ("?x=1" if n == 1 else "")
    with app.test_request_context(path, headers={"Host": "games.example:81"}):
        app.preprocess_request()
        view = Mode("mirror" if mode == "render_x" else "plain", mode == "store")
        page = pages.game_page(gallery(), int(appid), view, n)
        each = app.jinja_env.globals["each"]
        made = frames.frame(page.json_url)
        expected = frames.render(
            "game.html",
            made,
            page=page,
            matches=each("match", made.site, page.matches, eager=5),
            labels=Markup(),
            views=each("view", made.site, page.views),
        )
        assert stencils.game_page(page).decode() == expected
        assert stencils.game_page(page).decode() == expected


def test_a_catalogue_cannot_cut_holes(app):
    """Its encoder's name, say, is anybody's text."""
    made = frames.Frame(
        replace(app.extensions["exhibition"].shown.site, encoder="a\0st\0{0}b"), "game", "", "/", "", "http://x", False
    )
    with app.test_request_context("/render/10"):
        page = pages.game_page(gallery(), 10, Mode(), None)
        text = app.extensions["stencils"].page("game.html", page, made, matches=b"", labels=b"", views=b"").decode()
    assert "a\0st\0{0}b" in text and "Portal" in text


def test_what_changes_on_disk_is_seen_where_templates_are_reloaded(app):
    app.jinja_env.auto_reload = True
    app.jinja_env.globals["each"]("plain", app.extensions["exhibition"].shown.site, CARDS)
    assert not app.extensions["stencils"]._cut


def test_kinds_of_pages_are_few(app):
    """However many there are to look at, strangers can make no more of them."""
    client = app.test_client()
    for n in range(1, 200):
        for appid in (10, 20, 30):
            assert client.get(f"/render/{appid}/{n}").status_code == 200
    assert len(app.extensions["stencils"]._cut) < 60


def test_stencils_of_catalogues_that_are_gone_are_not_kept(app):
    cut, site = app.extensions["stencils"], app.extensions["exhibition"].shown.site
    for width in range(3000):
        cut.each("plain", replace(site, image_width=width + 1), CARDS[:1])
    assert len(cut._cut) <= 1000


@pytest.mark.parametrize(
    "asked",
    [
        *("{% if card.name %}x{% endif %}", "{{ 'x' if card.year == '1998' }}", "{{ card.name|upper }}"),
        *("{{ card.name|length }}", "{{ '%s'|format(card.name) }}", "{{ card.name ~ 'x' }}", "{{ card.name[0] }}"),
        *("{% for letter in card.name %}{% endfor %}", "{% if card.appid > 5 %}x{% endif %}", "{{ card.name|trim }}"),
        *("{% if card.name in ('a', 'b') %}x{% endif %}", "{{ card.name|default('x', true) }}", "{{ card.appid + 1 }}"),
        *("{% if card.name is none %}x{% endif %}", "{% if card.name is defined %}x{% endif %}"),
        *("{{ card.appid|int }}", "{{ card.appid|float }}", "{{ card.name|tojson }}", "{{ card.name|safe }}"),
        *("{{ card.appid is integer }}", "{{ card.name is true }}", "{{ card.name is escaped }}"),
        *("{{ card.name|e|length }}", "{{ [card.name] }}", "{{ {'a': card.name} }}", "{{ card.name|pprint }}"),
        *("{% if 'x' in card.name %}x{% endif %}", "{% set x %}{{ card.name }}{% endset %}{{ x|length }}"),
        *("{{ -card.appid }}", "{{ card.appid / 2 }}", "{{ [1, 2][card.appid] }}", "{{ 'x' * card.appid }}"),
    ],
)
def test_a_macro_that_asks_what_is_not_the_same_for_all_is_an_error(app, asked):
    """Else what it makes of one game would be shown for others."""
    app.jinja_env.loader = DictLoader(
        {"_cards.html": "{% macro plain(site, card, is_eager) %}" + asked + "{% endmacro %}"}
    )
    app.jinja_env.cache.clear()
    with pytest.raises(stencils.CannotAsk, match="not the same"):
        app.jinja_env.globals["each"]("plain", app.extensions["exhibition"].shown.site, CARDS[:1])
