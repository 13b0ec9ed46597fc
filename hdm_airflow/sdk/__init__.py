"""What a pack written in Python may import: one file without dependencies, `hdm.py`.

The runner puts that file on the child's path, so that a pack says `import hdm` in any environment, whether
hdm_airflow is installed there or not.
"""
