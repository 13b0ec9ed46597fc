"""Why Airflow reports the HDM base's connection as missing: it may exist, but not be readable."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowException, AirflowSecretsBackendAccessDenied
from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

from hdm_airflow.errors import ConfigurationError, HdmBaseError, HdmError

_WHERE = "Airflow connections"
#: What Airflow raises if it cannot parse a connection's text. The messages quote that text, with the password.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, AirflowException)


def explain(conn_id: str) -> HdmError:
    """Return the error that says why there is no connection of this id.

    Airflow's own look-up ignores text that it cannot parse and a secrets backend that fails.
    """
    for backend in ensure_secrets_backend_loaded():
        name = type(backend).__name__
        try:
            backend.get_connection(conn_id=conn_id)
        except AirflowSecretsBackendAccessDenied:
            hint = "grant the Dag's team or the worker the right to read it"
            return ConfigurationError(f"{name} denies access to the connection {conn_id!r}", _WHERE, hint)
        except _MALFORMED as error:
            what = f"the connection {conn_id!r} cannot be read ({name}: {type(error).__name__})"
            return ConfigurationError(
                what, _WHERE, "write it again, as JSON or as a URI with its parts percent-encoded"
            )
        except Exception as error:  # noqa: BLE001  # any backend's: a database, Vault, a cloud service
            what = f"there is no connection {conn_id!r} in the backends that answer ({name}: {type(error).__name__})"
            return HdmBaseError(what, _WHERE, "check that the secrets backend is running; a retry may help")
    hint = f"add a connection of type postgres with the id {conn_id}, or name another in the Variable hdm"
    return ConfigurationError(f"there is no connection {conn_id!r}", _WHERE, hint)
