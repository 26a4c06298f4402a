"""Lists as files: what goes out comes back identical, and what is no file of ours does no harm."""

import csv
import io
import json
import re
import zipfile
from contextlib import suppress
from html import unescape
from typing import Any

import pytest

from checks.support.programs import Program
from checks.support.visitors import Visitor, alerts, rows
from models import files

TITLES = (
    'milk, "fresh" 🥛',
    "=1+1",
    "'=1+1",
    "@SUM(A1)",
    "-",
    "x not done",
    "(A) 2026-01-01 party",
    "2026-01-01 party",
    "note:none",
    "buy note:book",
    "اتصل بأمي",
    "a\tb",
    "x;=1+1;y",
    'x;  "@y"\t+1',
)
NOTES = "two lines\n=and a formula, 100 %;\t-1\n\n'@"


def send(visitor: Visitor, name: str, data: bytes, **fields: str) -> Any:
    """Send a file to the import page."""
    visitor.get("/login")
    form = {"_xsrf": visitor.http.cookies["_xsrf"], **fields}
    file = {"file": (name, data)} if name else {"none": ("", b"")}
    url = f"{visitor.server.url}/account/import"
    return visitor.http.post(url, form, files=file, allow_redirects=False, timeout=30)


def store(visitor: Visitor, page: str, **fields: str) -> Any:
    """Store what the import page has understood."""
    hidden = dict(re.findall(r'type="hidden" name="(op|rows)" value="(.*?)"', page, re.S))
    fields |= {name: unescape(value) for name, value in hidden.items()}
    return send(visitor, "", b"", **fields)


@pytest.fixture
def full(ann: Visitor) -> Visitor:
    """Ann, with every kind of title, some done, one with notes, in another order."""
    for title in TITLES:
        ann.add(title)
    first, second, last = (ann.find(title) for title in (TITLES[0], TITLES[1], TITLES[-1]))
    ann.post(f"/todos/{first}", title=TITLES[0], notes=NOTES)
    ann.post(f"/todos/{second}/complete")
    ann.post(f"/todos/{last}/move", after="")
    return ann


def facts(visitor: Visitor, number: int) -> list[Any]:
    """Return what people wrote on a list."""
    todos = visitor.get(f"/lists/{number}.json").json()["todos"]
    names = ("title", "notes", "completed", "order", "created")
    return [tuple(todo[name] for name in names) for todo in todos]


@pytest.mark.parametrize("suffix", ["json", "csv", "txt"])
def test_a_list_comes_back_identical(full: Visitor, suffix: str) -> None:
    """As a file, seen before it is stored, then as a new list: all that people wrote."""
    answer = full.get(f"/lists/{full.list}.{suffix}")
    named = rf'attachment; filename="todos-\d{{4}}-\d\d-\d\d.{suffix}"'
    assert re.fullmatch(named, answer.headers["Content-Disposition"])
    assert answer.headers["Content-Security-Policy"].endswith("; sandbox")
    page = send(full, f"Things to do.{suffix}", answer.content)
    assert page.status_code == 200 and f"Found {len(TITLES)} todos" in page.text
    assert set(re.findall(r"/lists/(\d+)", full.get("/lists").text)) == {str(full.list)}
    made = store(full, page.text)
    number = int(made.headers["Location"].rpartition("/")[2])
    assert number != full.list
    before, after = facts(full, full.list), facts(full, number)
    if suffix == "txt":  # which knows days only, and the order of lines
        before = [(title, notes, done, made[:10]) for title, notes, done, _, made in before]
        after = [(title, notes, done, made[:10]) for title, notes, done, _, made in after]
    assert after == before
    again = store(full, page.text)  # sent twice, as by a second click
    assert again.headers["Location"] == made.headers["Location"]


def test_todo_txt_as_others_write_it(ann: Visitor) -> None:
    """The priority first, then the day of completion, whatever was changed since, then creation."""
    lines = [
        "(A) 2026-05-09 call",
        "x (B) 2026-05-11 2026-05-09 pay",
        "x 2026-05-11 2026-05-10 done",
        "2026-05-09 (a) lower letter",
    ]
    page = send(ann, "todo.txt", "\n".join(lines).encode())
    number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
    for row in rows(ann.get(f"/lists/{number}").text):
        ann.post(f"/todos/{row.id}", title=row.title, notes="changed today")
    for suffix in ("txt", "json", "csv"):
        page = send(ann, f"again.{suffix}", ann.get(f"/lists/{number}.{suffix}").content)
        number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
        written = ann.get(f"/lists/{number}.txt").text.splitlines()
        assert written == [f"{line} note:changed%20today" for line in lines], suffix


