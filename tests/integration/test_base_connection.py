"""The connection of the HDM base: what its extra states reaches packs too, or is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.services import Database, Postgres, free_port
from hdm_airflow.base import libpq, migrate, packs, runs, version
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError, HdmBaseError
from hdm_airflow.packs.catalog import Catalog
from tests.integration.test_ledger import FIRST

SecretsOf = Callable[..., None]


@pytest.fixture
def connect(base: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HdmHook]:
    """Write the connection `hdm` with other fields and an extra, and return its hook."""

    def write(extra: Any = None, **fields: Any) -> HdmHook:
        server = base.server
        known = {"host": server.host, "port": server.port, "login": server.user, "password": server.password}
        text = json.dumps({"conn_type": "postgres", **known, "schema": base.name, **fields, "extra": extra or {}})
        monkeypatch.setenv("AIRFLOW_CONN_HDM", text)
        return HdmHook()

    return write


def reaches(hook: HdmHook, folder: Path) -> tuple[str, ...]:
    """Where a pack ends up: database, user, port and options, with nothing but the variables and a password file."""
    from hdm_airflow.runner.workspace import write_pgpass

    with hook.session() as session:
        variables, password = hook.variables(session)
    file = folder / f"pgpass {len(list(folder.iterdir()))}"
    write_pgpass(file, variables, password or "")
    code = (
        "import psycopg\n"
        "query = 'SELECT current_database(), current_user, inet_server_port(), '\n"
        "settings = [f\"current_setting('{name}')\" for name in ('work_mem', 'application_name')]\n"
        "with psycopg.connect() as base:\n"
        "    print(*base.execute(query + ', '.join(settings)).fetchone(), sep='|')\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    ours = {"PGPASSFILE": str(file), "HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {**kept, **variables, **ours}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return tuple(ran.stdout.strip().split("|"))


def test_fields_overridden_by_the_extra_reach_packs(base: Database, connect: Any, tmp_path: Path) -> None:
    """Each one: the fields themselves lead nowhere."""
    server = base.server
    wrong = {"host": "127.255.255.254", "port": 1, "login": "nobody", "password": "x", "schema": "nowhere"}
    extra = {
        "host": server.host,
        "port": str(server.port),
        "user": server.user,
        "password": server.password,
        "dbname": base.name,
        "options": "-c work_mem=7MB",
        "application_name": "hospital",
    }
    expected = (base.name, server.user, str(server.port), "7MB", "hospital")
    assert reaches(connect(extra, **wrong), tmp_path) == expected


def test_several_hosts_reach_packs(base: Database, connect: Any, tmp_path: Path) -> None:
    """In their order, with their ports and with the attribute that chooses between them."""
    server = base.server
    extra = {"host": f"{server.host},{server.host}", "port": f"{free_port()},{server.port}"}
    hook = connect({**extra, "target_session_attrs": "read-write"})
    assert reaches(hook, tmp_path)[2] == str(server.port)
    with hook.session() as session:
        variables, _ = hook.variables(session)
    assert variables["PGHOST"] == extra["host"]
    assert variables["PGPORT"] == extra["port"]
    assert variables["PGTARGETSESSIONATTRS"] == "read-write"


def test_address_in_the_extra_reaches_packs(base: Database, connect: Any, tmp_path: Path) -> None:
    """With a host name that does not resolve."""
    hook = connect({"hostaddr": base.server.host}, host="db.invalid")
    assert reaches(hook, tmp_path)[0] == base.name
    with hook.session() as session:
        assert "PGHOSTADDR" not in hook.variables(session)[0]  # it would redirect connections to endpoints too
    tls = connect({"hostaddr": base.server.host, "sslmode": "verify-full"}, host="db.invalid")
    with hook.session() as session, pytest.raises(ConfigurationError, match="could not verify the server's name"):
        libpq.variables("hdm", {**tls._parameters()}, _WithTls(session.pgconn))


class _WithTls:
    """A connection as it looks with TLS, which the server of these tests does not have."""

    def __init__(self, pgconn: Any) -> None:
        self._pgconn = pgconn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pgconn, name)

    @property
    def info(self) -> Any:
        return [one._replace(val=b"verify-full") if one.keyword == b"sslmode" else one for one in self._pgconn.info]


def test_service_and_password_file_reach_packs_as_what_they_mean(
    base: Database, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack sees neither file: it may be hidden, and its home is another."""
    server, folder = base.server, tmp_path / "private"
    folder.mkdir()
    (folder / "pg_service.conf").write_text(
        f"[hdm]\nhost={server.host}\nport={server.port}\nuser={server.user}\ndbname={base.name}\n"
        "options=-c work_mem=9MB\n"
    )
    (folder / "pgpass").write_text(f"*:*:*:*:{server.password}\n")
    (folder / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(folder / "pg_service.conf"))
    blank = dict.fromkeys(("host", "port", "login", "password", "schema"))
    hook = connect({"service": "hdm", "passfile": str(folder / "pgpass")}, **blank)
    assert reaches(hook, tmp_path)[:4] == (base.name, server.user, str(server.port), "9MB")
    with hook.session() as session:
        variables, password = hook.variables(session)
    assert password == server.password
    assert not {"PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGPASSWORD"} & set(variables)
    assert server.password not in variables.values()


