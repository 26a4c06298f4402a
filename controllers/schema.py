"""The language of the API: its JSON, what may be in it, and its description in OpenAPI 3.1.

Objects and fields are told once, as JSON Schema with the models' own limits; bodies are checked
against it, and the description is made of it, of the addresses and of the handlers' docstrings.
"""

import json
import re
from collections.abc import Iterable
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

from tornado.web import HTTPError

from models import api_tokens, lists, messages, todos, users
from models.errors import Invalid
from models.text import N_, check

BODY_LIMIT = 256 * 1024  # bytes: notes of 16,000 characters fit, however they are written
DEPTH, DIGITS = 32, 19  # of objects in objects, of a number
SAFE = 2**53  # up to here every whole number is a double, and so the same in JavaScript


class ApiError(HTTPError):
    """What a program sent can't be taken; `code` ends the problem's type (RFC 9457)."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(status)
        self.code = code
        self.sentence = sentence


class Operation(NamedTuple):
    """What one method of one address takes and gives."""

    status: int
    gives: str  # the name of one of OBJECTS, in [] for a page of them, or nothing
    takes: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def ignores(self) -> set[str]:
        """The fields that may come, as a program may send what it got, and change nothing."""
        return READ_ONLY.union(OBJECTS.get(self.gives, ())) - {*self.takes}


def text(most: int, least: int = 1) -> dict[str, Any]:
    """Return the schema of a text."""
    return {"type": "string", "minLength": least, "maxLength": most}


INSTANT = {"type": "string", "format": "date-time"}
NUMBER = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
URL = {"type": "string", "format": "uri"}
FIELDS: dict[str, dict[str, Any]] = {  # of bodies
    "title": text(todos.TITLE_LIMIT),
    "notes": text(todos.NOTES_LIMIT, 0),
    "completed": {"type": "boolean"},
    "order": {"type": "number", "minimum": -SAFE, "maximum": SAFE},
    "list": NUMBER,
    "name": text(lists.NAME_LIMIT),
    "text": text(messages.TEXT_LIMIT),
    "username": text(100),
    "role": {"type": "string", "enum": [*lists.ROLES]},
    "password": text(users.PASSWORD_LIMIT),
    "scope": {"type": "string", "enum": [*api_tokens.SCOPES]},
    "expires": {"type": ["string", "null"], "format": "date-time"},
}
NOT_JSON = N_("Send uncompressed application/json.")
READ_ONLY = {"id", "list", "url", "version", "created", "updated", "role", "open"}
ROLE = FIELDS["role"]
SOMETIMES = {"assigned"}  # is there when somebody shall do it
OBJECTS: dict[str, dict[str, dict[str, Any]]] = {  # what answers are made of
    "Todo": {
        "id": NUMBER,
        "list": NUMBER,
        **{name: FIELDS[name] for name in ("title", "notes", "completed", "order")},
        "created": INSTANT,
        "updated": INSTANT,
        "version": NUMBER,
        "url": URL,
        "assigned": text(40),
    },
    "List": {
        "id": NUMBER,
        "name": FIELDS["name"],
        "role": ROLE,
        "version": NUMBER,
        "open": {"type": "integer", "minimum": 0},
        "url": URL,
    },
    "Message": {
        "id": NUMBER,
        "user": {"type": ["string", "null"]},
        "text": FIELDS["text"],
        "created": INSTANT,
    },
    "Member": {"username": text(40), "role": ROLE},
    "Token": {
        "id": NUMBER,
        "name": FIELDS["name"],
        "scope": FIELDS["scope"],
        "created": INSTANT,
        "last_used": {"type": ["string", "null"], "format": "date-time"},
        "expires": FIELDS["expires"],
    },
    "NewToken": {"id": NUMBER, "name": FIELDS["name"], "token": text(100)},
    "Change": {
        "id": NUMBER,
        "version": NUMBER,
        "verb": text(20),
        "kind": {"type": "string", "enum": ["todo", "list", "member", "message"]},
        "user": {"type": ["string", "null"]},
        "at": INSTANT,
        "before": {"type": "array", "items": {"type": "object"}},
        "after": {"type": "array", "items": {"type": "object"}},
    },
}
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
TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raises ValueError for doubled names, which readers differ on."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def whole(digits: str) -> int:
    """Return a whole number; raises ValueError for a very long one."""
    if len(digits) > DIGITS:
        raise ValueError
    return int(digits)


def fraction(digits: str) -> float:
    """Return a number; raises ValueError for one that isn't finite, such as NaN and 1e999."""
    value = float(digits)
    if not isfinite(value):
        raise ValueError
    return value


