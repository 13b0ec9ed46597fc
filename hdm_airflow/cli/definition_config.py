"""The commands of `airflow hdm config`, declared."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import (
    BASE,
    KIND,
    LIMIT,
    OUTPUT,
    PACK,
    PACKS_DIR,
    YES,
    Trailing,
    action,
    arg,
    number,
)

_OF_ENDPOINT = arg("--endpoint", metavar="ENDPOINT", help="The configuration of this endpoint only")
_OF_VERSION = arg(
    "--version", metavar="VERSION", help="The external configuration of this version (default: the pack's own)"
)

_REST = (KIND, PACKS_DIR, *BASE)

CONFIG = GroupCommand(
    name="config",
    help="The configuration of packs: external (for all endpoints), and per endpoint",
    subcommands=(
        action(
            "get",
            "Print a configuration",
            "config.get",
            (
                PACK,
                _OF_ENDPOINT,
                _OF_VERSION,
                arg("--effective", action="store_true", help="Merged as the pack gets it, with its sources on stderr"),
                *_REST,
            ),
            example="airflow hdm config get mp_basic --endpoint heart --effective",
            exit_codes="0 printed, 1 not found, 2 wrong usage or configuration",
        ),
        action(
            "set",
            "Replace a configuration; the audit trail keeps the previous one",
            "config.set_value",
            (
                PACK,
                Trailing("value", nargs="?", metavar="VALUE", help="JSON, usually an object; - reads stdin"),
                arg("--file", metavar="FILE", help="Read the value from a file"),
                arg("--text", action="store_true", help="Store plain text, not JSON"),
                _OF_ENDPOINT,
                _OF_VERSION,
                *_REST,
            ),
            example="""airflow hdm config set mp_basic --endpoint heart '{"min_count": 10}'""",
            more="Refused if it does not fit the pack's config.schema.json: an unknown key, or a wrong value. The "
            "value '(hidden: unchanged)', which stands for a secret where one is hidden, keeps the stored secret.",
        ),
        action(
            "list",
            "List every stored configuration",
            "config.list_all",
            (PACKS_DIR, *BASE, OUTPUT),
            example="airflow hdm config list --output json",
        ),
        action(
            "remove",
            "Remove a configuration; its history stays",
            "config_history.remove",
            (PACK, _OF_ENDPOINT, _OF_VERSION, YES, *_REST),
            example="airflow hdm config remove mp_basic --endpoint heart --yes",
            exit_codes="0 removed, 1 not confirmed or not found, 2 wrong usage or configuration",
        ),
        action(
            "history",
            "List the changes of a configuration with their differences, newest first",
            "config_history.history",
            (PACK, _OF_ENDPOINT, _OF_VERSION, LIMIT, *_REST, OUTPUT),
            example="airflow hdm config history mp_basic --endpoint heart",
            more="Values whose keys look like secrets are hidden. json and yaml also have the whole texts.",
        ),
        action(
            "restore",
            "Store a configuration again as it was after a change",
            "config_history.restore",
            (
                PACK,
                arg("change", type=number, metavar="ID", help="The change, as config history lists it"),
                arg("--before", action="store_true", help="As it was before the change"),
                _OF_ENDPOINT,
                _OF_VERSION,
                *_REST,
            ),
            example="airflow hdm config restore mp_basic 1234 --endpoint heart",
            more="Also a removed one. Refused if it no longer fits the pack's config.schema.json.",
        ),
    ),
)
