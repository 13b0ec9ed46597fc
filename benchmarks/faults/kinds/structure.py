"""Tables and columns that are dropped, renamed, new or retyped."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.faults.kinds.fault import Plan, Site, fault


@fault
def table_dropped(site: Site) -> Iterator[Plan]:
    """A table is dropped."""
    for table in site.tables(1):
        statement = f'DROP TABLE "{table.name}"' + " CASCADE" * (not site.is_sqlite)
        yield Plan(table=table.name, about="dropped", statements=(statement,), least=0)


@fault
def table_renamed(site: Site) -> Iterator[Plan]:
    """A table is renamed."""
    for table in site.tables():
        name = f"{table.name}_v2"
        statement = f'ALTER TABLE "{table.name}" RENAME TO "{name}"'
        yield Plan(table=table.name, also=((name, ""),), about=f"renamed to {name}", statements=(statement,), least=0)


@fault
def table_new(site: Site) -> Iterator[Plan]:
    """There is a copy of a table."""
    for table in site.tables():
        name = f"{table.name}_backup"
        statement = f'CREATE TABLE "{name}" AS SELECT * FROM "{table.name}"'
        yield Plan(table=name, about=f"a copy of {table.name}", statements=(statement,), least=0)


@fault
def column_dropped(site: Site) -> Iterator[Plan]:
    """A column is dropped."""
    for table, column in site.columns("code", "number", "date", "text", "flag", "fk"):
        statement = f'ALTER TABLE "{table.name}" DROP COLUMN "{column.name}"'
        yield Plan(table=table.name, column=column.name, about="dropped", statements=(statement,), least=0)


@fault
def column_renamed(site: Site) -> Iterator[Plan]:
    """A column is renamed."""
    for table, column in site.columns("code", "number", "date", "text", "flag"):
        name = f"{column.name}_new"
        statement = f'ALTER TABLE "{table.name}" RENAME COLUMN "{column.name}" TO "{name}"'
        yield Plan(
            table=table.name,
            column=column.name,
            also=((table.name, name),),
            about=f"renamed to {name}",
            statements=(statement,),
            least=0,
        )


@fault
def column_new(site: Site) -> Iterator[Plan]:
    """There is a new column, filled."""
    for table in site.tables():
        statement = f"ALTER TABLE \"{table.name}\" ADD COLUMN source_system varchar(20) DEFAULT 'HIS-2'"
        yield Plan(table=table.name, column="source_system", about="new", statements=(statement,), least=0)


@fault
def column_retyped(site: Site) -> Iterator[Plan]:
    """Numbers are declared as text."""
    for table, column in site.columns("number", "low", "high", "code", test=lambda column: not column.is_text):
        name = f'"{column.name}"'
        statements: tuple[str, ...] = (
            f'ALTER TABLE "{table.name}" ALTER COLUMN {name} TYPE varchar(40) USING {name}::text',
        )
        if site.is_sqlite:
            statements = (
                f'ALTER TABLE "{table.name}" RENAME COLUMN {name} TO old_values',
                f'ALTER TABLE "{table.name}" ADD COLUMN {name} varchar(40)',
                f'UPDATE "{table.name}" SET {name} = CAST(old_values AS text)',
                f'ALTER TABLE "{table.name}" DROP COLUMN old_values',
            )
        yield Plan(table=table.name, column=column.name, about="number to text", statements=statements, least=0)


@fault
def dates_as_text(site: Site) -> Iterator[Plan]:
    """Dates are declared as text, in another form."""
    for table, column in site.columns("date", "event"):
        if not site.is_sqlite:
            name = f'"{column.name}"'
            statement = (
                f"ALTER TABLE \"{table.name}\" ALTER COLUMN {name} TYPE varchar(40) USING to_char({name}, 'DD/MM/YYYY')"
            )
            yield Plan(table=table.name, column=column.name, about="date to text", statements=(statement,), least=0)
