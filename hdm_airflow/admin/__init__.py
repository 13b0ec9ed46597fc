"""Admin: what a person does with endpoints, packs and their configuration, on the command line and on web pages.

One function per act. It checks what the person gave, does all of it or nothing, writes the audit row under the person's
name, and raises HdmError with what to do. It returns results and warnings as values; the caller shows them. Nothing
here reads arguments or requests, prints, asks for confirmation, or shows a secret.
"""
