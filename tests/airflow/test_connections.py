"""Passwords from Airflow connections: errors that Airflow silently ignores fail the endpoint here."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import ConnectionResponse
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSecretsBackendAccessDenied, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, GetConnection

from hdm_airflow.base.endpoints import Endpoint, Registered
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.credentials import airflow_connections
from hdm_airflow.credentials.options import CredentialOptions
from hdm_airflow.credentials.sources import open_chain
from hdm_airflow.errors import HdmBaseError, HdmError

SECRET = "p/ss:w rd+ü"


def registered(name: str = "heart", conn_id: str | None = None) -> Registered:
    return Registered(id=1, conn_id=conn_id, endpoint=Endpoint(name=name, type="postgres", host="db.example"))


def ask(*asked: Registered) -> list[Any]:
    """The password of each endpoint, or its fault."""
    options = CredentialOptions(sources=("airflow",))
    with open_chain(options, environment="prod", pack=None, warn=print) as chain:
        found = chain.find_all(asked)
    assert SECRET not in "".join(map(str, found.faults.values()))
    slugs = [one.endpoint.slug for one in asked]
    passwords = {slug: one.password for slug, one in found.credentials.items()}
    return [found.faults.get(slug, passwords.get(slug)) for slug in slugs]


class Backend:
    """A secrets backend; an error in it is raised."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.asked = answer, list[str]()

    def get_connection(self, conn_id: str) -> Any:
        self.asked.append(conn_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Other(Backend):
    """Another kind of backend."""


def backends(monkeypatch: pytest.MonkeyPatch, *found: Backend) -> None:
    monkeypatch.setattr(airflow_connections, "ensure_secrets_backend_loaded", lambda: list(found))


def connection(**fields: Any) -> Any:
    return SimpleNamespace(
        **{"conn_type": "generic", "host": "", "login": "", "password": SECRET, "port": None, "extra": "", **fields}
    )


def test_endpoint_without_a_connection_and_one_without_a_password_get_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no password is needed, nothing has to be set up."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_LUNG", json.dumps({"conn_type": "generic", "host": "db.example"}))
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART_2", json.dumps({"conn_type": "generic", "password": SECRET}))
    assert ask(registered("heart"), registered("lung"), registered("heart-2")) == [None, None, SECRET]


@pytest.mark.parametrize(
    "text",
    [
        '{"conn_type": "generic", "password": "' + SECRET + '"',
        "{'conn_type': 'generic', 'password': '" + SECRET + "'}",
        '{"conn_type": "generic", "pass": "' + SECRET + '"}',
        '{"conn_type": "generic", "port": "x", "password": "' + SECRET + '"}',
        f"postgres://a://{SECRET}@b://c",
        f"postgres://reader:{SECRET}@db.example/x",
        "p-ssw-rd",
        "p-ssw-rd:word",
        "abc:p-ssw-rd@ghi",
        "p-ssw-rd/w0rd:1?x",
        "pa@ss://p-ssw-rd",
        " ",
        '{"conn_type": "generic"}',
        '{"conn_type": "generic", "password": 12345}',
        '{"conn_type": "generic", "password": ["p-ssw-rd"]}',
        '{"conn_type": "generic", "password": "p-ssw-rd\\ud800"}',
        '{"conn_type": "generic", "host": 5, "password": "p-ssw-rd"}',
        '{"conn_type": 5, "password": "p-ssw-rd"}',
    ],
)
def test_malformed_connection_fails_its_endpoint_and_no_other(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Airflow treats some of them as missing connections: the pack would run without a password."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", text)
    monkeypatch.setenv("AIRFLOW_CONN_HDM_LUNG", json.dumps({"conn_type": "generic", "password": SECRET}))
    fault, other = ask(registered(), registered("lung"))
    assert isinstance(fault, HdmError)
    assert "hdm_heart" in fault.what
    assert "p-ssw-rd" not in str(fault)
    assert other == SECRET


