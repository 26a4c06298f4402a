"""The visitor's tour: what people can notice, tried on a live server with requests.

`python -m unittest tests`, `python tests.py` and `python -m pytest tests.py` all run it; with
ENGINE=postgresql before them, on a PostgreSQL server of its own. What only a developer notices is
in checks/.
"""

import re
import shutil
import socket
import tempfile
import threading
import unittest
import uuid
from functools import cached_property
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import requests

from checks.support.servers import (
    CLUSTERS,
    ENGINE,
    OF_SQLITE,
    ROOT,
    Server,
    inside,
    start_engine,
    stop_engine,
)
from checks.support.visitors import (
    PASSWORD,
    Form,
    Row,
    Visitor,
    alerts,
    bare,
    join,
    password_owner,
    rows,
)

TITLES = [
    "Buy milk",
    "Regar as plantas 🌱",
    "Acheter du thé — dès que possible",
    "قراءة الكتاب",
    "להתקשר לאמא שָׁלוֹם",
    "우유 사기",
    "한글 decomposed: é",
    "👩‍👩‍👧‍👦 and 🏳️‍🌈 with joiners",
    "<b>bold</b> <script>alert(1)</script>",
    "\"double\" 'single' & amp; &lt;",
    "{{ 7 * 7 }} {% raw x %} ${x} %(x)s {x}",
    "back\\slash and  two  spaces\tand a tab",
    "'; DROP TABLE todo; --",
    "\u202eright to left",
    "x" * 1000,
]
# Nobody can see or press one of these: from Default_Ignorable_Code_Point, and blank symbols.
UNSEEN = [
    *("\u3164", "\uffa0", "\u115f\u1160", "\u2800", "\u034f", "\ufe0f", "\u17b4", "\u180b\u180f"),
    *("\u2065", "\ufff0", "\U0001d159", "\U0001d173", "\U000e0100", "\U000e0fff", "\u061c\u200e"),
]
LINKS = [  # a title, and the links in it
    ("see https://en.wikipedia.org/wiki/Foo_(bar).", "https://en.wikipedia.org/wiki/Foo_(bar)"),
    ("(https://x.org/a_(b(c)), no)", "https://x.org/a_(b(c))"),
    ("https://x.org/?a[x]=1, and http://[::1]/!", "https://x.org/?a[x]=1", "http://[::1]/"),
    ("[https://x.org](https://x.org/a)", "https://x.org", "https://x.org/a"),
    ("HTTPS://X.org/A and Http://x.org", "HTTPS://X.org/A", "Http://x.org"),
    (
        "看「https://x.org/佐々木」。好 https://x.org/b、好",
        "https://x.org/佐々木",
        "https://x.org/b",
    ),
    ("\uff08https://x.org/b\uff09\uff0c", "https://x.org/b"),
    ("“https://x.org/a…” «https://x.org/b»", "https://x.org/a", "https://x.org/b"),
    ("https://x.org/a) b", "https://x.org/a"),
    ("https:// http://… http://(",),
]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def setUpModule() -> None:
    """Start the server that the tests share: each signs up people of its own there."""
    global server
    if ENGINE == "postgresql" and not CLUSTERS:
        start_engine()
        unittest.addModuleCleanup(stop_engine)
    folder = Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, folder)
    server = Server(folder / "people.db")
    unittest.addModuleCleanup(server.release)


def tearDownModule() -> None:
    """Stop it; fail if it logged anything that no test expected."""
    server.stop()


class Tour(unittest.TestCase):
    """The cast: Ann owns a list, Bob may edit it, Cy is a stranger, and nobody has an account."""

    @cached_property
    def ann(self) -> Visitor:
        return self.signed_up("ann")

    @cached_property
    def bob(self) -> Visitor:
        bob = self.signed_up("bob")
        self.assertEqual(join(self.ann, bob), 303)
        bob.list = self.ann.list
        return bob

    @cached_property
    def cy(self) -> Visitor:
        return self.signed_up("cy")

    @cached_property
    def nobody(self) -> Visitor:
        return Visitor(server, "nobody")

    def signed_up(self, name: str) -> Visitor:
        visitor = Visitor(server, name)
        self.assertEqual(visitor.sign_up().status_code, 303)
        return visitor

    @cached_property
    def database(self) -> Path:
        """Where a test's own servers keep their data: they see the same when started again."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        return folder / "people.db"

    def start(self, *options: str) -> Server:
        """Start a server of the test's own."""
        own = Server(self.database, *options)
        self.addCleanup(own.release)
        return own

    def assertTitles(self, visitor: Visitor, *titles: str) -> None:
        self.assertEqual([row.title for row in visitor.rows()], [*titles])

    def assertLeadsTo(self, answer: requests.Response, place: str) -> None:
        self.assertEqual((answer.status_code, answer.headers.get("Location")), (303, place))

    def assertRefused(self, answer: requests.Response, status: int, *reasons: str) -> None:
        """With one complaint on the page, which is `reasons` if there are any."""
        found = alerts(answer.text)
        self.assertEqual((answer.status_code, len(found)), (status, 1), answer.text)
        if reasons:
            self.assertEqual(found, [*reasons])


class WholeDayTest(Tour):
    def test_the_main_job(self) -> None:
        """Sign up, keep a list, leave, come back after a restart, and find everything as it was."""
        own = self.start()
        ann = Visitor(own, "ann")
        self.assertEqual(ann.get("/").headers["Location"], "/login?next=%2F")
        self.assertLeadsTo(ann.sign_up(), "/")
        self.assertEqual(ann.rows(), [])

        ann.add("milk", "bread", "honey")
        milk, bread, honey = (row.id for row in ann.rows())
        self.assertEqual(
            ann.rows(), [(milk, "milk", False), (bread, "bread", False), (honey, "honey", False)]
        )

        def completed() -> list[bool]:
            return [row.completed for row in ann.rows()]

        self.assertLeadsTo(ann.post(f"/todos/{milk}/complete"), f"/lists/{ann.list}")
        self.assertEqual(completed(), [True, False, False])
        ann.post(f"/todos/{milk}/reopen")
        self.assertEqual(completed(), [False, False, False])
        ann.post(f"/lists/{ann.list}/toggle-all", completed="true")
        self.assertEqual(completed(), [True, True, True])
        ann.post(f"/lists/{ann.list}/toggle-all", completed="false")
        ann.post(f"/todos/{bread}", title="  rye bread ")
        ann.post(f"/todos/{honey}/delete")
        ann.post(f"/todos/{milk}/complete")
        self.assertEqual(ann.rows(), [(milk, "milk", True), (bread, "rye bread", False)])
        self.assertEqual(ann.rows("/active"), [(bread, "rye bread", False)])
        self.assertEqual(ann.rows("/completed"), [(milk, "milk", True)])
        ann.post(f"/lists/{ann.list}/clear-completed")
        self.assertEqual(ann.rows(), [(bread, "rye bread", False)])

        made = ann.post("/lists", name="Holidays").headers["Location"]
        self.assertLeadsTo(ann.post(f"{made}/rename", name="Férias 🏖️"), made)
        self.assertEqual(ann.post(made, title="pack").status_code, 303)

        ann.post("/logout")
        self.assertEqual(
            ann.get(made).headers["Location"], f"/login?next={made.replace('/', '%2F')}"
        )
        own.stop()
        ann.server = own = self.start()
        self.assertLeadsTo(ann.log_in(next=made), made)
        self.assertEqual([row.title for row in rows(ann.get(made).text)], ["pack"])
        self.assertIn("Férias 🏖️", ann.get("/lists").text)
        self.assertEqual(ann.rows(), [(bread, "rye bread", False)])
        own.stop()

    def test_a_session_outlives_a_restart(self) -> None:
        """The key that signs cookies is kept beside the database, for its owner only."""
        own = self.start()
        ann = Visitor(own, "ann")
        ann.sign_up()
        own.stop()
        for file in self.database.parent.glob("people.db*"):
            if "log-" not in file.name:
                self.assertEqual(file.stat().st_mode & 0o077, 0, file)
        ann.server = self.start()
        self.assertEqual(ann.get(f"/lists/{ann.list}").status_code, 200)
        ann.server.stop()

    def test_the_sample(self) -> None:
        """`cp people.db.sample people.db` gives lists to try, to those who share them."""
        if CLUSTERS:
            self.skipTest(OF_SQLITE)
        self.database.write_bytes((ROOT / "people.db.sample").read_bytes())
        own = self.start()
        readme = (ROOT / "README.rst").read_text()
        for name in ("ana", "bob"):
            self.assertIn(f"``{name}``", readme)
            visitor = Visitor(own, name)
            answer = visitor.log_in(username=name, password="only for looking")
            self.assertEqual(answer.status_code, 303)
            lists = visitor.get("/lists").text
            shared = next(line for line in lists.splitlines() if "Casa &amp; jardim" in line)
            address = shared.split('href="')[1].split('"')[0]
            todos = rows(visitor.get(address).text)
            self.assertEqual({row.completed for row in todos}, {True, False})
            self.assertGreater(len(todos), 5)
        self.assertIn("only for looking", readme)
        own.stop()


