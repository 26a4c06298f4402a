"""Lists as files, exported and imported: todo.txt, CSV, JSON, and a zip of all lists.

todo.txt is one todo a line: `x` if done, a priority as `(A)`, the day of completion, that of
creation, the title, `due:` a day, `rec:` a simple repeat, and notes as `note:` with %-escapes. A
title keeps its priority, in front.
"""

import csv
import io
import json
import json.scanner
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from models import lists, members, messages, text, todos
from models.clock import instant
from models.errors import Invalid, TooLarge
from models.tables import Person, User
from models.text import N_

BYTES_LIMIT = 5_000_000
ROWS_LIMIT, LISTS_LIMIT, LINES_LIMIT = 20_000, lists.LISTS_LIMIT, 200_000
LINE_LIMIT = 300_000  # characters: of a todo.txt with notes of 16,000, each of which takes up to 12
COLONS_LIMIT, COMMAS_LIMIT = 400_000, 800_000  # in JSON: a todo of ours has ten, beside its text's
ALL = 10**9  # no limit of rows
STREAMED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are unpacked all at once
DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError)
NAMES = ("title", "notes", "completed", "order", "created", "completed_at", *todos.DATED)
DONE, PRIORITY = re.compile("x "), re.compile(r"\([A-Z]\) ")
DAY, NOTES = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}"), re.compile(r" note:(\S*)\Z")
# What ends a title in a todo.txt; empty where it would else end so by itself.
TAGS = re.compile(r"(?: due:([0-9]{4}-[0-9]{2}-[0-9]{2}|))?(?: rec:(\+?[1-9][0-9]{0,2}[dwmy]|))?\Z")
STEPS = {"d": "DAILY", "w": "WEEKLY", "m": "MONTHLY", "y": "YEARLY"}
STEP = re.compile("FREQ=([A-Z]+)(?:;INTERVAL=([0-9]+))?")  # with + it counts from the date
UNKEPT = N_("Imported without its repeat, which is now in the notes.")
NOBODY, EMPTY = Person(0, ""), dict.fromkeys(todos.NAMES)  # for checking what has no owner yet
# Spreadsheets take a cell that begins so for a formula (OWASP, CSV injection). Some take semicolons
# or tabs for separators, not our commas; then our quotes don't count, nor are line ends in cells.
FORMULA = r"(?=(?:[^\S\t\n\r]|['\"])*[=+\-@＝＋－＠]|['\"]*[\t\r])"  # noqa: RUF001
UNSAFE = re.compile(rf"(?:\A|(?<=[;|\t\n\r])){FORMULA}")
MADE_SAFE = re.compile(rf"(?:\A|(?<=[;|\t\n\r]))'{FORMULA}")
YES = ("true", "yes", "x", "1", "on", "done", "✓")

Row = dict[str, Any]  # a todo: title, and perhaps others of NAMES


class Sheet(NamedTuple):
    """A list in a file."""

    name: str
    todos: list[Row]


class Problem(NamedTuple):
    """A line that was skipped: its number, its text, and why."""

    line: int
    text: str
    reason: Invalid


class Reading(NamedTuple):
    """What was read of a file: its lists, and the lines that were skipped."""

    sheets: list[Sheet]
    problems: list[Problem]


