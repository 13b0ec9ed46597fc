"""Fixtures for all tiers. Servers start when the first test asks for one; a run of unit tests imports none of it."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

# Airflow reads its home when it is first imported, by whichever test comes first: it is set before any of them.
_HOME = tempfile.mkdtemp(prefix="hdm-test-airflow-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__DAGS_FOLDER=f"{_HOME}/dags",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
)

# How long an example takes is the machine's business: nothing is asserted of time.
settings.register_profile("hdm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hdm")

if "HDM_TEST_COVERAGE" in os.environ:  # `make coverage`: a Python without its .pth files does not measure itself
    from hdm_airflow.runner.processes import guard

    guard.COMMAND = tuple(word for word in guard.COMMAND if word != "-S")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.services import Database, MariaDB, Postgres


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """What the import of all tests has made stays to the end: the collector need not look through it again and again.

    That was a quarter of the unit tests' time. What a test makes is collected as ever.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def require(tier: str, reason: str | None) -> None:
    """Skip the test when `reason` says why it cannot run here, or fail it when this tier must not be skipped.

    Args:
        tier: the test's folder: integration, airflow, functional.
        reason: what is missing on this machine; None when nothing is.

    The environment variable HDM_TEST_REQUIRE holds `all`, or the tiers that must run, separated by commas.
    """
    if reason is None:
        return
    required = {name.strip() for name in os.environ.get("HDM_TEST_REQUIRE", "").split(",")}
    if required & {"all", tier}:
        pytest.fail(f"HDM_TEST_REQUIRE asks for the tier {tier!r}: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", name="require")
def require_fixture() -> object:
    """The function `require`, for tests: a conftest cannot be imported."""
    return require


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL server for the whole session."""
    from demo.services import Postgres

    require("integration", Postgres.available())
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
    shutil.rmtree(server.data)  # pytest would keep it for three more sessions, and what of it matters is in no file


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """One MariaDB server for the whole session."""
    from demo.services import MariaDB

    require("integration", MariaDB.available())
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """An empty PostgreSQL database: `.dsn`, `.name`, `.server`, `.connect()`."""
    created = postgres.create_database(f"test_{uuid4().hex}")
    yield created
    postgres.drop_database(created.name)


@pytest.fixture
def mariadb_database(mariadb: MariaDB) -> Iterator[str]:
    """The name of an empty MariaDB database."""
    name = f"test_{uuid4().hex}"
    mariadb.create_database(name)
    yield name
    mariadb.drop_database(name)


@pytest.fixture(scope="session")
def base_template(postgres: Postgres) -> Database:
    """A migrated HDM base that each test's own is copied from."""
    template = postgres.create_database("hdm_template")
    os.environ["AIRFLOW_CONN_HDM_TEMPLATE"] = template.dsn
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    migrate.upgrade(HdmHook("hdm_template"))
    return template


@pytest.fixture
def base(postgres: Postgres, base_template: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A migrated, empty HDM base behind the Airflow connection `hdm`."""
    created = postgres.create_database(f"hdm_{uuid4().hex}", template=base_template.name)
    monkeypatch.setenv("AIRFLOW_CONN_HDM", created.dsn)
    yield created
    postgres.drop_database(created.name)
