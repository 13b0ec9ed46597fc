"""The Airflow Variable `hdm`: its text, from wherever Airflow keeps Variables."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "hdm"
WHERE = f"Airflow Variable {VARIABLE!r}"
_OWN = ("MetastoreBackend", "ExecutionAPISecretsBackend")  # both read Airflow's database


class UnreachableVariableError(ConfigurationError):
    """The Variable cannot be read: it is unknown what the settings are."""


class _ReadError(Exception):
    """The Variable cannot be read; the argument is the reason, without a part of its text."""


def read() -> str | None:
    """The text of the Variable; None if it is not defined anywhere.

    Airflow's own look-up also reports a missing Variable if a backend fails, if the text cannot be decrypted, and,
    outside a server or a task (`airflow dags test`, `dags reserialize`, a script), if the Variable is kept in the
    metadata database. The defaults would then replace the settings: other environments, and packs with the rights of
    the HDM base's owner. So this function asks each backend itself, and a failure stops it: the next backend may have
    an outdated text.

    Raises:
        UnreachableVariableError: if it cannot be read.
    """
    from airflow.sdk.execution_time.cache import SecretCache

    with suppress(SecretCache.NotPresentException):  # the cache is off, or has no entry
        text = SecretCache.get_variable(VARIABLE)
        if text is not None:
            return text
    for backend in _backends():
        try:
            text = _ask(backend)
        except Exception as error:  # noqa: BLE001  # any backend's: a database, Vault, a cloud service
            raise _explained(type(backend).__name__, error) from None
        if text is not None:
            SecretCache.save_variable(VARIABLE, text)
            return text
    return None


def _explained(name: str, error: Exception) -> UnreachableVariableError:
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

    safe = isinstance(error, (_ReadError, AirflowSecretsBackendAccessDenied))  # others may quote a secret
    hint = f"correct it: while {name} fails, no other backend is asked"
    if name in _OWN:
        hint = "check Airflow's database (airflow db check) and Fernet key (airflow variables get hdm)"
        hint += ", or set AIRFLOW_VAR_HDM"
    what = f"the Variable cannot be looked up ({name}: {error if safe else type(error).__name__})"
    return UnreachableVariableError(what, WHERE, hint)


def _backends() -> Iterable[Any]:
    """The backends of this process, in the order of Airflow's configuration.

    A task, and a parse for a server, reach the metadata database through the API only. Any other process has its own
    access to that database.
    """
    from airflow.configuration import ensure_secrets_loaded
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    has_api = getattr(task_runner, "SUPERVISOR_COMMS", None) is not None
    return ensure_secrets_backend_loaded() if has_api else ensure_secrets_loaded()


def _ask(backend: Any) -> str | None:
    """The text in one backend; None if it does not have the Variable.

    Raises:
        _ReadError: if the API cannot answer, or the Variable exists but cannot be read.
    """
    from airflow.sdk.execution_time.secrets import ExecutionAPISecretsBackend
    from airflow.secrets.metastore import MetastoreBackend

    if isinstance(backend, ExecutionAPISecretsBackend):
        get, exists = _get_by_api, _exists_by_api
    elif isinstance(backend, MetastoreBackend):
        get, exists = partial(backend.get_variable, VARIABLE), _exists_in_database
    else:
        return _text(backend.get_variable(key=VARIABLE))
    text = get()
    if text is None and exists():
        text = get()  # it may have been created a moment ago
        if text is None:
            raise _ReadError("it exists, but has no text or cannot be decrypted")
    return _text(text)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _ReadError(f"it is not text but {type(value).__name__}")


def _get_by_api() -> str | None:
    """Ask the API server. Airflow's own backend treats every failure as `not found`, and the server some of its own."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

    answer = _send(GetVariable(key=VARIABLE))
    if isinstance(answer, ErrorResponse):
        if answer.error is ErrorType.VARIABLE_NOT_FOUND:
            return None
        raise _ReadError(answer.error.value)
    text: str | None = answer.value
    return text


def _exists_by_api() -> bool:
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariableKeys

    answer = _send(GetVariableKeys(prefix=VARIABLE, limit=100))
    if isinstance(answer, ErrorResponse):
        raise _ReadError(answer.error.value)
    return VARIABLE in answer.keys


def _exists_in_database() -> bool:
    from airflow.models import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(Variable.key).where(Variable.key == VARIABLE).limit(1)) is not None


def _send(message: Any) -> Any:
    """The API server's answer, which may be an `ErrorResponse`."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        return SUPERVISOR_COMMS.send(message)
    except AirflowRuntimeError as error:
        return error.error
