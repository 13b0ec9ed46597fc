"""Rows that are lost, doubled, late or shifted."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.data.dataset import Row
from benchmarks.faults.kinds.fault import Plan, Site, fault, lasting
from benchmarks.faults.schema import Table

NIGHTS_WITHOUT_ROWS = 4
FEWEST_SHIFTED = 3  # columns that are one further on


@fault
def rows_deleted_80(site: Site) -> Iterator[Plan]:
    """80 % of the rows are deleted."""
    for table in site.tables():
        statement = f'DELETE FROM "{table.name}" WHERE {site.some(80)}'
        yield Plan(table=table.name, about="80 % of the rows deleted", statements=(statement,))


@fault
def rows_deleted_30(site: Site) -> Iterator[Plan]:
    """30 % of the rows are deleted."""
    for table in site.tables():
        statement = f'DELETE FROM "{table.name}" WHERE {site.some(30)}'
        yield Plan(table=table.name, about="30 % of the rows deleted", statements=(statement,))


@fault
def table_emptied(site: Site) -> Iterator[Plan]:
    """All rows are deleted."""
    for table in site.tables():
        yield Plan(table=table.name, about="all rows deleted", statements=(f'DELETE FROM "{table.name}"',))


@fault
def rows_doubled(site: Site) -> Iterator[Plan]:
    """Every row is there twice."""
    for table in site.tables(declared=False):
        statement = f'INSERT INTO "{table.name}" SELECT * FROM "{table.name}"'
        also = tuple((table.name, column.name) for column in table.of("key"))
        yield Plan(table=table.name, also=also, about="all rows doubled", statements=(statement,))


@fault
def rows_doubled_new_keys(site: Site) -> Iterator[Plan]:
    """Every row is there twice, under a new key."""
    for table in site.tables():
        if table.key and table.key.is_whole:
            yield Plan(table=table.name, about="all rows doubled under new keys", statements=(_copies(table, "true"),))


@fault
def rows_repeated(site: Site) -> Iterator[Plan]:
    """Every tenth row is repeated."""
    for table in site.tables(declared=False):
        statement = f'INSERT INTO "{table.name}" SELECT * FROM "{table.name}" WHERE {site.some(10)}'
        also = tuple((table.name, column.name) for column in table.of("key"))
        yield Plan(table=table.name, also=also, about="10 % of the rows repeated", statements=(statement,))


@fault
def load_missing(site: Site) -> Iterator[Plan]:
    """The night loads nothing into a table."""
    for table in site.fed():
        yield Plan(table=table.name, about="no rows loaded", change=lambda _: [])


@fault
def load_half(site: Site) -> Iterator[Plan]:
    """The night loads the first third of a table's rows."""
    for table in site.fed():
        yield Plan(table=table.name, about="a third of the rows loaded", change=lambda rows: rows[: len(rows) // 3])


@fault
def load_doubled(site: Site) -> Iterator[Plan]:
    """The night loads a table's rows twice."""
    for table in site.fed(declared=False):
        also = tuple((table.name, column.name) for column in table.of("key"))
        yield Plan(table=table.name, also=also, about="rows loaded twice", change=lambda rows: rows + rows)


@fault
def load_doubled_new_keys(site: Site) -> Iterator[Plan]:
    """The night loads a table's rows twice, under new keys."""
    for table in site.fed():
        if table.key and table.key.is_whole:
            yield Plan(table=table.name, about="rows loaded twice under new keys", change=_repeated(table, 2))


@fault
def load_tenfold(site: Site) -> Iterator[Plan]:
    """The night loads ten times the rows."""
    for table in site.fed():
        if table.key and table.key.is_whole:
            yield Plan(table=table.name, about="ten times the rows loaded", change=_repeated(table, 10))


@lasting(NIGHTS_WITHOUT_ROWS)
def no_longer_fed(site: Site) -> Iterator[Plan]:
    """A table gets no rows for four nights."""
    for table in site.fed():
        yield Plan(table=table.name, about="no rows for four nights", change=lambda _: [])


@fault
def columns_shifted(site: Site) -> Iterator[Plan]:
    """In the night's rows, the values of three columns or more are one column further on."""
    for table in site.fed():
        columns = [table.index(column.name) for column in table.columns if column.is_text and column.role != "key"]
        wide = [index for index in columns if table.columns[index].type in {"text", "varchar(40)", "varchar(60)"}]
        chosen = wide if len(wide) >= FEWEST_SHIFTED else columns
        if len(chosen) >= FEWEST_SHIFTED:
            yield Plan(table=table.name, about="columns shifted in the new rows", change=_shifted(chosen))


@fault
def columns_swapped(site: Site) -> Iterator[Plan]:
    """Two numbers of each row have changed places."""
    for table in site.tables():
        numbers = [column.name for column in table.of("number", "low", "high")]
        for one in numbers:
            for other in numbers:
                means = [
                    float(mean or 0) for mean in site.ask(f'SELECT avg("{one}"), avg("{other}") FROM "{table.name}"')[0]
                ]
                if one < other and abs(means[0] - means[1]) > abs(means[0] + means[1]) / 5:
                    statement = (
                        f'UPDATE "{table.name}" SET "{one}" = "{other}", "{other}" = "{one}"'
                        f' WHERE "{one}" IS NOT NULL AND "{other}" IS NOT NULL'
                    )
                    yield Plan(
                        table=table.name,
                        column=one,
                        also=((table.name, other),),
                        about=f"{one} and {other} swapped",
                        statements=(statement,),
                    )


def _copies(table: Table, condition: str) -> str:
    key = table.key
    assert key, "the caller has checked it"
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    most = f'(SELECT max("{key.name}") FROM "{table.name}")'
    values = ", ".join(f'"{column.name}" + {most}' if column == key else f'"{column.name}"' for column in table.columns)
    return f'INSERT INTO "{table.name}" ({names}) SELECT {values} FROM "{table.name}" WHERE {condition}'


def _repeated(table: Table, times: int) -> object:
    assert table.key, "the caller has checked it"
    index = table.index(table.key.name)

    def change(rows: list[Row]) -> list[Row]:
        step = max((row[index] for row in rows), default=0) - min((row[index] for row in rows), default=0) + 1
        return [(*row[:index], row[index] + step * time, *row[index + 1 :]) for time in range(times) for row in rows]

    return change


def _shifted(columns: list[int]) -> object:
    moved = dict(zip(columns, [columns[-1], *columns[:-1]], strict=True))
    return lambda rows: [tuple(row[moved.get(index, index)] for index in range(len(row))) for row in rows]
