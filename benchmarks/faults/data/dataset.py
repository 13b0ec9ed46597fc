"""DataSet: a database that grows each night; calendar and random streams that all data sets share."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, ClassVar, TypeAlias

from benchmarks.faults.schema import Table
from demo.hospital.engines import engine_of

# Night 1 is a Thursday: nights 2, 6 and 21 judge a Thursday, a Monday and a Tuesday; nights 1 to 24 have three
# weekends, a holiday and the end of a month.
FIRST = dt.date(2026, 1, 15)
HOLIDAYS = frozenset({dt.date(2025, 12, 25), dt.date(2026, 1, 1), dt.date(2026, 1, 26)})
SATURDAY, SUNDAY = 5, 6

Row: TypeAlias = tuple[Any, ...]
# What a fault does to the rows that a night loads into a table
Change: TypeAlias = Callable[[str, list[Row]], list[Row]]


class Load:
    """The rows of one night on their way into the database."""

    def __init__(self, connection: Any, change: Change | None) -> None:
        self.engine = engine_of(connection)
        self.connection, self._change = connection, change
        self.counts: dict[str, int] = {}  # rows per table, before the change

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert the rows as the fault, if there is one, has changed them."""
        whole = list(rows)
        self.counts[table] = self.counts.get(table, 0) + len(whole)
        if self._change:
            whole = self._change(table, whole)
        if whole:
            self.engine.insert(f'"{table}"', whole)

    def run(self, statement: str, *values: Any) -> int:
        """Run an update or correction, values marked by ?; the number of rows it changed."""
        if self.engine.name == "postgres" and values:
            statement = statement.replace("%", "%%").replace("?", "%s")
        elif values:
            values = tuple(str(value) if isinstance(value, (dt.date, dt.datetime)) else value for value in values)
        self.engine.cursor.execute(statement, *([values] if values else []))
        return int(self.engine.cursor.rowcount)

    def ask(self, query: str) -> list[Row]:
        """The rows of a query."""
        self.engine.cursor.execute(query)
        return list(self.engine.cursor.fetchall())


class DataSet:
    """One data set. `create` makes the state of the night before the first; `night` loads one day."""

    name: ClassVar[str]
    about: ClassVar[str]  # one line for the result table
    is_sqlite: ClassVar[bool] = False
    tables: tuple[Table, ...]

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed

    def missing(self) -> str:
        """Why it cannot be built on this machine; "" if it can."""
        return ""

    def create(self, load: Load) -> None:
        """Create the tables, filled up to the day before the first night's."""
        for table in self.tables:
            load.engine.run(table.statement())
        self.fill(load)

    def fill(self, load: Load) -> None:
        """Fill the tables up to the day before the first night's."""
        raise NotImplementedError

    def night(self, load: Load, day: dt.date) -> None:
        """Load the events of one day, and the night's corrections."""
        raise NotImplementedError

    def random(self, *parts: object) -> Random:
        """A random stream of its own for a part of the data."""
        return Random(" ".join(map(str, (self.seed, self.name, *parts))))  # noqa: S311  # nothing here is secret

    def __getitem__(self, table: str) -> Table:
        return next(one for one in self.tables if one.name == table)


def metric_date(night: int) -> dt.date:
    """The metric date of a night, from 1; it loads the events of the day before."""
    return FIRST + dt.timedelta(days=night - 1)


def event_day(night: int) -> dt.date:
    """The day whose events a night loads."""
    return metric_date(night) - dt.timedelta(days=1)


def days_before(days: int) -> Iterator[dt.date]:
    """The days of the history before the first night's event day, oldest first."""
    last = event_day(1)
    for number in range(days, 0, -1):
        yield last - dt.timedelta(days=number)


def is_working(day: dt.date) -> bool:
    """Whether offices are open."""
    return day.weekday() < SATURDAY and day not in HOLIDAYS


def activity(day: dt.date, *, saturday: float, sunday: float) -> float:
    """The share of a working day's activity; holidays are like Sundays, Mondays a little busier."""
    if day in HOLIDAYS or day.weekday() == SUNDAY:
        return sunday
    if day.weekday() == SATURDAY:
        return saturday
    return 1.12 if day.weekday() == 0 else 1.0


def poisson(random: Random, mean: float) -> int:
    """A count; noisier than Poisson by a tenth, as wards and laboratories are."""
    mean *= max(0.0, random.gauss(1, 0.08))
    if mean > 30:  # noqa: PLR2004  # near enough to a normal distribution
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count


def at(day: dt.date, seconds: float) -> dt.datetime:
    """A moment of a day, without a zone, as most clinical databases store it."""
    return dt.datetime(day.year, day.month, day.day) + dt.timedelta(seconds=int(seconds))  # noqa: DTZ001  # see above


def happens(random: Random, share: float) -> bool:
    """Whether a chance comes true."""
    return random.random() < share
