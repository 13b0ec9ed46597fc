"""A synthetic hospital: the same seed gives the same patients on PostgreSQL, MariaDB and SQLite.

`Hospital.first_night` fills an empty database with sound data. `Hospital.second_night` adds a day of data and plants
one fault of each kind that the packs have to find. `PLANTED_FAULTS` lists these faults, so that a demo or a test can
check that each one was found. The patients do not exist: names, dates and results are random.
"""

from demo.hospital.hospital import PLANTED_FAULTS, Hospital, PlantedFault

__all__ = ["PLANTED_FAULTS", "Hospital", "PlantedFault"]
