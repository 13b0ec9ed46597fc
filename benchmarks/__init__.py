"""What it costs, measured: each module is one benchmark, run as `make bench-<name>`, with a named rival in the same run."""
