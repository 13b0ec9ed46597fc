"""Processes: a program and everything it starts, confined to a sandbox and limits, and ended as a whole.

`supervision` starts programs one after another; each is a `child`, whose `output` is logged and whose processes a
`guard` leads from outside the task process. The guard starts before each pack, so it imports only what is quick to
load, from the standard library. When task and guards are gone, a `janitor` removes the `run_folder`.
"""
