"""A laboratory: declared keys, results with units and limits, hours, quiet weekends, results up to three days late.

- 150 orders of a working day, with two to five results each; 45 % of them on a Saturday, 30 % on a Sunday.
- One order in seven arrives one to three nights late: a day's rows are complete on the fourth night.
- Old rows change: results of yesterday become final, a few are corrected by 2 %, cultures are reported after days.
- Values differ by a factor of a thousand between analytes, and some analytes are rare: means of a night vary.
- Hours: routine samples in the morning, urgent ones at any time. Texts have accents, signs and `<`.
- `qc` and `microbiology` have no declared keys; `results_2019`, `device_log` (40 rows) and `analytes` get no rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from benchmarks.faults.data.dataset import DataSet, Load, Row, activity, at, days_before, event_day, happens, poisson
from benchmarks.faults.schema import tables

HISTORY = 100  # days
ORDERS = 150  # of a working day
PATIENTS = 3_000
LATE = 4  # a day's orders arrive on this many nights
# code, label, unit, low, high, spread, decimals, weight
ANALYTES = (
    ("NA", "Sodium", "mmol/L", 136.0, 145.0, 2.9, 0, 30),
    ("K", "Potassium", "mmol/L", 3.5, 5.0, 0.42, 1, 30),
    ("CREA", "Creatinine", "µmol/L", 59.0, 104.0, 19.0, 0, 28),
    ("HGB", "Haemoglobin", "g/dL", 12.0, 16.5, 1.5, 1, 26),
    ("WBC", "Leucocytes", "10^9/L", 4.0, 10.0, 1.9, 2, 26),
    ("PLT", "Platelets", "10^9/L", 150.0, 400.0, 62.0, 0, 24),
    ("CRP", "C-reactive protein", "mg/L", 0.0, 5.0, 3.1, 1, 20),
    ("GLU", "Glucose, fasting", "mmol/L", 3.9, 5.6, 0.6, 1, 18),
    ("TSH", "Thyrotropin", "mU/L", 0.4, 4.0, 0.9, 3, 9),
    ("HBA1C", "Haemoglobin A1c", "%", 4.0, 6.0, 0.5, 1, 6),
    ("TROP", "Troponin I <high sensitivity>", "ng/L", 0.0, 34.0, 8.0, 1, 5),
    ("FERR", "Ferritin & transferrin", "µg/L", 30.0, 400.0, 90.0, 0, 2),
)
VALIDATE = """
UPDATE results SET status = 'final', validated_at = coalesce(validated_at, taken_at + interval '7 hours')
WHERE status = 'prelim' AND taken_at < ?"""
WARDS = ("CARD", "SURG", "GERI", "EMER", "MATE", "PEDI", "ONCO")
WARD_WEIGHTS = (18, 20, 16, 30, 6, 6, 4)
GERMS = (
    "Escherichia coli",
    "Staphylococcus aureus",
    "Klebsiella pneumoniæ",
    "Enterococcus faecalis",
    "Candida albicans",
)
NOTES = (
    "Échantillon hémolysé, à recontrôler",
    "Insufficient volume; please repeat",
    "Phoned to the ward, Dr O'Connor informed",
    "Confirmed on a second sample (±5 %)",
    "Lipaemic sample, see previous result",
    "Prélèvement à jeun, 37 °C",
)
CITIES = ("Brest", "Quimper", "Saint-Malo", "Rennes", "Lorient", "Vannes", "Besançon", "Orléans")


class Laboratory(DataSet):
    """The laboratory."""

    name = "lab"
    about = "declared keys, 50,000 results, quiet weekends, late rows"
    tables = tables("""
patients declared fed-slowly
  patient_id integer key
  sex varchar(1) code
  birth_date date date
  city varchar(40) text
  registered_at timestamp event
analytes declared static
  code varchar(8) key
  label varchar(60) text
  unit varchar(10) code
  low double_precision low
  high double_precision high
  valid_from date date
  valid_to date date
orders declared fed
  order_id bigint key
  patient_id integer fk patients.patient_id
  ward varchar(6) code
  priority varchar(8) code
  ordered_at timestamp event
  fasting boolean flag
  phone_extension varchar(10) other
