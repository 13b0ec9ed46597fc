"""Every route that changes something: who may use it, from where, and what the audit trail says afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from hdm_airflow.plugin import PREFIX
from hdm_airflow.ui.app import build
from hdm_airflow.ui.guard import HEADER
from tests.functional.pages_stage import DAG, Pages, pages_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.services import Postgres

pytestmark = pytest.mark.timeout(300)
ROUTES = {
    route.path: route.endpoint.hdm_right.name
    for route in build(PREFIX).routes
    if getattr(route, "methods", None) and route.methods - {"GET", "HEAD"}
}
_CHANGES = {"activate", "deactivate", "run now", "config set", "config remove", "config restore"}


class Acts:
    """What each route is sent, so that it changes something; it prepares that in the base first."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.slug = pages.endpoints[0].slug
        self.other = pages.endpoints[1].slug

    def body(self, path: str) -> dict[str, Any]:
        """What a person of our pages would send now."""
        make: dict[str, Callable[[], dict[str, Any]]] = {
            "/run-now": lambda: {"packs": ["mp_basic"], "endpoints": [self.slug], "date": "2026-01-05"},
            "/matrix/cell": self._cell,
            "/matrix/change": self._change,
            "/matrix/like": self._like,
            "/matrix/undo": self._undo,
            "/configuration/save": lambda: {**self._meant(), "text": f'{{"endpoint_seconds": {self._next()}}}'},
            "/configuration/remove": self._meant_and_stored,
            "/configuration/restore": self._restore,
        }
        return make[path]()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the base."""
        with self.pages.stage.base.connect() as base:
            return base.execute(query.encode(), values or None).fetchall()

    def state(self) -> list[Any]:
        """All that pages can change."""
        queries = (
            "SELECT * FROM hdm_activation ORDER BY 1, 2, 3",
            "SELECT kind, id_config, pack_config FROM hdm_configuration ORDER BY 1, 2",
            "SELECT id FROM hdm_audit ORDER BY id",
        )
        runs = self.pages.airflow.call("GET", f"/dags/{DAG}/dagRuns")["total_entries"]
        return [*(self.rows(query) for query in queries), runs]

    def send(
        self, path: str, body: Any, user: str = "admin", headers: dict[str, str] | None = None
    ) -> requests.Response:
        """The answer to a user's request."""
        sent = {"Authorization": f"Bearer {self.pages.token(user)}", **({HEADER: "1"} if headers is None else headers)}
        return requests.post(f"{self.pages.url}{path}", json=body, headers=sent, timeout=60)

    def _next(self) -> int:
        return len(self.rows("SELECT 1 FROM hdm_audit")) + 1

    def _active(self) -> bool:
        query = "SELECT 1 FROM hdm_activation WHERE kind = 'metric' AND pack = 'basic' AND slug = %s"
        return bool(self.rows(query, self.slug))

    def _cell(self) -> dict[str, Any]:
        active = self._active()
        return {"kind": "metric", "pack": "basic", "endpoint": self.slug, "active": not active, "seen": active}

    def _change(self) -> dict[str, Any]:
        return {"packs": ["mp_basic"], "keys": [1], "digest": "", "active": not self._active()}

    def _like(self) -> dict[str, Any]:
        with self.pages.stage.base.connect() as base:
            for table in ("mp", "rp"):
                base.execute(f"DELETE FROM hdm_core_table_corr_db_{table} WHERE db_key = %s", [self.slug])
        return {"endpoint": self.slug, "like": self.other}

    def _undo(self) -> dict[str, Any]:
        body = {"packs": ["mp_basic", "mp_row-count"], "keys": [3, 4], "digest": ""}
        for active in (False, True):
            answer = self.send("/matrix/change", {**body, "active": active})
            assert answer.status_code == 200, answer.text
        return {"batch": answer.json()["batch"]}

    def _meant(self) -> dict[str, Any]:
        return {"kind": "metric", "pack": "basic", "endpoint": self.slug, "seen": self._seen()}

    def _seen(self) -> str:
        from hdm_airflow.admin import configuration
        from hdm_airflow.base.hook import HdmHook

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AIRFLOW_CONN_HDM", self.pages.stage.base.dsn)
            with HdmHook().session() as base:
                return configuration.read(base, "metric", "basic", slug=self.slug).version

    def _meant_and_stored(self) -> dict[str, Any]:
        answer = self.send("/configuration/save", self.body("/configuration/save"))
        assert answer.status_code == 200, answer.text
        return self._meant()

    def _restore(self) -> dict[str, Any]:
        self._meant_and_stored()
        query = "SELECT max(id) FROM hdm_audit WHERE action = 'config set' AND object LIKE %s"
        ((change,),) = self.rows(query, f"%basic:{self.slug}")
        self._meant_and_stored()
        return {**self._meant(), "change": change}


@pytest.fixture(scope="module")
def acts(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acts]:
    """A small base."""
    with pages_stage(postgres, tmp_path_factory.mktemp("writes"), endpoints=4, packs=2) as pages:
        yield Acts(pages)


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_a_write_has_a_right_a_guard_and_a_row_in_the_audit_trail(acts: Acts, path: str) -> None:
    """And changes nothing if one of them is missing: the row is written in the same transaction."""
    if ROUTES[path] == "READ":
        before = acts.state()
        body = {"packs": ["mp_basic"], "keys": [1], "digest": ""}
        assert acts.send(path, body, "vera").status_code == 200
        assert acts.state() == before
        return
    body = acts.body(path)
    before = acts.state()
    refused = acts.send(path, body, "vera")
    assert refused.status_code == 403
    assert "Only users who may" in refused.json()["what"]
    foreign = {HEADER: "1", "Sec-Fetch-Site": "same-site"}
    for headers in ({}, foreign):
        assert acts.send(path, body, headers=headers).status_code == 403
    with acts.pages.stage.base.connect() as base:
        base.execute("ALTER TABLE hdm_audit ADD CONSTRAINT broken CHECK (id < 0) NOT VALID")
    try:
        assert acts.send(path, body, "olga").status_code == 503
    finally:
        with acts.pages.stage.base.connect() as base:
            base.execute("ALTER TABLE hdm_audit DROP CONSTRAINT broken")
    assert acts.state() == before, "nothing has changed without a row in the audit trail"
    done = acts.send(path, body, "olga")
    assert done.status_code == 200, done.text
    assert acts.state()[:2] != before[:2] or acts.state()[3] != before[3]
    newest = max((number for (number,) in before[2]), default=0)
    rows = acts.rows("SELECT actor, action, at IS NOT NULL FROM hdm_audit WHERE id > %s", newest)
    assert rows
    assert {row[0] for row in rows} == {"olga"}
    assert all(action in _CHANGES and at for _, action, at in rows)
