"""Running one pack, with neither Airflow nor a database: the operator hands in values and gets values back.

`run` runs a `job` in its `workspace` and reads its `report`. Below it, `venvs` builds and keeps the Python packages
that packs ask for, and `processes` starts, limits and ends programs; both rely on `masking`.
"""
