"""A French registry with an outpatient clinic: accents, upper-case names, O/N flags, appointments, staging tables.

- `STG_SEJOURS` and `STG_ACTES` are emptied and filled every night; the second stays empty after a Sunday or a holiday.
- 160 appointments made on a working day, none on weekends; most are for weeks ahead. `PATIENTS` and `TUMEURS` get about
  six rows a day.
- Old rows change: appointments are kept or cancelled, patients die.
- Keys of `PATIENTS` and `TUMEURS` are declared; `CIM10` and `MEDECINS` (30 rows) get no rows.
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
    event_day,
    happens,
    is_working,
    poisson,
)
from benchmarks.faults.schema import tables

HISTORY = 90  # days
PATIENTS = 4_000
APPOINTMENTS = 160  # made on a working day
STAYS = 45  # of a day
LAST_NAMES = ("LE GOFF", "MARTIN", "LEFÈVRE", "KERVELLA", "BEN YOUSSEF", "DÉSIRÉ", "MÜLLER", "D'ANGELO", "GUÉGUEN")
FIRST_NAMES = ("Zoé", "Hélène", "François", "Noël", "Anaïs", "Jean-Rémi", "Chloé", "Loïc", "Maëlys", "Gaël")
TOWNS = ("Besançon", "Pontarlier", "Vesoul", "Dôle", "Montbéliard", "Baume-les-Dames", "Saint-Vit", "Orchamps-Vennes")
SITES = ("C50.9", "C34.1", "C18.7", "C61", "C67.9", "C43.5", "C64", "C16.2", "C25.0", "C22.0")
CLINICS = ("ONCO", "CARDIO", "PNEUMO", "GASTRO", "DERMATO", "URO")
REASONS = (
    "Contrôle à 6 mois",
    "Première consultation",
    "Résultats d'imagerie",
    "Avis chirurgical demandé",
    "Suivi après chimiothérapie",
)
NOTES = (
    "Compte rendu d'anatomopathologie reçu",
    "À recoder: topographie imprécise",
    "Dossier transmis par l'hôpital de Dôle",
    "Récidive confirmée & traitée",
    "Décès signalé par l'état civil",
)


class Registry(DataSet):
    """The registry."""

    name = "registry"
    about = "French, future appointments, staging tables reloaded nightly"
    tables = tables("""
PATIENTS declared fed-slowly
  ID_PATIENT integer key
  NOM varchar(40) person
  PRENOM varchar(40) person
  SEXE char(1) code
  DT_NAISSANCE date date
  COMMUNE varchar(40) text
  DECEDE char(1) flag
  DT_DECES date date
  CREE_LE timestamp event
MEDECINS static small
  ID_MEDECIN integer key
  SPECIALITE varchar(20) code
  TELEPHONE varchar(20) other
  ACTIF char(1) flag
TUMEURS declared fed-slowly
  ID_TUMEUR integer key
  ID_PATIENT integer fk PATIENTS.ID_PATIENT
  TOPOGRAPHIE varchar(6) code
  STADE varchar(4) code
  TAILLE_MM integer number
  LATERALITE varchar(8) code
  DT_DIAGNOSTIC date date
  DT_SAISIE date event
  COMMENTAIRE text text
RENDEZ_VOUS fed
  ID_RDV bigint key
  ID_PATIENT integer fk PATIENTS.ID_PATIENT
  ID_MEDECIN integer fk MEDECINS.ID_MEDECIN
  SERVICE varchar(10) code
  PRIS_LE timestamp event
  PREVU_LE timestamp date
  DUREE_MIN smallint number
  MOTIF varchar(60) text
  HONORE char(1) flag
  ANNULE char(1) flag
  TELECONSULTATION char(1) other
CONSENTEMENTS fed
  ID_PATIENT integer fk PATIENTS.ID_PATIENT
  RECHERCHE char(1) flag
  DOSSIER_PARTAGE char(1) flag
  SIGNE_LE date event
  SUPPORT varchar(10) code
