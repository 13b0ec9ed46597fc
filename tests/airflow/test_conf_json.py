"""Passwords from a pack's conf.json: matched, warned about, forbidden, and only for read-only accounts."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.credentials import connect, read_only
from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.credentials.sources import open_chain
from hdm_airflow.errors import HdmError
from hdm_airflow.packs.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from demo.services import Database, MariaDB
    from hdm_airflow.packs.pack import Pack

SECRET = "reads-0nly"
ORACLE = Endpoint(name="heart", type="oracle", host="db.example", port="1521", user="reader")  # cannot be checked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack's folder."""
    found = tmp_path / "metric-packs" / "basic"
    (found / "process").mkdir(parents=True)
    (found / "properties.json").write_text('{"name": "basic", "version": "1.0.0"}')
    (found / "bootstrap-script.sh").write_text("#!/bin/bash\n")
    return found


@pytest.fixture
def ask(folder: Path) -> Callable[..., Any]:
    """Returns the password of an endpoint with a conf.json, or the fault; warnings are in `ask.warnings`."""
    warnings: list[str] = []

    def find(conf: Any, endpoint: Endpoint = ORACLE, **options: Any) -> Any:
        text = conf if isinstance(conf, str) else json.dumps(conf)
        (folder / "process" / "conf.json").write_text(text)
        pack: Pack = Catalog.scan(folder.parents[1]).find("mp_basic")
        stated = CredentialOptions.model_validate({"sources": ["conf.json"], **options})
        with open_chain(stated, environment="prod", pack=pack, warn=warnings.append) as chain:
            found = chain.find_all([Registered(id=1, conn_id=None, endpoint=endpoint)])
        credential = found.credentials.get(endpoint.slug)
        assert SECRET not in "".join(map(str, [*warnings, *found.faults.values()]))
        return found.faults.get(endpoint.slug) or (credential and credential.password)

    find.warnings = warnings  # type: ignore[attr-defined]  # for the test to read
    return find


def entry(**parts: Any) -> dict[str, Any]:
    return {"name": "heart", "password": SECRET, **parts}


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"type": "Oracle", "host": "DB.example", "port": 1521, "user": "reader", "ssl": False},
        {"db_type": "oracle", "db_host": "db.example", "db_port": "1521", "db_user": "reader", "db_is_ssl": "false"},
    ],
)
def test_entry_that_matches_the_endpoint_is_used_with_a_warning(ask: Any, parts: dict[str, Any]) -> None:
    """In each spelling that packs use; missing parts match."""
    assert ask({"databases": [entry(**parts)]}) == SECRET
    assert "the password of heart:oracle:db.example:1521:reader:false is in" in ask.warnings[0]
    assert "metric-packs/basic/process/conf.json" in ask.warnings[0]
    assert "was not checked for write access: oracle databases are not supported" in ask.warnings[1]


@pytest.mark.parametrize("key", ["name", "database", "db_name"])
def test_database_is_named_by_any_of_three_keys(ask: Any, key: str) -> None:
    """The packs of the original use all three."""
    assert ask({"databases": [{key: "heart", "password": SECRET}, {key: "lung", "password": "other"}]}) == SECRET


@pytest.mark.parametrize(
    "parts", [{"name": "lung"}, {"type": "mysql"}, {"host": "h"}, {"port": 1}, {"user": "root"}, {"ssl": True}]
)
def test_entry_of_another_endpoint_does_not_count(ask: Any, parts: dict[str, Any]) -> None:
    """A password is sent only to its own database."""
    assert ask({"databases": [entry(**parts)]}) is None
    assert not ask.warnings


def test_entry_without_a_name_matches_nothing_and_one_without_a_password_gives_none(ask: Any) -> None:
    """The first would match every endpoint."""
    assert ask({"databases": [{"password": SECRET}, {"name": "heart"}]}) is None


