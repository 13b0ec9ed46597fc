"""The phases of an execution: each cell of their table, reached as it is reached in a task, on a real base."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hdm_airflow.base import runs
from hdm_airflow.base.hook import HdmHook
from hdm_airflow.base.runs import Attempt
from hdm_airflow.errors import HdmBaseError, PackFailedError
from hdm_airflow.operators import execution as module
from hdm_airflow.operators.execution import Execution
from hdm_airflow.operators.lock import LockKeeper
from hdm_airflow.operators.phase import Event, Phase, Progress
from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.runner.job import BaseAccess, Job
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.store import VenvStore

HEART, LUNGS = "heart:mysql:db:3306:hdm:false", "lungs:mysql:db:3306:hdm:false"
ATTEMPT = Attempt(
    kind="metric",
    pack="basic",
    pack_version="1.0",
    metric_date=date(2024, 5, 1),
    environment="prod",
    dag_id="hdm_pipeline",
    run_id="night 1",
    task_id="hdm-prod.mp_basic",
    try_number=1,
)
FAULT = PackFailedError("the job cannot be made", "mp_basic")
RUNNING_ROWS = [("running", None)] * 2
KILLED = [("failed", "the task was killed")] * 2
FAILED = [("failed", "the job cannot be made")] * 2


class Stage:
    """An execution on a real base, with events at moments that the tests choose."""

    def __init__(self, session: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hook = HdmHook()
        hook.load()
        self.session, self.folder, self.monkeypatch = session, folder, monkeypatch
        ids = runs.reserve(session, [HEART, LUNGS])
        self.execution = Execution(hook, ATTEMPT, ids, print, keeper=LockKeeper(session, ids))
        self.before_strike: Callable[[Progress], object] = lambda _progress: None
        self.phases: list[Phase] = []  # as seen at those moments

    def abort(self) -> None:
        self.execution.abort("the task was killed")

    def events(self) -> list[Event]:
        return [entry.event for entry in self.execution._progress._events]

    def see(self) -> None:
        self.phases.append(self.execution._progress.phase)

    def during(self, name: str, *acts: Callable[[], None]) -> None:
        """Act in the middle of `runs.<name>`: before its statements where it closes, behind them where it starts."""
        real = getattr(runs, name)

        def acting(*arguments: Any, **options: Any) -> Any:
            if name == "start":
                real(*arguments, **options)
            for act in acts:
                act()
            return None if name == "start" else real(*arguments, **options)

        self.monkeypatch.setattr(runs, name, acting)

    def strike(self, event: Event, *, recorded: bool) -> Callable[[Progress, Event], tuple[Phase, Phase]]:
        """Interrupt the first event of this kind, just before or just after it is recorded, as a timeout can."""
        follow, struck = Progress.follow, False

        def striking(progress: Progress, happened: Event) -> tuple[Phase, Phase]:
            nonlocal struck
            if happened is event and not struck:
                struck = True
                if recorded:
                    follow(progress, happened)
                self.before_strike(progress)
                fail()
            return follow(progress, happened)

        self.monkeypatch.setattr(Progress, "follow", striking)
        return follow

    def run(self, *acts: Callable[[], None]) -> list[runs.Outcome]:
        """Run it, with acts while its job is made, which then fails."""
        return self._run(*acts, fail)

    def run_pack(self, *acts: Callable[[], None]) -> list[runs.Outcome]:
        """Run a pack that ends well, with acts while its job is made."""
        pack = self.folder / "metric-packs" / "basic"
        pack.mkdir(parents=True)
        (pack / "properties.json").write_text('{"name": "basic", "version": "1.0"}')
        (pack / "bootstrap-script.sh").write_text("exit 0\n")
        return self._run(*acts)

    def _run(self, *acts: Callable[[], None]) -> list[runs.Outcome]:
        def make_job() -> Job:
            for act in acts:
                act()
            return Job(
                pack=Catalog.scan(self.folder).find("mp_basic"),
                environment="prod",
                metric_date=ATTEMPT.metric_date,
                run_id=ATTEMPT.run_id,
                dag_id=ATTEMPT.dag_id,
                task_id=ATTEMPT.task_id,
                try_number=1,
                base=BaseAccess(variables={}),
                targets=(),
                config={},
                config_source="",
                timezone="UTC",
                timeout=60,
            )

        return self.execution.run(self.session, make_job, VenvStore(VenvOptions(folder=str(self.folder / "venvs"))))

    def refuse(self) -> None:
        """Have the base refuse every end, as a full disk does."""
        self.session.execute("ALTER TABLE hdm_pack_run ADD CONSTRAINT full_disk CHECK (status = 'running') NOT VALID")

    def relent(self) -> None:
        self.session.execute("ALTER TABLE hdm_pack_run DROP CONSTRAINT full_disk")

    def rows(self) -> list[tuple[str, str]]:
        found = self.session.execute("SELECT status, reason FROM hdm_pack_run ORDER BY id").fetchall()
        return [(row["status"], row["reason"]) for row in found]


@pytest.fixture
def stage(base, tmp_path, monkeypatch):
    """Without patience, a base that refuses is asked only once."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    with HdmHook().session() as session:
        yield Stage(session, tmp_path, monkeypatch)


