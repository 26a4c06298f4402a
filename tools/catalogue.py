"""Keep the catalogues in views/languages in step with the source.

`make languages` runs this: it puts new messages into each catalogue, to be translated there, takes
out those that are gone, and compiles it. Templates are read as Tornado compiles them: tools that
read them as they are stumble over every apostrophe.
"""

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.frontend import parse_keywords
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from tornado.template import Loader

from checks.support.servers import ROOT
from models.accounts import LANGUAGES

FOLDER = ROOT / "views/languages"
PLACES = [
    "translate:1,1t",
    "translate:1,2,3t",
    "translate:1,2,4t",
    "_:1,1t",
    "_:1,2,3t",
    "N_:1",
    "Ns_:1,2",
]
REFUSALS = ["Invalid:2", "Quota:2", "TooLarge:2", "WrongPassword:2", "__init__:2", "Conflict:1"]
KEYWORDS = parse_keywords([*PLACES, *REFUSALS])
# What tornado.locale asks for when it writes a date.
DATES = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December", "%(month_name)s %(day)s, %(year)s at %(time)s"),
)


def catalogues() -> dict[str, Path]:
    """Return the file of each language but the source's own."""
    return {c: FOLDER / c / "LC_MESSAGES/afazeres.po" for c in LANGUAGES if c != "en"}


def wanted() -> Catalog:
    """Return every message of the application."""
    found = Catalog()
    templates = ROOT / "views/templates"
    loader = Loader(str(templates))
    names = sorted(str(file.relative_to(templates)) for file in templates.rglob("*.html"))
    sources = [loader.load(name).code for name in names]
    folders = ("controllers", "models", "services")
    sources += [
        file.read_text() for room in folders for file in sorted((ROOT / room).rglob("*.py"))
    ]
    for source in sources:
        for _, message, _, _ in extract("python", io.BytesIO(source.encode()), KEYWORDS):
            found.add(message)
    for text in DATES:
        found.add(text)
    return found


def read(language: str, file: Path) -> Catalog:
    """Return the catalogue in `file`, or an empty one."""
    if not file.exists():
        header = "# The words of Afazeres in another language."
        return Catalog(language, project="Afazeres", header_comment=header, fuzzy=False)
    with file.open("rb") as opened:
        return read_po(opened, language)


def main() -> None:
    """Bring all catalogues up to date, and say what is left to translate."""
    for language, file in catalogues().items():
        catalogue = read(language, file)
        template = wanted()
        template.creation_date = catalogue.creation_date
        catalogue.update(template, no_fuzzy_matching=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            options = {"no_location": True, "sort_output": True, "ignore_obsolete": True}
            write_po(opened, catalogue, width=100, **options)
        with file.with_suffix(".mo").open("wb") as opened:
            write_mo(opened, catalogue)
        missing = sum(
            not all(m.string if m.pluralizable else [m.string]) for m in catalogue if m.id
        )
        print(f"{language}: {len(catalogue)} messages, {missing} to translate")


if __name__ == "__main__":
    main()
