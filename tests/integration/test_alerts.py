"""Alerts in the base: their key, what is new, and what was not judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from psycopg import errors

from demo.services import Database
from hdm_airflow.base import alerts
from hdm_airflow.base.alerts import Filter
from hdm_airflow.base.hook import BaseConnection, HdmHook
from tests.integration.test_whole import SLUGS, attempt, write

FIRST = date(2024, 5, 1)
HEART = SLUGS[0]
EVERYTHING = 10_000  # a limit


@pytest.fixture
def session(base: Database) -> Iterator[BaseConnection]:
    with HdmHook().session() as opened:
        yield opened


def judge(base: BaseConnection, day: date, status: Any = "success", slug: str = HEART, pack: str = "basic") -> None:
    """A ledger row of a rule pack."""
    write(base, attempt(pack, day, "rule"), slug, status)


def add(
    base: BaseConnection,
    day: date | None,
    *,
    slug: str = HEART,
    pack: str = "basic",
    rule: str = "1",
    table: str | None = "visits",
    column: str | None = None,
    level: str | None = "High",
) -> None:
    base.execute(
        """INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id, "table", "column", alert_level)
        VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        [day, slug, pack, rule, table, column, level],
    )


def listed(base: BaseConnection, dates: dict[str, date], limit: int = EVERYTHING, **wanted: Any) -> list[Any]:
    return alerts.listed(base, dates, ["basic", "other"], Filter(**wanted), limit)[0]


# The key -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "column"), [("visits", "start"), ("visits", None), (None, None), ("visits", "")])
def test_second_alert_of_the_same_rule_and_object_is_refused(
    session: BaseConnection, table: str | None, column: str | None
) -> None:
    """No table, or no column, is an object too: of the database, of the table."""
    add(session, FIRST, table=table, column=column)
    with pytest.raises(errors.UniqueViolation):
        add(session, FIRST, table=table, column=column)
    for other in ({"rule": "2"}, {"pack": "other"}, {"slug": SLUGS[1]}, {"table": "levels"}, {"column": "end"}):
        add(session, FIRST, **{"table": table, "column": column} | other)
    add(session, FIRST + timedelta(days=1), table=table, column=column)


def test_alerts_of_the_original_are_outside_the_key(session: BaseConnection) -> None:
    """The original repeated a day's alerts at each run; they have no endpoint."""
    for _ in range(2):
        add(session, FIRST, slug="")
        add(session, None, slug="")
        add(session, FIRST, slug="", column="start")


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ('DELETE FROM hdm_alerts WHERE "date" = %s AND endpoint = %s AND rule_pack = %s', [FIRST, HEART, "basic"]),
        ('SELECT * FROM hdm_alerts WHERE "date" = %s', [FIRST]),
        ('SELECT * FROM hdm_alerts WHERE "date" = %s AND endpoint = %s', [FIRST, HEART]),
        (
            """SELECT * FROM hdm_alerts WHERE "date" = %s AND endpoint = %s AND rule_pack = %s AND rule_id = %s
            AND coalesce("table", '') = %s""",
            [FIRST, HEART, "basic", "1", "visits"],
        ),
    ],
)
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_each_question_about_a_date_is_answered_by_the_key(
    session: BaseConnection, statement: str, values: list[Any], mode: str
) -> None:
    """Also in a prepared statement, whose plan does not know the values."""
    session.execute(
        """INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id)
        SELECT %s::date + d, %s, 'basic', r::text FROM generate_series(0, 199) AS d, generate_series(1, 20) AS r""",
        [FIRST, HEART],
    )
    session.execute("ANALYZE hdm_alerts")
    session.execute(f"SET plan_cache_mode = {mode}".encode())
    plan = session.execute(b"EXPLAIN " + statement.encode(), values, prepare=True).fetchall()
    text = "\n".join(row["QUERY PLAN"] for row in plan)
    assert "hdm_alerts_key" in text
    assert "Seq Scan" not in text


# What is new ---------------------------------------------------------------------------------------------------------


