"""Records: the random rows of the hospital, table by table.

Every table and night has its own random stream, seeded with text, so that more rows in one table do not change the
others. No patient is younger than three, and none is treated before birth or after death: the planted faults are the
only faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from demo.hospital import vocabulary as words

if TYPE_CHECKING:
    from collections.abc import Iterator

Row: TypeAlias = tuple[Any, ...]

# Shares of the number of lab results
RESULTS_PER_STAY = 10
RESULTS_PER_PATIENT = 16
RESULTS_PER_PRESCRIPTION = 4
PATIENTS_PER_ALLERGY = 6
DAYS_OF_HISTORY = 3 * 365
# Shares of the lab results
NOT_MEASURED = 0.01
WITHOUT_UNIT = 0.005
WITHOUT_LIMIT = 0.02
WITH_COMMENT = 0.05
WITH_EMPTY_COMMENT = 0.01  # '' is neither NULL nor a comment
CENTURY = 100 * 365


@dataclass(frozen=True, kw_only=True)
class Night:
    """The ids that one night adds: all ids on the first night, one day's ids on the second."""

    number: int
    at: datetime  # all events are before it
    days: int  # number of days before `at` that the events cover
    patients: range
    stays: range
    lab_results: range
    prescriptions: range
    known_patients: int  # ids 1 to n, earlier nights included


