"""The addresses in what people write."""

import re
from collections.abc import Callable

# Quotes, an ellipsis and CJK punctuation, which are nowhere in an address.
OUTSIDE = r"\u00ab\u00bb\u201c-\u201e\u2026\u2039\u203a\u3000-\u3003\u3008-\u3020\u3030"
OUTSIDE += r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff64"
PART = PAIRED = rf'[^\s<>"{OUTSIDE}()\[\]]'
for _ in range(3):  # levels of brackets, which come in pairs
    PAIRED = rf"{PART}|\((?:{PAIRED}){{0,200}}+\)|\[(?:{PAIRED}){{0,200}}+\]"
# Found in one pass whatever the text (Tornado's linkify isn't); no punctuation at the end of one.
ADDRESS = re.compile(rf"(?i:https?)://(?:{PAIRED}){{1,2000}}(?<![.,:;!?'\u2019])")
# Where the titles of those in a list's texts come from, by address: filled by extras.py.
TITLES: list[Callable[[int], dict[str, str]]] = []


def titles(list_id: int) -> dict[str, str]:
    """Return the titles that are known of the addresses in a list's texts, by address."""
    return {address: title for known in TITLES for address, title in known(list_id).items()}
