"""One pack run on its own, without Airflow and a base; as a program, it kills that run at every moment."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdm_airflow.packs.catalog import Catalog
from hdm_airflow.runner.job import BaseAccess, Job, Target
from hdm_airflow.runner.run import PackProcess
from hdm_airflow.runner.venvs.options import VenvOptions
from hdm_airflow.runner.venvs.store import VenvStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: The modules whose functions are the moments: at their first call, and at the first return from these.
_CALLED = {"run.py", "workspace.py", "run_folder.py", "janitor.py", "store.py", "builder.py", "layer.py", "child.py"}
_RETURNED = {"run_folder.py", "janitor.py", "child.py"}
SLUG = "heart:sqlite:/heart.db:::false"
REPORT_OK = f"""echo '{json.dumps({"endpoint": SLUG, "status": "ok"})}' >> "$HDM_REPORT"\n"""


@dataclass
class Place:
    """Where one pack runs."""

    folder: Path
    script: str = REPORT_OK  # of the pack

    def __post_init__(self) -> None:
        self.tmp.mkdir(parents=True, exist_ok=True)
        pack = self.folder / "packs" / "metric-packs" / "one"
        pack.mkdir(parents=True, exist_ok=True)
        manifest = {"name": "one", "version": "1.0.0", "author": "test", "description": "test"}
        (pack / "properties.json").write_text(json.dumps(manifest))
        (pack / "Readme.md").write_text("# one\n")
        (pack / "bootstrap-script.sh").write_text(f"#!/bin/bash\n{self.script}")

    @property
    def tmp(self) -> Path:
        """Its TMPDIR."""
        return self.folder / "tmp"

    @property
    def store(self) -> Path:
        """Its venv store."""
        return self.folder / "store"

    @property
    def left(self) -> list[str]:
        """What runs have left: in TMPDIR, and of builds."""
        found = [*self.tmp.iterdir(), *self.store.glob(".*")]
        return [str(path.relative_to(self.folder)) for path in found]

    def process(
        self,
        *,
        timeout: float | None = None,
        log: Callable[[str], None] = lambda _: None,
        heartbeat: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> PackProcess:
        """A run of the pack on one endpoint."""
        pack = Catalog.scan(self.folder / "packs").find("mp_one")
        target = Target(
            slug=SLUG, database="heart", type="sqlite", host="/heart.db", port="", user="", ssl=False, url=""
        )
        job = Job(
            pack=pack,
            environment="dev",
            metric_date=date(2026, 1, 5),
            run_id="run",
            dag_id="dag",
            task_id="mp_one",
            try_number=1,
            base=BaseAccess(password="s3cret"),
            config={},
            config_source="",
            targets=(target,),
            timezone="UTC",
            timeout=timeout,
        )
        store = VenvStore(VenvOptions(folder=str(self.store)))
        return PackProcess(job, store, log, heartbeat=heartbeat, **options)


def moments(folder: Path, script: str) -> list[str]:
    """The moments of a first run, which builds its venv, in their order."""
    return _in_child(folder, script, "")


def left_when_killed(folder: Path, script: str, moment: str, patience: float) -> list[str]:
    """Run it in a process that kills itself with SIGKILL at a moment; return what is left after some seconds."""
    place = Place(folder, script)
    _in_child(folder, script, moment)
    end = time.monotonic() + patience
    while (left := place.left) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _in_child(folder: Path, script: str, moment: str) -> list[str]:
    place = Place(folder, script)
    seen: list[str] = []

    def look(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        files = {"call": _CALLED, "return": _RETURNED}.get(event, set())
        if Path(code.co_filename).name in files and "<" not in code.co_name:
            name = f"{event} {Path(code.co_filename).stem}.{code.co_name}:{code.co_firstlineno}"
            if name not in seen:
                seen.append(name)
                if name == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

    listing = folder / "moments"
    pid = os.fork()
    if pid == 0:
        tempfile.tempdir = str(place.tmp)
        process = place.process(timeout=60)
        sys.setprofile(look)
        process.run()
        sys.setprofile(None)
        listing.write_text("\n".join(seen))
        os._exit(0)
    os.waitpid(pid, 0)
    return listing.read_text().split("\n") if listing.exists() else []


if __name__ == "__main__":  # in a process without threads, so that it can fork
    top, what = Path(sys.argv[1]), sys.argv[2]
    every = moments(top / "all", what)
    found = {one: left_when_killed(top / str(number), what, one, 20) for number, one in enumerate(every)}
    json.dump(found, sys.stdout)