class PatientDecoder(json.JSONDecoder):
    """Decodes in Python: in C, other threads would wait until all is decoded, the loop's too."""

    def __init__(self) -> None:
        super().__init__()
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def write_txt(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        done, completed = ("x ", f"{row['completed_at'][:10]} ") if row["completed"] else ("", "")
        priority, title = split(PRIORITY, row["title"])
        tags = tags_of(row)
        needed = row["notes"] or " note:" in row["title"]  # which would be taken for notes
        notes = f" note:{quote(row['notes'], safe='')}" if needed else ""
        yield f"{done}{priority}{completed}{row['created'][:10]} {title}{tags}{notes}\n"


def tags_of(row: Row) -> str:
    """Return what a todo.txt says of the day a todo is due, and of its repeat if it can say it."""
    step = STEP.fullmatch(row.get("repeat") or "")
    letter = step[1][0].lower() if step else ""
    strict = "+" if row.get("repeat_from") == "due" else ""
    rec = f"{strict}{step[2] or 1}{letter}" if step else ""
    found = {"due": row.get("due") or "", "rec": rec}
    needed = TAGS.search(row["title"])[0]  # type: ignore[index]
    return "".join(f" {name}:{value}" for name, value in found.items() if value or needed)


def write_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the text of a CSV file (RFC 4180); no cell is taken for a formula."""
    lines = io.StringIO()
    table = csv.writer(lines)
    table.writerow(NAMES)
    for row in rows:
        done = "true" if row["completed"] else "false"
        cells = [row["title"], row["notes"], done, str(row["order"]), row["created"]]
        cells += [row.get(name) or "" for name in ("completed_at", *todos.DATED)]
        table.writerow([UNSAFE.sub("'", cell) for cell in cells])
    yield lines.getvalue()


def rows_of(list_id: int) -> list[Row]:
    """Return a list's todos, and of each when it was completed."""
    rows = todos.described(todos.present(list_id))
    return [row | {"completed_at": row.get("completed_at")} for row in rows]


def all_of(person: Person, list_id: int) -> dict[str, Any]:
    """Return all that members see of a list. Raises NotFound."""
    seen = lists.get_for(person, list_id)
    about = {name: getattr(seen, name) for name in ("id", "name", "role", "version", "open")}
    _, people = members.every(person, list_id)
    said = messages.page(person, list_id, 0, ALL)
    return about | {"todos": rows_of(list_id), "members": people, "messages": said}


def one(person: Person, list_id: int, suffix: str) -> bytes:
    """Return a list as a file: txt, csv or json. Raises NotFound."""
    if suffix == "json":
        return encoded(all_of(person, list_id))
    lists.get_for(person, list_id)
    write = write_txt if suffix == "txt" else write_csv
    return "".join(write(rows_of(list_id))).encode()


def about(person: Person) -> bytes:
    """Return what is stored about the person, as JSON."""
    columns = (User.username, User.email, User.join_date, User.language, User.timezone)
    query: Any = User.select(*columns).where(User.id == person.id).dicts()
    return encoded(query.get())


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def read(name: str, data: bytes) -> Reading:
    """Read a file, storing nothing. Raises Invalid for the field `file` as a whole."""
    problems: list[Problem] = []
    sheets, count = [], 0
    found = sheets_in(name, data, problems)
    if len(found) > LISTS_LIMIT:
        raise TooLarge("file", "Too many lists at once: at most {limit}.", limit=LISTS_LIMIT)
    for title, rows in found:
        sheets.append(Sheet(plain(title)[: lists.NAME_LIMIT], []))
        for line, row in rows:
            count += 1
            if count > ROWS_LIMIT:
                raise TooLarge("file", "Too many todos at once: at most {limit}.", limit=ROWS_LIMIT)
            try:
                kept = checked(row)
                if kept.pop("unkept", False):
                    problems.append(Problem(line, plain(kept["title"]), Invalid("repeat", UNKEPT)))
                sheets[-1].todos.append(kept)
            except Invalid as reason:
                given = row.get("title")
                shown = plain(given[:200]) if isinstance(given, str) else ""
                problems.append(Problem(line, shown, reason.with_traceback(None)))
    if not count and not problems:
        raise Invalid("file", "No todos found in this file.")
    return Reading(sheets, problems)


def plain(words: str) -> str:
    """Return a text as one line, without what can't be encoded or displayed."""
    return text.CONTROLS.sub("", " ".join(words.split())).encode("utf-8", "replace").decode()


def sheets_in(
    name: str, data: bytes, problems: list[Problem]
) -> list[tuple[str, Iterator[tuple[int, Row]]]]:
    """Return the names of the lists in a file, and their unchecked rows with line numbers."""
    stem, _, suffix = name.rpartition(".")
    if data.startswith(b"PK\x03\x04"):
        return [found for part in unzipped(data) for found in from_json(json_of(part), "")]
    try:
        words = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("file", "This file is neither UTF-8 text nor an Afazeres zip.") from None
    if words.lstrip()[:1] in ("{", "["):
        return from_json(json_of(data), stem)
    read_lines = from_csv if suffix.lower() == "csv" else from_txt
    return [(stem or name, read_lines(words, problems))]


def unzipped(data: bytes) -> list[bytes]:
    """Return the lists in a zip of ours, at most BYTES_LIMIT unpacked. Raises Invalid."""
    parts, left = [], BYTES_LIMIT
    if data.count(b"PK\1\2") > 2 * LISTS_LIMIT:  # its entries: zipfile reads them all
        raise TooLarge("file", "This file is too large.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if archive.getinfo(name).compress_type not in STREAMED:
                    raise Invalid("file", "This zip is damaged, or isn't from Afazeres.")
                if re.fullmatch(r"lists/\d{1,18}\.json", name):
                    with archive.open(name) as file:
                        parts.append(file.read(left + 1))  # its declared size may be a lie
                    left -= len(parts[-1])
                    if left < 0:
                        raise Invalid("file", "This file is too large.")
    except DAMAGED:
        raise Invalid("file", "This zip is damaged, or isn't from Afazeres.") from None
    return parts


def json_of(data: bytes) -> Any:
    """Return what is in JSON. Raises Invalid."""
    commas = sum(map(data.count, (b"[", b"{", b",")))
    if commas > COMMAS_LIMIT or data.count(b":") > COLONS_LIMIT:
        raise TooLarge("file", "This file is too large.")
    try:
        return PatientDecoder().decode(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Invalid("file", "This isn't valid JSON.") from None


def from_json(value: Any, name: str) -> list[tuple[str, Iterator[tuple[int, Row]]]]:
    """Return the lists in JSON: an exported list, several, or just an array of todos."""
    several = isinstance(value, list) and all(isinstance(v, dict) and "todos" in v for v in value)
    if several and value:
        return [found for each in value for found in from_json(each, name)]
    found = value if isinstance(value, dict) else {"todos": value}
    rows, named = found.get("todos"), found.get("name")
    if not isinstance(rows, list):
        raise Invalid("file", "No todos found in this file.")
    name = named if isinstance(named, str) else name
    todo_rows = (row if isinstance(row, dict) else {"title": row} for row in rows)
    return [(name, enumerate(todo_rows, 1))]


def lines_of(words: str) -> Iterator[str]:
    """Yield the lines of a text, with their ends. Raises TooLarge."""
    for number, line in enumerate(io.StringIO(words, newline=""), 1):
        if number > LINES_LIMIT or len(line) > LINE_LIMIT:
            raise TooLarge("file", "This file has too many lines, or too long ones.")
        yield line


def from_csv(words: str, problems: list[Problem]) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV file; without a header row the first column is the title."""
    table = csv.reader(lines_of(words))
    names: list[str] = []
    try:
        for cells in table:
            if not names:
                names = [cell.strip().lower() for cell in cells]
                if "title" in names:
                    continue
                names = ["title"]
            if any(cell.strip() for cell in cells):
                cells = [MADE_SAFE.sub("", cell) for cell in cells]
                row: Row = dict(zip(names, cells, strict=False))
                if "completed" in row:
                    row["completed"] = row["completed"].strip().lower() in YES
                with suppress(KeyError, ValueError):
                    row["order"] = float(row["order"])
                yield table.line_num, row
    except csv.Error:
        reason = Invalid("file", "Not valid CSV from here on.")
        problems.append(Problem(table.line_num, "", reason))


def from_txt(words: str, problems: list[Problem]) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a todo.txt, or of any text: one todo a line."""
    for at, line in enumerate(lines_of(words), 1):
        line = line.rstrip("\r\n")
        done, words = split(DONE, line)
        priority, words = split(PRIORITY, words)
        first, words = split_day(words)
        second, words = split_day(words) if done else ("", words)
        completed, created = (first, second) if done else ("", first)
        title, *notes = NOTES.split(words)
        if line.strip():
            tags = TAGS.search(title)
            due, rec = (tags[1] or "", tags[2] or "") if tags else ("", "")
            title = TAGS.sub("", title, count=1)
            row: Row = {"title": priority + title, "completed": bool(done), "due": due}
            if rec:
                row["repeat_from"] = "due" if rec.startswith("+") else "done"
                row["repeat"] = f"FREQ={STEPS[rec[-1]]};INTERVAL={rec.strip('+')[:-1]}"
                row["repeat"] = row["repeat"].removesuffix(";INTERVAL=1")
            row |= {"notes": unquote("".join(notes)), "created": created}
            yield at, row | {"completed_at": completed}


def split(start: re.Pattern[str], words: str) -> tuple[str, str]:
    """Return what a text begins with, if it does, and what comes after."""
    found = start.match(words)
    return (found[0], words[found.end() :]) if found else ("", words)


def split_day(words: str) -> tuple[str, str]:
    """Return the day that a text begins with, if it does, and what comes after."""
    day, _, rest = words.partition(" ")
    with suppress(ValueError):
        if DAY.fullmatch(day):
            return date.fromisoformat(day).isoformat(), rest
    return "", words


def checked(row: Row) -> Row:
    """Return a row as it will be stored. Raises Invalid."""
    title, notes = row.get("title"), row.get("notes") or ""
    if not isinstance(title, str) or not isinstance(notes, str):
        raise Invalid("title", "The title is missing.")
    new: Row = {
        "title": text.line("title", title[:LINE_LIMIT], todos.TITLE_LIMIT),
        "notes": text.several("notes", notes[:LINE_LIMIT], todos.NOTES_LIMIT),
        "completed": row.get("completed") is True,
    }
    dated = {name: row[name] for name in todos.DATED if row.get(name)}
    if not all(isinstance(value, str) for value in dated.values()):
        raise Invalid("due", "Invalid date.")
    try:
        todos.changed(NOBODY, EMPTY, dated)
    except Invalid as refused:
        if refused.field not in ("repeat", "repeat_from"):
            raise
        rule = dated.pop("repeat", "")[:LINE_LIMIT]
        dated.pop("repeat_from", None)
        todos.changed(NOBODY, EMPTY, dated)
        told = f"{new['notes']}\n{rule}".strip()
        new |= {"notes": text.several("notes", told, todos.NOTES_LIMIT), "unkept": True}
    new |= dated
    order = row.get("order")
    if isinstance(order, (int, float)) and abs(order) <= 2**53:  # also false for NaN
        new["order"] = float(order)
    for name in ("created", "completed_at"):
        if row.get(name):
            try:
                given = row[name] if isinstance(row[name], (str, int)) else ""
                when = datetime.fromisoformat(str(given))
                new[name] = instant(when if when.tzinfo else when.replace(tzinfo=UTC))
            except (ValueError, OverflowError):
                raise Invalid(name, "Invalid date.") from None
    return new


def store(person: Person, sheets: list[Sheet], into: int | None, otherwise: str) -> int | None:
    """Store lists, or all their todos at the end of the list `into`; return one list's id.

    All that goes into one list is one change of it. A list without a name is called `otherwise`.
    Raises NotFound, Forbidden, Invalid.
    """
    if into:
        sheets = [Sheet("", [row | {"order": None} for sheet in sheets for row in sheet.todos])]
    list_id = into
    for sheet in sheets:
        name = otherwise if text.blank(sheet.name) else sheet.name
        list_id = into or lists.create(person, name)
        seen = lists.get_for(person, list_id, "change")
        todos.insert(person, seen, sheet.todos, field="file", most=ROWS_LIMIT)
    return list_id
