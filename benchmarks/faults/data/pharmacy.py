"""A pharmacy in SQLite: validities to 2099 and 9999, a snapshot of the stock each day, deliveries in the future.

- `stock` gets one row of each of 240 items on every day, but for one in a hundred.
- 380 dispensings of a working day, half as many on weekends; `supplies` and `batches` on working days only.
- Old rows change: orders are received or cancelled, one to nine days after they were made; until then, their delivery
  lies ahead. Batches expire years ahead.
- SQLite has no types of dates, and the flag is a text; no keys are declared. `prices` and `items` get no rows,
  `inspections` has twelve.
"""

from __future__ import annotations

import datetime as dt
from random import Random

from benchmarks.faults.data.dataset import (
    DataSet,
    Load,
    Row,
    activity,
    at,
    days_before,
    happens,
    is_working,
    poisson,
)
from benchmarks.faults.schema import tables

HISTORY = 75  # days
ITEMS = 240
DISPENSINGS = 380  # of a working day
DRUGS = (
    "Paracétamol 500 mg", "Amoxicilline & acide clavulanique", "Héparine sodique", "Métoprolol", "Énoxaparine 4000 UI",
    "Morphine <LP>", "Furosémide", "Insuline glargine", "Lévothyroxine 75 µg", "Ibuprofène", "Cefazolin", "Ondansetron",
)  # fmt: skip
FORMS = ("tablet", "vial", "syringe", "syrup", "patch")
UNITS = {"tablet": "pcs", "vial": "pcs", "syringe": "pcs", "syrup": "mL", "patch": "pcs"}
SUPPLIERS = ("OCP Répartition", "Alliance Healthcare", "Phoenix Pharma", "CERP Rouen")
WARDS = ("W01", "W02", "W03", "W05", "ICU", "EMER", "OPD")


