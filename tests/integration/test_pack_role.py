"""The packs' own role: what a grant gives and refuses, and that PostgreSQL refuses every forbidden statement."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql

from demo.services import Database
from hdm_airflow.base import migrate, runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.role import foreign_code, rights
from hdm_airflow.base.role.grant import grant_rights
from hdm_airflow.base.role.grantee import Grantee
from hdm_airflow.base.role.search_path import unambiguous_names
from hdm_airflow.errors import ConfigurationError, HdmBaseError, HdmError
from tests.integration.test_ledger import FIRST

SCHEMA = Path(__file__).parents[2] / "hdm_airflow" / "base" / "schema.sql"
PROTECTED = [name for name in rights.TABLES if name not in (*rights.WRITE, *rights.APPEND)]
VIEWS = {"hdm_endpoint", "hdm_activation", "hdm_configuration", "hdm_whole"}
PLAIN_TABLES = [name for name in PROTECTED if name not in VIEWS]


@pytest.fixture
def session(base):
    """The owner's session; on this server, the owner is a superuser."""
    with HdmHook().session() as connection:
        yield connection


@contextmanager
def roles(base):
    """Make roles, and drop them at the end: they belong to the server, not to the database."""
    made = []

    def make(options="LOGIN PASSWORD 'secret'", prefix="packs"):
        name = f"{prefix}_{uuid4().hex[:8]}"
        with base.connect(autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), sql.SQL(options)))
        made.append(name)
        return name

    yield make
    base.server.drop_database(base.name)
    with Database(base.server, "postgres").connect(autocommit=True) as connection:
        for name in reversed(made):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def make_role(base):
    """Make roles."""
    with roles(base) as make:
        yield make


@pytest.fixture
def role(make_role):
    """A role as an administrator creates it."""
    return make_role()


def connect(base, role):
    """Open a session of the role, in autocommit mode."""
    server = base.server
    login = {"host": server.host, "port": server.port, "dbname": base.name, "user": role, "password": "secret"}
    return psycopg.connect(**login, autocommit=True)


@pytest.fixture(scope="module")
def granted(postgres, base_template):
    """A base with a role after the grant, for all tests that change nothing: all their statements are refused."""
    shared = postgres.create_database(f"hdm_{uuid4().hex}", template=base_template.name)
    with roles(shared) as make:
        role = make()
        with shared.connect(autocommit=True, row_factory=psycopg.rows.dict_row) as owner:
            grant_rights(owner, role, actor="test")
            yield SimpleNamespace(base=shared, role=role, owner=owner)


@pytest.fixture
def refused(granted):
    """The role's session on that base."""
    with connect(granted.base, granted.role) as connection:
        yield connection


@pytest.fixture
def packs(session, base, role):
    """The role's session after the grant, on the base of this test."""
    grant_rights(session, role, actor="test")
    with connect(base, role) as connection:
        yield connection


@contextmanager
def grantee(session, role):
    with unambiguous_names(session) as schema:
        yield Grantee(base=session, schema=schema, role=role)


def excess(session, role):
    with grantee(session, role) as found:
        return rights.excess(found)


def lacking(session, role):
    with grantee(session, role) as found:
        return rights.lacking(found)


def shadowed(session, role):
    with grantee(session, role) as found:
        return rights.shadowed(found)


def audit(session):
    return [tuple(row.values()) for row in session.execute("SELECT action, object, old, new FROM hdm_audit")]


def test_every_table_of_the_base_has_a_list_of_rights(session):
    """At best, packs could not use a new table that is missing here."""
    made = set(re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)", SCHEMA.read_text(), re.MULTILINE))
    assert made | {"hdm_alembic_version"} == set(rights.TABLES)
    assert len(set(rights.TABLES)) == len(rights.TABLES)


