"""Rule pack basic on planted faults: one alert per fault, none on the twin night. `make bench-faults` plants more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks.faults import hdm_base
from benchmarks.faults.bench import Bench
from benchmarks.faults.data import DATASETS
from benchmarks.faults.judge import FOUND, LOUD, Judged
from benchmarks.faults.kinds import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.services import Postgres

DATA = "pharmacy"
KS = [1, 5]  # sound nights before the fault: the second night, and one after a weekend
PLANTED = (
    *("rows_deleted_80", "table_dropped", "column_retyped", "column_emptied", "column_half_emptied"),
    *("key_duplicated", "fk_broken", "level_new", "dates_in_100_years", "unit_changed"),
)


@dataclass
class Nights:
    """The nights of one data set, measured and judged by the packs themselves; measured nights are kept."""

    server: Postgres
    folder: Path

    def judge(self, *faults: str, ks: list[int]) -> Judged:
        """The results of sound nights and of the faults that are planted after so many of them."""
        chosen = [FAULTS[name] for name in faults]
        bench = Bench(datasets=[], faults=chosen, ks=ks, nights=max(ks) + 1, cache=self.folder / "cache")
        return bench.judged(DATASETS[DATA](), self.server, self.folder, say=lambda _: None)


@pytest.fixture(scope="module")
def nights(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A server with the base that others are copied from."""
    hdm_base.make_template(postgres)
    yield Nights(postgres, tmp_path_factory.mktemp("faults"))
    postgres.drop_database(hdm_base.TEMPLATE)


@pytest.fixture(scope="module")
def judged(nights: Nights) -> Judged:
    """All of the faults."""
    return nights.judge(*PLANTED, ks=KS)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_raises_one_alert_that_names_its_place(judged: Judged, name: str, k: int) -> None:
    """An alert counts if the twin night, which has all but the fault, lacks it: one cause is one alert."""
    (outcome,) = (one for one in judged.outcomes if one.fault.name == name and one.k == k)
    assert (outcome.verdict, outcome.alerts) == (FOUND, 1), (outcome, outcome.right, outcome.extra)


def test_sound_nights_are_silent(judged: Judged) -> None:
    """Weekends, deliveries to come and validities to 9999 are no faults."""
    loud = {alert for alerts in judged.nights.values() for alert in alerts if alert.level in LOUD}
    assert loud == set()


def test_a_fault_leaves_no_trace_for_the_next(nights: Nights, judged: Judged) -> None:
    """The base returns to the state before each fault: alone, the last one and the nights after it look the same."""
    name, k = PLANTED[-1], KS[0]
    alone = nights.judge(name, ks=[k])
    (outcome,) = alone.outcomes
    assert outcome in judged.outcomes
    assert alone.nights == {night: judged.nights[night] for night in alone.nights}
