"""The languages of the application, without its web."""

import gettext
from collections.abc import Callable

from checks.support.servers import ROOT


def translator(language: str) -> Callable[..., str]:
    """Return what translates into a language, as the `translate` of Tornado's locales does."""
    folder = ROOT / "views/languages"
    catalogue = gettext.translation("afazeres", folder, [language], fallback=language == "en")

    def translate(message: str, several: str | None = None, count: int = 0) -> str:
        if several is None:
            return catalogue.gettext(message)
        return catalogue.ngettext(message, several, count)

    return translate
