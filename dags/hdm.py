"""The drop-in Dag: every pack below packs/, on the databases activated for it, every night at 02:00."""

from hdm_airflow import HdmDag

HdmDag("hdm_pipeline", packs_dir="packs")
