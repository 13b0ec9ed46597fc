"""`make demo`: a real Airflow runs the reference packs on a synthetic hospital for two nights, then four more follow.

Environment variables: ONCE=1 ends the demo after the last night; ROWS is the number of lab results in the hospital
(1,000 to 1,000,000); DEMO_DIR is the folder of the servers and files (default: .demo).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from demo import connections, incidents, pipeline, results
from demo.endpoints import Site, sites
from demo.hospital import Hospital
from demo.hospital.hospital import FEWEST_ROWS
from demo.services import Airflow, Database, Postgres
from hdm_airflow.errors import HdmError

if TYPE_CHECKING:
    from demo.nights import Laboratory

ROOT = Path(__file__).resolve().parent.parent
_ROWS = 10_000
_MOST_ROWS = 1_000_000  # the largest hospital that the demo is made for
_NIGHTS = 6  # two with the Dag, then four of one database; the last one's metric date is today
_ACTOR = "demo"
_PACKS = "hdm_packs"  # name of the packs' own role, of its schema, and of the Airflow connection


def main() -> int:
    """Run the demo.

    Returns:
        0 if every planted fault was found, the first night raised no alert, the second run succeeded, and the
        incidents of the nights after it are right.

    Raises:
        HdmError: if the environment variable ROWS is wrong; nothing was started.
    """
    began = time.monotonic()
    rows = rows_from(os.environ.get("ROWS", ""))
    console = Console(width=None if sys.stdout.isatty() else 120)
    folder = Path(os.environ.get("DEMO_DIR", ROOT / ".demo")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    today = datetime.now(timezone.utc).date()
    dates = tuple(today - timedelta(days=days) for days in reversed(range(_NIGHTS)))
    hospital = Hospital(rows=rows, first_day=dates[0])
    with ExitStack() as stack:
        with _step(console, 1, "The databases", "about 10 s"):
            console.print(f"  Starting servers in {folder}, and filling a hospital with {rows:,} lab results")
            postgres = stack.enter_context(Postgres(folder / "postgres"))
            postgres.drop_database("hdm")
            base = postgres.create_database("hdm")
            places = sites(folder, postgres, stack)
            for site in places:
                with site.connect() as connection:
                    hospital.first_night(connection)
                console.print(f"  {site.endpoint.slug}")
        with _step(console, 2, "Airflow", "about 25 s"):
            console.print("  Creating the tables of the HDM base, then starting all components of Airflow")
            airflow = _airflow(folder, postgres, base)
            stack.enter_context(airflow)
        laboratory = _laboratory(places, folder)
        ok = _nights(console, airflow, base, places, hospital, laboratory, dates)
        ok &= _later_nights(console, laboratory, dates[1:])
        console.print(f"The demo took {time.monotonic() - began:.0f} s")
        if os.environ.get("ONCE") == "1":
            console.print(f"Airflow and the databases stop now; their files stay in {folder}")
        else:
            _say_where_to_look(console, airflow, postgres)
            _wait(console)
    return 0 if ok else 1


@contextmanager
def _step(console: Console, number: int, title: str, estimate: str) -> Iterator[None]:
    """Print a step, about how long it takes on two free cores, and how long it took."""
    console.print(f"[bold]{number} {title}[/] ({estimate})")
    began = time.monotonic()
    yield
    console.print(f"  done after {time.monotonic() - began:.0f} s")


def rows_from(text: str) -> int:
    """The size of the hospital.

    Args:
        text: value of the environment variable ROWS; empty for the default.

    Returns:
        The number of lab results.

    Raises:
        HdmError: if the value is not a whole number, or is too small or too large.
    """
    hint = f"set it to a whole number from {FEWEST_ROWS} to {_MOST_ROWS}, or unset it for {_ROWS}"
    try:
        rows = int(text.strip() or _ROWS)
    except ValueError:
        raise HdmError("the size of the hospital is not a whole number", "ROWS", hint) from None
    if not FEWEST_ROWS <= rows <= _MOST_ROWS:
        raise HdmError(f"a hospital of {rows} rows is too {'small' if rows < FEWEST_ROWS else 'large'}", "ROWS", hint)
    return rows


def _airflow(folder: Path, postgres: Postgres, base: Database) -> Airflow:
    """Create the tables of the HDM base. Return an Airflow that is not started yet."""
    os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
    os.environ["AIRFLOW_CONN_HDM"] = base.dsn
    from hdm_airflow.base import migrate
    from hdm_airflow.base.hook import HdmHook

    logging.getLogger("alembic").setLevel(logging.WARNING)
    migrate.upgrade(HdmHook())
    _make_role(base)
    return Airflow(folder / "airflow", dags=ROOT / "dags", path=(postgres.bin_dir,))


def _make_role(base: Database) -> None:
    """Give packs a role of their own, as an administrator and the base's owner would."""
    from psycopg import sql

    from hdm_airflow.base.hook import HdmHook
    from hdm_airflow.base.role.grant import grant_rights

    name, password = sql.Identifier(_PACKS), secrets.token_urlsafe(18)
    with HdmHook().session() as owner:
        owner.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))  # of an earlier demo, whose base is gone
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
        grant_rights(owner, _PACKS, actor=_ACTOR)
    server = base.server
    os.environ["AIRFLOW_CONN_HDM_PACKS"] = f"postgresql://{_PACKS}:{password}@{server.host}:{server.port}/{base.name}"


