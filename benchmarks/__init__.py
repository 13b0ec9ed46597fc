"""What it costs, measured against a named rival in the same run: each module is one benchmark, `make bench-<name>`.

It prints its table, and writes it to results/ with the facts of the machine.
"""
