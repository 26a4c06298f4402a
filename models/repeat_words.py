"""How people ask for a repeat, by a form, and how it is said to them, in their language.

Languages differ in more than words: "on the 5th of every month" is "le 5 de chaque mois", and
mondays and saturdays have different articles in Portuguese. So what is translated are phrases with
their articles, and whole sentences where the order differs. Lists and months are Babel's.
"""

from calendar import monthrange
from datetime import date
from typing import NamedTuple

from babel.lists import format_list

from models.dates import LAST_YEAR, Due, Translate, clean_day, day_words, names, time_words
from models.repeats import CLAMPED, WEEKDAYS, Rule, parse, settled
from models.text import N_, Ns_


class Form(NamedTuple):
    """A repeat as a form has it: texts, which may be anything before `rule_of` and `clean`."""

    kind: str = ""  # a key of FREQUENCIES; empty is never
    every: str = "1"
    weekdays: tuple[str, ...] = ()  # for weekly: MO, TU, ...
    day: str = ""  # for monthly: 1 to 31, or -1, the last
    nth: str = ""  # for nth: 1 to 5, or -1, the last
    weekday: str = ""  # for nth
    until: str = ""  # 2026-12-31
    times: str = ""


FREQUENCIES = {
    "daily": "DAILY",
    "weekday": "WEEKLY",  # from monday to friday
    "weekly": "WEEKLY",
    "monthly": "MONTHLY",
    "nth": "MONTHLY",  # on the second friday
    "yearly": "YEARLY",
    "other": "",  # what this form can't say
}
CLAMPED_DAYS = {
    str(day): str(Rule("MONTHLY", days=days, positions=positions)).partition(";")[2]
    for day, (days, positions) in CLAMPED.items()
}


def rule_of(form: Form) -> str:
    """Return the rule that a form says, for `repeats.clean` to check, or "" for never.

    Raises Invalid for repeat.
    """
    if not form.kind:
        return ""
    by = {
        "weekday": "BYDAY=MO,TU,WE,TH,FR",
        "weekly": form.weekdays and f"BYDAY={','.join(form.weekdays)}",
        "monthly": form.day and CLAMPED_DAYS.get(form.day, f"BYMONTHDAY={form.day}"),
        "nth": f"BYDAY={form.nth}{form.weekday}",
    }
    until = clean_day("repeat", form.until)
    parts = (
        f"FREQ={FREQUENCIES.get(form.kind, '')}",
        form.every not in ("", "1") and form.kind != "weekday" and f"INTERVAL={form.every}",
        by.get(form.kind),
        form.times and f"COUNT={form.times}",
        until and f"UNTIL={form.until.replace('-', '')}",
    )
    return ";".join(part for part in parts if part)


# What the selects of the form offer.
OFFERED_DAYS, OFFERED_NTHS = (
    ("", *map(str, range(1, 32)), "-1"),
    ("", "1", "2", "3", "4", "5", "-1"),
)


def form_of(rule: Rule, start: date) -> Form:
    """Return the form that says a rule that begins on `start`; if none does, one of kind other."""
    bare = settled(rule._replace(left=None, until=None), start)
    every = str(rule.interval)
    guess = Form("daily" if rule.freq == "DAILY" else "yearly", every)
    if rule.freq == "WEEKLY":
        guess = Form("weekly", every, tuple(WEEKDAYS[day] for _, day in bare.weekdays))
        guess = Form("weekday") if bare == parse(rule_of(Form("weekday"))) else guess
    elif rule.freq == "MONTHLY" and bare.days:
        day = str(bare.days[-1] if bare.positions else bare.days[0])
        guess = Form("monthly", every, day=day)
    elif rule.freq == "MONTHLY" and bare.weekdays[0][0]:
        number, weekday = bare.weekdays[0]
        guess = Form("nth", every, nth=str(number), weekday=WEEKDAYS[weekday])
    offered = guess.day in OFFERED_DAYS and guess.nth in OFFERED_NTHS
    if rule.until and rule.until.year > LAST_YEAR:
        offered = False
    if not offered or settled(parse(rule_of(guess)), start) != bare:
        guess = Form("other")
    until = rule.until.isoformat() if rule.until else ""
    return guess._replace(until=until, times=str(rule.left or ""))


