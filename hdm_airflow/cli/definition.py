"""The commands of `airflow hdm`, as Airflow's command line loads them."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, GroupCommand

from hdm_airflow.cli.definition_venvs import VENVS
from hdm_airflow.cli.options import (
    BASE,
    DATE,
    ENVIRONMENT,
    KIND,
    LIMIT,
    OUTPUT,
    PACKS_DIR,
    YES,
    Trailing,
    action,
    arg,
    several,
)
from hdm_airflow.cli.packs.definition import PACKS


def get_hdm_cli_commands() -> list[ActionCommand | GroupCommand]:
    """The one group that this provider adds."""
    text = "Data quality packs: check, run and configure them"
    return [GroupCommand(name="hdm", help=text, subcommands=(PACKS, VENVS, DB, ENDPOINTS, *ACTIVATION, CONFIG, RUNS))]


DB = GroupCommand(
    name="db",
    help="The HDM base: make, upgrade and check its tables",
    subcommands=(
        action(
            "upgrade",
            "Make the tables of the HDM base, or bring them to this release's version",
            "db.upgrade",
            BASE,
            example="airflow hdm db upgrade",
            more="Safe to repeat. Nothing is lost; a migration that fails leaves nothing behind.",
        ),
        action(
            "check",
            "Tell whether the HDM base has the version that this release needs",
            "db.check",
            BASE,
            example="airflow hdm db check",
            exit_codes="0 current, 1 not current, 2 the base cannot be reached",
            more="Warns where packs have rights on the base that they do not need, or lack some.",
        ),
        action(
            "grant",
            "Give packs a role of their own on the HDM base, which can change neither activation nor configuration",
            "db.grant",
            (
                arg("role", metavar="ROLE", help="A role that exists on the server, may log in, and is nothing else"),
                several("--move", "TABLE", "Tables that packs made before: hand them over, with their rows"),
                *BASE,
            ),
            example="airflow hdm db grant hdm_packs --move metric_basic metric_basic_levels",
            more="Run by the owner's connection; safe to repeat, and to be repeated after an upgrade. Packs then make "
            "their tables in a schema of the role's name. Name the role's own connection as pack_conn_id.",
        ),
    ),
)

_ENDPOINT = arg("endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has")
_ENDPOINTS = Trailing("endpoints", nargs="*", metavar="ENDPOINT", help="Slugs, or database names; none: all")
_SOME_ENDPOINTS = Trailing("endpoints", nargs="*", metavar="ENDPOINT", help="Slugs, or database names")

ENDPOINTS = GroupCommand(
    name="endpoints",
    help="The databases that packs work on",
    subcommands=(
        action(
            "list",
            "List the endpoints, and the packs activated on each",
            "endpoints.list_all",
            (*BASE, OUTPUT),
            example="airflow hdm endpoints list",
        ),
        action(
            "add",
            "Add an endpoint, or change the connection of one that is there",
            "endpoints.add",
            (
                Trailing("slug", nargs="?", metavar="SLUG", help="name:type:host:port:user:ssl, or the name alone"),
                arg("--name", help="Name of the database"),
                arg("--type", help="postgres, mysql, mariadb, sqlite, or what your packs know"),
                arg("--host", help="Host name or address; SQLite: the file's absolute path"),
                arg("--port", help="Port; left out: the type's usual one"),
                arg("--user", help="User name; best one that may only read"),
                arg("--ssl", action="store_true", help="Connect with TLS"),
                arg(
                    "--conn-id",
                    metavar="ID",
                    help="Airflow connection that holds the password (default: hdm_ and the name); '' takes it away",
                ),
                arg("--base-conn-id", metavar="ID", help="Airflow connection of the HDM base"),
                ENVIRONMENT,
            ),
            example="airflow hdm endpoints add heart --type postgres --host db.example --port 5432 --user reader --ssl",
            more="The password never belongs here: keep it in an Airflow connection. The slug is printed on stdout.",
        ),
        action(
            "remove",
            "Remove an endpoint and its activations; metrics, alerts and runs stay",
            "endpoints.remove",
            (_ENDPOINT, YES, *BASE),
            example="airflow hdm endpoints remove heart --yes",
            exit_codes="0 removed, 1 you said no, 2 wrong usage or configuration",
        ),
        action(
            "test",
            "Connect to endpoints with the passwords that packs would get",
            "endpoint_test.test",
            (_ENDPOINTS, *BASE, OUTPUT),
            example="airflow hdm endpoints test heart",
            exit_codes="0 all reachable, 1 one is not, 2 wrong usage or configuration",
            more="Nothing is written, no password is shown.",
        ),
    ),
)

_PACK = arg("pack", metavar="PACK", help="basic, mp_basic (metric pack) or rp_basic (rule pack)")
_ALL = arg("--all", action="store_true", help="All endpoints")
_ACTIVATION = (_PACK, _SOME_ENDPOINTS, _ALL, KIND, PACKS_DIR, *BASE)

ACTIVATION = (
    action(
        "activate",
        "Let a pack run on endpoints",
        "activation.activate",
        _ACTIVATION,
        example="airflow hdm activate basic heart",
        more="A bare name that a metric and a rule pack share activates both.",
    ),
    action(
        "deactivate",
        "Let a pack run on endpoints no longer; what it has measured stays",
        "activation.deactivate",
        _ACTIVATION,
        example="airflow hdm deactivate rp_basic heart",
    ),
)

_OF_ENDPOINT = arg("--endpoint", metavar="ENDPOINT", help="The configuration of this endpoint alone")
_OF_VERSION = arg(
    "--version", metavar="VERSION", help="The external configuration of this version (default: the pack's own)"
)

CONFIG = GroupCommand(
    name="config",
    help="What packs are told: for all endpoints (external), and for one",
    subcommands=(
        action(
            "get",
            "Print a configuration",
            "config.get",
            (
                _PACK,
                _OF_ENDPOINT,
                _OF_VERSION,
                arg("--effective", action="store_true", help="As the pack will get it, with its sources on stderr"),
                KIND,
                PACKS_DIR,
                *BASE,
            ),
            example="airflow hdm config get mp_basic --endpoint heart --effective",
            exit_codes="0 printed, 1 there is none, 2 wrong usage or configuration",
        ),
        action(
            "set",
            "Store a configuration in place of the former one, which the audit trail keeps",
            "config.set_value",
            (
                _PACK,
                Trailing("value", nargs="?", metavar="VALUE", help="JSON, mostly an object; - reads it from stdin"),
                arg("--file", metavar="FILE", help="Read the value from a file"),
                arg("--text", action="store_true", help="It is plain text: do not insist on JSON"),
                _OF_ENDPOINT,
                _OF_VERSION,
                KIND,
                PACKS_DIR,
                *BASE,
            ),
            example="""airflow hdm config set mp_basic --endpoint heart '{"min_count": 10}'""",
        ),
        action(
            "list",
            "List every stored configuration",
            "config.list_all",
            (*BASE, OUTPUT),
            example="airflow hdm config list --output json",
        ),
    ),
)

RUNS = GroupCommand(
    name="runs",
    help="The ledger: what every pack did on every endpoint",
    subcommands=(
        action(
            "list",
            "List pack runs, newest first",
            "runs.list_recent",
            (
                arg("--pack", metavar="PACK", help="basic, mp_basic or rp_basic"),
                arg("--endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has"),
                arg("--status", choices=("running", "success", "partial", "failed", "skipped"), help="How it ended"),
                DATE,
                LIMIT,
                *BASE,
                OUTPUT,
            ),
            example="airflow hdm runs list --pack mp_basic --status failed",
        ),
    ),
)
