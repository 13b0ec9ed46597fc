"""Assignments: the endpoints activated for one pack, each with its configuration, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdm_airflow.base.configuration import Configurations
from hdm_airflow.base.endpoints import Registered, canonical
from hdm_airflow.base.queries import queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hdm_airflow.base.hook import BaseConnection
    from hdm_airflow.packs.manifest import Kind


@dataclass(frozen=True, kw_only=True)
class Assignments:
    """What the base assigns to one pack."""

    slugs: tuple[str, ...]  # canonical, sorted: the endpoints activated for the pack
    endpoints: Mapping[str, Registered]  # slug -> every registered endpoint
    required: frozenset[tuple[str, str]]  # activated (metric pack, slug) of the metric packs that it requires
    configurations: Configurations
    recorded: str | None = None  # digest of the pack's content, as recorded last; None if this version never ran


def read(base: BaseConnection, kind: Kind, pack: str, required: Sequence[str], *, version: str = "") -> Assignments:
    """Read the assignments of a pack.

    Rows may have been written by other programs: duplicates count once, and slugs are compared in their canonical form.

    Args:
        base: the connection.
        kind: of the pack.
        pack: its name.
        required: names of the metric packs that it requires.
        version: of the pack, for `recorded`.
    """
    values = {"kind": kind, "pack": pack, "required": list(required), "version": version}
    row = base.execute(queries("assignments")["read"], values).fetchone()
    assert row is not None  # noqa: S101  # a SELECT of sub-selects gives one row
    endpoints = {one.endpoint.slug: one for one in map(Registered.from_row, row["endpoints"])}
    activations = {(one["kind"], one["pack"]): set(map(canonical, one["slugs"])) for one in row["activations"]}
    return Assignments(
        slugs=tuple(sorted(activations.get((kind, pack), ()))),
        endpoints=endpoints,
        required=frozenset((name, slug) for name in required for slug in activations.get(("metric", name), ())),
        configurations=Configurations.from_rows(kind, pack, row["configurations"]),
        recorded=row["recorded"],
    )