# What the role may not do --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", PROTECTED)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO public.{} DEFAULT VALUES",
        "DELETE FROM public.{}",
        "TRUNCATE public.{}",
        "COPY public.{} FROM STDIN",
        "ALTER TABLE public.{} OWNER TO CURRENT_USER",
        "ALTER TABLE public.{} RENAME TO stolen",
        "CREATE RULE r AS ON INSERT TO public.{} DO INSTEAD NOTHING",
        "COMMENT ON TABLE public.{} IS 'mine'",
    ],
)
def test_role_changes_no_protected_table(refused, statement, table):
    """Not endpoints, activation, configuration or ledger, and not through the views on them."""
    with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState, errors.WrongObjectType)):
        refused.execute(sql.SQL(statement).format(sql.Identifier(table)))


@pytest.mark.parametrize("table", PLAIN_TABLES)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE public.{table} SET {column} = DEFAULT",
        "SELECT * FROM public.{table} FOR UPDATE",
        "BEGIN; LOCK TABLE public.{table} IN ACCESS EXCLUSIVE MODE",
        "DROP TABLE public.{table}",
        "ALTER TABLE public.{table} ADD mine text",
        "ALTER TABLE public.{table} DISABLE TRIGGER ALL",
        "ALTER TABLE public.{table} ENABLE ROW LEVEL SECURITY",
        "CREATE INDEX mine ON public.{table} ({column})",
        "CREATE TABLE child () INHERITS (public.{table})",
        "CREATE TRIGGER t AFTER INSERT ON public.{table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE POLICY p ON public.{table}",
    ],
)
def test_role_neither_alters_nor_blocks_a_protected_table(refused, granted, statement, table):
    """It also cannot attach code that the owner would run."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1"
    column = sql.Identifier(granted.owner.execute(query, [table]).fetchone()["attname"])
    with pytest.raises(errors.InsufficientPrivilege):
        refused.execute(sql.SQL(statement).format(table=sql.Identifier(table), column=column))


@pytest.mark.parametrize("table", rights.DENIED)
def test_role_does_not_read_tables_that_it_does_not_need(refused, table):
    """The audit trail holds every value that a configuration ever had."""
    with pytest.raises(errors.InsufficientPrivilege):
        refused.execute(sql.SQL("SELECT FROM public.{}").format(sql.Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$",
        "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        "CREATE TABLE public.hdm_core_mail_list ()",
        "CREATE VIEW public.v AS SELECT 1",
        "CREATE SCHEMA other",
        "CREATE SCHEMA hdm",
        "SET ROLE hdm",
        "SET SESSION AUTHORIZATION hdm",
        "CREATE ROLE friend",
        "ALTER SCHEMA public RENAME TO mine",
        "DROP SCHEMA public CASCADE",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/mine'",
        "ALTER SYSTEM SET fsync = off",
        "SELECT * FROM public.hdm_pack",
        "INSERT INTO public.hdm_pack (kind, name, version, sha256) VALUES ('metric', 'basic', '1', '')",
        "UPDATE public.hdm_pack SET config_schema = NULL",
        "DELETE FROM public.hdm_pack",
        "UPDATE public.hdm_pack_schema SET sha256 = ''",
        "DELETE FROM public.hdm_pack_schema",
        "TRUNCATE public.hdm_pack_schema",
        "TRUNCATE public.hdm_alerts",
        "DROP TABLE public.hdm_alerts",
        "ALTER TABLE public.hdm_alerts ADD mine text",
        "CREATE TRIGGER t AFTER INSERT ON public.hdm_alerts EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TABLE child (endpoint text REFERENCES public.hdm_core_table_corr_db_mp (db_key))",
    ],
)
def test_role_plants_no_code_and_becomes_no_other_role(refused, statement):
    """The owner would run a function in the base's schema with its rights (CVE-2018-1058)."""
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidForeignKey)):
        refused.execute(statement)


def test_role_cannot_end_the_session_that_holds_the_locks(refused, granted):
    """The lock would be released, and a second attempt could start."""
    with pytest.raises(errors.InsufficientPrivilege):
        refused.execute("SELECT pg_terminate_backend(%s)", [granted.owner.info.backend_pid])


