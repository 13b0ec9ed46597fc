"""A made-up hospital: the same seed gives the same patients on PostgreSQL, MariaDB and SQLite.

`Hospital.first_night` fills an empty database with sound data; `Hospital.second_night` lets it grow by a
day and plants one fault of each kind that the packs have to find. `PLANTED_FAULTS` lists them, so that a
demo or a test can check that each one was found. Nobody in here lives, or ever did: names, dates and
results are random.
"""

from demo.hospital.hospital import PLANTED_FAULTS, Hospital, PlantedFault

__all__ = ["PLANTED_FAULTS", "Hospital", "PlantedFault"]
