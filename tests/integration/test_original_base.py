"""A base that the original program filled is taken over in place: nothing is lost, everything is readable."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path

import pytest

from hdm_airflow.base import assignments, configuration, endpoints, migrate, subscriptions
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.errors import ConfigurationError

SCHEMA = Path(migrate.__file__).with_name("schema.sql")

# Written by hand: no keys, nulls, numbers and timestamps in columns that become texts and dates.
LOOSE = """
CREATE TABLE hdm_core_dblist (id integer, db_name varchar(50), db_type varchar(20), db_host varchar(100),
    db_port integer, db_user varchar(50), db_is_ssl varchar(5));
CREATE TABLE hdm_core_table_corr_db_mp (mp_key varchar(50), db_key varchar(200));
CREATE TABLE hdm_core_table_corr_db_rp (rp_key varchar(50), db_key varchar(200));
CREATE TABLE hdm_pack_metric_conf (id_config varchar(200), pack_name varchar(50), pack_version varchar(20),
    pack_config text);
CREATE TABLE hdm_pack_rule_conf (LIKE hdm_pack_metric_conf);
CREATE TABLE hdm_alerts ("database" varchar(50), dbversion varchar(20), "table" varchar(50), "column" varchar(50),
    "date" varchar(30), alert_level varchar(10), alert_message varchar(500), alert_class varchar(20),
    alert_scope varchar(20), rule_id integer, rule_pack varchar(50));
"""

# A converted MySQL dump: keys, serial ids, bigint and tinyint, defaults of NULL, an index on everything.
DUMPED = """
CREATE TABLE hdm_core_dblist (id bigserial NOT NULL, db_name varchar(50) DEFAULT NULL::varchar,
    db_type varchar(20) DEFAULT '', db_host varchar(100) DEFAULT NULL::varchar, db_port bigint DEFAULT '3306'::bigint,
    db_user varchar(50) DEFAULT NULL::varchar, db_is_ssl boolean DEFAULT false);
ALTER TABLE hdm_core_dblist ADD CONSTRAINT idx_16389_primary PRIMARY KEY (id);
CREATE TABLE hdm_core_table_corr_db_mp (mp_key varchar(50) NOT NULL, db_key varchar(200) NOT NULL,
    CONSTRAINT idx_16390_primary PRIMARY KEY (mp_key, db_key));
CREATE TABLE hdm_core_table_corr_db_rp (rp_key varchar(50) NOT NULL, db_key varchar(200) NOT NULL,
    CONSTRAINT idx_16391_primary PRIMARY KEY (rp_key, db_key));
CREATE TABLE hdm_pack_metric_conf (id_config varchar(200) PRIMARY KEY, pack_name varchar(50) NOT NULL,
    pack_version varchar(20) DEFAULT NULL::varchar, pack_config text);
CREATE TABLE hdm_pack_rule_conf (LIKE hdm_pack_metric_conf INCLUDING ALL);
CREATE TABLE hdm_alerts ("database" varchar(50), dbversion varchar(20), "table" varchar(50), "column" varchar(50),
    "date" timestamptz DEFAULT CURRENT_TIMESTAMP, alert_level varchar(10), alert_message text, alert_class varchar(20),
    alert_scope varchar(20), rule_id bigint, rule_pack varchar(50));
CREATE INDEX idx_16392_date ON hdm_alerts ("date");
INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_user, db_is_ssl)
    VALUES ('heart', 'mysql', 'db', 'hdm', true);
