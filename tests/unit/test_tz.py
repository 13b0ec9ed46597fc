"""The variable TZ of a pack: the same time as the Dag's timezone, in every program."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.sdk import DAG
from dateutil import tz as dateutil_tz  # type: ignore[import-untyped]  # it has no type hints

from hdm_airflow.runner.job import tz

MOMENTS = [datetime(2026, month, 5, 12, tzinfo=timezone.utc) for month in (1, 7)]
IST = timezone(timedelta(hours=5, minutes=30))
ZONES: list[tzinfo] = [
    timezone.utc,
    IST,
    timezone(timedelta(hours=5, minutes=30), "IST"),
    timezone(-timedelta(hours=3, minutes=30)),
    timezone(timedelta(hours=14)),
    timezone(-timedelta(hours=23, minutes=59)),
    timezone(timedelta(hours=5, minutes=30, seconds=15)),
    timezone(timedelta(0), "anything"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/St_Johns"),
    ZoneInfo("Etc/GMT+5"),
    pendulum.timezone("UTC"),
    pendulum.timezone("Europe/Berlin"),
    pendulum.timezone(19800),
    pendulum.timezone(-12600),
    pendulum.FixedTimezone(0),
    pendulum.FixedTimezone(19800, name="IST"),
    pendulum.FixedTimezone(3600, name="Mars/Olympus"),
    dateutil_tz.gettz("Asia/Kolkata"),
    dateutil_tz.tzoffset("x", -12600),
]


def time_of(variable: str, moment: datetime) -> str:
    """A moment as a program outside Python shows it."""
    command = ["date", "-d", f"@{int(moment.timestamp())}", "+%Y-%m-%d %H:%M:%S"]
    return subprocess.run(command, env={"TZ": variable}, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("zone", ZONES, ids=repr)
def test_pack_has_the_time_of_the_dag(zone: tzinfo) -> None:
    """`TZ=+05:30` would mean UTC, under another name."""
    for moment in MOMENTS:
        of_dag = DAG("tz", schedule=None, start_date=moment.astimezone(zone)).timezone
        for one in (zone, of_dag):
            assert time_of(tz(one, moment), moment) == f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def test_names_stay_names() -> None:
    """A zone with summer time is more than its offset; a program may show the name."""
    assert tz(ZoneInfo("Europe/Berlin")) == "Europe/Berlin"
    assert tz(pendulum.timezone("UTC")) == "UTC"
    assert tz(timezone.utc) == "UTC"
    assert tz(IST) == "<+0530>-05:30"
    assert tz(timezone(-timedelta(hours=3, minutes=30))) == "<-0330>+03:30"
    assert tz(timezone(timedelta(0), "anything")) == "UTC"


def test_zone_of_a_file_has_the_offset_of_the_moment(tmp_path: Path) -> None:
    """It has no name that another program could look up."""
    with Path("/usr/share/zoneinfo/Asia/Kolkata").open("rb") as file:
        assert tz(ZoneInfo.from_file(file), MOMENTS[0]) == "<+0530>-05:30"
