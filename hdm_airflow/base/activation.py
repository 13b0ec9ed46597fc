"""Activation: which packs run on which endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.base import incident_deactivation
from hdm_airflow.base.audit import record
from hdm_airflow.base.endpoints import stored_forms
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.endpoints import Registered
    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind


def activate(base: BaseConnection, kind: Kind, pack: str, endpoint: Registered, *, actor: str) -> bool:
    """Activate a pack for an endpoint.

    Returns:
        Whether anything changed.
    """
    values = {"pack": pack, "slug": endpoint.endpoint.slug}
    return _change(base, "activate", kind, values, actor)


def deactivate(base: BaseConnection, kind: Kind, pack: str, endpoint: Registered, *, actor: str) -> bool:
    """Deactivate a pack for an endpoint, whichever form of its slug is stored.

    Returns:
        Whether anything changed.
    """
    return deactivate_slug(base, kind, pack, endpoint.endpoint.slug, actor=actor)


def deactivate_slug(base: BaseConnection, kind: Kind, pack: str, slug: str, *, actor: str) -> bool:
    """Deactivate a pack for a slug in its canonical form. Text that is not a slug must equal the stored text.

    Open incidents of a rule pack are closed.

    Returns:
        Whether anything changed.
    """
    values = {"pack": pack, "slug": slug, "slugs": stored_forms(base, slug)}
    return _change(base, "deactivate", kind, values, actor)


def activated(base: BaseConnection) -> list[tuple[Kind, str, str]]:
    """Every (kind, pack, slug), sorted, as stored."""
    rows = base.execute(queries("activation")["all"])
    return [(row["kind"], row["pack"], row["slug"]) for row in rows]


def _change(base: BaseConnection, action: str, kind: Kind, values: dict[str, Any], actor: str) -> bool:
    with base.transaction():
        row = base.execute(queries("activation")[f"{action}_{kind}"], values).fetchone()
        if row is not None:
            if action == "deactivate" and kind == "rule":
                incident_deactivation.close(base, [values["pack"]], values["slug"], actor=actor)
            record(base, actor, action, f"{kind} pack {values['pack']} {values['slug']}", None, None)
    return row is not None
