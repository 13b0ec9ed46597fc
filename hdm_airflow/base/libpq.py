"""Libpq: the parameters of a connection to the HDM base, checked, and as environment variables for packs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg import pq

from hdm_airflow.errors import ConfigurationError

_WHERE = "Airflow connections"
#: What a connection's extra may hold for other code: it says how rows look there, or how PostgresHook works.
_OF_OTHERS = {"cursor", "autocommit"}
#: Parameters without an environment variable that packs do not need: how to notice a silent server, names.
_UNNEEDED = {
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    *("fallback_application_name", "sslkeylogfile"),
}
#: Parameters that packs get as their result: the password has a file of its own, and its own reader.
_RESOLVED = {"password", "passfile", "service", "servicefile"}
#: The servers: the driver tries the stated ones in turn and shows only the one that answered, with its address.
_SERVERS = ("host", "hostaddr", "port")
#: What our own sessions show is not what is stated.
_STATED = (*_SERVERS, "client_encoding")
_FILES = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir")
_IMPLIED = {"sslcertmode": "allow"}  # what libpq shows if nothing is stated


def stated(conn_id: str, collected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a connection states.

    Args:
        conn_id: of the Airflow connection.
        collected: its fields under libpq's names, overridden by its extra.

    Raises:
        ConfigurationError: if libpq does not know one of them, or its value is neither text nor a number.
    """
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    given = {name: value for name, value in collected.items() if value not in (None, "") and name not in _OF_OTHERS}
    if unknown := sorted(set(given) - known):
        what = f"the extra of the connection {conn_id!r} has an unknown parameter: {', '.join(unknown)}"
        hint = "remove it or correct its name; the extra holds parameters of PostgreSQL connections, such as sslmode"
        raise ConfigurationError(what, _WHERE, hint)
    if wrong := sorted(name for name, value in given.items() if not isinstance(value, str | int)):
        what = f"the extra of the connection {conn_id!r} has a value that is not text: {', '.join(wrong)}"
        raise ConfigurationError(what, _WHERE, 'write text or a whole number; several hosts as "host-1,host-2"')
    return given


def variables(conn_id: str, given: Mapping[str, Any], pgconn: Any) -> tuple[dict[str, str], str | None]:
    """Return the environment variables with which a program reaches the same server, and apart from them the password.

    Args:
        conn_id: of the Airflow connection.
        given: the parameters that it states.
        pgconn: an open connection with these parameters. Libpq adds others from the worker's variables, from a service
            file and from a password file, which packs do not see.

    Raises:
        ConfigurationError: if a parameter has no environment variable.
    """
    in_force = _in_force(given, pgconn)
    names = {option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    if bare := sorted(name for name in in_force if name not in names and name not in _UNNEEDED):
        what = f"packs cannot use the connection {conn_id!r}: there is no environment variable for {', '.join(bare)}"
        hint = "remove it from the extra, or give packs a connection of their own without it: pack_conn_id"
        raise ConfigurationError(what, _WHERE, hint)
    if address := in_force.pop("hostaddr", ""):
        _check_address(conn_id, in_force)
        in_force["host"] = address
    for name in _FILES:
        if in_force.get(name, "system") != "system":
            in_force[name] = str(Path(in_force[name]).absolute())  # a pack runs in another folder
    found = {names[name]: value for name, value in sorted(in_force.items()) if name in names and name not in _RESOLVED}
    return found, pgconn.password.decode() or None


def _check_address(conn_id: str, in_force: Mapping[str, str]) -> None:
    """Packs get an address in place of the host: PGHOSTADDR would also redirect their connections to endpoints."""
    if in_force.get("sslmode") == "verify-full":
        what = f"packs cannot use the connection {conn_id!r}: with hostaddr, they could not verify the server's name"
        raise ConfigurationError(what, _WHERE, "remove hostaddr from the extra; the host must resolve")


def _in_force(given: Mapping[str, Any], pgconn: Any) -> dict[str, str]:
    defaults = pq.Conninfo.get_defaults()
    preset = {one.keyword.decode(): one.val.decode() for one in defaults if one.val and one.val != one.compiled}
    shown = {one.keyword.decode(): one.val.decode() for one in pgconn.info if one.val and one.val != one.compiled}
    if "service" not in given:
        shown = {name: value for name, value in shown.items() if name in given or name in preset}
    found = {name: value for name, value in shown.items() if name not in _STATED and _IMPLIED.get(name) != value}
    for name in _STATED:
        value = given.get(name) or preset.get(name) or (shown.get(name) if "service" in given else None)
        if value:
            found[name] = str(value)
    answered = {"host": pgconn.host, "port": pgconn.port, "user": pgconn.user, "dbname": pgconn.db}
    return {**{name: value.decode() for name, value in answered.items() if value}, **found}