def test_section_of_the_environment_overrides_the_top_level(ask: Any) -> None:
    """`dev` and `prod` in one file can have different passwords."""
    conf = {"databases": [entry(password="top")], "dev": {"databases": [entry(password="dev")]}}
    assert ask(conf) == "top"
    assert ask({**conf, "prod": {"databases": [entry()]}}) == SECRET
    assert ask({**conf, "prod": {"host": "x"}}) == "top"


def test_matching_entries_with_different_passwords_are_an_error(ask: Any) -> None:
    """It is unclear which one is meant."""
    assert ask({"databases": [entry(), entry()]}) == SECRET
    fault = ask({"databases": [entry(), entry(password="other", host="db.example")]})
    assert f"2 entries of `databases` match {ORACLE.slug}, with different passwords" in fault.what


def test_entry_without_a_password_does_not_conflict_with_one_that_has_one(ask: Any) -> None:
    """Nor does an empty key next to a set one."""
    assert ask({"databases": [{"name": "heart"}, entry(), entry(password=""), entry(password=None)]}) == SECRET
    assert ask({"databases": [{"name": "heart", "password": "", "db_password": SECRET}]}) == SECRET


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"databases": {"heart": SECRET}}, "is not a list of objects"),
        ({"databases": [SECRET]}, "is not a list of objects"),
        ({"databases": [entry(password=12345)]}, "is not text"),
        ({"databases": [entry(password=0)]}, "is not text"),
        ({"databases": [entry(password=False)]}, "is not text"),
        ({"databases": [entry(password=["a"])]}, "is not text"),
        ({"databases": [entry(password={})]}, "is not text"),
        ({"databases": [entry(), entry(password=["a"])]}, "is not text"),
    ],
)
def test_malformed_file_fails_the_endpoints_that_need_it(ask: Any, conf: Any, expected: str) -> None:
    """Earlier sources have answered for the others."""
    assert expected in ask(conf).what


@pytest.mark.parametrize("conf", [{}, [], {"prod": []}, {"databases": []}, "null", {"esHost": "elastic"}])
def test_file_without_databases_has_no_entry(ask: Any, conf: Any) -> None:
    """conf.json belongs to the pack, for any purpose."""
    assert ask(conf) is None


def test_settings_can_forbid_passwords_of_packs(ask: Any) -> None:
    """Only if one would be used: an entry for another database fails nothing."""
    fault = ask({"databases": [entry()]}, conf_json="refuse")
    assert "which the settings forbid" in fault.what
    assert "remove it from the file and its history" in fault.hint
    assert ask({"databases": [entry(name="lung")]}, conf_json="refuse") is None


# Read-only accounts --------------------------------------------------------------------------------------------------


@pytest.fixture
def account(database: Database) -> Iterator[Callable[..., Endpoint]]:
    """Makes an account of the database that may read a table, and more by the statements given."""
    user = f"reader_{uuid4().hex[:8]}"
    group = f"{user}_group"
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE visit (id int, note text); CREATE SEQUENCE number; CREATE VIEW seen AS TABLE visit"
        )
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'; CREATE ROLE {group} NOLOGIN")
        connection.execute(f"GRANT SELECT ON visit, seen TO {user}")

        def make(*statements: str) -> Endpoint:
            for statement in statements:
                connection.execute(statement.format(user=user, group=group, database=database.name))
            server = database.server
            return Endpoint(name=database.name, type="postgres", host=server.host, port=str(server.port), user=user)

        yield make
        connection.execute(f"REASSIGN OWNED BY {user}, {group} TO CURRENT_USER")
        connection.execute(f"DROP OWNED BY {user}, {group}; DROP ROLE {user}, {group}")


def test_postgresql_account_that_can_only_read_is_used(ask: Any, account: Callable[..., Endpoint]) -> None:
    """PUBLIC's right to create temporary tables does not count as a right to write."""
    endpoint = account()
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET
    assert len(ask.warnings) == 1