def test_role_gives_nothing_away(refused, granted):
    """PostgreSQL only warns of a GRANT without the right to grant."""
    for table in rights.TABLES:
        with suppress(errors.InsufficientPrivilege):
            refused.execute(sql.SQL("GRANT ALL ON public.{} TO PUBLIC").format(sql.Identifier(table)))
    assert excess(granted.owner, granted.role) == []


# What the role may do ------------------------------------------------------------------------------------------------


def test_role_reads_what_packs_query_and_writes_its_own(packs):
    """Its own tables go into its own schema, alerts into the base's table."""
    for table in rights.READ:
        packs.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(table)))
    packs.execute("CREATE TABLE mine (n int); INSERT INTO mine VALUES (1); ALTER TABLE mine ADD x int")
    found = packs.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'mine'").fetchall()
    assert found == [(packs.info.user,)]
    packs.execute("INSERT INTO hdm_alerts (rule_pack, endpoint) VALUES ('basic', 'a')")
    packs.execute("UPDATE hdm_alerts SET alert_level = 'High'")
    assert packs.execute("SELECT alert_level FROM hdm_alerts").fetchall() == [("High",)]
    packs.execute("DELETE FROM hdm_alerts")
    packs.execute("CREATE TEMP TABLE passing ()")


def test_owner_does_not_find_objects_of_packs_with_the_name_of_its_own(packs, session):
    """A table or a function of packs never shadows the owner's."""
    packs.execute("CREATE TABLE hdm_pack_run (fake int)")
    packs.execute("CREATE FUNCTION clock_timestamp() RETURNS text LANGUAGE sql AS $$SELECT 'fake'$$")
    found = session.execute("SELECT to_regclass('hdm_pack_run') = 'public.hdm_pack_run'::regclass AS own").fetchone()
    assert found["own"]
    assert session.execute("SELECT pg_typeof(clock_timestamp())::text AS type").fetchone()["type"] != "text"


# The grant -----------------------------------------------------------------------------------------------------------


def test_grant_repeated_changes_nothing_and_is_audited_once(session, role):
    """The audit trail has the rights before and after."""
    session.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # PostgreSQL 13 and 14 grant it to everybody
    assert grant_rights(session, role, actor="ann").changed
    (entry,) = audit(session)
    assert entry[:2] == ("grant", f"role {role}")
    assert entry[2] == {"rights": []}
    assert "SELECT on hdm_activation" in entry[3]["rights"]
    assert f"CREATE on schema {role}" in entry[3]["rights"]
    assert not grant_rights(session, role, actor="ann").changed
    assert len(audit(session)) == 1
    assert excess(session, role) == []
    assert lacking(session, role) == []


def test_grant_revokes_rights_in_excess(session, role):
    """Rights granted by hand, for example, and the right that PostgreSQL 13 gives to PUBLIC."""
    name = sql.Identifier(role)
    session.execute(sql.SQL("GRANT ALL ON hdm_pack_run, hdm_audit TO {}").format(name))
    session.execute(sql.SQL("GRANT UPDATE (pack_config) ON hdm_pack_metric_conf TO {}").format(name))
    session.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(name))
    session.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    found = excess(session, role)
    assert {"CREATE on schema public", "SELECT on hdm_audit", "UPDATE on hdm_pack_metric_conf"} <= {*found}
    grant_rights(session, role, actor="ann")
    assert excess(session, role) == []


def test_grant_that_cannot_revoke_a_right_is_rolled_back(session, role):
    """Only an administrator should change the rights of PUBLIC."""
    session.execute("GRANT INSERT ON hdm_pack_run TO PUBLIC")
    with pytest.raises(HdmBaseError, match="would still have: INSERT on hdm_pack_run"):
        grant_rights(session, role, actor="ann")
    assert "SELECT on hdm_activation" in lacking(session, role)
    assert audit(session) == []


