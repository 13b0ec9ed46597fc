"""Configuration editor: one configuration: what is stored, what a run gets, its history, and what changes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from hdm_airflow.admin import configuration
from hdm_airflow.admin.pack_names import Named
from hdm_airflow.admin.places import checked_slug
from hdm_airflow.admin.secrets import PLACEHOLDER
from hdm_airflow.base import configuration as stored
from hdm_airflow.base import endpoints, packs
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.manifest import Kind
from hdm_airflow.packs.versions import newest_not_above, parse
from hdm_airflow.ui import audit_words, configuration_form, names
from hdm_airflow.ui.rights import Right
from hdm_airflow.ui.route import Routes
from hdm_airflow.ui.visit import Visit

if TYPE_CHECKING:
    from hdm_airflow.base.hook import BaseConnection

routes = Routes()

_LONGEST = 1_000_000  # characters of a text that a page sends
_CHANGES = 50  # of the history that are shown


class Meant(BaseModel):
    """Which configuration is meant, as a script sends it: that of an endpoint, or of a version."""

    kind: Kind
    pack: str
    endpoint: str = ""
    version: str = ""


class Text(Meant):
    """A text to store."""

    text: str = Field(max_length=_LONGEST)
    seen: str  # the version of what was stored when the person read it
    plain: bool = False  # plain text, not JSON


class Seen(Meant):
    """What is removed."""

    seen: str


class Past(Seen):
    """What is restored."""

    change: int
    before: bool = False  # as it was before the change


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A configuration with the pack around it."""

    kind: Kind
    pack: str
    slug: str | None
    version: str | None  # whose external configuration it is; None for an endpoint's
    named: Named  # with the version that runs, or ran last
    gone: str  # why nothing can be stored: the pack or endpoint is gone; '' if it can
    versions: list[dict[str, str]]  # known versions, newest first, and whose external configuration each uses

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of functions of admin/configuration."""
        return {"version": self.version, "slug": self.slug, "running": self.named}

    @property
    def title(self) -> names.Named:
        """Its name."""
        place = names.place(self.slug) if self.slug else None
        return names.Named(kind=self.kind, pack=self.pack, version=self.version, place=place)


@routes.page("/configuration/edit")
def edit(visit: Visit, kind: Kind, pack: str, endpoint: str = "", version: str = "") -> Response:
    """The editor."""
    with visit.open() as base:
        scope = _scope(visit, base, Meant(kind=kind, pack=pack, endpoint=endpoint, version=version))
        shown = configuration.read(base, kind, pack, **scope.arguments)
        past = configuration.history(base, kind, pack, limit=_CHANGES + 1, **scope.arguments)
    form = configuration_form.fields(shown.schema)
    refusal = visit.refusal(Right.WRITE)
    state = {
        "meant": {"kind": kind, "pack": pack, "endpoint": scope.slug or "", "version": scope.version or ""},
        "text": shown.text,
        "seen": shown.version,
        "below": json.dumps(shown.without.value, ensure_ascii=False),
        "below_keys": _labels(visit, shown.without),
        "fields": [asdict(one) for one in form.fields],
        "can_write": not (refusal or scope.gone),
        "placeholder": PLACEHOLDER,
        "actor": visit.actor,
        "task_id": scope.named.task_id,
        "own": _label(visit, scope),
        "addresses": {
            name: visit.address(f"/configuration/{name}") for name in ("save", "remove", "restore", "stored")
        },
    }
    return visit.render(
        "configuration/edit.html",
        page="configuration",
        scope=scope,
        shown=shown,
        state=state,
        changes=[audit_words.line(visit.text, one) for one in past[:_CHANGES]],
        more=len(past) > _CHANGES,
        refusal=refusal or scope.gone,
        removal=refusal or ("" if shown.version else visit.text("configuration.nothing-stored")),
        run=visit.refusal(Right.RUN) or scope.gone,
        removal_leaves=_left(visit, shown.without),
    )


@routes.data("/configuration/stored")
def current(visit: Visit, kind: Kind, pack: str, endpoint: str = "", version: str = "") -> Response:
    """What is stored now, for a person whose text was refused."""
    with visit.open() as base:
        scope = _scope(visit, base, Meant(kind=kind, pack=pack, endpoint=endpoint, version=version))
        shown = configuration.read(base, kind, pack, **scope.arguments)
    return visit.json({"text": shown.text, "seen": shown.version})


@routes.act("/configuration/save", Right.WRITE)
def save(visit: Visit, new: Text) -> Response:
    """Store a text."""
    with visit.open() as base:
        scope = _writable(visit, base, new)
        saved = configuration.save(
            base,
            new.kind,
            new.pack,
            new.text,
            actor=visit.actor,
            seen=new.seen,
            plain=new.plain,
            **scope.arguments,
        )
    return visit.json({"seen": saved.version, "warnings": saved.warnings})


@routes.act("/configuration/remove", Right.WRITE)
def remove(visit: Visit, old: Seen) -> Response:
    """Remove what is stored, also of a pack or endpoint that is gone."""
    with visit.open() as base:
        scope = _scope(visit, base, old)
        removed = configuration.remove(base, old.kind, old.pack, actor=visit.actor, seen=old.seen, **scope.arguments)
    return visit.json({"removed": removed})


@routes.act("/configuration/restore", Right.WRITE)
def restore(visit: Visit, past: Past) -> Response:
    """Store again what once was."""
    with visit.open() as base:
        scope = _writable(visit, base, past)
        saved = configuration.restore(
            base,
            past.kind,
            past.pack,
            past.change,
            actor=visit.actor,
            seen=past.seen,
            before=past.before,
            **scope.arguments,
        )
    return visit.json({"seen": saved.version, "warnings": saved.warnings})


def _scope(visit: Visit, base: BaseConnection, meant: Meant) -> Scope:
    kind, pack = meant.kind, meant.pack
    slug = checked_slug(kind, pack, meant.endpoint)
    running = visit.environment.pack(kind, pack)
    external = sorted(stored.read(base, kind, pack).external, key=_order, reverse=True)
    named = Named(kind=kind, name=pack, version=running.version if running else "")
    if not named.version:
        recorded = packs.newest(base).get((kind, pack))
        named = Named(kind=kind, name=pack, version=recorded.version if recorded else next(iter(external), ""))
    gone = ""
    if running is None:
        gone = visit.text("configuration.pack-gone", pack=named.task_id, dag=visit.environment.dag_id)
    elif slug and not endpoints.registered_among(base, [slug]):
        gone = visit.text("configuration.endpoint-gone")
    version = None if slug else meant.version or named.version or None
    if version:
        configuration.check_version(version)
    known = sorted({*external, *filter(None, (named.version, version))}, key=_order, reverse=True)
    versions = [{"version": one, "uses": newest_not_above(one, external) or ""} for one in known]
    return Scope(kind=kind, pack=pack, slug=slug, version=version, named=named, gone=gone, versions=versions)


def _writable(visit: Visit, base: BaseConnection, meant: Meant) -> Scope:
    scope = _scope(visit, base, meant)
    if scope.gone:
        raise ConfigurationError(scope.gone, scope.named.task_id, visit.text("configuration.gone-hint"))
    return scope


def _order(version: str) -> tuple[bool, Any, str]:
    """Sorts versions; what is none, such as `master`, comes first."""
    number = parse(version)
    return (number is not None, number or parse("0"), version)


def _label(visit: Visit, scope: Scope) -> str:
    if scope.slug:
        return visit.text("configuration.js-of-endpoint")
    return visit.text("configuration.of-version", version=scope.version)


def _left(visit: Visit, without: configuration.Effective) -> str:
    """What runs get once a version's configuration is removed."""
    left = names.configuration_of(without.sources[0]) if without.sources else None
    if left is None:
        return visit.text("configuration.remove-version-none")
    return visit.text("configuration.remove-version-other", version=left.version)


def _labels(visit: Visit, effective: configuration.Effective) -> dict[str, dict[str, str]]:
    """Key -> in words where its value comes from, and the address of that; '' if the value is no object."""
    found = {}
    for key, source in (effective.keys or dict.fromkeys(("",), "".join(effective.sources))).items():
        if named := names.configuration_of(source):
            found[key] = {
                "label": visit.text("configuration.of-version", version=named.version),
                "address": visit.address(
                    "/configuration/edit", kind=named.kind, pack=named.pack, version=named.version
                ),
            }
    return found