def test_account_is_checked_on_its_own_server_despite_the_workers_variables(
    ask: Any, account: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGHOSTADDR overrides the host: the password would be sent there."""
    monkeypatch.setenv("PGHOSTADDR", "127.255.255.254")
    monkeypatch.setenv("PGOPTIONS", "-c role=nobody")
    endpoint = account()
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER ROLE {user} SUPERUSER", "SUPERUSER"),
        ("ALTER ROLE {user} CREATEROLE", "CREATEROLE"),
        ("ALTER ROLE {user} CREATEDB", "CREATEDB"),
        ("ALTER ROLE {user} BYPASSRLS", "BYPASSRLS"),
        ("ALTER ROLE {user} REPLICATION", "REPLICATION"),
        ("GRANT INSERT ON visit TO {user}", "INSERT (public.visit)"),
        ("GRANT DELETE ON visit TO PUBLIC", "DELETE (public.visit)"),
        ("GRANT UPDATE (note) ON visit TO {user}", "UPDATE on a column (public.visit)"),
        ("GRANT TRUNCATE ON visit TO {group}; GRANT {group} TO {user}", "TRUNCATE (public.visit)"),
        (
            "ALTER ROLE {user} NOINHERIT; GRANT UPDATE ON seen TO {group}; GRANT {group} TO {user}",
            "UPDATE (public.seen)",
        ),
        ("GRANT UPDATE ON SEQUENCE number TO {user}", "UPDATE on a sequence (public.number)"),
        ("GRANT USAGE ON SEQUENCE number TO {user}", "USAGE on a sequence (public.number)"),
        ("GRANT SELECT ON visit TO {user} WITH GRANT OPTION", "GRANT OPTION (public.visit)"),
        ("GRANT SELECT (id) ON visit TO {user} WITH GRANT OPTION", "GRANT OPTION (public.visit)"),
        ("GRANT {group} TO {user} WITH ADMIN OPTION", "ADMIN OPTION (reader_"),
        ("ALTER DATABASE {database} OWNER TO {user}", "ownership of a database"),
        (
            "CREATE SCHEMA own AUTHORIZATION {user}; REVOKE ALL ON SCHEMA own FROM {user}",
            "ownership of a schema (own)",
        ),
        ("CREATE TYPE own AS ENUM ('a'); ALTER TYPE own OWNER TO {user}", "ownership of a type (public.own)"),
        (
            """CREATE FOREIGN DATA WRAPPER own; CREATE SERVER far FOREIGN DATA WRAPPER own;
            GRANT USAGE ON FOREIGN SERVER far TO {user}""",
            "USAGE on a foreign server (far)",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER own; GRANT USAGE ON FOREIGN DATA WRAPPER own TO {user}",
            "USAGE on a foreign-data wrapper (own)",
        ),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE on schema (public)"),
        ("GRANT CREATE ON DATABASE {database} TO {user}", "CREATE on database"),
        ("CREATE SCHEMA own AUTHORIZATION {user}", "CREATE on schema (own)"),
        ("GRANT pg_write_all_data TO {user}", "membership (pg_write_all_data)"),
        ("CREATE TABLE own (id int); ALTER TABLE own OWNER TO {user}; REVOKE ALL ON own FROM {user}", "ownership"),
        (
            "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION own() OWNER TO {user}",
            "ownership of a function (public.own)",
        ),
        ("SELECT lo_create(4711); GRANT UPDATE ON LARGE OBJECT 4711 TO PUBLIC", "UPDATE on a large object (4711)"),
    ],
)
def test_postgresql_account_that_can_do_more_fails_its_endpoint(
    ask: Any, account: Callable[..., Endpoint], database: Database, statement: str, expected: str
) -> None:
    """By a right of its own, of PUBLIC, or of a role that it can assume."""
    if "pg_write_all_data" in statement and database.server.version < 14:
        pytest.skip("this PostgreSQL has no such role")
    endpoint = account(statement)
    fault = ask({"databases": [entry(name=endpoint.name)]}, endpoint)
    assert isinstance(fault, HdmError)
    assert f"can do more than read {endpoint.name}: " in fault.what
    assert expected in fault.what


def test_account_that_can_change_the_servers_settings_fails_its_endpoint(
    ask: Any, account: Callable[..., Endpoint], database: Database
) -> None:
    """Permanently, by ALTER SYSTEM; this right exists since PostgreSQL 15."""
    with database.connect() as connection:
        if connection.info.server_version < 150_000:
            pytest.skip("this PostgreSQL has no rights on parameters")
    endpoint = account("GRANT ALTER SYSTEM ON PARAMETER work_mem TO {user}")
    fault = ask({"databases": [entry(name=endpoint.name)]}, endpoint)
    assert "ALTER SYSTEM (work_mem)" in fault.what


def test_password_from_the_workers_pgpass_file_is_not_sent(
    account: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That file may name the server."""
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:*:{SECRET}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with pytest.raises(psycopg.OperationalError):
        connect.postgres(account(), None)


def test_account_that_cannot_log_in_fails_its_endpoint(ask: Any, account: Callable[..., Endpoint]) -> None:
    """An account that cannot be checked is not used; the error does not quote the server."""
    endpoint = account()
    fault = ask({"databases": [entry(name=endpoint.name, password="wr0ng-w0rd")]}, endpoint)
    assert fault.what.endswith(f"can only read {endpoint.name}: OperationalError")
    assert psycopg.OperationalError.__name__ in fault.what
    assert "wr0ng-w0rd" not in str(fault)


@pytest.fixture
def mysql_account(mariadb: MariaDB, mariadb_database: str) -> Iterator[Callable[..., Endpoint]]:
    """The same on MariaDB."""
    user = f"reader_{uuid4().hex[:8]}"
    role = f"{user}_role"
    with closing(mariadb.connect(mariadb_database, autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE visit (id int)")
        cursor.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{SECRET}'")
        cursor.execute(f"CREATE ROLE {role}, {role}_inner")
        cursor.execute(f"GRANT SELECT, SHOW VIEW, LOCK TABLES ON `{mariadb_database}`.* TO '{user}'@'%'")

        def make(*statements: str) -> Endpoint:
            for statement in statements:
                names = {"user": f"'{user}'@'%'", "role": role, "inner": f"{role}_inner", "database": mariadb_database}
                cursor.execute(statement.format(**names))
            port = str(mariadb.port)
            return Endpoint(name=mariadb_database, type="mariadb", host=mariadb.host, port=port, user=user)

        yield make
        cursor.execute(f"DROP USER '{user}'@'%'")
        cursor.execute(f"DROP ROLE {role}, {role}_inner")


def test_mysql_account_that_can_only_read_is_used(ask: Any, mysql_account: Callable[..., Endpoint]) -> None:
    """Also if it reads through a role."""
    endpoint = mysql_account("GRANT SELECT ON `{database}`.* TO {role}", "GRANT {role} TO {user}")
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["GRANT INSERT ON `{database}`.visit TO {user}"], "INSERT on `{database}`.`visit`"),
        (["GRANT ALL ON *.* TO {user}"], "ALL PRIVILEGES on *.*"),
        (["GRANT UPDATE (id) ON `{database}`.visit TO {user}"], "UPDATE on `{database}`.`visit`"),
        (["GRANT FILE ON *.* TO {user}"], "FILE on *.*"),
        (["GRANT SELECT ON `{database}`.* TO {user} WITH GRANT OPTION"], "GRANT OPTION on"),
        (["GRANT DELETE ON `{database}`.* TO {role}", "GRANT {role} TO {user}"], "DELETE on `{database}`.*"),
        (
            ["GRANT DROP ON `{database}`.* TO {inner}", "GRANT {inner} TO {role}", "GRANT {role} TO {user}"],
            "DROP on `{database}`.*",
        ),
    ],
)
def test_mysql_account_that_can_do_more_fails_its_endpoint(
    ask: Any, mysql_account: Callable[..., Endpoint], statements: list[str], expected: str
) -> None:
    """Also through a role that is not active."""
    endpoint = mysql_account(*statements)
    fault = ask({"databases": [entry(name=endpoint.name)]}, endpoint)
    assert isinstance(fault, HdmError)
    assert expected.format(database=endpoint.name) in fault.what