class Pharmacy(DataSet):
    """The pharmacy."""

    name = "pharmacy"
    about = "SQLite, daily stock snapshots, validities to 2099 and 9999"
    is_sqlite = True
    tables = tables("""
items static
  item_id integer key
  label varchar(60) text
  form varchar(10) code
  unit varchar(4) code
  strength real number
  valid_from date date
  valid_to date date
  storage_note text other
prices static
  item_id integer fk items.item_id
  price real number
  valid_from date date
  valid_to date date
stock fed
  item_id integer fk items.item_id
  snapshot_on date event
  quantity integer number
  reserved integer number
  location varchar(6) code
dispensings fed
  dispensing_id integer key
  item_id integer fk items.item_id
  ward varchar(6) code
  quantity real number
  unit varchar(4) code
  dispensed_at timestamp event
  is_urgent varchar(3) flag
  remark text text
  batch varchar(12) other
supplies fed
  supply_id integer key
  item_id integer fk items.item_id
  supplier varchar(30) code
  ordered_on date event
  expected_on date date
  received_on date date
  quantity integer number
  amount real number
  status varchar(10) code
batches fed-slowly
  batch_id integer key
  item_id integer fk items.item_id
  expires_on date date
  received_on date event
  quantity integer number
inspections static small
  inspected_on date event
  result varchar(10) code
  report text text
""")

    def fill(self, load: Load) -> None:
        """Items, and 75 days."""
        random = self.random("fill")
        items, prices = [], []
        for number in range(1, ITEMS + 1):
            form = random.choices(FORMS, (60, 18, 10, 8, 4))[0]
            since = dt.date(2016, 1, 1) + dt.timedelta(days=random.randrange(3_000))
            until = random.choices((dt.date(2099, 12, 31), dt.date(9999, 12, 31), dt.date(2025, 6, 30)), (70, 20, 10))[
                0
            ]
            strength = random.choice((0.5, 2.5, 5.0, 37.5, 100.0, 250.0))
            items.append((number, random.choice(DRUGS), form, UNITS[form], strength, since, until, None))
            price, start = round(random.lognormvariate(2.2, 1), 2), since
            for _ in range(3):
                stop = start + dt.timedelta(days=random.randrange(200, 900))
                prices.append((number, price, start, stop))
                price, start = round(price * 1.02, 2), stop + dt.timedelta(days=1)
            prices.append((number, price, start, dt.date(2099, 12, 31)))
        load.insert("items", items)
        load.insert("prices", prices)
        first = dt.date(2023, 3, 1)
        load.insert(
            "inspections",
            [
                (
                    first + dt.timedelta(days=90 * n),
                    random.choice(("passed", "passed", "remarks")),
                    "Cold chain & documentation checked" if n % 2 else None,
                )
                for n in range(12)
            ],
        )
        for day in days_before(HISTORY):
            self._day(load, day)

    def night(self, load: Load, day: dt.date) -> None:
        """A day's snapshot, dispensings and orders; deliveries arrive."""
        self._day(load, day)

    def _day(self, load: Load, day: dt.date) -> None:
        random = self.random("day", day)
        (dispensing, supply, batch) = (
            load.ask(f"SELECT coalesce(max({key}), 0) FROM {table}")[0][0]
            for table, key in (("dispensings", "dispensing_id"), ("supplies", "supply_id"), ("batches", "batch_id"))
        )
        load.insert("stock", [self._stock(item, day) for item in range(1, ITEMS + 1) if not happens(random, 0.01)])
        count = poisson(random, DISPENSINGS * activity(day, saturday=0.55, sunday=0.4))
        load.insert("dispensings", [self._dispensing(random, dispensing + n, day) for n in range(1, count + 1)])
        if is_working(day):
            count = poisson(random, 34)
            load.insert("supplies", [self._supply(random, supply + n, day) for n in range(1, count + 1)])
            received = "SELECT supply_id, item_id, quantity FROM supplies WHERE status = 'ordered' AND expected_on <= "
            rows = load.ask(f"{received}'{day}' ORDER BY 1")
            load.insert(
                "batches",
                [
                    (batch + n, item, day + dt.timedelta(days=random.randrange(200, 1_100)), day, quantity)
                    for n, (_, item, quantity) in enumerate(rows, 1)
                ],
            )
            load.run(
                "UPDATE supplies SET status = 'received', received_on = ? WHERE status = 'ordered'"
                " AND expected_on <= ?",
                day,
                day,
            )
            load.run(
                "UPDATE supplies SET status = 'cancelled' WHERE status = 'ordered' AND supply_id % 131 = ?",
                day.toordinal() % 131,
            )

    def _stock(self, item: int, day: dt.date) -> Row:
        random = self.random("stock", item, day)
        usual = 20 + item * 7 % 400
        quantity = max(0, round(random.gauss(usual, usual / 8)))
        return item, day, quantity, int(quantity * random.random() / 6), ("A", "B", "C", "FRIDGE")[item % 4]

    @staticmethod
    def _dispensing(random: Random, number: int, day: dt.date) -> Row:
        is_liquid = happens(random, 0.1)
        return (
            number,
            1 + min(int(random.expovariate(1 / 55)), ITEMS - 1),
            random.choices(WARDS, (22, 20, 16, 12, 12, 10, 8))[0],
            round(random.uniform(5, 120), 1) if is_liquid else float(random.choice((1, 1, 2, 2, 3, 4, 6, 10))),
            "mL" if is_liquid else "pcs",
            at(day, min(max(random.gauss(11.5, 3.2), 0), 23.9) * 3_600),
            "yes" if happens(random, 0.15) else "no",
            random.choice(("Retour prévu", "Patient sorti & dose annulée", "double contrôle"))
            if happens(random, 0.06)
            else None,
            None,
        )

    @staticmethod
    def _supply(random: Random, number: int, day: dt.date) -> Row:
        quantity = random.choice((10, 20, 50, 100, 200))
        return (
            number,
            random.randrange(1, ITEMS + 1),
            random.choices(SUPPLIERS, (45, 30, 15, 10))[0],
            day,
            day + dt.timedelta(days=random.choice((1, 1, 2, 3, 5, 9))),
            None,
            quantity,
            round(quantity * random.lognormvariate(1.5, 0.8), 2),
            "ordered",
        )