@pytest.mark.parametrize(
    ("line", "title", "created", "completed_at"),
    [
        ("(A) Vanilla", "(A) Vanilla", "", ""),
        ("(B) 2026-05-09 dated", "(B) dated", "2026-05-09", ""),
        ("x 2026-05-11 done", "done", "", "2026-05-11"),
        ("x (A) 2026-05-16 2026-05-10 both", "(A) both", "2026-05-10", "2026-05-16"),
        ("2026-02-30 no such day", "2026-02-30 no such day", "", ""),
        ("x 2026-05-11 2026-02-30 a day", "2026-02-30 a day", "", "2026-05-11"),
        ("2026-05-09 2026-05-10 one day", "2026-05-10 one day", "2026-05-09", ""),
        ("X not done", "X not done", "", ""),
        ("(a) lower letter", "(a) lower letter", "", ""),
    ],
)
def test_a_line_of_todo_txt(line: str, title: str, created: str, completed_at: str) -> None:
    """What is no date, no mark and no priority is a part of the title."""
    (sheet,) = files.read("todo.txt", line.encode()).sheets
    (row,) = sheet.todos
    assert row["title"] == title and row["completed"] is line.startswith("x ")
    days = [row.get(name, "")[:10] for name in ("created", "completed_at")]
    assert days == [created, completed_at]


def test_into_a_list_that_is_there(full: Visitor) -> None:
    """At its end, as one change, which one undo takes back."""
    page = send(full, "todo.txt", b"x 2026-01-02 2026-01-01 old\nnew\n\n")
    store(full, page.text, list=str(full.list))
    assert [row.title for row in full.rows()][-2:] == ["old", "new"]
    said = full.get(f"/lists/{full.list}").text
    assert "Added 2 todos" in said
    change = re.findall(r'name="change" value="(\d+)"', said)[0]
    full.post("/undo", change=change)
    assert len(full.rows()) == len(TITLES)


def test_everything_as_a_zip(full: Visitor) -> None:
    """All lists that are mine, and who I am; the zip comes back as lists."""
    full.post("/lists", name="Second")
    answer = full.get("/account/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        account = json.loads(archive.read("account.json"))
        casa = json.loads(archive.read(f"lists/{full.list}.json"))
    assert len(names) == 3 and account["username"] == full.name and "password" not in account
    assert casa["members"] == [{"username": full.name, "role": "owner"}]
    made = store(full, send(full, "afazeres.zip", answer.content).text)
    assert made.headers["Location"] == "/lists"
    numbers = sorted({int(n) for n in re.findall(r"/lists/(\d+)", full.get("/lists").text)})
    assert len(numbers) == 4
    assert facts(full, numbers[2]) == facts(full, full.list) and facts(full, numbers[3]) == []


def test_cells_are_safe_in_a_spreadsheet(full: Visitor) -> None:
    """None begins like a formula (OWASP, CSV injection), wherever its program sees cells."""
    words = full.get(f"/lists/{full.list}.csv").content.decode()
    assert words.startswith("title,notes,completed,order,created,completed_at,due,")
    for separator in (",", ";", "\t", "|"):  # what a spreadsheet takes for one
        table = csv.reader(io.StringIO(words, newline=""), delimiter=separator)
        cells = [cell for line in table for cell in line]
        assert [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell)] == [], separator