def test_right_of_a_role_that_it_can_become_counts_as_its_own(session, make_role):
    """With NOINHERIT the role only has to run SET ROLE first."""
    writer = make_role("NOLOGIN", prefix="writer")
    role = make_role(f"LOGIN NOINHERIT IN ROLE {writer}")
    session.execute(sql.SQL("GRANT UPDATE ON hdm_pack_run TO {}").format(sql.Identifier(writer)))
    with pytest.raises(HdmBaseError, match="would still have: UPDATE on hdm_pack_run"):
        grant_rights(session, role, actor="ann")
    session.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(writer)))


def test_numbers_of_the_ledger_are_out_of_reach(session, base, role):
    """The row with the highest id counts: a role that can reset the sequence could decide which row that is."""
    session.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role)))
    assert "UPDATE on hdm_pack_run_id_seq" in excess(session, role)
    grant_rights(session, role, actor="ann")
    assert excess(session, role) == []
    with connect(base, role) as packs, pytest.raises(errors.InsufficientPrivilege):
        packs.execute("SELECT setval('public.hdm_pack_run_id_seq', 1)")


def test_right_to_lock_a_table_is_in_excess(session, role):
    """In PostgreSQL 17 its name is MAINTAIN."""
    if session.info.server_version < 170000:
        pytest.skip("this server has no such right")
    session.execute("GRANT MAINTAIN ON hdm_pack_run TO PUBLIC")
    assert excess(session, role) == ["MAINTAIN on hdm_pack_run"]


def test_table_of_packs_that_hides_one_of_the_base_is_named(packs, session):
    """Every pack would write its alerts there, and they would not be found."""
    role = packs.info.user
    assert shadowed(session, role) == []
    packs.execute("CREATE TABLE IF NOT EXISTS hdm_alerts (LIKE public.hdm_alerts)")
    assert shadowed(session, role) == ["hdm_alerts"]


@pytest.mark.parametrize(
    ("options", "power"),
    [
        ("LOGIN SUPERUSER", "is a superuser"),
        ("LOGIN CREATEROLE", "CREATEROLE"),
        ("LOGIN REPLICATION", "REPLICATION"),
        ("LOGIN IN ROLE hdm", "is a member of the role hdm"),
        ("LOGIN NOINHERIT IN ROLE hdm", "is a member of the role hdm"),
        ("LOGIN IN ROLE pg_write_all_data", "is a member of the role pg_write_all_data"),
        ("LOGIN IN ROLE pg_execute_server_program", "is a member of the role pg_execute_server_program"),
        ("NOLOGIN", "cannot log in"),
    ],
)
def test_role_that_is_too_powerful_or_cannot_log_in_is_refused(session, make_role, options, power):
    """No GRANT or REVOKE can limit it."""
    if "pg_write_all_data" in options and session.info.server_version < 140000:
        pytest.skip("this PostgreSQL has no such role")
    role = make_role(options)
    with pytest.raises(ConfigurationError, match=re.escape(power)):
        grant_rights(session, role, actor="ann")
    assert audit(session) == []


def test_owner_is_refused_and_the_error_of_a_missing_role_has_its_statement(session):
    """The hint is enough to continue."""
    with pytest.raises(ConfigurationError, match="too powerful"):
        grant_rights(session, "hdm", actor="ann")
    with pytest.raises(ConfigurationError, match="there is no role") as failure:
        grant_rights(session, 'no "such"', actor="ann")
    assert 'CREATE ROLE "no ""such""" LOGIN' in failure.value.hint


def test_tables_that_packs_made_as_the_owner_are_handed_over_with_their_rows(session, base, role):
    """Only the named tables: the database may hold other tables, and the result names those that remain."""
    session.execute("CREATE TABLE metric_old (id int GENERATED ALWAYS AS IDENTITY, n int)")
    session.execute("CREATE TABLE others (n int); INSERT INTO metric_old (n) VALUES (1), (2)")
    done = grant_rights(session, role, move=["metric_old"], actor="ann")
    assert (done.moved, done.remaining) == (("metric_old",), ("others",))
    with connect(base, role) as packs:
        assert packs.execute("SELECT sum(n) FROM metric_old").fetchone() == (3,)
        packs.execute("INSERT INTO metric_old (n) VALUES (3)")
        packs.execute("ALTER TABLE metric_old ADD more text")
        with pytest.raises(errors.InsufficientPrivilege):
            packs.execute("SELECT FROM others")
    assert audit(session)[0][3]["moved"] == ["metric_old"]
    assert grant_rights(session, role, move=["metric_old"], actor="ann").moved == ()


