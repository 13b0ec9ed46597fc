"""Plugin: puts our pages into Airflow. Every component of Airflow loads it, so it imports nothing of them."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

PREFIX = "/hdm"  # of our addresses, below the path of Airflow's base_url
_STATUS = 503


class HdmPlugin(AirflowPlugin):
    """One entry in Airflow's navigation, and the application behind it."""

    name = "hdm"

    @property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # read when it is needed
        """The entry. Its address is absolute: Airflow puts the path of the page into its own, below the route."""
        root = f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{PREFIX}"
        return [
            {
                "name": "Quality",
                "href": f"{root}/",
                "url_route": "data-quality",
                "destination": "nav",
                "nav_top_level": True,
                "icon": f"{root}/icon/light.svg",
                "icon_dark_mode": f"{root}/icon/dark.svg",
            }
        ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # imported when it is needed
        """The application. An exception here would end the whole API server: a page says it instead."""
        try:
            from hdm_airflow.ui.app import build

            app: Any = build(PREFIX)
        except Exception as error:  # whatever it is, Airflow's own pages must go on
            log.exception("The pages of hdm_airflow cannot be loaded")
            app = _Unavailable(type(error).__name__)
        return [{"name": "hdm_airflow", "app": app, "url_prefix": PREFIX}]


class _Unavailable:
    """An ASGI application that says where to find out why there are no pages.

    Args:
        error: the name of the exception's class. The rest is in the log only: visitors may not be logged in.
    """

    def __init__(self, error: str) -> None:
        self.text = (
            f"The pages of hdm_airflow cannot be loaded ({error}).\n"
            "in: the log of Airflow's API server\n"
            "do: read the error there, correct it, and restart the API server\n"
        )

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ARG002  # of ASGI
        """Answer every request."""
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
        await send({"type": "http.response.start", "status": _STATUS, "headers": headers})
        await send({"type": "http.response.body", "body": self.text.encode()})
