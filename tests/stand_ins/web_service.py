"""A web service on 127.0.0.1 that takes messages as JSON, as Apprise's json:// sends them."""

from __future__ import annotations

import json
from typing import Any

from tests.stand_ins.server import Asked, StandIn


class WebService(StandIn):
    """Takes every message; see `StandIn` for how it misbehaves."""

    @property
    def connection(self) -> str:
        """It as a connection of Airflow; the service is asked for at most a second."""
        address = f"json://127.0.0.1:{self.port}/hook?rto=1&cto=1"
        return json.dumps({"conn_type": "apprise", "extra": {"config": {"path": address}}})

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """It was taken."""
        return 200, {"taken": len(asked.body)}
