"""The commands of `airflow hdm`, as Airflow's command line loads them."""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, GroupCommand

from hdm_airflow.cli.arguments import (
    BASE,
    DATE,
    ENVIRONMENT,
    KIND,
    LIMIT,
    OUTPUT,
    PACK,
    PACKS_DIR,
    YES,
    Trailing,
    action,
    arg,
    several,
)
from hdm_airflow.cli.definition_alerts import ALERTS
from hdm_airflow.cli.definition_audit import AUDIT
from hdm_airflow.cli.definition_config import CONFIG
from hdm_airflow.cli.definition_incidents import INCIDENTS
from hdm_airflow.cli.definition_subscriptions import SUBSCRIPTIONS
from hdm_airflow.cli.definition_venvs import VENVS
from hdm_airflow.cli.packs.definition import PACKS


def get_hdm_cli_commands() -> list[ActionCommand | GroupCommand]:
    """The group of commands that this provider adds."""
    text = "Data quality packs: check, run and configure them"
    return [
        GroupCommand(
            name="hdm",
            help=text,
            subcommands=(
                PACKS,
                VENVS,
                DB,
                ENDPOINTS,
                *ACTIVATION,
                CONFIG,
                RUNS,
                ALERTS,
                INCIDENTS,
                SUBSCRIPTIONS,
                AUDIT,
            ),
        )
    ]


DB = GroupCommand(
    name="db",
    help="Create, upgrade and check the tables of the HDM base",
    subcommands=(
        action(
            "upgrade",
            "Create the tables of the HDM base, or upgrade them to this release's version",
            "db.upgrade",
            BASE,
            example="airflow hdm db upgrade",
            exit_codes="0 current, 1 current, but the rights of a role could not be repeated, 2 not upgraded",
            more="Safe to repeat. No data is lost; a migration that fails changes nothing. Roles with the rights of "
            "packs (db grant) get them on new tables too.",
        ),
        action(
            "check",
            "Check whether the HDM base has the version and the tables that this release needs, and can be written",
            "db.check",
            BASE,
            example="airflow hdm db check",
            exit_codes="0 current, 1 not current or different, 2 the base cannot be reached or written",
            more="Rolls back what it writes. Warns if packs have rights on the base that they do not need, or lack "
            "rights that they need.",
        ),
        action(
            "grant",
            "Give packs their own role on the HDM base, which can change neither activation nor configuration",
            "db.grant",
            (
                arg("role", metavar="ROLE", help="An existing role that may log in and has no other rights"),
                several("--move", "TABLE", "Hand over these tables, which packs created earlier, with their rows"),
                *BASE,
            ),
            example="airflow hdm db grant hdm_packs --move metric_basic metric_basic_levels",
            more="Runs on the owner's connection. Safe to repeat; db upgrade repeats it. Packs then create "
            "their tables in a schema named after the role. Set pack_conn_id to a connection that logs in as the role.",
        ),
    ),
)

_ENDPOINT = arg("endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has")
_ENDPOINTS = Trailing("endpoints", nargs="*", metavar="ENDPOINT", help="Slugs, or database names (default: all)")
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
            "Add an endpoint, or change the connection of an existing one",
            "endpoints.add",
            (
                Trailing("slug", nargs="?", metavar="SLUG", help="name:type:host:port:user:ssl, or only the name"),
                arg("--name", help="Name of the database"),
                arg("--type", help="postgres, mysql, mariadb, sqlite, or another type that your packs support"),
                arg("--host", help="Host name or address; for SQLite, the file's absolute path"),
                arg("--port", help="Port (default: the usual port of the type)"),
                arg("--user", help="User name, preferably of a read-only account"),
                arg("--ssl", action="store_true", help="Connect with TLS"),
                arg(
                    "--conn-id",
                    metavar="ID",
                    help="Airflow connection that holds the password (default: hdm_ and the name); '' resets it",
                ),
                arg("--base-conn-id", metavar="ID", help="Airflow connection of the HDM base"),
                ENVIRONMENT,
            ),
            example="airflow hdm endpoints add heart --type postgres --host db.example --port 5432 --user reader --ssl",
            more="Never put a password here: keep it in an Airflow connection. The slug is printed on stdout.",
        ),
        action(
            "rename",
            "Give an endpoint another slug, with its activations, configuration, metrics, alerts and runs",
            "endpoints.rename",
            (_ENDPOINT, arg("new", metavar="NEW", help="The new slug: name:type:host:port:user:ssl"), YES, *BASE),
            example="airflow hdm endpoints rename heart heart:postgres:new.example:5432:reader:true --yes",
            exit_codes="0 renamed, 1 not confirmed, 2 wrong usage or configuration, or packs are running",
            more="Pause the Dag first. If it is interrupted, repeat it with both slugs: it continues. Until then, "
            "packs fail on this endpoint.",
        ),
        action(
            "remove",
            "Remove an endpoint and its activations; metrics, alerts and runs stay",
            "endpoints.remove",
            (_ENDPOINT, YES, *BASE),
            example="airflow hdm endpoints remove heart --yes",
            exit_codes="0 removed, 1 not confirmed, 2 wrong usage or configuration",
        ),
        action(
            "test",
            "Connect to endpoints with the passwords that packs would get",
            "endpoint_test.test",
            (_ENDPOINTS, *BASE, OUTPUT),
            example="airflow hdm endpoints test heart",
            exit_codes="0 all reachable, 1 at least one unreachable, 2 wrong usage or configuration",
            more="Writes nothing and shows no password.",
        ),
    ),
)

_ALL = arg("--all", action="store_true", help="All endpoints")
_ACTIVATION = (PACK, _SOME_ENDPOINTS, _ALL, KIND, PACKS_DIR, *BASE)

ACTIVATION = (
    action(
        "activate",
        "Activate a pack on endpoints",
        "activation.activate",
        _ACTIVATION,
        example="airflow hdm activate basic heart",
        more="If a metric pack and a rule pack share the name, both are activated.",
    ),
    action(
        "deactivate",
        "Deactivate a pack on endpoints; its metrics stay",
        "activation.deactivate",
        _ACTIVATION,
        example="airflow hdm deactivate rp_basic heart",
    ),
)

RUNS = GroupCommand(
    name="runs",
    help="The ledger: every run of every pack on every endpoint",
    subcommands=(
        action(
            "list",
            "List pack runs, newest first",
            "runs.list_recent",
            (
                arg("--pack", metavar="PACK", help="basic, mp_basic or rp_basic"),
                arg("--endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has"),
                arg(
                    "--status",
                    choices=("running", "success", "partial", "failed", "skipped"),
                    help="Only runs of this status",
                ),
                DATE,
                LIMIT,
                *BASE,
                OUTPUT,
            ),
            example="airflow hdm runs list --pack mp_basic --status failed",
        ),
    ),
)