INSERT INTO hdm_core_table_corr_db_mp VALUES ('basic', 'heart:mysql:db:3306:hdm:true');
INSERT INTO hdm_alerts ("date", rule_id) VALUES ('2024-05-01 02:00:07+00', 12);
"""

COLUMNS = """
    SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text,
        pg_get_expr(adbin, adrelid) AS default_value
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped
        AND relname <> 'hdm_alembic_version'
    ORDER BY relname, attname"""


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Original:
    """A base of the original: fills it, takes it over, reads it."""

    def __init__(self, database):
        self.database = database
        self.run(LOOSE)

    def run(self, statement):
        with self.database.connect() as connection:
            connection.execute(statement)

    def fill(self, table, *rows):
        """Insert rows one by one, because their order matters."""
        with self.database.connect() as connection:
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(row))})", row)

    def take_over(self):
        assert migrate.upgrade(HdmHook()) == (None, "0006")

    def rows(self, query):
        with self.database.connect() as connection:
            return connection.execute(query).fetchall()

    def audited(self, table):
        """The removed or changed rows, as they were before the takeover."""
        query = f"SELECT actor, old FROM hdm_audit WHERE object = '{table}' ORDER BY id"
        rows = self.rows(query)
        assert {actor for actor, _ in rows} <= {"migration"}
        return [old for _, old in rows]

    def configurations(self, kind="metric", pack="basic"):
        with HdmHook().session() as base:
            return configuration.read(base, kind, pack)

    def assigned(self, kind="metric", pack="basic", required=()):
        with HdmHook().session() as base:
            return assignments.read(base, kind, pack, required)


@pytest.fixture
def original(database, monkeypatch):
    """An empty base of loosely typed tables, for the connection `hdm`."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    return Original(database)


def columns(database):
    with database.connect() as connection:
        return connection.execute(COLUMNS).fetchall()


def test_a_base_that_was_taken_over_has_the_columns_of_a_fresh_one(original, postgres):
    """Types, nulls, defaults and the identity column equal those of schema.sql, whatever they were before."""
    reference = postgres.create_database(f"{original.database.name}_reference")
    try:
        with reference.connect() as connection:
            connection.execute(SCHEMA.read_bytes())
        original.take_over()
        assert columns(original.database) == columns(reference)
    finally:
        postgres.drop_database(reference.name)


def test_loose_endpoints_become_texts_without_nulls(original):
    """Ports were numbers, ssl was 'True', 'false' or nothing, hosts and users were missing."""
    original.fill(
        "hdm_core_dblist",
        (1, "heart", "mysql", "db", 3306, "hdm", "True"),
        (2, "lungs", "postgres", "::1", 5432, "hdm", "false"),
        (3, "file", "sqlite", "/data/file.db", None, None, None),
        (4, None, None, None, None, None, "1"),
    )
    original.take_over()
    with HdmHook().session() as base:
        found = {one.id: one.endpoint.slug for one in endpoints.registered(base)}
    assert found == {
        1: "heart:mysql:db:3306:hdm:true",
        2: "lungs:postgres:%3A%3A1:5432:hdm:false",
        3: "file:sqlite:/data/file.db:::false",
        4: ":::::true",
    }


def test_doubled_endpoints_are_one_and_the_other_row_is_kept_in_the_audit_trail(original):
    """Rows that differ only in their id, or in their spelling of `no ssl`, are one database: the first row stays."""
    original.fill(
        "hdm_core_dblist",
        (1, "heart", "mysql", "db", 3306, "hdm", "false"),
        (2, "heart", "mysql", "db", 3306, "hdm", None),
        (3, "heart", "mysql", "db", 3306, "hdm", "False"),
        (4, "heart", "mysql", "db", 3307, "hdm", "false"),
    )
    original.take_over()
    assert original.rows("SELECT id, db_port FROM hdm_core_dblist ORDER BY id") == [(1, "3306"), (4, "3307")]
    assert [old["id"] for old in original.audited("hdm_core_dblist")] == [2, 3]


def test_ids_that_are_empty_or_doubled_are_replaced_and_new_endpoints_continue_the_numbers(original):
    """Two databases with one id, and one without: each gets its own id, and the next one that is added, too."""
    original.fill(
        "hdm_core_dblist",
        (7, "a", "mysql", "db", 1, "hdm", "false"),
        (7, "b", "mysql", "db", 1, "hdm", "false"),
        (None, "c", "mysql", "db", 1, "hdm", "false"),
    )
    original.take_over()
    with HdmHook().session() as base:
        endpoints.add(base, endpoints.Endpoint(name="d", type="mysql"), None, actor="ada")
        found = {one.endpoint.name: one.id for one in endpoints.registered(base)}
    assert found == {"a": 7, "b": 8, "c": 9, "d": 10}


