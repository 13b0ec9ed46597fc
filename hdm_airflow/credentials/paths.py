"""Path templates: the path in Vault of an endpoint's secret, from the parts of its slug."""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING
from urllib.parse import quote

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from hdm_airflow.base.endpoints import Endpoint

PLACEHOLDERS = ("name", "type", "host", "port", "user", "environment")


def validate(template: str) -> str:
    """Return the template without leading and trailing slashes.

    Raises:
        ValueError: if it is not a valid path, has an unknown placeholder, or has no placeholder, which would make it
            the same path for every endpoint.
    """
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError(f"the braces do not match; the placeholders are {known}") from None
    named = [name for _, name, _, _ in parts if name is not None]
    if any(spec or conversion for _, _, spec, conversion in parts) or set(named) - {*PLACEHOLDERS}:
        raise ValueError(f"unknown placeholder; the placeholders are {known}")
    if not named:
        raise ValueError(f"no placeholder: all endpoints would get the same secret; the placeholders are {known}")
    path = template.strip("/")
    if _has_bad_part(path) or not template.isprintable():
        raise ValueError("write a path without empty, '.' or '..' parts")
    return path


def fill(template: str, endpoint: Endpoint, environment: str | None) -> str:
    """Return the path for an endpoint. In values, characters other than letters, digits and `-_.~` are percent-encoded.

    Args:
        template: as returned by `validate`.
        endpoint: the endpoint whose secret is at the path.
        environment: name of the HDM environment; None if it is not known.

    Raises:
        ConfigurationError: if the endpoint lacks a part, or the path has an empty, `.` or `..` part.
    """
    parts = {**vars(endpoint), "environment": environment or ""}
    values: dict[str, str] = {name: parts[name] for name in PLACEHOLDERS}
    used = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    missing = sorted(name for name in used if not values[name])
    hint = f"change the template {template!r} (settings: credentials.vault)"
    if missing:
        raise ConfigurationError(f"the path in Vault needs {', '.join(missing)}, which is empty", endpoint.slug, hint)
    path = template.format(**{name: quote(value, safe="") for name, value in values.items()})
    if _has_bad_part(path):
        raise ConfigurationError(f"{path!r} is not a valid path in Vault", endpoint.slug, hint)
    return path


def _has_bad_part(path: str) -> bool:
    """Return whether a part is empty, `.` or `..`, so that the path might lead elsewhere."""
    return any(part in {"", ".", ".."} for part in path.split("/"))
