"""A data mart: batches at the ends of months, a quiet week, codes that come slowly, a load that moves to another hour.

- `facts` gets 210 rows of a working day, a quarter on weekends, and a third fewer in the first week of February. They
  are loaded at two o'clock, and from the fifteenth night on at five; their codes are of a list that gets one or two a
  week.
- Old rows change: facts are new, then checked and closed some days later.
- `accruals` gets 1,400 rows on the last working day of a month and 300 in its middle, no others.
- `waiting_list` is written anew on Sundays, `open_orders` gets a snapshot of all orders on Mondays.
- `scans` has no date. It began six nights before the first, so that all its patients differ at first.
- `messages` come in lumps: some on most days, a few hundred on others. `load_log` gets six rows each night.
- `staff` has 60 rows, whose numbers all differ by chance; `calendar` reaches into the next year, and gets no rows.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from random import Random

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
from benchmarks.faults.schema import tables

HISTORY = 130  # days
FACTS = 210  # of a working day
QUIET = (dt.date(2026, 2, 2), dt.date(2026, 2, 8))
QUIETER = 0.67
CODES, DAYS_OF_A_CODE = 60, 5  # codes at the start; days until the next
MOVED = dt.date(2026, 1, 28)  # the load's other hour
SCANS, FIRST_SCANS, PATIENTS = 42, 6, 60_000  # of a day; days before the first night
ACCRUALS, HALF = 1_400, 300
MIDDLE = 15  # of a month
SITES = ("NORD", "SUD", "EST", "OUEST")
STATES = "UPDATE facts SET status = ? WHERE status = ? AND happened_at < ? AND mod(fact_id, 4) <> ?"
LOADED = ("facts", "accruals", "waiting_list", "open_orders", "scans", "messages")


class Mart(DataSet):
    """The data mart."""

    name = "mart"
    about = "batches at month ends, weekly snapshots, a quiet week, growing codes, a load that moves"
    tables = tables("""
codes declared
  code_id integer key
  code varchar(8) other
  label varchar(60) text
  added_on date event
facts declared fed
  fact_id bigint key
  code_id integer fk codes.code_id
  site varchar(6) code
  amount numeric(10,2) number
  duration_min smallint number
  is_first boolean flag
  status varchar(8) code
  happened_at timestamp event
  loaded_at timestamp date
accruals monthly
  accrual_id integer key
  site varchar(6) code
  account varchar(8) code
  amount numeric(12,2) number
  booked_on date event
  note text text
waiting_list weekly
  patient_number integer other
  service varchar(10) code
  waiting_days smallint number
  since date date
  written_on date event
open_orders weekly
  order_number integer other
  supplier varchar(20) code
  amount numeric(10,2) number
  due_on date date
  seen_on date event
scans fed
  scan_id integer key
  patient_number integer other
  device varchar(6) code
  dose numeric(8,3) number
  contrast boolean flag
messages fed
  message_id varchar(12) key
  kind varchar(4) code
  bytes integer number
  received_at timestamp event
load_log fed-slowly
  load_id integer key
  table_name varchar(20) code
  rows_loaded integer number
  seconds numeric(8,2) number
  started_at timestamp event
staff static small
  badge integer other
  phone varchar(10) other
  born char(8) other
  hired_on date date
calendar static
  day date date
  week char(8) other
  is_holiday boolean flag