@pytest.mark.parametrize("suffix", ["json", "csv", "txt"])
def test_dates_and_repeats_come_back(ann: Visitor, suffix: str) -> None:
    """All of it; in a todo.txt the day, and repeats that it can say."""
    program = Program(ann.server, ann.name)
    simple = {"due": "2100-12-31", "repeat": "FREQ=WEEKLY;INTERVAL=2", "repeat_from": "done"}
    timed = {"due": "2100-01-02", "due_time": "09:00", "due_zone": "Asia/Tokyo"}
    other = {"due": "2100-01-31", "repeat": "FREQ=MONTHLY;BYMONTHDAY=-1", "repeat_from": "due"}
    for title, fields in (("a", simple), ("b", timed), ("c", other), ("d due:2026-01-01", {})):
        assert program.post("/todos", {"title": title, **fields}).status_code == 201
    file = ann.get(f"/lists/{ann.list}.{suffix}")
    if suffix == "txt":
        assert "a due:2100-12-31 rec:2w" in file.text and "c due:2100-01-31\n" in file.text
        del timed["due_time"], timed["due_zone"], other["repeat"], other["repeat_from"]
    page = send(ann, f"again.{suffix}", file.content)
    assert 'datetime="2100-12-31"' in page.text
    number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
    found = program.get(f"/lists/{number}/todos").json()
    names = ("due", "due_time", "due_zone", "repeat", "repeat_from")
    had = [{name: todo[name] for name in names if todo[name]} for todo in found]
    assert had == [simple, timed, other, {}]
    assert found[-1]["title"] == "d due:2026-01-01"


def test_repeats_that_can_not_be_kept_are_told(ann: Visitor) -> None:
    """The date is kept, the rule is in the notes; a date that is none skips its line."""
    table = "title,due,repeat\ntea,2100-01-01,FREQ=HOURLY\nmilk,2100-02-30,\n"
    page = send(ann, "shopping.csv", table.encode())
    text = unescape(re.sub(r"<[^>]+>", " ", page.text))
    assert re.search(r"Line 2\s+tea\s+Imported without its repeat", text)
    assert re.search(r"Line 3\s+milk\s+This day isn't in the calendar", text)
    number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
    (tea,) = Program(ann.server, ann.name).get(f"/lists/{number}/todos").json()
    assert (tea["due"], tea["repeat"], tea["notes"]) == ("2100-01-01", None, "FREQ=HOURLY")


def test_what_is_not_understood_is_told(ann: Visitor) -> None:
    """By line, with a reason, in the reader's language; the rest can be stored."""
    table = "title,completed,created\nmilk,yes,\n,true,\nbread,no,yesterday\nhoney,,2026-01-01\n"
    page = send(ann, "shopping.csv", table.encode())
    text = unescape(re.sub(r"<[^>]+>", " ", page.text))
    assert "Found 2 todos" in text
    assert re.search(r"Line 3\s+Please enter something here", text)
    assert re.search(r"Line 4\s+bread\s+Invalid date", text)
    number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
    assert "shopping" in ann.get(f"/lists/{number}").text
    found = rows(ann.get(f"/lists/{number}").text)
    assert [(row.title, row.completed) for row in found] == [("milk", True), ("honey", False)]


