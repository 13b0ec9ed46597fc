"""Airflow: all its components on one machine, and a client of its REST API."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, ClassVar

from demo.services.redis import Redis
from demo.services.service import PROGRAM_PATH, Service, ServiceError

_CALL_SECONDS = 30.0
#: What `airflow standalone` starts.
COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")


class Airflow(Service):
    """The components of `airflow standalone`, on 127.0.0.1 only: its log servers would listen on every interface.

    There is a user `admin`, a metadata database in SQLite, and a LocalExecutor with four workers. With a queue, there
    is a CeleryExecutor instead, whose workers are separate servers (CeleryWorker).

    Args:
        folder: AIRFLOW_HOME; each start creates its metadata database again.
        dags: the dags folder.
        variables: additional environment variables for Airflow and all its tasks.
        path: folders to put first in the search path.
        users: role of each user beside `admin`, with the same password.
        components: which to start; without a scheduler and a dag-processor, an api-server alone shows Dags that were
            parsed once.
        prefix: path of its address, as behind a proxy: `/quality`.
        queue: a running queue, from which the workers of a CeleryExecutor take tasks; None: a LocalExecutor.
        start_seconds: time limit for a start.
    """

    title: ClassVar[str] = "Airflow"
    user: ClassVar[str] = "admin"

    def __init__(
        self,
        folder: Path | str,
        *,
        dags: Path,
        variables: dict[str, str] | None = None,
        path: tuple[Path, ...] = (),
        users: dict[str, str] | None = None,
        components: tuple[str, ...] = COMPONENTS,
        prefix: str = "",
        queue: Redis | None = None,
        start_seconds: float = 180.0,
    ) -> None:
        super().__init__(folder, start_seconds=start_seconds)
        self.dags = dags
        self.variables = variables or {}
        self.path = path
        self.users = {self.user: "admin", **(users or {})}
        self.components = components
        self.prefix = prefix
        self.queue = queue
        self._token = ""
        self._shared = _secrets() if queue else {}

    @classmethod
    def available(cls) -> str | None:
        """None: Airflow is one of our own requirements, so it is always installed."""
        return None

    @property
    def url(self) -> str:
        """The address of the UI."""
        return f"http://localhost:{self.port}{self.prefix}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API as the user `admin`.

        Args:
            method: GET, POST, PATCH ...
            path: below /api/v2, for example `/dags/hdm_pipeline`.
            body: sent as JSON; None sends nothing.

        Returns:
            The JSON of the answer; None if it has no content.

        Raises:
            ServiceError: if Airflow refuses the call, or does not answer.
        """
        if not self._token:
            login = {"username": self.user, "password": self.password}
            self._token = self._request("POST", "/auth/token", login)["access_token"]
        try:
            return self._request(method, f"/api/v2{path}", body)
        except urllib.error.HTTPError as error:
            answer = error.read().decode("utf-8", "replace")[:500]
            raise ServiceError(f"Airflow answers {error.code} to {method} {path}: {answer}", str(self.log)) from None
        except (TimeoutError, urllib.error.URLError) as error:
            why = f"no answer in {_CALL_SECONDS} s" if isinstance(error, TimeoutError) else str(error.reason)
            hint = "wait until the machine is less busy, then try again"
            raise ServiceError(f"{method} {path} of Airflow's API failed: {why}", str(self.log), hint) from None

    def _request(self, method: str, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}{self.prefix}{path}", data, headers, method=method
        )
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310  # our own server
            text = answer.read()
        return json.loads(text) if text else None

    def reserialize(self) -> None:
        """Parse the Dag files again, where no dag-processor does.

        Raises:
            ServiceError: if that fails.
        """
        command = [str(Path(sys.executable).with_name("airflow")), "dags", "reserialize"]
        done = subprocess.run(command, env=self._variables(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceError(f"the Dag files cannot be parsed: {done.stderr[-500:]}", str(self.dags))

    def process_variables(self) -> dict[str, str]:
        """The environment variables of every component, workers included."""
        return self._variables()

    def _prepare(self) -> None:
        for name in ("airflow.db", "airflow.db-wal", "airflow.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        self._write_private("passwords.json", json.dumps(dict.fromkeys(self.users, self.password)))

    def _command(self) -> list[str]:
        return ["bash", str(Path(__file__).with_suffix(".sh")), *self.components]

    def _variables(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
        proxies = {name: value for name, value in os.environ.items() if _reaches_network(name)}
        search = os.pathsep.join([*map(str, self.path), str(Path(sys.executable).parent), PROGRAM_PATH])
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__PARALLELISM": "4",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in self.users.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "API__HOST": self.host,
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._shared,
        }
        if self.queue:
            settings |= {
                "CORE__EXECUTOR": "CeleryExecutor",
                "CELERY__BROKER_URL": self.queue.url(0),
                "CELERY__RESULT_BACKEND": self.queue.url(1),
            }
        return {
            **kept,
            **proxies,
            "PATH": search,
            "AIRFLOW_HOME": str(self.folder),
            "TZ": "UTC",
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **self.variables,
        }

    def _is_ready(self) -> bool:
        """Every component has reported a heartbeat."""
        with contextlib.suppress(OSError, ValueError):
            health = self._request("GET", "/api/v2/monitor/health", None)
            started = [one.replace("-", "_") for one in self.components if one != "api-server"]
            parts = ("metadatabase", *started)
            return all(health[part]["status"] == "healthy" for part in parts)
        return False


def _secrets() -> dict[str, str]:
    """The secrets that components on several machines must share; otherwise each would generate its own."""
    return {
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _reaches_network(name: str) -> bool:
    """Whether a variable controls how packages are downloaded: the packs' venvs are built behind the same proxy."""
    prefixes = ("UV_", "PIP_", "SSL_CERT", "REQUESTS_CA", "CURL_CA", "HTTP_", "HTTPS_", "NO_PROXY", "ALL_PROXY")
    return name.upper().startswith(prefixes)
