"""Package index: where packages come from, according to the worker's variables, for uv and for pip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

#: uv's variables -> pip's variable of the same meaning. Of several, the first that is set counts.
_MEANINGS = (
    (("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "PIP_INDEX_URL"),
    (("UV_INDEX", "UV_EXTRA_INDEX_URL"), "PIP_EXTRA_INDEX_URL"),
    (("UV_FIND_LINKS",), "PIP_FIND_LINKS"),
    (("UV_INSECURE_HOST",), "PIP_TRUSTED_HOST"),
    (("SSL_CERT_FILE",), "PIP_CERT"),
    (("UV_CONSTRAINT",), "PIP_CONSTRAINT"),
)
#: Variables that decide which packages a venv gets, in addition to its requirements. Logins are their only secrets.
_DECISIVE = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE_NEWER",
    "UV_INDEX_STRATEGY", "UV_PRERELEASE", "UV_RESOLUTION", "PIP_NO_INDEX", "PIP_PRE",
)  # fmt: skip
#: Variables that a pack sees, so that its script also installs from the worker's index.
FOR_PACKS = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_NO_INDEX",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INSECURE_HOST",
)  # fmt: skip
#: Variables that name an index.
INDEXES = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
)  # fmt: skip
_TOKEN = 8  # characters; a shorter login without a password is a user name such as `git@`, not a token
_LOGIN = re.compile(r"(?<=://)([^/\s@]*(?:@[^/\s@]*)*)@")  # up to the last @ before the path: passwords may contain @


def for_uv(variables: Mapping[str, str]) -> dict[str, str]:
    """The index in uv's variables; uv's own variable takes precedence over pip's."""
    found = {}
    for names, pip_name in _MEANINGS:
        value = next((variables[name] for name in (*names, pip_name) if variables.get(name)), "")
        if value:
            found[names[0]] = ",".join(value.split()) if names[0] == "UV_FIND_LINKS" else value
    return found


def for_pip(variables: Mapping[str, str]) -> dict[str, str]:
    """The index in pip's variables; pip's own variable takes precedence over uv's."""
    found = {}
    for names, pip_name in _MEANINGS:
        value = next((variables[name] for name in (pip_name, *names) if variables.get(name)), "")
        if value:
            plain = value.replace(",", " ") if pip_name == "PIP_FIND_LINKS" else value
            found[pip_name] = re.sub(r"(^|\s)[\w.-]+=(?=\w+://)", r"\1", plain)  # uv allows names for indexes
    if is_offline(variables):
        found["PIP_NO_INDEX"] = "1"  # the nearest that pip has
    return found


def is_offline(variables: Mapping[str, str]) -> bool:
    """Whether uv must do with what its cache has."""
    return variables.get("UV_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def decisive(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a venv's content depends on, without logins, which change without changing it."""
    everything = {**variables, **for_uv(variables)}
    return {name: without_logins(everything[name]) for name in _DECISIVE if everything.get(name)}


def for_packs(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a pack sees: the same index, without the login.

    Otherwise a script's `pip install` would ask the public index, which may have another package of the same name.
    """
    found = {**variables, **for_uv(variables), **for_pip(variables)}
    return {name: without_logins(found[name]) for name in FOR_PACKS if found.get(name)}


def without_logins(text: str) -> str:
    """The text with the logins removed from its URLs."""
    return _LOGIN.sub("", text)


def masked(text: str) -> str:
    """The text with the logins of its URLs replaced by `***`."""
    return _LOGIN.sub("***@", text)


def secrets(values: Iterable[str]) -> list[str]:
    """The passwords and tokens of the URLs in these texts, both as written and unquoted."""
    found = []
    for value in values:
        for login in _LOGIN.findall(value):
            user, colon, password = login.partition(":")
            secret = password if colon else user if len(user) >= _TOKEN else ""
            found += [secret, unquote(secret)]
    return sorted({secret for secret in found if secret})
