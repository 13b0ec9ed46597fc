"""`airflow hdm subscriptions list`, `add`, `change`, `remove`, `test`, `allow` and `disallow`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.admin import subscriptions
from hdm_airflow.admin.subscriptions import Wish
from hdm_airflow.base.subscriptions import allowed
from hdm_airflow.cli.command import DECLINED, command
from hdm_airflow.cli.command_context import actor, choose_environment, open_base
from hdm_airflow.cli.console import agreed, put, say, show, warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs.pack import PREFIX
from hdm_airflow.settings import Settings
from hdm_airflow.variable import WHERE

if TYPE_CHECKING:
    from argparse import Namespace

    from hdm_airflow.admin.subscriptions import Listed

_WISHES = ("recipients", "channel", "pack", "endpoint", "level", "alert_class", "tags", "owner", "language", "resolved")


@command
def list_subscriptions(args: Namespace) -> int:
    """List every subscription; say on stderr what is wrong with it, and what was not delivered."""
    with open_base(args) as base:
        found = subscriptions.listed(base)
        patterns = [row["pattern"] for row in allowed(base)]
    show([_row(one) for one in found], args.output)
    for one in found:
        number = one.subscription.id
        if one.subscription.flaw:
            what = f"subscription {number} cannot be read: {one.subscription.flaw}"
            warn(f"{what}\ndo: airflow hdm subscriptions change {number} ..., or remove {number}")
        for row in one.undelivered:
            warn(f"subscription {number}: {_undelivered(row)}")
    if patterns:
        say(f"everybody may subscribe: {', '.join(patterns)}")
    return int(any(one.subscription.flaw for one in found))


@command
def add(args: Namespace) -> int:
    """Add a subscription and print its id."""
    with open_base(args) as base:
        number = subscriptions.add(base, _wish(args), actor=actor())
    say(f"subscription {number} was added; try it: airflow hdm subscriptions test {number}")
    put(str(number))
    return 0


@command
def change(args: Namespace) -> int:
    """Change a subscription."""
    wish = _wish(args)
    if wish == Wish():
        raise ConfigurationError("nothing is stated to change", "the command line", "see --help for what can be")
    with open_base(args) as base:
        changed = subscriptions.change(base, args.id, wish, actor=actor())
    say(f"subscription {args.id} was changed" if changed else f"subscription {args.id} is so already, unchanged")
    return 0


@command
def remove(args: Namespace) -> int:
    """Remove a subscription, after confirmation."""
    with open_base(args) as base:
        found = subscriptions.find(base, args.id)
        name = f"subscription {found.id} of {', '.join(found.recipients) or 'nobody'}"
        if not args.yes and not agreed(f"Remove {name}?", f"subscription {found.id}"):
            say("nothing was removed")
            return DECLINED
        count = subscriptions.remove(base, found, actor=actor())
    say(f"{name} was removed" + (f"; messages not sent any more: {count:,}" if count else ""))
    return 0


@command
def test(args: Namespace) -> int:
    """Send a message to a subscription, and show what became of it for each recipient."""
    from hdm_airflow.notify import trial
    from hdm_airflow.operators.notify import site

    settings = Settings.load()
    name, environment = choose_environment(settings, args.environment, args.conn_id)
    options = settings.notify_for(environment)
    if options is None:
        what = f"the environment {name} has no setting notify: nobody is told anything"
        raise ConfigurationError(what, WHERE, 'add it, for example {"notify": {"smtp_conn_id": "smtp_default"}}')
    with open_base(args) as base:
        found = subscriptions.find(base, args.id)
    if found.flaw:
        hint = f"airflow hdm subscriptions change {found.id} ..."
        raise ConfigurationError(f"subscription {found.id} cannot be read: {found.flaw}", "hdm_core_mail_list", hint)
    deliveries = trial.send(found, site(name or ""), options)
    show([{"recipient": to, "state": one.state, "answer": one.reason} for to, one in deliveries.items()], args.output)
    return int(any(one.state != "sent" for one in deliveries.values()))


@command
def allow(args: Namespace) -> int:
    """Allow an address or domain."""
    with open_base(args) as base:
        new = subscriptions.allow(base, args.pattern, actor=actor())
    say(f"everybody may subscribe {args.pattern}" + ("" if new else " already"))
    return 0


@command
def disallow(args: Namespace) -> int:
    """Allow it no longer."""
    with open_base(args) as base:
        was = subscriptions.disallow(base, args.pattern, actor=actor())
    say(f"{args.pattern} is allowed no longer; subscriptions stay" if was else f"{args.pattern} was not allowed")
    return 0


def _wish(args: Namespace) -> Wish:
    return Wish(**{name: getattr(args, name) for name in (*_WISHES, "heartbeat")})


def _row(one: Listed) -> dict[str, Any]:
    found, wanted = one.subscription, one.subscription.filter
    return {
        "id": found.id,
        "channel": found.channel,
        "to": list(found.recipients),
        "pack": wanted.pack and PREFIX["rule"] + wanted.pack,
        "endpoint": wanted.endpoint,
        "level": wanted.level,
        "class": list(wanted.classes),
        "tags": list(wanted.tags),
        "owner": wanted.owner,
        "language": found.language,
        "resolved": found.resolved,
        "heartbeat": found.heartbeat,
        "flaw": found.flaw or None,
    }


def _undelivered(row: dict[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    if row["state"] == "refused":
        return f"{row['recipient']} was refused for good{why}"
    noun = "message waits" if row["messages"] == 1 else "messages wait"
    return f"{row['messages']:,} {noun} for {row['recipient']} since {row['since']:%Y-%m-%d %H:%M}{why}"
