"""The JSON of the API: strict parsing, and the schemas of fields and objects.

Objects and fields are described once, as JSON Schema with the models' own limits. Bodies are
checked against it, and `openapi.describe` is made from it.
"""

import json
import re
from math import isfinite
from typing import Any, NamedTuple

from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from models import lists
from models.errors import Invalid
from models.text import N_, check

BODY_LIMIT = 256 * 1024  # bytes: notes of 16,000 characters fit, however they are written
DEPTH = 32  # most levels of nesting
SAFE_INTEGER = 2**53  # up to here every integer is a double, and so the same in JavaScript


class ApiError(HTTPError):
    """A request that is refused; `code` ends the problem's type (RFC 9457)."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(status)
        self.code = code
        self.sentence = sentence


class Operation(NamedTuple):
    """What one method of one address takes and returns."""

    status: int
    returns: str  # the name of one of OBJECTS, in [] for a page of them, or ""
    takes: tuple[str, ...]  # names of FIELDS
    requires: tuple[str, ...]  # those of them that must be there

    @property
    def ignored(self) -> set[str]:
        """The fields that change nothing: a program may send back an object that it got."""
        return READ_ONLY.union(OBJECTS.get(self.returns, ())) - {*self.takes}


def text(most: int, least: int = 1) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"type": [schema["type"], "null"]}


INSTANT = {"type": "string", "format": "date-time"}
ID = {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
URL = {"type": "string", "format": "uri"}
# The fields of bodies, and the objects that answers are made of, by name. Each file of a resource
# adds its own; here are those that several resources have.
FIELDS: dict[str, dict[str, Any]] = {
    "name": text(lists.NAME_LIMIT),
    "role": {"type": "string", "enum": [*lists.ROLES]},
    "username": text(100),
}
OBJECTS: dict[str, dict[str, dict[str, Any]]] = {}
READ_ONLY = {"id", "list", "url", "version", "created", "updated", "completed_at", "role", "open"}
JSON_TYPE = re.compile(r'\s*application/json\s*(;\s*(charset="?utf-8"?\s*)?)?', re.IGNORECASE)
NOT_JSON = N_("Send uncompressed application/json.")
TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError for a repeated name, which parsers differ on."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def parse_number(digits: str) -> float:
    """Return a number. Raises ValueError unless it is finite: not for NaN or 1e999."""
    value = float(digits)
    if not isfinite(value):
        raise ValueError
    return value


STRICT = json.JSONDecoder(
    object_pairs_hook=unique_names,
    parse_float=parse_number,
    parse_constant=parse_number,
)


def read_json(request: HTTPServerRequest) -> Any:
    """Parse the body of a request. Raises ApiError for what isn't strict JSON (RFC 8259)."""
    plain = request.headers.get("Content-Encoding", "identity") in ("", "identity")
    if not plain or not JSON_TYPE.fullmatch(request.headers.get("Content-Type", "")):
        raise ApiError(415, "content_type", NOT_JSON)
    if len(request.body) > BODY_LIMIT:
        raise ApiError(413, "too_large", N_("The body is too large."))
    try:
        value = STRICT.decode(request.body.decode())
        if depth(value) > DEPTH:
            raise ValueError
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_json", N_("The body must be strict JSON in UTF-8.")) from None
    return value


def depth(value: Any) -> int:
    """Return how many levels of values are nested, the outermost included."""
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    return 1 + max(map(depth, inner), default=0)


def check_body(body: Any, operation: Operation) -> dict[str, Any]:
    """Return the fields of a body that the operation takes.

    Raises ApiError when it is no object, and Invalid for a field that is unknown, missing or of
    another type. The models check what may be in a text.
    """
    if type(body) is not dict:
        raise ApiError(400, "bad_json", N_("The body must be a JSON object."))
    for name in body:
        if name not in operation.takes and name not in operation.ignored:
            raise Invalid(name, N_("Unknown field."))
    for name in operation.requires:
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