results declared fed
  result_id bigint key
  order_id bigint fk orders.order_id
  code varchar(8) fk analytes.code
  value numeric(12,3) number
  unit varchar(10) code
  ref_low double_precision low
  ref_high double_precision high
  abnormal boolean flag
  status varchar(12) code
  device smallint code
  note text text
  taken_at timestamp event
  validated_at timestamp date
  dilution numeric(6,2) other
qc fed
  device smallint code
  code varchar(8) code
  level varchar(4) code
  value double_precision number
  measured_at timestamp event
microbiology fed
  sample_id integer key
  order_id bigint fk orders.order_id
  germ varchar(40) code
  colonies integer number
  report text text
  received_on date event
  reported_on date date
  reviewer varchar(20) other
results_2019 static
  result_id bigint key
  code varchar(8) code
  value numeric(12,3) number
  taken_at timestamp event
device_log static small
  device smallint code
  serviced_on date event
  remark text text
""")

    def fill(self, load: Load) -> None:
        """A hundred days."""
        random = self.random("fill")
        first = event_day(1) - dt.timedelta(days=HISTORY)
        load.insert("patients", (self._patient(random, n, at(first, -n * 9_000)) for n in range(1, PATIENTS + 1)))
        load.insert(
            "analytes",
            (
                (code, label, unit, low, high, dt.date(2015, 1, 1), dt.date(9999, 12, 31))
                for code, label, unit, low, high, *_ in ANALYTES
            ),
        )
        old = dt.date(2019, 1, 1)
        load.insert(
            "results_2019",
            (
                (n, *self._value(random)[:2], at(old + dt.timedelta(days=n // 20), random.random() * 86_400))
                for n in range(1, 7_000)
            ),
        )
        load.insert(
            "device_log",
            ((1 + n % 4, old + dt.timedelta(days=61 * n), random.choice(NOTES) if n % 3 else None) for n in range(40)),
        )
        for day in days_before(HISTORY):
            self._day(load, day)
        load.run(VALIDATE, at(event_day(1), -86_400))
        load.run("UPDATE results SET status = 'corrected' WHERE status = 'final' AND mod(result_id, 61) = 7")
        load.run("UPDATE microbiology SET reported_on = received_on + 2 WHERE received_on < ?", event_day(1))

    def night(self, load: Load, day: dt.date) -> None:
        """A day's orders; yesterday's preliminary results become final, a few are corrected."""
        self._day(load, day)
        load.run(VALIDATE, at(day, 0))
        reported = "UPDATE microbiology SET reported_on = ? WHERE reported_on IS NULL AND received_on < ?"
        load.run(f"{reported} AND mod(sample_id, 3) > 0", day, day - dt.timedelta(days=1))
        load.run(reported, day, day - dt.timedelta(days=4))
        random = self.random("corrections", day)
        load.run(
            "UPDATE results SET value = value * 1.02, status = 'corrected'"
            " WHERE taken_at BETWEEN ? AND ? AND mod(result_id, 61) = ?",
            at(day, -2 * 86_400),
            at(day, 0),
            random.randrange(61),
        )

    def _day(self, load: Load, day: dt.date) -> None:
        random = self.random("day", day)
        (patients,), (orders,), (results,), (samples,) = (
            load.ask(f"SELECT coalesce(max({key}), 0) FROM {table}")[0]
            for table, key in (
                ("patients", "patient_id"),
                ("orders", "order_id"),
                ("results", "result_id"),
                ("microbiology", "sample_id"),
            )
        )
        new = poisson(random, 4 * activity(day, saturday=0.4, sunday=0.2))
        load.insert(
            "patients", [self._patient(random, patients + n, at(day, 30_000 + n * 700)) for n in range(1, new + 1)]
        )
        order_rows, result_rows, micro_rows = [], [], []
        for late in range(LATE):
            for order, found, sample in self._orders(day - dt.timedelta(days=late), late, patients):
                orders += 1
                order_rows.append((orders, *order))
                for result in found:
                    results += 1
                    result_rows.append((results, orders, *result))
                if sample:
                    samples += 1
                    micro_rows.append((samples, orders, *sample))
        load.insert("orders", order_rows)
        load.insert("results", result_rows)
        load.insert("microbiology", micro_rows)
        load.insert("qc", self._qc(day))

    def _orders(self, day: dt.date, late: int, patients: int) -> Iterator[tuple[Row, list[Row], Row | None]]:
        """The orders of a day that arrive so many days late, with their results and a sample."""
        random = self.random("orders", day)
        for _ in range(poisson(random, ORDERS * activity(day, saturday=0.45, sunday=0.3))):
            is_urgent = happens(random, 0.3)
            hour = random.gauss(8.7, 1.4) if not is_urgent else random.random() * 24
            ordered = at(day, min(max(hour, 0.0), 23.9) * 3_600)
            order = (
                1 + int(random.random() * max(patients - 50, PATIENTS)),
                random.choices(WARDS, WARD_WEIGHTS)[0],
                "urgent" if is_urgent else random.choice(("routine", "routine", "timed")),
                ordered,
                happens(random, 0.4) if happens(random, 0.9) else None,
                None,
            )
            results = [self._result(random, ordered) for _ in range(random.choice((2, 3, 4, 4, 5)))]
            sample = self._sample(random, day) if happens(random, 0.12) else None
            if random.choices(range(LATE), (86, 9, 3, 2))[0] == late:
                yield order, results, sample

    def _result(self, random: Random, ordered: dt.datetime) -> Row:
        code, value, unit, low, high = self._value(random)
        taken = ordered + dt.timedelta(minutes=int(random.expovariate(1 / 25)))
        final = happens(random, 0.55)
        return (
            code,
            None if happens(random, 0.012) else value,
            None if happens(random, 0.004) else unit,
            low,
            None if happens(random, 0.02) else high,
            float(value) > high or float(value) < low,
            "final" if final else "prelim",
            random.choices((1, 2, 3, 4), (45, 35, 15, 5))[0],
            random.choice(NOTES) if happens(random, 0.07) else None,
            taken,
            taken + dt.timedelta(minutes=20 + int(random.expovariate(1 / 70))) if final else None,
            Decimal(random.choice(("2.00", "5.00", "10.00"))) if happens(random, 0.008) else None,
        )

    @staticmethod
    def _value(random: Random) -> tuple[str, Decimal, str, float, float]:
        code, _, unit, low, high, spread, decimals, _ = random.choices(ANALYTES, [one[-1] for one in ANALYTES])[0]
        centre = (low + high) / 2
        value = random.gauss(centre, spread) if spread < centre / 2 else random.expovariate(1 / (centre + spread / 2))
        return code, Decimal(f"{abs(value):.{decimals}f}"), unit, low, high

    @staticmethod
    def _sample(random: Random, day: dt.date) -> Row:
        germ = random.choices(GERMS, (50, 22, 13, 10, 5))[0] if happens(random, 0.4) else None
        return (
            germ,
            int(10 ** random.uniform(2, 6)) if germ else None,
            f"{random.choice(NOTES)}. {random.choice(NOTES)}." if happens(random, 0.8) else None,
            day,
            None,
            None,
        )

    def _qc(self, day: dt.date) -> list[Row]:
        random = self.random("qc", day)
        return [
            (
                device,
                code,
                level,
                round(random.gauss((low + high) / 2 * factor, spread / 6), 3),
                at(day, 21_600 + n * 37),
            )
            for n, (device, (code, _, _, low, high, spread, _, _), (level, factor)) in enumerate(
                (d, a, f) for d in (1, 2, 3) for a in ANALYTES[:9] for f in (("L1", 0.7), ("L2", 1.3))
            )
            if not happens(random, 0.03)
        ]

    @staticmethod
    def _patient(random: Random, number: int, registered: dt.datetime) -> Row:
        born = dt.date(2025, 6, 1) - dt.timedelta(days=int((random.random() + random.random()) / 2 * 36_500))
        return (
            number,
            random.choices("FMU", (52, 47, 1))[0],
            born,
            random.choice(CITIES) if happens(random, 0.96) else None,
            registered,
        )
