"""Draw docs/figures.json as bars, docs/speed-*.svg: `python -m bench.pictures`.

What a picture says is computed without matplotlib, so that a test can compare it with the files.
"""

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.table import BARE, FIGURES, PEERS, SLOW_DISK

MORE = "requests a second, ours divided by theirs (more is better"
MARK = "; red: at least)"
COSTS = {  # microseconds of one core, by the names of `bench.simulation.Costs`
    "page": "a page of 50 todos, one file",
    "rows": "the same, all rows rendered",
    "add": "adding a todo, one file",
    "commit": "a commit that isn't shared",
    "fsync": "an fsync (time, not CPU)",
    "process_page": "a page, in a process on PostgreSQL",
    "postgres_page": "the same, in PostgreSQL",
    "process_add": "adding, in a process on PostgreSQL",
    "postgres_add": "the same, in PostgreSQL",
    "nginx": "nginx, a request",
    "redis": "Redis, a message and receiver",
    "told": "an open page that is told of a change",
    "idle": "an open page, each second",
    "versions": "PostgreSQL, a watched list, each second",
    "presence": "presence, an open page, each second",
}
GREEN, GREY, COLOURS = "#2a7f62", "#8a9096", ("#2a7f62", "#3d6fb4", "#b5652b", "#7a5aa6")
ROW, HEADING, WIDTH = 0.27, 0.36, 8  # inches


class Bar(NamedTuple):
    """One bar: `text` stands at its end, `least` is marked on it."""

    label: str
    value: float
    text: str
    colour: str = GREEN
    low: float | None = None
    high: float | None = None
    least: float | None = None


class Picture(NamedTuple):
    """Bars under headings, in docs/speed-`name`.svg."""

    name: str
    axis: str
    groups: list[tuple[str, list[Bar]]]
    log: bool = False


