"""The API described, from its addresses, handlers and schemas: OpenAPI 3.1, and a page."""

import json
import re
from collections.abc import Iterable
from typing import Any

from controllers.api.base import CODES, MORE_CODES, ApiHandler
from controllers.api.schema import FIELDS, ID, OBJECTS, SOMETIMES, Operation, text
from controllers.base import PageHandler

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "current": {"type": "object"},
    },
}

Paths = Iterable[tuple[str, type[ApiHandler]]]  # with {names} in the paths


def describe(addresses: Paths, server: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of what is at `addresses`."""
    paths: dict[str, Any] = {}
    for path, handler in addresses:
        for method in handler.SUPPORTED_METHODS:
            operation = getattr(getattr(handler, method.lower()), "operation", None)
            if operation:
                paths.setdefault(path, {})[method.lower()] = describe_operation(
                    handler, method, operation
                )
        paths[path]["parameters"] = [
            parameter(name, "path", ID if name == "id" else text(100))
            for name in re.findall(r"{(\w+)}", path)
        ]
    objects = {
        name: {
            "type": "object",
            "required": [field for field in fields if field not in SOMETIMES],
            "properties": fields,
        }
        for name, fields in OBJECTS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Afazeres", "version": "1"},
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": objects | {"Problem": PROBLEM},
        },
    }


def describe_operation(handler: Any, method: str, operation: Operation) -> dict[str, Any]:
    function = getattr(handler, method.lower())
    result: dict[str, Any] = {"summary": function.__doc__.splitlines()[0], "responses": {}}
    if handler.public or method in handler.open_methods:
        result["security"] = []
    if operation.takes:
        read_only = {name: {"readOnly": True} for name in sorted(operation.ignored)}
        fields = {name: FIELDS[name] for name in operation.takes} | read_only
        body: dict[str, Any] = {"type": "object", "properties": fields}
        body |= {"required": [*operation.requires], "additionalProperties": False}
        result["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    many = operation.returns.startswith("[")
    good: dict[str, Any] = {"description": "Done"}
    if operation.returns:
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{operation.returns.strip('[]')}"}
        schema = {"type": "array", "items": schema} if many else schema
        good["content"] = {"application/json": {"schema": schema}}
    if many:
        start = parameter("cursor", "query", text(200))
        if operation.returns == "[Change]":
            start = parameter("since", "query", {"type": "integer", "minimum": 0})
            good["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        limit = parameter("limit", "query", {"type": "integer", "minimum": 1})
        result["parameters"] = [limit, start]
    if method == "GET":
        result["responses"]["304"] = {"description": "Not modified"}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    wrong = {"description": "A problem", "content": {"application/problem+json": problem}}
    result["responses"] |= {str(operation.status): good, "default": wrong}
    return result


def parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a parameter; `place` is "path" or "query"."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


class OpenApiHandler(ApiHandler):
    public = True

    def initialize(self, paths: Paths) -> None:
        self.paths = paths

    async def get(self) -> None:
        self.send_json(json.dumps(describe(self.paths, self.base), indent=1).encode())


class GuideHandler(PageHandler):
    """The page: every operation, examples, error codes."""

    public = True

    def initialize(self, paths: Paths) -> None:
        self.paths = paths

    async def get(self) -> None:
        paths: dict[str, dict[str, Any]] = describe(self.paths, self.base)["paths"]
        # Summaries stay in English, as programmers' texts do.
        rows = [
            (path, method.upper(), operation["summary"])
            for path, methods in paths.items()
            for method, operation in methods.items()
            if method != "parameters"
        ]
        codes = sorted([*CODES.items(), *MORE_CODES])
        self.render("api/index.html", rows=rows, base=self.base, codes=codes)
