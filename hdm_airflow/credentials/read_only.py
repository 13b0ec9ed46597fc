"""Read-only: whether an account can only read, according to the server itself."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from hdm_airflow.base.endpoints import Endpoint
from hdm_airflow.credentials import connect
from hdm_airflow.credentials.source import SlowSourceError
from hdm_airflow.errors import ConfigurationError, HdmError

_MAX_NAMED = 5  # how many rights an error names
_TIMEOUT_SHARE = 0.9  # of PATIENCE: a failure after so long is a timeout, not a refusal
_HAS_PARAMETER_RIGHTS = 150_000  # the PostgreSQL version that has them, as a number
#: Rights of MySQL and MariaDB that change nothing visible to others.
_HARMLESS = {
    "USAGE", "SELECT", "SHOW VIEW", "SHOW DATABASES", "SHOW CREATE ROUTINE", "PROCESS", "LOCK TABLES",
    "CREATE TEMPORARY TABLES", "REPLICATION CLIENT", "BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR",
}  # fmt: skip
_GRANT = re.compile(r"GRANT (?P<rights>.+?) ON (?P<place>.+?) TO .*?(?P<option> WITH .*GRANT OPTION.*)?", re.DOTALL)
_ROLES = re.compile(r"GRANT (?P<roles>(?:(?!\sON\s).)+?) TO ", re.DOTALL)


def check(endpoint: Endpoint, password: str, where: str) -> bool:
    """Ask the server what the endpoint's account may do.

    Args:
        endpoint: the endpoint, with its user.
        password: the user's password.
        where: the file that holds the password, for errors.

    Returns:
        Whether the check was made; types other than PostgreSQL and MySQL are not supported.

    Raises:
        ConfigurationError: if the account may write.
        SlowSourceError: if the server does not answer in time.
        HdmError: if the server cannot be asked.
    """
    kind = endpoint.type.strip().lower()
    if kind not in connect.POSTGRES | connect.MYSQL:
        return False
    begin = time.monotonic()
    try:
        rights = _postgres(endpoint, password) if kind in connect.POSTGRES else _mysql(endpoint, password)
    except HdmError as error:
        what = f"cannot check whether {endpoint.user} can only read {endpoint.name}: {error.what}"
        raise HdmError(what, where, error.hint) from None
    except Exception as error:  # noqa: BLE001  # any driver's: its text may quote the password
        hint = "check that the database is running, and that the user and password are correct"
        if time.monotonic() - begin > connect.PATIENCE * _TIMEOUT_SHARE:
            server = f"{endpoint.host}:{endpoint.port} did not answer within {connect.PATIENCE} s"
            raise SlowSourceError(f"cannot check the rights of accounts: {server}", where, hint) from None
        what = f"cannot check whether {endpoint.user} can only read {endpoint.name}: {type(error).__name__}"
        raise HdmError(what, where, hint) from None
    if rights:
        shown = ", ".join(rights[:_MAX_NAMED]) + (", ..." if len(rights) > _MAX_NAMED else "")
        what = f"{endpoint.user} can do more than read {endpoint.name}: {shown}"
        hint = "use a read-only account, or move its password to an Airflow connection or to Vault"
        raise ConfigurationError(what, where, hint)
    return True


def _postgres(endpoint: Endpoint, password: str) -> list[str]:
    with connect.postgres(endpoint, password) as connection:
        connection.execute(f"SET statement_timeout = '{connect.PATIENCE}s'".encode())
        rows = connection.execute(Path(__file__).with_name("read_only.sql").read_bytes()).fetchall()
        if connection.info.server_version >= _HAS_PARAMETER_RIGHTS:
            rows += connection.execute(Path(__file__).with_name("read_only_15.sql").read_bytes()).fetchall()
    return [f"{what} ({place}{f' and {count - 1} more' if count > 1 else ''})" for what, place, count in rows]


def _mysql(endpoint: Endpoint, password: str) -> list[str]:
    with closing(connect.mysql(endpoint, password)) as connection, connection.cursor() as cursor:
        own = _lines(cursor, "SHOW GRANTS")
        grants = list(own)
        if roles := _roles(own):
            grants = _with_roles(cursor, own, roles)
    return rights_to_write(grants)


def _with_roles(cursor: Any, own: list[str], roles: list[str]) -> list[str]:
    """Return the grants of the account and of its roles, active or not."""
    cursor.execute("SELECT version()")
    if "MariaDB" not in str(cursor.fetchone()[0]):
        return _lines(cursor, f"SHOW GRANTS FOR CURRENT_USER() USING {', '.join(roles)}")
    grants = list(own)
    for role in roles:  # MariaDB shows a role's grants, and those of its own roles, only after SET ROLE
        cursor.execute(f"SET ROLE {role}")
        grants += _lines(cursor, "SHOW GRANTS FOR CURRENT_ROLE")
    return grants


def _lines(cursor: Any, statement: str) -> list[str]:
    """Return the lines of SHOW GRANTS. The server itself has quoted the names in the statement."""
    cursor.execute(statement)
    return [str(row[0]) for row in cursor.fetchall()]


def _roles(grants: Iterable[str]) -> list[str]:
    """Return the roles that lines of SHOW GRANTS name, as the server quotes them."""
    found = [match["roles"] for line in grants if (match := _ROLES.match(line)) and not _GRANT.fullmatch(line)]
    return [role.strip() for roles in found for role in _split(roles)]


def rights_to_write(grants: Iterable[str]) -> list[str]:
    """Return the rights beyond reading in lines of SHOW GRANTS. An unrecognized line counts as one.

    Passwords and their hashes, which MariaDB shows after IDENTIFIED BY, are left out.
    """
    found: list[str] = []
    for line in grants:
        match = _GRANT.fullmatch(line)
        if match is None:
            if not _ROLES.match(line) and not line.startswith("SET DEFAULT ROLE "):
                found.append("an unrecognized grant")
            continue
        rights = [re.sub(r"\s*\(.*\)", "", right, flags=re.DOTALL).strip().upper() for right in _split(match["rights"])]
        bad = [right for right in rights if right not in _HARMLESS] + ["GRANT OPTION"] * bool(match["option"])
        found += [f"{right} on {match['place']}" for right in bad]
    return list(dict.fromkeys(found))


def _split(text: str) -> list[str]:
    """Split the text at commas outside brackets and quotes."""
    return [part.strip() for part in re.findall(r"(?:[^,(`'\"]|\([^)]*\)|`[^`]*`|'[^']*'|\"[^\"]*\")+", text)]
