"""What commands say about judging: where rule packs have judged the newest metric date, and where not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX

if TYPE_CHECKING:
    from datetime import date

    from hdm_airflow.base.alerts import Newest

NAMED = 5  # endpoints that a line names

_PREFIX = PREFIX["rule"]
_NOT_JUDGED = {"running": "is still running", "failed": "failed", "skipped": "was skipped"}


def find_pack(text: str, known: Collection[str]) -> str:
    """The name of the rule pack that `basic` or `rp_basic` means.

    Raises:
        ConfigurationError: if none of these packs has it.
    """
    for name in (text, text.removeprefix(_PREFIX)):
        if name in known:
            return name
    names = ", ".join(f"{_PREFIX}{name}" for name in sorted(known)) or "none"
    what = f"no rule pack {text!r} is activated or has run"
    raise ConfigurationError(what, "--pack", f"the rule packs are: {names}")


def not_judged(newest: Sequence[Newest], expected: Sequence[tuple[str, str]], stated: date | None) -> Iterator[str]:
    """What each rule pack has not judged, or only in part, of the newest date that a pack ran for on the endpoint."""
    runs = {(one.pack, one.endpoint): one for one in newest if one.kind == "rule"}
    last: dict[str, date] = {}
    for one in newest:
        last[one.endpoint] = max(one.metric_date, last.get(one.endpoint, one.metric_date))
    for pack, slug in expected:
        run, day = runs.get((pack, slug)), stated or last.get(slug)
        name = f"{_PREFIX}{pack}"
        if run is None:
            yield f"{slug} was not judged: {name} has no run" + (f" for {stated}" if stated else "")
        elif run.metric_date != day:
            yield f"{slug} was not judged on {day}: {name} has no run for it{_before(run)}"
        elif run.judged != day:
            why = f": {run.reason}" if run.reason else ""
            yield f"{slug} was not judged on {day}: {name} {_NOT_JUDGED.get(run.status, run.status)}{why}{_before(run)}"
        elif run.state != "whole":
            yield f"{slug} was judged only in part on {day} by {name}" + (f": {run.reason}" if run.reason else "")


def without_packs(slugs: Sequence[str], expected: Sequence[tuple[str, str]], pack: str | None) -> Iterator[str]:
    """The endpoints on which nothing is judged because no rule pack is activated."""
    if not slugs:
        yield "there are no endpoints: nothing was judged\ndo: add one: airflow hdm endpoints add"
    none = sorted(set(slugs) - {slug for _, slug in expected})
    if none:
        names = ", ".join(none[:NAMED]) + (", ..." if len(none) > NAMED else "")
        what = f"{_PREFIX}{pack} is not" if pack else "no rule pack is"
        yield (
            f"{what} activated on {counted(len(none), 'endpoint')}: {names}\n"
            f"do: activate one, so that they are judged: airflow hdm activate {_PREFIX}{pack or 'basic'} ENDPOINT"
        )


def counted(number: int, noun: str) -> str:
    """A number and its noun, such as `1,200 alerts`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _before(run: Newest) -> str:
    return f"; judged last on {run.judged}" if run.judged else ""
