"""A trial and its genomics: many wide and sparse tables, a weekly batch of variants, small tables, few rows a day.

- `variants` gets about 900 rows on each Monday, and none on other days.
- `device_readings` gets some 170 rows on every day, one in ten a day or two late. `subjects`, `samples` and
  `adverse_events` get up to five on working days.
- Ten tables of forms with 36 columns besides their keys and dates, filled in 97 % of the rows, in some, or never; they
  have 150 to 700 rows, and get one to four on a working day.
- Old rows change: subjects withdraw, adverse events end. `sites` has eight rows.
"""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

from benchmarks.faults.data.dataset import (
    DataSet,
    Load,
    Row,
    activity,
    at,
    days_before,
    event_day,
    happens,
    is_working,
    poisson,
)
from benchmarks.faults.schema import Column, Table, tables

HISTORY = 150  # days
SUBJECTS = 320
VARIANTS = 900  # of a sample batch, each Tuesday
FORMS = 10
WIDTH = 36  # columns of a form, besides its keys
FORM_NAMES = ("vitals", "echo", "ecg", "mri", "spiro", "qol", "labs_local", "diet", "frailty", "neuro")
GENES = ("BRCA1", "BRCA2", "TP53", "EGFR", "KRAS", "MLH1", "APC", "PTEN", "ATM", "CHEK2")
TERMS = ("Nausea & vomiting", "Headache", "Fatigue", "Rash <grade 2>", "Patient's fall", "Neutropenia", "Diarrhoea")
MONDAY = 0
TYPES = ("numeric(8,2)", "smallint", "varchar(12)", "boolean", "date", "text")
ROLES = {
    "numeric(8,2)": "number",
    "smallint": "number",
    "varchar(12)": "code",
    "boolean": "flag",
    "date": "date",
    "text": "text",
}


def _form(number: int) -> Table:
    """A wide table: three columns that are always filled, others in a share of the rows, some never."""
    columns = [
        Column(name="record_id", type="bigint", role="key"),
        Column(name="subject_id", type="integer", role="fk", parent=("subjects", "subject_id")),
        Column(name="visited_on", type="date", role="event"),
    ]
    for index in range(WIDTH):
        of_type = TYPES[(index * 5 + number) % len(TYPES)]
        columns.append(Column(name=f"{FORM_NAMES[number][:3]}_{index:02d}", type=of_type, role=ROLES[of_type]))
    words = frozenset({"fed-slowly", "declared"} if number % 2 else {"fed-slowly"})
    return Table(name=f"form_{FORM_NAMES[number]}", words=words, columns=tuple(columns))


