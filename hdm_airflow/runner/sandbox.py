"""The sandbox: which files of the machine a pack may see."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["auto", "required", "off"]


class Sandbox(BaseModel):
    """How far a pack is kept from the files and processes of others."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    mode: Mode = Field(
        "auto", description="auto: where the kernel can; required: no pack runs where it cannot; off: not at all."
    )
    read: tuple[str, ...] = Field((), strict=False, description="More files and folders that packs may read.")
    write: tuple[str, ...] = Field((), strict=False, description="More files and folders that packs may change.")
