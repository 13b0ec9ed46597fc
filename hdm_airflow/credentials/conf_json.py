"""Passwords from a pack's own `process/conf.json`, where packs of the original keep them (and should not)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.credentials import read_only
from hdm_airflow.credentials.source import Credential, Once, Outage, Warn
from hdm_airflow.errors import ConfigurationError
from hdm_airflow.packs import conf, files
from hdm_airflow.packs.pack import Pack

#: Part of a slug -> the keys that existing packs use for it.
_KEYS = {
    "name": ("name", "database", "db_name"),
    "type": ("type", "db_type"),
    "host": ("host", "db_host"),
    "port": ("port", "db_port"),
    "user": ("user", "username", "db_user"),
    "ssl": ("ssl", "db_is_ssl", "is_ssl"),
}
_PASSWORD_KEYS = ("password", "db_password", "passwd", "pwd")
_ALIASES = {"postgresql": "postgres", "sqlite3": "sqlite"}


class ConfJson:
    """The entry of the list `databases` that matches an endpoint; its account must only be able to read.

    The list is the one in the section named after the environment or, if there is none, the one at the top level.

    Args:
        pack: the pack with the file.
        environment: name of the HDM environment.
        warn: takes warnings.
        refuse: whether a password in the file fails its endpoint.
    """

    at_once = 8

    def __init__(self, pack: Pack, environment: str | None, warn: Warn, *, refuse: bool) -> None:
        self._folder = pack.path
        self._where = f"{pack.folder}/{conf.FILE}"
        self._environment, self._warn, self._refuse = environment, warn, refuse
        self._once = Once()
        self._servers: dict[tuple[str, str], Outage] = {}  # by host and port

    def find(self, registered: Registered) -> Credential | None:
        """Return the password of the matching entry; None if no entry matches, or it has no password.

        Raises:
            ConfigurationError: if the file is malformed, matching entries have different passwords, the settings forbid
                such passwords, or the account may write.
            HdmError: if the check whether the account may write fails.
        """
        endpoint = registered.endpoint
        entries = self._once.get("file", self._entries)
        stated = [_password(entry) for entry in entries if _matches(entry, endpoint)]
        if any(not isinstance(password, str) for password in stated):
            raise ConfigurationError(f"the password of {endpoint.slug} is not text", self._where, "write it in quotes")
        passwords = {password for password in stated if password}
        if len(passwords) > 1:
            what = f"{len(passwords)} entries of `databases` match {endpoint.slug}, with different passwords"
            raise ConfigurationError(what, self._where, "add host, port and user to these entries")
        if not passwords:
            return None
        password = passwords.pop()
        hint = "move it to an Airflow connection or to Vault, and remove it from the file and its history"
        if self._refuse:
            what = f"the password of {endpoint.slug} is in the pack's conf.json, which the settings forbid"
            raise ConfigurationError(what, self._where, hint)
        self._warn(f"the password of {endpoint.slug} is in {self._where}: {hint}")
        with self._servers.setdefault((endpoint.host, endpoint.port), Outage()).watch():
            is_checked = read_only.check(endpoint, password, self._where)
        if not is_checked:
            reason = f"{endpoint.type} databases are not supported"
            self._warn(f"the account of {endpoint.slug} was not checked for write access: {reason}")
        return Credential(password=password, source=self._where)

    def close(self, patience: float) -> None:
        """Do nothing: there is nothing to give back."""

    def _entries(self) -> list[Mapping[str, Any]]:
        try:
            found = conf.read(self._folder)
        except FileNotFoundError:
            return []
        except files.Unreadable as error:
            raise ConfigurationError(f"conf.json {error.reason}", self._where, error.hint) from None
        except (ValueError, RecursionError):  # the error's text may quote the file
            raise ConfigurationError("conf.json is not JSON", self._where, "correct the file") from None
        section = found.get(self._environment) if isinstance(found, dict) else None
        for place in (section, found):
            if isinstance(place, dict) and "databases" in place:
                return self._validate(place["databases"])
        return []

    def _validate(self, entries: Any) -> list[Mapping[str, Any]]:
        if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
            return entries
        hint = 'write [{"name": ..., "host": ..., "user": ..., "password": ...}]'
        raise ConfigurationError("`databases` is not a list of objects", self._where, hint)


def _password(entry: Mapping[str, Any]) -> Any:
    """Return the first non-empty value of the password keys, else ''. It might not be text."""
    stated = [entry[key] for key in _PASSWORD_KEYS if key in entry and entry[key] is not None]
    return next((value for value in stated if value != ""), "")


def _first(entry: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the value of the first key that is present; lists and objects as JSON, which matches no endpoint."""
    value = next((entry[key] for key in keys if entry.get(key) is not None), None)
    return json.dumps(value) if isinstance(value, list | dict) else value


def _matches(entry: Mapping[str, Any], endpoint: Endpoint) -> bool:
    """Return whether the entry names the database, and its other parts match the endpoint."""
    stated = {part: _first(entry, keys) for part, keys in _KEYS.items()}
    if stated["name"] is None:
        return False
    return all(_same(part, value, getattr(endpoint, part)) for part, value in stated.items() if value is not None)


def _same(part: str, stated: Any, own: Any) -> bool:
    if part == "ssl":
        return (str(stated).strip().lower() in {"true", "t", "1", "yes", "on"}) is own
    text = str(stated).strip()
    if part in {"host", "type"}:
        text, own = text.lower(), own.lower()
    return bool(_ALIASES.get(text, text) == _ALIASES.get(own, own)) if part == "type" else bool(text == own)
