"""What may be stored as text: the one rule for titles, names and the like."""

import re
import unicodedata

from models.errors import Invalid

# Control characters (C0 without tab, DEL, C1) and line ends: they corrupt a line elsewhere.
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# White space, control and format characters; what Unicode has added since may well be an emoji.
INVISIBLE = ("Zs", "Zl", "Zp", "Cc", "Cf")
# The rest of Default_Ignorable_Code_Point (Unicode 16), and other blank letters and symbols.
UNSEEN = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    r"\U00013441\U00013442\U00016fe4\U0001d159\U000e0000-\U000e0fff]"
)


def N_(sentence: str) -> str:
    """Mark a sentence for the catalogues of languages; it is translated where it is shown."""
    return sentence


def Ns_(one: str, several: str) -> tuple[str, str]:
    """Mark a sentence about one thing, and the same about several."""
    return one, several


def blank(value: str) -> bool:
    """Say whether nothing of `value` can be seen: white space and invisible characters only."""
    return all(unicodedata.category(c) in INVISIBLE or UNSEEN.match(c) for c in value)


def line(field: str, value: str, limit: int) -> str:
    """Return `value` without the white space around it (Unicode's too), otherwise exactly as typed.

    Raises Invalid for `field` when nothing is left, and for more than `limit` code points, control
    characters or line ends inside, and lone surrogates, which can't be stored or sent.
    """
    value = value.strip()
    if CONTROLS.search(value):
        raise Invalid(field, "This must be one line, without control characters.")
    check(field, value, limit)
    if blank(value):
        raise Invalid(field, "Please enter something here.")
    return value


def several(field: str, value: str, limit: int) -> str:
    """Return text of any number of lines, none included, its line ends as \\n; raises Invalid."""
    value = value.replace("\r\n", "\n").replace("\r", "\n").rstrip()
    if CONTROLS.search(value.replace("\n", "")):
        raise Invalid(field, "This contains control characters.")
    return check(field, value, limit)


def check(field: str, value: str, limit: int) -> str:
    """Return `value` unchanged; raises Invalid when it is too long or can't be stored."""
    if len(value) > limit:
        raise Invalid(field, "This is too long: at most {limit} characters.", limit=limit)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid(field, "This contains characters that can't be saved.") from None
    return value
