"""The pages speak their languages whole: no message missing or stale, no page half translated."""

import gettext
import re
from string import Formatter
from typing import Any

import pytest
from tornado import locale

from checks.support.servers import ROOT, Server
from checks.support.visitors import Visitor, alerts
from controllers.base import best_locale
from models.accounts import LANGUAGES

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.fixture(scope="module")
def catalogue() -> Any:
    """The tool that keeps the catalogues, which needs Babel."""
    pytest.importorskip("babel", reason="no Babel: pip install -r checks/requirements.txt")
    from tools import catalogue  # not in requirements.txt

    return catalogue


def blanks(text: str) -> set[str]:
    """Return the names of what is filled in later."""
    named = {name for _, name, _, _ in Formatter().parse(text) if name}
    return named | set(re.findall(r"%\((\w+)\)", text))


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated(catalogue: Any, language: str) -> None:
    """None is missing or stale, each fills in what the source does, and the .mo is this .po."""
    wanted = {message.id for message in catalogue.wanted() if message.id}
    assert len(wanted) > 100
    file = catalogue.catalogues()[language]
    translated = {message.id: message for message in catalogue.read(language, file) if message.id}
    assert translated.keys() == wanted, "run make languages"
    with file.with_suffix(".mo").open("rb") as compiled:
        said = gettext.GNUTranslations(compiled)
    for source, message in translated.items():
        assert not message.fuzzy
        forms = message.string if message.pluralizable else (message.string,)
        sources = source if message.pluralizable else (source,)
        assert len(forms) == len(sources) and all(form.strip() for form in forms), source
        assert blanks(forms[-1]) == blanks(sources[-1]), source
        assert blanks(forms[0]) <= blanks("".join(sources)), source
        for number, form in enumerate(forms, 1):
            told = said.ngettext(*sources, number) if len(forms) > 1 else said.gettext(source)
            assert told == form, "run make languages"


def test_nobody_names_a_message_by_a_variable() -> None:
    """What is not written out where it is translated is marked with N_, or it would be missed."""
    sentences = 0
    for file in (*ROOT.glob("models/*.py"), *ROOT.glob("controllers/*.py")):
        text = file.read_text()
        for match in re.finditer(
            r"raise (?:(?:Invalid|Quota|TooLarge|Wrong)\(\s*\"\w*\",|Conflict\()\s*([^\s,)]+)", text
        ):
            named = match[1].startswith('"') or re.search(rf"{match[1]} = N_\(", text)
            assert named, f"{file}: {match[0]}"
            sentences += 1
    assert sentences > 10


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("pt", "pt_BR"),
        ("pt-PT,en;q=0.5", "pt_BR"),
        ("pt-BR", "pt_BR"),
        ("PT-br;q=0.1", "pt_BR"),
        ("fr-CA,fr;q=0.9", "fr"),
        ("de,fr;q=0.2,en;q=0.1", "fr"),
        ("en-GB,pt;q=0.9", "en"),
        ("fr;q=0,pt;q=0.3", "pt_BR"),
        ("de", "en"),
        ("*", "en"),
        ("", "en"),
        ("ptolemaic", "en"),
        ("fr;q=x,,;;,pt ;q=0.5", "pt_BR"),
    ],
)
def test_the_browsers_language(accepted: str, code: str) -> None:
    """The best that is spoken here; any Portuguese is Brazil's."""
    locale.set_default_locale("en")
    locale.load_gettext_translations(str(ROOT / "views/languages"), "afazeres")
    assert best_locale(accepted).code == code


def test_pages_speak_the_readers_language(ann: Visitor, server: Server) -> None:
    """As the browser asks, or as the account says; errors too, and zero is singular in French."""
    french, brazilian = {"Accept-Language": "fr"}, {"Accept-Language": "pt-PT"}
    page = ann.get(f"/lists/{ann.list}", headers=french).text
    assert '<html lang="fr">' in page and "</strong> tâche restante<" in page, "0 is singular"
    page = ann.get("/lists", headers=brazilian).text
    assert '<html lang="pt-BR">' in page and ">Sair<" in page
    assert "<h1>Introuvable</h1>" in ann.get("/nothing", headers=french).text
    ann.http.headers.update(brazilian)
    assert alerts(ann.post("/lists", name=" ").text) == ["Escreva alguma coisa aqui."]

    assert ann.post("/account", language="tlh").status_code == 422
    assert ann.post("/account", language="fr").headers["Location"] == "/account?saved=1"
    assert '<html lang="fr">' in ann.get("/lists").text
    assert " data-keys" in ann.get("/lists").text, "what isn't sent stays"
    page = ann.get("/account?saved=1").text
    assert "Enregistré." in page and all(f">{name}<" in page for name in LANGUAGES.values())
    ann.post("/account", language="")
    assert '<html lang="pt-BR">' in ann.get("/lists").text

    guest = Visitor(server, "guest")
    guest.http.headers.update(french)
    guest.sign_up()
    assert 'dir="auto">Choses à faire</h1>' in guest.get(f"/lists/{guest.list}").text
    guest.add("du lait")
    history = guest.get(f"/lists/{guest.list}/history").text
    assert re.search(
        r">\d+ (janvier|février|mars|avril|mai|juin|juillet|août)|>\d+ \w+bre", history
    )


# A word of this project alone, where people expect a word of the web.
PRIVATE = re.compile(
    r"\b(house|doors?|anew|whoever|shall|mend(?:ed)?|keeper|carrier|take[sn]? back|took back"
    r"|lets? in|comes? by it|spoken|goes? on|just now|understood|nobody here|here before"
    r"|for good)\b",
    re.IGNORECASE,
)
# Before these signs, and after the opening one, French has a space that breaks no line.
BREAKING = re.compile(r"[ \t](?=[:;?!»](?:$|[\s.,)»]))|«(?![\u00a0\u202f])|(?<![\u00a0\u202f])»")


def test_french_has_spaces_that_do_not_break(catalogue: Any) -> None:
    """Before : ; ? ! and », and after «: a sign alone on a line is a mistake."""
    for message in catalogue.read("fr", catalogue.catalogues()["fr"]):
        forms = message.string if message.pluralizable else (message.string,)
        for form in forms if message.id else ():
            assert not BREAKING.search(form), form


def test_messages_are_in_words_that_people_know(catalogue: Any) -> None:
    """Of the web, not of this program's own language."""
    for message in catalogue.wanted():
        forms = message.id if message.pluralizable else (message.id,)
        for form in forms if message.id else ():
            assert not PRIVATE.search(form), form
