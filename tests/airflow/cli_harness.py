"""The command line for tests: in this process where speed counts, as a program where the start itself matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class Hdm:
    """`airflow hdm ...` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object, code: int | None = 0) -> Done:
        """Run a command.

        Args:
            words: what follows `airflow hdm`.
            code: the expected exit code; None: any.
        """
        from airflow.cli.cli_parser import get_parser

        self._capsys.readouterr()
        found: object = 0
        try:
            args = get_parser().parse_args(["hdm", *map(str, words)])
            with patch.dict(os.environ):  # a command tells Airflow in what kind of process it runs
                args.func(args)
        except SystemExit as end:
            found = end.code
        out, err = self._capsys.readouterr()
        done = Done(code=int(str(found or 0)), out=out, err=err)
        assert code in (None, done.code), f"exit code {done.code}\n{out}\n{err}"
        return done

    def json(self, *words: object, code: int | None = 0) -> Any:
        """Run a command with `--output json`, and give its data."""
        return self(*words, "--output", "json", code=code).data


def airflow(*words: object, code: int | None = 0, stdin: str = "", **variables: str) -> Done:
    """Run the program `airflow` with further environment variables."""
    command = [sys.executable, "-m", "airflow", *map(str, words)]
    environment = {**os.environ, **variables}
    ran = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )
    assert code in (None, ran.returncode), f"exit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return Done(code=ran.returncode, out=ran.stdout, err=ran.stderr)