def test_doubled_and_incomplete_activations_go_to_the_audit_trail(original):
    """A double activation counts once; one without a pack or an endpoint counts for nothing."""
    slug = "heart:mysql:db:3306:hdm:false"
    for table in ("hdm_core_table_corr_db_mp", "hdm_core_table_corr_db_rp"):
        original.fill(table, ("basic", slug), ("basic", slug), ("basic", None), (None, slug))
    original.take_over()
    for kind, letter in (("metric", "m"), ("rule", "r")):
        assert original.assigned(kind).slugs == (slug,)
        gone = original.audited(f"hdm_core_table_corr_db_{letter}p")
        marks = [(old[f"{letter}p_key"], old["db_key"]) for old in gone]
        assert sorted(marks, key=repr) == [("basic", slug), ("basic", None), (None, slug)]


def test_the_later_of_two_configurations_with_one_id_counts_and_the_others_are_kept(original):
    """The original's reader used the last row; the earlier ones are in the audit trail, with their text."""
    for table in ("hdm_pack_metric_conf", "hdm_pack_rule_conf"):
        original.fill(
            table,
            ("basic:1.0", "basic", "1.0", b64('{"n": 1}')),
            ("basic:1.0", "basic", "1.0", b64('{"n": 2}')),
            ("basic:1.0", "basic", "1.0", b64('{"n": 3}')),
            (None, "basic", "1.0", b64('{"n": 4}')),
        )
    original.take_over()
    for kind in ("metric", "rule"):
        assert original.configurations(kind).for_version("1.0").value == {"n": 3}
        kept = [old["pack_config"] for old in original.audited(f"hdm_pack_{kind}_conf")]
        assert sorted(kept) == sorted(b64(f'{{"n": {n}}}') for n in (1, 2, 4))


def test_the_original_s_doubled_alerts_stay_as_they_are(original):
    """A day that ran twice has its alerts twice: the takeover does not change history. New alerts have a key."""
    alert = ("heart", "1.0", "patient", "id", "2024-05-01 02:10:00", "High", "x" * 300, "DATA", "column", 12, "basic")
    original.fill("hdm_alerts", alert, alert)
    original.take_over()
    assert original.rows('SELECT "date", rule_id, endpoint FROM hdm_alerts') == [(date(2024, 5, 1), "12", "")] * 2


def test_a_text_that_is_not_a_date_becomes_null_and_is_kept_in_the_audit_trail(original):
    """One bad date must not prevent the takeover, and 01/05 is not guessed to be a date."""
    good = ["2024-05-01", "2024-05-01T02:10:00", "2024-05-01 02:10:00.123+02"]
    empty = ["", None]
    bad = ["0000-00-00 00:00:00", "2024-02-30", "01/05/2024", "yesterday"]
    original.fill("hdm_alerts", *[(*["x"] * 4, stored, *["x"] * 4, 12, "basic") for stored in good + empty + bad])
    original.take_over()
    assert original.rows('SELECT "date" FROM hdm_alerts') == [(date(2024, 5, 1),)] * 3 + [(None,)] * 6
    assert [old["date"] for old in original.audited("hdm_alerts")] == ["", *bad]


@pytest.mark.parametrize("type_", ["timestamp", "timestamptz", "date"])
def test_dates_of_alerts_survive_whatever_their_type_and_the_session_s_date_style(original, type_):
    """A server that writes dates as 01/05/2024 does not turn the first of May into the fifth of January."""
    original.run(f'ALTER TABLE hdm_alerts ALTER COLUMN "date" TYPE {type_} USING NULL')
    original.run(f"ALTER DATABASE {original.database.name} SET datestyle = 'SQL, DMY'")
    original.run("INSERT INTO hdm_alerts (\"date\") VALUES ('2024-05-01')")
    original.take_over()
    assert original.rows('SELECT "date" FROM hdm_alerts') == [(date(2024, 5, 1),)]


