"""The demo's hospital, for weeks: its first night as in `demo/hospital`, then as many rows a day as its history has.

- 40,000 laboratory results in three years are about 36 a day; other tables get fewer, so that a day's rows tell little.
- There is neither a week nor an hour: all days are alike.
- Old rows change: stays end, some days after they began; a few patients die.
- Keys of `prescriptions` and `allergies` are not declared, the others are. `wards` and `allergies` get no rows.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from benchmarks.faults.data.dataset import FIRST, DataSet, Load, Row, happens, poisson
from benchmarks.faults.schema import tables
from demo.hospital import Hospital
from demo.hospital.records import (
    DAYS_OF_HISTORY,
    RESULTS_PER_PATIENT,
    RESULTS_PER_PRESCRIPTION,
    RESULTS_PER_STAY,
    Night,
    Records,
)

RESULTS = 40_000
PER_DAY = RESULTS / DAYS_OF_HISTORY
STAY_DAYS = 4.5
DEATH_DATE = 6  # the position in a row of patients
# Table, key, rows per result
KEYS = (
    ("patients", "patient_id", 1 / RESULTS_PER_PATIENT),
    ("stays", "stay_id", 1 / RESULTS_PER_STAY),
    ("lab_results", "result_id", 1.0),
    ("prescriptions", "prescription_id", 1 / RESULTS_PER_PRESCRIPTION),
)


class DemoHospital(DataSet):
    """The demo's hospital."""

    name = "hospital"
    about = "the demo's, a few rows a day, half of the keys declared"
    tables = tables("""
wards declared static small
  ward_id integer key
  code varchar(8) other
  name varchar(80) text
  beds smallint number
  intensive_care boolean flag
  opened_on date date
patients declared fed-slowly
  patient_id integer key
  hospital_number char(10) other
  last_name varchar(60) person
  first_name varchar(60) person
  sex char(1) code
  birth_date date date
  death_date date date
  postcode char(5) code
  city varchar(60) text
  blood_group varchar(3) code
  height_m double_precision number
  organ_donor boolean flag
  registered_at timestamp event
stays declared fed-slowly
  stay_id integer key
  patient_id integer fk patients.patient_id
  ward_id integer fk wards.ward_id
  admitted_at timestamp event
  discharged_at timestamp date
  admission_mode varchar(12) code
  emergency boolean flag
  diagnosis varchar(8) code
  drg varchar(6) code
  severity smallint code
  cost numeric(10,2) number
lab_results declared fed
  result_id bigint key
  stay_id integer fk stays.stay_id
  loinc varchar(8) code
  label varchar(40) text
  result double_precision number
  unit varchar(10) code
  upper_limit numeric(8,2) high
  abnormal boolean flag
  comment text text
  taken_at timestamp event
prescriptions fed
  prescription_id integer key
  stay_id integer fk stays.stay_id
  atc varchar(8) code
  drug varchar(40) text
  dose_mg numeric(9,3) number
  route varchar(12) code
  starts_on date event
  ends_on date date
  as_needed boolean flag
  instructions text text
allergies static
  patient_id integer fk patients.patient_id
  substance varchar(40) code
  confirmed boolean flag
  noted_on date event
""")

    def create(self, load: Load) -> None:
        """The demo's first night, which covers three years up to the first event day."""
        day_before = FIRST - dt.timedelta(days=1)
        Hospital(seed=self.seed, rows=RESULTS, first_day=day_before).first_night(load.connection)

    def night(self, load: Load, day: dt.date) -> None:
        """A day's patients, stays, results and prescriptions; stays end."""
        random = self.random("counts", day)
        end = dt.datetime(day.year, day.month, day.day, tzinfo=dt.timezone.utc) + dt.timedelta(days=1)
        ranges: dict[str, range] = {}
        for table, key, share in KEYS:
            ((known,),) = load.ask(f"SELECT max({key}) FROM {table}")
            ranges[table] = range(known + 1, known + 1 + max(1, poisson(random, PER_DAY * share)))
        number = 1 + (day - FIRST).days + 2  # the first night of Records is the history
        night = Night(number=number, at=end, days=1, known_patients=ranges["patients"].stop - 1, **ranges)
        died = load.ask("SELECT patient_id, death_date FROM patients WHERE death_date IS NOT NULL")
        deaths = {patient: dt.datetime(on.year, on.month, on.day, tzinfo=dt.timezone.utc) for patient, on in died}
        records = Records(seed=self.seed, night=night, deaths=deaths)
        for table, rows in records.tables():
            load.insert(table, self._alive(records, day, rows) if table == "patients" else rows)
        self._discharge(load, day, end)

    def _alive(self, records: Records, day: dt.date, rows: Any) -> list[Row]:
        """New patients; the demo's first of each night has died, which would be half of a day's."""
        random, found = self.random("deaths", day), []
        for row in rows:
            if row[DEATH_DATE] and not happens(random, 0.05):
                del records.deaths[row[0]]
                found.append((*row[:DEATH_DATE], None, *row[DEATH_DATE + 1 :]))
            else:
                found.append(row)
        return found

    def _discharge(self, load: Load, day: dt.date, end: dt.datetime) -> None:
        random = self.random("discharges", day)
        open_stays = "SELECT stay_id, admitted_at FROM stays WHERE discharged_at IS NULL ORDER BY 1"
        for stay, admitted in load.ask(open_stays):
            if happens(random, 1 / STAY_DAYS):
                left = max(admitted + dt.timedelta(hours=1), end - dt.timedelta(seconds=random.randrange(86_400)))
                load.run("UPDATE stays SET discharged_at = ? WHERE stay_id = ?", min(left, end), stay)
