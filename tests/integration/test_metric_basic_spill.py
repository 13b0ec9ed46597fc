"""The C engine of metric pack basic on rows of a real COPY: on the disk it counts what it counts in memory."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import hdm_profile as hp
import pytest
from hdm_profile import Profile, ProfileError, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Postgres

ROWS = 40_000
COLUMNS = {
    "(i % 30011)::int8": Spec(hp.INTEGER, hp.PG_INT8),
    "(i * 7919 % 16381)::float8 / 3": Spec(hp.FLOAT, hp.PG_FLOAT8),
    "(i % 20011)::numeric * 1e20 + 0.5": Spec(hp.DECIMAL, hp.PG_NUMERIC),
    "md5((i % 25013)::text) || repeat(' é', i % 7)": Spec(hp.TEXT, hp.PG_TEXT),
    "CASE WHEN i % 5 > 0 THEN date '1990-01-01' + i % 12007 END": Spec(hp.DATE, hp.PG_DATE, future=8000),
    "timestamp '2000-01-01' + i % 33013 * interval '1 hour'": Spec(hp.DATETIME, hp.PG_TIMESTAMP),
    "i % 3": Spec(hp.INTEGER, hp.PG_INT4),
    "CASE WHEN i % 2 = 0 THEN 'x' ELSE i::text END": Spec(hp.TEXT, hp.PG_TEXT),
}
SPECS = list(COLUMNS.values())


@pytest.fixture(scope="module")
def rows(postgres: Postgres) -> Iterator[bytes]:
    """What the server sends."""
    database = postgres.create_database("spill")
    query = f"COPY (SELECT {', '.join(COLUMNS)} FROM generate_series(1, {ROWS}) i) TO STDOUT (FORMAT binary)"
    with database.connect() as connection, connection.cursor().copy(query.encode()) as copy:
        sent = b"".join(map(bytes, copy))
    yield sent
    postgres.drop_database(database.name)


def profile(rows: bytes, memory: int, folder: Path, largest: int) -> Profile:
    """A profile that has got all rows, in parts of any size."""
    filled, chance, place = Profile(SPECS, memory=memory, folder=str(folder)), random.Random(7), 0  # noqa: S311  # not a secret
    while place < len(rows):
        size = chance.randint(1, largest)
        filled.feed_copy(rows[place : place + size])
        place += size
    return filled


@pytest.mark.parametrize("memory", [1, 1 << 18])
@pytest.mark.parametrize("largest", [700, 1 << 20])
def test_values_on_disk_count_as_values_in_memory(rows: bytes, memory: int, largest: int, tmp_path: Path) -> None:
    """Also where a packet ends within a row; nothing stays in the folder."""
    roomy, narrow = profile(rows, 1 << 30, tmp_path, 1 << 16), profile(rows, memory, tmp_path, largest)
    for number, (one, other) in enumerate(zip(roomy.finish(), narrow.finish(), strict=True)):
        for name in one._fields:
            wanted, found = getattr(one, name), getattr(other, name)
            if isinstance(wanted, float):
                assert math.isclose(wanted, found, rel_tol=1e-9), (number, name)
            else:
                assert wanted == found, (number, name)
        assert roomy.frequencies(number) == narrow.frequencies(number)
    assert narrow.rows == ROWS
    assert not list(tmp_path.iterdir())


def test_what_is_on_disk_is_what_was_asked_for(rows: bytes, tmp_path: Path) -> None:
    """Little memory needs the folder, much of it does not; a folder that is not there is told, not a crash."""
    profile(rows, 1 << 30, tmp_path / "nowhere", 1 << 16).finish()
    with pytest.raises(ProfileError, match="folder for temporary files"):
        profile(rows, 1, tmp_path / "nowhere", 1 << 16).finish()