STRICT = json.JSONDecoder(
    object_pairs_hook=unique, parse_int=whole, parse_float=fraction, parse_constant=fraction
)


def read_json(body: bytes, content_type: str, encoding: str) -> Any:
    """Return what a request's body says. Raises ApiError for what isn't strict JSON (RFC 8259)."""
    kind, _, charset = content_type.lower().partition(";")
    fair = not charset or re.fullmatch(r'\s*charset="?utf-8"?\s*', charset)
    if kind.strip() != "application/json" or encoding not in ("", "identity") or not fair:
        raise ApiError(415, "content_type", NOT_JSON)
    if len(body) > BODY_LIMIT:
        raise ApiError(413, "too_large", N_("The body is too large."))
    try:
        value = STRICT.decode(body.decode())
        if depth(value) > DEPTH:
            raise ValueError
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_json", N_("The body must be strict JSON in UTF-8.")) from None
    return value


def depth(value: Any) -> int:
    """Return how many values there are inside of each other, itself included."""
    levels, level = 0, [value]
    while level:
        levels += 1
        outer = [each for each in level if type(each) in (dict, list)]
        inner = (each.values() if type(each) is dict else each for each in outer)
        level = [*chain.from_iterable(inner)]
    return levels


def check_body(body: Any, operation: Operation) -> dict[str, Any]:
    """Return the fields of a body that the operation takes.

    Raises ApiError when it is no object, Invalid for a field that it doesn't know, lacks, or that
    is of another type; what may be in a text is for the models to say.
    """
    if type(body) is not dict:
        raise ApiError(400, "bad_json", N_("The body must be a JSON object."))
    for name in body:
        if name not in operation.takes and name not in operation.ignores:
            raise Invalid(name, N_("Unknown field."))
    for name in operation.needs:
        if name not in body:
            raise Invalid(name, N_("Required."))
    found = {name: body[name] for name in operation.takes if name in body}
    for name, value in found.items():
        check_value(name, value)
    return found


def check_value(name: str, value: Any) -> None:
    """Raise Invalid when a value doesn't fit the schema of its field."""
    schema = FIELDS[name]
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    fits = [t for t in types if isinstance(value, TYPES[t])]  # type: ignore[arg-type]
    if not fits or (type(value) is bool and "boolean" not in types):
        raise Invalid(name, N_("This must be of type {type}."), type=" / ".join(types))
    if type(value) is str:
        check(name, value, schema.get("maxLength", len(value)))
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and not least <= value <= most:
        raise Invalid(name, N_("This number is out of range."))


def describe(addresses: Iterable[tuple[str, Any]], server: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the handlers in `addresses`: pairs of path and class.

    Paths hold `{names}`.
    """
    paths: dict[str, Any] = {}
    for path, handler in addresses:
        for method in handler.methods():
            told = getattr(getattr(handler, method.lower()), "operation", None)
            if told:
                paths.setdefault(path, {})[method.lower()] = one(handler, method, told)
        paths[path]["parameters"] = [
            parameter(name, "path", NUMBER if name == "id" else text(100))
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


def one(handler: Any, method: str, told: Operation) -> dict[str, Any]:
    """Return the description of one operation."""
    function = getattr(handler, method.lower())
    result: dict[str, Any] = {"summary": function.__doc__.splitlines()[0], "responses": {}}
    if handler.public or method in handler.open_methods:
        result["security"] = []
    if told.takes:
        read_only = {name: {"readOnly": True} for name in sorted(told.ignores)}
        fields = {name: FIELDS[name] for name in told.takes} | read_only
        body: dict[str, Any] = {"type": "object", "properties": fields}
        body |= {"required": [*told.needs], "additionalProperties": False}
        result["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    many = told.gives.startswith("[")
    good: dict[str, Any] = {"description": "Done"}
    if told.gives:
        schema: dict[str, Any] = {"$ref": f"#/components/schemas/{told.gives.strip('[]')}"}
        schema = {"type": "array", "items": schema} if many else schema
        good["content"] = {"application/json": {"schema": schema}}
    if many:
        begin = parameter("cursor", "query", text(200))
        if told.gives == "[Change]":
            begin = parameter("since", "query", {"type": "integer", "minimum": 0})
            good["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        limit = parameter("limit", "query", {"type": "integer", "minimum": 1})
        result["parameters"] = [limit, begin]
    if method == "GET":
        result["responses"]["304"] = {"description": "Not modified"}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    wrong = {"description": "A problem", "content": {"application/problem+json": problem}}
    result["responses"] |= {str(told.status): good, "default": wrong}
    return result


def parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a parameter in the path or in the query."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
