"""Query parameters and uploads, as strangers send them. A page's parameters are the fields of a `Query`; from these the
OpenAPI document is made too. Invalid values raise `BadInput`, which is answered with a 400."""

import socket
import threading
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import request
from msgspec import Meta
from werkzeug.exceptions import RequestEntityTooLarge

from banners.errors import BadInput

ADULT_COOKIE = "adult"
GIVEN_HOST = "steam_clip.host"  # in a request's environment: the Host header as it was sent
MAX_ADDRESS = 8000  # characters; servers refuse a request line of more than about 8,190 bytes
FLAGS = {
    form: is_yes
    for words, is_yes in ((("1", "true", "yes", "on"), True), (("0", "false", "no", "off", ""), False))
    for word in words
    for form in (word, word.capitalize(), word.upper())
}

Appid = Annotated[int, Meta(ge=1, le=2**32 - 1)]
AdultFlag = Annotated[bool, Meta(description="Whether banners that may be explicit are listed, 1 or 0.")]
PageNumber = Annotated[int, Meta(ge=1, le=999_999, description="Which page, from 1.")]


_fields = cache(msgspec.structs.fields)


class Query(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The query parameters of one address; each has a default."""

    takes_odd_numbers: ClassVar[bool] = False  # such as "007" and " +7", as Python's own `int` does


AnyQuery = TypeVar("AnyQuery", bound=Query)


def read(kind: type[AnyQuery], *, from_form: bool = False, **fixed: object) -> AnyQuery:
    """This request's query parameters, but for those that are `fixed`. A form also sends the fields that were left
    empty; `from_form` ignores them.

    Raises `BadInput`.
    """
    given: dict[str, Any] = {}
    for field in _fields(kind):
        values = request.args.getlist(field.encode_name)
        if isinstance(field.default, tuple):
            given[field.encode_name] = values
        elif values and not (from_form and not values[0]):
            value = values[0]
            if isinstance(field.default, bool):
                if value not in FLAGS:
                    raise BadInput(f"{field.encode_name}={value[:20]} is not valid: use 1 or 0.")
                given[field.encode_name] = FLAGS[value]
            elif kind.takes_odd_numbers and isinstance(field.default, int):
                given[field.encode_name] = value
                with suppress(ValueError):
                    given[field.encode_name] = int(value)
            else:
                given[field.encode_name] = value
    try:
        return msgspec.convert(given | fixed, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`").partition("[")[0]
        shown = f"={request.args[name][:20]}" if name in request.args else ""
        raise BadInput(f"{name}{shown} is not valid: {reason[:1].lower()}{reason[1:]}.") from None


def words(given: str) -> str:
    """A text with single spaces between its words and without control characters."""
    return "".join(character for character in " ".join(given.split()) if character.isprintable()).strip()


def parameters_but(*names: str) -> str:
    """This request's parameters for another address, without those of `names` and empty ones."""
    kept = [(name, words(value)) for name, value in request.args.items(multi=True) if name not in names]
    return urlencode([one for one in kept if one[1]], safe="!$'()*,-./:;?@[]^_`{|}~")  # or addresses would grow


def uploaded(name: str, most: int) -> bytes:
    """The bytes of a file, sent in the field `name` of a form or as the body itself. More than `most` are a 413."""
    request.max_content_length = most + 10_000  # for the form around it
    data: bytes | None
    try:
        if request.mimetype == "multipart/form-data":
            file = request.files.get(name)
            data = b"" if file is None else file.read(most + 1)
        else:
            data = request.get_data(cache=False)
    except OSError:  # gunicorn's error for a malformed body
        raise BadInput("The request body is malformed.") from None
    except RequestEntityTooLarge:
        if request.content_length is not None and request.content_length <= most:
            raise BadInput("The form has too many fields, or a text field is too long.") from None
        data = None
    if data is None or len(data) > most:
        discard_body(20)
        raise RequestEntityTooLarge(
            f"A picture may be at most {most // 1_000_000} MB. Make it smaller: 600x900 is enough."
        )
    return data


def discard_body(patience: float) -> None:
    """Read the rest of a body while a megabyte comes within `patience` seconds, up to 130 MB. A client that still
    sends would see a broken connection instead of the answer."""
    connection = request.environ.get("gunicorn.socket")
    for _ in range(130):
        # A client that sends byte by byte would keep the thread in one `read`.
        stop = threading.Timer(patience, connection.shutdown if connection else int, [socket.SHUT_RD])
        stop.start()
        try:
            if not request.environ["wsgi.input"].read(2**20):
                return
        except OSError:
            return
        finally:
            stop.cancel()


def origin() -> str:
    """The beginning of this server's addresses."""
    return f"{request.scheme}://{request.environ[GIVEN_HOST]}"


def shows_adult() -> bool:
    """Whether the reader has chosen to see banners that may be explicit."""
    return request.cookies.get(ADULT_COOKIE) == "1"
