"""Rule pack `basic`: judges the metrics of metric pack basic, and generates its first rules itself.

Only metrics of the run's own date and endpoint are judged. A rule that cannot be judged has an error of its own, which
is stored and printed and makes the endpoint `partial`: it raises no alert, but never goes unnoticed. A rule whose
metric the installed version of metric pack basic does not have yet is not judged; that is printed and stored, too.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import baseline
import causes
import derived
import generator
import hdm
import judge
import later
import not_judged
import open_incidents
import psycopg
import relations
import returned
import sql_law
import store
from accepted import Accepted
from asked import Columns, Compare, Levels, Sql, Tables
from checks import Usual
from compare_law import CompareLaw
from earlier import Earlier
from endpoint_query import Limits
from figures import counted
from laws import Laws
from level_law import LevelLaw
from shape_law import ShapeLaw
from sql_law import SqlLaw
from usual_rules import UsualLaw

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    from endpoint_query import Answer
    from judge import Judgement
    from laws import Law
    from relations import Metric
    from rule_error import RuleError
    from rules import RuleBook, Rules

T = TypeVar("T")

DEFAULTS = Path(__file__).with_name("conf.json")
NOT_JUDGED = {
    "no value": ("outcome is missing: the metric is null", "outcomes are missing: the metrics are null"),
    "no history": ("outcome is missing: no history yet", "outcomes are missing: no history yet"),
}
LIMITS = {"sql_seconds": 3600, "sql_rows": 100_000, "sql_connections": 8}  # the most that each may be
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class ConfigurationError(ValueError):
    """The configuration is invalid. The message names the key, not its value."""


def main() -> int:
    """Judge every endpoint of the run.

    Returns: the exit code: 1 if every endpoint failed. A single failed endpoint shows only in its report, because exit
        code 1 would fail the partial endpoints too.
    """
    gc.disable()  # nothing here is cyclic, and collecting among 100,000 rules takes a tenth of the time
    logging.disable()  # the driver logs the texts of errors, which may quote rows
    run = hdm.load()
    if not run.endpoints:
        run.skip("the run has no endpoints: nothing judged")
    failed = 0
    for number, endpoint in enumerate(run.endpoints):
        run.progress(number / len(run.endpoints), endpoint.slug)
        reason = _attempt(run, endpoint)
        if reason:
            failed += 1
            print(f"{endpoint.slug}: failed: {reason}", flush=True)
            run.report(endpoint, "failed", reason)
    return int(failed == len(run.endpoints))


def judge_endpoint(run: hdm.Run, endpoint: hdm.Endpoint) -> None:
    """Generate and judge the rules of one endpoint, store the alerts and report.

    Raises: ConfigurationError, or what the base raises; the former alerts then remain.
    """
    generate, limits, warning = _configured(endpoint.config)
    if warning:
        print(f"{endpoint.slug}: {warning}", flush=True)
    # The libpq variables of this process point to the HDM base.
    with psycopg.connect(client_encoding="utf8") as base:
        if not store.has_metrics(base, endpoint.slug, run.date):
            # No metrics does not mean no problems: nothing is judged, so no alert is replaced.
            run.report(endpoint, "skipped", f"no metrics for {run.date}: nothing to judge")
            return
        generated = generator.generate(base, endpoint) if generate else generator.Generated(0, 0)
        base.commit()
        if generated.left:
            print(
                f"{endpoint.slug}: a newer version of this pack has installed the shipped rules: they stay as they are",
                flush=True,
            )
        base.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        known = relations.known(base)
        known |= derived.known(known)
        book = store.book(base, endpoint, known, derived.since(), run.date, shipped=generate)
        if answers := sql_law.answers(endpoint, book.checks, limits):
            base.rollback()  # queries may take long: the state of the HDM base is that after them
        metrics = set().union(*(check.metrics for check in book.checks))
        stored = relations.read(base, endpoint.slug, run.date, derived.needed(metrics, known), known)
        earlier = Earlier(base, endpoint.slug, run.date, known)
        accepted = Accepted(earlier.starts, book.rules)
        incidents = open_incidents.read(base, endpoint.slug, run.date, book.rules)
        objects, lost = derived.add(stored, metrics, earlier, accepted)
        usual = UsualLaw(base, endpoint.slug, run.date, known, accepted.of_usual(), book.checks)
        laws = _laws(base, endpoint, run.date, known, usual, book.rules, answers)
        watch = not_judged.watch(incidents, book.rules, objects)
        judgement = judge.judge(book.rules, book.exempt, objects, laws, lost, watch)
        problems: list[str] = []
        step = partial(accepted.settled, earlier=earlier)
        judgement = _tried(step, judgement, "what was accepted is not left out", problems)
        judgement, infos = baseline.settled(judgement, earlier, accepted)
        news = judgement.breaches
        summed_up = partial(causes.settled, incidents=incidents)
        judgement = _tried(summed_up, judgement, "alerts are not summed up", problems)
        open_keys = incidents.frame.select("rule_id", "table", "column")
        alerts, raised = store.replace(base, endpoint, run.date, book, judgement, infos, open_keys)
        errors = store.errors(book, judgement)
        night = returned.Night(base, endpoint.slug, run.date, known, book.rules, book.exempt, stored)
        quiet = not_judged.Quiet(incidents, raised, judgement, news, endpoint.incomplete, night)
        looked_into = partial(quiet.rows, watch=watch, errors=errors, missing=book.missing)
        whys = _tried(looked_into, quiet.unknown(), "no incident can end", problems)
        rows = [*not_judged.general(errors, book.missing, endpoint.incomplete), *whys]
        store.replace_not_judged(base, endpoint.slug, run.date, rows)
        if incidents.is_late:
            later.leave_open(base, endpoint.slug, run.date, raised)
    _report(run, endpoint, book, judgement, problems, (alerts, generated.installed, warning))


def _report(
    run: hdm.Run,
    endpoint: hdm.Endpoint,
    book: RuleBook,
    judgement: Judgement,
    problems: list[str],
    told: tuple[int, int, str],
) -> None:
    """Print what was not judged, and report the endpoint: `told` are the alerts, the rules installed, and a warning."""
    alerts, installed, warning = told
    errors = store.errors(book, judgement)
    names = store.names(book, judgement)
    for number, reason in sorted([*errors.items(), *book.missing.items()]):
        print(f"{endpoint.slug}: rule {number} ({names[number]}) not judged: {reason}", flush=True)
    missing = [f"rule {number} ({names[number]}): {error}" for number, error in errors.items()]
    missing += [*endpoint.incomplete, *problems]
    for line in (*problems, *_details(judgement)):
        print(f"{endpoint.slug}: {line}", flush=True)
    run.report(
        endpoint,
        "partial" if missing else "ok",
        "; ".join(filter(None, [_summary(book, judgement, alerts, installed), warning])),
        alerts=alerts,
        incomplete=missing,
    )


def _laws(
    base: psycopg.Connection[Any],
    endpoint: hdm.Endpoint,
    date: dt.date,
    known: dict[tuple[str, str], Metric],
    usual: UsualLaw,
    rules: Rules,
    answers: dict[str, Answer | RuleError],
) -> Laws:
    """What decides for rules that state a law."""
    shape = ShapeLaw(base, endpoint.slug, date, endpoint.incomplete)
    compare = CompareLaw(base, endpoint.slug, date, known)
    levels = LevelLaw(base, endpoint.slug, date)
    by_kind: dict[type, Law] = {Usual: usual, Levels: levels, Tables: shape, Columns: shape}
    by_kind |= {Compare: compare, Sql: SqlLaw(rules.stating(Sql), answers)}
    return Laws(by_kind)


def _tried(step: Callable[[T], T], found: T, without: str, problems: list[str]) -> T:
    """What a step makes of the findings; if it fails, these as they are: too many alerts are better than none."""
    try:
        return step(found)
    except Exception as error:  # noqa: BLE001  # what has been found is stored in any case
        problems.append(f"{without}: {_describe(error)}")
        return found


def _attempt(run: hdm.Run, endpoint: hdm.Endpoint) -> str:
    """Judge one endpoint. Return why it failed, in words that may be shown, or ""."""
    try:
        judge_endpoint(run, endpoint)
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # the next endpoint is still judged
        return _describe(error)
    return ""


def _configured(config: Any) -> tuple[bool, Limits, str]:
    """Whether to generate rules, what queries may use, and a warning or ""."""
    values = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    warning = ""
    if isinstance(config, dict):
        values.update(config)
    elif not isinstance(config, str):
        raise ConfigurationError("the configuration is a list or a single value, not an object")
    elif config.strip():
        warning = "ignoring the configuration: it is plain text, not JSON"
    generate = BOOLEANS.get(str(values["generate"]).strip().lower())
    if generate is None:
        raise ConfigurationError("generate must be true or false")
    verify = BOOLEANS.get(str(values["ssl_verify"]).strip().lower())
    if verify is None:
        raise ConfigurationError("ssl_verify must be true or false")
    numbers = [_number(values, name, most) for name, most in LIMITS.items()]
    return generate, Limits(numbers[0], int(numbers[1]), int(numbers[2]), verify), warning


def _number(values: dict[str, Any], name: str, most: int) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be a number from 1 to {most}")
    return value


def _summary(book: RuleBook, judgement: Judgement, alerts: int, written: int) -> str:
    errors = len(store.errors(book, judgement))
    judged = len(book.rules) - len(judgement.errors)
    parts = [f"{counted(judged, 'rule')} judged, {counted(alerts, 'alert')}"]
    if written:
        parts.append(f"{counted(written, 'rule')} generated")
    if errors:
        parts.append(f"{counted(errors, 'rule')} could not be judged")
    if book.missing:
        needs = counted(len(book.missing), "rule needs", "rules need")
        parts.append(f"{needs} a newer version of metric pack basic: not judged")
    return "; ".join(parts)


def _details(judgement: Judgement) -> Iterator[str]:
    """What was not judged, for the log: on a first night nearly nothing has a history."""
    for reason, words in NOT_JUDGED.items():
        count = int(judgement.not_judged[reason].sum())
        if count:
            yield f"{counted(count, *words)}"
    nothing = int(judgement.covers_nothing.sum())
    if nothing:
        yield f"{counted(nothing, 'rule names', 'rules name')} objects without metrics on this date"


def _describe(error: BaseException) -> str:
    """The error's class, with its SQLSTATE or the line that raised it, but without its text, which may quote a row."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return f"{type(error).__name__} ({error.sqlstate})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # all is stored and reported: taking apart the modules and rules would be a tenth of the work
