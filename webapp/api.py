"""The JSON API: what the pages show, for programs. An endpoint makes one call and returns an object of `answers`."""

import random as chance

from flask import Blueprint, Response, jsonify, request

from banners.catalogue.search import MAX_QUERY
from banners.encoders.views import VIEWS, View
from banners.errors import BadInput, NotInCatalogue
from webapp import answers, arguments, pages, queries, walls
from webapp import labels as page_labels
from webapp.answers import (
    Catalogue,
    Detail,
    Game,
    Games,
    Group,
    Groups,
    Hub,
    Hubs,
    Label,
    Labelled,
    Labels,
    Neighbours,
    Picture,
    Popular,
    PopularGames,
    Similar,
    Unusual,
    UnusualGames,
)
from webapp.exhibition import gallery
from webapp.frames import render
from webapp.modes import Mode
from webapp.openapi import Registry, choice, flag, fraction, several, text, whole
from webapp.uploads import MAX_BYTES

api = Blueprint("api", __name__, url_prefix="/api/v1")
registry = Registry()

TITLE = "Steam CLIP"
ABOUT = (
    "Games of the Steam store by the look of their banners. Everything is read with GET, from anywhere, but for a"
    " picture, which is asked about with POST and not kept; errors are problem details. Images and pages are given as"
    " they are on the pages: an address that begins with a slash is on this server. Banners that may be explicit are"
    " marked is_adult; the walls, /label and /random leave them out unless adult=1."
)


_ADULT = flag("adult", "Whether banners that may be explicit are listed.")
_APPID = {"type": "string", "pattern": "^[1-9][0-9]{0,9}$"}
_WORDS = {"type": "string", "minLength": 1, "maxLength": queries.MAX_TEXT}
_PAGE = whole("page", "Which page, from 1.", 1, 1, 999_999)
_YEARS = (
    whole("from", "The first year of release that counts, 0 for any.", 0, 0, 9999),
    whole("to", "The last one, 0 for any.", 0, 0, 9999),
)


@registry.get(api, "/catalogue", Catalogue, tag="catalogue")
def read_catalogue() -> Catalogue:
    """What is served: how many games, by which encoder, with which views."""
    opened = gallery().catalogue
    manifest = opened.manifest
    return Catalogue(
        games=len(opened),
        neighbours=opened.k,
        views=tuple(opened.views),
        has_similarities=opened.view("plain").similarities is not None,
        encoder=manifest.encoder,
        revision=manifest.revision,
        fit=manifest.fit,
        source=manifest.source,
        created=manifest.created,
    )


@registry.get(
    api,
    "/games",
    Games,
    text("q", "Words of a name, or an appid; without it, all games by appid.", most=MAX_QUERY),
    _PAGE,
    tag="games",
)
def find_games(q: str, page: int) -> Games:
    """Games by name or appid, the best first. Explicit ones are among them, and marked."""
    opened, start = gallery(), (page - 1) * pages.PER_PAGE
    if q or request.args.get("q"):  # what has no visible character means no game, not all
        found = opened.catalogue.games.search(q, pages.PER_PAGE, start)
        rows, total, approximate = found.rows, found.total, found.approximate
    else:
        rows, total, approximate = list(range(len(opened))[start : start + pages.PER_PAGE]), len(opened), False
    pager = pages.pager("/api/v1/games", page, total, {"q": q} if q else {})
    return Games(answers.paging_of(pager, total), approximate, answers.games_of(opened, rows))


@registry.get(api, "/games/<appid:appid>", Detail, tag="games")
def read_game(appid: int) -> Detail:
    """One game, and its place among the others."""
    opened = gallery()
    row = opened.catalogue.row_of(appid)
    rank = opened.unique_rank
    same = [other for other in opened.members_of(row) if other != row]
    return Detail(
        game=answers.game_of(pages.card(opened, row)),
        views=tuple(opened.catalogue.views),
        more_unusual_than=None if rank is None else pages.more_unusual_than(opened, int(rank[row])),
        neighbour_of=int(opened.times_near[row]),
        identical=answers.games_of(opened, same),
        labels=answers.labels_of(page_labels.labels_of_row(opened, row)),
    )


@registry.get(
    api,
    "/games/<appid:appid>/neighbours",
    Neighbours,
    whole("n", "How many; all there are where it exceeds them.", 10, 1, pages.MAX_NEIGHBOURS),
    choice("view", "Which view of the game's banner is compared with all others.", VIEWS),
    tag="games",
)
def read_neighbours(appid: int, n: int, view: View) -> Neighbours:
    """The games whose banners look most like that of one game, never itself."""
    shown = pages.game_page(gallery(), appid, Mode(view), n)
    return Neighbours(answers.game_of(shown.query), view, shown.available, answers.neighbours_of(shown.matches))


@registry.get(
    api,
    "/similar",
    Similar,
    several("game", "Appids of games that results shall look like.", _APPID, queries.MAX_PARTS),
    several("not_game", "Appids of games that they shall not look like.", _APPID, queries.MAX_PARTS),
    several("text", "Words for what they shall look like.", _WORDS, queries.MAX_PARTS),
    several("not_text", "Words for what they shall not look like.", _WORDS, queries.MAX_PARTS),
    text("picture", "A picture's embedding, as POST /pictures gives it.", most=8000),
    whole("n", "How many.", 20, 1, queries.MAX_NEAREST),
    tag="queries",
    troubles=(429, 501),
)
def find_similar(picture: str, n: int) -> Similar:
    """The games whose banners look like all of several games, words and a picture, and not like others."""
    parts = arguments.parts()
    if not parts:
        raise BadInput("Name at least one game, text or picture.")
    return Similar(answers.results_of(gallery(), queries.nearest(gallery(), parts, n)))


