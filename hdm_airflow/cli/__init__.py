"""`airflow hdm ...`: what an administrator does outside the web pages.

`definition` tells Airflow the commands and loads nothing else: every `airflow` command pays for it. A command's own
module is imported when the command runs. Data goes to stdout, narration to stderr.
"""
