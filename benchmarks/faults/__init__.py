"""Planted faults show whether the alerts of the reference packs are right from the first night.

Seven data sets live for weeks (`data/`). In one night a fault is planted (`kinds/`); the packs, run for real on that
night and on its twin without the fault, show what the fault alone made. `python -m benchmarks.faults --help`.
"""
