"""The folders of a run are removed within seconds of every end, and nothing that a pack leaves there holds a run up."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hdm_airflow.errors import VenvBuildError
from hdm_airflow.runner.processes import janitor
from hdm_airflow.runner.processes.run_folder import KEPT, PREFIX, run_folder
from tests.airflow.processes import ROOT, eventually
from tests.integration.run_harness import REPORT_OK, SLUG, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A pack that reports ok."""
    found = Place(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(found.tmp))
    return found


@contextmanager
def beating(most: float) -> Iterator[list[float]]:
    """A list for the times of heartbeats; no two may be further apart than this."""
    beats = [time.monotonic()]
    yield beats
    beats.append(time.monotonic())
    assert max(after - before for before, after in pairwise(beats)) < most


def test_task_that_is_killed_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    """Before the first guard, while the venv is built, between programs, while the pack runs, and during the removal.

    A moment is the first call of each function, and the first return from those that make folders or start programs.
    """
    script = 'mkfifo "$TMPDIR/pipe"; sleep 0.1\n'
    command = [sys.executable, "-m", "tests.integration.run_harness", str(tmp_path), script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    left = json.loads(done.stdout)
    assert len(left) > 60
    assert {moment: what for moment, what in left.items() if what} == {}


ODDITIES = {
    "pipe in the report's place": 'rm "$HDM_REPORT"; mkfifo "$HDM_REPORT"\n',
    "folder in the report's place": 'rm "$HDM_REPORT"; mkdir -p "$HDM_REPORT/below"\n',
    "sparse file in the report's place": 'truncate -s 1T "$HDM_REPORT"\n',
    "pipes in the place of everything": 'cd ..; for f in *; do rm -rf "$f"; mkfifo "$f"; done; mkfifo .lock\n',
    "folders in the place of the secrets": "cd ..; rm context.json pgpass; mkdir -p context.json/below pgpass/below\n",
    "closed": "cd ..; mkdir -p home/a/b; chmod 0 home/a/b home/a home pack tmp .\n",
    "names": 'cd "$TMPDIR"; touch -- -rf "a\nb" $\'\\xff\' "*"\n',
    "link": "cd ..; rm -rf home; ln -s / home; ln -s / root\n",
    "deep": 'cd "$TMPDIR"; python -c "import os\nfor _ in range(3000): os.mkdir(\'d\'); os.chdir(\'d\')"\n',
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ODDITIES)
def test_whatever_a_pack_leaves_is_removed_and_holds_nothing_up(place: Place, tmp_path: Path, what: str) -> None:
    """A pipe would block whoever opens it; a link leads elsewhere; `rm` cannot list a folder without rights."""
    place = Place(tmp_path, ODDITIES[what])
    with beating(5) as beats:
        result = place.process(timeout=60, heartbeat=lambda: beats.append(time.monotonic())).run()
    assert (result.end_reason, result.exit_code) == ("exit", 0)
    assert eventually(lambda: place.left == [])


@pytest.mark.timeout(60)
def test_socket_and_pipe_of_a_run_that_died_do_not_block_the_next_one(place: Place) -> None:
    """The sweep opens nothing but the folder itself."""
    dead = place.tmp / f"{PREFIX}dead"
    dead.mkdir()
    for name in (".lock", "report.jsonl", "context.json"):
        os.mkfifo(dead / name)
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(dead)
        server.bind("s")
        os.chdir(ROOT)
    dead.chmod(0)
    assert place.process(timeout=60).run().exit_code == 0
    assert place.left == []


def test_removal_that_takes_long_holds_up_neither_the_result_nor_the_heartbeat(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A pack can leave millions of files. Here the janitor is stopped; it goes on afterwards."""
    with beating(1.5) as beats, run_folder(heartbeat=lambda: beats.append(time.monotonic())) as folder:
        (folder.root / "file").touch()
        assert folder.janitor
        os.kill(folder.janitor._process.pid, signal.SIGSTOP)
        began = time.monotonic()
    assert time.monotonic() - began < janitor.PATIENCE + 1.5
    assert len(beats) > 5
    assert "is still being removed" in caplog.text
    assert folder.root.exists()
    os.kill(folder.janitor._process.pid, signal.SIGCONT)
    assert eventually(lambda: place.left == [])


def test_janitor_outlives_signals_to_the_group_of_the_task(place: Place) -> None:
    """Ctrl-C at a terminal reaches every process of the group; a service manager signals each process."""
    with run_folder() as folder:
        assert folder.janitor
        pid = folder.janitor._process.pid
        assert os.getsid(pid) == pid
        ignored = Path(f"/proc/{pid}/status")
        needed = sum(1 << (number - 1) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))
        assert eventually(lambda: int(ignored.read_text().split("SigIgn:\t")[1].split()[0], 16) & needed == needed)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.killpg(pid, number)
    assert place.left == []


def test_folder_of_a_killed_janitor_is_removed_by_another_one(place: Place) -> None:
    """Without a sandbox, a pack can kill it."""
    with run_folder() as folder:
        (folder.root / "file").touch()
        assert folder.janitor
        os.kill(folder.janitor._process.pid, signal.SIGKILL)
    assert place.left == []


def test_folder_is_named_if_its_janitor_was_killed_and_no_other_can_be_started(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The pack's results count all the same."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with run_folder() as folder:
            assert folder.janitor
            os.kill(folder.janitor._process.pid, signal.SIGKILL)
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    why = "the janitor was killed, and another cannot be started: Too many open files"
    assert caplog.messages == [f"{folder.root} could not be removed: {why}; remove it by hand"]
    folder.root.rmdir()


def test_folder_is_in_use_as_long_as_a_guard_lives(place: Place, tmp_path: Path) -> None:
    """The task was killed, and its pack still has three seconds to end: the next run must not touch its folder."""
    pack = 'trap "" TERM; touch "$TMPDIR/ready"; sleep 60 & while true; do wait; done\n'
    code = "import sys, tempfile; from pathlib import Path; from tests.integration.run_harness import Place; "
    code += "Place(Path(sys.argv[1]), sys.argv[2]).process().run()"
    task = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), pack], cwd=ROOT, env={**os.environ, "TMPDIR": str(place.tmp)}
    )
    try:
        assert eventually(lambda: bool([*place.tmp.glob("*/tmp/ready")]), 60)
        (root,) = place.tmp.iterdir()
    finally:
        task.kill()
        task.wait()
    with run_folder():
        assert (root / "tmp" / "ready").exists()
    assert eventually(lambda: place.left == [])


def test_two_sweeps_at_once_are_harmless(place: Place) -> None:
    """All tasks of a worker start at once after a power failure."""
    for number in range(20):
        (place.tmp / f"{PREFIX}{number}" / "below").mkdir(parents=True)
    code = "from hdm_airflow.runner.processes.run_folder import run_folder\nwith run_folder() as folder: "
    code += "(folder.root / 'mine').touch(); assert (folder.root / 'mine').exists()"
    command, variables = [sys.executable, "-c", code], {**os.environ, "TMPDIR": str(place.tmp)}
    several = [subprocess.Popen(command, cwd=ROOT, env=variables) for _ in range(4)]
    assert [one.wait(60) for one in several] == [0] * 4
    assert place.left == []


def test_kept_folder_has_no_secrets_and_no_run_sweeps_it(tmp_path: Path, place: Place) -> None:
    """Whatever the pack has made of the files with passwords, and of a marker of its own."""
    place = Place(tmp_path, "cd ..; mv context.json elsewhere; mkdir -p context.json/x; touch .lock\n" + REPORT_OK)
    place.process(timeout=60, keep=True).run()
    (root,) = place.tmp.iterdir()
    assert root.name.startswith(KEPT)
    assert not (root / "context.json").exists()
    assert not (root / "pgpass").exists()
    with run_folder():
        pass
    assert (root / "pack").exists()


@pytest.mark.parametrize("name", ["line\nbreak", "-rf *", "größe \\n $(touch x)", "relative"])
def test_temporary_folder_may_have_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path reaches the janitor as it is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / "line").mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", name if name == "relative" else str(tmp_path / name))
    with run_folder() as folder:
        (folder.root / "file").touch()
        assert folder.root.is_absolute()
    assert list((tmp_path / name).iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {name, "line"}


def test_no_program_of_a_pack_holds_the_janitor_up(place: Place, tmp_path: Path) -> None:
    """It inherits neither the janitor's pipe nor the folder's lock."""
    place = Place(tmp_path, 'for fd in /proc/self/fd/*; do [ -e "$fd" ] && readlink "$fd"; done\n')
    lines: list[str] = []
    place.process(timeout=60, log=lines.append).run()
    assert not [line for line in lines if PREFIX in line.rpartition("/")[2]]
    assert sum(line.startswith("pipe:") for line in lines) <= 2  # its output and errors


_HOSTILE_BUILD = """
import os, shutil, sys
pid = os.getpid()
while True:  # the installer is an ancestor, and its command line names the venv
    arguments = open(f"/proc/{pid}/cmdline").read().split("\\0")
    if "--python" in arguments: break
    pid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
venv = os.path.dirname(os.path.dirname(arguments[arguments.index("--python") + 1]))
shutil.rmtree(venv)
for folder in (os.environ["TMPDIR"], os.path.dirname(venv)):
    os.mkfifo(os.path.join(folder, "pipe"))
    os.chdir(folder)
    for _ in range(1100):
        os.mkdir("d")
        os.chdir("d")
os.mkfifo(venv)
with open(f"/proc/{pid}/fd/2", "w") as errors:  # as if the installer itself had printed it
    errors.write("\\nerror: Unexpected end at requirements.txt:1:1\\n")
sys.exit(1)
"""


@pytest.mark.timeout(120)
def test_build_that_leaves_pipes_in_the_place_of_its_folders_ends_and_leaves_nothing(
    place: Place, tmp_path: Path
) -> None:
    """It also prints what makes us try pip instead of uv, for which the unfinished venv is put aside."""
    pack = tmp_path / "packs" / "metric-packs" / "one"
    (pack / "evil").mkdir()
    (pack / "requirements.txt").write_text("./evil\n")
    (pack / "evil" / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (pack / "evil" / "backend.py").write_text(_HOSTILE_BUILD)
    with pytest.raises(VenvBuildError, match="pip"), beating(20) as beats:
        place.process(timeout=60, heartbeat=lambda: beats.append(time.monotonic())).run()
    assert eventually(lambda: place.left == [])


@pytest.mark.timeout(120)
def test_report_of_ten_million_lines_stops_neither_the_heartbeat_nor_the_clock(place: Place, tmp_path: Path) -> None:
    """20 MB are within the limit, and are read in steps."""
    place = Place(tmp_path, REPORT_OK + 'yes x | head -c 20000000 >> "$HDM_REPORT"\n' + REPORT_OK)
    with beating(5) as beats:
        result = place.process(timeout=100, heartbeat=lambda: beats.append(time.monotonic())).run()
    assert len(result.reports.problems) + result.reports.dropped == 10_000_000
    assert result.reports.endpoints[SLUG].status == "ok"


@pytest.mark.timeout(120)
def test_output_of_empty_lines_stops_neither_the_heartbeat_nor_the_clock(place: Place, tmp_path: Path) -> None:
    """Each is a line of the log, and logging one can take longer than writing thousands."""
    place = Place(tmp_path, "yes '' | head -c 30000000\n")
    with beating(5) as beats:

        def log(_: str) -> None:
            time.sleep(60e-6)

        began = time.monotonic()
        result = place.process(timeout=3, log=log, heartbeat=lambda: beats.append(time.monotonic())).run()
    assert result.end_reason == "timeout"
    assert time.monotonic() - began < 3 + 15