def test_alert_is_new_if_the_judged_date_before_did_not_have_it(session: BaseConnection) -> None:
    """Dates that were not judged, or only started, do not count; neither does what other packs and endpoints have."""
    days = [FIRST + timedelta(days=number) for number in range(5)]
    for day, status in zip(days, ["success", "partial", "failed", "skipped", "success"], strict=True):
        judge(session, day, status)
    add(session, days[4], rule="before")
    add(session, days[1], rule="before")
    add(session, days[4], rule="earlier")  # it was gone on the judged date before
    add(session, days[0], rule="earlier")
    add(session, days[4], rule="of a failed date")
    add(session, days[2], rule="of a failed date")
    add(session, days[4], rule="elsewhere")
    add(session, days[1], rule="elsewhere", slug=SLUGS[1])
    add(session, days[1], rule="elsewhere", pack="other")
    add(session, days[1], rule="elsewhere", column="start")
    new = {row["rule_id"]: row["new"] for row in listed(session, {HEART: days[4]})}
    assert new == {"before": False, "earlier": True, "of a failed date": True, "elsewhere": True}
    assert {row["rule_id"] for row in listed(session, {HEART: days[4]}, new=True)} == set(new) - {"before"}


def test_alerts_of_a_first_date_are_all_new(session: BaseConnection) -> None:
    """Also if the table has alerts of a date that no row of the ledger explains."""
    judge(session, FIRST)
    add(session, FIRST)
    add(session, FIRST - timedelta(days=1))
    assert [row["new"] for row in listed(session, {HEART: FIRST})] == [True]


@pytest.mark.parametrize("seed", range(6))
def test_listed_alerts_are_those_of_a_plain_comparison(session: BaseConnection, seed: int) -> None:
    """Random ledgers, alerts and filters, compared with the same in Python."""
    random = Random(seed)  # noqa: S311  # not for secrets
    days = [FIRST + timedelta(days=number) for number in range(5)]
    state: dict[tuple[str, str, date], str] = {}
    stored: set[tuple[Any, ...]] = set()
    with session.transaction():
        for day in days:
            for slug in SLUGS:
                for pack in ("basic", "other"):
                    for status in random.choices(["success", "partial", "failed", "skipped", "running"], k=2):
                        judge(session, day, status, slug, pack)
                        state[pack, slug, day] = status
                    for _ in range(8):
                        table = random.choice([None, "visits", "levels"])
                        column = random.choice([None, "start"]) if table else None
                        level = random.choice([*alerts.LEVELS, "strange", None])
                        one = (day, slug, pack, random.choice("123"), table, column)
                        if one not in {(*known[:6],) for known in stored}:
                            stored.add((*one, level))
                            add(
                                session, day, slug=slug, pack=pack, rule=one[3], table=table, column=column, level=level
                            )
    for _ in range(12):
        dates = {slug: random.choice(days) for slug in random.sample(SLUGS, random.randrange(1, 4))}
        wanted = Filter(
            pack=random.choice([None, "basic"]),
            table=random.choice([None, None, "visits"]),
            level=random.choice(alerts.LEVELS),
            new=random.choice([False, True]),
        )
        expected = {
            (*one, new)
            for one in stored
            if (new := is_new(one, stored, state)) or not wanted.new
            if dates.get(one[1]) == one[0]
            if wanted.pack in (None, one[2])
            if wanted.table in (None, one[4])
            if rank(one[6]) <= alerts.LEVELS.index(wanted.level)
        }
        rows, total = alerts.listed(session, dates, ["basic", "other"], wanted, EVERYTHING)
        names = ("date", "endpoint", "rule_pack", "rule_id", "table", "column", "alert_level", "new")
        assert {tuple(row[name] for name in names) for row in rows} == expected
        assert total == len(rows) == len(expected)
        some, all_ = alerts.listed(session, dates, ["basic", "other"], wanted, 3)
        assert (some, all_) == (rows[:3], total)
        assert [rank(row["alert_level"]) for row in rows] == sorted(rank(row["alert_level"]) for row in rows)