@registry.post(
    api,
    "/pictures",
    Picture,
    whole("n", "How many.", 20, 1, queries.MAX_NEAREST),
    tag="queries",
    body={
        "multipart/form-data": {
            "type": "object",
            "required": ["picture"],
            "properties": {"picture": {"type": "string", "format": "binary"}},
        },
        **{kind: {"type": "string", "format": "binary"} for kind in ("image/jpeg", "image/png", "image/webp")},
    },
    troubles=(413, 415, 429, 501),
)
def find_by_picture(n: int) -> Picture:
    """The games whose banners look like a picture, and what it shows. A JPEG, PNG or WebP of at most 10 MB, as the
    field "picture" of a form or as the body itself; it is not kept."""
    opened = gallery()
    vector = queries.embed_upload(opened, arguments.uploaded("picture", MAX_BYTES))
    part = queries.Part("picture", queries.picture_of(vector), is_minus=False)
    shown_labels = page_labels.labels_of_vector(opened, vector)
    return Picture(
        part.value, answers.labels_of(shown_labels), answers.results_of(opened, queries.nearest(opened, [part], n))
    )


@registry.get(api, "/labels", Labels, tag="queries", troubles=(501,))
def list_labels() -> Labels:
    """All terms that banners are labelled with."""
    shown = walls.labels_page(gallery())
    return Labels(tuple(Label(one.name, one.kind, None) for _, terms in shown.kinds for one in terms))


@registry.get(
    api,
    "/label",
    Labelled,
    text("name", "One of the terms.", most=100),
    _ADULT,
    tag="queries",
    troubles=(501,),
)
def read_label(name: str, adult: bool) -> Labelled:
    """The games whose banners fit a term best."""
    shown = walls.label_page(gallery(), name, adult)
    return Labelled(Label(shown.label.name, shown.label.kind, None), tuple(map(answers.game_of, shown.cards)))


@registry.get(
    api,
    "/unique",
    UnusualGames,
    fraction("below", "Only where the nearest neighbour's similarity is below this; 1 for all.", 1.0),
    _PAGE,
    *_YEARS,
    _ADULT,
    tag="walls",
)
def unusual_games(below: float, page: int, from_: int, to: int, adult: bool) -> UnusualGames:
    """The most unusual banners, each with its nearest neighbour."""
    shown = walls.unique_page(gallery(), page, adult, below, walls.years_of(from_, to))
    games = tuple(
        Unusual(one.rank, answers.game_of(one.card), answers.neighbours_of([one.nearest])[0]) for one in shown.cards
    )
    return UnusualGames(answers.paging_of(answers.within_the_api(shown.pager, adult), shown.total), games)


@registry.get(api, "/hubs", Hubs, _PAGE, *_YEARS, _ADULT, tag="walls")
def hub_games(page: int, from_: int, to: int, adult: bool) -> Hubs:
    """The banners that are among the first ten neighbours of the most others."""
    shown = walls.hubs_page(gallery(), page, adult, walls.years_of(from_, to))
    games = tuple(Hub(one.rank, answers.game_of(one.card), one.times) for one in shown.cards)
    return Hubs(answers.paging_of(answers.within_the_api(shown.pager, adult), shown.total), games)


@registry.get(api, "/duplicates", Groups, _PAGE, _ADULT, tag="walls")
def identical_games(page: int, adult: bool) -> Groups:
    """Groups of games whose banners are identical."""
    shown = walls.duplicates_page(gallery(), page, adult)
    groups = tuple(Group(tuple(map(answers.game_of, group))) for group in shown.groups)
    return Groups(answers.paging_of(answers.within_the_api(shown.pager, adult), shown.total), groups)


@registry.get(api, "/popular", PopularGames, _PAGE, *_YEARS, _ADULT, tag="walls")
def popular_games(page: int, from_: int, to: int, adult: bool) -> PopularGames:
    """The benchmark list, each game with its first ten neighbours."""
    shown = walls.popular_page(gallery(), page, adult, walls.years_of(from_, to))
    games = tuple(Popular(answers.game_of(one.card), answers.neighbours_of(one.matches)) for one in shown.games)
    return PopularGames(answers.paging_of(answers.within_the_api(shown.pager, adult), shown.total), games)


@registry.get(api, "/random", Game, _ADULT, tag="walls")
def random_game(adult: bool) -> Game:
    """A game picked at random."""
    opened = gallery()
    rows = opened.named.rows(adult)
    if not len(rows):
        raise NotInCatalogue("This catalogue has no game that may be shown without being asked for.")
    return answers.game_of(pages.card(opened, int(chance.choice(rows))))


@api.get("/openapi.json")
def openapi() -> Response:
    """The document that describes all of it."""
    return jsonify(registry.document(TITLE, ABOUT))


@api.get("/")
def guide() -> str:
    """The same for reading."""
    return render("api.html", groups=registry.by_tag(), about=ABOUT)
