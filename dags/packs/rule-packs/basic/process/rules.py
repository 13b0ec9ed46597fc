"""Rules without code: parses and validates the rows of rule_basic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import polars as pl
from asked import Sql
from checks import ANY, FINEST_SCOPES, LEVELS, Check, CheckParser, Usual
from classes import CLASSES
from classes import NAMES as NAMES_OF_CLASSES
from conditions import matches
from rule_error import MissingMetricError, RuleError

if TYPE_CHECKING:
    import datetime as dt

    from checks import Except
    from relations import Metric

__all__ = [
    "FINEST_SCOPES",
    "PLACE",
    "TYPES_OF_PLACE",
    "Check",
    "Exempt",
    "MissingMetricError",
    "Parser",
    "Place",
    "Rule",
    "RuleBook",
    "RuleError",
    "Rules",
    "Usual",
]

SCOPES = ("all", "database", "table", "column")
TRIGGERS = {"returntrue": True, "returnfalse": False}
TYPES, SQL = ("conditionnelle", "conditional"), "sql"
SQL_TRIGGERS = ("returnnone", "returnnotnull")
# Columns of rule_basic that many rules have in common: what they ask, and whose they are.
CONTENT = (
    *("rule_type", "alert_class", "rule_content", "alert_level", "alert_scope"),
    *("condition_trigger", "condition_scope"),
)
OWNER = ("rule_name", "alert_message", "endpoint", "database", "cause", "yields_to")
NAMING = ("table", "column")  # the scopes of conditions that name a table, or a table and a column
PLACE = ("id_rule", "name", "endpoint", "database", "table", "column")
TYPES_OF_PLACE: dict[str, Any] = {"id_rule": pl.Int64, **dict.fromkeys(PLACE[1:], pl.String)}
OWNERS: dict[str, Any] = dict.fromkeys(("rule_id", "owner", "tags"), pl.String)
MISSING, BAD, ELSEWHERE = "missing", "bad", "elsewhere"


class Rule(NamedTuple):
    """A rule that can be judged."""

    id_rule: int
    name: str  # rules of one name are a family
    level: str
    message: str
    alert_scope: str
    endpoint: str  # "": every endpoint
    database: str  # "": every database
    table: str  # a pattern
    column: str  # a pattern
    check: Check
    cause: str = ""  # class of what it finds
    yields_to: tuple[str, ...] = ()  # classes of causes that explain its breaches


class Exempt(NamedTuple):
    """A disabled rule: what it matches is not judged by the others of its family.

    One named ANY is of every family, or with a cause (classes, comma separated) of those with a rule of such a class.
    """

    id_rule: int
    name: str
    endpoint: str
    database: str
    table: str
    column: str
    cause: str = ""


class ElsewhereError(RuleError):
    """The rule does not cover the endpoint."""


class Place(NamedTuple):
    """The endpoint whose rules are parsed."""

    slug: str
    database: str

    def matches(self, endpoint: str, database: str) -> bool:
        """Whether it is meant by patterns; '' means all."""
        wanted = ((endpoint, self.slug), (database, self.database))
        return all(pattern in {"", name} or matches(pattern, name) for pattern, name in wanted)


class _Shared(NamedTuple):
    """What rules with the same CONTENT have in common."""

    check: Check | RuleError
    level: str
    alert_scope: str
    scope: str  # condition_scope


class _Owner(NamedTuple):
    """What rules with the same OWNER have in common."""

    name: str
    message: str
    endpoint: str
    database: str
    cause: str
    yields_to: tuple[str, ...]


class Rules(Sequence[Rule]):
    """Many rules, in columns: one becomes a Rule when it is asked for.

    Args:
        frame: id_rule, name, endpoint, database, table, column, and the indices of `check` and `owner`.
        shared: what rules of one `check` have in common.
        owners: what rules of one `owner` have in common.
    """

    def __init__(self, frame: pl.DataFrame, shared: Sequence[_Shared], owners: Sequence[_Owner]) -> None:
        self.frame, self._shared, self._owners = frame, shared, owners

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Rules:
        """The same rules in columns."""
        if isinstance(rules, Rules):
            return rules
        shared = [_Shared(rule.check, rule.level, rule.alert_scope, "") for rule in rules]
        owners = [
            _Owner(rule.name, rule.message, rule.endpoint, rule.database, rule.cause, rule.yields_to) for rule in rules
        ]
        places = {name: [getattr(rule, name) for rule in rules] for name in PLACE}
        numbers = pl.Series(range(len(rules)), dtype=pl.UInt32)
        frame = pl.DataFrame({**places, "check": numbers, "owner": numbers}, schema_overrides=TYPES_OF_PLACE)
        return cls(frame, shared, owners)

    @property
    def checks(self) -> list[Check | RuleError]:
        """What the rules ask, by the numbers in the column `check`; errors have no rules."""
        return [one.check for one in self._shared]

    def stating(self, kind: type) -> dict[int, Any]:
        """The laws of a kind, by the id_rule of those that state them."""
        laws = {number: one.law for number, one in enumerate(self.checks) if isinstance(one, Check)}
        laws = {number: law for number, law in laws.items() if isinstance(law, kind)}
        rows = self.frame.filter(pl.col("check").is_in(list(laws))).select("id_rule", "check")
        return {id_rule: laws[number] for id_rule, number in rows.iter_rows()}

    def excepted(self) -> dict[int, tuple[Except, ...]]:
        """What rules do not cover, by their numbers in the column `check`."""
        found = {number: one.except_ for number, one in enumerate(self.checks) if isinstance(one, Check)}
        return {number: exceptions for number, exceptions in found.items() if exceptions}

    def causes(self) -> pl.Series:
        """The class of what each rule finds."""
        return pl.Series("cause", [one.cause for one in self._owners], dtype=pl.String)[self.frame["owner"]]

    def __len__(self) -> int:
        return self.frame.height

    @overload
    def __getitem__(self, index: int) -> Rule: ...
    @overload
    def __getitem__(self, index: slice) -> Rules: ...
    def __getitem__(self, index: int | slice) -> Rule | Rules:
        if isinstance(index, slice):
            return Rules(self.frame[index], self._shared, self._owners)
        return self._rule(self.frame.row(int(index)))

    def __iter__(self) -> Iterator[Rule]:
        return map(self._rule, self.frame.iter_rows())

    def only(self, indices: pl.Series) -> Rules:
        """The rules at these indices, in columns."""
        return Rules(self.frame[indices], self._shared, self._owners)

    def chosen(self, indices: pl.Series) -> Iterator[Rule]:
        """The rules at these indices."""
        return map(self._rule, self.frame[indices].iter_rows())

    def checks_of(self, indices: pl.Series) -> Iterator[Check]:
        """What the rules at these indices ask, without making a Rule of each."""
        for number in self.frame["check"][indices]:
            check = self._shared[number].check
            if isinstance(check, RuleError):
                raise check
            yield check

    def _rule(self, row: tuple[Any, ...]) -> Rule:
        id_rule, name, endpoint, database, table, column, check, owner = row
        shared, own = self._shared[check], self._owners[owner]
        if isinstance(shared.check, RuleError):
            raise shared.check
        common = (shared.check, own.cause, own.yields_to)
        levels = (shared.level, own.message, shared.alert_scope)
        return Rule(id_rule, name, *levels, endpoint, database, table, column, *common)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules of one endpoint."""

    rules: Rules
    exempt: list[Exempt]
    errors: dict[int, str]  # id_rule -> why it cannot be judged
    missing: dict[int, str]  # id_rule -> the metric that this version of metric pack basic does not have
    names: dict[int, str]  # of those in `errors` and `missing`
    owners: pl.DataFrame  # OWNERS: of the rules that have an owner or tags

    @property
    def checks(self) -> list[Check]:
        """What the rules ask, each once."""
        used = set(self.rules.frame["check"].unique())
        return [one for number, one in enumerate(self.rules.checks) if number in used and isinstance(one, Check)]


