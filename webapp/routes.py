"""HTML routes, and the JSON behind the search box. A route parses, makes one call and returns."""

import json
import random
import re
from collections.abc import Sequence

from flask import Blueprint, Response, abort, current_app, redirect, request, send_file
from werkzeug.exceptions import RequestEntityTooLarge, TooManyRequests
from werkzeug.wrappers import Response as BaseResponse

from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnusableImage
from banners.images import is_image_file
from webapp import arguments, queries, walls
from webapp import pages as page_objects
from webapp.exhibition import gallery
from webapp.frames import frame, render
from webapp.modes import Mode, mode_of
from webapp.share import share_card
from webapp.uploads import MAX_BYTES

pages = Blueprint("pages", __name__)

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
LOOKS = 12  # of words, below the names
_IS_OUR_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", re.ASCII)  # "//" and "/\\" begin another site's address


@pages.get("/")
def home() -> str:
    """A search box in front, and walls to start from."""
    return render("home.html", page=page_objects.home_page(gallery(), random.Random(), arguments.shows_adult()))


@pages.get("/<mode:mode>")
@pages.get("/<mode:mode>/")
def random_game(mode: Mode) -> BaseResponse:
    """Redirect to a game picked at random."""
    rows = gallery().named.rows(arguments.shows_adult())
    if not len(rows):
        raise NotInCatalogue("This catalogue has no game that may be shown without being asked for.")
    _ = gallery().catalogue.view(_asked_for(mode).view)  # or the game's page would be a 404
    row = int(random.choice(rows))
    response = redirect(_asked_for(mode).url(int(gallery().catalogue.appids[row])))
    response.headers["Cache-Control"] = "no-store"
    return response


@pages.get("/<mode:mode>/<appid:appid>")  # both forms are named, or other methods on the first would be a 404
@pages.get("/<mode:mode>/<appid:appid>/")
@pages.get("/<mode:mode>/<appid:appid>/<appid:n>")
@pages.get("/<mode:mode>/<appid:appid>/<appid:n>/")
def game(mode: Mode, appid: int, n: int | None = None) -> str:
    """Show one game's banner beside its nearest neighbours."""
    page = page_objects.game_page(gallery(), appid, _asked_for(mode), n)
    return render("game.html", frame(page.json_url), page=page)


@pages.get("/share/<appid:appid>.jpg")
def share(appid: int) -> Response:
    """What other sites show beside a link to a game."""
    response = Response(share_card(gallery(), appid), mimetype="image/jpeg")
    response.cache_control.public = True
    response.cache_control.max_age = 86_400
    return response


@pages.get("/search")
def search() -> tuple[str, int] | BaseResponse:
    """Games by name or appid, ranked; straight to the one that was meant where there is no doubt."""
    only = page_objects.only_match(gallery(), arguments.text("q"))
    if only is not None:
        return redirect(Mode().url(only))
    page = page_objects.search_page(gallery(), arguments.text("q"), arguments.page_number())
    status = 400 if page.complaint else 404 if page.pager.is_beyond else 200
    looks = _looks_like(page.query) if status == 200 and page.pager.page == 1 else ()
    return render("search.html", page=page, looks=looks), status


def _looks_like(words: str) -> tuple[page_objects.Match, ...]:
    """The banners that fit words best; none where the catalogue knows no words, or the client has asked for a lot."""
    encoder = gallery().encoder
    if not words or encoder is None or not encoder.has_text:
        return ()
    try:
        parts = [queries.Part("text", words[: queries.MAX_TEXT], is_minus=False)]
        return queries.mix_page(gallery(), parts, LOOKS).matches
    except TooManyRequests:
        return ()
    except BadInput:  # words that the encoder makes nothing of
        return ()
    except BadCatalogue as error:  # the names are there
        current_app.logger.error("no queries by words: %s", error)
        return ()


@pages.get("/mix")
def mix() -> str | tuple[str, int] | BaseResponse:
    """What looks like several games, words or a picture at once, and not like others."""
    queries.encoder_of(gallery())
    parts = arguments.parts()
    added = arguments.text("add")
    if added:  # typed into the page's form: a game by name or number, else words
        part = queries.meant(gallery(), added, arguments.choice("as", ("plus", "minus")) == "minus")
        complaint = f"No game here has a name like “{added}”." if part is None else ""
        complaint = "That is part of your mix already." if part in parts else complaint
        if part is None or complaint:
            return render("mix.html", page=queries.mix_page(gallery(), parts, queries.MIXED, complaint)), 400
        queries.check([*parts, part])
        return redirect(queries.url_of([*parts, part]), 303)
    count = arguments.whole("n", queries.MIXED, 1, queries.MAX_NEAREST)
    return render("mix.html", page=queries.mix_page(gallery(), parts, count))


@pages.get("/upload")
def upload_form() -> str:
    """Choose a picture, for itself or to join a query."""
    queries.encoder_of(gallery())
    return _upload_page([part for part in arguments.parts() if part.kind != "picture"], "")


