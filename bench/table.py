"""The table that `make bench` ends with: us beside somebody else, one ratio a row."""

from typing import NamedTuple

BARE = "bare handler"
PEERS = ("FastAPI + SQLModel", "Flask + SQLAlchemy", "Django", "Express + better-sqlite3")
HEAD = ("work", "beside", "ratio", "by CPU", "should be", "our us", "their us")
FORMAT = "{:42}{:26}{:>8}{:>8}{:>11}{:>8}{:>10}".format

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
        """Print it; a ratio that is smaller than it should be has a star."""
        print(FORMAT(*HEAD))
        before = ""
        for row in self:
            star = "*" if row.least is not None and row.ratio < row.least else ""
            costs = ["" if each is None else f"{each:.0f}" for each in (row.ours, row.theirs)]
            by_cpu = "" if row.by_cpu is None else f"{row.by_cpu:.2f}"
            least = "" if row.least is None else f">= {row.least:g}"
            work = row.work if row.work != before else ""
            print(FORMAT(work, row.beside, f"{row.ratio:.2f}{star}", by_cpu, least, *costs))
            before = row.work


TABLE = Table()