def _nights(
    console: Console,
    airflow: Airflow,
    base: Database,
    places: list[Site],
    hospital: Hospital,
    laboratory: Laboratory,
    dates: tuple[date, ...],
) -> bool:
    """Run the Dag on sound data, then on data with faults; return whether the packs found all of them, and no other."""
    from hdm_airflow.base.hook import HdmHook

    first, second, *_ = dates
    variable = {"environments": {"prod": {"conn_id": "hdm", "pack_conn_id": _PACKS}}}
    password = HdmHook(_PACKS).connection.password
    of_base = [connections.of_base(base), connections.of_base(base, role=_PACKS, password=password)]
    with HdmHook(_PACKS).session(pinned=False) as connection:
        with _step(console, 3, "First night: the data is sound", "about 20 s"):
            console.print("  Adding connections and the Variable hdm, activating packs, then running the Dag")
            pipeline.prepare(airflow, [*of_base, *connections.of_endpoints(places)], json.dumps(variable))
            with HdmHook().session() as owner:
                _activate(owner, places)
            pipeline.run(airflow, first)
            laboratory.back_up()
        with _step(console, 4, "Second night: the data has planted faults", "about 15 s"):
            console.print("  Planting seven kinds of faults in each database, then another run of the Dag")
            for site in places:
                with site.connect() as endpoint:
                    hospital.second_night(endpoint)
            _, state = pipeline.run(airflow, second)
        checks = results.check(connection, places, second)
        results.show(console, connection, checks, second)
        false = results.false_alerts(connection, first)
        more = results.unexplained_alerts(connection, places, second)
    missed = sum(not one.found for one in checks)
    console.print(
        f"{len(checks) - missed} of {len(checks)} planted faults found; {false} false alerts on the first night; "
        f"the second run's state is {state}"
    )
    console.print(f"{more} alerts on the second night beyond one per fault")
    return not (missed or false or more) and state == "success"


def _laboratory(places: list[Site], folder: Path) -> Laboratory:
    from demo.nights import Laboratory

    (site,) = [one for one in places if one.endpoint.type == "sqlite"]
    return Laboratory(site, ROOT / "dags" / "packs", _PACKS, folder / "nights.log")


def _later_nights(console: Console, laboratory: Laboratory, dates: tuple[date, ...]) -> bool:
    """Run the nights after the second, and show the incidents; return whether they are right."""
    from hdm_airflow.base.hook import HdmHook

    name, (_, *later) = laboratory.endpoint.name, dates
    with _step(console, 5, f"Four more nights of {name}: what becomes of the faults", "about 10 s"):
        for night, what in zip(later, laboratory.run(*later), strict=True):
            console.print(f"  {night:%d %b}: {what}")
    with HdmHook(_PACKS).session(pinned=False) as connection:
        lives = incidents.lives(connection, laboratory.endpoint.slug, dates)
    incidents.show(console, lives, dates, name)
    wrong = incidents.wrong(lives)
    right = "The incidents are right: a fault came, stayed, was not judged, went, and came back"
    console.print("\n".join(wrong) or right)
    return not wrong


def _activate(connection: Any, places: list[Site]) -> None:
    from hdm_airflow.base import activation, endpoints

    for site in places:
        endpoints.add(connection, site.endpoint, None, actor=_ACTOR)
        registered = endpoints.find(connection, site.endpoint.slug)
        activation.change(connection, [("metric", "basic", registered.endpoint.slug)], active=True, actor=_ACTOR)
        activation.change(connection, [("rule", "basic", registered.endpoint.slug)], active=True, actor=_ACTOR)
        if site.endpoint.type == "postgres":
            activation.change(
                connection, [("metric", "row-count", registered.endpoint.slug)], active=True, actor=_ACTOR
            )


def _say_where_to_look(console: Console, airflow: Airflow, postgres: Postgres) -> None:
    console.print("\n[bold]Where to look[/]")
    console.print(
        f"  Pages     {airflow.url}/plugin/data-quality/hdm/   user {airflow.user}, password {airflow.password}"
    )
    console.print(f"  Airflow   {airflow.url}/dags/{pipeline.DAG}")
    psql = postgres.bin_dir / "psql"
    console.print(f"  HDM base  {psql} {os.environ['AIRFLOW_CONN_HDM_PACKS']}   as the packs' role", soft_wrap=True)
    console.print(f"            {psql} {Database(postgres, 'hdm').dsn}   as its owner", soft_wrap=True)


def _wait(console: Console) -> None:
    console.print("\nEverything keeps running until you press Ctrl-C.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("Stopping")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HdmError as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
