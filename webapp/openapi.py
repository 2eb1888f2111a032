"""OpenAPI 3.1 from the code: endpoints announce their parameters and the dataclass that they return."""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from flask import Blueprint, Response, jsonify, request

from banners.errors import BadInput
from webapp import arguments

VERSION = "1.0.0"

_PRIMITIVES: Mapping[Any, Mapping[str, str]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
}
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_TROUBLES = {
    400: "A parameter is not valid.",
    404: "Nothing of that kind is in this catalogue.",
    413: "What was sent is too large.",
    415: "What was sent is no picture that can be used.",
    429: "Too much at once; the header Retry-After says for how many seconds.",
    501: "This catalogue was made without the means for that.",
}


@dataclass(frozen=True)
class Parameter:
    """A query parameter: its schema in the document, and how it is read from a request."""

    name: str
    schema: Mapping[str, Any]
    about: str
    read: Callable[[], Any]

    def value(self) -> Any:
        """What a request gives. Raises `BadInput`; also for a number that is left empty, as forms may do on pages."""
        if request.args.get(self.name) == "" and self.schema["type"] != "string":
            raise BadInput(f"{self.name} is empty.")
        return self.read()


def text(name: str, about: str, default: str = "", least: int = 0, most: int = 200) -> Parameter:
    schema = {"type": "string", "default": default, "minLength": least, "maxLength": most}
    return Parameter(name, schema, about, lambda: arguments.text(name, default, least, most))


def whole(name: str, about: str, default: int, least: int, most: int) -> Parameter:
    schema = {"type": "integer", "default": default, "minimum": least, "maximum": most}
    return Parameter(name, schema, about, lambda: arguments.whole(name, default, least, most))


def fraction(name: str, about: str, default: float) -> Parameter:
    schema = {"type": "number", "default": default, "minimum": -1, "maximum": 1}
    return Parameter(name, schema, about, lambda: arguments.fraction(name, default))


def flag(name: str, about: str) -> Parameter:
    schema = {"type": "string", "default": "0", "enum": [*arguments.YES, *arguments.NO]}
    return Parameter(name, schema, about, lambda: arguments.flag(name))


def choice(name: str, about: str, choices: Sequence[str]) -> Parameter:
    schema = {"type": "string", "default": choices[0], "enum": list(choices)}
    return Parameter(name, schema, about, lambda: arguments.choice(name, choices))


def several(name: str, about: str, items: Mapping[str, Any], most: int) -> Parameter:
    """One that may be given repeatedly. The view does not get it: what it means together with others is read whole."""
    return Parameter(name, {"type": "array", "items": items, "maxItems": most}, about, lambda: None)


@dataclass(frozen=True)
class Endpoint:
    """`rule` is Flask's; `returns` a dataclass, a primitive, or a tuple of one. `body` is what a POST takes: media type
    to schema. `troubles` are the statuses of errors beside 400 and 404."""

    method: Literal["get", "post"]
    rule: str
    name: str
    about: str
    parameters: Sequence[Parameter]
    returns: Any
    tag: str
    body: Mapping[str, Any] | None = None
    troubles: Sequence[int] = ()

    @property
    def path(self) -> str:
        return self.rule.replace("<appid:appid>", "{appid}")


