"""Activation: which packs run on which endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.base.audit import record
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from hdm_airflow.base.endpoints import Registered
    from hdm_airflow.base.hook import Base
    from hdm_airflow.packs.manifest import Kind


def activate(base: Base, kind: Kind, pack: str, endpoint: Registered, *, actor: str) -> bool:
    """Activate a pack for an endpoint.

    Returns:
        Whether that changed anything.
    """
    return _change(base, "activate", kind, pack, endpoint, actor)


def deactivate(base: Base, kind: Kind, pack: str, endpoint: Registered, *, actor: str) -> bool:
    """Deactivate a pack for an endpoint, in whatever form its slug was stored.

    Returns:
        Whether that changed anything.
    """
    return _change(base, "deactivate", kind, pack, endpoint, actor)


def activated(base: Base) -> list[tuple[Kind, str, str]]:
    """Every (kind, pack, slug), sorted, as stored."""
    rows = base.execute(queries("activation")["all"])
    return [(row["kind"], row["pack"], row["slug"]) for row in rows]


def _change(base: Base, action: str, kind: Kind, pack: str, endpoint: Registered, actor: str) -> bool:
    slug = endpoint.endpoint.slug
    with base.transaction():
        row = base.execute(queries("activation")[f"{action}_{kind}"], {"pack": pack, "slug": slug}).fetchone()
        if row is not None:
            record(base, actor, action, f"{kind} pack {pack} {slug}", None, None)
    return row is not None
