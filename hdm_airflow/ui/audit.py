"""Audit: who changed what, newest first, with differences."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from hdm_airflow.admin import audit
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.ui import audit_words
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

routes = Routes()

_PAGE = 50  # changes of one page
_CELLS = 1000  # of a bulk change that are shown
_LAST_ID = 2**63 - 1

Number = Annotated[int, Query(ge=1, le=_LAST_ID)]


@routes.page("/audit")
def show(
    visit: Visit,
    actor: str = "",
    action: str = "",
    object: str = "",  # noqa: A002  # in the address
    since: str = "",
    before: Number | None = None,
) -> Response:
    """The newest changes, with filters."""
    filters = {"actor": _sent(actor), "action": _sent(action), "object": _sent(object), "since": since.strip()}
    with visit.open() as base:
        found = audit.listed(
            base,
            actor=filters["actor"] or None,
            action=filters["action"] or None,
            object=filters["object"] or None,
            since=_moment(visit, filters["since"]),
            before_id=before,
            limit=_PAGE + 1,
        )
    lines = [audit_words.line(visit.text, one) for one in found[:_PAGE]]
    older = visit.address("/audit", **filters, before=found[_PAGE - 1].id) if len(found) > _PAGE else ""
    return visit.render(
        "audit/show.html",
        page="audit",
        filters=filters,
        before=before,
        lines=lines,
        older=older,
        actions=audit_words.actions(visit.text),
        actors=sorted({line.change.actor for line in lines}),
    )


@routes.page("/audit/batch")
def batch(visit: Visit, id: Number) -> Response:  # noqa: A002  # in the address
    """The cells of a bulk change."""
    with visit.open() as base:
        found = audit.of_batch(base, id, _CELLS)
    if not found:
        hint = visit.text("audit.no-batch-hint")
        raise ConfigurationError(visit.text("audit.no-batch", id=str(id)), "hdm_audit", hint)
    lines = [audit_words.line(visit.text, one) for one in found]
    return visit.render(
        "audit/batch.html",
        page="audit",
        lines=lines,
        size=found[0].size,
        can_undo=found[0].action in audit_words.SWITCHES,
        refusal=visit.refusal(Right.WRITE),
    )


def _sent(text: str) -> str:
    """What a visitor looks for. The base can hold no zero byte, so nothing has one."""
    return text.replace("\0", "").strip()


def _moment(visit: Visit, text: str) -> datetime | None:
    """The moment of a date or time, which is of UTC unless it says otherwise."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        what = visit.text("audit.no-moment", since=text)
        raise ConfigurationError(what, visit.text("audit.since"), visit.text("audit.no-moment-hint")) from None
