"""Todos that repeat, on pages: what is said when one has moved on, and skipping a date."""

from collections.abc import Callable
from typing import Any

from tornado.escape import xhtml_escape

from controllers.base import PageHandler
from models import dates, due, recurrence
from models.history import ChangeRecord
from models.repeat_words import Form, form_of, rule_of, words
from models.repeats import WEEKDAYS, next_five, parse
from models.text import N_
from models.todos import Columns

MOVED = {"complete": N_("Done. Next: {date}"), "skip": N_("Skipped. Next: {date}")}


def said(change: ChangeRecord) -> Callable[[Any], str] | None:
    """Return what says on which day a todo that was ticked or skipped is due next; a unit."""
    day = recurrence.next_day(change)
    if day is None:
        return None

    def say(handler: Any) -> str:
        translate, this = handler.locale.translate, due.today(handler.current_user)
        words = dates.weekday_words(day, this, translate, handler.locale.code, "abbreviated")
        return str(translate(MOVED[change.verb]).format(date=words))

    return say


def form_part(handler: Any, form: dict[str, Any], todo: Columns) -> bytes:
    """Return the fields of a todo's page for its repeat, and its next dates as it would be."""
    translate, language = handler.locale.translate, handler.locale.code
    values: dict[str, Any] = {"rule": Form(), "words": "", "days": [], "was": ""}
    if todo["repeat"]:
        when, done = due.due_of(todo), todo["repeat_from"] == "done"
        rule = parse(todo["repeat"], when.zone or "UTC", when.at)
        this = due.today(handler.current_user)
        days = next_five(rule, when.day, this, done=done)
        said = form_of(rule, when.day)
        values["words"] = words(rule, when, translate, language, done=done)
        values["days"] = [
            (day, dates.weekday_words(day, this, translate, language)) for day in days
        ]
        was = todo["repeat"] if said.kind == "other" else rule_of(said)
        values |= {"rule": said, "was": was}
    if not form:
        return xhtml_escape(values["words"]).join(("<p>", "</p>")).encode()
    if "repeat_kind" in form:
        values |= {"rule": typed_form(form), "was": form.get("repeat_was", "")}
    values["numbers"] = [str(number) for number in range(1, 32)]
    names = dates.names(language, "days", "abbreviated")
    values["weekdays"] = [(code, names[day]) for day, code in enumerate(WEEKDAYS)]
    html: bytes = handler.render_string("recurrence/form.html", form=form, todo=todo, **values)
    return html


def typed_form(typed: dict[str, Any]) -> Form:
    """Return the repeat that was asked for, whatever it says."""
    on = tuple(day for day in WEEKDAYS if typed.get(f"on_{day}"))
    names = ("month_day", "nth", "nth_day", "until", "times")
    rest = (typed.get(name, "") for name in names)
    return Form(typed["repeat_kind"], typed.get("every") or "1", on, *rest)


def read_form(handler: Any, typed: dict[str, str]) -> dict[str, str]:
    """Return what was typed, with the rule that it says if that was changed. Raises Invalid."""
    if typed.get("repeat_kind", "other") == "other":
        return typed
    form = typed_form(typed)
    rule = rule_of(form)
    unset = {"repeat_from": ""} if not form.kind else {}
    return typed | unset | ({"repeat": rule} if rule != typed.get("repeat_was") else {})


class SkipHandler(PageHandler):
    async def post(self, todo_id: str) -> None:
        """Move a todo on that is due on the day `due` still, without completing it."""
        args = self.current_user, int(todo_id), self.field("due")
        todo = await self.commit(recurrence.skip, *args)
        self.see_other("list", todo["list"])