""")

    def fill(self, load: Load) -> None:
        """Four months, and six days of scans."""
        random = self.random("fill")
        first = event_day(1) - dt.timedelta(days=HISTORY)
        load.insert("codes", [self._code(n, first - dt.timedelta(days=CODES - n)) for n in range(1, CODES + 1)])
        load.insert("staff", [self._person(random) for _ in range(60)])
        load.insert(
            "calendar",
            [(day, f"{day:%G-W%V}", not is_working(day)) for day in map(dt.date.fromordinal, range(738_886, 739_981))],
        )
        for day in days_before(HISTORY):
            self.night(load, day)

    def night(self, load: Load, day: dt.date) -> None:
        """A day's rows of all tables."""
        before = dict(load.counts)
        if (day.toordinal() % DAYS_OF_A_CODE) == 0:
            load.insert("codes", [self._code(self._next(load, "codes", "code_id"), day)])
        for old, new, age, stays in (("checked", "closed", 3, 1), ("new", "checked", 0, 2)):
            load.run(STATES, new, old, at(day, -age * 86_400), stays)
        load.insert("facts", self._facts(load, day))
        load.insert("accruals", self._accruals(load, day))
        random = self.random("rest", day)
        if day.weekday() == 6:  # noqa: PLR2004  # Sunday
            load.run("DELETE FROM waiting_list")
            load.insert("waiting_list", [self._waiting(random, day) for _ in range(poisson(random, 420))])
        if day.weekday() == 0:
            load.insert("open_orders", [self._order(random, n, day) for n in range(poisson(random, 260))])
        if day >= event_day(1) - dt.timedelta(days=FIRST_SCANS):
            known = self._next(load, "scans", "scan_id")
            load.insert("scans", [self._scan(random, known + n) for n in range(poisson(random, SCANS))])
        load.insert("messages", self._messages(random, day))
        self._log(load, random, day, before)

    @staticmethod
    def _next(load: Load, table: str, key: str) -> int:
        return 1 + int(load.ask(f"SELECT coalesce(max({key}), 0) FROM {table}")[0][0])

    @staticmethod
    def _code(number: int, day: dt.date) -> Row:
        return number, f"C{number:03d}", f"Prestation n° {number}, précisée", day

    @staticmethod
    def _person(random: Random) -> Row:
        born = dt.date(1960, 1, 1) + dt.timedelta(days=random.randrange(14_000))
        hired = dt.date(2008, 1, 1) + dt.timedelta(days=random.randrange(6_000))
        return random.randrange(10**5, 10**6), f"02{random.randrange(10**8):08d}", f"{born:%Y%m%d}", hired

    def _facts(self, load: Load, day: dt.date) -> list[Row]:
        random = self.random("facts", day)
        known, codes = self._next(load, "facts", "fact_id"), self._next(load, "codes", "code_id") - 1
        quieter = QUIETER if QUIET[0] <= day <= QUIET[1] else 1.0
        started = at(day + dt.timedelta(days=1), (5 if day >= MOVED else 2) * 3_600 + random.randrange(600))
        return [
            (
                known + n,
                1 + int(random.betavariate(1.1, 1.6) * codes),
                random.choices(SITES, (40, 30, 20, 10))[0],
                Decimal(int(random.lognormvariate(8.2, 0.8))).scaleb(-2),
                random.choice((10, 15, 20, 30, 45, 60)),
                happens(random, 0.22),
                "new",
                at(day, min(max(random.gauss(13, 3.4), 0), 23.9) * 3_600),
                started + dt.timedelta(seconds=n // 20),
            )
            for n in range(poisson(random, FACTS * quieter * activity(day, saturday=0.28, sunday=0.22)))
        ]

    def _accruals(self, load: Load, day: dt.date) -> list[Row]:
        next_working = day + dt.timedelta(days=1)
        while not is_working(next_working):
            next_working += dt.timedelta(days=1)
        is_last = is_working(day) and next_working.month != day.month
        if not is_last and day.day != MIDDLE:
            return []
        random, known = self.random("accruals", day), self._next(load, "accruals", "accrual_id")
        return [
            (
                known + n,
                random.choice(SITES),
                random.choice(("408100", "418100", "486000", "487000")),
                Decimal(int(random.lognormvariate(10.5, 1.0))).scaleb(-2),
                day,
                random.choice(("Charges à payer", "Produits à recevoir")) if happens(random, 0.6) else None,
            )
            for n in range(poisson(random, ACCRUALS if is_last else HALF))
        ]

    @staticmethod
    def _waiting(random: Random, day: dt.date) -> Row:
        days = int(random.expovariate(1 / 40))
        service = random.choices(("CARDIO", "ORTHO", "OPHTALMO", "ORL"), (20, 35, 30, 15))[0]
        return random.randrange(PATIENTS), service, days, day - dt.timedelta(days=days), day

    @staticmethod
    def _order(random: Random, number: int, day: dt.date) -> Row:
        return (
            40_000 + (day.toordinal() // 7 % 1_000) * 60 + number,
            random.choice(("Phoenix", "OCP", "CERP", "Alliance")),
            Decimal(int(random.lognormvariate(9, 0.9))).scaleb(-2),
            day + dt.timedelta(days=random.randrange(1, 30)),
            day,
        )

    @staticmethod
    def _scan(random: Random, number: int) -> Row:
        return (
            number,
            random.randrange(PATIENTS),
            random.choice(("CT1", "CT2", "MR1")),
            Decimal(int(random.lognormvariate(6, 0.5))).scaleb(-3),
            happens(random, 0.35),
        )

    @staticmethod
    def _messages(random: Random, day: dt.date) -> list[Row]:
        count = poisson(random, 300 if happens(random, 0.25) else 14)
        return [
            (
                f"M{day:%y%m%d}{n:05d}",
                random.choice(("ADT", "ORU", "SIU")),
                int(random.lognormvariate(7, 0.6)),
                at(day, random.random() * 86_400),
            )
            for n in range(count)
        ]

    def _log(self, load: Load, random: Random, day: dt.date, before: dict[str, int]) -> None:
        known = self._next(load, "load_log", "load_id")
        started = at(day + dt.timedelta(days=1), (5 if day >= MOVED else 2) * 3_600)
        rows = []
        for n, table in enumerate(LOADED):
            count = load.counts.get(table, 0) - before.get(table, 0)
            rows.append(
                (known + n, table, count, round(2 + count / 90 + random.random(), 2), started + dt.timedelta(minutes=n))
            )
        load.insert("load_log", rows)
