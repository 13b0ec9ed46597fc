"""Benchmarks: times and memory, compared with a named rival in the same run; `make bench-<name>` runs one module.

Each benchmark prints its table, and writes it to results/ with the facts of the machine. `mutation` and `coverage`
measure the tests instead.
"""
