"""Messages to people: what each subscription gets of a night, in words, and how it is sent.

`notifier.notify` decides what is news and writes it into the outbox, then sends what waits there.
"""