class TitlesTest(Tour):
    def test_a_title_comes_back_as_typed(self) -> None:
        """On the page and in the field for renaming, whatever the script."""
        for title in TITLES:
            with self.subTest(title[:40]):
                self.ann.add(title)
                todo = self.ann.find(title)
                page = self.ann.get(f"/lists/{self.ann.list}?edit={todo}").text
                self.assertIn(Row(todo, title, False), rows(page))
                self.assertNotIn("<b>bold", page)
                self.assertNotIn("<script>", page)
        self.assertTitles(self.ann, *TITLES)

    def test_white_space_around_a_title_goes(self) -> None:
        """Unicode's too; white space inside is kept."""
        self.ann.add("\u00a0\u2003 two  words\u3000")
        self.assertTitles(self.ann, "two  words")

    def test_nothing_typed_adds_nothing(self) -> None:
        """And is no mistake either."""
        for title in ("", "   ", "\u3000\u2003", "\u200b\ufeff", "\u2060 \u00ad", *UNSEEN):
            with self.subTest(ascii(title)):
                answer = self.ann.post(f"/lists/{self.ann.list}", title=title)
                self.assertEqual(answer.status_code, 303)
                self.assertTitles(self.ann)

    def test_an_emoji_is_something(self) -> None:
        """Also one that ends in a character that shows nothing, which chooses its colours."""
        titles = ("\u2764\ufe0f", "1\ufe0f\u20e3", "\u3131\u3164", "\u2801", "\U0001d158")
        self.ann.add(*titles)
        self.assertTitles(self.ann, *titles)

    def test_addresses_are_links(self) -> None:
        """With the brackets that belong to them, and without what is around them."""
        for title, *addresses in LINKS:
            with self.subTest(title):
                self.ann.post(f"/lists/{self.ann.list}", title=title)
                page = self.ann.get(f"/lists/{self.ann.list}").text
                label = re.findall('<li id="todo-.*?(<label.*?</label>)', page, re.S)[-1]
                self.assertEqual(
                    [unescape(a) for a in re.findall('href="(.*?)"', label)], addresses
                )
                self.assertEqual(unescape(re.sub("<.*?>", "", label)), title)

    def test_a_refused_title_is_not_lost(self) -> None:
        """The page comes again, under the same filter, with what was typed and what is wrong."""
        self.ann.add("milk")
        todo = self.ann.find("milk")
        back = f"/lists/{self.ann.list}/active"
        for title, reason in (
            ("x" * 1001, "This is too long: at most 1000 characters."),
            ("two\nlines", "This must be one line, without control characters."),
            ("next\u2028line", "This must be one line, without control characters."),
            ("bell\x07", "This must be one line, without control characters."),
        ):
            for address in (f"/lists/{self.ann.list}", f"/todos/{todo}"):
                with self.subTest(ascii(title[:20]), address=address):
                    answer = self.ann.post(address, title=title, back=back)
                    self.assertRefused(answer, 422, reason)
                    self.assertIn(f'value="{title}"', answer.text)
                    self.assertIn(f'name="back" value="{back}"', answer.text)
        self.assertTitles(self.ann, "milk")

    def test_an_empty_rename_deletes(self) -> None:
        """As emptying the text of a todo says."""
        self.ann.add("milk", "bread")
        self.ann.post(f"/todos/{self.ann.find('milk')}", title="  ")
        self.assertTitles(self.ann, "bread")

    def test_several_at_once(self) -> None:
        """A line each; what is wrong with one refuses all, and keeps them."""
        self.ann.post(f"/lists/{self.ann.list}", lines="milk\r\n\r\n  bread  \r\n\u3000\r\nhoney")
        self.assertTitles(self.ann, "milk", "bread", "honey")
        lines = "fine\n" + "x" * 1001
        answer = self.ann.post(f"/lists/{self.ann.list}", lines=lines)
        self.assertRefused(answer, 422)
        self.assertIn(lines, answer.text)
        self.assertTitles(self.ann, "milk", "bread", "honey")

    def test_notes_on_a_page_of_their_own(self) -> None:
        """Kept by a rename, refused with the page again, and nobody else's business."""
        self.ann.add("milk")
        todo = self.ann.find("milk")
        notes = "\n two bottles <b>\r\n& cream"
        answer = self.ann.post(f"/todos/{todo}", title="milk", notes=notes)
        self.assertEqual(answer.status_code, 303)
        self.ann.post(f"/todos/{todo}", title="oat milk")
        page = self.ann.get(f"/todos/{todo}").text
        self.assertIn("\n\n two bottles &lt;b&gt;\n&amp; cream</textarea>", page)
        self.assertIn('value="oat milk"', page)
        answer = self.ann.post(f"/todos/{todo}", title="milk", notes="x" * 16_001)
        self.assertRefused(answer, 422)
        self.assertIn("x" * 16_001, answer.text)
        self.assertEqual(self.cy.get(f"/todos/{todo}").status_code, 404)
        self.ann.post(f"/todos/{todo}/delete")
        self.assertEqual(self.ann.get(f"/todos/{todo}").status_code, 404)
        self.assertLeadsTo(self.ann.post(f"/todos/{todo}/restore"), f"/lists/{self.ann.list}")
        self.assertTitles(self.ann, "oat milk")
        self.assertEqual(self.ann.post(f"/todos/{todo}/restore").status_code, 404)

    def test_a_blank_name_of_a_list(self) -> None:
        """Is refused where it was typed."""
        for name in (" ", *UNSEEN):
            refused = self.ann.post("/lists", name=name)
            self.assertRefused(refused, 422, "Please enter something here.")
        answer = self.ann.post(f"/lists/{self.ann.list}/rename", name="x" * 201)
        self.assertRefused(answer, 422)
        self.assertIn("x" * 201, answer.text)


