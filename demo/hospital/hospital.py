"""Hospital: its two nights, and the faults planted in the second one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeAlias

from demo.hospital.engines import Engine, engine_of, statements
from demo.hospital.records import Night, Records, nights

if TYPE_CHECKING:
    from datetime import datetime

    from demo.hospital.engines import Connection

FEWEST_ROWS = 1_000  # with fewer rows, some faults could not be planted

FaultKind: TypeAlias = Literal[
    "duplicate_key",
    "empty_column",
    "vanished_table",
    "changed_type",
    "null_jump",
    "date_in_future",
    "date_in_past",
]


@dataclass(frozen=True, kw_only=True)
class PlantedFault:
    """One fault of the second night that the packs have to find."""

    kind: FaultKind
    table: str
    column: str | None  # None: the whole table
    description: str  # for people: the data on the second night, compared with the first


PLANTED_FAULTS: tuple[PlantedFault, ...] = (
    PlantedFault(
        kind="duplicate_key",
        table="prescriptions",
        column="prescription_id",
        description="one prescription in twenty appears twice; on the first night, each appeared once",
    ),
    PlantedFault(
        kind="empty_column",
        table="stays",
        column="drg",
        description="no stay has a diagnosis-related group; on the first night, nine in ten had one",
    ),
    PlantedFault(
        kind="vanished_table",
        table="allergies",
        column=None,
        description="the table no longer exists",
    ),
    PlantedFault(
        kind="changed_type",
        table="stays",
        column="severity",
        description="S1 to S4 as text; on the first night, 1 to 4 as numbers",
    ),
    PlantedFault(
        kind="null_jump",
        table="patients",
        column="postcode",
        description="two patients in five have no postcode; on the first night, three in a hundred had none",
    ),
    PlantedFault(
        kind="date_in_future",
        table="prescriptions",
        column="ends_on",
        description="one prescription in twenty-five ends on 2999-12-31",
    ),
    PlantedFault(
        kind="date_in_past",
        table="patients",
        column="birth_date",
        description="one patient in fifty was born on 1799-07-14",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """A hospital; the same arguments give the same rows on every engine and every machine.

    Args:
        seed: a different seed gives different patients.
        rows: number of lab results on the first night, at least 1,000. There are a tenth as many stays, a sixteenth as
            many patients, and a quarter as many prescriptions.
        first_day: the day that begins with the first night; all events are before its midnight (UTC). The second night
            is one day later.

    Connections are those of psycopg, PyMySQL or sqlite3, without an open transaction. Both methods commit.
    """

    seed: int = 1
    rows: int = 10_000
    first_day: date = date(2026, 1, 5)

    def __post_init__(self) -> None:
        if self.rows < FEWEST_ROWS:
            raise ValueError(f"rows must be at least {FEWEST_ROWS}, not {self.rows}")

    def first_night(self, connection: Connection) -> None:
        """Create the tables, with sound data, in an empty database; an existing table is an error."""
        engine = engine_of(connection)
        for block in statements("schema.sql").values():
            for statement in block:
                engine.run(statement)
        first, _ = nights(self.rows, self.first_day)
        _fill(engine, Records(seed=self.seed, night=first))
        engine.commit()

    def second_night(self, connection: Connection) -> tuple[PlantedFault, ...]:
        """Add a day to the hospital of `first_night`, then plant the faults.

        Returns:
            PLANTED_FAULTS.
        """
        engine = engine_of(connection)
        first, second = nights(self.rows, self.first_day)
        _fill(engine, Records(seed=self.seed, night=second, deaths=self._deaths(first)))
        blocks = statements("faults.sql")
        for fault in PLANTED_FAULTS:
            for statement in blocks.get(f"{fault.kind}.{engine.name}") or blocks[fault.kind]:
                engine.run(statement)
        engine.commit()
        return PLANTED_FAULTS

    def _deaths(self, night: Night) -> dict[int, datetime]:
        records = Records(seed=self.seed, night=night)
        for _ in records.patients():
            pass
        return records.deaths


def _fill(engine: Engine, records: Records) -> None:
    for table, rows in records.tables():
        engine.insert(table, rows)