@dataclass(kw_only=True)
class Records:
    """The rows of one night, table by table, in an order that foreign keys allow."""

    seed: int
    night: Night
    # Patient id -> time of death, earlier nights included; filled while the patients are drawn
    deaths: dict[int, datetime] = field(default_factory=dict)
    # Per stay of this night: its begin, and its length in seconds
    _admissions: list[tuple[datetime, int]] = field(default_factory=list)

    def tables(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Each table with its rows. Consume them in order: lab results fall into stays that were drawn before."""
        if self.night.number == 1:
            yield "version", iter([("5.4",)])
            yield "wards", iter(words.WARDS)
        yield "patients", self.patients()
        yield "stays", self._stays()
        yield "lab_results", self._lab_results()
        yield "prescriptions", self._prescriptions()
        if self.night.number == 1:
            yield "allergies", self._allergies()

    def _random(self, table: str) -> Random:
        return Random(f"{self.seed} {self.night.number} {table}")  # noqa: S311  # nothing here is secret

    def patients(self) -> Iterator[Row]:
        """The patients that this night adds."""
        random = self._random("patients")
        youngest = self.night.at.date() - timedelta(days=DAYS_OF_HISTORY)
        for patient_id in self.night.patients:
            sex = random.choices("FMU", (51, 48, 1))[0]
            first_names = words.MALE_NAMES if sex == "M" else words.FEMALE_NAMES
            # The mean of two draws: few children, few centenarians
            born = youngest - timedelta(days=int((random.random() + random.random()) / 2 * CENTURY))
            # The first patient has died, so that the column death_date is never empty, however small the hospital
            if patient_id == self.night.patients.start or _happens(random, 0.05):
                self.deaths[patient_id] = self._moment(random)
            died = self.deaths.get(patient_id)
            postcode, city = random.choice(words.PLACES)
            yield (
                patient_id,
                f"{patient_id * 7_368_787_003 % 10**10:010d}",  # as unique as patient_id, but in no order
                random.choice(words.LAST_NAMES),
                random.choice(first_names),
                sex,
                born,
                died.date() if died else None,
                None if _happens(random, 0.03) else postcode,
                None if _happens(random, 0.03) else city,
                random.choices(words.BLOOD_GROUPS, words.BLOOD_GROUP_WEIGHTS)[0] if _happens(random, 0.7) else None,
                round(random.gauss(1.68, 0.1), 2) if _happens(random, 0.8) else None,
                _happens(random, 0.3) if _happens(random, 0.5) else None,
                self._moment(random, until=died),
            )

    def _stays(self) -> Iterator[Row]:
        random = self._random("stays")
        for stay_id in self.night.stays:
            patient_id = self._patient_alive(random)
            end = self.deaths.get(patient_id, self.night.at)
            admitted = self._moment(random, until=end)
            seconds = int(random.expovariate(1 / 4.5) * 86_400) + 3_600
            discharged: datetime | None = min(admitted + timedelta(seconds=seconds), end)
            if discharged == self.night.at:
                discharged = None  # still here
            self._admissions.append((admitted, int(((discharged or end) - admitted).total_seconds())))
            mode = random.choices(words.ADMISSION_MODES, words.ADMISSION_MODE_WEIGHTS)[0]
            severity = random.choices((1, 2, 3, 4), (55, 25, 14, 6))[0]
            yield (
                stay_id,
                patient_id,
                1 + int(random.random() * len(words.WARDS)),
                admitted,
                discharged,
                mode,
                mode == "emergency" or _happens(random, 0.1),
                random.choice(words.DIAGNOSES),
                None if _happens(random, 0.08) else f"{random.choice(words.DRG_STEMS)}{severity}",
                severity,
                Decimal(int(random.lognormvariate(12.6, 0.7))).scaleb(-2),  # cents
            )

    def _lab_results(self) -> Iterator[Row]:
        random = self._random("lab_results")
        draw = random.random  # a million rows: every look-up counts
        admissions, analytes, comments = self._admissions, words.ANALYTES, words.COMMENTS
        limits = [Decimal(str(analyte.upper_limit)) for analyte in analytes]
        first_stay = self.night.stays.start
        for result_id in self.night.lab_results:
            stay = int(draw() * len(admissions))
            admitted, seconds = admissions[stay]
            kind = int(draw() * len(analytes))
            loinc, label, unit, mean, spread, upper_limit = analytes[kind]
            # The sum of three draws is near enough to a normal distribution (its standard deviation is 0.5)
            result = abs(round(mean + (draw() + draw() + draw() - 1.5) * 2 * spread, 3))
            measured = draw() > NOT_MEASURED
            chance = draw()  # one draw decides on all that follows: a result without a unit has no comment
            comment = None
            if chance > 1 - WITH_COMMENT:
                comment = comments[int(draw() * len(comments))]
            elif chance > 1 - WITH_COMMENT - WITH_EMPTY_COMMENT:
                comment = ""
            yield (
                result_id,
                first_stay + stay,
                loinc,
                label,
                result if measured else None,
                None if chance < WITHOUT_UNIT else unit,
                None if chance < WITHOUT_LIMIT else limits[kind],
                result > upper_limit if measured else None,
                comment,
                admitted + timedelta(seconds=int(draw() * seconds)),
            )

    def _prescriptions(self) -> Iterator[Row]:
        random = self._random("prescriptions")
        for prescription_id in self.night.prescriptions:
            stay = int(random.random() * len(self._admissions))
            admitted, seconds = self._admissions[stay]
            start = (admitted + timedelta(seconds=int(random.random() * seconds))).date()
            drug = random.choice(words.DRUGS)
            yield (
                prescription_id,
                self.night.stays.start + stay,
                drug.atc,
                drug.name,
                Decimal(str(drug.dose_mg)) * random.choice((1, 1, 2, 3)),
                drug.route,
                start,
                start + timedelta(days=int(random.random() * 30)) if _happens(random, 0.85) else None,
                _happens(random, 0.2),
                random.choice(words.INSTRUCTIONS) if _happens(random, 0.4) else None,
            )

    def _allergies(self) -> Iterator[Row]:
        random = self._random("allergies")
        for _ in range(self.night.known_patients // PATIENTS_PER_ALLERGY):
            yield (
                1 + int(random.random() * self.night.known_patients),
                random.choice(words.SUBSTANCES),
                _happens(random, 0.6),
                self._moment(random).date(),
            )

    def _patient_alive(self, random: Random) -> int:
        """A patient who was alive at the begin of the time that this night covers."""
        begin = self.night.at - timedelta(days=self.night.days)
        while True:
            patient_id = 1 + int(random.random() * self.night.known_patients)
            if self.deaths.get(patient_id, self.night.at) > begin:
                return patient_id

    def _moment(self, random: Random, until: datetime | None = None) -> datetime:
        """A moment in the time that this night covers, before `until` if given (which is within that time)."""
        begin = self.night.at - timedelta(days=self.night.days)
        seconds = ((until or self.night.at) - begin).total_seconds()
        return begin + timedelta(seconds=int(random.random() * seconds))


def _happens(random: Random, share: float) -> bool:
    return random.random() < share


def nights(rows: int, first_day: date) -> tuple[Night, Night]:
    """The first night, with `rows` lab results, and the second, which adds about a fiftieth of everything."""
    at = datetime(first_day.year, first_day.month, first_day.day, tzinfo=timezone.utc)
    counts = {
        "patients": rows // RESULTS_PER_PATIENT,
        "stays": rows // RESULTS_PER_STAY,
        "lab_results": rows,
        "prescriptions": rows // RESULTS_PER_PRESCRIPTION,
    }
    grown = {table: count + max(2, count // 50) for table, count in counts.items()}
    first = Night(
        number=1,
        at=at,
        days=DAYS_OF_HISTORY,
        known_patients=counts["patients"],
        **{table: range(1, count + 1) for table, count in counts.items()},
    )
    second = Night(
        number=2,
        at=at + timedelta(days=1),
        days=1,
        known_patients=grown["patients"],
        **{table: range(counts[table] + 1, grown[table] + 1) for table in counts},
    )
    return first, second