# Words. By weekday, monday first.

EVERY = {
    "DAILY": Ns_("every day", "every {n} days"),
    "WEEKLY": Ns_("every week", "every {n} weeks"),
    "MONTHLY": Ns_("every month", "every {n} months"),
    "YEARLY": Ns_("every year", "every {n} years"),
}
EACH = (
    *(N_("every Monday"), N_("every Tuesday"), N_("every Wednesday"), N_("every Thursday")),
    *(N_("every Friday"), N_("every Saturday"), N_("every Sunday")),
)
ON = (
    *(N_("Mondays"), N_("Tuesdays"), N_("Wednesdays"), N_("Thursdays")),
    *(N_("Fridays"), N_("Saturdays"), N_("Sundays")),
)
NTH = (
    *(N_("the {nth} Monday"), N_("the {nth} Tuesday"), N_("the {nth} Wednesday")),
    *(N_("the {nth} Thursday"), N_("the {nth} Friday"), N_("the {nth} Saturday")),
    N_("the {nth} Sunday"),
)
LAST = (
    *(N_("the last Monday"), N_("the last Tuesday"), N_("the last Wednesday")),
    *(N_("the last Thursday"), N_("the last Friday"), N_("the last Saturday")),
    N_("the last Sunday"),
)
# For 1, and by the last digit of others: 1, 2, 3, and the rest.
ORDINALS = N_("1st"), N_("{n}st"), N_("{n}nd"), N_("{n}rd"), N_("{n}th")
DAYS = N_("the 1st"), N_("the {n}st"), N_("the {n}nd"), N_("the {n}rd"), N_("the {n}th")
THE_NTH, THE_LAST, THE_LAST_DAY = N_("the {nth}"), N_("the last"), N_("the last day")
WORKDAYS = tuple((0, day) for day in range(5))


def words(rule: Rule, due: Due, translate: Translate, language: str, *, done: bool = False) -> str:
    """Return a rule as it is said, in lower case: every Monday at 9:00, until 3 May 2027."""
    bare = rule._replace(left=None, until=None)
    if done and bare == Rule(rule.freq, interval=rule.interval):  # on whichever day that will be
        said = translate(*EVERY[rule.freq], rule.interval).format(n=rule.interval)
    else:
        said = Speaker(translate, language).rule(settled(bare, due.day))
    if due.at:  # by the hour, as in Portuguese it is "à 1h" and "às 9h"
        sentence = translate("{rule} at {time}", "{rule} at {time}", due.at.hour)
        said = sentence.format(rule=said, time=time_words(due.at, translate))
    if rule.until:
        last = day_words(rule.until, None, translate, language)
        said = translate("{rule}, until {date}").format(rule=said, date=last)
    if rule.left:
        sentence = translate("{rule}, {n} time", "{rule}, {n} times", rule.left)
        said = sentence.format(rule=said, n=rule.left)
    return translate("{rule}, counted from when it is done").format(rule=said) if done else said


