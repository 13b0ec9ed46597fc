"""What a pack written in Python can import: one file without dependencies, `hdm.py`.

The runner puts that file on the pack's path, so that `import hdm` works in any venv, whether or not hdm_airflow is
installed there.
"""