class TwoOnATodoTest(Tour):
    """Each changes what they changed in their form of it, and nothing of the other's."""

    def opened(self, visitor: Visitor, title: str) -> tuple[str, dict[str, str]]:
        """Return the address of a todo's page, and its form."""
        address = f"/todos/{visitor.find(title)}"
        return address, Form(visitor.get(address).text, address).fields

    def shown(self, address: str) -> dict[str, str]:
        """Return what the todo is now."""
        fields = Form(self.ann.get(address).text, address).fields
        return {name: fields[name] for name in ("title", "notes", "assigned")}

    def test_each_saves_something_else(self) -> None:
        self.ann.add("milk")
        address, form = self.opened(self.bob, "milk")
        self.ann.post(address, title="oat milk", notes="two bottles", assigned=self.bob.name)
        self.ann.post(f"{address}/complete")
        self.ann.post(f"{address}/move", after="")
        answer = self.bob.post(address, **form | {"assigned": self.ann.name})
        self.assertRefused(answer, 409)  # the one thing that both have changed
        self.assertEqual(self.bob.post(address, **form).status_code, 303)
        answer = self.bob.post(address, **form | {"notes": form["notes"] + "\r\n"})
        self.assertEqual(answer.status_code, 303)
        now = {"title": "oat milk", "notes": "two bottles", "assigned": self.bob.name}
        self.assertEqual(self.shown(address), now)
        _, form = self.opened(self.bob, "oat milk")
        self.ann.post(address, title="almond milk")
        self.bob.post(address, **form | {"notes": "three\r\nbottles", "assigned": ""})
        now = {"title": "almond milk", "notes": "three\nbottles", "assigned": ""}
        self.assertEqual(self.shown(address), now)
        self.assertEqual(self.ann.rows()[0].completed, True)

    def test_both_texts_are_shown(self) -> None:
        """Nothing is stored until one was chosen, for each field that both have changed."""
        self.ann.add("milk")
        address, form = self.opened(self.bob, "milk")
        self.ann.post(address, title="oat milk", notes="from Ann")
        mine = form | {"title": "rice milk", "notes": "from Bob", "assigned": self.bob.name}
        answer = self.bob.post(address, **mine)
        reason = "Someone else has changed this since you opened it. Which one to keep?"
        self.assertRefused(answer, 409, reason)
        self.assertIn(">Changed in the meantime</h1>", answer.text)
        for text in ("oat milk", "from Ann", ">Save mine<", ">Keep theirs<"):
            self.assertIn(text, answer.text)
        again = Form(answer.text, address).fields
        self.assertEqual(again | {"seen": form["seen"]}, mine)
        now = {"title": "oat milk", "notes": "from Ann", "assigned": ""}
        self.assertEqual(self.shown(address), now)

        keep = answer.text.split('name="keep" value="')[1].split('"')[0]
        self.assertEqual({*keep.split()}, {"title", "notes"})
        self.assertEqual(self.bob.post(address, **again, keep=keep).status_code, 303)
        self.assertEqual(self.shown(address), now | {"assigned": self.bob.name})
        self.ann.post(address, notes="Ann again")
        self.assertRefused(self.bob.post(address, **again), 409)  # it has changed once more
        again = Form(self.bob.post(address, **again).text, address).fields
        self.assertEqual(self.bob.post(address, **again).status_code, 303)
        saved = {"title": "rice milk", "notes": "from Bob", "assigned": self.bob.name}
        self.assertEqual(self.shown(address), saved)

    def test_what_only_the_other_changed_is_shown_as_it_is_now(self) -> None:
        """In the form that a conflict leaves, so that sending it again undoes nothing."""
        self.ann.add("milk")
        address, form = self.opened(self.bob, "milk")
        self.ann.post(address, title="oat milk", notes="from Ann")
        answer = self.bob.post(address, **form | {"title": "rice milk"})
        again = Form(answer.text, address).fields
        self.assertEqual((again["title"], again["notes"]), ("rice milk", "from Ann"))
        self.bob.post(address, **again)
        now = {"title": "rice milk", "notes": "from Ann", "assigned": ""}
        self.assertEqual(self.shown(address), now)

    def test_an_empty_title_against_another_one(self) -> None:
        """Deletes what was read, not what someone has written since."""
        self.ann.add("milk")
        address, form = self.opened(self.bob, "milk")
        self.ann.post(address, title="oat milk")
        answer = self.bob.post(address, **form | {"title": " "})
        self.assertRefused(answer, 409)
        self.assertTitles(self.ann, "oat milk")
        again = Form(answer.text, address).fields
        self.assertEqual(self.bob.post(address, **again).status_code, 303)
        self.assertTitles(self.ann)

    def test_the_trash_in_between(self) -> None:
        """What it was before can't be told then: whatever differs is asked."""
        self.ann.add("milk")
        address, form = self.opened(self.bob, "milk")
        self.ann.post(address, title="", notes="cream")
        answer = self.bob.post(address, **form | {"notes": "Bob's"})
        self.assertRefused(answer, 404)
        self.assertIn("Bob&#x27;s", answer.text)
        self.ann.post(f"{address}/restore")
        self.assertRefused(self.bob.post(address, **form), 409)
        self.assertEqual(self.shown(address)["notes"], "cream")

    def test_a_field_that_is_not_sent_stays(self) -> None:
        self.ann.add("milk")
        address = f"/todos/{self.ann.find('milk')}"
        for fields in ({"notes": "x"}, {"assigned": ""}, {}, {"seen": "1"}):
            self.assertEqual(self.ann.post(address, **fields).status_code, 303, fields)
        self.assertTitles(self.ann, "milk")
        self.assertIn(">\nx</textarea>", self.ann.get(address).text)
        self.assertRefused(self.ann.post(address, notes="y", seen="x"), 422, "Invalid ID.")


