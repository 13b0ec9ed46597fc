"""The packs' own role on the HDM base: its rights, its tables, and code of others that the base's owner might run."""
