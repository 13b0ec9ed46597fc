"""An OMOP CDM 5.4 database from its CSV files: visits of earlier years come again each day, with all their rows.

- 39 tables with upper-case names, half of them empty, most columns codes of concepts; no keys are declared.
- About 16 visits of a working day, a third on weekends; one visit brings a few measurements or hundreds of them, so the
  rows of a day come in lumps.
- Old rows change: conditions end some days after they began; observation periods grow with each visit.
- Columns are text where the files have values that do not fit the type of the CDM.

It needs an archive of the CSV files, which `HDM_BENCH_OMOP` names; without it, the data set is left out.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.faults.data.dataset import DataSet, Load, activity, days_before, poisson
from benchmarks.faults.schema import CODE, DATE, EVENT, FK, HIGH, KEY, LOW, NUMBER, OTHER, TEXT, Column, Table

VARIABLE = "HDM_BENCH_OMOP"  # names the archive; else it is looked for beside the repository
BESIDE = Path(__file__).parents[4] / "shared" / "data" / "omop-cdm-5.4-synthea27nj.zip"
HISTORY = 60  # days
VISITS = 16  # of a working day
# The ends of columns' names, and the types that the CDM declares
TYPES = {
    "_datetime": "timestamp",
    "_date": "date",
    "_as_number": "numeric",
    "_id": "integer",
    "quantity": "numeric",
    "days_supply": "integer",
    "range_low": "numeric",
    "range_high": "numeric",
    "_of_birth": "integer",
}
PARENTS = {
    "person_id": ("PERSON", "person_id"),
    "provider_id": ("PROVIDER", "provider_id"),
    "visit_occurrence_id": ("VISIT_OCCURRENCE", "visit_occurrence_id"),
    "visit_detail_id": ("VISIT_DETAIL", "visit_detail_id"),
}
ROLES = {
    "range_low": LOW,
    "range_high": HIGH,
    "days_supply": NUMBER,
    "concept_name": TEXT,
    "specialty_source_value": TEXT,
    "unit_source_value": TEXT,
}
# The tables whose rows belong to a visit: their date, which tells the event
CHILDREN = {
    "VISIT_OCCURRENCE": "visit_start_date",
    "VISIT_DETAIL": "visit_detail_start_date",
    "MEASUREMENT": "measurement_date",
    "OBSERVATION": "observation_date",
    "CONDITION_OCCURRENCE": "condition_start_date",
    "PROCEDURE_OCCURRENCE": "procedure_date",
    "DRUG_EXPOSURE": "drug_exposure_start_date",
}
END_OF_FILES = dt.date(2023, 1, 1)  # no row of the files is as young
LONGEST = 60  # days of a prescription that is still running

Rows: TypeAlias = dict[int, list[tuple[Any, ...]]]  # by visit


class Omop(DataSet):
    """The OMOP tables."""

    name = "omop"
    about = "39 tables, half of them empty, upper-case names"

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.archive = Path(os.environ.get(VARIABLE) or BESIDE)
        self.tables = () if self.missing() else tuple(self._read())
        self._past: dict[str, Rows] = {}

    def missing(self) -> str:
        """Why it is left out; "" if the archive is there."""
        return "" if self.archive.exists() else f"no archive of OMOP tables; {VARIABLE} names one"

    def fill(self, load: Load) -> None:
        """The files, then sixty days of visits."""
        with zipfile.ZipFile(self.archive) as archive:
            for table in self.tables:
                with load.engine.cursor.copy(f'COPY "{table.name}" FROM STDIN WITH (FORMAT csv, HEADER)') as copy:
                    copy.write(archive.read(f"{table.name}.csv"))
        for day in days_before(HISTORY):
            self.night(load, day)

    def night(self, load: Load, day: dt.date) -> None:
        """A day's visits."""
        if not self._past:
            self._past = {name: self._of_visits(load, name, event) for name, event in CHILDREN.items()}
        random = self.random("day", day)
        count = poisson(random, VISITS * activity(day, saturday=0.35, sunday=0.25))
        visits = sorted(self._past["VISIT_OCCURRENCE"])
        chosen = [random.choice(visits) for _ in range(count)]
        known = {name: self._newest(load, name) for name in CHILDREN}
        persons = set()
        for name, event in CHILDREN.items():
            table, rows = self[name], []
            for number, visit in enumerate(chosen, 1):
                ids = {
                    "visit_occurrence_id": known["VISIT_OCCURRENCE"] + number,
                    "visit_detail_id": known["VISIT_DETAIL"] + number,
                }
                for row in self._past[name].get(visit, []):
                    values = dict(zip((column.name for column in table.columns), row, strict=True)) | {
                        one: value for one, value in ids.items() if any(column.name == one for column in table.columns)
                    }
                    if name not in {"VISIT_OCCURRENCE", "VISIT_DETAIL"}:
                        values[table.columns[0].name] = known[name] + len(rows) + 1
                    persons.add(values["person_id"])
                    rows.append(tuple(self._on(day, values, event, name).values()))
            load.insert(name, rows)
        load.run(
            'UPDATE "CONDITION_OCCURRENCE" SET condition_end_date = ?, condition_end_datetime = ?'
            " WHERE condition_end_date IS NULL AND condition_start_date BETWEEN ? AND ?"
            " AND condition_occurrence_id % 23 = ?",
            *(day, day, END_OF_FILES, day - dt.timedelta(days=5), random.randrange(23)),
        )
        for person in sorted(persons):
            load.run('UPDATE "OBSERVATION_PERIOD" SET observation_period_end_date = ? WHERE person_id = ?', day, person)

    @staticmethod
    def _on(day: dt.date, values: dict[str, Any], event: str, name: str) -> dict[str, Any]:
        """The row with its event on this day: conditions last, prescriptions end within weeks."""
        moved, latest = day - values[event], day + dt.timedelta(days=LONGEST if name == "DRUG_EXPOSURE" else 0)
        found = {}
        for column, value in values.items():
            found[column] = value
            if isinstance(value, dt.date):
                found[column] = value + moved
                on = found[column].date() if isinstance(value, dt.datetime) else found[column]
                if on > latest:
                    end = type(value)(latest.year, latest.month, latest.day)
                    found[column] = None if name == "CONDITION_OCCURRENCE" else end
        return found

    def _of_visits(self, load: Load, name: str, event: str) -> Rows:
        """The rows of the files by visit, without those of visits that are not in the files."""
        order = self[name].columns[0].name
        found: Rows = {}
        query = f"SELECT * FROM \"{name}\" WHERE {event} < '{END_OF_FILES}' AND visit_occurrence_id IS NOT NULL"
        query += ' AND person_id NOT IN (SELECT person_id FROM "DEATH")'
        for row in load.ask(f"{query} ORDER BY {order}"):
            found.setdefault(row[self[name].index("visit_occurrence_id")], []).append(row)
        return found

    def _newest(self, load: Load, name: str) -> int:
        key = self[name].columns[0].name
        return int(load.ask(f'SELECT max({key}) FROM "{name}"')[0][0])

    def _read(self) -> list[Table]:
        with zipfile.ZipFile(self.archive) as archive:
            names = sorted(name for name in archive.namelist() if "/" not in name)
            return [_table(Path(name).stem, archive.read(name)) for name in names]


