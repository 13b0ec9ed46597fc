"""Rule pack `basic`: judges the metrics of metric pack basic, and generates its first rules itself.

Only metrics of the run's own date and endpoint are judged. A rule that cannot be judged has an error of its own, which
is stored and printed and makes the endpoint `partial`: it raises no alert, but never goes unnoticed.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import generator
import hdm
import judge
import psycopg
import store

DEFAULTS = Path(__file__).with_name("conf.json")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class ConfigurationError(ValueError):
    """The configuration is invalid. The message names the key, not its value."""


def main() -> int:
    """Judge every endpoint of the run.

    Returns: the exit code: 1 if every endpoint failed. A single failed endpoint shows only in its report, because exit
        code 1 would fail the partial endpoints too.
    """
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
    generate, warning = _configured(endpoint.config)
    if warning:
        print(f"{endpoint.slug}: {warning}", flush=True)
    with psycopg.connect() as base:  # the libpq variables of this process point to the HDM base
        base.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        if not store.has_metrics(base, endpoint.slug, run.date):
            # No metrics does not mean no problems: nothing is judged, so no alert is replaced.
            run.report(endpoint, "skipped", f"no metrics for {run.date}: nothing to judge")
            return
        written = generator.generate(base, endpoint, run.date) if generate else 0
        rules, verdict = judge.read(store.rules(base, endpoint), store.known(base))
        judge.judge(rules, store.metrics(base, endpoint.slug, run.date, rules), verdict)
        store.replace(base, endpoint, run.date, verdict)
    for number, error in verdict.errors.items():
        print(f"{endpoint.slug}: rule {number} not judged: {error}", flush=True)
    missing = [*(f"rule {number}: {error}" for number, error in verdict.errors.items()), *endpoint.incomplete]
    run.report(
        endpoint,
        "partial" if missing else "ok",
        "; ".join(filter(None, [_summary(verdict, written), warning])),
        alerts=len(verdict.alerts),
        incomplete=missing,
    )


def _attempt(run: hdm.Run, endpoint: hdm.Endpoint) -> str:
    """Judge one endpoint. Return why it failed, in words that may be shown, or ""."""
    try:
        judge_endpoint(run, endpoint)
    except ConfigurationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # the next endpoint is still judged
        return _describe(error)
    return ""


def _configured(config: Any) -> tuple[bool, str]:
    """Whether to generate rules, and a warning or ""."""
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
    return generate, warning


def _summary(verdict: judge.Verdict, written: int) -> str:
    parts = [f"{verdict.judged} rules judged, {len(verdict.alerts)} alerts"]
    if written:
        parts.append(f"{written} rules generated")
    if verdict.errors:
        parts.append(f"{len(verdict.errors)} rules could not be judged")
    if verdict.not_evaluated:
        parts.append(f"{verdict.not_evaluated} metric values are null: not evaluated")
    if verdict.without_metrics:
        parts.append(f"{verdict.without_metrics} rules name objects without metrics on this date")
    return "; ".join(parts)


def _describe(error: BaseException) -> str:
    """The error's class, with its SQLSTATE or the line that raised it, but without its text, which may quote a row."""
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return f"{type(error).__name__} ({error.sqlstate})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


if __name__ == "__main__":
    sys.exit(main())
