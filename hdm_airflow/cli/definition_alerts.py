"""The commands of `airflow hdm alerts`, declared."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import BASE, LIMIT, OUTPUT, action, arg, day

ALERTS = GroupCommand(
    name="alerts",
    help="What rule packs found",
    subcommands=(
        action(
            "list",
            "List alerts, the most severe first",
            "alerts.list_alerts",
            (
                arg(
                    "--date",
                    type=day,
                    metavar="YYYY-MM-DD",
                    help="The metric date (default: of each endpoint, the newest that a rule pack has judged)",
                ),
                arg("--endpoint", metavar="ENDPOINT", help="Slug, or a database name that only one endpoint has"),
                arg("--pack", metavar="PACK", help="A rule pack: basic or rp_basic"),
                arg(
                    "--level",
                    type=str.capitalize,
                    choices=("High", "Warning", "Info"),
                    default="Info",
                    help="This level and those above it: High, Warning or Info (default)",
                ),
                arg("--table", metavar="TABLE", help="Only alerts of this table"),
                arg(
                    "--new",
                    action="store_true",
                    help="Only new alerts",
                ),
                LIMIT,
                *BASE,
                OUTPUT,
            ),
            example="airflow hdm alerts list --level Warning --new",
            more="An alert is new if its pack did not have it on the date that it judged before; on the first date, "
            "all are new. stderr says which metric dates the list covers, how many alerts there are, and which "
            "endpoints were not judged, or only in part, and why: there, no alert does not mean that all is well. json "
            "and yaml also have the observed value, the former value and the threshold.",
        ),
    ),
)
