"""Query parameters, as strangers send them, and addresses. A page's parameters are the fields of a `Query`; from these
the OpenAPI document is made too. Invalid values raise `BadInput`, which is answered with a 400."""

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import request
from msgspec import Meta

from banners.errors import BadInput

ADULT_COOKIE = "adult"
API = "/api/v1/"  # the JSON of the pages
_UNESCAPED = "!$'()*,-./:;?@[]^_`{|}~"
GIVEN_HOST = "steam_clip.host"  # in a request's environment: the Host header as it was sent
MAX_ADDRESS = 8000  # characters; servers refuse a request line of more than about 8,190 bytes
FLAGS = {
    form: is_yes
    for words, is_yes in ((("1", "true", "yes", "on"), True), (("0", "false", "no", "off", ""), False))
    for word in words
    for form in (word, word.capitalize(), word.upper())
}

Appid = Annotated[int, Meta(ge=1, le=2**32 - 1)]
AdultFlag = Annotated[bool, Meta(description="Whether covers that may be explicit are listed, 1 or 0.")]
PageNumber = Annotated[int, Meta(ge=1, le=999_999, description="Which page, from 1.")]


Pairs = tuple[tuple[str, str], ...]  # names and values of parameters, in the order of an address
_fields = cache(msgspec.structs.fields)


class Query(msgspec.Struct, kw_only=True):
    """The query parameters of one address; each has a default."""

    takes_python_integers: ClassVar[bool] = False  # such as "007" and " +7", as Python's own `int` does

    def pairs(self, *names: str) -> Pairs:
        """The parameters that are set, or those among `names`."""
        return tuple(
            (field.encode_name, "1" if value is True else f"{value}")
            for field in _fields(type(self))
            if (not names or field.encode_name in names) and getattr(self, field.name) != field.default
            for value in _values(getattr(self, field.name))
        )


def _values(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


AnyQuery = TypeVar("AnyQuery", bound=Query)


def read(schema: type[AnyQuery], *, from_form: bool = False, **fixed: object) -> AnyQuery:
    """This request's query parameters, but for those that are `fixed`. A form also sends the fields that were left
    empty; `from_form` ignores them.

    Raises `BadInput`.
    """
    values = dict(fixed)
    for field in _fields(schema):
        sent: list[str] = request.args.getlist(field.encode_name)
        is_left_empty = from_form and sent[:1] == [""] and not isinstance(field.default, tuple)
        if sent and not is_left_empty and field.name not in fixed:
            try:
                values[field.name] = _value(field, sent, schema.takes_python_integers)
            except msgspec.ValidationError as error:
                reason = str(error).partition(" - at ")[0]
                raise BadInput(
                    f"{field.encode_name}={sent[0][:20]} is not valid: {reason[:1].lower()}{reason[1:]}."
                ) from None
    return schema(**values)


def _value(field: msgspec.structs.FieldInfo, sent: list[str], takes_python_integers: bool) -> object:
    """The value of a field. Raises `BadInput`, `msgspec.ValidationError`."""
    value: object = sent if isinstance(field.default, tuple) else sent[0]
    if isinstance(field.default, bool):
        if value not in FLAGS:
            raise BadInput(f"{field.encode_name}={sent[0][:20]} is not valid: use 1 or 0.")
        value = FLAGS[sent[0]]
    elif takes_python_integers and isinstance(field.default, int):
        with suppress(ValueError):
            value = int(sent[0])
    return msgspec.convert(value, field.type, strict=False)


def address(path: str, pairs: Iterable[tuple[str, object]] = ()) -> str:
    """An address of this site. Parameters whose value is empty are left out."""
    query = [(name, str(value)) for name, value in pairs if value not in ("", None)]
    # Only what would end the query is escaped, or addresses would grow each time.
    return path + (f"?{urlencode(query, safe=_UNESCAPED)}" if query else "")


def words(text: str) -> str:
    """`text` with single spaces between its words and without control characters."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable()).strip()


def parameters_but(*names: str) -> Pairs:
    """This request's parameters, without those of `names`, for another address."""
    return tuple((name, words(value)) for name, value in request.args.items(multi=True) if name not in names)


def origin() -> str:
    """The beginning of this server's addresses."""
    return f"{request.scheme}://{request.environ[GIVEN_HOST]}"


def shows_adult() -> bool:
    """Whether the reader has chosen to see covers that may be explicit."""
    return request.cookies.get(ADULT_COOKIE) == "1"
