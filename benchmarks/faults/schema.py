"""Tables of a data set and the role of each column: what a fault needs to know to choose its place."""

from __future__ import annotations

from dataclasses import dataclass

KEY, FK, CODE, NUMBER, EVENT, DATE = "key", "fk", "code", "number", "event", "date"
TEXT, FLAG, LOW, HIGH, PERSON, OTHER = "text", "flag", "low", "high", "person", "other"
ROLES = {KEY, FK, CODE, NUMBER, EVENT, DATE, TEXT, FLAG, LOW, HIGH, PERSON, OTHER}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column."""

    name: str
    type: str  # of its SQL column
    role: str
    parent: tuple[str, str] | None = None  # of a foreign key, declared or not: table and column

    @property
    def is_whole(self) -> bool:
        """Whether it holds integers."""
        return self.type in {"integer", "bigint", "smallint"}

    @property
    def is_text(self) -> bool:
        """Whether it holds texts of any length that its values may need."""
        return self.type.startswith(("text", "varchar", "char"))

    @property
    def is_moment(self) -> bool:
        """Whether it holds dates with a time of day."""
        return self.type.startswith("timestamp")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table."""

    name: str
    words: frozenset[str]  # fed: rows come on most days; declared: keys are constraints; small, static: for reading
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def index(self, name: str) -> int:
        """The column's position in a row."""
        return next(index for index, column in enumerate(self.columns) if column.name == name)

    def of(self, *roles: str) -> list[Column]:
        """The columns with one of these roles."""
        return [column for column in self.columns if column.role in roles]

    @property
    def key(self) -> Column | None:
        """Its key of one column, if it has one."""
        found = self.of(KEY)
        return found[0] if len(found) == 1 else None

    @property
    def is_fed(self) -> bool:
        """Whether rows come on most days."""
        return "fed" in self.words

    @property
    def is_declared(self) -> bool:
        """Whether its keys and foreign keys are constraints."""
        return "declared" in self.words

    def statement(self) -> str:
        """CREATE TABLE."""
        parts = [f'"{column.name}" {column.type.replace("_", " ")}' for column in self.columns]
        if self.is_declared:
            keys = ", ".join(f'"{column.name}"' for column in self.of(KEY))
            parts += [f"PRIMARY KEY ({keys})"] * bool(keys)
            parts += [
                f'FOREIGN KEY ("{column.name}") REFERENCES "{column.parent[0]}" ("{column.parent[1]}")'
                for column in self.of(FK)
                if column.parent
            ]
        return f'CREATE TABLE "{self.name}" ({", ".join(parts)})'


def tables(text: str) -> tuple[Table, ...]:
    """Read tables from text: a line `name words...`, then a line `  column type role [table.column]` per column."""
    found: list[tuple[str, list[str], list[Column]]] = []
    for line in text.strip("\n").splitlines():
        if not line.strip():
            continue
        name, *rest = line.split()
        if not line.startswith(" "):
            found.append((name, rest, []))
            continue
        of_type, role, *parent = rest
        assert role in ROLES, line
        place = parent[0].partition(".") if parent else None
        assert place is None or place[2], line
        owner = (place[0], place[2]) if place else None
        found[-1][2].append(Column(name=name, type=of_type, role=role, parent=owner))
    return tuple(Table(name=name, words=frozenset(words), columns=tuple(columns)) for name, words, columns in found)