def test_views_of_packs_are_handed_over_and_run_with_the_rights_of_the_role(session, base, role):
    """A pack's view on its tables, and a view on a table that the role may not read."""
    session.execute("CREATE TABLE metric_old (n int); INSERT INTO metric_old VALUES (1)")
    session.execute("CREATE VIEW metric_trend AS SELECT n FROM metric_old; CREATE VIEW peep AS SELECT * FROM hdm_audit")
    grant_rights(session, role, move=["metric_old", "metric_trend", "peep"], actor="ann")
    with connect(base, role) as packs:
        assert packs.execute("SELECT n FROM metric_trend").fetchall() == [(1,)]
        packs.execute("CREATE OR REPLACE VIEW metric_trend AS SELECT n, 2 AS more FROM metric_old")
        with pytest.raises(errors.InsufficientPrivilege):
            packs.execute("SELECT FROM peep")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("hdm_alerts", "is a table of the base itself"),
        ("nowhere", "there is no table 'nowhere'"),
        ("seen", "is not a table or view"),
        ("twice", "also has a table .twice.: packs have created it again"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_and_nothing_is_done(session, role, name, fault):
    """One wrong name rolls back the others."""
    schema = sql.Identifier(role)
    session.execute("CREATE MATERIALIZED VIEW seen AS SELECT 1; CREATE TABLE twice (); CREATE TABLE good ()")
    session.execute(sql.SQL("CREATE SCHEMA {0}; CREATE TABLE {0}.twice ()").format(schema))
    with pytest.raises(ConfigurationError, match=fault):
        grant_rights(session, role, move=["good", name], actor="ann")
    assert session.execute("SELECT to_regclass('public.good') AS here").fetchone()["here"] == "good"
    assert audit(session) == []


def test_owner_without_further_rights_can_grant(base, make_role):
    """At most sites the base's owner is not a superuser: the error has the statement that an administrator must run."""
    owner, role = make_role(prefix="owner"), make_role()
    with base.connect(autocommit=True) as admin:
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as PostgreSQL 15 and later have it
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (base.name, owner))))
        for name in rights.TABLES:
            admin.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(*map(sql.Identifier, (name, owner))))
        admin.execute(sql.SQL("CREATE TABLE old (); ALTER TABLE old OWNER TO {}").format(sql.Identifier(owner)))
        with connect(base, owner) as connection:
            connection.row_factory = psycopg.rows.dict_row
            with pytest.raises(ConfigurationError, match="only a member of") as failure:
                grant_rights(connection, role, move=["old"], actor="ann")
            assert failure.value.hint.endswith(f'GRANT "{role}" TO "{owner}"')
            admin.execute(failure.value.hint.partition(": ")[2])
            assert grant_rights(connection, role, move=["old"], actor="ann").moved == ("old",)
            assert excess(connection, role) == []
    with connect(base, role) as packs:
        packs.execute("ALTER TABLE old ADD n int; CREATE TABLE mine (); SELECT FROM hdm_activation")


def test_owner_who_does_not_own_the_schema_gets_the_statement_for_an_administrator(base, make_role):
    """On PostgreSQL 13 and 14 PUBLIC may create in `public`, which belongs to a superuser."""
    owner, role = make_role(prefix="owner"), make_role()
    with base.connect(autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO hdm; GRANT CREATE ON SCHEMA public TO PUBLIC")
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*map(sql.Identifier, (base.name, owner))))
        for name in rights.TABLES:
            admin.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(*map(sql.Identifier, (name, owner))))
        with connect(base, owner) as connection:
            connection.row_factory = psycopg.rows.dict_row
            with pytest.raises(HdmError) as failure:
                grant_rights(connection, role, actor="ann")
            admin.execute(failure.value.hint.partition(": ")[2])
            grant_rights(connection, role, actor="ann")
    with connect(base, role) as packs, pytest.raises(errors.InsufficientPrivilege):
        packs.execute("CREATE TABLE public.mine ()")