class Parser:
    """Parses rows of rule_basic; what many rows have in common only once.

    Args:
        metrics: the metrics that rules may name, by what they describe and name.
        since: for metrics that older versions of metric pack basic do not have: the first version that has them.
        classes: causes that exceptions may name besides those of the rows.
        place: the endpoint; None: of all rules, whatever endpoints they are for.
        date: the metric date; None: of no date.
    """

    def __init__(
        self,
        metrics: Mapping[tuple[str, str], Metric],
        since: Mapping[tuple[str, str], str],
        classes: Iterable[str] = (),
        place: Place | None = None,
        date: dt.date | None = None,
    ) -> None:
        self._checks, self._classes, self._place = CheckParser(metrics, since, date), frozenset(classes), place

    def book(self, rows: pl.DataFrame) -> RuleBook:
        """Parse each row separately.

        Args:
            rows: of rule_basic, ordered by id_rule; columns id_rule, enabled (0, 1) and texts. Those whose patterns do
                not match the endpoint are left out.
        """
        rows = self._here(rows)
        contents, content_of = _distinct(rows, CONTENT)
        owners, owner_of = _distinct(rows, OWNER)
        shared, own = [self._parsed(row) for row in contents], _inherited([_own(row) for row in owners])
        about = pl.DataFrame(
            [(one.scope, _state(one.check)) for one in shared],
            schema={"scope": pl.String, "state": pl.String},
            orient="row",
        )
        scope, table, column = pl.col("scope"), pl.col("table"), pl.col("column")
        has_table, has_column = scope.is_in(NAMING), scope == "column"
        numbered = rows.rename({"rule_name": "name"}).with_columns(
            *about[content_of].get_columns(), check=content_of, owner=owner_of
        )
        placed = numbered.with_columns(
            needed=pl.when(has_table & (table == ""))
            .then(pl.lit("table"))
            .when(has_column & (column == ""))
            .then(pl.lit("column"))
            .otherwise(pl.lit("")),
            table=pl.when(has_table & (table != "")).then(table).otherwise(pl.lit(ANY)),
            column=pl.when(has_column & (column != "")).then(column).otherwise(pl.lit(ANY)),
        )
        enabled = placed.filter(pl.col("enabled") == 1)
        is_rule = (pl.col("state") == "") & (pl.col("needed") == "")
        errors, missing = {}, {}
        for id_rule, check, state, needed in (
            enabled.filter(~is_rule).select("id_rule", "check", "state", "needed").iter_rows()
        ):
            if state == ELSEWHERE:
                continue
            if state == MISSING:
                missing[id_rule] = str(shared[check].check)
            elif state:
                errors[id_rule] = str(shared[check].check)
            else:
                errors[id_rule] = f"condition_scope {shared[check].scope} needs the name of a {needed}"
        exempt = [Exempt(*row) for row in placed.filter(pl.col("enabled") == 0).select(*PLACE, "cause").iter_rows()]
        rules = Rules(enabled.filter(is_rule).select(*PLACE, "check", "owner"), shared, own)
        errors.update(_of_no_class(exempt, self._classes.union(one.cause for one in own if one.name != ANY)))
        others = placed.filter(pl.col("id_rule").is_in([*errors, *missing])).select("id_rule", "name")
        return RuleBook(rules, exempt, errors, missing, dict(others.iter_rows()), _owners(rows))

    def _here(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that are meant for the endpoint."""
        if self._place is None:
            return rows
        scope = pl.col("condition_scope").str.strip_chars().str.to_lowercase()
        is_of_all = (pl.col("endpoint") == "") & (scope == "all")
        is_sure = rows.select((pl.col("endpoint") == self._place.slug) | is_of_all).to_series()
        names = rows.filter(~is_sure).select("endpoint", "database").unique()
        matching = [self._place.matches(*one) for one in names.iter_rows()]
        meant = names.with_columns(pl.Series("meant", matching, pl.Boolean))
        found = rows.join(meant, on=["endpoint", "database"], how="left", maintain_order="left")["meant"]
        return rows.filter(is_sure | found.fill_null(value=False))

    def _parsed(self, row: Mapping[str, Any]) -> _Shared:
        scope = _folded(row, "condition_scope")
        try:
            return self._shared(row)
        except RuleError as error:
            return _Shared(error, "", "", scope)
        except Exception as error:  # noqa: BLE001  # one bad rule never affects another
            return _Shared(RuleError(f"unexpected error: {type(error).__name__}"), "", "", scope)

    def _check(self, row: Mapping[str, Any]) -> Check:
        """What a row asks of the endpoint, without the exceptions of others."""
        rule_type, alert_class = _folded(row, "rule_type"), NAMES_OF_CLASSES.get(_folded(row, "alert_class"))
        if rule_type not in (*TYPES, SQL):
            raise RuleError(f"rule_type {row['rule_type']!r} is unknown: it must be conditionnelle or sql")
        if alert_class is None:
            raise RuleError(f"alert_class {row['alert_class']!r} is unknown: it must be {', '.join(CLASSES)}")
        if rule_type == SQL:
            trigger = _one_of(row, "condition_trigger", (*TRIGGERS, *SQL_TRIGGERS))
            return self._checks.of_query(row["rule_content"], trigger, alert_class)
        triggers_on = TRIGGERS[_one_of(row, "condition_trigger", tuple(TRIGGERS))]
        check = self._checks.check(row["rule_content"], triggers_on=triggers_on, alert_class=alert_class)
        if check.law is not None and not triggers_on:
            raise RuleError("condition_trigger returnFalse needs a condition")
        if not check.except_ or self._place is None:
            return check
        here = [one for one in check.except_ if self._place.matches(one.endpoint, one.database)]
        if any(one.is_whole for one in here):
            raise ElsewhereError
        return replace(check, except_=tuple(here))

    def _shared(self, row: Mapping[str, Any]) -> _Shared:
        check = self._check(row)
        condition_scope = _one_of(row, "condition_scope", SCOPES)
        finest = FINEST_SCOPES[check.of]
        if isinstance(check.law, Sql):
            condition_scope = "all"  # it is about the endpoint, whatever table it names
        if SCOPES.index(condition_scope) > SCOPES.index(finest):
            raise RuleError(f"condition_scope {condition_scope} is too fine for a metric of a {check.of}")
        level = LEVELS[_one_of(row, "alert_level", tuple(LEVELS))]
        alert_scope = min(_one_of(row, "alert_scope", SCOPES), finest, key=SCOPES.index)
        return _Shared(check, level, alert_scope, condition_scope)


def _state(check: Check | RuleError) -> str:
    """Why it cannot be judged: MISSING, BAD or ELSEWHERE; "" if it can."""
    if isinstance(check, (MissingMetricError, ElsewhereError)):
        return MISSING if isinstance(check, MissingMetricError) else ELSEWHERE
    return BAD if isinstance(check, RuleError) else ""


def _distinct(rows: pl.DataFrame, names: Sequence[str]) -> tuple[list[dict[str, Any]], pl.Series]:
    """The distinct combinations of some columns, and for each row the index of its combination."""
    distinct = rows.select(names).unique(maintain_order=True)
    numbered = rows.select(names).join(
        distinct.with_row_index("number"), on=names, how="left", maintain_order="left", nulls_equal=True
    )
    return distinct.to_dicts(), numbered["number"]


def _owners(rows: pl.DataFrame) -> pl.DataFrame:
    """Whose alerts rules raise, as hdm_alerts has it: owner and tags, null if there is none."""
    if not {"owner", "tags"} <= {*rows.columns}:
        return pl.DataFrame(schema=OWNERS)
    found = [
        (str(id_rule), owner or None, _array(tags))
        for id_rule, owner, tags in rows.select("id_rule", "owner", "tags").iter_rows()
        if owner or tags
    ]
    return pl.DataFrame(found, schema=OWNERS, orient="row")


def _array(tags: str) -> str | None:
    """Tags, comma separated, as PostgreSQL writes an array."""
    named = dict.fromkeys(filter(None, map(str.strip, tags.split(","))))
    quoted = ('"' + re.sub(r'(["\\])', r"\\\1", one) + '"' for one in named)
    return "{" + ",".join(quoted) + "}" if named else None


def _own(row: Mapping[str, Any]) -> _Owner:
    yields_to = tuple(filter(None, map(str.strip, row["yields_to"].split(","))))
    message = row["alert_message"].strip() or f'The rule "{row["rule_name"]}" has found something'
    return _Owner(row["rule_name"], message, row["endpoint"], row["database"], row["cause"], yields_to)


def _inherited(owners: list[_Owner]) -> list[_Owner]:
    """A rule without a class of its own, such as a copy, has that of its family."""
    families = {one.name: (one.cause, one.yields_to) for one in reversed(owners) if one.cause}
    return [
        one if one.cause or one.name not in families else one._replace(cause=found[0], yields_to=found[1])
        for one in owners
        for found in [families.get(one.name, ("", ()))]
    ]


def _of_no_class(exempt: Sequence[Exempt], classes: Iterable[str]) -> dict[int, str]:
    """Exceptions from classes of which there is no rule: id_rule -> why they cover nothing."""
    known = sorted({*classes} - {""})
    found = {}
    for one in exempt:
        causes = [cause.strip() for cause in one.cause.split(",")] if one.name == ANY and one.cause else []
        unknown = [cause for cause in causes if cause not in known]
        if unknown:
            effect = "covers nothing: " if len(unknown) == len(causes) else ""
            names = ", ".join(map(repr, unknown))
            found[one.id_rule] = f"{effect}no rule has the cause {names}; known are {', '.join(known)}"
    return found


def _one_of(row: Mapping[str, Any], name: str, allowed: Sequence[str]) -> str:
    value = _folded(row, name)
    if value not in allowed:
        raise RuleError(f"{name} must be one of {', '.join(allowed)}")
    return value


def _folded(row: Mapping[str, Any], name: str) -> str:
    return str(row[name] or "").strip().lower()