def test_a_table_that_lacks_a_column_gets_it(original):
    """An early version of the original had neither scopes nor ids."""
    original.run("ALTER TABLE hdm_alerts DROP alert_scope; ALTER TABLE hdm_core_dblist DROP id, DROP db_is_ssl")
    original.run("INSERT INTO hdm_core_dblist (db_name) VALUES ('a'), ('b')")
    original.take_over()
    assert original.rows("SELECT id, slug FROM hdm_endpoint ORDER BY id") == [(1, "a:::::false"), (2, "b:::::false")]
    assert original.rows("SELECT alert_scope, endpoint FROM hdm_alerts") == []


def test_every_form_of_a_stored_configuration_is_read(original):
    """JSON in base64, other text, single values, nothing: the result is an object, a value, or the text itself."""
    forms = [
        (b64('{"limit_enabled": true}'), {"limit_enabled": True}),
        (b64("dev"), "dev"),
        (b64("false"), False),
        (b64("true"), True),
        (b64("12"), 12),
        (b64('{"broken": '), '{"broken": '),
        (b64("été"), "été"),
        (b64("  \n"), {}),
        (b64('{"a": 1}') + "\n", {"a": 1}),
        ("", {}),
        (None, {}),
    ]
    slug = "heart:mysql:db:3306:hdm:false"
    for number, (stored, _) in enumerate(forms):
        pack = f"p{number}"
        original.fill(
            "hdm_pack_rule_conf", (f"{pack}:1.0", pack, "1.0", stored), (f"{pack}:{slug}", pack, None, stored)
        )
    original.take_over()
    for number, (_, value) in enumerate(forms):
        read = original.configurations("rule", f"p{number}")
        assert (read.for_version("1.0").value, read.for_endpoint(slug).value) == (value, value)
        assert original.assigned("rule", f"p{number}").configurations == read


def test_a_configuration_that_is_not_base64_affects_no_other_one(original):
    """It is decoded on demand, and the error names table and id, not the text."""
    bad = ['{"plain": "JSON"}', "dev", "prod", b64("dev") + "!", "/w==", "é" * 4]
    slugs = [f"lungs{number}:mysql:db:3306:hdm:false" for number in range(len(bad))]
    original.fill(
        "hdm_pack_metric_conf",
        ("basic:1.0", "basic", "1.0", b64('{"a": 1}')),
        *[(f"basic:{slug}", "basic", None, stored) for slug, stored in zip(slugs, bad, strict=True)],
        ("basic:heart:mysql:db:3306:hdm:false", "basic", None, b64('{"a": 2}')),
    )
    original.take_over()
    read = original.configurations()
    assert read.for_version("1.0").value == {"a": 1}
    assert read.for_endpoint("heart:mysql:db:3306:hdm:false").value == {"a": 2}
    for slug, stored in zip(slugs, bad, strict=True):
        with pytest.raises(ConfigurationError) as failure:
            read.for_endpoint(slug)
        assert failure.value.where == f"hdm_pack_metric_conf basic:{slug}"
        assert stored not in str(failure.value)


def test_versions_are_compared_as_versions_and_a_branch_is_never_a_fallback(original):
    """0.10 is newer than 0.9; `master` is used only for the version `master`."""
    for version in ("1.0", "0.9", "master", "0.10"):
        original.fill("hdm_pack_metric_conf", (f"basic:{version}", "basic", version, b64(json.dumps({"of": version}))))
    original.take_over()
    read = original.configurations()
    exact = {"0.9": "0.9", "0.10": "0.10", "master": "master"}
    fallback = {"0.9.5": "0.9", "0.11": "0.10", "2.0": "1.0"}
    for wanted, found in (exact | fallback).items():
        assert read.for_version(wanted).value == {"of": found}
        assert bool(read.for_version(wanted).warning) == (wanted in fallback)
    assert read.for_version("0.1").value == read.for_version("develop").value == {}