def test_mysql_password_is_sent_as_the_server_keeps_it(ask: Any, mysql_account: Callable[..., Endpoint]) -> None:
    """In UTF-8: for characters beyond ASCII, PyMySQL's own Latin-1 would be another password."""
    for password in ("grüße-1", "pass€word"):
        endpoint = mysql_account(f"ALTER USER {{user}} IDENTIFIED BY '{password}'")
        assert ask({"databases": [entry(name=endpoint.name, password=password)]}, endpoint) == password


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_mysql_password_is_not_sent_in_clear_text_without_tls(ask: Any, plugin: bytes) -> None:
    """Another server in its place could ask for it."""
    received: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(10)
            capabilities = (0x000A_8200).to_bytes(4, "little")  # protocol 4.1, secure connection, plugins
            head = b"\x0a8.0.0\0" + bytes(4) + b"12345678\0" + capabilities[:2] + b"\x21\x02\0" + capabilities[2:]
            greeting = head + b"\x15" + bytes(10) + b"123456789012\0mysql_native_password\0"
            peer.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            received.append(peer.recv(4096))
            switch = b"\xfe" + plugin + b"\0" + (b"\x05Password: " if plugin == b"dialog" else b"")
            peer.sendall(len(switch).to_bytes(3, "little") + b"\x02" + switch)
            received.append(peer.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        port = str(listening.getsockname()[1])
        endpoint = Endpoint(name="heart", type="mysql", host="127.0.0.1", port=port, user="reader")
        fault = ask({"databases": [entry()]}, endpoint)
        server.join()
    assert "the server asks for the password in clear text over a connection without TLS" in fault.what
    assert received[0]
    assert SECRET.encode() not in b"".join(received)


def test_server_that_does_not_answer_is_waited_for_once(
    folder: Path, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other databases do not wait again; other servers are asked as usual."""
    monkeypatch.setattr(connect, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        port = str(silent.getsockname()[1])
        databases = [
            Endpoint(name=f"e{n}", type="mysql", host="127.0.0.1", port=port, user="reader") for n in range(48)
        ]
        ask({"databases": [{"name": one.name, "password": SECRET} for one in (*databases, ORACLE)]})
        pack = Catalog.scan(folder.parents[1]).find("mp_basic")
        stated = CredentialOptions.model_validate({"sources": ["conf.json"]})
        checks: list[str] = []
        original = read_only.check
        monkeypatch.setattr(read_only, "check", lambda *args: checks.append(args[0].name) or original(*args))
        with open_chain(stated, environment="prod", pack=pack, warn=print) as chain:
            found = chain.find_all([Registered(id=1, conn_id=None, endpoint=one) for one in (*databases, ORACLE)])
    assert len(found.faults) == 48
    assert {error.what for error in found.faults.values()} == {
        f"cannot check the rights of accounts: 127.0.0.1:{port} did not answer within 0.5 s"
    }
    assert ORACLE.slug in found.credentials
    assert len(checks) <= 16


def test_mysql_account_cannot_be_checked_without_the_driver(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not used; the hint says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    fault = ask({"databases": [entry()]}, Endpoint(name="heart", type="mysql", host="h", user="reader"))
    assert "PyMySQL is not installed" in fault.what
    assert "install PyMySQL" in fault.hint
