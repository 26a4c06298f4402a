"""The table that `make bench` ends with: us beside somebody else, one ratio a row."""

import statistics
from typing import NamedTuple

BARE = "bare handler"
PEERS = ("FastAPI + SQLModel", "Flask + SQLAlchemy", "Django", "Express + better-sqlite3")
HEAD = ("work", "beside", "ratio", "from, to", "by CPU", "should be", "our us", "their us")
FORMAT = "{:42}{:26}{:>8}{:>14}{:>8}{:>11}{:>8}{:>10}".format

Rate = tuple[float, ...]  # requests a second, microseconds of CPU for each


class Row(NamedTuple):
    """How many times as good we are at some work, as measured and by CPU, and how good we shall be.

    The last two are microseconds of CPU for each request or socket, ours and theirs.
    """

    work: str
    beside: str
    ratio: float
    by_cpu: float | None = None
    least: float | None = None
    ours: float | None = None
    theirs: float | None = None


class Table(list[Row]):
    """All rows; `least` says beside whom something is put, and what each ratio should be."""

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

    def print(self) -> None:
        """Print the medians; one that is smaller than it should be has a star."""
        print(FORMAT(*HEAD))
        before = ""
        for work, beside in dict.fromkeys(row[:2] for row in self):
            rows = [row for row in self if row[:2] == (work, beside)]
            ratios = sorted(row.ratio for row in rows)
            ratio, least = statistics.median(ratios), rows[0].least
            spread = f"{ratios[0]:.2f}, {ratios[-1]:.2f}" if len(rows) > 1 else ""
            star = "*" if least is not None and ratio < least else ""
            numbers = [
                "" if None in taken else shape.format(statistics.median(taken))
                for shape, taken in (
                    ("{:.2f}", [row.by_cpu for row in rows]),
                    (">= {:g}", [least]),
                    ("{:.0f}", [row.ours for row in rows]),
                    ("{:.0f}", [row.theirs for row in rows]),
                )
            ]
            name = work if work != before else ""
            print(FORMAT(name, beside, f"{ratio:.2f}{star}", spread, *numbers))
            before = work


TABLE = Table()
