"""Options: which sources of passwords are asked, in which order, and how. The key `credentials` of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class CredentialOptions(BaseModel):
    """Where passwords come from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
