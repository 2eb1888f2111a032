"""What browsers and caches in between may keep."""

from flask import Response, request

ONE_DAY = 86_400
ONE_YEAR = 365 * ONE_DAY


def cache(response: Response, version: str) -> Response:
    """Let caches keep a response: for a year if this address has its `version` (?v=...), as those on pages do, else for
    a day."""
    is_versioned = request.args.get("v") == version
    response.cache_control.no_cache = None
    response.cache_control.public = True
    response.cache_control.max_age = ONE_YEAR if is_versioned else ONE_DAY
    response.cache_control.immutable = is_versioned
    return response
