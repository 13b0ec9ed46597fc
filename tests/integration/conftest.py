"""Fixtures of the tier: a hospital to measure with metric pack basic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database, Postgres
    from tests.integration.metric_basic_harness import Ward


@pytest.fixture(scope="session")
def pack_base(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A base with the packs' tables, that each test's own is copied from."""
    from tests.integration.pack_harness import Base

    return Base(postgres.create_database("pack_base"), tmp_path_factory.mktemp("pack_base")).database


@pytest.fixture
def ward(postgres: Postgres, pack_base: Database, tmp_path: Path) -> Iterator[Ward]:
    """An empty hospital, and a base of its own."""
    from tests.integration.metric_basic_harness import made_ward

    with made_ward(postgres, pack_base, tmp_path) as made:
        yield made
