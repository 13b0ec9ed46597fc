"""The data sets: each lives on, night after night, as a pure function of its seed and the night."""

from benchmarks.faults.data.billing import Billing
from benchmarks.faults.data.dataset import DataSet
from benchmarks.faults.data.hospital import DemoHospital
from benchmarks.faults.data.laboratory import Laboratory
from benchmarks.faults.data.mart import Mart
from benchmarks.faults.data.omop import Omop
from benchmarks.faults.data.pharmacy import Pharmacy
from benchmarks.faults.data.registry import Registry
from benchmarks.faults.data.trial import Trial

# The slowest first: two are measured at once.
DATASETS: dict[str, type[DataSet]] = {
    one.name: one for one in (Omop, Trial, Laboratory, DemoHospital, Mart, Registry, Billing, Pharmacy)
}

__all__ = ["DATASETS", "DataSet"]
