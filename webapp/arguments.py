"""Query parameters, as strangers send them, and the one cookie. What is not valid raises `BadInput`, which is a 400."""

import re
from collections.abc import Sequence

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from banners.errors import BadInput
from banners.games_csv import parse_appid
from webapp.queries import PARAMETERS, Part, check

ADULT_COOKIE = "adult"
YES, NO = (
    tuple(form for word in words for form in dict.fromkeys((word, word.capitalize(), word.upper())))
    for words in (("1", "true", "yes", "on"), ("0", "false", "no", "off", ""))
)


def text(name: str, default: str = "", least: int = 0, most: int = 8190) -> str:
    """Words between single spaces, without control characters. The limits are for what was sent, in characters."""
    given = request.args.get(name, default)
    if not least <= len(given) <= most:
        raise BadInput(f"{name} must have {least} to {most} characters, not {len(given)}.")
    return _words(given)


def parts() -> list[Part]:
    """What a query is made of, each parameter as often as it is given."""
    given = [
        Part(kind, _words(value) if kind == "text" else value, is_minus)
        for name, (kind, is_minus) in PARAMETERS.items()
        for value in request.args.getlist(name)
    ]
    for part in given:
        if part.kind == "game":
            parse_appid(part.value)
    check(given)
    return given


def uploaded(name: str, most: int) -> bytes:
    """The bytes of a file that was sent as a form's, or as the body itself. More than `most` are a 413."""
    request.max_content_length = most + 10_000  # for the form around it
    try:
        if request.mimetype == "multipart/form-data":
            file = request.files.get(name)
            data = b"" if file is None else file.read(most + 1)
        else:
            data = request.get_data(cache=False)
    except OSError:  # what gunicorn makes of a malformed body
        raise BadInput("What was sent is malformed.") from None
    except RequestEntityTooLarge:
        if request.content_length is not None and request.content_length <= most:
            raise BadInput("That form has too many fields, or too much in one that is no file.") from None
        raise
    if len(data) > most:
        raise RequestEntityTooLarge(f"A picture may be at most {most // 1_000_000} MB.")
    return data


def _words(given: str) -> str:
    words = " ".join(given.split())
    if words.isprintable():
        return words
    return "".join(character for character in words if character.isprintable()).strip()


def flag(name: str) -> bool:
    given = request.args.get(name, "")
    if given in YES:
        return True
    if given in NO:
        return False
    raise BadInput(f"{name}={given[:20]} is neither yes nor no; use {name}=1 or {name}=0.")


def whole(name: str, default: int, least: int, most: int) -> int:
    given = request.args.get(name, "") or str(default)
    if re.fullmatch(r"-?[0-9]{1,12}", given, re.ASCII) and least <= int(given) <= most:
        return int(given)
    raise BadInput(f"{name}={given[:20]} is not a whole number from {least} to {most}.")


def fraction(name: str, default: float) -> float:
    """A similarity, or whatever else lies in [-1, 1]."""
    given = request.args.get(name, "") or str(default)
    if re.fullmatch(r"-?(?=\.?[0-9])[0-9]{0,3}(\.[0-9]{0,40})?(e[-+]?[0-9]{1,3})?", given, re.ASCII | re.IGNORECASE):
        value = float(given)
        if -1 <= value <= 1:
            return value
    raise BadInput(f"{name}={given[:20]} is not a number from -1 to 1.")


def page_number() -> int:
    return whole("page", 1, 1, 999_999)


def choice(name: str, choices: Sequence[str]) -> str:
    """One of `choices`, by default the first."""
    given = request.args.get(name, "") or choices[0]
    if given in choices:
        return given
    raise BadInput(f"{name}={given[:20]} is none of {', '.join(choices)}.")


def shows_adult() -> bool:
    """Whether the reader has chosen to see banners that may be explicit."""
    return request.cookies.get(ADULT_COOKIE) == "1"
