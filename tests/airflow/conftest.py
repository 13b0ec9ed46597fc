"""Fixtures of the tier: a stage for single tasks, an Airflow metadata database for whole Dags."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database
    from tests.airflow.stage import Stage
    from tests.stand_ins.keycloak import Keycloak
    from tests.stand_ins.vault import Vault


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One venv store for the session: most packs here have the same, empty, requirements."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def stage(base: Database, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Packs, an HDM base, and a private TMPDIR that must be empty at the end."""
    from tests.airflow.stage import Stage

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "packs").mkdir()
    return Stage(base=base, folder=tmp_path / "packs", store=store)


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    """Where stubborn packs write their process ids."""
    return tmp_path / "pids"


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A stand-in for Vault behind the Airflow connection `vault`, with a root token."""
    from tests.stand_ins.vault import Vault

    with Vault() as server:
        monkeypatch.setenv("AIRFLOW_CONN_VAULT", server.connection())
        yield server


@pytest.fixture
def keycloak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keycloak]:
    """A stand-in for Keycloak behind the Airflow connection `keycloak`."""
    from tests.stand_ins.keycloak import Keycloak

    with Keycloak() as server:
        monkeypatch.setenv("AIRFLOW_CONN_KEYCLOAK", server.connection())
        yield server


@pytest.fixture(scope="session")
def metadata() -> None:
    """Airflow's own database, migrated."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True, env=os.environ)