@pages.post("/upload")
def upload() -> tuple[str, int] | BaseResponse:
    """From a picture to the banners that look like it. Nothing of it is kept."""
    others = [part for part in arguments.parts() if part.kind != "picture"]
    queries.check([*others, queries.Part("picture", "", is_minus=False)])  # before the work is done
    try:
        picture = queries.picture_of(queries.embed_upload(gallery(), arguments.uploaded("picture", MAX_BYTES)))
    except UnusableImage as error:
        return _upload_page(others, f"{page_objects.capitalised(str(error))}. Send a JPEG, PNG or WebP."), 415
    except RequestEntityTooLarge as error:
        return _upload_page(others, error.description or ""), 413
    return redirect(queries.url_of([queries.Part("picture", picture, is_minus=False), *others]), 303)


def _upload_page(others: Sequence[queries.Part], complaint: str) -> str:
    return render("upload.html", page=queries.UploadPage(queries.parameters_of(others), complaint))


@pages.get("/labels")
def label_list() -> str:
    """All terms that banners are labelled with."""
    return render("labels.html", page=walls.labels_page(gallery()))


@pages.get("/label")
def label() -> str:
    """The banners that fit a term best."""
    return render("label.html", page=walls.label_page(gallery(), arguments.text("name"), arguments.shows_adult()))


@pages.get("/suggest")
def suggest() -> Response:
    """What the search box offers while somebody types."""
    found = page_objects.suggestions(gallery(), arguments.text("q"))
    text = _encode(vars(found) | {"suggestions": [vars(one) for one in found.suggestions]})
    response = Response(text.encode(), mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@pages.get("/unique")
def unique() -> tuple[str, int]:
    """The most unusual banners, each with its nearest neighbour."""
    years = _years()
    below = arguments.fraction("below", 1)
    page = walls.unique_page(gallery(), arguments.page_number(), arguments.shows_adult(), below, years)
    return render("unique.html", page=page), 404 if page.pager.is_beyond else 200


@pages.get("/hubs")
def hubs() -> tuple[str, int]:
    """The banners that are among the neighbours of the most others."""
    page = walls.hubs_page(gallery(), arguments.page_number(), arguments.shows_adult(), _years())
    return render("hubs.html", page=page), 404 if page.pager.is_beyond else 200


@pages.get("/duplicates")
def duplicates() -> tuple[str, int]:
    """Groups of games with the identical banner."""
    page = walls.duplicates_page(gallery(), arguments.page_number(), arguments.shows_adult())
    return render("duplicates.html", page=page), 404 if page.pager.is_beyond else 200


@pages.get("/popular")
def popular() -> tuple[str, int]:
    """The benchmark list, each game with its ten neighbours."""
    page = walls.popular_page(gallery(), arguments.page_number(), arguments.shows_adult(), _years())
    return render("popular.html", page=page), 404 if page.pager.is_beyond else 200


@pages.get("/random")
def random_page() -> BaseResponse:
    """The same under the name that people guess."""
    return random_game(Mode())


@pages.get("/about")
def about() -> str:
    """What this is, how it was made, and what it cannot tell."""
    return render("about.html", page=page_objects.about_page(gallery()))


@pages.post("/adult")
def adult() -> BaseResponse:
    """Show or hide banners that may be explicit: a cookie of this site, no account. Goes back to where it was asked."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403)  # another site's page must not choose for our readers
    try:
        back = request.form.get("back", "/")
    except OSError:  # what gunicorn makes of a malformed body
        abort(400)
    if not _IS_OUR_PATH.fullmatch(back) or back == "/adult":
        back = "/"
    response = redirect(back, 303)
    if request.form.get("show") == "1":
        response.set_cookie(
            arguments.ADULT_COOKIE, "1", max_age=31_536_000, httponly=True, samesite="Lax", secure=request.is_secure
        )
    else:
        response.delete_cookie(arguments.ADULT_COOKIE, httponly=True, samesite="Lax")
    return response


@pages.get("/aspect.css")
def aspect() -> Response:
    """The aspect of the catalogue's images. A style attribute would need a weaker Content-Security-Policy."""
    width, height = gallery().image_size
    response = Response(f":root {{ --aspect: {width} / {height}; }}\n", mimetype="text/css")
    if request.args.get("v") == f"{width}x{height}":  # as pages name it
        response.cache_control.public = True
        response.cache_control.max_age = 31_536_000
    return response


@pages.get("/banners/<appid:appid>.<any(jpg, png, webp):suffix>")
def banner(appid: int, suffix: str) -> Response:
    """A local banner; its file was found when the server started, nothing of the address reaches the file system."""
    path = gallery().local_images.get(appid)
    if path is None or path.suffix.lower() != f".{suffix}" or not is_image_file(path):
        abort(404)
    return send_file(path, conditional=True, max_age=86_400)


def _asked_for(mode: Mode) -> Mode:
    if not request.query_string:
        return mode
    return mode_of(mode, arguments.flag("mirror"), arguments.flag("flip"))


def _years() -> tuple[int, int] | None:
    return walls.years_of(arguments.whole("from", 0, 0, 9999), arguments.whole("to", 0, 0, 9999))
