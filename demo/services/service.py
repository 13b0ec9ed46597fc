"""Service: one local server process, from start to stop."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hdm_airflow.errors import HdmError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

HOST = "127.0.0.1"
# Another process may take the port between `free_port` and the server's own bind: then another port is tried.
PORT_TAKEN = b"ddress already in use"
PORT_ATTEMPTS = 3
POLL_SECONDS = 0.02
STOP_SECONDS = 10.0
# Debian keeps servers in /usr/sbin, which is not on an ordinary user's PATH.
PROGRAM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


class ServiceError(HdmError):
    """A local server is not installed, did not start, stopped unexpectedly, or refused a request."""


class Service:
    """A server that runs while its `with` block does.

    Args:
        folder: keeps its data, log, password and port; created if missing.
        start_seconds: time limit for a start.

    A server ends even if this process is killed: `setpriv --pdeathsig` (Linux, util-linux) makes the kernel signal it.
    The kernel watches the thread that started the server, so start servers from a thread that lives as long as they are
    needed. Without setpriv, a server survives the kill.
    """

    title: ClassVar[str]
    user: ClassVar[str] = "hdm"
    host: ClassVar[str] = HOST
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # Sent if `stop_signal` was not enough; the last resort is SIGKILL.
    quit_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, folder: Path | str, *, start_seconds: float = 30.0) -> None:
        self.folder = Path(folder).absolute()
        self.start_seconds = start_seconds
        self.port = 0
        self.password = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def available(cls) -> str | None:
        """Why this server cannot run on this machine; None if it can."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """The file with all output of the server and its installer."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """The server's process id; 0 if it is not running."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the server and return as soon as it answers.

        Raises:
            ServiceError: if the server is not installed, stops at once, or does not answer within `start_seconds`.
        """
        if self._process:
            raise ServiceError(f"{self.title} is already running", str(self.folder), "stop it first")
        if reason := self.available():
            raise ServiceError(f"{self.title} cannot run here: {reason}", str(self.folder))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remember()
        self._prepare()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            logged = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._spawn(self._command())
            try:
                self._wait_until_ready()
            except BaseException:
                self.stop()
                if attempt == PORT_ATTEMPTS or PORT_TAKEN not in self.log.read_bytes()[logged:]:
                    raise
                self.port = free_port()
            else:
                self._keep()
                return

    def stop(self) -> None:
        """Stop the server if it is running."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (self.stop_signal, self.quit_signal, signal.SIGKILL):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
                break
        with contextlib.suppress(ProcessLookupError):  # processes that the server left behind when it ended
            os.killpg(process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Each server defines

    def _prepare(self) -> None:
        """Create the data folder at the first start."""

    def _command(self) -> list[str]:
        """The command line, without passwords: every user of the machine can read it."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        """Whether this server answers, and not another one on the same port while this one fails to bind."""
        raise NotImplementedError

    # Common to all servers

    def _remember(self) -> None:
        """Use password and port of the last start in this folder, so that slugs and connections stay valid."""
        known = {}
        with contextlib.suppress(FileNotFoundError):
            known = json.loads((self.folder / "service.json").read_text())
        self.password = known.get("password") or secrets.token_urlsafe(18)
        self.port = self.port or known.get("port", 0)
        if not self.port or not _is_free(self.port):
            self.port = free_port()
        self._keep()

    def _keep(self) -> None:
        self._write_private("service.json", json.dumps({"password": self.password, "port": self.port}))

    def _write_private(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def _privileges(self) -> list[str]:
        """The options of setpriv for this server, in addition to the signal."""
        return []

    def _variables(self) -> dict[str, str]:
        """The server's environment variables; of ours, it gets only the search path."""
        return {"PATH": PROGRAM_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _leash(self) -> list[str]:
        setpriv = shutil.which("setpriv", path=PROGRAM_PATH)
        if setpriv:
            return [setpriv, f"--pdeathsig={self.stop_signal.name[3:]}", *self._privileges()]
        if self._privileges():
            raise ServiceError(
                f"{self.title} refuses to run as root, and setpriv, which would run it as another user, is missing",
                str(self.folder),
                "install util-linux, or run this as an ordinary user",
            )
        return []

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self._leash(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._variables(),
                start_new_session=True,  # Ctrl-C is for the demo, which then stops its servers in order
            )

    def _install(self, command: list[str]) -> None:
        """Run the server's own installer until it ends.

        Raises:
            ServiceError: if it fails or takes longer than `start_seconds`.
        """
        process = self._spawn(command)
        try:
            code = process.wait(self.start_seconds)
        except subprocess.TimeoutExpired:
            raise self._failed(f"creating its data folder took longer than {self.start_seconds:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code:
            raise self._failed(f"{Path(command[0]).name} ended with exit code {code}")

    def _wait_until_ready(self) -> None:
        assert self._process is not None  # noqa: S101  # for the type checker
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            code = self._process.poll()
            if code is not None:
                raise self._failed(f"it ended with exit code {code}")
            if self._is_ready():
                return
            time.sleep(POLL_SECONDS)
        raise self._failed(f"no answer on {self.host}:{self.port} within {self.start_seconds:g} s")

    def _failed(self, reason: str) -> ServiceError:
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["(the log is empty)"]
        return ServiceError(
            f"{self.title} did not start: {reason}",
            f"{self.log}, which ends with: {' | '.join(lines[-3:])}",
            "read the log; if the data folder is damaged or in use, choose another folder",
        )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections in TIME_WAIT do not block the port
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
