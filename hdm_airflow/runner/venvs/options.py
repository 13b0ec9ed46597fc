"""Options: where the venv store is and what it keeps. The key `venvs` of the settings.

Read at each parse of a Dag file: nothing heavy is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hdm_airflow.packs.limits import Bytes
from hdm_airflow.runner.home import expanded


def _absolute(text: str) -> str:
    if not text.startswith(("/", "~/")) or "\0" in text:
        raise ValueError("write an absolute path or one that starts with ~/ (the current folder differs by worker)")
    return text


class VenvOptions(BaseModel):
    """The venv store of a worker's user; null: no limit."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    folder: Annotated[str, AfterValidator(_absolute)] = Field(
        "~/.cache/hdm_airflow/venvs", description="Folder of the venv store on each worker."
    )
    days: float | None = Field(90.0, ge=0, le=36_500, description="Days that an unused venv is kept.")
    size: Bytes | None = Field(None, description="Bytes of all venvs together; the longest unused are removed first.")

    @property
    def root(self) -> Path:
        """The folder on this machine: `~` is the home folder of the user who runs this process.

        Raises:
            ConfigurationError: if that user has no home.
        """
        return expanded(self.folder, where="venvs.folder in the Variable hdm")