def test_old_slugs_match_their_endpoint_in_activation_and_configuration(original):
    """With a bare IPv6 host, or with `True` for ssl: both match the endpoint's canonical slug."""
    original.fill(
        "hdm_core_dblist",
        (1, "lungs", "postgres", "fe80::1", 5432, "hdm", "false"),
        (2, "heart", "mysql", "db", 3306, "hdm", "True"),
    )
    for table in ("hdm_core_table_corr_db_mp", "hdm_core_table_corr_db_rp"):
        original.fill(table, ("basic", "lungs:postgres:fe80::1:5432:hdm:false"))
        original.fill(table, ("basic", "heart:mysql:db:3306:hdm:True"))
    original.fill(
        "hdm_pack_rule_conf",
        ("basic:lungs:postgres:fe80::1:5432:hdm:false", "basic", None, b64('{"of": "lungs"}')),
        ("basic:heart:mysql:db:3306:hdm:True", "basic", "", b64('{"of": "heart"}')),
    )
    original.take_over()
    assigned = original.assigned("rule", required=["basic"])
    assert assigned.slugs == ("heart:mysql:db:3306:hdm:true", "lungs:postgres:fe80%3A%3A1:5432:hdm:false")
    assert set(assigned.slugs) == set(assigned.endpoints)
    assert assigned.required == {("basic", slug) for slug in assigned.slugs}
    for slug in assigned.slugs:
        assert assigned.configurations.for_endpoint(slug).value == {"of": slug[:5]}


def test_a_configuration_without_its_pack_s_name_is_found_by_its_id(original):
    """The column is empty, but the id has the name."""
    original.fill("hdm_pack_metric_conf", ("basic:1.0", None, "1.0", b64('{"a": 1}')))
    original.take_over()
    assert original.configurations().for_version("1.0").value == {"a": 1}


def test_a_converted_mysql_dump_is_taken_over(database, monkeypatch):
    """With serial ids, booleans, defaults and keys, it is read like any other base; new endpoints get new ids."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", database.dsn)
    with database.connect() as connection:
        connection.execute(DUMPED)
    migrate.upgrade(HdmHook())
    with HdmHook().session() as base:
        assert set(assignments.read(base, "metric", "basic", []).endpoints) == {"heart:mysql:db:3306:hdm:true"}
        endpoints.add(base, endpoints.Endpoint(name="lungs", type="mysql"), None, actor="ada")
        found = [(one.id, one.endpoint.slug) for one in endpoints.registered(base)]
        assert found == [(1, "heart:mysql:db:3306:hdm:true"), (2, "lungs:mysql::::false")]
        assert base.execute('SELECT "date", rule_id FROM hdm_alerts').fetchall() == [
            {"date": date(2024, 5, 1), "rule_id": "12"}
        ]


def test_every_other_table_of_the_original_is_left_alone(original):
    """Metrics and rules belong to packs."""
    original.run("CREATE TABLE metric_basic (id integer, mail varchar(50))")
    original.run("INSERT INTO metric_basic VALUES (1)")
    original.take_over()
    assert original.rows("SELECT id, mail FROM metric_basic") == [(1, None)]


@pytest.mark.parametrize("kind", ["serial", "integer", "bigint", "varchar(9)"])
def test_subscriptions_of_the_original_stay_whatever_their_types(original, kind):
    """Doubled and missing ids are replaced, and new subscriptions go on from there."""
    original.run(f"CREATE TABLE hdm_core_mail_list (id {kind}, mail varchar(50) NOT NULL, key text, filters json)")
    original.run("ALTER TABLE hdm_core_mail_list ALTER COLUMN id DROP NOT NULL")
    row = "INSERT INTO hdm_core_mail_list (id, mail, key, filters) VALUES "
    original.run(f"""{row} ('1', 'a@b.example', 'basic', '["High"]'), ('1', 'c@d.example', NULL, NULL)""")
    original.run(f"{row} (NULL, '', '', NULL)")
    original.take_over()
    with HdmHook().session() as base:
        found = subscriptions.listed(base)
        new = subscriptions.add(base, subscriptions.Subscription(recipients=("e@f.example",)), actor="ada")
    assert [(one.recipients, one.filter.pack, one.filter.level, one.flaw) for one in found] == [
        (("a@b.example",), "basic", "High", ""),
        (("c@d.example",), None, "Info", ""),
        ((), None, "Info", "it has no address"),
    ]
    assert [one.id for one in found] == [1, 2, 3]
    assert new == 4