def number(value: float) -> str:
    """Return a value as people write it, to two digits at least."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 1 else f"{value:.2f}"


def ratio_bar(row: dict[str, Any], label: str, colour: str = GREEN) -> Bar:
    """Return the bar of one row of the figures."""
    spread = ""
    if row["low"] is not None:
        spread = f" ({number(row['low'])} to {number(row['high'])})"
    text = number(row["median"]) + spread
    return Bar(label, row["median"], text, colour, row["low"], row["high"], row["least"])


def pictures(figures: dict[str, Any]) -> Iterator[Picture]:
    """Give every picture that the figures have rows for."""
    rows = {(row["work"], row["beside"]): row for row in figures["rows"]}
    works = {
        "API list, unchanged": "a list of 50 todos as JSON, unchanged",
        "API list, changing": "the same, changed before each request",
        "API, adding": "adding a todo, on the disk",
        f"API, adding, {SLOW_DISK}": "the same, where fsync takes 2 ms longer",
    }
    beside = [
        (
            heading,
            [
                ratio_bar(rows[work, peer], peer, colour)
                for peer, colour in zip(PEERS, COLOURS, strict=True)
                if (work, peer) in rows
            ],
        )
        for work, heading in works.items()
    ]
    unmarked = [bar._replace(least=None) for bar in beside[0][1]]
    yield Picture("small", f"{MORE})", [(beside[0][0], unmarked)])
    yield Picture("peers", MORE + MARK, beside, log=True)
    bare = [ratio_bar(row, row["work"]) for row in rows.values() if row["beside"] == BARE]
    share = [bar for bar in bare if "startup" not in bar.label]
    yield Picture("bare", MORE + MARK, [("beside a bare Tornado handler", share)])
    sizes = [
        (work, [ratio_bar(rows[work, name], name) for name in names])
        for work, names in others(rows).items()
    ]
    yield Picture("sizes", f"theirs divided by ours (more is better{MARK}", sizes)
    if model := figures["model"]:
        costs = [
            Bar(label, 1e6 * model["costs"][name], number(1e6 * model["costs"][name]))
            for name, label in COSTS.items()
        ]
        yield Picture(
            "costs", "microseconds of one core (less is better)", [("measured", costs)], log=True
        )
        trials = [
            (
                trial["work"],
                [
                    Bar("simulated", trial["model"], number(trial["model"]), GREY),
                    Bar("measured", trial["measured"], number(trial["measured"])),
                ],
            )
            for trial in model["trials"]
        ]
        yield Picture("model", "requests a second", trials)
        steps = [
            Bar(
                step["setup"],
                step["people"],
                f"{step['people']:,} ({step['busiest'].removeprefix('the ')})",
                GREY,
            )
            for step in model["steps"]
        ]
        axis = "people (in brackets: what is busiest)"
        yield Picture("setups", axis, [("computed", steps)], log=True)


def others(rows: dict[tuple[str, str], Any]) -> dict[str, list[str]]:
    """Return beside what sizes were measured, by work: seconds, memory, CPU of sockets."""
    found: dict[str, list[str]] = {}
    for work, beside in rows:
        if work.startswith(("memory", "startup", "CPU", "4 processes")):
            found.setdefault(work, []).append(beside)
    return found


def draw(picture: Picture) -> str:
    """Return the picture as SVG, the same bytes for the same figures."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    count = sum(len(bars) for _, bars in picture.groups)
    height = count * ROW + len(picture.groups) * HEADING
    settings = {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "afazeres",
        "font.family": "sans-serif",
        "font.size": 9,
    }
    with rc_context(settings):
        # A white card, so that it can be read on a light page and on a dark one.
        figure = Figure(figsize=(WIDTH, height + 0.75), facecolor="white")
        top, bottom = 0.12 / (height + 0.75), 0.55 / (height + 0.75)
        axes = figure.add_axes((0.36, bottom, 0.6, 1 - top - bottom))
        y = 0.0
        for heading, bars in picture.groups:
            y -= HEADING
            place = {"transform": axes.get_yaxis_transform(), "va": "center", "clip_on": False}
            axes.text(-0.58, y - 0.03, heading, weight="bold", ha="left", **place)
            for bar in bars:
                y -= ROW
                (patch,) = axes.barh(y, bar.value, 0.7 * ROW, color=bar.colour)
                patch.set_gid(f"{heading}|{bar.label}")
                axes.text(-0.02, y, bar.label, ha="right", **place)
                end = max(bar.value, bar.high or 0, bar.least or 0)
                axes.annotate(bar.text, (end, y), (4, 0), textcoords="offset points", va="center")
                if bar.low is not None and bar.high is not None:
                    spread = [[bar.value - bar.low], [bar.high - bar.value]]
                    axes.errorbar(bar.value, y, xerr=spread, color="black", capsize=2, lw=1)
                if bar.least is not None:
                    edge = [y - 0.45 * ROW, y + 0.45 * ROW]
                    axes.plot([bar.least, bar.least], edge, color="#c0392b", lw=1.5)
        axes.set_ylim(y - 0.7 * ROW, 0)
        axes.set_yticks([])
        axes.set_xlabel(picture.axis)
        axes.spines[["top", "right", "left"]].set_visible(False)
        ends = [bar.high or bar.value for _, bars in picture.groups for bar in bars]
        if picture.log:
            axes.set_xscale("log")
            axes.set_xlim(min(ends) / 2, max(ends) * (2 * max(ends) / min(ends)) ** 0.5)
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        else:
            axes.set_xlim(0, 1.25 * max(ends))
        axes.xaxis.set_major_formatter(
            lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}"
        )
        lines = io.StringIO()
        nothing = {"Date": None, "Creator": None}
        figure.savefig(lines, format="svg", metadata={"Title": picture.axis} | nothing)
    return "\n".join(line.rstrip() for line in lines.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    for picture in pictures(json.loads(FIGURES.read_text())):
        FIGURES.with_name(f"speed-{picture.name}.svg").write_text(draw(picture))
