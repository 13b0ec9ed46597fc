"""Virtual environments (venvs): built once per set of requirements, kept in a store, shared by runs, never changed.

`store` finds or builds one, `layer` puts a run's own on top of it, and `retention` decides which ones are removed.
"""
