"""PackOperator: one task per pack. Thin: `attempt` does the work, for the command line too.

What an attempt decides is in `plan`, what a run meant in `verdict`.
"""
