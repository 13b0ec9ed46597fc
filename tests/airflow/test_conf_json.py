"""Passwords from a pack's conf.json: matched, warned about, refused, and only of accounts that can only read."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from hdm_airflow.base.endpoints import Endpoint, Registered
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
    """The password of an endpoint with a conf.json, or the fault; warnings in `ask.told`."""
    told: list[str] = []

    def find(conf: Any, endpoint: Endpoint = ORACLE, **options: Any) -> Any:
        text = conf if isinstance(conf, str) else json.dumps(conf)
        (folder / "process" / "conf.json").write_text(text)
        pack: Pack = Catalog.scan(folder.parents[1]).find("mp_basic")
        stated = CredentialOptions.model_validate({"sources": ["conf.json"], **options})
        with open_chain(stated, environment="prod", pack=pack, warn=told.append) as chain:
            found = chain.find_all([Registered(id=1, conn_id=None, endpoint=endpoint)])
        credential = found.credentials.get(endpoint.slug)
        assert SECRET not in "".join(map(str, [*told, *found.faults.values()]))
        return found.faults.get(endpoint.slug) or (credential and credential.password)

    find.told = told  # type: ignore[attr-defined]
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
def test_entry_whose_parts_are_the_endpoints_is_used_with_a_warning(ask: Any, parts: dict[str, Any]) -> None:
    """In each spelling in the wild; parts that are left out match."""
    assert ask({"databases": [entry(**parts)]}) == SECRET
    assert "the password of heart:oracle:db.example:1521:reader:false stands in" in ask.told[0]
    assert "metric-packs/basic/process/conf.json" in ask.told[0]
    assert "it is not checked" in ask.told[1]


@pytest.mark.parametrize("key", ["name", "database", "db_name"])
def test_database_is_named_by_any_of_three_keys(ask: Any, key: str) -> None:
    """As the packs of the original have them."""
    assert ask({"databases": [{key: "heart", "password": SECRET}, {key: "lung", "password": "other"}]}) == SECRET


@pytest.mark.parametrize(
    "parts", [{"name": "lung"}, {"type": "mysql"}, {"host": "h"}, {"port": 1}, {"user": "root"}, {"ssl": True}]
)
def test_entry_of_another_endpoint_is_no_entry(ask: Any, parts: dict[str, Any]) -> None:
    """A password goes where it belongs and nowhere else."""
    assert ask({"databases": [entry(**parts)]}) is None
    assert not ask.told


def test_entry_without_a_name_matches_nothing_and_one_without_a_password_gives_none(ask: Any) -> None:
    """The first would match every endpoint."""
    assert ask({"databases": [{"password": SECRET}, {"name": "heart"}]}) is None


def test_section_of_the_environment_counts_before_the_top(ask: Any) -> None:
    """`dev` and `prod` of one file have different passwords."""
    conf = {"databases": [entry(password="top")], "dev": {"databases": [entry(password="dev")]}}
    assert ask(conf) == "top"
    assert ask({**conf, "prod": {"databases": [entry()]}}) == SECRET
    assert ask({**conf, "prod": {"host": "x"}}) == "top"


def test_several_entries_that_match_are_an_error_where_their_passwords_differ(ask: Any) -> None:
    """Nobody knows which one is meant."""
    assert ask({"databases": [entry(), entry()]}) == SECRET
    fault = ask({"databases": [entry(), entry(password="other", host="db.example")]})
    assert "2 entries of `databases` match, with different passwords" in fault.what


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"databases": {"heart": SECRET}}, "is not a list of objects"),
        ({"databases": [SECRET]}, "is not a list of objects"),
        ({"databases": [entry(password=12345)]}, "is no text"),
    ],
)
def test_malformed_file_fails_the_endpoints_that_come_to_it(ask: Any, conf: Any, told: str) -> None:
    """The others have had their password before."""
    assert told in ask(conf).what


@pytest.mark.parametrize("conf", [{}, [], {"prod": []}, {"databases": []}, "null", {"esHost": "elastic"}])
def test_file_without_databases_has_no_entry(ask: Any, conf: Any) -> None:
    """conf.json is the pack's, for whatever it needs."""
    assert ask(conf) is None


