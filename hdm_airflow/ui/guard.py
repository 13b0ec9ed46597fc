"""Guard: what every answer of ours carries, and which requests are refused before anything else looks at them."""

from __future__ import annotations

from typing import Any

#: Only what this server sends runs, and only Airflow's own pages can frame it.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
#: A header that no form and no page of another origin can send without being asked for permission first.
HEADER = "X-HDM"

_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
_STORE = (b"cache-control", b"no-store")  # on shared computers
_REFUSAL = b'{"what": "the request does not come from these pages", "where": "", "hint": "reload the page"}'


class Guard:
    """An ASGI middleware around the application.

    Airflow's cookie travels with a form that another port of the same host posts: so a request that changes something
    must come from our own pages. This is checked before the login, whether by a cookie or a token.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                cached = any(name == _STORE[0] for name, _ in headers)
                message = {**message, "headers": [*headers, *_HEADERS, *(() if cached else (_STORE,))]}
            await send(message)

        if scope["method"] in _SAFE or _is_ours(dict(scope["headers"])):
            await self.app(scope, receive, guarded)
            return
        await guarded(
            {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"application/json")]}
        )
        await guarded({"type": "http.response.body", "body": _REFUSAL})


def _is_ours(headers: dict[bytes, bytes]) -> bool:
    """Whether a page of ours has sent it: browsers say where a request comes from, and forms cannot set the header."""
    site = headers.get(b"sec-fetch-site", b"same-origin")
    return site == b"same-origin" and HEADER.lower().encode() in headers
