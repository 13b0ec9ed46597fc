"""Where the password of an endpoint comes from: one module per source, and the chain over them.

If a source has no entry for an endpoint, the next one is asked; if a source cannot be asked, the endpoint fails. Each
look-up is made once per run. Except for the credential itself, nothing that leaves this room contains a secret.
"""
