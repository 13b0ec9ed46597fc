"""Operators: one attempt of one pack, for tasks and for the command line.

`pack` is the thin operator, `attempt` has the steps, `plan` chooses the endpoints, and `verdict` derives the outcomes.
"""
