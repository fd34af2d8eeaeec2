"""Every table of the schema: ``metadata`` has them all, wherever they are declared."""

from foundry_rollouts.store import notice_tables, people_tables, tables

__all__ = ["metadata", "notice_tables", "people_tables", "tables"]

metadata = tables.metadata