def bomb(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a small zip that becomes very large."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("lists/1.json", b" " * 50_000_000)
    return file.getvalue()


def misnamed() -> bytes:
    """Return a zip of ours with a name in it that says UTF-8, and isn't."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("lists/1.json", b"{}")
        archive.writestr("é", b"")
    return file.getvalue().replace("é".encode(), b"\xff\xff")


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("", b"", 422),
        ("misnamed.zip", misnamed(), 422),
        ("empty.txt", b"", 422),
        ("photo.jpg", b"\xff\xd8\xff\xe0" * 100, 422),
        ("broken.zip", b"PK\x03\x04" + b"x" * 100, 422),
        ("bomb.zip", bomb(), 422),
        ("bzip2.zip", bomb(zipfile.ZIP_BZIP2), 422),
        ("lzma.zip", bomb(zipfile.ZIP_LZMA), 422),
        ("none.json", b"[]", 422),
        ("none.txt", b"\n\n", 422),
        ("numbers.json", b"[" + b"0," * 100_000 + b"0]", 413),
        ("nested.json", b"[" + b"[]," * 1_600_000 + b"[]]", 413),
        ("names.json", b"{" + b",".join(b'"%d":0' % n for n in range(400_001)) + b"}", 413),
        ("lists.json", b"[" + b'{"todos":[]},' * 501 + b'{"todos":[]}]', 413),
        ("entries.zip", b"PK\3\4" + b"PK\1\2" * 1001, 413),
        ("empty lines.txt", b"\n" * 4_900_000, 413),
        ("one line.txt", b"x" * 4_900_000, 413),
        ("columns.csv", b"title" + b"," * 4_900_000, 413),
        ("broken.json", b'{"todos": [', 422),
        ("other.json", b'{"name": "x"}', 422),
        ("deep.json", b"[" * 100_000, 422),
        ("large.txt", b"milk\n" * 1_000_001, 413),
        ("many.txt", b"milk\n" * 20_001, 413),
        ("huge.txt", b"x" * 31_000_000, 0),
    ],
)
def test_bad_files(ann: Visitor, name: str, data: bytes, status: int) -> None:
    """Are refused with a reason; what is far too large is not even read."""
    try:
        answer = send(ann, name, data)
    except OSError:
        assert status == 0  # the connection was closed in the middle
        return
    assert answer.status_code == status or (status == 0 and answer.status_code in (400, 413))
    if status:
        assert len(alerts(answer.text)) == 1


def test_what_can_not_be_shown_is_shown(ann: Visitor) -> None:
    """Half a character in a title or a name; names of any length, with anything in them."""
    todos = [{"title": "\ud800"}, {"title": "milk", "created": "2026-01-01"}]
    data = json.dumps({"name": "a\0\n\ud800" + "x" * 300, "todos": todos}).encode()
    page = send(ann, "odd.json", data)
    assert page.status_code == 200 and "Found 1 todo" in page.text
    number = int(store(ann, page.text).headers["Location"].rpartition("/")[2])
    found = ann.get(f"/lists/{number}.json").json()
    assert found["name"].startswith("a ?xx") and len(found["name"]) == 200
    assert found["todos"][0]["created"] == "2026-01-01T00:00:00.000Z"


def test_an_import_can_not_be_forged(ann: Visitor, nobody: Visitor) -> None:
    """Without the form's token, or without a session, nothing is read."""
    assert send(ann, "a.txt", b"milk", _xsrf="x").status_code == 403
    assert send(nobody, "a.txt", b"milk").status_code == 403
    assert ann.get("/account/import").status_code == 200


def test_strangers_get_no_files(ann: Visitor, cy: Visitor) -> None:
    """404, as for the list itself."""
    for suffix in ("txt", "csv", "json"):
        assert cy.get(f"/lists/{ann.list}.{suffix}").status_code == 404
        assert ann.get(f"/lists/{ann.list}.{suffix}").status_code == 200
    assert ann.get(f"/lists/{ann.list}.exe").status_code == 404


def test_no_file_breaks_the_reader(hypothesis: Any) -> None:
    """It understands, or refuses."""
    some = hypothesis.strategies
    names = some.sampled_from(["a.txt", "a.csv", "a.json", "a.zip", ""])

    @hypothesis.settings(deadline=None)
    @hypothesis.given(some.binary(max_size=300), names)
    def read(data: bytes, name: str) -> None:
        try:
            files.read(name, data)
        except files.Invalid as reason:
            assert reason.field == "file"

    read()


def test_what_is_written_is_read(hypothesis: Any) -> None:
    """Whatever people typed, by CSV and by todo.txt."""
    some = hypothesis.strategies
    written = some.fixed_dictionaries(
        {
            "title": some.text(min_size=1, max_size=40)
            | some.sampled_from(
                ["x due:2026-01-01", "y rec:1w", "z due: rec:+2m", "due:2026-01-01"]
            ),
            "notes": some.text(max_size=40),
            "completed": some.booleans(),
            "order": some.floats(-1e15, 1e15),
            "created": some.just("2026-11-20T10:00:00.000Z"),
            "due": some.sampled_from(["", "2026-12-31"]),
            "repeat": some.sampled_from(["", "FREQ=DAILY", "FREQ=WEEKLY;INTERVAL=2"]),
            "repeat_from": some.sampled_from(["due", "done"]),
        }
    )

    @hypothesis.settings(deadline=None)
    @hypothesis.given(some.lists(written, max_size=5))
    def write_and_read(todos: list[Any]) -> None:
        sound = []
        for todo in todos:
            with suppress(files.Invalid):
                sound.append(files.checked(todo))
        hypothesis.assume(sound)
        for suffix, write in (("csv", files.write_csv), ("txt", files.write_txt)):
            text = "".join(write([row | {"completed_at": row["created"]} for row in sound]))
            (sheet,) = files.read(f"a.{suffix}", text.encode()).sheets
            kept = ("title", "notes", "completed", *(["order"] if suffix == "csv" else []))
            kept += ("due", "repeat")
            found = [{name: row.get(name) for name in kept} for row in sheet.todos]
            assert found == [{name: row.get(name) for name in kept} for row in sound]

    write_and_read()
