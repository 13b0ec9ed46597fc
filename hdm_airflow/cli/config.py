"""`airflow hdm config get`, `set` and `list`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from hdm_airflow.admin import configuration, configuration_list
from hdm_airflow.base import configuration as stored_configuration
from hdm_airflow.base import endpoints
from hdm_airflow.base.configuration import Configuration, Configurations
from hdm_airflow.cli import pack_names
from hdm_airflow.cli.command import command
from hdm_airflow.cli.command_context import actor, open_base
from hdm_airflow.cli.console import compact, put, say, show, warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import files
from hdm_airflow.runner.home import expanded

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.pack_names import Named
    from hdm_airflow.base.hook import BaseConnection

MISSING = 1  # exit code: the configuration does not exist
_SHOWN = 60  # characters of a value in a table


@command
def get(args: Namespace) -> int:
    """Print a configuration: JSON, or the stored text."""
    pack = pack_names.find_one(args)
    _refuse_both(args)
    with open_base(args) as base:
        slug = endpoints.find(base, args.endpoint).endpoint.slug if args.endpoint else None
        stored = stored_configuration.read(base, pack.kind, pack.name)
    if args.effective:
        effective = configuration.merged(stored, find_version(pack, args), slug)
        for text in effective.warnings:
            warn(text)
        value = effective.value
        say(f"from: {', '.join(effective.sources) or 'nothing is stored; the pack gets an empty object'}")
    else:
        found = stored.for_endpoint(slug) if slug else _of_version(stored, find_version(pack, args))
        if not found.source:
            say(f"{pack.task_id} has no configuration for {slug or f'version {find_version(pack, args)}'}")
            return MISSING
        value = found.value
    put(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
    return 0


@command
def set_value(args: Namespace) -> int:
    """Store a configuration."""
    pack = pack_names.find_one(args)
    _refuse_both(args)
    text = _read(args)
    checked = configuration.check(text, plain=args.text)  # before the base is opened
    for warning in checked.warnings:
        warn(warning)
    with open_base(args) as base:
        version, slug = find_place(base, pack, args)
        saved = configuration.save(
            base,
            pack.kind,
            pack.name,
            text,
            actor=actor(),
            version=version,
            slug=slug,
            plain=args.text,
            running=pack,
        )
    for warning in saved.warnings:
        if warning not in checked.warnings:
            warn(warning)
    say(f"{pack.task_id} is configured for {slug or f'version {version}'}")
    return 0


@command
def list_all(args: Namespace) -> int:
    """List every configuration; one that cannot be decoded shows the error in place of its value."""
    with open_base(args) as base:
        rows = configuration_list.listed(base, pack_names.catalog(args.packs_dir))
    if args.output == "table":
        rows = [{**row, "value": compact(row["value"], _SHOWN)} for row in rows]
    show(rows, args.output)
    return 0


def find_place(
    base: BaseConnection, pack: Named, args: Namespace, *, gone: bool = False
) -> tuple[str | None, str | None]:
    """The version and the slug that `--version` and `--endpoint` mean: one of the two.

    Args:
        base: the connection.
        pack: the pack.
        args: the arguments.
        gone: whether the endpoint may be one that is no longer registered.

    Raises:
        ConfigurationError: if both are given, there is no such endpoint, or no version is given or known.
    """
    _refuse_both(args)
    if args.endpoint:
        if gone:
            return None, endpoints.find_slug(base, args.endpoint)
        return None, endpoints.find(base, args.endpoint).endpoint.slug
    return find_version(pack, args), None


def find_version(pack: Named, args: Namespace) -> str:
    """The version that `--version` means, by default the pack's own.

    Raises:
        ConfigurationError: if it is no version, or none is given and the pack's is not known.
    """
    version: str = args.version or pack.version
    if not version:
        raise ConfigurationError(f"the version of {pack.task_id} is unknown", "packs folder", "give --version")
    configuration.check_version(version, "--version")
    return version


def _refuse_both(args: Namespace) -> None:
    if args.endpoint and args.version and not getattr(args, "effective", False):
        raise ConfigurationError("--endpoint and --version cannot be used together", "options", "give one of the two")


def _of_version(stored: Configurations, version: str) -> Configuration:
    """The configuration of exactly this version: a lower version's is a fallback for packs only."""
    return stored.for_version(version) if version in stored.external else stored_configuration.NONE


def _read(args: Namespace) -> str:
    if (args.value is None) == (args.file is None):
        raise ConfigurationError(
            "exactly one value is required", "VALUE or --file", "give one of the two; - reads stdin"
        )
    if args.file is None and args.value != "-":
        return str(args.value)
    name = args.file or "stdin"
    try:
        content = sys.stdin.buffer.read() if args.file in (None, "-") else files.read_bytes(expanded(args.file))
        return files.decode(content)[0]
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", name, "correct --file") from None
    except files.Unreadable as error:
        raise ConfigurationError(f"the file {error.reason}", f"{name}:{error.place}".rstrip(":"), error.hint) from None
