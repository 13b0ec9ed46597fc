"""Runner: runs one pack, without Airflow or a database; the operator passes values in and gets values back.

`run` runs a `job` in its `workspace` and reads its `report`. Below it, `venvs` builds and keeps the Python packages
that packs require, and `processes` starts, limits and ends programs; both use `masking`.
"""
