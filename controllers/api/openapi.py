"""The API described, from its addresses, handlers and schemas: OpenAPI 3.1, and a page."""

import json
import re
from typing import Any

from controllers.api.base import CODES, ApiHandler
from controllers.api.schema import FIELDS, ID, OBJECTS, Operation, text
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
# The addresses, with {names} in the paths, and their handlers; `app.py` fills it.
PATHS: list[tuple[str, type[ApiHandler]]] = []


def describe(server: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the operations at PATHS."""
    paths: dict[str, Any] = {}
    for path, handler in PATHS:
        for method in map(str.lower, handler.SUPPORTED_METHODS):
            if operation := getattr(getattr(handler, method), "operation", None):
                described = describe_operation(handler, method, operation)
                paths.setdefault(path, {"parameters": path_parameters(path)})[method] = described
    objects = {
        name: {
            "type": "object",
            "required": [*fields],
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


def path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [parameter(name, "path", ID if name == "id" else text(100)) for name in names]


def describe_operation(handler: Any, method: str, operation: Operation) -> dict[str, Any]:
    summary = getattr(handler, method).__doc__.splitlines()[0]
    result: dict[str, Any] = {"summary": summary, "responses": {}}
    if method.upper() in handler.open_methods:
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
    if method == "get":
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

    async def get(self) -> None:
        await self.send_json(json.dumps(describe(self.base), indent=1).encode())


class GuideHandler(PageHandler):
    """The page: every operation, examples, error codes."""

    public = True

    async def get(self) -> None:
        paths: dict[str, dict[str, Any]] = describe(self.base)["paths"]
        # Summaries stay in English, as programmers' texts do.
        rows = [
            (path, method.upper(), operation["summary"])
            for path, methods in paths.items()
            for method, operation in methods.items()
            if method != "parameters"
        ]
        codes = [(status, code) for status, all_ in CODES.items() for code in sorted(all_)]
        self.render("api/index.html", rows=rows, base=self.base, codes=codes)
