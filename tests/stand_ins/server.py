"""A small HTTP server on 127.0.0.1 that simulates a service and can misbehave on request."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str  # decoded once, without the query
    token: str  # X-Vault-Token
    body: bytes
    login: str = ""  # Authorization
    key: str = ""  # Idempotency-Key


class StandIn(ABC):
    """A context manager; `answer` is what it plays.

    Attributes:
        asked: the requests so far.
        delay: seconds before each answer.
        broken: None, or what each request gets: an HTTP status, `garbage`, or `hang` (no answer before the end).
        statuses: what the next requests get, in order: an HTTP status, or 0 for the answer.
        hanging: paths that get no answer before the end.
        headers: of each answer, such as where it redirects to.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.delay = 0.0
        self.broken: int | str | None = None
        self.statuses: list[int] = []
        self.hanging: set[str] = set()
        self.headers: dict[str, str] = {}
        self.lock = threading.Lock()  # around the state
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def encrypt(self, folder: Path) -> Path:
        """Speak TLS from now on, with a certificate of its own; its file."""
        certificate, key = folder / "stand-in.pem", folder / "stand-in.key"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*words, *names, *files], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        return certificate

    def paths(self, method: str = "") -> list[str]:
        """The paths asked for, in order."""
        return [one.path for one in self.asked if method in {"", one.method}]

    @abstractmethod
    def answer(self, asked: Asked) -> tuple[int, Any]:
        """The status and JSON value of an answer."""

    def respond(self, asked: Asked) -> tuple[int, bytes]:
        """The status and body of an answer, misbehaviour included."""
        with self.lock:
            self.asked.append(asked)
            status = self.statuses.pop(0) if self.statuses else 0
        if self.delay:
            self._over.wait(self.delay)
        if self.broken == "hang" or asked.path in self.hanging:
            self._over.wait(60)
        if self.broken == "garbage":
            return 200, b"<html>a portal of the network</html>"
        status = self.broken if isinstance(self.broken, int) else status
        if status:
            return status, b'{"errors": ["told to fail"]}'
        with self.lock:
            status, value = self.answer(asked)
        return status, b"" if value is None else json.dumps(value).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken


def _handler(owner: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16  # one write per answer

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ssl.SSLError):  # the client has left a slow answer, or does not trust us
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Quiet."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(urlsplit(self.path).path)
            token, login = self.headers.get("X-Vault-Token", ""), self.headers.get("Authorization", "")
            asked = Asked(self.command, path, token, body, login, self.headers.get("Idempotency-Key", ""))
            status, content = owner.respond(asked)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, value in owner.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answer  # noqa: N815  # as the base class asks for

    return Handler
