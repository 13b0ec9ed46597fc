"""Alembic migrations of the HDM base. A shipped one is never edited: the next one corrects it."""
