"""Explains errors of requests to Vault, without quoting what was sent or answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from hvac import exceptions

from hdm_airflow.credentials.source import TIMEOUT, SlowSourceError, SourceDownError
from hdm_airflow.errors import HdmError

_NOT_READY = (
    exceptions.VaultDown,
    exceptions.VaultNotInitialized,
    exceptions.BadGateway,
    exceptions.RateLimitExceeded,
    exceptions.UnexpectedError,
)
_INVALID_RESPONSE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
#: Errors of the libraries -> the error to raise instead: its class, what, hint. The first match counts.
_EXPLANATIONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[HdmError], str, str], ...] = (
    (
        requests.TooManyRedirects,
        SourceDownError,
        "Vault's address redirects to another one",
        "name the final address in the connection: redirects are not followed, because they could leak the token",
    ),
    (
        requests.ReadTimeout,
        SlowSourceError,
        f"Vault did not answer within {TIMEOUT[1]:.0f} s",
        "check Vault's health; a retry may help",
    ),
    (
        requests.RequestException,
        SourceDownError,
        "Vault cannot be reached ({kind})",
        "check that Vault is running and unsealed, and that its certificate is trusted; a retry may help",
    ),
    (
        _NOT_READY,
        SourceDownError,
        "Vault is not ready ({kind})",
        "check Vault's health and seal status; a retry may help",
    ),
    (
        (exceptions.Forbidden, exceptions.Unauthorized),
        HdmError,
        "Vault refuses access to {path} ({kind})",
        "check the policies of the login, and that its token has not expired",
    ),
    (exceptions.VaultError, HdmError, "Vault reports an error at {path} ({kind})", "see Vault's log; a retry may help"),
    (
        OSError,  # of a token's file
        SourceDownError,
        "a file for the login cannot be read ({reason})",
        "check the paths in the connection's extra",
    ),
    (
        ImportError,
        SourceDownError,
        "a Python package that this login needs is not installed",
        "see the documentation of Airflow's hashicorp provider on this auth_type",
    ),
    (
        _INVALID_RESPONSE,
        HdmError,
        "Vault's response for {path} is invalid",
        "check that the address in the connection is Vault's",
    ),
)


@contextmanager
def explain_errors(path: str, where: str) -> Iterator[None]:
    """Wrap a request: turn its errors into HdmErrors.

    Args:
        path: the path that is requested; contains no secret.
        where: the name of this Vault.
    """
    try:
        yield
    except HdmError:
        raise
    except Exception as error:
        for kinds, fault, what, hint in _EXPLANATIONS:
            if isinstance(error, kinds):
                reason = getattr(error, "strerror", None)
                raise fault(what.format(kind=type(error).__name__, path=path, reason=reason), where, hint) from None
        raise
