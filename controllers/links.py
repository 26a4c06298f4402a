"""Links for the addresses in what people write."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from tornado.escape import xhtml_escape

from models import addresses, todos


def linked(words: str, known: dict[str, str]) -> bytes:
    """Return the HTML of a plain text, with links for the addresses in it.

    One whose title is `known` shows that, and its host, as anyone can choose a title.
    """
    html, end = "", 0
    for found in addresses.ADDRESS.finditer(words):
        address, shown = xhtml_escape(found[0]), known.get(found[0], found[0])
        html += xhtml_escape(words[end : found.start()])
        html += f'<a href="{address}" title="{address}" rel="noopener noreferrer nofollow ugc"'
        html += f' dir="auto">{xhtml_escape(shown)}</a>'
        if found[0] in known:
            html += f" <small>{xhtml_escape(urlsplit(found[0]).netloc)}</small>"
        end = found.end()
    return (html + xhtml_escape(words[end:])).encode()


def titles(list_id: int, rows: Sequence[todos.Row]) -> dict[int, bytes]:
    """Return the HTML of the titles that have links, by the ids of their todos."""
    found = [row for row in rows if "://" in row.title]
    known = addresses.titles(list_id) if found else {}
    return {row.id: linked(row.title, known) for row in found}