def _table(name: str, content: bytes) -> Table:
    """A table as its file has it: where values do not fit the CDM's type, the column is text."""
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    header, *rows = reader
    columns = []
    for index, column in enumerate(header):
        declared = next((of_type for end, of_type in TYPES.items() if column.endswith(end)), "text")
        fits = declared == "text" or all(_fits(row[index], declared) for row in rows[:20_000] if index < len(row))
        of_type = declared if fits else "text"
        role = _role(name, column, of_type, is_first=index == 0)
        parent = PARENTS.get(column) if role == FK else None
        columns.append(Column(name=column, type=of_type, role=role, parent=parent))
    return Table(name=name, words=frozenset({"fed"} if name in CHILDREN else set()), columns=tuple(columns))


def _fits(value: str, of_type: str) -> bool:
    if not value:
        return True
    try:
        if of_type == "integer":
            int(value)
        elif of_type == "numeric":
            float(value)
        else:
            dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _role(table: str, column: str, of_type: str, *, is_first: bool) -> str:
    if is_first and column == f"{table.lower()}_id":
        return KEY
    if column in PARENTS and table in CHILDREN:
        return FK
    if column.endswith("_concept_id"):
        return CODE
    if column == CHILDREN.get(table):
        return EVENT
    return ROLES.get(column) or {"numeric": NUMBER, "date": DATE, "timestamp": DATE}.get(of_type, OTHER)