def test_schema_of_that_name_with_another_owner_is_refused(session, role, make_role):
    """Packs would create their tables among those of another role."""
    stranger = make_role(prefix="stranger")
    statement = "CREATE SCHEMA {} AUTHORIZATION {}"
    session.execute(sql.SQL(statement).format(sql.Identifier(role), sql.Identifier(stranger)))
    with pytest.raises(ConfigurationError, match="already exists and belongs to"):
        grant_rights(session, role, actor="ann")


# Code that the owner would run ---------------------------------------------------------------------------------------

#: Matches our calls better than PostgreSQL's own, which takes a bigint; the role {} may run it without effect.
STEAL = """
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> {} THEN
        INSERT INTO hdm_core_table_corr_db_mp VALUES ('planted', current_user);
    END IF;
    RETURN pg_catalog.hashtextextended($1, $2::bigint);
END $$
"""
OPERATOR = """
CREATE FUNCTION pg_temp.same(name, varchar) RETURNS boolean LANGUAGE sql AS $$SELECT {} <> ''$$;
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = varchar, FUNCTION = pg_temp.same)
"""
TYPE = "CREATE DOMAIN public.ledger AS text DEFAULT {}"


@contextmanager
def plant(base, role, statement=STEAL):
    """Run it as the role, and keep the session open for the block."""
    with connect(base, role) as packs:
        packs.execute(sql.SQL(statement).format(sql.Literal(role)))
        yield


def was_run(session):
    return session.execute("SELECT * FROM hdm_core_table_corr_db_mp").fetchall() != []


@pytest.fixture
def own_schema(postgres, monkeypatch):
    """A base in the schema `hdm`, which its owner searches first; PUBLIC may create in `public`, which comes second."""
    database = postgres.create_database(f"hdm_{uuid4().hex}")
    with database.connect(autocommit=True) as connection:
        connection.execute("CREATE SCHEMA hdm; GRANT CREATE ON SCHEMA public TO PUBLIC")
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    migrate.upgrade(HdmHook())
    with roles(database) as make:
        yield SimpleNamespace(base=database, role=make())


def test_other_schemas_in_the_search_path_of_the_owner_are_closed_too(own_schema):
    """On PostgreSQL 13, for example, PUBLIC may create in `public`, even if the base is elsewhere."""
    role = own_schema.role
    with HdmHook().session() as session:
        assert grant_rights(session, role, actor="ann").schema == "hdm"
        assert audit(session)[0][2] == {"rights": ["CREATE on schema public for PUBLIC"]}
        with pytest.raises(errors.InsufficientPrivilege), plant(own_schema.base, role):
            pass
        session.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(role)))
        assert excess(session, role) == ["CREATE on schema public"]
        grant_rights(session, role, actor="ann")
        assert excess(session, role) == []


def test_our_sessions_search_names_only_in_the_schema_of_the_base(own_schema):
    """A function in another schema never runs, whoever may create there. An upgrade does not run it either."""
    with plant(own_schema.base, own_schema.role):
        migrate.upgrade(HdmHook())
        with HdmHook().session() as session:
            assert runs.try_lock(session, FIRST)
            assert not was_run(session)
        with HdmHook().session(pinned=False) as session:
            runs.try_lock(session, FIRST)
            assert was_run(session)


def test_owner_who_searches_the_schema_of_the_packs_gets_an_error(session, base, role, monkeypatch):
    """It is convenient for reading metrics, but code of packs there might run with the owner's rights."""
    grant_rights(session, role, actor="ann")
    monkeypatch.setenv("AIRFLOW_CONN_HDM", f"{base.dsn}?options=-csearch_path%3Dpublic,{role}")
    with HdmHook().session() as both:
        assert excess(both, role) == [f"CREATE on schema {role}"]
        with pytest.raises(HdmBaseError, match=f"would still have: CREATE on schema {role}") as failure:
            grant_rights(both, role, actor="ann")
    assert failure.value.hint.endswith('the connection to: "public"')