class Speaker(NamedTuple):
    """One who says rules in a language: `translate` its phrases, `language` for Babel."""

    translate: Translate
    language: str

    def rule(self, rule: Rule) -> str:
        """Return what a settled rule without an end says."""
        translate = self.translate
        every = translate(*EVERY[rule.freq], rule.interval).format(n=rule.interval)
        short = rule.freq in ("DAILY", "WEEKLY")
        if short and rule.weekdays and rule == Rule(rule.freq, weekdays=rule.weekdays):
            if rule.weekdays == WORKDAYS:
                return translate("every weekday")
            if len(rule.weekdays) == 1:
                return translate(EACH[rule.weekdays[0][1]])
        months = [names(self.language, "months", "wide")[month] for month in rule.months]
        named, positions = self.named(rule)
        values = {"every": every, "days": self.join(named), "months": self.join(months)}
        if rule.freq == "DAILY":
            said = translate("{every}, only on {days}") if named else "{every}"
        elif rule.freq == "MONTHLY" and rule.interval == 1:
            said = translate("every month on {days}")
        elif rule.freq == "YEARLY" and months:
            said = translate("{every} on {days} of {months}")
            single = len(months) == len(rule.days) == 1 and not rule.weekdays
            if single and 1 <= rule.days[0] <= monthrange(2000, rule.months[0])[1]:
                day = date(2000, rule.months[0], rule.days[0])  # that year has 29 February, too
                values["date"] = day_words(day, day, translate, self.language)
                said = translate("{every} on {date}")
        elif rule.freq == "YEARLY" and rule.days:
            said = translate("{every} on {days} of each month")
        else:
            said = translate("{every} on {days}")
        said = said.format(**values)
        if rule.days and rule.weekdays:
            only = self.join([self.weekday(*each) for each in rule.weekdays])
            said = translate("{rule}, only on {days}").format(rule=said, days=only)
        if months and rule.freq != "YEARLY":
            said = translate("{rule}, in {months}").format(rule=said, months=values["months"])
        if positions:
            only = self.join([self.nth(each, THE_NTH, THE_LAST) for each in positions])
            said = translate("{rule}, only {days} of these days").format(rule=said, days=only)
        return said

    def named(self, rule: Rule) -> tuple[list[str], tuple[int, ...]]:
        """Return what is said of a rule's days, and those of its positions that this leaves out."""
        translate = self.translate
        clamped = (rule.days, rule.positions) in CLAMPED.values() and not rule.weekdays
        if clamped and rule.positions:
            day = self.day(rule.days[-1])
            return [translate("{day} or the last day").format(day=day)], ()
        if rule.days or rule.weekdays != WORKDAYS:
            days = [self.day(each) for each in rule.days]
            return days or [self.weekday(*each) for each in rule.weekdays], rule.positions
        if rule.positions == (1,):
            return [translate("the first weekday")], ()
        if rule.positions == (-1,):
            return [translate("the last weekday")], ()
        return [translate("weekdays")], rule.positions

    def day(self, number: int) -> str:
        """Return a day of the month as it is said: the 5th, the last day."""
        return self.counted(number, self.ordinal(abs(number), DAYS), THE_LAST_DAY)

    def weekday(self, number: int, day: int) -> str:
        """Return a weekday of the month or of the year as it is said: Mondays, the last Monday."""
        return self.nth(number, NTH[day], LAST[day]) if number else self.translate(ON[day])

    def nth(self, number: int, nth: str, last: str) -> str:
        """Return which one of several it is, by the sentences for the nth and the last."""
        said = self.translate(nth).format(nth=self.ordinal(abs(number)))
        return self.counted(number, said, last)

    def counted(self, number: int, said: str, last: str) -> str:
        """Return what is `said` of a number, if it counts from the front."""
        if number == -1:
            return self.translate(last)
        return said if number > 0 else self.translate("{what} from the end").format(what=said)

    def ordinal(self, number: int, forms: tuple[str, ...] = ORDINALS) -> str:
        """Return a number as it is said of one of several: 1st, 2nd, 3rd, 4th."""
        last = 0 if number % 100 in (11, 12, 13) else number % 10
        form = forms[0] if number == 1 else forms[last if last in (1, 2, 3) else 4]
        return self.translate(form).format(n=number)

    def join(self, items: list[str]) -> str:
        """Return a list as it is said: a, b, and c."""
        return format_list(items, locale=self.language)