class Trial(DataSet):
    """The trial."""

    name = "trial"
    about = "wide and sparse tables, a weekly batch, few rows a day"
    tables = (
        *tables("""
sites static small
  site_id smallint key
  country char(2) code
  city varchar(30) text
  opened_on date date
  closed_on date other
subjects declared fed-slowly
  subject_id integer key
  site_id smallint code
  arm varchar(10) code
  sex char(1) code
  enrolled_on date event
  withdrawn_on date date
  weight_kg numeric(5,1) number
  height_cm numeric(5,1) number
samples declared fed-slowly
  sample_id integer key
  subject_id integer fk subjects.subject_id
  material varchar(10) code
  drawn_at timestamp event
  volume_ml numeric(5,2) number
  freezer varchar(6) code
variants weekly
  variant_id bigint key
  sample_id integer fk samples.sample_id
  chromosome varchar(2) code
  position integer number
  reference varchar(8) other
  alternate varchar(8) other
  gene varchar(10) code
  quality numeric(8,2) number
  depth integer number
  allele_fraction double_precision number
  called_on date event
adverse_events fed-slowly
  event_id integer key
  subject_id integer fk subjects.subject_id
  term varchar(40) text
  grade smallint code
  is_serious varchar(3) flag
  started_on date date
  ended_on date date
  reported_on date event
device_readings fed
  subject_id integer fk subjects.subject_id
  read_at timestamp event
  steps integer number
  heart_rate smallint number
  battery_low numeric(4,2) low
  battery_high numeric(4,2) high
  firmware varchar(8) code
"""),
        *(_form(number) for number in range(FORMS)),
    )

    def fill(self, load: Load) -> None:
        """Sites, and five months."""
        random = self.random("fill")
        opened = dt.date(2024, 9, 2)
        load.insert(
            "sites",
            [
                (
                    n,
                    ("FR", "FR", "DE", "BE", "IT")[n % 5],
                    ("Brest", "Nîmes", "Köln", "Liège", "Forlì")[n % 5],
                    opened + dt.timedelta(days=30 * n),
                    None,
                )
                for n in range(1, 9)
            ],
        )
        first = event_day(1) - dt.timedelta(days=HISTORY)
        load.insert(
            "subjects", [self._subject(random, n, first - dt.timedelta(days=n)) for n in range(1, SUBJECTS + 1)]
        )
        load.insert("samples", [self._sample(random, n, first - dt.timedelta(days=n // 4)) for n in range(1, 900)])
        load.run("UPDATE subjects SET withdrawn_on = enrolled_on + 40 WHERE subject_id % 17 = 4")
        for number in range(FORMS):
            self._forms(load, number, [first - dt.timedelta(days=n // 3) for n in range(60 * (1 + number % 4))], random)
        for week in range(26, 0, -1):
            self._variants(load, first - dt.timedelta(days=first.weekday() + 7 * week))
        for day in days_before(HISTORY):
            self._day(load, day)

    def night(self, load: Load, day: dt.date) -> None:
        """A day's visits, and on Tuesdays a batch of variants."""
        self._day(load, day)

    def _day(self, load: Load, day: dt.date) -> None:
        random = self.random("day", day)
        load.insert("device_readings", self._readings(day))
        if not is_working(day):
            return
        subject, sample, event = (
            load.ask(f"SELECT coalesce(max({key}), 0) FROM {table}")[0][0]
            for table, key in (("subjects", "subject_id"), ("samples", "sample_id"), ("adverse_events", "event_id"))
        )
        load.insert("subjects", [self._subject(random, subject + n, day) for n in range(1, poisson(random, 0.6) + 1)])
        load.insert("samples", [self._sample(random, sample + n, day) for n in range(1, poisson(random, 5) + 1)])
        load.insert(
            "adverse_events",
            [
                self._event(random, event + n, day)
                for n in range(1, poisson(random, 4 * activity(day, saturday=0, sunday=0)) + 1)
            ],
        )
        load.run(
            "UPDATE subjects SET withdrawn_on = ?"
            " WHERE withdrawn_on IS NULL AND enrolled_on < ? AND subject_id % 1511 = ?",
            day,
            day - dt.timedelta(days=10),
            random.randrange(1_511),
        )
        load.run(
            "UPDATE adverse_events SET ended_on = ? WHERE ended_on IS NULL AND started_on < ? AND event_id % 13 = ?",
            day,
            day - dt.timedelta(days=2),
            day.toordinal() % 13,
        )
        for number in range(FORMS):
            self._forms(load, number, [day] * poisson(random, 1 + number % 4), random)
        if day.weekday() == MONDAY:
            self._variants(load, day)

    def _variants(self, load: Load, day: dt.date) -> None:
        random = self.random("variants", day)
        ((known,),) = load.ask("SELECT coalesce(max(variant_id), 0) FROM variants")
        ((samples,),) = load.ask("SELECT max(sample_id) FROM samples")
        load.insert(
            "variants",
            [
                (
                    known + n,
                    samples - random.randrange(40),
                    random.choice(("1", "2", "5", "7", "11", "13", "17", "X")),
                    random.randrange(10_000, 240_000_000),
                    random.choice("ACGT"),
                    random.choice(("A", "C", "G", "T", "TA")),
                    random.choices(GENES, range(14, 4, -1))[0],
                    round(random.gauss(900, 260), 2),
                    int(random.lognormvariate(4.2, 0.4)),
                    round(random.betavariate(4, 4), 4),
                    day,
                )
                for n in range(1, poisson(random, VARIANTS) + 1)
            ],
        )

    def _forms(self, load: Load, number: int, days: list[dt.date], random: Random) -> None:
        table = self[f"form_{FORM_NAMES[number]}"]
        ((known,),) = load.ask(f"SELECT coalesce(max(record_id), 0) FROM {table.name}")
        rows = []
        for n, day in enumerate(days, 1):
            answers = (self._answer(random, column.type, index, day) for index, column in enumerate(table.columns[3:]))
            rows.append((known + n, random.randrange(1, SUBJECTS), day, *answers))
        load.insert(table.name, rows)

    @staticmethod
    def _answer(random: Random, of_type: str, index: int, day: dt.date) -> Any:
        filled = (0.97, 0.03, 0.3, 0.9, 0.0, 0.12, 0.6, 0.05, 0.02)[index % 9]
        if not happens(random, filled):
            return None
        return {
            "numeric(8,2)": lambda: round(random.gauss(20 + 9 * index, 4), 2),
            "smallint": lambda: min(5, int(random.expovariate(0.7))),
            "varchar(12)": lambda: random.choices(("normal", "abnormal", "not done"), (80, 15, 5))[0],
            "boolean": lambda: happens(random, 0.2),
            "date": lambda: day - dt.timedelta(days=random.randrange(60)),
            "text": lambda: random.choice(
                ("see source document", "Repeated after 10 min", "Patient's own words: « ça va »")
            ),
        }[of_type]()

    def _readings(self, day: dt.date) -> list[Row]:
        """Devices send every day; some send late, and some not at all."""
        random = self.random("readings", day)
        sent = [
            (subject, hour, day - dt.timedelta(days=random.choices((0, 1, 2), (90, 7, 3))[0]))
            for subject in range(1, 91)
            for hour in (9, 21)
            if happens(random, 0.93)
        ]
        return [
            (
                subject,
                at(on, hour * 3_600 + random.randrange(1_800)),
                int(random.lognormvariate(7.5, 0.6)),
                int(random.gauss(74, 9)),
                round(random.uniform(3.2, 3.5), 2),
                round(random.uniform(3.8, 4.2), 2),
                random.choices(("2.1.0", "2.1.4", "2.2.0"), (10, 60, 30))[0],
            )
            for subject, hour, on in sent
        ]

    @staticmethod
    def _subject(random: Random, number: int, day: dt.date) -> Row:
        return (
            number,
            random.randrange(1, 9),
            random.choices(("active", "placebo"), (2, 1))[0],
            random.choice("FM"),
            day,
            None,
            round(random.gauss(76, 13), 1),
            round(random.gauss(170, 9), 1) if happens(random, 0.97) else None,
        )

    @staticmethod
    def _sample(random: Random, number: int, day: dt.date) -> Row:
        return (
            number,
            random.randrange(1, SUBJECTS),
            random.choices(("blood", "plasma", "tissue"), (60, 30, 10))[0],
            at(day, random.gauss(37_000, 5_000)),
            round(random.uniform(1.5, 9.5), 2),
            random.choice(("F1", "F2", "F3")),
        )

    @staticmethod
    def _event(random: Random, number: int, day: dt.date) -> Row:
        started = day - dt.timedelta(days=random.randrange(1, 15))
        return (
            number,
            random.randrange(1, SUBJECTS),
            random.choice(TERMS),
            random.choices((1, 2, 3, 4), (50, 30, 15, 5))[0],
            "yes" if happens(random, 0.08) else "no",
            started,
            None,
            day,
        )