class ListPageTest(Tour):
    def test_the_counter_and_the_controls(self) -> None:
        """The footer tells the truth at every step."""
        address = f"/lists/{self.ann.list}"
        page = self.ann.get(address).text
        self.assertIn('class="footer" hidden', page)
        self.assertIn("Nothing here yet", page)
        self.ann.add("milk", "bread")
        page = self.ann.get(address).text
        self.assertIn("<strong>2</strong> items left", page)
        self.assertNotIn("Clear completed", page)
        self.ann.post(f"/todos/{self.ann.find('milk')}/complete")
        page = self.ann.get(f"{address}/completed").text
        self.assertIn("<strong>1</strong> item left", page)
        self.assertIn("Clear completed", page)
        self.assertEqual(page.count('aria-current="page"'), 1)
        self.assertIn("<title>(1) ", page)
        self.ann.post(f"{address}/toggle-all", completed="true")
        page = self.ann.get(f"{address}/active").text
        self.assertIn("<strong>0</strong> items left", page)
        self.assertIn("All done.", page)
        self.assertIn('aria-checked="false" hidden>Complete all', page)
        self.assertNotIn("Clear completed", page)
        page = self.ann.get(address).text
        self.assertIn('role="checkbox" aria-checked="true">Complete all', page)

    def test_all_means_what_is_shown(self) -> None:
        """Each filter's own rows are completed, reopened and cleared, and no others."""
        ann, bob, address = self.ann, self.bob, f"/lists/{self.ann.list}"
        ann.add("one", "two", "three", "four")
        for title in ("one", "two"):
            ann.post(f"/todos/{ann.find(title)}", assigned=ann.name)
        ann.post(f"/todos/{ann.find('two')}/complete")
        ann.post(f"/todos/{ann.find('four')}/complete")

        def completed() -> list[str]:
            return [row.title for row in ann.rows() if row.completed]

        # Nothing is Bob's.
        self.assertIn("hidden>Complete all", bob.get(f"{address}/mine").text)
        self.assertNotIn("Clear completed", bob.get(f"{address}/mine").text)
        for verb in ("toggle-all", "clear-completed"):
            bob.post(f"{address}/{verb}", completed="true", shown="mine")
        self.assertEqual(completed(), ["two", "four"])
        fields = Form(ann.get(f"{address}/mine").text, address).fields
        self.assertEqual(fields["shown"], "mine")
        ann.post(f"{address}/toggle-all", completed="true", shown="mine")
        self.assertEqual(completed(), ["one", "two", "four"])
        self.assertIn('aria-checked="true">Complete all', ann.get(f"{address}/mine").text)
        ann.post(f"{address}/clear-completed", shown="active")
        self.assertEqual(completed(), ["one", "two", "four"])
        ann.post(f"{address}/clear-completed", shown="mine")
        self.assertTitles(ann, "three", "four")
        ann.post(f"{address}/toggle-all", completed="true", shown="completed")
        self.assertEqual(completed(), ["four"])
        ann.post(f"{address}/toggle-all", completed="false", shown="completed")
        ann.post(f"{address}/toggle-all", completed="true", shown="active")
        self.assertEqual(completed(), ["three", "four"])
        for verb in ("toggle-all", "clear-completed"):
            answer = ann.post(f"{address}/{verb}", completed="false", shown="theirs")
            self.assertRefused(answer, 422, "There is no such filter.")
        self.assertEqual(completed(), ["three", "four"])

    def test_what_is_added_under_mine_is_mine(self) -> None:
        """It would vanish at once, if it were nobody's."""
        mine = f"/lists/{self.ann.list}/mine"
        self.ann.post(f"/lists/{self.ann.list}", title="milk", back=mine)
        self.ann.post(f"/lists/{self.ann.list}", lines="bread\nhoney", back=mine)
        self.ann.add("jam")
        titles = [row.title for row in rows(self.ann.get(mine).text)]
        self.assertEqual(titles, ["milk", "bread", "honey"])

    def test_an_action_stays_where_it_was(self) -> None:
        """The filter is kept, and only an address of ours is."""
        self.ann.add("milk")
        todo = self.ann.find("milk")
        back = f"/lists/{self.ann.list}/active"
        self.assertLeadsTo(self.ann.post(f"/todos/{todo}/complete", back=back), back)
        answer = self.ann.post(f"/todos/{todo}/reopen", back="//evil.example/")
        self.assertLeadsTo(answer, f"/lists/{self.ann.list}")

    def test_order_by_after(self) -> None:
        """After a todo of the same list, or empty for the top; anything else is refused."""
        self.ann.add("1", "2", "3")
        one, two, three = (row.id for row in self.ann.rows())
        self.assertLeadsTo(
            self.ann.post(f"/todos/{three}/move", after=""), f"/lists/{self.ann.list}"
        )
        self.ann.post(f"/todos/{one}/move", after=two)
        self.assertTitles(self.ann, "3", "2", "1")
        for after in ("0", "x", "999999999", "1e3"):
            with self.subTest(after=after):
                self.assertRefused(self.ann.post(f"/todos/{one}/move", after=after), 422)
        self.assertTitles(self.ann, "3", "2", "1")

    def test_the_page_without_its_frame(self) -> None:
        """A script gets the same rows; nothing when nothing has changed, and never another's."""
        self.ann.add("milk", "bread")
        address = f"/lists/{self.ann.list}"
        asking = {"X-Fragment": "rows"}
        answer = self.ann.get(address, headers=asking)
        self.assertEqual(rows(answer.text), self.ann.rows())
        self.assertNotIn("<html", answer.text)
        self.assertIn("X-Fragment", answer.headers["Vary"])
        self.assertNotIn("_xsrf", answer.text)
        known = asking | {"If-None-Match": answer.headers["ETag"]}
        again = self.ann.get(address, headers=known)
        self.assertEqual((again.status_code, again.text), (304, ""))
        french = self.ann.get(address, headers=known | {"Accept-Language": "fr"})
        self.assertEqual(french.status_code, 200)
        self.assertNotEqual(french.headers["ETag"], answer.headers["ETag"])
        self.assertEqual(self.ann.get(f"{address}/active", headers=known).status_code, 200)
        self.ann.post(f"/todos/{self.ann.find('milk')}/complete")
        changed = self.ann.get(address, headers=known)
        self.assertEqual((changed.status_code, rows(changed.text)), (200, self.ann.rows()))
        self.ann.post("/logout")
        self.assertEqual(self.ann.get(address, headers=known).status_code, 302)

    def test_a_refusal_without_the_frame(self) -> None:
        """The script has the form still before it, and is told the reason alone."""
        answer = self.ann.http.post(
            f"{server.url}/lists/{self.ann.list}",
            {"_xsrf": self.ann.http.cookies["_xsrf"], "title": "x" * 1001},
            headers={"X-Fragment": "rows"},
            timeout=20,
        )
        self.assertRefused(answer, 422, "This is too long: at most 1000 characters.")

    def test_pages_are_sent_small(self) -> None:
        """Compressed, for browsers that say they can read that."""
        self.ann.post(f"/lists/{self.ann.list}", lines="\n".join(map(str, range(100))))
        page = self.ann.get(f"/lists/{self.ann.list}", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(page.headers["Content-Encoding"], "gzip")
        self.assertLess(int(page.headers["Content-Length"]), len(page.content) / 4)


class SentTwiceTest(Tour):
    """An `op` makes every form safe to send again, when its answer was lost."""

    def test_a_repeat_changes_nothing_and_leads_to_the_same_place(self) -> None:
        ann, address = self.ann, f"/lists/{self.ann.list}"
        op = str(uuid.uuid4())
        for _ in range(3):
            self.assertLeadsTo(ann.post(address, title="milk", op=op), address)
        self.assertTitles(ann, "milk")
        todo = ann.find("milk")
        for path in (f"/todos/{todo}/complete", f"/todos/{todo}/delete"):
            op = uuid.uuid4().hex
            for _ in range(2):
                answer = ann.post(path, back=f"{address}/active", op=op)
                self.assertLeadsTo(answer, f"{address}/active")
        op = str(uuid.uuid4())
        made = {ann.post("/lists", name="Holidays", op=op).headers["Location"] for _ in range(2)}
        self.assertEqual(len(made), 1)
        self.assertEqual(ann.get("/lists").text.count("Holidays"), 1)
        answer = ann.post(address, title="honey", op=op)  # the same for something else
        self.assertRefused(answer, 409)
        self.assertIn("honey", answer.text)
        for bad in ("x", "1" * 31, "None"):
            self.assertEqual(ann.post(address, title="jam", op=bad).status_code, 400)
        self.assertTitles(ann)

    def test_an_op_is_ones_own(self) -> None:
        """Someone else's `op` that is the same by chance or malice changes nothing for me."""
        op = str(uuid.uuid4())
        self.ann.post(f"/lists/{self.ann.list}", title="mine", op=op)
        answer = self.cy.post(f"/lists/{self.cy.list}", title="his", op=op)
        self.assertEqual(answer.status_code, 303)
        self.assertTitles(self.ann, "mine")
        self.assertTitles(self.cy, "his")

    def test_logging_in_and_out_is_done_each_time(self) -> None:
        """Whatever the `op`; and a key of a session is never kept as an answer."""
        ann, cy = self.ann, self.cy
        for name in (cy.name, ann.name, cy.name):
            answer = ann.post("/login", username=name, password=PASSWORD, op="1" * 32)
            self.assertEqual(answer.status_code, 303)
            self.assertIn(f">{name}</a>", ann.get("/lists").text)
        for _ in range(2):
            copy = {ann.http.cookies.full("session"): ann.http.cookies["session"]}
            ann.post("/logout", op="2" * 32)
            self.assertEqual(ann.get("/lists", cookies=copy).status_code, 302)
            ann.log_in()
        with inside(server.database) as run:
            for (answer,) in run("SELECT answer FROM idempotency_key"):
                self.assertNotIn("/log", answer)

    def test_a_refused_form_is_no_answer(self) -> None:
        """After the mistake is mended, the same `op` does it."""
        op = str(uuid.uuid4())
        address = f"/lists/{self.ann.list}"
        self.assertEqual(self.ann.post(address, title="x" * 1001, op=op).status_code, 422)
        self.assertEqual(self.ann.post(address, title="milk", op=op).status_code, 303)
        self.assertTitles(self.ann, "milk")


class UndoAndHistoryTest(Tour):
    def change_on(self, page: str) -> str:
        """Return the change that a page offers to undo."""
        return page.split('name="change" value="')[1].split('"')[0]

    def test_undo_says_when_it_is_too_late(self) -> None:
        """409 with the way back; 404 for what is no change of mine."""
        ann = self.ann
        ann.add("milk")
        ann.post(f"/todos/{ann.find('milk')}/complete")
        change = self.change_on(ann.get(f"/lists/{ann.list}").text)
        self.assertEqual(self.cy.post("/undo", change=change).status_code, 404)
        self.assertEqual(ann.post("/undo", change="999999999").status_code, 404)
        for nonsense in ("", "0", "x", "-1", "9" * 30):
            with self.subTest(nonsense=nonsense):
                self.assertIn(ann.post("/undo", change=nonsense).status_code, (404, 422))
        back = f"/lists/{ann.list}/completed"
        self.assertLeadsTo(ann.post("/undo", change=change, back=back), back)
        self.assertEqual([row.completed for row in ann.rows()], [False])
        answer = ann.post("/undo", change=change, back=back)
        self.assertRefused(answer, 409)
        self.assertIn(f'href="{back}"', answer.text)

    def test_undoing_the_making_of_a_list(self) -> None:
        """Leads to the page of all lists, wherever it was asked for."""
        made = self.ann.post("/lists", name="Holidays").headers["Location"]
        change = self.change_on(self.ann.get(f"{made}/history").text)
        answer = self.ann.post("/undo", change=change, back=f"{made}/history")
        self.assertLeadsTo(answer, "/lists")
        self.assertEqual(self.ann.get(made).status_code, 404)
        change = self.change_on(self.ann.get("/lists").text)
        self.assertLeadsTo(self.ann.post("/undo", change=change), made)

    def test_history_and_trash_come_in_pages(self) -> None:
        """With the way to the older and the newer ones."""
        address = f"/lists/{self.ann.list}"
        self.ann.add(*map(str, range(60)))
        self.check_pages(f"{address}/history", "Added")
        self.ann.post(f"{address}/toggle-all", completed="true")
        self.ann.post(f"{address}/clear-completed")
        self.check_pages(f"{address}/trash", "Deleted")

    def check_pages(self, address: str, verb: str) -> None:
        first = self.ann.get(address).text
        self.assertEqual(first.count("<time"), 50)
        self.assertIn(f"{address}?page=2", first)
        self.assertIn(verb, first)
        second = self.ann.get(f"{address}?page=2").text
        self.assertIn(second.count("<time"), range(1, 20))
        self.assertIn(f"{address}?page=1", second)
        for nonsense in ("0", "-1", "x", "9" * 30):
            self.assertEqual(self.ann.get(f"{address}?page={nonsense}").status_code, 200)


class WhoMayTest(Tour):
    def test_a_stranger_learns_nothing(self) -> None:
        """What is Ann's and what doesn't exist read the same to Cy, and he changes nothing."""
        ann, cy = self.ann, self.cy
        ann.add("secret")
        todo = ann.find("secret")
        missing = bare(cy.get("/lists/999999").text)
        for path in ("", "/active", "/history", "/trash"):
            answer = cy.get(f"/lists/{ann.list}{path}")
            self.assertEqual((answer.status_code, bare(answer.text)), (404, missing))
        for address, fields in {
            f"/lists/{ann.list}": {"title": "mine"},
            f"/lists/{ann.list}/rename": {"name": "mine"},
            f"/lists/{ann.list}/toggle-all": {"completed": "true"},
            f"/lists/{ann.list}/clear-completed": {},
            f"/lists/{ann.list}/delete": {},
            f"/todos/{todo}": {"title": "mine"},
            f"/todos/{todo}/move": {"after": ""},
            f"/todos/{todo}/restore": {},
            f"/todos/{todo}/complete": {},
            f"/todos/{todo}/reopen": {},
            f"/todos/{todo}/delete": {},
        }.items():
            with self.subTest(address):
                self.assertEqual(cy.post(address, **fields).status_code, 404)
        self.assertEqual(ann.rows(), [Row(todo, "secret", False)])
        self.assertNotIn(ann.name, cy.get("/lists").text)

    def test_a_viewer_reads(self) -> None:
        """Sees the list and nothing to change it with; what is sent all the same gets 403."""
        ann, vic = self.ann, self.signed_up("vic")
        ann.add("milk")
        todo = ann.find("milk")
        self.assertEqual(join(ann, vic, "viewer"), 303)
        page = vic.get(f"/lists/{ann.list}?edit={todo}").text
        self.assertEqual(rows(page), [Row(todo, "milk", False)])
        self.assertEqual(page.count('method="post"'), 1)
        self.assertIn("Log out", page)
        self.assertNotIn("formaction", page)
        for address in (f"/lists/{ann.list}", f"/lists/{ann.list}/rename", f"/todos/{todo}/delete"):
            self.assertEqual(vic.post(address, title="mine", name="mine").status_code, 403)
        self.assertEqual(ann.rows(), [Row(todo, "milk", False)])

    def test_another_role_counts_at_once(self) -> None:
        """On the page and in what a script asks for, both ways."""
        ann, bob = self.ann, self.bob
        ann.add("milk")
        todo = ann.find("milk")
        for role, status in (("editor", 303), ("viewer", 403), ("editor", 303)):
            join(ann, bob, role)
            for headers in ({}, {"X-Fragment": "rows"}):
                page = bob.get(f"/lists/{ann.list}", headers=headers).text
                self.assertEqual("formaction" in page, role == "editor")
            self.assertEqual(bob.post(f"/todos/{todo}/complete").status_code, status)

    def test_nobody_is_sent_to_log_in(self) -> None:
        """And comes back to where they wanted to go; what they send meanwhile is refused."""
        answer = self.nobody.get("/lists/7/active?x=1")
        self.assertEqual(answer.status_code, 302)
        self.assertEqual(answer.headers["Location"], "/login?next=%2Flists%2F7%2Factive%3Fx%3D1")
        answer = self.nobody.post("/lists/7", title="milk & <honey>")
        self.assertRefused(answer, 403, "You are no longer logged in.")
        self.assertIn("milk &amp; &lt;honey&gt;", answer.text)
        self.assertLeadsTo(self.nobody.post("/logout"), "/login")

    def test_text_survives_the_end_of_a_session(self) -> None:
        """Without a script too: the refusal leads through log-in to the field, filled in."""
        ann = self.ann
        ann.post("/logout")
        back = f"/lists/{ann.list}/active"
        page = ann.post(f"/lists/{ann.list}", title="milk & <honey> 🌱", back=back).text
        login = unescape(page.split('id="login" href="')[1].split('"')[0])
        following = unescape(ann.get(login).text.split('name="next" value="')[1].split('"')[0])
        place = ann.log_in(next=following).headers["Location"]
        self.assertTrue(place.startswith(back + "?title="), place)
        self.assertIn('value="milk &amp; &lt;honey&gt; 🌱"', ann.get(place).text)


class AddressesTest(Tour):
    def test_an_id_that_is_none(self) -> None:
        """Is not found, by any method and anywhere in the address."""
        ann = self.ann
        numbers = ["0", "-1", "01", "1.0", "x", "%31x", "٣", "9" * 19, "1_0", "1%00", "1/2", "1e3"]
        for number in numbers:
            for path in (
                f"/lists/{number}",
                f"/todos/{number}/complete",
                f"/lists/{number}/rename",
            ):
                with self.subTest(path):
                    self.assertIn(ann.get(path).status_code, (404, 405))
                    self.assertEqual(ann.post(path, title="x", name="x").status_code, 404)
            self.assertEqual(ann.get(f"/lists/{ann.list}?edit={number}").status_code, 200)
            self.assertEqual(ann.get(f"/lists/{ann.list}/{number}").status_code, 404)

    def test_unknown_addresses(self) -> None:
        for path in (
            "/nothing",
            "/lists/1/everything",
            "/lists/",
            "/static/none.css",
            "/static/%00",
        ):
            with self.subTest(path):
                self.assertEqual(self.ann.get(path).status_code, 404)
        self.assertEqual(self.ann.post("/nothing").status_code, 404)

    def test_error_pages_keep_the_navigation(self) -> None:
        """For members and strangers; a forged form is refused before that is known."""
        nobody = self.nobody.get("/nothing").text
        self.assertNotIn("/logout", nobody)
        self.assertNotIn('href="/lists"', nobody)
        pages = [self.ann.get("/nothing"), self.ann.get("/lists/999999")]
        pages += [self.ann.post("/nothing"), self.ann.post("/undo", change="999999")]
        for page in pages:
            self.assertEqual(page.status_code, 404)
            self.assertIn(f">{self.ann.name}</a>", page.text)
            self.assertIn('action="/logout"', page.text)
        forged = self.ann.http.post(f"{server.url}/lists", {"name": "x"}, timeout=20)
        self.assertEqual(forged.status_code, 403)
        self.assertIn('<a href="/lists">', forged.text)

    def test_conflicts_are_headed_by_what_happened(self) -> None:
        ann, address = self.ann, f"/lists/{self.ann.list}"
        ann.add("milk")
        change = ann.get(address).text.split('name="change" value="')[1].split('"')[0]
        ann.post(f"/todos/{ann.find('milk')}/complete")
        op = str(uuid.uuid4())
        ann.post(address, title="bread", op=op)
        for answer, heading in (
            (ann.post("/undo", change=change), "Changed in the meantime"),
            (ann.post("/lists", name="honey", op=op), "Already sent"),
            (ann.post(f"{address}/leave"), "A list needs an owner"),
            (ann.post("/messages/held/999/delete"), "Already sent"),
        ):
            self.assertRefused(answer, 409)
            self.assertIn(f"<h1>{heading}</h1>", answer.text)

    def test_unknown_methods(self) -> None:
        """405, which says what can be done."""
        for method, path, allowed in [
            ("GET", "/logout", "POST"),
            ("PUT", f"/lists/{self.ann.list}", "GET, HEAD, POST"),
            ("POST", f"/lists/{self.ann.list}/active", "GET, HEAD"),
            ("DELETE", "/static/css/app.css", "GET, HEAD"),
            ("TRACE", "/login", None),
        ]:
            with self.subTest(path, method=method):
                answer = self.ann.http.request(method, server.url + path, timeout=20)
                self.assertEqual(answer.status_code, 405)
                if allowed:
                    said = answer.headers["Allow"].split(", ")
                    self.assertEqual(", ".join(sorted(said)), allowed)
        head = self.ann.http.head(server.url + "/lists", timeout=20)
        self.assertEqual((head.status_code, head.text), (200, ""))


class SigningUpTest(Tour):
    def test_it_says_what_is_wrong(self) -> None:
        """Beside the field, with the rest filled in, and never the password."""
        nobody = self.nobody
        for fields, reason in [
            ({"username": ""}, "Use up to 40"),
            ({"username": " "}, "Use up to 40"),
            ({"username": "x" * 41}, "Use up to 40"),
            ({"username": "ana maria"}, "Use up to 40"),
            ({"username": "анна"}, "Usernames can't have accents"),
            ({"username": "joão"}, "Usernames can't have accents"),
            ({"username": "jose\u0301"}, "Usernames can't have accents"),
            ({"username": "ann🌱"}, "Use up to 40"),
            ({"username": "<b>"}, "Use up to 40"),
            ({"username": "-ann"}, "Use up to 40"),
            ({"email": "nowhere"}, "This isn't a valid e-mail address."),
            ({"email": "a b@c.d"}, "This isn't a valid e-mail address."),
            ({"password": ""}, "A password needs at least 8"),
            ({"password": "sh0rt!"}, "A password needs at least 8"),
            ({"password": "password123"}, "This password is easy to guess."),
            ({"password": f"{nobody.name}!"}, "This password is easy to guess."),
            ({"password": "x" * 1025}, "This is too long: at most 1024"),
        ]:
            with self.subTest(**{name: value[:40] for name, value in fields.items()}):
                answer = nobody.sign_up(**{"email": "nobody@example.org", **fields})
                self.assertRefused(answer, 422)
                self.assertTrue(alerts(answer.text)[0].startswith(reason), alerts(answer.text))
                self.assertNotIn(PASSWORD, answer.text)
                self.assertIn(fields.get("email", "nobody@example.org"), answer.text)
                if fields.get("password"):
                    self.assertNotIn(fields["password"], answer.text.replace(nobody.name, ""))
        self.assertEqual(nobody.sign_up(email="nobody@example.org").status_code, 303)

    def test_a_name_is_taken_once(self) -> None:
        """However it is spelt."""
        name = self.ann.name
        for spelling in (name, name.upper(), f" {name} ", name.replace("a", "\uff41")):
            with self.subTest(spelling):
                answer = self.nobody.sign_up(username=spelling)
                self.assertRefused(answer, 422, "That username is taken.")

    def test_an_endless_name_holds_nobody_up(self) -> None:
        """Putting its marks in order would take minutes, and everyone else would wait for it."""
        name = "a" + "\u0315" * 80_000 + "\u0316" * 80_000
        self.assertEqual(self.nobody.log_in(username=name, password="x").status_code, 403)
        self.assertEqual(self.nobody.sign_up(username=name).status_code, 422)
        self.assertEqual(self.ann.get("/lists").status_code, 200)


class PasswordManagerTest(Tour):
    def test_it_learns_whose_password_it_is(self) -> None:
        """Each form with a password has the username, before it."""
        ann, name = self.ann, self.ann.name
        new = ann.post("/account", username=f"{name}-2")
        for page, value in [
            (self.nobody.get("/login"), ""),
            (self.nobody.get("/signup"), ""),
            (ann.get("/account/password"), name),
            (ann.get("/account/close"), name),
            (new, f"{name}-2"),
        ]:
            with self.subTest(page.url):
                self.assertEqual(password_owner(page.text), value)


class LoggingInTest(Tour):
    def test_a_name_is_found_however_it_is_spelt(self) -> None:
        """Phones write a capital first."""
        self.ann.post("/logout")
        answer = self.ann.log_in(username=self.ann.name.capitalize())
        self.assertEqual(answer.status_code, 303)

    def test_wrong_passwords_and_unknown_names_read_the_same(self) -> None:
        """Apart from the name that was typed. And `next` survives the mistake."""
        nobody, name = self.nobody, self.ann.name
        pages = []
        for typed in (name, "x" * len(name), "\U0001f331" * 3, "<script>", ""):
            answer = nobody.log_in(username=typed, password="wrong wrong", next="/lists?a=1")
            self.assertRefused(answer, 403)
            self.assertNotIn("Location", answer.headers)
            self.assertNotIn("session", nobody.http.cookies)
            self.assertIn('name="next" value="/lists?a=1"', answer.text)
            pages.append(bare(answer.text).replace(f'value="{typed}"', ""))
        self.assertEqual(pages[0], pages[1])
        self.assertEqual(len({tuple(alerts(page)) for page in pages}), 1)
        answer = nobody.log_in(username=name, password="x" * 5000)
        self.assertEqual(answer.status_code, 403)

    def test_next_stays_here(self) -> None:
        """Whatever it says, by form and by address."""
        for place in [
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/%5cevil.example",
            "/%2f/evil.example",
            "/%09/evil.example",
            "evil",
            " /lists",
            "/lists\r\nX-Evil: 1",
            "/" + "x" * 2000,
            "",
        ]:
            with self.subTest(ascii(place[:40])):
                answer = self.ann.get("/login", params={"next": place})
                self.assertEqual(answer.headers["Location"], "/")
                self.ann.post("/logout")
                self.assertLeadsTo(self.ann.log_in(next=place), "/")

    def test_logging_out_ends_the_session(self) -> None:
        """Also for someone who kept a copy of the cookie."""
        ann = self.ann
        copy = {ann.http.cookies.full("session"): ann.http.cookies["session"]}
        self.assertEqual(ann.get(f"/lists/{ann.list}").headers["Cache-Control"], "no-store")
        answer = ann.post("/logout")
        self.assertLeadsTo(answer, "/login")
        self.assertNotIn("session", ann.http.cookies)
        # To clear "cache" takes seconds where it is full, and pages are never in it.
        self.assertEqual(answer.headers["Clear-Site-Data"], '"storage"')
        answer = ann.get(f"/lists/{ann.list}", cookies=copy)
        self.assertEqual(answer.status_code, 302)

    def test_logging_in_again_changes_the_key(self) -> None:
        """And the key before it opens nothing any more."""
        ann = self.ann
        name = ann.http.cookies.full("session")
        before = ann.http.cookies[name]
        ann.log_in()
        self.assertNotEqual(ann.http.cookies[name], before)
        self.assertEqual(ann.get("/lists").status_code, 200)
        ann.http.cookies.set(name, None)
        self.assertEqual(ann.get("/lists", cookies={name: before}).status_code, 302)


class ForgedRequestsTest(Tour):
    def test_cookies_that_are_not_ours(self) -> None:
        """Read as none, are taken away, and never break a page."""
        server.expected += ["Invalid cookie signature", "Malformed cookie"]
        ann = self.ann
        name, token = map(ann.http.cookies.full, ("session", "_xsrf"))
        good = ann.http.cookies[name]
        ann.http.cookies.clear()
        for cookie in (good[:-1] + "0", good.replace("|", "!"), "x" * 4000, "2|1:0|", "%ff\\", "é"):
            with self.subTest(cookie[:40]):
                answer = ann.get("/lists", headers={"Cookie": f"{name}={cookie}".encode()})
                self.assertEqual(answer.status_code, 302)
                self.assertIn(f'{name}=""', answer.headers["Set-Cookie"])
        wrong = name.encode() + b"=\xff\xfe; " + token.encode() + b"=\xff"
        answer = ann.get("/login", headers={"Cookie": wrong})
        self.assertEqual(answer.status_code, 200)

    def test_forged_posts_change_nothing(self) -> None:
        """Without the token, with another's, and from another site even with it."""
        ann = self.ann
        token = ann.http.cookies["_xsrf"]
        for form, headers in [
            ({}, {}),
            ({"_xsrf": ""}, {}),
            ({"_xsrf": "2|00000000|" + "0" * 32 + "|1"}, {}),
            ({"_xsrf": token}, {"Sec-Fetch-Site": "cross-site"}),
            ({"_xsrf": token}, {"Sec-Fetch-Site": "same-site"}),
            ({"_xsrf": token}, {"Origin": "null"}),
            ({"_xsrf": token}, {"Origin": "https://evil.example"}),
        ]:
            for path in (f"/lists/{ann.list}", "/logout", "/login", "/signup"):
                with self.subTest(path, **headers):
                    answer = ann.http.post(
                        server.url + path, {"title": "x", **form}, headers=headers, timeout=20
                    )
                    self.assertRefused(answer, 403)
        self.assertTitles(ann)

    def test_fields_that_are_no_text(self) -> None:
        """Get 400: they can't come from our form."""
        token = self.ann.http.cookies["_xsrf"]
        prefix = f"_xsrf={token.replace('|', '%7C')}&".encode()
        many = "&".join(f"f{number}=1" for number in range(300)).encode()
        for body in (
            b"title=a%00b",
            b"title=%FF%FE",
            b"title=%ED%A0%80",
            b"title=a&title=b",
            many,
        ):
            with self.subTest(body[:40]):
                url = f"{server.url}/lists/{self.ann.list}"
                answer = self.ann.http.post(url, prefix + body, headers=FORM, timeout=20)
                self.assertEqual(answer.status_code, 400)
                if body != many:
                    self.assertRefused(answer, 400)
        self.assertTitles(self.ann)

    def test_a_body_too_large(self) -> None:
        """Is refused before it is read."""
        server.expected.append("Content-Length too long")
        place = urlsplit(server.url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=20)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/login")
        connection.putheader("Content-Length", str(1024 * 1024 + 1))
        connection.endheaders()
        self.assertIn(connection.getresponse().status, (400, 413))


class EveryAnswerTest(Tour):
    def test_headers(self) -> None:
        """Of pages, redirects, refusals, static files, and the errors of all of these."""
        ann, nobody = self.ann, self.nobody
        answers = [
            ann.get("/lists"),
            ann.get("/"),
            ann.post("/lists", name=""),
            ann.get("/logout"),
            ann.get("/nothing"),
            ann.get("/static/css/app.css"),
            ann.get("/static/css/none.css"),
            ann.get("/static/css/"),
            ann.get("/static/..%2fapp.py"),
            nobody.get("/lists"),
            nobody.post("/lists"),
            nobody.http.post(server.url + "/login", timeout=20),
        ]
        expected = {
            "Content-Security-Policy": (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
                "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
                "require-trusted-types-for 'script'; trusted-types server"
            ),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
            "Server": "todo",
            "Strict-Transport-Security": None,
        }
        for answer in answers:
            with self.subTest(answer.url, status=answer.status_code):
                found = {name: answer.headers.get(name) for name in expected}
                self.assertEqual(found, expected)
        statuses = {answer.status_code for answer in answers}
        self.assertEqual(statuses, {200, 302, 303, 403, 404, 405, 422})

    def test_static_files_are_kept_by_their_hash(self) -> None:
        """With it for years, without it not unasked; modules that import each other share it."""
        page = self.ann.get("/lists").text
        addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
        for address in addresses:
            with self.subTest(address):
                answer = self.ann.get(address)
                self.assertEqual(answer.headers["Cache-Control"], "max-age=315360000, immutable")
                again = self.ann.get(address, headers={"If-None-Match": answer.headers["ETag"]})
                self.assertEqual(again.status_code, 304)
        scripts = {path.rpartition("/")[0] for path in addresses if path.endswith(".js")}
        self.assertEqual(len(scripts), 1)
        answer = self.ann.get("/static/css/app.css")
        self.assertEqual(answer.headers["Cache-Control"], "no-cache")

    def test_a_page_from_before_a_deploy(self) -> None:
        """Gets the files there are, but may not keep them as those of its version."""
        now = self.ann.get("/static/css/app.css")
        old = self.ann.get("/static/css/0123456789abcdef/app.css")
        self.assertEqual((old.status_code, old.text), (200, now.text))
        self.assertEqual(old.headers["Cache-Control"], "no-cache")
        self.assertTrue(old.headers["ETag"])
        script = self.ann.get("/lists").text.split('src="/static/js/')[1].split("/")[0]
        outside = "../../../../app.py", "..%2f..%2f..%2f..%2fapp.py", "//etc/passwd", "%00", "."
        for folder in (f"/static/js/{script}/", "/static/js/0123456789abcdef/"):
            for path in outside:
                with self.subTest(folder + path):
                    request = requests.Request("GET", "http://localhost").prepare()
                    request.url = server.url + folder + path  # as is: requests would resolve it
                    answer = self.ann.http.send(request, timeout=20)
                    self.assertIn(answer.status_code, (403, 404))

    def test_the_cookies(self) -> None:
        """No script reads them, and other sites don't get them sent."""
        given = [self.nobody.get("/login"), self.ann.log_in()]
        cookies = [
            cookie
            for answer in given
            for cookie in re.split(r", (?=device)", answer.headers["Set-Cookie"])
        ]
        for name, cookie in zip(("_xsrf", "session", "device"), cookies, strict=True):
            with self.subTest(name):
                parts = cookie.split("; ")
                self.assertRegex(parts[0], rf"^{name}-\w{{8}}=")
                self.assertLessEqual({"HttpOnly", "SameSite=Lax", "Path=/"}, set(parts))
                self.assertNotRegex(cookie, "; (Secure|Domain)")

    def test_two_instances_on_one_host(self) -> None:
        """One browser is logged in at both, whatever their ports: these don't part cookies."""
        key = f"--cookie_secret={'t' * 64}"  # on PostgreSQL none is generated
        first, second = self.start(), Server(self.database.with_name("other.db"), key)
        self.addCleanup(second.release)
        ann = Visitor(first, "ann")

        for ann.server in (first, second):
            form = {"username": "ann", "password": PASSWORD}
            page = ann.get("/signup").text
            form["_xsrf"] = page.split('name="_xsrf" value="')[1].split('"')[0]
            url = f"{ann.server.url}/signup"
            self.assertLeadsTo(ann.http.post(url, form, allow_redirects=False, timeout=20), "/")
        self.assertEqual(len(ann.http.cookies), 2 * 3)
        first.stop()
        for ann.server in (self.start(), second):
            self.assertRegex(ann.get("/").headers["Location"], "^/lists/")
            ann.server.stop()

    def test_behind_tls(self) -> None:
        """With an https --public_url, cookies are Secure and bound to this host; HSTS is on."""
        own = self.start("--public_url=https://todo.example.org")
        ann = Visitor(own, "ann")
        answer = ann.get("/login")
        hsts = answer.headers["Strict-Transport-Security"]
        self.assertTrue(hsts.startswith("max-age=31536000"), hsts)
        cookie = answer.headers["Set-Cookie"]
        self.assertRegex(cookie, r"^__Host-xsrf-\w{8}=")
        self.assertIn("Secure", cookie)
        self.assertNotIn("Domain", cookie)
        pair = cookie.split(";")[0]
        answer = ann.http.post(  # a browser sends Secure cookies over TLS only; requests too
            f"{own.url}/signup",
            {"username": "ann", "password": PASSWORD, "_xsrf": pair.partition("=")[2]},
            headers={"Cookie": pair},
            allow_redirects=False,
            timeout=20,
        )
        cookie = answer.headers["Set-Cookie"]
        self.assertRegex(cookie, r"^__Host-session-\w{8}=")
        self.assertIn("Secure", cookie)
        self.assertIn("HttpOnly", cookie)
        own.stop()


class OpeningAndClosingTest(Tour):
    def test_a_stop_finishes_what_is_under_way(self) -> None:
        """Every answer that was begun arrives whole, and the exit status is 0."""
        own = self.start()
        ann = Visitor(own, "ann")
        ann.sign_up()
        statuses: list[int] = []
        begun, first = threading.Barrier(9), threading.Event()

        def log_in() -> None:
            visitor = Visitor(own, "x")
            visitor.get("/login")
            begun.wait()
            statuses.append(visitor.log_in(username=ann.name).status_code)
            first.set()

        threads = [threading.Thread(target=log_in) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun.wait()
        # Passwords take a while: some of the eight are being checked when it is told to stop.
        self.assertTrue(first.wait(20))
        own.stop()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [303] * 8)

    def test_it_stays_local(self) -> None:
        """By default nobody is served but who asks this machine's own 127.0.0.1."""
        port = urlsplit(server.url).port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


if __name__ == "__main__":
    unittest.main()