def test_variables_of_the_worker_that_count_reach_packs(
    base: Database, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator connects with them, so the pack must."""
    monkeypatch.setenv("PGHOST", base.server.host)
    monkeypatch.setenv("PGPORT", str(base.server.port))
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    assert reaches(connect(host=None, port=None), tmp_path)[2:4] == (str(base.server.port), "5MB")


def test_plain_connection_gives_packs_nothing_else(base: Database, connect: Any) -> None:
    """Our own parameters, such as the time limit of a connection, are not the pack's."""
    hook = connect()
    with hook.session() as session:
        variables, password = hook.variables(session)
    assert set(variables) == {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE"}
    assert password == base.server.password


@pytest.mark.parametrize("name", ["sslpassword", "oauth_issuer"])
def test_parameter_without_a_variable_is_refused_for_packs(connect: Any, name: str) -> None:
    """The pack would connect in another way, or not at all."""
    hook = connect({name: "https://issuer.example"})
    with hook.session() as session, pytest.raises(ConfigurationError, match=f"no environment variable for {name}"):
        hook.variables(session)


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor", "realdictcursor", "nonsense"])
def test_extra_that_changes_rows_for_others_does_not_change_ours(connect: Any, cursor: str) -> None:
    """One connection may serve other Dags too."""
    hook = connect({"cursor": cursor})
    assert migrate.upgrade(hook) == (version.needed(), version.needed())
    assert migrate.check(hook) == (version.needed(), version.needed())
    with hook.session() as session:
        assert session.execute("SELECT 1 AS one").fetchone() == {"one": 1}


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"sslmod": "require"}, "unknown parameter: sslmod"),
        ({"row_factory": "x"}, "unknown parameter: row_factory"),
        ({"conninfo": "host=x"}, "unknown parameter: conninfo"),
        ({"x" * 100_000: "y"}, "unknown parameter: xxx"),
        ({"host": ["a", "b"]}, "a value that is not text: host"),
        ({"port": {"a": 1}}, "a value that is not text: port"),
    ],
)
@pytest.mark.parametrize("use", [migrate.check, migrate.upgrade, HdmHook.open])
def test_extra_that_cannot_be_used_is_named(connect: Any, use: Any, extra: Any, what: str) -> None:
    """It is a wrong configuration, in a short message."""
    with pytest.raises(ConfigurationError, match=what) as caught:
        use(connect(extra))
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "text",
    ['{"conn_type": "postgres", "host": ', "postgres://u:p@h:not-a-port/db", '{"conn_type": "postgres", "extra": "{"}'],
)
def test_connection_that_cannot_be_parsed_is_not_a_missing_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """And its text, with the password, is not shown."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", text)
    with pytest.raises(ConfigurationError, match=r"cannot be read|is not a JSON object") as caught:
        HdmHook().open()
    assert "not-a-port" not in str(caught.value)


def test_read_only_base_says_so(base: Database, connect: Any) -> None:
    """A standby does not name its own kind of error in plain words."""
    with base.connect(autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{base.name}" SET default_transaction_read_only = on')
    with pytest.raises(HdmBaseError, match="the HDM base is read-only") as caught, connect().session() as session:
        session.execute("CREATE TABLE x ()")
    assert "target_session_attrs" in caught.value.hint


@pytest.mark.parametrize(
    ("encoding", "extra", "refusal"),
    [
        ("LATIN1", {}, "the base cannot store its texts (22P05)"),
        ("LATIN1", {"client_encoding": "LATIN1"}, "the base cannot store its texts (22P05)"),
        ("SQL_ASCII", {}, ""),
    ],
)
def test_base_in_an_old_encoding_says_itself_what_it_cannot_store(
    postgres: Postgres, connect: Any, tmp_path: Path, encoding: str, extra: dict[str, str], refusal: str
) -> None:
    """The driver raised an error of Python's for the first sign that Latin 1 lacks, and gave bytes for SQL_ASCII."""
    name = f"hdm_latin_{os.getpid()}"
    with postgres.create_database(f"{name}_x").connect(autocommit=True) as connection:
        provider = "LOCALE_PROVIDER libc" if connection.info.server_version >= 150_000 else ""
        places = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' {provider} {places}")
    try:
        hook = connect(extra, schema=name)
        migrate.upgrade(hook)
        folder = tmp_path / "metric-packs" / "basic"
        folder.mkdir(parents=True)
        (folder / "properties.json").write_text('{"name": "basic", "version": "1.0.0"}')
        (folder / "bootstrap-script.sh").write_text("#!/bin/bash\ntrue\n")
        for readme, fault in (("élan →", refusal), ("élan", "")):
            (folder / "Readme.md").write_text(readme)
            with hook.session() as session:
                assert packs.record(session, Catalog.scan(tmp_path).find("mp_basic"), "0") == fault
        with hook.session() as session:
            assert session.execute("SELECT readme FROM hdm_pack").fetchall() == [{"readme": "élan"}]
            assert hook.variables(session)[0].get("PGCLIENTENCODING") == extra.get("client_encoding")
            ids = runs.reserve(session, ["heart"])
            runs.start(session, FIRST, ids)
            outcome = runs.Outcome(endpoint="heart", status="success", reason="é →", reported=True, incomplete=("→",))
            runs.note(session, ids, [outcome])
            assert runs.close(session, FIRST, ids, [outcome]) == [outcome]
            runs.finish(session, FIRST, [outcome])
            rows = session.execute("SELECT reason, incomplete FROM hdm_pack_run ORDER BY id").fetchall()
        # PostgreSQL cannot hold \u2192 in JSON either, in both encodings
        assert rows == [{"reason": "\\xe9 \\u2192", "incomplete": ["\\u2192"]}] * 2
    finally:
        for one in (name, f"{name}_x"):
            postgres.drop_database(one)