@pytest.mark.parametrize(
    ("statement", "what", "remedy"),
    [
        (STEAL, "function public.hashtextextended(text,integer)", "DROP ROUTINE public.hashtextextended(text,integer)"),
        (OPERATOR, "operator public.=(name,character varying)", "DROP OPERATOR public.=(name,character varying)"),
        (TYPE, "type public.ledger", "DROP TYPE public.ledger"),
    ],
)
def test_code_that_others_have_planted_is_refused_before_it_runs(session, base, role, statement, what, remedy):
    """It dates from a time when PUBLIC could create there. The first calls of the grant would run it."""
    session.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with plant(base, role, statement):
        with pytest.raises(HdmBaseError, match=re.escape(f"{what} (owned by {role})")) as failure:
            grant_rights(session, role, actor="ann")
        with pytest.raises(HdmBaseError, match=re.escape(what)):
            foreign_code.check(session)
        assert not was_run(session)
        session.execute(failure.value.hint.partition("run: ")[2])
    foreign_code.check(session)
    assert grant_rights(session, role, actor="ann").left_by_packs == ()


def test_cast_between_types_of_postgresql_that_runs_a_function_of_others_is_refused(session, base, role):
    """No search path excludes it."""
    grant_rights(session, role, actor="ann")
    with connect(base, role) as packs:
        packs.execute("CREATE FUNCTION mine(text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1'")
    function = sql.SQL("CREATE CAST (text AS integer) WITH FUNCTION {}.mine(text)").format(sql.Identifier(role))
    session.execute(function)
    with pytest.raises(HdmBaseError, match=re.escape(f"cast (text AS integer) (owned by {role})")):
        grant_rights(session, role, actor="ann")


TIES = {
    "foreign key old_ref from old to hdm_core_dblist": (
        "CREATE TABLE old (ref int CONSTRAINT old_ref REFERENCES hdm_core_dblist ON DELETE CASCADE)",
        "ALTER TABLE old DROP CONSTRAINT old_ref",
    ),
    "foreign key theirs from hdm_alerts to old": (
        """CREATE TABLE old (id text PRIMARY KEY);
        ALTER TABLE hdm_alerts ADD CONSTRAINT theirs FOREIGN KEY (rule_id) REFERENCES old ON DELETE CASCADE""",
        "ALTER TABLE hdm_alerts DROP CONSTRAINT theirs",
    ),
    "inheritance of old from hdm_core_table_corr_db_mp": (
        "CREATE TABLE old () INHERITS (hdm_core_table_corr_db_mp)",
        "ALTER TABLE old NO INHERIT hdm_core_table_corr_db_mp",
    ),
}


@pytest.mark.parametrize("tie", TIES)
def test_table_that_is_tied_to_the_base_is_not_handed_over(session, role, tie):
    """Removing an endpoint would run its triggers with the owner's rights, or its rows would be rows of the base."""
    statement, remedy = TIES[tie]
    session.execute(statement)
    wanted = re.sub(r"\b(old|hdm_\w+)(?=$| )", r"public.\1", tie)
    with pytest.raises(ConfigurationError, match=re.escape(wanted)) as failure:
        grant_rights(session, role, move=["old"], actor="ann")
    assert failure.value.hint.replace("public.", "") == f"run first: {remedy}"
    assert grant_rights(session, role, actor="ann").left_by_packs == ()  # while it belongs to the owner
    session.execute(
        sql.SQL("GRANT CREATE ON SCHEMA public TO {0}; ALTER TABLE old OWNER TO {0}").format(sql.Identifier(role))
    )
    with pytest.raises(HdmBaseError, match=re.escape(f"{wanted} (owned by {role})")):
        foreign_code.check(session)
    session.execute(failure.value.hint.partition("run first: ")[2])
    assert grant_rights(session, role, move=["old"], actor="ann").moved == ("old",)