def rank(level: str | None) -> int:
    """A level that is none of the three counts as High: no filter hides it."""
    return {"Warning": 1, "Info": 2}.get(level or "", 0)


def is_new(one: tuple[Any, ...], stored: set[tuple[Any, ...]], state: dict[tuple[str, str, date], str]) -> bool:
    day, slug, pack, *rest = one[:6]
    known = [earlier for earlier in {d for *_, d in state} if state[pack, slug, earlier] in {"success", "partial"}]
    before = [earlier for earlier in known if earlier < day]
    return not before or (max(before), slug, pack, *rest) not in {other[:6] for other in stored}


def test_a_bad_night_is_compared_in_one_pass_whatever_the_statistics_say(session: BaseConnection) -> None:
    """One endpoint has far more alerts than any before, twice: a loop over both nights would take minutes."""
    days = [FIRST + timedelta(days=number) for number in range(100)]
    for day in days[-2:]:
        judge(session, day)
    session.execute("ALTER TABLE hdm_alerts SET (autovacuum_enabled = false)")
    usual = """INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id, "table", "column")
        SELECT day, 'endpoint ' || number, 'basic', '1', 'visits', 'column ' || rule
        FROM unnest(%s::date[]) AS day, generate_series(1, 100) AS number, generate_series(1, 3) AS rule"""
    session.execute(usual, [days[:1]])
    session.execute("ANALYZE hdm_alerts")
    session.execute(usual, [days[1:-2]])
    for day, first in ((days[-2], 1), (days[-1], 11)):
        session.execute(
            """INSERT INTO hdm_alerts ("date", endpoint, rule_pack, rule_id, "table", "column")
            SELECT %s, %s, 'basic', '1', 'visits', 'column ' || number
            FROM generate_series(%s::int, 30000) AS number""",
            [day, HEART, first],
        )
    session.execute(
        'DELETE FROM hdm_alerts WHERE endpoint = %s AND "date" = %s AND "column" LIKE %s', [HEART, days[-2], "% 2999_"]
    )
    session.execute("SET statement_timeout = '20s'")
    rows, total = alerts.listed(session, {HEART: days[-1]}, ["basic"], Filter(new=True), 4)
    assert [row["column"] for row in rows] == ["column 29990", "column 29991", "column 29992", "column 29993"]
    assert total == 10


# What was judged -----------------------------------------------------------------------------------------------------


def newest(base: BaseConnection, day: date | None = None) -> list[alerts.Newest]:
    return alerts.newest(base, alerts.packs_with_runs(base), SLUGS, day)


def test_newest_names_the_run_and_the_judged_date(session: BaseConnection) -> None:
    """Of each pack and endpoint that has rows, of all dates or of one."""
    second = FIRST + timedelta(days=1)
    judge(session, FIRST, "partial")
    judge(session, second, "failed")
    judge(session, second, "success", SLUGS[1], "other")
    write(session, attempt("basic", second), HEART, "success")
    found = {(one.kind, one.pack, one.endpoint): one for one in newest(session)}
    assert set(found) == {("rule", "basic", HEART), ("rule", "other", SLUGS[1]), ("metric", "basic", HEART)}
    heart, metric = found["rule", "basic", HEART], found["metric", "basic", HEART]
    assert (heart.metric_date, heart.status, heart.judged, heart.state) == (second, "failed", FIRST, "partial")
    assert (metric.metric_date, metric.status, metric.judged) == (second, "success", None)
    (of_first,) = newest(session, FIRST)
    assert (of_first.metric_date, of_first.status, of_first.judged) == (FIRST, "partial", FIRST)
    of_second = {one.endpoint: one.judged for one in newest(session, second) if one.kind == "rule"}
    assert of_second == {HEART: None, SLUGS[1]: second}


def test_empty_base_has_nothing(session: BaseConnection) -> None:
    assert alerts.endpoints(session, FIRST) == []
    assert alerts.packs_with_runs(session) == []
    assert newest(session) == []
    assert alerts.listed(session, {}, [], Filter(), 1) == ([], 0)
    assert alerts.listed(session, {HEART: FIRST}, [], Filter(), 1) == ([], 0)