def fail() -> None:
    raise FAULT


def start_while_waiting(stage: Stage) -> None:
    stage.during("start", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()


def abort_while_waiting(stage: Stage) -> None:
    stage.during("close", stage.see)
    stage.abort()
    assert stage.rows() == KILLED


def end_while_waiting(stage: Stage) -> None:
    """A timeout strikes before the first step."""
    stage.strike(Event.START, recorded=False)
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def started_while_starting(stage: Stage) -> None:
    with pytest.raises(PackFailedError):
        stage.run(stage.see, lambda: pytest.fail("the rows are not there") if stage.rows() != RUNNING_ROWS else None)


def abort_while_starting(stage: Stage) -> None:
    """An end written now would come before the rows that it ends."""
    stage.during("start", stage.abort, stage.see)
    assert [one.status for one in stage.run()] == ["failed"] * 2
    assert stage.rows() == KILLED


def end_while_starting(stage: Stage) -> None:
    stage.during("start", fail)
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def started_while_doomed(stage: Stage) -> None:
    stage.during("start", stage.abort)
    stage.during("close", stage.see)
    assert [one.reason for one in stage.run(lambda: pytest.fail("no job is made"))] == ["the task was killed"] * 2
    assert stage.rows() == KILLED


def abort_while_doomed(stage: Stage) -> None:
    stage.during("start", stage.abort, stage.abort, stage.see)
    stage.run()
    assert stage.rows() == KILLED


def end_while_doomed(stage: Stage) -> None:
    stage.during("start", stage.abort, fail)
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def abort_while_running(stage: Stage) -> None:
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run(stage.abort)
    assert stage.rows() == KILLED


def end_while_running(stage: Stage) -> None:
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def abort_while_closing(stage: Stage) -> None:
    """The end that is being written counts; a second one would contradict it."""
    stage.during("close", stage.abort, stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def end_while_closing(stage: Stage) -> None:
    """A timeout strikes after the event and before the write: nobody else would write the end."""
    stage.strike(Event.END, recorded=True)
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run_pack()
    assert stage.rows() == FAILED


def written_while_closing(stage: Stage) -> None:
    with pytest.raises(PackFailedError):
        stage.run()
    stage.see()
    assert stage.rows() == FAILED


def refused_while_closing(stage: Stage) -> None:
    with pytest.raises(HdmBaseError, match="full_disk"):
        stage.run(stage.refuse)
    stage.see()
    assert stage.rows() == RUNNING_ROWS


def interrupted_while_closing(stage: Stage) -> None:
    """A signal handler cannot wait for a base that refuses: the run's own end is still written."""

    def abort_in_vain() -> None:
        stage.refuse()
        with pytest.raises(HdmBaseError, match="full_disk"):
            stage.abort()
        stage.relent()

    with pytest.raises(PackFailedError):
        stage.run(abort_in_vain, stage.see)
    assert stage.rows() == FAILED


def abort_while_completing(stage: Stage) -> None:
    stage.during("close", stage.abort, stage.see)
    stage.abort()
    assert stage.rows() == KILLED


def end_while_completing(stage: Stage) -> None:
    """The same while a signal handler writes: it raises into the run, which ends."""
    follow = stage.strike(Event.START, recorded=False)
    stage.before_strike = lambda progress: follow(progress, Event.ABORT)
    stage.during("close", stage.see)
    with pytest.raises(PackFailedError):
        stage.run()
    assert stage.rows() == FAILED


def written_while_completing(stage: Stage) -> None:
    stage.abort()
    stage.see()
    assert stage.rows() == KILLED


def refused_while_completing(stage: Stage) -> None:
    stage.during("start", stage.refuse, fail)
    with pytest.raises(HdmBaseError, match="full_disk"):
        stage.run()
    stage.see()


def interrupted_while_completing(stage: Stage) -> None:
    stage.refuse()
    with pytest.raises(HdmBaseError, match="full_disk"):
        stage.abort()
    stage.see()
    stage.relent()
    stage.abort()
    assert stage.rows() == KILLED


def start_while_closed(stage: Stage) -> None:
    stage.abort()
    assert [one.status for one in stage.run(lambda: pytest.fail("no job is made"))] == ["failed"] * 2
    stage.see()
    assert stage.rows() == KILLED


def abort_while_closed(stage: Stage) -> None:
    with pytest.raises(PackFailedError):
        stage.run()
    stage.abort()
    stage.see()
    assert stage.rows() == FAILED


def end_while_closed(stage: Stage) -> None:
    with pytest.raises(PackFailedError):
        stage.run(stage.abort)
    stage.see()
    assert stage.rows() == KILLED


def abort_while_lost(stage: Stage) -> None:
    with suppress(HdmBaseError):
        stage.run(stage.refuse)
    stage.relent()
    stage.abort()
    stage.see()
    assert stage.rows() == RUNNING_ROWS  # the next run of the pack closes them


def end_while_lost(stage: Stage) -> None:
    """The pack ends well and the base refuses that: an error, which ends the run a second time, is not written."""
    asked: list[None] = []
    stage.during("close", lambda: asked.append(None))
    with pytest.raises(HdmBaseError, match="full_disk"):
        stage.run_pack(stage.refuse)
    stage.see()
    assert stage.events()[-3:] == [Event.END, Event.REFUSED, Event.END]
    assert len(asked) == 1
    assert stage.rows() == RUNNING_ROWS


def table() -> dict[tuple[Phase, Event], Phase | None]:
    """The cells of the table in the docstring of Phase; None for an empty one."""
    lines = re.findall(r"^ *\|(.*)\|$", Phase.__doc__ or "", re.MULTILINE)
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return {
        (Phase[row[0]], Event[event]): Phase[cell] if cell else None
        for row in rows
        for event, cell in zip(head[1:], row[1:], strict=True)
    }


TABLE = table()
POSSIBLE = {cell: after for cell, after in TABLE.items() if after}


@pytest.mark.parametrize(("phase", "event"), POSSIBLE, ids=lambda one: one.name)
def test_event_leads_to_the_phase_of_the_table_and_the_ledger_has_one_end(stage, phase: Phase, event: Event) -> None:
    """Each cell by the course of events that leads there; the last phase seen is the one that the event leads to."""
    globals()[f"{event.name.lower()}_while_{phase.name.lower()}"](stage)
    assert stage.phases[-1] is POSSIBLE[phase, event]


def path_to(phase: Phase) -> list[Event]:
    """A shortest course of events from the first phase to another."""
    paths: dict[Phase, list[Event]] = {Phase.WAITING: []}
    for one in paths_in_order(paths):
        for event in Event:
            after = POSSIBLE.get((one, event))
            if after and after not in paths:
                paths[after] = [*paths[one], event]
    return paths[phase]


def paths_in_order(paths: dict[Phase, list[Event]]) -> Iterator[Phase]:
    """The phases as they are found, those that are found meanwhile included."""
    done: set[Phase] = set()
    while new := [phase for phase in paths if phase not in done]:
        done.update(new)
        yield from new


def test_timeout_after_the_end_is_written_leaves_that_end(stage) -> None:
    """The end is written again, and the ledger keeps the first one; `abort` still works."""
    stage.strike(Event.WRITTEN, recorded=False)
    with pytest.raises(PackFailedError):
        stage.run_pack()
    assert [status for status, _ in stage.rows()] == ["success"] * 2
    assert [one.status for one in stage.execution.outcomes] == ["success"] * 2
    stage.abort()
    assert [status for status, _ in stage.rows()] == ["success"] * 2


@pytest.mark.parametrize(("phase", "event"), [cell for cell in TABLE if cell not in POSSIBLE], ids=lambda one: one.name)
def test_empty_cell_is_an_error(phase: Phase, event: Event) -> None:
    """An event that cannot happen is a fault of the program; it does not pass for a phase."""
    progress = Progress()
    for one in path_to(phase):
        progress.follow(one)
    assert progress.phase is phase
    with pytest.raises(KeyError):
        progress.follow(event)
    assert progress.phase is phase
