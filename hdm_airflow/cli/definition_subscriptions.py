"""The commands of `airflow hdm subscriptions`, declared."""

from __future__ import annotations

from airflow.cli.cli_config import GroupCommand

from hdm_airflow.cli.arguments import BASE, OUTPUT, YES, Trailing, action, arg, number


def subscription_id(text: str) -> int:
    """An id as argparse reads it."""
    value = number(text)
    if value >= 2**31:  # the base's integer
        raise ValueError(text)
    return value


_ID = arg("id", type=subscription_id, metavar="ID", help="Id of the subscription")
_ADDRESSES = Trailing(
    "recipients", nargs="+", metavar="ADDRESS", help="Mail addresses; with --channel apprise, an Airflow connection"
)
_NEW_ADDRESSES = arg(
    "--to", dest="recipients", nargs="+", metavar="ADDRESS", help="The addresses, or the connection, from now on"
)
_PATTERN = arg("pattern", metavar="PATTERN", help="An address, or a domain as @hospital.example")
_WISHES = (
    arg("--pack", metavar="PACK", help="Only incidents of this rule pack: basic or rp_basic; '': of all"),
    arg(
        "--endpoint",
        metavar="ENDPOINT",
        help="Only those of this endpoint: slug, or a database name that only one has; '': of all",
    ),
    arg(
        "--level",
        type=str.capitalize,
        choices=("High", "Warning", "Info"),
        help="This level and those above it: High, Warning or Info",
    ),
    arg(
        "--class",
        dest="alert_class",
        type=str.upper,
        metavar="CLASS",
        help="Only alerts of this class: METRIQUE, METRICCOMPARE, DATA or SCHEMA; '': of all",
    ),
    arg(
        "--tag",
        dest="tags",
        action="append",
        metavar="TAG",
        help="Only rules with this tag; repeated: with all of them; '': whatever their tags",
    ),
    arg("--owner", metavar="NAME", help="Only rules with this owner; '': of all"),
    arg("--language", choices=("en", "fr"), help="Language of its messages: en or fr (default: of the setting)"),
    arg(
        "--resolved",
        action="store_true",
        default=None,
        help="Also tell what is over (the default of a new subscription)",
    ),
    arg("--no-resolved", dest="resolved", action="store_false", default=None, help="Do not tell what is over"),
    arg("--heartbeat", action="store_true", default=None, help="Send a message each night, also without news"),
    arg("--no-heartbeat", dest="heartbeat", action="store_false", default=None, help="Send none without news"),
    arg("--channel", choices=("mail", "apprise"), help="How to send it: mail (default) or apprise"),
)

SUBSCRIPTIONS = GroupCommand(
    name="subscriptions",
    help="Who is told about which incidents",
    subcommands=(
        action(
            "list",
            "List subscriptions, and what of their messages was not delivered",
            "subscriptions.list_subscriptions",
            (*BASE, OUTPUT),
            example="airflow hdm subscriptions list",
            exit_codes="0 done, 1 at least one cannot be read, 2 wrong usage or configuration, 130 interrupted",
            more="Rows of the original are listed too. stderr says which cannot be read and why, and what waits or was "
            "refused.",
        ),
        action(
            "add",
            "Tell people about incidents",
            "subscriptions.add",
            (_ADDRESSES, *_WISHES, *BASE),
            example="airflow hdm subscriptions add ward3@hospital.example --endpoint heart --level Warning",
            more="An incident must meet all filters. What happened before is not told. The id is printed on stdout.",
        ),
        action(
            "change",
            "Change a subscription; what is not stated stays",
            "subscriptions.change",
            (_ID, _NEW_ADDRESSES, *_WISHES, *BASE),
            example="airflow hdm subscriptions change 1 --level High --heartbeat",
            more="Messages that wait are sent as they are.",
        ),
        action(
            "remove",
            "Remove a subscription; messages that wait are not sent any more",
            "subscriptions.remove",
            (_ID, YES, *BASE),
            example="airflow hdm subscriptions remove 1 --yes",
            exit_codes="0 removed, 1 not confirmed, 2 wrong usage or configuration",
        ),
        action(
            "test",
            "Send a message to a subscription now, and say what became of it",
            "subscriptions.test",
            (_ID, *BASE, OUTPUT),
            example="airflow hdm subscriptions test 1",
            exit_codes="0 sent to all, 1 not sent to all, 2 wrong usage or configuration",
            more="Uses the setting notify of the environment. Writes nothing.",
        ),
        action(
            "allow",
            "Let everybody subscribe an address, or all of a domain",
            "subscriptions.allow",
            (_PATTERN, *BASE),
            example="airflow hdm subscriptions allow @hospital.example",
            more="People who may change the configuration need no permission.",
        ),
        action(
            "disallow",
            "Let them no longer; subscriptions stay",
            "subscriptions.disallow",
            (_PATTERN, *BASE),
            example="airflow hdm subscriptions disallow @hospital.example",
        ),
    ),
)
