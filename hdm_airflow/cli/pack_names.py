"""Which packs PACK, `--kind` and `--packs-dir` mean on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdm_airflow.admin import pack_names
from hdm_airflow.cli.command_context import packs_folder
from hdm_airflow.cli.console import warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.catalog import Catalog

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.pack_names import Named


def find(args: Namespace) -> list[Named]:
    """The packs that they mean: one, or a metric and a rule pack with the same name.

    Raises:
        ConfigurationError: if the kind is not clear.
    """
    found = pack_names.find(args.pack, args.kind, packs_folder(args.packs_dir))
    for text in found.warnings:
        warn(text)
    return list(found.packs)


def find_one(args: Namespace) -> Named:
    """The single pack that they mean.

    Raises:
        ConfigurationError: if they mean two packs, or the kind is not clear.
    """
    return pack_names.the_only(args.pack, find(args))


def catalog(packs_dir: str | None) -> Catalog | None:
    """The packs of the packs folder; None if it cannot be read."""
    try:
        return Catalog.scan(packs_folder(packs_dir))
    except ConfigurationError:
        return None