def test_what_packs_may_have_left_behind_while_they_were_the_owner_is_named(session, role):
    """It runs with the owner's rights when called, or at the owner's next statement. It may also be the owner's own."""
    session.execute(
        "CREATE FUNCTION door() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM public.hdm_audit'"
    )
    session.execute("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    session.execute("CREATE TRIGGER later BEFORE INSERT ON hdm_pack_run FOR EACH ROW EXECUTE FUNCTION wait()")
    session.execute("CREATE RULE quiet AS ON DELETE TO hdm_alerts DO INSTEAD NOTHING")
    found = {one.what: one.remedy for one in grant_rights(session, role, actor="ann").left_by_packs}
    assert found == {
        "SECURITY DEFINER function public.door()": "DROP ROUTINE public.door()",
        "trigger later on public.hdm_pack_run": "DROP TRIGGER later ON public.hdm_pack_run",
        "rule quiet on public.hdm_alerts": "DROP RULE quiet ON public.hdm_alerts",
    }
    for remedy in found.values():
        if "door" not in remedy:
            session.execute(remedy)
    session.execute("REVOKE EXECUTE ON FUNCTION door() FROM PUBLIC")
    assert grant_rights(session, role, actor="ann").left_by_packs == ()


def test_trigger_function_of_the_base_with_another_body_is_named(session, role):
    """Its triggers are known by name, owner and body: packs that ran as the owner may have changed them."""
    assert grant_rights(session, role, actor="ann").left_by_packs == ()
    session.execute(
        """CREATE OR REPLACE FUNCTION hdm_pack_state_empty() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS 'BEGIN DELETE FROM hdm_audit; RETURN NULL; END'"""
    )
    found = [one.what for one in grant_rights(session, role, actor="ann").left_by_packs]
    assert found == ["trigger hdm_pack_state_truncate on public.hdm_pack_run"]


def test_trigger_of_others_on_a_table_of_the_base_is_refused(session, base, role):
    """It dates from a time when packs could create it."""
    grant_rights(session, role, actor="ann")
    with connect(base, role) as packs:
        packs.execute("CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    trigger = "CREATE TRIGGER later BEFORE INSERT ON hdm_pack_run FOR EACH ROW EXECUTE FUNCTION {}.mine()"
    session.execute(sql.SQL(trigger).format(sql.Identifier(role)))
    with pytest.raises(HdmBaseError, match=re.escape(f"trigger later on public.hdm_pack_run (owned by {role})")):
        grant_rights(session, role, actor="ann")


def test_search_path_of_the_role_is_checked_and_corrected(session, base, role):
    """A pack can change it for all packs: then they do not find the base, or create their tables elsewhere."""

    def path_fault():
        with connect(base, role) as packs, grantee(session, role) as found:
            packs.row_factory = psycopg.rows.dict_row
            return rights.path_fault(found, packs)

    grant_rights(session, role, actor="ann")
    assert path_fault() == ""
    session.execute("CREATE SCHEMA other; CREATE TABLE other.hdm_alerts (); GRANT USAGE ON SCHEMA other TO PUBLIC")
    names = {"role": sql.Identifier(role), "base": sql.Identifier(base.name)}
    for path, fault in (
        ("{role}", f"do not find the base in the schema public: their search path is {role}"),
        ("public, {role}", f"do not create their tables in the schema {role}: their search path is public, {role}"),
        (
            "{role}, other, public",
            f"do not find hdm_alerts in the schema public: their search path is {role}, other, public",
        ),
        ("nowhere", f"do not create their tables in the schema {role}: their search path is empty"),
    ):
        with connect(base, role) as packs:
            statement = "ALTER ROLE {role} IN DATABASE {base} SET search_path = " + path
            packs.execute(sql.SQL(statement).format(**names))
        assert path_fault() == fault
        assert lacking(session, role) == excess(session, role) == []
        assert grant_rights(session, role, actor="ann").changed
        assert path_fault() == ""