class Registry:
    """The endpoints of one or more blueprints, in the order in which they are written."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def get(
        self,
        blueprint: Blueprint,
        rule: str,
        returns: Any,
        *parameters: Parameter,
        tag: str,
        troubles: Sequence[int] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Answer GET `rule` with what the view returns as JSON. The view gets `parameters` as keyword arguments."""
        return self._register(blueprint, "get", rule, returns, parameters, tag, None, troubles)

    def post(
        self,
        blueprint: Blueprint,
        rule: str,
        returns: Any,
        *parameters: Parameter,
        tag: str,
        body: Mapping[str, Any],
        troubles: Sequence[int] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """The same for POST; the view reads the body."""
        return self._register(blueprint, "post", rule, returns, parameters, tag, body, troubles)

    def _register(
        self,
        blueprint: Blueprint,
        method: Literal["get", "post"],
        rule: str,
        returns: Any,
        parameters: Sequence[Parameter],
        tag: str,
        body: Mapping[str, Any] | None,
        troubles: Sequence[int],
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(view: Callable[..., Any]) -> Callable[..., Any]:
            about = " ".join((view.__doc__ or "").split())
            whole_rule = (blueprint.url_prefix or "") + rule
            self.endpoints.append(
                Endpoint(method, whole_rule, view.__name__, about, parameters, returns, tag, body, troubles)
            )

            @wraps(view)
            def answer(**path: Any) -> Response:
                given = {
                    _keyword(parameter.name): parameter.value()
                    for parameter in parameters
                    if parameter.schema["type"] != "array"
                }
                return jsonify(view(**path, **given))

            blueprint.add_url_rule(rule, view.__name__, answer, methods=[method.upper()])
            return view

        return register

    def by_tag(self) -> dict[str, list[Endpoint]]:
        """The endpoints of each tag, in the order in which they are written."""
        groups: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints:
            groups.setdefault(endpoint.tag, []).append(endpoint)
        return groups

    def document(self, title: str, about: str) -> dict[str, Any]:
        """The OpenAPI document of all endpoints."""
        schemas: dict[str, Any] = {"Problem": _PROBLEM}
        paths = {
            endpoint.path: {
                endpoint.method: {
                    "operationId": endpoint.name,
                    "summary": endpoint.about,
                    "tags": [endpoint.tag],
                    "parameters": _path_parameters(endpoint)
                    + [
                        {"name": one.name, "in": "query", "description": one.about, "schema": dict(one.schema)}
                        for one in endpoint.parameters
                    ],
                    **(
                        {
                            "requestBody": {
                                "required": True,
                                "content": {kind: {"schema": schema} for kind, schema in endpoint.body.items()},
                            }
                        }
                        if endpoint.body
                        else {}
                    ),
                    "responses": {
                        "200": {
                            "description": "The answer.",
                            "content": {"application/json": {"schema": _schema(endpoint.returns, schemas)}},
                        },
                        **{
                            str(status): {
                                "description": meaning,
                                "content": {
                                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                                },
                            }
                            for status, meaning in _TROUBLES.items()
                            if status in (400, 404, *endpoint.troubles)
                        },
                    },
                }
            }
            for endpoint in self.endpoints
        }
        return {
            "openapi": "3.1.0",
            "info": {"title": title, "version": VERSION, "description": about, "license": {"name": "MIT"}},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": schemas},
        }


def _keyword(name: str) -> str:
    """A parameter's name as Python takes it: "from" and "id" are taken."""
    return f"{name}_" if name in ("from", "id") else name


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if "{appid}" not in endpoint.path:
        return []
    schema = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
    return [{"name": "appid", "in": "path", "required": True, "description": "Steam's number.", "schema": schema}]


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a type; dataclasses go to `schemas` and are referred to."""
    if kind in _PRIMITIVES:
        return dict(_PRIMITIVES[kind])
    if kind is type(None):
        return {"type": "null"}
    if kind is dict:
        return {"type": "object"}
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(inner)}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0], schemas)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, schemas) for one in inner]}
    if not is_dataclass(kind):
        raise TypeError(f"{kind} has no schema")
    name = kind.__name__  # type: ignore[union-attr]
    if name not in schemas:
        schemas[name] = {}  # before its fields: they may refer to it
        hints = get_type_hints(kind)
        schemas[name] = {
            "type": "object",
            "description": " ".join((kind.__doc__ or "").split()),
            "required": [field.name for field in fields(kind)],
            "properties": {field.name: _schema(hints[field.name], schemas) for field in fields(kind)},
        }
    return {"$ref": f"#/components/schemas/{name}"}
