"""The hospital's vocabulary: names, wards, codes; with accents, apostrophes and signs such as % and µ on purpose."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class Analyte(NamedTuple):
    """One kind of lab result, roughly normally distributed."""

    loinc: str
    label: str
    unit: str
    mean: float
    spread: float  # the standard deviation, in `unit`
    upper_limit: float  # a result above it is abnormal


class Drug(NamedTuple):
    """One drug and how it is given."""

    atc: str
    name: str
    dose_mg: float
    route: str


WARDS = (
    (1, "CARD", "Cardiologie", 32, False, date(1987, 9, 1)),
    (2, "REA", "Réanimation médicale", 16, True, date(1994, 1, 15)),
    (3, "NEPH", "Néphrologie - dialyse", 24, False, date(1979, 3, 1)),
    (4, "PED", "Pédiatrie générale", 28, False, date(1968, 10, 7)),
    (5, "USIC", "Soins intensifs de cardiologie", 10, True, date(2001, 5, 2)),
    (6, "GER", "Gériatrie aiguë", 40, False, date(2008, 2, 18)),
    (7, "CHIR", "Chirurgie viscérale", 36, False, date(1972, 6, 1)),
    (8, "MAT", "Maternité", 30, False, date(1968, 10, 7)),
    (9, "URG", "Service d'accueil des urgences", 22, False, date(1990, 11, 5)),
    (10, "HDJ", "Hôpital de jour", 12, False, date(2015, 4, 13)),
)
LAST_NAMES = (
    "Martin", "Bernard", "Dubois", "Durand", "Lefèvre", "Moreau", "Garcia", "Faure", "Mercier", "Blanc",
    "Guérin", "Müller", "Schäfer", "Nguyễn", "O'Connor", "Núñez", "Łukasik", "Sørensen", "Benoît",
    "D'Angelo", "Haddad", "Diallo", "Traoré", "Öztürk", "Kovács", "Le Goff", "de La Fontaine", "Muñoz",
    "Pérez", "Çelik", "Kaya", "Novák", "Dvořák", "Åkerlund", "Björk", "Costa", "Gonçalves", "Ferreira",
    "Rossi", "Ricci",
)  # fmt: skip
FEMALE_NAMES = (
    "Zoé", "Chloé", "Léa", "Inès", "Anaïs", "Aïcha", "Françoise", "Hélène", "Élodie", "Noëlle",
    "Marie-Thérèse", "Camille", "Jeanne", "Nadia", "Maëlys", "Agnès", "Solène", "Ingrid", "Zsófia", "Renée",
)  # fmt: skip
MALE_NAMES = (
    "François", "Jérôme", "Noël", "Loïc", "Gaël", "Étienne", "Jean-René", "José", "André", "Stéphane",
    "Raphaël", "Camille", "Karim", "Mamadou", "Łukasz", "Jürgen", "Sébastien", "Théo", "Hugo", "Paul",
)  # fmt: skip
PLACES = (
    ("29200", "Brest"), ("29000", "Quimper"), ("35000", "Rennes"), ("22000", "Saint-Brieuc"),
    ("56000", "Vannes"), ("44000", "Nantes"), ("49000", "Angers"), ("29600", "Morlaix"),
    ("56100", "Lorient"), ("35400", "Saint-Malo"), ("01100", "Oyonnax"), ("42000", "Saint-Étienne"),
    ("75013", "Paris"), ("13005", "Marseille"), ("67000", "Strasbourg"),
)  # fmt: skip
BLOOD_GROUPS = ("O+", "A+", "B+", "O-", "A-", "AB+", "B-", "AB-")
BLOOD_GROUP_WEIGHTS = (36, 37, 9, 6, 7, 3, 1, 1)
ADMISSION_MODES = ("home", "transfer", "emergency")
ADMISSION_MODE_WEIGHTS = (50, 13, 37)
DIAGNOSES = (
    "I21.0", "I50.1", "I48.9", "I10", "J18.9", "J44.1", "N17.9", "N18.5", "E11.9", "E86", "K35.8", "K80.2",
    "O24.4", "S72.0", "C34.9", "C50.9", "G40.9", "F32.1", "A41.9", "R07.4", "Z51.1", "T81.4", "M54.5",
    "D50.9",
)  # fmt: skip
DRG_STEMS = ("05M09", "05K06", "04M05", "11M04", "10M03", "06C08", "07C13", "14Z13", "08C48", "28Z07")
ANALYTES = (
    Analyte("2951-2", "Sodium", "mmol/L", 139.0, 3.6, 145.0),
    Analyte("2823-3", "Potassium", "mmol/L", 4.2, 0.5, 5.0),
    Analyte("14682-9", "Créatinine", "µmol/L", 84.0, 22.0, 106.0),
    Analyte("718-7", "Hémoglobine", "g/dL", 13.1, 1.7, 16.5),
    Analyte("6690-2", "Leucocytes", "10^9/L", 8.1, 2.4, 10.0),
    Analyte("777-3", "Plaquettes", "10^9/L", 262.0, 71.0, 400.0),
    Analyte("1988-5", "Protéine C réactive", "mg/L", 24.0, 11.0, 5.0),
    Analyte("14749-6", "Glucose", "mmol/L", 5.9, 1.2, 6.1),
    Analyte("4548-4", "HbA1c", "%", 5.8, 0.8, 6.5),
    Analyte("10839-9", "Troponine I", "ng/mL", 0.05, 0.02, 0.04),
    Analyte("8310-5", "Température", "°C", 37.1, 0.6, 38.0),
)
DRUGS = (
    Drug("N02BE01", "Paracétamol", 1000.0, "oral"),
    Drug("B01AB05", "Énoxaparine", 40.0, "subcutaneous"),
    Drug("C03CA01", "Furosémide", 40.0, "oral"),
    Drug("J01CR02", "Amoxicilline - acide clavulanique", 1000.0, "intravenous"),
    Drug("A10AB05", "Insuline asparte", 0.347, "subcutaneous"),
    Drug("C07AB07", "Bisoprolol", 2.5, "oral"),
    Drug("N02AA01", "Morphine", 7.5, "intravenous"),
    Drug("H03AA01", "Lévothyroxine", 0.075, "oral"),
    Drug("B01AC06", "Acide acétylsalicylique", 75.0, "oral"),
    Drug("A02BC02", "Pantoprazole", 20.0, "oral"),
    Drug("R03AC02", "Salbutamol", 2.5, "inhaled"),
)
COMMENTS = (
    "Échantillon hémolysé, à recontrôler.",
    "Patient à jeun; prélèvement à 37 °C.",
    "Phoned to the ward: Dr O'Connor informed.",
    'Result "confirmed" on a second sample (±5%).',
    "Tube insuffisamment rempli\nrésultat sous réserve.",
    "Controlled twice; see previous result.",
)
INSTRUCTIONS = (
    "1 comprimé matin, midi et soir pendant les repas",
    "à jeun, 30 min avant le petit-déjeuner",
    "si douleur > 4/10; max. 4 g/24 h",
    "selon protocole d'anticoagulation",
    "stop if SpO2 < 92% or RR > 30/min",
)
SUBSTANCES = ("pénicilline", "latex", "arachide", "iode", "œuf", "codéine", "venin d'abeille")