@pytest.mark.parametrize("password", ["Sup3r@Secret-9/x", "Sup3r@Secret-9#x", "Sup3r@Secret-9?x"])
def test_part_of_a_password_that_reads_as_the_host_is_not_shown(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """A URI whose password is not percent-encoded has part of the password as its host."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", f"postgres://hdm:{password}@db.example/heart")
    (fault,) = ask(registered())
    assert "is for a host other than the endpoint's 'db.example'" in fault.what
    assert "ecret-9" not in str(fault)


def test_case_of_a_host_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host names are case-insensitive."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", json.dumps({"host": "DB.Example", "password": SECRET}))
    assert ask(registered()) == [SECRET]


def test_backend_that_is_down_fails_the_endpoint_and_no_other_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one may hold an old password. Asked once: else each of a thousand endpoints would wait for it."""
    broken, behind = Backend(OSError(f"no route, password {SECRET}")), Other(connection())
    backends(monkeypatch, broken, behind)
    faults = ask(*[registered(f"e{number}") for number in range(20)])
    assert all("(Backend: OSError)" in fault.what for fault in faults)
    assert len(broken.asked) == 1
    assert not behind.asked


def test_backend_that_is_down_does_not_affect_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first backend that has the connection counts anyway."""
    first = Other()
    first.get_connection = lambda conn_id: connection() if conn_id == "hdm_lung" else None  # type: ignore[method-assign]  # a stand-in
    backends(monkeypatch, first, Backend(OSError()))
    fault, password = ask(registered("heart"), registered("lung"))
    assert isinstance(fault, HdmError)
    assert password == SECRET


def test_refusal_of_a_backend_fails_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an answer: a less careful backend must not provide what this one denies."""
    backends(monkeypatch, Backend(AirflowSecretsBackendAccessDenied("no")), Other(connection()))
    (fault,) = ask(registered())
    assert "Backend denies access to the connection" in fault.what


def test_connection_is_looked_up_once_for_all_its_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up takes 10 ms, and one connection may serve a thousand endpoints."""
    backend = Backend(connection())
    backends(monkeypatch, backend)
    assert ask(*[registered(f"e{number}", "shared") for number in range(30)]) == [SECRET] * 30
    assert backend.asked == ["shared"]


class Supervisor:
    """What a task's pipe to its supervisor answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, message: Any) -> Any:
        if not isinstance(message, GetConnection):
            return None
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def result(**fields: Any) -> ConnectionResult:
    blank = dict.fromkeys(("host", "schema", "login", "port", "extra"))
    response = ConnectionResponse(
        **{**blank, "conn_id": "hdm_heart", "conn_type": "generic", "password": SECRET, **fields}
    )
    return ConnectionResult.from_conn_response(response)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (result(), SECRET),
        (result(host="elsewhere"), "is for a host other than the endpoint's 'db.example'"),
        (ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND), None),
        (AirflowRuntimeError(ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)), None),
        (
            ErrorResponse(error=ErrorType.PERMISSION_DENIED),
            "ExecutionAPISecretsBackend denies access to the connection",
        ),
        (ErrorResponse(error=ErrorType.API_SERVER_ERROR), "(ExecutionAPISecretsBackend: API_SERVER_ERROR)"),
        (AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR)), "GENERIC_ERROR"),
        (EOFError(), "(ExecutionAPISecretsBackend: EOFError)"),
    ],
)
def test_failing_api_server_is_not_a_missing_connection(
    monkeypatch: pytest.MonkeyPatch, answer: Any, expected: str | None
) -> None:
    """Airflow's own look-up says `not defined` for both, in every task."""
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(answer), raising=False)
    (found,) = ask(registered())
    if isinstance(found, HdmError):
        assert expected
        assert expected in found.what
    else:
        assert found == expected


def test_part_of_the_bases_password_is_not_shown_as_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a password is not percent-encoded, the part after its `@` is read as the host."""
    monkeypatch.setenv("AIRFLOW_CONN_HDM", "postgres://hdm:Sup3r@Secret-9/x@127.0.0.1/hdm")
    hook = HdmHook()
    hook.load()
    with pytest.raises(HdmBaseError, match=r"cannot be reached: .*host") as caught, hook.session():
        pass
    assert "secret-9" not in str(caught.value).lower()
