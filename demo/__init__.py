"""Demo: real database servers and a synthetic hospital, for `make demo`, the tests and the benchmarks.

`services` starts PostgreSQL, MariaDB and Redis on 127.0.0.1 for as long as a `with` block lasts. `hospital` fills a
database with invented patients, then plants the faults that the packs have to find. This package is not part of the
product, and the wheel does not contain it.
"""
