"""The switch for banners that may be explicit: a cookie of this site, no account."""

import re

from flask import Blueprint, abort, redirect, request
from werkzeug.wrappers import Response

from webapp.params import ADULT_COOKIE

_IS_OUR_PATH = re.compile(
    r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,8000}", re.ASCII
)  # "//" and "/\\" begin another site's address

blueprint = Blueprint("adult", __name__)


@blueprint.post("/adult")
def adult() -> Response:
    """Show or hide these banners, and go back to where it was asked."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        abort(403)  # another site's page must not choose for our readers
    try:
        back = request.form.get("back", "/")
    except OSError:  # gunicorn's error for a malformed body
        abort(400)
    if not _IS_OUR_PATH.fullmatch(back) or back == "/adult":
        back = "/"
    response = redirect(back, 303)
    if request.form.get("show") == "1":
        response.set_cookie(
            ADULT_COOKIE, "1", max_age=31_536_000, httponly=True, samesite="Lax", secure=request.is_secure
        )
    else:
        response.delete_cookie(ADULT_COOKIE, httponly=True, samesite="Lax")
    return response
