"""Quarantine: whether a pack that cannot run is needed anywhere, so that its task must be red."""

from __future__ import annotations

from hdm_airflow.base import activation
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.packs.pack import Pack

#: With one of these, the manifest may have another name than the pack got from its folder.
_NAMELESS = {"folder-unreadable", "manifest-missing", "manifest-unreadable", "name-missing", "name-bad"}


def is_needed(pack: Pack, conn_id: str) -> bool:
    """Whether a quarantined pack is, or might be, activated on an endpoint of an HDM base.

    Its name may be unknown. It might then be each pack that is activated and is not in the packs folder otherwise.

    Args:
        pack: the pack.
        conn_id: Airflow connection of the HDM base.

    Raises:
        HdmError: if the base cannot be asked.
    """
    hook = HdmHook(conn_id)
    hook.load()
    with hook.session() as base:
        kinds = {"metric", "rule"} if _has(pack, {"kind-unknown"}) else {pack.kind}
        activated = {(kind, name) for kind, name, _ in activation.activated(base) if kind in kinds}
    if not _has(pack, _NAMELESS):
        return any((kind, pack.name) in activated for kind in kinds)
    present = {(one.kind, one.name) for one in Catalog.scan(pack.packs_folder).every if not _has(one, _NAMELESS)}
    return bool(activated - present)


def _has(pack: Pack, codes: set[str]) -> bool:
    return any(finding.code in codes for finding in pack.findings)
