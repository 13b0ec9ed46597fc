"""Processes: a program and everything it starts, kept within its sandbox and its limits, and ended as a whole.

`supervision` starts programs one after the other, `child` is one of them, and `guard` leads its processes from outside
the task process. What the guard imports is standard library only and quick to load: it starts before each pack.
"""
