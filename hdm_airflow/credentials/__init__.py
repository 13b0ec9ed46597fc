"""Where the password of an endpoint comes from: one module per source, and the chain over them.

A source that has no entry for an endpoint passes it on to the next one; a source that cannot be asked fails it. Each
question is asked once in a run, and nothing that leaves this room but the credential itself holds a secret.
"""
