"""HDM for Apache Airflow: turns a folder of data quality packs into a Dag.

from hdm_airflow import HdmDag

HdmDag("hdm_pipeline", packs_dir="packs")
"""

from __future__ import annotations

__version__ = "0.1.0"  # the next release; hatch_build.py derives the version of a build from it
__all__ = ["Catalog", "HdmDag", "HdmTaskGroup", "PackOperator", "__version__"]

TYPE_CHECKING = False  # not from typing, which would double the time to start the guard before each pack
if TYPE_CHECKING:
    from hdm_airflow.dag import HdmDag, HdmTaskGroup
    from hdm_airflow.operators.pack import PackOperator
    from hdm_airflow.packs.catalog import Catalog
else:  # hidden from type checkers, which would otherwise accept every misspelt name
    _HOME = {
        "HdmDag": "hdm_airflow.dag",
        "HdmTaskGroup": "hdm_airflow.dag",
        "PackOperator": "hdm_airflow.operators.pack",
        "Catalog": "hdm_airflow.packs.catalog",
    }

    def __getattr__(name: str) -> object:
        """Import a public name on first use, so that code that only reads packs does not load Airflow."""
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
