"""Virtual environments: built once per set of requirements, kept in a store, shared by runs, never changed by one.

`store` finds or builds one, `layer` puts a run's own on top of it, `retention` says which ones go.
"""
