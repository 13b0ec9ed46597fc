"""Words: a digest as subject and body of a message. All that comes from packs and databases stays plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.alerts import LEVELS
from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.base.news import CHANGES
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.printable import printable

if TYPE_CHECKING:
    from hdm_airflow.base.news import Cause, Line
    from hdm_airflow.base.subscriptions import Filter, Subscription
    from hdm_airflow.notify.digest import Digest
    from hdm_airflow.notify.texts import Texts

_CAUSES = 20  # causes that a message names
_LONGEST = 300  # characters of a text of others
_VALUE = 100  # characters of a value


@dataclass(frozen=True, kw_only=True)
class Written:
    """A message in words."""

    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the messages come from."""

    environment: str
    link: str = ""  # address of the pages; '': messages name a command


def message(digest: Digest, one: Subscription, site: Site, text: Texts) -> Written:
    """The message about a digest.

    Args:
        digest: the digest.
        one: the subscription.
        site: where it comes from.
        text: the texts in its language.
    """
    named = {"environment": site.environment, "date": digest.date}
    dated = "" if digest.date else "-undated"
    what = _summary(digest, text)
    body = [
        text(f"title{dated}", **named),
        text("sentence", what=what[:1].upper() + what[1:], open=text("open", count=digest.open)),
        *_incidents(digest, text),
        *_not_judged(digest, text),
        "",
        text("see", link=site.link) if site.link else text("see-command", **named),
        text("why", number=str(one.id), filters=filters(one.filter, text)),
    ]
    return Written(subject=text(f"subject{dated}", **named, what=what), body="\n".join(body) + "\n")


def trial(one: Subscription, site: Site, text: Texts) -> Written:
    """A message that tries whether a subscription works."""
    named = {"number": str(one.id), "environment": site.environment, "filters": filters(one.filter, text)}
    return Written(subject=text("test-subject", **named), body=text("test-body", **named) + "\n")


def filters(wanted: Filter, text: Texts) -> str:
    """What a filter chooses, in words."""
    level = text(f"level-{wanted.level}")
    parts = {
        "pack": wanted.pack and PREFIX["rule"] + wanted.pack,
        "endpoint": wanted.endpoint and _place(wanted.endpoint),
        "level": level if wanted.level != LEVELS[-1] else None,
        "class": ", ".join(wanted.classes),
        "tags": ", ".join(wanted.tags),
        "owner": wanted.owner,
    }
    found = [text(f"filter-{name}", value=_plain(value)) for name, value in parts.items() if value]
    return ", ".join(found) or text("filter-all")


def _summary(digest: Digest, text: Texts) -> str:
    parts = [text(f"count-{one}", count=digest.counts[one]) for one in CHANGES if digest.counts.get(one)]
    databases = sum(one.endpoints for one in digest.causes if not one.checks)
    if databases:
        parts.append(text("count-not-judged", count=databases))
    return ", ".join(parts if digest.counts else [text("nothing-new"), *parts])


def _incidents(digest: Digest, text: Texts) -> Iterator[str]:
    shown: Mapping[str, int] = Counter(line.change for line in digest.lines)
    for change in CHANGES:
        if shown.get(change):
            yield ""
            yield text(f"head-{change}", count=digest.counts[change])
            yield from (_line(line, text) for line in digest.lines if line.change == change)
    left = {one: many - shown.get(one, 0) for one, many in digest.counts.items() if many > shown.get(one, 0)}
    if left:
        what = ", ".join(text(f"count-{one}", count=left[one]) for one in CHANGES if one in left)
        yield ""
        yield text("more", count=sum(left.values()), what=what)


def _line(line: Line, text: Texts) -> str:
    level = text(f"level-{line.level}")
    if line.former_level:
        level = text("level-risen", level=level, former=text(f"level-{line.former_level}"))
    name = ".".join(_plain(part) for part in (line.table, line.column) if part)
    place = _place(line.endpoint) + (f": {name}" if name else "")
    what = _plain(line.message or "") or text("no-message")
    return text("line", level=level, place=place, what="; ".join([what.rstrip(".; "), *_details(line, text)]))


def _details(line: Line, text: Texts) -> Iterator[str]:
    """Since when, before and after, how far it reaches."""
    if line.change == "over" and line.ended_on:
        yield text("until", since=line.opened_on, date=line.ended_on)
    else:
        yield text("since", date=line.opened_on)
    values = {"before": line.former, "now": line.observed, "limit": line.threshold}
    yield from (text(name, value=_plain(value, _VALUE)) for name, value in values.items() if value)
    reach = {"rows": line.affected_rows, "patients": line.affected_patients}
    yield from (text(name, count=count) for name, count in reach.items() if count)
    if line.closed_as:
        yield text(f"closed-{line.closed_as}")
    elif line.change != "over" and line.state != "open":
        yield text("already-over")


def _not_judged(digest: Digest, text: Texts) -> Iterator[str]:
    if not digest.causes:
        return
    yield ""
    yield text("head-not-judged")
    for one in digest.causes[:_CAUSES]:
        yield _cause(one, text)
    if len(digest.causes) > _CAUSES:
        yield text("more-causes", count=len(digest.causes) - _CAUSES)


def _cause(one: Cause, text: Texts) -> str:
    cause = text("cause-" + one.cause.replace(" ", "-"))
    if one.reason:
        cause = text("cause-reason", cause=cause, reason=_plain(one.reason))
    named = ", ".join(map(_place, one.named))
    if one.endpoints > len(one.named):
        named = text("and-more", named=named, count=one.endpoints - len(one.named))
    if one.checks:
        return text("cause-checks", count=one.checks, cause=cause, named=named)
    return text("cause", count=one.endpoints, cause=cause, named=named)


def _place(slug: str) -> str:
    """An endpoint as people call it: name, type and server; its user is nobody's business."""
    try:
        endpoint = Endpoint.from_slug(slug)
    except ConfigurationError:
        return _plain(slug)
    server = f"{endpoint.host}:{endpoint.port}" if endpoint.host and endpoint.port else endpoint.host
    more = ", ".join(part for part in (endpoint.type, server) if part)
    return _plain(f"{endpoint.name} ({more})" if more else endpoint.name)


def _plain(value: str, longest: int = _LONGEST) -> str:
    """A text of others in one line, without what terminals and mail programs act on."""
    found = printable(" ".join(value.split()))
    return found if len(found) <= longest else found[: longest - 3] + "..."
