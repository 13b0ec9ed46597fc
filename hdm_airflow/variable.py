"""The Airflow Variable `hdm`: its text, from wherever Airflow keeps Variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdm_airflow.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "hdm"
WHERE = f"Airflow Variable {VARIABLE!r}"
_UNREADABLE = "it exists, but has no text or cannot be decrypted"


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
    from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
    from airflow.sdk.execution_time.cache import SecretCache

    try:
        return SecretCache.get_variable(VARIABLE)
    except SecretCache.NotPresentException:
        pass  # it is off, or has no entry
    for backend in _backends():
        name = type(backend).__name__
        try:
            text = _ask(backend)
        except Exception as error:  # noqa: BLE001  # any backend's: a database, Vault, a cloud service
            told = isinstance(error, (_ReadError, AirflowSecretsBackendAccessDenied))
            what = f"the Variable cannot be looked up ({name}: {error if told else type(error).__name__})"
            own = "check Airflow's database (airflow db check) and its Fernet key, or set AIRFLOW_VAR_HDM"
            hint = own if name == "MetastoreBackend" else f"check what {name} needs; other backends are not asked then"
            raise UnreachableVariableError(what, WHERE, hint) from None
        if text is not None:
            SecretCache.save_variable(VARIABLE, text)
            return text
    return None


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
        return _ask_api()
    text: str | None = backend.get_variable(key=VARIABLE)
    if text is None and isinstance(backend, MetastoreBackend) and _is_stored():
        raise _ReadError(_UNREADABLE)
    return text


def _ask_api() -> str | None:
    """Ask the API server. Airflow's own backend treats every failure as `not found`, and the server some of its own."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, GetVariableKeys

    answer = _send(GetVariable(key=VARIABLE))
    if not isinstance(answer, ErrorResponse):
        if answer.value is None:
            raise _ReadError(_UNREADABLE)
        text: str = answer.value
        return text
    if answer.error is ErrorType.VARIABLE_NOT_FOUND:
        answer = _send(GetVariableKeys(prefix=VARIABLE, limit=100))
        if not isinstance(answer, ErrorResponse):
            if VARIABLE in answer.keys:
                raise _ReadError(_UNREADABLE)
            return None
    raise _ReadError(answer.error.value)


def _send(message: Any) -> Any:
    """The API server's answer, which may be an `ErrorResponse`."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        return SUPERVISOR_COMMS.send(message)
    except AirflowRuntimeError as error:
        return error.error


def _is_stored() -> bool:
    """Whether the metadata database has the Variable, readable or not."""
    from airflow.models import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(Variable.key).where(Variable.key == VARIABLE).limit(1)) is not None