STG_SEJOURS reloaded
  IPP varchar(12) other
  UF varchar(6) code
  ENTREE timestamp date
  SORTIE timestamp date
  MODE_ENTREE char(1) code
  GHM varchar(8) code
  CHARGE_LE timestamp date
STG_ACTES reloaded
  CODE_CCAM varchar(8) code
  QTE smallint number
  TARIF numeric(8,2) number
  EXECUTE_LE date date
  LIBELLE text text
  CHARGE_LE timestamp date
CIM10 static
  CODE varchar(6) key
  LIBELLE text text
  CHAPITRE varchar(6) code
  ABROGE char(1) other
""")

    def fill(self, load: Load) -> None:
        """Patients and tumours of years, appointments of 90 days."""
        random = self.random("fill")
        first = event_day(1) - dt.timedelta(days=HISTORY)
        load.insert(
            "MEDECINS",
            [
                (n, random.choice(CLINICS), None if n % 3 else f"03 81 {n:02d} 12 {n:02d}", "O" if n % 9 else "N")
                for n in range(1, 31)
            ],
        )
        load.insert("PATIENTS", [self._patient(random, n, at(first, -n * 14_000)) for n in range(1, PATIENTS + 1)])
        load.insert(
            "TUMEURS",
            [self._tumour(random, n, PATIENTS, first - dt.timedelta(days=1 + n // 4)) for n in range(1, 2_600)],
        )
        load.insert(
            "CIM10",
            [
                (f"{letter}{n:02d}.{m}", f"Libellé de la catégorie {letter}{n:02d}.{m}, précisée ou non", letter, None)
                for letter in "ABCDEFGHIJK"
                for n in range(20)
                for m in range(3)
            ],
        )
        for day in days_before(HISTORY):
            self._day(load, day)
        self._staging(load, event_day(1) - dt.timedelta(days=1))

    def night(self, load: Load, day: dt.date) -> None:
        """A day's appointments and tumours; staging tables are emptied and filled."""
        self._day(load, day)
        self._staging(load, day)

    def _day(self, load: Load, day: dt.date) -> None:
        random = self.random("day", day)
        patient, tumour, visit = (
            load.ask(f'SELECT coalesce(max("{key}"), 0) FROM "{table}"')[0][0]
            for table, key in (("PATIENTS", "ID_PATIENT"), ("TUMEURS", "ID_TUMEUR"), ("RENDEZ_VOUS", "ID_RDV"))
        )
        load.run(
            'UPDATE "RENDEZ_VOUS" SET "HONORE" = CASE WHEN "ID_RDV" % 14 = 3 THEN \'N\' ELSE \'O\' END'
            ' WHERE "PREVU_LE" < ? AND "HONORE" IS NULL AND "ANNULE" = \'N\'',
            at(day, 86_400),
        )
        if not is_working(day):
            return
        volume = activity(day, saturday=0, sunday=0)
        count = poisson(random, 6 * volume)
        load.insert(
            "PATIENTS", [self._patient(random, patient + n, at(day, 30_000 + 900 * n)) for n in range(1, count + 1)]
        )
        patients = patient + count
        load.insert(
            "TUMEURS", [self._tumour(random, tumour + n, patients, day) for n in range(1, poisson(random, 5) + 1)]
        )
        visits = [
            self._visit(random, visit + n, patients, day) for n in range(1, poisson(random, APPOINTMENTS * volume) + 1)
        ]
        load.insert("RENDEZ_VOUS", visits)
        load.insert(
            "CONSENTEMENTS",
            [
                (
                    random.randrange(1, patients),
                    *(random.choices("ON", weights)[0] for weights in ((72, 28), (90, 10))),
                    day,
                    random.choices(("papier", "tablette"), (35, 65))[0],
                )
                for _ in range(poisson(random, 28 * volume))
            ],
        )
        load.run(
            'UPDATE "RENDEZ_VOUS" SET "ANNULE" = \'O\' WHERE "PREVU_LE" > ? AND "ID_RDV" % 211 = ?',
            at(day, 86_400),
            day.toordinal() % 211,
        )
        load.run(
            'UPDATE "PATIENTS" SET "DECEDE" = \'O\', "DT_DECES" = ? WHERE "DECEDE" = \'N\' AND "ID_PATIENT" % 4001 = ?',
            day - dt.timedelta(days=3),
            random.randrange(4_001),
        )

    def _staging(self, load: Load, day: dt.date) -> None:
        """Yesterday's stays, and acts of working days: none after a Sunday or a holiday."""
        random = self.random("staging", day)
        load.run('DELETE FROM "STG_SEJOURS"')
        load.run('DELETE FROM "STG_ACTES"')
        loaded = at(day + dt.timedelta(days=1), 3_600 + random.randrange(1_800))
        stays = []
        for _ in range(poisson(random, STAYS * activity(day, saturday=0.6, sunday=0.5))):
            entry = at(day, random.random() * 86_400)
            stays.append(
                (
                    f"P{random.randrange(10**9):09d}",
                    random.choice(("2101", "2102", "3310", "4400", "5120")),
                    entry,
                    entry + dt.timedelta(hours=random.expovariate(1 / 60)) if happens(random, 0.35) else None,
                    random.choices("867", (70, 20, 10))[0],
                    random.choice(("05M09", "04M05", "11M04", "28Z07")),
                    loaded,
                )
            )
        load.insert("STG_SEJOURS", stays)
        acts = 220 * activity(day, saturday=0.0, sunday=0.0)
        load.insert(
            "STG_ACTES",
            [
                (
                    random.choice(("DEQP003", "ZBQK002", "YYYY600", "HHFA001")),
                    random.choice((1, 1, 1, 2)),
                    round(random.lognormvariate(3.6, 0.6), 2),
                    day,
                    random.choice(REASONS),
                    loaded,
                )
                for _ in range(poisson(random, acts) if acts else 0)
            ],
        )

    @staticmethod
    def _patient(random: Random, number: int, created: dt.datetime) -> Row:
        born = created.date() - dt.timedelta(days=int(random.gauss(62, 14) * 365.25 % 36_000) + 6_570)
        has_died = happens(random, 0.12)
        died = created.date() - dt.timedelta(days=random.randrange(90)) if has_died else None
        return (
            number,
            random.choice(LAST_NAMES),
            random.choice(FIRST_NAMES),
            random.choices("FMI", (51, 48, 1))[0],
            born,
            random.choice(TOWNS) if happens(random, 0.95) else None,
            "O" if died else "N",
            died,
            created,
        )

    @staticmethod
    def _tumour(random: Random, number: int, patients: int, day: dt.date) -> Row:
        return (
            number,
            random.randrange(1, patients + 1),
            random.choices(SITES, range(10, 0, -1))[0],
            random.choices(("I", "II", "III", "IV", None), (30, 25, 20, 15, 10))[0],
            int(random.lognormvariate(3.1, 0.5)) if happens(random, 0.8) else None,
            random.choice(("droit", "gauche")) if happens(random, 0.45) else None,
            day - dt.timedelta(days=random.randrange(5, 190)),
            day,
            random.choice(NOTES) if happens(random, 0.3) else None,
        )

    @staticmethod
    def _visit(random: Random, number: int, patients: int, day: dt.date) -> Row:
        planned = day + dt.timedelta(days=1 + int(random.expovariate(1 / 35)))
        while not is_working(planned):
            planned += dt.timedelta(days=1)
        return (
            number,
            random.randrange(1, patients + 1),
            random.randrange(1, 31),
            random.choices(CLINICS, (30, 22, 16, 14, 10, 8))[0],
            at(day, min(max(random.gauss(11, 2.4), 7), 19) * 3_600),
            at(planned, random.randrange(16, 36) * 1_800),
            random.choice((15, 15, 20, 30, 45)),
            random.choice(REASONS) if happens(random, 0.97) else None,
            None,
            "N",
            None,
        )