def test_settings_can_refuse_passwords_of_packs(ask: Any) -> None:
    """Only where one would be used: an entry for another database fails nothing."""
    fault = ask({"databases": [entry()]}, conf_json="refuse")
    assert "which the settings refuse" in fault.what
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
        connection.execute(f"DROP OWNED BY {user}, {group}; DROP ROLE {user}, {group}")


def test_postgresql_account_that_can_only_read_is_used(ask: Any, account: Callable[..., Endpoint]) -> None:
    """PUBLIC's right to make temporary tables is no right to write."""
    endpoint = account()
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET
    assert len(ask.told) == 1


def test_account_is_checked_on_its_own_server_whatever_the_workers_variables_say(
    ask: Any, account: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGHOSTADDR goes before the host: the password would be sent there."""
    monkeypatch.setenv("PGHOSTADDR", "127.255.255.254")
    monkeypatch.setenv("PGOPTIONS", "-c role=nobody")
    endpoint = account()
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER ROLE {user} SUPERUSER", "SUPERUSER"),
        ("ALTER ROLE {user} CREATEROLE", "CREATEROLE"),
        ("ALTER ROLE {user} CREATEDB", "CREATEDB"),
        ("ALTER ROLE {user} BYPASSRLS", "BYPASSRLS"),
        ("ALTER ROLE {user} REPLICATION", "REPLICATION"),
        ("GRANT INSERT ON visit TO {user}", "INSERT (public.visit)"),
        ("GRANT DELETE ON visit TO PUBLIC", "DELETE (public.visit)"),
        ("GRANT UPDATE (note) ON visit TO {user}", "UPDATE of a column (public.visit)"),
        ("GRANT TRUNCATE ON visit TO {group}; GRANT {group} TO {user}", "TRUNCATE (public.visit)"),
        (
            "ALTER ROLE {user} NOINHERIT; GRANT UPDATE ON seen TO {group}; GRANT {group} TO {user}",
            "UPDATE (public.seen)",
        ),
        ("GRANT UPDATE ON SEQUENCE number TO {user}", "UPDATE of a sequence (public.number)"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE on schema (public)"),
        ("GRANT CREATE ON DATABASE {database} TO {user}", "CREATE on database"),
        ("CREATE SCHEMA own AUTHORIZATION {user}", "CREATE on schema (own)"),
        ("GRANT pg_write_all_data TO {user}", "membership (pg_write_all_data)"),
        ("CREATE TABLE own (id int); ALTER TABLE own OWNER TO {user}; REVOKE ALL ON own FROM {user}", "ownership"),
        (
            "CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION own() OWNER TO {user}",
            "ownership of a function (public.own)",
        ),
        ("SELECT lo_create(4711); GRANT UPDATE ON LARGE OBJECT 4711 TO PUBLIC", "UPDATE of a large object (4711)"),
    ],
)
def test_postgresql_account_that_can_do_more_fails_its_endpoint(
    ask: Any, account: Callable[..., Endpoint], statement: str, told: str
) -> None:
    """By a right of its own, of everybody, or of a role that it can become."""
    endpoint = account(statement)
    fault = ask({"databases": [entry(name=endpoint.name)]}, endpoint)
    assert isinstance(fault, HdmError)
    assert f"can do more than read {endpoint.name}: " in fault.what
    assert told in fault.what


def test_account_that_cannot_log_in_fails_its_endpoint(ask: Any, account: Callable[..., Endpoint]) -> None:
    """What cannot be checked is not used; the server's words are left out."""
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
    """Also where it reads by a role."""
    endpoint = mysql_account("GRANT SELECT ON `{database}`.* TO {role}", "GRANT {role} TO {user}")
    assert ask({"databases": [entry(name=endpoint.name)]}, endpoint) == SECRET


@pytest.mark.parametrize(
    ("statements", "told"),
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
    ask: Any, mysql_account: Callable[..., Endpoint], statements: list[str], told: str
) -> None:
    """Also by a role that is not active."""
    endpoint = mysql_account(*statements)
    fault = ask({"databases": [entry(name=endpoint.name)]}, endpoint)
    assert isinstance(fault, HdmError)
    assert told.format(database=endpoint.name) in fault.what


def test_mysql_account_cannot_be_checked_without_the_driver(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not used then; the hint says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    fault = ask({"databases": [entry()]}, Endpoint(name="heart", type="mysql", host="h", user="reader"))
    assert "PyMySQL is not installed" in fault.what
    assert "install PyMySQL" in fault.hint
