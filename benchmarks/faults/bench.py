"""Bench: measures and judges data sets, two at a time."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.faults import hdm_base
from benchmarks.faults.cache import Cache
from benchmarks.faults.judge import Judged, Judging
from benchmarks.faults.measure import Measuring
from benchmarks.faults.pack_host import PackHost
from demo.services import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.faults.data.dataset import DataSet
    from benchmarks.faults.kinds import Fault

CACHE = Path(tempfile.gettempdir()) / f"hdm-faults-cache-{os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a run covers."""

    datasets: list[DataSet]
    faults: list[Fault]
    ks: list[int]  # sound nights before a fault
    nights: int  # sound nights at least
    workers: int = 2
    cache: Path = CACHE

    def run(self, say: Callable[[str], None]) -> list[Judged]:
        """Measure what the cache lacks, then judge; say what is going on."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hdm-faults-")))
            server = stack.enter_context(Postgres(folder / "postgres"))
            hdm_base.make_template(server)
            with ThreadPoolExecutor(self.workers) as pool:
                return list(pool.map(lambda dataset: self.judged(dataset, server, folder, say), self.datasets))

    def judged(self, dataset: DataSet, server: Postgres, folder: Path, say: Callable[[str], None]) -> Judged:
        """The results of one data set; the server has the template of a base."""
        cache = Cache(self.cache, dataset)
        faults = dict.fromkeys(self.ks, self.faults)
        nights = max(self.nights, *(k + fault.nights for k in self.ks for fault in self.faults), 1)
        with PackHost("metric") as metric_pack, PackHost("rule") as rule_pack:
            Measuring(dataset, cache, server, folder, metric_pack).ensure(nights, faults)
            say(f"{dataset.name}: measured")
            packs = {"metric": metric_pack, "rule": rule_pack}
            judged = Judging(dataset, cache, server, folder, packs).judge(nights, faults)
        say(f"{dataset.name}: judged")
        return judged
