"""What `make bench` measures, one ratio a row: printed, and written to docs/figures.json."""

import json
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

OURS, BARE = "Afazeres", "bare handler"
PEERS = ("FastAPI + SQLModel", "Flask + SQLAlchemy", "Django", "Express + better-sqlite3")
SLOW_DISK = "fsync +2 ms"
FIGURES = Path(__file__).parent.parent / "docs/figures.json"
HEAD = ("work", "beside", "ratio", "low, high", "by CPU", "should be", "our us", "their us")
FORMAT = "{:42}{:26}{:>8}{:>14}{:>8}{:>11}{:>8}{:>10}".format

Rate = tuple[float, ...]  # requests a second, microseconds of CPU for each


class Row(NamedTuple):
    """How many times as good we are at some work, by the clock and by CPU, and should be.

    The last two are microseconds of CPU for each request or socket, ours and theirs.
    """

    work: str
    beside: str
    ratio: float
    by_cpu: float | None = None
    least: float | None = None
    ours: float | None = None
    theirs: float | None = None


class Figure(NamedTuple):
    """The median of the rows of one work and peer, and their spread: one measurement has none."""

    work: str
    beside: str
    median: float
    low: float | None = None
    high: float | None = None
    by_cpu: float | None = None
    least: float | None = None
    ours: float | None = None
    theirs: float | None = None


def median(values: list[float | None]) -> float | None:
    """Return the median to three digits, None if a value is missing."""
    known = [value for value in values if value is not None]
    return round_off(statistics.median(known)) if len(known) == len(values) else None


def round_off(value: float) -> float:
    """Return a value to three significant digits."""
    return float(f"{value:.3g}")


class Table(list[Row]):
    """All rows; `least` says beside whom something is put, and what each ratio should be."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Any] = {}  # what bench/scaling.py measures and computes

    def rates(
        self, work: str, ours: Rate, others: dict[str, Rate], least: dict[str, float | None]
    ) -> None:
        """Add rows where more is better: requests a second, and the CPU that each takes."""
        for name in least:
            if name in others:
                rate, cpu, *_ = others[name]
                ratios = ours[0] / rate, cpu / ours[1]
                self.append(Row(work, name, *ratios, least[name], ours[1], cpu))

    def sizes(
        self, work: str, ours: float, others: dict[str, float], least: dict[str, float | None]
    ) -> None:
        """Add rows where less is better: seconds, bytes."""
        for name in least:
            if name in others:
                self.append(Row(work, name, others[name] / ours, least=least[name]))

    def figures(self) -> list[Figure]:
        """Return one figure for each work and peer, in the order in which they were measured."""
        found = []
        for work, beside in dict.fromkeys(row[:2] for row in self):
            rows = [row for row in self if row[:2] == (work, beside)]
            ratios = [round_off(row.ratio) for row in rows]
            spread = (min(ratios), max(ratios)) if len(rows) > 1 else (None, None)
            found.append(
                Figure(
                    work,
                    beside,
                    round_off(statistics.median(ratios)),
                    *spread,
                    median([row.by_cpu for row in rows]),
                    rows[0].least,
                    median([row.ours for row in rows]),
                    median([row.theirs for row in rows]),
                )
            )
        return found

    def print(self) -> None:
        """Print the medians; one that is smaller than it should be has a star."""
        print(FORMAT(*HEAD))
        before = ""
        for figure in self.figures():
            star = "*" if figure.least is not None and figure.median < figure.least else ""
            spread = "" if figure.low is None else f"{figure.low:.2f}, {figure.high:.2f}"
            numbers = [
                "" if value is None else shape.format(value)
                for shape, value in (
                    ("{:.2f}", figure.by_cpu),
                    (">= {:g}", figure.least),
                    ("{:.0f}", figure.ours),
                    ("{:.0f}", figure.theirs),
                )
            ]
            name = figure.work if figure.work != before else ""
            print(FORMAT(name, figure.beside, f"{figure.median:.2f}{star}", spread, *numbers))
            before = figure.work

    def save(self, whole: bool, file: Path = FIGURES) -> None:
        """Write the figures; a run that isn't `whole` replaces only its own rows in `file`."""
        kept: dict[str, Any] = {} if whole else json.loads(file.read_text())
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        rows = {(row["work"], row["beside"]): row for row in kept.get("rows", [])}
        rows |= {figure[:2]: figure._asdict() | {"date": today} for figure in self.figures()}
        model = self.model | {"date": today} if self.model else kept.get("model")
        file.write_text(dump({"rows": [*rows.values()], "model": model}))


def dump(figures: dict[str, Any]) -> str:
    """Return JSON with a line for each row, so that a diff shows what has changed."""
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in figures["rows"])
    model = json.dumps(figures["model"], ensure_ascii=False, indent=1)
    return f'{{"rows": [\n{rows}\n],\n"model": {model}}}\n'


TABLE = Table()
