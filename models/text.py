"""What may be stored as text: the one rule for titles, names and the like."""

import re

from models.errors import Invalid

# C0 without tab, and DEL: invisible, and some corrupt a line elsewhere (logs, CSV, terminals).
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def line(field: str, value: str, limit: int) -> str:
    """Return `value` without the white space around it (Unicode's too), otherwise exactly as typed.

    Raises Invalid for `field` when nothing is left, and for more than `limit` code points, control
    characters or line ends inside, and lone surrogates, which can't be stored or sent.
    """
    value = value.strip()
    if not value:
        raise Invalid(field, "Please write something here.")
    if len(value) > limit:
        raise Invalid(field, "This is too long: at most {limit} characters.", limit=f"{limit:,}")
    if CONTROLS.search(value):
        raise Invalid(field, "This must be one line, without control characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(field, "This has characters that can't be stored.") from None
    return value
