"""Whether an endpoint with TLS must prove who it is: `endpoints test`, and the packs that `packs new` makes."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import threading
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.airflow.cli_harness import Hdm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Database

TODAY = date(2026, 1, 5)
# What MySQL 8 says first: protocol 10, version, thread, salt, capabilities (SSL, 4.1, authentication by plugin).
_GREETING = (
    *(b"\x0a8.0.0\0", struct.pack("<I", 1), b"s" * 8, b"\0", struct.pack("<HBHH", 0x8A00, 45, 2, 0x0008)),
    *(b"\x15", bytes(10), b"s" * 12, b"\0mysql_native_password\0"),
)


class TlsServer:
    """A server with a certificate of its own, which hangs up after the handshake."""

    def __init__(self, folder: Path, type_: str) -> None:
        self.certificate = folder / "server.pem"
        self._key, self._type = folder / "server.key", type_
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=heart", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run([*words, *names, *files], check=True, capture_output=True)
        self.trusted: list[bool] = []  # per connection: whether the client went through with the handshake
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.slug = f"heart:{type_}:127.0.0.1:{self._socket.getsockname()[1]}:me:true"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self._key)
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                self.trusted.append(self._shake(context, client))

    def _shake(self, context: ssl.SSLContext, client: socket.socket) -> bool:
        client.settimeout(10)
        if self._type == "mysql":
            greeting = b"".join(_GREETING)
            client.sendall(struct.pack("<I", len(greeting)) + greeting)  # the fourth byte is the packet's number, 0
            client.recv(36, socket.MSG_WAITALL)
        else:
            client.recv(8, socket.MSG_WAITALL)  # SSLRequest
            client.sendall(b"S")
        try:
            with context.wrap_socket(client, server_side=True) as encrypted:
                return bool(encrypted.recv(1))
        except OSError:
            return False


@pytest.fixture(params=["postgres", "mysql"])
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TlsServer]:
    """A server of either type."""
    server = TlsServer(tmp_path, request.param)
    yield server
    server.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TlsServer]:
    """A PostgreSQL server, as far as the handshake goes."""
    server = TlsServer(tmp_path, "postgres")
    yield server
    server.close()


@pytest.fixture
def hdm(
    capsys: pytest.CaptureFixture[str], base: Database, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Hdm:
    """Commands in this process."""
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"venvs": {"folder": str(store)}}))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path / "dags"))
    monkeypatch.setenv("AIRFLOW_CONN_HDM_HEART", '{"conn_type": "generic", "password": "s3cret"}')
    monkeypatch.setenv("PATH", f"{base.server.bin_dir}:/usr/bin:/bin")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return Hdm(capsys)


def test_endpoint_is_tested_with_verification(hdm: Hdm, any_server: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is only sent to a server that is trusted by the machine's list or by SSL_CERT_FILE."""
    hdm("endpoints", "add", any_server.slug)
    (row,) = hdm.json("endpoints", "test", "heart", code=1)
    assert "certificate verify failed" in row["message"]
    monkeypatch.setenv("SSL_CERT_FILE", str(any_server.certificate))
    (row,) = hdm.json("endpoints", "test", "heart", code=1)
    assert "certificate" not in row["message"]
    assert any_server.trusted == [False, True]


def test_new_metric_pack_in_python_verifies_the_server(
    hdm: Hdm, server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever starts from a template starts with verification."""
    run = new_pack(hdm, server, tmp_path / "packs", "python")
    hdm(*run, code=1)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    hdm(*run, code=1)
    assert server.trusted == [False, True]


def test_new_metric_pack_in_shell_asks_psql_to_verify_the_server(
    hdm: Hdm, server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The psql of the tests does not support TLS, so this looks at its arguments."""
    run = new_pack(hdm, server, tmp_path / "packs", "shell")
    spy = tmp_path / "bin" / "psql"
    spy.parent.mkdir()
    seen = tmp_path / "seen"
    spy.write_text(f'#!/bin/bash\necho "$PGPASSFILE $PGSSLMODE $PGSSLROOTCERT" >> {seen}\nexit 2\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:/usr/bin:/bin")
    monkeypatch.setenv("AIRFLOW_VAR_HDM", json.dumps({"sandbox": {"write": [str(tmp_path)]}}))  # for the spy's notes
    hdm(*run, code=1)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    hdm(*run, code=1)
    asked = [f"/dev/null verify-full {file}" for file in ("/etc/ssl/certs/ca-certificates.crt", server.certificate)]
    assert seen.read_text().splitlines() == asked


def new_pack(hdm: Hdm, server: TlsServer, packs: Path, language: str) -> tuple[object, ...]:
    """Make a metric pack, activate it on the server; the words that run it."""
    hdm("packs", "new", "beat", packs, "--language", language)
    hdm("endpoints", "add", server.slug)
    hdm("activate", "mp_beat", "heart", "--packs-dir", packs)
    return ("packs", "run", "mp_beat", "--packs-dir", packs, "--date", TODAY)
