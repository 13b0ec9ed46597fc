"""What `make demo`, the tests and the benchmarks run against: real database servers and a made-up hospital.

`services` starts PostgreSQL, MariaDB and Redis on 127.0.0.1 for as long as a `with` block lasts; `hospital`
fills a database with patients who never lived, then plants the faults that the packs have to find. Nothing in
here is part of the product, and nothing of it travels in the wheel.
"""
