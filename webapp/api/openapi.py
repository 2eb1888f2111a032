"""JSON endpoints, and the OpenAPI 3.1 document that describes them. Both follow from the annotations of a view: its
parameter `query` is a schema of parameters, what it returns is encoded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec
from flask import Blueprint, Response

from webapp.api.tables import FormatQuery, Row, csv_response
from webapp.params import FLAGS, Query, read

VERSION = "2.3.0"  # of the API
_REF = "#/components/schemas/{name}"
_STATUSES = {
    400: "A parameter is not valid.",
    404: "Nothing of that kind is in this catalogue.",
    413: "The upload is too large.",
    415: "The upload is no picture that can be used.",
    429: "Too many queries; the header Retry-After says for how many seconds.",
    501: "This catalogue lacks what that needs.",
    503: "Too many uploads at once, or a part of the catalogue or its database cannot be read. Try again in a moment.",
}


@dataclass(frozen=True)
class Problem:
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True)
class Endpoint:
    """`rule` is Flask's. `body` is what a POST takes: media type to schema. `statuses` are the errors beside 400 and
    404. `table` makes the rows of a list for CSV from what the view returns."""

    rule: str
    tag: str
    summary: str
    name: str
    query: type[Query]
    returns: Any
    method: str = "get"
    statuses: Sequence[int] = ()
    body: Mapping[str, Any] | None = None
    table: Callable[[Any], Iterable[Row]] | None = None

    @property
    def path(self) -> str:
        return self.rule.replace("<appid:appid>", "{appid}")

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The query parameters, as the document lists them."""
        schemas = (self.query, FormatQuery) if self.table else (self.query,)
        components = msgspec.json.schema_components(schemas)[1]
        return [
            {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": _sent(schema)}
            for declared in schemas
            for name, schema in components[declared.__name__]["properties"].items()
        ]

    def operation(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """This endpoint in the document; `schema` is that of what it returns."""
        appid = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
        in_path = [{"name": "appid", "in": "path", "required": True, "schema": appid}] if "{" in self.path else []
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if self.table:
            content["text/csv"] = {"schema": {"type": "string"}}
        answers = {"200": {"description": "The answer.", "content": content}}
        for status in (400, 404, *self.statuses):
            content = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
            answers[str(status)] = {"description": _STATUSES[status], "content": content}
        described = {
            "operationId": self.name,
            "summary": self.summary,
            "tags": [self.tag],
            "parameters": [*in_path, *self.parameters],
            "responses": answers,
        }
        if self.body:
            content = {kind: {"schema": schema} for kind, schema in self.body.items()}
            described["requestBody"] = {"required": True, "content": content}
        return described


def _sent(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema as it is sent in an address, where yes and no are words."""
    return {"type": "string", "enum": list(FLAGS), "default": "0"} if schema.get("type") == "boolean" else schema


endpoints: list[Endpoint] = []  # of all blueprints, in the order in which they are declared


def route(blueprint: Blueprint, rule: str, tag: str, **declared: Any) -> Callable[[Any], Any]:
    """Answer `rule` with what the decorated view returns. `declared` are further fields of `Endpoint`; they override
    what follows from the view."""

    def register(view: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(view, include_extras=True)
        summary = " ".join((declared.pop("summary", None) or view.__doc__ or "").split())
        fields = {"name": view.__name__, "query": hints.get("query", Query), "returns": hints.get("return")} | declared
        endpoint = Endpoint((blueprint.url_prefix or "") + rule, tag, summary, **fields)
        endpoints.append(endpoint)

        def answer(**path: Any) -> Response:
            query = {} if endpoint.query is Query else {"query": read(endpoint.query)}
            table = endpoint.table if endpoint.table and read(FormatQuery).format == "csv" else None
            returned = view(**path, **query)
            if table:
                return csv_response(table(returned), endpoint.name)
            return Response(msgspec.json.encode(returned), mimetype="application/json")

        blueprint.add_url_rule(rule, endpoint.name, answer, methods=[endpoint.method.upper()])
        return view

    return register


def document(title: str, about: str) -> dict[str, Any]:
    """The OpenAPI document of all endpoints."""
    returned = [endpoint.returns for endpoint in endpoints]
    schemas, components = msgspec.json.schema_components([*returned, Problem], ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": about, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "paths": {
            endpoint.path: {endpoint.method: endpoint.operation(schema)}
            for endpoint, schema in zip(endpoints, schemas, strict=False)  # the last is that of Problem
        },
        "components": {"schemas": components},
    }
