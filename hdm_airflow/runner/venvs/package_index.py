"""The package index: where packages come from, as the worker's variables say, in the words of uv and of pip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

#: uv's variables -> pip's of the same meaning. Of several, the first that is set counts.
_MEANINGS = (
    (("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "PIP_INDEX_URL"),
    (("UV_INDEX", "UV_EXTRA_INDEX_URL"), "PIP_EXTRA_INDEX_URL"),
    (("UV_FIND_LINKS",), "PIP_FIND_LINKS"),
    (("UV_INSECURE_HOST",), "PIP_TRUSTED_HOST"),
    (("SSL_CERT_FILE",), "PIP_CERT"),
    (("UV_CONSTRAINT",), "PIP_CONSTRAINT"),
)
#: What decides which packages a venv gets, beside its requirements. None of it holds a secret but logins.
_DECISIVE = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE_NEWER",
    "UV_INDEX_STRATEGY", "UV_PRERELEASE", "UV_RESOLUTION", "PIP_NO_INDEX", "PIP_PRE",
)  # fmt: skip
#: What a pack sees, so that what its script installs comes from the worker's index, too.
FOR_PACKS = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_NO_INDEX",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS", "UV_INSECURE_HOST",
)  # fmt: skip
#: Which index is asked.
INDEXES = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
)  # fmt: skip
_TOKEN = 8  # letters at least of a token in place of user and password; `git@` is none
_LOGIN = re.compile(r"(?<=://)([^/\s@]*(?:@[^/\s@]*)*)@")  # up to the last @ before the path: passwords may hold one


def for_uv(variables: Mapping[str, str]) -> dict[str, str]:
    """The index in uv's words; uv's own variable counts before pip's."""
    found = {}
    for names, pip_name in _MEANINGS:
        value = next((variables[name] for name in (*names, pip_name) if variables.get(name)), "")
        if value:
            found[names[0]] = ",".join(value.split()) if names[0] == "UV_FIND_LINKS" else value
    return found


def for_pip(variables: Mapping[str, str]) -> dict[str, str]:
    """The index in pip's words; pip's own variable counts before uv's."""
    found = {}
    for names, pip_name in _MEANINGS:
        value = next((variables[name] for name in (pip_name, *names) if variables.get(name)), "")
        if value:
            plain = value.replace(",", " ") if pip_name == "PIP_FIND_LINKS" else value
            found[pip_name] = re.sub(r"(^|\s)[\w.-]+=(?=\w+://)", r"\1", plain)  # uv's indexes may have names
    if variables.get("UV_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        found["PIP_NO_INDEX"] = "1"  # pip's nearest
    return found


def decisive(variables: Mapping[str, str]) -> dict[str, str]:
    """What of it a venv's content depends on: without logins, which change and decide nothing."""
    everything = {**variables, **for_uv(variables)}
    return {name: without_logins(everything[name]) for name in _DECISIVE if everything.get(name)}


def for_packs(variables: Mapping[str, str]) -> dict[str, str]:
    """What a pack sees of it: the same index, without the login.

    Without the index a script's `pip install` would ask the public one, which may have another package of that name.
    """
    found = {**variables, **for_uv(variables), **for_pip(variables)}
    return {name: without_logins(found[name]) for name in FOR_PACKS if found.get(name)}


def without_logins(text: str) -> str:
    """A text with the logins of its URLs taken out."""
    return _LOGIN.sub("", text)


def masked(text: str) -> str:
    """A text with the logins of its URLs replaced by `***`."""
    return _LOGIN.sub("***@", text)


def secrets(values: Iterable[str]) -> list[str]:
    """The passwords, and tokens in a password's place, of the URLs in some texts; as written and as they are meant."""
    found = []
    for value in values:
        for login in _LOGIN.findall(value):
            user, colon, password = login.partition(":")
            secret = password if colon else user if len(user) >= _TOKEN else ""
            found += [secret, unquote(secret)]
    return sorted({secret for secret in found if secret})
