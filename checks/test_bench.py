"""What the bench says: its table, the figures it writes, and the pictures drawn from these."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.pictures import Picture, pictures
from bench.scaling import presence_cost
from bench.table import BARE, FIGURES, PEERS, Table

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
PICTURES = {picture.name: picture for picture in pictures(json.loads(FIGURES.read_text()))}


def parts(place: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Give the elements of a picture, without the numbers at its axis."""
    for each in place:
        if not re.match(r"[xy]tick_", each.get("id", "")):
            yield each
            yield from parts(each)


def drawn(name: str) -> list[ElementTree.Element]:
    """Return the elements of docs/speed-`name`.svg."""
    return [*parts(ElementTree.parse(ROOT / f"docs/speed-{name}.svg").getroot())]


def bars(name: str) -> dict[str, float]:
    """Return how long each bar is in docs/speed-`name`.svg, by heading and label."""
    found = {}
    for each in drawn(name):
        if "|" in each.get("id", ""):
            (path,) = each.iter(f"{SVG}path")
            xs = [float(x) for x in re.findall(r"[ML] (\S+) ", path.get("d", ""))]
            found[each.get("id", "")] = max(xs) - min(xs)
    return found


def test_every_picture_is_drawn_and_shown() -> None:
    """docs/speed-*.svg are those of the figures, and the documents show each."""
    files = {file.stem.removeprefix("speed-") for file in ROOT.glob("docs/speed-*.svg")}
    assert files == PICTURES.keys()
    text = (ROOT / "README.rst").read_text() + (ROOT / "docs/scaling.rst").read_text()
    shown = re.findall(r"^\.\. image:: (?:docs/)?speed-(\w+)\.svg$", text, re.M)
    assert sorted(shown) == sorted(files)


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_pictures_say_what_was_measured(picture: Picture) -> None:
    """Each heading, label and number; run `python -m bench.pictures` after a new measurement."""
    said = [each.text for each in drawn(picture.name) if each.tag == f"{SVG}text"]
    expected = [picture.axis]
    for heading, each in picture.groups:
        expected += [heading, *(bar.label for bar in each), *(bar.text for bar in each)]
    assert sorted(filter(None, said)) == sorted(expected)


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_bars_are_as_long_as_their_numbers(picture: Picture) -> None:
    """In proportion, or by the logarithm."""
    lengths = bars(picture.name)
    values = {f"{heading}|{b.label}": b.value for heading, each in picture.groups for b in each}
    assert lengths.keys() == values.keys()
    scale = math.log if picture.log else float
    least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    start, end = (lengths[least], scale(values[least])), (lengths[most], scale(values[most]))
    if not picture.log:
        start = (0, 0)
    slope = (end[0] - start[0]) / (end[1] - start[1])
    for name, value in values.items():
        assert lengths[name] == pytest.approx(start[0] + slope * (scale(value) - start[1]), abs=0.5)


def test_figures_of_a_run(tmp_path: Path) -> None:
    """Have median and spread; a part of a run replaces its own rows and leaves the others."""
    file = tmp_path / "figures.json"
    table = Table()
    for rate in (90, 110, 100):
        table.rates("pages", (rate, 5), {BARE: (200, 2), "absent": (1, 1)}, {BARE: 0.3})
    table.sizes("memory", 20, {PEERS[0]: 30}, {PEERS[0]: None})
    table.model = {"costs": {}}
    table.save(whole=True, file=file)
    written = json.loads(file.read_text())
    pages, memory = written["rows"]
    assert (pages["work"], pages["beside"]) == ("pages", BARE)
    assert (pages["low"], pages["median"], pages["high"]) == (0.45, 0.5, 0.55)
    assert (pages["by_cpu"], pages["least"], pages["ours"], pages["theirs"]) == (0.4, 0.3, 5, 2)
    assert (memory["median"], memory["low"], memory["by_cpu"]) == (1.5, None, None)
    part = Table()
    part.sizes("memory", 20, {PEERS[0]: 50}, {PEERS[0]: None})
    part.save(whole=False, file=file)
    again = json.loads(file.read_text())
    assert again["rows"][0] == pages and again["model"] == written["model"]
    assert again["rows"][1]["median"] == 2.5


def test_a_star_marks_what_is_too_slow(capsys: pytest.CaptureFixture[str]) -> None:
    """In the printed table, and nothing else has one."""
    table = Table()
    table.rates("pages", (50, 5), {BARE: (100, 2)}, {BARE: 0.6})
    table.rates("lists", (70, 5), {BARE: (100, 2)}, {BARE: 0.6})
    table.print()
    head, slow, good = capsys.readouterr().out.splitlines()
    assert "0.50*" in slow and "0.70" in good and "*" not in head + good


def test_the_cost_of_presence() -> None:
    """It is measured of what the app does, not of an earlier way in which it did it."""
    assert presence_cost() > 0
